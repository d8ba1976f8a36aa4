/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - what init has to do, worked out by the host side before the clone.
 *
 * init is a forked copy of a single-threaded process: it reads the plan from its
 * copy of the memory and tells the host side what happened over `sync_fd`. All
 * pointers are borrowed from the host side, which frees them in its own copy.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "oci/runtime_spec.h"
#include "runtime/record.h"
#include "runtime/runtime.h"
#include "sys/idmap.h"
#include "sys/seccomp.h"

#define PLAN_JOIN_MAX 8
#define PLAN_SUBGROUP_MAX 16

struct cgroup;
struct plan_net_device;

/* A namespace to enter that exists already. */
struct plan_join {
	int fd;	  /* namespace or pidfd; owned by the host side */
	int flag; /* CLONE_NEW...; several if fd is a pidfd */
	const char *name;
};

/* exec --cgroup cpu,memory:PATH */
struct plan_subgroup {
	struct text_list controllers; /* owned by the host side */
	struct cgroup *cgroup;	      /* owned by the host side */
};

struct plan {
	const struct runtime *runtime;
	const struct spec *spec;	    /* of the container */
	const struct spec_process *process; /* what to run */
	const struct runtime_process_options *options;
	const struct runtime_create_options *create; /* NULL for exec */
	const struct record *record;
	const struct seccomp_filter *filter; /* NULL: none */
	int listener_fd;       /* connected to linux.seccomp.listenerPath; -1: the filter notifies nobody */
	pid_t *shared_pid;     /* memory shared with init: its pid as the host side sees it; NULL without a listener */
	struct cgroup *cgroup; /* NULL: none */
	struct plan_subgroup subgroups[PLAN_SUBGROUP_MAX]; /* exec: in place of `cgroup` for some controllers */
	size_t subgroup_count;
	char *rootfs;		  /* absolute */
	uint64_t new_namespaces;  /* CLONE_NEW... flags of namespaces to be made */
	uint64_t late_namespaces; /* those of them that init makes itself, while we make its cgroups; 0: none */
	bool host_makes_net;	  /* then the network namespace is ours to make, and to send: SYNC_NET */
	struct plan_join joins[PLAN_JOIN_MAX];
	size_t join_count;
	struct idmap idmap;		     /* of a new user namespace */
	int *rootfs_fds;		     /* per file system given for the rootfs, see host_rootfs.h; NULL: none */
	int *mount_fds;			     /* per mount: detached tree opened by the host side, or -1; NULL: none */
	struct plan_net_device *net_devices; /* see net_device.h */
	size_t net_device_count;
	int sync_fd;		    /* init's end */
	int host_sync_fd;	    /* the other end: init closes its copy, so that it sees the host side end */
	int start_fd;		    /* listening socket, or -1: go on at once */
	unsigned long long signals; /* that we ignore or catch: see pid_own_start_time() */
	struct stat own_exe;	    /* our own program, never to be executed in there; all zero: unknown */
};

/* ---- words on the sync socket: one byte each ---- */

enum sync_word {
	SYNC_GO = 'g',	  /* host: go on */
	SYNC_HOOKS = 'h', /* init: mounts are done, run the hooks of the runtime namespace */
	SYNC_IDMAP =
		'm', /* init: the number (uint32) of a mount follows; its detached tree comes with it, for an id map */
	SYNC_READY = 'r', /* init: all is prepared; carries the tty and the network's descriptors if there are any */
	SYNC_NET = 'n',	  /* host: the network namespace comes with it */
	SYNC_ERROR = 'e', /* init: an error follows, then the end */
	SYNC_CHILD = 'c', /* go-between: the pid (int32) and the pidfd of init follow */
};

/* Runs in the clone; never returns. */
_Noreturn void init_run(const struct plan *plan);
_Noreturn void init_run_exec(const struct plan *plan);
