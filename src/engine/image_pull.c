/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: kist-transfer fetches and proves; every layer it receives goes
 * into an ingest (for the next try, should this one be cut) and, decompressed,
 * through a pipe to a kist-unpack of its own, all at once. When everything has
 * arrived: what layers need from those below is done, one sync, then blobs,
 * layers, the image and its names get their rows, in that order.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "engine/engine.h"
#include "engine/image_auth.h"
#include "engine/image_claim.h"
#include "engine/image_commit.h"
#include "engine/image_lookup.h"
#include "engine/image_progress.h"
#include "oci/manifest.h"
#include "store/ingest.h"
#include "transfer/session.h"

/* Kept free: the database and the containers need some. */
#define RESERVED_BYTES (4 * 1024 * 1024)
/* A kist-transfer of a killed kistd lets go of its files when it sees that nobody listens. */
#define INGEST_RETRIES 100
#define INGEST_RETRY_MS 50

/* One layer on its way; same index as in layers.items. */
struct arrival {
	struct ingest *ingest;
	struct unpack *unpack;
	bool whole;    /* received, proven and unpacked */
	bool expected; /* asked for */
	bool repeats;  /* the same blob as a lower layer that is arriving: unpacked from that one at the end */
};

struct pull {
	struct engine *engine;
	const struct image_pull_options *options;
	struct store *store;
	struct lease *lease;
	struct progress progress;
	struct reference reference;
	struct digest manifest;
	struct digest config_digest;
	struct image_config config;
	bool have_config;
	bool announced;
	struct image_layers_new layers;
	struct arrival *arrivals;
	struct text_list claimed;
	uint64_t unpacked_limit;
};

/* ---- documents ---- */

static int start_layers(struct pull *pull, struct error *err)
{
	if (image_layers_init(&pull->layers, &pull->config, pull->lease, err) < 0)
		return -1;
	pull->arrivals = xcalloc(pull->layers.count ? pull->layers.count : 1, sizeof(*pull->arrivals));
	if (image_claim(pull->store, &pull->config.rootfs.diff_ids, pull->options->cancel_fd, err) < 0)
		return -1;
	text_list_add_all(&pull->claimed, &pull->config.rootfs.diff_ids);
	return 0;
}

static char *known_document(void *arg, const struct digest *digest)
{
	struct pull *pull = arg;
	AUTO(error_clear) struct error ignored = { 0 };
	char *text = NULL;

	lease_add(pull->lease, digest);
	blob_read(&text, NULL, store_blobs(pull->store), digest, MANIFEST_SIZE_MAX, &ignored);
	return text;
}

