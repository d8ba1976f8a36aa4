/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ttrpc_server.h - one accepted connection, for a program with a poll loop.
 *
 * Never blocks. Give it to poll with ttrpc_connection_wants_write(), then call
 * _read and _write. Each request comes to the handler, which replies at once
 * or later, in any order, by stream id. A peer that sends malformed frames, or
 * does not read 8 MiB of replies, is cut off: the functions return negative.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "rpc/ttrpc.h"

struct ttrpc_connection;

/* The request is borrowed. */
typedef void ttrpc_handler(void *context, struct ttrpc_connection *connection, uint32_t stream_id,
			   const struct ttrpc_request *request);

struct ttrpc_connection *ttrpc_connection_new_take_fd(int fd);
void ttrpc_connection_free(struct ttrpc_connection *connection);
int ttrpc_connection_fd(const struct ttrpc_connection *connection);
bool ttrpc_connection_wants_write(const struct ttrpc_connection *connection);

/* Reads what is there and calls the handler for each whole request. Returns 1, 0 at end of file, or -1. */
int ttrpc_connection_read(struct ttrpc_connection *connection, ttrpc_handler *handler, void *context,
			  struct error *err);
int ttrpc_connection_write(struct ttrpc_connection *connection, struct error *err);

void ttrpc_reply(struct ttrpc_connection *connection, uint32_t stream_id, const void *message,
		 const struct proto_field *fields);
/* code 0: the code of the error's kind. */
void ttrpc_reply_error(struct ttrpc_connection *connection, uint32_t stream_id, int32_t code,
		       const struct error *error);
