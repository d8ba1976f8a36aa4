/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/origin.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"

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

void origin_free(struct origin *origin)
{
	if (!origin)
		return;
	if (origin->fd >= 0)
		close(origin->fd);
	kept_context_free(origin->kept);
	layer_writer_free(origin->scratch);
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
	if (!origin->resolved && origin_url_resolve(origin, err) < 0)
		return -1;
	origin->resolved = true;
	return 0;
}

int origin_open(struct origin *origin, struct error *err)
{
	if (origin_resolve(origin, err) < 0 || (!origin->opened && origin_url_open(origin, err) < 0))
		return -1;
	origin->opened = true;
	return origin->fd;
}
