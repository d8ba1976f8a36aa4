/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - what the engine tells kist-resolve: {u32 size}{JSON} over a unix
 * stream socket, descriptors with the size; each is answered by one byte once it
 * holds. An engine that comes back says "begin", everything it knows, and "end":
 * until then the old tables answer, and what was not told again then goes.
 *
 * actions: hello (names the version; another one is answered with CONTROL_OTHER, and the program ends),
 * begin, end, scope (with its UDP and TCP socket), drop, add, remove.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "json/json.h"

#define CONTROL_DONE 'd'
#define CONTROL_OTHER 'o'   /* hello: of another version; it ends */
#define CONTROL_REFUSED 'r' /* scope: the sockets cannot be watched */
#define CONTROL_FDS 2

struct control_message {
	char *action;
	char *version;
	char *container;
	struct text_list networks; /* scope: in the order they are looked at */
	struct text_list servers;  /* scope: --dns; none: the host's */
	struct text_map links;	   /* scope: name -> name */
	bool forward;		   /* scope: it may ask the outside */
	char *network;		   /* add, remove */
	char *endpoint;
	struct text_list names;
	struct text_list addresses;
	char *pointer; /* what the addresses are called */
};
extern const struct json_field control_message_fields[];

/* Blocking. fds are borrowed. */
int control_send(int fd, const struct control_message *message, const int *fds, size_t fd_count, struct error *err);
/* 1 a message (json_free_fields) and *count descriptors (yours), 0 the other side is gone. */
int control_receive(int fd, struct control_message *out_message, int out_fds[CONTROL_FDS], size_t *count,
		    struct error *err);
