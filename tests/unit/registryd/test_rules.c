/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/rules.h"

#include <string.h>

#include "unit/unit.h"

static void decode(void *out, const struct json_field *fields, const char *text)
{
	struct error err = { 0 };

	assert_int_equal(json_decode(out, fields, text, strlen(text), &err), 0);
}

static void test_quotas(void **state)
{
	struct quota quota = { 0 };

	(void)state;
	assert_true(quota_of(&quota, "a") == INT64_MAX);
	decode(&quota, quota_fields,
	       "{\"each\":5,\"repositories\":[{\"repository\":\"team/"
	       "*\",\"size\":7},{\"repository\":\"*\",\"size\":9}]}");
	assert_true(quota_of(&quota, "team/a/b") == 7);
	assert_true(quota_of(&quota, "team") == 9);
	quota.repositories.count = 1;
	assert_true(quota_of(&quota, "team") == 5);
	quota.repositories.count = 2;
	json_free_fields(&quota, quota_fields);
}

static void test_retention(void **state)
{
	static const struct {
		const char *repository;
		const char *tag;
		size_t rule;
	} fits[] = {
		{ "team/a", "v1", 0 },
		{ "team/a", "ci-1", 1 },
		{ "team/a", "x", 2 },
		{ "else", "v1", 3 },
	};
	static const struct {
		size_t rule;
		size_t rank;
		int64_t age_s;
		bool expires;
	} rows[] = {
		{ 0, 100, 1000000, false }, /* neither number nor age: it stays */
		{ 1, 1, 1000, false },	    { 1, 2, 0, true },	 { 2, 0, 100, false }, { 2, 0, 101, true },
		{ 3, 0, 1000, false },	    { 3, 1, 10, false }, { 3, 1, 11, true },
	};
	struct retention retention = { 0 };

	(void)state;
	decode(&retention, retention_fields,
	       "{\"rules\":[{\"repository\":\"team/*\",\"tags\":\"v*\"},"
	       "{\"repository\":\"team/*\",\"tags\":\"ci-*\",\"keep-newest\":2,\"untagged\":true},"
	       "{\"repository\":\"team/*\",\"older-than\":100},{\"keep-newest\":1,\"older-than\":10}]}");
	for (size_t i = 0; i < sizeof(fits) / sizeof(fits[0]); i++)
		assert_int_equal(retention_rule_of(&retention, fits[i].repository, fits[i].tag), fits[i].rule);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(retention_expires(&retention.rules.items[rows[i].rule], rows[i].rank, rows[i].age_s),
				 rows[i].expires);
	assert_true(retention_drops_untagged(&retention, "team/x"));
	assert_false(retention_drops_untagged(&retention, "else"));
	json_free_fields(&retention, retention_fields);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quotas),
		cmocka_unit_test(test_retention),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
