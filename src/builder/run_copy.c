/* SPDX-License-Identifier: Apache-2.0 */
/* COPY, ADD and WORKDIR: kist-files works in a snapshot above the input, which then becomes a layer. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "archive/copy.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/random.h"
#include "builder/origin.h"
#include "engine/image_make.h"
#include "oci/hasher.h"
#include "store/files.h"
#include "store/snapshot.h"
#include "store/unpack.h"
#include "sys/in_root.h"

#define BLOCK_SIZE (256 * 1024)
#define MAGIC_SIZE 512

/* A snapshot of a build's own; gone at the end unless it became a layer. */
struct scratch {
	struct store *store;
	char *key;
};

static void scratch_fini(struct scratch *scratch)
{
	AUTO(error_clear) struct error ignored = { 0 };

	if (scratch->key)
		snapshot_remove(scratch->store, scratch->key, &ignored);
	free(scratch->key);
}

static int scratch_init(struct scratch *scratch, struct build *build, const struct node *node, struct error *err)
{
	char hex[33];

	random_hex(hex, 16);
	scratch->store = build->store;
	scratch->key = xasprintf("build-%s", hex);
	return snapshot_create(build->store, scratch->key, &node->input->result.chain_id, err);
}

static int finish(struct build *build, const struct scratch *scratch, struct build_result *result, struct error *err)
{
	const struct layer_make options = { .key = scratch->key,
					    .latest_s = build_latest_s(build),
					    .lease = build->lease,
					    .cancel_fd = build_cancel_fd(build) };
	struct layer_made made;

	if (layer_make(&made, build->engine, &options, err) < 0)
		return -1;
	result->chain_id = made.chain_id;
	result->diff_id = made.diff_id;
	result->size_bytes = made.size_bytes;
	return 0;
}

/* Where files are copied from, fetched first if they come from the network (borrowed). */
static int directory_of(struct build *build, const struct copy_data *copy, struct error *err)
{
	return copy->origin ? origin_open(copy->origin, err) : context_fd_of(build, copy);
}

/* ---- requests ---- */

static void add_options(struct text_list *request, const struct copy_data *copy)
{
	text_list_addf(request, "destination=%s", copy->destination);
	if (copy->chown)
		text_list_addf(request, "chown=%s", copy->chown);
	if (copy->chmod)
		text_list_addf(request, "chmod=%s", copy->chmod);
}

static void add_selection(struct text_list *request, const struct copy_data *copy)
{
	/* A file of an origin is alone in its directory; of a repository all is wanted. */
	for (size_t i = 0; i < copy->sources.count; i++)
		text_list_addf(request, "source=%s",
			       copy->origin ? origin_source(copy->origin) : copy->sources.items[i]);
	for (size_t i = 0; i < copy->excludes.count; i++)
		text_list_addf(request, "exclude=%s", copy->excludes.items[i]);
	if (copy->parents)
		text_list_add(request, "parents=1");
}

static int add_node_source(struct text_list *request, const struct build *build, const struct copy_data *copy,
			   struct error *err)
{
	const struct digest *chain_id = &copy->source->result.chain_id;

	if (!digest_is_set(chain_id))
		return error_set(err, ERR_NOT_FOUND, "stat %s: file does not exist", copy->sources.items[0]);
	return files_add_source(request, build->store, chain_id, err);
}

/* ---- heredocs ---- */

static int write_file(int dir_fd, const char *name, const char *text, mode_t mode, struct error *err)
{
	AUTO_CLOSE int fd = -1;
	int r;

	if (strchr(name, '/') || text_equal(name, ".") || text_equal(name, ".."))
		return error_set(err, ERR_INVALID, "%s is no name for a file", name);
	fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
	r = fd < 0 ? -errno : write_full(fd, text, strlen(text));
	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", name) : 0;
}

static int write_heredocs(int dir_fd, const struct copy_data *copy, struct error *err)
{
	for (size_t i = 0; i < copy->sources.count; i++)
		if (write_file(dir_fd, copy->sources.items[i], copy->bodies.items[i], 0644, err) < 0)
			return -1;
	return 0;
}

/* ---- archives ---- */

static bool is_archive(const uint8_t *magic, size_t size)
{
	static const uint8_t gzip[] = { 0x1f, 0x8b };
	static const uint8_t zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
	static const uint8_t xz[] = { 0xfd, '7', 'z', 'X', 'Z', 0 };

	return (size >= sizeof(gzip) && memcmp(magic, gzip, sizeof(gzip)) == 0) ||
	       (size >= sizeof(zstd) && memcmp(magic, zstd, sizeof(zstd)) == 0) ||
	       (size >= sizeof(xz) && memcmp(magic, xz, sizeof(xz)) == 0) ||
	       (size >= 3 && memcmp(magic, "BZh", 3) == 0) || (size >= 262 && memcmp(magic + 257, "ustar", 5) == 0);
}

