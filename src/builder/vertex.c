/* SPDX-License-Identifier: Apache-2.0 */
/* Progress in BuildKit's words: operations ("vertices"), their parts and what they print. */
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "builder/build_private.h"
#include "oci/hasher.h"

static void tell(const struct build *build, const struct build_vertex *vertex)
{
	const struct build_watch *watch = build->options->watch;

	watch->vertex(watch->arg, vertex);
}

/* Builds that run side by side are shown together by one client: no two have an id in common. */
static void set_id(struct build *build, struct build_vertex *vertex, const char *name, size_t number)
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA256);
	struct digest digest;

	if (!build->vertex_seed)
		random_bytes(&build->vertex_seed, sizeof(build->vertex_seed));
	hasher_add(hasher, &build->vertex_seed, sizeof(build->vertex_seed));
	hasher_add(hasher, name, strlen(name) + 1);
	hasher_add(hasher, &number, sizeof(number));
	hasher_digest(hasher, &digest);
	digest_text(&digest, vertex->id);
}

void vertex_begin(struct build *build, struct build_vertex *vertex, const char *name)
{
	*vertex = (struct build_vertex){ .name = name };
	if (!build->options->watch)
		return;
	set_id(build, vertex, name, ++build->vertex_count);
	vertex->started_ns = clock_wall_ns();
	build->vertex = vertex;
	tell(build, vertex);
}

void vertex_end(struct build *build, struct build_vertex *vertex, const struct error *err)
{
	if (!build->options->watch || !vertex->name)
		return;
	vertex->completed_ns = clock_wall_ns();
	if (err)
		vertex->error = err->kind == ERR_CANCELED ? "context canceled" : err->message;
	build->vertex = NULL;
	tell(build, vertex);
}

/* A node keeps its place in the graph, so its id is the same whenever it is told of. */
static void node_vertex(struct build *build, struct build_vertex *vertex, const struct node *node)
{
	size_t index = 0;

	*vertex = (struct build_vertex){ .name = node->shown };
	while (index < build->graph.count && build->graph.nodes[index] != node)
		index++;
	if (node->shown)
		set_id(build, vertex, node->shown, index + ((size_t)1 << 32));
}

void vertex_announce(struct build *build)
{
	struct build_vertex vertex;

	for (size_t i = 0; build->options->watch && i < build->graph.count; i++) {
		node_vertex(build, &vertex, build->graph.nodes[i]);
		if (vertex.name)
			tell(build, &vertex);
	}
}

void vertex_begin_node(struct build *build, struct build_vertex *vertex, const struct node *node)
{
	*vertex = (struct build_vertex){ 0 };
	if (!build->options->watch || !node->shown)
		return;
	node_vertex(build, vertex, node);
	vertex->started_ns = clock_wall_ns();
	build->vertex = vertex;
	tell(build, vertex);
}

void vertex_cached_node(struct build *build, const struct node *node)
{
	struct build_vertex vertex;

	if (!build->options->watch || !node->shown)
		return;
	node_vertex(build, &vertex, node);
	vertex.started_ns = clock_wall_ns();
	vertex.completed_ns = vertex.started_ns;
	vertex.cached = true;
	tell(build, &vertex);
}

void vertex_part(struct build *build, const char *name, int64_t started_ns, int64_t current, bool completed)
{
	const struct build_watch *watch = build->options->watch;
	const struct build_progress progress = {
		.vertex = build->vertex ? build->vertex->id : NULL,
		.name = name,
		.current = current,
		.started_ns = started_ns,
		.completed_ns = completed ? clock_wall_ns() : 0,
	};

	if (watch && progress.vertex)
		watch->progress(watch->arg, &progress);
}
