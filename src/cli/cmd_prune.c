/* SPDX-License-Identifier: Apache-2.0 */
/* container, image, volume and system prune. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/units.h"

struct prune_options {
	bool all;
	bool force;
	bool volumes;
	struct text_list filters;
	int64_t keep_storage;
};

static const struct option_spec builder_options[] = {
	OPTION_FLAG("all", 'a', struct prune_options, all, "Remove all of the cache, not just what no image uses"),
	OPTION_LIST("filter", 0, struct prune_options, filters, "filter", "Only what meets the condition (until=24h)"),
	OPTION_FLAG("force", 'f', struct prune_options, force, "Do not ask for confirmation"),
	OPTION_SIZE("keep-storage", 0, struct prune_options, keep_storage, "Keep this much of what was used last"),
	OPTION_END,
};

static const struct option_spec container_options[] = {
	OPTION_LIST("filter", 0, struct prune_options, filters, "filter", "Only what meets the condition (until=...)"),
	OPTION_FLAG("force", 'f', struct prune_options, force, "Do not ask for confirmation"),
	OPTION_END,
};

static const struct option_spec image_options[] = {
	OPTION_FLAG("all", 'a', struct prune_options, all, "Remove all unused images, not just dangling ones"),
	OPTION_LIST("filter", 0, struct prune_options, filters, "filter", "Only what meets the condition (until=...)"),
	OPTION_FLAG("force", 'f', struct prune_options, force, "Do not ask for confirmation"),
	OPTION_END,
};

static const struct option_spec volume_options[] = {
	OPTION_FLAG("all", 'a', struct prune_options, all, "Remove all unused volumes, not just anonymous ones"),
	OPTION_LIST("filter", 0, struct prune_options, filters, "filter", "Only what meets the condition (label=...)"),
	OPTION_FLAG("force", 'f', struct prune_options, force, "Do not ask for confirmation"),
	OPTION_END,
};

static const struct option_spec system_options[] = {
	OPTION_FLAG("all", 'a', struct prune_options, all, "Remove all unused images, not just dangling ones"),
	OPTION_LIST("filter", 0, struct prune_options, filters, "filter", "Only what meets the condition (label=...)"),
	OPTION_FLAG("force", 'f', struct prune_options, force, "Do not ask for confirmation"),
	OPTION_FLAG("volumes", 0, struct prune_options, volumes, "Prune anonymous volumes"),
	OPTION_END,
};

/* What one noun removes; *reclaimed grows. */
struct pruned {
	const char *path;
	const char *list;  /* key of the answer */
	const char *title; /* "Deleted Containers:" */
	const char *label; /* what a terminal shows meanwhile */
};

static const struct pruned containers = { "/containers/prune", "ContainersDeleted",
					  "Deleted Containers:", "Removing containers..." };
static const struct pruned images = { "/images/prune", "ImagesDeleted", "Deleted Images:", "Removing images..." };
static const struct pruned volumes = { "/volumes/prune", "VolumesDeleted", "Deleted Volumes:", "Removing volumes..." };
static const struct pruned networks = { "/networks/prune", "NetworksDeleted",
					"Deleted Networks:", "Removing networks..." };

static const struct pruned cache = { "/build/prune", "CachesDeleted",
				     "Deleted build cache objects:", "Removing build cache..." };

static void print_item(const struct json_value *item)
{
	const char *text = json_value_text(item);
	const char *untagged = json_value_text(json_value_get(item, "Untagged"));
	const char *deleted = json_value_text(json_value_get(item, "Deleted"));

	if (text)
		puts(text);
	else if (!text_empty(untagged))
		printf("untagged: %s\n", untagged);
	else if (!text_empty(deleted))
		printf("deleted: %s\n", deleted);
}

static int prune(struct client *client, const struct pruned *what, const struct text_list *filters, int64_t *reclaimed,
		 struct error *err)
{
	AUTO(json_value_freep) struct json_value *answer = NULL;
	AUTO(text_fini) struct text path = { 0 };
	const struct json_value *list;
	struct progress_meter meter;
	int r;

	text_add(&path, what->path);
	if (query_add_filters(&path, filters, err) < 0)
		return -1;
	progress_meter_begin(&meter, what->label, true);
	r = client_call(&answer, client, "POST", path.data, NULL, err);
	progress_meter_end(&meter);
	if (r < 0)
		return -1;
	list = json_value_get(answer, what->list);
	if (json_value_count(list))
		puts(what->title);
	for (size_t i = 0; i < json_value_count(list); i++)
		print_item(json_value_at(list, i));
	if (json_value_count(list))
		puts("");
	*reclaimed += json_value_integer(json_value_get(answer, "SpaceReclaimed"));
	return 0;
}

static int print_reclaimed(int64_t reclaimed)
{
	AUTO_FREE char *size = units_size((double)reclaimed, 4);

	printf("Total reclaimed space: %s\n", size);
	return 0;
}

static void config_filters(struct text_list *filters, const struct cli *cli)
{
	const struct json_value *list = json_value_get(cli->config.root, "pruneFilters");

	for (size_t i = 0; i < json_value_count(list); i++)
		text_list_add(filters, text_or_empty(json_value_text(json_value_at(list, i))));
}

