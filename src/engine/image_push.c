/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: kist-transfer gets the stored blobs one by one and asks for
 * the manifest last. An image that no registry has given or got yet has plain
 * tars as layers: they are compressed on the way, and the image then keeps the
 * compressed blobs and the manifest that names them instead.
 */
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/map.h"
#include "base/quote.h"
#include "engine/engine.h"
#include "engine/image_auth.h"
#include "engine/image_lookup.h"
#include "engine/image_progress.h"
#include "engine/image_source.h"
#include "engine/settings.h"
#include "store/layer.h"

#define UPLOADS_AT_ONCE 5
#define MANIFESTS_LOOKED_AT 512

struct push_blob {
	size_t part; /* index of source.parts */
	char id[IMAGE_SHORT_ID_MAX];
	bool pack;
	struct blob_writer *writer; /* owned: gets the compressed bytes */
};

struct push {
	struct engine *engine;
	const struct image_push_options *options;
	struct store *store;
	struct lease *lease;
	struct progress *progress; /* borrowed */
	struct reference reference;
	struct image_record record;
	struct image_source source;
	struct push_blob *blobs; /* highest layer first; the config is sent behind them */
	size_t blob_count;
	size_t parallel;
	struct map mounts; /* blob -> struct text_list of repositories */
};

/* ---- what the session asks ---- */

static int open_config(struct push *push, struct session_bytes *out_bytes, struct error *err)
{
	out_bytes->source_fd = blob_open(store_blobs(push->store), &push->source.id, err);
	return out_bytes->source_fd < 0 ? -1 : 0;
}

static int on_open(void *arg, size_t index, struct session_bytes *out_bytes, struct error *err)
{
	struct push *push = arg;
	struct push_blob *blob;
	const struct image_part *part;

	if (index >= push->blob_count)
		return open_config(push, out_bytes, err);
	blob = &push->blobs[index];
	part = &push->source.parts[blob->part];
	if (blob->pack && !blob->writer &&
	    blob_writer_new(&blob->writer, store_blobs(push->store), BLOB_NO_LIMIT, err) < 0)
		return -1;
	out_bytes->source_fd = blob_open(store_blobs(push->store), &part->blob, err);
	out_bytes->packed_fd = blob->writer ? blob_writer_fd(blob->writer) : -1;
	return out_bytes->source_fd < 0 ? -1 : 0;
}

/* All layers of the same diff id are now this blob. */
static int on_packed(void *arg, size_t index, const struct digest *digest, uint64_t size, struct error *err)
{
	struct push *push = arg;
	struct push_blob *blob = &push->blobs[index];
	struct digest diff_id;

	if (index >= push->blob_count || !blob->writer)
		return error_set(err, ERR_INTERNAL, "a blob was compressed that is none of ours");
	diff_id = push->source.parts[blob->part].diff_id;
	lease_add(push->lease, digest);
	if (blob_writer_commit_proven(blob->writer, digest, err) < 0)
		return -1;
	for (size_t i = 0; i < push->source.part_count; i++) {
		struct image_part *part = &push->source.parts[i];

		if (!digest_equal(&part->diff_id, &diff_id))
			continue;
		if (layer_set_blob(push->store, &part->chain_id, digest, err) < 0)
			return -1;
		image_source_replace(&push->source, i, digest, size, LAYER_TAR_GZIP);
	}
	return 0;
}

static int on_manifest(void *arg, char **out_text, const char **out_media_type, struct error *err)
{
	struct push *push = arg;
	struct digest digest;

	(void)err;
	*out_text = image_source_manifest(&push->source, &digest);
	*out_media_type = image_source_media_type(&push->source);
	return 0;
}

static void on_progress(void *arg, const struct session_progress *progress)
{
	struct push *push = arg;

	progress_bytes(push->progress, progress->id, progress->status, progress->current, progress->total);
}

/* ---- where blobs may be mounted from ---- */

static void free_list(void *value)
{
	struct text_list *list = value;

	text_list_fini(list);
	free(list);
}

static void add_mount(struct push *push, const char *blob, const char *repository)
{
	struct text_list *list = map_get(&push->mounts, blob);

	if (!list) {
		list = xcalloc(1, sizeof(*list));
		map_set(&push->mounts, blob, list);
	}
	if (!text_list_contains(list, repository))
		text_list_add(list, repository);
}

