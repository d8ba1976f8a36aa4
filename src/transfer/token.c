/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/token.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "transfer/refusal.h"

#define LIFE_DEFAULT_S 60
#define LIFE_MARGIN_S 10
#define LIFE_MAX_S 86400
#define CLIENT_ID "kist"

struct token_answer {
	char *token;
	char *access_token;
	char *refresh_token;
	int64_t expires_in;
};

static const struct json_field answer_fields[] = {
	JSON_TEXT("token", struct token_answer, token, 0),
	JSON_TEXT("access_token", struct token_answer, access_token, 0),
	JSON_TEXT("refresh_token", struct token_answer, refresh_token, 0),
	JSON_I64("expires_in", struct token_answer, expires_in, 0),
	JSON_END,
};

static void add_pair(struct text *out, const char *name, const char *value)
{
	if (text_empty(value))
		return;
	if (out->size)
		text_add_char(out, '&');
	text_addf(out, "%s=", name);
	text_add_escaped(out, value, false);
}

/* Several scopes are separated by blanks; each becomes a parameter of its own. */
static void add_scopes(struct text *out, const char *scopes)
{
	AUTO(text_list_fini) struct text_list list = { 0 };

	text_list_split(&list, text_or_empty(scopes), ' ');
	for (size_t i = 0; i < list.count; i++)
		add_pair(out, "scope", list.items[i]);
}

char *token_basic(const struct message_auth *auth)
{
	AUTO_FREE char *pair = xasprintf("%s:%s", text_or_empty(auth->username), text_or_empty(auth->password));
	AUTO_FREE char *encoded = base64_encode(pair, strlen(pair));

	return xasprintf("Basic %s", encoded);
}

static int send_get(struct remote_response *response, struct remote *remote, const struct token_request *request,
		    const char *scope, struct error *err)
{
	const struct text_map *parameters = &request->challenge->parameters;
	const char *realm = text_map_get(parameters, "realm");
	AUTO(text_fini) struct text query = { 0 };
	AUTO_FREE char *url = NULL;
	AUTO_FREE char *basic = NULL;

	if (!text_empty(request->auth->username)) {
		basic = token_basic(request->auth);
		add_pair(&query, "account", request->auth->username);
	}
	add_pair(&query, "service", text_map_get(parameters, "service"));
	add_scopes(&query, scope);
	add_pair(&query, "client_id", CLIENT_ID);
	if (request->offline)
		add_pair(&query, "offline_token", "true");
	url = xasprintf("%s%c%s", realm, strchr(realm, '?') ? '&' : '?', text_or_empty(query.data));
	return remote_send(response, remote,
			   &(struct remote_request){ .url = url, .authorization = basic, .trust = request->trust },
			   err);
}

static int send_post(struct remote_response *response, struct remote *remote, const struct token_request *request,
		     const char *scope, struct error *err)
{
	const struct text_map *parameters = &request->challenge->parameters;
	AUTO(text_list_fini) struct text_list headers = { 0 };
	AUTO(text_fini) struct text form = { 0 };

	text_list_add(&headers, "Content-Type: application/x-www-form-urlencoded");
	add_pair(&form, "grant_type", "refresh_token");
	add_pair(&form, "service", text_map_get(parameters, "service"));
	add_pair(&form, "client_id", CLIENT_ID);
	add_pair(&form, "scope", scope);
	add_pair(&form, "refresh_token", request->auth->identity_token);
	return remote_send(response, remote,
			   &(struct remote_request){ .method = "POST",
						     .url = text_map_get(parameters, "realm"),
						     .headers = &headers,
						     .body = form.data,
						     .body_size = form.size,
						     .trust = request->trust },
			   err);
}

static int read_answer(struct token *out_token, struct remote_response *response, struct error *err)
{
	struct token_answer answer = { 0 };
	int64_t life;

	if (json_decode(&answer, answer_fields, buffer_text(&response->body), response->body.size, err) < 0)
		return error_prefix(err, "token of %s", response->url);
	life = answer.expires_in > LIFE_DEFAULT_S ? answer.expires_in : LIFE_DEFAULT_S;
	if (life > LIFE_MAX_S)
		life = LIFE_MAX_S;
	*out_token = (struct token){ .text = take_ptr(answer.token),
				     .refresh_token = take_ptr(answer.refresh_token),
				     .expires_ns = clock_monotonic_ns() + (life - LIFE_MARGIN_S) * CLOCK_SECOND };
	if (text_empty(out_token->text)) {
		free(out_token->text);
		out_token->text = take_ptr(answer.access_token);
	}
	json_free_fields(&answer, answer_fields);
	if (!text_empty(out_token->text))
		return 0;
	token_fini(out_token);
	return error_set(err, ERR_INVALID, "authorization server %s did not include a token in its answer",
			 response->url);
}

/* A password must not travel in the clear because a server says so. */
static int check_realm(const struct token_request *request, struct error *err)
{
	const char *realm = text_map_get(&request->challenge->parameters, "realm");
	AUTO_FREE char *host = remote_url_host(realm);

	if (!host)
		return error_set(err, ERR_INVALID, "the registry names \"%s\" as its token server", realm);
	if (!text_has_prefix(realm, "https:") && !request->plain && !remote_is_loopback(host))
		return error_set(err, ERR_INVALID, "the registry sends us to %s without TLS for a token: not allowed",
				 realm);
	return 0;
}

int token_fetch(struct token *out_token, struct remote *remote, const struct token_request *request, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	const char *scope = request->scope ? request->scope : text_map_get(&request->challenge->parameters, "scope");
	bool refresh = !text_empty(request->auth->identity_token);

	if (check_realm(request, err) < 0)
		return -1;
	if ((refresh ? send_post(&response, remote, request, scope, err)
		     : send_get(&response, remote, request, scope, err)) < 0)
		return error_prefix(err, "fetch a token");
	if (response.status != 200)
		return refusal_error(&response, NULL, err);
	return read_answer(out_token, &response, err);
}

void token_fini(struct token *token)
{
	free(token->text);
	free(token->refresh_token);
	*token = (struct token){ 0 };
}
