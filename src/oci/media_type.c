/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/media_type.h"

#include <stddef.h>

#include "base/text.h"

static const struct {
	const char *name;
	enum layer_packing packing;
	bool foreign;
} layers[] = {
	{ MEDIA_OCI_LAYER, LAYER_TAR, false },
	{ MEDIA_OCI_LAYER_GZIP, LAYER_TAR_GZIP, false },
	{ MEDIA_OCI_LAYER_ZSTD, LAYER_TAR_ZSTD, false },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar", LAYER_TAR, true },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", LAYER_TAR_GZIP, true },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", LAYER_TAR_ZSTD, true },
	{ "application/vnd.docker.image.rootfs.diff.tar", LAYER_TAR, false },
	{ MEDIA_DOCKER_LAYER_GZIP, LAYER_TAR_GZIP, false },
	{ "application/vnd.docker.image.rootfs.diff.tar.zstd", LAYER_TAR_ZSTD, false },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar", LAYER_TAR, true },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", LAYER_TAR_GZIP, true },
};

bool media_type_is_index(const char *media_type)
{
	return text_equal(media_type, MEDIA_OCI_INDEX) || text_equal(media_type, MEDIA_DOCKER_INDEX);
}

bool media_type_is_manifest(const char *media_type)
{
	return text_equal(media_type, MEDIA_OCI_MANIFEST) || text_equal(media_type, MEDIA_DOCKER_MANIFEST);
}

bool media_type_is_schema1(const char *media_type)
{
	return text_equal(media_type, MEDIA_DOCKER_SCHEMA1) || text_equal(media_type, MEDIA_DOCKER_SCHEMA1_SIGNED);
}

bool media_type_is_config(const char *media_type)
{
	return text_equal(media_type, MEDIA_OCI_CONFIG) || text_equal(media_type, MEDIA_DOCKER_CONFIG);
}

enum layer_packing media_type_layer_packing(const char *media_type)
{
	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
		if (text_equal(layers[i].name, media_type))
			return layers[i].packing;
	return LAYER_UNKNOWN;
}

bool media_type_is_foreign_layer(const char *media_type)
{
	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
		if (text_equal(layers[i].name, media_type))
			return layers[i].foreign;
	return false;
}
