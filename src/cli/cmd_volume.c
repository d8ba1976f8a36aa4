/* SPDX-License-Identifier: Apache-2.0 */
/* volume ls, create, rm; network ls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/members.h"
#include "cli/spec.h"
#include "cli/units.h"

struct ls_options {
	bool quiet;
	bool no_trunc;
	const char *format;
	struct text_list filters;
	bool cluster;
};

static const struct option_spec volume_ls_options[] = {
	OPTION_LIST("filter", 'f', struct ls_options, filters, "filter",
		    "Show only what meets the condition (name=value)"),
	OPTION_TEXT("format", 0, struct ls_options, format, "string",
		    "'table', 'table TEMPLATE', 'json' or a Go template"),
	OPTION_FLAG("quiet", 'q', struct ls_options, quiet, "Only display volume names"),
	OPTION_FLAG("cluster", 0, struct ls_options, cluster,
		    "Only volumes of a swarm, which kist's own engine has not"),
	OPTION_END,
};

static const struct option_spec network_ls_options[] = {
	OPTION_LIST("filter", 'f', struct ls_options, filters, "filter",
		    "Show only what meets the condition (name=value)"),
	OPTION_TEXT("format", 0, struct ls_options, format, "string",
		    "'table', 'table TEMPLATE', 'json' or a Go template"),
	OPTION_FLAG("no-trunc", 0, struct ls_options, no_trunc, "Do not truncate the output"),
	OPTION_FLAG("quiet", 'q', struct ls_options, quiet, "Only display network IDs"),
	OPTION_END,
};

static const struct listing_column volume_columns[] = {
	{ "Availability", "AVAILABILITY" },
	{ "Driver", "DRIVER" },
	{ "Group", "GROUP" },
	{ "Labels", "LABELS" },
	{ "Links", "LINKS" },
	{ "Mountpoint", "MOUNTPOINT" },
	{ "Name", "VOLUME NAME" },
	{ "Scope", "SCOPE" },
	{ "Size", "SIZE" },
	{ "Status", "STATUS" },
	{ NULL, NULL },
};

static const struct listing_column network_columns[] = {
	{ "CreatedAt", "CREATED AT" },
	{ "Driver", "DRIVER" },
	{ "ID", "NETWORK ID" },
	{ "IPv4", "IPV4" },
	{ "IPv6", "IPV6" },
	{ "Internal", "INTERNAL" },
	{ "Labels", "LABELS" },
	{ "Name", "NAME" },
	{ "Scope", "SCOPE" },
	{ NULL, NULL },
};

static int list(struct json_value **out_answer, struct cli *cli, const char *noun, const struct ls_options *options,
		struct error *err)
{
	AUTO(text_fini) struct text path = { 0 };
	struct client *client;

	text_add(&path, noun);
	if (query_add_filters(&path, &options->filters, err) < 0)
		return -1;
	client = cli_client(cli, err);
	return client ? client_call(out_answer, client, "GET", path.data, NULL, err) : -1;
}

static const char *list_format(const struct cli *cli, const struct ls_options *options, const char *config_key,
			       const char *quiet)
{
	const char *format = options->format;

	if (options->quiet && (text_empty(format) || text_equal(format, "table")))
		return quiet;
	return text_empty(format) ? config_text(&cli->config, config_key) : format;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(text_of(*(const struct json_value *const *)a, "Name"),
		      text_of(*(const struct json_value *const *)b, "Name"));
}

/* The objects of an array, by name. */
static const struct json_value **sorted(const struct json_value *array)
{
	size_t count = json_value_count(array);
	const struct json_value **items = xcalloc(count + 1, sizeof(*items));

	for (size_t i = 0; i < count; i++)
		items[i] = json_value_at(array, i);
	qsort(items, count, sizeof(*items), compare_names);
	return items;
}

