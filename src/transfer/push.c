/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: a few jobs take one blob each; what is a plain tar is compressed
 * into a file of the engine's and uploaded while that file grows, or, if the
 * registry cannot have it so, when it is whole. When all are there the engine,
 * which now knows every digest, gives the manifest. Questions to it happen under
 * ask_lock.
 */
#include "transfer/push.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/thread.h"
#include "oci/hasher.h"
#include "oci/reference.h"
#include "transfer/crew.h"
#include "transfer/pack.h"
#include "transfer/referrers.h"
#include "transfer/refusal.h"
#include "transfer/source.h"
#include "transfer/upload.h"

#define PARALLEL_DEFAULT 5

struct push {
	const struct message_request *request; /* borrowed */
	struct channel *channel;	       /* borrowed */
	struct reference reference;
	char *scope;
	struct source_list sources;
	struct source *source; /* borrowed: mirrors take no pushes */
	atomic_bool stop;
	struct mutex ask_lock;
};

struct blob_job {
	struct push *push;
	struct remote *remote; /* borrowed */
	size_t index;
	const struct message_blob *blob; /* borrowed */
	int source;			 /* owned: the blob's bytes, or -1 */
	int packed;			 /* owned: where the compressed bytes go, or -1 */
};

/* ---- talking to the engine ---- */

static int ask(struct message_reply *out_reply, struct push *push, const struct message_event *event, struct error *err)
{
	AUTO_FREE char *line = json_encode(event, message_event_fields);
	AUTO_FREE char *answer = NULL;
	int r;

	mutex_assert_held(&push->ask_lock);
	if (channel_send(push->channel, line, NULL, 0, err) < 0)
		return -1;
	r = channel_receive(&answer, push->channel, -1, err);
	if (r == 0)
		return error_set(err, ERR_CANCELED, "the engine went away");
	return r < 0 ? -1 : json_decode(out_reply, message_reply_fields, answer, strlen(answer), err);
}

static int tell(struct push *push, const struct message_event *event, struct error *err)
{
	AUTO_FREE char *line = json_encode(event, message_event_fields);

	return channel_send(push->channel, line, NULL, 0, err);
}

static int ask_bytes(struct blob_job *job, struct error *err)
{
	struct push *push = job->push;
	struct message_event event = { .event = message_text("blob"), .index = job->index };
	AUTO_UNLOCK struct mutex *held = mutex_hold(&push->ask_lock);
	struct message_reply reply = { 0 };
	int r = ask(&reply, push, &event, err);

	json_free_fields(&reply, message_reply_fields);
	if (r < 0)
		return -1;
	job->source = channel_take_fd(push->channel);
	if (job->blob->pack)
		job->packed = channel_take_fd(push->channel);
	if (job->source < 0 || (job->blob->pack && job->packed < 0))
		return error_set(err, ERR_INTERNAL, "the engine sent no descriptors for a blob");
	return 0;
}

static void on_progress(void *arg, const char *status, uint64_t current, uint64_t total)
{
	const struct blob_job *job = arg;
	AUTO(error_clear) struct error ignored = { 0 };
	struct message_event event = { .event = message_text("progress"),
				       .index = job->index,
				       .status = message_text(status),
				       .current = current,
				       .total = total };

	if (tell(job->push, &event, &ignored) < 0)
		atomic_store(&job->push->stop, true);
}

/* ---- one blob ---- */

static int open_bytes(void *arg, struct error *err)
{
	struct blob_job *job = arg;

	if (job->source < 0 && ask_bytes(job, err) < 0)
		return -1;
	return job->blob->pack ? job->packed : job->source;
}

/* ---- what is packed on its way ---- */

struct packing {
	struct blob_job *job;
	struct pack *pack;
	char digest[DIGEST_TEXT_MAX];
};

static ssize_t more_packed(void *arg, uint64_t offset, void *data, size_t size, struct error *err)
{
	const struct packing *packing = arg;

	return pack_read(packing->pack, offset, data, size, err);
}

/* All is packed: the engine may keep it. */
static int end_packing(void *arg, struct upload *upload, struct error *err)
{
	struct packing *packing = arg;
	struct message_event event = { .event = message_text("packed"), .index = packing->job->index };
	struct digest digest;

	if (pack_wait(packing->pack, &digest, &upload->size, err) < 0)
		return -1;
	digest_text(&digest, packing->digest);
	upload->digest = packing->digest;
	event.digest = packing->digest;
	event.size = upload->size;
	return tell(packing->job->push, &event, err);
}

