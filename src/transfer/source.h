/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - where a repository may be: the mirrors of its registry in their
 * order, then the registry itself, each with its own trust and credentials.
 */
#pragma once

#include <stdatomic.h>

#include "oci/reference.h"
#include "transfer/hosts.h"
#include "transfer/registry.h"
#include "transfer/trust.h"

struct source {
	struct trust trust;
	struct message_auth login; /* at a mirror; what the request says is for the registry itself */
	struct registry *registry;
	char *repository; /* the path there: "library/debian" */
	char *scope;	  /* to read it */
	bool tags;	  /* may say what a tag means */
	bool digests;	  /* may be asked by digest */
	bool pushes;
};

struct source_list {
	struct source *items; /* fixed after source_list_load() */
	size_t count;
	char *domain;
	struct host_list hosts; /* what the sources were made of */
};

/* Of the reference only its domain and path count. All borrowed for the life of the list. */
int source_list_load(struct source_list *out_list, const struct reference *reference,
		     const struct message_request *request, const atomic_bool *stop, struct error *err);
/*
 * Of request->server, a name or a base URL, instead of a repository: requests name theirs. Of the machine's files only
 * the hosts.toml below request->certs count: those of the system may lead back to whoever asks.
 */
int source_list_load_server(struct source_list *out_list, const struct message_request *request,
			    const atomic_bool *stop, struct error *err);
void source_fini(struct source *source);
void source_list_fini(struct source_list *list);
/* The one that takes pushes and deletions and knows users: the registry itself, mostly. Never NULL. */
struct source *source_list_own(const struct source_list *list);
/* "repository:<path>:pull,push" there; yours. */
char *source_scope(const struct source *source, const char *actions);
