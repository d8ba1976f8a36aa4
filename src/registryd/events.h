/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h - tells other programs what happened: docker distribution's envelope,
 * {"events":[{"action":"push",...}]}, one event a POST, in order.
 *
 * Each receiver has a queue of its own in memory; what it did not take is sent
 * again after 1, 2, 4 ... 60 seconds. A full queue drops its oldest, and so does
 * the end of the program. The POSTs are made by kist-transfer.
 * Threads: events_add() from any.
 */
#pragma once

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "json/json.h"

struct webhook {
	char *name; /* in the log */
	char *url;
	struct text_map headers;
	struct text_list actions;      /* "push", "pull", "mount", "delete"; none: all */
	struct text_list repositories; /* shell patterns; none: all */
	struct optional_i64 queue;     /* 1000 */
};

extern const struct json_field webhook_fields[];

struct event {
	const char *action;
	const char *repository;
	const char *media_type;
	const char *digest;
	int64_t size;
	const char *tag;	     /* NULL: none */
	const char *from_repository; /* of a mount */
	const char *path;	     /* of the target here: /v2/... */
	const char *user;	     /* NULL: anonymous */
	const char *client;	     /* its address */
	const char *host;	     /* as it called us */
	const char *method;
	const char *agent;
	bool tls;
};

struct events;
struct metrics;

/* All borrowed. */
struct events *events_new(const struct webhook *webhooks, size_t count, const struct log *log, struct metrics *metrics);
int events_start(struct events *events, struct error *err);
void events_free(struct events *events);
DEFINE_AUTO(struct events, events_free)
/* events may be NULL: nobody listens. */
void events_add(struct events *events, const struct event *event);
