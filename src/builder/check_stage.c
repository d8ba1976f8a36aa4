/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: each stage that is looked at is walked in order with what its
 * instructions may use so far (struct place), as a build would; a stage that
 * starts from another one starts with what that one ended with.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/path.h"
#include "base/suggest.h"
#include "builder/check_private.h"

struct place {
	struct text_map env;	   /* ENV and ARG with a value */
	struct text_list declared; /* ARG without one */
	bool env_known;		   /* that of the base too */
	bool shell_set;
	bool workdir_set;
	/* The one that counts so far; NULL: none. */
	const struct instruction *cmd;
	const struct instruction *entrypoint;
	const struct instruction *healthcheck;
};

struct walk {
	struct checker *checker;
	struct place *place;
	const struct instruction *instruction;
};

static void place_fini(struct place *place)
{
	text_map_fini(&place->env);
	text_list_fini(&place->declared);
}

/* ---- variables ---- */

static const char *get_value(void *arg, const char *name)
{
	const struct place *place = arg;

	return text_map_get(&place->env, name);
}

static void report_undefined(const struct walk *walk, const struct check_lookup *lookup)
{
	for (size_t i = 0; i < lookup->missing.count && walk->place->env_known; i++) {
		const char *name = lookup->missing.items[i];
		struct suggestion best = { 0 };

		if (text_list_contains(&walk->place->declared, name))
			continue;
		for (size_t j = 0; j < walk->place->env.count; j++)
			suggest_offer(&best, name, walk->place->env.items[j].key);
		check_found(walk->checker, walk->instruction, CHECK_UNDEFINED_VAR,
			    "Usage of undefined variable '$%s'%s%s%s", name, best.word ? " (did you mean $" : "",
			    text_or_empty(best.word), best.word ? "?)" : "");
	}
}

/* The word with its variables; NULL where it cannot be expanded, which is then the file's failure. Yours. */
static char *expand(const struct walk *walk, const char *word)
{
	AUTO(check_lookup_fini) struct check_lookup lookup = { .get = get_value, .arg = walk->place };
	AUTO(error_clear) struct error err = { 0 };
	char *value = NULL;

	if (check_expand(&value, word, &lookup, walk->checker->dockerfile->escape, &err) < 0)
		check_fail(walk->checker, walk->instruction->line, walk->instruction->last_line, &err);
	else
		report_undefined(walk, &lookup);
	return value;
}

static void expand_heredoc(const struct walk *walk, const char *body)
{
	AUTO(check_lookup_fini) struct check_lookup lookup = { .get = get_value, .arg = walk->place };
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *value = NULL;
	struct expand_scope scope;

	check_lookup_scope(&lookup, walk->checker->dockerfile->escape, &scope);
	if (expand_body(&value, body, &scope, &err) < 0)
		check_fail(walk->checker, walk->instruction->line, walk->instruction->last_line, &err);
	else
		report_undefined(walk, &lookup);
}

static void expand_all(const struct walk *walk, const struct text_list *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(expand(walk, words->items[i]));
}

/* ---- ENV, ARG, LABEL ---- */

/* Whether the words stand in the key, at '_' or its ends. */
static bool has_word(const char *key, const char *const *words)
{
	AUTO(text_list_fini) struct text_list parts = { 0 };

	text_list_split(&parts, key, '_');
	for (size_t i = 0; i < parts.count; i++)
		for (size_t j = 0; words[j]; j++)
			if (strcasecmp(parts.items[i], words[j]) == 0)
				return true;
	return false;
}

static void check_secret(const struct walk *walk, const char *kind, const char *key)
{
	static const char *const secret[] = { "apikey", "auth",	  "credential", "credentials", "key", "password",
					      "pword",	"passwd", "secret",	"token",       NULL };
	static const char *const harmless[] = { "public", "file", "version", NULL };

	if (has_word(key, secret) && !has_word(key, harmless))
		check_found(walk->checker, walk->instruction, CHECK_SECRETS,
			    "Do not use ARG or ENV instructions for sensitive data (%s \"%s\")", kind, key);
}

