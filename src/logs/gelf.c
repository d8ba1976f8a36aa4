/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GELF 1.1: a JSON object per message. Over UDP compressed, and in chunks when
 * it is larger than a datagram should be; over TCP plain, with a NUL behind it.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/quote.h"
#include "base/random.h"
#include "logs/compress.h"
#include "logs/connection.h"
#include "logs/driver.h"

#define CHUNK_BYTES 1420
#define CHUNK_HEADER 12
#define CHUNKS_MAX 128

struct gelf_state {
	struct connection connection;
	enum compress_form form;
	int level;
	char host[256];
	struct text extra; /* ,"_container_id":"..." and so on */
	struct text out;
};

static void add_member(struct text *out, const char *key, const char *value)
{
	text_add_char(out, ',');
	quote_json(out, key, strlen(key));
	text_add_char(out, ':');
	quote_json(out, text_or_empty(value), strlen(text_or_empty(value)));
}

static void gelf_close(void *context)
{
	struct gelf_state *state = context;

	connection_fini(&state->connection);
	text_fini(&state->extra);
	text_fini(&state->out);
	free(state);
}

static void add_extra(struct text *out, const struct log_settings *settings)
{
	add_member(out, "_command", settings->command);
	add_member(out, "_container_id", settings->container_id);
	add_member(out, "_container_name", settings->container_name);
	add_member(out, "_created", settings->created);
	add_member(out, "_image_id", settings->image_id);
	add_member(out, "_image_name", settings->image_name);
	add_member(out, "_tag", settings->tag);
	for (size_t i = 0; i < settings->attributes.count; i++) {
		const char *key = settings->attributes.items[i].key;
		AUTO_FREE char *name = xasprintf("%s%s", key[0] == '_' ? "" : "_", key);

		add_member(out, name, settings->attributes.items[i].value);
	}
}

static int64_t number(const struct text_map *options, const char *key, int64_t otherwise)
{
	const char *text = text_map_get(options, key);
	int64_t value;

	return text && text_parse_i64(&value, text, -1, INT32_MAX) == 0 ? value : otherwise;
}

static int gelf_open(void **out_state, const struct log_settings *settings, struct error *err)
{
	const struct text_map *options = &settings->options;
	const char *type = text_map_get(options, "gelf-compression-type");
	struct gelf_state *state = xcalloc(1, sizeof(*state));

	state->connection.fd = -1;
	state->form = !type || text_equal(type, "gzip") ? COMPRESS_GZIP
		      : text_equal(type, "zlib")	? COMPRESS_ZLIB
							: COMPRESS_NONE;
	/* docker's: the fastest */
	state->level = (int)number(options, "gelf-compression-level", 1);
	state->connection.retries = number(options, "gelf-tcp-max-reconnect", 3);
	state->connection.retry_wait_ms = number(options, "gelf-tcp-reconnect-delay", 1) * 1000;
	if (gethostname(state->host, sizeof(state->host) - 1) < 0)
		state->host[0] = '-';
	add_extra(&state->extra, settings);
	if (log_address_parse(&state->connection.address, text_or_empty(text_map_get(options, "gelf-address")), "",
			      err) < 0 ||
	    connection_open(&state->connection, err) < 0) {
		gelf_close(state);
		return error_prefix(err, "gelf: cannot connect to GELF endpoint");
	}
	*out_state = state;
	return 0;
}

static int send_chunks(struct gelf_state *state, const char *data, size_t size, struct error *err)
{
	const size_t room = CHUNK_BYTES - CHUNK_HEADER;
	size_t count = (size + room - 1) / room;
	char chunk[CHUNK_BYTES] = { 0x1e, 0x0f };

	if (count > CHUNKS_MAX)
		return error_set(err, ERR_INVALID, "a message of %zu bytes is more than %d chunks", size, CHUNKS_MAX);
	random_bytes(chunk + 2, 8);
	for (size_t i = 0; i < count; i++) {
		size_t part = size - i * room < room ? size - i * room : room;

		chunk[10] = (char)i;
		chunk[11] = (char)count;
		memcpy(chunk + CHUNK_HEADER, data + i * room, part);
		if (connection_write(&state->connection, chunk, CHUNK_HEADER + part, err) < 0)
			return -1;
	}
	return 0;
}

static int send_datagram(struct gelf_state *state, struct error *err)
{
	AUTO(text_fini) struct text packed = { 0 };
	const struct text *out = &state->out;

	if (state->form != COMPRESS_NONE) {
		if (compress_text(&packed, state->out.data, state->out.size, state->form, state->level, err) < 0)
			return -1;
		out = &packed;
	}
	if (out->size <= CHUNK_BYTES)
		return connection_write(&state->connection, out->data, out->size, err);
	return send_chunks(state, out->data, out->size, err);
}

static int send_message(void *context, struct error *err)
{
	struct gelf_state *state = context;

	if (connection_is_datagram(&state->connection))
		return send_datagram(state, err);
	return connection_write(&state->connection, state->out.data, state->out.size + 1, err);
}

static int gelf_write(void *context, const struct log_message *message, struct error *err)
{
	struct gelf_state *state = context;
	struct text *out = &state->out;

	text_reset(out);
	text_add(out, "{\"version\":\"1.1\",\"host\":");
	quote_json(out, state->host, strlen(state->host));
	text_add(out, ",\"short_message\":");
	quote_json(out, message->data, message->size);
	text_addf(out, ",\"timestamp\":%lld.%03lld,\"level\":%d", (long long)(message->time_ns / CLOCK_SECOND),
		  (long long)(message->time_ns % CLOCK_SECOND / CLOCK_MS), message->is_error ? 3 : 6);
	text_add_bytes(out, state->extra.data, state->extra.size);
	text_add_char(out, '}');
	return connection_send(&state->connection, send_message, state, err);
}

const struct log_driver gelf_driver = { "gelf", gelf_open, gelf_write, gelf_close };
