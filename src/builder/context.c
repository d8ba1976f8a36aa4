/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "archive/pattern.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "builder/origin.h"
#include "store/unpack.h"
#include "sys/in_root.h"

#define DOCKERFILE_MAX (16 * 1024 * 1024)
#define IGNORE_MAX (4 * 1024 * 1024)
/* Kept free: the database and the containers need some. */
#define RESERVED_BYTES (4 * 1024 * 1024)

int context_fd(const struct build *build)
{
	if (build->origin)
		return origin_fd(build->origin);
	if (!build->kept && !build->context && build->options->first)
		return context_fd(build->options->first);
	return build->kept ? kept_context_fd(build->kept) : layer_writer_fd(build->context);
}

int build_unpack(struct layer_writer **out_writer, struct unpack_result *out_result, struct build *build, int stream_fd,
		 bool archive, struct error *err)
{
	struct unpack_options options = { .stream_fd = stream_fd, .lowest = !archive, .archive = archive };
	AUTO(unpack_freep) struct unpack *unpack = NULL;
	uint64_t free_bytes;

	if (store_free_bytes(&free_bytes, build->store, err) < 0 || layer_writer_new(out_writer, build->store, err) < 0)
		return -1;
	options.limit_bytes = free_bytes > RESERVED_BYTES ? free_bytes - RESERVED_BYTES : 1;
	options.target_fd = layer_writer_fd(*out_writer);
	if (unpack_start(&unpack, &options, err) < 0)
		return -1;
	return unpack_wait(out_result, unpack, build_cancel_fd(build), err);
}

static int unpack_context(struct build *build, struct error *err)
{
	const struct build_options *options = build->options;
	AUTO(unpack_result_fini) struct unpack_result result = { 0 };

	if (build_unpack(&build->context, &result, build, options->context_fd, false, err) < 0)
		return -1;
	/* A tar that is cut between two entries looks whole. */
	return options->whole ? options->whole(options->whole_arg, err) : 0;
}

/* The client gives files when it is asked, and no stream. */
static bool can_fill(const struct build *build)
{
	return build->options->client && build->options->client->fill;
}

static bool has_parts(const struct build *build)
{
	return can_fill(build) && text_empty(build->options->remote);
}

/* Where the Dockerfile is. */
static int definition_fd(const struct build *build)
{
	return build->definition ? layer_writer_fd(build->definition) : context_fd(build);
}

