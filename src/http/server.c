/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "http/server_private.h"
#include "http/server_tls.h"

#define DEFAULT_BODY_LIMIT ((size_t)4 << 20)
#define DEFAULT_CONNECTIONS 512
/* While there are no descriptors left for another connection. */
#define ACCEPT_PAUSE_MS 50
#define DRAIN_LOOK_NS (20 * CLOCK_MS)
#define NEWCOMER_NS CLOCK_SECOND

static enum MHD_Result refuse_large(struct http_request *request)
{
	AUTO(error_clear) struct error err = { 0 };

	error_set(&err, ERR_INVALID, "request body is larger than %zu bytes", request->server->options.body_limit);
	response_fail(&request->response, &err);
	request->response.status = MHD_HTTP_CONTENT_TOO_LARGE;
	return response_send(&request->response);
}

static void tell_after(struct http_request *request)
{
	const struct http_server_options *options = &request->server->options;

	if (options->after && request->response.kind != ANSWER_HIJACK)
		options->after(options->context, request, request->response.status, request->response.size);
}

/* libmicrohttpd calls this with the headers, then with each piece of the body, then once more. */
enum MHD_Result connection_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
				   const char *version, const char *data, size_t *size, void **request_cls)
{
	struct http_request *request = *request_cls;
	enum MHD_Result result;

	(void)cls;
	(void)url;
	if (!request->begun) {
		request_begin(request, method, version);
		/* A client that asks first is refused first; any other must be able to send before it reads. */
		return request->too_large && http_header(request, MHD_HTTP_HEADER_EXPECT) ? refuse_large(request)
											  : MHD_YES;
	}
	if (*size > 0 && request_is_direct(request)) {
		request_run_direct(request, data, *size);
		*size = 0;
		tell_after(request);
		response_send_last(&request->response);
		return MHD_NO;
	}
	if (*size > 0) {
		request_feed(request, data, *size);
		*size = 0;
		return MHD_YES;
	}
	request->complete = true;
	/* The idle timeout is for silent clients, not for handlers that think. */
	MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
	if (request->too_large)
		return refuse_large(request);
	request_run(request);
	tell_after(request);
	result = response_send(&request->response);
	if (result == MHD_YES && request->response.kind != ANSWER_HIJACK)
		MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
					  request->server->options.idle_timeout_s);
	return result;
}

int http_server_new(struct http_server **out_server, const struct http_server_options *options, struct error *err)
{
	int stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct http_server *server;

	if (stop_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "create eventfd");
	server = xcalloc(1, sizeof(*server));
	server->stop_fd = stop_fd;
	server->options = *options;
	if (!server->options.body_limit)
		server->options.body_limit = DEFAULT_BODY_LIMIT;
	if (!server->options.max_connections)
		server->options.max_connections = DEFAULT_CONNECTIONS;
	mutex_init(&server->mutex);
	condition_init(&server->idle);
	list_init(&server->connections);
	list_init(&server->fronts);
	*out_server = server;
	return 0;
}

static struct listener *add_listener(struct http_server *server)
{
	struct listener *listener;

	server->listeners = xgrow(server->listeners, &server->listener_capacity, server->listener_count + 1,
				  sizeof(*server->listeners));
	listener = &server->listeners[server->listener_count++];
	*listener = (struct listener){ .fd = -1 };
	return listener;
}

static int drop_failed(struct http_server *server)
{
	listener_close(&server->listeners[--server->listener_count]);
	return -1;
}

int http_server_listen(struct http_server *server, const char *address, gid_t group, struct error *err)
{
	if (listener_open(add_listener(server), address, group, err) < 0)
		return drop_failed(server);
	return 0;
}

int http_server_listen_tls(struct http_server *server, const char *address, const struct http_tls *tls,
			   struct error *err)
{
	struct listener *listener = add_listener(server);
	struct tls_context *context;

	if (!text_has_prefix(address, "tcp://"))
		error_set(err, ERR_INVALID, "address %s: TLS is for tcp:// addresses", address);
	else if (tls_context_new(&context, tls, err) == 0) {
		listener->tls = context;
		if (listener_open(listener, address, (gid_t)-1, err) == 0)
			return 0;
	}
	return drop_failed(server);
}

int http_server_listen_take_fd(struct http_server *server, int fd, const struct http_tls *tls, struct error *err)
{
	struct listener *listener = add_listener(server);
	struct tls_context *context = NULL;

	if (tls && tls_context_new(&context, tls, err) < 0) {
		listener->fd = fd;
		return drop_failed(server);
	}
	listener->tls = context;
	if (listener_adopt(listener, fd, err) < 0)
		return drop_failed(server);
	listener->name = xstrdup("fd://");
	return 0;
}

