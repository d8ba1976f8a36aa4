/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task_process.h"

#include <signal.h>

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "oci/runtime_spec.h"

struct waiter {
	struct list_node node;
	struct ttrpc_connection *connection; /* borrowed */
	uint32_t stream_id;
};

const char *task_process_id(const struct task_process *process)
{
	return process->exec_id ? process->exec_id : process->task->id;
}

static void on_streams_over(void *context)
{
	task_process_tell(context);
}

int task_process_init(struct task_process *process, struct task *task, const char *exec_id,
		      const struct process_stdio *stdio, struct error *err)
{
	AUTO_FREE char *attach_name = exec_id ? xasprintf("attach-%s", exec_id) : xstrdup("attach");
	const struct streams_options options = {
		.loop = task->host->loop,
		.log = task->host->log,
		.bundle_fd = task->bundle_fd,
		.attach_name = attach_name,
		.bundle = task->bundle,
		.id = task->id,
		.name_space = task->host->name_space,
		.terminal = stdio->terminal,
		.stdin_uri = stdio->stdin_uri,
		.stdout_uri = stdio->stdout_uri,
		.stderr_uri = stdio->stderr_uri,
		.uid = stdio->uid,
		.gid = stdio->gid,
		.over = on_streams_over,
		.context = process,
	};

	*process = (struct task_process){ .task = task, .pidfd = -1, .terminal = stdio->terminal };
	list_init(&process->waiters);
	if (streams_open(&process->streams, &options, err) < 0)
		return -1;
	process->exec_id = xstrdup(exec_id);
	process->stdin_uri = xstrdup(stdio->stdin_uri);
	process->stdout_uri = xstrdup(stdio->stdout_uri);
	process->stderr_uri = xstrdup(stdio->stderr_uri);
	return 0;
}

static void answer(struct task_process *process, struct waiter *waiter)
{
	const struct task_exit_response response = { .exit_status = process->exit_status,
						     .exited_at = process->exited_at };

	ttrpc_reply(waiter->connection, waiter->stream_id, &response, task_wait_response_fields);
	list_remove(&waiter->node);
	free(waiter);
}

static void answer_all(struct task_process *process)
{
	LIST_FOR_EACH (node, &process->waiters)
		answer(process, list_entry(node, struct waiter, node));
}

void task_process_fini(struct task_process *process)
{
	if (!process->task)
		return;
	/* Whoever waits for one that was not reaped yet must not take it for a success. */
	if (process->state == PROCESS_CREATED || process->state == PROCESS_RUNNING) {
		process->exit_status = 128 + SIGKILL;
		process->exited_at = clock_wall_ns();
	}
	answer_all(process);
	streams_free(process->streams);
	if (process->pidfd >= 0)
		close(process->pidfd);
	if (process->spec) {
		spec_process_fini(process->spec);
		free(process->spec);
	}
	free(process->stdin_uri);
	free(process->stdout_uri);
	free(process->stderr_uri);
	free(process->exec_id);
	*process = (struct task_process){ .pidfd = -1 };
}

void task_process_take(struct task_process *process, struct runtime_process *made)
{
	AUTO(error_clear) struct error ignored = { 0 };

	process->pid = made->pid;
	process->pidfd = take_fd(&made->pidfd);
	streams_started_take_tty(process->streams, take_fd(&made->tty_fd));
	if (process->width)
		streams_resize(process->streams, process->width, process->height, &ignored);
}

void task_process_ended(struct task_process *process, uint32_t exit_status)
{
	process->state = PROCESS_ENDED;
	process->exit_status = exit_status;
	process->exited_at = clock_wall_ns();
	streams_process_over(process->streams);
	task_process_tell(process);
}

static bool exec_is_untold(const struct task *task)
{
	LIST_FOR_EACH (node, &task->execs) {
		enum process_state state = list_entry(node, struct task_process, node)->state;

		if (state == PROCESS_RUNNING || state == PROCESS_ENDED)
			return true;
	}
	return false;
}

void task_process_tell_now(struct task_process *process)
{
	struct task *task = process->task;
	const struct event_task event = {
		.container_id = task->id,
		.id = (char *)(uintptr_t)task_process_id(process),
		.pid = (uint32_t)process->pid,
		.exit_status = process->exit_status,
		.exited_at = process->exited_at,
	};

	if (process->state != PROCESS_ENDED)
		return;
	process->state = PROCESS_TOLD;
	events_publish(task->host->events, "/tasks/exit", "TaskExit", &event, event_task_exit_fields);
	answer_all(process);
}

void task_process_tell(struct task_process *process)
{
	struct task *task = process->task;

	if (process->state != PROCESS_ENDED)
		return;
	if (streams_exit_waits(process->streams) && !streams_is_over(process->streams))
		return;
	/* containerd: the exit of init comes after those of all other processes */
	if (!process->exec_id && exec_is_untold(task))
		return;
	task_process_tell_now(process);
	if (process->exec_id)
		task_process_tell(&task->init);
}

void task_wait_process(struct task_process *process, struct ttrpc_connection *connection, uint32_t stream_id)
{
	struct waiter *waiter = xcalloc(1, sizeof(*waiter));

	waiter->connection = connection;
	waiter->stream_id = stream_id;
	list_add_last(&process->waiters, &waiter->node);
	if (process->state == PROCESS_TOLD)
		answer_all(process);
}

static void forget_in(struct task_process *process, const struct ttrpc_connection *connection)
{
	LIST_FOR_EACH (node, &process->waiters) {
		struct waiter *waiter = list_entry(node, struct waiter, node);

		if (waiter->connection != connection)
			continue;
		list_remove(&waiter->node);
		free(waiter);
	}
}

void task_forget_connection(struct task_host *host, const struct ttrpc_connection *connection)
{
	LIST_FOR_EACH (task_node, &host->tasks) {
		struct task *task = list_entry(task_node, struct task, node);

		forget_in(&task->init, connection);
		LIST_FOR_EACH (node, &task->execs)
			forget_in(list_entry(node, struct task_process, node), connection);
	}
}
