/* SPDX-License-Identifier: Apache-2.0 */
/* The SLSA predicate of a build, in BuildKit's words: v0.2, or v1 with the same parts in other places. */
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/quote.h"
#include "builder/attestation.h"
#include "builder/build_private.h"
#include "oci/manifest.h"
#include "store/image_name.h"
#include "store/image_record.h"

#define BUILD_TYPE "https://mobyproject.org/buildkit@v1"
#define BUILD_TYPE_1 "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"

static void add_text(struct text *json, const char *text)
{
	quote_json(json, text_or_empty(text), strlen(text_or_empty(text)));
}

/* "key": with a comma before it, unless it is the object's first. */
static void add_key(struct text *json, const char *key)
{
	char last = json->size ? json->data[json->size - 1] : '\0';

	if (last != '{' && last != '[')
		text_add_char(json, ',');
	add_text(json, key);
	text_add_char(json, ':');
}

static void add_pair(struct text *json, const char *key, const char *value)
{
	add_key(json, key);
	add_text(json, value);
}

/* ---- materials ---- */

/* Under which digest its registry gave the image: the list's, if it came from one. */
static void find_digest(struct digest *out_digest, const struct build *build, const struct digest *id, const char *name)
{
	AUTO(image_name_list_fini) struct image_name_list names = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *repository = NULL;
	struct image_record record;

	*out_digest = *id;
	if (image_record_find(&record, build->store, id, &ignored) > 0 && digest_is_set(&record.manifest))
		*out_digest = record.manifest;
	if (reference_parse(&reference, name, &ignored) < 0 ||
	    image_name_list_load(&names, build->store, id, &ignored) < 0)
		return;
	repository = reference_name(&reference);
	for (size_t i = 0; i < names.count; i++)
		if (names.items[i].is_digest && text_equal(names.items[i].repository, repository)) {
			digest_parse(out_digest, strchr(names.items[i].name, '@') + 1, &ignored);
			return;
		}
}

static const char *image_of(const struct node *node)
{
	const char *name = node->kind == NODE_IMAGE ? text_after(node->description, "FROM ") : NULL;

	return name && node->state == NODE_SOLVED ? name : NULL;
}

static bool is_repeated(const struct build *build, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (image_of(build->graph.nodes[i]) &&
		    text_equal(image_of(build->graph.nodes[i]), image_of(build->graph.nodes[index])))
			return true;
	return false;
}

static void add_materials(struct text *json, const struct build *build)
{
	AUTO_FREE char *platform = platform_format(&build->stages.platform);

	text_add_char(json, '[');
	for (size_t i = 0; i < build->graph.count; i++) {
		const struct node *node = build->graph.nodes[i];
		AUTO_FREE char *purl = NULL;
		char hex[DIGEST_TEXT_MAX];
		struct digest digest;

		if (!image_of(node) || is_repeated(build, i))
			continue;
		find_digest(&digest, build, &node->image_id, image_of(node));
		purl = attestation_purl(image_of(node), platform);
		text_add(json, json->data[json->size - 1] == '[' ? "{" : ",{");
		add_pair(json, "uri", purl);
		text_addf(json, ",\"digest\":{\"%s\":\"%s\"}}", digest.algorithm == DIGEST_SHA512 ? "sha512" : "sha256",
			  digest_hex(&digest, hex));
	}
	text_add_char(json, ']');
}

/* ---- what was asked for ---- */

static void add_prefixed(struct text *json, const char *prefix, const struct text_map *map)
{
	for (size_t i = 0; map && i < map->count; i++) {
		AUTO_FREE char *key = xasprintf("%s%s", prefix, map->items[i].key);

		add_pair(json, key, map->items[i].value);
	}
}

static bool is_complete(const struct build *build, bool max)
{
	const struct build_options *options = build->options;

	return max ||
	       ((!options->args || options->args->count == 0) && (!options->labels || options->labels->count == 0));
}

/* Build args may say what not everybody is to know: with mode=max only. */
static void add_parameters(struct text *json, const struct build *build, bool max)
{
	const struct build_options *options = build->options;

	add_pair(json, "frontend", "dockerfile.v0");
	add_key(json, "args");
	text_add_char(json, '{');
	if (max) {
		add_prefixed(json, "build-arg:", options->args);
		add_prefixed(json, "label:", options->labels);
	}
	if (!text_empty(options->target))
		add_pair(json, "target", options->target);
	if (options->no_cache)
		add_pair(json, "no-cache", "");
	add_prefixed(json, "context:", options->contexts);
	text_add_char(json, '}');
	add_key(json, "locals");
	text_add(json, "[{\"name\":\"context\"},{\"name\":\"dockerfile\"}]");
}

/* ---- the steps: mode=max ---- */

