/* SPDX-License-Identifier: Apache-2.0 */
/* The grammars of run's options: what they send, and docker's words for what they refuse. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/container_options.h"
#include "unit/unit.h"
#include "json/value.h"

#define ARGV(...) ((const char *const[]){ "create", __VA_ARGS__, NULL })

/* The body of a create with these arguments, or NULL with err filled. */
static char *body_of(const char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	struct container_options options = { 0 };
	char *body = NULL;
	int argc = 0;

	while (argv[argc])
		argc++;
	container_options_defaults(&options);
	if (options_parse(create_options, &options, argc, (char *const *)(uintptr_t)argv, OPTIONS_STOP_AT_OPERAND,
			  &operands, err) == 0)
		container_body(&body, &options, &operands, err);
	for (const struct option_spec *option = create_options; option->name; option++)
		if (option->kind == OPTION_KIND_LIST)
			text_list_fini((struct text_list *)(void *)((char *)&options + option->offset));
	container_options_fini(&options);
	return body;
}

/* What stands at "HostConfig.Memory" in the body, as JSON. */
static void check(const char *const *argv, const char *path, const char *expected)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(json_value_freep) struct json_value *root = NULL;
	AUTO(text_list_fini) struct text_list keys = { 0 };
	AUTO(text_fini) struct text found = { 0 };
	AUTO_FREE char *body = body_of(argv, &err);
	const struct json_value *value;

	if (!body)
		fail_msg("%s: %s", argv[1], err.message);
	assert_no_error(json_value_parse(&root, body, strlen(body), &err), &err);
	value = root;
	text_list_split(&keys, path, '.');
	for (size_t i = 0; i < keys.count; i++)
		value = json_value_get(value, keys.items[i]);
	json_value_encode(&found, value, NULL);
	assert_string_equal(found.data, expected);
}

static void refuse(const char *const *argv, const char *expected)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *body = body_of(argv, &err);

	if (body)
		fail_msg("%s %s: was accepted", argv[1], argv[2]);
	if (!strstr(err.message, expected))
		fail_msg("%s %s: \"%s\" does not say \"%s\"", argv[1], argv[2], err.message, expected);
}

static void test_ports(void **state)
{
	(void)state;
	check(ARGV("-p", "8080:80", "i"), "HostConfig.PortBindings",
	      "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}]}");
	check(ARGV("-p", "127.0.0.1:8000-8001:90-91/udp", "i"), "HostConfig.PortBindings",
	      "{\"90/udp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8000\"}],"
	      "\"91/udp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8001\"}]}");
	check(ARGV("-p", "8000-8010:80", "i"), "HostConfig.PortBindings",
	      "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8000-8010\"}]}");
	check(ARGV("-p", "[::1]::80", "-p", "81:80", "i"), "HostConfig.PortBindings",
	      "{\"80/tcp\":[{\"HostIp\":\"::1\",\"HostPort\":\"\"},{\"HostIp\":\"\",\"HostPort\":\"81\"}]}");
	check(ARGV("-p", "published=80,target=90,protocol=udp", "i"), "ExposedPorts", "{\"90/udp\":{}}");
	check(ARGV("--expose", "80-81", "i"), "ExposedPorts", "{\"80/tcp\":{},\"81/tcp\":{}}");
	refuse(ARGV("-p", "70000:80", "i"), "invalid hostPort: 70000");
	refuse(ARGV("-p", "80:x", "i"), "invalid containerPort: x");
	refuse(ARGV("-p", "10-12:80-81", "i"), "invalid ranges specified for container and host Ports");
	refuse(ARGV("-p", "80:80/foo", "i"), "invalid proto: foo");
	refuse(ARGV("-p", "999.1.1.1:80:80", "i"), "invalid IP address: 999.1.1.1");
	refuse(ARGV("-p", "", "i"), "no port specified: <empty>");
	refuse(ARGV("-p", "90-80", "i"), "invalid containerPort");
}

