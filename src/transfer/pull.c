/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the main thread resolves the reference to a config and layers
 * (documents go to the engine as they are proven), then a crew
 * fetches the layers: asks the engine for the descriptors, then the registry. Asking is a
 * question and an answer on one socket, so it happens under ask_lock.
 */
#include "transfer/pull.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/thread.h"
#include "oci/hasher.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "transfer/crew.h"
#include "transfer/document.h"
#include "transfer/layer.h"
#include "transfer/refusal.h"
#include "transfer/source.h"

#define PARALLEL_DEFAULT 3
#define INDEX_DEPTH_MAX 4

struct pull {
	const struct message_request *request; /* borrowed */
	struct channel *channel;	       /* borrowed */
	struct reference reference;
	struct platform platform;
	struct source_list sources;
	struct peer_list peers;
	struct source *source; /* borrowed: the one that had the manifest */
	struct remote *remote; /* the main thread's */
	struct manifest manifest;
	struct image_config config;
	struct message_reply which;
	bool look;     /* only what the reference names, and its config */
	bool is_known; /* the engine had the last document: it may have the next */
	atomic_bool stop;
	struct mutex ask_lock;
};

/* ---- telling the engine ---- */

static int send_event(struct pull *pull, const struct message_event *event, struct error *err)
{
	AUTO_FREE char *line = json_encode(event, message_event_fields);

	return channel_send(pull->channel, line, NULL, 0, err);
}

static int receive_reply(struct pull *pull, struct message_reply *out_reply, struct error *err)
{
	AUTO_FREE char *line = NULL;
	int r = channel_receive(&line, pull->channel, -1, err);

	if (r == 0)
		return error_set(err, ERR_CANCELED, "the engine went away");
	return r < 0 ? -1 : json_decode(out_reply, message_reply_fields, line, strlen(line), err);
}

static int send_document(struct pull *pull, const char *kind, const struct descriptor *descriptor, const char *text,
			 struct error *err)
{
	struct message_event event = { .event = message_text("document"),
				       .kind = message_text(kind),
				       .media_type = descriptor->media_type,
				       .digest = descriptor->digest,
				       .size = descriptor->size,
				       .text = message_text(text) };

	return send_event(pull, &event, err);
}

/* ---- documents the engine has ---- */

/* 1 with the text (yours), which is what the digest says; 0 if it has none. */
static int ask_known(struct pull *pull, char **out_text, const char *digest, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&pull->ask_lock);
	struct message_event event = { .event = message_text("known"), .digest = message_text(digest) };
	AUTO(error_clear) struct error ignored = { 0 };
	struct message_reply reply = { 0 };
	struct digest expected;
	struct digest got;

	if (digest_parse(&expected, digest, &ignored) < 0)
		return 0;
	if (send_event(pull, &event, err) < 0 || receive_reply(pull, &reply, err) < 0)
		return -1;
	*out_text = take_ptr(reply.text);
	json_free_fields(&reply, message_reply_fields);
	if (!*out_text)
		return 0;
	digest_of(&got, expected.algorithm, *out_text, strlen(*out_text));
	if (digest_equal(&got, &expected))
		return 1;
	free(take_ptr(*out_text));
	return 0;
}

/* What a tag means now, asked with HEAD: it costs nothing where GETs are counted. 1 if it is what it was before. */
static int ask_tag(struct pull *pull, const char *tag, struct descriptor *descriptor, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	const char *digest;

	if (document_request(&response, pull->source, pull->remote, "HEAD", tag, err) < 0)
		return -1;
	digest = remote_header(&response, "docker-content-digest");
	if (response.status != 200 || !digest || !text_list_contains(&pull->request->known, digest))
		return 0;
	descriptor->digest = xstrdup(digest);
	return 1;
}

/* 1: the document is here and nothing needs to be fetched. */
static int find_known(struct pull *pull, const char *what, struct descriptor *descriptor, struct manifest *out_manifest,
		      char **out_text, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	bool asked_tag = !descriptor->digest;
	int r = 1;

	if (pull->request->known.count == 0 ||
	    (!asked_tag && !pull->is_known && !text_list_contains(&pull->request->known, descriptor->digest)))
		return 0;
	if (asked_tag)
		r = ask_tag(pull, what, descriptor, err);
	if (r > 0)
		r = ask_known(pull, out_text, descriptor->digest, err);
	if (r > 0 && manifest_decode(out_manifest, *out_text, strlen(*out_text), descriptor->media_type, &ignored) < 0)
		r = 0;
	pull->is_known = r > 0;
	if (r <= 0) {
		free(take_ptr(*out_text));
		if (asked_tag)
			free(take_ptr(descriptor->digest));
		return r;
	}
	descriptor->size = strlen(*out_text);
	if (!descriptor->media_type)
		descriptor->media_type = xstrdup(out_manifest->media_type		? out_manifest->media_type
						 : out_manifest->kind == MANIFEST_INDEX ? MEDIA_OCI_INDEX
											: MEDIA_OCI_MANIFEST);
	return 1;
}

