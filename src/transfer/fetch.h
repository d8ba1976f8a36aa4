/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.h - inside kist-transfer: documents and blobs of one registry, one
 * after the other as the other end of the channel asks for them; the bytes go
 * into pipes that come with the questions. The other end proves the digests.
 */
#pragma once

#include "base/cleanup.h"
#include "transfer/channel.h"
#include "transfer/message.h"

struct fetch;

/* request->server: "docker.io", a host, or a base URL. May read files (certificates). */
int fetch_open(struct fetch **out_fetch, const struct message_request *request, struct channel *channel,
	       struct error *err);
/* Until the channel ends. */
int fetch_run(struct fetch *fetch, struct error *err);
void fetch_free(struct fetch *fetch);
DEFINE_AUTO(struct fetch, fetch_free)