static void walk_pairs(const struct walk *walk)
{
	const struct instruction *instruction = walk->instruction;
	AUTO_FREE char *written = check_written(instruction);
	bool is_env = text_equal(instruction->keyword, "env");
	AUTO(text_map_fini) struct text_map set = { 0 };

	if (instruction->legacy)
		check_found(walk->checker, instruction, CHECK_LEGACY_KEY_VALUE,
			    "\"%s key=value\" should be used instead of legacy \"%s key value\" format", written,
			    written);
	for (size_t i = 0; i + 1 < instruction->args.count; i += 2) {
		AUTO_FREE char *key = expand(walk, instruction->args.items[i]);
		AUTO_FREE char *value = expand(walk, instruction->args.items[i + 1]);

		if (!is_env || !key)
			continue;
		check_secret(walk, "ENV", key);
		text_map_set(&set, key, text_or_empty(value));
	}
	/* One instruction sees only what was there before it. */
	for (size_t i = 0; i < set.count; i++)
		text_map_set(&walk->place->env, set.items[i].key, set.items[i].value);
}

static void walk_arg(const struct walk *walk)
{
	const struct checker *checker = walk->checker;

	for (size_t i = 0; i < walk->instruction->args.count; i++) {
		const char *word = walk->instruction->args.items[i];
		const char *equals = strchr(word, '=');
		AUTO_FREE char *name = xstrndup(word, strcspn(word, "="));
		const char *given = checker->options->build_args ? text_map_get(checker->options->build_args, name)
								 : NULL;
		AUTO_FREE char *value = NULL;

		check_secret(walk, "ARG", name);
		if (given)
			value = xstrdup(given);
		else if (equals)
			value = expand(walk, equals + 1);
		else if (text_map_get(&checker->stages.global_args, name))
			value = xstrdup(text_map_get(&checker->stages.global_args, name));
		text_list_add(&walk->place->declared, name);
		if (value && !text_map_get(&walk->place->env, name))
			text_map_set(&walk->place->env, name, value);
	}
}

/* ---- CMD, ENTRYPOINT, HEALTHCHECK ---- */

static void walk_once(const struct walk *walk)
{
	const char *keyword = walk->instruction->keyword;
	const struct instruction **last = text_equal(keyword, "cmd")	      ? &walk->place->cmd
					  : text_equal(keyword, "entrypoint") ? &walk->place->entrypoint
									      : &walk->place->healthcheck;
	AUTO_FREE char *written = check_written(walk->instruction);

	/* The earlier one is told of: it is the one without effect. */
	if (*last)
		check_found_at(
			walk->checker, (*last)->line, (*last)->last_line, CHECK_MULTIPLE_INSTRUCTIONS,
			"Multiple %s instructions should not be used in the same stage because only the last one "
			"will be used",
			written);
	*last = walk->instruction;
	if (last != &walk->place->healthcheck && !walk->instruction->json && !walk->place->shell_set)
		check_found(walk->checker, walk->instruction, CHECK_JSON_ARGS,
			    "JSON arguments recommended for %s to prevent unintended behavior related to OS signals",
			    written);
}

/* ---- WORKDIR, EXPOSE ---- */

static void walk_workdir(const struct walk *walk)
{
	AUTO_FREE char *path = walk->instruction->args.count ? expand(walk, walk->instruction->args.items[0]) : NULL;

	if (!path)
		return;
	if (!walk->place->workdir_set && *path != '/')
		check_found(walk->checker, walk->instruction, CHECK_WORKDIR_RELATIVE,
			    "Relative workdir \"%s\" can have unexpected results if the base image changes", path);
	walk->place->workdir_set = true;
}

