/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/image.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/path.h"
#include "engine/container.h"
#include "engine/engine.h"
#include "engine/image_lookup.h"
#include "store/layer.h"

const struct json_field image_summary_fields[] = {
	JSON_I64("Containers", struct image_summary, containers, 0),
	JSON_I64("Created", struct image_summary, created, 0),
	JSON_TEXT("Id", struct image_summary, id, 0),
	JSON_TEXT_MAP("Labels", struct image_summary, labels, JSON_EMPTY_NULL),
	JSON_TEXT("ParentId", struct image_summary, parent_id, 0),
	JSON_TEXT_LIST("RepoDigests", struct image_summary, repo_digests, 0),
	JSON_TEXT_LIST("RepoTags", struct image_summary, repo_tags, 0),
	JSON_I64("SharedSize", struct image_summary, shared_size, 0),
	JSON_I64("Size", struct image_summary, size, 0),
	JSON_END,
};

const char *const image_filter_keys[] = {
	"dangling", "label", "label!", "before", "since", "reference", "until", NULL
};
const char *const image_prune_filter_keys[] = { "dangling", "label", "label!", "until", NULL };

/* ---- resolve ---- */

int image_resolve(struct image_ready *out_image, struct engine *engine, const char *name, struct error *err)
{
	AUTO(image_hit_fini) struct image_hit hit = { 0 };
	struct image_ready image = { 0 };
	char text[DIGEST_TEXT_MAX];

	if (image_lookup(&hit, engine, name, err) < 0 ||
	    image_load_config(&image.config, engine, &hit.record.id, err) < 0)
		return -1;
	image.id = xstrdup(digest_text(&hit.record.id, text));
	image.name = hit.by_id ? xstrdup(name) : reference_familiar(&hit.reference);
	image.manifest = xstrdup(digest_text(&hit.record.manifest, text));
	image.chain_id = hit.record.chain_id;
	*out_image = image;
	return 0;
}

void image_ready_fini(struct image_ready *image)
{
	free(image->id);
	free(image->name);
	free(image->manifest);
	image_config_fini(&image->config);
	*image = (struct image_ready){ 0 };
}

/* ---- list ---- */

struct list_state {
	struct engine *engine;
	const struct image_list_options *options;
	int64_t before_ns; /* 0: none */
	int64_t since_ns;
	int64_t until_ns;
	struct map layer_users; /* chain id -> number of images as a pointer; only for shared_size */
};

static int moment_of_image(int64_t *out_ns, struct list_state *state, const char *key, struct error *err)
{
	const struct text_list *values = state->options->filters ? filter_values(state->options->filters, key) : NULL;

	for (size_t i = 0; values && i < values->count; i++) {
		AUTO(image_hit_fini) struct image_hit hit = { 0 };

		if (image_lookup(&hit, state->engine, values->items[i], err) < 0)
			return -1;
		*out_ns = hit.record.created_ns;
	}
	return 0;
}

static int read_moments(struct list_state *state, struct error *err)
{
	const struct text_list *until = state->options->filters ? filter_values(state->options->filters, "until")
								: NULL;

	for (size_t i = 0; until && i < until->count; i++)
		if (clock_parse_moment(&state->until_ns, until->items[i]) < 0)
			return error_set(err, ERR_INVALID, "invalid filter 'until=[%s]'", until->items[i]);
	if (moment_of_image(&state->before_ns, state, "before", err) < 0)
		return -1;
	return moment_of_image(&state->since_ns, state, "since", err);
}

static bool labels_match(const struct filter_set *filters, const struct text_map *labels)
{
	if (!filter_match_labels(filters, "label", labels))
		return false;
	return !filter_has(filters, "label!") || !filter_match_labels(filters, "label!", labels);
}

static bool in_time(const struct list_state *state, int64_t created_ns)
{
	return (state->before_ns == 0 || created_ns < state->before_ns) &&
	       (state->since_ns == 0 || created_ns > state->since_ns) &&
	       (state->until_ns == 0 || created_ns < state->until_ns);
}

/* A pattern may mean the name with or without its tag. */
static bool name_matches(const char *pattern, const char *name)
{
	AUTO_FREE char *bare = xstrdup(name);
	char *slash = strrchr(bare, '/');
	char *end = strpbrk(slash ? slash : bare, ":@");

	if (fnmatch(pattern, name, FNM_PATHNAME) == 0)
		return true;
	if (end)
		*end = '\0';
	return fnmatch(pattern, bare, FNM_PATHNAME) == 0;
}

/* Drops the names that no pattern matches; false if none is left. */
static bool keep_matching(struct text_list *names, const struct text_list *patterns)
{
	for (size_t i = names->count; i-- > 0;) {
		bool matched = false;

		for (size_t j = 0; !matched && j < patterns->count; j++)
			matched = name_matches(patterns->items[j], names->items[i]);
		if (!matched)
			text_list_remove(names, i);
	}
	return names->count > 0;
}

