/* SPDX-License-Identifier: Apache-2.0 */
/*
 * descriptor.h - points at content: media type, digest and size.
 *
 * Decoded inside a manifest it was checked there (descriptor_check), so
 * descriptor_digest() has nothing left to refuse. Owns its texts.
 */
#pragma once

#include "oci/digest.h"
#include "oci/platform.h"
#include "json/json.h"

struct descriptor {
	char *media_type;
	char *digest;
	uint64_t size;
	struct text_list urls;
	struct text_map annotations;
	char *data; /* base64 of the content itself, if it is embedded */
	struct platform *platform;
	char *artifact_type;
};

extern const struct json_field descriptor_fields[];

/* ERR_INVALID if the digest is none, the size is over INT64_MAX or the media type is missing. */
int descriptor_check(const struct descriptor *descriptor, struct error *err);
/* {0} if its text is no digest. */
void descriptor_digest(const struct descriptor *descriptor, struct digest *out_digest);
void descriptor_fini(struct descriptor *descriptor);
void descriptor_copy(struct descriptor *to, const struct descriptor *from);