static void check_port(const struct walk *walk, const char *port)
{
	const char *slash = strrchr(port, '/');
	bool mixed = false;

	for (const char *c = slash ? slash : ""; *c; c++)
		mixed |= isupper((unsigned char)*c) != 0;
	if (mixed)
		check_found(walk->checker, walk->instruction, CHECK_EXPOSE_CASING,
			    "Defined protocol '%s' in EXPOSE instruction should be lowercase", port);
	if (strchr(port, ':'))
		check_found(walk->checker, walk->instruction, CHECK_EXPOSE_FORMAT,
			    "EXPOSE instruction should not define an IP address or host-port mapping, found '%s'",
			    port);
}

static void walk_expose(const struct walk *walk)
{
	for (size_t i = 0; i < walk->instruction->args.count; i++) {
		AUTO_FREE char *value = expand(walk, walk->instruction->args.items[i]);
		AUTO(text_list_fini) struct text_list ports = { 0 };

		text_list_split(&ports, text_or_empty(value), ' ');
		for (size_t j = 0; j < ports.count; j++)
			check_port(walk, ports.items[j]);
	}
}

/* ---- COPY, ADD ---- */

static bool ignores_everything(const struct pattern_list *ignored)
{
	for (size_t i = 0; i < ignored->count; i++) {
		const char *pattern = ignored->rules[i].pattern;

		if (text_equal(pattern, "*") || text_equal(pattern, "**") || text_equal(pattern, "**/*"))
			return true;
	}
	return false;
}

static void check_source(const struct walk *walk, const char *source)
{
	const struct pattern_list *ignored = walk->checker->options->ignored;
	AUTO_FREE char *clean = path_clean(source);
	bool is_root = text_equal(clean, ".") || text_equal(clean, "/");

	if (is_root ? ignores_everything(ignored) : pattern_list_matches(ignored, clean))
		check_found(walk->checker, walk->instruction, CHECK_COPY_IGNORED,
			    "Attempting to %s file \"%s\" that is excluded by .dockerignore",
			    text_equal(walk->instruction->keyword, "add") ? "Add" : "Copy", clean);
}

static bool is_remote(const char *source)
{
	return strstr(source, "://") || text_has_prefix(source, "git@") || text_has_prefix(source, "<<");
}

static void walk_copy(const struct walk *walk)
{
	const struct instruction *instruction = walk->instruction;
	const struct pattern_list *ignored = walk->checker->options->ignored;
	/* Where something may be taken back ("!") it cannot be told without looking at the files. */
	bool from_context = ignored && !ignored->any_taken_back;

	for (size_t i = 0; i < instruction->flags.count; i++) {
		if (text_has_prefix(instruction->flags.items[i], "--from="))
			from_context = false;
		else
			free(expand(walk, instruction->flags.items[i]));
	}
	for (size_t i = 0; i < instruction->args.count; i++) {
		AUTO_FREE char *word = expand(walk, instruction->args.items[i]);

		if (word && from_context && i + 1 < instruction->args.count && !is_remote(instruction->args.items[i]))
			check_source(walk, word);
	}
	for (size_t i = 0; i < instruction->heredoc_count; i++)
		if (instruction->heredocs[i].expand)
			expand_heredoc(walk, instruction->heredocs[i].body);
}

/* ---- one after the other ---- */

static void walk_flags(const struct walk *walk)
{
	expand_all(walk, &walk->instruction->flags);
}

static void walk_words(const struct walk *walk)
{
	expand_all(walk, &walk->instruction->args);
}

static void walk_shell(const struct walk *walk)
{
	walk->place->shell_set = true;
}

