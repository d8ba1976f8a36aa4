/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: each image's blobs, then its manifest, then what is said about
 * it; last the index that names them all. One image of which nothing is said
 * goes without an index, its manifest is what gets the name.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/clock.h"
#include "builder/attestation.h"
#include "builder/build_private.h"
#include "builder/place.h"
#include "engine/layer_parts.h"
#include "oci/hasher.h"
#include "oci/manifest.h"
#include "store/image_name.h"
#include "store/image_record.h"

#define MEDIA_IN_TOTO "application/vnd.in-toto+json"

struct out {
	const struct build_images *wanted;
	const struct place *place;
	struct manifest index;
};

static int put_stored(struct out *out, struct build *build, const struct descriptor *blob, struct error *err)
{
	const struct place *place = out->place;
	int there = place->has ? place->has(place->arg, blob, err) : 0;
	AUTO_CLOSE int fd = -1;
	struct digest digest;

	if (there != 0)
		return there < 0 ? -1 : 0;
	descriptor_digest(blob, &digest);
	fd = blob_open(store_blobs(build->store), &digest, err);
	if (fd < 0 || place->put(place->arg, blob, fd, err) < 0)
		return error_prefix(err, "blob %s", blob->digest);
	return 0;
}

/* Kept in the store too, leased. */
static int put_text(struct descriptor *descriptor, struct out *out, struct build *build, const char *media_type,
		    const char *text, struct error *err)
{
	struct digest digest;

	place_describe(descriptor, media_type, text);
	descriptor_digest(descriptor, &digest);
	lease_add(build->lease, &digest);
	if (blob_put(&digest, store_blobs(build->store), text, strlen(text), err) < 0)
		return -1;
	return put_stored(out, build, descriptor, err);
}

static void take_entry(struct out *out, struct descriptor *entry)
{
	*(struct descriptor *)json_array_add(&out->index.manifests, sizeof(*entry)) = *entry;
	*entry = (struct descriptor){ 0 };
}

/* ---- what is said ---- */

static char *attestation_config(const struct manifest *manifest)
{
	struct text json = { 0 };

	text_add(&json, "{\"architecture\":\"unknown\",\"os\":\"unknown\",\"config\":{},"
			"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[");
	for (size_t i = 0; i < manifest->layers.count; i++)
		text_addf(&json, "%s\"%s\"", i ? "," : "", manifest->layers.items[i].digest);
	text_add(&json, "]}}");
	return text_take(&json);
}

static void say_what_of(struct descriptor *entry, const struct descriptor *image)
{
	text_map_set(&entry->annotations, "vnd.docker.reference.digest", image->digest);
	text_map_set(&entry->annotations, "vnd.docker.reference.type", "attestation-manifest");
	entry->platform = xcalloc(1, sizeof(*entry->platform));
	entry->platform->architecture = xstrdup("unknown");
	entry->platform->os = xstrdup("unknown");
}

static int put_statements(struct out *out, struct build *build, const struct statements *statements,
			  const struct descriptor *image, struct error *err)
{
	AUTO(manifest_fini) struct manifest manifest = { .kind = MANIFEST_IMAGE, .schema_version = 2 };
	struct descriptor entry = { 0 };
	AUTO_FREE char *config = NULL;
	AUTO_FREE char *text = NULL;

	for (size_t i = 0; i < statements->count; i++) {
		struct descriptor *layer = json_array_add(&manifest.layers, sizeof(*layer));

		if (put_text(layer, out, build, MEDIA_IN_TOTO, statements->items[i].text, err) < 0)
			return -1;
		text_map_set(&layer->annotations, "in-toto.io/predicate-type", statements->items[i].predicate_type);
	}
	config = attestation_config(&manifest);
	manifest.media_type = xstrdup(MEDIA_OCI_MANIFEST);
	manifest.config = xcalloc(1, sizeof(*manifest.config));
	if (put_text(manifest.config, out, build, MEDIA_OCI_CONFIG, config, err) < 0)
		return -1;
	text = manifest_encode(&manifest);
	place_describe(&entry, MEDIA_OCI_MANIFEST, text);
	if (out->place->put_document(out->place->arg, &entry, text, false, err) < 0) {
		descriptor_fini(&entry);
		return -1;
	}
	say_what_of(&entry, image);
	take_entry(out, &entry);
	return 0;
}

/* ---- an image ---- */

static int put_parts(struct out *out, struct build *build, const struct manifest *manifest, struct error *err)
{
	for (size_t i = 0; i < manifest->layers.count; i++)
		if (put_stored(out, build, &manifest->layers.items[i], err) < 0)
			return -1;
	return put_stored(out, build, manifest->config, err);
}

