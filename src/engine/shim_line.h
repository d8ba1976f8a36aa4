/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim_line.h - finding a container's shim again, by the shim.json in its
 * bundle: when the engine opens, and when the line to it broke.
 */
#pragma once

#include <stdbool.h>

struct container;
struct task_client;

/* A new line to it, if it lives, still has its task and answers within 5 s; else NULL. */
struct task_client *shim_connect(const struct container *container);
/* Whether its process is there; a number that went to another process is not taken for it. */
bool shim_is_alive(const struct container *container);
