/* SPDX-License-Identifier: Apache-2.0 */
/* Named contexts: images and folders of the client that take the place of a name in FROM and --from. */
#include <stdlib.h>

#include "base/alloc.h"
#include "builder/origin.h"
#include "oci/reference.h"

int named_load(struct build *build, struct error *err)
{
	const struct text_map *contexts = build->options->contexts;

	if (!contexts || contexts->count == 0)
		return 0;
	build->named = xcalloc(contexts->count, sizeof(*build->named));
	for (size_t i = 0; i < contexts->count; i++) {
		const struct text_pair *pair = &contexts->items[i];
		const char *image = text_after(pair->value, "docker-image://");
		const char *source = text_after(pair->value, "local:");
		struct named_context *named = &build->named[build->named_count];

		*named = (struct named_context){ .name = xstrdup(pair->key),
						 .image = xstrdup(image),
						 .source = xstrdup(source) };
		build->named_count++;
		if (!image && !source) {
			int r = origin_find(&named->origin, build, pair->value, err);

			if (r < 0)
				return -1;
			if (r == 0)
				return error_set(err, ERR_UNSUPPORTED,
						 "the context %s=%s is not supported: an image, a folder, a git "
						 "repository and a URL are",
						 pair->key, pair->value);
		}
	}
	return 0;
}

void named_fini(struct build *build)
{
	for (size_t i = 0; i < build->named_count; i++) {
		struct named_context *named = &build->named[i];

		origin_free(named->origin);
		layer_writer_free(named->directory);
		text_list_fini(&named->ignored);
		free(named->name);
		free(named->image);
		free(named->source);
	}
	free(build->named);
}

static struct named_context *find(const struct build *build, const char *name)
{
	for (size_t i = 0; i < build->named_count; i++)
		if (text_equal_ignoring_case(build->named[i].name, name))
			return &build->named[i];
	return NULL;
}

struct named_context *named_find(const struct build *build, const char *name)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO_FREE char *familiar = NULL;
	struct named_context *named = find(build, name);

	/* "docker.io/library/debian:latest" is "debian" as well. */
	if (named || build->named_count == 0 || reference_parse(&reference, name, &ignored) < 0)
		return named;
	if (text_equal(reference.tag, "latest"))
		free(take_ptr(reference.tag));
	familiar = reference_familiar(&reference);
	return find(build, familiar);
}

void named_replace_stages(struct build *build)
{
	for (size_t i = 0; i < build->stages.count; i++) {
		struct stage *stage = &build->stages.items[i];
		struct named_context *named = stage->name ? find(build, stage->name) : NULL;

		if (!named || !named->image)
			continue;
		free(stage->base_name);
		stage->base_name = xstrdup(named->image);
		stage->base = NULL;
		stage->count = 0;
	}
}