/* Its manifest's descriptor, which is not yet in the index. */
static int put_image(struct descriptor *out_entry, char **out_text, struct out *out, struct build *build,
		     struct error *err)
{
	const struct build_images *wanted = out->wanted;
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	struct image_record record;
	struct digest digest;

	if (export_record(&record, build, wanted->annotations, err) < 0 ||
	    image_manifest_load(&manifest, out_text, &digest, build->engine, &record, wanted->form, build->lease,
				build->options->cancel_fd, err) < 0 ||
	    put_parts(out, build, &manifest, err) < 0)
		return -1;
	place_describe(out_entry, text_empty(manifest.media_type) ? MEDIA_OCI_MANIFEST : manifest.media_type,
		       *out_text);
	out_entry->platform = xcalloc(1, sizeof(*out_entry->platform));
	image_config_platform(&build->target->config, out_entry->platform);
	return 0;
}

static bool says_something(const struct build *build, const struct build_images *wanted)
{
	const struct attestation_options *options = build->options->attestations;

	return options && !wanted->is_quiet &&
	       (options->sbom ||
		(options->provenance != PROVENANCE_NONE && !(options->inline_only && !wanted->is_inline)));
}

static int put_one(struct out *out, struct build *build, struct error *err)
{
	AUTO(statements_fini) struct statements statements = { 0 };
	AUTO(descriptor_fini) struct descriptor image = { 0 };
	struct descriptor entry = { 0 };
	AUTO_FREE char *text = NULL;
	struct digest digest;

	if (put_image(&image, &text, out, build, err) < 0 ||
	    out->place->put_document(out->place->arg, &image, text, false, err) < 0)
		return -1;
	descriptor_copy(&entry, &image);
	take_entry(out, &entry);
	if (!says_something(build, out->wanted))
		return 0;
	descriptor_digest(&image, &digest);
	if (statements_make(&statements, build, &digest, out->wanted->names, err) < 0)
		return -1;
	return put_statements(out, build, &statements, &image, err);
}

/* ---- all of them ---- */

static void tell(struct build_written *written, const struct descriptor *root, const struct digest *config)
{
	AUTO_FREE char *json = json_encode(root, descriptor_fields);

	descriptor_digest(root, &written->digest);
	written->config = *config;
	written->descriptor = base64_encode(json, strlen(json));
}

static int put_single(struct build_written *written, struct out *out, struct error *err)
{
	struct build *build = out->wanted->builds[0];
	AUTO(descriptor_fini) struct descriptor image = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO_FREE char *text = NULL;
	struct digest config = { 0 };

	if (put_image(&image, &text, out, build, err) < 0 ||
	    manifest_decode(&manifest, text, strlen(text), NULL, err) < 0)
		return -1;
	platform_fini(image.platform);
	free(take_ptr(image.platform));
	descriptor_digest(manifest.config, &config);
	if (out->place->put_document(out->place->arg, &image, text, true, err) < 0)
		return -1;
	tell(written, &image, &config);
	return 0;
}

static int put_index(struct build_written *written, struct out *out, struct error *err)
{
	const struct digest none = { 0 };
	AUTO(descriptor_fini) struct descriptor root = { 0 };
	struct build *first = out->wanted->builds[0];
	AUTO_FREE char *part = NULL;
	AUTO_FREE char *text = NULL;
	struct digest digest;

	for (size_t i = 0; i < out->wanted->count; i++)
		if (put_one(out, out->wanted->builds[i], err) < 0)
			return -1;
	out->index.kind = MANIFEST_INDEX;
	out->index.schema_version = 2;
	out->index.media_type = xstrdup(MEDIA_OCI_INDEX);
	if (out->wanted->index_annotations)
		text_map_copy(&out->index.annotations, out->wanted->index_annotations);
	text = manifest_encode(&out->index);
	place_describe(&root, MEDIA_OCI_INDEX, text);
	/* Whoever asks for the list again need not ask a registry. */
	digest_of(&digest, DIGEST_SHA256, text, strlen(text));
	lease_add(first->lease, &digest);
	if (blob_put(&digest, store_blobs(first->store), text, strlen(text), err) < 0 ||
	    out->place->put_document(out->place->arg, &root, text, true, err) < 0)
		return -1;
	part = xasprintf("exporting manifest list %s", root.digest);
	vertex_part(first, part, clock_wall_ns(), 0, true);
	tell(written, &root, &none);
	return 0;
}

bool build_images_need_index(const struct build_images *wanted)
{
	bool needed = wanted->count > 1 || wanted->multi;

	for (size_t i = 0; i < wanted->count; i++)
		needed = needed || says_something(wanted->builds[i], wanted);
	return needed;
}

int build_write_images(struct build_written *out_written, const struct build_images *wanted, const struct place *place,
		       struct error *err)
{
	struct out out = { .wanted = wanted, .place = place };
	int r;

