/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "rpc/criu_messages.h"
#include "unit/unit.h"

static char *text_of(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* What protoc's encoder writes: proto2 has required and present fields whose value is zero. */
static void test_zeros_that_count_are_written(void **state)
{
	static const char expected[] = "\x08\x02"	      /* type RESTORE */
				       "\x12\x0f"	      /* opts */
				       "\x08\x00"	      /* images_dir_fd 0 */
				       "\xda\x01\x07\x0a\x03" /* inherit_fd */
				       "a:1"
				       "\x10\x00"      /* fd 0 */
				       "\x90\x02\x00"; /* manage_cgroups_mode IGNORE */
	struct criu_inherit_fd item = { .key = text_of("a:1") };
	struct criu_request request = { .kind = CRIU_RESTORE, .options = { .inherit_fds = { &item, 1 } } };
	AUTO(text_fini) struct text out = { 0 };

	(void)state;
	proto_encode(&out, &request, criu_request_fields);
	assert_int_equal(out.size, sizeof(expected) - 1);
	assert_memory_equal(out.data, expected, out.size);
}

static void test_a_short_request_has_no_options(void **state)
{
	const struct criu_request request = { .kind = CRIU_NOTIFY, .notify_success = true };
	AUTO(text_fini) struct text out = { 0 };

	(void)state;
	proto_encode(&out, &request, criu_short_request_fields);
	assert_int_equal(out.size, 4);
	assert_memory_equal(out.data, "\x08\x06\x18\x01", 4);
}

static void test_a_notification_is_read(void **state)
{
	static const char bytes[] = "\x08\x06\x10\x01\x2a\x10\x0a\x0c"
				    "post-restore"
				    "\x10\x4d";
	AUTO(error_clear) struct error err = { 0 };
	struct criu_response response = { 0 };

	(void)state;
	assert_no_error(proto_decode(&response, criu_response_fields, bytes, sizeof(bytes) - 1, &err), &err);
	assert_int_equal(response.kind, CRIU_NOTIFY);
	assert_true(response.success);
	assert_string_equal(response.script, "post-restore");
	assert_int_equal(response.script_pid, 77);
	proto_free(&response, criu_response_fields);
}

static void test_a_version_is_read(void **state)
{
	static const char bytes[] = "\x08\x0a\x10\x01\x52\x06\x08\x03\x10\x11\x20\x01";
	AUTO(error_clear) struct error err = { 0 };
	struct criu_response response = { 0 };

	(void)state;
	assert_no_error(proto_decode(&response, criu_response_fields, bytes, sizeof(bytes) - 1, &err), &err);
	assert_int_equal(response.version.major * 10000 + response.version.minor * 100 + response.version.sublevel,
			 31701);
	proto_free(&response, criu_response_fields);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zeros_that_count_are_written),
		cmocka_unit_test(test_a_short_request_has_no_options),
		cmocka_unit_test(test_a_notification_is_read),
		cmocka_unit_test(test_a_version_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
