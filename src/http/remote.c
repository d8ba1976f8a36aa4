/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: one easy handle, reset before each request (its connections
 * stay). Redirects are a loop of ours, because libcurl decides by itself which
 * headers go where, and that decision is ours.
 */
#include "http/remote.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

#define REDIRECTS_MAX 10
#define ERROR_BODY_MAX (64 * 1024)
#define HEAD_MAX (256 * 1024)
#define BODY_DEFAULT_MAX (1024 * 1024)
#define RECEIVE_BUFFER (256L * 1024)
#define SEND_BUFFER (512L * 1024)

struct remote {
	CURL *curl;
	struct remote_options options;
	char *user_agent;
};

struct exchange {
	const struct remote_request *request;
	struct remote_response *response;
	const atomic_bool *stop;
	struct error *err;
	uint64_t sent;
	size_t head_size;
	char problem[CURL_ERROR_SIZE];
};

void remote_global_init(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
}

struct remote *remote_new(const struct remote_options *options)
{
	struct remote *remote = xcalloc(1, sizeof(*remote));

	remote->curl = curl_easy_init();
	if (!remote->curl)
		abort();
	remote->options = *options;
	remote->user_agent = xstrdup(options->user_agent ? options->user_agent : "kist/" KIST_VERSION);
	return remote;
}

void remote_free(struct remote *remote)
{
	if (!remote)
		return;
	curl_easy_cleanup(remote->curl);
	free(remote->user_agent);
	free(remote);
}

void remote_response_fini(struct remote_response *response)
{
	text_map_fini(&response->headers);
	free(response->url);
	buffer_fini(&response->body);
	*response = (struct remote_response){ 0 };
}

const char *remote_header(const struct remote_response *response, const char *name)
{
	return text_map_get(&response->headers, name);
}

/* ---- URLs ---- */

static char *url_part(const char *url, CURLUPart part)
{
	CURLU *parsed = curl_url();
	char *text = NULL;
	char *copy = NULL;

	if (parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_get(parsed, part, &text, 0) == CURLUE_OK) {
		copy = xstrdup(text);
		curl_free(text);
	}
	curl_url_cleanup(parsed);
	return copy;
}

static bool is_http(const char *url)
{
	return text_has_prefix(url, "http://") || text_has_prefix(url, "https://");
}

char *remote_url_host(const char *url)
{
	AUTO_FREE char *host = is_http(url) ? url_part(url, CURLUPART_HOST) : NULL;
	AUTO_FREE char *port = host ? url_part(url, CURLUPART_PORT) : NULL;

	return host ? xasprintf("%s%s%s", host, port ? ":" : "", text_or_empty(port)) : NULL;
}

char *remote_url_resolve(const char *base, const char *location)
{
	CURLU *parsed = curl_url();
	char *text = NULL;
	char *copy = NULL;

	if (parsed && curl_url_set(parsed, CURLUPART_URL, base, 0) == CURLUE_OK &&
	    curl_url_set(parsed, CURLUPART_URL, location, 0) == CURLUE_OK &&
	    curl_url_get(parsed, CURLUPART_URL, &text, 0) == CURLUE_OK) {
		copy = is_http(text) ? xstrdup(text) : NULL;
		curl_free(text);
	}
	curl_url_cleanup(parsed);
	return copy;
}

bool remote_is_loopback(const char *host)
{
	const char *end = *host == '[' ? strchr(host, ']') : NULL;
	size_t size = end ? (size_t)(end - host + 1) : strcspn(host, ":");
	AUTO_FREE char *name = xstrndup(host, size);
	unsigned parts = 0;

	if (text_equal_ignoring_case(name, "localhost") || text_equal(name, "[::1]"))
		return true;
	for (const char *c = name; *c; c++)
		parts += *c == '.';
	return text_has_prefix(name, "127.") && parts == 3 && strspn(name, "0123456789.") == strlen(name);
}

static bool is_same_origin(const char *a, const char *b)
{
	AUTO_FREE char *host_a = remote_url_host(a);
	AUTO_FREE char *host_b = remote_url_host(b);

	return host_a && host_b && text_equal_ignoring_case(host_a, host_b) &&
	       text_has_prefix(a, "https:") == text_has_prefix(b, "https:");
}

/* ---- callbacks ---- */

