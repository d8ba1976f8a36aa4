/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/trust.h"

#include "base/cleanup.h"
#include "unit/unit.h"

static void test_insecure(void **state)
{
	static const struct {
		const char *host;
		bool insecure;
	} rows[] = {
		{ "localhost", true },		{ "localhost:5000", true },    { "127.0.0.1:5000", true },
		{ "127.9.9.9", true },		{ "[::1]:5000", true },	       { "reg.example", true },
		{ "REG.example", true },	{ "reg.example:5000", false }, { "port.example:80", true },
		{ "port.example", false },	{ "10.1.2.3:5000", true },     { "10.2.0.1", false },
		{ "[fd00::7]:5000", true },	{ "[fe00::7]:5000", false },   { "127.0.0.1.evil.example", false },
		{ "localhost.example", false }, { "127.evil.example", false }, { "docker.io", false },
	};
	AUTO(text_list_fini) struct text_list entries = { 0 };

	(void)state;
	text_list_add(&entries, "reg.example");
	text_list_add(&entries, "port.example:80");
	text_list_add(&entries, "10.1.0.0/16");
	text_list_add(&entries, "fd00::/8");
	text_list_add(&entries, "10.9.0.0/99");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (trust_is_insecure(&entries, rows[i].host) != rows[i].insecure)
			fail_msg("%s", rows[i].host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_insecure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
