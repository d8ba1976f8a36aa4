/* SPDX-License-Identifier: Apache-2.0 */
/* memory_policy.h - linux.memoryPolicy: on which NUMA nodes the container's memory lies (set_mempolicy(2)). */
#pragma once

#include "base/error.h"
#include "oci/runtime_spec.h"
#include "sys/cpu_list.h"

struct memory_policy {
	int mode; /* MPOL_, with its flags */
	struct cpu_list nodes;
};

/* ERR_INVALID names the word. */
int memory_policy_parse(struct memory_policy *out_policy, const struct spec_memory_policy *spec, struct error *err);
/* Of this process and what it will be. */
int memory_policy_apply(const struct spec_memory_policy *spec, struct error *err);
/* For `features`: NULL behind the last. */
const char *memory_policy_mode_at(size_t index);
const char *memory_policy_flag_at(size_t index);