static void add_list(struct text *json, const char *key, const struct text_list *list)
{
	add_key(json, key);
	text_add_char(json, '[');
	for (size_t i = 0; i < list->count; i++) {
		if (i)
			text_add_char(json, ',');
		add_text(json, list->items[i]);
	}
	text_add_char(json, ']');
}

static void add_exec(struct text *json, const struct exec_data *exec)
{
	text_add(json, "\"exec\":{\"meta\":{");
	add_list(json, "args", &exec->args);
	add_list(json, "env", &exec->env);
	add_pair(json, "cwd", text_empty(exec->workdir) ? "/" : exec->workdir);
	if (!text_empty(exec->user))
		add_pair(json, "user", exec->user);
	text_add(json, "},\"mounts\":[{\"input\":0,\"dest\":\"/\",\"output\":0}]}");
}

static void add_copy(struct text *json, const struct copy_data *copy)
{
	text_add(json, "\"file\":{\"actions\":[");
	for (size_t i = 0; i < copy->sources.count; i++) {
		text_add(json, i ? ",{\"Action\":{\"copy\":{" : "{\"Action\":{\"copy\":{");
		add_pair(json, "src", copy->sources.items[i]);
		add_pair(json, "dest", copy->destination);
		text_add(json, "}}}");
	}
	text_add(json, "]}");
}

static void add_operation(struct text *json, const struct build *build, const struct node *node)
{
	char text[DIGEST_TEXT_MAX];
	struct digest digest;

	add_key(json, "op");
	text_add(json, "{\"Op\":{");
	if (node->kind == NODE_EXEC) {
		add_exec(json, &node->exec);
	} else if (node->kind == NODE_COPY) {
		add_copy(json, &node->copy);
	} else if (node->kind == NODE_DIRECTORY) {
		text_add(json, "\"file\":{\"actions\":[{\"Action\":{\"mkdir\":{");
		add_pair(json, "path", node->path);
		text_add(json, "}}}]}");
	} else if (image_of(node)) {
		AUTO_FREE char *identifier = NULL;

		find_digest(&digest, build, &node->image_id, image_of(node));
		identifier = xasprintf("docker-image://%s@%s", image_of(node), digest_text(&digest, text));
		text_add(json, "\"source\":{");
		add_pair(json, "identifier", identifier);
		text_add_char(json, '}');
	}
	text_add(json, "}}");
}

static long number_of(const struct build *build, const struct node *wanted)
{
	long number = 0;

	for (size_t i = 0; i < build->graph.count; i++) {
		if (build->graph.nodes[i]->state != NODE_SOLVED)
			continue;
		if (build->graph.nodes[i] == wanted)
			return number;
		number++;
	}
	return -1;
}

static void add_inputs(struct text *json, const struct build *build, const struct node *node)
{
	add_key(json, "inputs");
	text_add_char(json, '[');
	for (size_t i = 0;; i++) {
		struct node *input;

		if (!node_dependency(&input, node, i))
			break;
		if (!input || number_of(build, input) < 0)
			continue;
		text_add(json, json->data[json->size - 1] == '[' ? "\"" : ",\"");
		text_addf(json, "step%ld:0\"", number_of(build, input));
	}
	text_add_char(json, ']');
}

static void add_steps(struct text *json, const struct build *build)
{
	bool first = true;

	add_key(json, "llbDefinition");
	text_add_char(json, '[');
	for (size_t i = 0; i < build->graph.count; i++) {
		const struct node *node = build->graph.nodes[i];

		if (node->state != NODE_SOLVED)
			continue;
		text_addf(json, "%s{\"id\":\"step%ld\"", first ? "" : ",", number_of(build, node));
		add_operation(json, build, node);
		add_inputs(json, build, node);
		text_add_char(json, '}');
		first = false;
	}
	text_add_char(json, ']');
}

static void add_locations(struct text *json, const struct build *build)
{
	bool first = true;

	add_key(json, "locations");
	text_add_char(json, '{');
	for (size_t i = 0; i < build->graph.count; i++) {
		const struct node *node = build->graph.nodes[i];

		if (node->state != NODE_SOLVED || !node->line)
			continue;
		text_addf(json,
			  "%s\"step%ld\":{\"locations\":[{\"ranges\":[{\"start\":{\"line\":%u},\"end\":{\"line\":%u}}]}"
			  "]}",
			  first ? "" : ",", number_of(build, node), node->line, node->last_line);
		first = false;
	}
	text_add_char(json, '}');
}

