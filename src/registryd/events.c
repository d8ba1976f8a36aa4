/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/events.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/random.h"
#include "base/thread.h"
#include "registryd/metrics.h"
#include "transfer/fetcher.h"

#define QUEUE_DEFAULT 1000
#define PAUSE_FIRST_MS 1000
#define PAUSE_MAX_MS 60000
#define MEDIA_TYPE "application/vnd.docker.distribution.events.v1+json"
#define ID_BYTES 16

const struct json_field webhook_fields[] = {
	JSON_TEXT("name", struct webhook, name, 0),
	JSON_TEXT("url", struct webhook, url, JSON_REQUIRED),
	JSON_TEXT_MAP("headers", struct webhook, headers, 0),
	JSON_TEXT_LIST("actions", struct webhook, actions, 0),
	JSON_TEXT_LIST("repositories", struct webhook, repositories, 0),
	JSON_OPT_I64("queue", struct webhook, queue, 0),
	JSON_END,
};

struct waiting {
	struct list_node node;
	char *text;
};

struct receiver {
	const struct webhook *config; /* borrowed */
	struct events *events;
	struct list queue;
	size_t count;
	pthread_t thread;
	bool thread_runs;
	struct fetcher *fetcher; /* the thread's, but stopped with the lock */
};

struct events {
	const struct log *log;	 /* borrowed */
	struct metrics *metrics; /* borrowed */
	char instance[ID_BYTES * 2 + 1];
	struct mutex lock; /* guards the receivers' queues */
	struct condition changed;
	bool ending;
	struct receiver *receivers;
	size_t receiver_count;
};

/* ---- the envelope ---- */

struct target {
	char *media_type;
	char *digest;
	int64_t size;
	int64_t length;
	char *repository;
	char *from_repository;
	char *url;
	char *tag;
};

struct request {
	char *id;
	char *addr;
	char *host;
	char *method;
	char *useragent;
};

struct named {
	char *name;
};

struct source {
	char *addr;
	char *instance;
};

struct record {
	char *id;
	char *timestamp;
	char *action;
	struct target target;
	struct request request;
	struct named actor;
	struct source source;
};

struct envelope {
	JSON_ARRAY_OF(struct record) events;
};

