/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moby.sshforward.v1.SSH: a thread accepts what a step opens on its agent's
 * socket; each connection is a thread with a call ForwardAgent of its own.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/buildkit/buildkit_private.h"
#include "base/alloc.h"
#include "base/file.h"

#define SERVICE "/moby.sshforward.v1.SSH/"
#define BLOCK_SIZE 16384
#define CONNECTIONS_MAX 32

struct agent_server {
	struct session *session; /* borrowed: the build has it */
	char *id;
	int listen_fd; /* borrowed */
	int stop_fd;   /* eventfd */
	pthread_t thread;
	struct mutex mutex;
	struct condition idle;
	size_t connections; /* guarded by the mutex */
};

struct forward {
	struct agent_server *server;
	int fd;
};

/* What the step says goes out; 0 at its end. */
static int pass_on(struct grpc_stream *stream, int fd, struct error *err)
{
	uint8_t block[BLOCK_SIZE];
	ssize_t size = recv(fd, block, sizeof(block), MSG_DONTWAIT);
	const struct bk_bytes message = { .data = { block, size > 0 ? (size_t)size : 0 } };

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	if (size <= 0)
		return 0;
	return grpc_send(stream, &message, bk_bytes_fields, err) < 0 ? -1 : 1;
}

/* All that has come from the client; 0 at its end. */
static int take_in(struct grpc_stream *stream, int fd, struct error *err)
{
	struct proto_bytes bytes;
	int r;

	while ((r = grpc_try_receive_bytes(stream, &bytes, err)) == 1) {
		struct bk_bytes message = { 0 };
		int written = proto_decode(&message, bk_bytes_fields, bytes.data, bytes.size, err);

		if (written == 0 && message.data.size > 0)
			written = write_full(fd, message.data.data, message.data.size);
		proto_free(&message, bk_bytes_fields);
		if (written < 0)
			return -1;
	}
	return r == 2 ? 1 : r;
}

static void carry(struct agent_server *server, struct grpc_stream *stream, int fd)
{
	AUTO(error_clear) struct error ignored = { 0 };
	bool talking = true;
	int r = 1;

	while (r > 0) {
		struct pollfd fds[] = { { .fd = server->stop_fd, .events = POLLIN },
					{ .fd = grpc_wake_fd(stream), .events = POLLIN },
					{ .fd = talking ? fd : -1, .events = POLLIN } };
		uint64_t count;

		if ((poll(fds, 3, -1) < 0 && errno != EINTR) || fds[0].revents)
			return;
		if (fds[1].revents && read(fds[1].fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			return;
		r = take_in(stream, fd, &ignored);
		if (r > 0 && fds[2].revents) {
			r = pass_on(stream, fd, &ignored);
			if (r == 0) {
				talking = false;
				grpc_send_end(stream);
				r = 1;
			}
		}
	}
}

static void *forward(void *arg)
{
	struct forward *forward = arg;
	struct agent_server *server = forward->server;
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(grpc_metadata_fini) struct grpc_metadata metadata = { 0 };
	const struct grpc_call call = { .path = SERVICE "ForwardAgent",
					.metadata = &metadata,
					.cancel_fd = server->stop_fd };
	struct grpc_stream *stream = NULL;

	grpc_metadata_add(&metadata, "buildkit.ssh.id", server->id);
	if (grpc_open(&stream, session_connection(server->session), &call, &ignored) == 0) {
		carry(server, stream, forward->fd);
		grpc_stream_free(stream);
	}
	close(forward->fd);
	free(forward);
	mutex_lock(&server->mutex);
	server->connections--;
	condition_broadcast(&server->idle);
	mutex_unlock(&server->mutex);
	return NULL;
}

static void take_connection(struct agent_server *server)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_CLOSE int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	AUTO_UNLOCK struct mutex *held = mutex_hold(&server->mutex);
	struct forward *forwarded;
	pthread_t thread;

	if (fd < 0 || server->connections >= CONNECTIONS_MAX)
		return;
	forwarded = xcalloc(1, sizeof(*forwarded));
	*forwarded = (struct forward){ .server = server, .fd = fd };
	if (thread_start(&thread, "ssh-agent", forward, forwarded, &ignored) < 0) {
		free(forwarded);
		return;
	}
	pthread_detach(thread);
	server->connections++;
	take_fd(&fd);
}

static void *accept_all(void *arg)
{
	struct agent_server *server = arg;
	struct pollfd fds[] = { { .fd = server->stop_fd, .events = POLLIN },
				{ .fd = server->listen_fd, .events = POLLIN } };

	while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
		if (fds[0].revents)
			break;
		take_connection(server);
	}
	return NULL;
}

static void server_free(struct agent_server *server)
{
	auto_close(&server->stop_fd);
	condition_fini(&server->idle);
	mutex_fini(&server->mutex);
	free(server->id);
	free(server);
}

/* 1 if the client has an agent of that name. */
static int check(struct session *session, const char *id, int cancel_fd, struct error *err)
{
	const struct grpc_call call = { .path = SERVICE "CheckAgent", .cancel_fd = cancel_fd };
	const struct bk_secret_request request = { .id = (char *)(uintptr_t)id };
	struct bk_empty answer = { 0 };
	const struct grpc_message message = { &request, bk_secret_request_fields, &answer, bk_empty_fields };
	AUTO(error_clear) struct error problem = { 0 };

	if (grpc_exchange(session_connection(session), &call, &message, &problem) == 0)
		return 1;
	if (problem.kind == ERR_CANCELED || problem.kind == ERR_UNAVAILABLE)
		return error_move(err, &problem);
	return 0;
}

int agent_start(void **out_server, struct session *session, const char *id, int listen_fd, int cancel_fd,
		struct error *err)
{
	struct agent_server *server;
	int r = check(session, id, cancel_fd, err);

	if (r <= 0)
		return r;
	server = xcalloc(1, sizeof(*server));
	*server = (struct agent_server){ .session = session, .id = xstrdup(id), .listen_fd = listen_fd };
	mutex_init(&server->mutex);
	condition_init(&server->idle);
	server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->stop_fd < 0 || thread_start(&server->thread, "ssh-accept", accept_all, server, err) < 0) {
		if (server->stop_fd < 0)
			error_set_errno(err, ERR_EXHAUSTED, errno, "serve an ssh agent");
		server_free(server);
		return -1;
	}
	*out_server = server;
	return 1;
}

void agent_stop(void *arg)
{
	struct agent_server *server = arg;
	uint64_t one = 1;

	if (write(server->stop_fd, &one, sizeof(one)) < 0)
		return;
	pthread_join(server->thread, NULL);
	mutex_lock(&server->mutex);
	while (server->connections > 0)
		condition_wait(&server->idle, &server->mutex);
	mutex_unlock(&server->mutex);
	server_free(server);
}
