/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime.h - OCI containers as a library: the verbs of runc, in this process.
 *
 * Callers are single-threaded programs (kist-shim, kist-runtime) that may be
 * the parent of the container: a new process is a direct child, to be waited
 * for by its pidfd. Every call blocks, keeps no global state, leaves the
 * caller's signal mask, directory, umask and descriptors as they were.
 *
 * On disk: <root>/<id>/{state.json,config.json,start} - state.json names the
 * process, so any later process may go on with the container. A container is
 * "created" while its init listens on the socket `start`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/optional.h"
#include "base/text.h"

struct cgroup_stats;
struct spec;
struct spec_process;
struct spec_resources;
struct trace;

/* Whether a cgroup that cannot be made for lack of rights is only warned of; auto: if we are not root. */
enum runtime_rootless { RUNTIME_ROOTLESS_AUTO, RUNTIME_ROOTLESS_TRUE, RUNTIME_ROOTLESS_FALSE };

struct runtime {
	const char *root;      /* borrowed: the state folder; made if missing */
	const struct log *log; /* borrowed, may be NULL: warnings */
	bool no_cgroups;       /* the caller manages cgroups (crun's --cgroup-manager=disabled) */
	bool systemd_cgroup;   /* cgroupsPath is "slice:prefix:name" */
	enum runtime_rootless rootless;
	const char *cache;   /* borrowed: folder of compiled seccomp filters; NULL: <root>/.seccomp */
	struct trace *trace; /* borrowed, NULL: off; see trace.h */
};

/* Sockets born in the container's new network namespace, which they keep: nobody has to enter it later. */
enum runtime_net_fd {
	RUNTIME_NET_ROUTE,  /* NETLINK_ROUTE: links, addresses, routes */
	RUNTIME_NET_FILTER, /* NETLINK_NETFILTER: rules */
	RUNTIME_NET_UDP,    /* for the resolver; not bound yet */
	RUNTIME_NET_TCP,
	RUNTIME_NET_COUNT
};

/* A process just made. The descriptors are the caller's: runtime_process_fini() closes what was not taken. */
struct runtime_process {
	pid_t pid;			/* in the caller's pid namespace */
	int pidfd;			/* the process is a child of the caller */
	int tty_fd;			/* master side, or -1: no terminal, or it went to the console socket */
	int net_fds[RUNTIME_NET_COUNT]; /* -1: none */
};
#define RUNTIME_PROCESS_NONE                                                                                           \
	((struct runtime_process){ .pid = -1, .pidfd = -1, .tty_fd = -1, .net_fds = { -1, -1, -1, -1 } })
void runtime_process_fini(struct runtime_process *process);

/*
 * Borrowed descriptors for 0, 1, 2 of the process; ignored with a terminal. -1 means /dev/null. One that has its number
 * already must not be close-on-exec.
 */
struct runtime_stdio {
	int in;
	int out;
	int error;
};
#define RUNTIME_STDIO_INHERIT ((struct runtime_stdio){ 0, 1, 2 })

/* Mounted on root.path inside the new mount namespace, in order, before everything else. */
struct runtime_rootfs_mount {
	const char *type; /* "overlay", "bind", ... */
	const char *source;
	const char *target;		 /* below root.path; NULL or "": root.path itself */
	const struct text_list *options; /* borrowed, may be NULL: "lowerdir=...", "ro", ... */
};

/* What create and exec share. Socket paths and pid file may be NULL. */
struct runtime_process_options {
	struct runtime_stdio stdio;
	const char *console_socket; /* gets the pty master by SCM_RIGHTS */
	const char *pidfd_socket;   /* gets the pidfd */
	const char *pid_file;
	int preserve_fds; /* descriptors from 3 on (not close-on-exec) that the process keeps */
	int listen_fds;	  /* socket activation: LISTEN_FDS descriptors from 3 on, before the preserved ones */
	bool no_new_keyring;
	bool foreground;    /* terminal without console socket is allowed: the caller uses tty_fd */
	bool keep_newlines; /* its terminal adds no carriage returns: that of whoever reads it does */
};

struct runtime_create_options {
	const char *id;
	const char *bundle; /* folder of config.json and, if relative, root.path */
	const char *config; /* another name for config.json, below the bundle if relative; NULL: that */
	struct runtime_process_options process;
	const struct runtime_rootfs_mount *rootfs_mounts;
	size_t rootfs_mount_count;
	bool want_netlink;
	bool no_pivot;
	bool learn;   /* a filter that asks about every system call, in place of linux.seccomp; its listener goes to: */
	int learn_fd; /* borrowed: a stream socket */
	bool notify;  /* <root>/<id>/notify is mounted on /run/notify, and NOTIFY_SOCKET says notify.sock in it */
};

