/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"

#define UNREAD_MAX (1024 * 1024)
#define INPUT_SIZE 4096
#define CLIENTS_MAX 256

struct client {
	struct watch watch;
	struct list_node node;
	struct attach *attach;
	int fd;
	/* to the client */
	struct text output;
	size_t sent;
	bool ending; /* ATTACH_END is in the output */
	/* from the client */
	uint8_t header[ATTACH_HEADER_SIZE];
	size_t header_size;
	uint32_t payload_left;
	char *input; /* payload the process did not take yet */
	size_t input_size;
	size_t input_at;
	bool input_over;
};

struct attach {
	struct watch watch;
	struct loop *loop;
	struct attach_owner owner;
	int listen_fd;
	int bundle_fd; /* ours */
	char *name;
	struct list clients;
	size_t client_count;
	bool ended;
	bool full;
	bool closed; /* lives on until its clients have read all */
};

static size_t lingering_count;

static void on_client(struct watch *watch, short revents);

int attach_listen(int bundle_fd, const char *name, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int r;

	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "socket");
	/* sun_path is short, bundles are not. */
	r = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", bundle_fd, name);
	if (r < 0 || (size_t)r >= sizeof(address.sun_path))
		return error_set(err, ERR_INVALID, "socket name %s is too long", name);
	if (unlinkat(bundle_fd, name, 0) < 0 && errno != ENOENT)
		return error_set_errno(err, ERR_INTERNAL, errno, "remove old socket %s", name);
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (r < 0 || listen(fd, SOMAXCONN) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "listen on %s", name);
	return take_fd(&fd);
}

/* ---- clients ---- */

static size_t unread(const struct client *client)
{
	return client->output.size - client->sent;
}

static void update_full(struct attach *attach)
{
	bool was_full = attach->full;

	if (attach->closed)
		return;
	attach->full = false;
	LIST_FOR_EACH (node, &attach->clients)
		if (unread(list_entry(node, struct client, node)) > UNREAD_MAX)
			attach->full = true;
	if (was_full && !attach->full)
		attach->owner.drained(attach->owner.context);
}

static void client_free(struct client *client)
{
	loop_remove(client->attach->loop, &client->watch);
	list_remove(&client->node);
	client->attach->client_count--;
	close(client->fd);
	text_fini(&client->output);
	free(client->input);
	free(client);
}

/* Polls for what we can use. While the process takes no input and nothing is to send, not at all. */
static void client_watch(struct client *client)
{
	bool blocked = client->input_at < client->input_size;
	short events = 0;

	if (!blocked && !client->input_over)
		events |= POLLIN;
	if (unread(client) > 0)
		events |= POLLOUT;
	if (blocked && events == 0)
		loop_remove(client->attach->loop, &client->watch);
	else
		loop_add(client->attach->loop, &client->watch, client->fd, events, on_client);
}

/* Sends what it can. Negative: the client is gone. */
static int client_flush(struct client *client)
{
	while (unread(client) > 0) {
		ssize_t sent = send(client->fd, client->output.data + client->sent, unread(client),
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN ? 0 : -1;
		client->sent += (size_t)sent;
	}
	text_fini(&client->output);
	client->sent = 0;
	return client->ending ? -1 : 0;
}

/* A client that is always a little behind must not make the buffer grow: drop what it has read. */
static void drop_sent(struct client *client)
{
	if (client->sent <= UNREAD_MAX)
		return;
	client->output.size -= client->sent;
	memmove(client->output.data, client->output.data + client->sent, client->output.size);
	client->sent = 0;
}

/* Straight to the socket if nothing waits before it: the common case copies nothing. */
static int client_send(struct client *client, enum attach_type type, const char *data, size_t size)
{
	uint8_t header[ATTACH_HEADER_SIZE];
	struct iovec parts[2] = { { header, sizeof(header) }, { (char *)(uintptr_t)data, size } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	ssize_t sent = 0;

	attach_header_format(header, type, (uint32_t)size);
	drop_sent(client);
	if (unread(client) == 0) {
		sent = sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		if (sent < 0)
			sent = 0;
	}
	if ((size_t)sent < sizeof(header)) {
		text_add_bytes(&client->output, header + sent, sizeof(header) - (size_t)sent);
		sent = sizeof(header);
	}
	sent -= (ssize_t)sizeof(header);
	if ((size_t)sent < size)
		text_add_bytes(&client->output, data + sent, size - (size_t)sent);
	return 0;
}

static void client_end(struct client *client)
{
	client->ending = true;
	if (client_send(client, ATTACH_END, NULL, 0) < 0 || unread(client) == 0)
		client_free(client);
	else
		client_watch(client);
}

/* Hands pending input to the process. */
static void client_push_input(struct client *client)
{
	const struct attach_owner *owner = &client->attach->owner;

	if (client->input_at < client->input_size)
		client->input_at += owner->input(owner->context, client->input + client->input_at,
						 client->input_size - client->input_at);
	if (client->input_at == client->input_size)
		client->input_at = client->input_size = 0;
}

static int client_read_header(struct client *client)
{
	AUTO(error_clear) struct error ignored = { 0 };
	enum attach_type type;
	ssize_t got = recv(client->fd, client->header + client->header_size,
			   sizeof(client->header) - client->header_size, MSG_DONTWAIT);

	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR) ? 1 : 0;
	client->header_size += (size_t)got;
	if (client->header_size < sizeof(client->header))
		return 1;
	client->header_size = 0;
	if (attach_header_parse(client->header, &type, &client->payload_left, &ignored) < 0 || type != ATTACH_STDIN)
		return -1;
	if (client->payload_left == 0)
		client->attach->owner.input_end(client->attach->owner.context);
	return 1;
}

/* Returns 1, 0 when the client closed its side, -1 when it broke the protocol. */
static int client_read(struct client *client)
{
	ssize_t got;

	if (client->payload_left == 0)
		return client_read_header(client);
	if (!client->input)
		client->input = xmalloc(INPUT_SIZE);
	got = recv(client->fd, client->input, client->payload_left < INPUT_SIZE ? client->payload_left : INPUT_SIZE,
		   MSG_DONTWAIT);
	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR) ? 1 : 0;
	client->payload_left -= (uint32_t)got;
	client->input_size = (size_t)got;
	client->input_at = 0;
	client_push_input(client);
	return 1;
}

