/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_rootfs.h - root file systems for a container with a user namespace of
 * its own, made on the host's side: its layers get the container's id map, so
 * that what is root's on disk is root's inside, and no file is changed. The
 * overlay itself belongs to the first user namespace: trusted.* attributes and
 * whiteouts mean there what they mean to everybody else. Nothing of it is seen
 * in the host's mount table.
 */
#pragma once

#include "base/error.h"
#include "runtime/plan.h"

/* Detached mounts for plan->rootfs_fds, if such a container was given file systems; ERR_UNSUPPORTED before Linux 5.19. */
int host_rootfs_make(struct plan *plan, struct error *err);
void host_rootfs_close(struct plan *plan);
