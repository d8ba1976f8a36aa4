/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/volume_driver.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/engine_private.h"
#include "engine/volume_row.h"

#define KIND "VolumeDriver"

static bool is_local(const char *driver)
{
	return text_empty(driver) || text_equal(driver, VOLUME_DRIVER_LOCAL);
}

/* Of the volume's row, if it has one, stays: labels, options, when it was made. */
static void fill(struct volume *volume, struct engine *engine, const char *driver, const struct plugin_volume *told,
		 int cancel_fd, bool look_for_path)
{
	const struct volume_plugin plugin = { .engine = engine, .name = driver, .cancel_fd = cancel_fd };

	free(volume->mountpoint);
	free(volume->scope);
	volume->mountpoint = !text_empty(told->mountpoint) || !look_for_path ? xstrdup(text_or_empty(told->mountpoint))
									     : volume_plugin_path(&plugin, told->name);
	volume->scope = volume_plugin_scope(&plugin);
	if (!text_empty(told->created_at)) {
		free(volume->created_at);
		volume->created_at = xstrdup(told->created_at);
	}
	if (told->status && !text_equal(told->status, "null") && !text_equal(told->status, "{}"))
		volume->status = xstrdup(told->status);
	if (volume->name)
		return;
	volume->name = xstrdup(told->name);
	volume->driver = xstrdup(driver);
	if (!volume->created_at)
		volume->created_at = xstrdup("0001-01-01T00:00:00Z");
}

/* ---- one ---- */

static void add_drivers(struct text_list *names, const struct volume_list *rows)
{
	for (size_t i = 0; i < rows->volumes.count; i++)
		if (!is_local(rows->volumes.items[i].driver) &&
		    !text_list_contains(names, rows->volumes.items[i].driver))
			text_list_add(names, rows->volumes.items[i].driver);
}

/* Asks all plugins that are there. *out_driver: whose it is; stays NULL if nobody has it. */
static void probe(char **out_driver, struct plugin_volume *out_told, struct engine *engine, const char *name,
		  int cancel_fd)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO_FREE struct volume_survey *surveys = NULL;

	plugins_find(&names, engine->plugins, KIND);
	plugins_used(&names, engine->plugins, KIND);
	if (names.count == 0)
		return;
	surveys = xcalloc(names.count, sizeof(*surveys));
	for (size_t i = 0; i < names.count; i++)
		surveys[i].plugin = names.items[i];
	volume_plugins_survey(surveys, names.count, engine, name, cancel_fd);
	for (size_t i = 0; i < names.count && !*out_driver; i++) {
		if (surveys[i].result != PLUGIN_DONE || surveys[i].volumes.count == 0)
			continue;
		*out_driver = xstrdup(names.items[i]);
		json_copy_fields(out_told, &surveys[i].volumes.items[0], plugin_volume_fields);
	}
	volume_surveys_fini(surveys, names.count);
}

char *volume_driver_owner(struct engine *engine, const char *name, int cancel_fd)
{
	struct plugin_volume told = { 0 };
	char *driver = NULL;

	probe(&driver, &told, engine, name, cancel_fd);
	json_free_fields(&told, plugin_volume_fields);
	return driver;
}

static int look_at_plugin(struct volume *volume, struct engine *engine, int cancel_fd, struct error *err)
{
	const struct volume_plugin plugin = { .engine = engine, .name = volume->driver, .cancel_fd = cancel_fd };
	AUTO(error_clear) struct error refusal = { 0 };
	struct plugin_volume told = { 0 };
	enum plugin_result result = volume_plugin_get(&told, &plugin, volume->name, &refusal);

	if (result == PLUGIN_DONE)
		fill(volume, engine, volume->driver, &told, cancel_fd, true);
	json_free_fields(&told, plugin_volume_fields);
	if (result == PLUGIN_LOST) {
		error_move(err, &refusal);
		return error_prefix(err, "error while checking if volume \"%s\" exists in driver \"%s\"", volume->name,
				    volume->driver);
	}
	return result == PLUGIN_DONE;
}

int volume_driver_look(struct volume *out_volume, struct engine *engine, const char *name, int cancel_fd,
		       struct error *err)
{
	struct plugin_volume told = { 0 };
	AUTO_FREE char *driver = NULL;
	struct volume volume = { 0 };
	int r = volume_row_find(&volume, engine, name, err);

