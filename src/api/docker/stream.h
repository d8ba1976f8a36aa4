/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - one client on the stdio of a container or exec: a raw connection
 * whose output is framed unless there is a tty, and whose input ends with the
 * client's half-close.
 */
#pragma once

#include "engine/attach.h"
#include "engine/exec.h"
#include "http/server.h"

/* Answers by taking the connection over; owns the attach from now on. */
void stream_hijack_take(struct http_request *request, struct http_response *response, struct attach *attach);
/* The same after websocket_accept(): binary frames both ways, output never in docker's frames. */
void stream_hijack_websocket_take(struct http_request *request, struct http_response *response, struct attach *attach);

/*
 * The same for an exec, which is started only when the headers are out: docker-py loses output that comes in one
 * packet with them. A failure to start is output, as dockerd has it. The form of the output is what the start says, not the
 * exec's configuration.
 */
void stream_hijack_exec(struct http_request *request, struct http_response *response, struct engine *engine,
			const char *exec_id, const struct exec_start_options *options);
