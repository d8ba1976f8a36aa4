/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "http/server_private.h"

#define DEFAULT_BODY_LIMIT ((size_t)4 << 20)
#define DEFAULT_CONNECTIONS 512
#define CONNECTION_STACK_BYTES ((size_t)256 << 10)
/* Holds the request line and all headers: credentials of several registries fit. */
#define CONNECTION_MEMORY_BYTES ((size_t)32 << 10)

static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
	return request_new(cls, target, connection);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **request_cls,
			 enum MHD_RequestTerminationCode code)
{
	(void)cls;
	(void)connection;
	(void)code;
	if (*request_cls)
		request_free(*request_cls);
	*request_cls = NULL;
}

static enum MHD_Result refuse_large(struct http_request *request)
{
	AUTO(error_clear) struct error err = { 0 };

	error_set(&err, ERR_INVALID, "request body is larger than %zu bytes", request->server->options.body_limit);
	response_fail(&request->response, &err);
	request->response.status = MHD_HTTP_CONTENT_TOO_LARGE;
	return response_send(&request->response);
}

/* libmicrohttpd calls this with the headers, then with each piece of the body, then once more. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
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
	if (*size > 0) {
		request_feed(request, data, *size);
		*size = 0;
		return MHD_YES;
	}
	/* The idle timeout is for silent clients, not for handlers that think. */
	MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
	if (request->too_large)
		return refuse_large(request);
	request_run(request);
	result = response_send(&request->response);
	if (result == MHD_YES && request->response.kind != ANSWER_HIJACK)
		MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
					  request->server->options.idle_timeout_s);
	return result;
}

int http_server_new(struct http_server **out_server, const struct http_server_options *options, struct error *err)
{
	struct http_server *server = xcalloc(1, sizeof(*server));

	(void)err;
	server->options = *options;
	if (!server->options.body_limit)
		server->options.body_limit = DEFAULT_BODY_LIMIT;
	if (!server->options.max_connections)
		server->options.max_connections = DEFAULT_CONNECTIONS;
	mutex_init(&server->mutex);
	condition_init(&server->idle);
	list_init(&server->hijacked);
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

int http_server_listen_take_fd(struct http_server *server, int fd, struct error *err)
{
	if (listener_adopt(add_listener(server), fd, err) < 0)
		return drop_failed(server);
	return 0;
}

uint16_t http_server_port(const struct http_server *server, size_t index)
{
	return index < server->listener_count ? server->listeners[index].port : 0;
}

int http_server_start(struct http_server *server, struct error *err)
{
	const unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
			       MHD_USE_ITC | MHD_ALLOW_UPGRADE;

	for (size_t i = 0; i < server->listener_count; i++) {
		struct listener *listener = &server->listeners[i];

		listener->daemon = MHD_start_daemon(
			flags, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, listener->fd,
			MHD_OPTION_URI_LOG_CALLBACK, on_target, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
			server, MHD_OPTION_CONNECTION_LIMIT, server->options.max_connections,
			MHD_OPTION_THREAD_STACK_SIZE, CONNECTION_STACK_BYTES, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
			CONNECTION_MEMORY_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, server->options.idle_timeout_s,
			MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
		if (!listener->daemon)
			return error_set(err, ERR_INTERNAL, "start HTTP listener %zu", i);
	}
	return 0;
}

/* libmicrohttpd must not be stopped while it has lent out a socket. */
static void end_hijacked(struct http_server *server)
{
	mutex_lock(&server->mutex);
	server->stopping = true;
	LIST_FOR_EACH (node, &server->hijacked) {
		shutdown(list_entry(node, struct http_request, hijacked)->fd, SHUT_RDWR);
	}
	while (!list_empty(&server->hijacked))
		condition_wait(&server->idle, &server->mutex);
	mutex_unlock(&server->mutex);
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	for (size_t i = 0; i < server->listener_count; i++)
		if (server->listeners[i].daemon) {
			MHD_quiesce_daemon(server->listeners[i].daemon);
		}
	end_hijacked(server);
	for (size_t i = 0; i < server->listener_count; i++) {
		if (server->listeners[i].daemon)
			MHD_stop_daemon(server->listeners[i].daemon);
		listener_close(&server->listeners[i]);
	}
	free(server->listeners);
	condition_fini(&server->idle);
	mutex_fini(&server->mutex);
	free(server);
}
