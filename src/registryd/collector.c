/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/collector.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"

struct collector {
	struct api *api; /* borrowed */
	struct mutex lock;
	struct condition ends;
	bool ending;
	pthread_t thread;
};

static void collect(struct api *api)
{
	AUTO(error_clear) struct error err = { 0 };
	struct catalog_garbage garbage;
	AUTO_FREE char *blobs = NULL;
	AUTO_FREE char *bytes = NULL;
	AUTO_FREE char *manifests = NULL;

	if (catalog_collect(&garbage, api->catalog, api->config->collect_delay_s, api->config->collect_untagged, &err) <
	    0) {
		log_error(api->log, "garbage collection", F("error", err.message));
		return;
	}
	metrics_add_garbage(api->metrics, garbage.blobs, garbage.bytes);
	if (garbage.blobs == 0 && garbage.manifests == 0)
		return;
	blobs = xasprintf("%llu", (unsigned long long)garbage.blobs);
	bytes = xasprintf("%llu", (unsigned long long)garbage.bytes);
	manifests = xasprintf("%llu", (unsigned long long)garbage.manifests);
	log_info(api->log, "garbage collected", F("manifests", manifests), F("blobs", blobs), F("bytes", bytes));
}

static void *collector_main(void *arg)
{
	struct collector *collector = arg;
	int64_t interval_ns = collector->api->config->collect_interval_s * CLOCK_SECOND;

	mutex_lock(&collector->lock);
	while (!collector->ending) {
		int64_t deadline_ns = clock_monotonic_ns() + interval_ns;

		while (!collector->ending && condition_wait_until(&collector->ends, &collector->lock, deadline_ns))
			;
		if (collector->ending)
			break;
		mutex_unlock(&collector->lock);
		collect(collector->api);
		mutex_lock(&collector->lock);
	}
	mutex_unlock(&collector->lock);
	return NULL;
}

int collector_start(struct collector **out_collector, struct api *api, struct error *err)
{
	struct collector *collector;

	if (api->config->collect_off || api->config->read_only)
		return 0;
	collector = xcalloc(1, sizeof(*collector));
	collector->api = api;
	mutex_init(&collector->lock);
	condition_init(&collector->ends);
	if (thread_start(&collector->thread, "collector", collector_main, collector, err) < 0) {
		free(collector);
		return -1;
	}
	*out_collector = collector;
	return 0;
}

void collector_free(struct collector *collector)
{
	mutex_lock(&collector->lock);
	collector->ending = true;
	condition_broadcast(&collector->ends);
	mutex_unlock(&collector->lock);
	pthread_join(collector->thread, NULL);
	condition_fini(&collector->ends);
	mutex_fini(&collector->lock);
	free(collector);
}
