/* SPDX-License-Identifier: Apache-2.0 */
/* builder du, builder history: what the build cache holds, what was built. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/units.h"

#define SIZE_DIGITS 4

struct builder_options {
	const char *format;
	bool quiet;
};

static int64_t number_of(const struct json_value *object, const char *key)
{
	return json_value_integer(json_value_get(object, key));
}

/* "5 minutes ago" of a time as the API writes it. */
static char *ago(const char *time)
{
	AUTO_FREE char *age = NULL;
	int64_t ns;

	if (clock_parse(&ns, time) < 0)
		return xstrdup("");
	age = units_duration(clock_wall_ns() - ns);
	return xasprintf("%s ago", age);
}

/* ---- du ---- */

static const struct option_spec du_options[] = {
	OPTION_TEXT("format", 0, struct builder_options, format, "string",
		    "'table', 'table TEMPLATE', 'json' or a Go template"),
	OPTION_FLAG("quiet", 'q', struct builder_options, quiet, "Only the ids"),
	OPTION_END,
};

static const struct listing_column du_columns[] = {
	{ "ID", "ID" },
	{ "Reclaimable", "RECLAIMABLE" },
	{ "Size", "SIZE" },
	{ "Shared", "SHARED" },
	{ "LastAccessed", "LAST ACCESSED" },
	{ "UsageCount", "USAGE COUNT" },
	{ "CreatedAt", "CREATED" },
	{ "Description", "DESCRIPTION" },
	{ NULL, NULL },
};

static const char du_table[] = "table {{.ID}}\t{{.Reclaimable}}\t{{.Size}}\t{{.LastAccessed}}\t{{.Description}}";

static void add_record(struct listing *listing, const struct json_value *record)
{
	bool used = json_value_bool(json_value_get(record, "InUse"));
	AUTO_FREE char *description = units_ellipsis(text_of(record, "Description"), 60);
	struct template_row *row = listing_add(listing);

	for (char *c = description; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
	listing_set(row, "ID", text_of(record, "ID"));
	listing_set(row, "Reclaimable", used ? "false" : "true");
	listing_set_take(row, "Size", units_size((double)number_of(record, "Size"), SIZE_DIGITS));
	listing_set(row, "Shared", json_value_bool(json_value_get(record, "Shared")) ? "true" : "false");
	listing_set_take(row, "LastAccessed", ago(text_of(record, "LastUsedAt")));
	listing_set_take(row, "UsageCount", xasprintf("%lld", (long long)number_of(record, "UsageCount")));
	listing_set_take(row, "CreatedAt", ago(text_of(record, "CreatedAt")));
	listing_set(row, "Description", description);
}

static void print_size(const char *title, int64_t bytes)
{
	AUTO_FREE char *size = units_size((double)bytes, SIZE_DIGITS);

	printf("%-14s%s\n", title, size);
}

static void print_sums(const struct json_value *records)
{
	int64_t shared = 0;
	int64_t total = 0;
	int64_t used = 0;

	for (size_t i = 0; i < json_value_count(records); i++) {
		const struct json_value *record = json_value_at(records, i);
		int64_t size = number_of(record, "Size");

		total += size;
		shared += json_value_bool(json_value_get(record, "Shared")) ? size : 0;
		used += json_value_bool(json_value_get(record, "InUse")) ? size : 0;
	}
	print_size("Shared:", shared);
	print_size("Private:", total - shared);
	print_size("Reclaimable:", total - used);
	print_size("Total:", total);
}

static int run_du(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct builder_options *options = target;
	AUTO(json_value_freep) struct json_value *usage = NULL;
	AUTO(listing_fini) struct listing listing = { 0 };
	struct client *client = cli_client(cli, err);
	const struct json_value *records;

	(void)operands;
	if (!client || client_get(&usage, client, err, "/system/df?type=build-cache") < 0)
		return -1;
	records = json_value_get(usage, "BuildCache");
	listing_init(&listing, du_columns, "*formatter.buildCacheContext", options->quiet ? "{{.ID}}" : options->format,
		     du_table);
	for (size_t i = 0; i < json_value_count(records); i++)
		add_record(&listing, json_value_at(records, i));
	if (listing_print(&listing, err) < 0)
		return -1;
	if (!options->quiet && text_empty(options->format))
		print_sums(records);
	return 0;
}

const struct command command_builder_du = {
	.usage = "[OPTIONS]",
	.summary = "Show what the build cache holds",
	.options = du_options,
	.options_size = sizeof(struct builder_options),
	.min_operands = 0,
	.max_operands = 0,
	.run = run_du,
};

/* ---- history ---- */

static const struct option_spec history_options[] = {
	OPTION_TEXT("format", 0, struct builder_options, format, "string",
		    "'table', 'table TEMPLATE', 'json' or a Go template"),
	OPTION_FLAG("quiet", 'q', struct builder_options, quiet, "Only the builds' ids"),
	OPTION_END,
};

static const struct listing_column history_columns[] = {
	{ "Ref", "BUILD ID" },	     { "Name", "NAME" },	 { "Status", "STATUS" }, { "Steps", "STEPS" },
	{ "Created", "CREATED AT" }, { "Duration", "DURATION" }, { "Error", "ERROR" },	 { NULL, NULL },
};

static const char history_table[] = "table {{.Ref}}\t{{.Name}}\t{{.Status}}\t{{.Steps}}\t{{.Created}}\t{{.Duration}}";

static char *duration_of(const struct json_value *record)
{
	int64_t begin;
	int64_t end;

	if (clock_parse(&begin, text_of(record, "CreatedAt")) < 0)
		return xstrdup("");
	if (clock_parse(&end, text_of(record, "CompletedAt")) < 0)
		end = clock_wall_ns();
	return xasprintf("%.1fs", (double)(end - begin) / (double)CLOCK_SECOND);
}

static void add_build(struct listing *listing, const struct json_value *record)
{
	struct template_row *row = listing_add(listing);

	listing_set(row, "Ref", text_of(record, "Ref"));
	listing_set(row, "Name", text_of(record, "Name"));
	listing_set(row, "Status", text_of(record, "Status"));
	listing_set_take(row, "Steps",
			 xasprintf("%lld/%lld (%lld cached)", (long long)number_of(record, "CompletedSteps"),
				   (long long)number_of(record, "TotalSteps"),
				   (long long)number_of(record, "CachedSteps")));
	listing_set_take(row, "Created", ago(text_of(record, "CreatedAt")));
	listing_set_take(row, "Duration", duration_of(record));
	listing_set(row, "Error", text_of(record, "Error"));
}

static int run_history(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct builder_options *options = target;
	AUTO(json_value_freep) struct json_value *records = NULL;
	AUTO(listing_fini) struct listing listing = { 0 };
	struct client *client = cli_client(cli, err);

	(void)operands;
	if (!client || client_get(&records, client, err, "/build/history") < 0)
		return -1;
	listing_init(&listing, history_columns, "*formatter.buildHistoryContext",
		     options->quiet ? "{{.Ref}}" : options->format, history_table);
	for (size_t i = json_value_count(records); i > 0; i--)
		add_build(&listing, json_value_at(records, i - 1));
	return listing_print(&listing, err);
}

const struct command command_builder_history = {
	.usage = "[OPTIONS]",
	.summary = "Show the builds since the engine started, newest first",
	.options = history_options,
	.options_size = sizeof(struct builder_options),
	.min_operands = 0,
	.max_operands = 0,
	.run = run_history,
};
