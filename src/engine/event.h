/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event.h - what happened, for `docker events`: the last 256 events in a ring,
 * and subscribers with a queue of 1024 each.
 *
 * Publishing never waits: a subscriber that does not read loses its oldest
 * events. Thread-safe; a subscription belongs to one thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "engine/filter.h"
#include "json/json.h"

struct event_bus;
struct event_subscription;

struct event {
	char *type;   /* container, image, network, volume, daemon */
	char *action; /* "start", "exec_create: ls", ... */
	char *actor_id;
	struct text_map attributes;
	int64_t time_ns; /* wall */
};

/* API 1.51 form without the legacy keys: {"Type","Action","Actor":{"ID","Attributes"},"scope","time","timeNano"}. */
char *event_encode(const struct event *event);
void event_fini(struct event *event);

struct event_query {
	int64_t since_ns;		  /* 0: none of the past; wall time */
	int64_t until_ns;		  /* 0: for ever */
	const struct filter_set *filters; /* borrowed while the subscription lives; NULL: all */
};

/* Keys that a filters parameter for events may have, for filter_set_parse(). */
extern const char *const event_filter_keys[];

struct event_bus *event_bus_new(void);
void event_bus_free(struct event_bus *bus);
DEFINE_AUTO(struct event_bus, event_bus_free)

/* Copies attributes (may be NULL). */
void event_publish(struct event_bus *bus, const char *type, const char *action, const char *actor_id,
		   const struct text_map *attributes);

int event_subscribe(struct event_subscription **out_subscription, struct event_bus *bus,
		    const struct event_query *query, struct error *err);
/*
 * 1 and an event (yours: event_fini), 0 when `until` passed, or fails: ERR_CANCELED, or ERR_UNAVAILABLE when the reader
 * was so slow that it is dropped, after all that was waiting for it.
 */
int event_next(struct event *out_event, struct event_subscription *subscription, int cancel_fd, struct error *err);
void event_unsubscribe(struct event_subscription *subscription);
DEFINE_AUTO(struct event_subscription, event_unsubscribe)
/* Events ever published. */
uint64_t event_total(struct event_bus *bus);
/* For info's NEventsListener. */
size_t event_listener_count(struct event_bus *bus);
