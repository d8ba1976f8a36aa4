/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/host_check.h"
#include "runtime/host_clone.h"
#include "runtime/host_found.h"
#include "runtime/host_process.h"
#include "runtime/host_seccomp.h"
#include "runtime/self_seal.h"
#include "runtime/trace.h"
#include "sys/namespace.h"
#include "sys/pidfd_wait.h"

#define CGROUP_FILE_MAX 65536

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
	host_seccomp_disconnect(&execution->plan);
	if (execution->sync_fd >= 0)
		close(execution->sync_fd);
	if (execution->plan.sync_fd >= 0)
		close(execution->plan.sync_fd);
	if (execution->group)
		cgroup_close(execution->group);
	for (size_t i = 0; i < execution->plan.subgroup_count; i++) {
		text_list_fini(&execution->plan.subgroups[i].controllers);
		if (execution->plan.subgroups[i].cgroup)
			cgroup_close(execution->plan.subgroups[i].cgroup);
	}
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

static int open_below(struct cgroup **out_group, const struct execution *execution, const char *below,
		      struct error *err)
{
	const char *own = execution->found.record.cgroup_path;
	AUTO_FREE char *path = path_join(own, *below == '/' ? below + strspn(below, "/") : below);
	AUTO_FREE char *clean = path_clean(path);
	const char *rest = text_after(clean, own);

	if (!rest || (*rest && *rest != '/' && !text_equal(own, "/")))
		return error_set(err, ERR_INVALID, "bad sub cgroup path: %s is not below the container's", below);
	if (cgroup_open(out_group, clean, err) < 0)
		return error_prefix(err, "--cgroup %s: adding pid to cgroups: no such file or directory", below);
	return 0;
}

/* "cpu,memory:PATH": each controller must be there, and have the group. */
static int check_subgroup(const struct plan_subgroup *subgroup, const char *below, struct error *err)
{
	for (size_t i = 0; i < subgroup->controllers.count; i++) {
		const char *name = subgroup->controllers.items[i];
		struct cgroup_hierarchy hierarchy;

		if (!cgroup_find_hierarchy(subgroup->cgroup, name, &hierarchy))
			return error_set(err, ERR_INVALID, "--cgroup: unknown controller %s", name);
		if (hierarchy.dir_fd < 0)
			return error_set(err, ERR_NOT_FOUND,
					 "--cgroup %s: adding pid to cgroups: %s%s: no such file or directory", below,
					 hierarchy.mount_point, hierarchy.path);
	}
	return 0;
}

static bool is_controller(const struct execution *execution, const char *name)
{
	struct cgroup_hierarchy ignored;

	return cgroup_find_hierarchy(execution->found.cgroup, name, &ignored);
}

static int add_subgroup(struct execution *execution, const char *wanted, struct error *err)
{
	struct plan *plan = &execution->plan;
	struct plan_subgroup *subgroup = &plan->subgroups[plan->subgroup_count];
	const char *colon = strchr(wanted, ':');
	AUTO_FREE char *names = xstrndup(wanted, (size_t)(colon - wanted));

	if (colon == wanted)
		return error_set(err, ERR_INVALID, "invalid --cgroup argument: %s (empty <controller> prefix)", wanted);
	if (plan->subgroup_count == PLAN_SUBGROUP_MAX)
		return error_set(err, ERR_INVALID, "more than %d --cgroup arguments", PLAN_SUBGROUP_MAX);
	text_list_split(&subgroup->controllers, names, ',');
	plan->subgroup_count++;
	for (size_t i = 0; i < subgroup->controllers.count; i++)
		if (!is_controller(execution, subgroup->controllers.items[i]))
			return error_set(err, ERR_INVALID, "--cgroup: unknown controller %s",
					 subgroup->controllers.items[i]);
	if (open_below(&subgroup->cgroup, execution, colon + 1, err) < 0)
		return -1;
	return check_subgroup(subgroup, colon + 1, err);
}

/*
 * cgroup v2: a group whose children have controllers takes no processes. Then init is in one of the children (it moved
 * itself, as systemd does), and that is where its company belongs.
 */
static int use_group_of_init(struct execution *execution, struct error *err)
{
	AUTO_FREE char *file = xasprintf("/proc/%lld/cgroup", (long long)execution->found.record.pid);
	AUTO_FREE char *text = NULL;
	const char *line;

	if (execution->group || file_read(&text, NULL, AT_FDCWD, file, CGROUP_FILE_MAX) < 0)
		return -1;
	line = text_after(text, "0::");
	if (!line)
		return -1;
	text[strcspn(text, "\n")] = '\0';
	if (cgroup_open(&execution->group, line, err) < 0)
		return -1;
	execution->plan.cgroup = execution->group;
	return 0;
}