static int read_file(char **out_text, size_t *out_size, const struct build *build, const char *path, size_t limit)
{
	AUTO_CLOSE int fd = open_in_root(definition_fd(build), path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EISDIR;
	return fd_read_all(out_text, out_size, fd, limit);
}

static const char *dockerfile_path(const struct build *build)
{
	const struct origin *origin = build->definition ? NULL : build->origin;

	/* A URL that is no archive is a Dockerfile. */
	if (origin && origin->url && !origin->unpacked)
		return origin->name;
	return text_empty(build->options->dockerfile) ? "Dockerfile" : build->options->dockerfile;
}

static int read_dockerfile(struct build *build, const char **out_path, struct error *err)
{
	const char *path = dockerfile_path(build);
	AUTO_FREE char *text = NULL;
	size_t size = 0;
	int r = read_file(&text, &size, build, path, DOCKERFILE_MAX);

	if (r == -ENOENT && text_equal(path, "Dockerfile")) {
		r = read_file(&text, &size, build, "dockerfile", DOCKERFILE_MAX);
		if (r == 0)
			path = "dockerfile";
	}
	if ((r == -ENOENT || r == -ENOTDIR) && can_fill(build))
		return error_set(err, ERR_INVALID, "failed to read dockerfile: open %s: no such file or directory",
				 path);
	if (r == -ENOENT || r == -ENOTDIR)
		return error_set(err, ERR_INVALID, "Cannot locate specified Dockerfile: %s", path);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read the Dockerfile %s", path);
	if (size == 0)
		return error_set(err, ERR_INVALID, "the Dockerfile (%s) cannot be empty", path);
	*out_path = path;
	build->dockerfile_path = xstrdup(path);
	build->dockerfile_text = xstrndup(text, size);
	return dockerfile_parse(&build->dockerfile, text, size, err);
}

static void drop_file(int directory_fd, const char *path)
{
	AUTO_FREE char *name = NULL;
	AUTO_CLOSE int fd = parent_in_root(directory_fd, path, false, &name);

	if (fd >= 0)
		unlinkat(fd, name, 0);
}

/* Clients send these two even if .dockerignore names them, because we need them: then they are not to be copied. */
static int drop_ignored(const struct build *build, const char *dockerfile, struct error *err)
{
	AUTO(pattern_list_fini) struct pattern_list ignored = { 0 };
	AUTO_FREE char *text = NULL;
	size_t size = 0;

	if (read_file(&text, &size, build, ".dockerignore", IGNORE_MAX) < 0)
		return 0;
	if (pattern_list_parse(&ignored, text, size, err) < 0)
		return error_prefix(err, "error reading .dockerignore");
	if (pattern_list_matches(&ignored, dockerfile))
		drop_file(context_fd(build), dockerfile);
	if (pattern_list_matches(&ignored, ".dockerignore"))
		drop_file(context_fd(build), ".dockerignore");
	return 0;
}

/* ---- a client that is asked for parts ---- */

struct transfer {
	struct build *build;
	const char *part;
	int64_t started_ns;
	int64_t bytes;
};

static void on_progress(void *arg, int64_t bytes)
{
	struct transfer *transfer = arg;

	transfer->bytes = bytes;
	vertex_part(transfer->build, transfer->part, transfer->started_ns, bytes, false);
}

/* One request as an operation of its own: "[internal] load build context". */
static int fill(struct build *build, const char *name, const char *part, struct build_fill *request, struct error *err)
{
	const struct build_client *client = build->options->client;
	struct transfer transfer = { .build = build, .part = part, .started_ns = clock_wall_ns() };
	struct build_vertex vertex;
	int r;

	vertex_begin(build, &vertex, name);
	request->progress = on_progress;
	request->progress_arg = &transfer;
	request->cancel_fd = build->options->cancel_fd;
	r = client->fill(client->arg, request, err);
	if (text_equal(request->source, "dockerfile"))
		snprintf(build->definition_vertex, sizeof(build->definition_vertex), "%s", vertex.id);
	if (r == 0)
		vertex_part(build, part, transfer.started_ns, transfer.bytes, true);
	vertex_end(build, &vertex, r < 0 ? err : NULL);
	return r;
}

static int fetch_dockerfile(struct build *build, struct error *err)
{
	const char *path = text_empty(build->options->dockerfile) ? "Dockerfile" : build->options->dockerfile;
	AUTO_FREE char *name = xasprintf("[internal] load build definition from %s", path);
	AUTO(text_list_fini) struct text_list paths = { 0 };
	struct build_fill request = { .source = "dockerfile", .paths = &paths };

	if (layer_writer_new(&build->definition, build->store, err) < 0)
		return -1;
	request.directory_fd = definition_fd(build);
	text_list_add(&paths, path);
	text_list_addf(&paths, "%s.dockerignore", path);
	if (text_equal(path, "Dockerfile"))
		text_list_add(&paths, "dockerfile");
	return fill(build, name, "transferring dockerfile:", &request, err);
}

static int parse_ignored(struct text_list *list, const char *text, size_t size, struct error *err)
{
	AUTO(pattern_list_fini) struct pattern_list ignored = { 0 };

	if (pattern_list_parse(&ignored, text, size, err) < 0)
		return error_prefix(err, "error reading .dockerignore");
	for (size_t i = 0; i < ignored.count; i++)
		text_list_addf(list, "%s%s", ignored.rules[i].taken_back ? "!" : "", ignored.rules[i].pattern);
	return 0;
}

/* The .dockerignore of one of the client's folders. */
static int fetch_list(struct text_list *list, struct build *build, const char *source, const char *name,
		      struct error *err)
{
	AUTO(text_list_fini) struct text_list paths = { 0 };
	struct build_fill request = { .source = source, .paths = &paths, .add = true };
	AUTO_FREE char *text = NULL;
	size_t size = 0;

	drop_file(definition_fd(build), ".dockerignore");
	request.directory_fd = definition_fd(build);
	text_list_add(&paths, ".dockerignore");
	if (fill(build, name, "transferring context:", &request, err) < 0)
		return -1;
	return read_file(&text, &size, build, ".dockerignore", IGNORE_MAX) == 0 ? parse_ignored(list, text, size, err)
										: 0;
}

/* The Dockerfile's own list goes before the context's. */
static int fetch_ignored(struct build *build, const char *dockerfile, struct error *err)
{
	AUTO_FREE char *own = xasprintf("%s.dockerignore", dockerfile);
	AUTO_FREE char *text = NULL;
	size_t size = 0;

	if (read_file(&text, &size, build, own, IGNORE_MAX) == 0)
		return parse_ignored(&build->ignored, text, size, err);
	return fetch_list(&build->ignored, build, "context", "[internal] load .dockerignore", err);
}

/* Sources as paths of the context; false: all of it is wanted. */
static bool add_paths(struct text_list *paths, const struct copy_data *copy)
{
	for (size_t i = 0; i < copy->sources.count; i++) {
		AUTO_FREE char *absolute = xasprintf("/%s", copy->sources.items[i]);
		AUTO_FREE char *clean = path_clean(absolute);

		if (text_equal(clean, "/"))
			return false;
		if (!text_list_contains(paths, clean + 1))
			text_list_add(paths, clean + 1);
	}
	return true;
}

/* Where the context goes: the folder of the last time, or a new one. */
static int choose_directory(struct build *build, struct error *err)
{
	const char *folder = build->options->client->folder;
	int r = text_empty(folder) ? 0 : kept_context_take(&build->kept, build->engine, folder, err);

	return r == 0 ? layer_writer_new(&build->context, build->store, err) : r;
}

/* Whether anything is read of this context (NULL: the main one); request->paths becomes NULL if it is all. */
static bool is_wanted(const struct build *build, const struct named_context *named, struct build_fill *request,
		      struct text_list *paths)
{
	bool wanted = false;

	for (size_t i = 0; i < build->graph.count; i++) {
		const struct node *node = build->graph.nodes[i];

		for (const struct copy_data *copy = &node->copy; copy && node->kind == NODE_COPY; copy = copy->more) {
			if (copy->source_kind != COPY_CONTEXT || copy->named != named)
				continue;
			wanted = true;
			if (request->paths && !add_paths(paths, copy))
				request->paths = NULL;
		}
	}
	text_list_sort(paths);
	return wanted;
}

static int fetch_main(struct build *build, struct error *err)
{
	AUTO(text_list_fini) struct text_list paths = { 0 };
	struct build_fill request = { .source = "context", .paths = &paths, .ignored = &build->ignored };

	if (!is_wanted(build, NULL, &request, &paths))
		return 0;
	if (choose_directory(build, err) < 0)
		return -1;
	request.directory_fd = context_fd(build);
	return fill(build, "[internal] load build context", "transferring context:", &request, err);
}

static int fetch_named(struct build *build, struct named_context *named, struct error *err)
{
	AUTO(text_list_fini) struct text_list paths = { 0 };
	struct build_fill request = { .source = named->source, .paths = &paths, .ignored = &named->ignored };
	AUTO_FREE char *ignore = xasprintf("[context %s] load .dockerignore", named->name);
	AUTO_FREE char *load = xasprintf("[context %s] load from client", named->name);

	if (!is_wanted(build, named, &request, &paths))
		return 0;
	if (fetch_list(&named->ignored, build, named->source, ignore, err) < 0 ||
	    layer_writer_new(&named->directory, build->store, err) < 0)
		return -1;
	request.directory_fd = layer_writer_fd(named->directory);
	return fill(build, load, "transferring:", &request, err);
}

/* As an operation that is shown. */
static int load_origin(struct build *build, struct origin *origin, const char *name, struct error *err)
{
	struct build_vertex vertex;
	int r;

	vertex_begin(build, &vertex, name);
	r = origin_unpack(origin, err);
	vertex_end(build, &vertex, r < 0 ? err : NULL);
	return r < 0 ? -1 : 0;
}

static int fetch_named_origin(struct build *build, struct named_context *named, struct error *err)
{
	AUTO_FREE char *load = xasprintf("[context %s] load from the network", named->name);
	AUTO(text_list_fini) struct text_list paths = { 0 };
	struct build_fill request = { 0 };

	return is_wanted(build, named, &request, &paths) ? load_origin(build, named->origin, load, err) : 0;
}

int context_fetch(struct build *build, struct error *err)
{
	if (has_parts(build) && fetch_main(build, err) < 0)
		return -1;
	for (size_t i = 0; i < build->named_count; i++) {
		struct named_context *named = &build->named[i];

		if (named->origin && fetch_named_origin(build, named, err) < 0)
			return -1;
		if (named->source && can_fill(build) && fetch_named(build, named, err) < 0)
			return -1;
	}
	return 0;
}

int context_fd_of(const struct build *build, const struct copy_data *copy)
{
	if (!copy->named)
		return context_fd(build);
	return copy->named->origin ? origin_fd(copy->named->origin) : layer_writer_fd(copy->named->directory);
}

static int receive_parts(struct build *build, struct error *err)
{
	const char *dockerfile = NULL;

	if (fetch_dockerfile(build, err) < 0 || read_dockerfile(build, &dockerfile, err) < 0)
		return -1;
	return fetch_ignored(build, dockerfile, err);
}

static int receive_remote(struct build *build, struct error *err)
{
	const char *remote = build->options->remote;
	const char *dockerfile = NULL;
	int r = origin_find(&build->origin, build, remote, err);

	if (r == 0)
		return error_set(err, ERR_INVALID, "remoteURL (%s) could not be recognized as URL", remote);
	if (r < 0 || load_origin(build, build->origin, "[internal] load remote build context", err) < 0)
		return -1;
	if (build->options->own_dockerfile && can_fill(build) && fetch_dockerfile(build, err) < 0)
		return -1;
	return read_dockerfile(build, &dockerfile, err);
}

/* The stream was read by the build for the first platform: what it left is the same for all. */
static int take_first(struct build *build, struct error *err)
{
	const struct build *first = build->options->first;

	build->dockerfile_text = xstrdup(first->dockerfile_text);
	build->dockerfile_path = xstrdup(first->dockerfile_path);
	return dockerfile_parse(&build->dockerfile, build->dockerfile_text, strlen(build->dockerfile_text), err);
}

int context_receive(struct build *build, struct error *err)
{
	const char *dockerfile = NULL;

	if (!text_empty(build->options->remote))
		return receive_remote(build, err);
	if (has_parts(build))
		return receive_parts(build, err);
	if (build->options->first)
		return take_first(build, err);
	if (unpack_context(build, err) < 0)
		return error_prefix(err, "build context");
	if (read_dockerfile(build, &dockerfile, err) < 0)
		return -1;
	return drop_ignored(build, dockerfile, err);
}
