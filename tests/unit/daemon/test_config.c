/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "daemon/collection.h"
#include "daemon/known.h"
#include "unit/unit.h"

static char path[] = "/tmp/kist-config-XXXXXX";

static int load(struct daemon_config *config, const char *json, const char *const *flags, struct error *err)
{
	const char *argv[16] = { "kistd", "--config-file", path };
	enum config_action action;
	AUTO_FREE char *file = NULL;
	int argc = 3;

	assert_int_equal(file_write_atomic(AT_FDCWD, path, json, strlen(json), 0600, FILE_NO_SYNC), 0);
	while (*flags)
		argv[argc++] = *flags++;
	return daemon_config_load(config, &action, &file, argc, (char *const *)(uintptr_t)argv, err);
}

static void expect_refused(const char *json, const char *const *flags, const char *part)
{
	AUTO(error_clear) struct error err = { 0 };
	struct daemon_config config = { 0 };

	assert_true(load(&config, json, flags, &err) < 0);
	assert_int_equal(err.kind, ERR_INVALID);
	if (!strstr(err.message, part))
		fail_msg("no \"%s\" in: %s", part, err.message);
}

#define FLAGS(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void test_defaults(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct daemon_config config = { 0 };

	(void)state;
	assert_no_error(load(&config, "{}", FLAGS(), &err), &err);
	assert_string_equal(config.data_root, "/var/lib/kist");
	assert_string_equal(config.exec_root, "/run/kist");
	assert_string_equal(config.pidfile, "/run/kist/kistd.pid");
	assert_string_equal(config.bridge, "kist0");
	assert_int_equal(daemon_config_log_level(&config), LOG_LEVEL_INFO);
	assert_int_equal(daemon_config_shm_size(&config), 64 << 20);
	daemon_config_fini(&config);
}

static void test_file_and_flags_together(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct daemon_config config = { 0 };

	(void)state;
	assert_no_error(load(&config, "{\"debug\":true,\"hosts\":[\"unix:///a\"],\"log-opts\":{\"max-size\":\"1m\"}}",
			     FLAGS("--exec-root", "/x", "--insecure-registry", "a:5000", "--insecure-registry", "b"),
			     &err),
			&err);
	assert_int_equal(daemon_config_log_level(&config), LOG_LEVEL_DEBUG);
	assert_string_equal(config.hosts.items[0], "unix:///a");
	assert_string_equal(config.pidfile, "/x/kistd.pid");
	assert_int_equal(config.insecure_registries.count, 2);
	assert_string_equal(text_map_get(&config.log_options, "max-size"), "1m");
	daemon_config_fini(&config);
}

static void test_said_twice_is_refused(void **state)
{
	(void)state;
	expect_refused("{\"debug\":true}", FLAGS("-D=false"), "debug: (from flag: false, from file: true)");
	expect_refused("{\"data-root\":\"/a\"}", FLAGS("--data-root", "/b"),
		       "data-root: (from flag: /b, from file: /a)");
	expect_refused("{\"hosts\":[\"fd://\"]}", FLAGS("-H", "unix:///b"), "hosts: (from flag: [unix:///b]");
}

static void test_runtimes(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct daemon_config config = { 0 };

	(void)state;
	assert_no_error(load(&config,
			     "{\"default-runtime\":\"a\",\"runtimes\":{\"a\":{\"path\":\"/x\","
			     "\"runtimeArgs\":[\"-v\"],\"options\":{}}}}",
			     FLAGS("--add-runtime", "b=/y=z"), &err),
			&err);
	assert_int_equal(config.runtimes.count, 2);
	assert_string_equal(config.runtimes.items[0].arguments.items[0], "-v");
	assert_string_equal(config.runtimes.items[1].name, "b");
	assert_string_equal(config.runtimes.items[1].path, "/y=z");
	assert_string_equal(config.default_runtime, "a");
	daemon_config_fini(&config);
	/* containerd's own type is what kist-shim is. */
	assert_no_error(load(&config,
			     "{\"runtimes\":{\"a\":{\"runtimeType\":\"io.containerd.runc.v2\",\"options\":{"
			     "\"BinaryName\":\"/x/crun\",\"SystemdCgroup\":false,\"Root\":\"\"}},"
			     "\"b\":{\"runtimeType\":\"io.containerd.runc.v2\"}}}",
			     FLAGS(), &err),
			&err);
	assert_string_equal(config.runtimes.items[0].path, "/x/crun");
	assert_string_equal(config.runtimes.items[1].path, "runc");
	daemon_config_fini(&config);
}

