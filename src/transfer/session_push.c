/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "transfer/session_private.h"

struct pushing {
	const struct session_push *push;
	const struct session_push_sink *sink;
};

static int find_blob(const struct session_blob **out_blob, const struct pushing *pushing,
		     const struct message_event *event, struct error *err)
{
	if (event->index >= pushing->push->blob_count)
		return error_set(err, ERR_INTERNAL, "%s speaks of a blob that does not exist", PROGRAM);
	*out_blob = &pushing->push->blobs[event->index];
	return 0;
}

static int on_blob(struct session *session, const struct pushing *pushing, const struct message_event *event,
		   struct error *err)
{
	struct session_bytes bytes = { .source_fd = -1, .packed_fd = -1 };
	struct message_reply reply = { .want = true };
	const struct session_blob *blob;
	AUTO_CLOSE int source = -1;
	int fds[2];

	if (find_blob(&blob, pushing, event, err) < 0 ||
	    pushing->sink->open(pushing->sink->arg, event->index, &bytes, err) < 0)
		return -1;
	source = bytes.source_fd;
	fds[0] = source;
	fds[1] = bytes.packed_fd;
	return session_reply(session, &reply, fds, blob->pack ? 2 : 1, err);
}

static int on_packed(const struct pushing *pushing, const struct message_event *event, struct error *err)
{
	const struct session_blob *blob;
	struct digest digest;

	if (find_blob(&blob, pushing, event, err) < 0 || digest_parse(&digest, text_or_empty(event->digest), err) < 0)
		return -1;
	if (!blob->pack)
		return error_set(err, ERR_INTERNAL, "%s compressed what it should not", PROGRAM);
	return pushing->sink->packed(pushing->sink->arg, event->index, &digest, event->size, err);
}

static int on_manifest(struct session *session, const struct pushing *pushing, struct error *err)
{
	AUTO_FREE char *text = NULL;
	const char *media_type = NULL;
	struct message_reply reply = { 0 };

	if (pushing->sink->manifest(pushing->sink->arg, &text, &media_type, err) < 0)
		return -1;
	reply.text = text;
	reply.media_type = message_text(media_type);
	return session_reply(session, &reply, NULL, 0, err);
}

static int on_progress(const struct pushing *pushing, const struct message_event *event, struct error *err)
{
	const struct session_blob *blob;
	struct session_progress progress = { .status = text_or_empty(event->status),
					     .current = event->current,
					     .total = event->total };

	if (find_blob(&blob, pushing, event, err) < 0)
		return -1;
	progress.id = blob->id;
	if (blob->id && pushing->sink->progress)
		pushing->sink->progress(pushing->sink->arg, &progress);
	return 0;
}

static int handle(struct session *session, const struct message_event *event, struct error *err)
{
	const struct pushing *pushing = session->arg;

	if (text_equal(event->event, "blob"))
		return on_blob(session, pushing, event, err);
	if (text_equal(event->event, "packed"))
		return on_packed(pushing, event, err);
	if (text_equal(event->event, "manifest"))
		return on_manifest(session, pushing, err);
	if (text_equal(event->event, "progress"))
		return on_progress(pushing, event, err);
	return error_set(err, ERR_INTERNAL, "unknown event \"%s\" of %s", event->event, PROGRAM);
}

static void fill_blobs(struct message_request *request, const struct session_push *push)
{
	for (size_t i = 0; i < push->blob_count; i++) {
		const struct session_blob *blob = &push->blobs[i];
		struct message_blob *item = json_array_add(&request->blobs, sizeof(*item));
		char text[DIGEST_TEXT_MAX];

		item->pack = blob->pack;
		if (!blob->pack) {
			item->digest = xstrdup(digest_text(blob->digest, text));
			item->size = blob->size;
		}
		if (blob->mounts)
			text_list_add_all(&item->mounts, blob->mounts);
	}
}

int session_push(struct session_pushed *out_pushed, const struct session_push *push,
		 const struct session_push_sink *sink, struct error *err)
{
	AUTO(session_end) struct session session;
	struct pushing pushing = { .push = push, .sink = sink };
	struct message_request request = { .action = xstrdup("push"), .reference = xstrdup(push->reference) };
	int r = session_start(&session, push->cancel_fd, err);

	session.handle = handle;
	session.arg = &pushing;
	session_fill_settings(&request, push->settings);
	request.parallel = push->parallel;
	session_fill_auth(&request, push->auth);
	fill_blobs(&request, push);
	if (r == 0)
		r = session_run(&session, &request, err);
	json_free_fields(&request, message_request_fields);
	if (r < 0)
		return -1;
	*out_pushed = (struct session_pushed){ .digest = take_ptr(session.end.digest), .size = session.end.size };
	return 0;
}

void session_pushed_fini(struct session_pushed *pushed)
{
	free(pushed->digest);
	*pushed = (struct session_pushed){ 0 };
}
