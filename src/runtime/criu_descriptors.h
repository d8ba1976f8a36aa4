/* SPDX-License-Identifier: Apache-2.0 */
/*
 * criu_descriptors.h - descriptors.json of a checkpoint: what was on 0, 1, 2.
 *
 * A JSON array of texts. The first three are what runc and crun write there too:
 * CRIU's names of a pipe ("pipe:[7]") or of a file of the host ("file[1b:4]"),
 * or a path in the container. Three more, which others pass over, are the modes
 * ("100644") of such files: CRIU takes no other kind of file in their place.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

#define CRIU_STDIO 3

struct criu_descriptors {
	char *names[CRIU_STDIO]; /* owned */
	mode_t modes[CRIU_STDIO];
};
void criu_descriptors_fini(struct criu_descriptors *descriptors);
/* Those of a process; a file is named so if its mount is not among those of the process. */
int criu_descriptors_look(struct criu_descriptors *out_descriptors, pid_t pid, struct error *err);
int criu_descriptors_save(const struct criu_descriptors *descriptors, int folder_fd, struct error *err);
int criu_descriptors_load(struct criu_descriptors *out_descriptors, int folder_fd, struct error *err);
/* Whether the name is one of a file of the host, or of that or a pipe: of what is replaced at the restore. */
bool criu_descriptor_is_file(const char *name);
bool criu_descriptor_is_outside(const char *name);
