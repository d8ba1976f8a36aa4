/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api.h - the OCI distribution API: handlers of http/server.h, one file per
 * noun. Refusals are answers, {"errors":[{"code","message","detail"}]}; struct
 * error is for what is not the client's doing.
 */
#pragma once

#include "base/log.h"
#include "http/server.h"
#include "registryd/access.h"
#include "registryd/cache.h"
#include "registryd/catalog.h"
#include "registryd/config.h"
#include "registryd/events.h"
#include "registryd/metrics.h"
#include "registryd/upload.h"

/* distribution-spec: at least 4 MiB must be accepted. */
#define API_MANIFEST_MAX (8 * 1024 * 1024)

struct api {
	const struct registry_config *_Atomic config; /* all borrowed; another one after a reload */
	const struct log *log;
	struct catalog *catalog;
	struct upload_table *uploads;
	struct access *access;
	struct metrics *metrics;
	struct cache *cache;	 /* NULL: of no other registry */
	struct objects *objects; /* NULL: a folder is all there is */
	struct events *events;	 /* NULL: nobody listens */
};

/* The configuration now; what it points to lives as long as the program. */
static inline const struct registry_config *api_config(const struct api *api)
{
	return api->config;
}

extern const struct http_route api_routes[];

/* http_server_options: before (who may do this), after (access log, metrics), not_found, failed. */
void api_after(void *context, const struct http_request *request, int status, uint64_t size);
int api_before(void *context, struct http_request *request, struct http_response *response, struct error *err);
int api_not_found(void *context, struct http_request *request, struct http_response *response, struct error *err);
void api_failed(void *context, struct http_request *request, struct http_response *response, const struct error *err);

/* Answers with an error body; returns 0, for one-line returns. */
int api_refuse(struct http_response *response, int status, const char *code, const char *message);

/* The repository of the URL, checked (borrowed); NULL: the refusal has been sent. */
const char *api_repository(const struct http_request *request, struct http_response *response);
/* The digest `text`; false: the refusal has been sent. */
bool api_digest(struct digest *out_digest, const char *text, struct http_response *response);

/* May the caller of this request also do that? For mounts and lists. */
bool api_allows(struct api *api, const struct http_request *request, const char *repository, unsigned actions);

/* Tells whoever listens what this request did; the rest of *event is filled here. */
void api_tell(struct api *api, const struct http_request *request, const struct event *event);

/* token_api.c: where clients get bearer tokens (docker's token authentication). */
int api_token_get(void *context, struct http_request *request, struct http_response *response, struct error *err);
int api_token_post(void *context, struct http_request *request, struct http_response *response, struct error *err);
/* metrics.c */
int api_metrics(void *context, struct http_request *request, struct http_response *response, struct error *err);
/* blob.c */
int api_blob_get(void *context, struct http_request *request, struct http_response *response, struct error *err);
int api_blob_head(void *context, struct http_request *request, struct http_response *response, struct error *err);
int api_blob_delete(void *context, struct http_request *request, struct http_response *response, struct error *err);
/* upload_api.c */
int api_upload_post(void *context, struct http_request *request, struct http_response *response, struct error *err);
int api_upload_get(void *context, struct http_request *request, struct http_response *response, struct error *err);
int api_upload_patch(void *context, struct http_request *request, struct http_response *response, struct error *err);
int api_upload_put(void *context, struct http_request *request, struct http_response *response, struct error *err);
int api_upload_delete(void *context, struct http_request *request, struct http_response *response, struct error *err);
/* manifest_api.c */
int api_manifest_get(void *context, struct http_request *request, struct http_response *response, struct error *err);
int api_manifest_head(void *context, struct http_request *request, struct http_response *response, struct error *err);
int api_manifest_put(void *context, struct http_request *request, struct http_response *response, struct error *err);
int api_manifest_delete(void *context, struct http_request *request, struct http_response *response, struct error *err);
/* list_api.c */
int api_tags(void *context, struct http_request *request, struct http_response *response, struct error *err);
int api_repositories(void *context, struct http_request *request, struct http_response *response, struct error *err);
int api_referrers(void *context, struct http_request *request, struct http_response *response, struct error *err);
