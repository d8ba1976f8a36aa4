/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync.h - the talk between the host side and init: one byte words (plan.h)
 * over a stream socket pair, some of them with descriptors or an error behind.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "runtime/plan.h"

#define SYNC_FDS (1 + RUNTIME_NET_COUNT)

/* What came from init. */
struct sync_message {
	char word;	   /* 0: end of file */
	int fds[SYNC_FDS]; /* owned: -1 where none came. READY: tty, then the network's */
	uint32_t index;	   /* of SYNC_IDMAP */
};
#define SYNC_MESSAGE_NONE                                                                                              \
	((struct sync_message){                                                                                        \
		.fds = { -1, -1, -1, -1, -1 },                                                                         \
	})
_Static_assert(SYNC_FDS == 5, "SYNC_MESSAGE_NONE names each descriptor");
void sync_message_fini(struct sync_message *message);

int sync_send(int fd, char word, struct error *err);
/* Waits for the one word that may come; anything else (end of file) fails. */
int sync_expect(int fd, char word, struct error *err);
/* READY with the descriptors there are (-1, and NULL: none). */
int sync_send_ready(int fd, int tty_fd, const int net_fds[RUNTIME_NET_COUNT], struct error *err);
/* Has the host side give mount `index` its id map, and waits until it is done. */
int sync_ask_idmap(int fd, uint32_t index, int mount_fd, struct error *err);
/* Next message of init; SYNC_ERROR is taken apart here: it fails with init's own error. */
int sync_receive(int fd, struct sync_message *out_message, struct error *err);
/* Init's last word. */
void sync_send_error(int fd, const struct error *err);
/* From the host side: the network namespace; -1: init makes it itself. */
int sync_send_net(int fd, int namespace_fd, struct error *err);
/* From the go-between: who init is. */
int sync_send_child(int fd, pid_t pid, int pidfd, struct error *err);
int sync_receive_child(int fd, pid_t *out_pid, int *out_pidfd, struct error *err);
