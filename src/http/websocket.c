/* SPDX-License-Identifier: Apache-2.0 */
#include "http/websocket.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

#include "base/base64.h"
#include "base/text.h"

#define HANDSHAKE_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define SHA1_BYTES 20
#define BIT_FINAL 0x80
#define BIT_MASKED 0x80
#define LENGTH_16 126
#define LENGTH_64 127

int websocket_accept(struct http_request *request, struct http_response *response, struct error *err)
{
	const char *upgrade = http_header(request, "Upgrade");
	const char *key = http_header(request, "Sec-WebSocket-Key");
	AUTO(text_fini) struct text joined = { 0 };
	AUTO_FREE char *accepted = NULL;
	uint8_t digest[SHA1_BYTES];

	if (!http_wants_upgrade(request) || !text_equal_ignoring_case(upgrade, "websocket") || text_empty(key))
		return error_set(err, ERR_INVALID, "not a websocket handshake");
	text_add(&joined, key);
	text_add(&joined, HANDSHAKE_GUID);
	if (gnutls_hash_fast(GNUTLS_DIG_SHA1, joined.data, joined.size, digest) < 0)
		return error_set(err, ERR_INTERNAL, "websocket handshake: no SHA-1");
	accepted = base64_encode(digest, sizeof(digest));
	http_set_header(response, "Sec-WebSocket-Accept", accepted);
	return 0;
}

size_t websocket_header(uint8_t out[WEBSOCKET_HEADER_MAX], enum websocket_opcode opcode, size_t size)
{
	size_t bytes = size < LENGTH_16 ? 0 : size <= UINT16_MAX ? 2 : 8;

	out[0] = (uint8_t)(BIT_FINAL | opcode);
	out[1] = bytes == 0 ? (uint8_t)size : bytes == 2 ? LENGTH_16 : LENGTH_64;
	for (size_t i = 0; i < bytes; i++)
		out[2 + i] = (uint8_t)((uint64_t)size >> 8 * (bytes - 1 - i));
	return 2 + bytes;
}

/* How long the header is, as far as its first bytes tell. */
static size_t head_length(const struct websocket_reader *reader)
{
	uint8_t length;

	if (reader->head_size < 2)
		return 2;
	length = reader->head[1] & 0x7f;
	return 2 + (length == LENGTH_64 ? 8 : length == LENGTH_16 ? 2 : 0) + 4;
}

static uint64_t payload_length(const struct websocket_reader *reader)
{
	uint8_t length = reader->head[1] & 0x7f;
	size_t bytes = length == LENGTH_64 ? 8 : length == LENGTH_16 ? 2 : 0;
	uint64_t value = 0;

	if (bytes == 0)
		return length;
	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | reader->head[2 + i];
	return value;
}

/* Takes header bytes: how many, or -1 if a client's frame cannot begin so. */
static ssize_t read_head(struct websocket_reader *reader, const uint8_t *data, size_t size)
{
	size_t taken = 0;

	while (taken < size && reader->head_size < head_length(reader))
		reader->head[reader->head_size++] = data[taken++];
	if (reader->head_size >= 2 && !(reader->head[1] & BIT_MASKED))
		return -1;
	if (reader->head_size < head_length(reader))
		return (ssize_t)taken;
	reader->in_payload = true;
	reader->left = payload_length(reader);
	reader->done = 0;
	return (ssize_t)taken;
}

ssize_t websocket_read(struct websocket_reader *reader, uint8_t *data, size_t size, enum websocket_opcode *out_opcode,
		       uint8_t **out_payload, size_t *out_size, bool *out_end)
{
	ssize_t taken = 0;
	const uint8_t *mask;

	*out_size = 0;
	*out_end = false;
	if (!reader->in_payload)
		taken = read_head(reader, data, size);
	if (taken < 0 || !reader->in_payload)
		return taken;
	mask = reader->head + reader->head_size - 4;
	*out_opcode = reader->head[0] & 0x0f;
	*out_payload = data + taken;
	*out_size = size - (size_t)taken < reader->left ? size - (size_t)taken : (size_t)reader->left;
	for (size_t i = 0; i < *out_size; i++)
		(*out_payload)[i] ^= mask[reader->done++ % 4];
	reader->left -= *out_size;
	if (reader->left == 0) {
		*out_end = true;
		reader->in_payload = false;
		reader->head_size = 0;
	}
	return taken + (ssize_t)*out_size;
}
