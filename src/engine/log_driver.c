/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/log_driver.h"

#include <ctype.h>
#include <fcntl.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/program.h"
#include "engine/engine_private.h"
#include "logs/options.h"
#include "logs/settings.h"

#define TAG_DEFAULT "{{.ID}}"
#define SHORT_ID 12
/* What json-file keeps when nobody said how much: as much as docker's driver "local". */
#define UNBOUNDED_SIZE "20m"
#define UNBOUNDED_FILES "5"

void log_config_fill(struct log_config *config, const struct engine *engine)
{
	if (text_empty(config->type)) {
		free(config->type);
		config->type = xstrdup(text_empty(engine->log_driver) ? "json-file" : engine->log_driver);
	}
	if (!text_equal(config->type, text_empty(engine->log_driver) ? "json-file" : engine->log_driver))
		return;
	for (size_t i = 0; i < engine->log_options.count; i++)
		if (!text_map_get(&config->options, engine->log_options.items[i].key))
			text_map_set(&config->options, engine->log_options.items[i].key,
				     engine->log_options.items[i].value);
}

bool log_config_is_kept(const struct log_config *config)
{
	struct log_files files;

	log_files_of(&files, config->type, &config->options);
	return files.kept;
}

/* ---- tag ---- */

/* The value of one field of dockerd's template; NULL if there is none of that name. Yours. */
static char *tag_field(const struct container_document *document, const char *field)
{
	const char *image_id = text_or_empty(document->image_id);
	const char *digest = strchr(image_id, ':');

	if (text_equal(field, "ID"))
		return xstrndup(document->id, SHORT_ID);
	if (text_equal(field, "FullID") || text_equal(field, "ContainerID"))
		return xstrdup(document->id);
	if (text_equal(field, "Name"))
		return xstrdup(text_or_empty(document->name));
	if (text_equal(field, "ContainerName"))
		return xasprintf("/%s", text_or_empty(document->name));
	if (text_equal(field, "ImageID"))
		return xstrndup(digest ? digest + 1 : image_id, SHORT_ID);
	if (text_equal(field, "ImageFullID") || text_equal(field, "ContainerImageID"))
		return xstrdup(image_id);
	if (text_equal(field, "ImageName") || text_equal(field, "ContainerImageName"))
		return xstrdup(text_or_empty(document->config.image));
	if (text_equal(field, "DaemonName"))
		return xstrdup("docker");
	return NULL;
}

/* "{{.Name}}/{{.ID}}"; document NULL: only judged. */
static int fill_tag(struct text *out, const char *template, const struct container_document *document,
		    struct error *err)
{
	static const struct container_document nobody = { .id = (char *)(uintptr_t) "" };
	const char *open;

	for (; (open = strstr(template, "{{")); template = strstr(open, "}}") + 2) {
		const char *close = strstr(open, "}}");
		AUTO_FREE char *inner = close ? xstrndup(open + 2, (size_t)(close - open - 2)) : NULL;
		const char *field = inner ? text_after(text_trim(inner), ".") : NULL;
		AUTO_FREE char *value = field ? tag_field(document ? document : &nobody, field) : NULL;

		if (!value)
			return error_set(err, ERR_INVALID,
					 "log tag \"%s\": {{.ID}}, {{.FullID}}, {{.Name}}, {{.ImageID}}, "
					 "{{.ImageFullID}}, {{.ImageName}} and {{.DaemonName}} are known",
					 template);
		text_add_bytes(out, template, (size_t)(open - template));
		text_add(out, value);
	}
	text_add(out, template);
	return 0;
}

/* ---- attributes ---- */

/* 0 compiled, 1 there is none, -1 with err. */
static int compile(regex_t *out_regex, const struct log_config *config, const char *key, struct error *err)
{
	const char *pattern = text_map_get(&config->options, key);
	char reason[128];
	int r;

	if (text_empty(pattern))
		return 1;
	r = regcomp(out_regex, pattern, REG_EXTENDED | REG_NOSUB);
	if (r == 0)
		return 0;
	regerror(r, out_regex, reason, sizeof(reason));
	return error_set(err, ERR_INVALID, "%s: error parsing regexp \"%s\": %s", key, pattern, reason);
}

/* Of all pairs those whose key is listed by option `list`, or matches option `pattern`. */
static int pick(struct text_map *out, const struct text_map *all, const struct log_config *config, const char *list,
		const char *pattern, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	regex_t regex;
	int r = compile(&regex, config, pattern, err);

	if (r < 0)
		return -1;
	text_list_split(&names, text_or_empty(text_map_get(&config->options, list)), ',');
	for (size_t i = 0; i < all->count; i++)
		if (text_list_contains(&names, all->items[i].key) ||
		    (r == 0 && regexec(&regex, all->items[i].key, 0, NULL, 0) == 0))
			text_map_set(out, all->items[i].key, all->items[i].value);
	if (r == 0)
		regfree(&regex);
	return 0;
}

static int pick_attributes(struct text_map *out, const struct container_document *document, struct error *err)
{
	const struct log_config *config = &document->host.log_config;
	AUTO(text_map_fini) struct text_map environment = { 0 };

	for (size_t i = 0; i < document->config.env.count; i++) {
		const char *item = document->config.env.items[i];
		const char *equals = strchr(item, '=');
		AUTO_FREE char *key = equals ? xstrndup(item, (size_t)(equals - item)) : NULL;

		if (key)
			text_map_set(&environment, key, equals + 1);
	}
	if (pick(out, &document->config.labels, config, "labels", "labels-regex", err) < 0)
		return -1;
	return pick(out, &environment, config, "env", "env-regex", err);
}

