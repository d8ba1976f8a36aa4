/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tarball.h - a tar archive written file by file; it gets its name when it is
 * whole, so that nobody sees a half one and a kill leaves nothing behind.
 * "/dev/fd/N" is written to as it is. Threads: share a tarball freely.
 */
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct tarball;

int tarball_open(struct tarball **out_tarball, const char *path, struct error *err);
void tarball_free(struct tarball *tarball);
DEFINE_AUTO(struct tarball, tarball_free)

/* Each name once: the second time nothing is added. */
int tarball_add(struct tarball *tarball, const char *name, int fd, uint64_t size, struct error *err);
int tarball_add_text(struct tarball *tarball, const char *name, const char *text, struct error *err);
int tarball_has(struct tarball *tarball, const char *name);
/* All of it from a file that is a tar already, instead of add and finish. */
int tarball_take(struct tarball *tarball, int fd, struct error *err);
int tarball_finish(struct tarball *tarball, struct error *err);
