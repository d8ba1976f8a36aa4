/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker.h - the Docker Engine API, 1.24 to 1.51: decode, call the engine, encode.
 *
 * One file per noun. Every route is served with and without its "/v1.xx". A
 * handler returns an engine's error as it is: its kind becomes the status, its
 * text {"message": ...}. Plug docker_* into http_server_options.
 */
#pragma once

#include "api/buildkit/buildkit.h"
#include "api/metrics/metrics.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine.h"
#include "engine/settings.h"
#include "http/server.h"

struct policy_set;

struct docker_api {
	struct engine *engine;		   /* borrowed */
	struct buildkit *buildkit;	   /* borrowed */
	const struct log *log;		   /* borrowed */
	struct metrics *metrics;	   /* borrowed; NULL: nothing is counted */
	const struct policy_set *policies; /* borrowed; atomic, may change; NULL: none */
	const char *bridge;		   /* borrowed: the default bridge's link, or "none" */
	int64_t started_ns;		   /* wall */
};

extern const struct http_route docker_routes[];

/* Common headers, the version in the path, OPTIONS. Leaves the API version (1.41 -> 1041) as the request's tag. */
int docker_before(void *context, struct http_request *request, struct http_response *response, struct error *err);
/* The policy of the socket and the authorization plugins; after it what the plugins say of the answer. */
int docker_guard(void *context, struct http_request *request, struct http_response *response, struct error *err);
/* What may be bound by containers that are made over this connection; NULL: anything. Borrowed. */
const struct text_list *docker_bind_sources(struct docker_api *api, const struct http_request *request);
int docker_review(void *context, struct http_request *request, const struct http_answer *answer, struct error *err);
/* An image of our store is for one machine: the ?KEY= platforms of a request, if any, must be that one. */
int docker_check_platforms(struct docker_api *api, const struct http_request *request, const char *key,
			   struct error *err);
/* Counts what was answered. */
void docker_after(void *context, const struct http_request *request, int status, uint64_t size);
int docker_not_found(void *context, struct http_request *request, struct http_response *response, struct error *err);
void docker_failed(void *context, struct http_request *request, struct http_response *response,
		   const struct error *err);
