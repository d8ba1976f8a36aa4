/* SPDX-License-Identifier: Apache-2.0 */
/* toml_tree.h - what a TOML document means: tables, arrays and values, inside of json/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

enum toml_kind { TOML_TABLE, TOML_ARRAY, TOML_VALUE };

struct toml_node {
	enum toml_kind kind;
	char *key;	/* in a table */
	char *raw;	/* of a value: its JSON text */
	bool closed;	/* was written out, or inline: cannot be opened once more */
	bool of_tables; /* an array made by [[name]] */
	struct toml_node **items;
	size_t count;
	size_t capacity;
};

struct toml_node *toml_node_new(enum toml_kind kind);
void toml_node_free(struct toml_node *node);
/* Takes the item; key (borrowed) only in tables. */
void toml_node_add(struct toml_node *node, const char *key, struct toml_node *item);
/* Borrowed, or NULL. */
struct toml_node *toml_node_find(const struct toml_node *table, const char *key);
void toml_node_encode(struct text *out, const struct toml_node *node);
/* A JSON string of these bytes. */
void toml_encode_text(struct text *out, const char *data, size_t size);
