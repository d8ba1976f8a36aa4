/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/events.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "rpc/task_messages.h"
#include "rpc/ttrpc.h"
#include "rpc/ttrpc_client.h"

#define QUEUE_MAX 2048
#define TRIES 5
#define RETRY_MS 1000
#define ANSWER_MS 5000
#define REPLY_MAX 65536

struct event {
	struct list_node node;
	struct event_forward_request request;
	int tries;
};

struct events {
	struct loop *loop;
	const struct log *log;
	const char *address;
	const char *name_space;
	struct list queue;
	size_t count;
	int fd; /* -1: not connected */
	struct watch watch;
	struct timer timer; /* until the next try, or for the answer */
	bool waiting;	    /* the timer stands for a retry */
	struct text frame;  /* the first event's call, being sent */
	size_t sent;
	struct buffer reply;
	uint32_t stream_id;
};

static void send_first(struct events *events);

struct events *events_new(struct loop *loop, const struct log *log, const char *address, const char *name_space)
{
	struct events *events = xcalloc(1, sizeof(*events));

	events->loop = loop;
	events->log = log;
	events->address = text_empty(address) ? NULL : address;
	events->name_space = name_space;
	events->fd = -1;
	list_init(&events->queue);
	buffer_init(&events->reply, REPLY_MAX);
	return events;
}

static void drop_first(struct events *events)
{
	struct list_node *first = list_first(&events->queue);
	struct event *event;

	if (!first)
		return;
	event = list_entry(first, struct event, node);
	list_remove(&event->node);
	events->count--;
	proto_free(&event->request, event_forward_request_fields);
	free(event);
}

static void disconnect(struct events *events)
{
	loop_remove(events->loop, &events->watch);
	if (events->fd >= 0)
		close(events->fd);
	events->fd = -1;
	text_fini(&events->frame);
	events->sent = 0;
	buffer_consume(&events->reply, events->reply.size);
	events->reply.failed = false;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	while (!list_empty(&events->queue))
		drop_first(events);
	disconnect(events);
	loop_remove_timer(&events->timer);
	buffer_fini(&events->reply);
	free(events);
}

static void on_retry(struct timer *timer)
{
	struct events *events = list_entry(timer, struct events, timer);

	events->waiting = false;
	send_first(events);
}

/* The connection or its peer failed: try again later, or give this event up. */
static void fail(struct events *events, const char *why)
{
	struct list_node *first = list_first(&events->queue);

	disconnect(events);
	if (first && ++list_entry(first, struct event, node)->tries >= TRIES) {
		log_warn(events->log, "event not delivered",
			 F("topic", list_entry(first, struct event, node)->request.envelope.topic), F("error", why));
		drop_first(events);
	}
	if (list_empty(&events->queue)) {
		loop_remove_timer(&events->timer);
		return;
	}
	events->waiting = true;
	loop_add_timer(events->loop, &events->timer, RETRY_MS, on_retry);
}

static void on_no_answer(struct timer *timer)
{
	fail(list_entry(timer, struct events, timer), "no answer");
}

/* Any answer will do: containerd refuses only what it will always refuse. */
static void on_reply(struct events *events)
{
	struct ttrpc_header header;
	ssize_t got = buffer_read_some(&events->reply, events->fd, 4096);

	if (got == -EAGAIN || got == -EINTR)
		return;
	if (got <= 0) {
		fail(events, "connection closed");
		return;
	}
	if (events->reply.size < TTRPC_HEADER_SIZE)
		return;
	ttrpc_header_parse(events->reply.data, &header);
	if (events->reply.size < TTRPC_HEADER_SIZE + header.size)
		return;
	buffer_consume(&events->reply, TTRPC_HEADER_SIZE + header.size);
	loop_remove_timer(&events->timer);
	drop_first(events);
	text_reset(&events->frame);
	events->sent = 0;
	if (!list_empty(&events->queue))
		send_first(events);
}

static void on_ready(struct watch *watch, short revents)
{
	struct events *events = list_entry(watch, struct events, watch);
	ssize_t sent;

	if (events->sent == events->frame.size) {
		if (events->frame.size)
			on_reply(events);
		else /* idle: containerd went away */
			disconnect(events);
		return;
	}
	(void)revents;
	sent = send(events->fd, events->frame.data + events->sent, events->frame.size - events->sent,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (sent < 0) {
		fail(events, "send");
		return;
	}
	events->sent += (size_t)sent;
	if (events->sent == events->frame.size)
		loop_add(events->loop, &events->watch, events->fd, POLLIN, on_ready);
}

static void send_first(struct events *events)
{
	AUTO(error_clear) struct error err = { 0 };
	struct event *event = list_entry(list_first(&events->queue), struct event, node);

	if (events->fd < 0) {
		events->fd = ttrpc_connect(events->address, &err);
		events->stream_id = 1;
		if (events->fd < 0) {
			fail(events, err.message);
			return;
		}
		fd_set_nonblocking(events->fd, true);
	}
	text_reset(&events->frame);
	events->sent = 0;
	ttrpc_call_add(&events->frame, events->stream_id, EVENTS_SERVICE, "Forward", events->name_space,
		       &event->request, event_forward_request_fields);
	events->stream_id += 2;
	loop_add(events->loop, &events->watch, events->fd, POLLOUT, on_ready);
	loop_add_timer(events->loop, &events->timer, ANSWER_MS, on_no_answer);
}

void events_publish(struct events *events, const char *topic, const char *type, const void *message,
		    const struct proto_field *fields)
{
	struct event *event;
	struct text bytes = { 0 };

	if (!events->address)
		return;
	if (events->count >= QUEUE_MAX) {
		log_warn(events->log, "event dropped: too many wait", F("topic", topic));
		return;
	}
	event = xcalloc(1, sizeof(*event));
	proto_encode(&bytes, message, fields);
	event->request.envelope = (struct event_envelope){
		.timestamp = clock_wall_ns(),
		.name_space = xstrdup(events->name_space),
		.topic = xstrdup(topic),
		.event = { .type_url = xasprintf("containerd.events.%s", type),
			   .value = { .data = (uint8_t *)bytes.data, .size = bytes.size } },
	};
	list_add_last(&events->queue, &event->node);
	events->count++;
	if (events->count == 1 && !events->waiting)
		send_first(events);
}

bool events_is_idle(const struct events *events)
{
	return list_empty(&events->queue);
}
