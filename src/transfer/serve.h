/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.h - inside kist-transfer: one repository, as it is asked for (ask.h).
 * As pull.h: open reads files, run talks to the network.
 */
#pragma once

#include "base/cleanup.h"
#include "transfer/channel.h"
#include "transfer/message.h"

struct serve;

int serve_open(struct serve **out_serve, const struct message_request *request, struct channel *channel,
	       struct error *err);
/* Until nobody asks any more. */
int serve_run(struct serve *serve, struct error *err);
void serve_free(struct serve *serve);
DEFINE_AUTO(struct serve, serve_free)