static void add_mounts_of(struct push *push, const struct image_name *name, const char *repository)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO_FREE char *text = NULL;
	struct image_record record;
	size_t size;

	if (image_record_find(&record, push->store, &name->image, &ignored) <= 0 || !digest_is_set(&record.manifest) ||
	    blob_read(&text, &size, store_blobs(push->store), &record.manifest, MANIFEST_SIZE_MAX, &ignored) < 0 ||
	    manifest_decode(&manifest, text, size, NULL, &ignored) < 0)
		return;
	for (size_t i = 0; i < manifest.layers.count; i++)
		add_mount(push, manifest.layers.items[i].digest, repository);
}

/* Names with a digest say what this registry's other repositories have. */
static int find_mounts(struct push *push, struct error *err)
{
	AUTO(image_name_list_fini) struct image_name_list names = { 0 };
	AUTO_FREE char *own = reference_name(&push->reference);
	AUTO_FREE char *prefix = xasprintf("%s/", push->reference.domain);
	size_t looked_at = 0;

	if (image_name_list_load(&names, push->store, NULL, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count && looked_at < MANIFESTS_LOOKED_AT; i++) {
		const struct image_name *name = &names.items[i];
		const char *path = text_after(name->repository, prefix);

		if (!name->is_digest || !path || text_equal(name->repository, own))
			continue;
		looked_at++;
		add_mounts_of(push, name, path);
	}
	return 0;
}

/* ---- the session ---- */

/* Came from a registry, or went to one: its digests are known to others and stay. */
static int is_known_elsewhere(const struct push *push, struct error *err)
{
	AUTO(image_name_list_fini) struct image_name_list names = { 0 };

	if (image_name_list_load(&names, push->store, &push->source.id, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++)
		if (names.items[i].is_digest)
			return 1;
	return 0;
}

static bool is_repeated(const struct push *push, size_t part)
{
	const struct image_part *parts = push->source.parts;

	for (size_t i = part + 1; i < push->source.part_count; i++)
		if (digest_equal(&parts[i].blob, &parts[part].blob))
			return true;
	return false;
}

static void list_blobs(struct push *push)
{
	push->blobs = xcalloc(push->source.part_count + 1, sizeof(*push->blobs));
	for (size_t i = push->source.part_count; i-- > 0;) {
		struct push_blob *blob = &push->blobs[push->blob_count];

		if (push->source.parts[i].foreign || is_repeated(push, i))
			continue;
		blob->part = i;
		image_short_id(blob->id, &push->source.parts[i].diff_id);
		progress_bytes(push->progress, blob->id, "Preparing", 0, 0);
		push->blob_count++;
	}
	for (size_t i = push->parallel; i < push->blob_count; i++)
		progress_bytes(push->progress, push->blobs[i].id, "Waiting", 0, 0);
}

static int run_session(struct session_pushed *out_pushed, struct push *push, const struct image_auth *auth,
		       struct error *err)
{
	AUTO_FREE struct session_blob *blobs = xcalloc(push->blob_count + 1, sizeof(*blobs));
	AUTO_FREE char *reference = reference_format(&push->reference);
	const struct session_auth session_auth = image_auth_session(auth);
	const struct session_push_sink sink = {
		.arg = push, .open = on_open, .packed = on_packed, .manifest = on_manifest, .progress = on_progress
	};
	const struct session_push session = { .reference = reference,
					      .blobs = blobs,
					      .blob_count = push->blob_count + 1,
					      .auth = &session_auth,
					      .settings = push->options->registry,
					      .parallel = push->parallel,
					      .cancel_fd = push->options->cancel_fd };
	int known = is_known_elsewhere(push, err);
	char text[DIGEST_TEXT_MAX];

	if (known < 0)
		return -1;
	for (size_t i = 0; i < push->blob_count; i++) {
		const struct image_part *part = &push->source.parts[push->blobs[i].part];

		push->blobs[i].pack = part->packing == LAYER_TAR && !known;
		blobs[i] = (struct session_blob){ .id = push->blobs[i].id,
						  .digest = &part->blob,
						  .size = part->size,
						  .pack = push->blobs[i].pack,
						  .mounts = map_get(&push->mounts, digest_text(&part->blob, text)) };
	}
	blobs[push->blob_count] = (struct session_blob){ .digest = &push->source.id, .size = push->source.config_size };
	return session_push(out_pushed, &session, &sink, err);
}

/* ---- the end ---- */

/* The image is from now on what was pushed, and known under its digest there; unless it was removed meanwhile. */
static int keep_pushed(struct push *push, const struct digest *digest, struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	AUTO(reference_fini) struct reference reference = { 0 };
	struct image_record record;
	int r;

	if (transaction_begin(&transaction, store_database(push->store), FILE_SYNC_ALL, err) < 0)
		return -1;
	r = image_record_find(&record, push->store, &push->source.id, err);
	if (r <= 0)
		return r;
	record.manifest = *digest;
	reference_copy(&reference, &push->reference);
	free(take_ptr(reference.tag));
	reference.digest = *digest;
	if (image_record_put(push->store, &record, err) < 0 ||
	    image_name_set(push->store, &reference, &push->source.id, NULL, err) < 0)
		return -1;
	return transaction_commit(transaction, err);
}

static int keep_manifest(struct push *push, struct digest *out_digest, struct error *err)
{
	AUTO_FREE char *text = image_source_manifest(&push->source, out_digest);

	lease_add(push->lease, out_digest);
	if (blob_put(out_digest, store_blobs(push->store), text, strlen(text), err) < 0)
		return -1;
	return keep_pushed(push, out_digest, err);
}

static void report_end(const struct push *push, const struct digest *id, const struct digest *digest, uint64_t size)
{
	AUTO_FREE char *familiar = reference_familiar(&push->reference);
	AUTO_FREE char *name = reference_familiar_name(&push->reference);
	AUTO(text_fini) struct text aux = { 0 };
	char text[DIGEST_TEXT_MAX];

	/* Parts of a list have no tag; the list has. */
	if (!push->reference.tag)
		return;
	progress_status(push->progress, NULL, "%s: digest: %s size: %llu", push->reference.tag,
			digest_text(digest, text), (unsigned long long)size);
	text_add(&aux, "{\"progressDetail\":{},\"aux\":{\"Tag\":");
	quote_json(&aux, push->reference.tag, strlen(push->reference.tag));
	text_addf(&aux, ",\"Digest\":\"%s\",\"Size\":%llu}}", text, (unsigned long long)size);
	progress_line(push->progress, aux.data);
	image_event(push->engine, "push", familiar, id, name);
}

static int push_loaded(struct push *push, const struct image_auth *auth, struct error *err)
{
	AUTO(session_pushed_fini) struct session_pushed pushed = { 0 };
	struct digest digest;

	list_blobs(push);
	if (find_mounts(push, err) < 0 || run_session(&pushed, push, auth, err) < 0 ||
	    keep_manifest(push, &digest, err) < 0)
		return -1;
	report_end(push, &push->source.id, &digest, pushed.size);
	return 0;
}

static void push_fini(struct push *push)
{
	for (size_t i = 0; i < push->blob_count; i++)
		blob_writer_free(push->blobs[i].writer);
	free(push->blobs);
	image_source_fini(&push->source);
	reference_fini(&push->reference);
	map_fini(&push->mounts);
	lease_free(push->lease);
}

/* ---- one image ---- */

/* A part of a list must leave byte for byte as the list names it. */
static int check_part(const struct push *push, struct error *err)
{
	AUTO_FREE char *familiar = reference_familiar(&push->reference);
	struct digest digest;

	free(image_source_manifest(&push->source, &digest));
	if (digest_equal(&digest, &push->reference.digest))
		return 0;
	return error_set(
		err, ERR_CONFLICT,
		"the layers of %s are stored in another form than the list says: pull it again for all platforms",
		familiar);
}

static int push_one(struct engine *engine, const struct image_push_options *options, const struct image_name *name,
		    const struct image_auth *auth, struct progress *progress, struct error *err)
{
	AUTO(push_fini)
	struct push push = {
		.engine = engine, .options = options, .store = engine_store(engine), .progress = progress
	};
	int64_t parallel = engine_settings(engine)->parallel_uploads;
	int r;

	push.parallel = parallel > 0 ? (size_t)parallel : UPLOADS_AT_ONCE;
	push.lease = lease_new(push.store);
	map_init(&push.mounts, free_list);
	if (reference_parse(&push.reference, name->name, err) < 0)
		return -1;
	r = image_record_find(&push.record, push.store, &name->image, err);
	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "tag does not exist: %s", name->name);
	if (r < 0 || image_source_load(&push.source, engine, &push.record, push.lease, err) < 0)
		return -1;
	if (!push.reference.tag && check_part(&push, err) < 0)
		return -1;
	return push_loaded(&push, auth, err);
}

/* ---- lists ---- */

struct listed {
	struct manifest index;
	char *text;
	struct digest digest;
};

static void listed_fini(struct listed *listed)
{
	manifest_fini(&listed->index);
	free(listed->text);
}

static bool load_index(struct listed *listed, struct store *store, const char *digest)
{
	AUTO(error_clear) struct error ignored = { 0 };
	size_t size;

	if (digest_parse(&listed->digest, digest, &ignored) == 0 &&
	    blob_read(&listed->text, &size, store_blobs(store), &listed->digest, MANIFEST_SIZE_MAX, &ignored) == 0 &&
	    manifest_decode(&listed->index, listed->text, size, NULL, &ignored) == 0 &&
	    listed->index.kind == MANIFEST_INDEX)
		return true;
	listed_fini(listed);
	*listed = (struct listed){ 0 };
	return false;
}

/* Among the image's names with a digest, in its own repository or in others. 1, 0, or ERR_CONFLICT if there are several. */
static int find_list_in(struct listed *out_listed, struct store *store, const struct image_name_list *names,
			const struct image_name *name, bool own, struct error *err)
{
	AUTO(listed_fini) struct listed found = { 0 };

	for (size_t i = 0; i < names->count; i++) {
		AUTO(listed_fini) struct listed other = { 0 };

		if (!names->items[i].is_digest || text_equal(names->items[i].repository, name->repository) != own ||
		    !load_index(&other, store, strchr(names->items[i].name, '@') + 1) ||
		    (found.text && digest_equal(&found.digest, &other.digest)))
			continue;
		if (found.text)
			return error_set(err, ERR_CONFLICT,
					 "%s is in several lists: `kist image copy --all` copies the one you mean",
					 name->name);
		found = other;
		other = (struct listed){ 0 };
	}
	if (!found.text)
		return 0;
	*out_listed = found;
	found = (struct listed){ 0 };
	return 1;
}

/* Names with a digest say from which list an image came; its own repository knows best. */
static int find_list(struct listed *out_listed, struct store *store, const struct image_name *name, struct error *err)
{
	AUTO(image_name_list_fini) struct image_name_list names = { 0 };
	int r = image_name_list_load(&names, store, &name->image, err);

	if (r == 0)
		r = find_list_in(out_listed, store, &names, name, true, err);
	if (r == 0)
		r = find_list_in(out_listed, store, &names, name, false, err);
	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "%s did not come from a list: there are no other platforms",
				 name->name);
	return r < 0 ? -1 : 0;
}