static int run_volume_ls(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct ls_options *options = target;
	AUTO(json_value_freep) struct json_value *answer = NULL;
	AUTO(listing_fini) struct listing listing = { 0 };
	AUTO_FREE const struct json_value **volumes = NULL;

	(void)operands;
	if (list(&answer, cli, "/volumes", options, err) < 0)
		return -1;
	listing_init(&listing, volume_columns, "*formatter.volumeContext",
		     list_format(cli, options, "volumesFormat", "{{.Name}}"),
		     options->cluster ? "table {{.Name}}\t{{.Group}}\t{{.Driver}}\t{{.Availability}}\t{{.Status}}"
				      : "table {{.Driver}}\t{{.Name}}");
	volumes = sorted(json_value_get(answer, "Volumes"));
	for (size_t i = 0; volumes[i]; i++) {
		struct template_row *row;

		if (options->cluster && !json_value_get(volumes[i], "ClusterVolume"))
			continue;
		row = listing_add(&listing);
		row->labels = json_value_get(volumes[i], "Labels");
		listing_set(row, "Availability", "N/A");
		listing_set(row, "Driver", text_of(volumes[i], "Driver"));
		listing_set(row, "Group", "N/A");
		listing_set_take(row, "Labels", listing_labels(row->labels));
		listing_set(row, "Links", "N/A");
		listing_set(row, "Mountpoint", text_of(volumes[i], "Mountpoint"));
		listing_set(row, "Name", text_of(volumes[i], "Name"));
		listing_set(row, "Scope", text_of(volumes[i], "Scope"));
		listing_set(row, "Size", "N/A");
		listing_set(row, "Status", "N/A");
	}
	return listing_print(&listing, err);
}

static const char *bool_text(const struct json_value *object, const char *key)
{
	return json_value_bool(json_value_get(object, key)) ? "true" : "false";
}

/* "2026-11-21T22:34:26.1Z" as Go's time.Time prints it. */
static char *created_text(const char *moment)
{
	size_t size = strlen(moment);
	AUTO_FREE char *copy = xstrdup(moment);

	if (size < 20 || moment[size - 1] != 'Z')
		return xstrdup(moment);
	copy[10] = ' ';
	copy[size - 1] = '\0';
	return xasprintf("%s +0000 UTC", copy);
}

static int run_network_ls(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct ls_options *options = target;
	AUTO(json_value_freep) struct json_value *answer = NULL;
	AUTO(listing_fini) struct listing listing = { 0 };
	AUTO_FREE const struct json_value **networks = NULL;

	(void)operands;
	if (list(&answer, cli, "/networks", options, err) < 0)
		return -1;
	listing_init(&listing, network_columns, "*network.networkContext",
		     list_format(cli, options, "networksFormat", "{{.ID}}"),
		     "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}");
	networks = sorted(answer);
	for (size_t i = 0; networks[i]; i++) {
		struct template_row *row = listing_add(&listing);
		const char *id = text_of(networks[i], "Id");

		row->labels = json_value_get(networks[i], "Labels");
		listing_set_take(row, "CreatedAt", created_text(text_of(networks[i], "Created")));
		listing_set(row, "Driver", text_of(networks[i], "Driver"));
		listing_set_take(row, "ID", options->no_trunc ? xstrdup(id) : units_short_id(id));
		listing_set(row, "IPv4", bool_text(networks[i], "EnableIPv4"));
		listing_set(row, "IPv6", bool_text(networks[i], "EnableIPv6"));
		listing_set(row, "Internal", bool_text(networks[i], "Internal"));
		listing_set_take(row, "Labels", listing_labels(row->labels));
		listing_set(row, "Name", text_of(networks[i], "Name"));
		listing_set(row, "Scope", text_of(networks[i], "Scope"));
	}
	return listing_print(&listing, err);
}

const struct command command_volume_ls = {
	.usage = "[OPTIONS]",
	.summary = "List volumes",
	.options = volume_ls_options,
	.options_size = sizeof(struct ls_options),
	.min_operands = 0,
	.max_operands = 0,
	.run = run_volume_ls,
};

const struct command command_network_ls = {
	.usage = "[OPTIONS]",
	.summary = "List networks",
	.options = network_ls_options,
	.options_size = sizeof(struct ls_options),
	.min_operands = 0,
	.max_operands = 0,
	.run = run_network_ls,
};

/* ---- volume create, rm ---- */