int copy_open_archive(int source_fd, const char *path)
{
	AUTO_CLOSE int seen = open_in_root(source_fd, *path ? path : ".", O_PATH, 0);
	AUTO_CLOSE int fd = -1;
	uint8_t magic[MAGIC_SIZE];
	struct stat st;
	ssize_t size;

	if (seen < 0 || fstat(seen, &st) < 0 || !S_ISREG(st.st_mode))
		return -1;
	fd = open_in_root(source_fd, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	size = read_full(fd, magic, sizeof(magic));
	if (size < 0 || !is_archive(magic, (size_t)size) || lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return take_fd(&fd);
}

/* A name as it is, for a place that takes patterns. */
char *copy_escape_pattern(const char *name)
{
	struct text out = { 0 };

	for (; *name; name++) {
		if (strchr("*?[\\", *name))
			text_add_char(&out, '\\');
		text_add_char(&out, *name);
	}
	return text_take(&out);
}

static int copy_from(struct build *build, const struct scratch *scratch, const struct copy_data *copy,
		     const char *source, int source_fd, bool keep_owner, struct error *err)
{
	AUTO(text_list_fini) struct text_list request = { 0 };
	struct files_result ignored;

	if (files_add_snapshot(&request, build->store, scratch->key, err) < 0)
		return -1;
	add_options(&request, copy);
	text_list_addf(&request, "source=%s", source);
	text_list_add(&request, "source-fd=1");
	if (keep_owner)
		text_list_add(&request, "keep-owner=1");
	return files_run(&ignored, "copy", &request, source_fd, build_cancel_fd(build), err);
}

/* 1: it was an archive and its files are there; 0: it only looked like one. */
static int add_archive(struct build *build, const struct scratch *scratch, const struct copy_data *copy, int archive_fd,
		       struct error *err)
{
	AUTO(layer_writer_freep) struct layer_writer *writer = NULL;
	AUTO(unpack_result_fini) struct unpack_result result = { 0 };
	AUTO(error_clear) struct error problem = { 0 };

	if (build_unpack(&writer, &result, build, archive_fd, true, &problem) < 0) {
		if (problem.kind == ERR_INVALID && strstr(problem.message, "not a whole tar archive") &&
		    result.entries == 0)
			return 0;
		return error_move(err, &problem);
	}
	return copy_from(build, scratch, copy, ".", layer_writer_fd(writer), true, err) < 0 ? -1 : 1;
}

/* ADD looks at every file: archives are unpacked, the others copied. */
static int add_sources(struct build *build, const struct scratch *scratch, const struct copy_data *copy,
		       struct error *err)
{
	struct copy_data into = *copy;
	AUTO_FREE char *directory = NULL;
	AUTO(text_list_fini) struct text_list paths = { 0 };
	struct copy_settings settings = { .sources = copy->sources };

	settings.source_fd = directory_of(build, copy, err);
	if (settings.source_fd < 0)
		return -1;
	if (copy->origin)
		text_list_add(&paths, copy->origin->name);
	else if (copy_find_sources(&paths, &settings, err) < 0)
		return -1;
	/* With several sources the destination is a directory. */
	if (paths.count > 1 && !text_has_suffix(into.destination, "/")) {
		directory = xasprintf("%s/", into.destination);
		into.destination = directory;
	}
	for (size_t i = 0; i < paths.count; i++) {
		AUTO_FREE char *plain = copy_escape_pattern(paths.items[i]);
		AUTO_CLOSE int archive_fd = copy_open_archive(settings.source_fd, paths.items[i]);
		int r = archive_fd >= 0 ? add_archive(build, scratch, &into, archive_fd, err) : 0;

		if (r == 0)
			r = copy_from(build, scratch, &into, plain, settings.source_fd, false, err);
		if (r < 0)
			return -1;
	}
	return 0;
}

/* ---- COPY ---- */

static int copy_sources(struct build *build, const struct scratch *scratch, const struct copy_data *copy,
			struct error *err)
{
	AUTO(layer_writer_freep) struct layer_writer *heredocs = NULL;
	AUTO(text_list_fini) struct text_list request = { 0 };
	struct files_result ignored;
	int source_fd = -1;

	if (files_add_snapshot(&request, build->store, scratch->key, err) < 0)
		return -1;
	if (copy->source_kind == COPY_HEREDOC) {
		if (layer_writer_new(&heredocs, build->store, err) < 0 ||
		    write_heredocs(layer_writer_fd(heredocs), copy, err) < 0)
			return -1;
		source_fd = layer_writer_fd(heredocs);
	} else if (copy->source_kind != COPY_NODE) {
		source_fd = directory_of(build, copy, err);
		if (source_fd < 0)
			return -1;
	} else {
		text_list_add(&request, "keep-owner=1");
		if (add_node_source(&request, build, copy, err) < 0)
			return -1;
	}
	if (source_fd >= 0)
		text_list_add(&request, "source-fd=1");
	add_options(&request, copy);
	add_selection(&request, copy);
	return files_run(&ignored, "copy", &request, source_fd, build_cancel_fd(build), err);
}

static int name_failure(const struct node *node, struct error *err)
{
	if (err->kind == ERR_CANCELED)
		return -1;
	return error_prefix(err, "%s failed", !node->input ? "RUN --mount" : node->copy.is_add ? "ADD" : "COPY");
}

static int copy_parts(struct build *build, const struct scratch *scratch, const struct copy_data *copy,
		      struct error *err)
{
	for (; copy; copy = copy->more) {
		bool archives = copy->unpack && copy->source_kind != COPY_HEREDOC && copy->source_kind != COPY_NODE;
		int r = archives ? add_sources(build, scratch, copy, err) : copy_sources(build, scratch, copy, err);

		if (r < 0)
			return -1;
	}
	return 0;
}

int run_copy(struct build *build, struct node *node, struct build_result *out_result, struct error *err)
{
	AUTO(scratch_fini) struct scratch scratch = { 0 };
	int r;

	if (scratch_init(&scratch, build, node, err) < 0)
		return -1;
	r = copy_parts(build, &scratch, &node->copy, err);
	if (r < 0)
		return name_failure(node, err);
	return finish(build, &scratch, out_result, err);
}

int copy_apart(char **out_key, struct build *build, const struct node *node, struct error *err)
{
	const struct digest nothing = { 0 };
	struct scratch scratch = { .store = build->store };
	char hex[33];
	int r;

	random_hex(hex, 16);
	scratch.key = xasprintf("build-%s", hex);
	r = snapshot_create(build->store, scratch.key, &nothing, err);
	if (r == 0)
		r = copy_sources(build, &scratch, &node->copy, err);
	if (r < 0) {
		scratch_fini(&scratch);
		return name_failure(node, err);
	}
	*out_key = scratch.key;
	return 0;
}

int run_link(struct build *build, struct node *node, struct build_result *out_result, struct error *err)
{
	const struct node *alone = node->copy.source;
	const struct layer_rebase options = { .below = node->input->result.chain_id,
					      .layer = alone->result.chain_id,
					      .lease = build->lease,
					      .cancel_fd = build_cancel_fd(build) };
	struct layer_made made = { .chain_id = options.below };

	if (digest_is_set(&options.layer) && layer_rebase(&made, build->engine, &options, err) < 0)
		return err->kind == ERR_CANCELED ? -1
						 : error_prefix(err, "%s failed", alone->copy.is_add ? "ADD" : "COPY");
	out_result->chain_id = made.chain_id;
	out_result->diff_id = made.diff_id;
	out_result->size_bytes = made.size_bytes;
	/* The image is the same whenever its layers are. */
	out_result->created_ns = alone->result.created_ns;
	if (alone->cached)
		node_print(build, node, " ---> Using cache\n");
	return 0;
}

int run_directory(struct build *build, struct node *node, struct build_result *out_result, struct error *err)
{
	AUTO(scratch_fini) struct scratch scratch = { 0 };
	AUTO(text_list_fini) struct text_list request = { 0 };
	struct files_result result;

	if (scratch_init(&scratch, build, node, err) < 0 ||
	    files_add_snapshot(&request, build->store, scratch.key, err) < 0)
		return -1;
	text_list_addf(&request, "path=%s", node->path);
	if (!text_empty(node->owner))
		text_list_addf(&request, "chown=%s", node->owner);
	if (files_run(&result, "mkdir", &request, -1, build_cancel_fd(build), err) < 0)
		return err->kind == ERR_CANCELED ? -1 : error_prefix(err, "WORKDIR failed");
	if (result.changed)
		return finish(build, &scratch, out_result, err);
	out_result->chain_id = node->input->result.chain_id;
	return 0;
}

/* ---- content ---- */

static int hash_stream(struct hasher *hasher, int fd, struct error *err)
{
	AUTO_FREE char *block = xmalloc(BLOCK_SIZE);
	ssize_t got;

	while ((got = read(fd, block, BLOCK_SIZE)) > 0)
		hasher_add(hasher, block, (size_t)got);
	return got < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "read the files to copy") : 0;
}

static int hash_sources(struct build *build, const struct copy_data *copy, bool content, struct digest *out_digest,
			struct error *err)
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA256);
	AUTO(text_list_fini) struct text_list request = { 0 };
	AUTO(files_freep) struct files *files = NULL;
	struct files_result ignored;
	int source_fd = -1;

	add_selection(&request, copy);
	if (!content)
		text_list_add(&request, "no-content=1");
	if (copy->source_kind == COPY_CONTEXT) {
		source_fd = context_fd_of(build, copy);
		text_list_add(&request, "source-fd=1");
	} else {
		text_list_add(&request, "hash-owners=1");
		if (add_node_source(&request, build, copy, err) < 0)
			return -1;
	}
	if (files_start(&files, "hash", &request, source_fd, err) < 0 ||
	    hash_stream(hasher, files_output_fd(files), err) < 0 ||
	    files_wait(&ignored, files, build_cancel_fd(build), err) < 0)
		return -1;
	hasher_digest(hasher, out_digest);
	return 0;
}

