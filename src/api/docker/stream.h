/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - one client on the stdio of a container or exec: a raw connection
 * whose output is framed unless there is a tty, and whose input ends with the
 * client's half-close.
 */
#pragma once

#include "engine/attach.h"
#include "http/server.h"

/* Answers by taking the connection over; owns the attach from now on. */
void stream_hijack_take(struct http_request *request, struct http_response *response, struct attach *attach);
