/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fluentd's forward protocol, message mode: [tag, time, record] in MessagePack,
 * and [tag, time, record, {"chunk": id}] answered by {"ack": id} on request.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/random.h"
#include "logs/connection.h"
#include "logs/driver.h"
#include "logs/options.h"

#define RETRIES INT32_MAX
#define RETRY_WAIT_MS 1000

struct fluentd_state {
	struct connection connection;
	const struct log_settings *settings;
	bool sub_second;
	bool wants_ack;
	int64_t reconnect_ns; /* 0: never without need */
	int64_t connected_ns;
	char chunk[33];
	struct text frame;
};

/* ---- MessagePack ---- */

static void add_big_endian(struct text *out, uint64_t value, size_t bytes)
{
	for (size_t i = bytes; i > 0; i--)
		text_add_char(out, (char)(uint8_t)(value >> (8 * (i - 1))));
}

static void pack_text(struct text *out, const char *data, size_t size)
{
	if (size < 32) {
		text_add_char(out, (char)(0xa0 | size));
	} else if (size < 256) {
		text_add_char(out, (char)0xd9);
		add_big_endian(out, size, 1);
	} else if (size < 65536) {
		text_add_char(out, (char)0xda);
		add_big_endian(out, size, 2);
	} else {
		text_add_char(out, (char)0xdb);
		add_big_endian(out, size, 4);
	}
	text_add_bytes(out, data, size);
}

static void pack_map(struct text *out, size_t count)
{
	if (count < 16) {
		text_add_char(out, (char)(0x80 | count));
	} else {
		text_add_char(out, (char)0xde);
		add_big_endian(out, count, 2);
	}
}

static void pack_pair(struct text *out, const char *key, const char *value)
{
	pack_text(out, key, strlen(key));
	pack_text(out, text_or_empty(value), strlen(text_or_empty(value)));
}

static void pack_time(struct text *out, int64_t time_ns, bool sub_second)
{
	if (sub_second) {
		/* EventTime: extension 0 of 8 bytes */
		text_add_bytes(out, "\xd7\0", 2);
		add_big_endian(out, (uint64_t)(time_ns / CLOCK_SECOND), 4);
		add_big_endian(out, (uint64_t)(time_ns % CLOCK_SECOND), 4);
		return;
	}
	text_add_char(out, (char)0xce);
	add_big_endian(out, (uint64_t)(time_ns / CLOCK_SECOND), 4);
}

static void pack_record(struct text *out, const struct log_settings *settings, const struct log_message *message)
{
	AUTO_FREE char *name = xasprintf("/%s", text_or_empty(settings->container_name));
	char ordinal[16];

	pack_map(out, 4 + settings->attributes.count + (message->partial ? 4 : 0));
	pack_pair(out, "container_id", settings->container_id);
	pack_pair(out, "container_name", name);
	pack_pair(out, "source", message->is_error ? "stderr" : "stdout");
	pack_text(out, "log", 3);
	pack_text(out, message->data, message->size);
	for (size_t i = 0; i < settings->attributes.count; i++)
		pack_pair(out, settings->attributes.items[i].key, settings->attributes.items[i].value);
	if (!message->partial)
		return;
	snprintf(ordinal, sizeof(ordinal), "%u", message->ordinal);
	pack_pair(out, "partial_message", "true");
	pack_pair(out, "partial_id", message->partial_id);
	pack_pair(out, "partial_ordinal", ordinal);
	pack_pair(out, "partial_last", message->last ? "true" : "false");
}

/* ---- driver ---- */

static void fluentd_close(void *context)
{
	struct fluentd_state *state = context;

	connection_fini(&state->connection);
	text_fini(&state->frame);
	free(state);
}

static int64_t duration_ms(const struct text_map *options, const char *key, int64_t otherwise)
{
	const char *text = text_map_get(options, key);
	int64_t ns;

	return !text_empty(text) && clock_parse_duration(&ns, text) == 0 ? ns / CLOCK_MS : otherwise;
}

