/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/hasher.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

#define READ_SIZE (128 * 1024)

struct hasher {
	EVP_MD_CTX *context;
	enum digest_algorithm algorithm;
};

/* OpenSSL's digests fail only without memory: then we end, like xmalloc. */
static void must(int ok)
{
	if (ok != 1)
		abort();
}

static struct hasher *hasher_alloc(enum digest_algorithm algorithm)
{
	struct hasher *hasher = xcalloc(1, sizeof(*hasher));

	hasher->algorithm = algorithm;
	hasher->context = EVP_MD_CTX_new();
	must(hasher->context != NULL);
	return hasher;
}

struct hasher *hasher_new(enum digest_algorithm algorithm)
{
	struct hasher *hasher = hasher_alloc(algorithm);

	must(EVP_DigestInit_ex(hasher->context, algorithm == DIGEST_SHA512 ? EVP_sha512() : EVP_sha256(), NULL));
	return hasher;
}

struct hasher *hasher_copy(const struct hasher *hasher)
{
	struct hasher *copy = hasher_alloc(hasher->algorithm);

	must(EVP_MD_CTX_copy_ex(copy->context, hasher->context));
	return copy;
}

void hasher_add(struct hasher *hasher, const void *data, size_t size)
{
	must(EVP_DigestUpdate(hasher->context, data, size));
}

void hasher_digest(const struct hasher *hasher, struct digest *out_digest)
{
	AUTO(hasher_freep) struct hasher *copy = hasher_copy(hasher);
	struct digest digest = { .algorithm = hasher->algorithm };

	must(EVP_DigestFinal_ex(copy->context, digest.bytes, NULL));
	*out_digest = digest;
}

void hasher_free(struct hasher *hasher)
{
	if (!hasher)
		return;
	EVP_MD_CTX_free(hasher->context);
	free(hasher);
}

void digest_of(struct digest *out_digest, enum digest_algorithm algorithm, const void *data, size_t size)
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(algorithm);

	hasher_add(hasher, data, size);
	hasher_digest(hasher, out_digest);
}

int digest_of_fd(struct digest *out_digest, enum digest_algorithm algorithm, int fd)
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(algorithm);
	AUTO_FREE char *chunk = xmalloc(READ_SIZE);
	ssize_t got;

	while ((got = read(fd, chunk, READ_SIZE)) != 0) {
		if (got > 0)
			hasher_add(hasher, chunk, (size_t)got);
		else if (errno != EINTR)
			return -errno;
	}
	hasher_digest(hasher, out_digest);
	return 0;
}

#define HMAC_BLOCK 64

void hmac_sha256(uint8_t out[HMAC_BYTES], const void *key, size_t key_size, const void *data, size_t size)
{
	uint8_t pads[2][HMAC_BLOCK];
	uint8_t block[HMAC_BLOCK] = { 0 };
	struct digest digest;

	if (key_size > HMAC_BLOCK) {
		digest_of(&digest, DIGEST_SHA256, key, key_size);
		memcpy(block, digest.bytes, HMAC_BYTES);
	} else {
		memcpy(block, key, key_size);
	}
	for (size_t i = 0; i < HMAC_BLOCK; i++) {
		pads[0][i] = block[i] ^ 0x36;
		pads[1][i] = block[i] ^ 0x5c;
	}
	for (size_t pass = 0; pass < 2; pass++) {
		AUTO(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA256);

		hasher_add(hasher, pads[pass], HMAC_BLOCK);
		hasher_add(hasher, pass ? digest.bytes : data, pass ? HMAC_BYTES : size);
		hasher_digest(hasher, &digest);
	}
	memcpy(out, digest.bytes, HMAC_BYTES);
}

void chain_id_add(struct digest *chain, const struct digest *diff_id)
{
	char below[DIGEST_TEXT_MAX];
	char top[DIGEST_TEXT_MAX];
	char both[2 * DIGEST_TEXT_MAX];

	if (!digest_is_set(chain)) {
		*chain = *diff_id;
		return;
	}
	snprintf(both, sizeof(both), "%s %s", digest_text(chain, below), digest_text(diff_id, top));
	digest_of(chain, DIGEST_SHA256, both, strlen(both));
}
