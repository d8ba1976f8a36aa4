/* SPDX-License-Identifier: Apache-2.0 */
/* build_debug.h - kist build --debug: a shell where a step has failed. */
#pragma once

#include "cli/command.h"

/* In an image of the container as the step left it; both are gone when the shell ends. */
int build_debug(struct cli *cli, const char *container, struct error *err);
