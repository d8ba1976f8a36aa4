/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/plugin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/map.h"
#include "base/thread.h"
#include "http/local.h"
#include "json/json.h"
#include "json/value.h"

#define PLUGIN_TYPE "application/vnd.docker.plugins.v1.2+json"
#define ANSWER_MAX ((size_t)4 << 20)
#define SPEC_MAX ((size_t)64 << 10)
#define SILENT_NS (60 * CLOCK_SECOND)
#define FIRST_PAUSE_MS 100
#define LONGEST_PAUSE_MS 4000

struct plugin_state {
	bool active;
	struct text_list kinds;
	int64_t silent_until_ns; /* monotonic */
};

struct plugins {
	struct text_list folders;
	struct mutex mutex; /* guards all below */
	struct map states;  /* by name */
};

struct answer {
	char *error;
	struct text_list kinds;
};

static const struct json_field answer_fields[] = {
	JSON_TEXT("Err", struct answer, error, 0),
	JSON_TEXT_LIST("Implements", struct answer, kinds, 0),
	JSON_END,
};

static void free_state(void *value)
{
	struct plugin_state *state = value;

	text_list_fini(&state->kinds);
	free(state);
}

struct plugins *plugins_new(const char *folders)
{
	struct plugins *plugins = xcalloc(1, sizeof(*plugins));

	text_list_split(&plugins->folders, text_empty(folders) ? PLUGIN_FOLDERS : folders, ':');
	mutex_init(&plugins->mutex);
	map_init(&plugins->states, free_state);
	return plugins;
}

void plugins_free(struct plugins *plugins)
{
	if (!plugins)
		return;
	map_fini(&plugins->states);
	mutex_fini(&plugins->mutex);
	text_list_fini(&plugins->folders);
	free(plugins);
}

static struct plugin_state *state_locked(struct plugins *plugins, const char *name)
{
	struct plugin_state *state = map_get(&plugins->states, name);

	mutex_assert_held(&plugins->mutex);
	if (!state) {
		state = xcalloc(1, sizeof(*state));
		map_set(&plugins->states, name, state);
	}
	return state;
}

/* ---- where it is ---- */

/* NULL: there is no such file, or it is none. Yours. */
static char *read_json_address(const char *path)
{
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *text = NULL;
	const char *address;
	size_t size;

	if (file_read(&text, &size, AT_FDCWD, path, SPEC_MAX) < 0 || json_value_parse(&value, text, size, &ignored) < 0)
		return NULL;
	address = json_value_text(json_value_get(value, "Addr"));
	return address ? xstrdup(address) : NULL;
}

static char *address_at(const char *stem)
{
	AUTO_FREE char *socket = xasprintf("%s.sock", stem);
	AUTO_FREE char *spec = xasprintf("%s.spec", stem);
	AUTO_FREE char *json = xasprintf("%s.json", stem);
	AUTO_FREE char *text = NULL;

	if (file_exists(AT_FDCWD, socket))
		return xasprintf("unix://%s", socket);
	if (file_read(&text, NULL, AT_FDCWD, spec, SPEC_MAX) == 0)
		return xstrdup(text_trim(text));
	return read_json_address(json);
}

static char *find_address(const struct plugins *plugins, const char *name, struct error *err)
{
	for (size_t i = 0; i < plugins->folders.count; i++) {
		AUTO_FREE char *stem = xasprintf("%s/%s", plugins->folders.items[i], name);
		AUTO_FREE char *inner = xasprintf("%s/%s", stem, name);
		char *address = address_at(stem);

		if (!address)
			address = address_at(inner);
		if (address && text_after(address, "http://")) {
			char *plain = xasprintf("tcp://%s", text_after(address, "http://"));

			free(address);
			address = plain;
		}
		if (address)
			return address;
	}
	error_set(err, ERR_NOT_FOUND, "plugin \"%s\" not found", name);
	return NULL;
}

/* The plugin a file of this name is of; NULL: it is no plugin's. Yours. */
static char *plugin_of(const char *folder, const char *file)
{
	static const char *const endings[] = { ".sock", ".spec", ".json", NULL };
	AUTO_FREE char *stem = xasprintf("%s/%s/%s", folder, file, file);
	AUTO_FREE char *address = NULL;

	if (*file == '.')
		return NULL;
	for (const char *const *ending = endings; *ending; ending++)
		if (text_has_suffix(file, *ending))
			return xstrndup(file, strlen(file) - strlen(*ending));
	address = address_at(stem);
	return address ? xstrdup(file) : NULL;
}

