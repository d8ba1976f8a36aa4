/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host_systemd.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "unit/unit.h"

static void expect_name(const char *path, const char *unit, const char *group)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(record_fini) struct record record = { .id = xstrdup("c1") };
	struct spec spec = { .linux_ = { .cgroups_path = (char *)path } };

	if (unit) {
		assert_int_equal(host_systemd_name(&record, &spec, &err), 0);
		assert_string_equal(record.unit, unit);
		assert_string_equal(record.cgroup_path, group);
	} else {
		assert_int_equal(host_systemd_name(&record, &spec, &err), -1);
		assert_non_null(strstr(err.message, "linux.cgroupsPath"));
	}
}

static void names_and_slices(void **state)
{
	const char *own = geteuid() == 0 ? "/system.slice/kist-c1.scope" : "/user.slice/kist-c1.scope";

	(void)state;
	expect_name(NULL, "kist-c1.scope", own);
	expect_name("", "kist-c1.scope", own);
	expect_name("a.slice:cri:x", "cri-x.scope", "/a.slice/cri-x.scope");
	expect_name("a-b-c.slice::x", "x.scope", "/a.slice/a-b.slice/a-b-c.slice/x.scope");
	expect_name("-.slice:p:x", "p-x.scope", "/p-x.scope");
	expect_name("a.slice:ignored:b.slice", "b.slice", "/a.slice/b.slice");
	expect_name("a:b", NULL, NULL);
	expect_name("a.slice:b:c:d", NULL, NULL);
	expect_name("a.slice:b:", NULL, NULL);
	expect_name("/docker/x", NULL, NULL);
	expect_name("../a.slice:b:c", NULL, NULL);
	expect_name("a--b.slice:b:c", NULL, NULL);
	expect_name(".slice:b:c", NULL, NULL);
	expect_name("noslice:b:c", NULL, NULL);
}

static void expect_limits(const char *json, bool v2, const char *expected)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text out = { 0 };
	struct spec_resources resources = { 0 };

	assert_int_equal(json_decode(&resources, spec_resources_fields, json, strlen(json), &err), 0);
	assert_int_equal(host_systemd_add_limits(&out, &resources, v2, &err), 0);
	assert_string_equal(text_or_empty(out.data), expected);
	json_free_fields(&resources, spec_resources_fields);
}

static void limits_in_systemds_words(void **state)
{
	(void)state;
	expect_limits("{}", true, "");
	expect_limits("{\"memory\":{\"limit\":33554432,\"swap\":50331648,\"reservation\":1024}}", true,
		      "MemoryMax t 33554432\nMemoryLow t 1024\nMemorySwapMax t 16777216\n");
	expect_limits("{\"memory\":{\"limit\":-1,\"swap\":-1}}", true,
		      "MemoryMax t 18446744073709551615\nMemorySwapMax t 18446744073709551615\n");
	expect_limits("{\"memory\":{\"limit\":33554432}}", false, "MemoryLimit t 33554432\n");
	expect_limits("{\"cpu\":{\"shares\":1024}}", true, "CPUWeight t 100\n");
	expect_limits("{\"cpu\":{\"shares\":1024}}", false, "CPUShares t 1024\n");
	expect_limits("{\"cpu\":{\"quota\":25000,\"period\":50000}}", true,
		      "CPUQuotaPeriodUSec t 50000\nCPUQuotaPerSecUSec t 500000\n");
	/* systemd keeps whole percents: never less than asked for. */
	expect_limits("{\"cpu\":{\"quota\":33333,\"period\":100000}}", true,
		      "CPUQuotaPeriodUSec t 100000\nCPUQuotaPerSecUSec t 340000\n");
	expect_limits("{\"cpu\":{\"quota\":-1}}", true,
		      "CPUQuotaPeriodUSec t 100000\nCPUQuotaPerSecUSec t 18446744073709551615\n");
	expect_limits("{\"cpu\":{\"cpus\":\"0,2-3,9\",\"mems\":\"0\"}}", true,
		      "AllowedCPUs ay 0d02\nAllowedMemoryNodes ay 01\n");
	expect_limits("{\"pids\":{\"limit\":17}}", true, "TasksMax t 17\n");
	expect_limits("{\"pids\":{\"limit\":-1}}", true, "TasksMax t 18446744073709551615\n");
	expect_limits("{\"blockIO\":{\"weight\":1000}}", true, "IOWeight t 10000\n");
	expect_limits("{\"unified\":{\"memory.high\":\"1024\",\"cpu.max\":\"max 100000\",\"pids.max\":\"max\"}}", true,
		      "MemoryHigh t 1024\nCPUQuotaPeriodUSec t 100000\nCPUQuotaPerSecUSec t 18446744073709551615\n"
		      "TasksMax t 18446744073709551615\n");
}

static void expect_devices(const char *json, const char *first, const char *part)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text out = { 0 };
	struct spec_resources resources = { 0 };

	assert_int_equal(json_decode(&resources, spec_resources_fields, json, strlen(json), &err), 0);
	host_systemd_add_devices(&out, &resources);
	assert_true(text_has_prefix(out.data, first));
	if (part)
		assert_non_null(strstr(out.data, part));
	json_free_fields(&resources, spec_resources_fields);
}

static void devices(void **state)
{
	(void)state;
	expect_devices("{}", "DevicePolicy s auto\n", NULL);
	expect_devices("{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]}",
		       "DevicePolicy s strict\nDeviceAllow a(ss) ", " /dev/char/1:3 rwm ");
	expect_devices(
		"{\"devices\":[{\"allow\":false},{\"allow\":true,\"type\":\"b\",\"major\":8,\"minor\":0,\"access\":"
		"\"r\"}]}",
		"DevicePolicy s strict\n", " /dev/block/8:0 r\n");
	expect_devices("{\"devices\":[{\"allow\":false},{\"allow\":true}]}", "DevicePolicy s auto\n", NULL);
}

static void expect_annotation(const char *key, const char *value, const char *expected)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text out = { 0 };
	AUTO(text_map_fini) struct text_map annotations = { 0 };

	text_map_set(&annotations, key, value);
	assert_int_equal(host_systemd_add_annotations(&out, &annotations, &err), expected ? 0 : -1);
	if (expected)
		assert_string_equal(text_or_empty(out.data), expected);
	else
		assert_int_equal(err.kind, ERR_INVALID);
}

static void annotations(void **state)
{
	(void)state;
	expect_annotation("other", "true", "");
	expect_annotation("org.systemd.property.SendSIGHUP", "true", "SendSIGHUP b true\n");
	expect_annotation("org.systemd.property.TimeoutStopUSec", "uint64 5", "TimeoutStopUSec t 5\n");
	expect_annotation("org.systemd.property.TimeoutStopSec", "5", "TimeoutStopUSec t 5000000\n");
	expect_annotation("org.systemd.property.Description", "'two words'", "Description s two words\n");
	expect_annotation("org.systemd.property.After", "['a.service', 'b.service']", "After as a.service b.service\n");
	expect_annotation("org.systemd.property.OOMScoreAdjust", "-7", "OOMScoreAdjust i -7\n");
	expect_annotation("org.systemd.property.Description", "'a'\nPIDs au 1", NULL);
	expect_annotation("org.systemd.property.A b", "true", NULL);
	expect_annotation("org.systemd.property.X", "unquoted", NULL);
	expect_annotation("org.systemd.property.TimeoutStopSec", "soon", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_slices),
		cmocka_unit_test(limits_in_systemds_words),
		cmocka_unit_test(devices),
		cmocka_unit_test(annotations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
