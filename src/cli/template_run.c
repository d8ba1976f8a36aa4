/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/template_tree.h"

/* Ranges in ranges over big objects end here instead of eating the machine. */
#define OUTPUT_MAX (256u << 20)
#define STEPS_MAX 50000000u
#define RUN_DEPTH_MAX 400

struct variable {
	const char *name; /* borrowed from the tree */
	struct template_value value;
};

struct run {
	const struct template *template;
	struct text *out;
	struct template_value dot;
	struct variable *variables;
	size_t variable_count;
	size_t variable_capacity;
	struct template_arena arena;
	unsigned flags;
	unsigned steps;
	unsigned depth; /* of templates that call templates */
	struct error *err;
};

enum flow { FLOW_ERROR = -1, FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE };

static int run_pipe(struct run *run, const struct node *pipe, struct template_value *out_value);

/* Go's words: where, in which source text, what. */
static int fail_at(struct run *run, const struct node *node, const char *reason)
{
	const char *source = run->template->source;
	size_t line = 1;
	size_t column = node->position;
	AUTO_FREE char *text = xstrndup(source + node->start, node->end - node->start);

	for (size_t i = 0; i < node->position; i++) {
		if (source[i] != '\n')
			continue;
		line++;
		column = node->position - i - 1;
	}
	return error_set(run->err, ERR_INVALID, "template: :%zu:%zu: executing \"\" at <%s>: %s", line, column,
			 text_trim(text), reason);
}

static int fail_with(struct run *run, const struct node *node, const char *prefix, struct error *inner)
{
	AUTO_FREE char *reason = xasprintf("%s%s", prefix, inner->message);

	return fail_at(run, node, reason);
}

static void set_variable(struct run *run, const char *name, struct template_value value, bool assign)
{
	for (size_t i = run->variable_count; assign && i > 0; i--) {
		if (!text_equal(run->variables[i - 1].name, name))
			continue;
		run->variables[i - 1].value = value;
		return;
	}
	run->variables = xgrow(run->variables, &run->variable_capacity, run->variable_count + 1,
			       sizeof(*run->variables));
	run->variables[run->variable_count++] = (struct variable){ .name = name, .value = value };
}

static struct template_value get_variable(const struct run *run, const char *name)
{
	for (size_t i = run->variable_count; i > 0; i--)
		if (text_equal(run->variables[i - 1].name, name))
			return run->variables[i - 1].value;
	return (struct template_value){ .kind = TEMPLATE_NIL };
}

/* ---- fields ---- */

static int row_field(struct run *run, const struct node *node, const struct template_row *row, const char *name,
		     struct template_value *out_value)
{
	const char *field = text_map_get(&row->fields, name);
	AUTO_FREE char *reason = NULL;

	if (field) {
		*out_value = template_text(field);
		if (text_equal(name, row->flag))
			*out_value = (struct template_value){ .kind = TEMPLATE_BOOL,
							      .boolean = text_equal(field, "true") };
		/* The one column that is a pointer in Go. */
		if (text_equal(name, "Platform") && *field == '\0')
			*out_value = (struct template_value){ .kind = TEMPLATE_NIL };
		return 0;
	}
	reason = xasprintf("can't evaluate field %s in type %s", name, row->type_name);
	return fail_at(run, node, reason);
}

static int get_field(struct run *run, const struct node *node, const char *name, struct template_value *value)
{
	AUTO_FREE char *reason = NULL;

	if (value->kind == TEMPLATE_ROW)
		return row_field(run, node, value->row, name, value);
	if (value->kind == TEMPLATE_JSON && json_value_type(value->json) == JSON_TYPE_OBJECT) {
		const struct json_value *member = json_value_get(value->json, name);
		const char *map_key = value->key;

		if (member) {
			*value = template_value_of_json(member, name);
			return 0;
		}
		if (template_may_lack(map_key, name, value))
			return 0;
		reason = xasprintf("map has no entry for key \"%s\"", name);
		return fail_at(run, node, reason);
	}
	if (value->kind == TEMPLATE_NIL || value->kind == TEMPLATE_NO_VALUE) {
		reason = xasprintf("nil pointer evaluating interface {}.%s", name);
		return fail_at(run, node, reason);
	}
	reason = xasprintf("can't evaluate field %s in type %s", name,
			   value->kind == TEMPLATE_TEXT	     ? "string"
			   : value->kind == TEMPLATE_INTEGER ? "int"
			   : value->kind == TEMPLATE_BOOL    ? "bool"
			   : value->kind == TEMPLATE_REAL    ? "float64"
							     : "interface {}");
	return fail_at(run, node, reason);
}

