/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.h - engines near by that serve what they have (kistd --serve): asked by
 * digest before any registry, each for at most 20 ms. One that did not answer in
 * time is not asked again in this pull. They are trusted with nothing: digests
 * prove the bytes. Threads: share the list freely.
 */
#pragma once

#include <stdatomic.h>

#include "http/remote.h"
#include "oci/descriptor.h"
#include "transfer/source.h"

struct peer {
	struct source source;
	int patience_ms;
	atomic_bool silent;
};

struct peer_list {
	struct peer *items; /* fixed after peer_list_load() */
	size_t count;
};

/*
 * request->peers: "host:port" or "http://host:port", plain, and "https://host:port", with the certificates that
 * request->certs have for it. All borrowed for the life of the list.
 */
int peer_list_load(struct peer_list *out_list, const struct reference *reference, const struct message_request *request,
		   const atomic_bool *stop, struct error *err);
void peer_list_fini(struct peer_list *list);
/* Does it have this blob? Takes patience_ms (20) at most. */
bool peer_has(struct peer *peer, struct remote *remote, const struct descriptor *blob);
