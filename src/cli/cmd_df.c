/* SPDX-License-Identifier: Apache-2.0 */
/* system df: what is on disk, and how much of it nothing uses. */
#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/units.h"

#define SIZE_DIGITS 4

struct df_options {
	const char *format;
};

static const struct option_spec df_options[] = {
	OPTION_TEXT("format", 0, struct df_options, format, "string",
		    "'table', 'table TEMPLATE', 'json' or a Go template"),
	OPTION_END,
};

static const struct listing_column df_columns[] = {
	{ "Active", "ACTIVE" }, { "Reclaimable", "RECLAIMABLE" },
	{ "Size", "SIZE" },	{ "TotalCount", "TOTAL" },
	{ "Type", "TYPE" },	{ NULL, NULL },
};

/* One line of the table. */
struct usage {
	const char *type;
	long long total;
	long long active;
	long long size;
	long long reclaimable;
	bool percent;
};

static long long number_of(const struct json_value *object, const char *key)
{
	return json_value_integer(json_value_get(object, key));
}

/* What images share is nobody's alone: it counts as used by none. */
static struct usage image_usage(const struct json_value *answer)
{
	const struct json_value *images = json_value_get(answer, "Images");
	struct usage usage = { "Images", 0, 0, number_of(answer, "LayersSize"), 0, true };

	usage.total = (long long)json_value_count(images);
	usage.reclaimable = usage.size;
	for (size_t i = 0; i < json_value_count(images); i++) {
		const struct json_value *image = json_value_at(images, i);
		long long shared = number_of(image, "SharedSize");
		long long size = number_of(image, "Size");

		if (number_of(image, "Containers") == 0)
			continue;
		usage.active++;
		if (size >= 0 && shared >= 0)
			usage.reclaimable -= size - shared;
	}
	return usage;
}

static struct usage container_usage(const struct json_value *answer)
{
	const struct json_value *containers = json_value_get(answer, "Containers");
	struct usage usage = { "Containers", 0, 0, 0, 0, true };

	usage.total = (long long)json_value_count(containers);
	for (size_t i = 0; i < json_value_count(containers); i++) {
		const struct json_value *container = json_value_at(containers, i);
		const char *state = json_value_text(json_value_get(container, "State"));
		bool active = text_equal(state, "running") || text_equal(state, "paused") ||
			      text_equal(state, "restarting");
		long long size = number_of(container, "SizeRw");

		usage.active += active;
		usage.size += size;
		usage.reclaimable += active ? 0 : size;
	}
	return usage;
}

static struct usage volume_usage(const struct json_value *answer)
{
	const struct json_value *volumes = json_value_get(answer, "Volumes");
	struct usage usage = { "Local Volumes", 0, 0, 0, 0, true };

	usage.total = (long long)json_value_count(volumes);
	for (size_t i = 0; i < json_value_count(volumes); i++) {
		const struct json_value *data = json_value_get(json_value_at(volumes, i), "UsageData");
		bool active = number_of(data, "RefCount") > 0;
		long long size = number_of(data, "Size");

		usage.active += active;
		if (size < 0)
			continue;
		usage.size += size;
		usage.reclaimable += active ? 0 : size;
	}
	return usage;
}

static struct usage cache_usage(const struct json_value *answer)
{
	const struct json_value *cache = json_value_get(answer, "BuildCache");
	struct usage usage = { "Build Cache", 0, 0, 0, 0, false };

	usage.total = (long long)json_value_count(cache);
	for (size_t i = 0; i < json_value_count(cache); i++) {
		const struct json_value *entry = json_value_at(cache, i);
		bool active = json_value_bool(json_value_get(entry, "InUse"));
		long long size = json_value_bool(json_value_get(entry, "Shared")) ? 0 : number_of(entry, "Size");

		usage.active += active;
		usage.size += size;
		usage.reclaimable += active ? 0 : size;
	}
	return usage;
}

static void add_row(struct listing *listing, const struct usage *usage)
{
	struct template_row *row = listing_add(listing);
	AUTO_FREE char *reclaimable = units_size((double)usage->reclaimable, SIZE_DIGITS);

	listing_set(row, "Type", usage->type);
	listing_set_take(row, "TotalCount", xasprintf("%lld", usage->total));
	listing_set_take(row, "Active", xasprintf("%lld", usage->active));
	listing_set_take(row, "Size", units_size((double)usage->size, SIZE_DIGITS));
	if (usage->percent && usage->size > 0)
		listing_set_take(row, "Reclaimable",
				 xasprintf("%s (%lld%%)", reclaimable, usage->reclaimable * 100 / usage->size));
	else
		listing_set(row, "Reclaimable", reclaimable);
}

static int run_df(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	static struct usage (*const kinds[])(const struct json_value *) = { image_usage, container_usage, volume_usage,
									    cache_usage };
	const struct df_options *options = target;
	AUTO(json_value_freep) struct json_value *answer = NULL;
	AUTO(listing_fini) struct listing listing = { 0 };
	struct client *client = cli_client(cli, err);

	(void)operands;
	if (!client || client_call(&answer, client, "GET", "/system/df", NULL, err) < 0)
		return -1;
	listing_init(&listing, df_columns, "*formatter.diskUsageImagesContext", text_or_empty(options->format),
		     "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct usage usage = kinds[i](answer);

		add_row(&listing, &usage);
	}
	return listing_print(&listing, err);
}

const struct command command_system_df = {
	.usage = "[OPTIONS]",
	.summary = "Show disk usage",
	.options = df_options,
	.options_size = sizeof(struct df_options),
	.max_operands = 0,
	.run = run_df,
};
