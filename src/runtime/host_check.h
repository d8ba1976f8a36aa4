/* SPDX-License-Identifier: Apache-2.0 */
/* host_check.h - what can be said about a specification before anything is done. ERR_INVALID names the property. */
#pragma once

#include "base/log.h"
#include "oci/runtime_spec.h"
#include "runtime/finding.h"
#include "runtime/runtime.h"

/* Unknown capability names are a warning in the log, as the specification demands. */
int host_check_spec(const struct spec *spec, const struct log *log, struct error *err);
int host_check_process(const struct spec_process *process, const struct log *log, struct error *err);
/* Keeps everything that is wrong: found->err is NULL. */
void host_check_all(const struct spec *spec, struct findings *found);
bool host_has_selinux(void);
/* Terminal and console socket belong together (words of runc). */
int host_check_console(const struct spec_process *process, const struct runtime_process_options *options,
		       struct error *err);
