/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/stage.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "builder/expand.h"

struct step *stage_add_step(struct stage *stage, const char *text)
{
	struct step *step;

	stage->steps = xgrow(stage->steps, &stage->step_capacity, stage->step_count + 1, sizeof(*stage->steps));
	step = &stage->steps[stage->step_count++];
	*step = (struct step){ .text = xstrdup(text) };
	return step;
}

static void stage_fini(struct stage *stage)
{
	for (size_t i = 0; i < stage->step_count; i++) {
		free(stage->steps[i].text);
		free(stage->steps[i].created_by);
		free(stage->steps[i].before);
	}
	free(stage->steps);
	free(stage->name);
	free(stage->base_name);
	free(stage->platform_text);
	image_config_fini(&stage->config);
	text_map_fini(&stage->args);
	text_list_fini(&stage->declared);
}

void stages_fini(struct stages *stages)
{
	for (size_t i = 0; i < stages->count; i++)
		stage_fini(&stages->items[i]);
	free(stages->items);
	text_map_fini(&stages->global_args);
	platform_fini(&stages->platform);
	platform_fini(&stages->build_platform);
	*stages = (struct stages){ 0 };
}

struct stage *stages_find(struct stages *stages, const char *name, size_t before)
{
	uint64_t index;

	for (size_t i = before; i > 0; i--)
		if (stages->items[i - 1].name && text_equal_ignoring_case(stages->items[i - 1].name, name))
			return &stages->items[i - 1];
	if (text_parse_u64(&index, name, SIZE_MAX) == 0 && index < before)
		return &stages->items[index];
	return NULL;
}

int stages_target(struct stage **out_target, struct stages *stages, const char *name, struct error *err)
{
	*out_target = &stages->items[stages->count - 1];
	if (text_empty(name))
		return 0;
	*out_target = stages_find(stages, name, stages->count);
	if (!*out_target)
		return error_set(err, ERR_INVALID, "target stage \"%s\" could not be found", name);
	return 0;
}

static void need_sources(struct stages *stages, const struct stage *stage, const struct instruction *instruction);

void stages_need(struct stages *stages, struct stage *stage)
{
	if (stage->needed)
		return;
	stage->needed = true;
	if (stage->base)
		stages_need(stages, stage->base);
	for (size_t i = 0; i < stage->count; i++)
		need_sources(stages, stage, &stage->first[i]);
}

/* --from=stage and RUN --mount=from=stage. A stage only ever needs earlier ones, so this ends. */
static void need_sources(struct stages *stages, const struct stage *stage, const struct instruction *instruction)
{
	size_t index = (size_t)(stage - stages->items);

	for (size_t i = 0; i < instruction->flags.count; i++) {
		const char *flag = instruction->flags.items[i];
		const char *from = text_after(flag, "--from=");
		AUTO_FREE char *name = NULL;
		struct stage *source;

		if (!from && text_has_prefix(flag, "--mount=") && (from = strstr(flag, "from=")))
			from += strlen("from=");
		if (!from)
			continue;
		name = xstrndup(from, strcspn(from, ",\"'"));
		source = stages_find(stages, name, index);
		if (source)
			stages_need(stages, source);
	}
}

/* ---- arguments before the first FROM ---- */

char *stages_platform_arg(const struct stages *stages, const char *name, const char *target)
{
	bool of_target = text_has_prefix(name, "TARGET");
	const struct platform *platform = of_target ? &stages->platform : &stages->build_platform;
	const char *what = of_target ? name + 6 : text_after(name, "BUILD");

	if (!what)
		return NULL;
	if (text_equal(what, "PLATFORM"))
		return platform_format(platform);
	if (text_equal(what, "OS"))
		return xstrdup(platform->os);
	if (text_equal(what, "ARCH"))
		return xstrdup(platform->architecture);
	if (text_equal(what, "VARIANT"))
		return xstrdup(text_or_empty(platform->variant));
	if (text_equal(what, "OSVERSION"))
		return xstrdup(text_or_empty(platform->os_version));
	if (of_target && text_equal(what, "STAGE"))
		return xstrdup(text_empty(target) ? "default" : target);
	return NULL;
}

static const char *get_global(void *arg, const char *name)
{
	const struct stages *stages = arg;

	return text_map_get(&stages->global_args, name);
}

static void set_platform_args(struct stages *stages, const struct text_map *build_args, const char *target)
{
	static const char *const names[] = { "BUILDPLATFORM", "BUILDOS",	"BUILDOSVERSION", "BUILDARCH",
					     "BUILDVARIANT",  "TARGETPLATFORM", "TARGETOS",	  "TARGETOSVERSION",
					     "TARGETARCH",    "TARGETVARIANT",	"TARGETSTAGE",	  NULL };

	for (size_t i = 0; names[i]; i++) {
		AUTO_FREE char *value = stages_platform_arg(stages, names[i], target);
		const char *given = text_map_get(build_args, names[i]);

		text_map_set(&stages->global_args, names[i], given ? given : value);
	}
}