/* 1 it is, 0 it was activated and is not, -1 nobody has asked it yet. */
static int is_of_kind(struct plugins *plugins, const char *name, const char *kind)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&plugins->mutex);
	const struct plugin_state *state = state_locked(plugins, name);

	return state->active ? text_list_contains(&state->kinds, kind) : -1;
}

static void add_name(struct text_list *names, const char *name)
{
	if (!text_list_contains(names, name))
		text_list_add(names, name);
}

void plugins_find(struct text_list *out_names, struct plugins *plugins, const char *kind)
{
	for (size_t i = 0; i < plugins->folders.count; i++) {
		const char *path = plugins->folders.items[i];
		AUTO_CLOSEDIR DIR *folder = dir_open(AT_FDCWD, path);
		const struct dirent *entry;

		while (folder && (entry = readdir(folder))) {
			AUTO_FREE char *name = plugin_of(path, entry->d_name);

			if (!text_empty(name) && is_of_kind(plugins, name, kind) != 0)
				add_name(out_names, name);
		}
	}
}

/* ---- one question ---- */

static void note_silence(struct plugins *plugins, const char *name, bool silent)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&plugins->mutex);

	state_locked(plugins, name)->silent_until_ns = silent ? clock_monotonic_ns() + SILENT_NS : 0;
}

/* The plugin's own words of a status that is not 200. */
static void tell_refusal(const struct plugin_call *call, const struct buffer *body, int status, struct error *err)
{
	AUTO_FREE char *text = body->size ? xstrndup((const char *)body->data, body->size) : xstrdup("");
	struct answer answer = { 0 };
	AUTO(error_clear) struct error no_json = { 0 };

	if (json_decode(&answer, answer_fields, text, strlen(text), &no_json) == 0 && !text_empty(answer.error))
		error_set(err, ERR_INTERNAL, "%s: %s", call->method, answer.error);
	else if (*text_trim(text))
		error_set(err, ERR_INTERNAL, "%s: %s", call->method, text_trim(text));
	else
		error_set(err, ERR_INTERNAL, "%s: status %d", call->method, status);
	json_free_fields(&answer, answer_fields);
}

static enum plugin_result read_answer(char **out_answer, struct answer *out, const struct plugin_call *call,
				      struct local_response *response, struct error *err)
{
	AUTO(buffer_fini) struct buffer body = { 0 };

	buffer_init(&body, ANSWER_MAX);
	if (local_response_read_all(response, &body, err) < 0) {
		error_add_prefix(err, "plugin %s: %s", call->name, call->method);
		return PLUGIN_LOST;
	}
	if (local_response_status(response) != 200) {
		tell_refusal(call, &body, local_response_status(response), err);
		return PLUGIN_REFUSED;
	}
	if (json_decode(out, answer_fields, text_or_empty((const char *)body.data), body.size, err) < 0) {
		error_add_prefix(err, "plugin %s answered %s with something that cannot be read", call->name,
				 call->method);
		return PLUGIN_LOST;
	}
	if (!text_empty(out->error)) {
		error_set(err, ERR_INTERNAL, "%s", out->error);
		return PLUGIN_REFUSED;
	}
	*out_answer = xstrndup((const char *)body.data, body.size); /* an object: not empty */
	return PLUGIN_DONE;
}

/* *out_unheard: nothing was said to it yet, so it may be tried again. */
static enum plugin_result ask(char **out_answer, struct answer *out, const struct plugins *plugins,
			      const struct plugin_call *call, int64_t deadline_ns, bool *out_unheard, struct error *err)
{
	AUTO_FREE char *address = find_address(plugins, call->name, err);
	AUTO_FREE char *path = xasprintf("/%s", call->method);
	AUTO(text_list_fini) struct text_list headers = { 0 };
	AUTO(local_client_freep) struct local_client *client = NULL;
	AUTO(local_response_freep) struct local_response *response = NULL;
	const struct local_request request = {
		.method = "POST", .path = path, .content_type = PLUGIN_TYPE, .headers = &headers, .body = call->body
	};

	*out_unheard = !address && err->kind == ERR_NOT_FOUND;
	if (!address)
		return PLUGIN_LOST;
	text_list_add(&headers, "Accept: " PLUGIN_TYPE);
	if (local_client_new(&client, address, err) < 0) {
		error_add_prefix(err, "plugin %s", call->name);
		return PLUGIN_LOST;
	}
	local_client_limit(client, deadline_ns, call->cancel_fd, call->other_fd);
	if (local_client_connect(client, err) < 0) {
		*out_unheard = err->errnum == ECONNREFUSED || err->errnum == ENOENT;
		error_add_prefix(err, "plugin %s: %s", call->name, call->method);
		return PLUGIN_LOST;
	}
	if (local_send(&response, client, &request, err) < 0) {
		error_add_prefix(err, "plugin %s: %s", call->name, call->method);
		return PLUGIN_LOST;
	}
	return read_answer(out_answer, out, call, response, err);
}

