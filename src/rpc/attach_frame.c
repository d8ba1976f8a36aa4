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

int attach_receive_netlink(const char *bundle, struct error *err)
{
	AUTO_FREE char *path = xasprintf("%s/fds", bundle);
	AUTO_CLOSE int socket_fd = ttrpc_connect(path, err);
	int fd = -1;
	size_t count = 1;
	char byte;
	ssize_t r;

	if (socket_fd < 0)
		return -1;
	r = fd_pass_receive(socket_fd, &byte, 1, &fd, &count);
	if (r < 0)
		return error_set_errno(err, ERR_UNAVAILABLE, (int)r, "receive from %s", path);
	if (r == 0 || count != 1)
		return error_set(err, ERR_UNAVAILABLE, "%s sent no descriptor", path);
	return fd;
}