static void walk_instruction(const struct walk *walk)
{
	static const struct {
		const char *keyword;
		void (*walk)(const struct walk *walk);
	} walks[] = {
		{ "add", walk_copy },	   { "arg", walk_arg },		 { "cmd", walk_once },
		{ "copy", walk_copy },	   { "entrypoint", walk_once },	 { "env", walk_pairs },
		{ "expose", walk_expose }, { "healthcheck", walk_once }, { "label", walk_pairs },
		{ "run", walk_flags },	   { "shell", walk_shell },	 { "stopsignal", walk_words },
		{ "user", walk_words },	   { "volume", walk_words },	 { "workdir", walk_workdir },
	};

	for (size_t i = 0; i < sizeof(walks) / sizeof(*walks); i++)
		if (text_equal(walks[i].keyword, walk->instruction->keyword))
			walks[i].walk(walk);
}

/* ---- where a stage starts ---- */

static void check_base_platform(struct checker *checker, const struct stage *stage, const struct image_config *config)
{
	AUTO(platform_fini) struct platform wanted = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(platform_fini) struct platform offered = { 0 };
	AUTO_FREE char *wanted_text = NULL;
	AUTO_FREE char *offered_text = NULL;

	image_config_platform(config, &offered);
	if (text_empty(stage->platform_text))
		platform_copy(&wanted, &checker->stages.platform);
	else if (platform_parse(&wanted, stage->platform_text, &ignored) < 0)
		return;
	if (text_equal(wanted.os, offered.os) && text_equal(wanted.architecture, offered.architecture))
		return;
	wanted_text = platform_format(&wanted);
	offered_text = platform_format(&offered);
	check_found_at(checker, stage->from->line, stage->from->last_line, CHECK_BASE_PLATFORM,
		       "Base image %s was pulled with platform \"%s\", expected \"%s\" for current build",
		       stage->base_name, offered_text, wanted_text);
}

static void start_from_image(struct checker *checker, struct place *place, const struct stage *stage)
{
	const struct check_options *options = checker->options;
	const struct image_config *config =
		options->image ? options->image(options->arg, stage->base_name, stage->platform_text) : NULL;

	place->env_known = config != NULL;
	if (!config)
		return;
	check_base_platform(checker, stage, config);
	place->shell_set = config->config.shell.count > 0;
	for (size_t i = 0; i < config->config.env.count; i++) {
		const char *entry = config->config.env.items[i];
		AUTO_FREE char *key = xstrndup(entry, strcspn(entry, "="));

		if (strchr(entry, '='))
			text_map_set(&place->env, key, strchr(entry, '=') + 1);
	}
}

static void start(struct checker *checker, struct place *places, size_t index)
{
	const struct stage *stage = &checker->stages.items[index];
	struct place *place = &places[index];

	if (stage->base) {
		const struct place *base = &places[stage->base - checker->stages.items];

		text_map_copy(&place->env, &base->env);
		text_list_add_all(&place->declared, &base->declared);
		place->env_known = base->env_known;
		place->shell_set = base->shell_set;
		place->workdir_set = base->workdir_set;
	} else if (text_equal(stage->base_name, "scratch")) {
		place->env_known = true;
	} else {
		start_from_image(checker, place, stage);
	}
	if (!text_map_get(&place->env, "PATH"))
		text_map_set(&place->env, "PATH", STAGE_DEFAULT_PATH);
}

void check_stages(struct checker *checker)
{
	struct stages *stages = &checker->stages;
	struct place *places = xcalloc(stages->count, sizeof(*places));
	AUTO(error_clear) struct error err = { 0 };
	struct stage *target = NULL;

	if (stages_target(&target, stages, checker->options->target, &err) < 0)
		check_fail(checker, 0, 0, &err);
	else
		stages_need(stages, target);
	for (size_t i = 0; i < stages->count; i++) {
		const struct stage *stage = &stages->items[i];
		struct walk walk = { .checker = checker, .place = &places[i] };

		if (!stage->needed && !text_empty(checker->options->target))
			continue;
		start(checker, places, i);
		for (size_t j = 0; j < stage->count; j++) {
			walk.instruction = &stage->first[j];
			walk_instruction(&walk);
		}
	}
	for (size_t i = 0; i < stages->count; i++)
		place_fini(&places[i]);
	free(places);
}
