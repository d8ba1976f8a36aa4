/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/path.h"
#include "builder/build_private.h"
#include "sys/signal_name.h"

static struct image_run *run_of(const struct compiler *compiler)
{
	return &compiler->stage->config.config;
}

static const char *keyword_of(const struct compiler *compiler)
{
	static const char *const upper[] = { "CMD",    "ENTRYPOINT", "ENV",	"EXPOSE",     "HEALTHCHECK",
					     "LABEL",  "MAINTAINER", "ARG",	"STOPSIGNAL", "USER",
					     "VOLUME", "SHELL",	     "ONBUILD", NULL };

	for (size_t i = 0; upper[i]; i++)
		if (text_equal_ignoring_case(upper[i], compiler->instruction->keyword))
			return upper[i];
	return "";
}

static int need_arguments(const struct compiler *compiler, struct error *err)
{
	if (compiler->instruction->args.count > 0)
		return 0;
	return error_set(err, ERR_INVALID, "%s requires at least one argument", keyword_of(compiler));
}

/* Go's %q of a list: ["a" "b"]. */
char *quoted_list(const struct text_list *list)
{
	struct text out = { 0 };

	text_add_char(&out, '[');
	for (size_t i = 0; i < list->count; i++) {
		text_add(&out, i ? " \"" : "\"");
		for (const char *c = list->items[i]; *c; c++) {
			if (*c == '"' || *c == '\\')
				text_add_char(&out, '\\');
			if (*c == '\n')
				text_add(&out, "\\n");
			else if (*c == '\t')
				text_add(&out, "\\t");
			else
				text_add_char(&out, *c);
		}
		text_add_char(&out, '"');
	}
	text_add_char(&out, ']');
	return text_take(&out);
}

static void remember(const struct compiler *compiler, const char *rest)
{
	compiler->step->created_by = xasprintf("%s %s", keyword_of(compiler), rest);
}

static void replace_text(char **text, char *value)
{
	free(*text);
	*text = value;
}

/* ---- ENV, LABEL, ARG ---- */

/* All pairs are expanded with what was there before the instruction. */
static int expand_pairs(struct text_map *out_pairs, struct compiler *compiler, struct error *err)
{
	const struct text_list *args = &compiler->instruction->args;

	for (size_t i = 0; i + 1 < args->count; i += 2) {
		AUTO_FREE char *key = NULL;
		AUTO_FREE char *value = NULL;

		if (compiler_expand(&key, compiler, args->items[i], err) < 0 ||
		    compiler_expand(&value, compiler, args->items[i + 1], err) < 0)
			return -1;
		if (!*key)
			return error_set(err, ERR_INVALID, "%s names can not be blank", keyword_of(compiler));
		text_map_set(out_pairs, key, value);
	}
	return 0;
}

static char *join_pairs(const struct text_map *pairs)
{
	struct text out = { 0 };

	for (size_t i = 0; i < pairs->count; i++)
		text_addf(&out, "%s%s=%s", i ? " " : "", pairs->items[i].key, pairs->items[i].value);
	return text_take(&out);
}

static int apply_pairs(struct compiler *compiler, struct error *err)
{
	AUTO(text_map_fini) struct text_map pairs = { 0 };
	AUTO_FREE char *joined = NULL;
	bool is_env = text_equal(compiler->instruction->keyword, "env");

	if (need_arguments(compiler, err) < 0 || expand_pairs(&pairs, compiler, err) < 0)
		return -1;
	for (size_t i = 0; i < pairs.count; i++) {
		if (is_env)
			text_list_set_env(&run_of(compiler)->env, pairs.items[i].key, pairs.items[i].value);
		else
			text_map_set(&run_of(compiler)->labels, pairs.items[i].key, pairs.items[i].value);
	}
	joined = join_pairs(&pairs);
	remember(compiler, joined);
	return 0;
}

/* --build-arg, then the instruction's own default, then a global ARG or an automatic one. */
static int find_arg(char **out_value, struct compiler *compiler, const char *name, const char *fallback,
		    struct error *err)
{
	const char *given = text_map_get(compiler->build->options->args, name);

	if (given) {
		text_list_add(&compiler->build->consumed, name);
		*out_value = xstrdup(given);
		return 0;
	}
	if (fallback)
		return compiler_expand(out_value, compiler, fallback, err);
	*out_value = xstrdup(text_map_get(&compiler->build->stages.global_args, name));
	return 0;
}

