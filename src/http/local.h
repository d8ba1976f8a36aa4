/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local.h - HTTP/1.1 client to an engine behind unix:///path or tcp://host:port.
 *
 * A client keeps one idle connection and reuses it; a request made while a
 * response is still open gets a connection of its own. Responses must be freed
 * before their client. A response to an upgrade (101, or 200 of an old engine)
 * owns the raw stream: read it with local_response_read(), write to its
 * descriptor, shutdown(SHUT_WR) it for end of input. One thread per client.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

struct local_client;
struct local_response;

struct local_request {
	const char *method;		 /* "GET" */
	const char *path;		 /* with query: "/v1.51/containers/json?all=1" */
	const char *content_type;	 /* of the body; NULL: application/json */
	const char *body;		 /* whole body, or NULL */
	size_t body_size;		 /* 0 with a body: strlen(body) */
	bool has_body_fd;		 /* body is body_fd to its end, sent in chunks */
	int body_fd;			 /* borrowed */
	const struct text_list *headers; /* more of them, "Name: value"; may be NULL */
	bool upgrade;			 /* Connection: Upgrade, Upgrade: tcp */
	/* Told of each piece of body_fd that is on its way; may be NULL. */
	void (*sent)(void *arg, uint64_t bytes);
	void *sent_arg;
};

/* Checks the address; connects only when something is sent. ERR_INVALID for another scheme. */
int local_client_new(struct local_client **out_client, const char *host, struct error *err);
void local_client_free(struct local_client *client);
DEFINE_AUTO(struct local_client, local_client_free)

/* The same over the standard input and output of a program (searched in PATH), which is started for each connection. */
int local_client_new_program(struct local_client **out_client, const char *host, const struct text_list *argv,
			     struct error *err);

/* Connects now, for use by the first request. ERR_UNAVAILABLE with errnum if nobody answers. */
int local_client_connect(struct local_client *client, struct error *err);

/*
 * From now on nothing waits beyond deadline_ns (monotonic): ERR_UNAVAILABLE with ETIMEDOUT; nor when one of the two
 * descriptors (borrowed; -1: none) is readable: ERR_CANCELED. Names of tcp hosts are looked up without a limit.
 */
void local_client_limit(struct local_client *client, int64_t deadline_ns, int cancel_fd, int other_fd);

/* Sends the request and returns at the end of the response's head. Any status counts as success. */
int local_send(struct local_response **out_response, struct local_client *client, const struct local_request *request,
	       struct error *err);

int local_response_status(const struct local_response *response);
/* Name in any case; NULL if absent (borrowed). */
const char *local_response_header(const struct local_response *response, const char *name);
/* At least one byte, 0 at the end, -1 with err filled: a body cut short is an error. */
ssize_t local_response_read(struct local_response *response, void *data, size_t size, struct error *err);
/* The rest of the body; ERR_EXHAUSTED beyond the buffer's limit. */
int local_response_read_all(struct local_response *response, struct buffer *out, struct error *err);
/* For poll() and, after an upgrade, for writing (borrowed). */
int local_response_fd(const struct local_response *response);
/* Bytes are here already, or the end is: a read will not block. */
bool local_response_pending(struct local_response *response);
void local_response_free(struct local_response *response);
DEFINE_AUTO(struct local_response, local_response_free)
