/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: struct lane is one direction, a buffer between a reader and a
 * writer. The front polls for what its lanes can use and moves bytes until both
 * have come to their end; an end of input on one side becomes a half close on
 * the other (close_notify here, shutdown there).
 */
#include "http/server_tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "http/server_private.h"

#define PRIORITIES "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define HANDSHAKE_PATIENCE_NS (15 * CLOCK_SECOND)
#define LANE_BYTES ((size_t)16 << 10)
#define TLS_HANDSHAKE_RECORD 0x16

struct tls_context {
	gnutls_certificate_credentials_t credentials;
	bool asks_clients;
};

struct lane {
	char data[LANE_BYTES];
	size_t from; /* unsent bytes: from..to */
	size_t to;
	bool ended; /* nothing more comes in */
	bool told;  /* and the other side knows */
};

struct tls_front {
	struct list_node node; /* in server->fronts */
	struct http_server *server;
	const struct listener *listener;
	const struct tls_context *context;
	gnutls_session_t session;
	int fd;	      /* the client */
	int plain_fd; /* our end of the pair */
	struct sockaddr_storage address;
	socklen_t address_size;
	struct lane in;
	struct lane out;
};

/* ---- context ---- */

static int load_files(struct tls_context *context, const struct http_tls *files, struct error *err)
{
	int r = gnutls_certificate_set_x509_key_file(context->credentials, files->certificate, files->key,
						     GNUTLS_X509_FMT_PEM);

	if (r < 0)
		return error_set(err, ERR_INVALID, "TLS certificate %s with key %s: %s", files->certificate, files->key,
				 gnutls_strerror(r));
	if (!files->client_authorities)
		return 0;
	r = gnutls_certificate_set_x509_trust_file(context->credentials, files->client_authorities,
						   GNUTLS_X509_FMT_PEM);
	if (r < 0)
		return error_set(err, ERR_INVALID, "TLS authorities %s: %s", files->client_authorities,
				 gnutls_strerror(r));
	if (r == 0)
		return error_set(err, ERR_INVALID, "TLS authorities %s: no certificate in it",
				 files->client_authorities);
	context->asks_clients = true;
	return 0;
}

int tls_context_new(struct tls_context **out_context, const struct http_tls *files, struct error *err)
{
	struct tls_context *context = xcalloc(1, sizeof(*context));
	int r = gnutls_certificate_allocate_credentials(&context->credentials);

	if (r < 0) {
		free(context);
		return error_set(err, ERR_INTERNAL, "TLS: %s", gnutls_strerror(r));
	}
	if (load_files(context, files, err) < 0) {
		tls_context_free(context);
		return -1;
	}
	*out_context = context;
	return 0;
}

void tls_context_free(struct tls_context *context)
{
	if (!context)
		return;
	gnutls_certificate_free_credentials(context->credentials);
	free(context);
}

/* ---- handshake ---- */

/* false: time is up, or the server ends. */
static bool await(int fd, short events, int64_t deadline_ns)
{
	struct pollfd item = { .fd = fd, .events = events };
	int64_t left_ns = deadline_ns - clock_monotonic_ns();

	return left_ns > 0 && poll(&item, 1, (int)(left_ns / CLOCK_MS) + 1) > 0;
}

/* Somebody who speaks plain HTTP here is told so, in the words people search for. */
static bool refuse_plain(int fd)
{
	static const char answer[] = "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
				     "Client sent an HTTP request to an HTTPS server.\n";
	unsigned char first = TLS_HANDSHAKE_RECORD;

	if (recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1 || first == TLS_HANDSHAKE_RECORD)
		return false;
	(void)!write(fd, answer, sizeof(answer) - 1);
	shutdown(fd, SHUT_WR);
	return true;
}

