/* SPDX-License-Identifier: Apache-2.0 */
/* fd_pass.h - descriptors over unix sockets (SCM_RIGHTS), with the bytes they come with. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define FD_PASS_MAX 16

/* Sends size > 0 bytes and count descriptors in one message. 0 or -errno. */
int fd_pass_send(int socket_fd, const void *data, size_t size, const int *fds, size_t count);
/*
 * Receives one message: bytes read (0 at end of file) or -errno. out_fds has
 * room for *count descriptors (O_CLOEXEC); *count becomes how many came. More than fit are closed and
 * it is -EMSGSIZE.
 */
ssize_t fd_pass_receive(int socket_fd, void *data, size_t size, int *out_fds, size_t *count);
