/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: documents are walked by one thread from the top down, and put
 * from the bottom up. The blobs of one manifest are moved by a few threads,
 * each: is it there, into a file, maybe compressed, out of the file.
 */
#include "image/copy.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/thread.h"
#include "image/convert.h"
#include "image/place_registry.h"
#include "image/repack.h"

#define PARALLEL 4
#define DEPTH_MAX 4
#define SHORT_DIGITS 12
/* Bounds a registry in which something always refers to something new. */
#define KEPT_MAX 20000

struct copy {
	struct place *to;
	struct place *from;
	const struct copy_options *options;
	struct text_list mounts;
	struct text_list kept; /* digests of the manifests that were copied as they are */
};

/* ---- one blob ---- */

static void tell(const struct copy_options *options, const struct descriptor *blob, const char *what)
{
	const char *hex = blob->digest + strcspn(blob->digest, ":");

	if (!options->request->quiet)
		fprintf(stderr, "%.*s: %s\n", SHORT_DIGITS, *hex ? hex + 1 : hex, what);
}

static bool must_pack(const struct copy *copy, const struct descriptor *blob)
{
	return copy->from->plain_layers && copy->to->packs && media_type_layer_packing(blob->media_type) == LAYER_TAR;
}

/* The plain layer in *file becomes a compressed one, and blob speaks of that. */
static int pack(struct descriptor *blob, int *file, struct error *err)
{
	struct repacked packed = { .fd = -1 };
	char text[DIGEST_TEXT_MAX];
	struct digest plain;

	if (repack_gzip(&packed, &plain, *file, err) < 0)
		return -1;
	close(*file);
	*file = packed.fd;
	free(blob->digest);
	free(blob->media_type);
	blob->digest = xstrdup(digest_text(&packed.digest, text));
	blob->media_type = xstrdup(MEDIA_DOCKER_LAYER_GZIP);
	blob->size = packed.size;
	return 0;
}

static int move_blob(const struct copy *copy, struct descriptor *blob, struct error *err)
{
	bool packs = must_pack(copy, blob);
	AUTO_CLOSE int file = copy->to->ops->blob_file && !packs ? copy->to->ops->blob_file(copy->to, blob, err)
								 : place_scratch(err);

	if (file < 0)
		return -1;
	if (copy->from->ops->blob(copy->from, blob, file, err) < 0)
		return error_prefix(err, "%s", copy->from->name);
	if (packs && pack(blob, &file, err) < 0)
		return -1;
	if (lseek(file, 0, SEEK_SET) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "read %s", blob->digest);
	if (copy->to->ops->put_blob(copy->to, blob, file, err) < 0)
		return error_prefix(err, "%s", copy->to->name);
	tell(copy->options, blob, "copied");
	return 0;
}

static int copy_one_blob(const struct copy *copy, struct descriptor *blob, struct error *err)
{
	int r = 0;

	if (descriptor_check(blob, err) < 0)
		return -1;
	/* Such a layer need not be anywhere but at its URLs, and is not passed on. */
	if (media_type_is_foreign_layer(blob->media_type) && blob->urls.count && copy->to->registry)
		return 0;
	if (copy->to->ops->find && !must_pack(copy, blob))
		r = copy->to->ops->find(copy->to, blob, &copy->mounts, err);
	if (r < 0)
		return error_prefix(err, "%s", copy->to->name);
	if (r > 0) {
		tell(copy->options, blob, "already there");
		return 0;
	}
	return move_blob(copy, blob, err);
}

static void find_mounts(struct copy *copy)
{
	if (copy->from->registry && text_equal(copy->from->registry, copy->to->registry) &&
	    !text_equal(copy->from->repository, copy->to->repository))
		text_list_add(&copy->mounts, copy->from->repository);
}

int copy_blob(struct place *to, struct place *from, struct descriptor *blob, const struct copy_options *options,
	      struct error *err)
{
	struct copy copy = { .to = to, .from = from, .options = options };
	int r;

	find_mounts(&copy);
	r = copy_one_blob(&copy, blob, err);
	text_list_fini(&copy.mounts);
	return r;
}

/* ---- several ---- */

