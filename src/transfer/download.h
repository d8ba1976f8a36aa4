/* SPDX-License-Identifier: Apache-2.0 */
/*
 * download.h - one file from any http(s) server, through a kist-transfer of its
 * own: unprivileged, and gone when the download is canceled.
 *
 * The system's CAs, the environment's proxies, redirects as http/remote.h says.
 * The bytes are not proven: hash them.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct download {
	const char *url;
	const char *etag;	   /* of what is here already; NULL: nothing is */
	const char *authorization; /* value of that header, for the URL's own host only; NULL: none */
	int file_fd;		   /* empty, writable (borrowed) */
	uint64_t limit;		   /* bytes */
	void (*progress)(void *arg, uint64_t current, uint64_t total); /* may be NULL; total 0: not known */
	void *arg;
	int cancel_fd; /* 0 or -1: none */
};

struct downloaded {
	int status; /* 304: what has that etag is still right; only after a 2xx the file is filled */
	char *etag; /* owned, like the others; NULL: the server said none */
	char *modified;
};

/* An HTTP status is no error; no answer is: ERR_UNAVAILABLE. */
int download_run(struct downloaded *out_downloaded, const struct download *download, struct error *err);
void downloaded_fini(struct downloaded *downloaded);
