/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <string.h>

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "base/clock.h"
#include "engine/stats.h"

#define STATS_INTERVAL_MS 1000

/* false: the client is gone. */
static bool pause_between(struct http_request *request)
{
	struct pollfd item = { .fd = http_cancel_fd(request), .events = POLLIN };

	return poll(&item, 1, STATS_INTERVAL_MS) == 0;
}

static int write_sample(struct http_response *response, const struct container_stats *stats, struct error *err)
{
	AUTO(text_fini) struct text line = { 0 };

	json_encode_to(&line, stats, container_stats_fields);
	text_add_char(&line, '\n');
	return http_write(response, line.data, line.size, err);
}

static int stream_stats(struct stats_reader *reader, struct http_request *request, struct http_response *response,
			struct error *err)
{
	struct container_stats stats;
	bool running;
	int r;

	if (http_start(response, 200, "application/json", err) < 0)
		return -1;
	do {
		r = stats_reader_next(reader, &stats, &running, err);
		if (r <= 0)
			return r;
		r = write_sample(response, &stats, err);
		json_free_fields(&stats, container_stats_fields);
		if (r < 0)
			return -1;
	} while (pause_between(request));
	return 0;
}

/* One sample, with the figures of a second before it unless the client wants none. */
static int one_sample(struct stats_reader *reader, struct http_request *request, struct http_response *response,
		      struct error *err)
{
	bool twice = !query_bool(request, "one-shot") && !query_bool(request, "oneshot");
	struct container_stats stats;
	bool running;
	int r = stats_reader_next(reader, &stats, &running, err);

	if (r > 0 && running && twice && pause_between(request)) {
		json_free_fields(&stats, container_stats_fields);
		r = stats_reader_next(reader, &stats, &running, err);
	}
	if (r < 0)
		return -1;
	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "No such container: %s", http_param(request, "id"));
	reply_json(response, 200, &stats, container_stats_fields);
	json_free_fields(&stats, container_stats_fields);
	return 0;
}

DOCKER_HANDLER(docker_container_stats)
{
	struct docker_api *api = context;
	AUTO(stats_reader_closep) struct stats_reader *reader = NULL;
	bool stream = !http_query(request, "stream") || query_bool(request, "stream");

	if (stream && query_bool(request, "one-shot"))
		return error_set(err, ERR_INVALID, "cannot have stream=true and one-shot=true");
	if (stats_reader_open(&reader, api->engine, http_param(request, "id"), err) < 0)
		return -1;
	return stream ? stream_stats(reader, request, response, err) : one_sample(reader, request, response, err);
}
