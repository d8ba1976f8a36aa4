/* SPDX-License-Identifier: Apache-2.0 */
/* manifest inspect --verbose: each image of a list with its own manifest, as docker's command line prints it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "image/show_whole.h"
#include "oci/reference.h"
#include "json/value.h"

static const struct json_field shown_fields[] = {
	JSON_TEXT("Ref", struct shown_image, name, 0),
	JSON_OBJECT("Descriptor", struct shown_image, descriptor, descriptor_fields, 0),
	JSON_TEXT("Raw", struct shown_image, raw, 0),
	JSON_RAW("SchemaV2Manifest", struct shown_image, docker, JSON_OMIT_EMPTY),
	JSON_RAW("OCIManifest", struct shown_image, oci, JSON_OMIT_EMPTY),
	JSON_END,
};

void shown_images_fini(struct shown_images *images)
{
	json_free_array(images, shown_fields, sizeof(struct shown_image));
}

/* "127.0.0.1:5000/name:tag@sha256:..."; without a digest that is named, as it stands. */
static char *full_name(const char *typed, const char *digest, struct error *err)
{
	AUTO(reference_fini) struct reference reference = { 0 };

	typed = text_after(typed, "docker://") ? text_after(typed, "docker://") : typed;
	if (reference_parse(&reference, typed, err) < 0)
		return NULL;
	reference_default_tag(&reference);
	if (digest && digest_parse(&reference.digest, digest, err) < 0)
		return NULL;
	return reference_format(&reference);
}

/* name: full; yours no more. NULL: it was none. */
static int add_document_take_name(struct shown_images *images, struct place *place, char *name,
				  const struct descriptor *descriptor, const struct document *document,
				  struct error *err)
{
	struct shown_image *image;
	char **text;

	if (!name)
		return -1;
	image = json_array_add(images, sizeof(*image));
	image->name = name;
	image->raw = base64_encode(document->text, document->size);
	text = text_equal(document->media_type, MEDIA_DOCKER_MANIFEST) ? &image->docker : &image->oci;
	*text = xstrndup(document->text, document->size);
	if (descriptor) {
		descriptor_copy(&image->descriptor, descriptor);
		return 0;
	}
	image->descriptor = (struct descriptor){ .media_type = xstrdup(document->media_type),
						 .digest = xstrdup(document->digest),
						 .size = document->size };
	/* A list says which platform an image is for; alone, it says so in its config. */
	return job_fill_platform(&image->descriptor, place, document, err);
}

static int add_part(struct shown_images *images, struct place *place, const char *name, const struct descriptor *part,
		    struct error *err)
{
	AUTO(document_fini) struct document document = { 0 };

	if (place_document(place, &document, part->digest, err) < 0)
		return -1;
	return add_document_take_name(images, place, full_name(name, part->digest, err), part, &document, err);
}

int shown_images_add(struct shown_images *images, struct place *place, const char *name,
		     const struct descriptor *descriptor, struct error *err)
{
	AUTO(document_fini) struct document document = { 0 };
	AUTO(manifest_fini) struct manifest index = { 0 };

	if (place_document(place, &document, descriptor ? descriptor->digest : NULL, err) < 0)
		return -1;
	if (descriptor || !media_type_is_index(document.media_type))
		return add_document_take_name(images, place, full_name(name, NULL, err), descriptor, &document, err);
	if (manifest_decode(&index, document.text, document.size, document.media_type, err) < 0)
		return -1;
	images->is_list = true;
	for (size_t i = 0; i < index.manifests.count; i++)
		if (add_part(images, place, name, &index.manifests.items[i], err) < 0)
			return -1;
	return 0;
}

int shown_images_print(const struct shown_images *images, struct error *err)
{
	AUTO_FREE char *compact = images->is_list ? json_encode_array(images, shown_fields, sizeof(struct shown_image))
						  : json_encode(&images->items[0], shown_fields);
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO(text_fini) struct text out = { 0 };

	if (json_value_parse(&value, compact, strlen(compact), err) < 0)
		return -1;
	json_value_encode(&out, value, "\t");
	puts(out.data);
	return 0;
}