static void free_unused(struct attach *attach)
{
	if (attach->client_count)
		return;
	lingering_count--;
	free(attach->name);
	free(attach);
}

static void on_client(struct watch *watch, short revents)
{
	struct client *client = list_entry(watch, struct client, watch);
	struct attach *attach = client->attach;
	bool gone = false;
	int r;

	if (revents & POLLOUT)
		gone = client_flush(client) < 0;
	if (!gone && (revents & POLLIN) && (watch->events & POLLIN)) {
		r = client_read(client);
		gone = r < 0;
		/* Only its sending side is closed: it may still want the output. */
		client->input_over = r == 0;
	} else if (!gone && (revents & (POLLHUP | POLLERR))) {
		gone = true;
	}
	if (gone)
		client_free(client);
	else
		client_watch(client);
	update_full(attach);
	if (attach->closed)
		free_unused(attach);
}

/* ---- the socket ---- */

void attach_accept(struct attach *attach)
{
	int fd;

	while ((fd = accept4(attach->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct client *client;

		if (attach->client_count >= CLIENTS_MAX) {
			close(fd);
			continue;
		}
		client = xcalloc(1, sizeof(*client));
		client->attach = attach;
		client->fd = fd;
		list_add_last(&attach->clients, &client->node);
		attach->client_count++;
		if (attach->ended)
			client_end(client);
		else
			client_watch(client);
	}
}

static void on_listen(struct watch *watch, short revents)
{
	(void)revents;
	attach_accept(list_entry(watch, struct attach, watch));
}

int attach_open(struct attach **out_attach, struct loop *loop, int bundle_fd, const char *name,
		const struct attach_owner *owner, struct error *err)
{
	AUTO_CLOSE int fd = attach_listen(bundle_fd, name, err);
	struct attach *attach;

	if (fd < 0)
		return -1;
	attach = xcalloc(1, sizeof(*attach));
	attach->loop = loop;
	attach->owner = *owner;
	attach->listen_fd = take_fd(&fd);
	attach->bundle_fd = fcntl(bundle_fd, F_DUPFD_CLOEXEC, 3);
	attach->name = xstrdup(name);
	list_init(&attach->clients);
	loop_add(loop, &attach->watch, attach->listen_fd, POLLIN, on_listen);
	*out_attach = attach;
	return 0;
}

static size_t take_for_nobody(void *context, const char *data, size_t size)
{
	(void)context;
	(void)data;
	return size;
}

static void ignore(void *context)
{
	(void)context;
}

void attach_close(struct attach *attach)
{
	if (!attach)
		return;
	attach_accept(attach);
	attach_end(attach);
	loop_remove(attach->loop, &attach->watch);
	close(attach->listen_fd);
	if (attach->bundle_fd >= 0) {
		unlinkat(attach->bundle_fd, attach->name, 0);
		close(attach->bundle_fd);
	}
	/* Who has not read everything yet still does; there is no owner any more. */
	attach->owner = (struct attach_owner){ .input = take_for_nobody, .input_end = ignore, .drained = ignore };
	attach->closed = true;
	lingering_count++;
	free_unused(attach);
}

size_t attach_lingering(void)
{
	return lingering_count;
}

void attach_send(struct attach *attach, enum attach_type type, const char *data, size_t size)
{
	LIST_FOR_EACH (node, &attach->clients) {
		struct client *client = list_entry(node, struct client, node);

		if (client_send(client, type, data, size) < 0)
			client_free(client);
		else
			client_watch(client);
	}
	update_full(attach);
}

void attach_end(struct attach *attach)
{
	if (attach->ended)
		return;
	attach_accept(attach);
	attach->ended = true;
	LIST_FOR_EACH (node, &attach->clients)
		client_end(list_entry(node, struct client, node));
}

bool attach_is_full(const struct attach *attach)
{
	return attach->full;
}

void attach_resume_input(struct attach *attach)
{
	LIST_FOR_EACH (node, &attach->clients) {
		struct client *client = list_entry(node, struct client, node);

		client_push_input(client);
		client_watch(client);
	}
}
