/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_client.h - a shim's Task service, as blocking calls.
 *
 * One connection, any number of threads: replies come in any order (a wait
 * stays open for the container's life). Every call also watches `cancel_fd`
 * (-1: none) and gives ERR_CANCELED when it becomes readable. A shim that is
 * gone: ERR_UNAVAILABLE, now and for every later call. Errors of the shim keep
 * their kind: ERR_NOT_FOUND no such task or process, ERR_CONFLICT wrong state.
 *
 * Close the client when no call is running in it. exec_id NULL or "": init.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "rpc/task_messages.h"
#include "rpc/task_stats.h"

struct task_client;

/* address as the shim's `start` printed it: "unix:///run/.../x.sock". */
int task_client_open(struct task_client **out_client, const char *address, struct error *err);
void task_client_close(struct task_client *client);
DEFINE_AUTO(struct task_client, task_client_close)

struct task_exit {
	uint32_t pid; /* of delete only */
	uint32_t exit_status;
	int64_t exited_at; /* wall nanoseconds */
};

/* Everything in the request is borrowed. */
int task_create(struct task_client *client, const struct task_create_request *request, uint32_t *out_pid, int cancel_fd,
		struct error *err);
/* Runs init (after create) or an exec (after task_exec). */
int task_start(struct task_client *client, const char *id, const char *exec_id, uint32_t *out_pid, int cancel_fd,
	       struct error *err);
int task_exec(struct task_client *client, const struct task_exec_request *request, int cancel_fd, struct error *err);
int task_kill(struct task_client *client, const char *id, const char *exec_id, int signal, bool all, int cancel_fd,
	      struct error *err);
/* Blocks until the process has ended and its output is in the log (or its writers held it open for 2 s). */
int task_wait(struct task_client *client, const char *id, const char *exec_id, struct task_exit *out_exit,
	      int cancel_fd, struct error *err);
/* Of a stopped or never started process. */
int task_delete(struct task_client *client, const char *id, const char *exec_id, struct task_exit *out_exit,
		int cancel_fd, struct error *err);
int task_resize(struct task_client *client, const char *id, const char *exec_id, uint32_t width, uint32_t height,
		int cancel_fd, struct error *err);
/* proto_free(out_pids, task_pids_response_fields) */
int task_pids(struct task_client *client, const char *id, struct task_pids_response *out_pids, int cancel_fd,
	      struct error *err);
int task_pause(struct task_client *client, const char *id, int cancel_fd, struct error *err);
int task_resume(struct task_client *client, const char *id, int cancel_fd, struct error *err);
/* Writes the container to a folder; options may be NULL. It may take long: the shim does nothing else meanwhile. */
int task_checkpoint(struct task_client *client, const char *id, const char *path,
		    const struct task_checkpoint_options *options, int cancel_fd, struct error *err);
/* resources_json: linux.resources of the runtime spec. */
int task_update(struct task_client *client, const char *id, const char *resources_json, int cancel_fd,
		struct error *err);
/* The shim's pid and init's (0: not created). */
int task_connect(struct task_client *client, const char *id, pid_t *out_shim_pid, pid_t *out_task_pid, int cancel_fd,
		 struct error *err);
/* Ends the shim, if it has no task any more. */
int task_shutdown(struct task_client *client, const char *id, int cancel_fd, struct error *err);
