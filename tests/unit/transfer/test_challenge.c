/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/challenge.h"

#include "base/cleanup.h"
#include "unit/unit.h"

static void test_choose(void **state)
{
	static const struct {
		const char *header;
		int scheme; /* -1: none */
		const char *realm;
		const char *service;
		const char *scope;
	} rows[] = {
		{ "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
		  "scope=\"repository:library/debian:pull\"",
		  CHALLENGE_BEARER, "https://auth.docker.io/token", "registry.docker.io",
		  "repository:library/debian:pull" },
		{ "Basic realm=\"Registry Realm\"", CHALLENGE_BASIC, "Registry Realm", NULL, NULL },
		{ "basic", CHALLENGE_BASIC, NULL, NULL, NULL },
		{ "BEARER REALM=https , Service = x", CHALLENGE_BEARER, "https", "x", NULL },
		{ "Basic realm=\"a\", Bearer realm=\"b\",service=\"c\"", CHALLENGE_BEARER, "b", "c", NULL },
		{ "Bearer realm=\"b\", scope=\"x,y\", Basic realm=\"a\"", CHALLENGE_BEARER, "b", NULL, "x,y" },
		{ "Negotiate abc==, Basic realm=\"a\"", -1, NULL, NULL, NULL },
		{ "Negotiate, Basic realm=\"a\"", CHALLENGE_BASIC, "a", NULL, NULL },
		{ "Bearer service=\"no realm\", Basic realm=\"z\"", CHALLENGE_BASIC, "z", NULL, NULL },
		{ "Bearer realm=\"a\\\"b\\\\c\"", CHALLENGE_BEARER, "a\"b\\c", NULL, NULL },
		{ "Bearer realm=\"open", -1, NULL, NULL, NULL },
		{ "", -1, NULL, NULL, NULL },
		{ ",,, ,", -1, NULL, NULL, NULL },
		{ "Digest realm=\"x\"", -1, NULL, NULL, NULL },
		{ "=\"x\"", -1, NULL, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(challenge_list_fini) struct challenge_list list = { 0 };
		const struct challenge *one;

		challenge_parse(&list, rows[i].header);
		one = challenge_choose(&list);
		if ((one == NULL) != (rows[i].scheme < 0))
			fail_msg("wrong choice for: %s", rows[i].header);
		if (!one)
			continue;
		assert_int_equal(one->scheme, rows[i].scheme);
		assert_true(text_equal(text_map_get(&one->parameters, "realm"), rows[i].realm));
		assert_true(text_equal(text_map_get(&one->parameters, "service"), rows[i].service));
		assert_true(text_equal(text_map_get(&one->parameters, "scope"), rows[i].scope));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