struct team {
	const struct copy *copy;
	struct descriptor **blobs;
	size_t count;
	struct mutex lock;
	size_t next;
	struct error failed;
};

static struct descriptor *take_blob(struct team *team)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&team->lock);

	return error_is_set(&team->failed) || team->next >= team->count ? NULL : team->blobs[team->next++];
}

static void *work(void *arg)
{
	struct team *team = arg;
	AUTO(error_clear) struct error err = { 0 };
	struct descriptor *blob;

	while ((blob = take_blob(team))) {
		if (copy_one_blob(team->copy, blob, &err) == 0)
			continue;
		mutex_lock(&team->lock);
		if (!error_is_set(&team->failed))
			error_transfer(&team->failed, &err);
		mutex_unlock(&team->lock);
		break;
	}
	return NULL;
}

static int run_team(struct team *team, struct error *err)
{
	pthread_t threads[PARALLEL];
	size_t wanted = team->count < PARALLEL ? team->count : PARALLEL;
	size_t started = 0;

	mutex_init(&team->lock);
	while (started < wanted && thread_start(&threads[started], "blob", work, team, err) == 0)
		started++;
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	mutex_fini(&team->lock);
	if (error_is_set(err)) {
		error_clear(&team->failed);
		return -1;
	}
	return error_is_set(&team->failed) ? error_move(err, &team->failed) : 0;
}

/* The same layer twice is moved once. */
static void add_blob(struct team *team, struct descriptor *blob)
{
	for (size_t i = 0; i < team->count; i++)
		if (text_equal(team->blobs[i]->digest, blob->digest))
			return;
	team->blobs[team->count++] = blob;
}

static void spread(struct manifest *manifest, const char *from, const struct descriptor *changed)
{
	for (size_t i = 0; i < manifest->layers.count; i++) {
		struct descriptor *layer = &manifest->layers.items[i];

		if (layer == changed || !text_equal(layer->digest, from))
			continue;
		descriptor_fini(layer);
		descriptor_copy(layer, changed);
	}
}

int copy_blobs(struct place *to, struct place *from, struct manifest *manifest, const struct copy_options *options,
	       struct error *err)
{
	struct copy copy = { .to = to, .from = from, .options = options };
	struct team team = { .copy = &copy };
	AUTO(text_list_fini) struct text_list before = { 0 };
	AUTO_FREE struct descriptor **blobs = xcalloc(manifest->layers.count + 1, sizeof(struct descriptor *));
	int r;

	team.blobs = blobs;
	find_mounts(&copy);
	if (manifest->config)
		add_blob(&team, manifest->config);
	for (size_t i = 0; i < manifest->layers.count; i++)
		add_blob(&team, &manifest->layers.items[i]);
	for (size_t i = 0; i < team.count; i++)
		text_list_add(&before, blobs[i]->digest);
	r = run_team(&team, err);
	for (size_t i = 0; r == 0 && before.items && i < before.count; i++)
		if (!text_equal(before.items[i], blobs[i]->digest))
			spread(manifest, before.items[i], blobs[i]);
	text_list_fini(&copy.mounts);
	return r;
}

/* ---- documents ---- */

static enum place_likes family_of(const struct copy *copy)
{
	const char *format = copy->options->request->format;

	if (text_equal(format, "oci"))
		return PLACE_LIKES_OCI;
	if (text_equal(format, "v2s2"))
		return PLACE_LIKES_DOCKER;
	/* In a layout any media type may be; only without a word from the user OCI's are better. */
	if (copy->options->request->preserve_digests && !copy->to->one_image)
		return PLACE_LIKES_ANY;
	return copy->to->likes;
}

/* If the manifest is not what it was: its new bytes. */
static int rewrite(const struct copy *copy, struct document *document, struct manifest *manifest, bool changed,
		   struct error *err)
{
	enum place_likes family = family_of(copy);
	bool converted = !convert_is_like(manifest, document->media_type, family);