/* Who pulls wants to know before it is too late. */
static int tell_limit(struct pull *pull, const struct remote_response *response, struct error *err)
{
	AUTO_FREE char *limit = document_limit(response);
	struct message_event event = { .event = message_text("limit"), .text = limit };

	return limit && !pull->look ? send_event(pull, &event, err) : 0;
}

/* GET of a manifest or index by `what` (tag or digest); fills the descriptor's empty members. */
static int fetch_manifest(struct pull *pull, const char *what, struct descriptor *descriptor,
			  struct manifest *out_manifest, char **out_text, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	const char *type;

	if (document_request(&response, pull->source, pull->remote, "GET", what, err) < 0)
		return -1;
	if (response.status != 200)
		return document_refusal(&pull->reference, &response, err);
	if (document_prove(descriptor, &response, err) < 0 || tell_limit(pull, &response, err) < 0)
		return -1;
	type = remote_header(&response, "content-type");
	if (descriptor->media_type && type && !text_has_prefix(type, descriptor->media_type) &&
	    (media_type_is_index(descriptor->media_type) || media_type_is_manifest(descriptor->media_type)) &&
	    text_has_prefix(type, "application/vnd."))
		return error_set(err, ERR_INVALID, "%s: media type is %s, the index says %s", response.url, type,
				 descriptor->media_type);
	if (manifest_decode(out_manifest, buffer_text(&response.body), response.body.size,
			    descriptor->media_type ? descriptor->media_type : type, err) < 0)
		return error_prefix(err, "%s", response.url);
	if (!descriptor->media_type) {
		const char *known = out_manifest->media_type ? out_manifest->media_type : type;

		descriptor->media_type = xstrndup(text_or_empty(known), strcspn(text_or_empty(known), "; "));
	}
	*out_text = xstrdup(buffer_text(&response.body));
	return 0;
}

/* From what the reference names down to the image manifest of our platform. */
static int resolve(struct pull *pull, struct message_event *end, struct error *err)
{
	AUTO(descriptor_fini) struct descriptor descriptor = { 0 };
	char digest[DIGEST_TEXT_MAX];
	AUTO_FREE char *what = NULL;

	if (digest_is_set(&pull->reference.digest)) {
		descriptor.digest = xstrdup(digest_text(&pull->reference.digest, digest));
		what = xstrdup(digest);
	} else {
		what = xstrdup(pull->reference.tag);
	}
	for (int depth = 0; depth < INDEX_DEPTH_MAX; depth++) {
		AUTO_FREE char *text = NULL;
		const struct descriptor *entry;
		bool is_image;
		int known;

		manifest_fini(&pull->manifest);
		known = find_known(pull, what, &descriptor, &pull->manifest, &text, err);
		if (known < 0 ||
		    (known == 0 && fetch_manifest(pull, what, &descriptor, &pull->manifest, &text, err) < 0))
			return -1;
		is_image = pull->manifest.kind == MANIFEST_IMAGE;
		if (depth == 0) {
			end->digest = xstrdup(descriptor.digest);
			end->media_type = xstrdup(descriptor.media_type);
		}
		if (send_document(pull, is_image ? "manifest" : "index", &descriptor, text, err) < 0)
			return -1;
		if (is_image || pull->look)
			return 0;
		entry = manifest_select(&pull->manifest, &pull->platform,
					pull->request->strict ? PLATFORM_STRICT : PLATFORM_RUNNABLE, err);
		if (!entry)
			return -1;
		descriptor_fini(&descriptor);
		descriptor_copy(&descriptor, entry);
		free(what);
		what = xstrdup(descriptor.digest);
	}
	return error_set(err, ERR_INVALID, "indexes nested more than %d deep", INDEX_DEPTH_MAX);
}

static int check_image(const struct pull *pull, struct error *err)
{
	const struct manifest *manifest = &pull->manifest;

	if (!media_type_is_config(manifest->config->media_type))
		return error_set(err, ERR_UNSUPPORTED, "not a container image: its config has media type %s",
				 manifest->config->media_type);
	if (manifest->config->size > IMAGE_CONFIG_SIZE_MAX)
		return error_set(err, ERR_INVALID, "image config: larger than %d bytes", IMAGE_CONFIG_SIZE_MAX);
	for (size_t i = 0; i < manifest->layers.count; i++)
		if (media_type_layer_packing(manifest->layers.items[i].media_type) == LAYER_UNKNOWN)
			return error_set(err, ERR_UNSUPPORTED, "layer %s has media type %s, which is no file system",
					 manifest->layers.items[i].digest, manifest->layers.items[i].media_type);
	return 0;
}

