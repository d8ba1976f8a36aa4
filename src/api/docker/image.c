/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/image.h"

#include <string.h>

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "oci/platform.h"

DOCKER_HANDLER(docker_image_list)
{
	struct docker_api *api = context;
	AUTO(filter_set_fini) struct filter_set filters = { 0 };
	const struct image_list_options options = {
		.all = query_bool(request, "all"),
		.shared_size = query_bool(request, "shared-size"),
		.filters = &filters,
	};
	const char *legacy = http_query(request, "filter");
	struct image_summaries list = { 0 };

	if (query_filters(&filters, request, image_filter_keys, err) < 0)
		return -1;
	if (!text_empty(legacy))
		filter_set_add(&filters, "reference", legacy);
	if (image_list(&list, api->engine, &options, err) < 0)
		return -1;
	reply_json_array(response, 200, &list, image_summary_fields, sizeof(*list.items));
	json_free_array(&list, image_summary_fields, sizeof(*list.items));
	return 0;
}

/* ?platform={"os":..,"architecture":..}: an image has one machine here, and it must be that one. */
static int check_platform(const struct image_details *details, const struct http_request *request, const char *text,
			  struct error *err)
{
	const struct platform offered = { .architecture = details->architecture,
					  .os = details->os,
					  .variant = details->variant };
	AUTO(platform_fini) struct platform wanted = { 0 };

	if (text_empty(text))
		return 0;
	if (json_decode(&wanted, platform_fields, text, strlen(text), err) < 0)
		return error_prefix(err, "failed to parse platform");
	if (platform_rank(&wanted, &offered, PLATFORM_STRICT) >= 0)
		return 0;
	return error_set(err, ERR_NOT_FOUND,
			 "image with reference %s was found but does not provide the specified platform (%s/%s%s%s)",
			 http_param(request, "name"), text_or_empty(wanted.os), text_or_empty(wanted.architecture),
			 text_empty(wanted.variant) ? "" : "/", text_or_empty(wanted.variant));
}

static int load_details(struct image_details *details, struct docker_api *api, const struct http_request *request,
			struct error *err)
{
	if (image_inspect(details, api->engine, http_param(request, "name"), err) < 0)
		return -1;
	return check_platform(details, request, http_query(request, "platform"), err);
}

int docker_check_platforms(struct docker_api *api, const struct http_request *request, const char *key,
			   struct error *err)
{
	struct image_details details = { 0 };
	const char *text;
	int r = 0;

	if (text_empty(http_query(request, key)))
		return 0;
	if (image_inspect(&details, api->engine, http_param(request, "name"), err) < 0)
		return -1;
	for (size_t i = 0; r == 0 && (text = http_query_at(request, key, i)); i++)
		r = check_platform(&details, request, text, err);
	json_free_fields(&details, image_details_fields);
	return r;
}

DOCKER_HANDLER(docker_image_inspect)
{
	struct image_details details = { 0 };
	int r = load_details(&details, context, request, err);

	if (r == 0)
		reply_json(response, 200, &details, image_details_fields);
	json_free_fields(&details, image_details_fields);
	return r;
}

DOCKER_HANDLER(docker_image_history)
{
	struct docker_api *api = context;
	struct image_history_items items = { 0 };
	struct image_details details = { 0 };
	int r = load_details(&details, api, request, err);

	json_free_fields(&details, image_details_fields);
	if (r < 0 || image_history(&items, api->engine, http_param(request, "name"), err) < 0)
		return -1;
	reply_json_array(response, 200, &items, image_history_item_fields, sizeof(*items.items));
	json_free_array(&items, image_history_item_fields, sizeof(*items.items));
	return 0;
}

DOCKER_HANDLER(docker_image_tag)
{
	struct docker_api *api = context;

	if (image_tag(api->engine, http_param(request, "name"), text_or_empty(http_query(request, "repo")),
		      http_query(request, "tag"), err) < 0)
		return -1;
	http_reply_empty(response, 201);
	return 0;
}

DOCKER_HANDLER(docker_image_remove)
{
	struct docker_api *api = context;
	struct image_removals removals = { 0 };

	if (docker_check_platforms(api, request, "platforms", err) < 0)
		return -1;
	if (image_remove(&removals, api->engine, http_param(request, "name"), query_bool(request, "force"),
			 query_bool(request, "noprune"), err) < 0)
		return -1;
	reply_json_array(response, 200, &removals, image_removed_fields, sizeof(*removals.items));
	json_free_array(&removals, image_removed_fields, sizeof(*removals.items));
	return 0;
}

DOCKER_HANDLER(docker_image_prune)
{
	struct docker_api *api = context;
	AUTO(filter_set_fini) struct filter_set filters = { 0 };
	struct image_prune_report report = { 0 };

	if (query_filters(&filters, request, image_prune_filter_keys, err) < 0 ||
	    image_prune(&report, api->engine, &filters, err) < 0)
		return -1;
	reply_json(response, 200, &report, image_prune_report_fields);
	json_free_fields(&report, image_prune_report_fields);
	return 0;
}
