/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/memory_policy.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than some headers. */
#define PREFERRED_MANY 5
#define WEIGHTED_INTERLEAVE 6

struct word {
	const char *name;
	int value;
};

static const struct word modes[] = {
	{ "MPOL_BIND", MPOL_BIND },
	{ "MPOL_DEFAULT", MPOL_DEFAULT },
	{ "MPOL_INTERLEAVE", MPOL_INTERLEAVE },
	{ "MPOL_LOCAL", MPOL_LOCAL },
	{ "MPOL_PREFERRED", MPOL_PREFERRED },
	{ "MPOL_PREFERRED_MANY", PREFERRED_MANY },
	{ "MPOL_WEIGHTED_INTERLEAVE", WEIGHTED_INTERLEAVE },
};
static const struct word flags[] = {
	{ "MPOL_F_NUMA_BALANCING", 1 << 13 },
	{ "MPOL_F_RELATIVE_NODES", MPOL_F_RELATIVE_NODES },
	{ "MPOL_F_STATIC_NODES", MPOL_F_STATIC_NODES },
};
#define COUNT(table) (sizeof(table) / sizeof(table[0]))

static const struct word *find(const struct word *table, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal(table[i].name, name))
			return &table[i];
	return NULL;
}

static int check_nodes(int mode, const struct memory_policy *policy, const char *name, struct error *err)
{
	size_t count = cpu_list_count(&policy->nodes);

	if ((mode == MPOL_DEFAULT || mode == MPOL_LOCAL) && count > 0)
		return error_set(
			err, ERR_INVALID,
			"linux.memoryPolicy.nodes: invalid memory policy: %s mode requires 0 nodes but got %zu", name,
			count);
	if (mode != MPOL_DEFAULT && mode != MPOL_LOCAL && mode != MPOL_PREFERRED && count == 0)
		return error_set(
			err, ERR_INVALID,
			"linux.memoryPolicy.nodes: invalid memory policy: %s mode requires at least 1 node but got 0",
			name);
	return 0;
}

int memory_policy_parse(struct memory_policy *out_policy, const struct spec_memory_policy *spec, struct error *err)
{
	const struct word *mode = find(modes, COUNT(modes), text_or_empty(spec->mode));

	if (!mode)
		return error_set(err, ERR_INVALID, "linux.memoryPolicy.mode: invalid memory policy mode \"%s\"",
				 text_or_empty(spec->mode));
	if (cpu_list_parse(&out_policy->nodes, spec->nodes) < 0)
		return error_set(err, ERR_INVALID, "linux.memoryPolicy.nodes: invalid memory policy node list \"%s\"",
				 spec->nodes);
	if (check_nodes(mode->value, out_policy, mode->name, err) < 0)
		return -1;
	out_policy->mode = mode->value;
	for (size_t i = 0; i < spec->flags.count; i++) {
		const struct word *flag = find(flags, COUNT(flags), spec->flags.items[i]);

		if (!flag)
			return error_set(err, ERR_INVALID,
					 "linux.memoryPolicy.flags[%zu]: invalid memory policy flag \"%s\"", i,
					 spec->flags.items[i]);
		out_policy->mode |= flag->value;
	}
	return 0;
}

int memory_policy_apply(const struct spec_memory_policy *spec, struct error *err)
{
	struct memory_policy policy;
	bool empty;

	if (memory_policy_parse(&policy, spec, err) < 0)
		return -1;
	empty = cpu_list_count(&policy.nodes) == 0;
	if (syscall(SYS_set_mempolicy, policy.mode, empty ? NULL : policy.nodes.words, empty ? 0 : CPU_LIST_MAX + 1) ==
	    0)
		return 0;
	if (errno == ENOSYS)
		return error_set_errno(err, ERR_UNSUPPORTED, ENOSYS, "linux.memoryPolicy: this kernel has no NUMA");
	return error_set_errno(err, ERR_INVALID, errno, "linux.memoryPolicy: %s on nodes \"%s\"", spec->mode,
			       text_or_empty(spec->nodes));
}

const char *memory_policy_mode_at(size_t index)
{
	return index < COUNT(modes) ? modes[index].name : NULL;
}

const char *memory_policy_flag_at(size_t index)
{
	return index < COUNT(flags) ? flags[index].name : NULL;
}