static int find_part(struct image_name *out_part, struct store *store, const struct descriptor *entry,
		     struct error *err)
{
	AUTO(image_record_list_fini) struct image_record_list records = { 0 };
	AUTO_FREE char *platform = entry->platform ? platform_format(entry->platform) : xstrdup(entry->digest);
	struct digest digest;

	descriptor_digest(entry, &digest);
	if (image_record_list_load(&records, store, err) < 0)
		return -1;
	for (size_t i = 0; i < records.count; i++)
		if (digest_equal(&records.items[i].manifest, &digest)) {
			out_part->image = records.items[i].id;
			return 0;
		}
	return error_set(err, ERR_NOT_FOUND, "the list's image for %s is not here: pull it for all platforms first",
			 platform);
}

static int on_list(void *arg, char **out_text, const char **out_media_type, struct error *err)
{
	const struct listed *listed = arg;

	(void)err;
	*out_text = xstrdup(listed->text);
	*out_media_type = text_empty(listed->index.media_type) ? MEDIA_OCI_INDEX : listed->index.media_type;
	return 0;
}

/* When its parts are there. */
static int push_list(struct push *push, struct listed *listed, const struct image_name *name,
		     const struct image_auth *auth, struct error *err)
{
	AUTO(session_pushed_fini) struct session_pushed pushed = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };
	const struct session_auth session_auth = image_auth_session(auth);

	if (session_push(&pushed,
			 &(struct session_push){ .reference = name->name,
						 .auth = &session_auth,
						 .settings = push->options->registry,
						 .cancel_fd = push->options->cancel_fd },
			 &(struct session_push_sink){ .arg = listed, .manifest = on_list }, err) < 0)
		return error_prefix(err, "the list %s", name->name);
	reference_copy(&reference, &push->reference);
	free(take_ptr(reference.tag));
	reference.digest = listed->digest;
	if (image_name_set(push->store, &reference, &name->image, NULL, err) < 0)
		return -1;
	report_end(push, &name->image, &listed->digest, pushed.size);
	return 0;
}

