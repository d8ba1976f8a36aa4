/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the main thread receives questions and starts a thread for
 * each, at most PARALLEL_MAX at a time; connections are kept in a pool between
 * them. Questions about what a repository holds go to its sources in their
 * order, all else to the registry itself.
 */
#include "transfer/serve.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/thread.h"
#include "oci/manifest.h"
#include "transfer/ask.h"
#include "transfer/document.h"
#include "transfer/layer.h"
#include "transfer/listing.h"
#include "transfer/referrers.h"
#include "transfer/refusal.h"
#include "transfer/upload.h"

#define PARALLEL_MAX 16

struct serve {
	struct channel *channel; /* borrowed */
	struct reference reference;
	struct source_list sources;
	struct source *own; /* borrowed: takes what is pushed */
	atomic_bool stop;

	struct mutex lock;
	struct condition idle;
	size_t active;
	size_t first; /* source that answered last */
	struct remote *remotes[PARALLEL_MAX];
	size_t remote_count;
};

struct job {
	struct serve *serve;
	struct remote *remote; /* borrowed from the pool */
	struct message_ask ask;
	struct message_answer answer;
	int fd; /* owned, or -1 */
};

/* ---- reading ---- */

static size_t first_source(struct serve *serve)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&serve->lock);

	return serve->first;
}

static void remember_source(struct serve *serve, size_t index)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&serve->lock);

	serve->first = index;
}

static int read_manifest(struct job *job, const struct source *source, struct error *err)
{
	bool head = text_equal(job->ask.act, "head");
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(descriptor_fini) struct descriptor descriptor = { 0 };
	const char *type;
	const char *size;

	if (document_request(&response, source, job->remote, head ? "HEAD" : "GET", job->ask.what, err) < 0)
		return -1;
	if (response.status != 200)
		return document_refusal(&job->serve->reference, &response, err);
	if (digest_is_valid(job->ask.what))
		descriptor.digest = xstrdup(job->ask.what);
	if (!head && document_prove(&descriptor, &response, err) < 0)
		return -1;
	if (!head && memchr(response.body.data, '\0', response.body.size))
		return error_set(err, ERR_INVALID, "%s: a manifest with a NUL byte in it", response.url);
	type = text_or_empty(remote_header(&response, "content-type"));
	size = remote_header(&response, "content-length");
	if (head)
		text_parse_u64(&descriptor.size, text_or_empty(size), INT64_MAX);
	job->answer.media_type = xstrndup(type, strcspn(type, "; "));
	job->answer.digest = head ? xstrdup(remote_header(&response, "docker-content-digest"))
				  : take_ptr(descriptor.digest);
	job->answer.size = descriptor.size;
	job->answer.limit = document_limit(&response);
	if (!head)
		job->answer.text = xstrdup(buffer_text(&response.body));
	return 0;
}

static int do_manifest(struct job *job, struct error *err)
{
	const struct source_list *sources = &job->serve->sources;
	bool by_digest = digest_is_valid(job->ask.what);

	for (size_t i = 0; i < sources->count; i++) {
		const struct source *source = &sources->items[i];

		if (!(by_digest ? source->digests : source->tags))
			continue;
		error_clear(err);
		if (read_manifest(job, source, err) == 0) {
			remember_source(job->serve, i);
			return 0;
		}
	}
	return error_is_set(err) ? -1 : error_set(err, ERR_NOT_FOUND, "no source may be asked for %s", job->ask.what);
}

static void no_progress(void *arg, const char *status, uint64_t current, uint64_t total)
{
	(void)arg;
	(void)status;
	(void)current;
	(void)total;
}

static int do_blob(struct job *job, struct error *err)
{
	const struct descriptor descriptor = { .digest = job->ask.digest,
					       .media_type = message_text(text_or_empty(job->ask.media_type)),
					       .size = job->ask.size,
					       .urls = job->ask.urls };
	size_t lies = 0;
	bool again = false;
	int outcome;

	if (!digest_is_valid(job->ask.digest))
		return error_set(err, ERR_INVALID, "\"%s\" is no digest", text_or_empty(job->ask.digest));
	do {
		struct layer_fetch fetch = { .sources = &job->serve->sources,
					     .first = first_source(job->serve) + lies,
					     .others = lies + 1 < job->serve->sources.count,
					     .remote = job->remote,
					     .descriptor = &descriptor,
					     .file_fd = job->fd,
					     .unpack_fd = -1,
					     .stop = &job->serve->stop,
					     .progress = no_progress };

		if (again && ftruncate(job->fd, 0) < 0)
			return error_set(err, ERR_INTERNAL, "empty the file of %s", job->ask.digest);
		outcome = layer_fetch(&fetch, err);
		if (outcome == LAYER_BROKEN && again)
			return error_set(err, ERR_INTERNAL, "the file of %s cannot be emptied", job->ask.digest);
		lies += outcome == LAYER_LIED;
		again = true;
	} while (outcome == LAYER_BROKEN || outcome == LAYER_LIED);
	return outcome == LAYER_PROVEN ? 0 : -1;
}

