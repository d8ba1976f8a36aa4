/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/upstream.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/list.h"
#include "base/thread.h"

#define PROCESSES_MAX 8
/* One that nobody asked anything for so long ends with the next question to its upstream. */
#define IDLE_MAX_NS (60 * CLOCK_SECOND)
#define DOWN_NS (10 * CLOCK_SECOND)
#define PASSWORD_MAX 65536

const struct json_field upstream_fields[] = {
	JSON_TEXT("name", struct upstream_config, name, JSON_REQUIRED),
	JSON_TEXT("url", struct upstream_config, url, 0),
	JSON_TEXT("prefix", struct upstream_config, prefix, 0),
	JSON_TEXT("username", struct upstream_config, username, 0),
	JSON_TEXT("password-file", struct upstream_config, password_file, 0),
	JSON_BOOL("insecure", struct upstream_config, insecure, 0),
	JSON_TEXT("certificates", struct upstream_config, certificates, 0),
	JSON_OPT_I64("tag-life", struct upstream_config, tag_life_s, 0),
	JSON_END,
};

struct worker {
	struct list_node node;
	struct fetcher *fetcher;
	int64_t used_ns;
};

struct upstream {
	const struct upstream_config *config; /* borrowed */
	struct mutex lock;		      /* guards all below */
	struct condition given;		      /* a worker came back, or ended */
	struct list idle;
	struct list busy;
	size_t count;
	bool stopping;
	int64_t down_until_ns;
};

struct upstream_list {
	struct upstream *items;
	size_t count;
};

/* ---- the list ---- */

struct upstream_list *upstream_list_new(const struct upstream_config *configs, size_t count)
{
	struct upstream_list *list = xcalloc(1, sizeof(*list));

	list->items = xcalloc(count + 1, sizeof(*list->items));
	list->count = count;
	for (size_t i = 0; i < count; i++) {
		struct upstream *upstream = &list->items[i];

		upstream->config = &configs[i];
		mutex_init(&upstream->lock);
		condition_init(&upstream->given);
		list_init(&upstream->idle);
		list_init(&upstream->busy);
	}
	return list;
}

static void free_worker(struct worker *worker)
{
	fetcher_free(worker->fetcher);
	free(worker);
}

static void stop_one(struct upstream *upstream)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&upstream->lock);

	upstream->stopping = true;
	LIST_FOR_EACH (node, &upstream->busy) {
		fetcher_stop(list_entry(node, struct worker, node)->fetcher);
	}
	condition_broadcast(&upstream->given);
	while (!list_empty(&upstream->busy))
		condition_wait(&upstream->given, &upstream->lock);
}

void upstream_list_stop(struct upstream_list *list)
{
	for (size_t i = 0; list && i < list->count; i++)
		stop_one(&list->items[i]);
}

void upstream_list_free(struct upstream_list *list)
{
	if (!list)
		return;
	upstream_list_stop(list);
	for (size_t i = 0; i < list->count; i++) {
		struct upstream *upstream = &list->items[i];

		LIST_FOR_EACH (node, &upstream->idle) {
			free_worker(list_entry(node, struct worker, node));
		}
		condition_fini(&upstream->given);
		mutex_fini(&upstream->lock);
	}
	free(list->items);
	free(list);
}

struct upstream *upstream_by_name(const struct upstream_list *list, const char *name)
{
	for (size_t i = 0; list && i < list->count; i++)
		if (text_equal(list->items[i].config->name, name))
			return &list->items[i];
	return NULL;
}

const char *upstream_prefix(const struct upstream_config *config)
{
	return config->prefix ? config->prefix : config->name;
}

const struct upstream_config *upstream_config_of(const struct upstream *upstream)
{
	return upstream->config;
}

struct upstream *upstream_of(const struct upstream_list *list, const char *repository, char **out_path)
{
	struct upstream *best = NULL;
	const char *path = NULL;

	for (size_t i = 0; list && i < list->count; i++) {
		const char *rest = text_after(repository, upstream_prefix(list->items[i].config));

		/* The longest prefix: "hub" and "hub/mirror" may both be there. */
		if (rest && *rest == '/' && (!path || rest > path)) {
			best = &list->items[i];
			path = rest;
		}
	}
	if (!best)
		return NULL;
	path++;
	*out_path = text_equal(best->config->name, "docker.io") && !strchr(path, '/') ? xasprintf("library/%s", path)
										      : xstrdup(path);
	return best;
}

/* ---- processes ---- */

