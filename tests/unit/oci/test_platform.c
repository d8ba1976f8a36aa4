/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/platform.h"

#include "base/cleanup.h"
#include "unit/unit.h"

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		const char *normal; /* NULL: error */
	} rows[] = {
		{ "linux/amd64", "linux/amd64" },
		{ "linux/x86_64", "linux/amd64" },
		{ "Linux/X86-64", "linux/amd64" },
		{ "linux/amd64/v1", "linux/amd64" },
		{ "linux/amd64/v3", "linux/amd64/v3" },
		{ "linux/aarch64", "linux/arm64" },
		{ "linux/arm64/v8", "linux/arm64" },
		{ "linux/arm64/v9", "linux/arm64/v9" },
		{ "linux/arm", "linux/arm/v7" },
		{ "linux/armhf", "linux/arm/v7" },
		{ "linux/armel", "linux/arm/v6" },
		{ "linux/arm/7", "linux/arm/v7" },
		{ "linux/i386", "linux/386" },
		{ "windows/amd64", "windows/amd64" },
		{ "arm64", "linux/arm64" },
		{ "riscv64", "linux/riscv64" },
		{ "", NULL },
		{ "nosuch", NULL },
		{ "linux/", NULL },
		{ "linux/amd64/v1/x", NULL },
		{ "linux/am d64", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(platform_fini) struct platform platform = { 0 };
		AUTO_FREE char *text = NULL;

		if (!rows[i].normal) {
			assert_int_equal(platform_parse(&platform, rows[i].text, &err), -1);
			assert_int_equal(err.kind, ERR_INVALID);
			continue;
		}
		assert_no_error(platform_parse(&platform, rows[i].text, &err), &err);
		text = platform_format(&platform);
		assert_string_equal(text, rows[i].normal);
	}
}

static void test_rank(void **state)
{
	static const struct {
		const char *wanted;
		const char *offered;
		int strict;
		int runnable;
	} rows[] = {
		{ "linux/amd64", "linux/amd64", 0, 0 },		{ "linux/amd64", "linux/arm64", -1, -1 },
		{ "linux/amd64", "windows/amd64", -1, -1 },	{ "linux/amd64/v3", "linux/amd64/v3", 0, 0 },
		{ "linux/amd64/v3", "linux/amd64/v2", -1, 1 },	{ "linux/amd64/v3", "linux/amd64", -1, 2 },
		{ "linux/amd64/v2", "linux/amd64/v3", -1, -1 }, { "linux/amd64", "linux/386", -1, 8 },
		{ "linux/arm64", "linux/arm64/v8", 0, 0 },	{ "linux/arm64", "linux/arm/v7", -1, 9 },
		{ "linux/arm64", "linux/arm/v6", -1, 10 },	{ "linux/arm/v7", "linux/arm/v6", -1, 1 },
		{ "linux/arm/v7", "linux/arm", 0, 0 },		{ "linux/arm/v6", "linux/arm/v7", -1, -1 },
		{ "linux/386", "linux/amd64", -1, -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(platform_fini) struct platform wanted = { 0 };
		AUTO(platform_fini) struct platform offered = { 0 };

		assert_no_error(platform_parse(&wanted, rows[i].wanted, &err), &err);
		assert_no_error(platform_parse(&offered, rows[i].offered, &err), &err);
		assert_int_equal(platform_rank(&wanted, &offered, PLATFORM_STRICT), rows[i].strict);
		assert_int_equal(platform_rank(&wanted, &offered, PLATFORM_RUNNABLE), rows[i].runnable);
	}
}

static void test_host(void **state)
{
	AUTO(platform_fini) struct platform host = { 0 };
	AUTO(platform_fini) struct platform special = { 0 };

	(void)state;
	platform_host(&host);
	assert_string_equal(host.os, "linux");
	assert_int_equal(platform_rank(&host, &host, PLATFORM_STRICT), 0);
	platform_copy(&special, &host);
	text_list_add(&special.os_features, "special");
	assert_int_equal(platform_rank(&host, &special, PLATFORM_RUNNABLE), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_rank),
		cmocka_unit_test(test_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
