/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/template_tree.h"

typedef int (*function)(struct template_value *out_value, const struct template_call *call, struct error *err);

static const struct template_value *last(const struct template_call *call)
{
	return &call->args[call->count - 1];
}

static int want_text(const struct template_value *value, struct error *err)
{
	if (value->kind == TEMPLATE_TEXT)
		return 0;
	return error_set(err, ERR_INVALID, "wrong type for value; expected string");
}

/* ---- logic ---- */

static int call_and_or(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	(void)err;
	/* The deciding argument was found by the caller; here none of the earlier ones decided. */
	*out_value = *last(call);
	return 0;
}

static int call_not(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	(void)err;
	*out_value = template_boolean(!template_truth(&call->args[0]));
	return 0;
}

static bool is_number(const struct template_value *value)
{
	return value->kind == TEMPLATE_INTEGER || value->kind == TEMPLATE_REAL;
}

static double number(const struct template_value *value)
{
	return value->kind == TEMPLATE_REAL ? value->real : (double)value->integer;
}

static bool is_null(const struct template_value *value)
{
	return value->kind == TEMPLATE_NIL || value->kind == TEMPLATE_NO_VALUE;
}

/* <0, 0, >0 as strcmp. */
static int compare(int *out_order, const struct template_value *a, const struct template_value *b, struct error *err)
{
	if (is_number(a) && is_number(b)) {
		double x = number(a);
		double y = number(b);

		*out_order = (x > y) - (x < y);
		if (a->kind == b->kind && a->kind == TEMPLATE_INTEGER)
			*out_order = (a->integer > b->integer) - (a->integer < b->integer);
		return 0;
	}
	if (a->kind == TEMPLATE_TEXT && b->kind == TEMPLATE_TEXT) {
		*out_order = strcmp(a->text, b->text);
		return 0;
	}
	if (a->kind == TEMPLATE_BOOL && b->kind == TEMPLATE_BOOL) {
		*out_order = a->boolean != b->boolean;
		return 0;
	}
	if (is_null(a) || is_null(b)) {
		*out_order = is_null(a) && is_null(b) ? 0 : 1;
		return 0;
	}
	return error_set(err, ERR_INVALID, "incompatible types for comparison");
}

static int call_eq(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	int order;

	*out_value = template_boolean(false);
	if (call->count < 2)
		return error_set(err, ERR_INVALID, "missing argument for comparison");
	for (size_t i = 1; i < call->count; i++) {
		if (compare(&order, &call->args[0], &call->args[i], err) < 0)
			return -1;
		if (order == 0)
			*out_value = template_boolean(true);
	}
	return 0;
}

static int call_ne(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	int order;

	if (compare(&order, &call->args[0], &call->args[1], err) < 0)
		return -1;
	*out_value = template_boolean(order != 0);
	return 0;
}

static int ordered(int *out_order, const struct template_call *call, struct error *err)
{
	if (call->args[0].kind == TEMPLATE_BOOL || is_null(&call->args[0]))
		return error_set(err, ERR_INVALID, "invalid type for comparison");
	return compare(out_order, &call->args[0], &call->args[1], err);
}

#define DEFINE_ORDER(name, test)                                                                                       \
	static int name(struct template_value *out_value, const struct template_call *call, struct error *err)         \
	{                                                                                                              \
		int order;                                                                                             \
                                                                                                                       \
		if (ordered(&order, call, err) < 0)                                                                    \
			return -1;                                                                                     \
		*out_value = template_boolean(order test 0);                                                           \
		return 0;                                                                                              \
	}

DEFINE_ORDER(call_lt, <)
DEFINE_ORDER(call_le, <=)
DEFINE_ORDER(call_gt, >)
DEFINE_ORDER(call_ge, >=)

/* ---- lists and texts ---- */

static int call_len(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	const struct template_value *value = &call->args[0];

	if (value->kind == TEMPLATE_NIL && value->key) {
		*out_value = template_integer(0);
		return 0;
	}
	if (value->kind != TEMPLATE_TEXT && value->kind != TEMPLATE_JSON && value->kind != TEMPLATE_LIST)
		return error_set(err, ERR_INVALID, "len of %s",
				 is_null(value)			   ? "nil pointer"
				 : value->kind == TEMPLATE_INTEGER ? "type int"
								   : "type without a length");
	*out_value = template_integer((int64_t)template_length(value));
	return 0;
}

