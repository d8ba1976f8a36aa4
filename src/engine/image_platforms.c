/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "engine/engine.h"
#include "engine/image_lookup.h"
#include "engine/image_progress.h"
#include "oci/manifest.h"

static bool is_for_linux(const struct descriptor *entry)
{
	return !entry->platform || text_empty(entry->platform->os) || text_equal(entry->platform->os, "linux");
}

static int pull_entry(struct engine *engine, const struct image_pull_options *options, const struct descriptor *entry,
		      struct error *err)
{
	struct image_pull_options part = *options;

	if (media_type_is_index(entry->media_type))
		return error_set(err, ERR_UNSUPPORTED, "list %s inside of a list", entry->digest);
	part.tag = entry->digest;
	part.platform = NULL;
	/* What is pushed later must be byte for byte what the list names. */
	part.whole = true;
	return image_pull(engine, &part, err);
}

/* For this machine, or else the first one's; "" if the list says of none what it is for. */
static char *choose_platform(const struct manifest *index)
{
	AUTO(platform_fini) struct platform host = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };

	platform_host(&host);
	if (manifest_select(index, &host, PLATFORM_RUNNABLE, &ignored))
		return xstrdup("");
	for (size_t i = 0; i < index->manifests.count; i++) {
		const struct descriptor *entry = &index->manifests.items[i];

		if (manifest_entry_is_image(entry) && is_for_linux(entry) && entry->platform)
			return platform_format(entry->platform);
	}
	return xstrdup("");
}

/* The name, and that the list is still the one whose images came. */
static int pull_name(struct engine *engine, const struct image_pull_options *options, const struct reference *reference,
		     const struct manifest *index, const char *digest, struct error *err)
{
	AUTO_FREE char *platform = choose_platform(index);
	AUTO(reference_fini) struct reference list = { 0 };
	struct image_pull_options named = *options;
	struct digest image;
	int r;

	named.platform = platform;
	named.whole = true;
	if (image_pull(engine, &named, err) < 0)
		return -1;
	reference_copy(&list, reference);
	free(take_ptr(list.tag));
	if (digest_parse(&list.digest, digest, err) < 0)
		return -1;
	r = image_name_find(&image, engine_store(engine), &list, err);
	if (r == 0)
		return error_set(err, ERR_UNAVAILABLE,
				 "%s became another list in the registry meanwhile: pull it again", options->image);
	return r < 0 ? -1 : 0;
}

int image_pull_platforms(struct engine *engine, const struct image_pull_options *options, struct error *err)
{
	AUTO(session_looked_fini) struct session_looked looked = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO(manifest_fini) struct manifest index = { 0 };

	if (!text_empty(options->platform))
		return error_set(err, ERR_INVALID, "all platforms, or %s: not both", options->platform);
	if (image_parse_reference(&reference, options->image, options->tag, err) < 0 ||
	    image_look(&looked, &reference, options->auth, options->registry, options->cancel_fd, err) < 0 ||
	    manifest_decode(&index, looked.text, strlen(looked.text), looked.media_type, err) < 0)
		return -1;
	if (index.kind != MANIFEST_INDEX)
		return image_pull(engine, options, err);
	for (size_t i = 0; i < index.manifests.count; i++) {
		const struct descriptor *entry = &index.manifests.items[i];

		if (manifest_entry_is_image(entry) && is_for_linux(entry) &&
		    pull_entry(engine, options, entry, err) < 0)
			return -1;
	}
	return pull_name(engine, options, &reference, &index, looked.digest, err);
}
