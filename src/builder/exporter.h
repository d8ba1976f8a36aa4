/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exporter.h - what the outputs of a build are called and what they may be told:
 * "type=oci,name=x,annotation.key=value", in BuildKit's words.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

enum exporter_kind {
	EXPORT_NONE = 0,
	EXPORT_IMAGE = 1,   /* "image", "moby": stored here */
	EXPORT_ARCHIVE = 2, /* "oci", "docker" */
	EXPORT_FILES = 4,   /* "local", "tar" */
};

enum exporter_kind exporter_kind(const char *type);
/* ERR_UNSUPPORTED for an unknown type, and for an attribute that would do nothing. */
int exporter_check(const char *type, const struct text_map *attrs, struct error *err);
/* "annotation.key", "annotation-manifest.key", "annotation[linux/amd64].key": the key; NULL: another attribute. */
const char *exporter_annotation(const char *attribute);
/* "annotation-index.key": the key; NULL: another attribute. */
const char *exporter_index_annotation(const char *attribute);
/* Whether what is said about an image can go with it: it is pushed, or in an OCI layout. */
bool exporter_carries(const char *type, const struct text_map *attrs);
/* Whether the times of files shall be rewritten. */
bool exporter_clamps(const struct text_map *attrs);
struct layer_form;
/* compression=, compression-level=, force-compression=; without a word gzip, as BuildKit. ERR_UNSUPPORTED. */
int exporter_form(struct layer_form *out_form, const struct text_map *attrs, struct error *err);