/* The digests under which this registry gave the images that have names of this repository. */
static int find_known(struct text_list *out_digests, struct pull *pull, struct error *err)
{
	AUTO(image_name_list_fini) struct image_name_list names = { 0 };
	AUTO_FREE char *repository = reference_name(&pull->reference);

	if (image_name_list_load(&names, pull->store, NULL, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++)
		if (names.items[i].is_digest && text_equal(names.items[i].repository, repository))
			text_list_add(out_digests, strchr(names.items[i].name, '@') + 1);
	return 0;
}

static int keep_config(struct pull *pull, const char *text, size_t size, const struct digest *digest, struct error *err)
{
	if (pull->have_config)
		return error_set(err, ERR_INTERNAL, "two configs for one image");
	if (image_config_decode(&pull->config, text, size, err) < 0)
		return -1;
	if (!text_empty(pull->config.os) && !text_equal(pull->config.os, "linux"))
		return error_set(err, ERR_UNSUPPORTED, "image operating system \"%s\" cannot be used on this platform",
				 pull->config.os);
	pull->have_config = true;
	pull->config_digest = *digest;
	return start_layers(pull, err);
}

static char *reference_tag_or_digest(const struct reference *reference)
{
	char text[DIGEST_TEXT_MAX];

	return xstrdup(reference->tag ? reference->tag : digest_text(&reference->digest, text));
}

static int on_document(void *arg, enum session_document kind, const struct descriptor *descriptor, const char *text,
		       size_t size, struct error *err)
{
	struct pull *pull = arg;
	AUTO(blob_writer_freep) struct blob_writer *writer = NULL;
	struct digest digest;

	descriptor_digest(descriptor, &digest);
	lease_add(pull->lease, &digest);
	if (kind != SESSION_CONFIG && !digest_is_set(&pull->manifest) && !pull->announced) {
		AUTO_FREE char *tag = reference_tag_or_digest(&pull->reference);

		pull->announced = true;
		progress_status(&pull->progress, tag, "Pulling from %s", pull->reference.path);
	}
	if (blob_writer_new(&writer, store_blobs(pull->store), size, err) < 0 ||
	    blob_writer_write(writer, text, size, err) < 0 || blob_writer_commit(writer, &digest, err) < 0)
		return -1;
	if (kind == SESSION_MANIFEST)
		pull->manifest = digest;
	return kind == SESSION_CONFIG ? keep_config(pull, text, size, &digest, err) : 0;
}

/* ---- layers ---- */

/* Empty layers come several times in one image, each with a chain id of its own. */
static bool repeats_lower(const struct pull *pull, size_t index)
{
	const struct image_layer *layers = pull->layers.items;

	for (size_t i = 0; i < index; i++)
		if (pull->arrivals[i].expected && digest_equal(&layers[i].blob, &layers[index].blob))
			return true;
	return false;
}

/* Is the blob the manifest names here, or another one of the same files? */
static int has_archive(struct pull *pull, const struct digest *stored, const struct digest *named, struct error *err)
{
	int r;

	lease_add(pull->lease, named);
	lease_add(pull->lease, stored);
	r = blob_exists(store_blobs(pull->store), named, err);
	return r == 0 && !pull->options->whole ? blob_exists(store_blobs(pull->store), stored, err) : r;
}

static int have_layer(void *arg, const struct session_layer *layer, struct error *err)
{
	struct pull *pull = arg;
	struct arrival *arrival;
	struct layer stored;
	int r;

	if (layer->index >= pull->layers.count)
		return error_set(err, ERR_INVALID, "the manifest has more layers than the config");
	arrival = &pull->arrivals[layer->index];
	descriptor_digest(layer->descriptor, &pull->layers.items[layer->index].blob);
	r = layer_find(&stored, pull->store, &pull->layers.items[layer->index].chain_id, err);
	/* Files without an archive run, but cannot be pushed or saved: the archive is fetched then, and only kept. */
	if (r > 0)
		r = has_archive(pull, &stored.blob, &pull->layers.items[layer->index].blob, err);
	if (r != 0)
		return r;
	arrival->repeats = repeats_lower(pull, layer->index);
	arrival->expected = !arrival->repeats;
	return arrival->repeats;
}

static int open_ingest(struct arrival *arrival, struct pull *pull, const struct digest *digest, struct error *err)
{
	int r = -1;

	for (int i = 0; i < INGEST_RETRIES; i++) {
		error_clear(err);
		r = ingest_open(&arrival->ingest, store_blobs(pull->store), digest, err);
		if (r == 0 || err->kind != ERR_CONFLICT)
			break;
		clock_sleep_ms(INGEST_RETRY_MS);
	}
	return r;
}

/* The whole blob may be here although its layer is not unpacked: another image's, which keeps it. */
static int get_ingest(struct arrival *arrival, struct pull *pull, const struct digest *digest, bool again,
		      struct error *err)
{
	int stored;

	if (arrival->ingest)
		return again ? ingest_reset(arrival->ingest, err) : 0;
	stored = blob_exists(store_blobs(pull->store), digest, err);
	if (stored < 0 || open_ingest(arrival, pull, digest, err) < 0)
		return -1;
	return stored ? ingest_copy_blob(arrival->ingest, err) : 0;
}

static int check_space(const struct pull *pull, const struct arrival *arrival, const struct descriptor *descriptor,
		       struct error *err)
{
	uint64_t have = ingest_size(arrival->ingest);
	uint64_t free_bytes;

	if (store_free_bytes(&free_bytes, pull->store, err) < 0)
		return -1;
	if (descriptor->size <= have || descriptor->size - have <= free_bytes)
		return 0;
	return error_set(err, ERR_EXHAUSTED, "layer %s needs %llu bytes, %llu are free: no space left on device",
			 descriptor->digest, (unsigned long long)(descriptor->size - have),
			 (unsigned long long)free_bytes);
}

static int start_unpack(struct arrival *arrival, struct image_layer *layer, const struct pull *pull, size_t index,
			struct error *err)
{
	struct unpack_options options = { .stream_fd = -1,
					  .lowest = index == 0,
					  .marks_apart = store_driver(pull->store) == STORE_COPY,
					  .limit_bytes = pull->unpacked_limit };

	unpack_free(take_ptr(arrival->unpack));
	layer_writer_free(take_ptr(layer->writer));
	if (layer_writer_new(&layer->writer, pull->store, err) < 0)
		return -1;
	options.target_fd = layer_writer_fd(layer->writer);
	return unpack_start(&arrival->unpack, &options, err);
}

static int want_layer(void *arg, const struct session_layer *layer, struct session_grant *out_grant, struct error *err)
{
	struct pull *pull = arg;
	const struct digest *digest;
	struct arrival *arrival;
	int stored = have_layer(arg, layer, err);

	if (stored != 0)
		return stored < 0 ? -1 : 0;
	arrival = &pull->arrivals[layer->index];
	digest = &pull->layers.items[layer->index].blob;
	lease_add(pull->lease, digest);
	if (get_ingest(arrival, pull, digest, layer->again, err) < 0 ||
	    check_space(pull, arrival, layer->descriptor, err) < 0 ||
	    start_unpack(arrival, &pull->layers.items[layer->index], pull, layer->index, err) < 0)
		return -1;
	out_grant->ingest_fd = ingest_fd(arrival->ingest);
	out_grant->unpack_fd = unpack_take_stream_fd(arrival->unpack);
	return 1;
}

/* kist-transfer has seen strangers' bytes: what it says is looked at. */
static int check_begun(const struct pull *pull, const struct session_layer *layer, struct error *err)
{
	if (pull->arrivals && layer->index < pull->layers.count && pull->arrivals[layer->index].unpack)
		return 0;
	return error_set(err, ERR_INTERNAL, "layer %s ended before it began", layer->descriptor->digest);
}

static int layer_done(void *arg, const struct session_layer *layer, struct error *err)
{
	struct pull *pull = arg;
	struct arrival *arrival;

	if (check_begun(pull, layer, err) < 0)
		return -1;
	arrival = &pull->arrivals[layer->index];
	if (unpack_wait(&pull->layers.items[layer->index].unpacked, arrival->unpack, pull->options->cancel_fd, err) < 0)
		return error_prefix(err, "layer %s", layer->descriptor->digest);
	unpack_free(take_ptr(arrival->unpack));
	arrival->whole = true;
	return 0;
}

static int unpack_broke(void *arg, const struct session_layer *layer, struct error *err)
{
	struct pull *pull = arg;
	struct unpack_result none = { 0 };

	if (check_begun(pull, layer, err) < 0)
		return -1;
	if (unpack_wait(&none, pull->arrivals[layer->index].unpack, pull->options->cancel_fd, err) < 0)
		return error_prefix(err, "layer %s", layer->descriptor->digest);
	unpack_result_fini(&none);
	return error_set(err, ERR_INTERNAL, "layer %s: kist-unpack stopped reading", layer->descriptor->digest);
}

static void on_progress(void *arg, const struct session_progress *progress)
{
	struct pull *pull = arg;

	if (progress->id)
		progress_bytes(&pull->progress, progress->id, progress->status, progress->current, progress->total);
	else
		progress_status(&pull->progress, NULL, "%s", progress->status);
}

/* ---- the end ---- */

static int commit_blobs(struct pull *pull, struct error *err)
{
	for (size_t i = 0; i < pull->layers.count; i++) {
		struct arrival *arrival = &pull->arrivals[i];

		if (!arrival->ingest)
			continue;
		if (!arrival->whole)
			return error_set(err, ERR_INTERNAL, "layer %zu did not arrive", i);
		if (ingest_commit(arrival->ingest, INGEST_PROVEN, err) < 0)
			return -1;
		ingest_close(take_ptr(arrival->ingest));
	}
	return 0;
}

static int unpack_repeat(struct pull *pull, size_t index, struct error *err)
{
	struct image_layer *layer = &pull->layers.items[index];
	AUTO(unpack_freep) struct unpack *unpack = NULL;
	AUTO_CLOSE int fd = blob_open(store_blobs(pull->store), &layer->blob, err);
	struct unpack_options options = { .stream_fd = fd,
					  .marks_apart = store_driver(pull->store) == STORE_COPY,
					  .limit_bytes = pull->unpacked_limit };

	if (fd < 0 || layer_writer_new(&layer->writer, pull->store, err) < 0)
		return -1;
	options.target_fd = layer_writer_fd(layer->writer);
	if (unpack_start(&unpack, &options, err) < 0)
		return -1;
	return unpack_wait(&layer->unpacked, unpack, pull->options->cancel_fd, err);
}

static int unpack_repeats(struct pull *pull, struct error *err)
{
	for (size_t i = 0; i < pull->layers.count; i++)
		if (pull->arrivals[i].repeats && unpack_repeat(pull, i, err) < 0)
			return error_prefix(err, "layer %zu", i);
	return 0;
}

/* The row with its names: the one that was asked for, and "debian@sha256:...", the digest the registry gives it under. */
static int commit_record(struct pull *pull, const char *digest, struct error *err)
{
	struct reference names[2] = { 0 };
	size_t count = pull->reference.tag ? 2 : 1;
	int r;

	reference_copy(&names[0], &pull->reference);
	free(take_ptr(names[0].tag));
	r = digest_parse(&names[0].digest, digest, err);
	names[1] = pull->reference;
	if (r == 0)
		r = image_commit_named(pull->store, &pull->config_digest, &pull->manifest, &pull->config, &pull->layers,
				       names, count, NULL, err);
	reference_fini(&names[0]);
	return r;
}

/* Layers that were here without one. */
static int note_archives(struct pull *pull, struct error *err)
{
	for (size_t i = 0; i < pull->layers.count; i++) {
		const struct image_layer *layer = &pull->layers.items[i];

		if (pull->arrivals[i].whole && layer_set_blob(pull->store, &layer->chain_id, &layer->blob, err) < 0)
			return -1;
	}
	return 0;
}

static int commit(struct pull *pull, const struct session_pulled *pulled, struct error *err)
{
	if (!pull->have_config)
		return error_set(err, ERR_INTERNAL, "the registry gave no image config");
	fault_point("kistd pull: arrived");
	/* One sync of everything; the ones that follow find little to do. */
	if (syncfs(blob_store_root(store_blobs(pull->store))) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "sync");
	if (commit_blobs(pull, err) < 0)
		return -1;
	fault_point("kistd pull: blobs named");
	if (unpack_repeats(pull, err) < 0 || image_layers_commit(&pull->layers, err) < 0 ||
	    note_archives(pull, err) < 0)
		return -1;
	fault_point("kistd pull: layers entered");
	return commit_record(pull, pulled->digest, err);
}

static void report_end(struct pull *pull, const char *digest, bool was_current)
{
	AUTO_FREE char *familiar = reference_familiar(&pull->reference);
	AUTO_FREE char *name = reference_familiar_name(&pull->reference);

	progress_status(&pull->progress, NULL, "Digest: %s", digest);
	progress_status(&pull->progress, NULL, "Status: %s for %s",
			was_current ? "Image is up to date" : "Downloaded newer image", familiar);
	image_event(pull->engine, "pull", familiar, &pull->config_digest, name);
}

/* ---- begin ---- */

static int run_session(struct session_pulled *out_pulled, struct pull *pull, const struct image_auth *auth,
		       const struct platform *platform, struct error *err)
{
	AUTO_FREE char *reference = reference_format(&pull->reference);
	AUTO(text_list_fini) struct text_list known = { 0 };
	const struct session_auth session_auth = image_auth_session(auth);
	const struct session_sink sink = { .arg = pull,
					   .document = on_document,
					   .known = known_document,
					   .have_layer = have_layer,
					   .want_layer = want_layer,
					   .layer_done = layer_done,
					   .unpack_broke = unpack_broke,
					   .progress = on_progress };
	const struct session_pull session = { .reference = reference,
					      .platform = platform,
					      .match = platform ? PLATFORM_STRICT : PLATFORM_RUNNABLE,
					      .auth = &session_auth,
					      .settings = pull->options->registry,
					      .unpacked_limit = pull->unpacked_limit,
					      .known = &known,
					      .cancel_fd = pull->options->cancel_fd };

	if (find_known(&known, pull, err) < 0)
		return -1;
	if (session_pull(out_pulled, &session, &sink, err) == 0)
		return 0;
	/* The limit is what is free: running into it is the disk's doing. */
	if (err->kind == ERR_EXHAUSTED && strstr(err->message, "decompresses to more than"))
		error_prefix(err, "no space left on device");
	return -1;
}

static int pull_image(struct pull *pull, const struct image_auth *auth, struct error *err)
{
	AUTO(session_pulled_fini) struct session_pulled pulled = { 0 };
	AUTO(platform_fini) struct platform platform = { 0 };
	bool any_platform = text_empty(pull->options->platform);
	struct digest before = { 0 };
	uint64_t free_bytes;

	if (!any_platform && platform_parse(&platform, pull->options->platform, err) < 0)
		return -1;
	if (store_free_bytes(&free_bytes, pull->store, err) < 0 ||
	    image_name_find(&before, pull->store, &pull->reference, err) < 0)
		return -1;
	/* A bomb is refused before it fills the disk. */
	pull->unpacked_limit = free_bytes > RESERVED_BYTES ? free_bytes - RESERVED_BYTES : 1;
	if (run_session(&pulled, pull, auth, any_platform ? NULL : &platform, err) < 0 ||
	    commit(pull, &pulled, err) < 0)
		return -1;
	fault_point("kistd pull: image named");
	report_end(pull, pulled.digest, digest_equal(&before, &pull->config_digest));
	return 0;
}

/*
 * What was cut or canceled serves the next try. What was wrong does not, and on
 * a full disk the space is needed more.
 */
static void drop_parts(struct pull *pull, const struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct store_garbage garbage;
	bool useless = err->kind == ERR_INVALID || err->kind == ERR_EXHAUSTED || err->kind == ERR_FORBIDDEN;

	for (size_t i = 0; useless && pull->arrivals && i < pull->layers.count; i++)
		if (pull->arrivals[i].ingest && ingest_reset(pull->arrivals[i].ingest, &ignored) < 0)
			error_clear(&ignored);
	lease_free(take_ptr(pull->lease));
	store_collect(&garbage, pull->store, &ignored);
}

static void pull_fini(struct pull *pull)
{
	for (size_t i = 0; pull->arrivals && i < pull->layers.count; i++) {
		unpack_free(pull->arrivals[i].unpack);
		ingest_close(pull->arrivals[i].ingest);
	}
	free(pull->arrivals);
	image_layers_fini(&pull->layers);
	if (pull->claimed.count > 0)
		image_claim_release(pull->store, &pull->claimed);
	text_list_fini(&pull->claimed);
	image_config_fini(&pull->config);
	reference_fini(&pull->reference);
	lease_free(pull->lease);
	progress_fini(&pull->progress);
}

int image_pull(struct engine *engine, const struct image_pull_options *options, struct error *err)
{
	struct pull pull = { .engine = engine, .options = options, .store = engine_store(engine) };
	AUTO(image_auth_fini) struct image_auth auth = { 0 };
	int r;

	if (image_auth_decode(&auth, options->auth, err) < 0)
		return -1;
	pull.lease = lease_new(pull.store);
	progress_init(&pull.progress, options->progress, options->progress_arg);
	r = image_parse_reference(&pull.reference, options->image, options->tag, err);
	if (r == 0)
		r = pull_image(&pull, &auth, err);
	if (r < 0)
		drop_parts(&pull, err);
	pull_fini(&pull);
	return r;
}
