/* SPDX-License-Identifier: Apache-2.0 */
#include "json/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "unit/unit.h"

struct port {
	char *name;
	JSON_ARRAY_OF(struct binding)
	bindings;
};

struct binding {
	char *ip;
	uint32_t port;
};

struct number {
	uint64_t value;
};

struct sample {
	char *name;
	bool tty;
	int64_t memory;
	uint64_t limit;
	struct optional_i64 pids;
	struct text_list cmd;
	struct text_map labels;
	char *raw;
	struct binding inner;
	struct binding *pointer;
	JSON_ARRAY_OF(struct number) numbers;
	JSON_ARRAY_OF(struct port) ports;
};

static const struct json_field binding_fields[] = {
	JSON_TEXT("HostIp", struct binding, ip, 0),
	JSON_U32("HostPort", struct binding, port, 0),
	JSON_END,
};
static const struct json_field port_fields[] = {
	JSON_KEY(struct port, name),
	JSON_ARRAY("", struct port, bindings, binding_fields, JSON_EMPTY_NULL),
	JSON_END,
};
static const struct json_field number_fields[] = { JSON_U64("", struct number, value, 0), JSON_END };
static const struct json_field fields[] = {
	JSON_TEXT("Name", struct sample, name, JSON_REQUIRED),
	JSON_BOOL("Tty", struct sample, tty, 0),
	JSON_I64("Memory", struct sample, memory, JSON_OMIT_EMPTY),
	JSON_U64("Limit", struct sample, limit, JSON_OMIT_EMPTY),
	JSON_OPT_I64("Pids", struct sample, pids, 0),
	JSON_TEXT_LIST("Cmd", struct sample, cmd, JSON_TEXT_OR_LIST | JSON_EMPTY_NULL),
	JSON_TEXT_MAP("Labels", struct sample, labels, 0),
	JSON_RAW("Raw", struct sample, raw, JSON_OMIT_EMPTY),
	JSON_OBJECT("Inner", struct sample, inner, binding_fields, JSON_OMIT_EMPTY),
	JSON_POINTER("Pointer", struct sample, pointer, binding_fields, 0),
	JSON_ARRAY("Numbers", struct sample, numbers, number_fields, JSON_OMIT_EMPTY),
	JSON_MAP("Ports", struct sample, ports, port_fields, JSON_OMIT_EMPTY),
	JSON_END,
};

static int decode(struct sample *sample, const char *text, struct error *err)
{
	return json_decode(sample, fields, text, strlen(text), err);
}

static void test_round_trip(void **state)
{
	static const char text[] =
		"{\"Name\":\"a\\u00e9\",\"Tty\":true,\"Memory\":-1,\"Limit\":18446744073709551615,\"Pids\":0,"
		"\"Cmd\":[\"x\",\"y\"],\"Labels\":{\"a\":\"1\",\"b\":\"2\"},\"Raw\":{\"k\":[1,2]},"
		"\"Inner\":{\"HostIp\":\"::\",\"HostPort\":1},\"Pointer\":{\"HostIp\":\"\",\"HostPort\":2},"
		"\"Numbers\":[1,2,3],\"Ports\":{\"53/udp\":null,\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":8080}]}}";
	AUTO(error_clear) struct error err = { 0 };
	struct sample sample = { 0 };
	struct sample copy = { 0 };

	(void)state;
	assert_no_error(decode(&sample, text, &err), &err);
	assert_true(sample.limit == UINT64_MAX);
	assert_true(sample.pids.set && sample.pids.value == 0);
	assert_int_equal(sample.numbers.items[2].value, 3);
	json_copy_fields(&copy, &sample, fields);
	AUTO_FREE char *encoded = json_encode(&copy, fields);

	assert_string_equal(encoded,
			    "{\"Name\":\"a\xc3\xa9\",\"Tty\":true,\"Memory\":-1,\"Limit\":18446744073709551615,"
			    "\"Pids\":0,\"Cmd\":[\"x\",\"y\"],\"Labels\":{\"a\":\"1\",\"b\":\"2\"},"
			    "\"Raw\":{\"k\":[1,2]},\"Inner\":{\"HostIp\":\"::\",\"HostPort\":1},"
			    "\"Pointer\":{\"HostIp\":\"\",\"HostPort\":2},\"Numbers\":[1,2,3],"
			    "\"Ports\":{\"53/udp\":null,\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":8080}]}}");
	json_free_fields(&sample, fields);
	json_free_fields(&copy, fields);
	assert_null(sample.name);
}

