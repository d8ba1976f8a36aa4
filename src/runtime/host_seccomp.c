/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host_seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/path.h"
#include "runtime/debug.h"
#include "runtime/host_process.h"
#include "runtime/plan.h"

struct profile {
	struct seccomp_profile out;
	struct seccomp_rule *rules;
	struct seccomp_arg *args; /* of all rules, one after the other */
};

static void profile_fini(struct profile *profile)
{
	free(profile->rules);
	free(profile->args);
}

static size_t count_args(const struct spec_seccomp *seccomp)
{
	size_t count = 0;

	for (size_t i = 0; i < seccomp->syscalls.count; i++)
		count += seccomp->syscalls.items[i].args.count;
	return count;
}

static void convert_rule(struct seccomp_rule *out, struct seccomp_arg *args, const struct spec_seccomp_rule *rule)
{
	for (size_t i = 0; i < rule->args.count; i++)
		args[i] = (struct seccomp_arg){ .index = rule->args.items[i].index,
						.value = rule->args.items[i].value,
						.value_two = rule->args.items[i].value_two,
						.op = rule->args.items[i].op };
	*out = (struct seccomp_rule){ .names = rule->names.items,
				      .name_count = rule->names.count,
				      .action = rule->action,
				      .errno_ret = rule->errno_ret,
				      .args = args,
				      .arg_count = rule->args.count };
}

static void convert(struct profile *profile, const struct spec_seccomp *seccomp)
{
	size_t next = 0;

	profile->rules = xcalloc(seccomp->syscalls.count + 1, sizeof(*profile->rules));
	profile->args = xcalloc(count_args(seccomp) + 1, sizeof(*profile->args));
	for (size_t i = 0; i < seccomp->syscalls.count; i++) {
		convert_rule(&profile->rules[i], profile->args + next, &seccomp->syscalls.items[i]);
		next += seccomp->syscalls.items[i].args.count;
	}
	profile->out = (struct seccomp_profile){ .default_action = seccomp->default_action,
						 .default_errno_ret = seccomp->default_errno_ret,
						 .architectures = seccomp->architectures.items,
						 .architecture_count = seccomp->architectures.count,
						 .flags = seccomp->flags.items,
						 .flag_count = seccomp->flags.count,
						 .rules = profile->rules,
						 .rule_count = seccomp->syscalls.count };
}

int host_seccomp_build(struct seccomp_filter *out_filter, const struct runtime *runtime,
		       const struct spec_seccomp *seccomp, struct error *err)
{
	AUTO(profile_fini) struct profile profile = { 0 };
	AUTO_FREE char *cache = runtime->cache ? xstrdup(runtime->cache) : path_join(runtime->root, ".seccomp");

	convert(&profile, seccomp);
	if (seccomp_filter_build(out_filter, &profile.out, cache, err) < 0)
		return error_prefix(err, "linux.seccomp");
	debug_log(runtime, "seccomp filter flags: %u", out_filter->flags);
	return 0;
}

static int share_pid(struct plan *plan, struct error *err)
{
	void *page = mmap(NULL, sizeof(*plan->shared_pid), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return error_set_errno(err, ERR_INTERNAL, errno, "share memory with the container init");
	plan->shared_pid = page;
	return 0;
}

int host_seccomp_learn(struct plan *plan, int fd, struct error *err)
{
	if (share_pid(plan, err) < 0)
		return -1;
	plan->listener_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (plan->listener_fd < 0)
		return error_set_errno(err, ERR_INVALID, errno, "the socket for the listener");
	return 0;
}

int host_seccomp_connect(struct plan *plan, struct error *err)
{
	const char *path = plan->spec->linux_.seccomp->listener_path;

	if (!plan->filter->notify)
		return 0;
	if (text_empty(path))
		return error_set(err, ERR_INVALID,
				 "linux.seccomp.listenerPath must be set: a rule has SCMP_ACT_NOTIFY");
	if (share_pid(plan, err) < 0)
		return -1;
	plan->listener_fd = host_process_connect(path, err);
	return plan->listener_fd < 0
		       ? error_prefix(err, "linux.seccomp.listenerPath: failed to connect with seccomp agent")
		       : 0;
}

void host_seccomp_hand_over(struct plan *plan, pid_t pid)
{
	if (!plan->shared_pid)
		return;
	*plan->shared_pid = pid;
	close(take_fd(&plan->listener_fd));
}

void host_seccomp_disconnect(struct plan *plan)
{
	if (plan->listener_fd >= 0)
		close(take_fd(&plan->listener_fd));
	if (plan->shared_pid)
		munmap(plan->shared_pid, sizeof(*plan->shared_pid));
	plan->shared_pid = NULL;
}
