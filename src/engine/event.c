/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the bus keeps its events in two orders of copies: the ring,
 * and a queue per subscription. One mutex guards all; an eventfd per
 * subscription tells its reader that the queue is not empty.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/thread.h"
#include "engine/event.h"

#define RING_SIZE 256
#define QUEUE_SIZE 1024

struct event_bus {
	struct mutex mutex;
	struct event ring[RING_SIZE];
	size_t next; /* place of the next event in the ring */
	size_t count;
	uint64_t total;
	struct list subscriptions;
};

struct event_subscription {
	struct list_node node;
	struct event_bus *bus; /* borrowed */
	struct event_query query;
	int wake_fd;
	struct event *queue; /* ring of QUEUE_SIZE */
	size_t first;
	size_t count;
	bool dropped; /* it was too slow: nothing is added any more */
};

struct event_actor {
	char *id;
	struct text_map attributes;
};

struct event_document {
	char *type;
	char *action;
	struct event_actor actor;
	char *scope;
	int64_t time;
	int64_t time_nano;
};

static const struct json_field actor_fields[] = {
	JSON_TEXT("ID", struct event_actor, id, 0),
	JSON_TEXT_MAP("Attributes", struct event_actor, attributes, 0),
	JSON_END,
};

static const struct json_field event_fields[] = {
	JSON_TEXT("Type", struct event_document, type, 0),
	JSON_TEXT("Action", struct event_document, action, 0),
	JSON_OBJECT("Actor", struct event_document, actor, actor_fields, 0),
	JSON_TEXT("scope", struct event_document, scope, 0),
	JSON_I64("time", struct event_document, time, 0),
	JSON_I64("timeNano", struct event_document, time_nano, 0),
	JSON_END,
};

const char *const event_filter_keys[] = { "config", "container", "daemon", "event",  "image",
					  "label",  "network",	 "node",   "plugin", "scope",
					  "secret", "service",	 "type",   "volume", NULL };

char *event_encode(const struct event *event)
{
	char scope[] = "local";
	const struct event_document document = {
		.type = event->type,
		.action = event->action,
		.actor = { event->actor_id, event->attributes },
		.scope = scope,
		.time = event->time_ns / CLOCK_SECOND,
		.time_nano = event->time_ns,
	};

	return json_encode(&document, event_fields);
}

void event_fini(struct event *event)
{
	free(event->type);
	free(event->action);
	free(event->actor_id);
	text_map_fini(&event->attributes);
	memset(event, 0, sizeof(*event));
}

static void event_copy(struct event *to, const struct event *from)
{
	to->type = xstrdup(from->type);
	to->action = xstrdup(from->action);
	to->actor_id = xstrdup(from->actor_id);
	to->time_ns = from->time_ns;
	memset(&to->attributes, 0, sizeof(to->attributes));
	text_map_copy(&to->attributes, &from->attributes);
}

struct event_bus *event_bus_new(void)
{
	struct event_bus *bus = xcalloc(1, sizeof(*bus));

	mutex_init(&bus->mutex);
	list_init(&bus->subscriptions);
	return bus;
}

void event_bus_free(struct event_bus *bus)
{
	if (!bus)
		return;
	for (size_t i = 0; i < RING_SIZE; i++)
		event_fini(&bus->ring[i]);
	mutex_fini(&bus->mutex);
	free(bus);
}

/* "event" matches the whole action, or its first word for "health_status: healthy" and "exec_create: ls". */
static bool match_action(const struct filter_set *filters, const char *action)
{
	const char *colon = strchr(action, ':');
	char *word;
	bool matches = filter_match_exact(filters, "event", action);

	if (matches || !colon)
		return matches;
	word = xstrndup(action, (size_t)(colon - action));
	matches = filter_match_exact(filters, "event", word);
	free(word);
	return matches;
}

/* A filter by the object's kind takes its id, the start of it, or its name; other kinds' events do not pass. */
static bool match_actor(const struct filter_set *filters, const char *kind, const struct event *event)
{
	const struct text_list *values = filter_values(filters, kind);
	const char *name = text_map_get(&event->attributes, "name");

	if (!values)
		return true;
	if (!text_equal(event->type, kind))
		return false;
	for (size_t i = 0; i < values->count; i++) {
		const char *wanted = values->items[i][0] == '/' ? values->items[i] + 1 : values->items[i];

		if (text_equal(wanted, name) || text_has_prefix(event->actor_id, wanted))
			return true;
	}
	return false;
}

/* image=NAME also shows the events of containers that came from it. */
static bool match_image(const struct filter_set *filters, const struct event *event)
{
	const struct text_list *values = filter_values(filters, "image");
	const char *image = text_map_get(&event->attributes, "image");
	const char *name = text_map_get(&event->attributes, "name");

	if (!values)
		return true;
	if (text_equal(event->type, "container"))
		return image && text_list_contains(values, image);
	if (!text_equal(event->type, "image"))
		return false;
	return text_list_contains(values, event->actor_id) || (name && text_list_contains(values, name));
}

