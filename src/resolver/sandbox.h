/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.h - what is left to a program that reads the network's bytes: user nobody, sockets, and reading files. */
#pragma once

#include "base/error.h"

int sandbox_enter(struct error *err);