static int fluentd_open(void **out_state, const struct log_settings *settings, struct error *err)
{
	const struct text_map *options = &settings->options;
	const char *address = text_map_get(options, "fluentd-address");
	const char *retries = text_map_get(options, "fluentd-max-retries");
	struct fluentd_state *state = xcalloc(1, sizeof(*state));
	uint64_t count;

	state->settings = settings;
	state->sub_second = log_option_is_true(options, "fluentd-sub-second-precision");
	state->wants_ack = log_option_is_true(options, "fluentd-request-ack");
	state->reconnect_ns = duration_ms(options, "fluentd-async-reconnect-interval", 0) * CLOCK_MS;
	state->connection = (struct connection){
		.fd = -1,
		.default_port = "24224",
		.retries = retries && text_parse_u64(&count, retries, RETRIES) == 0 ? (int64_t)count : RETRIES,
		.retry_wait_ms = duration_ms(options, "fluentd-retry-wait", RETRY_WAIT_MS),
		.write_timeout_ms = duration_ms(options, "fluentd-write-timeout", 0),
		.read_timeout_ms = duration_ms(options, "fluentd-read-timeout", 0),
	};
	/* Asynchronous: the first message connects. */
	if (log_address_parse(&state->connection.address, text_empty(address) ? "127.0.0.1" : address, "tcp", err) <
		    0 ||
	    (!log_fluentd_is_async(options) && connection_open(&state->connection, err) < 0)) {
		fluentd_close(state);
		return -1;
	}
	state->connected_ns = clock_monotonic_ns();
	*out_state = state;
	return 0;
}

/* {"ack": id}: one pair, and the id is a text of our choice. */
static int await_ack(struct fluentd_state *state, struct error *err)
{
	char expected[64];
	char answer[64];
	size_t size = 0;
	struct text packed = { 0 };

	pack_map(&packed, 1);
	pack_pair(&packed, "ack", state->chunk);
	if (packed.size > sizeof(expected))
		packed.size = sizeof(expected);
	memcpy(expected, packed.data, packed.size);
	while (size < packed.size) {
		long got = connection_read(&state->connection, answer + size, packed.size - size, err);

		if (got <= 0)
			break;
		size += (size_t)got;
	}
	size = size == packed.size && memcmp(answer, expected, size) == 0 ? size : 0;
	text_fini(&packed);
	if (size > 0 || error_is_set(err))
		return size > 0 ? 0 : -1;
	return error_set(err, ERR_INTERNAL, "fluentd did not acknowledge a message");
}

static int send_frame(void *context, struct error *err)
{
	struct fluentd_state *state = context;

	if (connection_write(&state->connection, state->frame.data, state->frame.size, err) < 0)
		return -1;
	return state->wants_ack ? await_ack(state, err) : 0;
}

static int fluentd_write(void *context, const struct log_message *message, struct error *err)
{
	struct fluentd_state *state = context;
	struct text *frame = &state->frame;
	int64_t now_ns = clock_monotonic_ns();

	if (state->reconnect_ns && now_ns - state->connected_ns >= state->reconnect_ns) {
		connection_close(&state->connection);
		state->connected_ns = now_ns;
	}
	text_reset(frame);
	text_add_char(frame, (char)(0x90 | (state->wants_ack ? 4 : 3)));
	pack_text(frame, text_or_empty(state->settings->tag), strlen(text_or_empty(state->settings->tag)));
	pack_time(frame, message->time_ns, state->sub_second);
	pack_record(frame, state->settings, message);
	if (state->wants_ack) {
		random_hex(state->chunk, 16);
		pack_map(frame, 1);
		pack_pair(frame, "chunk", state->chunk);
	}
	return connection_send(&state->connection, send_frame, state, err);
}

const struct log_driver fluentd_driver = { "fluentd", fluentd_open, fluentd_write, fluentd_close };
