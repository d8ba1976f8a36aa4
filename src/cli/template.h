/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - Go's text/template, as far as docker's --format uses it.
 *
 * Actions, pipelines, variables, if/else if/with/range (else, break, continue),
 * trimming, comments, comparison and docker's own functions (json, join, split,
 * upper, lower, title, pad, truncate); define, template, block.
 * Parse once, run for each row. Values borrow what they point to; what a run
 * makes lives until the run ends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "json/value.h"

/* One line of a listing: named texts, in the order they were set. */
struct template_row {
	struct text_map fields;
	const struct json_value *labels; /* for .Label "key"; may be NULL (borrowed) */
	const char *flag;		 /* the field that is true or false, not a text; may be NULL (borrowed) */
	const char *type_name;		 /* for messages: "*formatter.ContainerContext" */
};

enum template_kind {
	TEMPLATE_NO_VALUE, /* "<no value>" */
	TEMPLATE_NIL,
	TEMPLATE_BOOL,
	TEMPLATE_INTEGER,
	TEMPLATE_REAL,
	TEMPLATE_TEXT,
	TEMPLATE_JSON, /* array or object */
	TEMPLATE_LIST, /* of texts */
	TEMPLATE_ROW
};

struct template_value {
	enum template_kind kind;
	const char *key; /* the JSON key it came from: tells a nil map from a nil list (borrowed) */
	union {
		bool boolean;
		int64_t integer;
		double real;
		const char *text;
		const struct json_value *json;
		const struct text_list *list;
		const struct template_row *row;
	};
};

enum template_flags {
	TEMPLATE_HEADER = 1 /* docker's functions leave column titles as they are */
};

struct template;

/* ERR_INVALID with Go's words. */
int template_parse(struct template **out_template, const char *source, struct error *err);
void template_free(struct template *template);
DEFINE_AUTO(struct template, template_free)
/* Adds to `out`; on failure what was written before stays in it, as in Go. */
int template_run(const struct template *template, struct text *out, struct template_value data, unsigned flags,
		 struct error *err);

struct template_value template_value_of_json(const struct json_value *json, const char *key);
struct template_value template_value_of_row(const struct template_row *row);
/* As Go's %v prints it. */
void template_print(struct text *out, const struct template_value *value);
/* As docker's json function prints it. */
void template_print_json(struct text *out, const struct template_value *value);
/* The row as one JSON object, keys sorted. */
void template_row_json(struct text *out, const struct template_row *row);
