/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/init_sched.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "runtime/debug.h"
#include "runtime/memory_policy.h"
#include "sys/cpu_list.h"
#include "sys/proc_fs.h"

struct name_value {
	const char *name;
	uint64_t value;
};

static const struct name_value policies[] = {
	{ "SCHED_OTHER", SCHED_NORMAL }, { "SCHED_FIFO", SCHED_FIFO }, { "SCHED_RR", SCHED_RR },
	{ "SCHED_BATCH", SCHED_BATCH },	 { "SCHED_IDLE", SCHED_IDLE }, { "SCHED_DEADLINE", SCHED_DEADLINE },
};
static const struct name_value scheduler_flags[] = {
	{ "SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK },
	{ "SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM },
	{ "SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN },
	{ "SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY },
	{ "SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS },
	{ "SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN },
	{ "SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX },
};
static const struct name_value io_classes[] = {
	{ "IOPRIO_CLASS_RT", IOPRIO_CLASS_RT },
	{ "IOPRIO_CLASS_BE", IOPRIO_CLASS_BE },
	{ "IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE },
};
#define COUNT(table) (sizeof(table) / sizeof(table[0]))

static const struct name_value *find(const struct name_value *table, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal(table[i].name, name))
			return &table[i];
	return NULL;
}

/* Which numbers belong to which policy is a rule of the specification, not of the kernel. */
static int check_scheduler(const struct spec_scheduler *scheduler, uint64_t policy, struct error *err)
{
	bool real_time = policy == SCHED_FIFO || policy == SCHED_RR;

	if (optional_i64_or(scheduler->priority, 0) != 0 && !real_time)
		return error_set(err, ERR_INVALID, "process.scheduler: priority is for SCHED_FIFO and SCHED_RR only");
	if (optional_i64_or(scheduler->nice, 0) < -20 || optional_i64_or(scheduler->nice, 0) > 19)
		return error_set(err, ERR_INVALID, "process.scheduler: nice must be between -20 and 19");
	if ((scheduler->runtime || scheduler->deadline || scheduler->period) && policy != SCHED_DEADLINE)
		return error_set(err, ERR_INVALID,
				 "process.scheduler: runtime, deadline, period are for SCHED_DEADLINE only");
	return 0;
}

static int set_scheduler(const struct spec_scheduler *scheduler, bool has_cpus, struct error *err)
{
	const struct name_value *policy = find(policies, COUNT(policies), scheduler->policy);
	struct sched_attr attr = { .size = sizeof(attr) };

	if (!policy)
		return error_set(err, ERR_INVALID, "process.scheduler: invalid policy \"%s\"", scheduler->policy);
	if (check_scheduler(scheduler, policy->value, err) < 0)
		return -1;
	for (size_t i = 0; i < scheduler->flags.count; i++) {
		const struct name_value *flag = find(scheduler_flags, COUNT(scheduler_flags),
						     scheduler->flags.items[i]);

		if (!flag)
			return error_set(err, ERR_INVALID, "process.scheduler: invalid flag \"%s\"",
					 scheduler->flags.items[i]);
		attr.sched_flags |= flag->value;
	}
	attr.sched_policy = (uint32_t)policy->value;
	attr.sched_nice = (int32_t)optional_i64_or(scheduler->nice, 0);
	attr.sched_priority = (uint32_t)optional_i64_or(scheduler->priority, 0);
	attr.sched_runtime = scheduler->runtime;
	attr.sched_deadline = scheduler->deadline;
	attr.sched_period = scheduler->period;
	if (syscall(SYS_sched_setattr, 0, &attr, 0) == 0)
		return 0;
	if (errno == EPERM && has_cpus)
		return error_set_errno(
			err, ERR_INVALID, EPERM,
			"process.scheduler: %s: process scheduler can't be used together with AllowedCPUs "
			"(linux.resources.cpu.cpus)",
			scheduler->policy);
	return error_set_errno(err, ERR_INVALID, errno, "process.scheduler: %s", scheduler->policy);
}

static int set_io_priority(const struct spec_io_priority *priority, struct error *err)
{
	const struct name_value *class = find(io_classes, COUNT(io_classes), priority->class);

	if (!class)
		return error_set(err, ERR_INVALID, "process.ioPriority: invalid class \"%s\"", priority->class);
	if (priority->priority < 0 || priority->priority > 7)
		return error_set(err, ERR_INVALID, "process.ioPriority: priority must be between 0 and 7");
	if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
		    IOPRIO_PRIO_VALUE((int)class->value, (int)priority->priority)) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "process.ioPriority");
	return 0;
}

static int set_personality(const struct spec_personality *wanted, struct error *err)
{
	unsigned long domain;

	if (text_equal(wanted->domain, "LINUX"))
		domain = PER_LINUX;
	else if (text_equal(wanted->domain, "LINUX32"))
		domain = PER_LINUX32;
	else
		return error_set(err, ERR_INVALID, "linux.personality: invalid domain \"%s\"", wanted->domain);
	if (wanted->flags.count)
		return error_set(err, ERR_INVALID, "linux.personality: flags are not supported");
	if (personality(domain) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "linux.personality");
	return 0;
}

static int set_affinity(const char *text, const char *which, struct error *err)
{
	struct cpu_list list;
	int r = cpu_list_parse(&list, text);

	if (r == 0)
		r = cpu_list_apply(&list);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "process.execCPUAffinity.%s: run on CPUs %s", which, text);
	return 0;
}

int init_sched_initial_affinity(const struct plan *plan, struct error *err)
{
	const struct spec_cpu_affinity *affinity = plan->process->exec_cpu_affinity;
	struct cpu_list list;

	if (!affinity || text_empty(affinity->initial))
		return 0;
	if (cpu_list_parse(&list, affinity->initial) == 0)
		debug_log(plan->runtime, "nsexec container setup: affinity: 0x%lx", list.words[0]);
	return set_affinity(affinity->initial, "initial", err);
}

int init_sched_affinity(const struct plan *plan, struct error *err)
{
	const struct spec_cpu_affinity *affinity = plan->create ? NULL : plan->process->exec_cpu_affinity;

	if (affinity && !text_empty(affinity->final))
		return set_affinity(affinity->final, "final", err);
	/* Not being allowed to (a seccomp filter around us) leaves the container where we are. */
	if (!affinity || text_empty(affinity->initial))
		cpu_list_apply_all();
	return 0;
}

int init_sched_apply(const struct plan *plan, struct error *err)
{
	const struct spec_process *process = plan->process;
	const struct spec_resources *resources = plan->spec->linux_.resources;
	bool has_cpus = resources && resources->cpu && !text_empty(resources->cpu->cpus);

	if (process->scheduler && set_scheduler(process->scheduler, has_cpus, err) < 0)
		return -1;
	if (process->io_priority && set_io_priority(process->io_priority, err) < 0)
		return -1;
	if (plan->spec->linux_.memory_policy && memory_policy_apply(plan->spec->linux_.memory_policy, err) < 0)
		return -1;
	if (plan->spec->linux_.personality && set_personality(plan->spec->linux_.personality, err) < 0)
		return -1;
	return 0;
}

/* Through a proc of our own: one in the container may be a fake that swallows the write (CVE-2019-16884). */
static int write_label(const char *path, const char *fallback, const char *text, const char *what, struct error *err)
{
	AUTO_CLOSE int proc_fd = proc_fs_open(true);
	int r = proc_fd < 0 ? proc_fd : proc_fs_write(proc_fd, path, text);

	if (r == -ENOENT && fallback)
		r = proc_fs_write(proc_fd, fallback, text);
	if (r < 0)
		return error_set_errno(err, ERR_UNSUPPORTED, r, "%s: write `/proc/%s`", what, path);
	return 0;
}

int init_sched_labels(const struct plan *plan, struct error *err)
{
	const struct spec_process *process = plan->process;
	AUTO_FREE char *apparmor = NULL;

	if (!text_empty(process->selinux_label) && write_label("thread-self/attr/exec", NULL, process->selinux_label,
							       "process.selinuxLabel (is SELinux on?)", err) < 0)
		return -1;
	if (text_empty(process->apparmor_profile) || text_equal(process->apparmor_profile, "unconfined"))
		return 0;
	apparmor = xasprintf("exec %s", process->apparmor_profile);
	return write_label("thread-self/attr/apparmor/exec", "thread-self/attr/exec", apparmor,
			   "process.apparmorProfile (is AppArmor on?)", err);
}
