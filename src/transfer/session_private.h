/* SPDX-License-Identifier: Apache-2.0 */
/* session_private.h - one kist-transfer and what is said to it: what the files session*.c share. */
#pragma once

#include "base/process.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "transfer/channel.h"
#include "transfer/message.h"
#include "transfer/session.h"

#define PROGRAM "kist-transfer"
#define ID_DIGITS 12
#define PARALLEL_DEFAULT 3

struct session {
	struct process process;
	struct channel channel;
	int cancel_fd;
	struct message_event end;
	/* For any other action than a pull: every event but the end. 0, or negative to give up. */
	int (*handle)(struct session *session, const struct message_event *event, struct error *err);
	void *arg;

	const struct session_sink *sink; /* NULL: no pull */
	struct manifest index;
	struct manifest manifest;
	struct image_config config;
	bool have_config;
	size_t parallel;
};

/* AUTO(session_end) struct session session: also when it could not start. */
int session_start(struct session *session, int cancel_fd, struct error *err);
void session_end(struct session *session);
/* Sends the request, then serves events until the end. */
int session_run(struct session *session, const struct message_request *request, struct error *err);
int session_reply(struct session *session, const struct message_reply *reply, const int *fds, size_t fd_count,
		  struct error *err);
void session_fill_settings(struct message_request *request, const struct session_settings *settings);
void session_fill_auth(struct message_request *request, const struct session_auth *auth);