static int take_config(struct pull *pull, const char *text, size_t size, struct error *err)
{
	if (pull->look)
		return send_document(pull, "config", pull->manifest.config, text, err);
	if (image_config_decode(&pull->config, text, size, err) < 0)
		return -1;
	if (pull->config.rootfs.diff_ids.count != pull->manifest.layers.count)
		return error_set(err, ERR_INVALID,
				 "the manifest has %zu layers, the image config %zu diff ids: layers from manifest "
				 "don't match image configuration",
				 pull->manifest.layers.count, pull->config.rootfs.diff_ids.count);
	return send_document(pull, "config", pull->manifest.config, text, err);
}

/* 1: the engine has it. */
static int find_config(struct pull *pull, struct error *err)
{
	struct descriptor *descriptor = pull->manifest.config;
	AUTO_FREE char *text = NULL;
	int r = pull->is_known ? ask_known(pull, &text, descriptor->digest, err) : 0;

	if (r > 0)
		r = take_config(pull, text, strlen(text), err) < 0 ? -1 : 1;
	return r;
}

static int fetch_config_from(struct pull *pull, const struct source *source, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	struct descriptor *descriptor = pull->manifest.config;
	AUTO_FREE char *path = xasprintf("%s/blobs/%s", source->repository, descriptor->digest);

	if (registry_send(&response, source->registry, pull->remote,
			  &(struct registry_call){
				  .path = path, .scope = source->scope, .body_limit = IMAGE_CONFIG_SIZE_MAX },
			  err) < 0)
		return error_prefix(err, "image config");
	if (response.status != 200) {
		refusal_error(&response, NULL, err);
		return error_prefix(err, "image config %s", descriptor->digest);
	}
	if (document_prove(descriptor, &response, err) < 0)
		return -1;
	return take_config(pull, buffer_text(&response.body), response.body.size, err);
}

/* From the source that had the manifest, or the next one that has it. */
static int fetch_config(struct pull *pull, struct error *err)
{
	size_t first = (size_t)(pull->source - pull->sources.items);

	for (size_t i = 0; i < pull->sources.count; i++) {
		error_clear(err);
		if (fetch_config_from(pull, &pull->sources.items[(first + i) % pull->sources.count], err) == 0)
			return 0;
		if (err->kind == ERR_CANCELED)
			break;
	}
	return -1;
}

/* ---- layers ---- */

struct layer_job {
	struct pull *pull;
	size_t index;
};

static void on_progress(void *arg, const char *status, uint64_t current, uint64_t total)
{
	const struct layer_job *job = arg;
	AUTO(error_clear) struct error ignored = { 0 };
	struct message_event event = { .event = message_text("progress"),
				       .index = job->index,
				       .status = message_text(status),
				       .current = current,
				       .total = total };

	if (send_event(job->pull, &event, &ignored) < 0)
		atomic_store(&job->pull->stop, true);
}

/* 1 with the descriptors (owned), 0 if the engine has the layer. */
static int ask_layer(struct pull *pull, size_t index, bool again, int *out_file, int *out_unpack, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&pull->ask_lock);
	struct message_event event = { .event = message_text("layer"), .index = index, .again = again };
	struct message_reply reply = { 0 };

	if (send_event(pull, &event, err) < 0 || receive_reply(pull, &reply, err) < 0)
		return -1;
	if (!reply.want)
		return 0;
	*out_file = channel_take_fd(pull->channel);
	*out_unpack = reply.unpack ? channel_take_fd(pull->channel) : -1;
	if (*out_file < 0 || (reply.unpack && *out_unpack < 0))
		return error_set(err, ERR_INTERNAL, "the engine sent no descriptors for a layer");
	return 1;
}

