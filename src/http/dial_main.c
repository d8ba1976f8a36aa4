/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kist-dial HOST PORT [--ca FILE] [--cert FILE --key FILE] [--no-verify]: standard input and output become a TLS
 * connection. A program of its own, so that kist starts in milliseconds and needs nothing but libc. An end of input is
 * passed on and output still comes; an error is one line on standard error.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/options.h"
#include "base/text.h"

#define PIECE 16384

struct dial_options {
	const char *authorities;
	const char *certificate;
	const char *key;
	bool no_verify;
};

#define T struct dial_options
static const struct option_spec options_table[] = {
	OPTION_TEXT("ca", 0, T, authorities, "file", "Authorities to trust"),
	OPTION_TEXT("cert", 0, T, certificate, "file", "Our certificate"),
	OPTION_TEXT("key", 0, T, key, "file", "Its key"),
	OPTION_FLAG("no-verify", 0, T, no_verify, "Trust any certificate"),
	OPTION_END,
};
#undef T

static int dial(const char *host, const char *port, struct error *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int r = getaddrinfo(host, port, &hints, &found);
	int fd = -1;
	int failed = EHOSTUNREACH;

	if (r != 0)
		return error_set(err, ERR_UNAVAILABLE, "connect to %s: %s", host, gai_strerror(r));
	for (const struct addrinfo *each = found; each && fd < 0; each = each->ai_next) {
		fd = socket(each->ai_family, each->ai_socktype | SOCK_CLOEXEC, each->ai_protocol);
		if (fd >= 0 && connect(fd, each->ai_addr, each->ai_addrlen) < 0) {
			failed = errno;
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(found);
	return fd < 0 ? error_set_errno(err, ERR_UNAVAILABLE, failed, "connect to %s:%s", host, port) : fd;
}

static int load_files(gnutls_certificate_credentials_t credentials, const struct dial_options *options,
		      struct error *err)
{
	int r = options->authorities
			? gnutls_certificate_set_x509_trust_file(credentials, options->authorities, GNUTLS_X509_FMT_PEM)
			: gnutls_certificate_set_x509_system_trust(credentials);

	if (r < 0)
		return error_set(err, ERR_INVALID, "TLS authorities %s: %s",
				 options->authorities ? options->authorities : "of this machine", gnutls_strerror(r));
	if (!options->certificate && !options->key)
		return 0;
	r = gnutls_certificate_set_x509_key_file(credentials, text_or_empty(options->certificate),
						 text_or_empty(options->key), GNUTLS_X509_FMT_PEM);
	if (r < 0)
		return error_set(err, ERR_INVALID, "TLS certificate %s with key %s: %s",
				 text_or_empty(options->certificate), text_or_empty(options->key), gnutls_strerror(r));
	return 0;
}

static int shake_hands(gnutls_session_t session, const char *host, struct error *err)
{
	int r;

	do
		r = gnutls_handshake(session);
	while (r < 0 && !gnutls_error_is_fatal(r));
	if (r == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
		gnutls_datum_t why = { 0 };

		gnutls_certificate_verification_status_print(gnutls_session_get_verify_cert_status(session),
							     GNUTLS_CRT_X509, &why, 0);
		error_set(err, ERR_UNAUTHORIZED, "TLS: the certificate of %s: %s", host,
			  why.data ? (const char *)why.data : "not trusted");
		gnutls_free(why.data);
		return -1;
	}
	return r < 0 ? error_set(err, ERR_UNAVAILABLE, "TLS with %s: %s", host, gnutls_strerror(r)) : 0;
}

static int open_session(gnutls_session_t *out_session, gnutls_certificate_credentials_t credentials, int fd,
			const char *host, const struct dial_options *options, struct error *err)
{
	struct in6_addr address;
	int r = gnutls_init(out_session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL);

	if (r == 0)
		r = gnutls_priority_set_direct(*out_session, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", NULL);
	if (r == 0)
		r = gnutls_credentials_set(*out_session, GNUTLS_CRD_CERTIFICATE, credentials);
	/* An address is no name. */
	if (r == 0 && inet_pton(AF_INET, host, &address) != 1 && inet_pton(AF_INET6, host, &address) != 1)
		r = gnutls_server_name_set(*out_session, GNUTLS_NAME_DNS, host, strlen(host));
	if (r < 0)
		return error_set(err, ERR_INTERNAL, "TLS: %s", gnutls_strerror(r));
	if (!options->no_verify)
		gnutls_session_set_verify_cert(*out_session, host, 0);
	gnutls_transport_set_int(*out_session, fd);
	return shake_hands(*out_session, host, err);
}

/* false: it cannot be sent. */
static bool send_piece(gnutls_session_t session, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t sent = gnutls_record_send(session, data, size);

		if (sent < 0 && gnutls_error_is_fatal((int)sent))
			return false;
		if (sent > 0) {
			data += sent;
			size -= (size_t)sent;
		}
	}
	return true;
}

/* false: the input is at its end, which the server has been told. */
static bool pass_input(gnutls_session_t session)
{
	char piece[PIECE];
	ssize_t got = read(STDIN_FILENO, piece, sizeof(piece));

	if (got < 0 && errno == EINTR)
		return true;
	if (got > 0)
		return send_piece(session, piece, (size_t)got);
	gnutls_bye(session, GNUTLS_SHUT_WR);
	return false;
}

/* false: the connection is over. */
static bool pass_output(gnutls_session_t session)
{
	char piece[PIECE];
	ssize_t got = gnutls_record_recv(session, piece, sizeof(piece));

	if (got < 0 && !gnutls_error_is_fatal((int)got))
		return true;
	return got > 0 && write_full(STDOUT_FILENO, piece, (size_t)got) == 0;
}

static void pump(gnutls_session_t session, int fd)
{
	struct pollfd items[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = fd, .events = POLLIN } };

	for (;;) {
		bool waiting = gnutls_record_check_pending(session) > 0;

		if (poll(items, 2, waiting ? 0 : -1) < 0 && errno != EINTR)
			return;
		if (items[0].revents && !pass_input(session))
			items[0].fd = -1;
		if ((waiting || items[1].revents) && !pass_output(session))
			return;
	}
}

static int run(const struct dial_options *options, const struct text_list *operands, struct error *err)
{
	gnutls_certificate_credentials_t credentials = NULL;
	gnutls_session_t session = NULL;
	AUTO_CLOSE int fd = dial(operands->items[0], operands->items[1], err);
	int r = fd;

	if (r >= 0 && gnutls_certificate_allocate_credentials(&credentials) < 0)
		r = error_set(err, ERR_INTERNAL, "TLS: no memory");
	if (r >= 0)
		r = load_files(credentials, options, err);
	if (r >= 0)
		r = open_session(&session, credentials, fd, operands->items[0], options, err);
	if (r >= 0)
		pump(session, fd);
	if (session)
		gnutls_deinit(session);
	if (credentials)
		gnutls_certificate_free_credentials(credentials);
	return r < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list operands = { 0 };
	struct dial_options options = { 0 };
	int r = options_parse(options_table, &options, argc, argv, 0, &operands, &err);

	signal(SIGPIPE, SIG_IGN);
	if (r == 0 && operands.count != 2)
		r = error_set(&err, ERR_INVALID, "usage: kist-dial HOST PORT [OPTIONS]");
	if (r == 0)
		r = run(&options, &operands, &err);
	if (r < 0)
		fprintf(stderr, "kist-dial: %s\n", err.message);
	return r < 0 ? 1 : 0;
}
