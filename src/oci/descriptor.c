/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/descriptor.h"

const struct json_field descriptor_fields[] = {
	JSON_TEXT("mediaType", struct descriptor, media_type, 0),
	JSON_TEXT("digest", struct descriptor, digest, 0),
	JSON_U64("size", struct descriptor, size, 0),
	JSON_TEXT_LIST("urls", struct descriptor, urls, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("annotations", struct descriptor, annotations, JSON_OMIT_EMPTY),
	JSON_TEXT("data", struct descriptor, data, JSON_OMIT_EMPTY),
	JSON_POINTER("platform", struct descriptor, platform, platform_fields, JSON_OMIT_EMPTY),
	JSON_TEXT("artifactType", struct descriptor, artifact_type, JSON_OMIT_EMPTY),
	JSON_END,
};

int descriptor_check(const struct descriptor *descriptor, struct error *err)
{
	struct digest digest;

	if (text_empty(descriptor->media_type))
		return error_set(err, ERR_INVALID, "mediaType is missing");
	if (digest_parse(&digest, descriptor->digest, err) < 0)
		return error_prefix(err, "digest \"%s\"", text_or_empty(descriptor->digest));
	if (descriptor->size > INT64_MAX)
		return error_set(err, ERR_INVALID, "size is too large");
	return 0;
}

void descriptor_digest(const struct descriptor *descriptor, struct digest *out_digest)
{
	struct error ignored = { 0 };

	*out_digest = (struct digest){ 0 };
	digest_parse(out_digest, descriptor->digest, &ignored);
	error_clear(&ignored);
}

void descriptor_fini(struct descriptor *descriptor)
{
	json_free_fields(descriptor, descriptor_fields);
}

void descriptor_copy(struct descriptor *to, const struct descriptor *from)
{
	*to = (struct descriptor){ 0 };
	json_copy_fields(to, from, descriptor_fields);
}
