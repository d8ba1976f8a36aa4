/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server_tls.h - TLS in front of the HTTP server, and nobody else sees it.
 *
 * Each connection gets a thread that speaks TLS with the client and plain bytes
 * with a socket pair, whose other end is served like any other connection: what
 * is written, half closed or hijacked there goes through. TLS 1.2 and 1.3 only.
 * Threads: a tls_context is read-only once made.
 */
#pragma once

#include <sys/socket.h>

#include "http/server.h"

struct tls_context;

/* ERR_INVALID names the file that cannot be used. */
int tls_context_new(struct tls_context **out_context, const struct http_tls *files, struct error *err);
void tls_context_free(struct tls_context *context);
/* Shakes hands and goes on in a thread of its own; closes the socket in any case. */
struct listener;
void tls_front_start_take_fd(const struct listener *listener, int fd, const struct sockaddr_storage *address,
			     socklen_t address_size);
/* Hangs up on every client and waits for their threads; no new ones may come. */
void tls_fronts_end(struct http_server *server);
