/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/image_progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/quote.h"

#define BAR_WIDTH 50
#define SIZE_TEXT_MAX 32

void progress_init(struct progress *progress, image_progress send, void *arg)
{
	progress->send = send;
	progress->arg = arg;
	mutex_init(&progress->mutex);
}

void progress_fini(struct progress *progress)
{
	mutex_fini(&progress->mutex);
}

void progress_line(struct progress *progress, const char *json)
{
	AUTO_UNLOCK struct mutex *held = NULL;

	if (!progress->send)
		return;
	held = mutex_hold(&progress->mutex);
	progress->send(progress->arg, json);
}

static void add_member(struct text *json, const char *key, const char *value)
{
	text_addf(json, "%s\"%s\":", json->size > 1 ? "," : "", key);
	quote_json(json, value, strlen(value));
}

void progress_status(struct progress *progress, const char *id, const char *format, ...)
{
	AUTO(text_fini) struct text json = { 0 };
	AUTO_FREE char *status = NULL;
	va_list args;

	va_start(args, format);
	status = xvasprintf(format, args);
	va_end(args);
	text_add(&json, "{");
	add_member(&json, "status", status);
	if (id)
		add_member(&json, "id", id);
	text_add(&json, "}");
	progress_line(progress, json.data);
}

/* go-units HumanSize: four digits, powers of 1000. */
static const char *human_size(char out[SIZE_TEXT_MAX], uint64_t bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double size = (double)bytes;
	size_t unit = 0;

	while (size >= 1000.0 && unit + 1 < sizeof(units) / sizeof(*units)) {
		size /= 1000.0;
		unit++;
	}
	snprintf(out, SIZE_TEXT_MAX, "%.4g%s", size, units[unit]);
	return out;
}

/* "[=====>      ]  1.049MB/29.13MB": what old clients print as it comes. */
static void add_bar(struct text *bar, uint64_t current, uint64_t total)
{
	uint64_t done = current >= total ? BAR_WIDTH : current * BAR_WIDTH / total;
	char now[SIZE_TEXT_MAX];
	char all[SIZE_TEXT_MAX];

	text_add(bar, "[");
	for (uint64_t i = 0; i < done; i++)
		text_add_char(bar, '=');
	text_add(bar, ">");
	for (uint64_t i = done; i < BAR_WIDTH; i++)
		text_add_char(bar, ' ');
	text_addf(bar, "] %8s/%s", human_size(now, current), human_size(all, total));
}

void progress_bytes(struct progress *progress, const char *id, const char *status, uint64_t current, uint64_t total)
{
	AUTO(text_fini) struct text json = { 0 };
	AUTO(text_fini) struct text bar = { 0 };

	text_add(&json, "{");
	add_member(&json, "status", status);
	if (total > 0) {
		text_addf(&json, ",\"progressDetail\":{\"current\":%llu,\"total\":%llu}", (unsigned long long)current,
			  (unsigned long long)total);
		add_bar(&bar, current, total);
		add_member(&json, "progress", bar.data);
	} else {
		text_add(&json, ",\"progressDetail\":{}");
	}
	if (id)
		add_member(&json, "id", id);
	text_add(&json, "}");
	progress_line(progress, json.data);
}
