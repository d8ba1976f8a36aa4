/* SPDX-License-Identifier: Apache-2.0 */
/* --cache-to and --cache-from: inline caches, in images; what else BuildKit has is refused by name. */
#include <string.h>

#include "api/buildkit/buildkit_private.h"
#include "json/value.h"

static int refuse_import(const char *type, struct error *err)
{
	return error_set(err, ERR_UNSUPPORTED,
			 "cache import type=%s is not supported: type=registry is, of an image with an inline cache",
			 text_or_empty(type));
}

int caches_check(const struct bk_solve_request *request, struct error *err)
{
	for (size_t i = 0; i < request->cache.exports.count; i++) {
		const struct bk_cache_entry *entry = &request->cache.exports.items[i];
		const char *mode = text_map_get(&entry->attrs, "mode");

		if (!text_equal(entry->type, "inline"))
			return error_set(err, ERR_UNSUPPORTED,
					 "cache export type=%s is not supported: type=inline is, in the image",
					 text_or_empty(entry->type));
		if (mode && !text_equal(mode, "min"))
			return error_set(err, ERR_UNSUPPORTED, "cache export type=inline: mode=%s is not supported",
					 mode);
	}
	for (size_t i = 0; i < request->cache.imports.count; i++)
		if (!text_equal(request->cache.imports.items[i].type, "registry"))
			return refuse_import(request->cache.imports.items[i].type, err);
	return 0;
}

bool caches_want_inline(const struct bk_solve_request *request)
{
	return request->cache.exports.count > 0;
}

/* cache-imports: [{"Type":"registry","Attrs":{"ref":"..."}}]; cache-from, of older clients: names. */
int caches_read(struct text_list *names, const struct text_map *attrs, struct error *err)
{
	AUTO(json_value_freep) struct json_value *value = NULL;
	const char *text = text_or_empty(text_map_get(attrs, "cache-imports"));

	text_list_split(names, text_or_empty(text_map_get(attrs, "cache-from")), ',');
	if (!*text)
		return 0;
	if (json_value_parse(&value, text, strlen(text), err) < 0)
		return error_prefix(err, "cache-imports");
	for (size_t i = 0; i < json_value_count(value); i++) {
		const struct json_value *item = json_value_at(value, i);
		const char *type = json_value_text(json_value_get(item, "Type"));
		const char *ref = json_value_text(json_value_get(json_value_get(item, "Attrs"), "ref"));

		if (!text_equal(type, "registry") || text_empty(ref))
			return refuse_import(type, err);
		text_list_add(names, ref);
	}
	return 0;
}