static const struct json_field target_fields[] = {
	JSON_TEXT("mediaType", struct target, media_type, JSON_OMIT_EMPTY),
	JSON_I64("size", struct target, size, JSON_OMIT_EMPTY),
	JSON_TEXT("digest", struct target, digest, JSON_OMIT_EMPTY),
	JSON_I64("length", struct target, length, JSON_OMIT_EMPTY),
	JSON_TEXT("repository", struct target, repository, 0),
	JSON_TEXT("fromRepository", struct target, from_repository, JSON_OMIT_EMPTY),
	JSON_TEXT("url", struct target, url, JSON_OMIT_EMPTY),
	JSON_TEXT("tag", struct target, tag, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field request_fields[] = {
	JSON_TEXT("id", struct request, id, 0),
	JSON_TEXT("addr", struct request, addr, 0),
	JSON_TEXT("host", struct request, host, 0),
	JSON_TEXT("method", struct request, method, 0),
	JSON_TEXT("useragent", struct request, useragent, 0),
	JSON_END,
};

static const struct json_field actor_fields[] = {
	JSON_TEXT("name", struct named, name, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field source_fields[] = {
	JSON_TEXT("addr", struct source, addr, 0),
	JSON_TEXT("instanceID", struct source, instance, 0),
	JSON_END,
};

static const struct json_field record_fields[] = {
	JSON_TEXT("id", struct record, id, 0),
	JSON_TEXT("timestamp", struct record, timestamp, 0),
	JSON_TEXT("action", struct record, action, 0),
	JSON_OBJECT("target", struct record, target, target_fields, 0),
	JSON_OBJECT("request", struct record, request, request_fields, 0),
	JSON_OBJECT("actor", struct record, actor, actor_fields, 0),
	JSON_OBJECT("source", struct record, source, source_fields, 0),
	JSON_END,
};

static const struct json_field envelope_fields[] = {
	JSON_ARRAY("events", struct envelope, events, record_fields, 0),
	JSON_END,
};

static char *plain(const char *text)
{
	return (char *)(uintptr_t)text_or_empty(text);
}

static char *write_envelope(const struct events *events, const struct event *event)
{
	char ids[2][ID_BYTES * 2 + 1];
	char now[CLOCK_TEXT_MAX];
	char host[256] = "";
	AUTO_FREE char *url = xasprintf("%s://%s%s", event->tls ? "https" : "http", text_or_empty(event->host),
					text_or_empty(event->path));
	struct record record = {
		.id = ids[0],
		.timestamp = now,
		.action = plain(event->action),
		.target = { .media_type = plain(event->media_type),
			    .digest = plain(event->digest),
			    .size = event->size,
			    .length = event->size,
			    .repository = plain(event->repository),
			    .from_repository = plain(event->from_repository),
			    .url = url,
			    .tag = plain(event->tag) },
		.request = { .id = ids[1],
			     .addr = plain(event->client),
			     .host = plain(event->host),
			     .method = plain(event->method),
			     .useragent = plain(event->agent) },
		.actor = { plain(event->user) },
		.source = { host, plain(events->instance) },
	};
	struct envelope envelope = { .events = { &record, 1 } };

	random_hex(ids[0], ID_BYTES);
	random_hex(ids[1], ID_BYTES);
	clock_format(now, clock_wall_ns());
	gethostname(host, sizeof(host) - 1);
	return json_encode(&envelope, envelope_fields);
}

/* ---- queues ---- */

static bool wants(const struct webhook *webhook, const struct event *event)
{
	if (webhook->actions.count && !text_list_contains(&webhook->actions, event->action))
		return false;
	for (size_t i = 0; i < webhook->repositories.count; i++)
		if (fnmatch(webhook->repositories.items[i], event->repository, 0) == 0)
			return true;
	return webhook->repositories.count == 0;
}

/* node: the first of the queue, or NULL. */
static void drop_locked(struct receiver *receiver, struct list_node *node)
{
	struct waiting *waiting;

	if (!node)
		return;
	waiting = list_entry(node, struct waiting, node);
	list_remove(node);
	receiver->count--;
	free(waiting->text);
	free(waiting);
}

static void add_locked(struct receiver *receiver, const char *text)
{
	size_t limit = (size_t)optional_i64_or(receiver->config->queue, QUEUE_DEFAULT);
	struct waiting *waiting = xcalloc(1, sizeof(*waiting));

	mutex_assert_held(&receiver->events->lock);
	while (receiver->count >= limit) {
		drop_locked(receiver, list_first(&receiver->queue));
		metrics_add_event(receiver->events->metrics, false);
	}
	waiting->text = xstrdup(text);
	list_add_last(&receiver->queue, &waiting->node);
	receiver->count++;
}

void events_add(struct events *events, const struct event *event)
{
	AUTO_UNLOCK struct mutex *held = NULL;
	AUTO_FREE char *text = NULL;

	if (!events)
		return;
	text = write_envelope(events, event);
	held = mutex_hold(&events->lock);
	for (size_t i = 0; i < events->receiver_count; i++)
		if (wants(events->receivers[i].config, event))
			add_locked(&events->receivers[i], text);
	condition_broadcast(&events->changed);
}

/* ---- the receivers' threads ---- */

/* What comes up behind stop() would be ended by nobody. */
static int keep_fetcher(struct receiver *receiver, struct fetcher *fetcher, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&receiver->events->lock);

	receiver->fetcher = fetcher;
	return receiver->events->ending ? error_set(err, ERR_CANCELED, "the registry is stopping") : 0;
}

static int post(struct receiver *receiver, const char *text, struct error *err)
{
	const struct webhook *config = receiver->config;
	AUTO(text_list_fini) struct text_list headers = { 0 };
	AUTO(fetch_head_fini) struct fetch_head head = { 0 };
	struct fetcher *fetcher = receiver->fetcher;
	int r;

	if (!fetcher && fetcher_new(&fetcher, &(struct fetcher_options){ .server = config->url }, err) < 0)
		return -1;
	if (keep_fetcher(receiver, fetcher, err) < 0)
		return -1;
	text_list_add(&headers, "Content-Type: " MEDIA_TYPE);
	for (size_t i = 0; i < config->headers.count; i++)
		text_list_addf(&headers, "%s: %s", config->headers.items[i].key, config->headers.items[i].value);
	r = fetcher_send(
		&head, fetcher,
		&(struct fetch_call){ .method = "POST", .url = config->url, .text = text, .headers = &headers }, err);
	if (!fetcher_is_broken(fetcher))
		return r;
	mutex_lock(&receiver->events->lock);
	receiver->fetcher = NULL;
	mutex_unlock(&receiver->events->lock);
	fetcher_free(fetcher);
	return r;
}

/* A copy of the first one (yours), when there is one; NULL: the end. */
static char *wait_event(struct receiver *receiver)
{
	struct events *events = receiver->events;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&events->lock);

	while (list_empty(&receiver->queue) && !events->ending)
		condition_wait(&events->changed, &events->lock);
	if (events->ending)
		return NULL;
	return xstrdup(list_entry(list_first(&receiver->queue), struct waiting, node)->text);
}

/* It may have been dropped from a full queue while it was sent. */
static void forget(struct receiver *receiver, const char *text)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&receiver->events->lock);
	struct list_node *node = list_first(&receiver->queue);

	if (node && text_equal(list_entry(node, struct waiting, node)->text, text))
		drop_locked(receiver, node);
}

