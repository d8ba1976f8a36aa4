/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pull.h - inside kist-transfer: one pull, told to the engine over a channel.
 *
 * pull_open() may read files (certificates); pull_run() opens none and talks to
 * the network, so the sandbox closes in between.
 */
#pragma once

#include "base/cleanup.h"
#include "transfer/channel.h"
#include "transfer/message.h"

struct pull;

int pull_open(struct pull **out_pull, const struct message_request *request, struct channel *channel,
	      struct error *err);
/* Fills digest and media type of *out_end. */
int pull_run(struct pull *pull, struct message_event *out_end, struct error *err);
/* Only the documents: what the reference names, and if that is an image, its config. */
int pull_look(struct pull *pull, struct message_event *out_end, struct error *err);
void pull_free(struct pull *pull);
DEFINE_AUTO(struct pull, pull_free)
