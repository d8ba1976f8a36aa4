/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push.h - inside kist-transfer: one image into a repository, told to the
 * engine over a channel. As pull.h: open reads files, run talks to the network.
 */
#pragma once

#include "base/cleanup.h"
#include "transfer/channel.h"
#include "transfer/message.h"

struct push;

int push_open(struct push **out_push, const struct message_request *request, struct channel *channel,
	      struct error *err);
/* Fills digest, size and media type of *out_end. */
int push_run(struct push *push, struct message_event *out_end, struct error *err);
void push_free(struct push *push);
DEFINE_AUTO(struct push, push_free)
