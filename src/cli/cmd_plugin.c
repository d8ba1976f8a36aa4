/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin *, search, volume update: what kistd itself has not, for engines that have it. The engine's answer is told as
 * it is.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/members.h"
#include "cli/spec.h"
#include "cli/units.h"

/* ---- plugin ls ---- */

struct ls_options {
	const char *format;
	bool no_trunc;
	bool quiet;
	struct text_list filters;
};

static const struct option_spec ls_options[] = {
	OPTION_LIST("filter", 'f', struct ls_options, filters, "filter", "Filter output based on conditions provided"),
	OPTION_TEXT("format", 0, struct ls_options, format, "string",
		    "'table', 'table TEMPLATE', 'json', or a Go template"),
	OPTION_FLAG("no-trunc", 0, struct ls_options, no_trunc, "Don't truncate output"),
	OPTION_FLAG("quiet", 'q', struct ls_options, quiet, "Only display plugin IDs"),
	OPTION_END,
};

static const struct listing_column plugin_columns[] = {
	{ "ID", "ID" },
	{ "Name", "NAME" },
	{ "Description", "DESCRIPTION" },
	{ "Enabled", "ENABLED" },
	{ "PluginReference", "PLUGIN REFERENCE" },
	{ NULL, NULL },
};

static void add_plugin(struct listing *listing, const struct json_value *plugin, bool full)
{
	struct template_row *row = listing_add(listing);
	const char *id = text_of(plugin, "Id");
	const char *about = text_of(json_value_get(plugin, "Config"), "Description");

	row->flag = "Enabled";
	listing_set_take(row, "ID", full ? xstrdup(id) : units_short_id(id));
	listing_set(row, "Name", text_of(plugin, "Name"));
	listing_set_take(row, "Description", full ? xstrdup(about) : units_ellipsis(about, 45));
	listing_set(row, "Enabled", json_value_bool(json_value_get(plugin, "Enabled")) ? "true" : "false");
	listing_set(row, "PluginReference", text_of(plugin, "PluginReference"));
}

static int run_ls(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct ls_options *options = target;
	const char *format = options->format;
	AUTO(json_value_freep) struct json_value *plugins = NULL;
	AUTO(listing_fini) struct listing listing = { 0 };
	AUTO(text_fini) struct text path = { 0 };
	struct client *client;

	(void)operands;
	text_add(&path, "/plugins");
	if (query_add_filters(&path, &options->filters, err) < 0)
		return -1;
	client = cli_client(cli, err);
	if (!client || client_call(&plugins, client, "GET", path.data, NULL, err) < 0)
		return -1;
	if (text_empty(format) && !options->quiet)
		format = config_text(&cli->config, "pluginsFormat");
	listing_init(&listing, plugin_columns, "*plugin.pluginContext",
		     options->quiet && text_empty(format) ? "{{.ID}}" : format,
		     "table {{.ID}}\t{{.Name}}\t{{.Description}}\t{{.Enabled}}");
	for (size_t i = 0; i < json_value_count(plugins); i++)
		add_plugin(&listing, json_value_at(plugins, i), options->no_trunc);
	return listing_print(&listing, err);
}

/* ---- the others ---- */

struct plugin_options {
	const char *format;
	const char *alias;
	bool force;
	bool disabled;
	bool grant;
	bool skip_check;
	bool compress;
	struct optional_bool no_trust;
	struct optional_i64 timeout_s;
};