static int apply_arg(struct compiler *compiler, struct error *err)
{
	const struct text_list *args = &compiler->instruction->args;
	AUTO(text_fini) struct text shown = { 0 };

	if (need_arguments(compiler, err) < 0)
		return -1;
	for (size_t i = 0; i < args->count; i++) {
		const char *equals = strchr(args->items[i], '=');
		AUTO_FREE char *raw = equals ? xstrndup(args->items[i], (size_t)(equals - args->items[i]))
					     : xstrdup(args->items[i]);
		AUTO_FREE char *value = NULL;

		if (!*raw)
			return error_set(err, ERR_INVALID, "ARG names can not be blank");
		if (find_arg(&value, compiler, raw, equals ? equals + 1 : NULL, err) < 0)
			return -1;
		if (!text_list_contains(&compiler->stage->declared, raw))
			text_list_add(&compiler->stage->declared, raw);
		if (value)
			text_map_set(&compiler->stage->args, raw, value);
		text_addf(&shown, "%s%s%s%s", i ? " " : "", raw, value ? "=" : "", text_or_empty(value));
	}
	remember(compiler, shown.data);
	return 0;
}

/* ---- CMD, ENTRYPOINT, SHELL ---- */

static void command_list(struct text_list *out_list, const struct compiler *compiler)
{
	const struct instruction *instruction = compiler->instruction;

	text_list_fini(out_list);
	if (!instruction->json && instruction->args.count > 0) {
		if (run_of(compiler)->shell.count > 0) {
			text_list_add_all(out_list, &run_of(compiler)->shell);
		} else {
			text_list_add(out_list, "/bin/sh");
			text_list_add(out_list, "-c");
		}
	}
	text_list_add_all(out_list, &instruction->args);
}

static int apply_cmd(struct compiler *compiler, struct error *err)
{
	AUTO_FREE char *shown = NULL;

	(void)err;
	command_list(&run_of(compiler)->cmd, compiler);
	run_of(compiler)->args_escaped = true;
	compiler->stage->cmd_set = true;
	shown = quoted_list(&run_of(compiler)->cmd);
	remember(compiler, shown);
	return 0;
}

static int apply_entrypoint(struct compiler *compiler, struct error *err)
{
	AUTO_FREE char *shown = NULL;

	(void)err;
	command_list(&run_of(compiler)->entrypoint, compiler);
	/* A CMD of the base was meant for the base's entry point. */
	if (!compiler->stage->cmd_set)
		text_list_fini(&run_of(compiler)->cmd);
	shown = quoted_list(&run_of(compiler)->entrypoint);
	remember(compiler, shown);
	return 0;
}

static int apply_shell(struct compiler *compiler, struct error *err)
{
	AUTO_FREE char *joined = NULL;
	AUTO_FREE char *shown = NULL;

	if (!compiler->instruction->json)
		return error_set(err, ERR_INVALID, "SHELL requires the arguments to be in JSON form");
	if (need_arguments(compiler, err) < 0)
		return -1;
	text_list_fini(&run_of(compiler)->shell);
	text_list_add_all(&run_of(compiler)->shell, &compiler->instruction->args);
	joined = text_list_join(&run_of(compiler)->shell, " ");
	shown = xasprintf("[%s]", joined);
	remember(compiler, shown);
	return 0;
}

/* ---- EXPOSE, VOLUME ---- */

static int by_name(const void *a, const void *b)
{
	const struct image_key *left = a;
	const struct image_key *right = b;

	return strcmp(left->name, right->name);
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
	qsort(array->items, array->count, sizeof(*array->items), by_name);
}

static int invalid_port(const char *port, struct error *err)
{
	return error_set(err, ERR_INVALID, "invalid containerPort: %s", port);
}

/* "80", "80/udp", "8000-8010/tcp" */
static int add_ports(struct compiler *compiler, const char *word, struct text_list *shown, struct error *err)
{
	const char *slash = strchr(word, '/');
	AUTO_FREE char *numbers = slash ? xstrndup(word, (size_t)(slash - word)) : xstrdup(word);
	AUTO_FREE char *protocol = xstrdup(slash ? slash + 1 : "tcp");
	char *dash = strchr(numbers, '-');
	uint64_t first;
	uint64_t last;

	if (dash)
		*dash++ = '\0';
	if (text_parse_u64(&first, numbers, 65535) < 0 || text_parse_u64(&last, dash ? dash : numbers, 65535) < 0 ||
	    last < first || first == 0)
		return invalid_port(word, err);
	if (!text_equal_ignoring_case(protocol, "tcp") && !text_equal_ignoring_case(protocol, "udp") &&
	    !text_equal_ignoring_case(protocol, "sctp"))
		return error_set(err, ERR_INVALID, "invalid proto: %s", protocol);
	for (char *c = protocol; *c; c++)
		*c = (char)(*c | 0x20);
	for (uint64_t port = first; port <= last; port++) {
		AUTO_FREE char *key = xasprintf("%llu/%s", (unsigned long long)port, protocol);

		add_key(&run_of(compiler)->exposed_ports, key);
		text_list_add(shown, key);
	}
	return 0;
}

