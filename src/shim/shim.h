/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim.h - the commands of kist-shim, as containerd's shim v2 contract names them.
 *
 * kist-shim -namespace NS -address SOCKET -id ID [-bundle DIR] start  makes the
 * socket, starts the long-lived shim (the same program without a command, its
 * listener as descriptor 3) and prints its address; `delete` cleans up after a
 * shim that was killed: the container's init is killed by it.
 */
#pragma once

#include <stddef.h>

#include <stdbool.h>

#include "base/error.h"

struct shim_options {
	const char *name_space;
	const char *address;
	const char *publish_binary;
	const char *id;
	const char *bundle;
	const char *socket; /* of the serving shim: its own path */
	bool debug;
	bool version;
	bool info;
};

int shim_start(const struct shim_options *options, struct error *err);
int shim_serve(const struct shim_options *options, struct error *err);
int shim_delete(const struct shim_options *options, struct error *err);
int shim_info(struct error *err);

/* Standard input, which containerd fills or leaves empty. */
int shim_read_stdin(char **out_data, size_t *out_size, struct error *err);