#define T struct plugin_options
static const struct option_spec inspect_options[] = {
	OPTION_TEXT("format", 'f', T, format, "string", "'json' or a Go template"),
	OPTION_END,
};
static const struct option_spec force_options[] = {
	OPTION_FLAG("force", 'f', T, force, "Also if it is in use"),
	OPTION_END,
};
static const struct option_spec enable_options[] = {
	OPTION_OPT_I64("timeout", 0, T, timeout_s, "HTTP client timeout (in seconds)"),
	OPTION_END,
};
static const struct option_spec install_options[] = {
	OPTION_TEXT("alias", 0, T, alias, "string", "Local name for plugin"),
	OPTION_FLAG("disable", 0, T, disabled, "Do not enable the plugin on install"),
	OPTION_OPT_BOOL("disable-content-trust", 0, T, no_trust, NULL),
	OPTION_FLAG("grant-all-permissions", 0, T, grant, "Grant all permissions necessary to run the plugin"),
	OPTION_END,
};
static const struct option_spec upgrade_options[] = {
	OPTION_OPT_BOOL("disable-content-trust", 0, T, no_trust, NULL),
	OPTION_FLAG("grant-all-permissions", 0, T, grant, "Grant all permissions necessary to run the plugin"),
	OPTION_FLAG("skip-remote-check", 0, T, skip_check,
		    "Do not check if specified remote plugin matches existing one"),
	OPTION_END,
};
static const struct option_spec push_options[] = {
	OPTION_OPT_BOOL("disable-content-trust", 0, T, no_trust, NULL),
	OPTION_END,
};
static const struct option_spec create_options[] = {
	OPTION_FLAG("compress", 0, T, compress, "Compress the context using gzip"),
	OPTION_END,
};
#undef T

static int find_plugin(struct json_value **out_object, void *arg, const char *name, struct error *err)
{
	struct client *client = cli_client(arg, err);

	return client ? client_get(out_object, client, err, "/plugins/%s/json", name) : -1;
}

static int run_inspect(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct plugin_options *options = target;

	if (!cli_client(cli, err))
		return -1;
	return inspect_objects(operands, options->format, find_plugin, cli, err);
}

static int remove_plugin(struct client *client, void *target, const char *name, struct error *err)
{
	AUTO(text_fini) struct text path = { 0 };

	text_addf(&path, "/plugins/%s", name);
	query_add_flag(&path, "force", ((struct plugin_options *)target)->force);
	return client_call(NULL, client, "DELETE", path.data, NULL, err) < 0 ? -1 : OPERAND_DONE;
}

static int run_rm(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	return for_each_operand(cli, operands, target, remove_plugin, err);
}

static int post_plugin(struct cli *cli, const char *name, const char *verb, const char *key, const char *value,
		       struct error *err)
{
	AUTO(text_fini) struct text path = { 0 };
	struct client *client = cli_client(cli, err);

	text_addf(&path, "/plugins/%s/%s", name, verb);
	query_add(&path, key, value);
	if (!client || client_call(NULL, client, "POST", path.data, NULL, err) < 0)
		return -1;
	puts(name);
	return 0;
}

static int run_enable(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct plugin_options *options = target;
	AUTO_FREE char *timeout = xasprintf("%lld", (long long)optional_i64_or(options->timeout_s, 30));

	return post_plugin(cli, operands->items[0], "enable", "timeout", timeout, err);
}

static int run_disable(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct plugin_options *options = target;

	return post_plugin(cli, operands->items[0], "disable", "force", options->force ? "1" : NULL, err);
}

static int run_push(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct plugin_options *options = target;

	if (check_trust(&options->no_trust, err) < 0)
		return -1;
	return post_plugin(cli, operands->items[0], "push", NULL, NULL, err);
}

static int run_set(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	AUTO_FREE char *path = xasprintf("/plugins/%s/set", operands->items[0]);
	AUTO(text_fini) struct text body = { 0 };
	struct client *client = cli_client(cli, err);

	(void)target;
	text_add_char(&body, '[');
	for (size_t i = 1; i < operands->count; i++)
		members_text_item(&body, operands->items[i]);
	text_add_char(&body, ']');
	return client ? client_call(NULL, client, "POST", path, body.data, err) : -1;
}

