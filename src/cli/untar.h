/* SPDX-License-Identifier: Apache-2.0 */
/*
 * untar.h - a tar stream of the engine as files of ours: what a container or an
 * image holds is not trusted, so no path or link of it leads out of the folder
 * (archive/tree.h). Devices and pipes are left out.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct untar {
	ssize_t (*read)(void *arg, void *data, size_t size, struct error *err); /* the stream; 0: its end */
	void *read_arg;
	char *(*land)(void *arg, const char *path); /* the path an entry gets, yours; NULL: its own */
	void *land_arg;
	bool owners;	/* are kept too */
	uint64_t bytes; /* of files; counted */
};

/* folder: must be there. */
int untar_into(struct untar *untar, const char *folder, struct error *err);
