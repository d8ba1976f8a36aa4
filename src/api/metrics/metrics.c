/* SPDX-License-Identifier: Apache-2.0 */
#include "api/metrics/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "engine/event.h"
#include "engine/health.h"
#include "engine/system.h"
#include "http/uri.h"

#define STATUS_CLASSES 6
#define BUCKET_COUNT 11

static const double bucket_bounds[BUCKET_COUNT] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 };
static const char *const actions[] = { "changes", "commit", "create", "delete", "start" };
static const char *const methods[] = { "DELETE", "GET", "HEAD", "POST", "PUT" };

#define ACTION_COUNT (sizeof(actions) / sizeof(actions[0]))
#define METHOD_COUNT (sizeof(methods) / sizeof(methods[0]))

struct histogram {
	uint64_t buckets[BUCKET_COUNT]; /* at most the bound, not cumulative */
	uint64_t count;
	int64_t sum_ns;
};

struct metrics {
	struct mutex mutex; /* guards the figures */
	struct histogram containers[ACTION_COUNT];
	uint64_t requests[METHOD_COUNT][STATUS_CLASSES];
	struct engine *engine; /* borrowed; atomic */
};

struct metrics *metrics_new(void)
{
	struct metrics *metrics = xcalloc(1, sizeof(*metrics));

	mutex_init(&metrics->mutex);
	return metrics;
}

void metrics_free(struct metrics *metrics)
{
	if (!metrics)
		return;
	mutex_fini(&metrics->mutex);
	free(metrics);
}

void metrics_set_engine(struct metrics *metrics, struct engine *engine)
{
	__atomic_store_n(&metrics->engine, engine, __ATOMIC_RELEASE);
}

/* ---- counting ---- */

/* Index of what is done to a container, -1 for anything else. */
static int action_of(const char *method, const char *path)
{
	static const struct {
		const char *method;
		const char *pattern;
	} requests[ACTION_COUNT] = {
		{ "GET", "/containers/{id...}/changes" }, { "POST", "/commit" },
		{ "POST", "/containers/create" },	  { "DELETE", "/containers/{id}" },
		{ "POST", "/containers/{id...}/start" },
	};

	for (size_t i = 0; i < ACTION_COUNT; i++) {
		AUTO(text_map_fini) struct text_map params = { 0 };

		if (text_equal(requests[i].method, method) && http_route_match(requests[i].pattern, path, &params))
			return (int)i;
	}
	return -1;
}

static void observe(struct histogram *histogram, int64_t duration_ns)
{
	double seconds = (double)duration_ns / (double)CLOCK_SECOND;

	histogram->count++;
	histogram->sum_ns += duration_ns;
	for (size_t i = 0; i < BUCKET_COUNT; i++)
		if (seconds <= bucket_bounds[i]) {
			histogram->buckets[i]++;
			return;
		}
}

void metrics_request(struct metrics *metrics, const char *method, const char *path, int status, int64_t duration_ns)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&metrics->mutex);
	int action = action_of(method, path);
	int class = status / 100;

	if (action >= 0 && status < 400)
		observe(&metrics->containers[action], duration_ns);
	for (size_t i = 0; i < METHOD_COUNT; i++)
		if (text_equal(methods[i], method) && class > 0 && class < STATUS_CLASSES)
			metrics->requests[i][class]++;
}

/* ---- telling ---- */

