/* SPDX-License-Identifier: Apache-2.0 */
#include "api/docker/policy.h"

#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "unit/unit.h"

static struct policy_set *parse(const char *text)
{
	AUTO(error_clear) struct error err = { 0 };
	struct policy_set *set = NULL;

	assert_no_error(policy_set_parse(&set, text, strlen(text), &err), &err);
	return set;
}

static void expect_refused(const char *text, const char *part)
{
	AUTO(error_clear) struct error err = { 0 };
	struct policy_set *set = NULL;

	assert_true(policy_set_parse(&set, text, strlen(text), &err) < 0);
	assert_null(set);
	if (!strstr(err.message, part))
		fail_msg("no \"%s\" in: %s", part, err.message);
}

static void test_what_is_not_understood_is_refused(void **state)
{
	(void)state;
	expect_refused("{", "");
	expect_refused("[]", "");
	expect_refused("{\"unix:///a\":{}}", "access");
	expect_refused("{\"unix:///a\":{\"access\":\"some\"}}", "expected all, read-only or none");
	expect_refused("{\"unix:///a\":{\"access\":\"all\",\"denny\":[]}}", "no such key in a socket policy");
	expect_refused("{\"unix:///a\":{\"access\":\"all\",\"deny\":[\"/containers\"]}}", "METHOD[,METHOD...] /path");
	expect_refused("{\"unix:///a\":{\"access\":\"all\",\"bind-sources\":[\"srv\"]}}", "not an absolute path");
}

