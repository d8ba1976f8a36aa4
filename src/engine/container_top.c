/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the shim names the container's processes; the host's ps prints
 * them, and the table it prints is cut into columns. ps is asked for all
 * processes with the user's own arguments, as docker does, and lines of
 * others are dropped by the PID column.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/process.h"
#include "engine/engine_private.h"

#define PS_OUTPUT_MAX (16 * 1024 * 1024)

static const struct json_field top_row_fields[] = {
	JSON_TEXT_LIST("", struct top_row, values, 0),
	JSON_END,
};

const struct json_field container_top_fields[] = {
	JSON_TEXT_LIST("Titles", struct container_top, titles, 0),
	JSON_ARRAY("Processes", struct container_top, processes, top_row_fields, 0),
	JSON_END,
};

static void split_blanks(struct text_list *words, const char *line)
{
	while (*line) {
		size_t size;

		line += strspn(line, " \t");
		size = strcspn(line, " \t");
		if (size)
			text_list_add_take(words, xstrndup(line, size));
		line += size;
	}
}

static int check_arguments(const struct text_list *arguments, struct error *err)
{
	for (size_t i = 0; i < arguments->count; i++) {
		const char *text = arguments->items[i];
		const char *equals = strchr(text, '=');

		/* A column renamed to PID could hide which lines are the container's. */
		if (equals && strchr(text, 'p') && text_equal_ignoring_case(equals + 1, "pid"))
			return error_set(err, ERR_INVALID, "specifying \"%s\" is not allowed", text);
	}
	return 0;
}

/* The last column takes the rest of the line. */
static void add_row(struct container_top *top, const char *line)
{
	struct top_row *row = json_array_add(&top->processes, sizeof(*row));
	size_t columns = top->titles.count;

	for (size_t i = 0; i + 1 < columns; i++) {
		size_t size;

		line += strspn(line, " \t");
		size = strcspn(line, " \t");
		text_list_add_take(&row->values, xstrndup(line, size));
		line += size;
	}
	line += strspn(line, " \t");
	text_list_add(&row->values, line);
}

static bool has_pid(const struct task_pids_response *pids, const char *text)
{
	uint64_t pid;

	if (text_parse_u64(&pid, text_or_empty(text), UINT32_MAX) < 0)
		return false;
	for (size_t i = 0; i < pids->processes.count; i++)
		if (pids->processes.items[i].pid == pid)
			return true;
	return false;
}

static int parse(struct container_top *top, const char *output, const struct task_pids_response *pids,
		 struct error *err)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	size_t pid_column;

	text_list_split(&lines, output, '\n');
	if (lines.count)
		split_blanks(&top->titles, lines.items[0]);
	for (pid_column = 0; pid_column < top->titles.count; pid_column++)
		if (text_equal(top->titles.items[pid_column], "PID"))
			break;
	if (pid_column == top->titles.count)
		return error_set(err, ERR_INTERNAL, "Couldn't find PID field in ps output");
	for (size_t i = 1; i < lines.count; i++) {
		AUTO(text_list_fini) struct text_list words = { 0 };

		split_blanks(&words, lines.items[i]);
		if (words.count > pid_column && has_pid(pids, words.items[pid_column]))
			add_row(top, lines.items[i]);
	}
	return 0;
}

static int run_ps(char **out_output, const struct text_list *arguments, struct error *err)
{
	AUTO(text_list_fini) struct text_list argv = { 0 };

	text_list_add(&argv, "ps");
	text_list_add_all(&argv, arguments);
	return process_run(out_output, text_list_argv(&argv), NULL, PS_OUTPUT_MAX, err);
}

int container_top(struct container_top *out_top, struct engine *engine, const char *name, const char *ps_args,
		  struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	AUTO(text_list_fini) struct text_list arguments = { 0 };
	AUTO_FREE char *output = NULL;
	struct task_pids_response pids = { 0 };
	struct task_client *task;
	int r;

	split_blanks(&arguments, text_empty(ps_args) ? "-ef" : ps_args);
	if (container_find(&container, engine, name, err) < 0 || check_arguments(&arguments, err) < 0)
		return -1;
	task = container_borrow_task(container, err);
	if (!task)
		return -1;
	r = task_pids(task, container->id, &pids, -1, err);
	container_return_task(container);
	if (r < 0)
		return -1;
	r = run_ps(&output, &arguments, err);
	if (r == 0)
		r = parse(out_top, output, &pids, err);
	proto_free(&pids, task_pids_response_fields);
	if (r < 0) {
		json_free_fields(out_top, container_top_fields);
		return error_prefix(err, "ps");
	}
	container_event(container, "top", NULL);
	return 0;
}
