/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert.h - docker's manifests to OCI's and back, byte for byte as
 * containers/image writes them. Configs and layers stay as they are: an image
 * keeps its id. What is no image (an artifact) is left alone.
 */
#pragma once

#include "image/place.h"

/* Changes the media types inside to those of a family. ERR_UNSUPPORTED for what the family has no word for. */
int convert_manifest(struct manifest *manifest, enum place_likes family, struct error *err);
/* Is it written in the words of the family, or none of its business? */
bool convert_is_like(const struct manifest *manifest, const char *media_type, enum place_likes family);
/* The bytes of a manifest or index (yours). */
char *convert_encode(const struct manifest *manifest);