static int apply_expose(struct compiler *compiler, struct error *err)
{
	const struct text_list *args = &compiler->instruction->args;
	AUTO(text_list_fini) struct text_list words = { 0 };
	AUTO(text_list_fini) struct text_list shown = { 0 };
	AUTO_FREE char *joined = NULL;
	AUTO_FREE char *text = NULL;
	struct expand_scope scope;

	if (need_arguments(compiler, err) < 0)
		return -1;
	compiler_scope(compiler, &scope);
	for (size_t i = 0; i < args->count; i++)
		if (expand_words(&words, args->items[i], &scope, err) < 0)
			return -1;
	for (size_t i = 0; i < words.count; i++)
		if (add_ports(compiler, words.items[i], &shown, err) < 0)
			return -1;
	joined = text_list_join(&shown, " ");
	text = xasprintf("[%s]", joined);
	remember(compiler, text);
	return 0;
}

static int apply_volume(struct compiler *compiler, struct error *err)
{
	const struct text_list *args = &compiler->instruction->args;
	AUTO(text_list_fini) struct text_list shown = { 0 };
	AUTO_FREE char *joined = NULL;
	AUTO_FREE char *text = NULL;

	if (need_arguments(compiler, err) < 0)
		return -1;
	for (size_t i = 0; i < args->count; i++) {
		AUTO_FREE char *path = NULL;

		if (compiler_expand(&path, compiler, args->items[i], err) < 0)
			return -1;
		if (!*text_trim(path))
			return error_set(err, ERR_INVALID, "VOLUME specified can not be an empty string");
		add_key(&run_of(compiler)->volumes, path);
		text_list_add(&shown, path);
	}
	joined = text_list_join(&shown, " ");
	text = xasprintf("[%s]", joined);
	remember(compiler, text);
	return 0;
}

/* ---- USER, STOPSIGNAL, MAINTAINER, ONBUILD ---- */

static int one_argument(char **out_text, struct compiler *compiler, struct error *err)
{
	if (compiler->instruction->args.count != 1)
		return error_set(err, ERR_INVALID, "%s requires exactly one argument", keyword_of(compiler));
	return compiler_expand(out_text, compiler, compiler->instruction->args.items[0], err);
}

static int apply_user(struct compiler *compiler, struct error *err)
{
	AUTO_FREE char *user = NULL;

	if (one_argument(&user, compiler, err) < 0)
		return -1;
	remember(compiler, user);
	replace_text(&run_of(compiler)->user, take_ptr(user));
	return 0;
}

static int apply_stop_signal(struct compiler *compiler, struct error *err)
{
	AUTO_FREE char *name = NULL;

	if (one_argument(&name, compiler, err) < 0)
		return -1;
	if (signal_parse(name) < 0)
		return error_set(err, ERR_INVALID, "invalid signal: %s", name);
	remember(compiler, name);
	replace_text(&run_of(compiler)->stop_signal, take_ptr(name));
	return 0;
}

static int apply_maintainer(struct compiler *compiler, struct error *err)
{
	if (compiler->instruction->args.count != 1)
		return error_set(err, ERR_INVALID, "MAINTAINER requires exactly one argument");
	replace_text(&compiler->stage->config.author, xstrdup(compiler->instruction->args.items[0]));
	remember(compiler, compiler->instruction->args.items[0]);
	return 0;
}

static int apply_onbuild(struct compiler *compiler, struct error *err)
{
	const struct instruction *nested = compiler->instruction->nested;
	const struct instruction *outer = compiler->instruction;
	AUTO(text_fini) struct text trigger = { 0 };

	if (!nested)
		return error_set(err, ERR_INVALID, "ONBUILD requires at least one argument");
	if (text_equal(nested->keyword, "from") || text_equal(nested->keyword, "maintainer"))
		return error_set(err, ERR_INVALID, "%s isn't allowed as an ONBUILD trigger",
				 text_equal(nested->keyword, "from") ? "FROM" : "MAINTAINER");
	text_add(&trigger, nested->original);
	for (size_t i = 0; i < outer->heredoc_count; i++)
		text_addf(&trigger, "\n%s%s", outer->heredocs[i].body, outer->heredocs[i].name);
	text_list_add(&run_of(compiler)->on_build, trigger.data);
	return 0;
}

/* ---- HEALTHCHECK ---- */