static void test_errors_name_the_place(void **state)
{
	static const char *const cases[][2] = {
		{ "{}", "Name: is missing" },
		{ "{\"Name\":null}", "Name: is missing" },
		{ "{\"Name\":1}", "Name: expected a string" },
		{ "[]", "expected an object" },
		{ "{\"Name\":\"\",\"Inner\":{\"HostPort\":70000000000}}", "Inner.HostPort: number out of range" },
		{ "{\"Name\":\"\",\"Limit\":-1}", "Limit: must not be negative" },
		{ "{\"Name\":\"\",\"Cmd\":[1]}", "Cmd.[0]: expected a string" },
		{ "{\"Name\":\"\",\"Ports\":{\"1/tcp\":[{\"HostPort\":\"x\"}]}}",
		  "Ports.1/tcp[0].HostPort: expected a number" },
		{ "{\"Name\":\"\",\"Memory\":1.5}", "Memory: expected a whole number" },
		{ "{\"Name\":\"\\u0000\"}",
		  "invalid JSON: line 1 column 16: a text cannot hold the character \\u0000" },
		{ "{\"Name\":\"\"} x", "invalid JSON: line 1 column 13: end of file expected near 'x'" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		struct sample sample = { 0 };

		assert_int_equal(decode(&sample, cases[i][0], &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		if (!strstr(cases[i][1], "Cmd"))
			assert_string_equal(err.message, cases[i][1]);
		assert_null(sample.name);
	}
}

static void test_null_and_text_forms(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct sample sample = { 0 };

	(void)state;
	assert_no_error(decode(&sample, "{\"Name\":\"n\",\"Cmd\":\"true\",\"Pids\":null,\"Pointer\":null}", &err),
			&err);
	assert_string_equal(sample.cmd.items[0], "true");
	assert_false(sample.pids.set);
	text_list_fini(&sample.cmd);
	AUTO_FREE char *encoded = json_encode(&sample, fields);

	assert_string_equal(encoded,
			    "{\"Name\":\"n\",\"Tty\":false,\"Pids\":null,\"Cmd\":null,\"Labels\":{},\"Pointer\":null}");
	json_free_fields(&sample, fields);
}

/* What is empty is not said, but a pointer that is there is there, and a zero that was set was set. */
static void test_sparse(void **state)
{
	static const char text[] =
		"{\"Name\":\"\",\"Pids\":0,\"Pointer\":{},\"Labels\":{\"a\":\"\"},\"Ports\":{\"53/udp\":null}}";
	AUTO(error_clear) struct error err = { 0 };
	struct sample sample = { 0 };
	struct sample again = { 0 };

	(void)state;
	assert_no_error(decode(&sample, text, &err), &err);
	AUTO_FREE char *full = json_encode(&sample, fields);
	AUTO_FREE char *sparse = json_encode_sparse(&sample, fields);

	assert_string_equal(sparse, "{\"Name\":\"\",\"Pids\":0,\"Labels\":{\"a\":\"\"},\"Pointer\":{},\"Ports\":"
				    "{\"53/udp\":null}}");
	assert_no_error(decode(&again, sparse, &err), &err);
	AUTO_FREE char *full_again = json_encode(&again, fields);

	assert_string_equal(full_again, full);
	json_free_fields(&sample, fields);
	json_free_fields(&again, fields);
}

#define MANY 300000

/* A registry chooses how many annotations a manifest has: looking at all of them for each would take minutes. */
static void test_a_map_of_very_many(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text json = { 0 };
	struct sample sample = { 0 };
	struct sample copy = { 0 };

	(void)state;
	text_add(&json, "{\"Name\":\"n\",\"Labels\":{");
	for (int i = 0; i < MANY; i++)
		text_addf(&json, "%s\"key %d\":\"\"", i ? "," : "", i);
	text_add(&json, ",\"key 5\":\"again\"}}");
	assert_no_error(json_decode(&sample, fields, json.data, json.size, &err), &err);
	json_copy_fields(&copy, &sample, fields);
	assert_int_equal(copy.labels.count, MANY);
	assert_string_equal(text_map_get(&copy.labels, "key 5"), "again");
	json_free_fields(&copy, fields);
	json_free_fields(&sample, fields);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_errors_name_the_place),
		cmocka_unit_test(test_null_and_text_forms),
		cmocka_unit_test(test_a_map_of_very_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