static int status_of_line(const char *line)
{
	const char *space = strchr(line, ' ');

	return space ? (int)strtol(space + 1, NULL, 10) : 0;
}

static size_t on_header(char *data, size_t one, size_t size, void *arg)
{
	struct exchange *exchange = arg;
	struct text_map *headers = &exchange->response->headers;
	AUTO_FREE char *line = xstrndup(data, size);
	char *value = strchr(line, ':');
	const char *before;

	(void)one;
	exchange->head_size += size;
	if (exchange->head_size > HEAD_MAX) {
		error_set(exchange->err, ERR_INVALID, "the head of the answer is longer than %d bytes", HEAD_MAX);
		return 0;
	}
	if (text_has_prefix(line, "HTTP/")) {
		/* A new head: after 100 Continue or a proxy's CONNECT. */
		text_map_fini(headers);
		exchange->response->status = status_of_line(line);
		return size;
	}
	if (!value)
		return size;
	*value++ = '\0';
	for (char *c = line; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + 32);
	value = text_trim(value);
	before = text_map_get(headers, line);
	if (before) {
		AUTO_FREE char *both = xasprintf("%s, %s", before, value);

		text_map_set(headers, line, both);
	} else {
		text_map_set(headers, line, value);
	}
	return size;
}

static size_t on_data(char *data, size_t one, size_t size, void *arg)
{
	struct exchange *exchange = arg;
	struct remote_response *response = exchange->response;

	(void)one;
	if (exchange->request->on_body && response->status / 100 == 2)
		return exchange->request->on_body(exchange->request->arg, response, data, size, exchange->err) < 0
			       ? 0
			       : size;
	if (response->status / 100 != 2 && response->body.size + size > ERROR_BODY_MAX)
		return size;
	buffer_append(&response->body, data, size);
	if (!buffer_failed(&response->body))
		return size;
	error_set(exchange->err, ERR_INVALID, "the answer is larger than %zu bytes", response->body.limit);
	return 0;
}

static size_t on_read_more(char *out, size_t one, size_t size, void *arg)
{
	struct exchange *exchange = arg;
	const struct remote_request *request = exchange->request;
	ssize_t got = request->on_more(request->on_more_arg, exchange->sent, out, one * size, exchange->err);

	if (got < 0)
		return CURL_READFUNC_ABORT;
	exchange->sent += (uint64_t)got;
	if (got > 0 && request->on_sent)
		request->on_sent(request->arg, exchange->sent);
	return (size_t)got;
}

static size_t on_read(char *out, size_t one, size_t size, void *arg)
{
	struct exchange *exchange = arg;
	uint64_t left = exchange->request->body_size - exchange->sent;
	ssize_t got;

	if (left < one * size)
		size = left;
	if (size == 0)
		return 0;
	got = pread(exchange->request->body_fd, out, size, (off_t)(exchange->request->body_offset + exchange->sent));
	if (got < 0)
		error_set_errno(exchange->err, ERR_INTERNAL, errno, "read what is to be sent");
	else if (got == 0)
		error_set(exchange->err, ERR_INTERNAL, "what is to be sent ends %" PRIu64 " bytes early", left);
	if (got <= 0)
		return CURL_READFUNC_ABORT;
	exchange->sent += (uint64_t)got;
	if (exchange->request->on_sent)
		exchange->request->on_sent(exchange->request->arg, exchange->sent);
	return (size_t)got;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct exchange *exchange = arg;

	if (origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	exchange->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct exchange *exchange = arg;

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return exchange->stop && atomic_load(exchange->stop);
}

/* ---- one request ---- */

static void set_blob(CURL *curl, CURLoption option, const char *pem)
{
	struct curl_blob blob = { .data = (void *)(uintptr_t)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY };

	curl_easy_setopt(curl, option, &blob);
}

static void set_trust(CURL *curl, const struct remote_trust *trust)
{
	if (!trust)
		return;
	if (trust->insecure) {
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (trust->ca_pem)
		set_blob(curl, CURLOPT_CAINFO_BLOB, trust->ca_pem);
	if (trust->client_cert_pem)
		set_blob(curl, CURLOPT_SSLCERT_BLOB, trust->client_cert_pem);
	if (trust->client_key_pem)
		set_blob(curl, CURLOPT_SSLKEY_BLOB, trust->client_key_pem);
}

/* libcurl reads http_proxy in lower case only; the container world writes HTTP_PROXY as well. */
static void set_proxy(CURL *curl, const char *url)
{
	AUTO_FREE char *host = remote_url_host(url);
	const char *upper = getenv("HTTP_PROXY");

	if (!host || remote_is_loopback(host))
		curl_easy_setopt(curl, CURLOPT_PROXY, "");
	else if (text_has_prefix(url, "http:") && !getenv("http_proxy") && !text_empty(upper))
		curl_easy_setopt(curl, CURLOPT_PROXY, upper);
}

static void set_body(CURL *curl, struct exchange *exchange)
{
	const struct remote_request *request = exchange->request;

	if (request->body) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
	} else if (request->body_fd > 0 || request->on_more) {
		/* A server that answers before it has read such a body leaves the connection where nobody knows. */
		if (request->on_more)
			curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
		curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER);
		/* Of unknown length it goes in HTTP's own chunks. */
		curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
				 request->on_more ? (curl_off_t)-1 : (curl_off_t)request->body_size);
		curl_easy_setopt(curl, CURLOPT_READFUNCTION, request->on_more ? on_read_more : on_read);
		curl_easy_setopt(curl, CURLOPT_READDATA, exchange);
		curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(curl, CURLOPT_SEEKDATA, exchange);
		/*
		 * On a connection that was used before, libcurl would send the body once more by itself if it breaks:
		 * behind what the server has taken already. Where to go on is for the caller to ask.
		 */
		curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
	}
}

