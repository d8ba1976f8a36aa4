/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: see server_private.h. A streamed body needs a second thread, because libmicrohttpd pushes. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "http/server_private.h"

struct http_request *request_new(struct http_connection *owner, const char *target, struct MHD_Connection *connection)
{
	struct http_request *request = xcalloc(1, sizeof(*request));

	request->server = owner->server;
	request->owner = owner;
	request->connection = connection;
	request->fd = owner->fd;
	request->target = xstrdup(text_or_empty(target));
	request->bad_target = http_uri_parse(&request->uri, text_or_empty(target)) < 0;
	request->cancel_fd = -1;
	request->pipe[0] = -1;
	request->pipe[1] = -1;
	request->real_fd = -1;
	request->nobody_fd = -1;
	request->response.request = request;
	request->response.fd = -1;
	buffer_init(&request->body, owner->server->options.body_limit);
	return request;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void request_free(struct http_request *request)
{
	request_body_end(request, false);
	if (request->note && request->free_note)
		request->free_note(request->note);
	response_fini(&request->response);
	http_uri_fini(&request->uri);
	free(request->target);
	text_map_fini(&request->params);
	buffer_fini(&request->body);
	close_fd(&request->cancel_fd);
	close_fd(&request->pipe[0]);
	close_fd(&request->real_fd);
	close_fd(&request->nobody_fd);
	free(request);
}

static void find_route(struct http_request *request)
{
	for (const struct http_route *route = request->server->options.routes; route->method; route++)
		if (text_equal(route->method, request->method) &&
		    http_route_match(route->pattern, request->uri.path, &request->params)) {
			request->route = route;
			return;
		}
}

void request_begin(struct http_request *request, const char *method, const char *version)
{
	const struct http_server_options *options = &request->server->options;
	AUTO(error_clear) struct error err = { 0 };

	request->begun = true;
	request->begun_ns = clock_monotonic_ns();
	request->method = method;
	request->http_1_0 = !text_equal(version, MHD_HTTP_VERSION_1_1);
	if (request->bad_target) {
		request->uri.path = xstrdup("");
		error_set(&err, ERR_INVALID, "malformed request target: invalid URL escape");
		response_fail(&request->response, &err);
		return;
	}
	if (options->before && options->before(options->context, request, &request->response, &err) < 0) {
		response_fail(&request->response, &err);
		return;
	}
	if (request->response.kind == ANSWER_NONE)
		find_route(request);
	if (http_body_length(request) > (int64_t)options->body_limit &&
	    !(request->route && request->route->flags & HTTP_BODY_STREAM))
		request->too_large = true;
}

static void review(struct http_request *request)
{
	const struct http_server_options *options = &request->server->options;
	const struct http_response *response = &request->response;
	struct http_answer answer = { .status = response->status, .data = response->data, .size = response->size };
	AUTO(error_clear) struct error err = { 0 };

	for (size_t i = 0; i < response->names.count; i++)
		if (text_equal_ignoring_case(response->names.items[i], MHD_HTTP_HEADER_CONTENT_TYPE))
			answer.content_type = response->values.items[i];
	if (options->review(options->context, request, &answer, &err) < 0)
		response_fail(&request->response, &err);
}

void request_call_handler(struct http_request *request)
{
	const struct http_server_options *options = &request->server->options;
	http_handler handler = request->route ? request->route->handler : options->not_found;
	AUTO(error_clear) struct error err = { 0 };

	if (options->guard && options->guard(options->context, request, &request->response, &err) < 0)
		response_fail(&request->response, &err);
	else if (handler(options->context, request, &request->response, &err) < 0)
		response_fail(&request->response, &err);
	else if (options->review && request->response.kind == ANSWER_DATA)
		review(request);
}

static void *body_thread(void *arg)
{
	struct http_request *request = arg;

	request_call_handler(request);
	/* Now the feeder gets EPIPE instead of waiting for a reader. */
	close_fd(&request->pipe[0]);
	return NULL;
}

static int start_body_thread(struct http_request *request, struct error *err)
{
	if (pipe2(request->pipe, O_CLOEXEC) < 0)
		return error_set_errno(err, ERR_EXHAUSTED, errno, "create pipe for the request body");
	/* Best effort: fewer switches between the two threads. */
	fcntl(request->pipe[1], F_SETPIPE_SZ, 1 << 20);
	if (thread_start(&request->thread, "http-body", body_thread, request, err) < 0)
		return -1;
	request->thread_runs = true;
	return 0;
}

static void feed_stream(struct http_request *request, const char *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };

	/* While the thread runs the response is its own. */
	if (!request->thread_runs && request->response.kind == ANSWER_NONE && start_body_thread(request, &err) < 0)
		response_fail(&request->response, &err);
	/* EPIPE: the handler wants no more; the rest is dropped so that it can answer. */
	if (request->pipe[1] >= 0 && write_full(request->pipe[1], data, size) < 0)
		close_fd(&request->pipe[1]);
}

void request_feed(struct http_request *request, const char *data, size_t size)
{
	if (request->route && request->route->flags & HTTP_BODY_STREAM)
		feed_stream(request, data, size);
	else if (!request->too_large && request->response.kind == ANSWER_NONE) {
		buffer_append(&request->body, data, size);
		request->too_large = buffer_failed(&request->body);
	}
}

