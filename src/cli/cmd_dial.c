/* SPDX-License-Identifier: Apache-2.0 */
/*
 * system dial-stdio: our stdin and stdout become a connection to the engine.
 * docker's ssh:// hosts run this on the other machine.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "cli/commands.h"

#define PIECE 65536

static int connect_unix(const char *path, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, ERR_INVALID, "socket path %s is too long", path);
	memcpy(address.sun_path, path, strlen(path));
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set_errno(err, ERR_UNAVAILABLE, errno, "connect to %s", path);
	return take_fd(&fd);
}

/* 1 some bytes were carried, 0 the source is at its end, -1 the sink is gone. */
static int carry(int from, int to, char *piece)
{
	ssize_t got = read(from, piece, PIECE);

	if (got < 0 && errno == EINTR)
		return 1;
	if (got <= 0)
		return 0;
	return write_full(to, piece, (size_t)got) < 0 ? -1 : 1;
}

static int carry_both(int fd)
{
	AUTO_FREE char *piece = xmalloc(PIECE);
	struct pollfd items[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = fd, .events = POLLIN } };

	for (;;) {
		if (poll(items, 2, -1) < 0)
			continue;
		if (items[0].revents && carry(STDIN_FILENO, fd, piece) <= 0) {
			shutdown(fd, SHUT_WR);
			items[0].fd = -1;
		}
		if (items[1].revents && carry(fd, STDOUT_FILENO, piece) <= 0)
			return 0;
	}
}

static int run_dial(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	/* Opened for its side effect: it starts an engine where none runs. */
	struct client *client = cli_client(cli, err);
	const char *path = client ? text_after(client->host, "unix://") : NULL;
	AUTO_CLOSE int fd = -1;

	(void)options;
	(void)operands;
	if (!client)
		return -1;
	if (!path)
		return error_set(err, ERR_UNSUPPORTED, "dial-stdio is for an engine on this machine, not %s",
				 client->host);
	fd = connect_unix(path, err);
	return fd < 0 ? -1 : carry_both(fd);
}

const struct command command_system_dial_stdio = {
	.usage = "",
	.summary = "Proxy the stdio stream to the engine connection",
	.min_operands = 0,
	.max_operands = 0,
	.run = run_dial,
};
