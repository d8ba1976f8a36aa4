/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/runtime_spec.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "unit/unit.h"

static const char sample[] =
	"{\"ociVersion\":\"1.2.0\",\"process\":{\"terminal\":true,\"user\":{\"uid\":7,\"gid\":8,\"umask\":18,"
	"\"additionalGids\":[5,6]},\"args\":[\"sh\"],\"cwd\":\"/\",\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":"
	"18446744073709551615,\"soft\":10}],\"oomScoreAdj\":-3},\"root\":{\"path\":\"rootfs\"},\"future\":{\"x\":1},"
	"\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\",\"path\":\"/proc/1/ns/net\"}],"
	"\"sysctl\":{\"net.a\":\"1\"},\"resources\":{\"memory\":{\"limit\":-1},\"unified\":{\"a.b\":\"c\"},"
	"\"rdma\":{\"mlx\":{\"hcaHandles\":3}}},\"timeOffsets\":{\"monotonic\":{\"secs\":-5,\"nanosecs\":9}},"
	"\"netDevices\":{\"eth7\":{\"name\":\"eth0\"}}}}";

static void parses_what_the_spec_names(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(spec_fini) struct spec spec = { 0 };

	(void)state;
	assert_no_error(spec_parse(&spec, sample, strlen(sample), &err), &err);
	assert_true(spec.process->terminal);
	assert_int_equal(spec.process->user.uid, 7);
	assert_int_equal(spec.process->user.umask.value, 18);
	assert_int_equal(spec.process->user.additional_gids.items[1].value, 6);
	assert_true(spec.process->rlimits.items[0].hard == UINT64_MAX);
	assert_int_equal(spec.process->oom_score_adj.value, -3);
	assert_int_equal(spec.linux_.resources->memory->limit.value, -1);
	assert_false(spec.linux_.resources->memory->swap.set);
	assert_string_equal(spec.linux_.resources->rdma.items[0].name, "mlx");
	assert_int_equal(spec.linux_.time_offsets.items[0].secs, -5);
	assert_string_equal(spec.linux_.net_devices.items[0].name, "eth0");
	assert_string_equal(spec_find_namespace(&spec, "network")->path, "/proc/1/ns/net");
	assert_null(spec_find_namespace(&spec, "user"));
}

static void writes_what_it_reads(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(spec_fini) struct spec spec = { 0 };
	AUTO(spec_fini) struct spec again = { 0 };
	AUTO_FREE char *once = NULL;
	AUTO_FREE char *twice = NULL;

	(void)state;
	assert_no_error(spec_parse(&spec, sample, strlen(sample), &err), &err);
	once = spec_format(&spec);
	assert_no_error(spec_parse(&again, once, strlen(once), &err), &err);
	twice = spec_format(&again);
	assert_string_equal(once, twice);
	assert_non_null(strstr(once, "\"additionalGids\""));
}

static void names_the_place_of_a_mistake(void **state)
{
	static const char *const bad[][2] = {
		{ "{}", "ociVersion" },
		{ "{\"ociVersion\":\"1.0.0\",\"process\":{\"user\":{\"uid\":-1}}}", "process.user.uid" },
		{ "{\"ociVersion\":\"1.0.0\",\"process\":{\"user\":{\"uid\":4294967296}}}", "process.user.uid" },
		{ "{\"ociVersion\":\"1.0.0\",\"linux\":{\"namespaces\":[{\"path\":\"/x\"}]}}",
		  "linux.namespaces[0].type" },
		{ "{\"ociVersion\":\"1.0.0\",\"mounts\":{}}", "mounts" },
		{ "{\"ociVersion\":\"1.0.0\"", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		struct spec spec;

		assert_int_equal(spec_parse(&spec, bad[i][0], strlen(bad[i][0]), &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_non_null(strstr(err.message, bad[i][1]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_what_the_spec_names),
		cmocka_unit_test(writes_what_it_reads),
		cmocka_unit_test(names_the_place_of_a_mistake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
