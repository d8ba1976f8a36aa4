/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "unit/unit.h"

static void test_vectors(void **state)
{
	static const struct {
		const char *plain;
		const char *encoded;
	} rows[] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xfb\xff", "+/8=" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO_FREE char *encoded = base64_encode(rows[i].plain, strlen(rows[i].plain));
		AUTO_FREE char *plain = NULL;
		size_t size;

		assert_string_equal(encoded, rows[i].encoded);
		assert_int_equal(base64_decode(&plain, &size, encoded), 0);
		assert_int_equal(size, strlen(rows[i].plain));
		assert_string_equal(plain, rows[i].plain);
	}
}

static void test_lenient(void **state)
{
	AUTO_FREE char *url = base64_encode_url("\xfb\xff", 2);
	AUTO_FREE char *plain = NULL;
	AUTO_FREE char *folded = NULL;
	size_t size;

	(void)state;
	assert_string_equal(url, "-_8=");
	assert_int_equal(base64_decode(&plain, &size, "-_8"), 0);
	assert_memory_equal(plain, "\xfb\xff", 2);
	assert_int_equal(base64_decode(&folded, &size, "Zm9v\nYmFy\r\n"), 0);
	assert_string_equal(folded, "foobar");
}

static void test_refused(void **state)
{
	static const char *const rows[] = { "Z", "Zg=x", "Z g=", "Zm9v!", "====x", "Zm9vY" };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *plain = NULL;
		size_t size;

		assert_int_equal(base64_decode(&plain, &size, rows[i]), -EINVAL);
		assert_null(plain);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_lenient),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