static void pause_for(struct events *events, int64_t ms)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&events->lock);
	int64_t deadline_ns = clock_monotonic_ns() + ms * CLOCK_MS;

	while (!events->ending && condition_wait_until(&events->changed, &events->lock, deadline_ns))
		;
}

static void *receiver_main(void *arg)
{
	struct receiver *receiver = arg;
	struct events *events = receiver->events;
	const char *name = receiver->config->name ? receiver->config->name : receiver->config->url;
	int64_t pause_ms = PAUSE_FIRST_MS;

	for (;;) {
		AUTO_FREE char *text = wait_event(receiver);
		AUTO(error_clear) struct error err = { 0 };

		if (!text)
			return NULL;
		if (post(receiver, text, &err) == 0) {
			metrics_add_event(events->metrics, true);
			forget(receiver, text);
			pause_ms = PAUSE_FIRST_MS;
			continue;
		}
		log_warn(events->log, "event was not taken", F("webhook", name), F("error", err.message));
		pause_for(events, pause_ms);
		pause_ms = pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
	}
}

/* ---- life ---- */

struct events *events_new(const struct webhook *webhooks, size_t count, const struct log *log, struct metrics *metrics)
{
	struct events *events = xcalloc(1, sizeof(*events));

	events->log = log;
	events->metrics = metrics;
	random_hex(events->instance, ID_BYTES);
	mutex_init(&events->lock);
	condition_init(&events->changed);
	events->receivers = xcalloc(count + 1, sizeof(*events->receivers));
	events->receiver_count = count;
	for (size_t i = 0; i < count; i++) {
		events->receivers[i].config = &webhooks[i];
		events->receivers[i].events = events;
		list_init(&events->receivers[i].queue);
	}
	return events;
}

int events_start(struct events *events, struct error *err)
{
	for (size_t i = 0; i < events->receiver_count; i++) {
		struct receiver *receiver = &events->receivers[i];

		if (thread_start(&receiver->thread, "webhook", receiver_main, receiver, err) < 0)
			return -1;
		receiver->thread_runs = true;
	}
	return 0;
}

static void stop(struct events *events)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&events->lock);

	events->ending = true;
	condition_broadcast(&events->changed);
	for (size_t i = 0; i < events->receiver_count; i++)
		if (events->receivers[i].fetcher)
			fetcher_stop(events->receivers[i].fetcher);
}

void events_free(struct events *events)
{
	if (!events)
		return;
	stop(events);
	for (size_t i = 0; i < events->receiver_count; i++) {
		struct receiver *receiver = &events->receivers[i];

		if (receiver->thread_runs)
			pthread_join(receiver->thread, NULL);
		fetcher_free(receiver->fetcher);
		while (receiver->count)
			drop_locked(receiver, list_first(&receiver->queue));
	}
	free(events->receivers);
	condition_fini(&events->changed);
	mutex_fini(&events->lock);
	free(events);
}