/* ---- writing ---- */

static int open_bytes(void *arg, struct error *err)
{
	struct job *job = arg;

	(void)err;
	return job->fd;
}

static int do_upload(struct job *job, bool send, struct error *err)
{
	const struct source *own = job->serve->own;
	struct upload upload = { .registry = own->registry,
				 .remote = job->remote,
				 .repository = own->repository,
				 .digest = job->ask.digest,
				 .size = job->ask.size,
				 .mounts = &job->ask.mounts,
				 .open = open_bytes,
				 .progress = no_progress,
				 .arg = job };
	int r;

	if (!digest_is_valid(job->ask.digest))
		return error_set(err, ERR_INVALID, "\"%s\" is no digest", text_or_empty(job->ask.digest));
	if (send)
		return upload_blob(&upload, err);
	r = upload_find(&upload, err);
	job->answer.found = r > 0;
	return r < 0 ? -1 : 0;
}

static int call_manifest(struct job *job, const char *method, const char *actions, struct remote_response *response,
			 struct error *err)
{
	const struct source *own = job->serve->own;
	AUTO(text_list_fini) struct text_list headers = { 0 };
	AUTO_FREE char *path = xasprintf("%s/manifests/%s", own->repository, job->ask.what);
	AUTO_FREE char *scope = source_scope(own, actions);
	struct registry_call call = { .method = method, .path = path, .scope = scope, .headers = &headers };

	if (job->ask.media_type)
		text_list_addf(&headers, "Content-Type: %s", job->ask.media_type);
	if (job->ask.text) {
		call.body = job->ask.text;
		call.body_size = strlen(job->ask.text);
	}
	return registry_send(response, own->registry, job->remote, &call, err);
}

static int do_put_manifest(struct job *job, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO_FREE char *scope = NULL;

	if (!job->ask.text)
		return error_set(err, ERR_INVALID, "no manifest to put");
	if (call_manifest(job, "PUT", "pull,push", &response, err) < 0)
		return -1;
	if (response.status / 100 != 2) {
		refusal_error(&response, NULL, err);
		return error_prefix(err, "push the manifest");
	}
	scope = source_scope(job->serve->own, "pull,push");
	return referrers_note(job->serve->own, job->remote,
			      &(struct referrers_put){ .text = job->ask.text,
						       .media_type = job->ask.media_type,
						       .digest = digest_is_valid(job->ask.what) ? job->ask.what : NULL,
						       .scope = scope },
			      &response, err);
}

static int send_deletion(struct job *job, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };

	if (call_manifest(job, "DELETE", "delete,pull", &response, err) < 0)
		return -1;
	if (response.status == 405)
		return error_set(err, ERR_UNSUPPORTED, "the registry does not allow to delete %s",
				 digest_is_valid(job->ask.what) ? "manifests" : "tags");
	if (response.status / 100 == 2)
		return 0;
	refusal_error(&response, NULL, err);
	return error_prefix(err, "delete %s", job->ask.what);
}

/* A tag that goes leaves its manifest; with a manifest goes what was noted of its subject. */
static int do_delete(struct job *job, struct error *err)
{
	const struct source *own = job->serve->own;
	AUTO(remote_response_fini) struct remote_response manifest = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *scope = source_scope(own, "pull,push");
	AUTO_FREE char *type = NULL;
	bool known = digest_is_valid(job->ask.what) &&
		     document_request(&manifest, own, job->remote, "GET", job->ask.what, &ignored) == 0 &&
		     manifest.status == 200;

	if (send_deletion(job, err) < 0)
		return -1;
	if (!known)
		return 0;
	type = xstrdup(remote_header(&manifest, "content-type"));
	return referrers_forget(own, job->remote,
				&(struct referrers_put){ .text = buffer_text(&manifest.body),
							 .media_type = type,
							 .digest = job->ask.what,
							 .scope = scope },
				err);
}

/* ---- one question ---- */

static int do_find(struct job *job, struct error *err)
{
	return do_upload(job, false, err);
}

static int do_put_blob(struct job *job, struct error *err)
{
	return do_upload(job, true, err);
}

static const struct source *reading_source(struct job *job)
{
	return &job->serve->sources.items[first_source(job->serve)];
}

static int do_tags(struct job *job, struct error *err)
{
	return listing_tags(&job->answer.names, reading_source(job), job->remote, err);
}

static int do_catalog(struct job *job, struct error *err)
{
	return listing_catalog(&job->answer.names, job->serve->own, job->remote, err);
}

static int do_search(struct job *job, struct error *err)
{
	return listing_search(&job->answer.text, job->serve->own, job->remote, job->serve->reference.domain,
			      text_or_empty(job->ask.what), job->ask.size, err);
}

static int do_referrers(struct job *job, struct error *err)
{
	return referrers_list(&job->answer.text, reading_source(job), job->remote, job->ask.what, err);
}

