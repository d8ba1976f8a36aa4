/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/unit.h"

#include <string.h>

#include "engine/attach.h"
#include "engine/engine_private.h"
#include "sys/cgroup.h"

static int check(const char *text, char **out_message)
{
	AUTO(text_list_fini) struct text_list warnings = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	struct container_create_request request = { 0 };
	int r;

	assert_no_error(container_create_request_decode(&request, text, strlen(text), &err), &err);
	r = container_check(&request.config, &request.host, &warnings, &err);
	*out_message = r < 0 ? err.message : NULL;
	if (r < 0)
		err.message = NULL;
	container_create_request_fini(&request);
	return r;
}

static const struct {
	const char *body;
	const char *message; /* a part of it; NULL: accepted */
} cases[] = {
	{ "{\"Cmd\":[\"a\"]}", NULL },
	{ "{\"Image\":\"x\"}", "no command specified" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"Memory\":1000}}", "Minimum memory limit allowed is 6MB" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"MemorySwap\":99999999}}", "You should always set the Memory limit" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"NanoCpus\":1,\"CpuPeriod\":1000}}", "Conflicting options" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"NanoCpus\":99999000000000}}", "CPUs available" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"CpusetCpus\":\"a-b\"}}", "Invalid value a-b for cpuset cpus" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"CpusetCpus\":\"8000\"}}", "Requested CPUs are not available" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"BlkioWeight\":5}}", "Range of blkio weight" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"maybe\"}}}", "unknown policy 'maybe'" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"always\"},\"AutoRemove\":true}}",
	  "can't create 'AutoRemove' container with restart policy" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"CapAdd\":[\"FOO\"]}}",
	  "invalid CapAdd: unknown capability: \"CAP_FOO\"" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"CapAdd\":[\"net_admin\",\"CAP_SYS_TIME\",\"ALL\"]}}", NULL },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"IpcMode\":\"odd\"}}", "invalid IPC mode" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":5,\"Hard\":3}]}}",
	  "ulimit soft limit" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"LogConfig\":{\"Type\":\"splunk\"}}}",
	  "looking up logging plugin splunk" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"LogConfig\":{\"Type\":\"gelf\"}}}",
	  "gelf-address is a required parameter" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"LogConfig\":{\"Type\":\"gelf\",\"Config\":{\"gelf-address\":\"http://"
	  "a\"}}}}",
	  "gelf-address should be in form proto://address, got http://a" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"LogConfig\":{\"Type\":\"gelf\",\"Config\":{\"gelf-address\":\"udp://"
	  "a\"}}}}",
	  "gelf: please provide gelf-address as proto://host:port" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"LogConfig\":{\"Type\":\"gelf\",\"Config\":{\"gelf-address\":\"tcp://"
	  "a:1\","
	  "\"gelf-compression-type\":\"gzip\"}}}}",
	  "compression is only supported on UDP" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"LogConfig\":{\"Type\":\"fluentd\",\"Config\":{\"fluentd-async\":"
	  "\"maybe\"}}}}",
	  "parsing \"maybe\": invalid syntax" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"LogConfig\":{\"Type\":\"fluentd\",\"Config\":{\"fluentd-async-reconnect-"
	  "interval\":\"1h\"}}}}",
	  "must be between 100ms and 10s" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"LogConfig\":{\"Type\":\"fluentd\",\"Config\":{\"fluentd-address\":\"a:b:"
	  "c\"}}}}",
	  "too many colons in address" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"LogConfig\":{\"Type\":\"syslog\",\"Config\":{\"syslog-format\":\"x\"}}}}",
	  "Invalid syslog format" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"LogConfig\":{\"Type\":\"syslog\",\"Config\":{\"syslog-address\":\"unix://"
	  "/none/x\"}}}}",
	  "stat /none/x: no such file or directory" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"LogConfig\":{\"Type\":\"local\",\"Config\":{\"max-file\":\"1\"}}}}",
	  "compression cannot be enabled when max file count is 1" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"LogConfig\":{\"Config\":{\"compress\":\"true\"}}}}",
	  "compress cannot be true when max-file is less than 2 or max-size is not set" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"LogConfig\":{\"Type\":\"json-file\",\"Config\":{\"max-size\":\"1m\","
	  "\"max-file\":\"3\"}}}}",
	  NULL },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"LogConfig\":{\"Config\":{\"odd\":\"1\"}}}}", "unknown log opt 'odd'" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"StorageOpt\":{\"size\":\"x\"}}}", "invalid size: 'x'" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"StorageOpt\":{\"dm.basesize\":\"1g\"}}}", "unknown option dm.basesize" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"SecurityOpt\":[\"apparmor=mine\"]}}", "AppArmor" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"SecurityOpt\":[\"seccomp=unconfined\",\"no-new-privileges\"]}}", NULL },
	{ "{\"Cmd\":[\"a\"],\"WorkingDir\":\"relative\"}", "needs to be an absolute path" },
	{ "{\"Cmd\":[\"a\"],\"StopSignal\":\"NOPE\"}", "invalid signal: NOPE" },
	{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"OomScoreAdj\":2000}}", "range for oom score adj" },
	{ "{\"Cmd\":[\"a\"],\"Hostname\":\"h\",\"HostConfig\":{\"NetworkMode\":\"container:x\"}}",
	  "conflicting options: hostname and the network mode" },
	{ "{\"Cmd\":[\"a\"],\"Env\":[\"=x\"]}", "invalid environment variable: =x" },
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO_FREE char *message = NULL;
		int r = check(cases[i].body, &message);

		if (!cases[i].message && r < 0)
			fail_msg("%s: %s", cases[i].body, message);
		if (cases[i].message && (r == 0 || !strstr(message, cases[i].message)))
			fail_msg("%s: got \"%s\"", cases[i].body, r == 0 ? "(accepted)" : message);
	}
}

