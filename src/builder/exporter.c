/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/exporter.h"

#include <string.h>

#include "base/cleanup.h"
#include "engine/layer_parts.h"

/* An attribute that is not here, or has another value, is refused: it would do nothing. */
static const struct {
	const char *key;
	const char *values; /* separated by blanks; NULL: any */
	int kinds;
} known_attributes[] = {
	{ "name", NULL, EXPORT_IMAGE | EXPORT_ARCHIVE },
	{ "push", "true false", EXPORT_IMAGE },
	{ "rewrite-timestamp", "true false", EXPORT_IMAGE | EXPORT_ARCHIVE },
	{ "source-date-epoch", "", EXPORT_IMAGE | EXPORT_ARCHIVE | EXPORT_FILES },
	{ "tar", "true", EXPORT_ARCHIVE },
	{ "dest", NULL, EXPORT_ARCHIVE | EXPORT_FILES },
	{ "mode", "copy", EXPORT_FILES },
	{ "platform-split", "true false", EXPORT_FILES },
	{ "context", NULL, EXPORT_ARCHIVE | EXPORT_IMAGE },
	/* How it is always done here, or what has no meaning for one store and one platform. */
	{ "unpack", "true false", EXPORT_IMAGE },
	{ "store", "true", EXPORT_IMAGE },
	{ "oci-mediatypes", "true", EXPORT_IMAGE | EXPORT_ARCHIVE },
	{ "oci-artifact", "true false", EXPORT_IMAGE | EXPORT_ARCHIVE },
	{ "prefer-image-digest", "true false", EXPORT_IMAGE | EXPORT_ARCHIVE },
	{ "prefer-nondist-layers", "false", EXPORT_IMAGE | EXPORT_ARCHIVE },
	{ "dangling-name-prefix", NULL, EXPORT_IMAGE | EXPORT_ARCHIVE },
	{ "compression", "uncompressed gzip zstd", EXPORT_IMAGE | EXPORT_ARCHIVE },
	{ "compression-level", NULL, EXPORT_IMAGE | EXPORT_ARCHIVE },
	{ "force-compression", "true false", EXPORT_IMAGE | EXPORT_ARCHIVE },
	{ "attestation-inline", "true false", EXPORT_IMAGE | EXPORT_ARCHIVE },
	{ "push-by-digest", "false", EXPORT_IMAGE },
	{ "name-canonical", "false", EXPORT_IMAGE },
	{ "registry.insecure", "false", EXPORT_IMAGE },
};

static bool has_word(const char *words, const char *word)
{
	AUTO(text_list_fini) struct text_list list = { 0 };

	text_list_split(&list, words, ' ');
	return text_list_contains(&list, word);
}

const char *exporter_annotation(const char *attribute)
{
	const char *rest = text_after(attribute, "annotation-manifest");

	if (!rest)
		rest = text_after(attribute, "annotation");
	if (rest && *rest == '[' && strchr(rest, ']'))
		rest = strchr(rest, ']') + 1;
	return rest && *rest == '.' ? rest + 1 : NULL;
}

const char *exporter_index_annotation(const char *attribute)
{
	return text_after(attribute, "annotation-index.");
}

enum exporter_kind exporter_kind(const char *type)
{
	if (text_equal(type, "moby") || text_equal(type, "image"))
		return EXPORT_IMAGE;
	if (text_equal(type, "oci") || text_equal(type, "docker"))
		return EXPORT_ARCHIVE;
	return text_equal(type, "local") || text_equal(type, "tar") ? EXPORT_FILES : EXPORT_NONE;
}

static int check_attribute(const char *type, enum exporter_kind kind, const struct text_pair *pair, struct error *err)
{
	/* buildx gives them to every output, though files have nothing that could take them. */
	if (exporter_annotation(pair->key) || (kind == EXPORT_FILES && text_has_prefix(pair->key, "annotation")))
		return 0;
	if (exporter_index_annotation(pair->key))
		return 0;
	for (size_t i = 0; i < sizeof(known_attributes) / sizeof(*known_attributes); i++) {
		if (!text_equal(known_attributes[i].key, pair->key) || !(known_attributes[i].kinds & (int)kind))
			continue;
		if (!known_attributes[i].values || text_empty(pair->value) ||
		    has_word(known_attributes[i].values, pair->value))
			return 0;
		break;
	}
	return error_set(err, ERR_UNSUPPORTED, "output type=%s: %s=%s is not supported", type, pair->key,
			 text_or_empty(pair->value));
}

/* docker's form of an archive names plain tars, and what is only stored here is not compressed. */
static int check_form(const char *type, enum exporter_kind kind, const struct text_map *attrs, struct error *err)
{
	const char *compression = text_map_get(attrs, "compression");
	struct layer_form form;

	if (exporter_form(&form, attrs, err) < 0)
		return -1;
	if (form.packing == LAYER_TAR_GZIP && !compression && !form.force)
		return 0;
	if (form.packing != LAYER_TAR &&
	    (text_equal(type, "docker") || (kind == EXPORT_IMAGE && !text_equal(text_map_get(attrs, "push"), "true"))))
		return error_set(err, ERR_UNSUPPORTED,
				 "output type=%s: compression=%s is for what is pushed and type=oci", type,
				 text_or_empty(compression));
	return 0;
}

int exporter_check(const char *type, const struct text_map *attrs, struct error *err)
{
	enum exporter_kind kind = exporter_kind(type);

	if (kind == EXPORT_NONE)
		return error_set(err, ERR_UNSUPPORTED, "exporter \"%s\" could not be found", type);
	if (kind != EXPORT_FILES && check_form(type, kind, attrs, err) < 0)
		return -1;
	for (size_t i = 0; i < attrs->count; i++)
		if (check_attribute(type, kind, &attrs->items[i], err) < 0)
			return -1;
	return 0;
}

bool exporter_carries(const char *type, const struct text_map *attrs)
{
	return text_equal(type, "oci") ||
	       (exporter_kind(type) == EXPORT_IMAGE && text_equal(text_map_get(attrs, "push"), "true"));
}

bool exporter_clamps(const struct text_map *attrs)
{
	return text_equal(text_map_get(attrs, "rewrite-timestamp"), "true");
}

int exporter_form(struct layer_form *out_form, const struct text_map *attrs, struct error *err)
{
	const char *compression = text_map_get(attrs, "compression");
	const char *level = text_map_get(attrs, "compression-level");
	int64_t number = 0;

	*out_form = (struct layer_form){ .packing = LAYER_TAR_GZIP,
					 .force = text_equal(text_map_get(attrs, "force-compression"), "true") };
	if (text_equal(compression, "estargz"))
		return error_set(err, ERR_UNSUPPORTED,
				 "compression=estargz is not supported: nothing here reads layers by parts; gzip and "
				 "zstd are");
	if (text_equal(compression, "uncompressed"))
		out_form->packing = LAYER_TAR;
	else if (text_equal(compression, "zstd"))
		out_form->packing = LAYER_TAR_ZSTD;
	else if (!text_empty(compression) && !text_equal(compression, "gzip"))
		return error_set(err, ERR_INVALID, "unsupported layer compression type %s", compression);
	if (text_empty(level))
		return 0;
	if (out_form->packing != LAYER_TAR_ZSTD)
		return error_set(err, ERR_UNSUPPORTED,
				 "compression-level=%s is for compression=zstd: gzip has one here", level);
	if (text_parse_i64(&number, level, 1, 22) < 0)
		return error_set(err, ERR_INVALID, "compression-level=%s: zstd has levels from 1 to 22", level);
	out_form->level = (int)number;
	return 0;
}