static void set_method(CURL *curl, const char *method)
{
	if (text_equal(method, "HEAD"))
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	else if (method)
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

static void set_limits(const struct remote *remote, CURL *curl)
{
	const struct remote_options *options = &remote->options;

	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT,
			 (long)(options->connect_timeout_s ? options->connect_timeout_s : 15));
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
			 (long)(options->stall_timeout_s ? options->stall_timeout_s : 60));
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, remote->user_agent);
	curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
}

static struct curl_slist *make_headers(const struct remote_request *request, bool authorized)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");

	for (size_t i = 0; request->headers && i < request->headers->count; i++)
		headers = curl_slist_append(headers, request->headers->items[i]);
	for (size_t i = 0; authorized && request->own_headers && i < request->own_headers->count; i++)
		headers = curl_slist_append(headers, request->own_headers->items[i]);
	if (request->authorization && authorized) {
		AUTO_FREE char *line = xasprintf("Authorization: %s", request->authorization);

		headers = curl_slist_append(headers, line);
	}
	return headers;
}

static void set_callbacks(CURL *curl, struct exchange *exchange)
{
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, exchange->problem);
}

/* ---- failures ---- */

static enum remote_failure classify(CURLcode code)
{
	switch (code) {
	case CURLE_OK:
		return REMOTE_FINE;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return REMOTE_NO_HOST;
	case CURLE_COULDNT_CONNECT:
		return REMOTE_NO_CONNECT;
	case CURLE_SSL_CONNECT_ERROR:
		return REMOTE_NO_TLS;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return REMOTE_NOT_TRUSTED;
	case CURLE_OPERATION_TIMEDOUT:
		return REMOTE_TIMEOUT;
	case CURLE_ABORTED_BY_CALLBACK:
		return REMOTE_STOPPED;
	case CURLE_WRITE_ERROR:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
		return REMOTE_REFUSED;
	default:
		return REMOTE_CUT;
	}
}

static int explain_connect(const struct remote *remote, const char *host, const char *detail, struct error *err)
{
	long number = 0;

	curl_easy_getinfo(remote->curl, CURLINFO_OS_ERRNO, &number);
	if (number != 0 && number != EINPROGRESS)
		return error_set_errno(err, ERR_UNAVAILABLE, (int)number, "connect to %s", host);
	return error_set(err, ERR_UNAVAILABLE, "connect to %s: %s", host, detail);
}

static int explain(const struct remote *remote, const struct exchange *exchange, const char *url, CURLcode code,
		   struct error *err)
{
	AUTO_FREE char *host = remote_url_host(url);
	const char *detail = *exchange->problem ? exchange->problem : curl_easy_strerror(code);