/* BuildKit's own part of the metadata: where the source was, and with mode=max the source itself. */
static void add_own_metadata(struct text *json, const struct build *build, bool max)
{
	const struct text_map *vcs = build->options->vcs;

	text_add_char(json, '{');
	if (vcs && vcs->count > 0) {
		add_key(json, "vcs");
		text_add_char(json, '{');
		add_prefixed(json, "", vcs);
		text_add_char(json, '}');
	}
	if (max) {
		AUTO_FREE char *encoded = base64_encode(text_or_empty(build->dockerfile_text),
							strlen(text_or_empty(build->dockerfile_text)));

		add_key(json, "source");
		text_add_char(json, '{');
		add_locations(json, build);
		add_key(json, "infos");
		text_add(json, "[{");
		add_pair(json, "filename", build->dockerfile_path);
		add_pair(json, "language", "Dockerfile");
		add_pair(json, "data", encoded);
		text_add(json, "}]}");
	}
	text_add_char(json, '}');
}

/* ---- together ---- */

struct moments {
	char started[CLOCK_TEXT_MAX];
	char finished[CLOCK_TEXT_MAX];
};

static void read_moments(struct moments *moments, const struct build *build)
{
	clock_format(moments->started, build_clamp_ns(build, build->started_ns));
	clock_format(moments->finished, build_clamp_ns(build, clock_wall_ns()));
}

static void add_builder(struct text *json, const struct attestation_options *options)
{
	add_key(json, "builder");
	text_add_char(json, '{');
	add_pair(json, "id", options->builder_id);
	text_add_char(json, '}');
}

static char *make_02(const struct build *build, const struct attestation_options *options, const char *platform)
{
	bool max = options->provenance == PROVENANCE_MAX;
	struct moments moments;
	struct text json = { 0 };

	read_moments(&moments, build);
	text_add_char(&json, '{');
	add_builder(&json, options);
	add_pair(&json, "buildType", BUILD_TYPE);
	add_key(&json, "materials");
	add_materials(&json, build);
	text_add(&json, ",\"invocation\":{\"configSource\":{");
	add_pair(&json, "entryPoint", build->dockerfile_path);
	text_add(&json, "},\"parameters\":{");
	add_parameters(&json, build, max);
	text_add(&json, "},\"environment\":{");
	add_pair(&json, "platform", platform);
	text_add(&json, "}}");
	if (max) {
		text_add(&json, ",\"buildConfig\":{");
		add_steps(&json, build);
		text_add_char(&json, '}');
	}
	text_add(&json, ",\"metadata\":{");
	add_pair(&json, "buildInvocationID", build->invocation);
	add_pair(&json, "buildStartedOn", moments.started);
	add_pair(&json, "buildFinishedOn", moments.finished);
	text_addf(&json,
		  ",\"completeness\":{\"parameters\":%s,\"environment\":true,\"materials\":false},\"reproducible\":%s",
		  is_complete(build, max) ? "true" : "false", options->reproducible ? "true" : "false");
	add_key(&json, BUILD_TYPE "#metadata");
	add_own_metadata(&json, build, max);
	text_add(&json, "}}");
	return text_take(&json);
}

static char *make_1(const struct build *build, const struct attestation_options *options, const char *platform)
{
	bool max = options->provenance == PROVENANCE_MAX;
	struct moments moments;
	struct text json = { 0 };

	read_moments(&moments, build);
	text_add(&json, "{\"buildDefinition\":{");
	add_pair(&json, "buildType", BUILD_TYPE_1);
	text_add(&json, ",\"externalParameters\":{\"configSource\":{");
	add_pair(&json, "path", build->dockerfile_path);
	text_add(&json, "},\"request\":{");
	add_parameters(&json, build, max);
	text_add(&json, "}},\"internalParameters\":{");
	add_pair(&json, "builderPlatform", platform);
	if (max) {
		text_add(&json, ",\"buildConfig\":{");
		add_steps(&json, build);
		text_add_char(&json, '}');
	}
	text_add(&json, "},\"resolvedDependencies\":");
	add_materials(&json, build);
	text_add(&json, "},\"runDetails\":{");
	add_builder(&json, options);
	text_add(&json, ",\"metadata\":{");
	add_pair(&json, "invocationId", build->invocation);
	add_pair(&json, "startedOn", moments.started);
	add_pair(&json, "finishedOn", moments.finished);
	text_addf(&json,
		  ",\"buildkit_completeness\":{\"request\":%s,\"resolvedDependencies\":false},"
		  "\"buildkit_reproducible\":%s,\"buildkit_metadata\":",
		  is_complete(build, max) ? "true" : "false", options->reproducible ? "true" : "false");
	add_own_metadata(&json, build, max);
	text_add(&json, "}}}");
	return text_take(&json);
}

char *provenance_make(struct build *build, const struct attestation_options *options)
{
	AUTO_FREE char *platform = platform_format(&build->stages.build_platform);

	return (options->version_1 ? make_1 : make_02)(build, options, platform);
}