static int call_index(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	struct template_value value = call->args[0];

	for (size_t i = 1; i < call->count; i++)
		if (template_index(&value, &value, &call->args[i], err) < 0)
			return -1;
	*out_value = value;
	return 0;
}

static bool is_array(const struct template_value *value)
{
	return value->kind == TEMPLATE_JSON && json_value_type(value->json) == JSON_TYPE_ARRAY;
}

/* An item of a list or array, as it prints; yours. */
static char *item_text(const struct template_value *value, size_t index)
{
	struct template_value item;
	struct text printed = { 0 };

	if (value->kind == TEMPLATE_LIST)
		return xstrdup(value->list->items[index]);
	item = template_value_of_json(json_value_at(value->json, index), NULL);
	template_print(&printed, &item);
	return text_take(&printed);
}

static int call_slice(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	const struct template_value *value = &call->args[0];
	size_t length = template_length(value);
	size_t bounds[2] = { 0, length };

	if (value->kind != TEMPLATE_TEXT && value->kind != TEMPLATE_LIST && !is_array(value))
		return error_set(err, ERR_INVALID, "can't slice item of this type");
	for (size_t i = 1; i < call->count; i++) {
		if (call->args[i].kind != TEMPLATE_INTEGER)
			return error_set(err, ERR_INVALID, "cannot index slice/array with this type");
		if (i > 2 || call->args[i].integer < 0 || (uint64_t)call->args[i].integer > length)
			return error_set(err, ERR_INVALID, "index out of range: %lld",
					 (long long)call->args[i].integer);
		bounds[i - 1] = (size_t)call->args[i].integer;
	}
	if (bounds[0] > bounds[1])
		return error_set(err, ERR_INVALID, "invalid slice index: %zu > %zu", bounds[0], bounds[1]);
	if (value->kind == TEMPLATE_TEXT) {
		*out_value = template_text(
			arena_keep(call->arena, xstrndup(value->text + bounds[0], bounds[1] - bounds[0])));
	} else {
		struct text_list *list = arena_list(call->arena);

		for (size_t i = bounds[0]; i < bounds[1]; i++)
			text_list_add_take(list, item_text(value, i));
		*out_value = (struct template_value){ .kind = TEMPLATE_LIST, .list = list };
	}
	return 0;
}

static int call_join(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	const struct template_value *list = &call->args[0];
	struct text joined = { 0 };

	if (call->flags & TEMPLATE_HEADER) {
		*out_value = *list;
		return 0;
	}
	if (want_text(&call->args[1], err) < 0)
		return -1;
	if (list->kind != TEMPLATE_LIST && !is_null(list) &&
	    !(list->kind == TEMPLATE_JSON && json_value_type(list->json) == JSON_TYPE_ARRAY))
		return error_set(err, ERR_INVALID, "wrong type for value; expected []string");
	for (size_t i = 0; i < template_length(list); i++) {
		struct template_value item = list->kind == TEMPLATE_LIST
						     ? template_text(list->list->items[i])
						     : template_value_of_json(json_value_at(list->json, i), NULL);

		if (i)
			text_add(&joined, call->args[1].text);
		template_print(&joined, &item);
	}
	*out_value = template_text(arena_keep(call->arena, text_take(&joined)));
	return 0;
}

static int call_split(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	struct text_list *list;
	const char *at;
	const char *separator;

	if (call->flags & TEMPLATE_HEADER) {
		*out_value = call->args[0];
		return 0;
	}
	if (want_text(&call->args[0], err) < 0 || want_text(&call->args[1], err) < 0)
		return -1;
	list = arena_list(call->arena);
	at = call->args[0].text;
	separator = call->args[1].text;
	for (const char *found; *at && (found = *separator ? strstr(at, separator) : at + 1) && (*separator || *found);
	     at = found + strlen(separator))
		text_list_add_take(list, xstrndup(at, (size_t)(found - at)));
	text_list_add(list, at);
	*out_value = (struct template_value){ .kind = TEMPLATE_LIST, .list = list };
	return 0;
}

