/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task.h - a container and its processes, as containerd's task API sees them.
 *
 * created -> running -> ended (reaped) -> told: the exit event is published and
 * Wait answered. Between ended and told an init waits for its execs, and with a
 * log or attach socket a process waits for its output (2 s at most). exit.json
 * is written as soon as init has ended, before anything can wait.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/list.h"
#include "rpc/task_messages.h"
#include "rpc/ttrpc_server.h"
#include "runtime/runtime.h"
#include "shim/events.h"
#include "shim/loop.h"
#include "shim/streams.h"

struct cgroup;
struct oci_binary;
struct spec_process;
struct task;

enum process_state { PROCESS_CREATED, PROCESS_RUNNING, PROCESS_ENDED, PROCESS_TOLD };

struct task_process {
	struct list_node node; /* of an exec, in its task */
	struct task *task;
	char *exec_id; /* NULL: init */
	struct streams *streams;
	bool terminal;
	char *stdin_uri;
	char *stdout_uri;
	char *stderr_uri;
	struct spec_process *spec; /* of an exec until it starts */
	pid_t pid;		   /* 0: none yet */
	int pidfd;
	enum process_state state;
	uint32_t exit_status;
	int64_t exited_at;
	unsigned width; /* asked for before there was a terminal */
	unsigned height;
	struct list waiters;
};

/* What all tasks of a shim share. */
struct task_host {
	struct loop *loop;
	struct events *events;
	const struct log *log;
	const char *address; /* our own, for shim.json */
	const char *name_space;
	struct list tasks;
};

struct task {
	struct list_node node;
	struct task_host *host;
	char *id;
	char *bundle;
	int bundle_fd;
	char *state_root;
	uid_t io_uid; /* owner of the pipes of its processes */
	gid_t io_gid;
	char *cache; /* compiled seccomp filters, shared by all containers beside this one */
	struct runtime runtime;
	struct oci_binary *binary; /* another runtime than ours; or NULL */
	struct task_process init;
	struct list execs;
	bool paused;
	struct task_restore *restore; /* made from a checkpoint, not started yet */
	uint64_t oom_kills;	      /* told so far */
	struct cgroup *cgroup;	      /* NULL: unknown */
	struct watch oom_watch;
	int oom_fd;
	struct watch fds_watch; /* the socket `fds` */
	int fds_fd;
	int net_fds[RUNTIME_NET_COUNT];
	int exit_fd; /* exit.json.tmp, with its room reserved */
};

int task_new(struct task **out_task, struct task_host *host, const struct task_create_request *request,
	     struct error *err);
/* ERR_NOT_FOUND */
int task_find(struct task **out_task, struct task_host *host, const char *id, struct error *err);
/* exec_id NULL or "": init. */
int task_find_process(struct task_process **out_process, struct task_host *host, const char *id, const char *exec_id,
		      struct error *err);
int task_add_exec(struct task *task, const struct task_exec_request *request, struct error *err);
int task_start_process(struct task_process *process, struct error *err);
int task_kill_process(struct task_process *process, int signal, bool all, struct error *err);
int task_resize_process(struct task_process *process, unsigned width, unsigned height, struct error *err);
/* Fills the answer and frees the process; with init the task. */
int task_delete_process(struct task_process *process, struct task_exit_response *out_response, struct error *err);
/* Writes it to a folder; unless the options say `exit` it goes on. */
int task_checkpoint_to(struct task *task, const struct task_checkpoint_request *request, struct error *err);
int task_pause_or_resume(struct task *task, bool pause, struct error *err);
/* A child was reaped; unknown pids (orphans of containers) are ignored. */
void task_reaped(struct task_host *host, pid_t pid, int wait_status);

/* Answers now if it has ended, else when it does. */
void task_wait_process(struct task_process *process, struct ttrpc_connection *connection, uint32_t stream_id);
void task_forget_connection(struct task_host *host, const struct ttrpc_connection *connection);
