/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h - the engine as the commands see it: one call per request, errors
 * in docker's words ("Error response from daemon: ...").
 *
 * Opening finds the engine, starts kistd if nobody named one and none answers,
 * and agrees on an API version. Paths are given without "/v1.51".
 */
#pragma once

#include "base/error.h"
#include "http/local.h"
#include "json/value.h"

#define CLIENT_API_MAX "1.51"
#define CLIENT_DOCKER_VERSION "28.5.2" /* whose commands and words we have */
#define CLIENT_DEFAULT_HOST "unix:///run/kist/kist.sock"
#define CLIENT_ANSWER_MAX (256u << 20)

struct client {
	struct local_client *http;
	char *host;
	char *api_version; /* agreed on: "1.51" */
	char *server_api;  /* the newest the server has, or NULL */
	bool experimental;
	struct text_list headers; /* HttpHeaders of config.json */
};

/* How tcp:// is spoken; texts borrowed. */
struct client_tls {
	bool wanted;
	bool no_verify;
	const char *ca; /* NULL: this machine's authorities */
	const char *certificate;
	const char *key;
};

struct client_options {
	const char *host; /* NULL: the default, with kistd started if needed */
	struct client_tls tls;
	const struct text_map *headers;
};

int client_open(struct client *client, const struct client_options *options, struct error *err);
void client_close(struct client *client);

/* Any status >= 400 becomes an error; the response's head is otherwise the caller's. */
int client_send(struct local_response **out_response, struct client *client, const struct local_request *request,
		struct error *err);
/* The answer's JSON; *out_value may be NULL (out_value too). */
int client_ask(struct json_value **out_value, struct client *client, const struct local_request *request,
	       struct error *err);
/* method, path, JSON body or NULL; the rest as client_ask(). */
int client_call(struct json_value **out_value, struct client *client, const char *method, const char *path,
		const char *body, struct error *err);
int client_get(struct json_value **out_value, struct client *client, struct error *err, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
int client_post(struct client *client, struct error *err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The text of an answer's member; "" if it has none. Borrowed. */
const char *text_of(const struct json_value *object, const char *key);

/* Adds ?key=value or &key=value, escaped. NULL and "" values are left out. */
void query_add(struct text *path, const char *key, const char *value);
void query_add_flag(struct text *path, const char *key, bool value);
/* Adds a text escaped for a path segment or a query. */
void query_escape(struct text *out, const char *text);
/* The filters parameter from --filter key=value options. */
int query_add_filters(struct text *path, const struct text_list *filters, struct error *err);
