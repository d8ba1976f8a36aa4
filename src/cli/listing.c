/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/listing.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/colour.h"
#include "cli/table.h"

void listing_init(struct listing *listing, const struct listing_column *columns, const char *type_name,
		  const char *format, const char *default_table)
{
	*listing = (struct listing){ .columns = columns, .type_name = type_name };
	if (text_empty(format) || text_equal(format, "table"))
		listing->format = xstrdup(default_table);
	else
		listing->format = xstrdup(format);
}

void listing_fini(struct listing *listing)
{
	for (size_t i = 0; i < listing->count; i++)
		text_map_fini(&listing->rows[i].fields);
	free(listing->rows);
	free(listing->format);
	*listing = (struct listing){ 0 };
}

struct template_row *listing_add(struct listing *listing)
{
	struct template_row *row;

	listing->rows = xgrow(listing->rows, &listing->capacity, listing->count + 1, sizeof(*listing->rows));
	row = &listing->rows[listing->count++];
	*row = (struct template_row){ .type_name = listing->type_name };
	return row;
}

void listing_set(struct template_row *row, const char *field, const char *value)
{
	text_map_set(&row->fields, field, text_or_empty(value));
}

void listing_set_take(struct template_row *row, const char *field, char *value)
{
	text_map_set(&row->fields, field, value);
	free(value);
}

bool listing_uses(const struct listing *listing, const char *field)
{
	size_t size = strlen(field);

	for (const char *at = listing->format; (at = strstr(at, field)); at += size)
		if (at > listing->format && at[-1] == '.' && !isalnum((unsigned char)at[size]))
			return true;
	return false;
}

/* A dot with no name behind it is the whole row. */
static bool uses_row(const char *format)
{
	if (text_equal(format, "json") || strchr(format, '$'))
		return true;
	for (const char *open = format; (open = strstr(open, "{{")); open += 2)
		for (const char *c = open + 2; *c && !(c[0] == '}' && c[1] == '}'); c++)
			if (*c == '.' && !isalnum((unsigned char)c[1]))
				return true;
	return false;
}

bool listing_may_use(const struct listing *listing, const char *field)
{
	return uses_row(listing->format) || listing_uses(listing, field);
}

char *listing_labels(const struct json_value *labels)
{
	AUTO(text_list_fini) struct text_list pairs = { 0 };
	AUTO(text_list_fini) struct text_list keys = { 0 };

	json_value_keys(&keys, labels, true);
	for (size_t i = 0; i < keys.count; i++)
		text_list_addf(&pairs, "%s=%s", keys.items[i],
			       text_or_empty(json_value_text(json_value_get(labels, keys.items[i]))));
	text_list_sort(&pairs);
	return text_list_join(&pairs, ",");
}

char *listing_unescape(const char *format)
{
	struct text out = { 0 };

	for (; *format; format++) {
		if (format[0] == '\\' && (format[1] == 't' || format[1] == 'n'))
			text_add_char(&out, *++format == 't' ? '\t' : '\n');
		else
			text_add_char(&out, *format);
	}
	return text_take(&out);
}

static int print_json(const struct listing *listing)
{
	for (size_t i = 0; i < listing->count; i++) {
		AUTO(text_fini) struct text line = { 0 };

		template_row_json(&line, &listing->rows[i]);
		puts(line.data);
	}
	return 0;
}

static char *trim_spaces(char *text)
{
	size_t size;

	while (*text == ' ')
		text++;
	size = strlen(text);
	while (size > 0 && text[size - 1] == ' ')
		text[--size] = '\0';
	return text;
}

/* The line of titles: the same template over a row that holds them. */
static void add_titles(const struct listing *listing, const struct template *template, struct text *out)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct template_row titles = { .type_name = listing->type_name };

	for (const struct listing_column *column = listing->columns; column->field; column++)
		text_map_set(&titles.fields, column->field, column->title);
	template_run(template, out, template_value_of_row(&titles), TEMPLATE_HEADER, &ignored);
	text_add_char(out, '\n');
	text_map_fini(&titles.fields);
}

static void print_table(const struct listing *listing, const char *source)
{
	AUTO(text_fini) struct text table = { 0 };
	AUTO(text_fini) struct text coloured = { 0 };
	AUTO(text_list_fini) struct text_list statuses = { 0 };

	table_format(&table, source, TABLE_DOCKER);
	if (colour_wanted(STDOUT_FILENO)) {
		for (size_t i = 0; i < listing->count; i++)
			text_list_add(&statuses, text_or_empty(text_map_get(&listing->rows[i].fields, "Status")));
		colour_table(&coloured, text_or_empty(table.data), &statuses);
	}
	fputs(text_or_empty(coloured.data ? coloured.data : table.data), stdout);
}

int listing_print(const struct listing *listing, struct error *err)
{
	bool is_table = text_has_prefix(listing->format, "table");
	AUTO_FREE char *source = listing_unescape(listing->format + (is_table ? 5 : 0));
	AUTO(template_freep) struct template *template = NULL;
	AUTO(text_fini) struct text out = { 0 };

	if (text_equal(listing->format, "json"))
		return print_json(listing);
	if (template_parse(&template, trim_spaces(source), err) < 0)
		return error_prefix(err, "template parsing error");
	if (is_table)
		add_titles(listing, template, &out);
	for (size_t i = 0; i < listing->count; i++) {
		if (template_run(template, &out, template_value_of_row(&listing->rows[i]), 0, err) < 0)
			return error_prefix(err, "template parsing error");
		text_add_char(&out, '\n');
	}
	if (is_table)
		print_table(listing, text_or_empty(out.data));
	else
		fputs(text_or_empty(out.data), stdout);
	return 0;
}