static int plan_cgroup(struct execution *execution, const struct text_list *wanted, struct error *err)
{
	if (text_empty(execution->found.record.cgroup_path))
		return 0;
	if (found_open_cgroup(&execution->found, err) < 0) {
		AUTO(error_clear) struct error ignored = { 0 };

		/* The group may be gone when init has moved itself to another. */
		if (err->kind != ERR_NOT_FOUND || use_group_of_init(execution, &ignored) < 0)
			return -1;
		error_clear(err);
		return 0;
	}
	execution->plan.cgroup = execution->found.cgroup;
	for (size_t i = 0; wanted && i < wanted->count; i++) {
		if (strchr(wanted->items[i], ':')) {
			if (add_subgroup(execution, wanted->items[i], err) < 0)
				return -1;
			continue;
		}
		if (wanted->count > 1)
			return error_set(err, ERR_INVALID,
					 "invalid --cgroup argument: %s (missing <controller>: prefix)",
					 wanted->items[i]);
		if (open_below(&execution->group, execution, wanted->items[i], err) < 0)
			return -1;
		execution->plan.cgroup = execution->group;
	}
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
	pid_own_start_time(&plan->signals);
	if (host_check_process(plan->process, runtime->log, err) < 0 ||
	    host_check_console(plan->process, plan->options, err) < 0)
		return -1;
	if (execution->spec.linux_.seccomp) {
		if (host_seccomp_build(&execution->filter, runtime, execution->spec.linux_.seccomp, err) < 0)
			return -1;
		plan->filter = &execution->filter;
		if (host_seccomp_connect(plan, err) < 0)
			return -1;
	}
	stat("/proc/self/exe", &plan->own_exe);
	if (plan_join(execution, err) < 0 || plan_cgroup(execution, options->cgroups, err) < 0)
		return -1;
	trace_mark(runtime->trace, "filter, namespaces, cgroup");
	return 0;
}

static int birth(struct execution *execution, struct error *err)
{
	struct sync_message message = SYNC_MESSAGE_NONE;
	struct plan *plan = &execution->plan;
	int pair[2];
	int r;

	if (host_process_sync_pair(pair, err) < 0)
		return -1;
	execution->sync_fd = pair[0];
	plan->sync_fd = pair[1];
	plan->host_sync_fd = pair[0];
	r = host_clone(&execution->made, plan, execution->sync_fd, init_run_exec, err);
	if (r < 0 && err->errnum == EBUSY && plan->cgroup) {
		AUTO(error_clear) struct error ignored = { 0 };

		if (use_group_of_init(execution, &ignored) < 0)
			return error_prefix(err, "error adding pid to cgroups");
		error_clear(err);
		r = host_clone(&execution->made, plan, execution->sync_fd, init_run_exec, err);
	}
	if (r < 0)
		return -1;
	close(take_fd(&plan->sync_fd));
	fault_point("runtime exec: cloned");
	host_seccomp_hand_over(plan, execution->made.pid);
	if (host_process_prepare(&execution->made, plan, err) < 0 || sync_send(execution->sync_fd, SYNC_GO, err) < 0)
		return -1;
	trace_mark(plan->runtime->trace, "clone");
	self_seal_release();
	if (sync_receive(execution->sync_fd, &message, err) < 0)
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
	struct execution execution = { .plan = { .sync_fd = -1, .start_fd = -1, .listener_fd = -1 },
				       .found = FOUND_NONE,
				       .made = RUNTIME_PROCESS_NONE,
				       .sync_fd = -1 };

	if (host_process_check_preserved(&options->process, err) < 0 ||
	    found_open(&execution.found, runtime, id, err) < 0 || check_status(&execution, options, err) < 0 ||
	    record_load_spec(&execution.spec, execution.found.folder_fd, err) < 0)
		return -1;
	trace_mark(runtime->trace, "state, config.json");
	if (plan_all(&execution, runtime, options, err) < 0 || birth(&execution, err) < 0)
		return -1;
	trace_mark(runtime->trace, "wait for init");
	fault_point("runtime exec: process ready");
	if (host_process_limit(&execution.made, &execution.plan, err) < 0 ||
	    host_process_write_pid_file(options->process.pid_file, execution.made.pid, err) < 0 ||
	    sync_send(execution.sync_fd, SYNC_GO, err) < 0 || host_process_await_exec(execution.sync_fd, err) < 0)
		return -1;
	trace_mark(runtime->trace, "commit, wait for execve");
	*out_process = execution.made;
	execution.made = RUNTIME_PROCESS_NONE;
	execution.done = true;
	return 0;
}
