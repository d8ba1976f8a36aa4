/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/ports.h"
#include "cli/units.h"
#include "oci/reference.h"

struct ps_options {
	bool all;
	bool latest;
	bool no_trunc;
	bool quiet;
	bool size;
	int64_t last;
	const char *format;
	struct text_list filters;
};

static const struct option_spec ps_options[] = {
	OPTION_FLAG("all", 'a', struct ps_options, all, "Show all containers (default shows just running)"),
	OPTION_LIST("filter", 'f', struct ps_options, filters, "filter",
		    "Show only what meets the condition (name=value)"),
	OPTION_TEXT("format", 0, struct ps_options, format, "string",
		    "'table', 'table TEMPLATE', 'json' or a Go template"),
	OPTION_I64("last", 'n', struct ps_options, last, "Show the n containers created last, in any state"),
	OPTION_FLAG("latest", 'l', struct ps_options, latest, "Show the container created last, in any state"),
	OPTION_FLAG("no-trunc", 0, struct ps_options, no_trunc, "Don't truncate output"),
	OPTION_FLAG("quiet", 'q', struct ps_options, quiet, "Only display container IDs"),
	OPTION_FLAG("size", 's', struct ps_options, size, "Display total file sizes"),
	OPTION_END,
};

static void ps_defaults(void *options)
{
	((struct ps_options *)options)->last = -1;
}

static const struct listing_column columns[] = { { "ID", "CONTAINER ID" },
						 { "Names", "NAMES" },
						 { "Image", "IMAGE" },
						 { "Command", "COMMAND" },
						 { "CreatedAt", "CREATED AT" },
						 { "RunningFor", "CREATED" },
						 { "Ports", "PORTS" },
						 { "State", "STATE" },
						 { "Status", "STATUS" },
						 { "Size", "SIZE" },
						 { "Labels", "LABELS" },
						 { "Mounts", "MOUNTS" },
						 { "LocalVolumes", "LOCAL VOLUMES" },
						 { "Networks", "NETWORKS" },
						 { "Platform", "PLATFORM" },
						 { NULL, NULL } };

static const char default_table[] =
	"table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";

/* Names without their slash; those of links ("/a/b") only in full output. */
static char *names_of(const struct json_value *container, bool full)
{
	const struct json_value *names = json_value_get(container, "Names");
	AUTO(text_list_fini) struct text_list shown = { 0 };

	for (size_t i = 0; i < json_value_count(names); i++) {
		const char *name = text_or_empty(json_value_text(json_value_at(names, i)));

		name += *name == '/';
		if (!full && !strchr(name, '/'))
			return xstrdup(name);
		text_list_add(&shown, name);
	}
	return text_list_join(&shown, ",");
}

static char *image_of(const struct json_value *container, bool full)
{
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	const char *image = text_of(container, "Image");
	AUTO_FREE char *short_id = units_short_id(text_of(container, "ImageID"));
	AUTO_FREE char *short_image = units_short_id(image);
	struct text shown = { 0 };
	AUTO_FREE char *name = NULL;

	if (*image == '\0')
		return xstrdup("<no image>");
	if (full)
		return xstrdup(image);
	if (text_equal(short_id, short_image))
		return xstrdup(short_id);
	if (reference_parse(&reference, image, &ignored) < 0)
		return xstrdup(image);
	name = reference_familiar_name(&reference);
	text_add(&shown, name);
	if (reference.tag)
		text_addf(&shown, ":%s", reference.tag);
	return text_take(&shown);
}

static char *command_of(const struct json_value *container, bool full)
{
	const char *command = text_of(container, "Command");
	AUTO_FREE char *cut = full ? xstrdup(command) : units_ellipsis(command, 20);

	return units_quote(cut);
}

static char *size_of(const struct json_value *container)
{
	int64_t root = json_value_integer(json_value_get(container, "SizeRootFs"));
	struct text size = { 0 };

	units_add_size(&size, (double)json_value_integer(json_value_get(container, "SizeRw")), 3);
	if (root > 0) {
		text_add(&size, " (virtual ");
		units_add_size(&size, (double)root, 3);
		text_add_char(&size, ')');
	}
	return text_take(&size);
}

static void add_mounts(struct template_row *row, const struct json_value *mounts, bool full)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	int local = 0;

	for (size_t i = 0; i < json_value_count(mounts); i++) {
		const struct json_value *mount = json_value_at(mounts, i);
		const char *name = text_of(mount, "Name");

		if (*name == '\0')
			name = text_of(mount, "Source");
		text_list_add_take(&names, full ? xstrdup(name) : units_ellipsis(name, 15));
		local += text_equal(text_of(mount, "Driver"), "local");
	}
	listing_set_take(row, "Mounts", text_list_join(&names, ","));
	listing_set_take(row, "LocalVolumes", xasprintf("%d", local));
}

static void set_networks(struct template_row *row, const struct json_value *container)
{
	AUTO(text_list_fini) struct text_list networks = { 0 };

	json_value_keys(&networks, json_value_get(json_value_get(container, "NetworkSettings"), "Networks"), true);
	listing_set_take(row, "Networks", text_list_join(&networks, ","));
}

static char *running_for(const struct json_value *container)
{
	int64_t created = json_value_integer(json_value_get(container, "Created"));
	AUTO_FREE char *age = units_duration(clock_wall_ns() - created * CLOCK_SECOND);

	return xasprintf("%s ago", age);
}

