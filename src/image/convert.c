/* SPDX-License-Identifier: Apache-2.0 */
#include "image/convert.h"

#include <stdlib.h>

#include "base/alloc.h"

static const struct {
	const char *oci;
	const char *docker;
} types[] = {
	{ MEDIA_OCI_INDEX, MEDIA_DOCKER_INDEX },
	{ MEDIA_OCI_MANIFEST, MEDIA_DOCKER_MANIFEST },
	{ MEDIA_OCI_CONFIG, MEDIA_DOCKER_CONFIG },
	{ MEDIA_OCI_LAYER, MEDIA_DOCKER_LAYER },
	{ MEDIA_OCI_LAYER_GZIP, MEDIA_DOCKER_LAYER_GZIP },
	{ MEDIA_OCI_LAYER_ZSTD, "application/vnd.docker.image.rootfs.diff.tar.zstd" },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar",
	  "application/vnd.docker.image.rootfs.foreign.diff.tar" },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" },
};
#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))

/* In docker's documents the size comes before the digest. */
static const struct json_field docker_descriptor_fields[] = {
	JSON_TEXT("mediaType", struct descriptor, media_type, 0),
	JSON_U64("size", struct descriptor, size, 0),
	JSON_TEXT("digest", struct descriptor, digest, 0),
	JSON_TEXT_LIST("urls", struct descriptor, urls, JSON_OMIT_EMPTY),
	JSON_POINTER("platform", struct descriptor, platform, platform_fields, JSON_OMIT_EMPTY),
	JSON_END,
};
static const struct json_field docker_image_fields[] = {
	JSON_U32("schemaVersion", struct manifest, schema_version, 0),
	JSON_TEXT("mediaType", struct manifest, media_type, 0),
	JSON_POINTER("config", struct manifest, config, docker_descriptor_fields, 0),
	JSON_ARRAY("layers", struct manifest, layers, docker_descriptor_fields, 0),
	JSON_END,
};
static const struct json_field docker_index_fields[] = {
	JSON_U32("schemaVersion", struct manifest, schema_version, 0),
	JSON_TEXT("mediaType", struct manifest, media_type, 0),
	JSON_ARRAY("manifests", struct manifest, manifests, docker_descriptor_fields, 0),
	JSON_END,
};

static int convert_type(char **type, enum place_likes family, struct error *err)
{
	for (size_t i = 0; i < TYPE_COUNT; i++) {
		const char *wanted = family == PLACE_LIKES_OCI ? types[i].oci : types[i].docker;

		if (text_equal(*type, wanted))
			return 0;
		if (!text_equal(*type, family == PLACE_LIKES_OCI ? types[i].docker : types[i].oci))
			continue;
		free(*type);
		*type = xstrdup(wanted);
		return 0;
	}
	return error_set(err, ERR_UNSUPPORTED, "media type %s has no equal in %s", text_or_empty(*type),
			 family == PLACE_LIKES_OCI ? "OCI's format" : "docker's format");
}

int convert_manifest(struct manifest *manifest, enum place_likes family, struct error *err)
{
	free(manifest->media_type);
	manifest->media_type = xstrdup(manifest->kind == MANIFEST_INDEX ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST);
	if (convert_type(&manifest->media_type, family, err) < 0)
		return -1;
	if (manifest->config && convert_type(&manifest->config->media_type, family, err) < 0)
		return -1;
	for (size_t i = 0; i < manifest->layers.count; i++)
		if (convert_type(&manifest->layers.items[i].media_type, family, err) < 0)
			return -1;
	return 0;
}

bool convert_is_like(const struct manifest *manifest, const char *media_type, enum place_likes family)
{
	/* An artifact's config is of its own kind. */
	if (family == PLACE_LIKES_ANY || (manifest->config && !media_type_is_config(manifest->config->media_type)))
		return true;
	for (size_t i = 0; i < TYPE_COUNT; i++)
		if (text_equal(media_type, family == PLACE_LIKES_OCI ? types[i].oci : types[i].docker))
			return true;
	return false;
}

char *convert_encode(const struct manifest *manifest)
{
	if (text_equal(manifest->media_type, MEDIA_DOCKER_MANIFEST))
		return json_encode(manifest, docker_image_fields);
	if (text_equal(manifest->media_type, MEDIA_DOCKER_INDEX))
		return json_encode(manifest, docker_index_fields);
	return manifest_encode_compact(manifest);
}
