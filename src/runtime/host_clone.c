/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host_clone.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/sync.h"
#include "sys/cgroup.h"
#include "sys/namespace.h"

static int add_join(struct plan *plan, int fd, const struct namespace_kind *kind)
{
	plan->joins[plan->join_count++] = (struct plan_join){ fd, kind->flag, kind->name };
	return 0;
}

static int open_by_path(const char *path, const struct namespace_kind *kind, struct error *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	int type;

	if (fd < 0)
		return error_set_errno(err, ERR_INVALID, errno, "linux.namespaces: %s namespace %s", kind->name, path);
	type = namespace_type(fd);
	if (type != kind->flag)
		return error_set(err, ERR_INVALID, "linux.namespaces: %s is not a %s namespace", path, kind->name);
	return take_fd(&fd);
}

/* In the order of joining, whatever the order in the specification. */
int host_clone_plan_namespaces(struct plan *plan, const struct spec *spec, struct error *err)
{
	const struct namespace_kind *kind;

	for (unsigned i = 0; (kind = namespace_kind_at(i)); i++) {
		const struct spec_namespace *wanted = spec_find_namespace(spec, kind->name);
		int fd;

		if (!wanted)
			continue;
		if (text_empty(wanted->path)) {
			plan->new_namespaces |= (unsigned)kind->flag;
			continue;
		}
		fd = open_by_path(wanted->path, kind, err);
		if (fd < 0)
			return -1;
		add_join(plan, fd, kind);
	}
	return 0;
}

void host_clone_close_joins(struct plan *plan)
{
	for (size_t i = 0; i < plan->join_count; i++)
		close(take_fd(&plan->joins[i].fd));
	plan->join_count = 0;
}

static bool joins(const struct plan *plan, int flag)
{
	for (size_t i = 0; i < plan->join_count; i++)
		if (plan->joins[i].flag & flag)
			return true;
	return false;
}

bool host_clone_has_mount_namespace(const struct plan *plan)
{
	return plan->new_namespaces & CLONE_NEWNS || joins(plan, CLONE_NEWNS);
}

bool host_clone_needs_go_between(const struct plan *plan)
{
	return joins(plan, CLONE_NEWPID) || joins(plan, CLONE_NEWUSER) ||
	       (plan->new_namespaces & CLONE_NEWUSER && plan->join_count > 0);
}

struct late_join {
	int fd;
	int flag;
	const char *name;
};

static int fail_join(const char *name, int errnum, struct error *err)
{
	return error_set_errno(err, ERR_INTERNAL, errnum, "join %s namespace", name);
}

/* Every kind of one join but the user namespace; what is refused comes later. */
static int join_early(const struct plan_join *join, int flags, struct late_join *late, size_t *late_count,
		      struct error *err)
{
	const struct namespace_kind *kind;

	for (unsigned i = 0; (kind = namespace_kind_at(i)); i++) {
		int wanted = join->flag & flags & kind->flag & ~CLONE_NEWUSER;
		int r = wanted ? namespace_join(join->fd, wanted) : 0;

		if (r == -EPERM)
			late[(*late_count)++] = (struct late_join){ join->fd, wanted, kind->name };
		else if (r < 0)
			return fail_join(kind->name, r, err);
	}
	return 0;
}

/*
 * With a user namespace to be joined, others may belong to ours, and then only we may enter them: before. An ordinary
 * user may enter none of them before, and all of its own behind it.
 */
static int join_around_user(const struct plan *plan, int flags, struct error *err)
{
	struct late_join late[2 * PLAN_JOIN_MAX];
	size_t late_count = 0;

	for (size_t i = 0; i < plan->join_count; i++)
		if (join_early(&plan->joins[i], flags, late, &late_count, err) < 0)
			return -1;
	for (size_t i = 0; i < plan->join_count; i++) {
		int r = plan->joins[i].flag & CLONE_NEWUSER ? namespace_join(plan->joins[i].fd, CLONE_NEWUSER) : 0;

		if (r < 0)
			return fail_join(plan->joins[i].name, r, err);
	}
	for (size_t i = 0; i < late_count; i++) {
		int r = namespace_join(late[i].fd, late[i].flag);

		if (r < 0)
			return fail_join(late[i].name, r, err);
	}
	return 0;
}

static int join_some(const struct plan *plan, int flags, struct error *err)
{
	bool with_user = flags & CLONE_NEWUSER && joins(plan, CLONE_NEWUSER);

	if (with_user && plan->join_count > 1)
		return join_around_user(plan, flags, err);
	for (size_t i = 0; i < plan->join_count; i++) {
		int wanted = plan->joins[i].flag & flags;
		int r = wanted ? namespace_join(plan->joins[i].fd, wanted) : 0;

		/* It was all in one call, which had no effect. */
		if (r == -EPERM && with_user && wanted != CLONE_NEWUSER)
			return join_around_user(plan, flags, err);
		if (r < 0)
			return fail_join(plan->joins[i].name, r, err);
	}
	return 0;
}

int host_clone_join_rest(const struct plan *plan, struct error *err)
{
	return join_some(plan, host_clone_needs_go_between(plan) ? CLONE_NEWCGROUP : ~0, err);
}

