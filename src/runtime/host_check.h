/* SPDX-License-Identifier: Apache-2.0 */
/* host_check.h - what can be said about a specification before anything is done. ERR_INVALID names the property. */
#pragma once

#include "base/log.h"
#include "oci/runtime_spec.h"
#include "runtime/runtime.h"

/* Unknown capability names are a warning in the log, as the specification demands. */
int host_check_spec(const struct spec *spec, const struct log *log, struct error *err);
int host_check_process(const struct spec_process *process, const char *where, const struct log *log, struct error *err);
bool host_has_selinux(void);
/* Terminal and console socket belong together (words of runc). */
int host_check_console(const struct spec_process *process, const struct runtime_process_options *options,
		       struct error *err);