/* Each image under its digest, then the list that names them. */
static int push_platforms(struct engine *engine, const struct image_push_options *options,
			  const struct image_name *name, const struct image_auth *auth, struct progress *progress,
			  struct error *err)
{
	AUTO(push_fini)
	struct push push = {
		.engine = engine, .options = options, .store = engine_store(engine), .progress = progress
	};
	AUTO(listed_fini) struct listed listed = { 0 };

	push.lease = lease_new(push.store);
	map_init(&push.mounts, free_list);
	if (reference_parse(&push.reference, name->name, err) < 0 || find_list(&listed, push.store, name, err) < 0)
		return -1;
	lease_add(push.lease, &listed.digest);
	for (size_t i = 0; i < listed.index.manifests.count; i++) {
		const struct descriptor *entry = &listed.index.manifests.items[i];
		AUTO_FREE char *part_name = xasprintf("%s@%s", name->repository, entry->digest);
		struct image_name part = { .name = part_name };

		if (manifest_entry_is_image(entry) && (find_part(&part, push.store, entry, err) < 0 ||
						       push_one(engine, options, &part, auth, progress, err) < 0))
			return -1;
	}
	return push_list(&push, &listed, name, auth, err);
}

/* ---- names ---- */

/* One tag, or all of the repository. */
static int push_names(struct engine *engine, const struct image_push_options *options,
		      const struct reference *reference, const struct image_auth *auth, struct progress *progress,
		      struct error *err)
{
	AUTO(image_name_list_fini) struct image_name_list names = { 0 };
	AUTO_FREE char *repository = reference_name(reference);
	AUTO_FREE char *wanted = reference->tag ? reference_format(reference) : NULL;
	AUTO_FREE char *familiar = reference->tag ? reference_familiar(reference) : reference_familiar_name(reference);
	size_t known = 0;
	size_t pushed = 0;

