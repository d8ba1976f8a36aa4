/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_tree.h - inside the template files only: the parsed form, values of
 * a run, and the functions a template may call.
 */
#pragma once

#include "cli/template.h"

#define TEMPLATE_DEPTH_MAX 64

enum node_kind {
	NODE_LIST,   /* items: what to do in order */
	NODE_TEXT,   /* text */
	NODE_ACTION, /* items[0]: pipe */
	NODE_IF,     /* items: pipe, list, else-list or NULL */
	NODE_WITH,
	NODE_RANGE,
	NODE_TEMPLATE, /* text: name; items: pipe or none */
	NODE_DEFINE,   /* text: name; items: list */
	NODE_BREAK,
	NODE_CONTINUE,
	NODE_PIPE,     /* names: variables; items: commands; assign: "=" instead of ":=" */
	NODE_COMMAND,  /* items: operands */
	NODE_DOT,      /* names: fields behind it */
	NODE_VARIABLE, /* text: "$x", names: fields */
	NODE_FUNCTION, /* text */
	NODE_PAREN,    /* items[0]: pipe, names: fields */
	NODE_CONSTANT  /* constant */
};

struct node {
	enum node_kind kind;
	size_t position; /* in the source, for messages */
	size_t start;	 /* the source text it was read from: start..end */
	size_t end;
	bool assign;
	char *text;
	struct text_list names;
	struct template_value constant;
	struct node **items;
	size_t count;
	size_t capacity;
};

struct template
{
	char *source;
	struct node *root;
	struct node *definitions; /* items: NODE_DEFINE, the last of a name counts */
};

struct node *node_new(enum node_kind kind, size_t position);
void node_add(struct node *parent, struct node *child);
void node_free(struct node *node);
DEFINE_AUTO(struct node, node_free)

/* What a run allocates, until its end. */
struct template_arena {
	struct text_list texts;
	struct text_list **lists;
	size_t count;
	size_t capacity;
};

const char *arena_keep(struct template_arena *arena, char *text_owned);
struct text_list *arena_list(struct template_arena *arena);
void arena_fini(struct template_arena *arena);

struct template_call {
	struct template_arena *arena;
	const struct template_value *args;
	size_t count;
	unsigned flags;
};

bool template_truth(const struct template_value *value);
bool template_function_exists(const char *name);
/* err gets the reason without a place. */
int template_call(struct template_value *out_value, const char *name, const struct template_call *call,
		  struct error *err);
int template_index(struct template_value *out_value, const struct template_value *value,
		   const struct template_value *key, struct error *err);
/* Whether a member may be absent: pointers the engine leaves out, keys of maps; *out_value is what stands for it. */
bool template_may_lack(const char *map_key, const char *name, struct template_value *out_value);
size_t template_length(const struct template_value *value);
struct template_value template_text(const char *text);
struct template_value template_integer(int64_t integer);
struct template_value template_boolean(bool boolean);
/* printf of Go, in template_printf.c. */
void template_printf(struct text *out, const struct template_value *args, size_t count);