static const struct {
	const char *name;
	int (*run)(struct job *job, struct error *err);
	bool wants_what;
} acts[] = {
	{ "manifest", do_manifest, true },
	{ "head", do_manifest, true },
	{ "put_manifest", do_put_manifest, true },
	{ "delete", do_delete, true },
	{ "referrers", do_referrers, true },
	{ "search", do_search, false },
	{ "blob", do_blob, false },
	{ "find_blob", do_find, false },
	{ "put_blob", do_put_blob, false },
	{ "tags", do_tags, false },
	{ "catalog", do_catalog, false },
};

static int do_act(struct job *job, struct error *err)
{
	const char *act = text_or_empty(job->ask.act);

	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (!text_equal(acts[i].name, act))
			continue;
		if (acts[i].wants_what && text_empty(job->ask.what))
			return error_set(err, ERR_INVALID, "%s: of what?", act);
		return acts[i].run(job, err);
	}
	return error_set(err, ERR_UNSUPPORTED, "unknown question \"%s\"", act);
}

static void send_answer(struct job *job, const struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *line = NULL;

	job->answer.id = job->ask.id;
	if (error_is_set(err)) {
		job->answer.error_kind = xstrdup(error_kind_name(err->kind));
		job->answer.error_message = xstrdup(err->message);
		job->answer.error_number = err->errnum;
	}
	line = json_encode(&job->answer, message_answer_fields);
	channel_send(job->serve->channel, line, NULL, 0, &ignored);
}

static void free_job(struct job *job)
{
	if (job->fd >= 0)
		close(job->fd);
	json_free_fields(&job->ask, message_ask_fields);
	json_free_fields(&job->answer, message_answer_fields);
	free(job);
}

static void *work(void *arg)
{
	struct job *job = arg;
	struct serve *serve = job->serve;
	struct remote *remote = job->remote;
	AUTO(error_clear) struct error err = { 0 };

	do_act(job, &err);
	send_answer(job, &err);
	free_job(job);
	mutex_lock(&serve->lock);
	serve->remotes[serve->remote_count++] = remote;
	serve->active--;
	condition_broadcast(&serve->idle);
	mutex_unlock(&serve->lock);
	return NULL;
}

/* ---- the loop ---- */

static struct remote *take_remote(struct serve *serve)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&serve->lock);

	while (serve->active >= PARALLEL_MAX)
		condition_wait(&serve->idle, &serve->lock);
	serve->active++;
	if (serve->remote_count)
		return serve->remotes[--serve->remote_count];
	return remote_new(&(struct remote_options){ .stop = &serve->stop });
}

static bool needs_fd(const char *act)
{
	return text_equal(act, "blob") || text_equal(act, "put_blob");
}

static int start_job(struct serve *serve, const char *line, struct error *err)
{
	struct job *job = xcalloc(1, sizeof(*job));
	AUTO(error_clear) struct error failed = { 0 };

	job->fd = -1;
	job->serve = serve;
	if (json_decode(&job->ask, message_ask_fields, line, strlen(line), err) < 0) {
		free_job(job);
		return -1;
	}
	job->fd = needs_fd(job->ask.act) ? channel_take_fd(serve->channel) : -1;
	if (needs_fd(job->ask.act) && job->fd < 0) {
		free_job(job);
		return error_set(err, ERR_INTERNAL, "a question came without its descriptor");
	}
	job->remote = take_remote(serve);
	/* Without a thread of its own it is done here. */
	if (thread_start(NULL, "ask", work, job, &failed) < 0)
		work(job);
	return 0;
}

int serve_run(struct serve *serve, struct error *err)
{
	int r = 1;

	while (r > 0) {
		AUTO_FREE char *line = NULL;

		r = channel_receive(&line, serve->channel, -1, err);
		if (r > 0 && start_job(serve, line, err) < 0)
			r = -1;
	}
	atomic_store(&serve->stop, true);
	mutex_lock(&serve->lock);
	while (serve->active)
		condition_wait(&serve->idle, &serve->lock);
	mutex_unlock(&serve->lock);
	return r;
}

int serve_open(struct serve **out_serve, const struct message_request *request, struct channel *channel,
	       struct error *err)
{
	AUTO(serve_freep) struct serve *serve = xcalloc(1, sizeof(*serve));

	serve->channel = channel;
	mutex_init(&serve->lock);
	condition_init(&serve->idle);
	if (reference_parse(&serve->reference, text_or_empty(request->reference), err) < 0 ||
	    source_list_load(&serve->sources, &serve->reference, request, &serve->stop, err) < 0)
		return -1;
	serve->own = source_list_own(&serve->sources);
	*out_serve = take_ptr(serve);
	return 0;
}

void serve_free(struct serve *serve)
{
	if (!serve)
		return;
	for (size_t i = 0; i < serve->remote_count; i++)
		remote_free(serve->remotes[i]);
	source_list_fini(&serve->sources);
	reference_fini(&serve->reference);
	condition_fini(&serve->idle);
	mutex_fini(&serve->lock);
	free(serve);
}
