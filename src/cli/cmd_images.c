/* SPDX-License-Identifier: Apache-2.0 */
/* images, history, rmi, tag. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/units.h"
#include "oci/reference.h"

struct images_options {
	bool all;
	bool digests;
	bool no_trunc;
	bool quiet;
	bool tree;
	const char *format;
	struct text_list filters;
};

static const struct option_spec images_options[] = {
	OPTION_FLAG("all", 'a', struct images_options, all, "Show all images (default hides intermediate images)"),
	OPTION_FLAG("digests", 0, struct images_options, digests, "Show digests"),
	OPTION_LIST("filter", 'f', struct images_options, filters, "filter",
		    "Show only what meets the condition (name=value)"),
	OPTION_TEXT("format", 0, struct images_options, format, "string",
		    "'table', 'table TEMPLATE', 'json' or a Go template"),
	OPTION_FLAG("no-trunc", 0, struct images_options, no_trunc, "Don't truncate output"),
	OPTION_FLAG("quiet", 'q', struct images_options, quiet, "Only show image IDs"),
	OPTION_FLAG("tree", 0, struct images_options, tree, "Show the names of each image and its platform below them"),
	OPTION_END,
};

static const struct listing_column columns[] = { { "ID", "IMAGE ID" },
						 { "Repository", "REPOSITORY" },
						 { "Tag", "TAG" },
						 { "Digest", "DIGEST" },
						 { "CreatedSince", "CREATED" },
						 { "CreatedAt", "CREATED AT" },
						 { "Size", "SIZE" },
						 { "Containers", "CONTAINERS" },
						 { "VirtualSize", "SIZE" },
						 { "SharedSize", "SHARED SIZE" },
						 { "UniqueSize", "UNIQUE SIZE" },
						 { NULL, NULL } };

struct image_names {
	struct text_list repositories; /* of each tag */
	struct text_list tags;
	struct text_list digest_repositories;
	struct text_list digests;
};

static void image_names_fini(struct image_names *names)
{
	text_list_fini(&names->repositories);
	text_list_fini(&names->tags);
	text_list_fini(&names->digest_repositories);
	text_list_fini(&names->digests);
}

static void read_names(struct image_names *names, const struct json_value *image)
{
	const struct json_value *tags = json_value_get(image, "RepoTags");
	const struct json_value *digests = json_value_get(image, "RepoDigests");

	for (size_t i = 0; i < json_value_count(tags); i++) {
		AUTO(reference_fini) struct reference reference = { 0 };
		AUTO(error_clear) struct error ignored = { 0 };

		if (reference_parse(&reference, text_or_empty(json_value_text(json_value_at(tags, i))), &ignored) < 0 ||
		    !reference.tag)
			continue;
		text_list_add_take(&names->repositories, reference_familiar_name(&reference));
		text_list_add(&names->tags, reference.tag);
	}
	for (size_t i = 0; i < json_value_count(digests); i++) {
		AUTO(reference_fini) struct reference reference = { 0 };
		AUTO(error_clear) struct error ignored = { 0 };
		const char *text = text_or_empty(json_value_text(json_value_at(digests, i)));
		const char *at = strchr(text, '@');

		if (!at || reference_parse(&reference, text, &ignored) < 0)
			continue;
		text_list_add_take(&names->digest_repositories, reference_familiar_name(&reference));
		text_list_add(&names->digests, at + 1);
	}
}

static char *size_or_none(int64_t size, bool known)
{
	return known ? units_size((double)size, 4) : xstrdup("N/A");
}

