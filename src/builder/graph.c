/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/graph.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "builder/origin.h"

struct node *graph_add(struct graph *graph, enum node_kind kind, struct node *input)
{
	struct node *node = xcalloc(1, sizeof(*node));

	node->kind = kind;
	node->input = input;
	graph->nodes = xgrow(graph->nodes, &graph->capacity, graph->count + 1, sizeof(*graph->nodes));
	graph->nodes[graph->count++] = node;
	return node;
}

bool node_dependency(struct node **out_node, const struct node *node, size_t index)
{
	const struct node *content;

	if (index == 0) {
		*out_node = node->input;
	} else if (index == 1) {
		*out_node = node->copy.source;
	} else if (index - 2 < node->exec.mount_count) {
		content = node->exec.mounts[index - 2].content;
		*out_node = content ? content->copy.source : NULL;
	} else {
		return false;
	}
	return true;
}

static void exec_fini(struct exec_data *exec)
{
	text_list_fini(&exec->args);
	text_list_fini(&exec->env);
	text_list_fini(&exec->hidden);
	free(exec->user);
	free(exec->workdir);
	free(exec->network);
	free(exec->script);
	free(exec->script_name);
	free(exec->shown);
	for (size_t i = 0; i < exec->mount_count; i++) {
		free(exec->mounts[i].target);
		free(exec->mounts[i].id);
		free(exec->mounts[i].variable);
	}
	free(exec->mounts);
}

static void copy_fini(struct copy_data *copy)
{
	text_list_fini(&copy->sources);
	text_list_fini(&copy->bodies);
	text_list_fini(&copy->excludes);
	free(copy->destination);
	free(copy->chown);
	free(copy->chmod);
	origin_free(copy->origin);
	if (copy->more) {
		copy_fini(copy->more);
		free(copy->more);
	}
}

void graph_fini(struct graph *graph)
{
	for (size_t i = 0; i < graph->count; i++) {
		struct node *node = graph->nodes[i];

		free(node->description);
		free(node->shown);
		exec_fini(&node->exec);
		copy_fini(&node->copy);
		free(node->path);
		free(node->owner);
		build_result_fini(&node->result);
		error_clear(&node->problem);
		free(node->container);
		text_list_fini(&node->printed);
		free(node);
	}
	free(graph->nodes);
	*graph = (struct graph){ 0 };
}
