/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote.h - HTTP(S) requests to servers elsewhere, over libcurl.
 *
 * A struct remote keeps connections alive between requests; one thread at a
 * time. remote_send() blocks until the response is whole. An HTTP status is
 * never an error here; no answer is, and response->failure says which kind.
 * Redirects are followed for GET and HEAD; Authorization is never carried to
 * another scheme, host or port, nor anything from https to http. Proxies come
 * from the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), never for loopback.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

struct remote;

/* How a server proves itself, and we to it. PEM texts (borrowed); NULL: the system's CAs, no client certificate. */
struct remote_trust {
	bool insecure; /* no verification */
	const char *ca_pem;
	const char *client_cert_pem;
	const char *client_key_pem;
};

enum remote_failure {
	REMOTE_FINE,
	REMOTE_NO_HOST,	    /* the name was not resolved */
	REMOTE_NO_CONNECT,  /* refused, unreachable, or no answer to connect */
	REMOTE_NO_TLS,	    /* what answered does not speak TLS as we do */
	REMOTE_NOT_TRUSTED, /* certificate refused */
	REMOTE_CUT,	    /* the connection ended early */
	REMOTE_TIMEOUT,
	REMOTE_STOPPED, /* *stop became true */
	REMOTE_REFUSED, /* on_body failed, the body was too large, or a redirect was not allowed */
};

struct remote_response {
	int status;
	enum remote_failure failure;
	struct text_map headers; /* names in lower case; repeated ones joined by ", " */
	char *url;		 /* owned: where the answer came from, after redirects */
	struct buffer body;	 /* unless on_body took it; of an error status at most 64 KiB */
};

struct remote_request {
	const char *method; /* NULL: GET */
	const char *url;
	const struct text_list *headers;     /* "Name: value" */
	const struct text_list *own_headers; /* the same, but only for url's own host */
	const char *authorization;	     /* value of that header, or NULL; only for url's own host */
	const struct remote_trust *trust;
	const void *body;     /* NULL: none, or body_fd; "" sends an empty one */
	int body_fd;	      /* 0 and -1: none */
	uint64_t body_offset; /* where in body_fd it starts */
	uint64_t body_size;
	/*
	 * Instead of body_fd, for a body whose end is not known yet: at most `size` bytes from an offset, 0 at the end,
	 * -1 with err filled. May block; gets on_more_arg.
	 */
	ssize_t (*on_more)(void *arg, uint64_t offset, void *data, size_t size, struct error *err);
	void *on_more_arg;
	void (*on_sent)(void *arg, uint64_t bytes); /* of body_fd, in this request so far; may be NULL */
	int timeout_ms;				    /* for all of it; 0: only silence ends it */
	uint64_t body_limit;			    /* of the response, for struct buffer; 0: 1 MiB */
	/* Takes the body of a 2xx response in pieces. */
	int (*on_body)(void *arg, const struct remote_response *head, const void *data, size_t size, struct error *err);
	void *arg;
};

struct remote_options {
	const char *user_agent;	 /* NULL: "kist/<version>" */
	int connect_timeout_s;	 /* 0: 15 */
	int stall_timeout_s;	 /* no byte for so long; 0: 60 */
	const atomic_bool *stop; /* borrowed; NULL: none */
};

/* Once per program, before any thread. */
void remote_global_init(void);

struct remote *remote_new(const struct remote_options *options);
void remote_free(struct remote *remote);
DEFINE_AUTO(struct remote, remote_free)

/* *out_response is zeroed by the caller and freed with remote_response_fini(), also after a failure. */
int remote_send(struct remote_response *out_response, struct remote *remote, const struct remote_request *request,
		struct error *err);
void remote_response_fini(struct remote_response *response);
/* Borrowed, or NULL; name in lower case. */
const char *remote_header(const struct remote_response *response, const char *name);

/* "host:port" of a URL, the port only if it is written; yours, NULL if it is no http(s) URL. */
char *remote_url_host(const char *url);
/* An absolute URL from one found in a Location header; yours, NULL if it makes none. */
char *remote_url_resolve(const char *base, const char *location);
/* localhost, 127.0.0.0/8, ::1; with or without a port. */
bool remote_is_loopback(const char *host);
