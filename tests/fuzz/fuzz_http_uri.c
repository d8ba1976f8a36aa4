/* SPDX-License-Identifier: Apache-2.0 */
/* A request target through the parser and against every route of the Docker API. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "api/docker/docker.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "http/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *target = xstrndup((const char *)data, size);
	struct http_uri uri = { 0 };

	if (http_uri_parse(&uri, target) < 0)
		return 0;
	for (const struct http_route *route = docker_routes; route->method; route++) {
		struct text_map params = { 0 };

		http_route_match(route->pattern, uri.path, &params);
		text_map_fini(&params);
	}
	http_uri_query(&uri, "filters", 0);
	http_uri_fini(&uri);
	return 0;
}
