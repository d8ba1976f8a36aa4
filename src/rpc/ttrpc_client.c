/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: `mutex` guards the list of calls, the input buffer's owner
 * (`reading`) and the failure. `writing`, taken before it, is held from the
 * number of a stream to its last byte: a slow peer does not stop readers. A waiting caller polls its own
 * eventfd, or, while it is the reader, the socket; both poll the cancel fd.
 */
#include "rpc/ttrpc_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/list.h"
#include "base/path.h"
#include "base/text.h"
#include "base/thread.h"
#include "rpc/ttrpc.h"

#define READ_SIZE 16384

struct ttrpc_client {
	int fd;
	char *address;
	char *name_space;
	struct mutex writing;
	struct mutex mutex;
	struct list calls; /* struct pending */
	bool reading;	   /* one caller reads the socket */
	uint32_t next_stream_id;
	char *failure; /* why the connection is over */
	struct buffer input;
};

/* A call that waits for its reply; lives on its caller's stack. */
struct pending {
	struct list_node node;
	uint32_t stream_id;
	int wake_fd;
	bool done;
	struct proto_bytes reply; /* a ttrpc_response message */
};

static int connect_path(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_CLOSE int dir_fd = -1;
	AUTO_CLOSE int fd = -1;
	AUTO_FREE char *parent = path_parent(path);
	int length;

	dir_fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return -errno;
	/* sun_path is short; a directory descriptor's name is shorter. */
	length = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir_fd, path_base(path));
	if (length < 0 || (size_t)length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return take_fd(&fd);
}

int ttrpc_connect(const char *address, struct error *err)
{
	const char *path = text_after(address, "unix://");
	int fd;

	if (!path)
		path = address;
	if (*path != '/')
		return error_set(err, ERR_INVALID, "address %s is no unix socket", address);
	fd = connect_path(path);
	if (fd < 0)
		return error_set_errno(err, ERR_UNAVAILABLE, -fd, "connect to %s", path);
	return fd;
}

int ttrpc_client_open(struct ttrpc_client **out_client, const char *address, const char *name_space, struct error *err)
{
	struct ttrpc_client *client;
	int fd = ttrpc_connect(address, err);

	if (fd < 0)
		return -1;
	client = xcalloc(1, sizeof(*client));
	client->fd = fd;
	client->address = xstrdup(address);
	client->name_space = xstrdup(name_space);
	client->next_stream_id = 1;
	mutex_init(&client->writing);
	mutex_init(&client->mutex);
	list_init(&client->calls);
	buffer_init(&client->input, TTRPC_HEADER_SIZE + TTRPC_DATA_MAX + READ_SIZE);
	*out_client = client;
	return 0;
}

void ttrpc_client_close(struct ttrpc_client *client)
{
	if (!client)
		return;
	close(client->fd);
	buffer_fini(&client->input);
	mutex_fini(&client->mutex);
	mutex_fini(&client->writing);
	free(client->failure);
	free(client->name_space);
	free(client->address);
	free(client);
}

static void wake(struct pending *call)
{
	uint64_t one = 1;
	ssize_t ignored = write(call->wake_fd, &one, sizeof(one));

	(void)ignored;
}

static void fail_locked(struct ttrpc_client *client, const char *why)
{
	mutex_assert_held(&client->mutex);
	if (!client->failure)
		client->failure = xstrdup(why);
	LIST_FOR_EACH (node, &client->calls)
		wake(list_entry(node, struct pending, node));
}

static void deliver_locked(struct ttrpc_client *client, const struct ttrpc_header *header, const uint8_t *data)
{
	if (header->type != TTRPC_RESPONSE)
		return; /* the protocol: unknown types are ignored */
	LIST_FOR_EACH (node, &client->calls) {
		struct pending *call = list_entry(node, struct pending, node);

		if (call->stream_id != header->stream_id || call->done)
			continue;
		proto_bytes_set(&call->reply, data, header->size);
		call->done = true;
		wake(call);
		return;
	}
}

/* Hands out all whole frames of the input buffer. */
static void deliver_input_locked(struct ttrpc_client *client)
{
	size_t at = 0;

	while (client->input.size - at >= TTRPC_HEADER_SIZE) {
		struct ttrpc_header header;

		ttrpc_header_parse(client->input.data + at, &header);
		if (header.size > TTRPC_DATA_MAX) {
			fail_locked(client, "frame larger than 4 MiB");
			break;
		}
		if (client->input.size - at - TTRPC_HEADER_SIZE < header.size)
			break;
		deliver_locked(client, &header, client->input.data + at + TTRPC_HEADER_SIZE);
		at += TTRPC_HEADER_SIZE + header.size;
	}
	buffer_consume(&client->input, at);
}

/* The reader's turn, without the mutex: the input buffer is its alone. */
static void read_once(struct ttrpc_client *client)
{
	ssize_t got = buffer_read_some(&client->input, client->fd, READ_SIZE);
	AUTO_UNLOCK struct mutex *held = mutex_hold(&client->mutex);

	if (got == -EINTR || got == -EAGAIN)
		return;
	if (got <= 0)
		fail_locked(client, got == 0 ? "connection closed" : strerror((int)-got));
	else
		deliver_input_locked(client);
}

