/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_device.h - linux.netDevices: interfaces of the host that become the container's.
 *
 * The host side looks at them before the clone and moves them behind it; init,
 * inside, gives them their addresses again (those that were set by hand and
 * are global) and brings them up. They are not moved back: a physical device
 * returns by itself when the namespace ends.
 */
#pragma once

#include "base/error.h"
#include "runtime/plan.h"

/* Rules of the specification; nothing is looked up. */
int net_device_check(const struct spec *spec, struct error *err);
/* Finds devices and addresses for plan->net_devices. */
int net_device_plan(struct plan *plan, struct error *err);
/* Moves them to the network namespace of the new process. */
int net_device_move(const struct plan *plan, pid_t pid, struct error *err);
/* In init, inside. */
int net_device_finish(const struct plan *plan, struct error *err);
void net_device_fini(struct plan *plan);
