/* SPDX-License-Identifier: Apache-2.0 */
/* host_found.h - a container looked up by its id: what every verb after create begins with. */
#pragma once

#include "runtime/record.h"
#include "sys/cgroup.h"

struct found {
	struct record record;
	int folder_fd;
	enum runtime_status status;
	struct cgroup *cgroup; /* owned; NULL until asked for */
};
#define FOUND_NONE                                                                                                     \
	{                                                                                                              \
		.folder_fd = -1                                                                                        \
	}

int found_open(struct found *out_found, const struct runtime *runtime, const char *id, struct error *err);
void found_fini(struct found *found);
int found_open_cgroup(struct found *found, struct error *err);
/*
 * A container whose creator was killed was never promised to anybody: what is left of it goes. True if there was one,
 * and nothing is left.
 */
bool host_sweep(const struct runtime *runtime, const char *id);
/* RUNNING becomes PAUSED if it is. */
void found_look_at_freezer(struct found *found);
