/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/peer.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define PATIENCE_MS 20

static const struct message_auth anonymous;

/* Who listens to us learns what is run here: what shall be encrypted is, with a certificate that is good. */
static int add(struct peer *peer, const char *address, const struct message_request *request, const atomic_bool *stop,
	       struct error *err)
{
	struct source *source = &peer->source;
	bool tls = text_has_prefix(address, "https://");
	const char *scheme = strstr(address, "://");
	const char *host = scheme ? scheme + strlen("://") : address;

	if (tls && trust_load(&source->trust,
			      &(struct trust_options){ .host = host,
						       .folders = &request->certs,
						       .own = &request->folders,
						       .insecure = !remote_is_loopback(host) &&
								   trust_is_insecure(&request->insecure, host) },
			      err) < 0)
		return error_prefix(err, "peer %s", address);
	source->registry = registry_new(&(struct registry_options){ .host = host,
								    .auth = &anonymous,
								    .trust = &source->trust.remote,
								    .stop = stop,
								    .plain = !tls,
								    .tls_only = tls });
	return 0;
}

int peer_list_load(struct peer_list *out_list, const struct reference *reference, const struct message_request *request,
		   const atomic_bool *stop, struct error *err)
{
	*out_list = (struct peer_list){ .items = xcalloc(request->peers.count + 1, sizeof(struct peer)) };
	for (size_t i = 0; i < request->peers.count; i++) {
		struct source *source = &out_list->items[out_list->count++].source;

		out_list->items[i].patience_ms = (int)(request->peer_patience_ms ? request->peer_patience_ms
										 : PATIENCE_MS);
		if (add(&out_list->items[i], request->peers.items[i], request, stop, err) < 0)
			return -1;
		source->repository = xasprintf("%s/%s", reference->domain, reference->path);
		/* A domain with a port is no path; the digest is what counts. */
		if (strchr(source->repository, ':')) {
			free(source->repository);
			source->repository = xstrdup(reference->path);
		}
		source->scope = source_scope(source, "pull");
		source->digests = true;
	}
	return 0;
}

void peer_list_fini(struct peer_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		source_fini(&list->items[i].source);
	free(list->items);
	*list = (struct peer_list){ 0 };
}

bool peer_has(struct peer *peer, struct remote *remote, const struct descriptor *blob)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *path = NULL;

	if (atomic_load(&peer->silent))
		return false;
	path = xasprintf("%s/blobs/%s", peer->source.repository, blob->digest);
	if (registry_send(&response, peer->source.registry, remote,
			  &(struct registry_call){
				  .method = "HEAD", .path = path, .once = true, .timeout_ms = peer->patience_ms },
			  &ignored) < 0) {
		atomic_store(&peer->silent, true);
		return false;
	}
	return response.status == 200;
}
