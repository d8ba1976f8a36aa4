/* SPDX-License-Identifier: Apache-2.0 */
/* get.h - inside kist-transfer: one file of any http(s) server into a descriptor that is asked for. Runs in the sandbox. */
#pragma once

#include "transfer/channel.h"
#include "transfer/message.h"

/* Any status is an end like another: *out_end says which, and what the answer's head said of the file. */
int get_run(struct channel *channel, const struct message_request *request, struct message_event *out_end,
	    struct error *err);
