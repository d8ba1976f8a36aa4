/* SPDX-License-Identifier: Apache-2.0 */
/* inspect, and container, image, volume and network inspect. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "oci/platform.h"

struct inspect_options {
	const char *format;
	const char *type;
	const char *platform;
	bool size;
	bool verbose;
};

static const struct option_spec inspect_options[] = {
	OPTION_TEXT("format", 'f', struct inspect_options, format, "string", "'json' or a Go template"),
	OPTION_FLAG("size", 's', struct inspect_options, size, "Display total file sizes if it is a container"),
	OPTION_TEXT("type", 0, struct inspect_options, type, "string", "Only inspect objects of this type"),
	OPTION_END,
};

static const struct option_spec container_options[] = {
	OPTION_TEXT("format", 'f', struct inspect_options, format, "string", "'json' or a Go template"),
	OPTION_FLAG("size", 's', struct inspect_options, size, "Display total file sizes"),
	OPTION_END,
};

static const struct option_spec network_options[] = {
	OPTION_TEXT("format", 'f', struct inspect_options, format, "string", "'json' or a Go template"),
	OPTION_FLAG("verbose", 'v', struct inspect_options, verbose, "More output for diagnostics"),
	OPTION_END,
};

static const struct option_spec volume_options[] = {
	OPTION_TEXT("format", 'f', struct inspect_options, format, "string", "'json' or a Go template"),
	OPTION_END,
};

/* In the order docker looks. */
static const struct {
	const char *type;
	const char *path; /* with %s for the name */
	const char *tail;
} kinds[] = { { "container", "/containers/", "/json" },
	      { "image", "/images/", "/json" },
	      { "network", "/networks/", "" },
	      { "volume", "/volumes/", "" } };

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

/* {"os":"linux","architecture":"arm64"} */
int query_add_platform(struct text *path, const char *key, const char *text, struct error *err)
{
	AUTO(platform_fini) struct platform platform = { 0 };
	AUTO_FREE char *json = NULL;

	if (text_empty(text))
		return 0;
	if (platform_parse(&platform, text, err) < 0)
		return -1;
	json = json_encode(&platform, platform_fields);
	query_add(path, key, json);
	return 0;
}

static int get_object(struct json_value **out_object, struct client *client, const struct inspect_options *options,
		      size_t kind, const char *name, struct error *err)
{
	AUTO(text_fini) struct text path = { 0 };

	text_addf(&path, "%s%s%s", kinds[kind].path, name, kinds[kind].tail);
	if (kind == 0)
		query_add_flag(&path, "size", options->size);
	if (kind == 1 && query_add_platform(&path, "platform", options->platform, err) < 0)
		return -1;
	if (text_equal(kinds[kind].type, "network"))
		query_add(&path, "verbose", options->verbose ? "true" : NULL);
	return client_call(out_object, client, "GET", path.data, NULL, err);
}

/* The first kind that knows the name. */
static int find_object(struct json_value **out_object, struct client *client, const struct inspect_options *options,
		       const char *name, struct error *err)
{
	for (size_t i = 0; i < KIND_COUNT; i++) {
		if (!text_empty(options->type) && !text_equal(options->type, kinds[i].type))
			continue;
		if (get_object(out_object, client, options, i, name, err) == 0)
			return 0;
		if (err->kind != ERR_NOT_FOUND || !text_empty(options->type))
			return -1;
		error_clear(err);
	}
	return error_set(err, ERR_NOT_FOUND, "Error: No such object: %s", name);
}

/* An object as docker prints it: an element of an indented array, or through the template. */
static int add_object(struct text *out, const struct template *template, const struct json_value *object, bool first,
		      bool json, struct error *err)
{
	AUTO(text_fini) struct text pretty = { 0 };

	if (template) {
		if (template_run(template, &pretty, template_value_of_json(object, NULL), 0, err) < 0) {
			text_add_char(out, '\n');
			return error_prefix(err, "template parsing error");
		}
		text_addf(out, "%s\n", pretty.data ? pretty.data : "");
		return 0;
	}
	json_value_encode(&pretty, object, json ? NULL : "    ");
	text_add(out, first ? "" : ",");
	if (!json)
		text_add(out, "\n    ");
	for (const char *c = pretty.data; *c; c++) {
		text_add_char(out, *c);
		if (*c == '\n')
			text_add(out, "    ");
	}
	return 0;
}

