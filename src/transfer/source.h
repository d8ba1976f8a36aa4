/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - where an image may come from: the mirrors of its domain, then the
 * registry itself, each with its own trust and credentials.
 */
#pragma once

#include <stdatomic.h>

#include "transfer/registry.h"
#include "transfer/trust.h"

struct source {
	struct trust trust;
	struct registry *registry;
};

struct source_list {
	struct source *items; /* fixed after source_list_load() */
	size_t count;
};

/* domain: "docker.io" or a host. All borrowed for the life of the list. */
int source_list_load(struct source_list *out_list, const char *domain, const struct message_request *request,
		     const atomic_bool *stop, struct error *err);
void source_list_fini(struct source_list *list);
