/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/manifest_look.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "oci/manifest.h"

struct outline {
	char *media_type;
	char *artifact_type;
	struct descriptor *config;
	struct descriptor *subject;
	char *annotations;
};

static const struct json_field outline_fields[] = {
	JSON_TEXT("mediaType", struct outline, media_type, 0),
	JSON_TEXT("artifactType", struct outline, artifact_type, 0),
	JSON_POINTER("config", struct outline, config, descriptor_fields, 0),
	JSON_POINTER("subject", struct outline, subject, descriptor_fields, 0),
	JSON_RAW("annotations", struct outline, annotations, 0),
	JSON_END,
};

/* Manifests of known kinds must be sound. */
static int look_known(struct manifest_look *look, const char *text, size_t size, struct error *err)
{
	AUTO(manifest_fini) struct manifest manifest = { 0 };

	if (manifest_decode(&manifest, text, size, look->row.media_type, err) < 0)
		return -1;
	catalog_needs_of(&look->needs, &manifest);
	return 0;
}

static int check(struct manifest_look *look, const struct outline *outline, const char *text, size_t size,
		 struct error *err)
{
	const char *type = look->row.media_type;

	if (outline->media_type && !text_equal(outline->media_type, type))
		return error_set(err, ERR_INVALID, "mediaType is not what Content-Type says");
	if (outline->subject && !digest_is_valid(outline->subject->digest))
		return error_set(err, ERR_INVALID, "subject has no valid digest");
	if (media_type_is_schema1(type))
		return error_set(err, ERR_INVALID, "docker schema 1 is not supported");
	return media_type_is_manifest(type) || media_type_is_index(type) ? look_known(look, text, size, err) : 0;
}

int manifest_look(struct manifest_look *out_look, const char *text, size_t size, const char *content_type,
		  struct error *err)
{
	struct outline outline = { 0 };
	int r;

	*out_look = (struct manifest_look){ 0 };
	if (json_decode(&outline, outline_fields, text, size, err) < 0)
		return -1;
	content_type = text_or_empty(content_type);
	out_look->row.size = (int64_t)size;
	out_look->row.media_type = xstrndup(content_type, strcspn(content_type, "; "));
	if (text_empty(out_look->row.media_type)) {
		free(out_look->row.media_type);
		out_look->row.media_type = xstrdup(text_empty(outline.media_type) ? MEDIA_OCI_MANIFEST
										  : outline.media_type);
	}
	r = check(out_look, &outline, text, size, err);
	if (r == 0) {
		const char *config_type = outline.config ? outline.config->media_type : NULL;

		out_look->row.subject = outline.subject ? xstrdup(outline.subject->digest) : NULL;
		out_look->row.artifact_type = xstrdup(!text_empty(outline.artifact_type) ? outline.artifact_type
											 : config_type);
		out_look->row.annotations = xstrdup(outline.annotations);
	}
	json_free_fields(&outline, outline_fields);
	if (r < 0)
		manifest_look_fini(out_look);
	return r;
}

void manifest_look_fini(struct manifest_look *look)
{
	catalog_manifest_fini(&look->row);
	text_list_fini(&look->needs.digests);
	*look = (struct manifest_look){ 0 };
}