static int push_packed(struct blob_job *job, struct upload *upload, struct error *err)
{
	AUTO(pack_freep) struct pack *pack = NULL;
	struct packing packing = { .job = job };
	const struct upload_stream stream = { .more = more_packed, .digest = end_packing, .arg = &packing };
	int r;

	if (ask_bytes(job, err) < 0 || pack_start(&pack, job->source, job->packed, &job->push->stop, err) < 0)
		return -1;
	packing.pack = pack;
	r = upload_as_it_comes(upload, &stream, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	return upload_blob(upload, err);
}

static int push_blob(struct blob_job *job, struct error *err)
{
	struct push *push = job->push;
	const struct message_blob *blob = job->blob;
	struct upload upload = { .registry = push->source->registry,
				 .remote = job->remote,
				 .repository = push->source->repository,
				 .digest = blob->digest,
				 .size = blob->size,
				 .mounts = &blob->mounts,
				 .open = open_bytes,
				 .progress = on_progress,
				 .arg = job };

	return blob->pack ? push_packed(job, &upload, err) : upload_blob(&upload, err);
}

/* A crew's job. */
static int push_one(void *arg, struct remote *remote, size_t index, struct error *err)
{
	struct push *push = arg;
	struct blob_job job = { .push = push,
				.remote = remote,
				.index = index,
				.blob = &push->request->blobs.items[index],
				.source = -1,
				.packed = -1 };
	int r = push_blob(&job, err);

	if (job.source >= 0)
		close(job.source);
	if (job.packed >= 0)
		close(job.packed);
	return r;
}

static int push_blobs(struct push *push, struct error *err)
{
	struct crew crew = { .name = "blob",
			     .jobs = push->request->blobs.count,
			     .wish = push->request->parallel,
			     .usual = PARALLEL_DEFAULT,
			     .stop = &push->stop,
			     .job = push_one,
			     .arg = push };

	return crew_run(&crew, err);
}

/* ---- the manifest ---- */

static int put_manifest(struct push *push, const struct message_reply *reply, struct message_event *end,
			struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(remote_freep) struct remote *remote = remote_new(&(struct remote_options){ .stop = &push->stop });
	AUTO(text_list_fini) struct text_list headers = { 0 };
	const char *text = text_or_empty(reply->text);
	char digest_name[DIGEST_TEXT_MAX];
	AUTO_FREE char *path = NULL;
	struct digest digest;

	digest_of(&digest, DIGEST_SHA256, text, strlen(text));
	digest_text(&digest, digest_name);
	path = xasprintf("%s/manifests/%s", push->source->repository,
			 push->reference.tag ? push->reference.tag : digest_name);
	text_list_addf(&headers, "Content-Type: %s", text_or_empty(reply->media_type));
	if (registry_send(&response, push->source->registry, remote,
			  &(struct registry_call){ .method = "PUT",
						   .path = path,
						   .scope = push->scope,
						   .headers = &headers,
						   .body = text,
						   .body_size = strlen(text) },
			  err) < 0)
		return -1;
	if (response.status / 100 != 2) {
		refusal_error(&response, NULL, err);
		return error_prefix(err, "push the manifest");
	}
	end->digest = xstrdup(digest_name);
	end->media_type = xstrdup(reply->media_type);
	end->size = strlen(text);
	return referrers_note(
		push->source, remote,
		&(struct referrers_put){ .text = text, .media_type = reply->media_type, .scope = push->scope },
		&response, err);
}

static int push_manifest(struct push *push, struct message_event *end, struct error *err)
{
	struct message_event event = { .event = message_text("manifest") };
	struct message_reply reply = { 0 };
	int r;

	mutex_lock(&push->ask_lock);
	r = ask(&reply, push, &event, err);
	mutex_unlock(&push->ask_lock);
	if (r == 0)
		r = put_manifest(push, &reply, end, err);
	json_free_fields(&reply, message_reply_fields);
	return r;
}

/* ---- together ---- */

int push_open(struct push **out_push, const struct message_request *request, struct channel *channel, struct error *err)
{
	AUTO(push_freep) struct push *push = xcalloc(1, sizeof(*push));

	push->request = request;
	push->channel = channel;
	mutex_init(&push->ask_lock);
	if (reference_parse(&push->reference, text_or_empty(request->reference), err) < 0)
		return -1;
	if (source_list_load(&push->sources, &push->reference, request, &push->stop, err) < 0)
		return -1;
	push->source = source_list_own(&push->sources);
	push->scope = source_scope(push->source, "pull,push");
	*out_push = take_ptr(push);
	return 0;
}

int push_run(struct push *push, struct message_event *out_end, struct error *err)
{
	return push_blobs(push, err) < 0 ? -1 : push_manifest(push, out_end, err);
}

void push_free(struct push *push)
{
	if (!push)
		return;
	source_list_fini(&push->sources);
	reference_fini(&push->reference);
	mutex_fini(&push->ask_lock);
	free(push->scope);
	free(push);
}
