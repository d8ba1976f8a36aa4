/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: at each look an image is used if a container has it or
 * somebody noted so (image_use.h); else its idle time grows by the time since
 * the last look. The store's collector and docker's own rules of removal do the
 * rest: an image that somebody takes meanwhile stays.
 */
#include "builder/collector.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/thread.h"
#include "builder/cache.h"
#include "engine/container.h"
#include "engine/engine.h"
#include "engine/image.h"
#include "engine/image_mount.h"
#include "engine/image_use.h"
#include "store/image_record.h"
#include "store/layer.h"

#define TENTH 10

struct collector {
	struct engine *engine;
	const struct log *log;
	const struct collector_settings *settings; /* atomic */
	pthread_t thread;
	int wake_fd;	      /* new settings, or the end */
	bool stopping;	      /* atomic */
	int64_t looked_ns;    /* monotonic */
	struct text_map idle; /* image id -> "SECONDS@WHEN IT WAS LAST NAMED" */
};

static const struct collector_settings *settings_of(const struct collector *collector)
{
	return __atomic_load_n(&collector->settings, __ATOMIC_ACQUIRE);
}

static void tell(const struct collector *collector, const char *what, const char *id)
{
	log_info(collector->log, what, F("id", id));
}

static void complain(const struct collector *collector, const struct error *err)
{
	log_error(collector->log, "automatic collection", F("error", text_or_empty(err->message)));
}

/* ---- build cache ---- */

static int64_t tenth_of_disk(const struct collector *collector)
{
	struct statvfs disk;

	if (statvfs(store_root(engine_store(collector->engine)), &disk) < 0)
		return 0;
	return (int64_t)(disk.f_blocks / TENTH * disk.f_frsize);
}

static void apply_rule(const struct collector *collector, const struct collector_rule *rule)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(filter_set_fini) struct filter_set filters = { 0 };
	struct cache_prune_report report = { 0 };
	struct cache_prune_options options = {
		.all = rule->all,
		.keep_mounts = true,
		.filters = &filters,
		.keep_bytes = rule->keep_bytes < 0 ? tenth_of_disk(collector) : rule->keep_bytes,
	};
	char age[CLOCK_TEXT_MAX];

	filter_set_init(&filters);
	if (rule->unused_ns)
		filter_set_add(&filters, "unused-for", clock_format_duration(age, rule->unused_ns));
	if (cache_prune(&report, collector->engine, &options, &err) < 0)
		complain(collector, &err);
	for (size_t i = 0; i < report.deleted.count; i++)
		tell(collector, "collected a result of a build step", report.deleted.items[i]);
	json_free_fields(&report, cache_prune_report_fields);
}

/* ---- images ---- */

static int64_t idle_of(const struct text_map *idle, const char *id)
{
	return strtoll(text_or_empty(text_map_get(idle, id)), NULL, 10);
}

/* Pulled or tagged since: as good as used. */
static bool is_as_named(const struct text_map *idle, const char *id, int64_t tagged_ns)
{
	const char *at = strchr(text_or_empty(text_map_get(idle, id)), '@');

	return at && strtoll(at + 1, NULL, 10) == tagged_ns;
}

static bool is_used(const struct collector *collector, const struct text_list *noted, const char *id)
{
	AUTO(text_list_fini) struct text_list users = { 0 };
	bool running;

	if (text_list_contains(noted, id))
		return true;
	containers_using_image(&users, &running, collector->engine, id);
	return users.count > 0;
}

/* Every image that is here, and only those, with what it was idle by now. */
static void count_idle(struct collector *collector, const struct image_record_list *images, int64_t passed_s)
{
	AUTO(text_list_fini) struct text_list noted = { 0 };
	struct text_map now = { 0 };

	image_mounts_note(collector->engine);
	image_use_take(&noted, collector->engine);
	for (size_t i = 0; i < images->count; i++) {
		const struct image_record *image = &images->items[i];
		AUTO_FREE char *value = NULL;
		char id[DIGEST_TEXT_MAX];
		bool unused;

		digest_text(&image->id, id);
		unused = is_as_named(&collector->idle, id, image->tagged_ns) && !is_used(collector, &noted, id);
		value = xasprintf("%lld@%lld", unused ? (long long)(idle_of(&collector->idle, id) + passed_s) : 0LL,
				  (long long)image->tagged_ns);
		text_map_set(&now, id, value);
	}
	text_map_fini(&collector->idle);
	collector->idle = now;
}