static int change_case(struct template_value *out_value, const struct template_call *call, char how, struct error *err)
{
	bool word = false;
	char *copy;

	if (call->flags & TEMPLATE_HEADER) {
		*out_value = call->args[0];
		return 0;
	}
	if (want_text(&call->args[0], err) < 0)
		return -1;
	copy = xstrdup(call->args[0].text);
	for (char *c = copy; *c; c++) {
		if (how == 'l')
			*c = (char)tolower((unsigned char)*c);
		else if (how == 'u' || !word)
			*c = (char)toupper((unsigned char)*c);
		word = isalnum((unsigned char)*c) || *c == '_' || *c == '\'' || (unsigned char)*c >= 0x80;
	}
	*out_value = template_text(arena_keep(call->arena, copy));
	return 0;
}

static int call_lower(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	return change_case(out_value, call, 'l', err);
}

static int call_upper(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	return change_case(out_value, call, 'u', err);
}

static int call_title(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	return change_case(out_value, call, 't', err);
}

static int call_pad(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	struct text padded = { 0 };

	if (want_text(&call->args[0], err) < 0)
		return -1;
	for (size_t i = 1; i < 3; i++)
		if (call->args[i].kind != TEMPLATE_INTEGER || call->args[i].integer < 0 ||
		    call->args[i].integer > 10000)
			return error_set(err, ERR_INVALID, "wrong value for padding");
	if (*call->args[0].text == '\0') {
		*out_value = call->args[0];
		return 0;
	}
	text_addf(&padded, "%*s%s%*s", (int)call->args[1].integer, "", call->args[0].text, (int)call->args[2].integer,
		  "");
	*out_value = template_text(arena_keep(call->arena, text_take(&padded)));
	return 0;
}

static int call_truncate(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	const struct template_value *limit = &call->args[1];

	*out_value = call->args[0];
	if (call->flags & TEMPLATE_HEADER)
		return 0;
	if (want_text(&call->args[0], err) < 0)
		return -1;
	if (limit->kind != TEMPLATE_INTEGER || limit->integer < 0)
		return error_set(err, ERR_INVALID, "wrong value for a length");
	if ((int64_t)strlen(call->args[0].text) > limit->integer)
		*out_value =
			template_text(arena_keep(call->arena, xstrndup(call->args[0].text, (size_t)limit->integer)));
	return 0;
}

static int call_json(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	struct text json = { 0 };

	(void)err;
	*out_value = call->args[0];
	if (call->flags & TEMPLATE_HEADER && out_value->kind == TEMPLATE_TEXT)
		return 0;
	template_print_json(&json, &call->args[0]);
	*out_value = template_text(arena_keep(call->arena, text_take(&json)));
	return 0;
}

/* ---- printing ---- */

static int call_print(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	struct text printed = { 0 };

	(void)err;
	for (size_t i = 0; i < call->count; i++) {
		/* As fmt.Sprint: a space between two operands when neither is a text. */
		if (i && call->args[i].kind != TEMPLATE_TEXT && call->args[i - 1].kind != TEMPLATE_TEXT)
			text_add_char(&printed, ' ');
		template_print(&printed, &call->args[i]);
	}
	*out_value = template_text(arena_keep(call->arena, text_take(&printed)));
	return 0;
}

static int call_println(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	struct text printed = { 0 };

	(void)err;
	for (size_t i = 0; i < call->count; i++) {
		if (i)
			text_add_char(&printed, ' ');
		template_print(&printed, &call->args[i]);
	}
	text_add_char(&printed, '\n');
	*out_value = template_text(arena_keep(call->arena, text_take(&printed)));
	return 0;
}

static int call_printf(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	struct text printed = { 0 };

	if (want_text(&call->args[0], err) < 0)
		return -1;
	template_printf(&printed, call->args, call->count);
	*out_value = template_text(arena_keep(call->arena, text_take(&printed)));
	return 0;
}