/* What clone3 cannot do at birth: a cgroup namespace must begin in the new cgroup, time offsets come before it lives. */
static uint64_t flags_at_birth(const struct plan *plan)
{
	uint64_t later = plan->late_namespaces | CLONE_NEWCGROUP | CLONE_NEWTIME;

	return plan->new_namespaces & ~(plan->host_makes_net ? later | CLONE_NEWNET : later);
}

/*
 * A network namespace, and v1 groups, cost as much time as all of init's mounts: so the host side makes the former and
 * init the latter, at once. Not where the clone enters the groups at birth (cgroup v2), or the container would pay for
 * the memory of its namespaces; nor where the order of namespaces says who owns them.
 */
void host_clone_plan_late(struct plan *plan)
{
	if (plan->new_namespaces & CLONE_NEWNS && !plan->spec->linux_.net_devices.count &&
	    !(plan->new_namespaces & CLONE_NEWUSER) && !host_clone_needs_go_between(plan))
		plan->late_namespaces = plan->new_namespaces & (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC);
	plan->host_makes_net = plan->late_namespaces && plan->new_namespaces & CLONE_NEWNET;
}

/* An initial affinity counts before the process is in the group: it must not be born there. */
int host_clone_cgroup_fd(const struct plan *plan)
{
	const struct spec_cpu_affinity *affinity = plan->create ? NULL : plan->process->exec_cpu_affinity;

	if (!plan->cgroup || plan->subgroup_count || (affinity && !text_empty(affinity->initial)))
		return -1;
	return cgroup_clone_fd(plan->cgroup);
}

/* Into the group; or, if that is not allowed from where we are, outside of it: systemd then moves it into its unit. */
static pid_t clone_once(const struct plan *plan, uint64_t flags, int *out_pidfd)
{
	pid_t pid = namespace_clone(flags, host_clone_cgroup_fd(plan), out_pidfd);

	if (pid == -EACCES && host_clone_cgroup_fd(plan) >= 0 && !text_empty(plan->record->unit))
		pid = namespace_clone(flags, -1, out_pidfd);
	return pid;
}

/* Not dumpable: processes in the namespaces we enter must not look into us (CVE-2016-9962). */
static _Noreturn void go_between(const struct plan *plan, void (*entry)(const struct plan *plan))
{
	AUTO(error_clear) struct error err = { 0 };
	int pidfd = -1;
	pid_t pid;

	prctl(PR_SET_DUMPABLE, 0);
	/*
	 * Where cgroup namespaces are delegation boundaries (systemd mounts so), a process in one cannot clone into a group
	 * from a group outside of it: that one is left to init.
	 */
	if (join_some(plan, ~CLONE_NEWCGROUP, &err) < 0) {
		sync_send_error(plan->sync_fd, &err);
		_exit(1);
	}
	pid = clone_once(plan, flags_at_birth(plan) | CLONE_PARENT, &pidfd);
	if (pid == 0)
		entry(plan);
	if (pid < 0) {
		error_set_errno(&err, ERR_INTERNAL, pid, "clone the container process");
		sync_send_error(plan->sync_fd, &err);
		_exit(1);
	}
	_exit(sync_send_child(plan->sync_fd, pid, pidfd, &err) < 0);
}

static int clone_through(struct runtime_process *out_process, const struct plan *plan, int sync_fd,
			 void (*entry)(const struct plan *plan), struct error *err)
{
	pid_t between = namespace_clone(0, -1, NULL);
	int r;

	if (between < 0)
		return error_set_errno(err, ERR_INTERNAL, between, "clone the process that joins namespaces");
	if (between == 0)
		go_between(plan, entry);
	r = sync_receive_child(sync_fd, &out_process->pid, &out_process->pidfd, err);
	while (waitpid(between, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

static const char *explain_clone(int errnum)
{
	switch (errnum) {
	case EPERM:
		return " (namespaces need CAP_SYS_ADMIN or a user namespace)";
	case ENOSPC:
		return " (a limit in /proc/sys/user is reached)";
	case EINVAL:
		return " (does this kernel have every kind of namespace asked for?)";
	case EAGAIN:
		return " (the limit of processes is reached)";
	default:
		return "";
	}
}

int host_clone_make_late(const struct plan *plan, struct error *err)
{
	if (plan->late_namespaces && unshare((int)plan->late_namespaces) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make the container's namespaces%s",
				       explain_clone(errno));
	return 0;
}

int host_clone(struct runtime_process *out_process, const struct plan *plan, int sync_fd,
	       void (*entry)(const struct plan *plan), struct error *err)
{
	pid_t pid;

	if (host_clone_needs_go_between(plan))
		return clone_through(out_process, plan, sync_fd, entry, err);
	pid = clone_once(plan, flags_at_birth(plan), &out_process->pidfd);
	if (pid == 0)
		entry(plan);
	if (pid < 0)
		return error_set_errno(err, ERR_INTERNAL, pid, "clone the container process%s", explain_clone(-pid));
	out_process->pid = pid;
	return 0;
}
