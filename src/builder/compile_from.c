/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/alloc.h"
#include "builder/build_private.h"
#include "engine/image_use.h"
#include "oci/reference.h"
#include "json/value.h"

/* ---- images ---- */

/* Another machine's programs may run here too, but it is this one's that were asked for. */
static bool fits(const struct image_ready *image, const struct platform *wanted)
{
	AUTO(platform_fini) struct platform offered = { 0 };

	image_config_platform(&image->config, &offered);
	return text_equal(offered.architecture, wanted->architecture) &&
	       platform_rank(wanted, &offered, PLATFORM_RUNNABLE) >= 0;
}

char *build_auth(const struct build *build, const char *name)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(json_value_freep) struct json_value *config = NULL;
	AUTO(reference_fini) struct reference reference = { 0 };
	const char *text = build->options->registry_config;
	const struct build_client *client = build->options->client;
	const struct json_value *auth;
	struct text out = { 0 };

	if (client && client->credentials && reference_parse(&reference, name, &ignored) == 0)
		return client->credentials(client->arg, reference.domain, build->options->cancel_fd);
	if (text_empty(text) || reference_parse(&reference, name, &ignored) < 0 ||
	    json_value_parse(&config, text, strlen(text), &ignored) < 0)
		return NULL;
	auth = json_value_get(config, reference_auth_key(reference.domain));
	if (!auth)
		auth = json_value_get(config, reference.domain);
	if (!auth)
		return NULL;
	json_value_encode(&out, auth, NULL);
	return text_take(&out);
}

int compile_pull(struct build *build, const char *name, const char *platform, struct error *err)
{
	AUTO_FREE char *auth = build_auth(build, name);
	const struct image_pull_options options = {
		.image = name,
		.tag = "",
		.platform = platform,
		.auth = auth,
		.registry = build->options->registry,
		.progress = build->options->quiet ? NULL : build->options->send,
		.progress_arg = build->options->send_arg,
		.cancel_fd = build->options->cancel_fd,
	};

	return image_pull(build->engine, &options, err);
}

static bool is_id(const char *name)
{
	return text_has_prefix(name, "sha256:");
}

static int resolve(struct image_ready *image, struct build *build, const char *name, const char *platform,
		   struct error *err)
{
	AUTO(error_clear) struct error missing = { 0 };
	AUTO(platform_fini) struct platform wanted = { 0 };
	bool asked = !text_empty(platform) || !text_empty(build->options->platform);
	int r;

	if (text_empty(platform))
		platform_copy(&wanted, &build->stages.platform);
	else if (platform_parse(&wanted, platform, err) < 0)
		return -1;
	if (!build->options->pull || is_id(name)) {
		r = image_resolve(image, build->engine, name, &missing);
		if (r == 0 && (!asked || fits(image, &wanted)))
			return 0;
		if (r < 0 && missing.kind != ERR_NOT_FOUND)
			return error_move(err, &missing);
		image_ready_fini(image);
		*image = (struct image_ready){ 0 };
	}
	if (compile_pull(build, name, text_empty(platform) ? build->options->platform : platform, err) < 0)
		return -1;
	return image_resolve(image, build->engine, name, err);
}

/* "docker.io/library/debian:12" */
static char *full_name(const char *name)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };

	if (reference_parse(&reference, name, &ignored) < 0)
		return xstrdup(name);
	reference_default_tag(&reference);
	return reference_format(&reference);
}

static int resolve_shown(struct image_ready *image, struct build *build, const char *name, const char *platform,
			 struct error *err)
{
	AUTO_FREE char *full = full_name(name);
	AUTO_FREE char *shown = xasprintf("[internal] load metadata for %s", full);
	struct build_vertex vertex;
	int r;

	vertex_begin(build, &vertex, shown);
	r = resolve(image, build, name, platform, err);
	if (r == 0)
		image_use_note(build->engine, image->id);
	vertex_end(build, &vertex, r < 0 ? err : NULL);
	return r;
}

int compile_image(struct node **out_node, struct image_ready *out_image, struct build *build, const char *name,
		  const char *platform, struct error *err)
{
	struct image_ready image = { 0 };
	struct node *node;

	if (resolve_shown(&image, build, name, platform, err) < 0) {
		image_ready_fini(&image);
		return -1;
	}
	node = graph_add(&build->graph, NODE_IMAGE, NULL);
	node->description = xasprintf("FROM %s", name);
	node->chain_id = image.chain_id;
	if (digest_is_set(&image.chain_id))
		lease_add(build->lease, &image.chain_id);
	if (digest_parse(&node->image_id, image.id, err) < 0) {
		image_ready_fini(&image);
		return -1;
	}
	lease_add(build->lease, &node->image_id);
	*out_node = node;
	if (out_image)
		*out_image = image;
	else
		image_ready_fini(&image);
	return 0;
}

/* ---- FROM ---- */

static void start_from_stage(struct stage *stage)
{
	const struct stage *base = stage->base;

	json_copy_fields(&stage->config, &base->config, image_config_fields);
	text_map_copy(&stage->args, &base->args);
	text_list_add_all(&stage->declared, &base->declared);
	stage->base_image = base->base_image;
	stage->rootfs = base->rootfs;
}

static void start_from_scratch(struct build *build, struct stage *stage)
{
	const struct platform *platform = &build->stages.platform;

	stage->config.architecture = xstrdup(platform->architecture);
	stage->config.os = xstrdup(platform->os);
	stage->config.variant = xstrdup(platform->variant);
	stage->config.config.working_dir = xstrdup("/");
	stage->rootfs = graph_add(&build->graph, NODE_SCRATCH, NULL);
	stage->rootfs->description = xstrdup("FROM scratch");
}

static int start_from_image(struct build *build, struct stage *stage, struct error *err)
{
	AUTO_FREE char *full = NULL;
	AUTO_FREE char *shown = NULL;
	const struct named_context *named = named_find(build, stage->base_name);
	const char *name = named ? named->image : stage->base_name;
	struct image_ready image = { 0 };

	if (!name)
		return error_set(err, ERR_UNSUPPORTED, "FROM %s: a folder as base is not supported", stage->base_name);
	if (compile_image(&stage->rootfs, &image, build, name, stage->platform_text, err) < 0)
		return -1;
	json_copy_fields(&stage->config, &image.config, image_config_fields);
	full = full_name(name);
	shown = xasprintf("FROM %s", full);
	compiler_show(build, stage, stage->rootfs, shown);
	stage->base_image = stage->rootfs->image_id;
	image_ready_fini(&image);
	return 0;
}

int compile_from(struct build *build, struct stage *stage, struct error *err)
{
	struct step *step = stage_add_step(stage, stage->from->original);

	if (stage->base)
		start_from_stage(stage);
	else if (text_equal(stage->base_name, "scratch"))
		start_from_scratch(build, stage);
	else if (start_from_image(build, stage, err) < 0)
		return -1;
	step->node = stage->rootfs;
	if (!text_list_env(&stage->config.config.env, "PATH"))
		text_list_set_env(&stage->config.config.env, "PATH", STAGE_DEFAULT_PATH);
	return 0;
}