static void test_requests(void **state)
{
	static const struct {
		const char *address;
		const char *method;
		const char *path;
		bool allowed;
	} cases[] = {
		{ "unix:///ro", "GET", "/containers/json", true },
		{ "unix:///ro", "HEAD", "/_ping", true },
		{ "unix:///ro", "GET", "/containers/x/attach/ws", false },
		{ "unix:///ro", "POST", "/containers/create", false },
		{ "unix:///ro", "DELETE", "/images/x", false },
		{ "unix:///ro", "PUT", "/containers/x/archive", false },
		{ "unix:///ro", "POST", "/containers/x/restart", true },
		{ "unix:///ro", "GET", "/containers/x/archive", false },
		{ "unix:///none", "GET", "/info", false },
		{ "unix:///none", "GET", "/_ping", true },
		{ "unix:///none", "GET", "/version", true },
		{ "unix:///none", "HEAD", "/version", true },
		{ "unix:///none", "POST", "/version", false },
		{ "unix:///all", "POST", "/build", false },
		{ "unix:///all", "GET", "/build", false },
		{ "unix:///all", "POST", "/containers/create", true },
		{ "unix:///all", "GET", "/networks", false },
		{ "unix:///all", "GET", "/networks/", false },
		{ "unix:///all", "GET", "/", true },
		{ "unix:///ro", "GET", "/containers/x/attach/ws/", false },
	};
	AUTO(policy_set_freep)
	struct policy_set *set = parse(
		"{\"unix:///ro\":{\"access\":\"read-only\",\"allow\":[\"POST /containers/{id...}/restart\"],"
		"\"deny\":[\"GET,HEAD /containers/{id...}/archive\"]},"
		"\"unix:///none\":{\"access\":\"none\",\"allow\":[\"GET,HEAD /version\"]},"
		"\"unix:///all\":{\"access\":\"all\",\"deny\":[\"* /build\",\"GET /networks\"]}}");

	(void)state;
	assert_null(policy_find(set, "unix:///other"));
	assert_null(policy_find(NULL, "unix:///ro"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		int r = policy_check_request(policy_find(set, cases[i].address), cases[i].method, cases[i].path, &err);

		if ((r == 0) != cases[i].allowed)
			fail_msg("%s %s at %s", cases[i].method, cases[i].path, cases[i].address);
		assert_int_equal(err.kind, r == 0 ? ERR_NONE : ERR_FORBIDDEN);
	}
}

/* Each key of HostConfig that reaches around a container. */
static void test_containers(void **state)
{
	static const struct {
		const char *host;
		const char *refused; /* NULL: allowed */
	} cases[] = {
		{ "{}", NULL },
		{ "{\"Memory\":1000000,\"CapDrop\":[\"ALL\"],\"SecurityOpt\":[\"no-new-privileges\"]}", NULL },
		{ "{\"Binds\":[\"volume:/data\",\"/srv/data:/a:ro\"],\"NetworkMode\":\"net\"}", NULL },
		{ "{\"Privileged\":true}", "privileged" },
		{ "{\"CapAdd\":[\"NET_ADMIN\"]}", "capabilities" },
		{ "{\"Devices\":[{\"PathOnHost\":\"/dev/sda\"}]}", "devices" },
		{ "{\"DeviceCgroupRules\":[\"a *:* rwm\"]}", "devices" },
		{ "{\"SecurityOpt\":[\"seccomp=unconfined\"]}", "security options" },
		{ "{\"SecurityOpt\":[\"systempaths=unconfined\"]}", "security options" },
		{ "{\"PidMode\":\"host\"}", "PID" },
		{ "{\"PidMode\":\"container:x\"}", "PID" },
		{ "{\"IpcMode\":\"host\"}", "IPC" },
		{ "{\"UTSMode\":\"host\"}", "UTS" },
		{ "{\"NetworkMode\":\"host\"}", "network" },
		{ "{\"UsernsMode\":\"host\"}", "user namespace" },
		{ "{\"CgroupnsMode\":\"host\"}", "cgroup namespace" },
		{ "{\"CgroupParent\":\"/x\"}", "parent cgroup" },
		{ "{\"Runtime\":\"other\"}", "runtime" },
		{ "{\"OomScoreAdj\":-5}", "OOM" },
		{ "{\"MaskedPaths\":[]}", "hidden" },
		{ "{\"ReadonlyPaths\":[]}", "hidden" },
		{ "{\"VolumesFrom\":[\"x\"]}", "volumes of other" },
		{ "{\"volumesfrom\":[\"x\"]}", "volumes of other" },
		{ "{\"Annotations\":{\"io.kist.note\":\"x\"}}", NULL },
		{ "{\"Annotations\":{\"org.criu.config\":\"/srv/data/x\"}}", "annotations" },
		{ "{\"LogConfig\":{\"Type\":\"json-file\",\"Config\":{\"max-size\":\"1m\"}}}", NULL },
		{ "{\"LogConfig\":{\"Type\":\"fluentd\",\"Config\":{\"fluentd-address\":\"unix:///x\"}}}", "socket" },
		{ "{\"Binds\":[\"//etc:/host\"]}", "mount" },
		{ "{\"Binds\":[\"/srv/./data:/a\"]}", NULL },
		{ "{\"Binds\":[\"/:/host\"]}", "mount /" },
		{ "{\"Binds\":[\"/srv/data/../..:/host\"]}", "mount" },
		{ "{\"Binds\":[\"/srv/data/below:/host\"]}", "mount" },
		{ "{\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/etc\",\"Target\":\"/x\"}]}", "mount /etc" },
		{ "{\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/tree/no/such\",\"Target\":\"/x\"}]}", "mount" },
		{ "{\"Mounts\":[{\"Type\":\"volume\",\"Target\":\"/"
		  "x\",\"VolumeOptions\":{\"DriverConfig\":{\"Options\":"
		  "{\"device\":\"/\"}}}}]}",
		  "driver options" },
	};
	AUTO(policy_set_freep)
	struct policy_set *set = parse("{\"a\":{\"access\":\"all\",\"bind-sources\":[\"/srv/data\",\"/tree/\"]},"
				       "\"b\":{\"access\":\"all\",\"privileged\":true}}");

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(error_clear) struct error none = { 0 };
		AUTO_FREE char *text = xasprintf("{\"Image\":\"x\",\"HostConfig\":%s}", cases[i].host);
		struct container_create_request body = { 0 };
		int r;

		assert_no_error(container_create_request_decode(&body, text, strlen(text), &err), &err);
		r = policy_check_container(policy_find(set, "a"), &body.host, false, &err);
		if ((r < 0) != (cases[i].refused != NULL) || (r < 0 && !strstr(err.message, cases[i].refused)))
			fail_msg("%s: %s", cases[i].host, text_or_empty(err.message));
		assert_int_equal(policy_check_container(policy_find(set, "b"), &body.host, false, &none), 0);
		container_create_request_fini(&body);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_not_understood_is_refused),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_containers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
