/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
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

int api_before(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	(void)context;
	(void)request;
	(void)err;
	http_set_header(response, "Docker-Distribution-Api-Version", "registry/2.0");
	http_set_header(response, "X-Content-Type-Options", "nosniff");
	return 0;
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