/* What it may do is asked first; without --grant-all-permissions nobody is there to say yes. */
static int run_install(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct plugin_options *options = target;
	AUTO(json_value_freep) struct json_value *privileges = NULL;
	AUTO(text_fini) struct text path = { 0 };
	AUTO(text_fini) struct text body = { 0 };
	struct client *client;

	if (check_trust(&options->no_trust, err) < 0)
		return -1;
	client = cli_client(cli, err);
	text_add(&path, "/plugins/privileges");
	query_add(&path, "remote", operands->items[0]);
	if (!client || client_call(&privileges, client, "GET", path.data, NULL, err) < 0)
		return -1;
	if (json_value_count(privileges) && !options->grant)
		return error_set(err, ERR_FORBIDDEN, "plugin %s asks for permissions: give --grant-all-permissions",
				 operands->items[0]);
	text_reset(&path);
	text_add(&path, "/plugins/pull");
	query_add(&path, "remote", operands->items[0]);
	query_add(&path, "name", options->alias);
	json_value_encode(&body, privileges, NULL);
	if (client_call(NULL, client, "POST", path.data, body.data, err) < 0)
		return -1;
	if (options->disabled) {
		puts(operands->items[0]);
		return 0;
	}
	return post_plugin(cli, options->alias ? options->alias : operands->items[0], "enable", "timeout", "30", err);
}

static int run_upgrade(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct plugin_options *options = target;
	const char *remote = operands->count > 1 ? operands->items[1] : operands->items[0];

	if (check_trust(&options->no_trust, err) < 0)
		return -1;
	return post_plugin(cli, operands->items[0], "upgrade", "remote", remote, err);
}

static int run_create(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	AUTO(text_fini) struct text path = { 0 };
	struct client *client = cli_client(cli, err);

	(void)target;
	text_add(&path, "/plugins/create");
	query_add(&path, "name", operands->items[0]);
	if (!client || client_call(NULL, client, "POST", path.data, NULL, err) < 0)
		return -1;
	puts(operands->items[0]);
	return 0;
}

/* ---- search ---- */

struct search_options {
	const char *format;
	bool no_trunc;
	int64_t limit;
	struct text_list filters;
};

static const struct option_spec search_options[] = {
	OPTION_LIST("filter", 'f', struct search_options, filters, "filter",
		    "Filter output based on conditions provided"),
	OPTION_TEXT("format", 0, struct search_options, format, "string",
		    "'table', 'table TEMPLATE', or a Go template"),
	OPTION_I64("limit", 0, struct search_options, limit, "Max number of search results"),
	OPTION_FLAG("no-trunc", 0, struct search_options, no_trunc, "Don't truncate output"),
	OPTION_END,
};

static const struct listing_column search_columns[] = {
	{ "Name", "NAME" }, { "Description", "DESCRIPTION" }, { "StarCount", "STARS" }, { "IsOfficial", "OFFICIAL" },
	{ NULL, NULL },
};

static void add_result(struct listing *listing, const struct json_value *result, bool full)
{
	struct template_row *row = listing_add(listing);
	const char *about = text_of(result, "description");

	listing_set(row, "Name", text_of(result, "name"));
	listing_set_take(row, "Description", full ? xstrdup(about) : units_ellipsis(about, 45));
	listing_set_take(row, "StarCount",
			 xasprintf("%lld", (long long)json_value_integer(json_value_get(result, "star_count"))));
	listing_set(row, "IsOfficial", json_value_bool(json_value_get(result, "is_official")) ? "[OK]" : "");
}

static int run_search(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct search_options *options = target;
	AUTO(json_value_freep) struct json_value *results = NULL;
	AUTO(listing_fini) struct listing listing = { 0 };
	AUTO(text_fini) struct text path = { 0 };
	AUTO_FREE char *limit = options->limit ? xasprintf("%lld", (long long)options->limit) : NULL;
	AUTO(text_list_fini) struct text_list headers = { 0 };
	struct local_request request = { .method = "GET", .headers = &headers };
	struct client *client;

	text_add(&path, "/images/search");
	query_add(&path, "term", operands->items[0]);
	query_add(&path, "limit", limit);
	if (query_add_filters(&path, &options->filters, err) < 0)
		return -1;
	client = cli_client(cli, err);
	request.path = path.data;
	if (!client || auth_header(&headers, &cli->config, operands->items[0], err) < 0 ||
	    client_ask(&results, client, &request, err) < 0)
		return -1;
	listing_init(&listing, search_columns, "*registry.searchContext", options->format,
		     "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}");
	for (size_t i = 0; i < json_value_count(results); i++)
		add_result(&listing, json_value_at(results, i), options->no_trunc);
	return listing_print(&listing, err);
}