static void hash_list(struct hasher *hasher, const struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		hasher_add(hasher, list->items[i], strlen(list->items[i]) + 1);
	hasher_add(hasher, "\1", 2);
}

/* The digest of what is the same wherever this key is. */
static int hash_once(struct build *build, const struct copy_data *copy, const struct digest *key, const char *what,
		     struct digest *out_digest, struct error *err)
{
	AUTO(build_result_fini) struct build_result memo = { 0 };
	char text[DIGEST_TEXT_MAX];
	int r = build_cache_find(&memo, build->store, key, err);

	if (r < 0)
		return -1;
	if (r > 0 && memo.text)
		return digest_parse(out_digest, memo.text, err);
	if (hash_sources(build, copy, true, out_digest, err) < 0)
		return -1;
	free(memo.text);
	memo = (struct build_result){ .text = xstrdup(digest_text(out_digest, text)) };
	return build_cache_put(build->store, key, what, &memo, err);
}

/* What a stack of layers holds at some paths does not change: looked at once. */
static int hash_node(struct build *build, const struct copy_data *copy, struct digest *out_digest, struct error *err)
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA256);
	char text[DIGEST_TEXT_MAX];
	struct digest key;

	hasher_add(hasher, "kist.content.1", 15);
	digest_text(&copy->source->result.chain_id, text);
	hasher_add(hasher, text, strlen(text) + 1);
	hash_list(hasher, &copy->sources);
	hash_list(hasher, &copy->excludes);
	hasher_digest(hasher, &key);
	return hash_once(build, copy, &key, "content of a stage", out_digest, err);
}

