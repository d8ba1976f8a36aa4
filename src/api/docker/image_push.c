/* SPDX-License-Identifier: Apache-2.0 */
#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/image_stream.h"
#include "api/docker/request.h"
#include "engine/image.h"

DOCKER_HANDLER(docker_image_push)
{
	struct docker_api *api = context;
	AUTO_FREE char *auth = image_stream_auth(request);
	const struct image_push_options options = {
		.image = http_param(request, "name"),
		.tag = http_query(request, "tag"),
		.auth = auth,
		.all_platforms = query_bool(request, "allPlatforms"),
		.registry = &engine_settings(api->engine)->registry,
		.progress = image_stream_send,
		.progress_arg = response,
		.cancel_fd = http_cancel_fd(request),
	};

	if (docker_check_platforms(api, request, "platform", err) < 0)
		return -1;
	return image_stream_finish(response, image_push(api->engine, &options, err), err);
}

DOCKER_HANDLER(docker_distribution)
{
	struct docker_api *api = context;
	AUTO_FREE char *auth = image_stream_auth(request);
	struct image_distribution distribution = { 0 };
	const struct image_distribution_options options = {
		.image = http_param(request, "name"),
		.auth = auth,
		.registry = &engine_settings(api->engine)->registry,
		.cancel_fd = http_cancel_fd(request),
	};

	if (image_distribution(&distribution, &options, err) < 0)
		return -1;
	reply_json(response, 200, &distribution, image_distribution_fields);
	json_free_fields(&distribution, image_distribution_fields);
	return 0;
}

DOCKER_HANDLER(docker_image_search)
{
	struct docker_api *api = context;
	AUTO_FREE char *auth = image_stream_auth(request);
	AUTO(filter_set_fini) struct filter_set filters = { 0 };
	struct image_search_options options = {
		.term = http_query(request, "term"),
		.filters = &filters,
		.auth = auth,
		.registry = &engine_settings(api->engine)->registry,
		.cancel_fd = http_cancel_fd(request),
	};
	struct image_founds founds = { 0 };

	if (text_empty(options.term))
		return error_set(err, ERR_INVALID, "invalid search term: it is empty");
	if (query_number(&options.limit, request, "limit", err) < 0)
		return error_prefix(err, "invalid limit specified");
	if (query_filters(&filters, request, image_search_filter_keys, err) < 0 ||
	    image_search(&founds, &options, err) < 0)
		return -1;
	reply_json_array(response, 200, &founds, image_found_fields, sizeof(*founds.items));
	json_free_array(&founds, image_found_fields, sizeof(*founds.items));
	return 0;
}