	*out_written = (struct build_written){ 0 };
	r = build_images_need_index(wanted) ? put_index(out_written, &out, err) : put_single(out_written, &out, err);
	manifest_fini(&out.index);
	return r;
}

void build_written_fini(struct build_written *written)
{
	free(written->descriptor);
	*written = (struct build_written){ 0 };
}

/* ---- stored here ---- */

/* Blobs are there already. */
static int has_all(void *arg, const struct descriptor *blob, struct error *err)
{
	(void)arg;
	(void)blob;
	(void)err;
	return 1;
}

static int keep_document(void *arg, const struct descriptor *document, const char *text, bool root, struct error *err)
{
	struct build *build = arg;
	struct digest digest;

	(void)root;
	descriptor_digest(document, &digest);
	lease_add(build->lease, &digest);
	return blob_put(&digest, store_blobs(build->store), text, strlen(text), err);
}

static int set_digest(struct build *build, const char *tag, const struct digest *digest, const struct digest *image,
		      struct error *err)
{
	AUTO(reference_fini) struct reference reference = { 0 };

	if (reference_parse(&reference, tag, err) < 0)
		return -1;
	free(take_ptr(reference.tag));
	reference.digest = *digest;
	return image_name_set(build->store, &reference, image, NULL, err);
}

/* Of this machine, or else the first. */
static size_t choose(const struct build_images *images)
{
	AUTO(platform_fini) struct platform host = { 0 };

	platform_host(&host);
	for (size_t i = 0; i < images->count; i++)
		if (text_equal(images->builds[i]->target->config.architecture, host.architecture))
			return i;
	return 0;
}

static int name_digest(struct build *build, const struct build_images *images, const char *tag,
		       const struct digest *digest, struct error *err)
{
	struct image_record record;
	struct build *chosen = images->builds[choose(images)];
	int r;

	if (export_record(&record, chosen, images->annotations, err) < 0)
		return -1;
	r = image_record_find(&record, build->store, &record.id, err);
	return r <= 0 ? r : set_digest(build, tag, digest, &record.id, err);
}

static int store_one(struct build *build, const struct build_images *wanted, const struct text_list *tags, bool named,
		     struct error *err)
{
	struct image_record record;
	struct digest id;

	if (build_export(&id, build, named ? tags : NULL, wanted->annotations, err) < 0 ||
	    image_record_find(&record, build->store, &id, err) < 0)
		return -1;
	for (size_t i = 0; i < tags->count; i++)
		if (digest_is_set(&record.manifest) &&
		    set_digest(build, tags->items[i], &record.manifest, &id, err) < 0)
			return -1;
	return 0;
}

int build_store_images(struct build_written *out_written, const struct build_images *wanted,
		       const struct text_list *tags, struct error *err)
{
	struct build *first = wanted->builds[0];
	struct build_images plain = *wanted;
	const struct place place = { .arg = first, .has = has_all, .put_document = keep_document };
	size_t chosen = choose(wanted);

	/* What is said of images goes to registries. */
	plain.form = NULL;
	plain.is_quiet = true;
	for (size_t i = 0; i < wanted->count; i++)
		if (store_one(wanted->builds[i], wanted, tags, i == chosen, err) < 0)
			return -1;
	if (build_write_images(out_written, &plain, &place, err) < 0)
		return -1;
	for (size_t i = 0; i < tags->count; i++)
		if (name_digest(first, wanted, tags->items[i], &out_written->digest, err) < 0)
			return -1;
	return 0;
}

/* ---- pushed ---- */

static int push_one(struct build_written *out_written, const struct build_images *wanted, const char *tag,
		    struct error *err)
{
	AUTO(build_written_fini) struct build_written written = { 0 };
	AUTO(place_close) struct place place = { 0 };
	struct build *first = wanted->builds[0];
	AUTO_FREE char *part = xasprintf("pushing manifest for %s", tag);
	int64_t started_ns = clock_wall_ns();

	vertex_part(first, part, started_ns, 0, false);
	if (place_open_registry(&place, first, tag, err) < 0 || build_write_images(&written, wanted, &place, err) < 0 ||
	    name_digest(first, wanted, tag, &written.digest, err) < 0)
		return error_prefix(err, "failed to push %s", tag);
	vertex_part(first, part, started_ns, 0, true);
	build_written_fini(out_written);
	*out_written = written;
	written = (struct build_written){ 0 };
	return 0;
}

int build_push_images(struct build_written *out_written, const struct build_images *wanted,
		      const struct text_list *tags, struct error *err)
{
	*out_written = (struct build_written){ 0 };
	for (size_t i = 0; i < tags->count; i++)
		if (push_one(out_written, wanted, tags->items[i], err) < 0) {
			build_written_fini(out_written);
			return -1;
		}
	return 0;
}
