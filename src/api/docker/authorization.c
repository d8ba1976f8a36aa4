/* SPDX-License-Identifier: Apache-2.0 */
#include "api/docker/authorization.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/file.h"
#include "http/local.h"
#include "json/json.h"
#include "json/value.h"

#define SOCKETS "/run/docker/plugins"
#define PLUGIN_TYPE "application/vnd.docker.plugins.v1.2+json"
#define ANSWER_MAX ((size_t)1 << 20)
#define SPEC_MAX ((size_t)64 << 10)
/* What dockerd shows; of a longer body a plugin sees nothing, so such requests are refused. */
#define BODY_MAX ((size_t)4 << 20)

struct question {
	char *user;
	char *user_method;
	char *method;
	char *uri;
	char *body;
	struct text_map headers;
	char *response_body;
	int64_t response_status;
	struct text_map response_headers;
};

#define Q struct question
static const struct json_field question_fields[] = {
	JSON_TEXT("User", Q, user, JSON_OMIT_EMPTY),
	JSON_TEXT("UserAuthNMethod", Q, user_method, JSON_OMIT_EMPTY),
	JSON_TEXT("RequestMethod", Q, method, JSON_OMIT_EMPTY),
	JSON_TEXT("RequestUri", Q, uri, JSON_OMIT_EMPTY),
	JSON_TEXT("RequestBody", Q, body, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("RequestHeaders", Q, headers, JSON_OMIT_EMPTY),
	JSON_TEXT("ResponseBody", Q, response_body, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("ResponseHeaders", Q, response_headers, JSON_OMIT_EMPTY),
	JSON_I64("ResponseStatusCode", Q, response_status, JSON_OMIT_EMPTY),
	JSON_END,
};
#undef Q

struct verdict {
	bool allow;
	char *message;
	char *error;
};

static const struct json_field verdict_fields[] = {
	JSON_BOOL("Allow", struct verdict, allow, 0),
	JSON_TEXT("Msg", struct verdict, message, 0),
	JSON_TEXT("Err", struct verdict, error, 0),
	JSON_END,
};

/* ---- where a plugin is ---- */

static char *read_address(const char *folder, const char *name)
{
	AUTO_FREE char *spec = xasprintf("%s/%s.spec", folder, name);
	AUTO_FREE char *json = xasprintf("%s/%s.json", folder, name);
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *text = NULL;
	const char *address;
	size_t size;

	if (file_read(&text, &size, AT_FDCWD, spec, SPEC_MAX) == 0)
		return xstrdup(text_trim(text));
	if (file_read(&text, &size, AT_FDCWD, json, SPEC_MAX) < 0 || json_value_parse(&value, text, size, &ignored) < 0)
		return NULL;
	address = json_value_text(json_value_get(value, "Addr"));
	return address ? xstrdup(address) : NULL;
}

static char *find_plugin(const char *name, struct error *err)
{
	static const char *const folders[] = { "/etc/docker/plugins", "/usr/lib/docker/plugins" };
	AUTO_FREE char *path = xasprintf(SOCKETS "/%s.sock", name);

	if (strchr(name, '/') || *name == '.') {
		error_set(err, ERR_INVALID, "plugin name \"%s\"", name);
		return NULL;
	}
	if (file_exists(AT_FDCWD, path))
		return xasprintf("unix://%s", path);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		char *address = read_address(folders[i], name);

		if (address)
			return address;
	}
	error_set(err, ERR_INTERNAL, "plugin \"%s\" not found", name);
	return NULL;
}

/* ---- asking ---- */

static int ask(struct verdict *out_verdict, const char *name, const char *path, const char *body, struct error *err)
{
	AUTO_FREE char *address = find_plugin(name, err);
	AUTO(local_client_freep) struct local_client *client = NULL;
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(buffer_fini) struct buffer answer = { 0 };
	const struct local_request request = {
		.method = "POST", .path = path, .content_type = PLUGIN_TYPE, .body = body
	};

	buffer_init(&answer, ANSWER_MAX);
	if (!address || local_client_new(&client, address, err) < 0 ||
	    local_send(&response, client, &request, err) < 0 || local_response_read_all(response, &answer, err) < 0)
		return -1;
	if (local_response_status(response) != 200)
		return error_set(err, ERR_INTERNAL, "%s answered with status %d", path,
				 local_response_status(response));
	return json_decode(out_verdict, verdict_fields, (const char *)answer.data, answer.size, err);
}

static int judge(const struct text_list *plugins, size_t index, const char *path, const char *body, struct error *err)
{
	const char *name = plugins->items[index];
	struct verdict verdict = { 0 };
	AUTO(error_clear) struct error failure = { 0 };
	int r = 0;

	if (ask(&verdict, name, path, body, &failure) < 0)
		return error_set(err, ERR_INTERNAL, "plugin %s failed with error: %s", name, failure.message);
	if (!text_empty(verdict.error))
		r = error_set(err, ERR_INTERNAL, "plugin %s failed with error: %s", name, verdict.error);
	else if (!verdict.allow)
		r = error_set(err, ERR_FORBIDDEN, "authorization denied by plugin %s: %s", name,
			      text_or_empty(verdict.message));
	json_free_fields(&verdict, verdict_fields);
	return r;
}

/* ---- the question ---- */

static bool is_json(const char *content_type)
{
	size_t size = strcspn(text_or_empty(content_type), "; \t");

	return size == strlen("application/json") && strncasecmp(content_type, "application/json", size) == 0;
}

static void remove_header(struct text_map *headers, const char *name)
{
	for (size_t i = headers->count; i > 0; i--)
		if (text_equal_ignoring_case(headers->items[i - 1].key, name))
			text_map_remove(headers, headers->items[i - 1].key);
}

static int fill_question(struct question *question, struct http_request *request, struct error *err)
{
	const char *user = http_user(request);
	size_t size;
	const char *body = http_body(request, &size);

	if (size > BODY_MAX)
		return error_set(err, ERR_INVALID, "request body is too large for authorization plugins");
	http_headers(request, &question->headers);
	remove_header(&question->headers, "X-Registry-Auth");
	remove_header(&question->headers, "X-Registry-Config");
	remove_header(&question->headers, "X-Kist-Build-Secrets");
	question->user = xstrdup(text_or_empty(user));
	question->user_method = xstrdup(user ? "TLS" : "");
	question->method = xstrdup(http_method(request));
	question->uri = xstrdup(http_target(request));
	question->body = size && is_json(http_header(request, "Content-Type")) ? base64_encode(body, size) : NULL;
	return 0;
}

int authorization_ask(const struct text_list *plugins, struct http_request *request, struct error *err)
{
	struct question question = { 0 };
	AUTO_FREE char *json = NULL;
	int r = 0;

	if (plugins->count == 0)
		return 0;
	r = fill_question(&question, request, err);
	json = json_encode(&question, question_fields);
	json_free_fields(&question, question_fields);
	for (size_t i = 0; r == 0 && i < plugins->count; i++)
		r = judge(plugins, i, "/AuthZPlugin.AuthZReq", json, err);
	return r;
}

int authorization_review(const struct text_list *plugins, struct http_request *request,
			 const struct http_answer *answer, struct error *err)
{
	struct question question = { 0 };
	AUTO_FREE char *json = NULL;
	int r = 0;

	if (plugins->count == 0)
		return 0;
	r = fill_question(&question, request, err);
	question.response_status = answer->status;
	if (answer->content_type)
		text_map_set(&question.response_headers, "Content-Type", answer->content_type);
	if (answer->size && is_json(answer->content_type))
		question.response_body = base64_encode(answer->data, answer->size);
	json = json_encode(&question, question_fields);
	json_free_fields(&question, question_fields);
	for (size_t i = plugins->count; r == 0 && i > 0; i--)
		r = judge(plugins, i - 1, "/AuthZPlugin.AuthZRes", json, err);
	return r;
}