static int add_global_arg(struct stages *stages, const struct instruction *instruction, char escape,
			  const struct text_map *build_args, struct text_list *consumed, struct error *err)
{
	const struct expand_scope scope = { get_global, stages, escape };

	for (size_t i = 0; i < instruction->args.count; i++) {
		const char *word = instruction->args.items[i];
		const char *equals = strchr(word, '=');
		AUTO_FREE char *name = equals ? xstrndup(word, (size_t)(equals - word)) : xstrdup(word);
		const char *given = text_map_get(build_args, name);
		AUTO_FREE char *value = NULL;

		if (given)
			text_list_add(consumed, name);
		if (given)
			value = xstrdup(given);
		else if (equals && expand_word(&value, equals + 1, &scope, err) < 0)
			return -1;
		if (value)
			text_map_set(&stages->global_args, name, value);
	}
	return 0;
}

/* ---- FROM ---- */

static bool is_stage_name(const char *name)
{
	if (*name < 'a' || *name > 'z')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(name);
}

static int read_name(struct stage *stage, const struct instruction *from, struct error *err)
{
	const struct text_list *args = &from->args;

	if (args->count == 1)
		return 0;
	if (args->count != 3 || !text_equal_ignoring_case(args->items[1], "as"))
		return error_set(err, ERR_INVALID, "FROM requires either one or three arguments");
	stage->name = xstrdup(args->items[2]);
	for (char *c = stage->name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (!is_stage_name(stage->name))
		return error_set(err, ERR_INVALID,
				 "invalid name for build stage: \"%s\", name can't start with a number or contain "
				 "symbols",
				 args->items[2]);
	return 0;
}

static int read_flags(struct stage *stage, const struct instruction *from, struct error *err)
{
	for (size_t i = 0; i < from->flags.count; i++) {
		const char *value = text_after(from->flags.items[i], "--platform=");

		if (!value)
			return error_set(err, ERR_INVALID, "unknown flag: %s", from->flags.items[i]);
		if (stage->platform_text)
			return error_set(err, ERR_INVALID, "duplicate flag specified: --platform");
		stage->platform_text = xstrdup(value);
	}
	return 0;
}

static int add_stage(struct stages *stages, const struct instruction *from, char escape, struct error *err)
{
	const struct expand_scope scope = { get_global, stages, escape };
	struct stage stage = { .from = from, .first = from + 1 };
	AUTO_FREE char *platform = NULL;

	if (read_name(&stage, from, err) < 0 || read_flags(&stage, from, err) < 0 ||
	    expand_word(&stage.base_name, from->args.items[0], &scope, err) < 0 ||
	    (stage.platform_text && expand_word(&platform, stage.platform_text, &scope, err) < 0)) {
		stage_fini(&stage);
		return -1;
	}
	if (platform) {
		free(stage.platform_text);
		stage.platform_text = take_ptr(platform);
	}
	if (text_empty(stage.base_name)) {
		stage_fini(&stage);
		return error_set(err, ERR_INVALID, "base name (%s) should not be blank", from->args.items[0]);
	}
	stages->items = xgrow(stages->items, &stages->capacity, stages->count + 1, sizeof(*stages->items));
	stages->items[stages->count++] = stage;
	return 0;
}

static int add_instruction(struct stages *stages, const struct dockerfile *dockerfile,
			   const struct instruction *instruction, const struct text_map *build_args,
			   struct text_list *consumed, struct error *err)
{
	if (text_equal(instruction->keyword, "from"))
		return add_stage(stages, instruction, dockerfile->escape, err);
	if (stages->count > 0) {
		stages->items[stages->count - 1].count++;
		return 0;
	}
	if (!text_equal(instruction->keyword, "arg"))
		return error_set(err, ERR_INVALID, "no build stage in current context");
	return add_global_arg(stages, instruction, dockerfile->escape, build_args, consumed, err);
}

/* The stages are one array that does not move any more: their bases can be pointed at. */
static void find_bases(struct stages *stages)
{
	for (size_t i = 0; i < stages->count; i++) {
		struct stage *stage = &stages->items[i];

		for (size_t j = i; j > 0 && !stage->base; j--)
			if (stages->items[j - 1].name &&
			    text_equal_ignoring_case(stages->items[j - 1].name, stage->base_name))
				stage->base = &stages->items[j - 1];
	}
}

int stages_load(struct stages *stages, const struct dockerfile *dockerfile, const struct text_map *build_args,
		const char *platform, const char *target, struct text_list *consumed, struct error *err)
{
	platform_host(&stages->build_platform);
	if (text_empty(platform))
		platform_copy(&stages->platform, &stages->build_platform);
	else if (platform_parse(&stages->platform, platform, err) < 0)
		return -1;
	/* amd64's levels say what a machine can do, not what an image needs. */
	if (text_equal(stages->platform.architecture, "amd64"))
		free(take_ptr(stages->platform.variant));
	if (text_equal(stages->build_platform.architecture, "amd64"))
		free(take_ptr(stages->build_platform.variant));
	set_platform_args(stages, build_args, target);
	for (size_t i = 0; i < dockerfile->count; i++) {
		const struct instruction *instruction = &dockerfile->instructions[i];

		if (add_instruction(stages, dockerfile, instruction, build_args, consumed, err) < 0)
			return error_prefix(err, "dockerfile parse error on line %u", instruction->line);
	}
	if (stages->count == 0)
		return error_set(err, ERR_INVALID, "no build stage in current context");
	find_bases(stages);
	return 0;
}