/* false: somebody does not want to wait any longer. */
static bool pause_ms(const struct plugin_call *call, int ms)
{
	struct pollfd items[2] = { { .fd = call->cancel_fd, .events = POLLIN },
				   { .fd = call->other_fd, .events = POLLIN } };

	return poll(items, 2, ms) <= 0;
}

/* With docker's back-off while it is not there; what it has heard is never said twice. */
static enum plugin_result ask_patiently(char **out_answer, struct answer *out, struct plugins *plugins,
					const struct plugin_call *call, struct error *err)
{
	int64_t begin_ns = clock_monotonic_ns();
	int64_t deadline_ns = begin_ns + call->timeout_ms * CLOCK_MS;
	enum plugin_result result;
	int wait_ms = FIRST_PAUSE_MS;
	bool unheard;

	for (;;) {
		result = ask(out_answer, out, plugins, call, deadline_ns, &unheard, err);
		if (result != PLUGIN_LOST || !unheard ||
		    clock_monotonic_ns() + wait_ms * CLOCK_MS > begin_ns + call->patience_ms * CLOCK_MS ||
		    !pause_ms(call, wait_ms))
			break;
		error_clear(err);
		wait_ms = wait_ms * 2 < LONGEST_PAUSE_MS ? wait_ms * 2 : LONGEST_PAUSE_MS;
	}
	note_silence(plugins, call->name, result == PLUGIN_LOST && err->errnum == ETIMEDOUT);
	/* It is not we who may work later. */
	if (result == PLUGIN_LOST && err->kind != ERR_CANCELED && err->kind != ERR_NOT_FOUND)
		err->kind = ERR_INTERNAL;
	return result;
}

/* ---- activation ---- */

static int activate(struct plugins *plugins, const struct plugin_call *call, struct error *err)
{
	struct plugin_call first = *call;
	struct answer answer = { 0 };
	AUTO_FREE char *text = NULL;
	int r = is_of_kind(plugins, call->name, call->kind);

	if (r > 0)
		return 0;
	/* One that said no may be another program by now. */
	first.method = "Plugin.Activate";
	first.body = "{}";
	r = ask_patiently(&text, &answer, plugins, &first, err) == PLUGIN_DONE ? 0 : -1;
	if (r == 0) {
		AUTO_UNLOCK struct mutex *held = mutex_hold(&plugins->mutex);
		struct plugin_state *state = state_locked(plugins, call->name);

		text_list_fini(&state->kinds);
		text_list_add_all(&state->kinds, &answer.kinds);
		state->active = true;
		if (!text_list_contains(&state->kinds, call->kind))
			r = error_set(err, ERR_INTERNAL,
				      "plugin does not implement the requested driver: plugin=\"%s\", requested "
				      "implementation=\"%s\"",
				      call->name, call->kind);
	}
	json_free_fields(&answer, answer_fields);
	return r;
}

enum plugin_result plugin_call(char **out_answer, struct plugins *plugins, const struct plugin_call *call,
			       struct error *err)
{
	struct answer answer = { 0 };
	enum plugin_result result;

	if (text_empty(call->name) || strchr(call->name, '/') || *call->name == '.') {
		error_set(err, ERR_INVALID, "plugin \"%s\" not found: that is no name of a plugin",
			  text_or_empty(call->name));
		return PLUGIN_LOST;
	}
	if (call->kind && activate(plugins, call, err) < 0)
		return PLUGIN_LOST;
	result = ask_patiently(out_answer, &answer, plugins, call, err);
	json_free_fields(&answer, answer_fields);
	return result;
}

void plugins_used(struct text_list *out_names, struct plugins *plugins, const char *kind)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&plugins->mutex);
	const struct plugin_state *state;
	const char *name;
	size_t at = 0;

	while ((state = map_next(&plugins->states, &at, &name)))
		if (state->active && text_list_contains(&state->kinds, kind))
			add_name(out_names, name);
}

bool plugin_is_silent(struct plugins *plugins, const char *name)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&plugins->mutex);

	return state_locked(plugins, name)->silent_until_ns > clock_monotonic_ns();
}