static int new_session(struct tls_front *front)
{
	static gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
						 .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT };
	const struct tls_context *context = front->context;
	int r = gnutls_init(&front->session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);

	if (r == 0)
		r = gnutls_priority_set_direct(front->session, PRIORITIES, NULL);
	if (r == 0)
		r = gnutls_credentials_set(front->session, GNUTLS_CRD_CERTIFICATE, context->credentials);
	if (r < 0)
		return r;
	gnutls_certificate_server_set_request(front->session,
					      context->asks_clients ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_IGNORE);
	if (context->asks_clients)
		gnutls_session_set_verify_cert2(front->session, &purpose, 1, 0);
	gnutls_transport_set_int(front->session, front->fd);
	return 0;
}

static bool shake_hands(struct tls_front *front)
{
	int64_t deadline = clock_monotonic_ns() + HANDSHAKE_PATIENCE_NS;
	int r = await(front->fd, POLLIN, deadline) && !refuse_plain(front->fd) ? new_session(front) : -1;

	while (r == 0) {
		r = gnutls_handshake(front->session);
		if (r == 0)
			return true;
		if (gnutls_error_is_fatal(r))
			break;
		/* A warning is no reason to wait. */
		if (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED) {
			short events = gnutls_record_get_direction(front->session) ? POLLOUT : POLLIN;

			if (!await(front->fd, events, deadline))
				return false;
		}
		r = 0;
	}
	if (front->session)
		gnutls_alert_send_appropriate(front->session, r);
	return false;
}

/* ---- moving bytes ---- */

static bool is_again(ssize_t r)
{
	return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED || r == GNUTLS_E_REHANDSHAKE ||
	       r == GNUTLS_E_WARNING_ALERT_RECEIVED;
}

static bool has_room(const struct lane *lane)
{
	return !lane->ended && lane->from == lane->to;
}

static bool is_filled(const struct lane *lane)
{
	return lane->to > lane->from;
}

/* Each step returns false when the whole connection is over. */
static bool read_client(struct tls_front *front)
{
	struct lane *lane = &front->in;
	ssize_t got;

	if (!has_room(lane))
		return true;
	got = gnutls_record_recv(front->session, lane->data, sizeof(lane->data));
	if (got < 0 && is_again(got))
		return true;
	if (got < 0 && got != GNUTLS_E_PREMATURE_TERMINATION)
		return false;
	lane->ended = got <= 0;
	lane->from = 0;
	lane->to = got > 0 ? (size_t)got : 0;
	return true;
}

