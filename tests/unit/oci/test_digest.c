/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/digest.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "oci/hasher.h"
#include "unit/unit.h"

#define EMPTY_SHA256 "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_SHA512                                                                                                     \
	"sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"                                      \
	"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		const char *error; /* NULL: fine */
	} rows[] = {
		{ EMPTY_SHA256, NULL },
		{ ABC_SHA512, NULL },
		{ "", "invalid checksum digest format" },
		{ "sha256", "invalid checksum digest format" },
		{ "sha256:", "invalid checksum digest format" },
		{ ":e3b0", "invalid checksum digest format" },
		{ "sha256:e3b0", "invalid checksum digest length" },
		{ EMPTY_SHA256 "00", "invalid checksum digest length" },
		{ "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
		  "invalid checksum digest format" },
		{ "sha256:../../etc/passwd", "invalid checksum digest format" },
		{ "md5:d41d8cd98f00b204e9800998ecf8427e", "unsupported digest algorithm" },
		{ "sha256+b64:abc", "unsupported digest algorithm" },
		{ "sha256..:abc", "invalid checksum digest format" },
		{ "SHA256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		  "invalid checksum digest format" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		struct digest digest;
		char text[DIGEST_TEXT_MAX];
		int r = digest_parse(&digest, rows[i].text, &err);

		assert_int_equal(r, rows[i].error ? -1 : 0);
		assert_int_equal(digest_is_valid(rows[i].text), r == 0);
		if (rows[i].error)
			assert_string_equal(err.message, rows[i].error);
		else
			assert_string_equal(digest_text(&digest, text), rows[i].text);
	}
}

static void test_equal(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct digest none = { 0 };
	struct digest a;
	struct digest b;
	char text[DIGEST_TEXT_MAX];

	(void)state;
	assert_no_error(digest_parse(&a, EMPTY_SHA256, &err), &err);
	digest_of(&b, DIGEST_SHA256, "", 0);
	assert_true(digest_equal(&a, &b));
	b.bytes[31] ^= 1;
	assert_false(digest_equal(&a, &b));
	assert_false(digest_is_set(&none));
	assert_string_equal(digest_text(&none, text), "");
	assert_string_equal(digest_hex(&a, text), &EMPTY_SHA256[7]);
}

static void test_hasher(void **state)
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA512);
	AUTO(hasher_freep) struct hasher *copy = NULL;
	struct digest digest;
	struct digest empty;
	char text[DIGEST_TEXT_MAX];

	(void)state;
	hasher_add(hasher, "a", 1);
	copy = hasher_copy(hasher);
	hasher_digest(hasher, &empty);
	hasher_add(hasher, "bc", 2);
	hasher_digest(hasher, &digest);
	assert_string_equal(digest_text(&digest, text), ABC_SHA512);
	hasher_add(copy, "bc", 2);
	hasher_digest(copy, &empty);
	assert_true(digest_equal(&digest, &empty));
}

static void test_fd(void **state)
{
	FILE *file = tmpfile();
	struct digest from_file;
	struct digest expected;
	char block[70000];

	(void)state;
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 4; i++)
		assert_int_equal(fwrite(block, 1, sizeof(block), file), sizeof(block));
	rewind(file);
	assert_int_equal(lseek(fileno(file), 3 * (off_t)sizeof(block), SEEK_SET), 3 * (off_t)sizeof(block));
	assert_int_equal(digest_of_fd(&from_file, DIGEST_SHA256, fileno(file)), 0);
	digest_of(&expected, DIGEST_SHA256, block, sizeof(block));
	assert_true(digest_equal(&from_file, &expected));
	fclose(file);
	assert_int_equal(digest_of_fd(&from_file, DIGEST_SHA256, -1), -9);
}

/* The first rows of containerd/identity's table, hashed by hand. */
static void test_chain(void **state)
{
	struct digest chain = { 0 };
	struct digest a;
	struct digest b;
	struct digest expected;
	char joined[2 * DIGEST_TEXT_MAX];
	char left[DIGEST_TEXT_MAX];
	char right[DIGEST_TEXT_MAX];

	(void)state;
	digest_of(&a, DIGEST_SHA256, "a", 1);
	digest_of(&b, DIGEST_SHA256, "b", 1);
	chain_id_add(&chain, &a);
	assert_true(digest_equal(&chain, &a));
	chain_id_add(&chain, &b);
	snprintf(joined, sizeof(joined), "%s %s", digest_text(&a, left), digest_text(&b, right));
	digest_of(&expected, DIGEST_SHA256, joined, strlen(joined));
	assert_true(digest_equal(&chain, &expected));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse), cmocka_unit_test(test_equal), cmocka_unit_test(test_hasher),
		cmocka_unit_test(test_fd),    cmocka_unit_test(test_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