	progress_status(progress, NULL, "The push refers to repository [%s]", repository);
	if (image_name_list_load(&names, engine_store(engine), NULL, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		const struct image_name *name = &names.items[i];

		if (!text_equal(name->repository, repository))
			continue;
		known++;
		if (name->is_digest || (wanted && !text_equal(name->name, wanted)))
			continue;
		if ((options->all_platforms ? push_platforms : push_one)(engine, options, name, auth, progress, err) <
		    0)
			return -1;
		pushed++;
	}
	if (pushed > 0)
		return 0;
	if (known > 0 && wanted)
		return error_set(err, ERR_NOT_FOUND, "tag does not exist: %s", familiar);
	return error_set(err, ERR_NOT_FOUND, "An image does not exist locally with the tag: %s", familiar);
}

int image_push(struct engine *engine, const struct image_push_options *options, struct error *err)
{
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO(image_auth_fini) struct image_auth auth = { 0 };
	AUTO_FREE char *full = text_empty(options->tag) ? xstrdup(options->image)
							: xasprintf("%s:%s", options->image, options->tag);
	struct progress progress;
	int r;

	if (image_auth_decode(&auth, options->auth, err) < 0 || reference_parse(&reference, full, err) < 0)
		return -1;
	if (digest_is_set(&reference.digest))
		return error_set(err, ERR_INVALID, "cannot push a digest reference");
	progress_init(&progress, options->progress, options->progress_arg);
	r = push_names(engine, options, &reference, &auth, &progress, err);
	progress_fini(&progress);
	return r;
}
