/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namespace.h - make, name and join namespaces.
 *
 * Names are those of the OCI spec ("network", "mount"); files those of
 * /proc/PID/ns ("net", "mnt"). Only single-threaded programs call
 * namespace_clone() and namespace_join(). -errno.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

struct namespace_kind {
	const char *name; /* "network" */
	const char *file; /* "net" */
	int flag;	  /* CLONE_NEWNET */
};

/* The i-th of all kinds in the order they must be joined (user first), or NULL. */
const struct namespace_kind *namespace_kind_at(unsigned index);
/* By spec name ("network"), or NULL. */
const struct namespace_kind *namespace_kind_find(const char *name);
const struct namespace_kind *namespace_kind_of_flag(int flag);

/*
 * clone3 as fork does it (0 in the child), with namespace flags, an optional
 * cgroup2 directory (-1: none) and the child's pidfd (NULL: none).
 */
pid_t namespace_clone(uint64_t flags, int cgroup_fd, int *out_pidfd);

/* Descriptor of /proc/PID/ns/FILE; pid 0 is this process. */
int namespace_open(pid_t pid, const struct namespace_kind *kind);
/* The CLONE_NEW flag of a namespace descriptor, or -errno (-ENOTTY: not a namespace). */
int namespace_type(int fd);
/* setns; flag 0 takes any kind; a pidfd takes several flags at once. */
int namespace_join(int fd, int flags);
/* 1 if the running kernel has this kind. */
int namespace_supported(const struct namespace_kind *kind);
