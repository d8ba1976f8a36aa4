/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.h - inside the new namespaces: what is between the clone and execve.
 *
 * Each part is one function that fails with an error, which init_run() sends to
 * the host side before it ends. root_fd is the container's root as O_PATH; no
 * path of the container is ever walked except below it, until pivot_root.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "runtime/plan.h"

/* The container's /sys/fs/cgroup of v1 hierarchies, while their groups are not in it yet. */
struct init_groups {
	int base_fd; /* -1: nothing is to be shown */
	uint64_t attr_set;
	uint64_t attr_clear;
};

struct init {
	const struct plan *plan;
	int root_fd;
	int proc_fd; /* a private proc, or -1 */
	int tty_master_fd;
	int tty_slave_fd;
	int net_fds[RUNTIME_NET_COUNT];
	bool in_userns;
	bool joined;  /* we are in our cgroups */
	bool in_net;  /* and in the network namespace, if the host side made it */
	bool bounded; /* the bounding set is that of the container already */
	bool masked;  /* as are the masked and read-only paths */
	struct init_groups shown;
	unsigned left_open; /* descriptors init_leave_open() took */
	int *late_readonly; /* mounts that become read-only when all is in them */
	size_t late_readonly_count;
};

/*
 * A descriptor that was needed for a mount: all of them are closed at once before init is ready, which is one call for
 * dozens. Not more of them than a process may well have; then the caller's AUTO_CLOSE does it.
 */
void init_leave_open(struct init *init, int *fd);

/* ---- root ---- */
/* What was given, as a detached mount. */
int init_root_make_given(const struct runtime_rootfs_mount *given, struct error *err);
/* On plan->rootfs, whose root becomes root_fd, or on a place below it. */
int init_root_mount_given(struct init *init, const struct runtime_rootfs_mount *given, int made_fd, struct error *err);
int init_root_attach(struct init *init, struct error *err);
int init_root_enter(struct init *init, struct error *err);

/* ---- mounts, devices ---- */
int init_mount_all(struct init *init, struct error *err);
/* What the clone did not do: the first thing in the new process, or, with late namespaces, init_cgroup_join(). */
int init_cgroup_enter(struct init *init, struct error *err);
/*
 * Waits for the host side to have made the groups, enters them, and makes the cgroup namespace, of which they are the
 * root. Before anything that needs them, or takes memory by what the image holds; once, then it does nothing.
 */
int init_cgroup_join(struct init *init, struct error *err);
int init_mount_cgroup(struct init *init, const struct spec_mount *mount, struct error *err);
/* Joins, and puts the groups into the mount made for them. */
int init_cgroup_show(struct init *init, struct error *err);
int init_device_make_all(struct init *init, struct error *err);
/* A device node of the host, checked to be what it should be, as a detached mount: "/dev/null", 1, 3. */
int init_device_clone(const char *path, unsigned major, unsigned minor, struct error *err);
/* A tmpfs is read-only only when all that goes into it is there. */
int init_mask_finish(struct init *init, struct error *err);
int init_mask_all(struct init *init, struct error *err); /* sets init->masked */

/* ---- kernel ---- */
int init_kernel_namespaces(struct init *init, struct error *err);
/* Waits for the network namespace if the host side makes it. Before whatever belongs to one; once. */
int init_kernel_join_net(struct init *init, struct error *err);
int init_kernel_cgroup_namespace(const struct plan *plan, struct error *err);
/* uid and gid 0 of a user namespace just entered. */
int init_kernel_become_root(struct error *err);
int init_kernel_names(struct init *init, struct error *err);

/* ---- terminal and stdio ---- */
int init_tty_make(struct init *init, bool with_console, struct error *err);
int init_tty_use(struct init *init, struct error *err);

/* ---- user ---- */
/* Names and numbers of more groups, with commas between. */
#define INIT_GROUPS_ANNOTATION "run.kist.groups"

struct init_user {
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* owned */
	size_t group_count;
	char *home;  /* owned, may be NULL */
	int root_fd; /* borrowed: where its files are looked up; -1: here */
};
/* Looks into the container's /etc/passwd and /etc/group; call after init_root_enter(). */
int init_user_find(struct init_user *out_user, const struct plan *plan, struct error *err);
/* The same from outside, below the root. */
int init_user_find_in(struct init_user *out_user, int root_fd, const struct spec_user *spec,
		      const struct text_map *annotations, struct error *err);
void init_user_fini(struct init_user *user);

/* ---- program ---- */
struct init_program {
	struct init_user user;
	char *path;  /* owned: what execve gets */
	char **envp; /* owned; its texts too */
	size_t env_count;
};
/* Everything that can fail for a wrong specification is found here, before start. */
int init_program_prepare(struct init_program *out_program, const struct init *init, struct error *err);
void init_program_fini(struct init_program *program);
/* What may be given up before its time, while there is something to wait for: no program but the container's comes. */
int init_program_bound(struct init *init, struct error *err);
/* Gives up descriptors, privileges and system calls. */
int init_program_become(const struct init_program *program, struct init *init, struct error *err);
/* Executes the program; returns only on failure. */
int init_program_exec(const struct init_program *program, const struct init *init, struct error *err);
/* strerror with Go's small first letter: callers of runc look for "no such file or directory" in these messages. */
const char *init_errno_text(char out[64], int errnum);
/* Why execve of path failed with errnum, as far as it can be found out. Fills err. */
int init_explain_exec(const char *path, int errnum, struct error *err);
