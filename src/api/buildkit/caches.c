/* SPDX-License-Identifier: Apache-2.0 */
/* --cache-to and --cache-from: in images, registries and the client's folders; what else BuildKit has is refused by name. */
#include <string.h>

#include "api/buildkit/buildkit_private.h"
#include "json/value.h"

static void copy_entry(struct build_caches *caches, const struct bk_cache_entry *entry)
{
	text_map_copy(&build_caches_add(caches, text_or_empty(entry->type))->attrs, &entry->attrs);
}

int caches_check(const struct bk_solve_request *request, struct error *err)
{
	AUTO(build_caches_fini) struct build_caches exports = { 0 };
	AUTO(build_caches_fini) struct build_caches imports = { 0 };

	for (size_t i = 0; i < request->cache.exports.count; i++)
		copy_entry(&exports, &request->cache.exports.items[i]);
	for (size_t i = 0; i < request->cache.imports.count; i++)
		copy_entry(&imports, &request->cache.imports.items[i]);
	for (size_t i = 0; i < exports.count; i++)
		if (build_check_cache_export(&exports.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < imports.count; i++)
		if (build_check_cache_import(&imports.items[i], err) < 0)
			return -1;
	return 0;
}

bool caches_want_inline(const struct bk_solve_request *request)
{
	for (size_t i = 0; i < request->cache.exports.count; i++)
		if (text_equal(request->cache.exports.items[i].type, "inline"))
			return true;
	return false;
}

int caches_export(struct frontend *frontend, const struct bk_solve_request *request, struct text_map *answer,
		  struct error *err)
{
	AUTO(build_caches_fini) struct build_caches exports = { 0 };
	const struct build_images images = { .builds = frontend->builds, .count = frontend->build_count };

	for (size_t i = 0; i < request->cache.exports.count; i++)
		copy_entry(&exports, &request->cache.exports.items[i]);
	for (size_t i = 0; i < exports.count; i++) {
		AUTO_FREE char *manifest = NULL;

		if (text_equal(exports.items[i].type, "inline"))
			continue;
		if (build_export_cache(&manifest, &images, &exports.items[i], NULL, err) < 0)
			return -1;
		/* By this the client names the cache in its folder's index. */
		if (manifest)
			text_map_set(answer, "cache.manifest", manifest);
	}
	return 0;
}

static void add_image(struct build_caches *caches, const char *name)
{
	text_map_set(&build_caches_add(caches, "registry")->attrs, "ref", name);
}

/* cache-imports: [{"Type":"registry","Attrs":{"ref":"..."}}]; cache-from, of older clients: names. */
int caches_read(struct build_caches *caches, const struct text_map *attrs, struct error *err)
{
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO(text_list_fini) struct text_list names = { 0 };
	const char *text = text_or_empty(text_map_get(attrs, "cache-imports"));

	text_list_split(&names, text_or_empty(text_map_get(attrs, "cache-from")), ',');
	for (size_t i = 0; i < names.count; i++)
		add_image(caches, names.items[i]);
	if (!*text)
		return 0;
	if (json_value_parse(&value, text, strlen(text), err) < 0)
		return error_prefix(err, "cache-imports");
	for (size_t i = 0; i < json_value_count(value); i++) {
		const struct json_value *item = json_value_at(value, i);
		const struct json_value *members = json_value_get(item, "Attrs");
		struct build_cache *cache =
			build_caches_add(caches, text_or_empty(json_value_text(json_value_get(item, "Type"))));
		AUTO(text_list_fini) struct text_list keys = { 0 };

		json_value_keys(&keys, members, false);
		for (size_t j = 0; j < keys.count; j++)
			text_map_set(&cache->attrs, keys.items[j],
				     text_or_empty(json_value_text(json_value_get(members, keys.items[j]))));
		if (build_check_cache_import(cache, err) < 0)
			return -1;
	}
	return 0;
}
