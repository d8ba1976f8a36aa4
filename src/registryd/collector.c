/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/collector.h"

#include "base/alloc.h"

static void on_expired(void *arg, const char *repository, const char *tag)
{
	const struct api *api = arg;

	log_info(api->log, api_config(api)->retention.dry_run ? "tag would expire" : "tag expired",
		 F("repository", repository), F("tag", tag));
}

static void collect(void *arg, struct routine *routine)
{
	struct api *api = arg;
	const struct registry_config *config = api_config(api);
	AUTO(error_clear) struct error err = { 0 };
	struct catalog_garbage garbage = { 0 };
	AUTO_FREE char *blobs = NULL;
	AUTO_FREE char *bytes = NULL;
	AUTO_FREE char *manifests = NULL;

	(void)routine;
	if (config->collect_off || config->read_only)
		return;
	if (catalog_expire(api->catalog, &config->retention, on_expired, api, &err) < 0 ||
	    catalog_collect(&garbage, api->catalog, config->collect_delay_s, config->collect_untagged,
			    &config->retention, &err) < 0) {
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

static int64_t interval_s(void *arg)
{
	const struct api *api = arg;

	return api_config(api)->collect_interval_s;
}

int collector_start(struct routine **out_routine, struct api *api, struct error *err)
{
	return routine_start(
		out_routine,
		&(struct routine_options){ .name = "collector", .interval_s = interval_s, .work = collect, .arg = api },
		err);
}

#define TIDY_INTERVAL_S 2

static void tidy(void *arg, struct routine *routine)
{
	struct api *api = arg;
	AUTO(error_clear) struct error err = { 0 };

	(void)routine;
	if (catalog_tidy(api->catalog, &err) < 0)
		log_warn(api->log, "object storage", F("error", err.message));
}

static int64_t tidy_interval_s(void *arg)
{
	(void)arg;
	return TIDY_INTERVAL_S;
}

int tidy_start(struct routine **out_routine, struct api *api, struct error *err)
{
	if (!api->objects)
		return 0;
	return routine_start(
		out_routine,
		&(struct routine_options){ .name = "tidy", .interval_s = tidy_interval_s, .work = tidy, .arg = api },
		err);
}
