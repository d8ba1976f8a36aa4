/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.h - what kist-transfer gives up before it talks to the network.
 *
 * Afterwards: no root, no new privileges, no file but those TLS and name
 * resolution read (Landlock, where the kernel has it), and only the system
 * calls of a network client (seccomp). Descriptors it holds keep working.
 * Before any thread starts.
 */
#pragma once

#include "base/error.h"

int sandbox_enter(struct error *err);
