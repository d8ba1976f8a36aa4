/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/unit.h"

#include <string.h>

#include "base/cleanup.h"
#include "engine/container_config.h"

/* What docker CLI 28 sends for `docker run -d -p 8080:80 --memory 64m busybox top`. */
static const char body[] =
	"{\"Hostname\":\"\",\"Domainname\":\"\",\"User\":\"\",\"AttachStdin\":false,\"AttachStdout\":false,"
	"\"AttachStderr\":false,\"ExposedPorts\":{\"80/tcp\":{}},\"Tty\":false,\"OpenStdin\":false,"
	"\"StdinOnce\":false,\"Env\":null,\"Cmd\":[\"top\"],\"Image\":\"busybox\",\"Volumes\":{},"
	"\"WorkingDir\":\"\",\"Entrypoint\":null,\"OnBuild\":null,\"Labels\":{},\"HostConfig\":{\"Binds\":null,"
	"\"ContainerIDFile\":\"\",\"LogConfig\":{\"Type\":\"\",\"Config\":{}},\"NetworkMode\":\"default\","
	"\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}]},\"RestartPolicy\":{\"Name\":\"no\","
	"\"MaximumRetryCount\":0},\"AutoRemove\":false,\"ConsoleSize\":[40,120],\"Memory\":67108864,"
	"\"PidsLimit\":0,\"OomKillDisable\":false,\"MaskedPaths\":null,\"ReadonlyPaths\":[]},"
	"\"NetworkingConfig\":{\"EndpointsConfig\":{\"default\":{\"IPAMConfig\":null,\"MacAddress\":\"\"}}}}";

static void test_cli_body(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct container_create_request request = { 0 };

	(void)state;
	assert_no_error(container_create_request_decode(&request, body, strlen(body), &err), &err);
	assert_string_equal(request.config.image, "busybox");
	assert_string_equal(request.config.cmd.items[0], "top");
	assert_int_equal(request.host.memory, 67108864);
	assert_string_equal(request.host.port_bindings.items[0].port, "80/tcp");
	assert_string_equal(request.host.port_bindings.items[0].bindings.items[0].host_port, "8080");
	assert_int_equal(request.host.console_size.items[1].value, 120);
	assert_false(request.host.masked_paths_given);
	assert_true(request.host.readonly_paths_given);
	assert_true(request.host.pids_limit.set);
	assert_string_equal(request.networking.endpoints.items[0].network, "default");
	container_create_request_fini(&request);
}

static void test_empty_body(void **state)
{
	static const char *const empty[] = { "", "null", " {} \n" };

	(void)state;
	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		struct container_create_request request = { 0 };

		assert_int_equal(container_create_request_decode(&request, empty[i], strlen(empty[i]), &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_string_equal(err.message, "config cannot be empty in order to create a container");
	}
}

static void test_wrong_types(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct container_create_request request = { 0 };
	const char text[] = "{\"Image\":\"x\",\"HostConfig\":{\"Memory\":\"much\"}}";

	(void)state;
	assert_int_equal(container_create_request_decode(&request, text, strlen(text), &err), -1);
	assert_string_equal(err.message, "HostConfig.Memory: expected a number");
}

/* inspect's nulls and empties, as dockerd prints them. */
static void test_nulls(void **state)
{
	struct host_config host = { 0 };
	struct container_config config = { 0 };
	AUTO_FREE char *host_text = json_encode(&host, host_config_fields);
	AUTO_FREE char *config_text = json_encode(&config, container_config_fields);

	(void)state;
	assert_non_null(strstr(host_text, "\"Binds\":null"));
	assert_non_null(strstr(host_text, "\"PortBindings\":{}"));
	assert_non_null(strstr(host_text, "\"Dns\":[]"));
	assert_non_null(strstr(host_text, "\"MemorySwappiness\":null"));
	assert_null(strstr(host_text, "\"Init\""));
	assert_non_null(strstr(config_text, "\"Volumes\":null"));
	assert_non_null(strstr(config_text, "\"Entrypoint\":null"));
	assert_null(strstr(config_text, "ExposedPorts"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cli_body),
		cmocka_unit_test(test_empty_body),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_nulls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
