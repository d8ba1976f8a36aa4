/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/build_private.h"

#include <string.h>

#include "base/alloc.h"

/* ---- what an instruction's text may use ---- */

static const char *get_value(void *arg, const char *name)
{
	const struct stage *stage = arg;
	const char *value = text_list_env(&stage->config.config.env, name);

	return value ? value : text_map_get(&stage->args, name);
}

void compiler_scope(struct compiler *compiler, struct expand_scope *out_scope)
{
	*out_scope = (struct expand_scope){ get_value, compiler->stage, compiler->escape };
}

int compiler_expand(char **out_text, struct compiler *compiler, const char *word, struct error *err)
{
	struct expand_scope scope;

	compiler_scope(compiler, &scope);
	return expand_word(out_text, word, &scope, err);
}

void compiler_set_place(struct node *node, const struct compiler *compiler)
{
	const struct dockerfile *dockerfile = compiler->build->dockerfile;
	const struct instruction *instruction = compiler->instruction;

	if (instruction < dockerfile->instructions || instruction >= dockerfile->instructions + dockerfile->count)
		return;
	node->line = instruction->line;
	node->last_line = instruction->last_line;
}

/* ---- flags ---- */

static int set_bool(bool *on, const char *name, const char *value, struct error *err)
{
	if (!value || text_equal_ignoring_case(value, "true"))
		*on = true;
	else if (text_equal_ignoring_case(value, "false"))
		*on = false;
	else
		return error_set(err, ERR_INVALID, "expecting boolean value for flag --%s, not: %s", name, value);
	return 0;
}

static int set_flag(const struct flag_spec *spec, const char *value, struct text_list *seen, struct error *err)
{
	if (!spec->list && text_list_contains(seen, spec->name))
		return error_set(err, ERR_INVALID, "duplicate flag specified: --%s", spec->name);
	text_list_add(seen, spec->name);
	if (spec->on)
		return set_bool(spec->on, spec->name, value, err);
	if (!value)
		return error_set(err, ERR_INVALID, "missing a value on flag: --%s", spec->name);
	if (spec->list)
		text_list_add(spec->list, value);
	else
		*spec->text = xstrdup(value);
	return 0;
}

/* Quotes around a part of a flag's value are the lexer's: --chown="a b". */
static char *plain_flag(const char *flag)
{
	struct text out = { 0 };

	for (; *flag; flag++)
		if (*flag != '"' && *flag != '\'')
			text_add_char(&out, *flag);
	return text_take(&out);
}

