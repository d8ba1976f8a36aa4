/* SPDX-License-Identifier: Apache-2.0 */
/* Images as archives: save and load. */
#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/image_stream.h"
#include "api/docker/request.h"
#include "engine/image.h"

/* The status line goes out with the first bytes: what is missing is told before. */
static int write_archive(void *arg, const void *data, size_t size, struct error *err)
{
	struct http_response *response = arg;

	if (!http_started(response) && http_start(response, 200, "application/x-tar", err) < 0)
		return -1;
	return http_write(response, data, size, err);
}

static int save(struct docker_api *api, struct http_request *request, struct http_response *response,
		const struct text_list *names, struct error *err)
{
	const struct image_save_options options = {
		.names = names,
		.platform = http_query(request, "platform"),
		.write = write_archive,
		.write_arg = response,
	};

	return image_save(api->engine, &options, err);
}

DOCKER_HANDLER(docker_image_save)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	text_list_add(&names, http_param(request, "name"));
	return save(context, request, response, &names, err);
}

DOCKER_HANDLER(docker_image_save_all)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	const char *name;

	for (size_t i = 0; (name = http_query_at(request, "names", i)); i++)
		text_list_split(&names, name, ',');
	return save(context, request, response, &names, err);
}

static int body_is_whole(void *arg, struct error *err)
{
	return http_body_whole(arg, err);
}

DOCKER_HANDLER(docker_image_load)
{
	struct docker_api *api = context;
	const struct image_load_options options = {
		.stream_fd = http_body_fd(request),
		.platform = http_query(request, "platform"),
		.quiet = http_query(request, "quiet") ? query_bool(request, "quiet") : true,
		.whole = body_is_whole,
		.whole_arg = request,
		.progress = image_stream_send,
		.progress_arg = response,
		.cancel_fd = -1,
	};

	int r = image_load(api->engine, &options, err);
	AUTO(error_clear) struct error cut = { 0 };

	/* dockerd tells of a bad archive inside a 200; clients look for it there. */
	if (r < 0 && http_body_whole(request, &cut) == 0)
		image_stream_begin(response);
	return image_stream_finish(response, r, err);
}
