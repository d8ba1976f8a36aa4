/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/quote.h"
#include "base/suggest.h"
#include "unit/unit.h"

static void test_parse_numbers(void **state)
{
	uint64_t u = 7;
	int64_t i = 7;

	(void)state;
	assert_int_equal(text_parse_u64(&u, "18446744073709551615", UINT64_MAX), 0);
	assert_true(u == UINT64_MAX);
	assert_int_equal(text_parse_u64(&u, "18446744073709551616", UINT64_MAX), -ERANGE);
	assert_int_equal(text_parse_u64(&u, "11", 10), -ERANGE);
	assert_int_equal(text_parse_u64(&u, "", 10), -EINVAL);
	assert_int_equal(text_parse_u64(&u, "+1", 10), -EINVAL);
	assert_int_equal(text_parse_u64(&u, " 1", 10), -EINVAL);
	assert_int_equal(text_parse_i64(&i, "-9223372036854775808", INT64_MIN, INT64_MAX), 0);
	assert_true(i == INT64_MIN);
	assert_int_equal(text_parse_i64(&i, "-9223372036854775809", INT64_MIN, INT64_MAX), -ERANGE);
	assert_int_equal(text_parse_i64(&i, "--1", INT64_MIN, INT64_MAX), -EINVAL);
}

static void test_parse_sizes(void **state)
{
	static const struct {
		const char *text;
		int64_t bytes;
	} good[] = { { "0", 0 },
		     { "512", 512 },
		     { "1k", 1024 },
		     { "64m", 64 << 20 },
		     { "1.5GiB", 1610612736 },
		     { "2g", INT64_C(2) << 30 },
		     { "1MB", 1 << 20 },
		     { "-1", -1 },
		     { "7b", 7 } };
	static const char *const bad[] = { "", "m", "1x", "1mm", "-2", "1.5.5q", "0x10", "99999999999t" };
	int64_t bytes = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(text_parse_size(&bytes, good[i].text), 0);
		assert_true(bytes == good[i].bytes);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(text_parse_size(&bytes, bad[i]) < 0);
}

static void test_lists(void **state)
{
	AUTO(text_list_fini) struct text_list list = { 0 };
	AUTO_FREE char *joined = NULL;

	(void)state;
	assert_null(text_list_argv(&list)[0]);
	text_list_split(&list, "a::b", ':');
	assert_int_equal(list.count, 3);
	assert_string_equal(list.items[1], "");
	text_list_remove(&list, 1);
	assert_null(list.items[2]);
	joined = text_list_join(&list, ",");
	assert_string_equal(joined, "a,b");
	text_list_set_env(&list, "PATH", "/bin");
	text_list_set_env(&list, "PATH", "/sbin");
	assert_string_equal(text_list_env(&list, "PATH"), "/sbin");
	assert_null(text_list_env(&list, "PAT"));
}

static void test_map_keeps_order(void **state)
{
	AUTO(text_map_fini) struct text_map map = { 0 };

	(void)state;
	text_map_set(&map, "b", "1");
	text_map_set(&map, "a", "2");
	text_map_set(&map, "b", "3");
	assert_int_equal(map.count, 2);
	assert_string_equal(map.items[0].key, "b");
	assert_string_equal(text_map_get(&map, "b"), "3");
	text_map_remove(&map, "b");
	assert_null(text_map_get(&map, "b"));
	assert_string_equal(map.items[0].key, "a");
}

static void test_paths(void **state)
{
	static const char *const clean[][2] = {
		{ "/a/../../b//c/.", "/b/c" }, { "", "." },    { "a/..", "." },
		{ "../../x", "../../x" },      { "/..", "/" }, { "a/../../b", "../b" }
	};

	(void)state;
	for (size_t i = 0; i < sizeof(clean) / sizeof(clean[0]); i++) {
		AUTO_FREE char *got = path_clean(clean[i][0]);

		assert_string_equal(got, clean[i][1]);
	}
	AUTO_FREE char *joined = path_join("/", "/etc");
	AUTO_FREE char *parent = path_parent("/a");

	assert_string_equal(joined, "/etc");
	assert_string_equal(parent, "/");
	assert_string_equal(path_base("/a/b"), "b");
}

static void test_escapes_for_a_query(void **state)
{
	AUTO(text_fini) struct text text = { 0 };

	(void)state;
	text_add_escaped(&text, "aZ09-._~ /\xc3\xa9%+&=", false);
	text_add_char(&text, ' ');
	text_add_escaped(&text, "a b+", true);
	assert_string_equal(text.data, "aZ09-._~%20%2F%C3%A9%25%2B%26%3D a+b%2B");
}

static void test_quotes_as_go_does(void **state)
{
	AUTO(text_fini) struct text out = { 0 };

	(void)state;
	quote_json(&out, "a\"\\\n\x01<\xff\xc3\xa9\xed\xa0\x80", 12);
	assert_string_equal(out.data,
			    "\"a\\\"\\\\\\n\\u0001<\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

/* Long runs are looked at by the word: each byte, at each place of a word, is quoted as it is alone. */
static void test_quotes_each_byte_anywhere(void **state)
{
	(void)state;
	for (int byte = 0; byte < 256; byte++) {
		AUTO(text_fini) struct text alone = { 0 };
		const char one = (char)byte;

		quote_json_inner(&alone, &one, 1);
		for (size_t place = 0; place < 20; place++) {
			AUTO(text_fini) struct text out = { 0 };
			AUTO(text_fini) struct text wanted = { 0 };
			char data[20];

			memset(data, 'a', sizeof(data));
			data[place] = one;
			quote_json(&out, data, sizeof(data));
			text_addf(&wanted, "\"%.*s%s%.*s\"", (int)place, "aaaaaaaaaaaaaaaaaaa", alone.data,
				  19 - (int)place, "aaaaaaaaaaaaaaaaaaa");
			assert_string_equal(out.data, wanted.data);
		}
	}
}

static void test_formats_of_any_length(void **state)
{
	AUTO(text_fini) struct text out = { 0 };
	char long_word[300];

	(void)state;
	memset(long_word, 'x', sizeof(long_word) - 1);
	long_word[sizeof(long_word) - 1] = '\0';
	for (size_t size = 120; size < sizeof(long_word); size++) {
		text_reset(&out);
		text_addf(&out, "%d%.*s", 7, (int)size, long_word);
		assert_int_equal(out.size, size + 1);
		assert_int_equal(strlen(out.data), size + 1);
	}
}

static void test_near_words(void **state)
{
	struct suggestion best = { 0 };

	(void)state;
	assert_int_equal(suggest_distance("run", "run"), 0);
	assert_int_equal(suggest_distance("run", "rnu"), 1);
	assert_int_equal(suggest_distance("images", "imgaes"), 1);
	assert_int_equal(suggest_distance("ps", "pss"), 1);
	assert_int_equal(suggest_distance("", "abc"), 3);
	suggest_offer(&best, "konb", "knobs");
	assert_string_equal(best.word, "knobs");
	suggest_offer(&best, "konb", "knob");
	suggest_offer(&best, "konb", "kobs");
	assert_string_equal(best.word, "knob");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escapes_for_a_query),
		cmocka_unit_test(test_quotes_each_byte_anywhere),
		cmocka_unit_test(test_formats_of_any_length),
		cmocka_unit_test(test_near_words),
		cmocka_unit_test(test_parse_numbers),
		cmocka_unit_test(test_parse_sizes),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_map_keeps_order),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_quotes_as_go_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
