/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
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
	expect_refused("{}", FLAGS("--log-driver", "syslog"), "log-driver syslog is not supported");
	expect_refused("{}", FLAGS("--log-opt", "tag=x"), "unknown log opt 'tag'");
	expect_refused("{}", FLAGS("--default-shm-size", "much"), "default-shm-size");
	expect_refused("{}", FLAGS("--live-restore=false"), "live-restore cannot be turned off");
	expect_refused("{}", FLAGS("--selinux-enabled"), "unknown flag: --selinux-enabled");
	expect_refused("{}", FLAGS("-H", "tcp://1.2.3.4:5"), "use --tlsverify with certificates, or say --tls=false");
	expect_refused("{}", FLAGS("--tls=false", "--tlsverify"), "tlsverify needs TLS");
	expect_refused("{}", FLAGS("operand"), "accepts no arguments: operand");
	expect_refused("{}", FLAGS("--config-file", "/nonexistent/kist.json"), "it does not exist");
}

static void test_reload_reads_debug_only(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct optional_bool debug = { 0 };
	const char *json = "{\"debug\":true,\"hosts\":[\"tcp://1.2.3.4:5\"]}";

	(void)state;
	assert_int_equal(file_write_atomic(AT_FDCWD, path, json, strlen(json), 0600, FILE_NO_SYNC), 0);
	assert_no_error(daemon_config_reload_debug(&debug, path, &err), &err);
	assert_true(debug.set && debug.value);
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
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_reload_reads_debug_only),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