int http_server_reload_tls(struct http_server *server, const struct http_tls *tls, struct error *err)
{
	for (size_t i = 0; i < server->listener_count; i++) {
		struct listener *listener = &server->listeners[i];
		struct tls_context *context;

		if (!listener->tls)
			continue;
		if (tls_context_new(&context, tls, err) < 0)
			return -1;
		server->retired = xgrow(server->retired, &server->retired_capacity, server->retired_count + 1,
					sizeof(struct tls_context *));
		server->retired[server->retired_count++] = atomic_exchange(&listener->tls, context);
	}
	return 0;
}

int http_server_share_listener(struct http_server *server, size_t index)
{
	struct listener *listener;

	if (index >= server->listener_count)
		return -1;
	listener = &server->listeners[index];
	free(take_ptr(listener->unix_path));
	return fcntl(listener->fd, F_DUPFD_CLOEXEC, 0);
}

uint16_t http_server_port(const struct http_server *server, size_t index)
{
	return index < server->listener_count ? server->listeners[index].port : 0;
}

static void accept_one(struct listener *listener)
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);
	int fd = accept4(listener->fd, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 && listener->tls)
		tls_front_start_take_fd(listener, fd, &address, size);
	else if (fd >= 0)
		connection_start_take_fd(listener->server, fd,
					 &(struct connection_origin){ listener, &address, size, NULL });
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		clock_sleep_ms(ACCEPT_PAUSE_MS);
}

static void *accept_thread(void *arg)
{
	struct listener *listener = arg;
	struct pollfd items[] = {
		{ .fd = listener->fd, .events = POLLIN },
		{ .fd = listener->server->stop_fd, .events = POLLIN },
	};

	fd_set_nonblocking(listener->fd, true);
	for (;;) {
		if (poll(items, 2, -1) < 0)
			continue;
		if (items[1].revents)
			return NULL;
		if (items[0].revents)
			accept_one(listener);
	}
}

int http_server_start(struct http_server *server, struct error *err)
{
	for (size_t i = 0; i < server->listener_count; i++) {
		struct listener *listener = &server->listeners[i];

		listener->server = server;
		if (thread_start(&listener->thread, "http-accept", accept_thread, listener, err) < 0)
			return error_prefix(err, "start HTTP listener %zu", i);
		listener->thread_runs = true;
	}
	return 0;
}

/* Handlers see their clients go, answer or give up, and end. */
static void end_connections(struct http_server *server)
{
	mutex_lock(&server->mutex);
	server->stopping = true;
	LIST_FOR_EACH (node, &server->connections) {
		shutdown(list_entry(node, struct http_connection, node)->fd, SHUT_RDWR);
	}
	while (server->connection_count > 0)
		condition_wait(&server->idle, &server->mutex);
	mutex_unlock(&server->mutex);
}

static void stop_accepting(struct http_server *server)
{
	eventfd_write(server->stop_fd, 1);
	for (size_t i = 0; i < server->listener_count; i++) {
		if (server->listeners[i].thread_runs)
			pthread_join(server->listeners[i].thread, NULL);
		server->listeners[i].thread_runs = false;
	}
}

bool http_server_drain(struct http_server *server, int64_t patience_ms)
{
	bool idle;
	int64_t deadline_ns = clock_monotonic_ns() + patience_ms * CLOCK_MS;

	stop_accepting(server);
	atomic_store(&server->draining, true);
	mutex_lock(&server->mutex);
	while (server->connection_count > 0) {
		/* Who has just been let in may have a request under way; who was answered before, knows that we may close. */
		LIST_FOR_EACH (node, &server->connections) {
			struct http_connection *one = list_entry(node, struct http_connection, node);

			if (!atomic_load(&one->busy) &&
			    (atomic_load(&one->served) || clock_monotonic_ns() - one->begun_ns > NEWCOMER_NS))
				shutdown(one->fd, SHUT_RD);
		}
		if (clock_monotonic_ns() > deadline_ns)
			break;
		condition_wait_until(&server->idle, &server->mutex, clock_monotonic_ns() + DRAIN_LOOK_NS);
	}
	idle = server->connection_count == 0;
	mutex_unlock(&server->mutex);
	return idle;
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	stop_accepting(server);
	end_connections(server);
	tls_fronts_end(server);
	for (size_t i = 0; i < server->listener_count; i++)
		listener_close(&server->listeners[i]);
	free(server->listeners);
	for (size_t i = 0; i < server->retired_count; i++)
		tls_context_free(server->retired[i]);
	free(server->retired);
	close(server->stop_fd);
	condition_fini(&server->idle);
	mutex_fini(&server->mutex);
	free(server);
}