struct volume_create_options {
	const char *driver;
	const char *name;
	struct text_list labels;
	struct text_list driver_options;
};

static int refuse_cluster(void *target, const char *value, struct error *err)
{
	(void)target;
	(void)value;
	return error_set(err, ERR_UNSUPPORTED, "cluster volumes need a swarm, which kist has not");
}

#define CLUSTER_OPTION(name) OPTION_CALL(name, 0, refuse_cluster, "string", NULL)

static const struct option_spec volume_create_options[] = {
	OPTION_TEXT("driver", 'd', struct volume_create_options, driver, "string", "Volume driver"),
	OPTION_LIST("label", 0, struct volume_create_options, labels, "list", "Set labels on the volume"),
	OPTION_TEXT("name", 0, struct volume_create_options, name, "string", NULL),
	OPTION_LIST("opt", 'o', struct volume_create_options, driver_options, "map", "Set driver options"),
	CLUSTER_OPTION("availability"),
	CLUSTER_OPTION("group"),
	CLUSTER_OPTION("limit-bytes"),
	CLUSTER_OPTION("required-bytes"),
	CLUSTER_OPTION("scope"),
	CLUSTER_OPTION("secret"),
	CLUSTER_OPTION("sharing"),
	CLUSTER_OPTION("topology-preferred"),
	CLUSTER_OPTION("topology-required"),
	CLUSTER_OPTION("type"),
	OPTION_END,
};

static void add_pairs(struct text *body, const char *key, const struct text_list *pairs)
{
	AUTO(text_map_fini) struct text_map map = { 0 };

	for (size_t i = 0; i < pairs->count; i++) {
		const char *value;
		AUTO_FREE char *name = spec_cut(pairs->items[i], &value);

		text_map_set(&map, name, text_or_empty(value));
	}
	members_map(body, key, &map);
}

static int run_volume_create(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct volume_create_options *options = target;
	const char *name = operands->count ? operands->items[0] : options->name;
	AUTO(json_value_freep) struct json_value *volume = NULL;
	AUTO(text_fini) struct text body = { 0 };
	struct client *client;

	if (operands->count && options->name)
		return error_set(err, ERR_INVALID,
				 "conflicting options: cannot specify a volume-name through both "
				 "--name and as a positional arg");
	text_add_char(&body, '{');
	members_text(&body, "Driver", text_empty(options->driver) ? "local" : options->driver);
	add_pairs(&body, "DriverOpts", &options->driver_options);
	add_pairs(&body, "Labels", &options->labels);
	if (!text_empty(name))
		members_text(&body, "Name", name);
	text_add_char(&body, '}');
	client = cli_client(cli, err);
	if (!client || client_call(&volume, client, "POST", "/volumes/create", body.data, err) < 0)
		return -1;
	puts(text_of(volume, "Name"));
	return 0;
}

const struct command command_volume_create = {
	.usage = "[OPTIONS] [VOLUME]",
	.summary = "Create a volume",
	.options = volume_create_options,
	.options_size = sizeof(struct volume_create_options),
	.min_operands = 0,
	.max_operands = 1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_volume_create,
};

struct volume_rm_options {
	bool force;
};

static const struct option_spec volume_rm_options[] = {
	OPTION_FLAG("force", 'f', struct volume_rm_options, force, "Force the removal of one or more volumes"),
	OPTION_END,
};

static int remove_volume(struct client *client, void *target, const char *name, struct error *err)
{
	const struct volume_rm_options *options = target;
	AUTO(text_fini) struct text path = { 0 };

	text_addf(&path, "/volumes/%s", name);
	query_add_flag(&path, "force", options->force);
	return client_call(NULL, client, "DELETE", path.data, NULL, err) < 0 ? -1 : OPERAND_DONE;
}

static int run_volume_rm(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	return for_each_operand(cli, operands, options, remove_volume, err);
}

const struct command command_volume_rm = {
	.usage = "[OPTIONS] VOLUME [VOLUME...]",
	.summary = "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
	.options = volume_rm_options,
	.options_size = sizeof(struct volume_rm_options),
	.min_operands = 1,
	.max_operands = -1,
	.run = run_volume_rm,
};
