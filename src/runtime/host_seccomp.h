/* SPDX-License-Identifier: Apache-2.0 */
/* host_seccomp.h - linux.seccomp compiled before the clone, so that init only loads it. */
#pragma once

#include "oci/runtime_spec.h"
#include "runtime/runtime.h"
#include "sys/seccomp.h"

struct plan;

/* For a filter that notifies: connects to the agent, which must be there before anything is made. */
int host_seccomp_connect(struct plan *plan, struct error *err);
/* The same with a connection somebody has already made, which is duplicated. */
int host_seccomp_learn(struct plan *plan, int fd, struct error *err);
/* Tells init which process it is, before it may go on; the connection is init's alone from here on. */
void host_seccomp_hand_over(struct plan *plan, pid_t pid);
void host_seccomp_disconnect(struct plan *plan);
/* The compiled filter comes from, or goes to, runtime->cache or <root>/.seccomp. */
int host_seccomp_build(struct seccomp_filter *out_filter, const struct runtime *runtime,
		       const struct spec_seccomp *seccomp, struct error *err);
