/* SPDX-License-Identifier: Apache-2.0 */
/* file_walk.h - a file read front to back for a tar_reader, with the place where it stands; inside image/ only. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct file_walk {
	int fd;		  /* borrowed; its own offset is not used */
	uint64_t at;	  /* bytes handed out so far */
	const char *what; /* for errors: "the archive" */
};

/* A tar_reader's source: arg is a struct file_walk. */
ssize_t file_walk_read(void *arg, void *data, size_t size, struct error *err);
