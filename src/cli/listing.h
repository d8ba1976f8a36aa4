/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing.h - what ps, images, volume ls and their like print: rows of named
 * fields through --format (table, "table TEMPLATE", json, TEMPLATE).
 *
 * A listing is described by its columns: field name and title. Rows are made
 * by the command, which fills every field.
 */
#pragma once

#include "base/error.h"
#include "cli/template.h"

struct listing_column {
	const char *field;
	const char *title;
};

struct listing {
	const struct listing_column *columns; /* ends with field NULL (borrowed) */
	const char *type_name;		      /* Go's, for messages */
	char *format;			      /* resolved: "table ...", "json" or a template (owned) */
	struct template_row *rows;
	size_t count;
	size_t capacity;
};

/* format: --format, or "" for default_table; a table format may be only the word "table". */
void listing_init(struct listing *listing, const struct listing_column *columns, const char *type_name,
		  const char *format, const char *default_table);
/* A new row (borrowed); text_map_set() its fields. */
struct template_row *listing_add(struct listing *listing);
void listing_set(struct template_row *row, const char *field, const char *value);
void listing_set_take(struct template_row *row, const char *field, char *value);
/* Prints to stdout. */
int listing_print(const struct listing *listing, struct error *err);
void listing_fini(struct listing *listing);
/* true if the format names the field: some are costly to ask for. */
bool listing_uses(const struct listing *listing, const char *field);
/* The same, but true too if the format may use all fields: json, {{.}}, variables. */
bool listing_may_use(const struct listing *listing, const char *field);
/* "a=1,b=2" of an object, sorted. */
char *listing_labels(const struct json_value *labels);
/* --format's \t and \n written as two characters. */
char *listing_unescape(const char *format);
