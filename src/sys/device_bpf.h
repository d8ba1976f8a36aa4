/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_bpf.h - the program that guards device nodes on cgroup2.
 *
 * v2 has no devices controller: a BPF program attached to the group decides on
 * each open and mknod. Rules are applied in order, the last match wins, as the
 * v1 files did; what no rule names is denied. Attaching replaces the programs
 * attached before in one step, so no moment is unguarded.
 */
#pragma once

#include <linux/bpf.h>
#include <stddef.h>

#include "base/error.h"
#include "sys/cgroup.h"

/* The instructions for a list of rules; *out_program is yours. */
int device_bpf_assemble(struct bpf_insn **out_program, size_t *out_count, const struct cgroup_device_rule *rules,
			size_t rule_count, struct error *err);
/* Loads the program and attaches it to a cgroup2 directory. */
int device_bpf_attach(int cgroup_fd, const struct cgroup_device_rule *rules, size_t rule_count, struct error *err);