	if (!changed && !converted)
		return 0;
	if (copy->options->request->preserve_digests)
		return error_set(err, ERR_UNSUPPORTED, "the digest of %s cannot be preserved in %s", document->digest,
				 copy->to->name);
	if (converted && convert_manifest(manifest, family, err) < 0)
		return -1;
	if (!manifest->media_type)
		manifest->media_type = xstrdup(document->media_type);
	document_fini(document);
	document_init(document, manifest->media_type, convert_encode(manifest));
	return 0;
}

/* `before` is the digest it had at the source. */
static int put_document(struct copy *copy, const struct document *document, const char *before, bool top,
			struct error *err)
{
	if (copy->to->ops->put_document(copy->to, document, top, err) < 0)
		return error_prefix(err, "%s", copy->to->name);
	if (text_equal(before, document->digest) && !text_list_contains(&copy->kept, before))
		text_list_add(&copy->kept, before);
	return 0;
}

static int copy_manifest(struct copy *copy, struct document *document, bool top, struct error *err)
{
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO_FREE char *digest = xstrdup(document->digest);
	AUTO_FREE char *before = NULL;
	AUTO_FREE char *after = NULL;

	if (manifest_decode(&manifest, document->text, document->size, document->media_type, err) < 0)
		return error_prefix(err, "%s", copy->from->name);
	before = manifest_encode_compact(&manifest);
	if (copy_blobs(copy->to, copy->from, &manifest, copy->options, err) < 0)
		return -1;
	after = manifest_encode_compact(&manifest);
	if (rewrite(copy, document, &manifest, !text_equal(before, after), err) < 0)
		return -1;
	return put_document(copy, document, digest, top, err);
}

static int copy_document(struct copy *copy, struct document *document, bool top, int depth, struct error *err);

static int copy_entry(struct copy *copy, struct descriptor *entry, int depth, bool *changed, struct error *err)
{
	AUTO(document_fini) struct document child = { 0 };

	if (place_document(copy->from, &child, entry->digest, err) < 0 ||
	    copy_document(copy, &child, false, depth + 1, err) < 0)
		return -1;
	if (text_equal(child.digest, entry->digest))
		return 0;
	*changed = true;
	free(entry->digest);
	free(entry->media_type);
	entry->digest = xstrdup(child.digest);
	entry->media_type = xstrdup(child.media_type);
	entry->size = child.size;
	return 0;
}

static int copy_index(struct copy *copy, struct document *document, bool top, int depth, struct error *err)
{
	AUTO(manifest_fini) struct manifest index = { 0 };
	AUTO_FREE char *digest = xstrdup(document->digest);
	bool changed = false;

	if (depth > DEPTH_MAX)
		return error_set(err, ERR_INVALID, "indexes nested more than %d deep", DEPTH_MAX);
	if (manifest_decode(&index, document->text, document->size, document->media_type, err) < 0)
		return error_prefix(err, "%s", copy->from->name);
	for (size_t i = 0; i < index.manifests.count; i++)
		if (copy_entry(copy, &index.manifests.items[i], depth, &changed, err) < 0)
			return -1;
	if (rewrite(copy, document, &index, changed, err) < 0)
		return -1;
	return put_document(copy, document, digest, top, err);
}

static int copy_document(struct copy *copy, struct document *document, bool top, int depth, struct error *err)
{
	return media_type_is_index(document->media_type) ? copy_index(copy, document, top, depth, err)
							 : copy_manifest(copy, document, top, err);
}

static int parse_platform(struct platform *out_platform, const char *text, struct error *err)
{
	if (!text_empty(text))
		return platform_parse(out_platform, text, err);
	platform_host(out_platform);
	return 0;
}

/* Down to one platform's manifest. */
static int select_entry(struct place *from, const char *platform, struct document *document, struct error *err)
{
	AUTO(platform_fini) struct platform wanted = { 0 };

	if (parse_platform(&wanted, platform, err) < 0)
		return -1;
	for (int depth = 0; media_type_is_index(document->media_type); depth++) {
		AUTO(manifest_fini) struct manifest index = { 0 };
		const struct descriptor *entry;

		if (depth > DEPTH_MAX)
			return error_set(err, ERR_INVALID, "indexes nested more than %d deep", DEPTH_MAX);
		if (manifest_decode(&index, document->text, document->size, document->media_type, err) < 0)
			return error_prefix(err, "%s", from->name);
		entry = manifest_select(&index, &wanted, text_empty(platform) ? PLATFORM_RUNNABLE : PLATFORM_STRICT,
					err);
		if (!entry)
			return error_prefix(err, "%s", from->name);
		document_fini(document);
		if (place_document(from, document, entry->digest, err) < 0)
			return -1;
	}
	return 0;
}

