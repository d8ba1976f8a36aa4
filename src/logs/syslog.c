/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syslog: RFC 3164 (local and remote forms), RFC 5424, and its framing over TLS
 * (RFC 5425: the length in front); else a newline behind each message.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "logs/connection.h"
#include "logs/driver.h"
#include "logs/options.h"

#define SEVERITY_ERROR 3
#define SEVERITY_INFO 6

struct syslog_state {
	struct connection connection;
	const struct log_settings *settings;
	const char *format;
	int facility;
	bool local;
	char host[256];
	struct text frame;
};

/* The places where a syslog daemon listens on this machine. */
static int open_local(struct syslog_state *state, struct error *err)
{
	static const char *const paths[] = { "/dev/log", "/var/run/syslog", "/var/run/log" };
	static const char *const schemes[] = { "unixgram", "unix" };

	for (size_t i = 0; i < 3 * 2; i++) {
		AUTO(error_clear) struct error problem = { 0 };

		log_address_fini(&state->connection.address);
		state->connection.address.scheme = xstrdup(schemes[i / 3]);
		state->connection.address.path = xstrdup(paths[i % 3]);
		if (connection_open(&state->connection, &problem) == 0)
			return 0;
	}
	return error_set(err, ERR_INTERNAL, "Unix syslog delivery error");
}

static int open_remote(struct syslog_state *state, const char *address, struct error *err)
{
	struct connection *connection = &state->connection;

	if (log_address_parse(&connection->address, address, "", err) < 0)
		return -1;
	if (connection_open(connection, err) == 0)
		return 0;
	/* "unix://" names a path; which kind of socket is there is the daemon's choice. */
	if (err->errnum != EPROTOTYPE || !text_equal(connection->address.scheme, "unix"))
		return -1;
	error_clear(err);
	free(connection->address.scheme);
	connection->address.scheme = xstrdup("unixgram");
	return connection_open(connection, err);
}

static void syslog_close(void *context)
{
	struct syslog_state *state = context;

	connection_fini(&state->connection);
	text_fini(&state->frame);
	free(state);
}

static int syslog_open(void **out_state, const struct log_settings *settings, struct error *err)
{
	const struct text_map *options = &settings->options;
	const char *address = text_map_get(options, "syslog-address");
	struct syslog_state *state = xcalloc(1, sizeof(*state));
	int r;

	state->settings = settings;
	state->local = text_empty(address) || text_has_prefix(address, "unix");
	state->format = text_or_empty(text_map_get(options, "syslog-format"));
	state->facility = log_syslog_facility(text_map_get(options, "syslog-facility"));
	state->connection = (struct connection){
		.fd = -1,
		.default_port = "514",
		.retries = 1,
		.tls_options = { .authorities = text_map_get(options, "syslog-tls-ca-cert"),
				 .certificate = text_map_get(options, "syslog-tls-cert"),
				 .key = text_map_get(options, "syslog-tls-key"),
				 .skip_verify = text_map_get(options, "syslog-tls-skip-verify") != NULL },
	};
	if (gethostname(state->host, sizeof(state->host) - 1) < 0)
		state->host[0] = '-';
	r = text_empty(address) ? open_local(state, err) : open_remote(state, address, err);
	if (r < 0)
		syslog_close(state);
	else
		*out_state = state;
	return r;
}

static void add_header(struct syslog_state *state, const struct log_message *message)
{
	int priority = state->facility * 8 + (message->is_error ? SEVERITY_ERROR : SEVERITY_INFO);
	const char *tag = text_or_empty(state->settings->tag);
	time_t seconds = (time_t)(message->time_ns / CLOCK_SECOND);
	int pid = (int)getpid();
	struct tm local;
	char stamp[64];
	char zoned[64];
	char zone[16];

	localtime_r(&seconds, &local);
	strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &local);
	strftime(zone, sizeof(zone), "%z", &local);
	strftime(zoned, sizeof(zoned), "%Y-%m-%dT%H:%M:%S", &local);
	if (text_has_prefix(state->format, "rfc5424")) {
		text_addf(&state->frame, "<%d>1 %s", priority, zoned);
		if (text_equal(state->format, "rfc5424micro"))
			text_addf(&state->frame, ".%06lld",
				  (long long)(message->time_ns % CLOCK_SECOND / (CLOCK_SECOND / 1000000)));
		text_addf(&state->frame, "%.3s:%s %s %s %d %s - ", zone, zone + 3, state->host, tag, pid, tag);
	} else if (text_equal(state->format, "rfc3164")) {
		text_addf(&state->frame, "<%d>%s %s %s[%d]: ", priority, stamp, state->host, tag, pid);
	} else if (state->local) {
		text_addf(&state->frame, "<%d>%s %s[%d]: ", priority, stamp, tag, pid);
	} else {
		text_addf(&state->frame, "<%d> %s%.3s:%s %s %s[%d]: ", priority, zoned, zone, zone + 3, state->host,
			  tag, pid);
	}
}

static int send_frame(void *context, struct error *err)
{
	struct syslog_state *state = context;

	return connection_write(&state->connection, state->frame.data, state->frame.size, err);
}

static int syslog_write(void *context, const struct log_message *message, struct error *err)
{
	struct syslog_state *state = context;

	text_reset(&state->frame);
	add_header(state, message);
	text_add_bytes(&state->frame, message->data, message->size);
	text_add_char(&state->frame, '\n');
	if (text_has_prefix(state->format, "rfc5424") && connection_uses_tls(&state->connection)) {
		AUTO_FREE char *plain = text_take(&state->frame);

		text_addf(&state->frame, "%zu ", strlen(plain));
		text_add(&state->frame, plain);
	}
	return connection_send(&state->connection, send_frame, state, err);
}

const struct log_driver syslog_driver = { "syslog", syslog_open, syslog_write, syslog_close };
