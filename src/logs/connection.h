/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection.h - one connection to a collector of logs: udp, tcp, tcp with TLS,
 * unix stream or datagram. Connecting and each write wait 10 s at most (or what
 * an option says); a connection that broke is made anew by connection_send().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "logs/address.h"

struct tls_session;

struct connection_tls {
	const char *authorities; /* NULL: the system's */
	const char *certificate;
	const char *key;
	bool skip_verify;
};

struct connection {
	struct log_address address;
	const char *default_port;
	int fd; /* -1: not connected */
	struct tls_session *tls;
	struct connection_tls tls_options; /* borrowed texts */
	int64_t retries;		   /* connecting again, for one message */
	int64_t retry_wait_ms;
	int64_t write_timeout_ms;
	int64_t read_timeout_ms;
};

int connection_open(struct connection *connection, struct error *err);
void connection_close(struct connection *connection);
/* Also frees the address. */
void connection_fini(struct connection *connection);
bool connection_is_datagram(const struct connection *connection);
/* All of it, as one datagram where that is what it is. A failure closes the connection. */
int connection_write(struct connection *connection, const void *data, size_t size, struct error *err);
/* Bytes read, 0 at the end. */
long connection_read(struct connection *connection, void *data, size_t size, struct error *err);

/* Sends a message through `send`, connecting (again) up to `retries` times. */
typedef int (*connection_sender)(void *context, struct error *err);
int connection_send(struct connection *connection, connection_sender send, void *context, struct error *err);

/* connection_tls.c */
bool connection_uses_tls(const struct connection *connection);
int tls_session_open(struct tls_session **out_session, const struct connection *connection, struct error *err);
void tls_session_close(struct tls_session *session);
/* As write(2) and read(2); negative is a text for tls_session_problem(). */
long tls_session_write(struct tls_session *session, const void *data, size_t size);
long tls_session_read(struct tls_session *session, void *data, size_t size);
const char *tls_session_problem(long code);