/* ---- volume update ---- */

struct volume_update_options {
	const char *availability;
};

static const struct option_spec volume_update_options[] = {
	OPTION_TEXT("availability", 0, struct volume_update_options, availability, "string",
		    "Cluster Volume availability (\"active\", \"pause\", \"drain\")"),
	OPTION_END,
};

static int run_volume_update(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct volume_update_options *options = target;
	AUTO_FREE char *path = xasprintf("/volumes/%s?version=0", operands->items[0]);
	AUTO(text_fini) struct text body = { 0 };
	struct client *client = cli_client(cli, err);

	text_add(&body, "{\"Spec\":{");
	members_text(&body, "Availability", text_or_empty(options->availability));
	text_add(&body, "}}");
	return client ? client_call(NULL, client, "PUT", path, body.data, err) : -1;
}

/* ---- commands ---- */

#define PLUGIN_COMMAND(name, use, text, table, least, most, function)                                                  \
	const struct command name = {                                                                                  \
		.usage = use,                                                                                          \
		.summary = text,                                                                                       \
		.options = table,                                                                                      \
		.options_size = sizeof(struct plugin_options),                                                         \
		.min_operands = least,                                                                                 \
		.max_operands = most,                                                                                  \
		.run = function,                                                                                       \
	}

const struct command command_plugin_ls = {
	.usage = "[OPTIONS]",
	.summary = "List plugins",
	.options = ls_options,
	.options_size = sizeof(struct ls_options),
	.run = run_ls,
};
PLUGIN_COMMAND(command_plugin_create, "[OPTIONS] PLUGIN PLUGIN-DATA-DIR",
	       "Create a plugin from a rootfs and configuration. Plugin data directory must contain config.json and "
	       "rootfs directory.",
	       create_options, 2, 2, run_create);
PLUGIN_COMMAND(command_plugin_disable, "[OPTIONS] PLUGIN", "Disable a plugin", force_options, 1, 1, run_disable);
PLUGIN_COMMAND(command_plugin_enable, "[OPTIONS] PLUGIN", "Enable a plugin", enable_options, 1, 1, run_enable);
PLUGIN_COMMAND(command_plugin_inspect, "[OPTIONS] PLUGIN [PLUGIN...]",
	       "Display detailed information on one or more plugins", inspect_options, 1, -1, run_inspect);
PLUGIN_COMMAND(command_plugin_install, "[OPTIONS] PLUGIN [KEY=VALUE...]", "Install a plugin", install_options, 1, -1,
	       run_install);
PLUGIN_COMMAND(command_plugin_push, "[OPTIONS] PLUGIN[:TAG]", "Push a plugin to a registry", push_options, 1, 1,
	       run_push);
PLUGIN_COMMAND(command_plugin_rm, "[OPTIONS] PLUGIN [PLUGIN...]", "Remove one or more plugins", force_options, 1, -1,
	       run_rm);
PLUGIN_COMMAND(command_plugin_set, "PLUGIN KEY=VALUE [KEY=VALUE...]", "Change settings for a plugin", NULL, 2, -1,
	       run_set);
PLUGIN_COMMAND(command_plugin_upgrade, "[OPTIONS] PLUGIN [REMOTE]", "Upgrade an existing plugin", upgrade_options, 1, 2,
	       run_upgrade);

const struct command command_search = {
	.usage = "[OPTIONS] TERM",
	.summary = "Search Docker Hub for images",
	.options = search_options,
	.options_size = sizeof(struct search_options),
	.min_operands = 1,
	.max_operands = 1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_search,
};

const struct command command_volume_update = {
	.usage = "[OPTIONS] VOLUME",
	.summary = "Update a volume (cluster volumes only)",
	.options = volume_update_options,
	.options_size = sizeof(struct volume_update_options),
	.min_operands = 1,
	.max_operands = 1,
	.run = run_volume_update,
};
