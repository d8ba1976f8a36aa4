/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "archive/tar_writer.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "unit/unit.h"

static void test_a_file(void **state)
{
	const struct tar_entry entry = { .path = "blobs/sha256/abc", .type = TAR_FILE, .mode = 0644, .size = 01234567 };
	AUTO(text_fini) struct text out = { 0 };
	unsigned sum = 8 * ' ';

	(void)state;
	tar_add_header(&out, &entry);
	assert_int_equal(out.size, TAR_BLOCK);
	assert_string_equal(out.data, "blobs/sha256/abc");
	assert_memory_equal(out.data + 124, "00001234567", 12);
	assert_int_equal(out.data[156], '0');
	assert_memory_equal(out.data + 257, "ustar\00000", 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += i >= 148 && i < 156 ? 0 : (unsigned char)out.data[i];
	assert_int_equal(strtoul(out.data + 148, NULL, 8), sum);
}

static void test_a_folder_and_a_link(void **state)
{
	const struct tar_entry folder = { .path = "blobs", .type = TAR_DIRECTORY, .mode = 0755 };
	const struct tar_entry link = { .path = "a", .link = "b", .type = TAR_SYMLINK, .mode = 0777 };
	AUTO(text_fini) struct text out = { 0 };

	(void)state;
	tar_add_header(&out, &folder);
	assert_string_equal(out.data, "blobs/");
	assert_int_equal(out.data[156], '5');
	text_reset(&out);
	tar_add_header(&out, &link);
	assert_string_equal(out.data + 157, "b");
	assert_int_equal(out.data[156], '2');
}

/* The record of the extended header, and that a plain header follows it. */
static void check_extended(const struct tar_entry *entry, const char *record)
{
	AUTO(text_fini) struct text out = { 0 };

	tar_add_header(&out, entry);
	assert_int_equal(out.size, 3 * TAR_BLOCK);
	assert_int_equal(out.data[156], 'x');
	assert_int_equal(strtoul(out.data + 124, NULL, 8), strlen(record));
	assert_string_equal(out.data + TAR_BLOCK, record);
	assert_int_equal(out.data[2 * TAR_BLOCK + 156], entry->type);
}

static void test_what_needs_an_extended_header(void **state)
{
	static const char value[] = { 1, 0, 2 };
	const struct tar_xattr xattr = { "security.capability", value, sizeof(value) };
	AUTO_FREE char *name = xasprintf("blobs/%0300d", 7);
	AUTO_FREE char *record = xasprintf("316 path=%s\n", name);
	AUTO_FREE char *link_record = xasprintf("320 linkpath=%s\n", name);
	struct tar_entry entry = { .path = name, .type = TAR_FILE };

	(void)state;
	check_extended(&entry, record);
	entry = (struct tar_entry){ .path = "l", .link = name, .type = TAR_SYMLINK };
	check_extended(&entry, link_record);
	entry = (struct tar_entry){ .path = "big", .type = TAR_FILE, .size = UINT64_C(1) << 33 };
	check_extended(&entry, "19 size=8589934592\n");
	entry = (struct tar_entry){ .path = "big", .type = TAR_FILE, .uid = 3000000 };
	check_extended(&entry, "15 uid=3000000\n");
	entry = (struct tar_entry){ .path = "\xc3\xa9", .type = TAR_FILE };
	check_extended(&entry, "11 path=\xc3\xa9\n");
	entry = (struct tar_entry){ .path = "old", .type = TAR_FILE, .mtime_s = -5 };
	check_extended(&entry, "12 mtime=-5\n");
	entry = (struct tar_entry){ .path = "x", .type = TAR_FILE, .xattrs = &xattr, .xattr_count = 1 };
	{
		AUTO(text_fini) struct text out = { 0 };

		tar_add_header(&out, &entry);
		assert_memory_equal(out.data + TAR_BLOCK, "40 SCHILY.xattr.security.capability=\1\0\2\n", 40);
	}
}

/* A long name that parts at a slash needs none. */
static void test_prefix(void **state)
{
	AUTO_FREE char *name = xasprintf("%090d/%090d", 1, 2);
	const struct tar_entry entry = { .path = name, .type = TAR_FILE };
	AUTO(text_fini) struct text out = { 0 };

	(void)state;
	tar_add_header(&out, &entry);
	assert_int_equal(out.size, TAR_BLOCK);
	assert_memory_equal(out.data, name + 91, 90);
	assert_memory_equal(out.data + 345, name, 90);
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
		cmocka_unit_test(test_a_folder_and_a_link),
		cmocka_unit_test(test_what_needs_an_extended_header),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_padding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
