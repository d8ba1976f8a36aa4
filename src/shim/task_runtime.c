/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task_runtime.h"

#include "base/text.h"
#include "shim/oci_binary.h"
#include "sys/cgroup.h"

int task_runtime_choose(struct task *task, const struct task_runc_options *options, struct error *err)
{
	if (!text_empty(options->binary_name) && oci_binary_note(task->bundle_fd, options->binary_name, err) < 0)
		return -1;
	if (oci_binary_open(&task->binary, task->bundle, task->state_root, task->id, err) < 0)
		return -1;
	if (task->binary && options->systemd_cgroup)
		oci_binary_use_systemd(task->binary);
	return 0;
}

int task_runtime_create(struct runtime_process *out_process, const struct task *task,
			const struct runtime_create_options *options, struct error *err)
{
	return task->binary ? oci_binary_create(out_process, task->binary, options, err)
			    : runtime_create(out_process, &task->runtime, options, err);
}

int task_runtime_start(const struct task *task, struct error *err)
{
	return task->binary ? oci_binary_start(task->binary, err) : runtime_start(&task->runtime, task->id, err);
}

int task_runtime_exec(struct runtime_process *out_process, const struct task *task,
		      const struct runtime_exec_options *options, struct error *err)
{
	return task->binary ? oci_binary_exec(out_process, task->binary, task->init.pid, options, err)
			    : runtime_exec(out_process, &task->runtime, task->id, options, err);
}

int task_runtime_kill(const struct task *task, int signal, bool all, struct error *err)
{
	return task->binary ? oci_binary_kill(task->binary, signal, all, err)
			    : runtime_kill(&task->runtime, task->id, signal, all, err);
}

int task_runtime_delete(const struct task *task, struct error *err)
{
	return task->binary ? oci_binary_delete(task->binary, err)
			    : runtime_delete(&task->runtime, task->id, true, err);
}

int task_runtime_pause(const struct task *task, bool pause, struct error *err)
{
	if (task->binary)
		return oci_binary_pause(task->binary, pause, err);
	return pause ? runtime_pause(&task->runtime, task->id, err) : runtime_resume(&task->runtime, task->id, err);
}

int task_runtime_update(const struct task *task, const struct spec_resources *resources, struct error *err)
{
	return task->binary ? oci_binary_update(task->binary, resources, err)
			    : runtime_update(&task->runtime, task->id, resources, err);
}

/* A runtime's program cannot say more of a container than its cgroup does. */
static int need_cgroup(const struct task *task, struct error *err)
{
	return task->cgroup ? 0 : error_set(err, ERR_CONFLICT, "container %s has no cgroup of its own", task->id);
}

int task_runtime_pids(struct runtime_pids *out_pids, const struct task *task, struct error *err)
{
	if (!task->binary)
		return runtime_list_pids(out_pids, &task->runtime, task->id, err);
	return need_cgroup(task, err) < 0 ? -1 : cgroup_pids(task->cgroup, &out_pids->pids, &out_pids->count, err);
}

int task_runtime_stats(struct cgroup_stats *out_stats, const struct task *task, struct error *err)
{
	if (!task->binary)
		return runtime_read_stats(out_stats, &task->runtime, task->id, err);
	return need_cgroup(task, err) < 0 ? -1 : cgroup_stats_read(task->cgroup, out_stats, err);
}

int task_runtime_must_be_own(const struct task *task, const char *what, struct error *err)
{
	return task->binary ? error_set(err, ERR_UNSUPPORTED, "%s needs kist's own runtime", what) : 0;
}
