/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/image_config.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "unit/unit.h"

#define DIFF "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const char sample[] =
	"{\"x.first\":{\"keep\":[1,2]},\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"2024-01-01T00:00:"
	"00Z\","
	"\"config\":{\"User\":\"www-data\",\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":null},\"Env\":[\"A=b\"],"
	"\"Entrypoint\":[\"/e\"],\"Cmd\":\"sh\",\"Volumes\":{\"/v\":{}},\"WorkingDir\":\"/w\",\"Labels\":{\"l\":\"m\"},"
	"\"StopSignal\":\"SIGINT\",\"Memory\":7,\"Healthcheck\":{\"Test\":[\"NONE\"],\"Interval\":5}},"
	"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" DIFF "\"],\"more\":true},"
	"\"history\":[{\"created_by\":\"x\",\"empty_layer\":true},{\"comment\":\"y\"}],\"moby.x\":null}";

static void test_decode(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(image_config_fini) struct image_config config = { 0 };
	AUTO(platform_fini) struct platform platform = { 0 };

	(void)state;
	assert_no_error(image_config_decode(&config, sample, strlen(sample), &err), &err);
	assert_string_equal(config.config.user, "www-data");
	assert_int_equal(config.config.exposed_ports.count, 2);
	assert_string_equal(config.config.exposed_ports.items[1].name, "53/udp");
	assert_string_equal(config.config.cmd.items[0], "sh");
	assert_string_equal(config.config.volumes.items[0].name, "/v");
	assert_string_equal(text_map_get(&config.config.labels, "l"), "m");
	assert_int_equal(config.config.healthcheck->interval_ns, 5);
	assert_string_equal(config.rootfs.diff_ids.items[0], DIFF);
	assert_true(config.history.items[0].empty_layer);
	image_config_platform(&config, &platform);
	assert_string_equal(platform.architecture, "amd64");
}

static void test_rewrite_keeps_unknown(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(image_config_fini) struct image_config config = { 0 };
	AUTO(image_config_fini) struct image_config again = { 0 };
	AUTO_FREE char *text = NULL;

	(void)state;
	assert_no_error(image_config_decode(&config, sample, strlen(sample), &err), &err);
	free(config.config.user);
	config.config.user = NULL;
	free(config.config.working_dir);
	config.config.working_dir = xstrdup("/new");
	text_list_add(&config.rootfs.diff_ids, DIFF);
	text = image_config_rewrite(&config, sample, strlen(sample), &err);
	assert_non_null(text);
	assert_memory_equal(text, "{\"x.first\":{\"keep\":[1,2]},\"architecture\":\"amd64\"", 47);
	assert_non_null(strstr(text, "\"Memory\":7"));
	assert_non_null(strstr(text, "\"moby.x\":null"));
	assert_non_null(strstr(text, "\"more\":true"));
	assert_null(strstr(text, "www-data"));
	assert_no_error(image_config_decode(&again, text, strlen(text), &err), &err);
	assert_string_equal(again.config.working_dir, "/new");
	assert_int_equal(again.rootfs.diff_ids.count, 2);
	assert_int_equal(again.config.exposed_ports.count, 2);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		const char *error;
	} rows[] = {
		{ "7", "image config: expected an object" },
		{ "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"x\"]}}",
		  "image config: rootfs.diff_ids[0]: invalid checksum digest format" },
		{ "{\"rootfs\":{\"type\":\"lvm\"}}", "image config: rootfs.type is \"lvm\", not \"layers\"" },
		{ "{\"config\":{\"Env\":[1]}}", "image config: config.Env[0]: expected a string" },
		{ "{\"history\":{}}", "image config: history: expected an array" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		struct image_config config = { 0 };

		assert_int_equal(image_config_decode(&config, rows[i].text, strlen(rows[i].text), &err), -1);
		assert_string_equal(err.message, rows[i].error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_rewrite_keeps_unknown),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
