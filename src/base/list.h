/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.h - doubly linked list threaded through its members.
 *
 * Embed a struct list_node in the member; an initialised struct list is a ring
 * that holds the head. The list owns nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list_node {
	struct list_node *next;
	struct list_node *previous;
};

struct list {
	struct list_node head;
};

/* The struct that holds this node as `member`. */
#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* Visits each node; the current one may be removed. */
#define LIST_FOR_EACH(node, list)                                                                                      \
	for (struct list_node *node = (list)->head.next, *node##_next = node->next; node != &(list)->head;             \
	     node = node##_next, node##_next = node->next)

static inline void list_init(struct list *list)
{
	list->head.next = &list->head;
	list->head.previous = &list->head;
}

static inline bool list_empty(const struct list *list)
{
	return list->head.next == &list->head;
}

static inline void list_insert_before(struct list_node *place, struct list_node *node)
{
	node->next = place;
	node->previous = place->previous;
	place->previous->next = node;
	place->previous = node;
}

static inline void list_add_last(struct list *list, struct list_node *node)
{
	list_insert_before(&list->head, node);
}

static inline struct list_node *list_first(const struct list *list)
{
	return list_empty(list) ? NULL : list->head.next;
}

/* Harmless for a node that is in no list (all zero). */
static inline void list_remove(struct list_node *node)
{
	if (!node->next)
		return;
	node->previous->next = node->next;
	node->next->previous = node->previous;
	node->next = NULL;
	node->previous = NULL;
}