static void test_collection(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct daemon_config config = { 0 };
	struct collector_settings settings;

	(void)state;
	assert_no_error(load(&config, "{}", FLAGS(), &err), &err);
	assert_no_error(daemon_collection_parse(&settings, &config, &err), &err);
	assert_false(settings.images);
	assert_int_equal(settings.rule_count, 0);
	daemon_config_fini(&config);
	config = (struct daemon_config){ 0 };
	assert_no_error(load(&config,
			     "{\"builder\":{\"gc\":{\"enabled\":true,\"policy\":[{\"keepStorage\":\"10GB\",\"filter\":"
			     "[\"unused-for=48h\"]},{\"reservedSpace\":\"1GB\",\"all\":true}]}},\"image-gc\":{"
			     "\"enabled\":true,\"unused-for\":\"720h\",\"keep-storage\":\"20GB\",\"interval\":\"1h\"}}",
			     FLAGS(), &err),
			&err);
	assert_no_error(daemon_collection_parse(&settings, &config, &err), &err);
	assert_int_equal(settings.rule_count, 2);
	assert_true(settings.rules[0].unused_ns == 48 * 3600 * CLOCK_SECOND && !settings.rules[0].all);
	assert_true(settings.rules[1].unused_ns == 0 && settings.rules[1].all);
	assert_true(settings.rules[0].keep_bytes == 10 * settings.rules[1].keep_bytes);
	assert_true(settings.image_unused_ns == 720 * 3600 * CLOCK_SECOND && settings.images);
	assert_true(settings.pause_ns == 3600 * CLOCK_SECOND);
	free((void *)(uintptr_t)settings.rules);
	daemon_config_fini(&config);
}

static void test_bad_values(void **state)
{
	(void)state;
	expect_refused("{\"nonsense\":1,\"more\":2}", FLAGS(),
		       "directives don't match any configuration option: more, nonsense");
	expect_refused("{\"debug\":\"yes\"}", FLAGS(), "debug");
	expect_refused("{", FLAGS(), path);
	expect_refused("[]", FLAGS(), "expected a JSON object");
	expect_refused("{}", FLAGS("-H", "npipe://x"), "invalid host npipe://x");
	expect_refused("{}", FLAGS("--log-level", "loud"), "invalid log-level loud");
	expect_refused("{}", FLAGS("--log-driver", "splunk"), "no log driver named 'splunk' is registered");
	expect_refused("{}", FLAGS("--log-opt", "nonsense=x"), "unknown log opt 'nonsense'");
	expect_refused("{}", FLAGS("--default-shm-size", "much"), "default-shm-size");
	expect_refused("{}", FLAGS("--live-restore=false"), "live-restore cannot be turned off");
	expect_refused("{}", FLAGS("--selinux-enabled"), "containers are not labelled for SELinux");
	expect_refused("{}", FLAGS("--no-such"), "unknown flag: --no-such");
	expect_refused("{}", FLAGS("--mtu", "7"), "invalid mtu 7");
	expect_refused("{\"labels\":[\"x\"]}", FLAGS(), "key=value is wanted");
	expect_refused("{\"storage-driver\":\"zfs\"}", FLAGS(), "storage driver zfs: there are overlay2");
	expect_refused("{\"iptables\":false}", FLAGS(), "iptables false is not supported");
	expect_refused("{}", FLAGS("-H", "tcp://1.2.3.4:5"), "use --tlsverify with certificates, or say --tls=false");
	expect_refused("{}", FLAGS("--tls=false", "--tlsverify"), "tlsverify needs TLS");
	expect_refused("{\"builder\":{\"gc\":{\"enabled\":true,\"polciy\":[]}}}", FLAGS(),
		       "don't match any configuration option: builder.gc.polciy");
	expect_refused("{\"builder\":{\"gc\":{\"policy\":[{\"maxUsedSpace\":\"1GB\"}]}}}", FLAGS(),
		       "builder.gc.policy.maxUsedSpace");
	expect_refused("{\"builder\":{\"gc\":{\"policy\":[{\"filter\":[\"type=regular\"]}]}}}", FLAGS(),
		       "only unused-for=DURATION is known");
	expect_refused("{\"builder\":{\"gc\":{\"defaultKeepStorage\":\"much\"}}}", FLAGS(), "defaultKeepStorage much");
	expect_refused("{\"image-gc\":{\"enabled\":true}}", FLAGS(), "image-gc needs unused-for");
	expect_refused("{\"image-gc\":{\"unused-for\":\"1ms\"}}", FLAGS(), "image-gc.unused-for 1ms");
	expect_refused("{}", FLAGS("--add-runtime", "runc=/bin/x"), "runtime name 'runc' is reserved");
	expect_refused("{}", FLAGS("--add-runtime", "x"), "invalid --add-runtime x");
	expect_refused("{}", FLAGS("--default-runtime", "gone"), "specified default runtime 'gone' does not exist");
	expect_refused("{\"runtimes\":{\"x\":{}}}", FLAGS(), "runtime x: either a runtimeType or a path must be");
	expect_refused("{\"runtimes\":{\"x\":{\"path\":\"/x\",\"runtimeType\":\"y\"}}}", FLAGS(),
		       "runtime x: cannot configure both path and runtimeType");
	expect_refused("{\"runtimes\":{\"x\":{\"runtimeType\":\"io.containerd.kata.v2\"}}}", FLAGS(),
		       "runtime x: runtimeType io.containerd.kata.v2 is not supported");
	expect_refused(
		"{\"runtimes\":{\"x\":{\"runtimeType\":\"io.containerd.runc.v2\",\"options\":{\"Root\":\"/x\"}}}}",
		FLAGS(), "runtime x: option Root is not supported by kist-shim");
	expect_refused("{\"storage-opts\":[\"size\"]}", FLAGS(), "unable to parse storage-opt \"size\"");
	expect_refused("{}", FLAGS("--storage-opt", "dm.basesize=1g"), "overlay2: unknown option dm.basesize");
	expect_refused("{}", FLAGS("--storage-opt", "overlay2.size=x"),
		       "storage-opt overlay2.size=x: invalid size: 'x'");
	expect_refused("{\"runtimes\":{\"x\":{\"path\":\"/x\",\"options\":{\"a\":1}}}}", FLAGS(),
		       "runtime x: options cannot be used with a path runtime");
	expect_refused("{\"runtimes\":{\"x\":{\"path\":\"/x\"}}}", FLAGS("--add-runtime", "x=/y"),
		       "runtime 'x' was already registered");
	expect_refused("{}", FLAGS("operand"), "accepts no arguments: operand");
	expect_refused("{}", FLAGS("--config-file", "/nonexistent/kist.json"), "it does not exist");
}

