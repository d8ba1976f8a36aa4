/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ttrpc_client.h - blocking calls of many threads over one connection.
 *
 * There is no reader thread: of the callers that wait, one reads the socket
 * and hands the others their replies; when it leaves, it wakes the next.
 * The first failure of the socket is final: all calls give ERR_UNAVAILABLE.
 */
#pragma once

#include "base/cleanup.h"
#include "base/error.h"
#include "rpc/proto.h"

struct ttrpc_client;

/* address: "unix:///path" or "/path". name_space may be NULL. */
int ttrpc_client_open(struct ttrpc_client **out_client, const char *address, const char *name_space, struct error *err);
void ttrpc_client_close(struct ttrpc_client *client);
DEFINE_AUTO(struct ttrpc_client, ttrpc_client_close)

/* One call, as struct ttrpc_client wants it. */
struct ttrpc_call {
	const char *service;
	const char *method;
	const void *request;
	const struct proto_field *request_fields;
	void *response; /* zeroed; filled on success */
	const struct proto_field *response_fields;
	int cancel_fd; /* -1: none */
};

int ttrpc_client_call(struct ttrpc_client *client, const struct ttrpc_call *call, struct error *err);

/* A unix stream socket connected to an address as above; -1 with ERR_UNAVAILABLE. Paths of any length. */
int ttrpc_connect(const char *address, struct error *err);
