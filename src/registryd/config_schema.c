/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/config_schema.h"

#include "base/alloc.h"

static void add_object(struct text *out, const struct json_field *fields, int depth);

static void add_margin(struct text *out, int depth)
{
	text_addf(out, "\n%*s", depth * 2, "");
}

static const char *plain_type(const struct json_field *field)
{
	switch (field->kind) {
	case JSON_KIND_BOOL:
	case JSON_KIND_OPT_BOOL:
		return "\"type\": \"boolean\"";
	case JSON_KIND_TEXT:
		return "\"type\": \"string\"";
	case JSON_KIND_TEXT_MAP:
		return "\"type\": \"object\", \"additionalProperties\": { \"type\": \"string\" }";
	case JSON_KIND_TEXT_LIST:
		return field->flags & JSON_TEXT_OR_LIST
			       ? "\"type\": [\"string\", \"array\"], \"items\": { \"type\": \"string\" }"
			       : "\"type\": \"array\", \"items\": { \"type\": \"string\" }";
	default:
		return "\"type\": \"integer\"";
	}
}

static void add_value(struct text *out, const struct json_field *field, int depth)
{
	if (field->kind == JSON_KIND_OBJECT || field->kind == JSON_KIND_POINTER) {
		add_object(out, field->fields, depth);
	} else if (field->kind == JSON_KIND_ARRAY) {
		text_add(out, "{ \"type\": \"array\", \"items\": ");
		add_object(out, field->fields, depth);
		text_add(out, " }");
	} else {
		text_addf(out, "{ %s }", plain_type(field));
	}
}

static void add_required(struct text *out, const struct json_field *fields, int depth)
{
	const char *before = "";

	for (const struct json_field *field = fields; field->kind != JSON_KIND_END; field++) {
		if (!(field->flags & JSON_REQUIRED))
			continue;
		if (!*before) {
			text_add(out, ",");
			add_margin(out, depth + 1);
			text_add(out, "\"required\": [");
		}
		text_addf(out, "%s\"%s\"", before, field->name);
		before = ", ";
	}
	if (*before)
		text_add(out, "]");
}

static void add_members(struct text *out, const struct json_field *fields, int depth)
{
	text_add(out, "\"type\": \"object\", \"additionalProperties\": false,");
	add_margin(out, depth + 1);
	text_add(out, "\"properties\": {");
	for (const struct json_field *field = fields; field->kind != JSON_KIND_END; field++) {
		if (field != fields)
			text_add(out, ",");
		add_margin(out, depth + 2);
		text_addf(out, "\"%s\": ", field->name);
		add_value(out, field, depth + 2);
	}
	add_margin(out, depth + 1);
	text_add(out, "}");
	add_required(out, fields, depth);
	add_margin(out, depth);
	text_add(out, "}");
}

static void add_object(struct text *out, const struct json_field *fields, int depth)
{
	text_add(out, "{ ");
	add_members(out, fields, depth);
}

char *config_schema(const char *title, const struct json_field *fields)
{
	struct text out = { 0 };

	text_addf(&out, "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"title\": \"%s\",\n  ",
		  title);
	add_members(&out, fields, 0);
	text_add(&out, "\n");
	return text_take(&out);
}
