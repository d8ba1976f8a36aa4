/* SPDX-License-Identifier: Apache-2.0 */
/* What kistd itself is doing, for who started it with --debug: dockerd's /debug/vars, and our threads. */
#include <fcntl.h>
#include <malloc.h>
#include <string.h>

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/program.h"
#include "base/quote.h"
#include "engine/event.h"

#define CMDLINE_MAX 65536

static int check_debug(const struct docker_api *api, struct error *err)
{
	if (engine_settings(api->engine)->debug)
		return 0;
	return error_set(err, ERR_NOT_FOUND, "page not found");
}

static void add_command_line(struct text *out)
{
	AUTO_FREE char *line = NULL;
	const char *separator = "";
	size_t size = 0;

	text_add(out, "\"cmdline\":[");
	if (file_read(&line, &size, AT_FDCWD, "/proc/self/cmdline", CMDLINE_MAX) == 0)
		for (const char *word = line; word < line + size; word += strlen(word) + 1) {
			text_add(out, separator);
			quote_json(out, word, strlen(word));
			separator = ",";
		}
	text_add(out, "]");
}

DOCKER_HANDLER(docker_debug_vars)
{
	struct docker_api *api = context;
	const struct mallinfo2 memory = mallinfo2();
	AUTO(text_fini) struct text out = { 0 };

	(void)request;
	if (check_debug(api, err) < 0)
		return -1;
	text_add(&out, "{");
	add_command_line(&out);
	text_addf(&out, ",\"memstats\":{\"Sys\":%zu,\"HeapSys\":%zu,\"HeapInuse\":%zu,\"HeapIdle\":%zu}",
		  memory.arena + memory.hblkhd, memory.arena, memory.uordblks, memory.fordblks);
	text_addf(&out, ",\"events\":{\"total\":%llu,\"listeners\":%zu},\"uptime_seconds\":%lld}",
		  (unsigned long long)event_total(engine_events(api->engine)),
		  event_listener_count(engine_events(api->engine)),
		  (long long)((clock_wall_ns() - api->started_ns) / CLOCK_SECOND));
	reply_json_take(response, 200, text_take(&out));
	return 0;
}

DOCKER_HANDLER(docker_debug_threads)
{
	char *text;

	(void)request;
	if (check_debug(context, err) < 0)
		return -1;
	text = program_threads();
	http_reply_take(response, 200, "text/plain; charset=utf-8", text);
	return 0;
}
