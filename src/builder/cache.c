/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cache.h"

#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/map.h"
#include "builder/run_mount.h"
#include "engine/engine.h"
#include "store/build_cache.h"
#include "store/image_record.h"
#include "store/layer.h"

const struct json_field cache_record_fields[] = {
	JSON_TEXT("ID", struct cache_record, id, 0),
	JSON_TEXT("Type", struct cache_record, type, 0),
	JSON_TEXT("Description", struct cache_record, description, 0),
	JSON_BOOL("InUse", struct cache_record, in_use, 0),
	JSON_BOOL("Shared", struct cache_record, shared, 0),
	JSON_I64("Size", struct cache_record, size, 0),
	JSON_TEXT("CreatedAt", struct cache_record, created_at, 0),
	JSON_TEXT("LastUsedAt", struct cache_record, last_used_at, 0),
	JSON_I64("UsageCount", struct cache_record, usage_count, 0),
	JSON_END,
};

const struct json_field cache_prune_report_fields[] = {
	JSON_TEXT_LIST("CachesDeleted", struct cache_prune_report, deleted, JSON_EMPTY_NULL),
	JSON_I64("SpaceReclaimed", struct cache_prune_report, space_reclaimed, 0),
	JSON_END,
};

const char *const cache_prune_filter_keys[] = { "until", "unused-for", "id", "type", "shared", "private", NULL };

/* Chain ids of all layers that some image stands on. */
static int load_shared(struct map *out_chains, struct store *store, struct error *err)
{
	AUTO(image_record_list_fini) struct image_record_list images = { 0 };

	if (image_record_list_load(&images, store, err) < 0)
		return -1;
	for (size_t i = 0; i < images.count; i++) {
		AUTO(error_clear) struct error ignored = { 0 };
		AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
		char text[DIGEST_TEXT_MAX];

		if (layer_stack_load(&stack, store, &images.items[i].chain_id, &ignored) < 0)
			continue;
		for (size_t j = 0; j < stack.count; j++)
			map_set(out_chains, digest_text(&stack.items[j].chain_id, text), store);
	}
	return 0;
}

static bool is_shared(const struct map *chains, const struct build_row *row)
{
	char text[DIGEST_TEXT_MAX];

	return digest_is_set(&row->result.diff_id) && map_get(chains, digest_text(&row->result.chain_id, text));
}

int cache_list(struct cache_records *out_records, struct engine *engine, struct error *err)
{
	AUTO(build_rows_fini) struct build_rows rows = { 0 };
	struct cache_records records = { 0 };
	char time[CLOCK_TEXT_MAX];
	char hex[DIGEST_TEXT_MAX];
	struct map chains;
	int r;

	map_init(&chains, NULL);
	r = build_cache_list(&rows, engine_store(engine), err);
	if (r == 0)
		r = load_shared(&chains, engine_store(engine), err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		struct cache_record *record = json_array_add(&records, sizeof(*record));
		const struct build_row *row = &rows.items[i];

		record->id = xstrndup(digest_hex(&row->key, hex), 25);
		record->type = xstrdup(digest_is_set(&row->result.diff_id) ? "regular" : "internal");
		record->description = xstrdup(row->description);
		record->shared = is_shared(&chains, row);
		record->size = (int64_t)row->result.size_bytes;
		record->created_at = xstrdup(clock_format(time, row->result.created_ns));
		record->last_used_at = xstrdup(clock_format(time, row->used_ns));
		record->usage_count = row->use_count;
	}
	map_fini(&chains);
	if (r < 0)
		return -1;
	*out_records = records;
	return 0;
}

/* ---- prune ---- */

static bool wanted(const struct cache_prune_options *options, const struct map *chains, const struct build_row *row,
		   int64_t until_ns)
{
	bool shared = is_shared(chains, row);
	char hex[DIGEST_TEXT_MAX];

	if (shared && !options->all)
		return false;
	if (until_ns && row->used_ns > until_ns)
		return false;
	if (filter_has(options->filters, "shared") && !shared)
		return false;
	if (filter_has(options->filters, "private") && shared)
		return false;
	return filter_match_prefix(options->filters, "id", digest_hex(&row->key, hex)) &&
	       filter_match_exact(options->filters, "type",
				  digest_is_set(&row->result.diff_id) ? "regular" : "internal");
}

static int find_until(int64_t *out_ns, const struct filter_set *filters, struct error *err)
{
	const struct text_list *unused = filter_values(filters, "unused-for");

	if (filter_until(out_ns, filters, err) < 0)
		return -1;
	if (unused && unused->count == 1 && clock_parse_moment(out_ns, unused->items[0]) < 0)
		return error_set(err, ERR_INVALID, "invalid filter 'unused-for=%s'", unused->items[0]);
	return 0;
}

int cache_prune(struct cache_prune_report *out_report, struct engine *engine, const struct cache_prune_options *options,
		struct error *err)
{
	AUTO(build_rows_fini) struct build_rows rows = { 0 };
	struct store *store = engine_store(engine);
	struct store_garbage garbage = { 0 };
	char hex[DIGEST_TEXT_MAX];
	int64_t until_ns = 0;
	int64_t kept = 0;
	struct map chains;
	int r;

	if (find_until(&until_ns, options->filters, err) < 0 || build_cache_list(&rows, store, err) < 0)
		return -1;
	map_init(&chains, NULL);
	r = load_shared(&chains, store, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		const struct build_row *row = &rows.items[i];

		if (!wanted(options, &chains, row, until_ns))
			continue;
		kept += (int64_t)row->result.size_bytes;
		if (options->keep_bytes > 0 && kept <= options->keep_bytes)
			continue;
		r = build_cache_remove(store, &row->key, err);
		if (r == 0)
			text_list_addf(&out_report->deleted, "%.25s", digest_hex(&row->key, hex));
	}
	map_fini(&chains);
	if (r == 0 && options->all && !options->keep_mounts) {
		mounts_prune_caches(engine);
		kept_context_prune(engine);
	}
	if (r < 0 || store_collect(&garbage, store, err) < 0)
		return -1;
	out_report->space_reclaimed = (int64_t)garbage.bytes;
	return 0;
}
