/* SPDX-License-Identifier: Apache-2.0 */
/* images --tree: under the names of each image the platform it is for. docker's columns. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/units.h"

static const struct listing_column columns[] = { { "Image", "IMAGE" },		{ "ID", "ID" },
						 { "DiskUsage", "DISK USAGE" }, { "ContentSize", "CONTENT SIZE" },
						 { "Extra", "EXTRA" },		{ NULL, NULL } };

static int find_used(struct text_list *out_ids, struct client *client, struct error *err)
{
	AUTO(json_value_freep) struct json_value *containers = NULL;

	if (client_get(&containers, client, err, "/containers/json?all=1") < 0)
		return -1;
	for (size_t i = 0; i < json_value_count(containers); i++)
		text_list_add(out_ids, text_of(json_value_at(containers, i), "ImageID"));
	return 0;
}

static struct template_row *add_name(struct listing *listing, const char *name)
{
	struct template_row *row = listing_add(listing);

	for (const struct listing_column *column = columns; column->field; column++)
		listing_set(row, column->field, "");
	listing_set(row, "Image", name);
	return row;
}

/* How much it was when it was pulled, compressed, the engine does not tell. */
static void add_row(struct listing *listing, const char *name, const struct json_value *image, bool is_used)
{
	struct template_row *row = add_name(listing, name);

	listing_set_take(row, "ID", units_short_id(text_of(image, "Id")));
	listing_set_take(row, "DiskUsage", units_size((double)json_value_integer(json_value_get(image, "Size")), 3));
	listing_set(row, "ContentSize", "N/A");
	listing_set(row, "Extra", is_used ? "in use" : "");
}

static void add_names(struct listing *listing, const struct json_value *image, bool is_used)
{
	const struct json_value *names = json_value_get(image, "RepoTags");
	size_t count = json_value_count(names);

	/* Several names: what is known stands beside the last. */
	for (size_t i = 0; i + 1 < count; i++)
		add_name(listing, text_or_empty(json_value_text(json_value_at(names, i))));
	add_row(listing, count ? text_or_empty(json_value_text(json_value_at(names, count - 1))) : "<untagged>", image,
		is_used);
}

static int add_image(struct listing *listing, struct client *client, const struct json_value *image,
		     const struct text_list *used, struct error *err)
{
	AUTO(json_value_freep) struct json_value *details = NULL;
	AUTO(text_fini) struct text platform = { 0 };
	bool is_used = text_list_contains(used, text_of(image, "Id"));

	add_names(listing, image, is_used);
	if (client_get(&details, client, err, "/images/%s/json", text_of(image, "Id")) < 0) {
		/* Removed meanwhile. */
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		error_clear(err);
		return 0;
	}
	text_addf(&platform, "└─ %s/%s", text_of(details, "Os"), text_of(details, "Architecture"));
	if (*text_of(details, "Variant"))
		text_addf(&platform, "/%s", text_of(details, "Variant"));
	add_row(listing, platform.data, image, is_used);
	return 0;
}

int images_print_tree(struct client *client, const struct json_value *images, struct error *err)
{
	AUTO(listing_fini) struct listing listing = { 0 };
	AUTO(text_list_fini) struct text_list used = { 0 };

	if (find_used(&used, client, err) < 0)
		return -1;
	listing_init(&listing, columns, "*image.treeContext", NULL,
		     "table {{.Image}}\t{{.ID}}\t{{.DiskUsage}}\t{{.ContentSize}}\t{{.Extra}}");
	for (size_t i = 0; i < json_value_count(images); i++)
		if (add_image(&listing, client, json_value_at(images, i), &used, err) < 0)
			return -1;
	return listing_print(&listing, err);
}
