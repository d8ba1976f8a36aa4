/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetcher.h - the other side of a kist-transfer that fetches documents and blobs
 * of one registry, one at a time, keeping its connection and its token. What it
 * hands over is not proven: hash it.
 *
 * Threads: one at a time; fetcher_stop() from any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "transfer/session.h"

struct fetcher;

struct fetcher_options {
	const char *server;		 /* "docker.io", "host:port", or a base URL; http:// allows plain http */
	const struct session_auth *auth; /* NULL: anonymous */
	const struct session_settings *settings; /* NULL: defaults */
};

int fetcher_new(struct fetcher **out_fetcher, const struct fetcher_options *options, struct error *err);
void fetcher_free(struct fetcher *fetcher);
DEFINE_AUTO(struct fetcher, fetcher_free)
/* Ends what it does now, with an error. */
void fetcher_stop(struct fetcher *fetcher);

struct fetch_head {
	int status;
	char *media_type; /* owned; "" if the registry said none */
	char *digest;	  /* owned; what the registry claims, or NULL */
	bool has_size;
	uint64_t size;
	char *link;    /* owned, or NULL */
	char *filters; /* owned, or NULL: OCI-Filters-Applied */
	char *etag;    /* owned, or NULL */
	size_t source; /* whose the first bytes are */
	char *mirror;  /* owned: its address, if another may be asked after it; else NULL */
};
void fetch_head_fini(struct fetch_head *head);

struct fetch_call {
	const char *method; /* "GET", "HEAD" */
	const char *path;   /* behind /v2/ */
	const char *scope;
	bool manifest;
	bool resume; /* content-addressed: after a cut it goes on where it was */
	bool once;
	size_t from;	  /* sources that are not asked: fetch_head.source + 1 if that one's bytes were wrong */
	const char *url;  /* instead of path: anywhere, with `text` as its body and these headers */
	const char *text; /* may be NULL */
	int send_fd;	  /* with send_size: a part of this file (borrowed) is the body */
	uint64_t send_offset;
	uint64_t send_size;
	const struct text_list *headers;
	/* Before the first bytes; may be NULL. */
	int (*on_head)(void *arg, const struct fetch_head *head, struct error *err);
	/* NULL: no bytes are wanted. */
	int (*on_bytes)(void *arg, const void *data, size_t size, struct error *err);
	void *arg;
};

/*
 * 0: a success status, all bytes were handed over. Else err has what the registry said, out_head->status its status, 0
 * if none came (ERR_UNAVAILABLE: it cannot be reached). *out_head is yours to fini in any case.
 * After a failure with fetcher_is_broken() the process is gone.
 */
int fetcher_send(struct fetch_head *out_head, struct fetcher *fetcher, const struct fetch_call *call,
		 struct error *err);
bool fetcher_is_broken(const struct fetcher *fetcher);