static void head(struct text *out, const char *name, const char *type, const char *help)
{
	text_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_number(struct text *out, const char *name, const char *type, const char *help, uint64_t value)
{
	head(out, name, type, help);
	text_addf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void add_actions(struct text *out, const struct metrics *metrics)
{
	static const char name[] = "engine_daemon_container_actions_seconds";

	head(out, name, "histogram", "The number of seconds it takes to process each container action");
	for (size_t i = 0; i < ACTION_COUNT; i++) {
		const struct histogram *histogram = &metrics->containers[i];
		uint64_t below = 0;

		for (size_t j = 0; j < BUCKET_COUNT; j++) {
			below += histogram->buckets[j];
			text_addf(out, "%s_bucket{action=\"%s\",le=\"%g\"} %llu\n", name, actions[i], bucket_bounds[j],
				  (unsigned long long)below);
		}
		text_addf(out, "%s_bucket{action=\"%s\",le=\"+Inf\"} %llu\n", name, actions[i],
			  (unsigned long long)histogram->count);
		text_addf(out, "%s_sum{action=\"%s\"} %.9f\n", name, actions[i],
			  (double)histogram->sum_ns / (double)CLOCK_SECOND);
		text_addf(out, "%s_count{action=\"%s\"} %llu\n", name, actions[i],
			  (unsigned long long)histogram->count);
	}
}

static void add_requests(struct text *out, const struct metrics *metrics)
{
	head(out, "kist_http_requests_total", "counter", "Requests answered, by method and class of status");
	for (size_t i = 0; i < METHOD_COUNT; i++)
		for (size_t class = 1; class < STATUS_CLASSES; class ++)
			if (metrics->requests[i][class])
				text_addf(out, "kist_http_requests_total{method=\"%s\",code=\"%zuxx\"} %llu\n",
					  methods[i], class, (unsigned long long)metrics->requests[i][class]);
}

static void add_states(struct text *out, const struct system_info *info)
{
	static const char name[] = "engine_daemon_container_states_containers";

	head(out, name, "gauge", "The count of containers in various states");
	text_addf(out, "%s{state=\"paused\"} %lld\n", name, (long long)info->containers_paused);
	text_addf(out, "%s{state=\"running\"} %lld\n", name, (long long)info->containers_running);
	text_addf(out, "%s{state=\"stopped\"} %lld\n", name, (long long)info->containers_stopped);
}

static void add_label(struct text *out, const char *name, const char *value, const char *separator)
{
	text_addf(out, "%s%s=\"", separator, name);
	for (const char *c = text_or_empty(value); *c; c++)
		text_addf(out, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
	text_add_char(out, '"');
}

static void add_info(struct text *out, const struct system_info *info)
{
	head(out, "engine_daemon_engine_info", "gauge",
	     "The information related to the engine and the OS it is running on");
	text_add(out, "engine_daemon_engine_info{");
	add_label(out, "architecture", info->architecture, "");
	add_label(out, "commit", "kist-" KIST_VERSION, ",");
	add_label(out, "daemon_id", info->id, ",");
	add_label(out, "graphdriver", info->driver, ",");
	add_label(out, "kernel", info->kernel_version, ",");
	add_label(out, "os", info->operating_system, ",");
	add_label(out, "os_type", info->os_type, ",");
	add_label(out, "os_version", info->os_version, ",");
	add_label(out, "version", info->server_version, ",");
	text_add(out, "} 1\n");
}

static int add_engine(struct text *out, struct engine *engine, struct error *err)
{
	struct system_info info = { 0 };
	struct health_counts health;

	if (system_info(&info, engine, err) < 0)
		return -1;
	health_count(&health, engine);
	add_states(out, &info);
	add_info(out, &info);
	add_number(out, "engine_daemon_engine_cpus_cpus", "gauge", "The number of cpus that the host system has",
		   (uint64_t)info.cpu_count);
	add_number(out, "engine_daemon_engine_memory_bytes", "gauge", "The number of bytes of memory of the host",
		   (uint64_t)info.memory_total);
	add_number(out, "engine_daemon_events_subscribers_total", "gauge",
		   "The number of current subscribers to events", (uint64_t)info.event_listeners);
	add_number(out, "engine_daemon_events_total", "counter", "The number of events logged",
		   event_total(engine_events(engine)));
	add_number(out, "engine_daemon_health_checks_total", "counter", "The total number of health checks",
		   health.checks);
	add_number(out, "engine_daemon_health_checks_failed_total", "counter",
		   "The total number of failed health checks", health.failures);
	json_free_fields(&info, system_info_fields);
	return 0;
}

char *metrics_text(struct metrics *metrics, struct error *err)
{
	struct engine *engine = __atomic_load_n(&metrics->engine, __ATOMIC_ACQUIRE);
	AUTO(text_fini) struct text out = { 0 };

	mutex_lock(&metrics->mutex);
	add_actions(&out, metrics);
	add_requests(&out, metrics);
	mutex_unlock(&metrics->mutex);
	if (engine && add_engine(&out, engine, err) < 0)
		return NULL;
	return text_take(&out);
}

static int serve(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	char *text = metrics_text(context, err);

	(void)request;
	if (!text)
		return -1;
	http_reply_take(response, 200, "text/plain; version=0.0.4; charset=utf-8", text);
	return 0;
}

const struct http_route metrics_routes[] = {
	{ "GET", "/metrics", serve, 0 },
	{ NULL, NULL, NULL, 0 },
};

int metrics_not_found(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	(void)context;
	(void)request;
	(void)response;
	return error_set(err, ERR_NOT_FOUND, "page not found: the figures are at /metrics");
}