static void add_row(struct listing *listing, const struct json_value *image, bool full, const char *repository,
		    const char *tag, const char *digest)
{
	struct template_row *row = listing_add(listing);
	const char *id = text_of(image, "Id");
	int64_t created = json_value_integer(json_value_get(image, "Created"));
	int64_t size = json_value_integer(json_value_get(image, "Size"));
	int64_t shared = json_value_integer(json_value_get(image, "SharedSize"));
	int64_t containers = json_value_integer(json_value_get(image, "Containers"));
	AUTO_FREE char *age = units_duration(clock_wall_ns() - created * CLOCK_SECOND);

	listing_set_take(row, "ID", full ? xstrdup(id) : units_short_id(id));
	listing_set(row, "Repository", repository);
	listing_set(row, "Tag", tag);
	listing_set(row, "Digest", digest);
	listing_set_take(row, "CreatedSince", xasprintf("%s ago", age));
	listing_set_take(row, "CreatedAt", units_time(created));
	listing_set_take(row, "Size", units_size((double)size, 3));
	listing_set_take(row, "VirtualSize", units_size((double)size, 4));
	listing_set_take(row, "Containers",
			 containers == -1 ? xstrdup("N/A") : xasprintf("%lld", (long long)containers));
	listing_set_take(row, "SharedSize", size_or_none(shared, shared != -1));
	listing_set_take(row, "UniqueSize", size_or_none(size - shared, shared != -1 && size != -1));
}

/* One row per tag; with digests one per tag and digest; what has only a digest gets a row too. */
static void add_rows(struct listing *listing, const struct json_value *image, const struct images_options *options,
		     bool need_digest)
{
	AUTO(image_names_fini) struct image_names names = { 0 };
	bool full = options->no_trunc;

	read_names(&names, image);
	for (size_t i = 0; i < names.tags.count; i++) {
		bool any = false;

		for (size_t j = 0; need_digest && j < names.digests.count; j++) {
			if (!text_equal(names.digest_repositories.items[j], names.repositories.items[i]))
				continue;
			add_row(listing, image, full, names.repositories.items[i], names.tags.items[i],
				names.digests.items[j]);
			any = true;
		}
		if (!any)
			add_row(listing, image, full, names.repositories.items[i], names.tags.items[i], "<none>");
	}
	for (size_t j = 0; j < names.digests.count; j++)
		if (!text_list_contains(&names.repositories, names.digest_repositories.items[j]))
			add_row(listing, image, full, names.digest_repositories.items[j], "<none>",
				options->digests ? names.digests.items[j] : "");
	if (!names.tags.count && !names.digests.count)
		add_row(listing, image, full, "<none>", "<none>", "<none>");
}

/* docker's words. */
static int check_tree(const struct images_options *options, struct error *err)
{
	const char *other = options->quiet		   ? "quiet"
			    : options->no_trunc		   ? "no-trunc"
			    : options->digests		   ? "show-digest"
			    : !text_empty(options->format) ? "format"
							   : NULL;

	if (!options->tree || !other)
		return 0;
	return error_set(err, ERR_INVALID, "--%s is not yet supported with --tree", other);
}

static int run_images(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct images_options *options = target;
	const char *format = options->format;
	AUTO(json_value_freep) struct json_value *images = NULL;
	AUTO(listing_fini) struct listing listing = { 0 };
	AUTO(text_list_fini) struct text_list filters = { 0 };
	AUTO(text_fini) struct text path = { 0 };
	AUTO_FREE char *table = NULL;
	struct client *client;

	if (check_tree(options, err) < 0)
		return -1;
	if (text_empty(format) && !options->quiet)
		format = config_text(&cli->config, "imagesFormat");
	if (options->quiet && (text_empty(format) || text_equal(format, "table")))
		format = "{{.ID}}";
	table = xasprintf("table {{.Repository}}\t{{.Tag}}\t%s{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
			  options->digests ? "{{.Digest}}\t" : "");
	listing_init(&listing, columns, "*formatter.imageContext", format, table);
	text_list_add_all(&filters, &options->filters);
	if (operands->count)
		text_list_addf(&filters, "reference=%s", operands->items[0]);
	text_add(&path, "/images/json");
	query_add_flag(&path, "all", options->all);
	if (query_add_filters(&path, &filters, err) < 0)
		return -1;
	client = cli_client(cli, err);
	if (!client || client_call(&images, client, "GET", path.data, NULL, err) < 0)
		return -1;
	if (options->tree)
		return images_print_tree(client, images, err);
	for (size_t i = 0; i < json_value_count(images); i++)
		add_rows(&listing, json_value_at(images, i), options,
			 options->digests || listing_uses(&listing, "Digest"));
	return listing_print(&listing, err);
}

