/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "oci/reference.h"
#include "json/json.h"

#define JSON_TYPE "application/json"
#define NAME_SIZE_MAX 255

static int api_ping(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	(void)context;
	(void)request;
	(void)err;
	http_reply_text(response, 200, JSON_TYPE, "{}");
	return 0;
}

/* More special patterns first. */
const struct http_route api_routes[] = {
	{ "GET", "/v2/", api_ping, 0 },
	{ "HEAD", "/v2/", api_ping, 0 },
	{ "GET", "/v2", api_ping, 0 },
	{ "GET", "/v2/_catalog", api_repositories, 0 },
	{ "GET", "/token", api_token_get, 0 },
	{ "POST", "/token", api_token_post, 0 },
	{ "GET", "/metrics", api_metrics, 0 },
	{ "GET", "/v2/{name...}/tags/list", api_tags, 0 },
	{ "GET", "/v2/{name...}/referrers/{digest}", api_referrers, 0 },
	{ "POST", "/v2/{name...}/blobs/uploads/", api_upload_post, HTTP_BODY_STREAM },
	{ "POST", "/v2/{name...}/blobs/uploads", api_upload_post, HTTP_BODY_STREAM },
	{ "GET", "/v2/{name...}/blobs/uploads/{id}", api_upload_get, 0 },
	{ "PATCH", "/v2/{name...}/blobs/uploads/{id}", api_upload_patch, HTTP_BODY_STREAM },
	{ "PUT", "/v2/{name...}/blobs/uploads/{id}", api_upload_put, HTTP_BODY_STREAM },
	{ "DELETE", "/v2/{name...}/blobs/uploads/{id}", api_upload_delete, 0 },
	{ "GET", "/v2/{name...}/blobs/{digest}", api_blob_get, 0 },
	{ "HEAD", "/v2/{name...}/blobs/{digest}", api_blob_head, 0 },
	{ "DELETE", "/v2/{name...}/blobs/{digest}", api_blob_delete, 0 },
	{ "GET", "/v2/{name...}/manifests/{reference}", api_manifest_get, 0 },
	{ "HEAD", "/v2/{name...}/manifests/{reference}", api_manifest_head, 0 },
	{ "PUT", "/v2/{name...}/manifests/{reference}", api_manifest_put, 0 },
	{ "DELETE", "/v2/{name...}/manifests/{reference}", api_manifest_delete, 0 },
	{ 0 },
};

/* ---- who may ---- */

/* The repository of a path (yours), or NULL: the part between /v2/ and the last of the words that end it. */
static char *repository_of(const char *path)
{
	static const char *const ends[] = { "/blobs/uploads", "/blobs/", "/manifests/", "/tags/list", "/referrers/" };
	const char *name = text_after(path, "/v2/");
	const char *found = NULL;

	for (size_t i = 0; name && i < sizeof(ends) / sizeof(ends[0]); i++)
		for (const char *at = name; (at = strstr(at, ends[i])); at++)
			if (at > found)
				found = at;
	return found && found > name ? xstrndup(name, (size_t)(found - name)) : NULL;
}

static unsigned actions_of(const struct http_request *request)
{
	const char *method = http_method(request);
	bool upload = strstr(http_path(request), "/blobs/uploads") != NULL;

	if (text_equal(method, "DELETE") && !upload)
		return ACCESS_DELETE;
	return upload || text_equal(method, "PUT") || text_equal(method, "PATCH") || text_equal(method, "POST")
		       ? ACCESS_PUSH
		       : ACCESS_PULL;
}

static char *own_base(const struct api *api, const struct http_request *request)
{
	const char *host = http_header(request, "Host");

	return xasprintf("%s://%s", api_config(api)->tls.certificate ? "https" : "http", host ? host : "localhost");
}

/* Sends 401 with what we want to see; returns 1: answered. */
static int challenge(struct api *api, const struct http_request *request, struct http_response *response,
		     const char *repository, unsigned actions, bool insufficient)
{
	AUTO_FREE char *base = own_base(api, request);
	AUTO_FREE char *header = access_challenge(api->access, base, repository, actions, insufficient);

	http_set_header(response, "WWW-Authenticate", header);
	api_refuse(response, 401, "UNAUTHORIZED", "authentication required");
	return 1;
}

static void free_caller(void *note)
{
	struct access_caller *caller = note;

	access_caller_fini(caller);
	free(caller);
}

/* 1: refused. */
static int authorize(struct api *api, struct http_request *request, struct http_response *response, struct error *err)
{
	struct access_caller *caller = xcalloc(1, sizeof(*caller));
	AUTO_FREE char *repository = repository_of(http_path(request));
	unsigned actions = actions_of(request);
	int known = access_identify(caller, api->access, http_header(request, "Authorization"), err);

	http_set_note(request, caller, free_caller);
	if (known < 0)
		return -1;
	if (!known)
		return challenge(api, request, response, repository, actions, false);
	/* The version check is where clients learn how to authenticate. */
	if (!repository && !caller->user && !caller->by_token && !text_equal(http_path(request), "/v2/_catalog"))
		return challenge(api, request, response, NULL, 0, false);
	if (!repository || access_allows(api->access, caller, repository, actions))
		return 0;
	if (!caller->user || caller->by_token)
		return challenge(api, request, response, repository, actions, caller->by_token);
	api_refuse(response, 403, "DENIED", "requested access to the resource is denied");
	return 1;
}

bool api_allows(struct api *api, const struct http_request *request, const char *repository, unsigned actions)
{
	const struct access_caller *caller = http_note(request);

	return !access_is_limited(api->access) || (caller && access_allows(api->access, caller, repository, actions));
}