static int call_urlquery(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	AUTO(text_fini) struct text printed = { 0 };
	struct text escaped = { 0 };

	(void)err;
	for (size_t i = 0; i < call->count; i++)
		template_print(&printed, &call->args[i]);
	text_add_escaped(&escaped, printed.data ? printed.data : "", true);
	*out_value = template_text(arena_keep(call->arena, text_take(&escaped)));
	return 0;
}

static int call_html(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	static const char marks[] = "&<>\"'";
	static const char *const names[] = { "&amp;", "&lt;", "&gt;", "&#34;", "&#39;" };
	AUTO(text_fini) struct text printed = { 0 };
	struct text escaped = { 0 };

	(void)err;
	for (size_t i = 0; i < call->count; i++)
		template_print(&printed, &call->args[i]);
	for (const char *c = printed.data ? printed.data : ""; *c; c++) {
		const char *mark = strchr(marks, *c);

		if (mark)
			text_add(&escaped, names[mark - marks]);
		else
			text_add_char(&escaped, *c);
	}
	*out_value = template_text(arena_keep(call->arena, text_take(&escaped)));
	return 0;
}

static int call_js(struct template_value *out_value, const struct template_call *call, struct error *err)
{
	static const char plain[] = "\\'\"";
	static const char coded[] = "<>&=";
	AUTO(text_fini) struct text printed = { 0 };
	struct text escaped = { 0 };

	(void)err;
	for (size_t i = 0; i < call->count; i++)
		template_print(&printed, &call->args[i]);
	for (const char *c = printed.data ? printed.data : ""; *c; c++) {
		if (strchr(plain, *c))
			text_addf(&escaped, "\\%c", *c);
		else if (strchr(coded, *c) || (unsigned char)*c < ' ')
			text_addf(&escaped, "\\u%04X", (unsigned)(unsigned char)*c);
		else
			text_add_char(&escaped, *c);
	}
	*out_value = template_text(arena_keep(call->arena, text_take(&escaped)));
	return 0;
}

static const struct {
	const char *name;
	function call;
	size_t min;
	size_t max;
} functions[] = {
	{ "and", call_and_or, 1, SIZE_MAX },
	{ "or", call_and_or, 1, SIZE_MAX },
	{ "not", call_not, 1, 1 },
	{ "eq", call_eq, 1, SIZE_MAX },
	{ "ne", call_ne, 2, 2 },
	{ "lt", call_lt, 2, 2 },
	{ "le", call_le, 2, 2 },
	{ "gt", call_gt, 2, 2 },
	{ "ge", call_ge, 2, 2 },
	{ "len", call_len, 1, 1 },
	{ "index", call_index, 1, SIZE_MAX },
	{ "slice", call_slice, 1, 4 },
	{ "print", call_print, 0, SIZE_MAX },
	{ "println", call_println, 0, SIZE_MAX },
	{ "printf", call_printf, 1, SIZE_MAX },
	{ "json", call_json, 1, 1 },
	{ "join", call_join, 2, 2 },
	{ "split", call_split, 2, 2 },
	{ "lower", call_lower, 1, 1 },
	{ "upper", call_upper, 1, 1 },
	{ "title", call_title, 1, 1 },
	{ "pad", call_pad, 3, 3 },
	{ "truncate", call_truncate, 2, 2 },
	{ "urlquery", call_urlquery, 0, SIZE_MAX },
	{ "html", call_html, 0, SIZE_MAX },
	{ "js", call_js, 0, SIZE_MAX },
};

bool template_function_exists(const char *name)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (text_equal(functions[i].name, name))
			return true;
	return false;
}

int template_call(struct template_value *out_value, const char *name, const struct template_call *call,
		  struct error *err)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		if (!text_equal(functions[i].name, name))
			continue;
		if (call->count < functions[i].min || call->count > functions[i].max)
			return error_set(err, ERR_INVALID, "wrong number of args for %s: want %s%zu got %zu", name,
					 functions[i].max == SIZE_MAX ? "at least " : "", functions[i].min,
					 call->count);
		return functions[i].call(out_value, call, err);
	}
	return error_set(err, ERR_INVALID, "function \"%s\" not defined", name);
}
