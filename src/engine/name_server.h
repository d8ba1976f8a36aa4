/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name_server.h - the engine's side of kist-resolve: who is called what on which
 * user-defined network, and the sockets that containers' questions come in by.
 *
 * The program is started with the first container that needs it, outlives the
 * engine, and is found again by the next one. If it dies it is started again and
 * told everything. Threads: any; a container's calls come with its busy token.
 */
#pragma once

#include "engine/engine_private.h"

struct name_server;

void name_server_open(struct engine *engine);
/* After recovery: a program that an earlier engine left is told who is still there. */
void name_server_resume(struct engine *engine);
/* Whether it takes a message. */
/* Whether the container's port 53 of 127.0.0.11 is turned to it. */
bool name_server_is_reached(struct container *container);
bool name_server_is_alive(struct engine *engine);
void name_server_close(struct name_server *server);

/* Its sockets, networks and names as its document has them now; nothing if it is on no user-defined network. */
int name_server_tell(struct container *container, struct error *err);
/* Its place on a network goes; NULL: all of it. Failures are logged. */
void name_server_forget(struct container *container, const struct endpoint_settings *endpoint);
