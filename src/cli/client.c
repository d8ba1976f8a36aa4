/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/program.h"
#include "base/quote.h"
#include "cli/daemon.h"

/* ---- paths ---- */

const char *text_of(const struct json_value *object, const char *key)
{
	return text_or_empty(json_value_text(json_value_get(object, key)));
}

void query_escape(struct text *out, const char *text)
{
	text_add_escaped(out, text_or_empty(text), false);
}

void query_add(struct text *path, const char *key, const char *value)
{
	if (text_empty(value))
		return;
	text_addf(path, "%c%s=", strchr(path->data, '?') ? '&' : '?', key);
	query_escape(path, value);
}

void query_add_flag(struct text *path, const char *key, bool value)
{
	query_add(path, key, value ? "1" : NULL);
}

/* Splits "key=value" into lower-case key and value. */
static int split_filter(char **out_key, char **out_value, const char *filter, struct error *err)
{
	const char *equals = strchr(filter, '=');
	AUTO_FREE char *key = NULL;
	AUTO_FREE char *value = NULL;

	if (!equals)
		return error_set(err, ERR_INVALID,
				 "invalid argument \"%s\" for \"-f, --filter\" flag: bad format of "
				 "filter (expected name=value)",
				 filter);
	key = xstrndup(filter, (size_t)(equals - filter));
	value = xstrdup(equals + 1);
	for (char *c = key; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	*out_key = xstrdup(text_trim(key));
	*out_value = xstrdup(text_trim(value));
	return 0;
}

int query_add_filters(struct text *path, const struct text_list *filters, struct error *err)
{
	AUTO(text_list_fini) struct text_list keys = { 0 };
	AUTO(text_list_fini) struct text_list values = { 0 };
	AUTO(text_fini) struct text json = { 0 };

	for (size_t i = 0; i < filters->count; i++) {
		char *key;
		char *value;

		if (*filters->items[i] == '\0')
			continue;
		if (split_filter(&key, &value, filters->items[i], err) < 0)
			return -1;
		text_list_add_take(&keys, key);
		text_list_add_take(&values, value);
	}
	for (size_t i = 0; i < keys.count; i++) {
		bool seen = false;

		for (size_t j = 0; j < i; j++)
			seen = seen || text_equal(keys.items[i], keys.items[j]);
		if (seen)
			continue;
		text_add(&json, json.size ? "}," : "{");
		quote_json(&json, keys.items[i], strlen(keys.items[i]));
		text_add(&json, ":{");
		for (size_t j = i; j < keys.count; j++) {
			if (!text_equal(keys.items[i], keys.items[j]))
				continue;
			text_add(&json, j > i ? "," : "");
			quote_json(&json, values.items[j], strlen(values.items[j]));
			text_add(&json, ":true");
		}
	}
	if (json.size) {
		text_add(&json, "}}");
		query_add(path, "filters", json.data);
	}
	return 0;
}

/* ---- opening ---- */

static int compare_versions(const char *a, const char *b)
{
	int major[2] = { 0 };
	int minor[2] = { 0 };

	if (sscanf(a, "%d.%d", &major[0], &minor[0]) < 1 || sscanf(b, "%d.%d", &major[1], &minor[1]) < 1)
		return 0;
	return major[0] != major[1] ? major[0] - major[1] : minor[0] - minor[1];
}

static int ping(struct client *client, struct error *err)
{
	AUTO(local_response_freep) struct local_response *response = NULL;
	const struct local_request request = { .method = "HEAD", .path = "/_ping", .headers = &client->headers };
	const char *forced = getenv("DOCKER_API_VERSION");
	const char *version;

	if (local_send(&response, client->http, &request, err) < 0)
		return -1;
	version = local_response_header(response, "Api-Version");
	client->server_api = xstrdup(version);
	client->experimental = text_equal(local_response_header(response, "Docker-Experimental"), "true");
	if (!text_empty(forced))
		client->api_version = xstrdup(forced[0] == 'v' ? forced + 1 : forced);
	else if (!version)
		client->api_version = xstrdup("1.24");
	else
		client->api_version = xstrdup(compare_versions(version, CLIENT_API_MAX) < 0 ? version : CLIENT_API_MAX);
	return 0;
}

/* The cause behind "cannot connect", in words a person can act on. */
static int explain(const struct client *client, struct error *err)
{
	AUTO(error_clear) struct error cause = { 0 };

	error_move(&cause, err);
	if (cause.errnum == EACCES)
		return error_set(err, ERR_FORBIDDEN,
				 "permission denied while trying to connect to the engine at %s: its socket belongs "
				 "to another user or group",
				 client->host);
	return error_set(err, ERR_UNAVAILABLE, "Cannot connect to the engine at %s. Is kistd running? (%s)",
			 client->host, cause.message);
}

static int connect_or_start(struct client *client, bool may_start, struct error *err)
{
	if (local_client_connect(client->http, err) == 0)
		return 0;
	if (!may_start || (err->errnum != ENOENT && err->errnum != ECONNREFUSED && err->errnum != -ENOENT &&
			   err->errnum != -ECONNREFUSED))
		return explain(client, err);
	error_clear(err);
	return daemon_start(client->http, client->host, err);
}

struct ssh_address {
	char *text; /* owned; the others lie in it */
	char *user;
	char *host;
	char *port;
	char *path;
};

static int ssh_parse(struct ssh_address *out, const char *address, struct error *err)
{
	static const char path_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
	char *at;

	*out = (struct ssh_address){ .text = xstrdup(address) };
	out->host = out->text;
	out->path = strchr(out->text, '/');
	if (out->path)
		*out->path++ = '\0';
	at = strrchr(out->text, '@');
	if (at) {
		*at = '\0';
		out->user = out->text;
		out->host = at + 1;
	}
	out->port = strrchr(out->host, ':');
	if (out->port)
		*out->port++ = '\0';
	/* A dash would make an option of it, and the path goes through a shell. */
	if (*out->host && *out->host != '-' && !(out->user && strpbrk(out->user, ":-")) &&
	    !(out->path && out->path[strspn(out->path, path_letters)]))
		return 0;
	free(out->text);
	return error_set(
		err, ERR_INVALID,
		"host \"ssh://%s\": ssh://[user@]host[:port][/path of the socket] is wanted, without a password",
		address);
}

/* `ssh HOST docker system dial-stdio`, as docker has it; a host that has kist runs that. */
static int ssh_command(struct text_list *argv, const char *address, struct error *err)
{
	struct ssh_address ssh;

	if (ssh_parse(&ssh, address, err) < 0)
		return -1;
	text_list_add(argv, "ssh");
	text_list_add(argv, "-o");
	text_list_add(argv, "ConnectTimeout=30");
	text_list_add(argv, "-T");
	if (ssh.user)
		text_list_addf(argv, "-l%s", ssh.user);
	if (ssh.port)
		text_list_addf(argv, "-p%s", ssh.port);
	text_list_add(argv, "--");
	text_list_add(argv, ssh.host);
	text_list_addf(argv,
		       "for c in kist docker; do command -v $c >/dev/null && exec $c %s%s system dial-stdio; done; "
		       "echo neither kist nor docker is installed there >&2; exit 127",
		       text_empty(ssh.path) ? "" : "--host=unix:///", text_or_empty(ssh.path));
	free(ssh.text);
	return 0;
}

static int tls_command(struct text_list *argv, const char *address, const struct client_tls *tls, struct error *err)
{
	AUTO_FREE char *program = program_find("kist-dial", err);
	AUTO_FREE char *host = xstrndup(address, strcspn(address, "/"));
	char *colon = strrchr(host, ':');
	const char *node = host;

	if (!program)
		return -1;
	if (colon && !strchr(colon, ']'))
		*colon = '\0';
	else
		colon = NULL;
	if (*host == '[' && text_has_suffix(host, "]")) {
		host[strlen(host) - 1] = '\0';
		node = host + 1;
	}
	text_list_add(argv, program);
	if (tls->no_verify)
		text_list_add(argv, "--no-verify");
	if (tls->ca)
		text_list_addf(argv, "--ca=%s", tls->ca);
	if (tls->certificate)
		text_list_addf(argv, "--cert=%s", tls->certificate);
	if (tls->key)
		text_list_addf(argv, "--key=%s", tls->key);
	text_list_add(argv, "--");
	text_list_add(argv, node);
	text_list_add(argv, colon && colon[1] ? colon + 1 : "2376");
	return 0;
}

static int new_http(struct client *client, const struct client_tls *tls, struct error *err)
{
	AUTO(text_list_fini) struct text_list argv = { 0 };
	const char *ssh = text_after(client->host, "ssh://");
	const char *tcp = text_after(client->host, "tcp://");

	if (!ssh && !(tcp && tls->wanted))
		return local_client_new(&client->http, client->host, err);
	if ((ssh ? ssh_command(&argv, ssh, err) : tls_command(&argv, tcp, tls, err)) < 0)
		return -1;
	return local_client_new_program(&client->http, client->host, &argv, err);
}

int client_open(struct client *client, const struct client_options *options, struct error *err)
{
	const char *host = options->host;

	*client = (struct client){ 0 };
	client->host = xstrdup(text_empty(host) ? CLIENT_DEFAULT_HOST : host);
	for (size_t i = 0; options->headers && i < options->headers->count; i++)
		text_list_addf(&client->headers, "%s: %s", options->headers->items[i].key,
			       options->headers->items[i].value);
	if (new_http(client, &options->tls, err) < 0 || connect_or_start(client, text_empty(host), err) < 0 ||
	    ping(client, err) < 0) {
		client_close(client);
		return -1;
	}
	return 0;
}

void client_close(struct client *client)
{
	local_client_free(client->http);
	free(client->host);
	free(client->api_version);
	free(client->server_api);
	text_list_fini(&client->headers);
	*client = (struct client){ 0 };
}

/* ---- calling ---- */

static enum error_kind kind_of_status(int status)
{
	switch (status) {
	case 400:
		return ERR_INVALID;
	case 401:
		return ERR_UNAUTHORIZED;
	case 403:
		return ERR_FORBIDDEN;
	case 404:
		return ERR_NOT_FOUND;
	case 409:
		return ERR_CONFLICT;
	case 501:
		return ERR_UNSUPPORTED;
	case 503:
		return ERR_UNAVAILABLE;
	default:
		return ERR_INTERNAL;
	}
}

/* The server's {"message"} as an error. */
static int fail_with_body(struct local_response *response, const struct local_request *request, struct error *err)
{
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO(buffer_fini) struct buffer body = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	int status = local_response_status(response);
	const char *message = NULL;
	char *text;

	buffer_init(&body, 1 << 20);
	local_response_read_all(response, &body, &ignored);
	error_clear(&ignored);
	if (body.size && json_value_parse(&value, (const char *)body.data, body.size, &ignored) == 0)
		message = json_value_text(json_value_get(value, "message"));
	text = message ? NULL : xstrdup(buffer_text(&body));
	if (!message && *text_trim(text))
		message = text_trim(text);
	if (message)
		error_set(err, kind_of_status(status), "Error response from daemon: %s", message);
	else
		error_set(err, kind_of_status(status),
			  "request returned %d for API route and version %s, check if the server supports the "
			  "requested API version",
			  status, request->path);
	free(text);
	return -1;
}

/* What a container's name may bring into the request line: blanks, control bytes, and marks URLs forbid. */
static char *clean_path(const char *version, const char *path)
{
	struct text clean = { 0 };

	text_addf(&clean, "/v%s", version);
	for (; *path; path++) {
		unsigned char c = (unsigned char)*path;

		if (c <= ' ' || c >= 0x7f || strchr("\"<>\\^`{|}#", c))
			text_addf(&clean, "%%%02X", c);
		else
			text_add_char(&clean, *path);
	}
	return text_take(&clean);
}

int client_send(struct local_response **out_response, struct client *client, const struct local_request *request,
		struct error *err)
{
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(text_list_fini) struct text_list headers = { 0 };
	AUTO_FREE char *path = clean_path(client->api_version, request->path);
	struct local_request full = *request;

	text_list_add_all(&headers, &client->headers);
	if (request->headers)
		text_list_add_all(&headers, request->headers);
	full.path = path;
	full.headers = &headers;
	if (local_send(&response, client->http, &full, err) < 0)
		return -1;
	if (local_response_status(response) >= 400)
		return fail_with_body(response, &full, err);
	*out_response = take_ptr(response);
	return 0;
}

int client_ask(struct json_value **out_value, struct client *client, const struct local_request *request,
	       struct error *err)
{
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(buffer_fini) struct buffer answer = { 0 };

	buffer_init(&answer, CLIENT_ANSWER_MAX);
	if (client_send(&response, client, request, err) < 0 || local_response_read_all(response, &answer, err) < 0)
		return -1;
	if (!out_value)
		return 0;
	*out_value = NULL;
	if (answer.size == 0)
		return 0;
	if (json_value_parse(out_value, (const char *)answer.data, answer.size, err) < 0)
		return error_prefix(err, "answer of %s", client->host);
	return 0;
}

int client_call(struct json_value **out_value, struct client *client, const char *method, const char *path,
		const char *body, struct error *err)
{
	const struct local_request request = { .method = method, .path = path, .body = body };

	return client_ask(out_value, client, &request, err);
}

int client_get(struct json_value **out_value, struct client *client, struct error *err, const char *format, ...)
{
	AUTO_FREE char *path = NULL;
	va_list args;

	va_start(args, format);
	path = xvasprintf(format, args);
	va_end(args);
	return client_call(out_value, client, "GET", path, NULL, err);
}

int client_post(struct client *client, struct error *err, const char *format, ...)
{
	AUTO_FREE char *path = NULL;
	va_list args;

	va_start(args, format);
	path = xvasprintf(format, args);
	va_end(args);
	return client_call(NULL, client, "POST", path, NULL, err);
}