static int get_fields(struct run *run, const struct node *node, struct template_value *value)
{
	for (size_t i = 0; i < node->names.count; i++)
		if (get_field(run, node, node->names.items[i], value) < 0)
			return -1;
	return 0;
}

/* ---- commands ---- */

static int run_operand(struct run *run, const struct node *node, struct template_value *out_value);

static int run_function(struct run *run, const struct node *command, const char *name,
			const struct template_value *piped, struct template_value *out_value)
{
	AUTO(error_clear) struct error inner = { 0 };
	AUTO_FREE struct template_value *args = xcalloc(command->count + 1, sizeof(*args));
	struct template_call call = { .arena = &run->arena, .args = args, .flags = run->flags };
	AUTO_FREE char *prefix = xasprintf("error calling %s: ", name);
	bool is_or = text_equal(name, "or");

	for (size_t i = 1; i < command->count; i++) {
		if (run_operand(run, command->items[i], &args[call.count++]) < 0)
			return -1;
		/* and, or: what stands behind the deciding argument is not evaluated. */
		if ((is_or || text_equal(name, "and")) && template_truth(&args[call.count - 1]) == is_or) {
			*out_value = args[call.count - 1];
			return 0;
		}
	}
	if (piped)
		args[call.count++] = *piped;
	if (template_call(out_value, name, &call, &inner) < 0) {
		bool arity = text_has_prefix(inner.message, "wrong number of args");

		return fail_with(run, command, arity ? "" : prefix, &inner);
	}
	return 0;
}

/* .Label "name" of docker's listings: the one method with an argument. */
static int run_label(struct run *run, const struct node *command, const struct template_value *piped,
		     struct template_value *out_value)
{
	struct template_value key;
	const char *text;

	if (command->count == 2) {
		if (run_operand(run, command->items[1], &key) < 0)
			return -1;
	} else if (piped && command->count == 1) {
		key = *piped;
	} else {
		return fail_at(run, command, "wrong number of args for Label: want 1");
	}
	if (key.kind != TEMPLATE_TEXT)
		return fail_at(run, command, "expected string");
	text = json_value_text(json_value_get(run->dot.row->labels, key.text));
	*out_value = template_text(text_or_empty(text));
	return 0;
}

static int run_command(struct run *run, const struct node *command, const struct template_value *piped,
		       struct template_value *out_value)
{
	const struct node *first = command->items[0];

	if (first->kind == NODE_FUNCTION)
		return run_function(run, command, first->text, piped, out_value);
	if (first->kind == NODE_DOT && run->dot.kind == TEMPLATE_ROW && first->names.count == 1 &&
	    text_equal(first->names.items[0], "Label"))
		return run_label(run, command, piped, out_value);
	if (first->kind == NODE_CONSTANT && first->constant.kind == TEMPLATE_NIL)
		return fail_at(run, first, "nil is not a command");
	if (command->count > 1 || piped) {
		AUTO_FREE char *text = xstrndup(run->template->source + first->start, first->end - first->start);
		AUTO_FREE char *reason = (first->kind == NODE_DOT || first->kind == NODE_VARIABLE) && first->names.count
						 ? xasprintf("%s has arguments but cannot be invoked as function",
							     first->names.items[first->names.count - 1])
						 : xasprintf("can't give argument to non-function %s", text);

		return fail_at(run, first, reason);
	}
	return run_operand(run, first, out_value);
}

