/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server_private.h - what the files server*.c share, and nobody else sees.
 *
 * libmicrohttpd reads requests, keeps connections alive and sends whole
 * answers: a small daemon of its own for each connection, run by our thread,
 * so that what it complains of belongs to a known connection. Streams are
 * written by us to its socket from inside its handler call, which then ends the
 * connection; raw streams go through its upgrade.
 */
#pragma once

#include <microhttpd.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/buffer.h"
#include "base/list.h"
#include "base/text.h"
#include "base/thread.h"
#include "http/server.h"
#include "http/uri.h"

enum answer_kind { ANSWER_NONE, ANSWER_DATA, ANSWER_FILE, ANSWER_HEAD, ANSWER_READER, ANSWER_STREAM, ANSWER_HIJACK };

struct http_response {
	struct http_request *request;
	enum answer_kind kind;
	int status;
	struct text_list names;
	struct text_list values;
	char *data;    /* owned: ANSWER_DATA */
	uint64_t size; /* of data, of the file's part, or as announced */
	int fd;	       /* owned: ANSWER_FILE */
	uint64_t offset;
	bool chunked;
	bool broken; /* a stream whose client is gone */
	void (*run)(void *arg, const struct http_stream *stream);
	ssize_t (*read)(void *arg, void *data, size_t room); /* ANSWER_READER */
	void (*drop)(void *arg);
	void *arg;
};

struct http_connection {
	struct list_node node; /* in server->connections */
	struct http_server *server;
	struct MHD_Daemon *daemon;
	int fd; /* libmicrohttpd's, which closes it */
	struct sockaddr_storage address;
	socklen_t address_size;
	const struct listener *listener; /* borrowed */
	char *user;			 /* owned; NULL: no certificate */
	struct http_request *request;	 /* the one that is being read or answered, or NULL */
	bool over;			 /* nothing more is read from it */
	atomic_bool busy;		 /* a request is being read or answered */
	atomic_bool served;		 /* one was answered */
	int64_t begun_ns;
};

struct http_request {
	struct http_server *server;
	struct http_connection *owner;
	struct MHD_Connection *connection;
	int fd; /* borrowed: the connection's socket */
	bool http_1_0;
	bool begun;    /* headers were looked at */
	bool complete; /* the client has nothing more to send of it */
	bool bad_target;
	bool too_large;
	struct http_uri uri;
	char *target;
	const char *method; /* borrowed from libmicrohttpd */
	struct text_map params;
	const struct http_route *route; /* NULL: none fits */
	int64_t tag;
	void *note;
	void (*free_note)(void *note);
	int64_t begun_ns;
	struct buffer body;
	int cancel_fd;
	struct http_response response;
	/* A streamed body: the handler runs in its own thread and reads what libmicrohttpd feeds into the pipe. */
	int pipe[2];
	pthread_t thread;
	bool thread_runs;
	/* A streamed body that the handler reads from the socket itself: server_direct.c */
	bool direct;
	const char *early; /* borrowed: what libmicrohttpd had read of it */
	size_t early_size;
	uint64_t left;	 /* still in the socket */
	bool body_whole; /* set before the pipe's writing end is closed */
	/* A raw stream answered with 200: our socket while libmicrohttpd says 101 to nobody. */
	int real_fd;
	int nobody_fd;
};

struct listener {
	int fd;
	char *name;			 /* owned: the address it was opened with */
	char *unix_path;		 /* owned; NULL for others */
	struct tls_context *_Atomic tls; /* owned; NULL: plain */
	uint16_t port;
	struct http_server *server;
	pthread_t thread; /* accepts */
	bool thread_runs;
};

struct http_server {
	struct http_server_options options;
	struct listener *listeners;
	size_t listener_count;
	size_t listener_capacity;
	int stop_fd;	       /* eventfd: no more connections */
	struct mutex mutex;    /* guards what follows */
	struct condition idle; /* a connection ended */
	struct list connections;
	unsigned connection_count;
	struct list fronts; /* TLS, see server_tls.h */
	unsigned front_count;
	bool stopping;
	atomic_bool draining;
	struct tls_context **retired; /* owned: of before a reload; clients may still shake hands with one */
	size_t retired_count;
	size_t retired_capacity;
};

/* server_listen.c */
int listener_open(struct listener *listener, const char *address, gid_t group, struct error *err);
int listener_adopt(struct listener *listener, int fd, struct error *err);
void listener_close(struct listener *listener);

/* server_connection.c */
struct connection_origin {
	const struct listener *listener; /* borrowed */
	const struct sockaddr_storage *address;
	socklen_t address_size;
	char *user; /* owned, moves: of the client's certificate; NULL: none */
};
/* Serves the socket in a thread of its own; closes it in any case. */
void connection_start_take_fd(struct http_server *server, int fd, const struct connection_origin *origin);
/* The connection's request for what libmicrohttpd reads now. */
enum MHD_Result connection_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
				   const char *version, const char *data, size_t *size, void **request_cls);

/* server_request.c */
/* A request of which nothing is known yet; target and connection may be NULL: it was unreadable. */
struct http_request *request_new(struct http_connection *owner, const char *target, struct MHD_Connection *connection);
void request_free(struct http_request *request);
void request_begin(struct http_request *request, const char *method, const char *version);
void request_feed(struct http_request *request, const char *data, size_t size);
/* The body is complete, or the client is gone. */
void request_body_end(struct http_request *request, bool whole);
void request_run(struct http_request *request);
/* Guard, handler, review: the answer is there afterwards. */
void request_call_handler(struct http_request *request);

/* server_direct.c */
bool request_is_direct(const struct http_request *request);
/* Runs the handler; data: the body's first bytes. */
void request_run_direct(struct http_request *request, const char *data, size_t size);
ssize_t request_read_direct(struct http_request *request, void *data, size_t size, struct error *err);
bool response_is_direct(const struct http_response *response);
/* The whole answer; the connection ends with it. */
void response_send_direct(struct http_response *response);

/* server_response.c */
void response_fini(struct http_response *response);
void response_fail(struct http_response *response, const struct error *err);
/* Writes a whole answer (ANSWER_DATA) to the socket by ourselves; the connection ends with it. */
int response_send_last(struct http_response *response);
/* MHD_NO ends the connection: the answer is out already, or the client is gone. */
enum MHD_Result response_send(struct http_response *response);
/* The status line and headers of an answer we write ourselves; connection_header may be NULL. */
void response_head(struct text *out, struct http_response *response, const char *connection_header);
int socket_send(int fd, const struct iovec *parts, size_t count, unsigned timeout_s);
