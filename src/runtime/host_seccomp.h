/* SPDX-License-Identifier: Apache-2.0 */
/* host_seccomp.h - linux.seccomp compiled before the clone, so that init only loads it. */
#pragma once

#include "oci/runtime_spec.h"
#include "runtime/runtime.h"
#include "sys/seccomp.h"

/* The compiled filter comes from, or goes to, runtime->cache or <root>/.seccomp. */
int host_seccomp_build(struct seccomp_filter *out_filter, const struct runtime *runtime,
		       const struct spec_seccomp *seccomp, struct error *err);
