/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/manifest.h"

#include <limits.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

static const struct json_field manifest_fields[] = {
	JSON_U32("schemaVersion", struct manifest, schema_version, 0),
	JSON_TEXT("mediaType", struct manifest, media_type, JSON_OMIT_EMPTY),
	JSON_TEXT("artifactType", struct manifest, artifact_type, JSON_OMIT_EMPTY),
	JSON_POINTER("config", struct manifest, config, descriptor_fields, JSON_OMIT_EMPTY),
	JSON_ARRAY("layers", struct manifest, layers, descriptor_fields, JSON_OMIT_EMPTY),
	JSON_ARRAY("manifests", struct manifest, manifests, descriptor_fields, JSON_OMIT_EMPTY),
	JSON_POINTER("subject", struct manifest, subject, descriptor_fields, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("annotations", struct manifest, annotations, JSON_OMIT_EMPTY),
	JSON_END,
};

/* An index must write "manifests": [] and an image "layers": []. */
static const struct json_field image_fields[] = {
	JSON_U32("schemaVersion", struct manifest, schema_version, 0),
	JSON_TEXT("mediaType", struct manifest, media_type, JSON_OMIT_EMPTY),
	JSON_TEXT("artifactType", struct manifest, artifact_type, JSON_OMIT_EMPTY),
	JSON_POINTER("config", struct manifest, config, descriptor_fields, JSON_OMIT_EMPTY),
	JSON_ARRAY("layers", struct manifest, layers, descriptor_fields, 0),
	JSON_POINTER("subject", struct manifest, subject, descriptor_fields, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("annotations", struct manifest, annotations, JSON_OMIT_EMPTY),
	JSON_END,
};
static const struct json_field index_fields[] = {
	JSON_U32("schemaVersion", struct manifest, schema_version, 0),
	JSON_TEXT("mediaType", struct manifest, media_type, JSON_OMIT_EMPTY),
	JSON_TEXT("artifactType", struct manifest, artifact_type, JSON_OMIT_EMPTY),
	JSON_ARRAY("manifests", struct manifest, manifests, descriptor_fields, 0),
	JSON_POINTER("subject", struct manifest, subject, descriptor_fields, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("annotations", struct manifest, annotations, JSON_OMIT_EMPTY),
	JSON_END,
};

static int check_all(const struct descriptor *items, size_t count, const char *what, struct error *err)
{
	for (size_t i = 0; i < count; i++)
		if (descriptor_check(&items[i], err) < 0)
			return error_prefix(err, "%s[%zu]", what, i);
	return 0;
}

/* image-spec issue GHSA-77vh-xpmg-72qh: one text must not be read as two things. */
static int check_kind(struct manifest *manifest, const char *media_type, struct error *err)
{
	bool says_index = media_type_is_index(media_type);

	if (manifest->manifests.count && (manifest->layers.count || manifest->config))
		return error_set(err, ERR_INVALID, "both an image manifest and an index");
	if (says_index && manifest->config)
		return error_set(err, ERR_INVALID, "media type %s, but it is an image manifest", media_type);
	if (media_type_is_manifest(media_type) && !manifest->config)
		return error_set(err, ERR_INVALID, "config is missing");
	if (!manifest->config && !says_index && !manifest->manifests.count)
		return error_set(err, ERR_INVALID, "neither config nor manifests in it: no image manifest, no index");
	manifest->kind = manifest->config ? MANIFEST_IMAGE : MANIFEST_INDEX;
	return 0;
}

static int check_media_type(const struct manifest *manifest, const char *said, struct error *err)
{
	bool known = media_type_is_index(said) || media_type_is_manifest(said);

	if (media_type_is_schema1(said) || media_type_is_schema1(manifest->media_type) || manifest->schema_version == 1)
		return error_set(err, ERR_UNSUPPORTED,
				 "docker image manifest version 2, schema 1 is not supported: push the image again "
				 "with a current tool");
	if (manifest->schema_version != 2)
		return error_set(err, ERR_INVALID, "schemaVersion is %u, not 2", manifest->schema_version);
	if (known && manifest->media_type && !text_equal(said, manifest->media_type))
		return error_set(err, ERR_INVALID, "mediaType is %s, but the server said %s", manifest->media_type,
				 said);
	return 0;
}

static int check_manifest(struct manifest *manifest, const char *said, struct error *err)
{
	if (check_media_type(manifest, said, err) < 0 ||
	    check_kind(manifest, manifest->media_type ? manifest->media_type : said, err) < 0)
		return -1;
	if (manifest->config && descriptor_check(manifest->config, err) < 0)
		return error_prefix(err, "config");
	if (manifest->subject && descriptor_check(manifest->subject, err) < 0)
		return error_prefix(err, "subject");
	if (check_all(manifest->layers.items, manifest->layers.count, "layers", err) < 0)
		return -1;
	return check_all(manifest->manifests.items, manifest->manifests.count, "manifests", err);
}

int manifest_decode(struct manifest *out_manifest, const char *text, size_t size, const char *content_type,
		    struct error *err)
{
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO_FREE char *said = content_type ? xstrndup(content_type, strcspn(content_type, "; ")) : NULL;

	if (size > MANIFEST_SIZE_MAX)
		return error_set(err, ERR_INVALID, "manifest: larger than %d bytes", MANIFEST_SIZE_MAX);
	if (json_decode(&manifest, manifest_fields, text, size, err) < 0 || check_manifest(&manifest, said, err) < 0)
		return error_prefix(err, "manifest");
	*out_manifest = manifest;
	manifest = (struct manifest){ 0 };
	return 0;
}

char *manifest_encode(const struct manifest *manifest)
{
	return json_encode_pretty(manifest, manifest->kind == MANIFEST_INDEX ? index_fields : image_fields, "   ");
}

char *manifest_encode_compact(const struct manifest *manifest)
{
	return json_encode(manifest, manifest->kind == MANIFEST_INDEX ? index_fields : image_fields);
}

void manifest_fini(struct manifest *manifest)
{
	json_free_fields(manifest, manifest_fields);
	*manifest = (struct manifest){ 0 };
}

bool manifest_entry_is_image(const struct descriptor *entry)
{
	const char *type = text_map_get(&entry->annotations, "vnd.docker.reference.type");

	if (text_equal(type, "attestation-manifest"))
		return false;
	if (!media_type_is_manifest(entry->media_type) && !media_type_is_index(entry->media_type))
		return false;
	return !entry->platform || !text_equal(entry->platform->os, "unknown");
}

const struct descriptor *manifest_select(const struct manifest *index, const struct platform *wanted,
					 enum platform_match match, struct error *err)
{
	const struct descriptor *best = NULL;
	const struct descriptor *nameless = NULL;
	AUTO_FREE char *text = NULL;
	int best_rank = INT_MAX;

	for (size_t i = 0; i < index->manifests.count; i++) {
		const struct descriptor *entry = &index->manifests.items[i];
		int rank;

		if (!manifest_entry_is_image(entry))
			continue;
		if (!entry->platform || text_empty(entry->platform->architecture)) {
			nameless = nameless ? nameless : entry;
			continue;
		}
		rank = platform_rank(wanted, entry->platform, match);
		if (rank >= 0 && rank < best_rank) {
			best = entry;
			best_rank = rank;
		}
	}
	if (best || nameless)
		return best ? best : nameless;
	text = platform_format(wanted);
	error_set(err, ERR_NOT_FOUND, "no matching manifest for %s in the manifest list entries", text);
	return NULL;
}