static void test_mounts(void **state)
{
	(void)state;
	check(ARGV("-v", "/a:/b:ro", "-v", "vol:/c", "i"), "HostConfig.Binds", "[\"/a:/b:ro\",\"vol:/c\"]");
	check(ARGV("-v", "/anon", "i"), "Volumes", "{\"/anon\":{}}");
	check(ARGV("--mount", "type=bind,src=/tmp,dst=/x,ro,bind-propagation=rshared", "i"), "HostConfig.Mounts",
	      "[{\"Type\":\"bind\",\"Source\":\"/tmp\",\"Target\":\"/x\",\"ReadOnly\":true,"
	      "\"BindOptions\":{\"Propagation\":\"rshared\"}}]");
	check(ARGV("--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770", "i"), "HostConfig.Mounts",
	      "[{\"Type\":\"tmpfs\",\"Target\":\"/t\",\"TmpfsOptions\":{\"SizeBytes\":1048576,\"Mode\":1016}}]");
	check(ARGV("--mount", "\"type=volume\",\"dst=/a,b\"", "i"), "HostConfig.Mounts",
	      "[{\"Type\":\"volume\",\"Target\":\"/a,b\"}]");
	check(ARGV("--tmpfs", "/t:size=1m", "--tmpfs", "/u", "i"), "HostConfig.Tmpfs",
	      "{\"/t\":\"size=1m\",\"/u\":\"\"}");
	refuse(ARGV("--mount", "type=bind,src=/a", "i"), "target is required");
	refuse(ARGV("--mount", "foo=bar", "i"), "unexpected key 'foo' in 'foo=bar'");
	refuse(ARGV("--mount", "foo", "i"), "invalid field 'foo' must be a key=value pair");
	refuse(ARGV("--mount", "type=tmpfs,dst=/x,volume-nocopy", "i"),
	       "cannot mix 'volume-*' options with mount type 'tmpfs'");
	refuse(ARGV("--mount", "type=bind,src=/a,dst=/x,bind-recursive=readonly", "i"),
	       "requires 'readonly' to be specified");
	refuse(ARGV("--mount", "dst=\"/x", "i"), "bare \" in non-quoted-field");
	refuse(ARGV("-v", "a:b:c:d", "i"), "too many colons");
	refuse(ARGV("-v", ":/x", "i"), "empty section between colons");
}

static void test_networks(void **state)
{
	(void)state;
	check(ARGV("i"), "NetworkingConfig.EndpointsConfig", "{\"default\":{}}");
	check(ARGV("--network", "host", "i"), "HostConfig.NetworkMode", "\"host\"");
	check(ARGV("--network", "host", "i"), "NetworkingConfig.EndpointsConfig", "{}");
	check(ARGV("--network", "name=n,alias=a,ip=1.2.3.4,driver-opt=k=v,gw-priority=3", "i"),
	      "NetworkingConfig.EndpointsConfig",
	      "{\"n\":{\"IPAMConfig\":{\"IPv4Address\":\"1.2.3.4\"},\"Aliases\":[\"a\"],"
	      "\"DriverOpts\":{\"k\":\"v\"},\"GwPriority\":3}}");
	check(ARGV("--network", "n", "--ip", "1.2.3.4", "--network-alias", "x", "i"),
	      "NetworkingConfig.EndpointsConfig.n",
	      "{\"IPAMConfig\":{\"IPv4Address\":\"1.2.3.4\"},\"Aliases\":[\"x\"]}");
	refuse(ARGV("--network", "a", "--network", "a", "i"), "network \"a\" is specified multiple times");
	refuse(ARGV("--network", "a", "--network", "host", "i"), "conflicting options");
	refuse(ARGV("--network-alias", "x", "i"), "only supported for user-defined networks");
	refuse(ARGV("--mac-address", "zz", "i"), "zz is not a valid mac address");
	refuse(ARGV("--network", "alias=x", "i"), "network name/id is not specified");
}