/* The one that was idle longest, and long enough; NULL: none is left. */
static const char *oldest(const struct text_map *idle, const struct text_list *tried, int64_t unused_ns)
{
	const char *found = NULL;
	int64_t longest = unused_ns / CLOCK_SECOND;

	for (size_t i = 0; i < idle->count; i++) {
		const char *id = idle->items[i].key;
		int64_t seconds = idle_of(idle, id);

		/* Used, or seen for the first time: not idle, however short is enough. */
		if (seconds < (longest > 0 ? longest : 1) || text_list_contains(tried, id))
			continue;
		found = id;
		longest = seconds;
	}
	return found;
}

static int remove_idle(struct collector *collector, const struct collector_settings *settings, struct error *err)
{
	AUTO(text_list_fini) struct text_list tried = { 0 };
	const char *id;

	while ((id = oldest(&collector->idle, &tried, settings->image_unused_ns))) {
		uint64_t bytes;
		int r;

		if (layer_total_size(&bytes, engine_store(collector->engine), err) < 0)
			return -1;
		if (settings->image_keep_bytes && bytes <= (uint64_t)settings->image_keep_bytes)
			return 0;
		r = image_collect(collector->engine, id, err);
		if (r < 0)
			return -1;
		if (r > 0)
			tell(collector, "collected an image", id);
		text_list_add(&tried, id);
	}
	return 0;
}

static void look_at_images(struct collector *collector, const struct collector_settings *settings)
{
	AUTO(image_record_list_fini) struct image_record_list images = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	int64_t now_ns = clock_monotonic_ns();
	int64_t passed_s = (now_ns - collector->looked_ns) / CLOCK_SECOND;

	/* What is less than a second counts at the next look. */
	collector->looked_ns += passed_s * CLOCK_SECOND;
	if (image_record_list_load(&images, engine_store(collector->engine), &err) < 0) {
		complain(collector, &err);
		return;
	}
	count_idle(collector, &images, passed_s);
	if (remove_idle(collector, settings, &err) < 0 ||
	    image_idle_save(collector->engine, &collector->idle, &err) < 0)
		complain(collector, &err);
}

/* ---- the thread ---- */

/* Nothing wakes us while nothing is wanted. */
static int pause_ms(const struct collector_settings *settings)
{
	int64_t ms = settings->pause_ns / CLOCK_MS;

	if (!settings->images && !settings->rule_count)
		return -1;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

static void look(struct collector *collector, const struct collector_settings *settings)
{
	for (size_t i = 0; i < settings->rule_count; i++)
		apply_rule(collector, &settings->rules[i]);
	if (settings->images)
		look_at_images(collector, settings);
}

static void *work(void *arg)
{
	struct collector *collector = arg;
	struct pollfd wake = { .fd = collector->wake_fd, .events = POLLIN };
	uint64_t drained;

	while (!__atomic_load_n(&collector->stopping, __ATOMIC_ACQUIRE)) {
		if (poll(&wake, 1, pause_ms(settings_of(collector))) == 0)
			look(collector, settings_of(collector));
		/* While it was off, nobody counted. */
		else if (read(wake.fd, &drained, sizeof(drained)) > 0 && !settings_of(collector)->images)
			text_map_fini(&collector->idle);
	}
	return NULL;
}

static void wake(const struct collector *collector)
{
	const uint64_t one = 1;

	(void)!write(collector->wake_fd, &one, sizeof(one));
}

int collector_start(struct collector **out_collector, struct engine *engine, const struct log *log,
		    const struct collector_settings *settings, struct error *err)
{
	struct collector *collector = xcalloc(1, sizeof(*collector));

	collector->engine = engine;
	collector->log = log;
	collector->settings = settings;
	collector->looked_ns = clock_monotonic_ns();
	collector->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (collector->wake_fd < 0)
		error_set_errno(err, ERR_INTERNAL, errno, "automatic collection: eventfd");
	else if (image_idle_load(&collector->idle, engine, err) == 0 &&
		 thread_start(&collector->thread, "collector", work, collector, err) == 0) {
		*out_collector = collector;
		return 0;
	}
	if (collector->wake_fd >= 0)
		close(collector->wake_fd);
	text_map_fini(&collector->idle);
	free(collector);
	return -1;
}

void collector_reload(struct collector *collector, const struct collector_settings *settings)
{
	__atomic_store_n(&collector->settings, settings, __ATOMIC_RELEASE);
	wake(collector);
}

void collector_free(struct collector *collector)
{
	if (!collector)
		return;
	__atomic_store_n(&collector->stopping, true, __ATOMIC_RELEASE);
	wake(collector);
	pthread_join(collector->thread, NULL);
	close(collector->wake_fd);
	text_map_fini(&collector->idle);
	free(collector);
}
