/* SPDX-License-Identifier: Apache-2.0 */
/* system df: what images, containers, volumes and the build cache take on the disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/units.h"

#define SIZE_DIGITS 4

struct df_options {
	bool verbose;
	const char *format;
};

static const struct option_spec df_options[] = {
	OPTION_TEXT("format", 0, struct df_options, format, "string",
		    "'table', 'table TEMPLATE', 'json' or a Go template"),
	OPTION_FLAG("verbose", 'v', struct df_options, verbose, "Show each of them"),
	OPTION_END,
};

static const struct listing_column columns[] = {
	{ "Type", "TYPE" }, { "TotalCount", "TOTAL" },	      { "Active", "ACTIVE" },
	{ "Size", "SIZE" }, { "Reclaimable", "RECLAIMABLE" }, { NULL, NULL },
};

static const char default_table[] = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";

struct usage {
	const char *type;
	int64_t total;
	int64_t active;
	int64_t size;
	int64_t reclaimable;
	bool with_percent;
};

static int64_t number(const struct json_value *object, const char *key)
{
	return json_value_integer(json_value_get(object, key));
}

static void add_usage(struct listing *listing, const struct usage *usage)
{
	struct template_row *row = listing_add(listing);
	AUTO_FREE char *reclaimable = units_size((double)usage->reclaimable, SIZE_DIGITS);

	listing_set(row, "Type", usage->type);
	listing_set_take(row, "TotalCount", xasprintf("%lld", (long long)usage->total));
	listing_set_take(row, "Active", xasprintf("%lld", (long long)usage->active));
	listing_set_take(row, "Size", units_size((double)usage->size, SIZE_DIGITS));
	if (usage->with_percent && usage->size > 0)
		listing_set_take(
			row, "Reclaimable",
			xasprintf("%s (%lld%%)", reclaimable, (long long)(usage->reclaimable * 100 / usage->size)));
	else
		listing_set(row, "Reclaimable", reclaimable);
}

static void sum_images(struct usage *usage, const struct json_value *df)
{
	const struct json_value *list = json_value_get(df, "Images");
	int64_t used = 0;

	*usage = (struct usage){ "Images", (int64_t)json_value_count(list), 0, number(df, "LayersSize"), 0, true };
	for (size_t i = 0; i < json_value_count(list); i++) {
		const struct json_value *image = json_value_at(list, i);
		int64_t shared = number(image, "SharedSize");

		if (number(image, "Containers") <= 0)
			continue;
		usage->active++;
		used += number(image, "Size") - (shared > 0 ? shared : 0);
	}
	usage->reclaimable = used < usage->size ? usage->size - used : 0;
}

static bool is_live(const char *state)
{
	return text_equal(state, "running") || text_equal(state, "paused") || text_equal(state, "restarting");
}

static void sum_containers(struct usage *usage, const struct json_value *df)
{
	const struct json_value *list = json_value_get(df, "Containers");

	*usage = (struct usage){ "Containers", (int64_t)json_value_count(list), 0, 0, 0, true };
	for (size_t i = 0; i < json_value_count(list); i++) {
		const struct json_value *container = json_value_at(list, i);
		bool live = is_live(text_of(container, "State"));

		usage->active += live;
		usage->size += number(container, "SizeRw");
		usage->reclaimable += live ? 0 : number(container, "SizeRw");
	}
}

static void sum_volumes(struct usage *usage, const struct json_value *df)
{
	const struct json_value *list = json_value_get(df, "Volumes");

	*usage = (struct usage){ "Local Volumes", (int64_t)json_value_count(list), 0, 0, 0, true };
	for (size_t i = 0; i < json_value_count(list); i++) {
		const struct json_value *data = json_value_get(json_value_at(list, i), "UsageData");
		bool used = number(data, "RefCount") > 0;

		usage->active += used;
		usage->size += number(data, "Size") > 0 ? number(data, "Size") : 0;
		usage->reclaimable += used || number(data, "Size") < 0 ? 0 : number(data, "Size");
	}
}

static void sum_cache(struct usage *usage, const struct json_value *df)
{
	const struct json_value *list = json_value_get(df, "BuildCache");

	*usage = (struct usage){ "Build Cache", (int64_t)json_value_count(list), 0, 0, 0, false };
	for (size_t i = 0; i < json_value_count(list); i++) {
		const struct json_value *record = json_value_at(list, i);
		bool used = json_value_bool(json_value_get(record, "InUse"));

		usage->active += used;
		usage->size += number(record, "Size");
		usage->reclaimable += used ? 0 : number(record, "Size");
	}
}

static int show_summary(const struct json_value *df, const char *format, struct error *err)
{
	static void (*const sums[])(struct usage * usage, const struct json_value *df) = { sum_images, sum_containers,
											   sum_volumes, sum_cache };
	AUTO(listing_fini) struct listing listing = { 0 };

	listing_init(&listing, columns, "*formatter.diskUsageImagesContext", format, default_table);
	for (size_t i = 0; i < sizeof(sums) / sizeof(*sums); i++) {
		struct usage usage;

		sums[i](&usage, df);
		add_usage(&listing, &usage);
	}
	return listing_print(&listing, err);
}

/* ---- --verbose ---- */