	if (error_is_set(err))
		return -1;
	switch (exchange->response->failure) {
	case REMOTE_NO_HOST:
		if (code == CURLE_COULDNT_RESOLVE_PROXY)
			return error_set(err, ERR_UNAVAILABLE, "look up the proxy: %s", detail);
		return error_set(err, ERR_UNAVAILABLE, "look up %s: no such host", host);
	case REMOTE_NO_CONNECT:
		return explain_connect(remote, host, detail, err);
	case REMOTE_NO_TLS:
		return error_set(err, ERR_UNAVAILABLE, "TLS handshake with %s: %s", host, detail);
	case REMOTE_NOT_TRUSTED:
		return error_set(err, ERR_UNAVAILABLE, "TLS: the certificate of %s is not trusted: %s", host, detail);
	case REMOTE_TIMEOUT:
		return error_set(err, ERR_UNAVAILABLE, "%s does not answer: %s", host, detail);
	case REMOTE_STOPPED:
		return error_set(err, ERR_CANCELED, "canceled");
	case REMOTE_REFUSED:
		return error_set(err, ERR_INVALID, "%s: %s", url, detail);
	default:
		return error_set(err, ERR_UNAVAILABLE, "connection to %s was cut: %s", text_or_empty(host), detail);
	}
}

static int send_once(struct remote *remote, struct exchange *exchange, const char *url, bool authorized)
{
	CURL *curl = remote->curl;
	const struct remote_request *request = exchange->request;
	struct curl_slist *headers = make_headers(request, authorized);
	long status = 0;
	CURLcode code;

	curl_easy_reset(curl);
	exchange->sent = 0;
	exchange->head_size = 0;
	exchange->problem[0] = '\0';
	curl_easy_setopt(curl, CURLOPT_URL, url);
	set_limits(remote, curl);
	if (request->timeout_ms)
		curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
	/* A host we were sent on to has its own name to prove, with the system's CAs. */
	set_trust(curl, authorized ? request->trust : NULL);
	set_proxy(curl, url);
	set_body(curl, exchange);
	set_method(curl, request->method);
	set_callbacks(curl, exchange);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	exchange->response->status = (int)status;
	/* An error of ours stopped it, not *stop. */
	exchange->response->failure = error_is_set(exchange->err) ? REMOTE_REFUSED : classify(code);
	if (code != CURLE_OK)
		return explain(remote, exchange, url, code, exchange->err);
	return 0;
}

/* 1: go on at *url, 0: this is the answer. */
static int follow(char **url, struct exchange *exchange)
{
	struct remote_response *response = exchange->response;
	const char *method = exchange->request->method;
	const char *location = remote_header(response, "location");
	AUTO_FREE char *next = NULL;
	int status = response->status;

	if (!location || !(status == 301 || status == 302 || status == 303 || status == 307 || status == 308))
		return 0;
	if (method && !text_equal(method, "GET") && !text_equal(method, "HEAD"))
		return 0;
	next = remote_url_resolve(*url, location);
	if (!next || (text_has_prefix(*url, "https:") && !text_has_prefix(next, "https:"))) {
		response->failure = REMOTE_REFUSED;
		return error_set(exchange->err, ERR_INVALID, "%s redirects to %s: not allowed", *url, location);
	}
	free(*url);
	*url = take_ptr(next);
	text_map_fini(&response->headers);
	buffer_consume(&response->body, response->body.size);
	return 1;
}

int remote_send(struct remote_response *out_response, struct remote *remote, const struct remote_request *request,
		struct error *err)
{
	struct exchange exchange = {
		.request = request, .response = out_response, .stop = remote->options.stop, .err = err
	};
	AUTO_FREE char *url = xstrdup(request->url);

	buffer_init(&out_response->body, request->body_limit ? request->body_limit : BODY_DEFAULT_MAX);
	for (int i = 0; i < REDIRECTS_MAX; i++) {
		int r = send_once(remote, &exchange, url, is_same_origin(request->url, url));

		if (r == 0)
			r = follow(&url, &exchange);
		if (r <= 0) {
			out_response->url = take_ptr(url);
			return r;
		}
	}
	out_response->failure = REMOTE_REFUSED;
	return error_set(err, ERR_INVALID, "%s redirects more than %d times", request->url, REDIRECTS_MAX);
}
