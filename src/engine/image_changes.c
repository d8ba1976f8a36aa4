/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/image_changes.h"

#include <ctype.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/path.h"
#include "json/value.h"

struct change {
	struct image_run *run;
	char *arguments; /* trimmed */
};

/* ---- arguments ---- */

/* 1 if the arguments are a JSON array of texts. */
static int parse_array(struct text_list *out_items, const char *arguments)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(json_value_freep) struct json_value *value = NULL;

	if (arguments[0] != '[' || json_value_parse(&value, arguments, strlen(arguments), &ignored) < 0)
		return 0;
	for (size_t i = 0; i < json_value_count(value); i++) {
		const char *text = json_value_text(json_value_at(value, i));

		if (!text) {
			text_list_fini(out_items);
			return 0;
		}
		text_list_add(out_items, text);
	}
	return 1;
}

/* Words between blanks; quotes and backslashes as a shell takes them, nothing expanded. */
static void split_words(struct text_list *out_words, const char *at)
{
	struct text word = { 0 };
	bool any = false;
	char quote = 0;

	for (; *at; at++) {
		if (!quote && isspace((unsigned char)*at)) {
			if (any)
				text_list_add_take(out_words, text_take(&word));
			any = false;
			continue;
		}
		any = true;
		if (*at == '\\' && at[1] && quote != '\'')
			text_add_char(&word, *++at);
		else if (quote && *at == quote)
			quote = 0;
		else if (!quote && (*at == '"' || *at == '\''))
			quote = *at;
		else
			text_add_char(&word, *at);
	}
	if (any)
		text_list_add_take(out_words, text_take(&word));
	text_fini(&word);
}

static void replace_list(struct text_list *list, const struct change *change)
{
	text_list_fini(list);
	if (parse_array(list, change->arguments))
		return;
	text_list_add(list, "/bin/sh");
	text_list_add(list, "-c");
	text_list_add(list, change->arguments);
}

static void add_key(void *keys, const char *name)
{
	JSON_ARRAY_OF(struct image_key) *array = keys;
	struct image_key *key;

	for (size_t i = 0; i < array->count; i++)
		if (text_equal(array->items[i].name, name))
			return;
	key = json_array_add(keys, sizeof(*key));
	key->name = xstrdup(name);
}

/* ---- instructions ---- */

static int change_cmd(const struct change *change, struct error *err)
{
	(void)err;
	replace_list(&change->run->cmd, change);
	return 0;
}

static int change_entrypoint(const struct change *change, struct error *err)
{
	(void)err;
	replace_list(&change->run->entrypoint, change);
	return 0;
}

typedef void (*set_pair)(struct image_run *run, const char *key, const char *value);

static void set_env(struct image_run *run, const char *key, const char *value)
{
	text_list_set_env(&run->env, key, value);
}

static void set_label(struct image_run *run, const char *key, const char *value)
{
	text_map_set(&run->labels, key, value);
}

/* "k=v k2=v2", or the old "k the rest". */
static int change_pairs(const struct change *change, set_pair set, const char *keyword, struct error *err)
{
	AUTO(text_list_fini) struct text_list words = { 0 };

	split_words(&words, change->arguments);
	if (words.count == 0)
		return error_set(err, ERR_INVALID, "%s must have two arguments", keyword);
	if (!strchr(words.items[0], '=')) {
		const char *rest = change->arguments + strcspn(change->arguments, " \t");

		if (words.count < 2)
			return error_set(err, ERR_INVALID, "%s must have two arguments", keyword);
		set(change->run, words.items[0], rest + strspn(rest, " \t"));
		return 0;
	}
	for (size_t i = 0; i < words.count; i++) {
		char *equals = strchr(words.items[i], '=');

		if (!equals || equals == words.items[i])
			return error_set(err, ERR_INVALID,
					 "%s: can't find = in \"%s\". Must be of the form: name=value", keyword,
					 words.items[i]);
		*equals = '\0';
		set(change->run, words.items[i], equals + 1);
	}
	return 0;
}

static int change_env(const struct change *change, struct error *err)
{
	return change_pairs(change, set_env, "ENV", err);
}

static int change_label(const struct change *change, struct error *err)
{
	return change_pairs(change, set_label, "LABEL", err);
}

static int check_port(const char *port, struct error *err)
{
	AUTO_FREE char *number = xstrndup(port, strcspn(port, "/-"));
	const char *protocol = strchr(port, '/');
	uint64_t value;

	if (text_parse_u64(&value, number, 65535) < 0 ||
	    (protocol && !text_equal(protocol, "/tcp") && !text_equal(protocol, "/udp") &&
	     !text_equal(protocol, "/sctp")))
		return error_set(err, ERR_INVALID, "EXPOSE: invalid containerPort: %s", port);
	return 0;
}

static int change_expose(const struct change *change, struct error *err)
{
	AUTO(text_list_fini) struct text_list words = { 0 };

	split_words(&words, change->arguments);
	for (size_t i = 0; i < words.count; i++) {
		AUTO_FREE char *port = strchr(words.items[i], '/') ? xstrdup(words.items[i])
								   : xasprintf("%s/tcp", words.items[i]);

		if (check_port(port, err) < 0)
			return -1;
		add_key(&change->run->exposed_ports, port);
	}
	return 0;
}

static int change_volume(const struct change *change, struct error *err)
{
	AUTO(text_list_fini) struct text_list words = { 0 };

	(void)err;
	if (!parse_array(&words, change->arguments))
		split_words(&words, change->arguments);
	for (size_t i = 0; i < words.count; i++)
		add_key(&change->run->volumes, words.items[i]);
	return 0;
}