static void add_image(struct listing *listing, const struct json_value *image)
{
	const struct json_value *tags = json_value_get(image, "RepoTags");
	const char *tag = text_or_empty(json_value_text(json_value_at(tags, 0)));
	const char *colon = strrchr(tag, ':');
	int64_t shared = number(image, "SharedSize") > 0 ? number(image, "SharedSize") : 0;
	AUTO_FREE char *age = units_duration(clock_wall_ns() - number(image, "Created") * CLOCK_SECOND);
	struct template_row *row = listing_add(listing);

	listing_set_take(row, "Repository", colon ? xstrndup(tag, (size_t)(colon - tag)) : xstrdup("<none>"));
	listing_set(row, "Tag", colon ? colon + 1 : "<none>");
	listing_set_take(row, "ID", units_short_id(text_of(image, "Id")));
	listing_set_take(row, "CreatedSince", xasprintf("%s ago", age));
	listing_set_take(row, "Size", units_size((double)number(image, "Size"), SIZE_DIGITS));
	listing_set_take(row, "SharedSize", units_size((double)shared, SIZE_DIGITS));
	listing_set_take(row, "UniqueSize", units_size((double)(number(image, "Size") - shared), SIZE_DIGITS));
	listing_set_take(row, "Containers", xasprintf("%lld", (long long)number(image, "Containers")));
}

static void add_container(struct listing *listing, const struct json_value *container)
{
	const char *name = text_or_empty(json_value_text(json_value_at(json_value_get(container, "Names"), 0)));
	AUTO_FREE char *age = units_duration(clock_wall_ns() - number(container, "Created") * CLOCK_SECOND);
	AUTO_FREE char *command = units_ellipsis(text_of(container, "Command"), 20);
	struct template_row *row = listing_add(listing);

	listing_set_take(row, "ID", units_short_id(text_of(container, "Id")));
	listing_set(row, "Image", text_of(container, "Image"));
	listing_set_take(row, "Command", units_quote(command));
	listing_set_take(row, "LocalVolumes", xasprintf("%zu", json_value_count(json_value_get(container, "Mounts"))));
	listing_set_take(row, "Size", units_size((double)number(container, "SizeRw"), SIZE_DIGITS));
	listing_set_take(row, "RunningFor", xasprintf("%s ago", age));
	listing_set(row, "Status", text_of(container, "Status"));
	listing_set(row, "Names", name + (*name == '/'));
}

static void add_volume(struct listing *listing, const struct json_value *volume)
{
	const struct json_value *data = json_value_get(volume, "UsageData");
	struct template_row *row = listing_add(listing);

	listing_set(row, "Name", text_of(volume, "Name"));
	listing_set_take(row, "Links", xasprintf("%lld", (long long)number(data, "RefCount")));
	listing_set_take(row, "Size", units_size((double)number(data, "Size"), SIZE_DIGITS));
}

struct part {
	const char *title;
	const char *key;
	const char *table;
	struct listing_column columns[9];
	void (*add)(struct listing *listing, const struct json_value *item);
};

static const struct part parts[] = {
	{ "Images space usage:",
	  "Images",
	  "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t"
	  "{{.Containers}}",
	  { { "Repository", "REPOSITORY" },
	    { "Tag", "TAG" },
	    { "ID", "IMAGE ID" },
	    { "CreatedSince", "CREATED" },
	    { "Size", "SIZE" },
	    { "SharedSize", "SHARED SIZE" },
	    { "UniqueSize", "UNIQUE SIZE" },
	    { "Containers", "CONTAINERS" },
	    { NULL, NULL } },
	  add_image },
	{ "Containers space usage:",
	  "Containers",
	  "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t"
	  "{{.Names}}",
	  { { "ID", "CONTAINER ID" },
	    { "Image", "IMAGE" },
	    { "Command", "COMMAND" },
	    { "LocalVolumes", "LOCAL VOLUMES" },
	    { "Size", "SIZE" },
	    { "RunningFor", "CREATED" },
	    { "Status", "STATUS" },
	    { "Names", "NAMES" },
	    { NULL, NULL } },
	  add_container },
	{ "Local Volumes space usage:",
	  "Volumes",
	  "table {{.Name}}\t{{.Links}}\t{{.Size}}",
	  { { "Name", "VOLUME NAME" }, { "Links", "LINKS" }, { "Size", "SIZE" }, { NULL, NULL } },
	  add_volume },
};

static int show_all(const struct json_value *df, struct error *err)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		const struct json_value *list = json_value_get(df, parts[i].key);
		AUTO(listing_fini) struct listing listing = { 0 };

		printf("%s%s\n\n", i ? "\n" : "", parts[i].title);
		listing_init(&listing, parts[i].columns, "*formatter.diskUsageContext", NULL, parts[i].table);
		for (size_t j = 0; j < json_value_count(list); j++)
			parts[i].add(&listing, json_value_at(list, j));
		if (listing_print(&listing, err) < 0)
			return -1;
	}
	return 0;
}

static int run_df(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct df_options *options = target;
	AUTO(json_value_freep) struct json_value *df = NULL;
	struct client *client = cli_client(cli, err);

	(void)operands;
	if (!client || client_get(&df, client, err, "/system/df") < 0)
		return -1;
	if (options->verbose && text_empty(options->format))
		return show_all(df, err);
	return show_summary(df, options->format, err);
}

const struct command command_system_df = {
	.usage = "[OPTIONS]",
	.summary = "Show what is used on the disk",
	.options = df_options,
	.options_size = sizeof(struct df_options),
	.min_operands = 0,
	.max_operands = 0,
	.run = run_df,
};
