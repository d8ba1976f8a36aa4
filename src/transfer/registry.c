/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: registry_send() is a loop around one exchange. Before each try
 * the Authorization we know is added; a 401 teaches us another one, once. The
 * lock guards what was learnt (scheme, challenge, tokens), never a request.
 */
#include "transfer/registry.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/thread.h"
#include "transfer/challenge.h"
#include "transfer/refusal.h"
#include "transfer/token.h"

#define TRIES_MAX 5
#define PAUSE_FIRST_MS 500
#define PAUSE_MAX_MS 60000
#define PAUSE_STEP_MS 100

enum scheme { SCHEME_UNKNOWN, SCHEME_HTTPS, SCHEME_HTTP };

struct registry {
	struct registry_options options;
	char *host;
	struct mutex lock;
	enum scheme scheme;
	bool answered;	   /* at least once */
	bool basic;	   /* asked for basic credentials before */
	struct map tokens; /* scope -> struct token */
	char *refresh_token;
};

static void free_token(void *value)
{
	struct token *token = value;

	token_fini(token);
	free(token);
}

struct registry *registry_new(const struct registry_options *options)
{
	struct registry *registry = xcalloc(1, sizeof(*registry));

	registry->options = *options;
	registry->host = xstrdup(options->host);
	registry->scheme = options->plain ? SCHEME_HTTP : SCHEME_UNKNOWN;
	mutex_init(&registry->lock);
	map_init(&registry->tokens, free_token);
	return registry;
}

void registry_free(struct registry *registry)
{
	if (!registry)
		return;
	map_fini(&registry->tokens);
	mutex_fini(&registry->lock);
	free(registry->host);
	free(registry->refresh_token);
	free(registry);
}

static enum scheme known_scheme(struct registry *registry)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&registry->lock);

	return registry->scheme;
}

static void learn_scheme(struct registry *registry, enum scheme scheme)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&registry->lock);

	registry->scheme = scheme;
}

char *registry_base(struct registry *registry)
{
	return xasprintf("%s://%s", known_scheme(registry) == SCHEME_HTTP ? "http" : "https", registry->host);
}

char *registry_refresh_token(struct registry *registry)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&registry->lock);

	return xstrdup(text_or_empty(registry->refresh_token));
}

bool registry_pause(const struct registry *registry, int attempt, int64_t retry_after_s)
{
	int64_t wait_ms = (int64_t)PAUSE_FIRST_MS << (attempt < 8 ? attempt - 1 : 7);
	const atomic_bool *stop = registry->options.stop;

	if (wait_ms < retry_after_s * 1000)
		wait_ms = retry_after_s * 1000;
	if (wait_ms > PAUSE_MAX_MS)
		wait_ms = PAUSE_MAX_MS;
	for (; wait_ms > 0; wait_ms -= PAUSE_STEP_MS) {
		if (stop && atomic_load(stop))
			return false;
		clock_sleep_ms(wait_ms < PAUSE_STEP_MS ? wait_ms : PAUSE_STEP_MS);
	}
	return !stop || !atomic_load(stop);
}

/* ---- authorization ---- */

/* The header's value we can send without asking again (yours), or NULL. */
static char *known_authorization(struct registry *registry, const char *scope)
{
	const struct message_auth *auth = registry->options.auth;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&registry->lock);
	const struct token *token = map_get(&registry->tokens, text_or_empty(scope));

	if (!text_empty(auth->registry_token))
		return xasprintf("Bearer %s", auth->registry_token);
	if (token && token->expires_ns > clock_monotonic_ns())
		return xasprintf("Bearer %s", token->text);
	return registry->basic ? token_basic(auth) : NULL;
}

static int learn_token(struct registry *registry, struct remote *remote, const struct registry_call *call,
		       const struct challenge *challenge, struct error *err)
{
	AUTO_FREE char *realm_host = remote_url_host(text_map_get(&challenge->parameters, "realm"));
	AUTO_FREE char *host = xstrndup(registry->host, strcspn(registry->host, "/"));
	bool own_host = text_equal(realm_host, host);
	struct token_request request = { .challenge = challenge,
					 .scope = call->scope,
					 .auth = registry->options.auth,
					 .trust = own_host ? registry->options.trust : NULL,
					 .offline = call->offline_token,
					 .plain = known_scheme(registry) == SCHEME_HTTP };
	struct token *token = xcalloc(1, sizeof(*token));

	if (token_fetch(token, remote, &request, err) < 0) {
		free(token);
		return -1;
	}
	mutex_lock(&registry->lock);
	if (token->refresh_token) {
		free(registry->refresh_token);
		registry->refresh_token = xstrdup(token->refresh_token);
	}
	map_set(&registry->tokens, text_or_empty(call->scope), token);
	mutex_unlock(&registry->lock);
	return 1;
}

/* After a 401: 1 if we know more now and should try again, 0 if nothing helps. */
static int answer_challenge(struct registry *registry, struct remote *remote, const struct registry_call *call,
			    const struct remote_response *response, struct error *err)
{
	const char *header = remote_header(response, "www-authenticate");
	AUTO(challenge_list_fini) struct challenge_list list = { 0 };
	const struct challenge *challenge;

	challenge_parse(&list, text_or_empty(header));
	challenge = challenge_choose(&list);
	if (!challenge || !text_empty(registry->options.auth->registry_token))
		return 0;
	if (challenge->scheme == CHALLENGE_BEARER)
		return learn_token(registry, remote, call, challenge, err);
	if (text_empty(registry->options.auth->username))
		return error_set(err, ERR_UNAUTHORIZED, "no basic auth credentials");
	mutex_lock(&registry->lock);
	registry->basic = true;
	mutex_unlock(&registry->lock);
	return 1;
}