static int start_fetcher(struct fetcher **out_fetcher, const struct upstream_config *config, struct error *err)
{
	struct session_settings settings = { 0 };
	struct session_auth auth = { .username = config->username };
	AUTO_FREE char *password = NULL;
	int r = 0;

	if (config->password_file)
		r = file_read(&password, NULL, AT_FDCWD, config->password_file, PASSWORD_MAX);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read %s", config->password_file);
	auth.password = password ? text_trim(password) : NULL;
	if (config->insecure && config->url) {
		const char *rest = strstr(config->url, "://");
		AUTO_FREE char *host = xstrdup(rest ? rest + 3 : config->url);

		host[strcspn(host, "/")] = '\0';
		text_list_add(&settings.insecure, host);
	} else if (config->insecure) {
		text_list_add(&settings.insecure, config->name);
	}
	if (config->certificates)
		text_list_add(&settings.certs, config->certificates);
	r = fetcher_new(out_fetcher,
			&(struct fetcher_options){ .server = config->url ? config->url : config->name,
						   .auth = config->username ? &auth : NULL,
						   .settings = &settings },
			err);
	text_list_fini(&settings.insecure);
	text_list_fini(&settings.certs);
	return r;
}

/* The one that was used last, so that the others come of age. NULL: start one. */
static struct worker *pick_idle_locked(struct upstream *upstream, struct list *out_old)
{
	int64_t limit = clock_monotonic_ns() - IDLE_MAX_NS;
	struct worker *best = NULL;

	mutex_assert_held(&upstream->lock);
	LIST_FOR_EACH (node, &upstream->idle) {
		struct worker *worker = list_entry(node, struct worker, node);

		if (worker->used_ns < limit) {
			list_remove(node);
			list_add_last(out_old, node);
			upstream->count--;
		} else if (!best || worker->used_ns > best->used_ns) {
			best = worker;
		}
	}
	if (best)
		list_remove(&best->node);
	return best;
}

static int borrow(struct worker **out_worker, struct upstream *upstream, struct error *err)
{
	struct worker *worker = NULL;
	struct list old;

	list_init(&old);
	mutex_lock(&upstream->lock);
	for (;;) {
		worker = pick_idle_locked(upstream, &old);
		if (worker || upstream->count < PROCESSES_MAX || upstream->stopping)
			break;
		condition_wait(&upstream->given, &upstream->lock);
	}
	if (upstream->stopping) {
		if (worker)
			list_add_last(&upstream->idle, &worker->node);
		mutex_unlock(&upstream->lock);
		return error_set(err, ERR_UNAVAILABLE, "the registry is stopping");
	}
	if (worker)
		list_add_last(&upstream->busy, &worker->node);
	else
		upstream->count++;
	mutex_unlock(&upstream->lock);
	LIST_FOR_EACH (node, &old) {
		free_worker(list_entry(node, struct worker, node));
	}
	*out_worker = worker;
	return 0;
}

static void forget(struct upstream *upstream, struct worker *worker)
{
	mutex_lock(&upstream->lock);
	list_remove(&worker->node);
	upstream->count--;
	condition_broadcast(&upstream->given);
	mutex_unlock(&upstream->lock);
	free_worker(worker);
}

/* `borrow` counted it; here it comes to life. */
static int start_worker(struct worker **out_worker, struct upstream *upstream, struct error *err)
{
	struct worker *worker = xcalloc(1, sizeof(*worker));
	bool stopping;

	if (start_fetcher(&worker->fetcher, upstream->config, err) < 0) {
		forget(upstream, worker);
		return -1;
	}
	mutex_lock(&upstream->lock);
	list_add_last(&upstream->busy, &worker->node);
	stopping = upstream->stopping;
	mutex_unlock(&upstream->lock);
	if (stopping)
		fetcher_stop(worker->fetcher);
	*out_worker = worker;
	return 0;
}

static void give_back(struct upstream *upstream, struct worker *worker)
{
	if (fetcher_is_broken(worker->fetcher)) {
		forget(upstream, worker);
		return;
	}
	mutex_lock(&upstream->lock);
	worker->used_ns = clock_monotonic_ns();
	list_remove(&worker->node);
	list_add_last(&upstream->idle, &worker->node);
	condition_broadcast(&upstream->given);
	mutex_unlock(&upstream->lock);
}

static void note_health(struct upstream *upstream, bool down)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&upstream->lock);

	upstream->down_until_ns = down ? clock_monotonic_ns() + DOWN_NS : 0;
}

bool upstream_is_down(struct upstream *upstream)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&upstream->lock);

	return upstream->down_until_ns > clock_monotonic_ns();
}

/* A signed URL is a key: it must not be read in an answer or a log. */
static void hide_signature(struct error *err)
{
	char *query = err->message ? strstr(err->message, "?X-Amz-") : NULL;
	size_t size = query ? strcspn(query, " \t\n\"") : 0;

	if (query)
		memmove(query, query + size, strlen(query + size) + 1);
}

int upstream_send(struct fetch_head *out_head, struct upstream *upstream, const struct fetch_call *call,
		  struct error *err)
{
	struct worker *worker = NULL;
	int r;

	*out_head = (struct fetch_head){ 0 };
	if (borrow(&worker, upstream, err) < 0 || (!worker && start_worker(&worker, upstream, err) < 0))
		return -1;
	r = fetcher_send(out_head, worker->fetcher, call, err);
	note_health(upstream, r < 0 && out_head->status == 0);
	give_back(upstream, worker);
	if (r == 0)
		return 0;
	hide_signature(err);
	return error_prefix(err, "upstream %s", upstream->config->name);
}
