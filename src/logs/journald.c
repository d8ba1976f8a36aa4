/* SPDX-License-Identifier: Apache-2.0 */
/* journald's native protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/random.h"
#include "logs/connection.h"
#include "logs/driver.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

struct journald_state {
	struct connection connection;
	struct text fixed; /* the fields that every message has */
	struct text entry;
	char epoch[65];
	uint64_t ordinal;
};

/* A value with newlines has its length in front, as 64 little-endian bits. */
static void add_field(struct text *out, const char *key, const char *value, size_t size)
{
	uint8_t length[8];

	text_add(out, key);
	if (!memchr(value, '\n', size)) {
		text_add_char(out, '=');
	} else {
		for (size_t i = 0; i < sizeof(length); i++)
			length[i] = (uint8_t)((uint64_t)size >> (8 * i));
		text_add_char(out, '\n');
		text_add_bytes(out, length, sizeof(length));
	}
	text_add_bytes(out, value, size);
	text_add_char(out, '\n');
}

static void add_text_field(struct text *out, const char *key, const char *value)
{
	add_field(out, key, text_or_empty(value), strlen(text_or_empty(value)));
}

/* Upper-case letters, digits and underscores, none of these in front. */
static char *field_name(const char *key)
{
	struct text name = { 0 };

	for (; *key; key++) {
		char c = (char)toupper((unsigned char)*key);

		if (!isascii((unsigned char)c) || !isalnum((unsigned char)c))
			c = '_';
		if (name.size > 0 || c != '_')
			text_add_char(&name, c);
	}
	return text_take(&name);
}

static void journald_close(void *context)
{
	struct journald_state *state = context;

	connection_fini(&state->connection);
	text_fini(&state->fixed);
	text_fini(&state->entry);
	free(state);
}

static int journald_open(void **out_state, const struct log_settings *settings, struct error *err)
{
	struct journald_state *state = xcalloc(1, sizeof(*state));
	AUTO_FREE char *short_id = xstrndup(settings->container_id, 12);

	state->connection = (struct connection){
		.fd = -1, .retries = 1, .address = { .scheme = xstrdup("unixgram"), .path = xstrdup(JOURNAL_SOCKET) }
	};
	if (connection_open(&state->connection, err) < 0) {
		journald_close(state);
		return error_prefix(err, "journald is not enabled on this host");
	}
	random_hex(state->epoch, 32);
	add_text_field(&state->fixed, "CONTAINER_ID", short_id);
	add_text_field(&state->fixed, "CONTAINER_ID_FULL", settings->container_id);
	add_text_field(&state->fixed, "CONTAINER_NAME", settings->container_name);
	add_text_field(&state->fixed, "CONTAINER_TAG", settings->tag);
	add_text_field(&state->fixed, "IMAGE_NAME", settings->image_name);
	add_text_field(&state->fixed, "SYSLOG_IDENTIFIER", settings->tag);
	add_text_field(&state->fixed, "CONTAINER_LOG_EPOCH", state->epoch);
	for (size_t i = 0; i < settings->attributes.count; i++) {
		AUTO_FREE char *name = field_name(settings->attributes.items[i].key);

		if (*name)
			add_text_field(&state->fixed, name, settings->attributes.items[i].value);
	}
	*out_state = state;
	return 0;
}

static int send_entry(void *context, struct error *err)
{
	struct journald_state *state = context;

	return connection_write(&state->connection, state->entry.data, state->entry.size, err);
}

static void add_partial(struct journald_state *state, const struct log_message *message)
{
	char ordinal[16];

	if (!message->partial)
		return;
	snprintf(ordinal, sizeof(ordinal), "%u", message->ordinal);
	if (!message->last)
		add_text_field(&state->entry, "CONTAINER_PARTIAL_MESSAGE", "true");
	add_text_field(&state->entry, "CONTAINER_PARTIAL_ID", message->partial_id);
	add_text_field(&state->entry, "CONTAINER_PARTIAL_ORDINAL", ordinal);
	add_text_field(&state->entry, "CONTAINER_PARTIAL_LAST", message->last ? "true" : "false");
}

static int journald_write(void *context, const struct log_message *message, struct error *err)
{
	struct journald_state *state = context;
	char time[CLOCK_TEXT_MAX];
	char ordinal[32];

	snprintf(ordinal, sizeof(ordinal), "%llu", (unsigned long long)++state->ordinal);
	text_reset(&state->entry);
	add_field(&state->entry, "MESSAGE", message->data, message->size);
	add_text_field(&state->entry, "PRIORITY", message->is_error ? "3" : "6");
	add_text_field(&state->entry, "SYSLOG_TIMESTAMP", clock_format(time, message->time_ns));
	add_text_field(&state->entry, "CONTAINER_LOG_ORDINAL", ordinal);
	add_partial(state, message);
	text_add_bytes(&state->entry, state->fixed.data, state->fixed.size);
	return connection_send(&state->connection, send_entry, state, err);
}

const struct log_driver journald_driver = { "journald", journald_open, journald_write, journald_close };
