/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc_fs.h - a /proc nobody can have put something else over.
 *
 * A detached proc mount of our own (fsopen, subset=pid where asked), through
 * which everything sensitive is written: attr/exec, sysctl, uid_map. Files are
 * opened with RESOLVE_BENEATH|NO_XDEV|NO_MAGICLINKS and checked to be proc.
 * CVE-2019-16884, CVE-2025-52881. -errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Descriptor of a private proc of the pid namespace this process lives in. pid_only hides everything but
 * the process folders. Falls back to a copy of /proc (verified to be one) if the kernel refuses.
 */
int proc_fs_open(bool pid_only);
/* open(2) of a path below ("thread-self/attr/exec", "sys/net/ipv4/ip_forward"). */
int proc_fs_open_file(int proc_fd, const char *path, int flags);
/* Opens, writes once, closes. */
int proc_fs_write(int proc_fd, const char *path, const char *text);
/* Reads a whole file of at most `limit` bytes; *out_data is yours. */
int proc_fs_read(int proc_fd, const char *path, char **out_data, size_t limit);
/* Whether fd lives on a real procfs. */
bool proc_fs_verify(int fd);