int compiler_flags(const struct compiler *compiler, const struct flag_spec *specs, struct error *err)
{
	const struct text_list *flags = &compiler->instruction->flags;
	AUTO(text_list_fini) struct text_list seen = { 0 };

	for (size_t i = 0; i < flags->count; i++) {
		AUTO_FREE char *flag = plain_flag(flags->items[i] + 2);
		char *value = strchr(flag, '=');
		const struct flag_spec *spec = specs;

		if (value)
			*value++ = '\0';
		while (spec->name && !text_equal(spec->name, flag))
			spec++;
		if (!spec->name)
			return error_set(err, ERR_INVALID, "unknown flag: --%s", flag);
		if (set_flag(spec, value, &seen, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- what is shown ---- */

static bool is_operation(const struct instruction *instruction)
{
	static const char *const keywords[] = { "run", "copy", "add", "workdir" };

	for (size_t i = 0; i < sizeof(keywords) / sizeof(*keywords); i++)
		if (text_equal(instruction->keyword, keywords[i]))
			return true;
	return false;
}

static void count_operations(struct stage *stage)
{
	stage->shown_total = !stage->base && !text_equal(stage->base_name, "scratch");
	for (size_t i = 0; i < stage->count; i++)
		stage->shown_total += is_operation(&stage->first[i]);
}

void compiler_show(const struct build *build, struct stage *stage, struct node *node, const char *text)
{
	size_t index = (size_t)(stage - build->stages.items);
	AUTO_FREE char *number = xasprintf("stage-%zu", index);
	AUTO_FREE char *platform = NULL;
	const char *name = build->stages.count == 1 ? "" : stage->name ? stage->name : number;
	size_t total = stage->shown_total > stage->shown_count ? stage->shown_total : stage->shown_count + 1;
	int width = 1;

	for (size_t rest = total; rest >= 10; rest /= 10)
		width++;
	if (build->options->show_platform)
		platform = platform_format(&build->stages.platform);
	node->shown = xasprintf("[%s%s%s%s%*zu/%zu] %s", text_or_empty(platform), platform ? " " : "", name,
				*name ? " " : "", width, ++stage->shown_count, total, text);
}

/* ---- instructions ---- */

static int dispatch(struct compiler *compiler, struct error *err)
{
	const char *keyword = compiler->instruction->keyword;
	int r;

	if (text_equal(keyword, "run"))
		return compile_run(compiler, err);
	if (text_equal(keyword, "copy") || text_equal(keyword, "add"))
		return compile_copy(compiler, err);
	if (text_equal(keyword, "workdir"))
		return compile_workdir(compiler, err);
	r = compile_config(compiler, err);
	if (r == 0)
		return error_set(err, ERR_INVALID, "unknown instruction: %s", keyword);
	return r < 0 ? -1 : 0;
}

static int check_arguments(const struct instruction *instruction, struct error *err)
{
	if (instruction->nested && check_arguments(instruction->nested, err) < 0)
		return -1;
	return instruction->has_nul
		       ? error_set(err, ERR_INVALID, "an argument with a NUL byte in it cannot be given to a program")
		       : 0;
}

static int compile_instruction(struct build *build, struct stage *stage, const struct instruction *instruction,
			       char escape, struct error *err)
{
	struct compiler compiler = { .build = build, .stage = stage, .instruction = instruction, .escape = escape };

	compiler.step = stage_add_step(stage, instruction->original);
	if (check_arguments(instruction, err) < 0 || dispatch(&compiler, err) < 0) {
		build->failure->first = instruction->line;
		build->failure->last = instruction->last_line;
		return error_prefix(err, "dockerfile parse error on line %u", instruction->line);
	}
	if (is_operation(instruction) && compiler.step->node) {
		struct node *node = compiler.step->node;

		compiler_show(build, stage, node->kind == NODE_LINK ? node->copy.source : node, instruction->original);
	}
	return 0;
}

/* ---- ONBUILD of the base ---- */

static int compile_trigger(struct build *build, struct stage *stage, const char *text, struct error *err)
{
	struct dockerfile *dockerfile = NULL;
	const char *keyword;

	if (dockerfile_parse(&dockerfile, text, strlen(text), err) < 0)
		return error_prefix(err, "ONBUILD %s", text);
	build->triggers = xgrow(build->triggers, &build->trigger_capacity, build->trigger_count + 1,
				sizeof(*build->triggers));
	build->triggers[build->trigger_count++] = dockerfile;
	keyword = dockerfile->instructions[0].keyword;
	if (text_equal(keyword, "onbuild"))
		return error_set(err, ERR_INVALID, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
	if (dockerfile->count != 1 || text_equal(keyword, "from") || text_equal(keyword, "maintainer"))
		return error_set(err, ERR_INVALID, "%s isn't allowed as an ONBUILD trigger", keyword);
	return compile_instruction(build, stage, &dockerfile->instructions[0], dockerfile->escape, err);
}

static int compile_triggers(struct build *build, struct stage *stage, struct error *err)
{
	struct text_list triggers = stage->config.config.on_build;
	size_t first = stage->step_count;
	int r = 0;

	stage->config.config.on_build = (struct text_list){ 0 };
	for (size_t i = 0; i < triggers.count && r == 0; i++)
		r = compile_trigger(build, stage, triggers.items[i], err);
	if (r == 0 && triggers.count > 0)
		stage->steps[first].before = xasprintf("# Executing %zu build trigger%s\n", triggers.count,
						       triggers.count > 1 ? "s" : "");
	text_list_fini(&triggers);
	return r;
}

/* ---- stages ---- */

static int compile_stage(struct build *build, struct stage *stage, struct error *err)
{
	const struct build_options *options = build->options;
	size_t first = build->graph.count;

	count_operations(stage);
	stage->no_cache = options->no_cache || (options->no_cache_stages && stage->name &&
						text_list_contains(options->no_cache_stages, stage->name));
	if (compile_from(build, stage, err) < 0 || compile_triggers(build, stage, err) < 0)
		return -1;
	for (size_t i = 0; i < stage->count; i++)
		if (compile_instruction(build, stage, &stage->first[i], build->dockerfile->escape, err) < 0)
			return -1;
	for (size_t i = first; i < build->graph.count; i++)
		build->graph.nodes[i]->no_cache = stage->no_cache;
	stage->compiled = true;
	return 0;
}

int compile(struct build *build, struct error *err)
{
	struct stages *stages = &build->stages;

	if (stages_target(&build->target, stages, build->options->target, err) < 0)
		return -1;
	stages_need(stages, build->target);
	for (size_t i = 0; i < stages->count; i++) {
		struct stage *stage = &stages->items[i];

		if (stage->needed && compile_stage(build, stage, err) < 0)
			return -1;
		build->step_total += stage->needed ? stage->step_count : 0;
	}
	return 0;
}