const struct command command_images = {
	.usage = "[OPTIONS] [REPOSITORY[:TAG]]",
	.summary = "List images",
	.options = images_options,
	.options_size = sizeof(struct images_options),
	.min_operands = 0,
	.max_operands = 1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_images,
};

/* ---- history ---- */

struct history_options {
	const char *format;
	const char *platform;
	bool human;
	bool no_trunc;
	bool quiet;
};

static const struct option_spec history_options[] = {
	OPTION_TEXT("format", 0, struct history_options, format, "string",
		    "'table', 'table TEMPLATE', 'json' or a Go template"),
	OPTION_FLAG("human", 'H', struct history_options, human, "Print sizes and dates in human readable format"),
	OPTION_FLAG("no-trunc", 0, struct history_options, no_trunc, "Don't truncate output"),
	OPTION_TEXT("platform", 0, struct history_options, platform, "string", "Show history for the given platform"),
	OPTION_FLAG("quiet", 'q', struct history_options, quiet, "Only show image IDs"),
	OPTION_END,
};

static void history_defaults(void *options)
{
	((struct history_options *)options)->human = true;
}

static const struct listing_column history_columns[] = { { "ID", "IMAGE" },
							 { "CreatedSince", "CREATED" },
							 { "CreatedAt", "CREATED AT" },
							 { "CreatedBy", "CREATED BY" },
							 { "Size", "SIZE" },
							 { "Comment", "COMMENT" },
							 { NULL, NULL } };

static char *one_line(const char *text)
{
	char *copy = xstrdup(text);

	for (char *c = copy; *c; c++)
		if (*c == '\t')
			*c = ' ';
	return copy;
}

static void add_history_row(struct listing *listing, const struct json_value *layer,
			    const struct history_options *options)
{
	struct template_row *row = listing_add(listing);
	const char *id = text_of(layer, "Id");
	AUTO_FREE char *by = one_line(text_of(layer, "CreatedBy"));
	int64_t created = json_value_integer(json_value_get(layer, "Created"));
	int64_t size = json_value_integer(json_value_get(layer, "Size"));
	AUTO_FREE char *age = units_duration(clock_wall_ns() - created * CLOCK_SECOND);
	char moment[CLOCK_TEXT_MAX];

	clock_format(moment, created * CLOCK_SECOND);
	listing_set_take(row, "ID", options->no_trunc ? xstrdup(id) : units_short_id(id));
	listing_set(row, "CreatedAt", created ? moment : "");
	listing_set_take(row, "CreatedSince",
			 !created	  ? xstrdup("N/A")
			 : options->human ? xasprintf("%s ago", age)
					  : xstrdup(moment));
	listing_set_take(row, "CreatedBy", options->no_trunc ? xstrdup(by) : units_ellipsis(by, 45));
	listing_set_take(row, "Size",
			 options->human ? units_size((double)size, 3) : xasprintf("%lld", (long long)size));
	listing_set(row, "Comment", json_value_text(json_value_get(layer, "Comment")));
}

static int run_history(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct history_options *options = target;
	AUTO(json_value_freep) struct json_value *layers = NULL;
	AUTO(text_fini) struct text path = { 0 };
	AUTO(listing_fini) struct listing listing = { 0 };
	struct client *client = cli_client(cli, err);
	const char *format = options->quiet && text_empty(options->format) ? "{{.ID}}" : options->format;

	text_addf(&path, "/images/%s/history", operands->items[0]);
	if (!client || query_add_platform(&path, "platform", options->platform, err) < 0 ||
	    client_call(&layers, client, "GET", path.data, NULL, err) < 0)
		return -1;
	listing_init(&listing, history_columns, "*image.historyContext", format,
		     options->human ? "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
				    : "table {{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}");
	for (size_t i = 0; i < json_value_count(layers); i++)
		add_history_row(&listing, json_value_at(layers, i), options);
	return listing_print(&listing, err);
}

