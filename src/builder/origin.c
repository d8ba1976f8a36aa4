/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/origin.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/unpack.h"

int origin_new_url(struct origin **out_origin, struct build *build, const char *url, const char *name,
		   const char *checksum, struct error *err)
{
	AUTO(origin_freep) struct origin *origin = xcalloc(1, sizeof(*origin));
	struct digest digest;

	origin->build = build;
	origin->fd = -1;
	origin->url = xstrdup(url);
	origin->name = name ? xstrdup(name) : url_file_name(url);
	if (!origin->name)
		origin->name = xstrdup("__unnamed__");
	origin->pattern = copy_escape_pattern(origin->name);
	origin->checksum = xstrdup(checksum);
	if (checksum && digest_parse(&digest, checksum, err) < 0)
		return error_prefix(err, "invalid checksum %s", checksum);
	*out_origin = take_ptr(origin);
	return 0;
}

static bool is_hex(const char *text)
{
	return *text && strlen(text) <= 64 && strspn(text, "0123456789abcdef") == strlen(text);
}

int origin_new_git(struct origin **out_origin, struct build *build, struct git_ref *ref, struct error *err)
{
	struct origin *origin;

	if (ref->checksum && !is_hex(ref->checksum))
		return error_set(err, ERR_INVALID, "invalid checksum %s for Git URL, expected hex commit hash",
				 ref->checksum);
	if (ref->fetch_by_commit && !ref->checksum && !git_is_commit(text_or_empty(ref->ref)))
		return error_set(err, ERR_INVALID, "fetch-by-commit requires a checksum or a commit SHA ref");
	if (ref->fetch_by_commit && ref->checksum && !git_is_commit(ref->checksum))
		return error_set(err, ERR_INVALID, "fetch-by-commit requires a full commit SHA checksum, got \"%s\"",
				 ref->checksum);
	if (ref->ref && git_is_commit(ref->ref) && ref->checksum && !text_has_prefix(ref->ref, ref->checksum))
		return error_set(err, ERR_INVALID, "expected checksum to match %s, got %s", ref->checksum, ref->ref);
	origin = xcalloc(1, sizeof(*origin));
	origin->build = build;
	origin->fd = -1;
	origin->git = *ref;
	*ref = (struct git_ref){ 0 };
	*out_origin = origin;
	return 0;
}

void origin_free(struct origin *origin)
{
	if (!origin)
		return;
	if (origin->fd >= 0)
		close(origin->fd);
	kept_context_free(origin->kept);
	layer_writer_free(origin->scratch);
	layer_writer_free(origin->unpacked);
	git_ref_fini(&origin->git);
	free(origin->url);
	free(origin->name);
	free(origin->pattern);
	free(origin->checksum);
	free(origin->commit);
	free(origin);
}

const char *origin_source(const struct origin *origin)
{
	return origin->url ? origin->pattern : ".";
}

int origin_folder(struct origin *origin, const char *key, struct error *err)
{
	struct build *build = origin->build;
	int r;

	if (origin->kept)
		return kept_context_fd(origin->kept);
	if (origin->scratch)
		return layer_writer_fd(origin->scratch);
	r = kept_context_take(&origin->kept, build->engine, key, err);
	if (r == 0)
		r = layer_writer_new(&origin->scratch, build->store, err);
	return r < 0 ? -1 : origin_folder(origin, key, err);
}

int origin_resolve(struct origin *origin, struct error *err)
{
	int r = 0;

	if (!origin->resolved)
		r = origin->url ? origin_url_resolve(origin, err) : origin_git_resolve(origin, err);
	origin->resolved = origin->resolved || r == 0;
	return r;
}

int origin_open(struct origin *origin, struct error *err)
{
	int r = origin_resolve(origin, err);

	if (r == 0 && !origin->opened)
		r = origin->url ? origin_url_open(origin, err) : origin_git_open(origin, err);
	if (r < 0)
		return -1;
	origin->opened = true;
	return origin->fd;
}

/* ---- contexts ---- */

static bool is_true(const char *text)
{
	return text_equal(text, "1") || text_equal_ignoring_case(text, "true");
}

static void add_wishes(struct git_ref *ref, const struct build *build)
{
	const struct text_map *args = build->options->args;

	if (args && ref->keep_git_dir == GIT_UNSAID && is_true(text_map_get(args, "BUILDKIT_CONTEXT_KEEP_GIT_DIR")))
		ref->keep_git_dir = GIT_YES;
	if (args && !ref->mtime_said && !text_empty(text_map_get(args, "SOURCE_DATE_EPOCH")))
		ref->mtime_commit = true;
}

int origin_find(struct origin **out_origin, struct build *build, const char *text, struct error *err)
{
	AUTO(git_ref_fini) struct git_ref ref = { 0 };
	int r = git_ref_parse(&ref, text, err);

	if (r < 0)
		return -1;
	if (r > 0) {
		add_wishes(&ref, build);
		return origin_new_git(out_origin, build, &ref, err) < 0 ? -1 : 1;
	}
	if (!text_has_prefix(text, "http://") && !text_has_prefix(text, "https://"))
		return 0;
	return origin_new_url(out_origin, build, text, NULL, NULL, err) < 0 ? -1 : 1;
}

int origin_unpack(struct origin *origin, struct error *err)
{
	AUTO(unpack_result_fini) struct unpack_result result = { 0 };
	AUTO_CLOSE int archive_fd = -1;

	if (origin->unpacked)
		return layer_writer_fd(origin->unpacked);
	if (origin_open(origin, err) < 0)
		return -1;
	archive_fd = origin->url ? copy_open_archive(origin->fd, origin->name) : -1;
	if (archive_fd < 0)
		return origin->fd;
	if (build_unpack(&origin->unpacked, &result, origin->build, archive_fd, true, err) < 0)
		return error_prefix(err, "unpack %s", origin->name);
	return layer_writer_fd(origin->unpacked);
}

int origin_fd(const struct origin *origin)
{
	return origin->unpacked ? layer_writer_fd(origin->unpacked) : origin->fd;
}

int origin_secret(char **out_secret, const struct origin *origin, const char *id, struct error *err)
{
	AUTO_FREE char *secret = NULL;
	size_t size;
	int r = build_secret(&secret, &size, origin->build, id, err);

	if (r <= 0)
		return r;
	if (strlen(secret) != size || strpbrk(secret, "\r\n"))
		return error_set(err, ERR_INVALID, "secret %s cannot be a header: it has more than one line", id);
	*out_secret = take_ptr(secret);
	return 1;
}
