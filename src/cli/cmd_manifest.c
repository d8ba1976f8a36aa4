/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest create, annotate, inspect, push, rm: lists of images for several
 * platforms. A list that is not pushed yet is a file below the client's folder.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/image_tool.h"
#include "oci/reference.h"

/* manifests/<host>_<path>-<tag>.json, as docker spells such names; yours. */
static char *list_path(const struct cli *cli, const char *name, struct error *err)
{
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO_FREE char *full = NULL;

	if (reference_parse(&reference, name, err) < 0)
		return NULL;
	reference_default_tag(&reference);
	full = reference_format(&reference);
	for (char *c = full; *c; c++)
		if (*c == '/' || *c == ':')
			*c = *c == '/' ? '_' : '-';
	return xasprintf("%s/manifests/%s.json", cli->config.folder, full);
}

static int run_job(struct cli *cli, const char *act, struct tool_options *options, const struct text_list *operands,
		   struct error *err)
{
	AUTO_FREE char *path = list_path(cli, operands->items[0], err);
	int r;

	if (!path)
		return -1;
	options->destination = options->source;
	options->output = path;
	r = tool_run(cli, act, options, operands, err);
	options->output = NULL;
	return r;
}

#define DEFINE_LIST_JOB(function, act)                                                                                 \
	static int function(struct cli *cli, void *options, const struct text_list *operands, struct error *err)       \
	{                                                                                                              \
		return run_job(cli, act, options, operands, err);                                                      \
	}

#define LIST_COMMAND(use, text, table, least, most, function)                                                          \
	{                                                                                                              \
		.usage = use, .summary = text, .options = table, .options_size = sizeof(struct tool_options),          \
		.min_operands = least, .max_operands = most, .flags = COMMAND_PLAIN_OPERANDS, .run = function          \
	}

static int set_insecure(void *target, const char *value, struct error *err)
{
	struct tool_options *options = target;

	(void)value;
	(void)err;
	options->source.tls_verify = (struct optional_bool){ .set = true, .value = false };
	return 0;
}

#define INSECURE_OPTION OPTION_CALL_FLAG("insecure", 0, set_insecure, "Without TLS, or without a good certificate")

static const struct option_spec create_options[] = {
	OPTION_FLAG("amend", 'a', struct tool_options, force, "Change a list that is there already"),
	INSECURE_OPTION,
	OPTION_END,
};

DEFINE_LIST_JOB(run_create, "manifest-create")
const struct command command_manifest_create = LIST_COMMAND("[OPTIONS] LIST IMAGE [IMAGE...]",
							    "Make a list of images in a registry, to be pushed",
							    create_options, 2, -1, run_create);

static const struct option_spec annotate_options[] = {
	OPTION_TEXT("arch", 0, struct tool_options, arch, "string", "Architecture"),
	OPTION_TEXT("os", 0, struct tool_options, os, "string", "Operating system"),
	OPTION_STRINGS("os-features", 0, struct tool_options, os_features, "Features of it that are needed"),
	OPTION_TEXT("os-version", 0, struct tool_options, os_version, "string", "Its version"),
	OPTION_TEXT("variant", 0, struct tool_options, variant, "string", "Variant of the architecture"),
	OPTION_END,
};

DEFINE_LIST_JOB(run_annotate, "manifest-annotate")
const struct command command_manifest_annotate = LIST_COMMAND(
	"[OPTIONS] LIST IMAGE", "Say which platform an image of a list is for", annotate_options, 2, 2, run_annotate);

static const struct option_spec inspect_options[] = {
	INSECURE_OPTION,
	OPTION_FLAG("verbose", 'v', struct tool_options, verbose, "Each image with its own manifest"),
	OPTION_END,
};

DEFINE_LIST_JOB(run_inspect, "manifest-inspect")
const struct command command_manifest_inspect =
	LIST_COMMAND("[OPTIONS] MANIFEST", "Print a list that is not pushed yet, or a manifest of a registry",
		     inspect_options, 1, 1, run_inspect);

/* ---- rm ---- */

static int remove_list(const struct cli *cli, const char *name, struct error *err)
{
	AUTO_FREE char *path = list_path(cli, name, err);

	if (!path)
		return -1;
	if (unlink(path) < 0)
		return errno == ENOENT ? error_set(err, ERR_NOT_FOUND, "No such manifest: %s", name)
				       : error_set_errno(err, ERR_INTERNAL, errno, "remove %s", path);
	return 0;
}

static int run_rm(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	int code = 0;

	(void)options;
	for (size_t i = 0; i < operands->count; i++)
		if (remove_list(cli, operands->items[i], err) < 0)
			cli_report(&code, err);
	return code;
}

const struct command command_manifest_rm = {
	.usage = "LIST [LIST...]",
	.summary = "Remove lists that were not pushed",
	.min_operands = 1,
	.max_operands = -1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_rm,
};

static const struct option_spec push_options[] = {
	INSECURE_OPTION,
	OPTION_FLAG("purge", 'p', struct tool_options, force, "Remove the list here when it is pushed"),
	OPTION_END,
};

static int run_push(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	struct tool_options *options = target;
	int code = run_job(cli, "manifest-push", options, operands, err);

	return code == 0 && options->force ? remove_list(cli, operands->items[0], err) : code;
}

const struct command command_manifest_push = LIST_COMMAND("[OPTIONS] LIST", "Push a list to its registry", push_options,
							  1, 1, run_push);
