/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_list.h - sets of CPUs or memory nodes as the kernel writes them: "0-3,8".
 * -errno: -EINVAL for a text that is none, -ERANGE beyond CPU_LIST_MAX.
 */
#pragma once

#include <limits.h>
#include <stddef.h>

#define CPU_LIST_MAX 8192
#define CPU_LIST_WORD (sizeof(unsigned long) * CHAR_BIT)

struct cpu_list {
	unsigned long words[CPU_LIST_MAX / CPU_LIST_WORD];
};

/* The empty text is the empty set. */
int cpu_list_parse(struct cpu_list *out_list, const char *text);
size_t cpu_list_count(const struct cpu_list *list);
/* Where this process may run. */
int cpu_list_apply(const struct cpu_list *list);
/* Everywhere its cpuset allows. */
int cpu_list_apply_all(void);
