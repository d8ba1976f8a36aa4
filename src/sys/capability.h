/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capability.h - capability names and the five sets of a process.
 *
 * A set is a mask, bit n = capability n. Order in init: drop the bounding set
 * while CAP_SETPCAP is there, PR_SET_KEEPCAPS, change users, then apply the
 * rest. Sets never grow beyond what the process has.
 */
#pragma once

#include <stdint.h>

struct capability_sets {
	uint64_t bounding;
	uint64_t effective;
	uint64_t permitted;
	uint64_t inheritable;
	uint64_t ambient;
};

/* "CAP_NET_ADMIN", "net_admin", any case: its bit number, or -EINVAL. */
int capability_parse(const char *name);
/* "CAP_NET_ADMIN", or NULL for a bit we have no name for. */
const char *capability_name(unsigned bit);
/* The highest capability of the running kernel. */
unsigned capability_last(void);
/* Mask of all capabilities of the running kernel. */
uint64_t capability_all(void);
/* What this process's bounding set holds: what can be granted at all. */
uint64_t capability_bounding(void);

/* Drops everything outside `bounding` from the bounding set. 0 or -errno. */
int capability_apply_bounding(uint64_t bounding);
/*
 * Sets effective, permitted, inheritable and ambient (ambient is cut to what is
 * permitted and inheritable, as the kernel demands). Bits the process cannot
 * have (not permitted now) are left out. 0 or -errno.
 */
int capability_apply(const struct capability_sets *sets);
/* PR_SET_KEEPCAPS around a change of user. */
int capability_keep(int on);