const struct command command_history = {
	.usage = "[OPTIONS] IMAGE",
	.summary = "Show the history of an image",
	.options = history_options,
	.options_size = sizeof(struct history_options),
	.defaults = history_defaults,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_history,
};

/* ---- rmi, tag ---- */

struct rmi_options {
	bool force;
	bool no_prune;
	struct text_list platforms;
};

static const struct option_spec rmi_options[] = {
	OPTION_FLAG("force", 'f', struct rmi_options, force, "Force removal of the image"),
	OPTION_FLAG("no-prune", 0, struct rmi_options, no_prune, "Do not delete untagged parents"),
	OPTION_STRINGS("platform", 0, struct rmi_options, platforms, "Remove only the given platform variant"),
	OPTION_END,
};

static void print_removed(const struct json_value *removed)
{
	for (size_t i = 0; i < json_value_count(removed); i++) {
		const char *deleted = json_value_text(json_value_get(json_value_at(removed, i), "Deleted"));
		const char *untagged = json_value_text(json_value_get(json_value_at(removed, i), "Untagged"));

		if (!text_empty(deleted))
			printf("Deleted: %s\n", deleted);
		else if (!text_empty(untagged))
			printf("Untagged: %s\n", untagged);
	}
}

static int run_rmi(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct rmi_options *options = target;
	struct client *client = cli_client(cli, err);
	int code = 0;

	if (!client)
		return -1;
	for (size_t i = 0; i < operands->count; i++) {
		AUTO(json_value_freep) struct json_value *removed = NULL;
		AUTO(text_fini) struct text path = { 0 };

		text_addf(&path, "/images/%s", operands->items[i]);
		query_add_flag(&path, "force", options->force);
		query_add_flag(&path, "noprune", options->no_prune);
		for (size_t j = 0; j < options->platforms.count; j++)
			if (query_add_platform(&path, "platforms", options->platforms.items[j], err) < 0)
				return -1;
		if (client_call(&removed, client, "DELETE", path.data, NULL, err) == 0) {
			print_removed(removed);
			continue;
		}
		if (options->force && err->kind == ERR_NOT_FOUND) {
			int ignored;

			cli_report(&ignored, err);
			continue;
		}
		cli_report(&code, err);
	}
	return code;
}

const struct command command_rmi = {
	.usage = "[OPTIONS] IMAGE [IMAGE...]",
	.summary = "Remove one or more images",
	.options = rmi_options,
	.options_size = sizeof(struct rmi_options),
	.min_operands = 1,
	.max_operands = -1,
	.run = run_rmi,
};

static int run_tag(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	AUTO(reference_fini) struct reference target = { 0 };
	AUTO_FREE char *repository = NULL;
	AUTO(text_fini) struct text path = { 0 };
	struct client *client;

	(void)options;
	if (reference_parse(&target, operands->items[1], err) < 0)
		return error_prefix(err, "Error parsing reference: \"%s\" is not a valid repository/tag",
				    operands->items[1]);
	if (strchr(operands->items[1], '@'))
		return error_set(err, ERR_INVALID, "refusing to create a tag with a digest reference");
	reference_default_tag(&target);
	repository = reference_name(&target);
	client = cli_client(cli, err);
	if (!client)
		return -1;
	text_addf(&path, "/images/%s/tag", operands->items[0]);
	query_add(&path, "repo", repository);
	query_add(&path, "tag", target.tag);
	return client_call(NULL, client, "POST", path.data, NULL, err);
}

const struct command command_tag = {
	.usage = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
	.summary = "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
	.min_operands = 2,
	.max_operands = 2,
	.run = run_tag,
};
