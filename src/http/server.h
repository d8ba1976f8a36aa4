/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - HTTP/1.1 server, thread per connection: one request is one stack.
 *
 * A route's handler runs in the connection's own thread and may block as long
 * as it likes; long waits also poll http_cancel_fd(), readable once the client
 * is gone. It answers in one of three ways: one http_reply*(); http_start()
 * and any number of http_write(); or http_hijack(). A handler that fails
 * (negative, err filled) before it answered gets its error answered by
 * options.failed. Patterns: "/containers/{name...}/json": {x} is one segment,
 * {x...} one or more characters, slashes too; the first route that fits wins.
 * Threads: a request and its response belong to their handler. SIGPIPE is the
 * program's to ignore.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

struct http_server;
struct http_request;
struct http_response;

typedef int (*http_handler)(void *context, struct http_request *request, struct http_response *response,
			    struct error *err);

enum http_route_flags {
	HTTP_BODY_STREAM = 1 /* the handler reads the body itself, unbounded: http_body_read() */
};

struct http_route {
	const char *method; /* NULL ends the table */
	const char *pattern;
	http_handler handler;
	unsigned flags;
};

struct http_answer {
	int status;
	const char *content_type; /* borrowed, may be NULL */
	const char *data;	  /* borrowed */
	size_t size;
};

struct http_server_options {
	const struct http_route *routes; /* borrowed */
	void *context;			 /* borrowed: first argument of everything below */
	http_handler before;		 /* may be NULL: common headers, http_set_path(); 1 = it has answered */
	http_handler not_found;		 /* no route fits */
	/* Just before the handler, with the body (but for streamed ones). It refuses by failing. May be NULL. */
	http_handler guard;
	/* A whole answer is ready; failing puts the error in its place. Not for streams and files. May be NULL. */
	int (*review)(void *context, struct http_request *request, const struct http_answer *answer, struct error *err);
	/* Turns an error into the answer, by http_reply*(). NULL: {"message": ...} with http_status_of(kind). */
	void (*failed)(void *context, struct http_request *request, struct http_response *response,
		       const struct error *err);
	/* The answer is decided: its status and the bytes announced. May be NULL; not called for hijacked connections. */
	void (*after)(void *context, const struct http_request *request, int status, uint64_t size);
	size_t body_limit; /* of bodies held in memory; 0: 4 MiB */
	bool direct;	   /* big bodies do not go through libmicrohttpd: faster, but they end their connection */
	size_t read_bytes; /* of a body at a time; 0: 32 KiB. Memory of each connection */
	unsigned max_connections; /* per listener; 0: 512 */
	unsigned idle_timeout_s;  /* of a silent connection between requests; 0: none */
	unsigned send_timeout_s;  /* of one blocked write to a client; 0: none */
};

int http_server_new(struct http_server **out_server, const struct http_server_options *options, struct error *err);
/*
 * "unix:///path" (mode 0660, group gid or -1; a dead socket is replaced, a live one is ERR_CONFLICT) or
 * "tcp://host:port" (port 0: any). Connections wait until http_server_start().
 */
int http_server_listen(struct http_server *server, const char *address, gid_t group, struct error *err);
struct http_tls {
	const char *certificate;	/* PEM file, with its chain */
	const char *key;		/* PEM file */
	const char *client_authorities; /* PEM file: clients must show a certificate signed by one; NULL: not asked */
};
/* "tcp://host:port" behind TLS 1.2 or 1.3. Files are read now; ERR_INVALID names the one that cannot be used. */
int http_server_listen_tls(struct http_server *server, const char *address, const struct http_tls *tls,
			   struct error *err);
/* An inherited listening socket; tls NULL: plain. A unix socket's name stays when the server ends. */
int http_server_listen_take_fd(struct http_server *server, int fd, const struct http_tls *tls, struct error *err);
/* New connections get this certificate from now on. On an error nothing changes. */
int http_server_reload_tls(struct http_server *server, const struct http_tls *tls, struct error *err);
int http_server_start(struct http_server *server, struct error *err);
/*
 * Takes no more connections; those that wait stay in the sockets' queues. Running requests go on, silent clients go.
 * true: all are gone. May be called again.
 */
bool http_server_drain(struct http_server *server, int64_t patience_ms);
/* A copy (yours) of the n-th listening socket for a successor: it then keeps its name. -1: there is none. */
int http_server_share_listener(struct http_server *server, size_t index);
/* TCP port of the n-th listener, 0 if it is none. */
uint16_t http_server_port(const struct http_server *server, size_t index);
/* Hangs up on every client, waits for their handlers, removes its unix sockets. */
void http_server_free(struct http_server *server);
DEFINE_AUTO(struct http_server, http_server_free)

/* ---- request; everything borrowed, living as long as the request ---- */

