/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/unit.h"

#include <string.h>

#include "engine/engine_private.h"
#include "oci/image_config.h"

static void decode_config(struct container_config *config, const char *text)
{
	AUTO(error_clear) struct error err = { 0 };

	assert_no_error(json_decode(config, container_config_fields, text, strlen(text), &err), &err);
}

static void decode_image(struct image_run *image, const char *text)
{
	AUTO(error_clear) struct error err = { 0 };

	assert_no_error(json_decode(image, image_run_fields, text, strlen(text), &err), &err);
}

static const char image_text[] =
	"{\"Entrypoint\":[\"/entry\"],\"Cmd\":[\"image-cmd\"],\"Env\":[\"A=1\",\"B=2\"],\"User\":\"app\","
	"\"WorkingDir\":\"/srv\",\"ExposedPorts\":{\"80/tcp\":{}},\"Volumes\":{\"/data\":{}},"
	"\"Labels\":{\"x\":\"image\",\"y\":\"image\"},\"StopSignal\":\"SIGQUIT\"}";

/* config -> expected entrypoint and command, joined by blanks */
static const struct {
	const char *config;
	const char *entrypoint;
	const char *cmd;
} commands[] = {
	{ "{}", "/entry", "image-cmd" },
	{ "{\"Cmd\":[\"mine\"]}", "/entry", "mine" },
	{ "{\"Entrypoint\":[\"/other\"]}", "/other", "" },
	{ "{\"Entrypoint\":[\"/other\"],\"Cmd\":[\"mine\"]}", "/other", "mine" },
	{ "{\"Entrypoint\":[\"\"],\"Cmd\":[\"mine\"]}", "", "mine" },
	{ "{\"Entrypoint\":\"/text\"}", "/text", "" },
};

static void test_commands(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct container_config config = { 0 };
		struct image_run image = { 0 };
		AUTO_FREE char *entrypoint = NULL;
		AUTO_FREE char *cmd = NULL;

		decode_config(&config, commands[i].config);
		decode_image(&image, image_text);
		container_merge_image(&config, &image);
		entrypoint = text_list_join(&config.entrypoint, " ");
		cmd = text_list_join(&config.cmd, " ");
		assert_string_equal(entrypoint, commands[i].entrypoint);
		assert_string_equal(cmd, commands[i].cmd);
		json_free_fields(&config, container_config_fields);
		json_free_fields(&image, image_run_fields);
	}
}

static void test_the_rest(void **state)
{
	struct container_config config = { 0 };
	struct image_run image = { 0 };

	(void)state;
	decode_config(&config, "{\"Env\":[\"B=mine\",\"C=3\"],\"Labels\":{\"x\":\"mine\"},\"User\":\"\","
			       "\"ExposedPorts\":{\"90/udp\":{}}}");
	decode_image(&image, image_text);
	container_merge_image(&config, &image);
	assert_string_equal(text_list_env(&config.env, "A"), "1");
	assert_string_equal(text_list_env(&config.env, "B"), "mine");
	assert_string_equal(text_list_env(&config.env, "C"), "3");
	assert_int_equal(config.env.count, 3);
	assert_string_equal(config.user, "app");
	assert_string_equal(config.working_dir, "/srv");
	assert_string_equal(config.stop_signal, "SIGQUIT");
	assert_string_equal(text_map_get(&config.labels, "x"), "mine");
	assert_string_equal(text_map_get(&config.labels, "y"), "image");
	assert_true(key_set_contains(&config.exposed_ports, "80/tcp"));
	assert_true(key_set_contains(&config.exposed_ports, "90/udp"));
	assert_true(key_set_contains(&config.volumes, "/data"));
	json_free_fields(&config, container_config_fields);
	json_free_fields(&image, image_run_fields);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