static bool changes(const char *method)
{
	return !text_equal(method, "GET") && !text_equal(method, "HEAD");
}

/*
 * containerd asks a mirror for docker.io's names with ?ns=docker.io; "web" is "library/web" there. 1, if the namespace
 * is none of ours and that was answered.
 */
static int follow_namespace(struct api *api, struct http_request *request, struct http_response *response)
{
	const char *ns = http_query(request, "ns");
	const char *path = http_path(request);
	AUTO_FREE char *name = api_config(api)->upstreams.count ? repository_of(path) : NULL;
	AUTO_FREE char *ours = NULL;
	AUTO_FREE char *whole = NULL;

	if (!name)
		return 0;
	ours = text_empty(ns) ? cache_canonical(api->cache, name) : cache_repository(api->cache, ns, name);
	if (!ours && text_empty(ns))
		return 0;
	if (!ours) {
		api_refuse(response, 404, "NAME_UNKNOWN", "no upstream of this name is configured here");
		return 1;
	}
	whole = xasprintf("/v2/%s%s", ours, path + strlen("/v2/") + strlen(name));
	http_set_path(request, whole);
	return 0;
}

/* Pushes go to the registry itself; what is kept of it here may be deleted. */
static bool is_push_to_cache(const struct api *api, const struct http_request *request)
{
	AUTO_FREE char *name = api->cache ? repository_of(http_path(request)) : NULL;

	return name && actions_of(request) == ACCESS_PUSH && cache_has(api->cache, name);
}

int api_before(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	bool is_api = text_has_prefix(http_path(request), "/v2");

	http_set_header(response, "Docker-Distribution-Api-Version", "registry/2.0");
	http_set_header(response, "X-Content-Type-Options", "nosniff");
	if (is_api && follow_namespace(api, request, response))
		return 1;
	if (is_api && access_is_limited(api->access)) {
		int r = authorize(api, request, response, err);

		if (r != 0)
			return r;
	}
	if (!is_api || !changes(http_method(request)))
		return 0;
	if (!api_config(api)->read_only && !is_push_to_cache(api, request))
		return 0;
	api_refuse(response, 405, "UNSUPPORTED",
		   api_config(api)->read_only ? "this registry is read-only"
					      : "this repository is a cache of another registry: push there");
	return 1;
}

void api_after(void *context, const struct http_request *request, int status, uint64_t size)
{
	struct api *api = context;
	const struct access_caller *caller = http_note(request);
	int64_t took_us = (clock_monotonic_ns() - http_begun_ns(request)) / 1000;

	metrics_add(api->metrics, http_method(request), status, size, took_us);
	if (!api_config(api)->access_log)
		return;
	access_log_write(api->log, api_config(api)->access_format,
			 &(struct access_line){ .request = request,
						.user = caller ? caller->user : NULL,
						.status = status,
						.size = size,
						.took_us = took_us });
}

void api_tell(struct api *api, const struct http_request *request, const struct event *event)
{
	const struct access_caller *caller = http_note(request);
	char client[HTTP_CLIENT_MAX];
	struct event whole = *event;

	if (!api->events)
		return;
	whole.user = caller ? caller->user : NULL;
	whole.client = http_client(client, request);
	whole.host = http_header(request, "Host");
	whole.method = http_method(request);
	whole.agent = http_header(request, "User-Agent");
	whole.tls = api_config(api)->tls.certificate != NULL;
	events_add(api->events, &whole);
}

struct refusal {
	char *code;
	char *message;
};

struct refusal_list {
	JSON_ARRAY_OF(struct refusal) errors;
};

static const struct json_field refusal_fields[] = {
	JSON_TEXT("code", struct refusal, code, 0),
	JSON_TEXT("message", struct refusal, message, 0),
	JSON_END,
};
static const struct json_field list_fields[] = {
	JSON_ARRAY("errors", struct refusal_list, errors, refusal_fields, 0),
	JSON_END,
};

int api_refuse(struct http_response *response, int status, const char *code, const char *message)
{
	struct refusal one = { (char *)(uintptr_t)code, (char *)(uintptr_t)message };
	struct refusal_list list = { .errors = { &one, 1 } };

	http_reply_take(response, status, JSON_TYPE, json_encode(&list, list_fields));
	return 0;
}

int api_not_found(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	(void)context;
	(void)request;
	(void)err;
	return api_refuse(response, 404, "UNSUPPORTED", "no such page or method in the distribution API");
}

void api_failed(void *context, struct http_request *request, struct http_response *response, const struct error *err)
{
	static const struct {
		enum error_kind kind;
		const char *code;
	} codes[] = {
		{ ERR_UNAVAILABLE, "UNAVAILABLE" }, { ERR_INVALID, "UNSUPPORTED" }, { ERR_EXHAUSTED, "UNAVAILABLE" },
		{ ERR_NOT_FOUND, "BLOB_UNKNOWN" },  { ERR_FORBIDDEN, "DENIED" },
	};
	const char *code = "UNKNOWN";

	(void)context;
	(void)request;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].kind == err->kind)
			code = codes[i].code;
	api_refuse(response, http_status_of(err->kind), code, err->message);
}

const char *api_repository(const struct http_request *request, struct http_response *response)
{
	const char *name = http_param(request, "name");

	if (reference_is_path(name) && strlen(name) <= NAME_SIZE_MAX)
		return name;
	api_refuse(response, 400, "NAME_INVALID", "invalid repository name");
	return NULL;
}

bool api_digest(struct digest *out_digest, const char *text, struct http_response *response)
{
	AUTO(error_clear) struct error err = { 0 };

	if (digest_parse(out_digest, text, &err) == 0)
		return true;
	api_refuse(response, 400, "DIGEST_INVALID", err.message);
	return false;
}
