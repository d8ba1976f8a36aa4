/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/path.h"
#include "runtime/host_check.h"
#include "runtime/host_clone.h"
#include "runtime/host_found.h"
#include "runtime/host_process.h"
#include "runtime/host_seccomp.h"
#include "sys/namespace.h"
#include "sys/pidfd_wait.h"

struct execution {
	struct plan plan;
	struct spec spec;	     /* of the container */
	struct spec_process process; /* shallow: its parts belong to others */
	struct found found;
	struct seccomp_filter filter;
	struct cgroup *group; /* the sub-cgroup asked for, or NULL */
	struct runtime_process made;
	int sync_fd;
	bool done;
};

static void execution_fini(struct execution *execution)
{
	if (!execution->done)
		host_process_destroy(&execution->made);
	host_clone_close_joins(&execution->plan);
	if (execution->sync_fd >= 0)
		close(execution->sync_fd);
	if (execution->plan.sync_fd >= 0)
		close(execution->plan.sync_fd);
	if (execution->group)
		cgroup_close(execution->group);
	seccomp_filter_fini(&execution->filter);
	found_fini(&execution->found);
	spec_fini(&execution->spec);
}

static int check_status(struct execution *execution, const struct runtime_exec_options *options, struct error *err)
{
	struct found *found = &execution->found;

	found_look_at_freezer(found);
	if (found->status == RUNTIME_PAUSED && !options->ignore_paused)
		return error_set(err, ERR_CONFLICT,
				 "cannot exec in a paused container (use --ignore-paused to override)");
	if (found->status == RUNTIME_STOPPED || found->status == RUNTIME_CREATING)
		return error_set(err, ERR_CONFLICT, "cannot exec in a stopped container");
	return 0;
}

/* All namespaces of the container's init in one setns; a pidfd cannot be reused as a pid can. */
static int plan_join(struct execution *execution, struct error *err)
{
	const struct spec_linux *l = &execution->spec.linux_;
	AUTO_CLOSE int pidfd = pidfd_of((pid_t)execution->found.record.pid);
	int flags = 0;

	if (pidfd < 0 || !record_is_alive(&execution->found.record))
		return error_set(err, ERR_CONFLICT, "cannot exec in a stopped container");
	for (size_t i = 0; i < l->namespaces.count; i++) {
		const struct namespace_kind *kind = namespace_kind_find(l->namespaces.items[i].type);

		flags |= kind ? kind->flag : 0;
	}
	execution->plan.joins[0] = (struct plan_join){ take_fd(&pidfd), flags, "the container's" };
	execution->plan.join_count = flags ? 1 : 0;
	if (!flags)
		close(take_fd(&execution->plan.joins[0].fd));
	return 0;
}

/* By whole names: /c12 is not below /c1. */
static bool is_below(const char *path, const char *folder)
{
	const char *rest = text_after(path, folder);

	return rest && (*rest == '/' || *rest == '\0');
}

static int plan_cgroup(struct execution *execution, const char *below, struct error *err)
{
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *clean = NULL;

	if (text_empty(execution->found.record.cgroup_path))
		return 0;
	if (!below) {
		if (found_open_cgroup(&execution->found, err) < 0)
			return -1;
		execution->plan.cgroup = execution->found.cgroup;
		return 0;
	}
	path = path_join(execution->found.record.cgroup_path, below);
	clean = path_clean(path);
	if (!is_below(clean, execution->found.record.cgroup_path))
		return error_set(err, ERR_INVALID, "bad sub cgroup path: %s is not below the container's", below);
	if (cgroup_open(&execution->group, clean, err) < 0)
		return error_prefix(err, "exec cgroup %s", below);
	execution->plan.cgroup = execution->group;
	return 0;
}

static int plan_all(struct execution *execution, const struct runtime *runtime,
		    const struct runtime_exec_options *options, struct error *err)
{
	struct plan *plan = &execution->plan;

	execution->process = *options->spec;
	if (!execution->process.capabilities && execution->spec.process)
		execution->process.capabilities = execution->spec.process->capabilities;
	plan->runtime = runtime;
	plan->spec = &execution->spec;
	plan->process = &execution->process;
	plan->options = &options->process;
	plan->record = &execution->found.record;
	if (host_check_process(plan->process, "process", runtime->log, err) < 0 ||
	    host_check_console(plan->process, plan->options, err) < 0)
		return -1;
	if (execution->spec.linux_.seccomp) {
		if (host_seccomp_build(&execution->filter, runtime, execution->spec.linux_.seccomp, err) < 0)
			return -1;
		plan->filter = &execution->filter;
	}
	stat("/proc/self/exe", &plan->own_exe);
	if (plan_join(execution, err) < 0)
		return -1;
	return plan_cgroup(execution, options->cgroup, err);
}

static int birth(struct execution *execution, struct error *err)
{
	struct sync_message message = { .fds = { -1, -1 } };
	struct plan *plan = &execution->plan;
	int pair[2];
	int r;

	if (host_process_sync_pair(pair, err) < 0)
		return -1;
	execution->sync_fd = pair[0];
	plan->sync_fd = pair[1];
	plan->host_sync_fd = pair[0];
	if (host_clone(&execution->made, plan, execution->sync_fd, init_run_exec, err) < 0)
		return -1;
	close(take_fd(&plan->sync_fd));
	if (host_process_prepare(&execution->made, plan, err) < 0 || sync_send(execution->sync_fd, SYNC_GO, err) < 0 ||
	    sync_receive(execution->sync_fd, &message, err) < 0)
		return -1;
	if (message.word == SYNC_READY)
		r = host_process_deliver(&execution->made, &message, plan, err);
	else
		r = error_set(err, ERR_INTERNAL, "the process died before it could run the program");
	sync_message_fini(&message);
	return r;
}

int runtime_exec(struct runtime_process *out_process, const struct runtime *runtime, const char *id,
		 const struct runtime_exec_options *options, struct error *err)
{
	AUTO(execution_fini)
	struct execution execution = { .plan = { .sync_fd = -1, .start_fd = -1 },
				       .found = FOUND_NONE,
				       .made = RUNTIME_PROCESS_NONE,
				       .sync_fd = -1 };

	if (host_process_check_preserved(&options->process, err) < 0 ||
	    found_open(&execution.found, runtime, id, err) < 0 || check_status(&execution, options, err) < 0 ||
	    record_load_spec(&execution.spec, execution.found.folder_fd, err) < 0 ||
	    plan_all(&execution, runtime, options, err) < 0 || birth(&execution, err) < 0)
		return -1;
	if (host_process_limit(&execution.made, &execution.plan, err) < 0 ||
	    host_process_write_pid_file(options->process.pid_file, execution.made.pid, err) < 0 ||
	    sync_send(execution.sync_fd, SYNC_GO, err) < 0 || host_process_await_exec(execution.sync_fd, err) < 0)
		return -1;
	*out_process = execution.made;
	execution.made = RUNTIME_PROCESS_NONE;
	execution.done = true;
	return 0;
}
