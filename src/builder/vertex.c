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
	if (build->vertex == vertex)
		build->vertex = NULL;
	tell(build, vertex);
}

void vertex_announce(struct build *build)
{
	for (size_t i = 0; build->options->watch && i < build->graph.count; i++) {
		struct node *node = build->graph.nodes[i];
		struct build_vertex vertex = { .name = node->shown };

		if (!node->shown)
			continue;
		set_id(build, &vertex, node->shown, i + ((size_t)1 << 32));
		memcpy(node->id, vertex.id, sizeof(node->id));
		tell(build, &vertex);
	}
}

static struct build_vertex vertex_of(const struct node *node)
{
	struct build_vertex vertex = { .name = node->shown };

	memcpy(vertex.id, node->id, sizeof(vertex.id));
	return vertex;
}

void vertex_begin_node(struct build *build, struct build_vertex *vertex, const struct node *node)
{
	*vertex = (struct build_vertex){ 0 };
	if (!*node->id)
		return;
	*vertex = vertex_of(node);
	vertex->started_ns = clock_wall_ns();
	tell(build, vertex);
}

void vertex_cached_node(struct build *build, const struct node *node)
{
	struct build_vertex vertex;

	if (!*node->id)
		return;
	vertex = vertex_of(node);
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
