/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/describe.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/quote.h"
#include "builder/expand.h"
#include "builder/stage.h"

void description_fini(struct description *description)
{
	text_fini(&description->json);
	text_fini(&description->table);
}

/* ---- pieces of both ---- */

/* Of the comment line "NAME words" the words (borrowed from it), "" if there is none. Yours. */
static char *comment_on(const struct instruction *instruction, const char *name)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *start = xasprintf("%s ", name);

	text_list_split(&lines, text_or_empty(instruction->comment), '\n');
	for (size_t i = 0; i < lines.count && *name; i++) {
		const char *words = text_after(lines.items[i], start);

		if (words)
			return xstrdup(words);
	}
	return xstrdup("");
}

/* "key":"value", unless it is empty. */
static void add_member(struct text *json, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	text_addf(json, "\"%s\":", key);
	quote_json(json, value, strlen(value));
	text_add_char(json, ',');
}

static void add_place(struct text *json, const struct instruction *instruction)
{
	text_addf(json, "\"location\":{\"ranges\":[{\"start\":{\"line\":%u},\"end\":{\"line\":%u}}]}",
		  instruction->line, instruction->last_line);
}

static void add_source(struct text *json, const char *source)
{
	AUTO_FREE char *encoded = base64_encode(source, strlen(source));

	text_addf(json, "\"sources\":[\"%s\"]", encoded);
}

/* Rows of cells, each but the last as wide as its widest and `gap` blanks. */
static void add_table(struct text *out, const struct text_list *cells, size_t columns, size_t gap)
{
	size_t widths[4] = { 0 };

	for (size_t i = 0; i < cells->count; i++)
		if (strlen(cells->items[i]) > widths[i % columns])
			widths[i % columns] = strlen(cells->items[i]);
	for (size_t i = 0; i < cells->count; i++) {
		bool is_last = i % columns == columns - 1;

		text_addf(out, "%-*s%s", is_last ? 0 : (int)(widths[i % columns] + gap), cells->items[i],
			  is_last ? "\n" : "");
	}
}

/* ---- targets ---- */

