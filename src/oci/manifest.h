/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.h - image manifests and indexes (manifest lists), OCI's and docker's.
 *
 * One struct for both, `kind` tells: an image has config and layers, an index
 * has manifests. manifest_decode() checks every descriptor, refuses schema 1
 * and documents that try to be both kinds. Owns its texts.
 */
#pragma once

#include "oci/descriptor.h"
#include "oci/media_type.h"
#include "json/json.h"

/* Larger manifests are refused: distribution-spec asks for 4 MiB at least. */
#define MANIFEST_SIZE_MAX (8 * 1024 * 1024)

enum manifest_kind { MANIFEST_IMAGE, MANIFEST_INDEX };

struct manifest {
	enum manifest_kind kind;
	uint32_t schema_version;
	char *media_type;
	char *artifact_type;
	struct descriptor *config;		    /* image */
	JSON_ARRAY_OF(struct descriptor) layers;    /* image */
	JSON_ARRAY_OF(struct descriptor) manifests; /* index */
	struct descriptor *subject;
	struct text_map annotations;
};

/* content_type: what the server said, or NULL; parameters after ';' do not count. ERR_INVALID, or ERR_UNSUPPORTED for
 * schema 1. */
int manifest_decode(struct manifest *out_manifest, const char *text, size_t size, const char *content_type,
		    struct error *err);
/* JSON as Go's MarshalIndent("", "   ") writes it, yours. */
char *manifest_encode(const struct manifest *manifest);
/* The same without a space or line, as Go's Marshal writes it. */
char *manifest_encode_compact(const struct manifest *manifest);
void manifest_fini(struct manifest *manifest);

/* Of an index: for some machine, maybe by way of another index; attestations and entries for unknown/unknown are not. */
bool manifest_entry_is_image(const struct descriptor *entry);
/*
 * The best entry of an index for a platform (borrowed), or NULL with ERR_NOT_FOUND
 * in docker's words: no matching manifest for linux/arm64/v8 in the manifest list entries.
 */
const struct descriptor *manifest_select(const struct manifest *index, const struct platform *wanted,
					 enum platform_match match, struct error *err);
