/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/unit.h"

#include "base/cleanup.h"
#include "engine/filter.h"

static const char *const allowed[] = { "name", "label", NULL };

static void test_both_spellings(void **state)
{
	const char *const texts[] = { "{\"name\":{\"web\":true,\"no\":false}}", "{\"name\":[\"web\"]}" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		AUTO(error_clear) struct error err = { 0 };
		struct filter_set set;

		assert_no_error(filter_set_parse(&set, texts[i], allowed, &err), &err);
		assert_int_equal(filter_values(&set, "name")->count, 1);
		assert_true(filter_match_exact(&set, "name", "web"));
		assert_false(filter_match_exact(&set, "name", "no"));
		assert_true(filter_match_pattern(&set, "name", "my-web-1"));
		assert_true(filter_match_exact(&set, "label", "anything"));
		filter_set_fini(&set);
	}
}

static void test_refusals(void **state)
{
	const char *const bad[] = { "{\"foo\":[\"x\"]}",    "{\"name\":3}",  "[]", "{",
				    "{\"name\":{\"x\":1}}", "{\"name\":[1]}" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		struct filter_set set;

		assert_int_equal(filter_set_parse(&set, bad[i], allowed, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		filter_set_fini(&set);
	}
}

static void test_docker_words(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct filter_set set;

	(void)state;
	assert_int_equal(filter_set_parse(&set, "{\"foo\":[\"x\"]}", allowed, &err), -1);
	assert_string_equal(err.message, "invalid filter 'foo'");
	filter_set_fini(&set);
}

static void test_labels_and_patterns(void **state)
{
	AUTO(text_map_fini) struct text_map labels = { 0 };
	struct filter_set set;

	(void)state;
	text_map_set(&labels, "a", "1");
	text_map_set(&labels, "b", "");
	filter_set_init(&set);
	filter_set_add(&set, "label", "a=1");
	filter_set_add(&set, "label", "b");
	filter_set_add(&set, "name", "^we.$");
	assert_true(filter_match_labels(&set, "label", &labels));
	assert_true(filter_match_pattern(&set, "name", "web"));
	assert_false(filter_match_pattern(&set, "name", "webs"));
	filter_set_add(&set, "label", "a=2");
	assert_false(filter_match_labels(&set, "label", &labels));
	filter_set_fini(&set);
}

static void test_bool(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct filter_set set;
	bool value = true;

	(void)state;
	filter_set_init(&set);
	assert_no_error(filter_bool(&value, &set, "dangling", false, &err), &err);
	assert_false(value);
	filter_set_add(&set, "dangling", "1");
	assert_no_error(filter_bool(&value, &set, "dangling", false, &err), &err);
	assert_true(value);
	filter_set_add(&set, "dangling", "maybe");
	assert_int_equal(filter_bool(&value, &set, "dangling", false, &err), -1);
	filter_set_fini(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_spellings), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_docker_words),   cmocka_unit_test(test_labels_and_patterns),
		cmocka_unit_test(test_bool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