static bool write_server(struct tls_front *front)
{
	struct lane *lane = &front->in;

	if (is_filled(lane)) {
		ssize_t sent = send(front->plain_fd, lane->data + lane->from, lane->to - lane->from,
				    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (sent < 0)
			/* A server that reads no more may still have an answer under way. */
			*lane = (struct lane){ .ended = true, .told = true };
		else
			lane->from += (size_t)sent;
	}
	if (lane->ended && !lane->told && !is_filled(lane)) {
		lane->told = true;
		shutdown(front->plain_fd, SHUT_WR);
	}
	return true;
}

static bool read_server(struct tls_front *front)
{
	struct lane *lane = &front->out;
	ssize_t got;

	if (!has_room(lane))
		return true;
	got = recv(front->plain_fd, lane->data, sizeof(lane->data), MSG_DONTWAIT);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	lane->ended = got == 0;
	lane->from = 0;
	lane->to = (size_t)got;
	return true;
}

static bool write_client(struct tls_front *front)
{
	struct lane *lane = &front->out;

	if (is_filled(lane)) {
		ssize_t sent = gnutls_record_send(front->session, lane->data + lane->from, lane->to - lane->from);

		if (sent < 0)
			return is_again(sent);
		lane->from += (size_t)sent;
	}
	if (lane->ended && !lane->told && !is_filled(lane)) {
		int r = gnutls_bye(front->session, GNUTLS_SHUT_WR);

		lane->told = r != GNUTLS_E_AGAIN && r != GNUTLS_E_INTERRUPTED;
	}
	return true;
}

static short client_events(const struct tls_front *front)
{
	short events = has_room(&front->in) ? POLLIN : 0;

	if (is_filled(&front->out) || (front->out.ended && !front->out.told))
		events |= POLLOUT;
	return events;
}

static short server_events(const struct tls_front *front)
{
	return (short)((has_room(&front->out) ? POLLIN : 0) | (is_filled(&front->in) ? POLLOUT : 0));
}

/* A server that closed its end has no use for more input. */
static bool is_over(const struct tls_front *front, short server_got)
{
	return front->out.told && (front->in.told || server_got & (POLLHUP | POLLERR));
}

static void pump(struct tls_front *front)
{
	short server_got = 0;

	while (!is_over(front, server_got)) {
		struct pollfd items[] = {
			{ .fd = front->fd, .events = client_events(front) },
			{ .fd = front->plain_fd, .events = server_events(front) },
		};
		/* Records that are decrypted already do not show on the socket. */
		bool waiting = gnutls_record_check_pending(front->session) > 0 && has_room(&front->in);

		if (poll(items, 2, waiting ? 0 : -1) < 0 && errno != EINTR)
			return;
		server_got = items[1].revents;
		/* A client that is gone for good, and nothing of it to be read. */
		if (items[0].revents & (POLLERR | POLLHUP) && !(items[0].revents & POLLIN))
			return;
		if (!read_client(front) || !write_server(front) || !read_server(front) || !write_client(front))
			return;
	}
}

/* ---- life ---- */

static void leave(struct tls_front *front)
{
	struct http_server *server = front->server;

	mutex_lock(&server->mutex);
	list_remove(&front->node);
	mutex_unlock(&server->mutex);
	if (front->session)
		gnutls_deinit(front->session);
	close(front->fd);
	if (front->plain_fd >= 0)
		close(front->plain_fd);
	free(front);
	/* The last that touches the server: tls_fronts_end() waits for it. */
	mutex_lock(&server->mutex);
	server->front_count--;
	condition_broadcast(&server->idle);
	mutex_unlock(&server->mutex);
}

/* The common name in the certificate it showed, which was verified; NULL: none. */
static char *client_name(const struct tls_front *front)
{
	char name[256];
	size_t size = sizeof(name);
	unsigned count = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(front->session, &count);
	gnutls_x509_crt_t certificate;
	int r;

	if (!front->context->asks_clients || !chain || count == 0 || gnutls_x509_crt_init(&certificate) < 0)
		return NULL;
	r = gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER);
	if (r == 0)
		r = gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size);
	gnutls_x509_crt_deinit(certificate);
	return r == 0 ? xstrndup(name, size) : NULL;
}

static void *front_thread(void *arg)
{
	struct tls_front *front = arg;
	int pair[2];

	if (shake_hands(front) && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
		front->plain_fd = pair[0];
		fd_set_nonblocking(pair[1], true);
		connection_start_take_fd(front->server, pair[1],
					 &(struct connection_origin){ front->listener, &front->address,
								      front->address_size, client_name(front) });
		pump(front);
	}
	leave(front);
	return NULL;
}

static bool enter(struct tls_front *front)
{
	struct http_server *server = front->server;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&server->mutex);

	if (server->stopping || server->front_count >= server->options.max_connections)
		return false;
	server->front_count++;
	list_add_last(&server->fronts, &front->node);
	return true;
}

void tls_front_start_take_fd(const struct listener *listener, int fd, const struct sockaddr_storage *address,
			     socklen_t address_size)
{
	struct tls_front *front = xcalloc(1, sizeof(*front));
	AUTO(error_clear) struct error err = { 0 };

	*front = (struct tls_front){ .server = listener->server,
				     .listener = listener,
				     .context = listener->tls,
				     .fd = fd,
				     .plain_fd = -1,
				     .address = *address,
				     .address_size = address_size };
	if (!enter(front)) {
		close(fd);
		free(front);
		return;
	}
	/* Without a thread it gets no handshake, only the end. */
	if (thread_start(NULL, "http-tls", front_thread, front, &err) < 0)
		leave(front);
}

void tls_fronts_end(struct http_server *server)
{
	mutex_lock(&server->mutex);
	LIST_FOR_EACH (node, &server->fronts) {
		shutdown(list_entry(node, struct tls_front, node)->fd, SHUT_RDWR);
	}
	while (server->front_count > 0)
		condition_wait(&server->idle, &server->mutex);
	mutex_unlock(&server->mutex);
}
