/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/runtimes.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "json/value.h"

#define SHIM_TYPE "io.containerd.runc.v2"

/* What a name may not be given to: it is our own runtime, in our shim. */
static const char *const own_names[] = { "runc", "kist", SHIM_TYPE, NULL };

const struct json_field daemon_runtime_fields[] = {
	JSON_KEY(struct daemon_runtime, name),
	JSON_TEXT("path", struct daemon_runtime, path, 0),
	JSON_TEXT_LIST("runtimeArgs", struct daemon_runtime, arguments, 0),
	JSON_TEXT("runtimeType", struct daemon_runtime, type, 0),
	JSON_RAW("options", struct daemon_runtime, options, 0),
	JSON_END,
};

static bool is_own(const char *name)
{
	for (const char *const *own = own_names; *own; own++)
		if (text_equal(*own, name))
			return true;
	return false;
}

static const struct daemon_runtime *find(const struct daemon_config *config, const char *name)
{
	for (size_t i = 0; i < config->runtimes.count; i++)
		if (text_equal(config->runtimes.items[i].name, name))
			return &config->runtimes.items[i];
	return NULL;
}

static bool says_nothing(const struct json_value *value)
{
	switch (json_value_type(value)) {
	case JSON_TYPE_NULL:
		return true;
	case JSON_TYPE_BOOL:
		return !json_value_bool(value);
	case JSON_TYPE_INTEGER:
		return json_value_integer(value) == 0;
	case JSON_TYPE_TEXT:
		return text_empty(json_value_text(value));
	default:
		return false;
	}
}

/* Options of containerd's shim for runc; those that say nothing are let through. */
static int resolve_options(struct daemon_runtime *runtime, struct error *err)
{
	AUTO(json_value_freep) struct json_value *options = NULL;
	AUTO(text_list_fini) struct text_list keys = { 0 };

	if (runtime->options && json_value_parse(&options, runtime->options, strlen(runtime->options), err) < 0)
		return error_prefix(err, "runtime %s: options", runtime->name);
	json_value_keys(&keys, options, false);
	for (size_t i = 0; i < keys.count; i++) {
		const struct json_value *value = json_value_get(options, keys.items[i]);
		const char *text = json_value_text(value);

		if (text_equal(keys.items[i], "BinaryName") && text) {
			free(runtime->path);
			runtime->path = xstrdup(text);
		} else if (!says_nothing(value)) {
			return error_set(err, ERR_INVALID, "runtime %s: option %s is not supported by kist-shim",
					 runtime->name, keys.items[i]);
		}
	}
	return 0;
}

/* kist-shim is a shim of this type: what its options name is what a path would. */
static int resolve(struct daemon_runtime *runtime, struct error *err)
{
	if (!text_equal(runtime->type, SHIM_TYPE) || !text_empty(runtime->path))
		return 0;
	free(runtime->path);
	runtime->path = xstrdup("runc");
	if (resolve_options(runtime, err) < 0)
		return -1;
	free(runtime->type);
	free(runtime->options);
	runtime->type = NULL;
	runtime->options = NULL;
	return 0;
}

int daemon_runtimes_add(struct daemon_config *config, const struct text_list *flags, struct error *err)
{
	for (size_t i = 0; i < config->runtimes.count; i++)
		if (resolve(&config->runtimes.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < flags->count; i++) {
		const char *equals = strchr(flags->items[i], '=');
		AUTO_FREE char *name = NULL;
		struct daemon_runtime *runtime;

		if (!equals || equals == flags->items[i] || !equals[1])
			return error_set(err, ERR_INVALID, "invalid --add-runtime %s: name=path is wanted",
					 flags->items[i]);
		name = xstrndup(flags->items[i], (size_t)(equals - flags->items[i]));
		if (find(config, name))
			return error_set(err, ERR_INVALID, "runtime '%s' was already registered", name);
		runtime = json_array_add(&config->runtimes, sizeof(*runtime));
		runtime->path = xstrdup(equals + 1);
		runtime->name = take_ptr(name);
	}
	return 0;
}

static int check_one(const struct daemon_runtime *runtime, struct error *err)
{
	const char *name = runtime->name;

	if (is_own(name))
		return error_set(err, ERR_INVALID, "runtime name '%s' is reserved", name);
	if (!text_empty(runtime->path) && !text_empty(runtime->type))
		return error_set(err, ERR_INVALID, "runtime %s: cannot configure both path and runtimeType", name);
	if (!text_empty(runtime->type))
		return error_set(
			err, ERR_INVALID,
			"runtime %s: runtimeType %s is not supported: every container has a kist-shim, which is "
			"one of type " SHIM_TYPE " and runs any OCI runtime that is named by path or BinaryName",
			name, runtime->type);
	if (text_empty(runtime->path))
		return error_set(err, ERR_INVALID, "runtime %s: either a runtimeType or a path must be configured",
				 name);
	if (runtime->options && !text_equal(runtime->options, "{}") && !text_equal(runtime->options, "null"))
		return error_set(err, ERR_INVALID, "runtime %s: options cannot be used with a path runtime", name);
	return 0;
}

int daemon_runtimes_check(const struct daemon_config *config, struct error *err)
{
	for (size_t i = 0; i < config->runtimes.count; i++)
		if (check_one(&config->runtimes.items[i], err) < 0)
			return -1;
	if (!text_empty(config->default_runtime) && !is_own(config->default_runtime) &&
	    !find(config, config->default_runtime))
		return error_set(err, ERR_INVALID, "specified default runtime '%s' does not exist",
				 config->default_runtime);
	return 0;
}

char *daemon_runtimes_describe(const struct daemon_config *config)
{
	struct text text = { 0 };

	for (size_t i = 0; i < config->runtimes.count; i++)
		text_addf(&text, "%s:%s ", config->runtimes.items[i].name, config->runtimes.items[i].path);
	text_add(&text, "runc");
	return text_take(&text);
}
