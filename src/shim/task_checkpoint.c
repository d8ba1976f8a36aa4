/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task_checkpoint.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/checkpoint.h"
#include "shim/task_process.h"
#include "shim/task_runtime.h"

#define WORK_FOLDER "criu-work"

struct task_restore {
	struct task_create_request request;
	struct task_runc_options options;
	int net_fd; /* -1: the network namespace is none of ours, or CRIU's */
};

void task_restore_free(struct task_restore *restore)
{
	if (!restore)
		return;
	if (restore->net_fd >= 0)
		close(restore->net_fd);
	proto_free(&restore->request, task_create_request_fields);
	proto_free(&restore->options, task_runc_options_fields);
	free(restore);
}
DEFINE_AUTO(struct task_restore, task_restore_free)

/* The wire form has all of it. */
static int copy_request(struct task_restore *restore, const struct task_create_request *request, struct error *err)
{
	AUTO(text_fini) struct text bytes = { 0 };

	proto_encode(&bytes, request, task_create_request_fields);
	if (proto_decode(&restore->request, task_create_request_fields, bytes.data, bytes.size, err) < 0)
		return -1;
	if (!text_equal(request->options.type_url, TYPE_RUNC_OPTIONS))
		return 0;
	return proto_decode(&restore->options, task_runc_options_fields, request->options.value.data,
			    request->options.value.size, err);
}

int task_restore_new(struct task_restore **out_restore, struct task *task, const struct task_create_request *request,
		     struct error *err)
{
	AUTO(task_restore_freep) struct task_restore *restore = xcalloc(1, sizeof(*restore));

	restore->net_fd = -1;
	if (!text_empty(request->parent_checkpoint))
		return error_set(err, ERR_UNSUPPORTED,
				 "a parent checkpoint is not named at the restore: the images lead to it");
	if (!file_exists(AT_FDCWD, request->checkpoint))
		return error_set(err, ERR_NOT_FOUND, "checkpoint %s does not exist", request->checkpoint);
	if (copy_request(restore, request, err) < 0)
		return -1;
	/* Only an engine of ours, who also reads our log, asks for the network's sockets. */
	if (streams_exit_waits(task->init.streams) &&
	    runtime_make_net(&restore->net_fd, task->net_fds, task->bundle, err) < 0)
		return -1;
	*out_restore = take_ptr(restore);
	return 0;
}

static char *work_folder(const struct task *task, const char *asked)
{
	return text_empty(asked) ? path_join(task->bundle, WORK_FOLDER) : xstrdup(asked);
}

/* What CRIU needed and logged; after a failure it stays, for the message names the log. */
static void remove_work(const char *folder, const char *asked)
{
	if (text_empty(asked))
		remove_tree(AT_FDCWD, folder);
}

int task_restore_start(struct task *task, struct error *err)
{
	AUTO(runtime_process_fini) struct runtime_process made = RUNTIME_PROCESS_NONE;
	struct task_restore *restore = task->restore;
	AUTO_FREE struct runtime_rootfs_mount *mounts = xcalloc(restore->request.rootfs.count + 1, sizeof(*mounts));
	const struct runtime_create_options create = task_create_options(task, &restore->request, &restore->options,
									 mounts);
	AUTO_FREE char *work = work_folder(task, restore->options.criu_work_path);
	const struct runtime_criu_options options = { .image_path = restore->request.checkpoint,
						      .work_path = work,
						      .status_fd = -1,
						      .tcp_established = true,
						      .ext_unix_sk = true,
						      .file_locks = true,
						      .net_outside = restore->net_fd >= 0,
						      .net_fd = restore->net_fd };

	if (runtime_restore(&made, &task->runtime, &create, &options, err) < 0)
		return -1;
	remove_work(work, restore->options.criu_work_path);
	task_process_take(&task->init, &made);
	task_watch_oom(task);
	task_restore_free(take_ptr(task->restore));
	return 0;
}

/* ---- checkpoint ---- */

static void options_fini(struct task_checkpoint_options *options)
{
	proto_free(options, task_checkpoint_options_fields);
}

static int parse_options(struct task_checkpoint_options *out_options, const struct proto_any *any, struct error *err)
{
	if (!text_equal(any->type_url, TYPE_CHECKPOINT_OPTIONS))
		return 0;
	if (proto_decode(out_options, task_checkpoint_options_fields, any->value.data, any->value.size, err) < 0)
		return error_prefix(err, "checkpoint options");
	return 0;
}

int task_checkpoint_to(struct task *task, const struct task_checkpoint_request *request, struct error *err)
{
	AUTO(options_fini) struct task_checkpoint_options asked = { 0 };
	AUTO_FREE char *work = NULL;
	struct runtime_criu_options options = { .status_fd = -1, .net_outside = task->net_fds[RUNTIME_NET_ROUTE] >= 0 };
	const struct event_task_checkpointed event = { .container_id = task->id, .checkpoint = request->path };

	if (task_runtime_must_be_own(task, "a checkpoint", err) < 0 ||
	    parse_options(&asked, &request->options, err) < 0)
		return -1;
	if (task->init.state != PROCESS_RUNNING)
		return error_set(err, ERR_CONFLICT, "container %s is not running", task->id);
	work = work_folder(task, asked.work_path);
	options.image_path = text_empty(request->path) ? asked.image_path : request->path;
	options.work_path = work;
	options.leave_running = !asked.exit;
	options.tcp_established = asked.open_tcp;
	options.ext_unix_sk = asked.external_unix_sockets;
	options.shell_job = asked.terminal;
	options.file_locks = asked.file_locks;
	options.empty_ns = &asked.empty_namespaces;
	options.cgroups_mode = asked.cgroups_mode;
	if (runtime_checkpoint(&task->runtime, task->id, &options, err) < 0)
		return -1;
	remove_work(work, asked.work_path);
	events_publish(task->host->events, "/tasks/checkpointed", "TaskCheckpointed", &event,
		       event_task_checkpointed_fields);
	return 0;
}
