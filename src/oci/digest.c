/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/digest.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

static const struct {
	const char *name;
	size_t size;
} algorithms[] = {
	[DIGEST_SHA256] = { "sha256", 32 },
	[DIGEST_SHA512] = { "sha512", 64 },
};

#define ALGORITHM_COUNT (sizeof(algorithms) / sizeof(algorithms[0]))

const char *digest_algorithm_name(enum digest_algorithm algorithm)
{
	return algorithm < ALGORITHM_COUNT ? algorithms[algorithm].name : NULL;
}

size_t digest_algorithm_size(enum digest_algorithm algorithm)
{
	return algorithm < ALGORITHM_COUNT ? algorithms[algorithm].size : 0;
}

enum digest_algorithm digest_algorithm_parse(const char *name)
{
	for (size_t i = DIGEST_SHA256; i < ALGORITHM_COUNT; i++)
		if (text_equal(algorithms[i].name, name))
			return (enum digest_algorithm)i;
	return DIGEST_NONE;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* The grammar of go-digest: names of letters and digits joined by one of + . _ -. */
static bool is_algorithm_text(const char *text, size_t size)
{
	bool after_separator = true;

	for (size_t i = 0; i < size; i++) {
		bool word = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9');

		if (!word && (after_separator || !strchr("+._-", text[i])))
			return false;
		after_separator = !word;
	}
	return !after_separator;
}

static int parse_hex(struct digest *digest, const char *hex, struct error *err)
{
	size_t size = digest_algorithm_size(digest->algorithm);

	if (strspn(hex, "0123456789abcdef") != strlen(hex))
		return error_set(err, ERR_INVALID, "invalid checksum digest format");
	if (strlen(hex) != 2 * size)
		return error_set(err, ERR_INVALID, "invalid checksum digest length");
	for (size_t i = 0; i < size; i++)
		digest->bytes[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
	return 0;
}

int digest_parse(struct digest *out_digest, const char *text, struct error *err)
{
	struct digest digest = { 0 };
	const char *colon = text ? strchr(text, ':') : NULL;
	size_t size = colon ? (size_t)(colon - text) : 0;

	if (!colon || !colon[1] || !is_algorithm_text(text, size))
		return error_set(err, ERR_INVALID, "invalid checksum digest format");
	for (size_t i = DIGEST_SHA256; i < ALGORITHM_COUNT; i++)
		if (strlen(algorithms[i].name) == size && memcmp(algorithms[i].name, text, size) == 0)
			digest.algorithm = (enum digest_algorithm)i;
	if (digest.algorithm == DIGEST_NONE)
		return error_set(err, ERR_INVALID, "unsupported digest algorithm");
	if (parse_hex(&digest, colon + 1, err) < 0)
		return -1;
	*out_digest = digest;
	return 0;
}

bool digest_is_valid(const char *text)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct digest digest;

	return digest_parse(&digest, text, &ignored) == 0;
}

const char *digest_hex(const struct digest *digest, char out[DIGEST_TEXT_MAX])
{
	static const char digits[] = "0123456789abcdef";
	size_t size = digest_algorithm_size(digest->algorithm);

	for (size_t i = 0; i < size; i++) {
		out[2 * i] = digits[digest->bytes[i] >> 4];
		out[2 * i + 1] = digits[digest->bytes[i] & 15];
	}
	out[2 * size] = '\0';
	return out;
}

const char *digest_text(const struct digest *digest, char out[DIGEST_TEXT_MAX])
{
	const char *name = digest_algorithm_name(digest->algorithm);
	char hex[DIGEST_TEXT_MAX];

	if (name)
		snprintf(out, DIGEST_TEXT_MAX, "%s:%.128s", name, digest_hex(digest, hex));
	else
		out[0] = '\0';
	return out;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return a->algorithm == b->algorithm && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool digest_is_set(const struct digest *digest)
{
	return digest->algorithm != DIGEST_NONE;
}