/* A crew's job. */
static int fetch_layer(void *arg, struct remote *remote, size_t index, struct error *err)
{
	struct pull *pull = arg;
	struct layer_job job = { .pull = pull, .index = index };
	struct message_event event = { .index = index };
	size_t lies = 0;
	bool again = false;
	int outcome;

	if (index < pull->which.have.count && pull->which.have.items[index].value)
		return 0;
	do {
		AUTO_CLOSE int file = -1;
		struct layer_fetch fetch = { .sources = &pull->sources,
					     .first = (size_t)(pull->source - pull->sources.items) + lies,
					     .peers = again ? NULL : &pull->peers,
					     .others = lies + 1 < pull->sources.count,
					     .remote = remote,
					     .descriptor = &pull->manifest.layers.items[index],
					     .diff_id = pull->config.rootfs.diff_ids.items[index],
					     .unpack_fd = -1,
					     .unpacked_limit = pull->request->unpacked_limit,
					     .stop = &pull->stop,
					     .progress = on_progress,
					     .arg = &job };
		int r = ask_layer(pull, index, again, &file, &fetch.unpack_fd, err);

		if (r <= 0)
			return r;
		fetch.file_fd = file;
		outcome = layer_fetch(&fetch, err);
		if (outcome < 0)
			return -1;
		if (outcome == LAYER_BROKEN && again)
			return error_set(err, ERR_INTERNAL, "the engine gave a file that is not empty");
		lies += outcome == LAYER_LIED;
		again = true;
	} while (outcome == LAYER_BROKEN || outcome == LAYER_LIED);
	if (outcome == LAYER_PROVEN)
		on_progress(&job, "Download complete", 0, 0);
	event.event = message_text(outcome == LAYER_PROVEN ? "done" : "unpack_broke");
	return send_event(pull, &event, err);
}

static int fetch_layers(struct pull *pull, struct error *err)
{
	struct message_event event = { .event = message_text("which") };
	struct crew crew = { .name = "layer",
			     .jobs = pull->manifest.layers.count,
			     .wish = pull->request->parallel,
			     .usual = PARALLEL_DEFAULT,
			     .stop = &pull->stop,
			     .job = fetch_layer,
			     .arg = pull };

	if (send_event(pull, &event, err) < 0 || receive_reply(pull, &pull->which, err) < 0)
		return -1;
	return crew_run(&crew, err);
}

/* ---- together ---- */

int pull_open(struct pull **out_pull, const struct message_request *request, struct channel *channel, struct error *err)
{
	AUTO(pull_freep) struct pull *pull = xcalloc(1, sizeof(*pull));

	pull->request = request;
	pull->channel = channel;
	mutex_init(&pull->ask_lock);
	if (reference_parse(&pull->reference, text_or_empty(request->reference), err) < 0)
		return -1;
	reference_default_tag(&pull->reference);
	if (request->platform)
		platform_copy(&pull->platform, request->platform);
	else
		platform_host(&pull->platform);
	if (peer_list_load(&pull->peers, &pull->reference, request, &pull->stop, err) < 0 ||
	    source_list_load(&pull->sources, &pull->reference, request, &pull->stop, err) < 0)
		return -1;
	pull->remote = remote_new(&(struct remote_options){ .stop = &pull->stop });
	*out_pull = take_ptr(pull);
	return 0;
}

/* At the first source that has it. */
static int resolve_anywhere(struct pull *pull, struct message_event *end, struct error *err)
{
	bool by_digest = digest_is_set(&pull->reference.digest);

	for (size_t i = 0; i < pull->sources.count; i++) {
		pull->source = &pull->sources.items[i];
		if (!(by_digest ? pull->source->digests : pull->source->tags))
			continue;
		error_clear(err);
		if (resolve(pull, end, err) == 0)
			return 0;
		free(take_ptr(end->digest));
		free(take_ptr(end->media_type));
	}
	return error_is_set(err) ? -1 : error_set(err, ERR_NOT_FOUND, "no source may be asked for this image");
}

int pull_look(struct pull *pull, struct message_event *out_end, struct error *err)
{
	pull->look = true;
	if (resolve_anywhere(pull, out_end, err) < 0)
		return -1;
	/* Artifacts have configs that say nothing of a platform. */
	if (pull->manifest.kind != MANIFEST_IMAGE || !media_type_is_config(pull->manifest.config->media_type) ||
	    pull->manifest.config->size > IMAGE_CONFIG_SIZE_MAX)
		return 0;
	return fetch_config(pull, err);
}

int pull_run(struct pull *pull, struct message_event *out_end, struct error *err)
{
	int known;

	resolve_anywhere(pull, out_end, err);
	if (error_is_set(err) || check_image(pull, err) < 0)
		return -1;
	known = find_config(pull, err);
	if (known < 0 || (known == 0 && fetch_config(pull, err) < 0))
		return -1;
	return fetch_layers(pull, err);
}

void pull_free(struct pull *pull)
{
	if (!pull)
		return;
	remote_free(pull->remote);
	peer_list_fini(&pull->peers);
	source_list_fini(&pull->sources);
	reference_fini(&pull->reference);
	platform_fini(&pull->platform);
	manifest_fini(&pull->manifest);
	image_config_fini(&pull->config);
	json_free_fields(&pull->which, message_reply_fields);
	mutex_fini(&pull->ask_lock);
	free(pull);
}