/* 1 pruned, 0 the user thought better of it. */
static int prune_asked(struct cli *cli, const struct prune_options *options, const struct pruned *what,
		       const char *extra_filter, const char *warning, int64_t *reclaimed, struct error *err)
{
	AUTO(text_list_fini) struct text_list filters = { 0 };
	struct client *client;

	config_filters(&filters, cli);
	text_list_add_all(&filters, &options->filters);
	if (extra_filter)
		text_list_add(&filters, extra_filter);
	if (!options->force) {
		AUTO_FREE char *question = xasprintf("WARNING! %s\nAre you sure you want to continue?", warning);

		if (!terminal_confirm(question))
			return 0;
	}
	client = cli_client(cli, err);
	return !client || prune(client, what, &filters, reclaimed, err) < 0 ? -1 : 1;
}

static int prune_one(struct cli *cli, const struct prune_options *options, const struct pruned *what,
		     const char *extra_filter, const char *warning, struct error *err)
{
	int64_t reclaimed = 0;
	int r = prune_asked(cli, options, what, extra_filter, warning, &reclaimed, err);

	return r > 0 ? print_reclaimed(reclaimed) : r;
}

/* Networks take no space: docker does not speak of it. */
static int run_network_prune(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	int64_t reclaimed = 0;

	(void)operands;
	return prune_asked(cli, target, &networks, NULL,
			   "This will remove all custom networks not used by at least one container.", &reclaimed,
			   err) < 0
		       ? -1
		       : 0;
}

static int run_container_prune(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	(void)operands;
	return prune_one(cli, target, &containers, NULL, "This will remove all stopped containers.", err);
}

static int run_image_prune(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct prune_options *options = target;

	(void)operands;
	return prune_one(cli, options, &images, options->all ? "dangling=false" : "dangling=true",
			 options->all ? "This will remove all images without at least one container associated to them."
				      : "This will remove all dangling images.",
			 err);
}

static int run_volume_prune(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct prune_options *options = target;

	(void)operands;
	return prune_one(cli, options, &volumes, options->all ? "all=true" : NULL,
			 options->all ? "This will remove all local volumes not used by at least one container."
				      : "This will remove anonymous local volumes not used by at least one container.",
			 err);
}

static int prune_cache(struct client *client, const struct prune_options *options, const struct text_list *filters,
		       int64_t *reclaimed, struct error *err)
{
	AUTO(text_fini) struct text path = { 0 };
	struct pruned what = cache;

	text_add(&path, cache.path);
	query_add_flag(&path, "all", options->all);
	what.path = path.data;
	return prune(client, &what, filters, reclaimed, err);
}

static int run_builder_prune(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct prune_options *options = target;
	AUTO(text_fini) struct text path = { 0 };
	AUTO_FREE char *keep = options->keep_storage ? xasprintf("%lld", (long long)options->keep_storage) : NULL;
	struct pruned what = cache;

	(void)operands;
	text_add(&path, cache.path);
	query_add_flag(&path, "all", options->all);
	query_add(&path, "keep-storage", keep);
	what.path = path.data;
	return prune_one(cli, options, &what, NULL,
			 options->all ? "This will remove all build cache."
				      : "This will remove all build cache that no image uses.",
			 err);
}

static bool confirm_system(const struct prune_options *options)
{
	AUTO(text_fini) struct text question = { 0 };

	text_add(&question, "WARNING! This will remove:\n  - all stopped containers\n"
			    "  - all networks not used by at least one container\n");
	if (options->volumes)
		text_add(&question, "  - all anonymous volumes not used by at least one container\n");
	text_add(&question, options->all ? "  - all images without at least one container associated to them\n"
					 : "  - all dangling images\n");
	text_add(&question, options->all ? "  - all build cache\n" : "  - unused build cache\n");
	text_add(&question, "\nAre you sure you want to continue?");
	return terminal_confirm(question.data);
}

static int run_system_prune(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct prune_options *options = target;
	AUTO(text_list_fini) struct text_list image_filters = { 0 };
	AUTO(text_list_fini) struct text_list filters = { 0 };
	struct client *client;
	int64_t reclaimed = 0;

	(void)operands;
	if (!options->force && !confirm_system(options))
		return 0;
	config_filters(&filters, cli);
	text_list_add_all(&filters, &options->filters);
	text_list_add_all(&image_filters, &filters);
	text_list_add(&image_filters, options->all ? "dangling=false" : "dangling=true");
	client = cli_client(cli, err);
	if (!client || prune(client, &containers, &filters, &reclaimed, err) < 0 ||
	    prune(client, &networks, &filters, &reclaimed, err) < 0)
		return -1;
	if (options->volumes && prune(client, &volumes, &filters, &reclaimed, err) < 0)
		return -1;
	if (prune(client, &images, &image_filters, &reclaimed, err) < 0 ||
	    prune_cache(client, options, &filters, &reclaimed, err) < 0)
		return -1;
	return print_reclaimed(reclaimed);
}

#define PRUNE_COMMAND(text, table, function)                                                                           \
	{                                                                                                              \
		.usage = "[OPTIONS]", .summary = text, .options = table, .options_size = sizeof(struct prune_options), \
		.min_operands = 0, .max_operands = 0, .run = function                                                  \
	}

const struct command command_builder_prune = PRUNE_COMMAND("Remove build cache", builder_options, run_builder_prune);
const struct command command_container_prune = PRUNE_COMMAND("Remove all stopped containers", container_options,
							     run_container_prune);
const struct command command_network_prune = PRUNE_COMMAND("Remove all unused networks", container_options,
							   run_network_prune);
const struct command command_image_prune = PRUNE_COMMAND("Remove unused images", image_options, run_image_prune);
const struct command command_volume_prune = PRUNE_COMMAND("Remove unused local volumes", volume_options,
							  run_volume_prune);
const struct command command_system_prune = PRUNE_COMMAND("Remove unused data", system_options, run_system_prune);