int log_config_check(const struct log_config *config, struct error *err)
{
	static const char *const patterns[] = { "labels-regex", "env-regex" };
	AUTO(text_fini) struct text tag = { 0 };

	if (!log_driver_is_known(config->type))
		return error_set(err, ERR_INVALID, "error looking up logging plugin %s: plugin \"%s\" not found",
				 config->type, config->type);
	if (log_options_check(config->type, &config->options, err) < 0)
		return -1;
	for (size_t i = 0; i < 2; i++) {
		regex_t regex;
		int r = compile(&regex, config, patterns[i], err);

		if (r < 0)
			return -1;
		if (r == 0)
			regfree(&regex);
	}
	return fill_tag(&tag, text_or_empty(text_map_get(&config->options, "tag")), NULL, err);
}

/* ---- for the shim ---- */

static void add_escaped(struct text *out, const char *value)
{
	for (; *value; value++) {
		if (isalnum((unsigned char)*value) || strchr("/-_.~", *value))
			text_add_char(out, *value);
		else
			text_addf(out, "%%%02x", (unsigned char)*value);
	}
}

/* json-file's attributes, and its tag if one was asked for: a JSON object, or NULL. */
static int line_attributes(char **out_json, const struct container_document *document, struct error *err)
{
	const char *template = text_map_get(&document->host.log_config.options, "tag");
	AUTO(text_map_fini) struct text_map attributes = { 0 };
	AUTO(text_fini) struct text tag = { 0 };
	struct text_map_document {
		struct text_map map;
	} frame;
	static const struct json_field fields[] = {
		JSON_TEXT_MAP("a", struct text_map_document, map, 0),
		JSON_END,
	};
	AUTO_FREE char *json = NULL;

	if (!text_equal(document->host.log_config.type, "json-file"))
		return 0;
	if (pick_attributes(&attributes, document, err) < 0)
		return -1;
	if (!text_empty(template) && fill_tag(&tag, template, document, err) < 0)
		return -1;
	if (tag.size)
		text_map_set(&attributes, "tag", tag.data);
	frame.map = attributes;
	json = json_encode(&frame, fields);
	/* {"a":{...}} */
	if (attributes.count)
		*out_json = xstrndup(json + strlen("{\"a\":"), strlen(json) - strlen("{\"a\":}"));
	return 0;
}

static bool has_no_bound(const struct log_config *config)
{
	return text_equal(config->type, "json-file") && !text_map_get(&config->options, "max-size") &&
	       !text_map_get(&config->options, "max-file");
}

static void files_of(struct log_files *out_files, const struct log_config *config)
{
	AUTO(text_map_fini) struct text_map options = { 0 };

	text_map_copy(&options, &config->options);
	if (has_no_bound(config)) {
		text_map_set(&options, "max-size", UNBOUNDED_SIZE);
		text_map_set(&options, "max-file", UNBOUNDED_FILES);
		if (!text_map_get(&options, "compress"))
			text_map_set(&options, "compress", "true");
	}
	log_files_of(out_files, config->type, &options);
}

char *container_log_uri(const struct container *container, struct error *err)
{
	const struct log_config *config = &container->document.host.log_config;
	AUTO_FREE char *path = container_log_path(container);
	AUTO_FREE char *attributes = NULL;
	AUTO_FREE char *helper = NULL;
	bool remote = log_driver_is_remote(config->type);
	struct log_files files;
	struct text uri = { 0 };

	files_of(&files, config);
	if ((remote || files.compress) && !(helper = program_find("kist-log", err)))
		return NULL;
	if (line_attributes(&attributes, &container->document, err) < 0)
		return NULL;
	if (files.kept) {
		text_add(&uri, "json-file://");
		add_escaped(&uri, path);
		text_addf(&uri, "?max-file=%lld", (long long)files.max_file);
		if (files.max_size)
			text_addf(&uri, "&max-size=%lld", (long long)files.max_size);
		if (files.compress)
			text_add(&uri, "&compress=1");
		if (attributes) {
			text_add(&uri, "&attrs=");
			add_escaped(&uri, attributes);
		}
	} else {
		text_add(&uri, "none:");
	}
	if (helper) {
		text_addf(&uri, "%shelper=", files.kept ? "&" : "?");
		add_escaped(&uri, helper);
	}
	if (remote)
		text_add(&uri, "&send=1");
	return text_take(&uri);
}

int container_log_settings(const struct container *container, struct error *err)
{
	const struct container_document *document = &container->document;
	const struct log_config *config = &document->host.log_config;
	const char *template = text_map_get(&config->options, "tag");
	AUTO_FREE char *path = path_join(container->bundle, LOG_SETTINGS_FILE);
	AUTO_FREE char *arguments = text_list_join(&document->args, " ");
	AUTO_FREE char *command = xasprintf("%s%s%s", text_or_empty(document->path), *arguments ? " " : "", arguments);
	AUTO(text_map_fini) struct text_map attributes = { 0 };
	AUTO(text_fini) struct text tag = { 0 };
	AUTO_FREE char *text = NULL;
	char created[CLOCK_TEXT_MAX];
	int r;

	if (!log_driver_is_remote(config->type))
		return 0;
	if (fill_tag(&tag, text_empty(template) ? TAG_DEFAULT : template, document, err) < 0 ||
	    pick_attributes(&attributes, document, err) < 0)
		return -1;
	const struct log_settings settings = {
		.driver = config->type,
		.options = config->options,
		.tag = tag.data,
		.attributes = attributes,
		.container_id = document->id,
		.container_name = document->name,
		.image_id = document->image_id,
		.image_name = document->config.image,
		.command = command,
		.created = (char *)(uintptr_t)clock_format(created, document->state.created_ns),
	};

	text = json_encode(&settings, log_settings_fields);
	r = file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FILE_NO_SYNC);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", path) : 0;
}