static int run_operand(struct run *run, const struct node *node, struct template_value *out_value)
{
	struct node call = { .kind = NODE_COMMAND, .position = node->position, .start = node->start, .end = node->end };

	switch (node->kind) {
	case NODE_CONSTANT:
		*out_value = node->constant;
		return 0;
	case NODE_DOT:
		*out_value = run->dot;
		break;
	case NODE_VARIABLE:
		*out_value = get_variable(run, node->text);
		break;
	case NODE_PAREN:
		if (run_pipe(run, node->items[0], out_value) < 0)
			return -1;
		break;
	default:
		call.count = 1;
		return run_function(run, &call, node->text, NULL, out_value);
	}
	return get_fields(run, node, out_value);
}

static int run_pipe(struct run *run, const struct node *pipe, struct template_value *out_value)
{
	struct template_value value = { .kind = TEMPLATE_NO_VALUE };

	for (size_t i = 0; i < pipe->count; i++) {
		struct template_value piped = value;

		if (++run->steps > STEPS_MAX || run->out->size > OUTPUT_MAX)
			return fail_at(run, pipe, "the template does not end");
		if (run_command(run, pipe->items[i], i ? &piped : NULL, &value) < 0)
			return -1;
	}
	*out_value = value;
	return 0;
}

/* ---- blocks ---- */

static enum flow run_list(struct run *run, const struct node *list);

static enum flow run_branch(struct run *run, const struct node *block, const struct template_value *value)
{
	struct template_value dot = run->dot;
	enum flow flow = FLOW_NEXT;

	if (template_truth(value)) {
		if (block->kind == NODE_WITH)
			run->dot = *value;
		flow = run_list(run, block->items[1]);
	} else if (block->count > 2) {
		flow = run_list(run, block->items[2]);
	}
	run->dot = dot;
	return flow;
}

static enum flow run_item(struct run *run, const struct node *block, struct template_value key,
			  struct template_value item)
{
	const struct text_list *names = &block->items[0]->names;
	bool assign = block->items[0]->assign;
	size_t variables = run->variable_count;
	enum flow flow;

	if (names->count == 1)
		set_variable(run, names->items[0], item, assign);
	if (names->count == 2) {
		set_variable(run, names->items[0], key, assign);
		set_variable(run, names->items[1], item, assign);
	}
	run->dot = item;
	flow = run_list(run, block->items[1]);
	run->variable_count = variables;
	return flow;
}

static enum flow range_object(struct run *run, const struct node *block, const struct json_value *object)
{
	struct text_list *keys = arena_list(&run->arena);
	enum flow flow = FLOW_NEXT;

	json_value_keys(keys, object, true);
	for (size_t i = 0; i < keys->count && flow != FLOW_ERROR && flow != FLOW_BREAK; i++)
		flow = run_item(run, block, template_text(keys->items[i]),
				template_value_of_json(json_value_get(object, keys->items[i]), NULL));
	return flow == FLOW_ERROR ? flow : FLOW_NEXT;
}

static enum flow range_items(struct run *run, const struct node *block, const struct template_value *value)
{
	size_t count = value->kind == TEMPLATE_INTEGER ? (size_t)value->integer : template_length(value);
	enum flow flow = FLOW_NEXT;

	for (size_t i = 0; i < count && flow != FLOW_ERROR && flow != FLOW_BREAK; i++) {
		struct template_value item = template_integer((int64_t)i);

		if (++run->steps > STEPS_MAX || run->out->size > OUTPUT_MAX)
			return (enum flow)fail_at(run, block->items[0], "the template does not end");
		if (value->kind == TEMPLATE_LIST)
			item = template_text(value->list->items[i]);
		else if (value->kind == TEMPLATE_JSON)
			item = template_value_of_json(json_value_at(value->json, i), NULL);
		flow = run_item(run, block, template_integer((int64_t)i), item);
	}
	return flow == FLOW_ERROR ? flow : FLOW_NEXT;
}

static enum flow run_range(struct run *run, const struct node *block, const struct template_value *value)
{
	struct template_value dot = run->dot;
	bool countable = value->kind == TEMPLATE_JSON || value->kind == TEMPLATE_LIST ||
			 (value->kind == TEMPLATE_INTEGER && value->integer > 0);
	enum flow flow = FLOW_NEXT;

