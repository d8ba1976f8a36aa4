/* SPDX-License-Identifier: Apache-2.0 */
/* container_ports.h - which ports a container wants published, and which are. */
#pragma once

#include "engine/container_document.h"
#include "network/network.h"

struct port_requests {
	struct network_port *items; /* owned; their texts are the document's */
	size_t count;
	size_t capacity;
};

/* -p and -P. ERR_INVALID "invalid port specification". */
int container_ports_collect(struct port_requests *requests, const struct container_document *document,
			    struct error *err);
/* What inspect shows: the exposed ports, and those of the endpoint (NULL: none) with their host ports. */
void container_ports_record(struct container_document *document, const struct network_endpoint *endpoint);