static int send_all_locked(struct ttrpc_client *client, const struct text *frame)
{
	size_t at = 0;

	mutex_assert_held(&client->writing);
	while (at < frame->size) {
		ssize_t sent = send(client->fd, frame->data + at, frame->size - at, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		at += (size_t)sent;
	}
	return 0;
}

static int send_request(struct ttrpc_client *client, struct pending *pending, const struct ttrpc_call *call,
			struct error *err)
{
	AUTO(text_fini) struct text frame = { 0 };
	/* From the number to the last byte: a peer hangs up on stream ids that do not increase. */
	AUTO_UNLOCK struct mutex *writing = mutex_hold(&client->writing);
	int r;

	mutex_lock(&client->mutex);
	if (client->failure) {
		error_set(err, ERR_UNAVAILABLE, "%s: %s", client->address, client->failure);
		mutex_unlock(&client->mutex);
		return -1;
	}
	pending->stream_id = client->next_stream_id;
	client->next_stream_id += 2;
	list_add_last(&client->calls, &pending->node);
	mutex_unlock(&client->mutex);

	ttrpc_call_add(&frame, pending->stream_id, call->service, call->method, client->name_space, call->request,
		       call->request_fields);
	if (frame.size > TTRPC_HEADER_SIZE + TTRPC_DATA_MAX)
		return error_set(err, ERR_INVALID, "%s: request of %zu bytes, the most is 4 MiB", call->method,
				 frame.size);
	r = send_all_locked(client, &frame);
	if (r < 0) {
		AUTO_UNLOCK struct mutex *held = mutex_hold(&client->mutex);

		fail_locked(client, strerror(-r));
		return error_set_errno(err, ERR_UNAVAILABLE, r, "%s: send %s", client->address, call->method);
	}
	return 0;
}

/* Polls for our wake-up or, as the reader, for the socket. Returns 1 to go on, negative if canceled. */
static int wait_turn(struct ttrpc_client *client, const struct pending *pending, bool reader, int cancel_fd,
		     struct error *err)
{
	struct pollfd fds[3] = {
		{ .fd = pending->wake_fd, .events = POLLIN },
		{ .fd = cancel_fd, .events = POLLIN },
		{ .fd = reader ? client->fd : -1, .events = POLLIN },
	};
	uint64_t ignored;

	if (poll(fds, 3, -1) < 0)
		return 1;
	if (fds[0].revents && read(pending->wake_fd, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN)
		return error_set_errno(err, ERR_INTERNAL, errno, "read eventfd");
	if (fds[2].revents)
		read_once(client);
	if (fds[1].revents)
		return error_set(err, ERR_CANCELED, "call canceled");
	return 1;
}

/*
 * Takes a call off the list. If nobody reads now, one that still waits must: also when the leaving call was not the
 * reader, for it may have been woken to become it.
 */
static void leave_locked(struct ttrpc_client *client, struct pending *leaving, bool reader)
{
	mutex_assert_held(&client->mutex);
	list_remove(&leaving->node);
	if (reader)
		client->reading = false;
	if (client->reading)
		return;
	LIST_FOR_EACH (node, &client->calls) {
		struct pending *call = list_entry(node, struct pending, node);

		if (!call->done) {
			wake(call);
			return;
		}
	}
}

static int wait_reply(struct ttrpc_client *client, struct pending *pending, int cancel_fd, struct error *err)
{
	bool reader = false;
	int r = 1;

	mutex_lock(&client->mutex);
	while (r > 0 && !pending->done && !client->failure) {
		if (!client->reading) {
			client->reading = true;
			reader = true;
		}
		mutex_unlock(&client->mutex);
		r = wait_turn(client, pending, reader, cancel_fd, err);
		mutex_lock(&client->mutex);
	}
	leave_locked(client, pending, reader);
	/* A reply that came together with the cancel still counts. */
	if (pending->done && r < 0)
		error_clear(err);
	if (!pending->done && r > 0)
		r = error_set(err, ERR_UNAVAILABLE, "%s: %s", client->address, client->failure);
	mutex_unlock(&client->mutex);
	return pending->done ? 0 : r;
}

static int decode_reply(const struct ttrpc_call *call, const struct proto_bytes *reply, struct error *err)
{
	struct ttrpc_response response = { 0 };
	int r = proto_decode(&response, ttrpc_response_fields, reply->data, reply->size, err);

	if (r == 0 && response.code != 0)
		r = error_set(err, ttrpc_kind_of_code(response.code), "%s",
			      text_empty(response.message) ? "the peer gave no reason" : response.message);
	else if (r == 0)
		r = proto_decode(call->response, call->response_fields, response.payload.data, response.payload.size,
				 err);
	proto_free(&response, ttrpc_response_fields);
	return r;
}

static void forget(struct ttrpc_client *client, struct pending *pending)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&client->mutex);

	leave_locked(client, pending, false);
}

int ttrpc_client_call(struct ttrpc_client *client, const struct ttrpc_call *call, struct error *err)
{
	AUTO_CLOSE int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct pending pending = { .wake_fd = wake_fd };
	int r;

	if (wake_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "eventfd");
	if (send_request(client, &pending, call, err) < 0) {
		forget(client, &pending);
		return -1;
	}
	r = wait_reply(client, &pending, call->cancel_fd, err);
	if (r == 0)
		r = decode_reply(call, &pending.reply, err);
	free(pending.reply.data);
	return r;
}