static int set_duration(int64_t *target, const char *flag, const char *text, struct error *err)
{
	if (!text)
		return 0;
	if (clock_parse_duration(target, text) < 0)
		return error_set(err, ERR_INVALID, "invalid duration \"%s\" of --%s", text, flag);
	if (*target < 0 || (*target > 0 && *target < CLOCK_MS))
		return error_set(err, ERR_INVALID, "Interval \"%s\" cannot be less than 1ms", flag);
	return 0;
}

static int read_health_flags(struct image_healthcheck *health, const struct compiler *compiler, struct error *err)
{
	AUTO_FREE char *interval = NULL;
	AUTO_FREE char *timeout = NULL;
	AUTO_FREE char *start_period = NULL;
	AUTO_FREE char *start_interval = NULL;
	AUTO_FREE char *retries = NULL;
	const struct flag_spec specs[] = {
		{ "interval", &interval, NULL, NULL },	       { "timeout", &timeout, NULL, NULL },
		{ "start-period", &start_period, NULL, NULL }, { "start-interval", &start_interval, NULL, NULL },
		{ "retries", &retries, NULL, NULL },	       { NULL, NULL, NULL, NULL }
	};

	if (compiler_flags(compiler, specs, err) < 0 ||
	    set_duration(&health->interval_ns, "interval", interval, err) < 0 ||
	    set_duration(&health->timeout_ns, "timeout", timeout, err) < 0 ||
	    set_duration(&health->start_period_ns, "start-period", start_period, err) < 0 ||
	    set_duration(&health->start_interval_ns, "start-interval", start_interval, err) < 0)
		return -1;
	if (retries && text_parse_i64(&health->retries, retries, 0, INT32_MAX) < 0)
		return error_set(err, ERR_INVALID, "--retries cannot be negative or no number (%s)", retries);
	return 0;
}

static int fill_health(struct image_healthcheck *health, const struct compiler *compiler, struct error *err)
{
	const struct instruction *instruction = compiler->instruction;
	const struct text_list *args = &instruction->args;

	if (need_arguments(compiler, err) < 0)
		return -1;
	if (text_equal_ignoring_case(args->items[0], "none")) {
		if (args->count > 1)
			return error_set(err, ERR_INVALID, "HEALTHCHECK NONE takes no arguments");
		text_list_add(&health->test, "NONE");
		return 0;
	}
	if (!text_equal_ignoring_case(args->items[0], "cmd"))
		return error_set(err, ERR_INVALID, "Unknown type \"%s\" in HEALTHCHECK (try CMD)", args->items[0]);
	if (args->count < 2)
		return error_set(err, ERR_INVALID, "Missing command after HEALTHCHECK CMD");
	text_list_add(&health->test, instruction->json ? "CMD" : "CMD-SHELL");
	for (size_t i = 1; i < args->count; i++)
		text_list_add(&health->test, args->items[i]);
	return read_health_flags(health, compiler, err);
}

static int apply_health(struct compiler *compiler, struct error *err)
{
	struct image_healthcheck *health = xcalloc(1, sizeof(*health));
	struct image_run *run = run_of(compiler);
	AUTO_FREE char *shown = NULL;

	if (fill_health(health, compiler, err) < 0) {
		json_free_fields(health, image_healthcheck_fields);
		free(health);
		return -1;
	}
	if (run->healthcheck)
		json_free_fields(run->healthcheck, image_healthcheck_fields);
	free(run->healthcheck);
	run->healthcheck = health;
	shown = quoted_list(&health->test);
	remember(compiler, shown);
	return 0;
}

/* ---- all ---- */

static const struct {
	const char *keyword;
	int (*apply)(struct compiler *compiler, struct error *err);
} kinds[] = {
	{ "arg", apply_arg },
	{ "cmd", apply_cmd },
	{ "entrypoint", apply_entrypoint },
	{ "env", apply_pairs },
	{ "expose", apply_expose },
	{ "healthcheck", apply_health },
	{ "label", apply_pairs },
	{ "onbuild", apply_onbuild },
	{ "maintainer", apply_maintainer },
	{ "shell", apply_shell },
	{ "stopsignal", apply_stop_signal },
	{ "user", apply_user },
	{ "volume", apply_volume },
};

int compile_config(struct compiler *compiler, struct error *err)
{
	static const struct flag_spec none[] = { { NULL, NULL, NULL, NULL } };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (!text_equal(kinds[i].keyword, compiler->instruction->keyword))
			continue;
		if (!text_equal(kinds[i].keyword, "healthcheck") && compiler_flags(compiler, none, err) < 0)
			return -1;
		return kinds[i].apply(compiler, err) < 0 ? -1 : 1;
	}
	return 0;
}