/* What a column shows, and the keys it is made of. */
static const struct {
	const char *field;
	const char *keys;
} sources[] = {
	{ "ID", "Id" },
	{ "Names", "Names" },
	{ "Image", "Image,ImageID" },
	{ "Command", "Command" },
	{ "CreatedAt", "Created" },
	{ "RunningFor", "Created" },
	{ "Ports", "Ports" },
	{ "State", "State" },
	{ "Status", "Status" },
	{ "Size", "SizeRw,SizeRootFs" },
	{ "Labels", "Labels" },
	{ "Label", "Labels" },
	{ "Mounts", "Mounts" },
	{ "LocalVolumes", "Mounts" },
	{ "Networks", "NetworkSettings" },
};

struct used {
	bool names, image, command, created_at, running_for, ports, size, labels, mounts, networks;
};

static struct used read_used(const struct listing *listing)
{
	return (struct used){
		.names = listing_may_use(listing, "Names"),
		.image = listing_may_use(listing, "Image"),
		.command = listing_may_use(listing, "Command"),
		.created_at = listing_may_use(listing, "CreatedAt"),
		.running_for = listing_may_use(listing, "RunningFor"),
		.ports = listing_may_use(listing, "Ports"),
		.size = listing_may_use(listing, "Size"),
		.labels = listing_may_use(listing, "Labels"),
		.mounts = listing_may_use(listing, "Mounts") || listing_may_use(listing, "LocalVolumes"),
		.networks = listing_may_use(listing, "Networks"),
	};
}

/* The engine need not tell what nobody shows. (dockerd ignores this, and tells all.) */
static void add_fields(struct text *path, const struct listing *listing)
{
	AUTO(text_list_fini) struct text_list keys = { 0 };
	AUTO_FREE char *joined = NULL;

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		if (listing_may_use(listing, sources[i].field))
			text_list_add(&keys, sources[i].keys);
	if (keys.count == 0)
		text_list_add(&keys, "Id");
	joined = text_list_join(&keys, ",");
	query_add(path, "fields", joined);
}

static void add_row(struct listing *listing, const struct json_value *container, bool full, const struct used *used)
{
	struct template_row *row = listing_add(listing);
	int64_t created = json_value_integer(json_value_get(container, "Created"));

	row->labels = json_value_get(container, "Labels");
	listing_set_take(row, "ID",
			 full ? xstrdup(text_of(container, "Id")) : units_short_id(text_of(container, "Id")));
	listing_set_take(row, "Names", used->names ? names_of(container, full) : xstrdup(""));
	listing_set_take(row, "Image", used->image ? image_of(container, full) : xstrdup(""));
	listing_set_take(row, "Command", used->command ? command_of(container, full) : xstrdup(""));
	listing_set_take(row, "CreatedAt", used->created_at ? units_time(created) : xstrdup(""));
	listing_set_take(row, "RunningFor", used->running_for ? running_for(container) : xstrdup(""));
	listing_set_take(row, "Ports", used->ports ? ports_format(json_value_get(container, "Ports")) : xstrdup(""));
	listing_set(row, "State", text_of(container, "State"));
	listing_set(row, "Status", text_of(container, "Status"));
	listing_set_take(row, "Size", used->size ? size_of(container) : xstrdup(""));
	listing_set_take(row, "Labels", used->labels ? listing_labels(row->labels) : xstrdup(""));
	listing_set(row, "Platform", "");
	listing_set(row, "Networks", "");
	if (used->networks)
		set_networks(row, container);
	listing_set(row, "Mounts", "");
	listing_set(row, "LocalVolumes", "0");
	if (used->mounts)
		add_mounts(row, json_value_get(container, "Mounts"), full);
}

static int run_ps(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct ps_options *options = target;
	const char *format = options->format;
	AUTO(json_value_freep) struct json_value *containers = NULL;
	AUTO(listing_fini) struct listing listing = { 0 };
	AUTO(text_fini) struct text path = { 0 };
	AUTO_FREE char *table = NULL;
	AUTO_FREE char *limit = NULL;
	struct used used;
	struct client *client;
	int64_t last = options->latest ? 1 : options->last;
	bool size;

	(void)operands;
	if (text_empty(format) && !options->quiet)
		format = config_text(&cli->config, "psFormat");
	table = xasprintf("%s%s", default_table, options->size ? "\t{{.Size}}" : "");
	if (options->quiet && (text_empty(format) || text_equal(format, "table")))
		format = "{{.ID}}";
	listing_init(&listing, columns, "*formatter.ContainerContext", format, table);
	used = read_used(&listing);
	size = options->size || listing_uses(&listing, "Size") || strstr(listing.format, "json .");
	text_add(&path, "/containers/json");
	query_add_flag(&path, "all", options->all);
	limit = last > 0 ? xasprintf("%lld", (long long)last) : NULL;
	query_add(&path, "limit", limit);
	query_add_flag(&path, "size", size);
	add_fields(&path, &listing);
	if (query_add_filters(&path, &options->filters, err) < 0)
		return -1;
	client = cli_client(cli, err);
	if (!client || client_call(&containers, client, "GET", path.data, NULL, err) < 0)
		return -1;
	for (size_t i = 0; i < json_value_count(containers); i++)
		add_row(&listing, json_value_at(containers, i), options->no_trunc, &used);
	return listing_print(&listing, err);
}

const struct command command_ps = {
	.usage = "[OPTIONS]",
	.summary = "List containers",
	.options = ps_options,
	.options_size = sizeof(struct ps_options),
	.defaults = ps_defaults,
	.min_operands = 0,
	.max_operands = 0,
	.run = run_ps,
};