static bool match(const struct event_query *query, const struct event *event)
{
	static const char *const kinds[] = { "container", "network", "volume", "daemon", "plugin", NULL };
	const struct filter_set *filters = query->filters;

	if (query->until_ns && event->time_ns > query->until_ns)
		return false;
	if (!filters)
		return true;
	for (const char *const *kind = kinds; *kind; kind++)
		if (!match_actor(filters, *kind, event))
			return false;
	return match_action(filters, event->action) && filter_match_exact(filters, "type", event->type) &&
	       filter_match_exact(filters, "scope", "local") && match_image(filters, event) &&
	       filter_match_labels(filters, "label", &event->attributes);
}

static void enqueue_locked(struct event_subscription *subscription, const struct event *event)
{
	const uint64_t one = 1;
	size_t place;

	mutex_assert_held(&subscription->bus->mutex);
	if (subscription->dropped || !match(&subscription->query, event))
		return;
	/* A gap that nobody is told of would be worse than an end: who comes back asks `since`. */
	if (subscription->count == QUEUE_SIZE) {
		subscription->dropped = true;
		return;
	}
	place = (subscription->first + subscription->count) % QUEUE_SIZE;
	event_copy(&subscription->queue[place], event);
	subscription->count++;
	if (write(subscription->wake_fd, &one, sizeof(one)) < 0)
		return; /* EAGAIN: it is awake already */
}

void event_publish(struct event_bus *bus, const char *type, const char *action, const char *actor_id,
		   const struct text_map *attributes)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&bus->mutex);
	struct event *event = &bus->ring[bus->next];

	event_fini(event);
	event->type = xstrdup(type);
	event->action = xstrdup(action);
	event->actor_id = xstrdup(actor_id);
	event->time_ns = clock_wall_ns();
	if (attributes)
		text_map_copy(&event->attributes, attributes);
	bus->next = (bus->next + 1) % RING_SIZE;
	bus->total++;
	if (bus->count < RING_SIZE)
		bus->count++;
	LIST_FOR_EACH (node, &bus->subscriptions)
		enqueue_locked(list_entry(node, struct event_subscription, node), event);
}

int event_subscribe(struct event_subscription **out_subscription, struct event_bus *bus,
		    const struct event_query *query, struct error *err)
{
	int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct event_subscription *subscription;

	if (wake_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "subscribe to events: eventfd");
	subscription = xcalloc(1, sizeof(*subscription));
	subscription->bus = bus;
	subscription->query = *query;
	subscription->wake_fd = wake_fd;
	subscription->queue = xcalloc(QUEUE_SIZE, sizeof(*subscription->queue));

	mutex_lock(&bus->mutex);
	for (size_t i = 0; query->since_ns && i < bus->count; i++) {
		const struct event *event = &bus->ring[(bus->next + RING_SIZE - bus->count + i) % RING_SIZE];

		if (event->time_ns >= query->since_ns)
			enqueue_locked(subscription, event);
	}
	list_add_last(&bus->subscriptions, &subscription->node);
	mutex_unlock(&bus->mutex);
	*out_subscription = subscription;
	return 0;
}

/* 1 with an event, 0 if there is none. */
static int take_event(struct event *out_event, struct event_subscription *subscription, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&subscription->bus->mutex);
	uint64_t drained;

	if (subscription->count == 0 && subscription->dropped)
		return error_set(err, ERR_UNAVAILABLE, "a reader of events was more than %d of them behind",
				 QUEUE_SIZE);
	if (subscription->count == 0) {
		if (read(subscription->wake_fd, &drained, sizeof(drained)) < 0)
			return 0; /* EAGAIN: nothing came */
		return 0;
	}
	*out_event = subscription->queue[subscription->first];
	memset(&subscription->queue[subscription->first], 0, sizeof(*out_event));
	subscription->first = (subscription->first + 1) % QUEUE_SIZE;
	subscription->count--;
	return 1;
}

static int time_left_ms(const struct event_query *query)
{
	int64_t left_ms;

	if (!query->until_ns)
		return -1;
	left_ms = (query->until_ns - clock_wall_ns() + CLOCK_MS - 1) / CLOCK_MS;
	if (left_ms < 0)
		return 0;
	return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

int event_next(struct event *out_event, struct event_subscription *subscription, int cancel_fd, struct error *err)
{
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = subscription->wake_fd, .events = POLLIN },
			{ .fd = cancel_fd, .events = POLLIN },
		};
		int timeout_ms;
		int r = take_event(out_event, subscription, err);

		if (r != 0)
			return r;
		timeout_ms = time_left_ms(&subscription->query);
		if (timeout_ms == 0)
			return 0;
		if (poll(fds, 2, timeout_ms) < 0 && errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "wait for events: poll");
		if (fds[1].revents)
			return error_set(err, ERR_CANCELED, "the client went away");
	}
}

void event_unsubscribe(struct event_subscription *subscription)
{
	if (!subscription)
		return;
	mutex_lock(&subscription->bus->mutex);
	list_remove(&subscription->node);
	mutex_unlock(&subscription->bus->mutex);
	for (size_t i = 0; i < QUEUE_SIZE; i++)
		event_fini(&subscription->queue[i]);
	free(subscription->queue);
	close(subscription->wake_fd);
	free(subscription);
}

uint64_t event_total(struct event_bus *bus)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&bus->mutex);

	return bus->total;
}

size_t event_listener_count(struct event_bus *bus)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&bus->mutex);
	size_t count = 0;

	LIST_FOR_EACH (node, &bus->subscriptions)
		count++;
	return count;
}
