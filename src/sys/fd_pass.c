/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/fd_pass.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
};

int fd_pass_send(int socket_fd, const void *data, size_t size, const int *fds, size_t count)
{
	union control control = { 0 };
	struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t sent;

	if (size == 0 || count > FD_PASS_MAX)
		return -EINVAL;
	if (count > 0) {
		message.msg_control = control.space;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	}
	do
		sent = sendmsg(socket_fd, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return (size_t)sent == size ? 0 : -EMSGSIZE;
}

/* Keeps what fits, closes the rest; returns how many there were. */
static size_t collect(const struct cmsghdr *header, int *out_fds, size_t room, size_t had)
{
	size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
		if (had + i < room)
			out_fds[had + i] = fd;
		else
			close(fd);
	}
	return count;
}

ssize_t fd_pass_receive(int socket_fd, void *data, size_t size, int *out_fds, size_t *count)
{
	union control control = { 0 };
	struct iovec part = { .iov_base = data, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)
	};
	size_t came = 0;
	ssize_t received;

	do
		received = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
	while (received < 0 && errno == EINTR);
	if (received < 0)
		return -errno;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
			came += collect(header, out_fds, *count, came);
	if (came > *count || message.msg_flags & MSG_CTRUNC) {
		for (size_t i = 0; i < came && i < *count; i++)
			close(out_fds[i]);
		*count = 0;
		return -EMSGSIZE;
	}
	*count = came;
	return received;
}
