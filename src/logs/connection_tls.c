/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "logs/connection.h"

#define PRIORITIES "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct tls_session {
	gnutls_certificate_credentials_t credentials;
	gnutls_session_t session;
};

bool connection_uses_tls(const struct connection *connection)
{
	return text_equal(connection->address.scheme, "tcp+tls") || text_equal(connection->address.scheme, "tls");
}

static int load_files(struct tls_session *tls, const struct connection_tls *options, struct error *err)
{
	int r = options->authorities ? gnutls_certificate_set_x509_trust_file(tls->credentials, options->authorities,
									      GNUTLS_X509_FMT_PEM)
				     : gnutls_certificate_set_x509_system_trust(tls->credentials);

	if (options->authorities && r <= 0)
		return error_set(err, ERR_INVALID, "TLS authorities %s: %s", options->authorities,
				 r == 0 ? "no certificate in it" : gnutls_strerror(r));
	if (!options->certificate || !options->key)
		return 0;
	r = gnutls_certificate_set_x509_key_file(tls->credentials, options->certificate, options->key,
						 GNUTLS_X509_FMT_PEM);
	return r < 0 ? error_set(err, ERR_INVALID, "TLS certificate %s with key %s: %s", options->certificate,
				 options->key, gnutls_strerror(r))
		     : 0;
}

static int prepare(struct tls_session *tls, const struct connection *connection)
{
	const char *host = connection->address.host;
	struct in6_addr address;
	int r = gnutls_init(&tls->session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL);

	if (r == 0)
		r = gnutls_priority_set_direct(tls->session, PRIORITIES, NULL);
	if (r == 0)
		r = gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->credentials);
	if (r < 0)
		return r;
	/* RFC 6066: no addresses in a server name. */
	if (inet_pton(AF_INET, host, &address) != 1 && inet_pton(AF_INET6, host, &address) != 1)
		gnutls_server_name_set(tls->session, GNUTLS_NAME_DNS, host, strlen(host));
	if (!connection->tls_options.skip_verify)
		gnutls_session_set_verify_cert(tls->session, host, 0);
	gnutls_transport_set_int(tls->session, connection->fd);
	return 0;
}

static int shake_hands(struct tls_session *tls, const struct connection *connection, struct error *err)
{
	int r = prepare(tls, connection);

	while (r == 0 && (r = gnutls_handshake(tls->session)) < 0 && !gnutls_error_is_fatal(r) && r != GNUTLS_E_AGAIN)
		r = 0;
	return r < 0 ? error_set(err, ERR_INTERNAL, "dial tls %s: %s", connection->address.host, gnutls_strerror(r))
		     : 0;
}

int tls_session_open(struct tls_session **out_session, const struct connection *connection, struct error *err)
{
	struct tls_session *tls = xcalloc(1, sizeof(*tls));

	if (gnutls_certificate_allocate_credentials(&tls->credentials) < 0 ||
	    load_files(tls, &connection->tls_options, err) < 0 || shake_hands(tls, connection, err) < 0) {
		tls_session_close(tls);
		return error_is_set(err) ? -1 : error_set(err, ERR_INTERNAL, "TLS: no credentials");
	}
	*out_session = tls;
	return 0;
}

void tls_session_close(struct tls_session *session)
{
	if (!session)
		return;
	if (session->session)
		gnutls_bye(session->session, GNUTLS_SHUT_WR);
	gnutls_deinit(session->session);
	gnutls_certificate_free_credentials(session->credentials);
	free(session);
}

long tls_session_write(struct tls_session *session, const void *data, size_t size)
{
	ssize_t r;

	do {
		r = gnutls_record_send(session->session, data, size);
	} while (r == GNUTLS_E_INTERRUPTED);
	return r;
}

long tls_session_read(struct tls_session *session, void *data, size_t size)
{
	ssize_t r;

	do {
		r = gnutls_record_recv(session->session, data, size);
	} while (r == GNUTLS_E_INTERRUPTED);
	return r;
}

const char *tls_session_problem(long code)
{
	return gnutls_strerror((int)code);
}
