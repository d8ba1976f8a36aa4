/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.h - one registry: its base URL, who we are there, and requests that
 * answer challenges and try again when it is worth it.
 *
 * Threads: share the registry, give each thread its own struct remote.
 */
#pragma once

#include <stdatomic.h>

#include "http/remote.h"
#include "transfer/message.h"

struct registry;

struct registry_options {
	const char *host;		  /* "registry-1.docker.io", "localhost:5000" */
	const struct message_auth *auth;  /* borrowed */
	const struct remote_trust *trust; /* borrowed; insecure means: plain http may be tried too */
	const atomic_bool *stop;	  /* borrowed */
	bool plain;			  /* known to speak plain http */
	bool tls_only;			  /* insecure means no more than that its certificate is not verified */
	bool whole_path;		  /* host has a path that takes the place of /v2 */
	const char *origin;		  /* borrowed: the registry a mirror stands for, told as ?ns=; NULL: not told */
	const struct text_list *headers;  /* borrowed: sent to this host with every request; NULL: none */
};

struct registry *registry_new(const struct registry_options *options);
void registry_free(struct registry *registry);
DEFINE_AUTO(struct registry, registry_free)

struct registry_call {
	const char *method; /* NULL: GET */
	const char *path;   /* behind /v2/ */
	bool is_root;	    /* behind / alone */
	const char *url;    /* instead of path: a Location the registry gave; authorized on its own host only */
	const char *scope;  /* "repository:library/debian:pull"; NULL: what the challenge says */
	const struct text_list *headers;
	uint64_t body_limit;
	int (*on_body)(void *arg, const struct remote_response *head, const void *data, size_t size, struct error *err);
	void *arg;
	const void *body; /* as in remote.h */
	int body_fd;
	uint64_t body_offset;
	uint64_t body_size;
	ssize_t (*on_more)(void *arg, uint64_t offset, void *data, size_t size, struct error *err);
	void *on_more_arg;
	void (*on_sent)(void *arg, uint64_t bytes);
	int timeout_ms;	    /* 0: none */
	bool once;	    /* the caller tries again by itself */
	bool offline_token; /* a login: ask for a refresh token */
};

/*
 * Sends with authorization, retries 408, 429 and 5xx (Retry-After) and, without
 * on_body, cut connections. Any status may come back, but 401 only if no
 * credentials could help.
 */
int registry_send(struct remote_response *out_response, struct registry *registry, struct remote *remote,
		  const struct registry_call *call, struct error *err);

/* "https://host": the scheme is known after the first answer. Yours. */
char *registry_base(struct registry *registry);
/* The refresh token that came with a token, or "" (yours). */
char *registry_refresh_token(struct registry *registry);

/* 408, 429 and 5xx that may be over soon. */
bool registry_is_passing_status(int status);
/* Of the header of that name, 0 if there is none. */
int64_t registry_retry_after_s(const struct remote_response *response);

/* Sleeps before try number `attempt` (from 1), at least retry_after_s; false when stopped. */
bool registry_pause(const struct registry *registry, int attempt, int64_t retry_after_s);
