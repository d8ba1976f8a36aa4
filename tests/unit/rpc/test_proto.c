/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/proto.h"

#include <string.h>

#include "base/cleanup.h"
#include "rpc/task_messages.h"
#include "rpc/task_stats.h"
#include "unit/unit.h"

static char *text_of(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* The bytes protoc's own encoder writes for this request. */
static void test_wire_form_is_protobufs(void **state)
{
	static const char expected[] = "\x0a\x01"
				       "a"
				       "\x1a\x14\x0a\x04"
				       "bind"
				       "\x12\x04/src\x22\x02ro\x22\x02rw"
				       "\x20\x01";
	struct text_list options = { 0 };
	struct task_mount mount = { .type = text_of("bind"), .source = text_of("/src") };
	struct task_create_request request = { .id = text_of("a"),
					       .terminal = true,
					       .rootfs = { .items = &mount, .count = 1 } };
	AUTO(text_fini) struct text out = { 0 };

	(void)state;
	text_list_add(&options, "ro");
	text_list_add(&options, "rw");
	mount.options = options;
	proto_encode(&out, &request, task_create_request_fields);
	assert_int_equal(out.size, sizeof(expected) - 1);
	assert_memory_equal(out.data, expected, out.size);
	text_list_fini(&options);
}

static void test_round_trip(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct task_state_response state_in = { .id = text_of("c1"),
						.pid = 77,
						.status = TASK_STOPPED,
						.exit_status = 137,
						.exited_at = 1700000000123456789 };
	struct task_state_response state_out = { 0 };
	AUTO(text_fini) struct text out = { 0 };

	(void)state;
	proto_encode(&out, &state_in, task_state_response_fields);
	assert_no_error(proto_decode(&state_out, task_state_response_fields, out.data, out.size, &err), &err);
	assert_string_equal(state_out.id, "c1");
	assert_int_equal(state_out.pid, 77);
	assert_int_equal(state_out.status, TASK_STOPPED);
	assert_int_equal(state_out.exit_status, 137);
	assert_true(state_out.exited_at == 1700000000123456789);
	assert_null(state_out.bundle);
	proto_free(&state_out, task_state_response_fields);
}

static void test_maps_and_objects(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct task_update_request in = { .id = text_of("x"),
					  .resources = { .type_url = text_of("t"),
							 .value = { .data = (uint8_t *)text_of("{}"), .size = 2 } } };
	struct task_update_request back = { 0 };
	AUTO(text_fini) struct text out = { 0 };

	(void)state;
	text_map_set(&in.annotations, "k", "v");
	proto_encode(&out, &in, task_update_request_fields);
	assert_no_error(proto_decode(&back, task_update_request_fields, out.data, out.size, &err), &err);
	assert_string_equal(text_map_get(&back.annotations, "k"), "v");
	assert_string_equal(back.resources.type_url, "t");
	assert_int_equal(back.resources.value.size, 2);
	proto_free(&back, task_update_request_fields);
	text_map_fini(&in.annotations);
}

static void test_unknown_fields_are_skipped(void **state)
{
	/* 15: varint, 16: fixed64, 17: fixed32, 18: bytes, then pid=5 */
	static const char data[] = "\x78\x96\x01\x81\x01xxxxxxxx\x8d\x01yyyy\x92\x01\x02zz\x08\x05";
	AUTO(error_clear) struct error err = { 0 };
	struct task_pid_response response = { 0 };

	(void)state;
	assert_no_error(proto_decode(&response, task_pid_response_fields, data, sizeof(data) - 1, &err), &err);
	assert_int_equal(response.pid, 5);
}

static void assert_refused(const char *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	struct task_create_request request = { 0 };

	assert_int_equal(proto_decode(&request, task_create_request_fields, data, size, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_null(request.id);
	assert_null(request.rootfs.items);
}

static void test_malformed_is_refused(void **state)
{
	(void)state;
	assert_refused("\x0a", 1);						/* no length */
	assert_refused("\x0a\x05xy", 4);					/* shorter than it says */
	assert_refused("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12); /* varint too long */
	assert_refused("\x02\x00", 2);						/* field number 0 */
	assert_refused("\x0b", 1);						/* groups do not exist in proto3 */
	assert_refused("\x0a\x03x\0y", 5);					/* NUL in a string */
	assert_refused("\x0a\x01x\x1a\x03\x0a\x05x", 8); /* broken inner message after good fields */
}

static void test_long_lists_are_refused(void **state)
{
	AUTO(text_fini) struct text data = { 0 };

	(void)state;
	for (int i = 0; i <= PROTO_LIST_MAX; i++)
		text_add_bytes(&data, "\x1a\x00", 2);
	assert_refused(data.data, data.size);
}

static void test_times_outside_the_range_are_never(void **state)
{
	/* WaitResponse.exited_at = { seconds: 2^62 } */
	static const char data[] = "\x12\x0a\x08\x80\x80\x80\x80\x80\x80\x80\x80\x40";
	AUTO(error_clear) struct error err = { 0 };
	struct task_exit_response response = { 0 };

	(void)state;
	assert_no_error(proto_decode(&response, task_wait_response_fields, data, sizeof(data) - 1, &err), &err);
	assert_true(response.exited_at == 0);
}

static void round_trip_stats(bool is_v2)
{
	AUTO(error_clear) struct error err = { 0 };
	struct task_io_stat io = { .major = 8, .minor = 1, .read_bytes = 4096, .write_ops = 3 };
	struct task_stats stats = { .is_v2 = is_v2,
				    .cpu_total_ns = 5000000,
				    .memory_usage = 1 << 20,
				    .memory_limit = UINT64_MAX,
				    .pids_current = 3,
				    .oom_kills = 1,
				    .io = { .items = &io, .count = 1 } };
	struct task_stats back = { 0 };
	struct proto_any any = { 0 };

	text_map_set(&stats.memory_stat, "cache", "12");
	task_stats_encode(&any, &stats);
	assert_no_error(task_stats_decode(&back, &any, &err), &err);
	assert_true(back.is_v2 == is_v2);
	assert_true(back.cpu_total_ns == 5000000);
	assert_true(back.memory_limit == UINT64_MAX);
	assert_true(back.oom_kills == 1);
	assert_true(back.pids_current == 3);
	assert_int_equal(back.io.count, 1);
	assert_true(back.io.items[0].read_bytes == 4096);
	assert_string_equal(text_map_get(&back.memory_stat, "cache"), "12");
	assert_int_equal(back.blkio_bytes.count, is_v2 ? 0 : 2);
	task_stats_free(&back);
	proto_free(&any, proto_any_fields);
	stats.io.items = NULL;
	stats.io.count = 0;
	task_stats_free(&stats);
}

static void test_stats(void **state)
{
	(void)state;
	round_trip_stats(false);
	round_trip_stats(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire_form_is_protobufs),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_maps_and_objects),
		cmocka_unit_test(test_unknown_fields_are_skipped),
		cmocka_unit_test(test_malformed_is_refused),
		cmocka_unit_test(test_long_lists_are_refused),
		cmocka_unit_test(test_times_outside_the_range_are_never),
		cmocka_unit_test(test_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