/* Every object that is there, to `out`; what is not, to `failures`. */
static void collect(struct text *out, struct text_list *failures, const struct text_list *names, bool json,
		    const struct template *template, inspect_finder find, void *arg)
{
	AUTO(error_clear) struct error err = { 0 };
	bool first = true;

	for (size_t i = 0; i < names->count && !error_is_set(&err); i++) {
		AUTO(json_value_freep) struct json_value *object = NULL;

		if (find(&object, arg, names->items[i], &err) < 0) {
			text_list_add(failures, err.message);
			error_clear(&err);
			continue;
		}
		add_object(out, template, object, first, json, &err);
		first = false;
	}
	if (error_is_set(&err))
		text_list_add(failures, err.message);
}

int inspect_objects(const struct text_list *names, const char *format, inspect_finder find, void *arg,
		    struct error *err)
{
	AUTO(template_freep) struct template *template = NULL;
	AUTO(text_list_fini) struct text_list failures = { 0 };
	AUTO(text_fini) struct text out = { 0 };
	bool json = text_equal(format, "json");
	int code;

	if (!text_empty(format) && !json && template_parse(&template, format, err) < 0) {
		error_prefix(err, "template parsing error");
		cli_report(&code, err);
		return 64;
	}
	collect(&out, &failures, names, json, template, find, arg);
	if (template)
		fputs(out.size ? out.data : "\n", stdout);
	else
		printf("[%s%s]\n", out.size ? out.data : "", out.size && !json ? "\n" : "");
	fflush(stdout);
	for (size_t i = 0; i < failures.count; i++)
		fprintf(stderr, "%s\n", failures.items[i]);
	return failures.count ? 1 : 0;
}

struct search {
	struct cli *cli;
	const struct inspect_options *options;
};

static int find_by_search(struct json_value **out_object, void *arg, const char *name, struct error *err)
{
	const struct search *search = arg;

	return find_object(out_object, cli_client(search->cli, err), search->options, name, err);
}

static int inspect(struct cli *cli, const struct inspect_options *options, const struct text_list *operands,
		   struct error *err)
{
	struct search search = { cli, options };
	AUTO(template_freep) struct template *template = NULL;
	AUTO(error_clear) struct error bad = { 0 };
	bool plain = text_empty(options->format) || text_equal(options->format, "json");

	/* A bad template is told even where no engine answers. */
	if ((plain || template_parse(&template, options->format, &bad) == 0) && !cli_client(cli, err))
		return -1;
	return inspect_objects(operands, options->format, find_by_search, &search, err);
}

static int run_inspect(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	const char *type = ((struct inspect_options *)options)->type;
	bool known = text_empty(type);

	for (size_t i = 0; i < KIND_COUNT; i++)
		known = known || text_equal(type, kinds[i].type);
	if (!known)
		return error_set(
			err, ERR_INVALID,
			"unknown type: \"%s\": must be one of \"container\", \"image\", \"network\", \"volume\"", type);
	return inspect(cli, options, operands, err);
}

#define DEFINE_INSPECT(name, kind)                                                                                     \
	static int name(struct cli *cli, void *options, const struct text_list *operands, struct error *err)           \
	{                                                                                                              \
		((struct inspect_options *)options)->type = kind;                                                      \
		return inspect(cli, options, operands, err);                                                           \
	}

DEFINE_INSPECT(run_container_inspect, "container")
DEFINE_INSPECT(run_volume_inspect, "volume")
DEFINE_INSPECT(run_network_inspect, "network")

int inspect_images(struct cli *cli, const char *format, const char *platform, const struct text_list *names,
		   struct error *err)
{
	const struct inspect_options options = { .format = format, .type = "image", .platform = platform };
	AUTO(text_list_fini) struct text_list escaped = { 0 };

	for (size_t i = 0; i < names->count; i++)
		text_list_add_take(&escaped, command_escape_name(names->items[i]));
	return inspect(cli, &options, &escaped, err);
}

#define INSPECT_COMMAND(use, text, table, function)                                                                    \
	{                                                                                                              \
		.usage = use, .summary = text, .options = table, .options_size = sizeof(struct inspect_options),       \
		.min_operands = 1, .max_operands = -1, .run = function                                                 \
	}

const struct command command_inspect = INSPECT_COMMAND(
	"[OPTIONS] NAME|ID [NAME|ID...]", "Return low-level information on kist objects", inspect_options, run_inspect);
const struct command command_container_inspect =
	INSPECT_COMMAND("[OPTIONS] CONTAINER [CONTAINER...]", "Display detailed information on one or more containers",
			container_options, run_container_inspect);
const struct command command_volume_inspect = INSPECT_COMMAND("[OPTIONS] VOLUME [VOLUME...]",
							      "Display detailed information on one or more volumes",
							      volume_options, run_volume_inspect);
const struct command command_network_inspect = INSPECT_COMMAND("[OPTIONS] NETWORK [NETWORK...]",
							       "Display detailed information on one or more networks",
							       network_options, run_network_inspect);
