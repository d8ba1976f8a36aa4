/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h - containerd.task.v2.Task and v3.Task: from requests to task.h.
 *
 * Shutdown with no task left sets loop->stop once its answer is sent.
 */
#pragma once

#include "shim/task.h"

struct service;

/* listen_fd: the shim's socket; taken. */
struct service *service_new_take_fd(struct task_host *host, int listen_fd);
/* Sends the answers that came up: call it after every turn of the loop. */
void service_flush(struct service *service);
/* Shutdown was asked for: the socket has no name any more. */
bool service_is_stopping(const struct service *service);
void service_free(struct service *service);
