/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach_frame.h - the stream on a shim's attach sockets, and how to reach them.
 *
 * Sockets: <bundle>/attach (init), <bundle>/attach-<exec id>; they exist from
 * Create or Exec on, so connect before Start and no output is lost.
 * Frame, both ways: {u8 type, 0, 0, 0, u32 big-endian size}{size bytes}, as
 * docker's multiplexed stream. To the shim: ATTACH_STDIN, empty = close it.
 * From the shim: ATTACH_STDOUT, ATTACH_STDERR (a terminal: stdout), and once
 * ATTACH_END, empty: the process is over and everything was sent.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define ATTACH_HEADER_SIZE 8
#define ATTACH_FRAME_MAX (1024 * 1024) /* larger frames are a protocol error */

enum attach_type { ATTACH_STDIN = 0, ATTACH_STDOUT = 1, ATTACH_STDERR = 2, ATTACH_END = 3 };

void attach_header_format(uint8_t header[ATTACH_HEADER_SIZE], enum attach_type type, uint32_t size);
/* ERR_INVALID for an unknown type, padding that is not zero, or a size above the maximum. */
int attach_header_parse(const uint8_t header[ATTACH_HEADER_SIZE], enum attach_type *out_type, uint32_t *out_size,
			struct error *err);

/* Connects to <bundle>/attach, or attach-<exec_id>. Paths of any length. The caller owns the descriptor. */
int attach_connect(const char *bundle, const char *exec_id, struct error *err);

/* Sockets born in the container's network namespace, in the order of runtime.h. */
enum attach_socket { ATTACH_NETLINK, ATTACH_NETFILTER, ATTACH_UDP, ATTACH_TCP, ATTACH_SOCKETS };

/* Sends those that are not -1 to who connected to <bundle>/fds; a byte says which. */
void attach_send_sockets(int client_fd, const int *fds, size_t count);
/* Receives them: each yours, -1 where there is none. */
int attach_receive_sockets(int out_fds[ATTACH_SOCKETS], const char *bundle, struct error *err);
void attach_close_sockets(int fds[ATTACH_SOCKETS]);
/* The netlink socket alone; yours. */
int attach_receive_netlink(const char *bundle, struct error *err);
