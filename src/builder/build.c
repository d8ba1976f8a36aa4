/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/build.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/random.h"
#include "builder/build_private.h"
#include "builder/look.h"
#include "builder/origin.h"
#include "engine/engine.h"
#include "oci/reference.h"

static void build_fini(struct build *build)
{
	origin_free(build->origin);
	layer_writer_free(build->context);
	kept_context_free(build->kept);
	named_fini(build);
	layer_writer_free(build->definition);
	text_list_fini(&build->ignored);
	stages_fini(&build->stages);
	graph_fini(&build->graph);
	dockerfile_free(build->dockerfile);
	free(build->dockerfile_path);
	free(build->dockerfile_text);
	for (size_t i = 0; i < build->trigger_count; i++)
		dockerfile_free(build->triggers[i]);
	free(build->triggers);
	imported_steps_fini(&build->imported);
	text_list_fini(&build->consumed);
	lease_free(build->lease);
}

int build_check_allowed(const struct build *build, const char *entitlement, struct error *err)
{
	const struct text_list *allowed = build->options->allowed;

	if (!allowed || text_list_contains(allowed, entitlement))
		return 0;
	return error_set(err, ERR_FORBIDDEN, "%s is not allowed: build with --allow %s", entitlement, entitlement);
}

static int check_options(const struct build *build, struct error *err)
{
	const struct build_options *options = build->options;

	for (size_t i = 0; options->tags && i < options->tags->count; i++) {
		AUTO(reference_fini) struct reference reference = { 0 };

		if (reference_parse(&reference, options->tags->items[i], err) < 0)
			return error_prefix(err, "invalid tag \"%s\"", options->tags->items[i]);
		if (digest_is_set(&reference.digest))
			return error_set(err, ERR_INVALID, "invalid tag \"%s\": it has a digest",
					 options->tags->items[i]);
	}
	if (options->squash)
		return error_set(err, ERR_INVALID, "squash is only supported with experimental mode");
	if (options->host && text_equal(options->host->network_mode, "host"))
		return build_check_allowed(build, "network.host", err);
	return 0;
}

/* Set, but nobody asked: most likely a mistake. */
static void warn_unused(struct build *build)
{
	const struct text_map *args = build->options->args;
	AUTO(text_list_fini) struct text_list unused = { 0 };
	AUTO_FREE char *joined = NULL;

	for (size_t i = 0; args && i < args->count; i++)
		if (!text_list_contains(&build->consumed, args->items[i].key))
			text_list_add(&unused, args->items[i].key);
	if (unused.count == 0)
		return;
	text_list_sort(&unused);
	joined = text_list_join(&unused, " ");
	build_print(build, "[Warning] One or more build-args [%s] were not consumed\n", joined);
}

static void build_init(struct build *build, struct engine *engine, const struct build_options *options,
		       struct build_failure *failure)
{
	*failure = (struct build_failure){ 0 };
	*build = (struct build){
		.engine = engine, .store = engine_store(engine), .options = options, .failure = failure, .epoch_s = -1
	};
	build->lease = lease_new(build->store);
	build->started_ns = clock_wall_ns();
	random_hex(build->invocation, 16);
}

/* reproducible-builds.org: nothing in the result is younger than that. */
static int read_epoch(struct build *build, struct error *err)
{
	const struct text_map *args = build->options->args;
	const char *text = args ? text_map_get(args, "SOURCE_DATE_EPOCH") : NULL;

	text_list_add(&build->consumed, "BUILDKIT_INLINE_CACHE");
	if (text_empty(text))
		return 0;
	text_list_add(&build->consumed, "SOURCE_DATE_EPOCH");
	if (text_parse_i64(&build->epoch_s, text, 0, INT64_MAX / CLOCK_SECOND) < 0)
		return error_set(err, ERR_INVALID, "invalid SOURCE_DATE_EPOCH: %s", text);
	return 0;
}

int64_t build_clamp_ns(const struct build *build, int64_t wall_ns)
{
	int64_t latest_ns = build->epoch_s < 0 ? INT64_MAX : build->epoch_s * CLOCK_SECOND;

	return wall_ns < latest_ns ? wall_ns : latest_ns;
}

int64_t build_latest_s(const struct build *build)
{
	return build->options->clamp ? build->epoch_s : -1;
}

int build_solve(struct build *build, struct error *err)
{
	const struct build_options *options = build->options;

	if (check_options(build, err) < 0 || read_epoch(build, err) < 0 || named_load(build, err) < 0 ||
	    context_receive(build, err) < 0)
		return -1;
	if (stages_load(&build->stages, build->dockerfile, options->args, options->platform, options->target,
			&build->consumed, err) < 0)
		return -1;
	named_replace_stages(build);
	if (compile(build, err) < 0)
		return -1;
	if (options->watch && warn_findings(build, err) < 0)
		return -1;
	vertex_announce(build);
	if (inline_cache_import(build, err) < 0 || context_fetch(build, err) < 0 || solve(build, err) < 0)
		return -1;
	warn_unused(build);
	return 0;
}

int build_ask(struct build_view *out_view, struct build *build, const char *call, struct error *err)
{
	const struct build_options *options = build->options;
	AUTO_FREE char *ignored = NULL;

	if (context_receive(build, err) < 0)
		return -1;
	ignored = text_list_join(&build->ignored, "\n");
	return build_look(out_view, build->engine,
			  &(struct build_look){ .call = call,
						.dockerfile = build->dockerfile_text,
						.name = build->dockerfile_path,
						.ignored = ignored,
						.args = options->args,
						.platform = options->platform,
						.target = options->target },
			  err);
}

int build_run(struct digest *out_id, struct build_failure *out_failure, struct engine *engine,
	      const struct build_options *options, struct error *err)
{
	AUTO(build_fini) struct build build = { 0 };

	build_init(&build, engine, options, out_failure);
	return build_solve(&build, err) < 0 ? -1 : export_image(out_id, &build, options->tags, NULL, err);
}

struct build *build_new(struct engine *engine, const struct build_options *options, struct build_failure *failure)
{
	struct build *build = xcalloc(1, sizeof(*build));

	build_init(build, engine, options, failure);
	return build;
}

void build_free(struct build *build)
{
	if (!build)
		return;
	build_fini(build);
	free(build);
}

int build_export(struct digest *out_id, struct build *build, const struct text_list *tags,
		 const struct text_map *annotations, struct error *err)
{
	return export_image(out_id, build, tags, annotations, err);
}

const char *build_dockerfile(const struct build *build, const char **out_path)
{
	*out_path = build->dockerfile_path;
	return build->dockerfile_text;
}