	if (r > 0 && !is_local(volume.driver))
		r = look_at_plugin(&volume, engine, cancel_fd, err);
	else if (r == 0)
		probe(&driver, &told, engine, name, cancel_fd);
	if (driver) {
		free(told.name);
		told.name = xstrdup(name);
		fill(&volume, engine, driver, &told, cancel_fd, true);
		r = 1;
	}
	json_free_fields(&told, plugin_volume_fields);
	if (r > 0)
		*out_volume = volume;
	else
		json_free_fields(&volume, volume_fields);
	return r;
}

int volume_driver_make(const struct volume_plugin *plugin, const char *name, const struct text_map *options,
		       struct error *err)
{
	AUTO(error_clear) struct error refusal = { 0 };
	struct plugin_volume told = { 0 };
	enum plugin_result result = volume_plugin_get(&told, plugin, name, &refusal);

	json_free_fields(&told, plugin_volume_fields);
	if (result == PLUGIN_DONE)
		return 0;
	if (result == PLUGIN_LOST)
		error_move(err, &refusal);
	else
		result = volume_plugin_create(plugin, name, options, err);
	return result == PLUGIN_DONE ? 1 : error_prefix(err, "create %s", name);
}

/* ---- all ---- */

static struct volume *find_row(const struct volume_list *list, size_t count, const char *driver, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal(list->volumes.items[i].name, name))
			return text_equal(list->volumes.items[i].driver, driver) ? &list->volumes.items[i] : NULL;
	return NULL;
}

static bool is_named(const struct volume_survey *survey, const char *name)
{
	for (size_t i = 0; i < survey->volumes.count; i++)
		if (text_equal(survey->volumes.items[i].name, name))
			return true;
	return false;
}

/* What its plugin has no longer is not shown. */
static void drop_rows(struct volume_list *list, const struct volume_survey *survey)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->volumes.count; i++) {
		struct volume *volume = &list->volumes.items[i];

		if (text_equal(volume->driver, survey->plugin) && !is_named(survey, volume->name))
			json_free_fields(volume, volume_fields);
		else
			list->volumes.items[kept++] = *volume;
	}
	list->volumes.count = kept;
}

static void merge(struct volume_list *list, struct engine *engine, const struct volume_survey *survey, int cancel_fd)
{
	size_t rows = list->volumes.count;

	for (size_t i = 0; i < survey->volumes.count; i++) {
		const struct plugin_volume *told = &survey->volumes.items[i];
		struct volume *volume = find_row(list, rows, survey->plugin, told->name);

		if (text_empty(told->name))
			continue;
		if (!volume)
			volume = json_array_add(&list->volumes, sizeof(*volume));
		fill(volume, engine, survey->plugin, told, cancel_fd, false);
	}
}

static int compare_volumes(const void *a, const void *b)
{
	const struct volume *left = a;
	const struct volume *right = b;

	return strcmp(left->name, right->name);
}

void volume_drivers_add(struct volume_list *list, struct engine *engine, const struct filter_set *filters,
			int cancel_fd)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO(text_list_fini) struct text_list used = { 0 };
	AUTO_FREE struct volume_survey *surveys = NULL;

	plugins_used(&used, engine->plugins, KIND);
	add_drivers(&used, list);
	text_list_add_all(&names, &used);
	plugins_find(&names, engine->plugins, KIND);
	for (size_t i = names.count; i > 0; i--)
		if (filters && !filter_match_exact(filters, "driver", names.items[i - 1]))
			text_list_remove(&names, i - 1);
	if (names.count == 0)
		return;
	surveys = xcalloc(names.count, sizeof(*surveys));
	for (size_t i = 0; i < names.count; i++)
		surveys[i].plugin = names.items[i];
	volume_plugins_survey(surveys, names.count, engine, NULL, cancel_fd);
	for (size_t i = 0; i < names.count; i++) {
		if (surveys[i].result == PLUGIN_DONE) {
			drop_rows(list, &surveys[i]);
			merge(list, engine, &surveys[i], cancel_fd);
		} else if (text_list_contains(&used, names.items[i])) {
			text_list_addf(&list->warnings, "list %s: %s", names.items[i],
				       text_or_empty(surveys[i].problem));
		}
	}
	volume_surveys_fini(surveys, names.count);
	if (list->volumes.count > 1)
		qsort(list->volumes.items, list->volumes.count, sizeof(struct volume), compare_volumes);
}

void volume_drivers(struct text_list *out_names, struct engine *engine)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct volume_list rows = { 0 };

	text_list_add(out_names, VOLUME_DRIVER_LOCAL);
	plugins_used(out_names, engine->plugins, KIND);
	if (volume_row_list(&rows, engine, &ignored) == 0)
		add_drivers(out_names, &rows);
	text_list_sort(out_names);
	json_free_fields(&rows, volume_list_fields);
}
