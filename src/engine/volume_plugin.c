/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/volume_plugin.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/path.h"
#include "engine/engine_private.h"

#define KIND "VolumeDriver"
#define LONG_MS (2 * 60 * 1000)
#define SHORT_MS (60 * 1000)
#define SURVEY_MS (10 * 1000)
#define PATIENCE_MS (15 * 1000)

struct question {
	char *name;
	char *id;
	struct text_map options;
};

static const struct json_field question_fields[] = {
	JSON_TEXT("Name", struct question, name, JSON_OMIT_EMPTY),
	JSON_TEXT("ID", struct question, id, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field create_fields[] = {
	JSON_TEXT("Name", struct question, name, 0),
	JSON_TEXT_MAP("Opts", struct question, options, 0),
	JSON_END,
};

const struct json_field plugin_volume_fields[] = {
	JSON_TEXT("Name", struct plugin_volume, name, 0),
	JSON_TEXT("Mountpoint", struct plugin_volume, mountpoint, 0),
	JSON_TEXT("CreatedAt", struct plugin_volume, created_at, 0),
	JSON_RAW("Status", struct plugin_volume, status, 0),
	JSON_END,
};

struct capabilities {
	char *scope;
};

static const struct json_field capabilities_fields[] = {
	JSON_TEXT("Scope", struct capabilities, scope, 0),
	JSON_END,
};

struct reply {
	char *mountpoint;
	struct plugin_volume *volume;
	JSON_ARRAY_OF(struct plugin_volume) volumes;
	struct capabilities capabilities;
};

static const struct json_field reply_fields[] = {
	JSON_TEXT("Mountpoint", struct reply, mountpoint, 0),
	JSON_POINTER("Volume", struct reply, volume, plugin_volume_fields, 0),
	JSON_ARRAY("Volumes", struct reply, volumes, plugin_volume_fields, 0),
	JSON_OBJECT("Capabilities", struct reply, capabilities, capabilities_fields, 0),
	JSON_END,
};

struct ask_options {
	const char *method;
	const char *body;
	int timeout_ms;
	int patience_ms;
};

/* *out: freed with reply_fields, also after a failure. */
static enum plugin_result ask(struct reply *out, const struct volume_plugin *plugin, const struct ask_options *options,
			      struct error *err)
{
	AUTO_FREE char *method = xasprintf(KIND ".%s", options->method);
	AUTO_FREE char *answer = NULL;
	const struct plugin_call call = {
		.name = plugin->name,
		.kind = KIND,
		.method = method,
		.body = options->body,
		.timeout_ms = options->timeout_ms,
		.patience_ms = options->patience_ms,
		.cancel_fd = plugin->cancel_fd,
		.other_fd = plugin->engine->closing_fd,
	};
	enum plugin_result result = plugin_call(&answer, plugin->engine->plugins, &call, err);

	if (result == PLUGIN_LOST && (err->kind == ERR_NOT_FOUND || err->kind == ERR_INVALID))
		error_add_prefix(err, "error looking up volume plugin %s", plugin->name);
	if (result != PLUGIN_DONE)
		return result;
	if (json_decode(out, reply_fields, answer, strlen(answer), err) == 0)
		return PLUGIN_DONE;
	err->kind = ERR_INTERNAL;
	error_add_prefix(err, "plugin %s answered %s with something that cannot be read", plugin->name, method);
	return PLUGIN_LOST;
}

static enum plugin_result tell(const struct volume_plugin *plugin, const char *method, int timeout_ms,
			       const char *volume, const char *id, struct error *err)
{
	const struct question question = { .name = (char *)(uintptr_t)volume, .id = (char *)(uintptr_t)id };
	AUTO_FREE char *body = json_encode(&question, question_fields);
	struct reply reply = { 0 };
	enum plugin_result result = ask(
		&reply, plugin, &(struct ask_options){ .method = method, .body = body, .timeout_ms = timeout_ms }, err);

	json_free_fields(&reply, reply_fields);
	return result;
}

enum plugin_result volume_plugin_create(const struct volume_plugin *plugin, const char *volume,
					const struct text_map *options, struct error *err)
{
	const struct question question = { .name = (char *)(uintptr_t)volume, .options = *options };
	AUTO_FREE char *body = json_encode(&question, create_fields);
	struct reply reply = { 0 };
	enum plugin_result result = ask(
		&reply, plugin, &(struct ask_options){ .method = "Create", .body = body, .timeout_ms = LONG_MS }, err);

	json_free_fields(&reply, reply_fields);
	return result;
}

enum plugin_result volume_plugin_remove(const struct volume_plugin *plugin, const char *volume, int timeout_ms,
					struct error *err)
{
	return tell(plugin, "Remove", timeout_ms ? timeout_ms : SHORT_MS, volume, NULL, err);
}

enum plugin_result volume_plugin_unmount(const struct volume_plugin *plugin, const char *volume, const char *id,
					 int timeout_ms, struct error *err)
{
	return tell(plugin, "Unmount", timeout_ms ? timeout_ms : SHORT_MS, volume, id, err);
}

static enum plugin_result get(struct plugin_volume *out_volume, const struct volume_plugin *plugin, const char *volume,
			      int timeout_ms, struct error *err)
{
	const struct question question = { .name = (char *)(uintptr_t)volume };
	AUTO_FREE char *body = json_encode(&question, question_fields);
	struct reply reply = { 0 };
	enum plugin_result result = ask(
		&reply, plugin, &(struct ask_options){ .method = "Get", .body = body, .timeout_ms = timeout_ms }, err);

	if (result == PLUGIN_DONE && !reply.volume) {
		error_set(err, ERR_NOT_FOUND, "no such volume");
		result = PLUGIN_REFUSED;
	} else if (result == PLUGIN_DONE) {
		json_copy_fields(out_volume, reply.volume, plugin_volume_fields);
	}
	json_free_fields(&reply, reply_fields);
	return result;
}

enum plugin_result volume_plugin_get(struct plugin_volume *out_volume, const struct volume_plugin *plugin,
				     const char *volume, struct error *err)
{
	return get(out_volume, plugin, volume, SHORT_MS, err);
}

enum plugin_result volume_plugin_mount(char **out_path, const struct volume_plugin *plugin, const char *volume,
				       const char *id, struct error *err)
{
	const struct question question = { .name = (char *)(uintptr_t)volume, .id = (char *)(uintptr_t)id };
	AUTO_FREE char *body = json_encode(&question, question_fields);
	struct reply reply = { 0 };
	enum plugin_result result =
		ask(&reply, plugin,
		    &(struct ask_options){
			    .method = "Mount", .body = body, .timeout_ms = LONG_MS, .patience_ms = PATIENCE_MS },
		    err);

	if (result == PLUGIN_DONE && !path_is_absolute(text_or_empty(reply.mountpoint))) {
		error_set(err, ERR_INTERNAL, "plugin %s mounted it at \"%s\", which is no absolute path", plugin->name,
			  text_or_empty(reply.mountpoint));
		result = PLUGIN_LOST;
	} else if (result == PLUGIN_DONE) {
		*out_path = take_ptr(reply.mountpoint);
	}
	json_free_fields(&reply, reply_fields);
	return result;
}

char *volume_plugin_path(const struct volume_plugin *plugin, const char *volume)
{
	const struct question question = { .name = (char *)(uintptr_t)volume };
	AUTO_FREE char *body = json_encode(&question, question_fields);
	AUTO(error_clear) struct error ignored = { 0 };
	struct reply reply = { 0 };
	char *path;

	ask(&reply, plugin, &(struct ask_options){ .method = "Path", .body = body, .timeout_ms = SHORT_MS }, &ignored);
	path = xstrdup(text_or_empty(reply.mountpoint));
	json_free_fields(&reply, reply_fields);
	return path;
}

char *volume_plugin_scope(const struct volume_plugin *plugin)
{
	struct engine *engine = plugin->engine;
	AUTO(error_clear) struct error ignored = { 0 };
	struct reply reply = { 0 };
	const char *known;
	char *scope;

	mutex_lock(&engine->volumes);
	known = text_map_get(&engine->volume_scopes, plugin->name);
	scope = known ? xstrdup(known) : NULL;
	mutex_unlock(&engine->volumes);
	if (scope || plugin_is_silent(engine->plugins, plugin->name))
		return scope ? scope : xstrdup("local");
	/* It need not have this one. */
	if (ask(&reply, plugin,
		&(struct ask_options){ .method = "Capabilities", .body = "{}", .timeout_ms = SURVEY_MS },
		&ignored) != PLUGIN_LOST) {
		bool global = text_equal_ignoring_case(text_or_empty(reply.capabilities.scope), "global");
		AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->volumes);

		scope = xstrdup(global ? "global" : "local");
		text_map_set(&engine->volume_scopes, plugin->name, scope);
	}
	json_free_fields(&reply, reply_fields);
	return scope ? scope : xstrdup("local");
}

/* ---- many ---- */

struct surveyor {
	struct volume_plugin plugin;
	const char *volume;
	struct volume_survey *survey;
	pthread_t thread;
	bool started;
};

static void *survey_one(void *arg)
{
	struct surveyor *surveyor = arg;
	struct volume_survey *survey = surveyor->survey;
	AUTO(error_clear) struct error err = { 0 };
	struct plugin_volume volume = { 0 };
	struct reply reply = { 0 };

	if (surveyor->volume) {
		survey->result = get(&volume, &surveyor->plugin, surveyor->volume, SURVEY_MS, &err);
		if (survey->result == PLUGIN_DONE)
			*(struct plugin_volume *)json_array_add(&survey->volumes, sizeof(volume)) = volume;
	} else {
		survey->result = ask(&reply, &surveyor->plugin,
				     &(struct ask_options){ .method = "List", .body = "{}", .timeout_ms = SURVEY_MS },
				     &err);
		for (size_t i = 0; i < reply.volumes.count; i++)
			json_copy_fields(json_array_add(&survey->volumes, sizeof(volume)), &reply.volumes.items[i],
					 plugin_volume_fields);
	}
	json_free_fields(&reply, reply_fields);
	if (survey->result != PLUGIN_DONE)
		survey->problem = xstrdup(text_or_empty(err.message));
	return NULL;
}

void volume_plugins_survey(struct volume_survey *surveys, size_t count, struct engine *engine, const char *volume,
			   int cancel_fd)
{
	AUTO_FREE struct surveyor *surveyors = xcalloc(count + 1, sizeof(*surveyors));

	for (size_t i = 0; i < count; i++) {
		AUTO(error_clear) struct error ignored = { 0 };

		surveyors[i] = (struct surveyor){
			.plugin = { .engine = engine, .name = surveys[i].plugin, .cancel_fd = cancel_fd },
			.volume = volume,
			.survey = &surveys[i],
		};
		if (plugin_is_silent(engine->plugins, surveys[i].plugin)) {
			surveys[i].result = PLUGIN_LOST;
			surveys[i].problem = xasprintf("plugin %s did not answer in time a moment ago",
						       surveys[i].plugin);
			continue;
		}
		surveyors[i].started = i + 1 < count && thread_start(&surveyors[i].thread, "volume-plugin", survey_one,
								     &surveyors[i], &ignored) == 0;
		if (!surveyors[i].started)
			survey_one(&surveyors[i]);
	}
	for (size_t i = 0; i < count; i++)
		if (surveyors[i].started)
			pthread_join(surveyors[i].thread, NULL);
}

void volume_surveys_fini(struct volume_survey *surveys, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		json_free_array(&surveys[i].volumes, plugin_volume_fields, sizeof(struct plugin_volume));
		free(surveys[i].problem);
	}
}
