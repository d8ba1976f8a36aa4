/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - whole files, whole writes, whole trees. Below a directory fd
 * (AT_FDCWD for our own absolute paths). All return 0 or more, or -errno: the
 * caller knows the path and writes the sentence.
 */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Writes all bytes, through EINTR and short writes. */
int write_full(int fd, const void *data, size_t size);
/* Reads until size bytes or end of file; returns what was read. */
ssize_t read_full(int fd, void *data, size_t size);
/* Reads a file of at most `limit` bytes (-EFBIG beyond). *out_data is yours and NUL-terminated; out_size may be NULL. */
int file_read(char **out_data, size_t *out_size, int dir_fd, const char *path, size_t limit);
/*
 * The same for what the kernel writes in one piece (procfs, cgroupfs): one read, if it is less than a page. *out_data is
 * yours.
 */
int file_read_attribute(char **out_data, int dir_fd, const char *path, size_t limit);
/* The same from an open descriptor, from where it stands. */
int fd_read_all(char **out_data, size_t *out_size, int fd, size_t limit);

enum file_sync {
	FILE_NO_SYNC,  /* survives kill -9 */
	FILE_SYNC_ALL, /* survives power loss: fsync of the file before, of its directory after the rename */
};

/* Replaces `path` in one step (temporary file beside it, then rename). */
int file_write_atomic(int dir_fd, const char *path, const void *data, size_t size, mode_t mode, enum file_sync sync);
/*
 * The same for a small file that is seldom there already: whoever is killed meanwhile leaves no temporary file. Not
 * synced.
 */
int file_publish(int dir_fd, const char *path, const void *data, size_t size, mode_t mode);
/* open(O_WRONLY), one write, close: for procfs and sysfs. */
int file_write_once(int dir_fd, const char *path, const char *text);
bool file_exists(int dir_fd, const char *path);
/*
 * Tells the kernel to begin writing these bytes to the disk (size 0: to the end), without waiting: the sync that follows
 * finds less to do. A hint: nothing is promised and no error is told.
 */
void fd_start_writing(int fd, int64_t offset, int64_t size);
/* fsync of the directory that holds a name. */
int dir_sync(int dir_fd, const char *path);
/* mkdir -p; 0 also if it was there. */
int mkdir_all(int dir_fd, const char *path, mode_t mode);
/* rm -rf of a name; 0 if it was not there. Never follows a link; where something is mounted it stays, and -EBUSY is returned. */
int remove_tree(int dir_fd, const char *path);

/* opendir() below a directory, never through a link at the end: NULL with errno set. closedir() it. */
DIR *dir_open(int dir_fd, const char *path);

/* A wide pipe, close on exec: fewer switches between two programs that stream. */
int pipe_open(int *out_read, int *out_write);
/* A file without a name that holds these bytes, read from its start. */
int file_memory(const char *name, const void *data, size_t size);

int fd_set_nonblocking(int fd, bool on);
int fd_set_cloexec(int fd, bool on);