const char *http_method(const struct http_request *request);
/* Decoded, without the query. */
const char *http_path(const struct http_request *request);
/* Only in `before`: what the router shall see, e.g. without "/v1.41". */
void http_set_path(struct http_request *request, const char *path);
/* A free word for `before` to leave to the handlers (the API version). */
void http_set_tag(struct http_request *request, int64_t tag);
int64_t http_tag(const struct http_request *request);
/* The same with something of the handlers' own, which `free_note` (may be NULL) frees with the request. */
void http_set_note(struct http_request *request, void *note, void (*free_note)(void *note));
void *http_note(const struct http_request *request);
#define HTTP_CLIENT_MAX 64
/* The client's address without port, "-" if it has none. Returns out. */
const char *http_client(char out[HTTP_CLIENT_MAX], const struct http_request *request);
/* Monotonic time at which its headers were there. */
int64_t http_begun_ns(const struct http_request *request);
/* A name of the pattern; never NULL for names the pattern has. */
const char *http_param(const struct http_request *request, const char *name);
/* Only in `guard`: what the handler finds there. */
void http_set_param(struct http_request *request, const char *name, const char *value);
/* Of the route that fits, as it is in the table; "" if none does. */
const char *http_pattern(const struct http_request *request);
/* As the client wrote it: escapes, version and query. */
const char *http_target(const struct http_request *request);
/* Adds all headers; of repeated ones the last. */
void http_headers(const struct http_request *request, struct text_map *out_headers);
/* The address it came to, as given to http_server_listen*(); "fd://" for inherited sockets. */
const char *http_listener(const struct http_request *request);
/* The common name in the client's certificate; NULL: it showed none. */
const char *http_user(const struct http_request *request);
/* First value of a query key; NULL if it is absent. */
const char *http_query(const struct http_request *request, const char *key);
/* The index-th value of a repeated query key, NULL behind the last. */
const char *http_query_at(const struct http_request *request, const char *key, size_t index);
/* Case-insensitive; NULL if it is absent. */
const char *http_header(const struct http_request *request, const char *name);
/* The whole body (routes without HTTP_BODY_STREAM); NUL-terminated. */
const char *http_body(const struct http_request *request, size_t *out_size);
/* Length the client announced, -1 if it did not. */
int64_t http_body_length(const struct http_request *request);
/* HTTP_BODY_STREAM: bytes read, 0 at the end; ERR_CANCELED if the client hung up before the end. */
ssize_t http_body_read(struct http_request *request, void *data, size_t size, struct error *err);
/* HTTP_BODY_STREAM: the reading end of the same bytes, for another process. Borrowed. See http_body_whole(). */
int http_body_fd(struct http_request *request);
/* After end of file on http_body_fd(): 0 if that was the whole body, else ERR_CANCELED. */
int http_body_whole(struct http_request *request, struct error *err);
/* Readable (POLLIN) once the client is gone. Borrowed; -1 only when descriptors ran out. */
int http_cancel_fd(struct http_request *request);

/* ---- response ---- */

/* Adds a header; before the answer. */
void http_set_header(struct http_response *response, const char *name, const char *value);
/* Whole answers, with Content-Length. content_type NULL: no such header. */
void http_reply(struct http_response *response, int status, const char *content_type, const void *data, size_t size);
void http_reply_text(struct http_response *response, int status, const char *content_type, const char *text);
/* Takes the text. */
void http_reply_take(struct http_response *response, int status, const char *content_type, char *text);
void http_reply_empty(struct http_response *response, int status);
/* size bytes of a file from offset, by sendfile. Takes the descriptor. */
void http_reply_file_take_fd(struct http_response *response, int status, const char *content_type, int fd,
			     uint64_t offset, uint64_t size);
/*
 * size bytes as they come: read(arg) blocks until it has some (at most `room`), and a negative return breaks the answer
 * off. drop(arg) is called last, exactly once.
 */
void http_reply_reader(struct http_response *response, int status, const char *content_type, uint64_t size,
		       ssize_t (*read)(void *arg, void *data, size_t room), void (*drop)(void *arg), void *arg);
/* A HEAD answer that announces a length without a body. */
void http_reply_head(struct http_response *response, int status, const char *content_type, uint64_t size);

/* Starts a stream (chunked) and sends its headers at once. */
int http_start(struct http_response *response, int status, const char *content_type, struct error *err);
/* Sends now. ERR_CANCELED if the client is gone. */
int http_write(struct http_response *response, const void *data, size_t size, struct error *err);
/* True once headers of a stream went out: errors must then go into the stream. */
bool http_started(const struct http_response *response);

struct http_stream {
	int fd;		   /* blocking socket; borrowed */
	const void *early; /* bytes the client sent behind its request; read them first. Borrowed */
	size_t early_size;
};

/*
 * Turns the connection into a raw byte stream: 101 if the client asked to upgrade, else 200. When the handler has
 * returned 0, run(arg) owns the connection until it returns; then the connection is closed. drop(arg) is called
 * last, exactly once, also if the client vanished before.
 */
void http_hijack(struct http_response *response, const char *content_type,
		 void (*run)(void *arg, const struct http_stream *stream), void (*drop)(void *arg), void *arg);
bool http_wants_upgrade(const struct http_request *request);

/* 404 for ERR_NOT_FOUND and so on. */
int http_status_of(enum error_kind kind);
