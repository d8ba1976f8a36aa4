/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tty.h - pseudo terminals: pairs, raw mode, sizes. -errno.
 *
 * The peer is opened with TIOCGPTPEER, never by its name, so that nothing put
 * at /dev/pts/N can take its place (CVE-2025-52565).
 */
#pragma once

#include <termios.h>

/* A pair from the devpts this ptmx belongs to: dir_fd/ptmx_path, e.g. AT_FDCWD, "/dev/ptmx". */
int tty_open_pair(int dir_fd, const char *ptmx_path, int *out_master, int *out_slave);
/* Number N of /dev/pts/N of a master. */
int tty_number(int master_fd);
/* Verifies that fd is a slave on a devpts file system. */
int tty_verify_slave(int slave_fd);
/* Makes it the controlling terminal of this (new) session. */
int tty_set_controlling(int slave_fd);
int tty_set_size(int fd, unsigned short rows, unsigned short columns);
int tty_get_size(int fd, unsigned short *out_rows, unsigned short *out_columns);
/* Raw input; *out_saved restores. */
int tty_set_raw(int fd, struct termios *out_saved);
/* What the container writes as LF arrives as LF: the terminal of the reader adds the CR. */
int tty_keep_newlines(int fd);
int tty_restore(int fd, const struct termios *saved);