static void replace_text(char **text, const char *value)
{
	free(*text);
	*text = xstrdup(value);
}

static int change_user(const struct change *change, struct error *err)
{
	(void)err;
	replace_text(&change->run->user, change->arguments);
	return 0;
}

static int change_workdir(const struct change *change, struct error *err)
{
	const char *base = text_empty(change->run->working_dir) ? "/" : change->run->working_dir;
	AUTO_FREE char *joined = path_is_absolute(change->arguments) ? xstrdup(change->arguments)
								     : path_join(base, change->arguments);
	AUTO_FREE char *clean = path_clean(joined);

	(void)err;
	replace_text(&change->run->working_dir, clean);
	return 0;
}

static int change_stop_signal(const struct change *change, struct error *err)
{
	(void)err;
	replace_text(&change->run->stop_signal, change->arguments);
	return 0;
}

static int change_on_build(const struct change *change, struct error *err)
{
	(void)err;
	text_list_add(&change->run->on_build, change->arguments);
	return 0;
}

/* ---- HEALTHCHECK ---- */

static int set_health_flag(struct image_healthcheck *health, const char *flag, struct error *err)
{
	const struct {
		const char *prefix;
		int64_t *target;
	} flags[] = { { "--interval=", &health->interval_ns },
		      { "--timeout=", &health->timeout_ns },
		      { "--start-period=", &health->start_period_ns },
		      { "--start-interval=", &health->start_interval_ns } };
	const char *value = text_after(flag, "--retries=");

	if (value)
		return text_parse_i64(&health->retries, value, 0, INT32_MAX) < 0
			       ? error_set(err, ERR_INVALID, "HEALTHCHECK: bad value: %s", flag)
			       : 0;
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		value = text_after(flag, flags[i].prefix);
		if (!value)
			continue;
		if (clock_parse_duration(flags[i].target, value) < 0)
			return error_set(err, ERR_INVALID, "HEALTHCHECK: bad duration: %s", flag);
		return 0;
	}
	return error_set(err, ERR_INVALID, "HEALTHCHECK: unknown flag: %s", flag);
}

static int fill_health(struct image_healthcheck *health, char *at, struct error *err)
{
	while (text_has_prefix(at, "--")) {
		size_t size = strcspn(at, " \t");
		AUTO_FREE char *flag = xstrndup(at, size);

		if (set_health_flag(health, flag, err) < 0)
			return -1;
		at += size;
		at += strspn(at, " \t");
	}
	if (text_equal_ignoring_case(at, "NONE")) {
		text_list_add(&health->test, "NONE");
		return 0;
	}
	if (strncasecmp(at, "CMD", 3) != 0 || !isspace((unsigned char)at[3]))
		return error_set(err, ERR_INVALID, "Unknown type \"%s\" in HEALTHCHECK (try CMD)", at);
	at = text_trim(at + 3);
	if (at[0] == '[') {
		text_list_add(&health->test, "CMD");
		return parse_array(&health->test, at) ? 0
						      : error_set(err, ERR_INVALID, "HEALTHCHECK: bad array: %s", at);
	}
	text_list_add(&health->test, "CMD-SHELL");
	text_list_add(&health->test, at);
	return 0;
}

static int change_healthcheck(const struct change *change, struct error *err)
{
	struct image_healthcheck health = { 0 };

	if (fill_health(&health, change->arguments, err) < 0) {
		json_free_fields(&health, image_healthcheck_fields);
		return -1;
	}
	if (!change->run->healthcheck)
		change->run->healthcheck = xcalloc(1, sizeof(health));
	json_free_fields(change->run->healthcheck, image_healthcheck_fields);
	*change->run->healthcheck = health;
	return 0;
}

/* ---- all ---- */

static const struct {
	const char *keyword;
	int (*apply)(const struct change *change, struct error *err);
} kinds[] = {
	{ "CMD", change_cmd },		{ "ENTRYPOINT", change_entrypoint },   { "ENV", change_env },
	{ "EXPOSE", change_expose },	{ "HEALTHCHECK", change_healthcheck }, { "LABEL", change_label },
	{ "ONBUILD", change_on_build }, { "STOPSIGNAL", change_stop_signal },  { "USER", change_user },
	{ "VOLUME", change_volume },	{ "WORKDIR", change_workdir },
};

static int apply_change(struct image_run *run, const char *text, struct error *err)
{
	AUTO_FREE char *copy = xstrdup(text);
	char *line = text_trim(copy);
	size_t size = strcspn(line, " \t");
	AUTO_FREE char *keyword = xstrndup(line, size);
	struct change change = { run, text_trim(line + size) };

	if (size == 0)
		return 0;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (!text_equal_ignoring_case(keyword, kinds[i].keyword))
			continue;
		if (!*change.arguments)
			return error_set(err, ERR_INVALID, "%s requires at least one argument", kinds[i].keyword);
		return kinds[i].apply(&change, err);
	}
	return error_set(err, ERR_INVALID, "%s is not a valid change command", keyword);
}

int image_changes_apply(struct image_run *run, const struct text_list *changes, struct error *err)
{
	for (size_t i = 0; changes && i < changes->count; i++)
		if (apply_change(run, changes->items[i], err) < 0)
			return -1;
	return 0;
}

int image_changes_check(const struct text_list *changes, struct error *err)
{
	struct image_run trial = { 0 };
	int r = image_changes_apply(&trial, changes, err);

	json_free_fields(&trial, image_run_fields);
	return r;
}
