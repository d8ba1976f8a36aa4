/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archive/tar_header.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "unit/unit.h"

static void test_a_file(void **state)
{
	uint8_t header[TAR_HEADER_MAX];
	unsigned sum = 8 * ' ';

	(void)state;
	assert_int_equal(tar_header(header, "blobs/sha256/abc", 01234567), TAR_BLOCK);
	assert_string_equal((char *)header, "blobs/sha256/abc");
	assert_memory_equal(header + 124, "00001234567", 12);
	assert_int_equal(header[156], '0');
	assert_memory_equal(header + 257, "ustar\00000", 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += i >= 148 && i < 156 ? 0 : header[i];
	assert_int_equal(strtoul((char *)header + 148, NULL, 8), sum);
}

static void test_a_folder(void **state)
{
	uint8_t header[TAR_HEADER_MAX];

	(void)state;
	assert_int_equal(tar_header(header, "blobs/", 5), TAR_BLOCK);
	assert_int_equal(header[156], '5');
	assert_memory_equal(header + 124, "00000000000", 12);
}

static void test_a_size_over_8_gib(void **state)
{
	uint8_t header[TAR_HEADER_MAX];

	(void)state;
	assert_int_equal(tar_header(header, "big", UINT64_C(077777777777)), TAR_BLOCK);
	assert_memory_equal(header + 124, "77777777777", 12);
	assert_int_equal(tar_header(header, "big", UINT64_C(1) << 33), TAR_BLOCK);
	assert_memory_equal(header + 124, "\x80\0\0\0\0\0\0\x02\0\0\0\0", 12);
}

static void test_long_names(void **state)
{
	uint8_t header[TAR_HEADER_MAX];
	AUTO_FREE char *name = xasprintf("blobs/sha512/%0128d", 7);
	AUTO_FREE char *hundred = xasprintf("%0100d", 7);
	AUTO_FREE char *endless = xasprintf("%0451d", 7);
	AUTO_FREE char *record = xasprintf("151 path=%s\n", name);

	(void)state;
	assert_int_equal(tar_header(header, hundred, 1), TAR_BLOCK);
	assert_memory_equal(header, hundred, 100);
	assert_int_equal(tar_header(header, name, 1), 3 * TAR_BLOCK);
	assert_int_equal(header[156], 'x');
	assert_int_equal(strtoul((char *)header + 124, NULL, 8), strlen(record));
	assert_string_equal((char *)header + TAR_BLOCK, record);
	assert_int_equal(header[2 * TAR_BLOCK + 156], '0');
	assert_int_equal(tar_header(header, endless, 1), -ENAMETOOLONG);
}

static void test_padding(void **state)
{
	(void)state;
	assert_int_equal(tar_padding(0), 0);
	assert_int_equal(tar_padding(1), 511);
	assert_int_equal(tar_padding(512), 0);
	assert_int_equal(tar_padding(UINT64_MAX), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_file),
		cmocka_unit_test(test_a_folder),
		cmocka_unit_test(test_a_size_over_8_gib),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_padding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
