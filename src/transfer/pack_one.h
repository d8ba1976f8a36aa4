/* SPDX-License-Identifier: Apache-2.0 */
/* pack_one.h - inside kist-transfer: one file of the engine's is compressed into another (session_pack()). */
#pragma once

#include "base/error.h"
#include "transfer/channel.h"
#include "transfer/message.h"

/* Fills digest and size of *out_end. */
int pack_one(struct channel *channel, const struct message_request *request, struct message_event *out_end,
	     struct error *err);
