/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/sync.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "sys/fd_pass.h"

void sync_message_fini(struct sync_message *message)
{
	for (size_t i = 0; i < SYNC_FDS; i++)
		if (message->fds[i] >= 0)
			close(take_fd(&message->fds[i]));
}

int sync_send(int fd, char word, struct error *err)
{
	int r = fd_pass_send(fd, &word, 1, NULL, 0);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "talk between runtime and container init");
	return 0;
}

int sync_expect(int fd, char word, struct error *err)
{
	char got = 0;
	ssize_t r = read_full(fd, &got, 1);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, (int)r, "talk between runtime and container init");
	if (r == 0)
		return error_set(err, ERR_CANCELED, "the runtime went away");
	if (got != word)
		return error_set(err, ERR_INTERNAL, "unexpected word '%c' from the runtime", got);
	return 0;
}

int sync_send_ready(int fd, int tty_fd, const int net_fds[RUNTIME_NET_COUNT], struct error *err)
{
	char words[2] = { SYNC_READY, 0 };
	int fds[SYNC_FDS];
	size_t count = 0;
	int r;

	for (size_t i = 0; i < SYNC_FDS; i++) {
		int one = i == 0 ? tty_fd : net_fds ? net_fds[i - 1] : -1;

		if (one < 0)
			continue;
		words[1] |= (char)(1 << i);
		fds[count++] = one;
	}
	r = fd_pass_send(fd, words, sizeof(words), fds, count);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "tell the runtime that init is ready");
	return 0;
}

int sync_ask_idmap(int fd, uint32_t index, int mount_fd, struct error *err)
{
	char word = SYNC_IDMAP;
	int r = fd_pass_send(fd, &word, 1, &mount_fd, 1);

	if (r == 0)
		r = write_full(fd, &index, sizeof(index));
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "ask the runtime for an id map");
	return sync_expect(fd, SYNC_GO, err);
}

/* The second byte says which of the descriptors came. */
static int receive_ready(int fd, struct sync_message *message, struct error *err)
{
	int fds[SYNC_FDS];
	char flags = 0;
	size_t next = 0;
	ssize_t r = read_full(fd, &flags, 1);

	if (r != 1)
		return error_set(err, ERR_INTERNAL, "container init died in the middle of a message");
	memcpy(fds, message->fds, sizeof(fds));
	for (size_t i = 0; i < SYNC_FDS; i++)
		message->fds[i] = flags & 1 << i ? fds[next++] : -1;
	return 0;
}

int sync_receive(int fd, struct sync_message *out_message, struct error *err)
{
	size_t count = SYNC_FDS;
	int fds[SYNC_FDS];
	char word = 0;
	ssize_t r;

	do
		r = fd_pass_receive(fd, &word, 1, fds, &count);
	while (r == -EINTR);
	/* An init that was killed with unread bytes from us gives a reset, not an end of file. */
	if (r == -ECONNRESET)
		r = 0;
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, (int)r, "talk between runtime and container init");
	*out_message = (struct sync_message){ .word = r == 0 ? 0 : word };
	for (size_t i = 0; i < SYNC_FDS; i++)
		out_message->fds[i] = i < count ? fds[i] : -1;
	if (word == SYNC_READY)
		return receive_ready(fd, out_message, err);
	if (word == SYNC_IDMAP &&
	    read_full(fd, &out_message->index, sizeof(out_message->index)) != (ssize_t)sizeof(out_message->index))
		return error_set(err, ERR_INTERNAL, "container init died in the middle of a message");
	if (word != SYNC_ERROR)
		return 0;
	if (error_receive(fd, err) == 0)
		error_set(err, ERR_INTERNAL, "container init died while it reported an error");
	return -1;
}

void sync_send_error(int fd, const struct error *err)
{
	char word = SYNC_ERROR;

	if (fd_pass_send(fd, &word, 1, NULL, 0) == 0)
		error_send(fd, err);
}

int sync_send_net(int fd, int namespace_fd, struct error *err)
{
	char word = SYNC_NET;
	int r = fd_pass_send(fd, &word, 1, &namespace_fd, namespace_fd >= 0);

	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "send the network namespace") : 0;
}

int sync_send_child(int fd, pid_t pid, int pidfd, struct error *err)
{
	char word = SYNC_CHILD;
	int r = fd_pass_send(fd, &word, 1, &pidfd, 1);

	if (r == 0)
		r = write_full(fd, &pid, sizeof(pid));
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "tell the runtime of the new process");
	return 0;
}

int sync_receive_child(int fd, pid_t *out_pid, int *out_pidfd, struct error *err)
{
	struct sync_message message;

	if (sync_receive(fd, &message, err) < 0)
		return -1;
	if (message.word != SYNC_CHILD || read_full(fd, out_pid, sizeof(*out_pid)) != sizeof(*out_pid)) {
		sync_message_fini(&message);
		return error_set(err, ERR_INTERNAL, "the process that joins the namespaces died");
	}
	*out_pidfd = message.fds[0];
	return 0;
}
