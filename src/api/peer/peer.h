/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.h - this engine's store as a read-only registry (the distribution API's
 * GET and HEAD of blobs and manifests), for engines near by and any client.
 *
 * A digest is served to whoever knows it; a tag as the image is named here, with
 * its domain ("/v2/docker.io/library/debian/manifests/12", or ?ns=docker.io).
 */
#pragma once

#include "http/server.h"

/* The context is a pointer to a struct engine *, which may be opened later. */
extern const struct http_route peer_routes[];
int peer_not_found(void *context, struct http_request *request, struct http_response *response, struct error *err);
void peer_failed(void *context, struct http_request *request, struct http_response *response, const struct error *err);