static void test_limits(void **state)
{
	(void)state;
	check(ARGV("--ulimit", "nofile=1:2", "i"), "HostConfig.Ulimits",
	      "[{\"Name\":\"nofile\",\"Hard\":2,\"Soft\":1}]");
	check(ARGV("--cpus", ".5", "i"), "HostConfig.NanoCpus", "500000000");
	check(ARGV("-m", "1.5g", "--memory-swap", "-1", "i"), "HostConfig.Memory", "1610612736");
	check(ARGV("--memory-swap", "-1", "i"), "HostConfig.MemorySwap", "-1");
	check(ARGV("--device-read-bps", "/dev/sda:1m", "i"), "HostConfig.BlkioDeviceReadBps",
	      "[{\"Path\":\"/dev/sda\",\"Rate\":1048576}]");
	check(ARGV("--gpus", "all", "i"), "HostConfig.DeviceRequests",
	      "[{\"Driver\":\"\",\"Count\":-1,\"Capabilities\":[[\"gpu\"]],\"Options\":{}}]");
	check(ARGV("--device", "/dev/null:/dev/x:r", "i"), "HostConfig.Devices",
	      "[{\"PathOnHost\":\"/dev/null\",\"PathInContainer\":\"/dev/x\",\"CgroupPermissions\":\"r\"}]");
	check(ARGV("--restart", "on-failure:3", "i"), "HostConfig.RestartPolicy",
	      "{\"Name\":\"on-failure\",\"MaximumRetryCount\":3}");
	check(ARGV("--cap-add", "net_admin", "--cap-add", "NET_ADMIN", "i"), "HostConfig.CapAdd",
	      "[\"CAP_NET_ADMIN\"]");
	refuse(ARGV("--ulimit", "nofile=5:2", "i"), "soft limit must be less than or equal to hard limit: 5 > 2");
	refuse(ARGV("--ulimit", "foo=1", "i"), "invalid ulimit type: foo");
	refuse(ARGV("--cpus", "0.0000000001", "i"), "value is too precise");
	refuse(ARGV("--device", "/dev/null:/x:q", "i"), "bad mode specified: q");
	refuse(ARGV("--restart", "always", "--rm", "i"), "cannot specify both --restart and --rm");
	refuse(ARGV("--device-read-bps", "sda:1m", "i"), "bad format for device path");
	refuse(ARGV("--pids-limit", "x", "i"), "strconv.ParseInt: parsing \"x\": invalid syntax");
	refuse(ARGV("--cpu-count", "2", "i"), "only Windows has this");
}

static void test_config(void **state)
{
	(void)state;
	check(ARGV("-it", "i"), "StdinOnce", "true");
	check(ARGV("-a", "stdout", "i"), "AttachStderr", "false");
	check(ARGV("i", "a", "-x"), "Cmd", "[\"a\",\"-x\"]");
	check(ARGV("--entrypoint", "", "i"), "Entrypoint", "[\"\"]");
	check(ARGV("--init=false", "i"), "HostConfig.Init", "false");
	check(ARGV("i"), "HostConfig.Init", "null");
	check(ARGV("--stop-timeout", "0", "i"), "StopTimeout", "0");
	check(ARGV("--health-cmd", "x", "--health-interval", "5s", "i"), "Healthcheck",
	      "{\"Test\":[\"CMD-SHELL\",\"x\"],\"Interval\":5000000000}");
	check(ARGV("--security-opt", "systempaths=unconfined", "i"), "HostConfig.MaskedPaths", "[]");
	check(ARGV("-l", "a=b", "-l", "c", "i"), "Labels", "{\"a\":\"b\",\"c\":\"\"}");
	check(ARGV("--add-host", "a:1.2.3.4", "--add-host", "b=[::1]", "i"), "HostConfig.ExtraHosts",
	      "[\"a:1.2.3.4\",\"b:::1\"]");
	refuse(ARGV("--no-healthcheck", "--health-cmd", "x", "i"), "conflicts with --health-* options");
	refuse(ARGV("--pid", "foo", "i"), "--pid: invalid PID mode");
	refuse(ARGV("--dns", "x", "i"), "IP address is not correctly formatted: x");
	refuse(ARGV("--log-driver", "none", "--log-opt", "a=b", "i"), "invalid logging opts for driver none");
	refuse(ARGV("--env-file", "/nonexistent", "i"), "/nonexistent");
	refuse(ARGV("--sysctl", "a=b", "i"), "sysctl 'a=b' is not allowed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports),  cmocka_unit_test(test_mounts), cmocka_unit_test(test_networks),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