/* ---- one exchange ---- */

/* A registry may send an upload to another host, which has no business with our credentials. */
static bool is_own_url(const char *url, const char *base)
{
	AUTO_FREE char *host = remote_url_host(url);
	AUTO_FREE char *own = remote_url_host(base);

	return text_equal(host, own) && text_has_prefix(url, "https:") == text_has_prefix(base, "https:");
}

static char *url_of(const struct registry *registry, const char *base, const struct registry_call *call)
{
	const char *origin = registry->options.origin;

	if (call->url)
		return xstrdup(call->url);
	return xasprintf("%s/%s%s%s%s", base, registry->options.whole_path || call->is_root ? "" : "v2/", call->path,
			 !origin		   ? ""
			 : strchr(call->path, '?') ? "&ns="
						   : "?ns=",
			 text_or_empty(origin));
}

static int send_once(struct remote_response *response, struct registry *registry, struct remote *remote,
		     const struct registry_call *call, struct error *err)
{
	AUTO_FREE char *base = registry_base(registry);
	AUTO_FREE char *url = url_of(registry, base, call);
	bool own = is_own_url(url, base);
	AUTO_FREE char *authorization = own ? known_authorization(registry, call->scope) : NULL;

	return remote_send(response, remote,
			   &(struct remote_request){ .method = call->method,
						     .url = url,
						     .headers = call->headers,
						     .own_headers = own ? registry->options.headers : NULL,
						     .authorization = authorization,
						     .trust = registry->options.trust,
						     .body = call->body,
						     .body_fd = call->body_fd,
						     .body_offset = call->body_offset,
						     .body_size = call->body_size,
						     .on_more = call->on_more,
						     .on_more_arg = call->on_more_arg,
						     .on_sent = call->on_sent,
						     .body_limit = call->body_limit,
						     .timeout_ms = call->timeout_ms,
						     .on_body = call->on_body,
						     .arg = call->arg },
			   err);
}

/* TLS first; plain http only where the owner of the machine, or loopback, allows it. */
static int send_any_scheme(struct remote_response *response, struct registry *registry, struct remote *remote,
			   const struct registry_call *call, struct error *err)
{
	bool may_fall_back = known_scheme(registry) == SCHEME_UNKNOWN && registry->options.trust->insecure &&
			     !registry->options.tls_only;
	AUTO(error_clear) struct error first = { 0 };

	if (!may_fall_back) {
		int r = send_once(response, registry, remote, call, err);

		if (r == 0 && known_scheme(registry) == SCHEME_UNKNOWN)
			learn_scheme(registry, SCHEME_HTTPS);
		return r;
	}
	if (send_once(response, registry, remote, call, &first) == 0) {
		learn_scheme(registry, SCHEME_HTTPS);
		return 0;
	}
	if (response->failure == REMOTE_NO_HOST || response->failure == REMOTE_STOPPED)
		return error_move(err, &first);
	remote_response_fini(response);
	learn_scheme(registry, SCHEME_HTTP);
	if (send_once(response, registry, remote, call, err) == 0)
		return 0;
	learn_scheme(registry, SCHEME_UNKNOWN);
	return -1;
}

bool registry_is_passing_status(int status)
{
	return status == 408 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

int64_t registry_retry_after_s(const struct remote_response *response)
{
	const char *text = remote_header(response, "retry-after");
	uint64_t seconds;

	return text && text_parse_u64(&seconds, text, PAUSE_MAX_MS / 1000) == 0 ? (int64_t)seconds : 0;
}

static bool has_answered(struct registry *registry)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&registry->lock);

	return registry->answered;
}

static void learn_answered(struct registry *registry)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&registry->lock);

	registry->answered = true;
}

static bool is_worth_retrying(struct registry *registry, const struct registry_call *call,
			      const struct remote_response *response, int result)
{
	if (call->once)
		return false;
	if (result == 0)
		return registry_is_passing_status(response->status);
	/* A first contact that fails is told at once: the name or the port is likely wrong. */
	if (call->on_body || !has_answered(registry))
		return false;
	return response->failure == REMOTE_CUT || response->failure == REMOTE_TIMEOUT ||
	       response->failure == REMOTE_NO_CONNECT;
}

int registry_send(struct remote_response *out_response, struct registry *registry, struct remote *remote,
		  const struct registry_call *call, struct error *err)
{
	bool answered = false;
	int attempt = 1;

	for (;;) {
		int r = send_any_scheme(out_response, registry, remote, call, err);
		int64_t wait_s;

		if (r == 0)
			learn_answered(registry);
		if (r == 0 && out_response->status == 401 && !answered) {
			answered = true;
			r = answer_challenge(registry, remote, call, out_response, err);
			if (r <= 0)
				return r;
			remote_response_fini(out_response);
			continue;
		}
		if (attempt >= TRIES_MAX || !is_worth_retrying(registry, call, out_response, r))
			return r;
		wait_s = registry_retry_after_s(out_response);
		remote_response_fini(out_response);
		error_clear(err);
		if (!registry_pause(registry, attempt++, wait_s))
			return error_set(err, ERR_CANCELED, "canceled");
	}
}