	if (value->kind == TEMPLATE_TEXT || value->kind == TEMPLATE_BOOL || value->kind == TEMPLATE_REAL ||
	    value->kind == TEMPLATE_ROW) {
		AUTO(text_fini) struct text reason = { 0 };

		text_add(&reason, "range can't iterate over ");
		template_print(&reason, value);
		return (enum flow)fail_at(run, block->items[0]->items[0], reason.data);
	}
	if (!countable || (value->kind != TEMPLATE_INTEGER && template_length(value) == 0))
		return block->count > 2 ? run_list(run, block->items[2]) : FLOW_NEXT;
	if (value->kind == TEMPLATE_JSON && json_value_type(value->json) == JSON_TYPE_OBJECT)
		flow = range_object(run, block, value->json);
	else
		flow = range_items(run, block, value);
	run->dot = dot;
	return flow;
}

static enum flow run_block(struct run *run, const struct node *block)
{
	const struct node *pipe = block->items[0];
	size_t variables = run->variable_count;
	struct template_value value;
	enum flow flow;

	if (run_pipe(run, pipe, &value) < 0)
		return FLOW_ERROR;
	if (block->kind != NODE_RANGE)
		for (size_t i = 0; i < pipe->names.count; i++)
			set_variable(run, pipe->names.items[i], value, pipe->assign);
	flow = block->kind == NODE_RANGE ? run_range(run, block, &value) : run_branch(run, block, &value);
	run->variable_count = variables;
	return flow;
}

static const struct node *find_definition(const struct template *template, const char *name)
{
	for (size_t i = template->definitions->count; i > 0; i--)
		if (text_equal(template->definitions->items[i - 1]->text, name))
			return template->definitions->items[i - 1]->items[0];
	return NULL;
}

static enum flow run_template(struct run *run, const struct node *call)
{
	const struct node *list = find_definition(run->template, call->text);
	struct template_value dot = run->dot;
	struct template_value value = { .kind = TEMPLATE_NO_VALUE };
	size_t variables = run->variable_count;
	enum flow flow;

	if (!list) {
		AUTO_FREE char *reason = xasprintf("template \"%s\" not defined", call->text);

		return (enum flow)fail_at(run, call, reason);
	}
	if (call->count && run_pipe(run, call->items[0], &value) < 0)
		return FLOW_ERROR;
	if (++run->depth > RUN_DEPTH_MAX)
		return (enum flow)fail_at(run, call, "exceeded maximum template depth");
	run->dot = value;
	set_variable(run, "$", value, false);
	flow = run_list(run, list);
	run->variable_count = variables;
	run->dot = dot;
	run->depth--;
	return flow;
}

static int run_action(struct run *run, const struct node *action)
{
	const struct node *pipe = action->items[0];
	struct template_value value;

	if (run_pipe(run, pipe, &value) < 0)
		return -1;
	if (pipe->names.count)
		set_variable(run, pipe->names.items[0], value, pipe->assign);
	else
		template_print(run->out, &value);
	return 0;
}

static enum flow run_list(struct run *run, const struct node *list)
{
	size_t variables = run->variable_count;
	enum flow flow = FLOW_NEXT;

	for (size_t i = 0; i < list->count && flow == FLOW_NEXT; i++) {
		const struct node *node = list->items[i];

		switch (node->kind) {
		case NODE_TEXT:
			text_add(run->out, node->text);
			break;
		case NODE_ACTION:
			if (run_action(run, node) < 0)
				flow = FLOW_ERROR;
			break;
		case NODE_TEMPLATE:
			flow = run_template(run, node);
			break;
		case NODE_BREAK:
			flow = FLOW_BREAK;
			break;
		case NODE_CONTINUE:
			flow = FLOW_CONTINUE;
			break;
		default:
			flow = run_block(run, node);
		}
	}
	if (list != run->template->root)
		run->variable_count = variables;
	return flow;
}

int template_run(const struct template *template, struct text *out, struct template_value data, unsigned flags,
		 struct error *err)
{
	struct run run = { .template = template, .out = out, .dot = data, .flags = flags, .err = err };
	enum flow flow;

	set_variable(&run, "$", data, false);
	flow = run_list(&run, template->root);
	free(run.variables);
	arena_fini(&run.arena);
	return flow == FLOW_ERROR ? -1 : 0;
}