/* Makes the container; its process waits for runtime_start(). On failure nothing is left. */
int runtime_create(struct runtime_process *out_process, const struct runtime *runtime,
		   const struct runtime_create_options *options, struct error *err);
/* Lets the process run its program. Fails, with the reason, if the program cannot be executed. */
int runtime_start(const struct runtime *runtime, const char *id, struct error *err);
/* What runtime_run() made, kept open for runtime_finish(). */
struct runtime_running;
void runtime_running_free(struct runtime_running *running);
DEFINE_AUTO(struct runtime_running, runtime_running_free)

/* create and start in one; the container is not left behind if either fails. out_running may be NULL. */
int runtime_run(struct runtime_process *out_process, struct runtime_running **out_running,
		const struct runtime *runtime, const struct runtime_create_options *options, struct error *err);
/* When the process has ended: what runtime_delete() with force does. Nothing if somebody else deleted it meanwhile. */
int runtime_finish(struct runtime_running *running, struct error *err);

struct runtime_exec_options {
	const struct spec_process *spec; /* borrowed; process.capabilities NULL: those of the container */
	struct runtime_process_options process;
	const struct text_list
		*cgroups; /* borrowed, may be NULL: "[CONTROLLER,...:]PATH" below the container's group */
	bool ignore_paused;
	bool even_if_created; /* else the container must be running */
};

/* Starts one more process in a running container. Returns when its program runs, or fails with the reason. */
int runtime_exec(struct runtime_process *out_process, const struct runtime *runtime, const char *id,
		 const struct runtime_exec_options *options, struct error *err);

/* Signals init, or every process of the container (all). ERR_CONFLICT "container not running" if it has ended. */
int runtime_kill(const struct runtime *runtime, const char *id, int signal, bool all, struct error *err);
/*
 * Removes a stopped (or, with force, any) container: poststop hooks, cgroups, state. With force, a container that
 * does not exist is no error. Safe to repeat after a crash.
 */
int runtime_delete(const struct runtime *runtime, const char *id, bool force, struct error *err);

int runtime_pause(const struct runtime *runtime, const char *id, struct error *err);
int runtime_resume(const struct runtime *runtime, const char *id, struct error *err);
int runtime_update(const struct runtime *runtime, const char *id, const struct spec_resources *resources,
		   struct error *err);

/* crun's: changes the mounts of a running container. Only `mounts` of the specification given counts. */
int runtime_mounts_add(const struct runtime *runtime, const char *id, const struct spec *spec, struct error *err);
int runtime_mounts_remove(const struct runtime *runtime, const char *id, const struct spec *spec, struct error *err);
/* New schemata for a container that was made with linux.intelRdt; "" leaves one as it is. */
int runtime_update_resctrl(const struct runtime *runtime, const char *id, const char *l3_cache_schema,
			   const char *mem_bw_schema, struct error *err);

struct runtime_pids {
	pid_t *pids; /* owned: free() */
	size_t count;
};
int runtime_list_pids(struct runtime_pids *out_pids, const struct runtime *runtime, const char *id, struct error *err);
/* out_stats: see sys/cgroup.h. */
int runtime_read_stats(struct cgroup_stats *out_stats, const struct runtime *runtime, const char *id,
		       struct error *err);

/* A descriptor that becomes readable at an out-of-memory event of the container's group, and when that goes away. */
int runtime_watch_oom(const struct runtime *runtime, const char *id, struct error *err);

enum runtime_status { RUNTIME_CREATING, RUNTIME_CREATED, RUNTIME_RUNNING, RUNTIME_PAUSED, RUNTIME_STOPPED };
const char *runtime_status_name(enum runtime_status status);

/* All texts are owned: runtime_state_fini(). */
struct runtime_state {
	char *id;
	char *bundle;
	char *rootfs;
	char *created; /* RFC 3339 */
	char *owner;   /* uid that made it, as a number */
	enum runtime_status status;
	pid_t pid; /* 0 when stopped */
	/* When stopped, as far as it is known: */
	struct optional_i64 exit_status; /* of an exit */
	struct optional_i64 signal;	 /* that killed it */
	struct optional_bool oom_killed;
	struct text_map annotations;
};
void runtime_state_fini(struct runtime_state *state);

/* ERR_NOT_FOUND "container does not exist". */
int runtime_load_state(struct runtime_state *out_state, const struct runtime *runtime, const char *id,
		       struct error *err);
/* Keeps how the container's process ended, for the state; by whoever waited for it. */
int runtime_note_end(const struct runtime *runtime, const char *id, int wait_status, struct error *err);
/* Ids of all containers below root, sorted. What a killed create left behind is taken away, if we may. */
int runtime_list(struct text_list *out_ids, const struct runtime *runtime, struct error *err);