/* In a folder that stays from build to build most files are those of the last time: they are not read again. */
static int hash_kept(struct build *build, const struct copy_data *copy, struct digest *out_digest, struct error *err)
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA256);
	char text[DIGEST_TEXT_MAX];
	struct digest key;

	if (hash_sources(build, copy, false, &key, err) < 0)
		return -1;
	hasher_add(hasher, "kist.kept.1", 12);
	digest_text(&key, text);
	hasher_add(hasher, text, strlen(text) + 1);
	hasher_digest(hasher, &key);
	return hash_once(build, copy, &key, "content of a context", out_digest, err);
}

static int hash_part(struct build *build, const struct copy_data *copy, struct digest *out_digest, struct error *err)
{
	AUTO(hasher_freep) struct hasher *hasher = NULL;

	switch (copy->source_kind) {
	case COPY_HEREDOC:
		hasher = hasher_new(DIGEST_SHA256);
		hash_list(hasher, &copy->sources);
		hash_list(hasher, &copy->bodies);
		hasher_digest(hasher, out_digest);
		return 0;
	case COPY_ORIGIN:
		if (origin_resolve(copy->origin, err) < 0)
			return -1;
		*out_digest = copy->origin->digest;
		return 0;
	case COPY_NODE:
		return hash_node(build, copy, out_digest, err);
	case COPY_CONTEXT:
		break;
	}
	return build->kept && !copy->named ? hash_kept(build, copy, out_digest, err)
					   : hash_sources(build, copy, true, out_digest, err);
}

/* Several parts: what each contains, and what it is called. */
static int hash_parts(struct build *build, const struct copy_data *copy, struct digest *out_digest, struct error *err)
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA256);

	for (; copy; copy = copy->more) {
		struct digest digest;
		char text[DIGEST_TEXT_MAX];

		if (hash_part(build, copy, &digest, err) < 0)
			return -1;
		digest_text(&digest, text);
		hasher_add(hasher, text, strlen(text) + 1);
		hash_list(hasher, &copy->sources);
		hasher_add(hasher, copy->unpack ? "unpack" : "", copy->unpack ? 7 : 1);
	}
	hasher_digest(hasher, out_digest);
	return 0;
}

int copy_digest(struct build *build, const struct node *node, struct digest *out_digest, struct error *err)
{
	int r = node->copy.more ? hash_parts(build, &node->copy, out_digest, err)
				: hash_part(build, &node->copy, out_digest, err);

	return r < 0 ? name_failure(node, err) : 0;
}
