/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"

#define RECEIVE_SIZE (64 * 1024)

void channel_init(struct channel *channel, int fd)
{
	*channel = (struct channel){ .fd = fd };
	mutex_init(&channel->send_lock);
	buffer_init(&channel->in, CHANNEL_LINE_MAX);
}

void channel_fini(struct channel *channel)
{
	int fd;

	while ((fd = channel_take_fd(channel)) >= 0)
		close(fd);
	if (channel->fd >= 0)
		close(take_fd(&channel->fd));
	buffer_fini(&channel->in);
	mutex_fini(&channel->send_lock);
}

int channel_take_fd(struct channel *channel)
{
	int fd;

	if (channel->fd_count == 0)
		return -1;
	fd = channel->fds[0];
	channel->fd_count--;
	memmove(channel->fds, channel->fds + 1, channel->fd_count * sizeof(int));
	return fd;
}

/* The first byte carries the descriptors. */
static ssize_t send_first(int socket, const char *line, size_t size, const int *fds, size_t fd_count)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec piece = { .iov_base = (void *)(uintptr_t)line, .iov_len = size };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	ssize_t sent;

	if (fd_count) {
		struct cmsghdr *header;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		header = CMSG_FIRSTHDR(&message);
		if (!header)
			return -EINVAL;
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
	}
	do
		sent = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

int channel_send(struct channel *channel, const char *line, const int *fds, size_t fd_count, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&channel->send_lock);
	AUTO_FREE char *whole = xasprintf("%s\n", line);
	size_t size = strlen(whole);
	ssize_t sent = send_first(channel->fd, whole, size, fds, fd_count);
	size_t at = sent > 0 ? (size_t)sent : 0;

	while (sent >= 0 && at < size) {
		sent = send_first(channel->fd, whole + at, size - at, NULL, 0);
		at += sent > 0 ? (size_t)sent : 0;
	}
	if (sent < 0)
		return error_set_errno(err, ERR_INTERNAL, (int)-sent, "send a line");
	return 0;
}

static void keep_fds(struct channel *channel, const struct cmsghdr *header)
{
	size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int fds[CHANNEL_FDS_MAX];

	if (count > CHANNEL_FDS_MAX)
		count = CHANNEL_FDS_MAX;
	memcpy(fds, CMSG_DATA(header), count * sizeof(int));
	for (size_t i = 0; i < count; i++) {
		if (channel->fd_count < CHANNEL_FDS_MAX)
			channel->fds[channel->fd_count++] = fds[i];
		else
			close(fds[i]);
	}
}

/* 1 if something came, 0 at the end. */
static int receive_some(struct channel *channel, struct error *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
		struct cmsghdr align;
	} control;
	char data[RECEIVE_SIZE];
	struct iovec piece = { .iov_base = data, .iov_len = sizeof(data) };
	struct msghdr message = { .msg_iov = &piece,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	ssize_t got;

	do
		got = recvmsg(channel->fd, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno != ECONNRESET)
		return error_set_errno(err, ERR_INTERNAL, errno, "receive a line");
	if (got <= 0)
		return 0;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
			keep_fds(channel, header);
	buffer_append(&channel->in, data, (size_t)got);
	if (buffer_failed(&channel->in))
		return error_set(err, ERR_INTERNAL, "a line is longer than %d bytes", CHANNEL_LINE_MAX);
	return 1;
}

static int wait_readable(const struct channel *channel, int cancel_fd, struct error *err)
{
	struct pollfd fds[2] = { { .fd = channel->fd, .events = POLLIN }, { .fd = cancel_fd, .events = POLLIN } };

	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "wait for a line");
	if (fds[1].revents)
		return error_set(err, ERR_CANCELED, "canceled");
	return 0;
}

int channel_receive(char **out_line, struct channel *channel, int cancel_fd, struct error *err)
{
	struct buffer *in = &channel->in;

	for (;;) {
		const char *start = (const char *)in->data;
		const char *end = in->size > channel->scanned
					  ? memchr(start + channel->scanned, '\n', in->size - channel->scanned)
					  : NULL;
		int r;

		if (end) {
			*out_line = xstrndup(start, (size_t)(end - start));
			buffer_consume(in, (size_t)(end - start) + 1);
			channel->scanned = 0;
			return 1;
		}
		channel->scanned = in->size;
		if (wait_readable(channel, cancel_fd, err) < 0)
			return -1;
		r = receive_some(channel, err);
		if (r <= 0)
			return r;
	}
}