int copy_resolve(struct place *from, const char *platform, struct document *out_document, struct manifest *out_manifest,
		 struct error *err)
{
	if (place_document(from, out_document, NULL, err) < 0 || select_entry(from, platform, out_document, err) < 0)
		return -1;
	if (manifest_decode(out_manifest, out_document->text, out_document->size, out_document->media_type, err) < 0)
		return error_prefix(err, "%s", from->name);
	return 0;
}

/* ---- what refers to it ---- */

static int copy_referrers_of(struct copy *copy, struct agent *agent, const char *digest, struct error *err)
{
	AUTO(manifest_fini) struct manifest index = { 0 };
	AUTO_FREE char *text = NULL;

	if (agent_referrers(&text, agent, digest, err) < 0 ||
	    manifest_decode(&index, text, strlen(text), MEDIA_OCI_INDEX, err) < 0)
		return error_prefix(err, "what refers to %s", digest);
	for (size_t i = 0; i < index.manifests.count; i++) {
		AUTO(document_fini) struct document document = { 0 };
		const char *name = index.manifests.items[i].digest;

		if (text_list_contains(&copy->kept, name))
			continue;
		if (copy->kept.count >= KEPT_MAX)
			return error_set(err, ERR_EXHAUSTED, "more than %d manifests refer to it", KEPT_MAX);
		if (place_document(copy->from, &document, name, err) < 0 ||
		    copy_document(copy, &document, false, 0, err) < 0)
			return error_prefix(err, "%s, which refers to %s", name, digest);
	}
	return 0;
}

/* Also what refers to those: `kept` grows as we go. Signatures are of bytes, so these are never converted. */
static int copy_referrers(struct copy *copy, struct error *err)
{
	const struct copy_options *given = copy->options;
	struct image_request plain = *given->request;
	const struct copy_options options = { .request = &plain };
	struct agent *agent = place_registry_agent(copy->from, NULL, err);
	int r = agent ? 0 : -1;

	plain.format = NULL;
	plain.preserve_digests = true;
	copy->options = &options;
	for (size_t i = 0; r == 0 && i < copy->kept.count; i++) {
		AUTO_FREE char *digest = xstrdup(copy->kept.items[i]);

		r = copy_referrers_of(copy, agent, digest, err);
	}
	copy->options = given;
	return r;
}

static int check_wishes(const struct place *to, const struct place *from, const struct image_request *request,
			struct error *err)
{
	if (request->preserve_digests && to->one_image)
		return error_set(err, ERR_UNSUPPORTED, "%s keeps no manifest: digests cannot be preserved", to->name);
	if (request->referrers && (!from->registry || !to->registry))
		return error_set(err, ERR_UNSUPPORTED, "--referrers: %s has none: they are copied between registries",
				 from->registry ? to->name : from->name);
	return 0;
}

int copy_image(struct place *to, struct place *from, const struct copy_options *options, struct document *out_top,
	       struct error *err)
{
	struct copy copy = { .to = to, .from = from, .options = options };
	int r;

	if (check_wishes(to, from, options->request, err) < 0)
		return -1;
	r = place_document(from, out_top, NULL, err);
	if (r == 0 && !options->request->all && !media_type_is_manifest(out_top->media_type))
		r = select_entry(from, options->request->platform, out_top, err);
	if (r == 0 && to->one_image && media_type_is_index(out_top->media_type))
		r = error_set(err, ERR_UNSUPPORTED, "%s holds one image, not an index: choose one with --platform",
			      to->name);
	if (r == 0)
		r = copy_document(&copy, out_top, true, 0, err);
	if (r == 0 && options->request->referrers)
		r = copy_referrers(&copy, err);
	text_list_fini(&copy.kept);
	return r;
}