static void test_limit_without_swap_is_told(void **state)
{
	static const char body[] = "{\"Cmd\":[\"a\"],\"HostConfig\":{\"Memory\":64000000}}";
	AUTO(text_list_fini) struct text_list warnings = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	struct container_create_request request = { 0 };

	(void)state;
	assert_no_error(container_create_request_decode(&request, body, strlen(body), &err), &err);
	assert_no_error(container_check(&request.config, &request.host, &warnings, &err), &err);
	assert_int_equal(request.host.memory_swap, 128000000);
	assert_int_equal(warnings.count, cgroup_accounts_swap() ? 0 : 1);
	container_create_request_fini(&request);
}

static void test_names(void **state)
{
	static const char *const good[] = { "a1", "web_1.x-y", "0ab" };
	static const char *const bad[] = { "", "a", "-ab", "a b", "bad/name", "\xc3\xa4" };
	AUTO(error_clear) struct error err = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_no_error(container_check_name(good[i], &err), &err);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(container_check_name(bad[i], &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		error_clear(&err);
	}
	assert_int_equal(container_check_name("bad/name", &err), -1);
	assert_string_equal(err.message,
			    "Invalid container name (bad/name), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
}

static void test_detach_keys(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	uint8_t keys[32];
	size_t count;

	(void)state;
	assert_no_error(detach_keys_parse(keys, &count, NULL, &err), &err);
	assert_int_equal(count, 2);
	assert_int_equal(keys[0], 16);
	assert_int_equal(keys[1], 17);
	assert_no_error(detach_keys_parse(keys, &count, "ctrl-@,a,ctrl-],ctrl-_", &err), &err);
	assert_int_equal(keys[0], 0);
	assert_int_equal(keys[2], 29);
	assert_int_equal(keys[3], 31);
	assert_int_equal(detach_keys_parse(keys, &count, "ctrl-1", &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_limit_without_swap_is_told),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_detach_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