void request_body_end(struct http_request *request, bool whole)
{
	if (!request->thread_runs)
		return;
	__atomic_store_n(&request->body_whole, whole, __ATOMIC_RELEASE);
	close_fd(&request->pipe[1]);
	pthread_join(request->thread, NULL);
	request->thread_runs = false;
}

void request_run(struct http_request *request)
{
	if (request->thread_runs) {
		request_body_end(request, true);
		return;
	}
	if (request->response.kind != ANSWER_NONE)
		return;
	__atomic_store_n(&request->body_whole, true, __ATOMIC_RELEASE);
	request_call_handler(request);
}

/* ---- what handlers see ---- */

const char *http_method(const struct http_request *request)
{
	return request->method;
}

const char *http_path(const struct http_request *request)
{
	return request->uri.path;
}

void http_set_path(struct http_request *request, const char *path)
{
	char *copy = xstrdup(path);

	free(request->uri.path);
	request->uri.path = copy;
}

void http_set_tag(struct http_request *request, int64_t tag)
{
	request->tag = tag;
}

void http_set_note(struct http_request *request, void *note, void (*free_note)(void *note))
{
	request->note = note;
	request->free_note = free_note;
}

void *http_note(const struct http_request *request)
{
	return request->note;
}

const char *http_client(char out[HTTP_CLIENT_MAX], const struct http_request *request)
{
	const struct http_connection *owner = request->owner;
	int family = owner->address.ss_family;

	if ((family != AF_INET && family != AF_INET6) ||
	    getnameinfo((const struct sockaddr *)(const void *)&owner->address, owner->address_size, out,
			HTTP_CLIENT_MAX, NULL, 0, NI_NUMERICHOST) != 0) {
		out[0] = '-';
		out[1] = '\0';
	}
	return out;
}

int64_t http_begun_ns(const struct http_request *request)
{
	return request->begun_ns;
}

int64_t http_tag(const struct http_request *request)
{
	return request->tag;
}

const char *http_param(const struct http_request *request, const char *name)
{
	return text_or_empty(text_map_get(&request->params, name));
}

void http_set_param(struct http_request *request, const char *name, const char *value)
{
	text_map_set(&request->params, name, value);
}

const char *http_pattern(const struct http_request *request)
{
	return request->route ? request->route->pattern : "";
}

const char *http_target(const struct http_request *request)
{
	return request->target;
}

static enum MHD_Result add_header(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	(void)kind;
	text_map_set(cls, key, text_or_empty(value));
	return MHD_YES;
}

void http_headers(const struct http_request *request, struct text_map *out_headers)
{
	MHD_get_connection_values(request->connection, MHD_HEADER_KIND, add_header, out_headers);
}

const char *http_listener(const struct http_request *request)
{
	return request->owner->listener ? text_or_empty(request->owner->listener->name) : "";
}

const char *http_user(const struct http_request *request)
{
	return request->owner->user;
}

const char *http_query(const struct http_request *request, const char *key)
{
	return http_uri_query(&request->uri, key, 0);
}

const char *http_query_at(const struct http_request *request, const char *key, size_t index)
{
	return http_uri_query(&request->uri, key, index);
}

const char *http_header(const struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *http_body(const struct http_request *request, size_t *out_size)
{
	/* buffer_text() only puts a NUL behind the bytes. */
	struct buffer *body = (struct buffer *)(uintptr_t)&request->body;

	if (out_size)
		*out_size = body->size;
	return text_or_empty(buffer_text(body));
}

int64_t http_body_length(const struct http_request *request)
{
	const char *text = http_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
	int64_t length;

	return text && text_parse_i64(&length, text, 0, INT64_MAX) == 0 ? length : -1;
}

int http_body_whole(struct http_request *request, struct error *err)
{
	if (__atomic_load_n(&request->body_whole, __ATOMIC_ACQUIRE))
		return 0;
	return error_set(err, ERR_CANCELED, "client hung up in the middle of the request body");
}

ssize_t http_body_read(struct http_request *request, void *data, size_t size, struct error *err)
{
	ssize_t got;

	if (request->direct)
		return request_read_direct(request, data, size, err);
	if (request->pipe[0] < 0)
		return http_body_whole(request, err);
	do
		got = read(request->pipe[0], data, size);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "read request body");
	return got > 0 ? got : http_body_whole(request, err);
}

int http_body_fd(struct http_request *request)
{
	int empty[2];

	/* No body: a pipe nobody writes to is at its end. */
	if (request->pipe[0] < 0 && pipe2(empty, O_CLOEXEC) == 0) {
		close(empty[1]);
		request->pipe[0] = empty[0];
	}
	return request->pipe[0];
}

/* An epoll descriptor is itself readable when its one event has come: no thread needs to watch. */
int http_cancel_fd(struct http_request *request)
{
	struct epoll_event event = { .events = EPOLLRDHUP };

	if (request->cancel_fd >= 0)
		return request->cancel_fd;
	request->cancel_fd = epoll_create1(EPOLL_CLOEXEC);
	if (request->cancel_fd >= 0 && epoll_ctl(request->cancel_fd, EPOLL_CTL_ADD, request->fd, &event) < 0)
		close_fd(&request->cancel_fd);
	return request->cancel_fd;
}

bool http_wants_upgrade(const struct http_request *request)
{
	const char *connection = http_header(request, MHD_HTTP_HEADER_CONNECTION);

	return connection && strcasestr(connection, "upgrade") && !text_empty(http_header(request, "Upgrade"));
}