/* 1: goes into the list. */
static int filter_names(struct image_summary *summary, const struct filter_set *filters, struct error *err)
{
	const struct text_list *patterns = filter_values(filters, "reference");
	bool dangling = summary->repo_tags.count == 0;
	bool wanted;
	bool tag_left;
	bool digest_left;

	if (filter_has(filters, "dangling")) {
		if (filter_bool(&wanted, filters, "dangling", false, err) < 0)
			return -1;
		if (wanted != dangling)
			return 0;
	}
	if (!patterns)
		return 1;
	tag_left = keep_matching(&summary->repo_tags, patterns);
	digest_left = keep_matching(&summary->repo_digests, patterns);
	return tag_left || digest_left;
}

static int64_t shared_size(struct list_state *state, const struct image_record *record)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	char text[DIGEST_TEXT_MAX];
	int64_t bytes = 0;

	if (layer_stack_load(&stack, engine_store(state->engine), &record->chain_id, &ignored) < 0)
		return 0;
	for (size_t i = 0; i < stack.count; i++)
		if ((intptr_t)map_get(&state->layer_users, digest_text(&stack.items[i].chain_id, text)) > 1)
			bytes += (int64_t)stack.items[i].size;
	return bytes;
}

static void count_layer_users(struct list_state *state, const struct image_record *record)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	char text[DIGEST_TEXT_MAX];

	if (layer_stack_load(&stack, engine_store(state->engine), &record->chain_id, &ignored) < 0)
		return;
	for (size_t i = 0; i < stack.count; i++) {
		intptr_t users = (intptr_t)map_get(&state->layer_users, digest_text(&stack.items[i].chain_id, text));

		map_set(&state->layer_users, text, (void *)(users + 1));
	}
}

static int64_t count_containers(struct engine *engine, const char *id)
{
	AUTO(text_list_fini) struct text_list ids = { 0 };
	bool running;

	if (containers_using_image(&ids, &running, engine, id) < 0)
		return 0;
	return (int64_t)ids.count;
}

/* 1 if it passes the filters. */
static int make_summary(struct image_summary *summary, struct list_state *state, const struct image_record *record,
			struct error *err)
{
	AUTO(image_config_fini) struct image_config config = { 0 };
	const struct filter_set *filters = state->options->filters;
	char text[DIGEST_TEXT_MAX];

	if (!in_time(state, record->created_ns))
		return 0;
	if (image_load_config(&config, state->engine, &record->id, err) < 0 ||
	    image_load_names(&summary->repo_tags, &summary->repo_digests, state->engine, &record->id, err) < 0)
		return -1;
	if (filters) {
		int r = labels_match(filters, &config.config.labels) ? filter_names(summary, filters, err) : 0;

		if (r <= 0)
			return r;
	}
	summary->id = xstrdup(digest_text(&record->id, text));
	summary->parent_id = xstrdup(digest_text(&record->parent, text));
	summary->created = record->created_ns / CLOCK_SECOND;
	summary->size = (int64_t)record->size;
	text_map_copy(&summary->labels, &config.config.labels);
	summary->shared_size = state->options->shared_size ? shared_size(state, record) : -1;
	summary->containers = state->options->containers ? count_containers(state->engine, summary->id) : -1;
	return 1;
}

static int collect_summaries(struct image_summaries *list, struct list_state *state,
			     const struct image_record_list *records, struct error *err)
{
	for (size_t i = 0; state->options->shared_size && i < records->count; i++)
		count_layer_users(state, &records->items[i]);
	for (size_t i = 0; i < records->count; i++) {
		struct image_summary *summary = json_array_add(list, sizeof(*summary));
		int r = make_summary(summary, state, &records->items[i], err);

		if (r < 0)
			return -1;
		if (r == 0) {
			json_free_fields(summary, image_summary_fields);
			list->count--;
		}
	}
	return 0;
}

int image_list(struct image_summaries *out_list, struct engine *engine, const struct image_list_options *options,
	       struct error *err)
{
	AUTO(image_record_list_fini) struct image_record_list records = { 0 };
	struct list_state state = { .engine = engine, .options = options };
	struct image_summaries list = { 0 };
	int r;

	if (read_moments(&state, err) < 0 || image_record_list_load(&records, engine_store(engine), err) < 0)
		return -1;
	map_init(&state.layer_users, NULL);
	r = collect_summaries(&list, &state, &records, err);
	map_fini(&state.layer_users);
	if (r < 0) {
		json_free_array(&list, image_summary_fields, sizeof(struct image_summary));
		return -1;
	}
	*out_list = list;
	return 0;
}
