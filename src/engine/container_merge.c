/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "engine/engine_private.h"
#include "oci/image_config.h"

static void merge_text(char **member, const char *image)
{
	if (text_empty(*member) && !text_empty(image)) {
		free(*member);
		*member = xstrdup(image);
	}
}

/* The image's variables first, each with the user's value if he set it. */
static void merge_env(struct text_list *env, const struct text_list *image)
{
	for (size_t i = 0; i < image->count; i++) {
		const char *equals = strchr(image->items[i], '=');
		AUTO_FREE char *key = equals ? xstrndup(image->items[i], (size_t)(equals - image->items[i]))
					     : xstrdup(image->items[i]);
		bool given = text_list_env(env, key) != NULL || text_list_contains(env, key);

		if (!given)
			text_list_add(env, image->items[i]);
	}
}

/* A new entrypoint drops the image's command; a new command keeps the image's entrypoint. */
static void merge_command(struct container_config *config, const struct image_run *image)
{
	if (config->entrypoint.count == 0) {
		if (config->cmd.count == 0) {
			text_list_add_all(&config->cmd, &image->cmd);
			config->args_escaped = image->args_escaped;
		}
		text_list_add_all(&config->entrypoint, &image->entrypoint);
	}
	/* --entrypoint "" arrives as one empty word: no entrypoint at all. */
	if (config->entrypoint.count == 1 && config->entrypoint.items[0][0] == '\0')
		text_list_fini(&config->entrypoint);
}

static void merge_health(struct container_config *config, const struct image_healthcheck *image)
{
	struct health_config *health = config->healthcheck;

	if (!image)
		return;
	if (!health) {
		health = xcalloc(1, sizeof(*health));
		config->healthcheck = health;
	}
	if (health->test.count == 0)
		text_list_add_all(&health->test, &image->test);
	if (health->interval_ns == 0)
		health->interval_ns = image->interval_ns;
	if (health->timeout_ns == 0)
		health->timeout_ns = image->timeout_ns;
	if (health->start_period_ns == 0)
		health->start_period_ns = image->start_period_ns;
	if (health->start_interval_ns == 0)
		health->start_interval_ns = image->start_interval_ns;
	if (health->retries == 0)
		health->retries = image->retries;
}

void container_merge_image(struct container_config *config, const struct image_run *image)
{
	merge_text(&config->user, image->user);
	merge_text(&config->working_dir, image->working_dir);
	merge_text(&config->stop_signal, image->stop_signal);
	if (!config->stop_timeout.set)
		config->stop_timeout = image->stop_timeout;
	for (size_t i = 0; i < image->exposed_ports.count; i++)
		key_set_add(&config->exposed_ports, image->exposed_ports.items[i].name);
	for (size_t i = 0; i < image->volumes.count; i++)
		key_set_add(&config->volumes, image->volumes.items[i].name);
	for (size_t i = 0; i < image->labels.count; i++)
		if (!text_map_get(&config->labels, image->labels.items[i].key))
			text_map_set(&config->labels, image->labels.items[i].key, image->labels.items[i].value);
	if (config->shell.count == 0)
		text_list_add_all(&config->shell, &image->shell);
	merge_env(&config->env, &image->env);
	merge_command(config, image);
	merge_health(config, image->healthcheck);
}
