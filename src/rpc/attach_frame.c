/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/attach_frame.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "rpc/ttrpc_client.h"
#include "sys/fd_pass.h"

void attach_header_format(uint8_t header[ATTACH_HEADER_SIZE], enum attach_type type, uint32_t size)
{
	memset(header, 0, ATTACH_HEADER_SIZE);
	header[0] = (uint8_t)type;
	header[4] = (uint8_t)(size >> 24);
	header[5] = (uint8_t)(size >> 16);
	header[6] = (uint8_t)(size >> 8);
	header[7] = (uint8_t)size;
}

int attach_header_parse(const uint8_t header[ATTACH_HEADER_SIZE], enum attach_type *out_type, uint32_t *out_size,
			struct error *err)
{
	uint32_t size = (uint32_t)header[4] << 24 | (uint32_t)header[5] << 16 | (uint32_t)header[6] << 8 | header[7];

	if (header[0] > ATTACH_END || header[1] || header[2] || header[3])
		return error_set(err, ERR_INVALID, "malformed attach frame of type %u", header[0]);
	if (size > ATTACH_FRAME_MAX)
		return error_set(err, ERR_INVALID, "attach frame of %u bytes, the most is 1 MiB", size);
	*out_type = header[0];
	*out_size = size;
	return 0;
}

int attach_connect(const char *bundle, const char *exec_id, struct error *err)
{
	AUTO_FREE char *path = text_empty(exec_id) ? xasprintf("%s/attach", bundle)
						   : xasprintf("%s/attach-%s", bundle, exec_id);

	return ttrpc_connect(path, err);
}

void attach_send_sockets(int client_fd, const int *fds, size_t count)
{
	int sent[ATTACH_SOCKETS];
	size_t sent_count = 0;
	char which = 0;

	for (size_t i = 0; i < count && i < ATTACH_SOCKETS; i++) {
		if (fds[i] < 0)
			continue;
		which |= (char)(1 << i);
		sent[sent_count++] = fds[i];
	}
	(void)fd_pass_send(client_fd, &which, 1, sent, sent_count);
}

/* A shim of before sends the netlink socket alone, and an 'n'. */
static void sort_sockets(int out_fds[ATTACH_SOCKETS], int *fds, size_t count, char which)
{
	size_t next = 0;

	if (count == 1)
		which = 1 << ATTACH_NETLINK;
	for (size_t i = 0; i < ATTACH_SOCKETS; i++)
		out_fds[i] = which & 1 << i && next < count ? take_fd(&fds[next++]) : -1;
	while (next < count)
		close(fds[next++]);
}

int attach_receive_sockets(int out_fds[ATTACH_SOCKETS], const char *bundle, struct error *err)
{
	AUTO_FREE char *path = xasprintf("%s/fds", bundle);
	AUTO_CLOSE int socket_fd = ttrpc_connect(path, err);
	int fds[ATTACH_SOCKETS];
	size_t count = ATTACH_SOCKETS;
	char which;
	ssize_t r;

	if (socket_fd < 0)
		return -1;
	r = fd_pass_receive(socket_fd, &which, 1, fds, &count);
	if (r < 0)
		return error_set_errno(err, ERR_UNAVAILABLE, (int)r, "receive from %s", path);
	if (r == 0 || count == 0)
		return error_set(err, ERR_UNAVAILABLE, "%s sent no descriptor", path);
	sort_sockets(out_fds, fds, count, which);
	return 0;
}

void attach_close_sockets(int fds[ATTACH_SOCKETS])
{
	for (size_t i = 0; i < ATTACH_SOCKETS; i++)
		if (fds[i] >= 0)
			close(take_fd(&fds[i]));
}

int attach_receive_netlink(const char *bundle, struct error *err)
{
	int fds[ATTACH_SOCKETS];
	int fd;

	if (attach_receive_sockets(fds, bundle, err) < 0)
		return -1;
	fd = take_fd(&fds[ATTACH_NETLINK]);
	attach_close_sockets(fds);
	return fd >= 0 ? fd : error_set(err, ERR_UNAVAILABLE, "%s/fds sent no netlink socket", bundle);
}
