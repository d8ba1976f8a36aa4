/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cdi.h - the Container Device Interface: JSON files below /etc/cdi and
 * /var/run/cdi say what a container needs to use "vendor.com/class=name":
 * device nodes, mounts, environment, hooks, groups. --device with such a name
 * asks for one; --gpus asks for those of nvidia.com/gpu.
 * https://github.com/cncf-tags/container-device-interface, version 0.8.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "engine/container_config.h"
#include "oci/runtime_spec.h"

/* Changes the specification by what the requests ask for; ERR_INVALID in dockerd's words if there is none such. */
int cdi_apply(struct spec *spec, const struct host_config *host, const struct text_list *folders, struct error *err);
/* /etc/cdi and /var/run/cdi. */
void cdi_default_folders(struct text_list *out_folders);
