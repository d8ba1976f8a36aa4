/* SPDX-License-Identifier: Apache-2.0 */
#include "json/toml_tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct toml_node *toml_node_new(enum toml_kind kind)
{
	struct toml_node *node = xcalloc(1, sizeof(*node));

	node->kind = kind;
	return node;
}

void toml_node_free(struct toml_node *node)
{
	if (!node)
		return;
	for (size_t i = 0; i < node->count; i++)
		toml_node_free(node->items[i]);
	free(node->items);
	free(node->key);
	free(node->raw);
	free(node);
}

void toml_node_add(struct toml_node *node, const char *key, struct toml_node *item)
{
	if (node->count == node->capacity) {
		node->capacity = node->capacity ? node->capacity * 2 : 8;
		node->items = xrealloc(node->items, node->capacity * sizeof(struct toml_node *));
	}
	item->key = xstrdup(key);
	node->items[node->count++] = item;
}

struct toml_node *toml_node_find(const struct toml_node *table, const char *key)
{
	for (size_t i = 0; i < table->count; i++)
		if (text_equal(table->items[i]->key, key))
			return table->items[i];
	return NULL;
}

void toml_encode_text(struct text *out, const char *data, size_t size)
{
	text_add_char(out, '"');
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)data[i];

		if (c == '"' || c == '\\')
			text_addf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			text_addf(out, "\\u%04x", c);
		else
			text_add_char(out, (char)c);
	}
	text_add_char(out, '"');
}

void toml_node_encode(struct text *out, const struct toml_node *node)
{
	bool table = node->kind == TOML_TABLE;

	if (node->kind == TOML_VALUE) {
		text_add(out, node->raw);
		return;
	}
	text_add_char(out, table ? '{' : '[');
	for (size_t i = 0; i < node->count; i++) {
		if (i)
			text_add_char(out, ',');
		if (table) {
			toml_encode_text(out, node->items[i]->key, strlen(node->items[i]->key));
			text_add_char(out, ':');
		}
		toml_node_encode(out, node->items[i]);
	}
	text_add_char(out, table ? '}' : ']');
}