/* Each of dockerd's options that we only judge: what is accepted is, all else is refused with the reason. */
static void test_known_options(void **state)
{
	(void)state;
	assert_true(known_option_count() > 30);
	for (size_t i = 0; i < known_option_count(); i++) {
		const struct known_option *option = &known_options[i];
		AUTO(text_list_fini) struct text_list values = { 0 };
		AUTO(text_list_fini) struct text_list warnings = { 0 };
		AUTO(error_clear) struct error err = { 0 };

		assert_true(option->flag || option->key);
		if (option->key)
			assert_ptr_equal(known_option_find(option->key), option);
		text_list_split(&values, text_or_empty(option->accepted), '|');
		for (size_t j = 0; j < values.count; j++)
			assert_int_equal(known_option_judge(option, "x", values.items[j], &warnings, &err), 0);
		assert_int_equal(warnings.count > 0, text_equal(option->accepted, "*"));
		if (warnings.count)
			continue;
		assert_int_equal(known_option_judge(option, "x", "no such value", &warnings, &err), -1);
		assert_non_null(strstr(err.message, option->reason));
	}
}

static void test_written_for_dockerd(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(daemon_config_fini) struct daemon_config config = { 0 };

	(void)state;
	assert_no_error(load(&config,
			     "{\"exec-opts\":[\"native.cgroupdriver=cgroupfs\"],"
			     "\"features\":{\"buildkit\":true},\"default-ulimits\":{\"nofile\":{\"Name\":\"nofile\","
			     "\"Hard\":64,\"Soft\":32}},\"userland-proxy\":false,\"dns\":[\"192.0.2.1\"],"
			     "\"proxies\":{\"http-proxy\":\"http://p:1\"},\"labels\":[\"a=b\"]}",
			     FLAGS("--containerd", "/run/containerd/containerd.sock", "--iptables=true", "-s",
				   "overlay2", "--default-stop-timeout", "3"),
			     &err),
			&err);
	assert_int_equal(config.warnings.count, 1);
	assert_non_null(strstr(config.warnings.items[0], "--containerd"));
	assert_string_equal(config.storage_driver, "overlay2");
	assert_string_equal(config.ulimits.items[0].name, "nofile");
	assert_int_equal(config.ulimits.items[0].hard, 64);
	assert_string_equal(config.dns.items[0], "192.0.2.1");
	assert_string_equal(config.proxies.http, "http://p:1");
	assert_int_equal(config.stop_timeout_s.value, 3);
	assert_true(daemon_config_is_dockerd("/usr/bin/dockerd"));
	assert_false(daemon_config_is_dockerd("/usr/bin/kistd"));
}

static void test_ulimit_flags(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(daemon_config_fini) struct daemon_config config = { 0 };

	(void)state;
	assert_no_error(
		load(&config, "{}", FLAGS("--default-ulimit", "core=0", "--default-ulimit", "nofile=1:-1"), &err),
		&err);
	assert_int_equal(config.ulimits.count, 2);
	assert_int_equal(config.ulimits.items[1].soft, 1);
	assert_int_equal(config.ulimits.items[1].hard, -1);
	expect_refused("{}", FLAGS("--default-ulimit", "nofile"), "invalid ulimit argument: nofile");
}

static int make_file(void **state)
{
	(void)state;
	return close(mkstemp(path));
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_file_and_flags_together),
		cmocka_unit_test(test_said_twice_is_refused),
		cmocka_unit_test(test_runtimes),
		cmocka_unit_test(test_collection),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_known_options),
		cmocka_unit_test(test_written_for_dockerd),
		cmocka_unit_test(test_ulimit_flags),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
