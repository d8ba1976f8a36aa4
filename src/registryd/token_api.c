/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token server of docker's token authentication: GET with basic credentials
 * (or none), POST as OAuth2 with a password or a refresh token. What a user may
 * not do is left out of the token, never an error.
 */
#include <string.h>

#include "base/alloc.h"
#include "http/uri.h"
#include "registryd/api.h"

struct token_answer {
	char *token;
	char *access_token;
	char *refresh_token;
	int64_t expires_in;
};

static const struct json_field answer_fields[] = {
	JSON_TEXT("token", struct token_answer, token, 0),
	JSON_TEXT("access_token", struct token_answer, access_token, 0),
	JSON_TEXT("refresh_token", struct token_answer, refresh_token, JSON_OMIT_EMPTY),
	JSON_I64("expires_in", struct token_answer, expires_in, 0),
	JSON_END,
};

static int answer(struct api *api, struct http_response *response, const char *user, const struct text_list *scopes,
		  bool with_refresh)
{
	struct token_answer out = { .token = access_issue(api->access, user, scopes, false),
				    .expires_in = api_config(api)->auth.token_life_s };

	out.access_token = xstrdup(out.token);
	if (with_refresh && user)
		out.refresh_token = access_issue(api->access, user, scopes, true);
	http_set_header(response, "Cache-Control", "no-store");
	http_reply_take(response, 200, "application/json", json_encode(&out, answer_fields));
	json_free_fields(&out, answer_fields);
	return 0;
}

static bool is_on(struct api *api, struct http_response *response)
{
	if (api_config(api)->auth.token)
		return true;
	api_refuse(response, 404, "UNSUPPORTED", "this registry gives no tokens");
	return false;
}

static int wrong(struct http_response *response)
{
	http_set_header(response, "WWW-Authenticate", "Basic realm=\"kist-registry\"");
	return api_refuse(response, 401, "UNAUTHORIZED", "incorrect username or password");
}

int api_token_get(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	AUTO(access_caller_fini) struct access_caller caller = { 0 };
	AUTO(text_list_fini) struct text_list scopes = { 0 };
	const char *scope;
	int known;

	if (!is_on(api, response))
		return 0;
	known = access_identify(&caller, api->access, http_header(request, "Authorization"), err);
	if (known < 0)
		return -1;
	if (!known || caller.by_token)
		return wrong(response);
	for (size_t i = 0; (scope = http_query_at(request, "scope", i)); i++)
		text_list_split(&scopes, scope, ' ');
	return answer(api, response, caller.user, &scopes, text_equal(http_query(request, "offline_token"), "true"));
}

/* The user, yours; NULL: the refusal has been sent or err is filled. */
static char *oauth_user(struct api *api, const struct http_uri *form, struct http_response *response, struct error *err)
{
	const char *grant = text_or_empty(http_uri_query(form, "grant_type", 0));
	const char *user = text_or_empty(http_uri_query(form, "username", 0));
	const char *password = text_or_empty(http_uri_query(form, "password", 0));
	char *name = NULL;
	int r = 0;

	if (text_equal(grant, "refresh_token")) {
		name = access_refresh_user(api->access, text_or_empty(http_uri_query(form, "refresh_token", 0)));
	} else if (text_equal(grant, "password")) {
		r = access_check_password(api->access, user, password, err);
		name = r > 0 ? xstrdup(user) : NULL;
	} else {
		api_refuse(response, 400, "UNSUPPORTED", "grant_type is neither password nor refresh_token");
		return NULL;
	}
	if (!name && r >= 0)
		wrong(response);
	return name;
}

int api_token_post(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	AUTO(http_uri_fini) struct http_uri form = { 0 };
	AUTO(text_list_fini) struct text_list scopes = { 0 };
	AUTO_FREE char *target = NULL;
	AUTO_FREE char *user = NULL;
	size_t size;
	const char *body = http_body(request, &size);

	if (!is_on(api, response))
		return 0;
	target = xasprintf("/?%s", body);
	if (strlen(body) != size || http_uri_parse(&form, target) < 0)
		return api_refuse(response, 400, "UNSUPPORTED", "the form cannot be read");
	user = oauth_user(api, &form, response, err);
	if (!user)
		return error_is_set(err) ? -1 : 0;
	text_list_split(&scopes, text_or_empty(http_uri_query(&form, "scope", 0)), ' ');
	return answer(api, response, user, &scopes, text_equal(http_uri_query(&form, "access_type", 0), "offline"));
}
