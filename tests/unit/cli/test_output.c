/* SPDX-License-Identifier: Apache-2.0 */
/* Tables, sizes, durations, ports, progress bars, detach keys, frames, near words. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/ports.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "cli/table.h"
#include "cli/units.h"
#include "unit/unit.h"
#include "json/value.h"

static void check_take(char *text, const char *expected)
{
	assert_string_equal(text, expected);
	free(text);
}

static void test_units(void **state)
{
	AUTO(text_fini) struct text binary = { 0 };

	(void)state;
	check_take(units_size(0, 3), "0B");
	check_take(units_size(1982000, 3), "1.98MB");
	check_take(units_size(1982000, 4), "1.982MB");
	check_take(units_size(999, 4), "999B");
	check_take(units_size(1000, 4), "1kB");
	units_add_binary(&binary, 25275547648.0);
	assert_string_equal(binary.data, "23.54GiB");
	check_take(units_duration(999 * CLOCK_MS), "Less than a second");
	check_take(units_duration(CLOCK_SECOND), "1 second");
	check_take(units_duration(59 * CLOCK_SECOND), "59 seconds");
	check_take(units_duration(119 * CLOCK_SECOND), "About a minute");
	check_take(units_duration(46 * 60 * CLOCK_SECOND), "46 minutes");
	check_take(units_duration(89 * 60 * CLOCK_SECOND), "About an hour");
	check_take(units_duration(47 * 3600 * CLOCK_SECOND), "47 hours");
	check_take(units_duration(48 * 3600 * CLOCK_SECOND), "2 days");
	check_take(units_duration(14 * 24 * 3600 * CLOCK_SECOND), "2 weeks");
	check_take(units_duration((int64_t)61 * 24 * 3600 * CLOCK_SECOND), "2 months");
	check_take(units_duration((int64_t)731 * 24 * 3600 * CLOCK_SECOND), "2 years");
	check_take(units_short_id("sha256:0123456789abcdef"), "0123456789ab");
	check_take(units_ellipsis("abcdefghijkl", 5), "abcd\u2026");
	check_take(units_ellipsis("abcde", 5), "abcde");
	check_take(units_ellipsis("\u65e5\u672c\u8a9e", 5), "\u65e5\u672c\u2026");
	check_take(units_quote("a \"b\"\n\x01"), "\"a \\\"b\\\"\\n\\x01\"");
	assert_int_equal(units_width("\u65e5x"), 3);
}

static void test_table(void **state)
{
	AUTO(text_fini) struct text out = { 0 };

	(void)state;
	table_format(&out, "ID\tNAME\tX\nabcdefghijklm\tb\tlast\n", TABLE_DOCKER);
	assert_string_equal(out.data, "ID              NAME      X\nabcdefghijklm   b         last\n");
}

static void check_ports(const char *json, const char *expected)
{
	AUTO(json_value_freep) struct json_value *ports = NULL;
	AUTO(error_clear) struct error err = { 0 };

	assert_no_error(json_value_parse(&ports, json, strlen(json), &err), &err);
	check_take(ports_format(ports), expected);
}

static void test_ports(void **state)
{
	(void)state;
	check_ports("[]", "");
	check_ports("[{\"PrivatePort\":80,\"Type\":\"tcp\"}]", "80/tcp");
	check_ports("[{\"IP\":\"0.0.0.0\",\"PrivatePort\":80,\"PublicPort\":8080,\"Type\":\"tcp\"},"
		    "{\"IP\":\"::\",\"PrivatePort\":80,\"PublicPort\":8080,\"Type\":\"tcp\"}]",
		    "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
	check_ports("[{\"IP\":\"0.0.0.0\",\"PrivatePort\":9001,\"PublicPort\":9001,\"Type\":\"udp\"},"
		    "{\"IP\":\"0.0.0.0\",\"PrivatePort\":9000,\"PublicPort\":9000,\"Type\":\"udp\"},"
		    "{\"PrivatePort\":5,\"Type\":\"tcp\"},{\"PrivatePort\":6,\"Type\":\"tcp\"}]",
		    "5-6/tcp, 0.0.0.0:9000-9001->9000-9001/udp");
}

static void test_progress(void **state)
{
	(void)state;
	check_take(progress_bar(0, 0, 200), "");
	check_take(progress_bar(5, 0, 200), "      5B");
	check_take(progress_bar(50, 100, 200), "[=========================>                         ]      50B/100B");
	check_take(progress_bar(50, 100, 80), "     50B/100B");
}

static void test_detach_keys(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	uint8_t keys[8];

	(void)state;
	assert_int_equal(session_parse_keys(keys, 8, "ctrl-p,ctrl-q", &err), 2);
	assert_int_equal(keys[0], 16);
	assert_int_equal(keys[1], 17);
	assert_int_equal(session_parse_keys(keys, 8, "ctrl-@,a", &err), 2);
	assert_int_equal(keys[0], 0);
	assert_int_equal(session_parse_keys(keys, 8, "ctrl-1", &err), -1);
}

/* The same bytes, cut at every place, give the same payload. */
static void test_frames(void **state)
{
	static const uint8_t wire[] = { 1, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c', 2, 0, 0,
					0, 0, 0, 0, 0, 2, 0, 0, 0,   0,	  0,   0, 1, 'd' };

	(void)state;
	for (size_t cut = 1; cut <= sizeof(wire); cut++) {
		struct text streams[4] = { 0 };
		AUTO(error_clear) struct error err = { 0 };
		struct session_frames frames = { 0 };

		for (size_t at = 0; at < sizeof(wire);) {
			size_t size = sizeof(wire) - at < cut ? sizeof(wire) - at : cut;
			const uint8_t *data;
			size_t data_size;
			size_t used;
			int stream;

			assert_no_error(
				session_frame(&frames, wire + at, size, &used, &stream, &data, &data_size, &err), &err);
			assert_true(used > 0);
			if (data_size)
				text_add_bytes(&streams[stream], data, data_size);
			at += used;
		}
		assert_string_equal(streams[1].data, "abc");
		assert_string_equal(streams[2].data, "d");
		for (size_t i = 0; i < 4; i++)
			text_fini(&streams[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_units),	 cmocka_unit_test(test_table),	cmocka_unit_test(test_ports),
		cmocka_unit_test(test_progress), cmocka_unit_test(test_frames), cmocka_unit_test(test_detach_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
