/* SPDX-License-Identifier: Apache-2.0 */
#include "api/docker/authorization.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "json/json.h"

#define TIMEOUT_MS (30 * 1000)
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
};

static const struct json_field verdict_fields[] = {
	JSON_BOOL("Allow", struct verdict, allow, 0),
	JSON_TEXT("Msg", struct verdict, message, 0),
	JSON_END,
};

/* ---- asking ---- */

static int ask(struct verdict *out_verdict, struct plugins *plugins, const char *name, const char *method,
	       const char *body, struct error *err)
{
	AUTO_FREE char *answer = NULL;
	const struct plugin_call call = {
		.name = name, .method = method, .body = body, .timeout_ms = TIMEOUT_MS, .cancel_fd = -1, .other_fd = -1
	};

	if (plugin_call(&answer, plugins, &call, err) != PLUGIN_DONE)
		return -1;
	return json_decode(out_verdict, verdict_fields, answer, strlen(answer), err);
}

static int judge(struct plugins *plugins, const char *name, const char *method, const char *body, struct error *err)
{
	struct verdict verdict = { 0 };
	AUTO(error_clear) struct error failure = { 0 };
	int r = 0;

	if (ask(&verdict, plugins, name, method, body, &failure) < 0)
		return error_set(err, ERR_INTERNAL, "plugin %s failed with error: %s", name, failure.message);
	if (!verdict.allow)
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

int authorization_ask(struct plugins *plugins, const struct text_list *names, struct http_request *request,
		      struct error *err)
{
	struct question question = { 0 };
	AUTO_FREE char *json = NULL;
	int r = 0;

	if (names->count == 0)
		return 0;
	r = fill_question(&question, request, err);
	json = json_encode(&question, question_fields);
	json_free_fields(&question, question_fields);
	for (size_t i = 0; r == 0 && i < names->count; i++)
		r = judge(plugins, names->items[i], "AuthZPlugin.AuthZReq", json, err);
	return r;
}

int authorization_review(struct plugins *plugins, const struct text_list *names, struct http_request *request,
			 const struct http_answer *answer, struct error *err)
{
	struct question question = { 0 };
	AUTO_FREE char *json = NULL;
	int r = 0;

	if (names->count == 0)
		return 0;
	r = fill_question(&question, request, err);
	question.response_status = answer->status;
	if (answer->content_type)
		text_map_set(&question.response_headers, "Content-Type", answer->content_type);
	if (answer->size && is_json(answer->content_type))
		question.response_body = base64_encode(answer->data, answer->size);
	json = json_encode(&question, question_fields);
	json_free_fields(&question, question_fields);
	for (size_t i = names->count; r == 0 && i > 0; i--)
		r = judge(plugins, names->items[i - 1], "AuthZPlugin.AuthZRes", json, err);
	return r;
}