static char *stage_name(const struct instruction *from)
{
	char *name = xstrdup(from->args.count == 3 ? from->args.items[2] : "");

	for (char *c = name; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
	return name;
}

static void describe_target(struct description *out, struct text_list *cells, const struct instruction *from,
			    bool is_default)
{
	AUTO_FREE char *name = stage_name(from);
	AUTO_FREE char *words = comment_on(from, name);
	const char *platform = from->flags.count ? text_after(from->flags.items[0], "--platform=") : NULL;

	text_add_char(&out->json, '{');
	add_member(&out->json, "name", name);
	if (is_default)
		text_add(&out->json, "\"default\":true,");
	add_member(&out->json, "description", words);
	add_member(&out->json, "base", from->args.count ? from->args.items[0] : "");
	add_member(&out->json, "platform", platform);
	add_place(&out->json, from);
	text_add_char(&out->json, '}');
	text_list_addf(cells, "%s%s", name, !is_default ? "" : *name ? " (default)" : "(default)");
	text_list_add(cells, words);
}

void describe_targets(struct description *out, const struct dockerfile *dockerfile, const char *source)
{
	AUTO(text_list_fini) struct text_list cells = { 0 };
	const struct instruction *last = NULL;
	bool any = false;

	text_list_add(&cells, "TARGET");
	text_list_add(&cells, "DESCRIPTION");
	text_add(&out->json, "{\"targets\":[");
	for (size_t i = 0; i < dockerfile->count; i++)
		if (text_equal(dockerfile->instructions[i].keyword, "from"))
			last = &dockerfile->instructions[i];
	for (size_t i = 0; i < dockerfile->count; i++) {
		const struct instruction *from = &dockerfile->instructions[i];

		if (!text_equal(from->keyword, "from"))
			continue;
		text_add(&out->json, any ? "," : "");
		describe_target(out, &cells, from, from == last);
		any = true;
	}
	text_add(&out->json, "],");
	add_source(&out->json, source);
	text_add_char(&out->json, '}');
	add_table(&out->table, &cells, 2, 1);
}

/* ---- outline ---- */

struct outline {
	const struct dockerfile *dockerfile;
	const struct text_map *build_args;
	struct stages stages;
	struct text_list used; /* global ARGs that something needed takes */
	struct text_map values;
	struct text_list seen; /* ARGs, then secrets and sockets */
	struct text args;      /* JSON objects, comma behind each */
	struct text mounts[2];
	struct text_list arg_cells;
	struct text_list mount_cells[2];
};

static const char *const mount_kinds[2] = { "secret", "ssh" };

static void outline_fini(struct outline *outline)
{
	stages_fini(&outline->stages);
	text_list_fini(&outline->used);
	text_map_fini(&outline->values);
	text_list_fini(&outline->seen);
	text_fini(&outline->args);
	text_list_fini(&outline->arg_cells);
	for (size_t i = 0; i < 2; i++) {
		text_fini(&outline->mounts[i]);
		text_list_fini(&outline->mount_cells[i]);
	}
}

static const char *get_value(void *arg, const char *name)
{
	const struct outline *outline = arg;
	const char *value = text_map_get(&outline->values, name);

	return value ? value : text_map_get(&outline->stages.global_args, name);
}

static const char *get_and_note(void *arg, const char *name)
{
	struct outline *outline = arg;

	text_list_add(&outline->used, name);
	return get_value(arg, name);
}

static int expand(char **out_value, struct outline *outline, const char *word, bool note, struct error *err)
{
	const struct expand_scope scope = { note ? get_and_note : get_value, outline, outline->dockerfile->escape };

	return expand_word(out_value, word, &scope, err);
}

/* Which of the ARGs before the first FROM the needed stages take. */
static int note_globals(struct outline *outline, struct error *err)
{
	for (size_t i = 0; i < outline->stages.count; i++) {
		const struct stage *stage = &outline->stages.items[i];
		AUTO_FREE char *base = NULL;

		if (!stage->needed)
			continue;
		if (expand(&base, outline, stage->from->args.items[0], true, err) < 0)
			return -1;
		for (size_t j = 0; j < stage->from->flags.count; j++) {
			AUTO_FREE char *flag = NULL;

			if (expand(&flag, outline, stage->from->flags.items[j], true, err) < 0)
				return -1;
		}
		for (size_t j = 0; j < stage->count; j++)
			if (text_equal(stage->first[j].keyword, "arg"))
				text_list_add_all(&outline->used, &stage->first[j].args);
	}
	return 0;
}

static int add_arg(struct outline *outline, const struct instruction *instruction, const char *word, struct error *err)
{
	AUTO_FREE char *name = xstrndup(word, strcspn(word, "="));
	const char *given = text_map_get(outline->build_args, name);
	AUTO_FREE char *value = NULL;
	AUTO_FREE char *words = comment_on(instruction, name);

	if (given)
		value = xstrdup(given);
	else if (strchr(word, '=') && expand(&value, outline, strchr(word, '=') + 1, false, err) < 0)
		return -1;
	if (value)
		text_map_set(&outline->values, name, value);
	if (text_list_contains(&outline->seen, name))
		return 0;
	text_list_add(&outline->seen, name);
	text_add_char(&outline->args, '{');
	add_member(&outline->args, "name", name);
	add_member(&outline->args, "description", words);
	add_member(&outline->args, "value", value);
	add_place(&outline->args, instruction);
	text_add(&outline->args, "},");
	text_list_add(&outline->arg_cells, name);
	text_list_add(&outline->arg_cells, text_or_empty(value));
	text_list_add(&outline->arg_cells, words);
	return 0;
}

static int add_args(struct outline *outline, const struct instruction *instruction, bool global, struct error *err)
{
	for (size_t i = 0; i < instruction->args.count; i++) {
		const char *word = instruction->args.items[i];
		AUTO_FREE char *name = xstrndup(word, strcspn(word, "="));

		/* A stage's "ARG name" is the global one of that name, or the platform's. */
		if (global ? !text_list_contains(&outline->used, name)
			   : !strchr(word, '=') && text_map_get(&outline->stages.global_args, name))
			continue;
		if (add_arg(outline, instruction, word, err) < 0)
			return -1;
	}
	return 0;
}

static bool flag_is(const char *field, const char *name)
{
	return text_equal(field, name) || (text_has_prefix(field, name) && text_equal(field + strlen(name), "=true"));
}

/* RUN --mount=type=secret,id=x,required */
static void add_mount(struct outline *outline, const struct instruction *run, const char *flag)
{
	AUTO(text_list_fini) struct text_list fields = { 0 };
	const char *id = NULL;
	const char *target = NULL;
	bool required = false;
	AUTO_FREE char *seen = NULL;
	size_t kind = 2;

	text_list_split(&fields, flag, ',');
	for (size_t i = 0; i < fields.count; i++) {
		const char *type = text_after(fields.items[i], "type=");

		for (size_t j = 0; type && j < 2; j++)
			kind = text_equal(type, mount_kinds[j]) ? j : kind;
		id = text_after(fields.items[i], "id=") ? text_after(fields.items[i], "id=") : id;
		target = text_after(fields.items[i], "target=") ? text_after(fields.items[i], "target=") : target;
		required |= flag_is(fields.items[i], "required");
	}
	if (kind == 2)
		return;
	if (!id)
		id = kind == 1 ? "default" : target ? (strrchr(target, '/') ? strrchr(target, '/') + 1 : target) : "";
	seen = xasprintf("%s %s", mount_kinds[kind], id);
	if (text_list_contains(&outline->seen, seen))
		return;
	text_list_add(&outline->seen, seen);
	text_add_char(&outline->mounts[kind], '{');
	add_member(&outline->mounts[kind], "name", id);
	text_add(&outline->mounts[kind], required ? "\"required\":true," : "");
	add_place(&outline->mounts[kind], run);
	text_add(&outline->mounts[kind], "},");
	text_list_add(&outline->mount_cells[kind], id);
	text_list_add(&outline->mount_cells[kind], required ? "true" : "");
}

static int add_stage(struct outline *outline, const struct stage *stage, struct error *err)
{
	for (size_t i = 0; i < stage->count; i++) {
		const struct instruction *instruction = &stage->first[i];

		if (text_equal(instruction->keyword, "arg") && add_args(outline, instruction, false, err) < 0)
			return -1;
		for (size_t j = 0; j < instruction->flags.count; j++)
			if (text_has_prefix(instruction->flags.items[j], "--mount="))
				add_mount(outline, instruction, instruction->flags.items[j] + strlen("--mount="));
	}
	return 0;
}

static int gather(struct outline *outline, const char *platform, const char *target, struct stage **out_target,
		  struct error *err)
{
	const struct dockerfile *dockerfile = outline->dockerfile;
	AUTO(text_list_fini) struct text_list consumed = { 0 };

	if (stages_load(&outline->stages, dockerfile, outline->build_args, platform, target, &consumed, err) < 0 ||
	    stages_target(out_target, &outline->stages, target, err) < 0)
		return -1;
	stages_need(&outline->stages, *out_target);
	if (note_globals(outline, err) < 0)
		return -1;
	for (size_t i = 0; i < dockerfile->count && !text_equal(dockerfile->instructions[i].keyword, "from"); i++)
		if (add_args(outline, &dockerfile->instructions[i], true, err) < 0)
			return -1;
	for (size_t i = 0; i < outline->stages.count; i++)
		if (outline->stages.items[i].needed && add_stage(outline, &outline->stages.items[i], err) < 0)
			return -1;
	return 0;
}

static void add_group(struct description *out, const char *key, struct text *objects, const struct text_list *heads,
		      struct text_list *cells)
{
	AUTO(text_list_fini) struct text_list all = { 0 };

	if (!objects->size)
		return;
	text_addf(&out->json, "\"%s\":[%.*s],", key, (int)objects->size - 1, objects->data);
	text_list_add_all(&all, heads);
	text_list_add_all(&all, cells);
	add_table(&out->table, &all, heads->count, 3);
	text_add_char(&out->table, '\n');
}

int describe_outline(struct description *out, const struct dockerfile *dockerfile, const char *source,
		     const struct text_map *build_args, const char *platform, const char *target, struct error *err)
{
	static const char *const heads[3][4] = { { "BUILD ARG", "VALUE", "DESCRIPTION", NULL },
						 { "SECRET", "REQUIRED", NULL },
						 { "SSH", "REQUIRED", NULL } };
	static const char *const keys[3] = { "args", "secrets", "ssh" };
	AUTO(outline_fini) struct outline outline = { .dockerfile = dockerfile, .build_args = build_args };
	struct stage *stage = NULL;
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *words = NULL;

	if (gather(&outline, platform, target, &stage, err) < 0)
		return -1;
	name = stage_name(stage->from);
	words = comment_on(stage->from, name);
	text_add_char(&out->json, '{');
	add_member(&out->json, "name", name);
	add_member(&out->json, "description", words);
	if (*name || *words)
		text_addf(&out->table, "%-*s%s\n", *words ? 13 : 8, "TARGET:", *name ? name : "(default)");
	if (*words)
		text_addf(&out->table, "DESCRIPTION: %s\n", words);
	if (out->table.size)
		text_add_char(&out->table, '\n');
	for (size_t i = 0; i < 3; i++) {
		AUTO(text_list_fini) struct text_list row = { 0 };

		for (size_t j = 0; heads[i][j]; j++)
			text_list_add(&row, heads[i][j]);
		add_group(out, keys[i], i ? &outline.mounts[i - 1] : &outline.args, &row,
			  i ? &outline.mount_cells[i - 1] : &outline.arg_cells);
	}
	add_source(&out->json, source);
	text_add_char(&out->json, '}');
	return 0;
}
