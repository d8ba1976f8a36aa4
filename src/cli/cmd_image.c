/* SPDX-License-Identifier: Apache-2.0 */
/* image copy and the other commands of kist-image: they need no engine. */
#include <stdlib.h>

#include "base/alloc.h"
#include "cli/image_tool.h"

#define ACCESS_OPTIONS                                                                                                 \
	OPTION_TEXT("cert-dir", 0, struct tool_options, source.cert_dir, "path",                                       \
		    "Folder with *.crt, *.cert and *.key for the registry"),                                           \
		OPTION_TEXT("creds", 0, struct tool_options, source.creds, "user[:password]",                          \
			    "Credentials for the registry"),                                                           \
		OPTION_FLAG("no-creds", 0, struct tool_options, source.no_creds, "Ask the registry as nobody"),        \
		OPTION_OPT_BOOL("tls-verify", 0, struct tool_options, source.tls_verify,                               \
				"Want HTTPS and a good certificate (=false: neither)")

#define BOTH_ACCESS_OPTIONS                                                                                            \
	OPTION_TEXT("dest-cert-dir", 0, struct tool_options, destination.cert_dir, "path",                             \
		    "Folder with *.crt, *.cert and *.key for the destination"),                                        \
		OPTION_TEXT("dest-creds", 0, struct tool_options, destination.creds, "user[:password]",                \
			    "Credentials for the destination"),                                                        \
		OPTION_FLAG("dest-no-creds", 0, struct tool_options, destination.no_creds,                             \
			    "Ask the destination as nobody"),                                                          \
		OPTION_OPT_BOOL("dest-tls-verify", 0, struct tool_options, destination.tls_verify,                     \
				"Want HTTPS and a good certificate of the destination (=false: neither)"),             \
		OPTION_TEXT("src-cert-dir", 0, struct tool_options, source.cert_dir, "path",                           \
			    "Folder with *.crt, *.cert and *.key for the source"),                                     \
		OPTION_TEXT("src-creds", 0, struct tool_options, source.creds, "user[:password]",                      \
			    "Credentials for the source"),                                                             \
		OPTION_FLAG("src-no-creds", 0, struct tool_options, source.no_creds, "Ask the source as nobody"),      \
		OPTION_OPT_BOOL("src-tls-verify", 0, struct tool_options, source.tls_verify,                           \
				"Want HTTPS and a good certificate of the source (=false: neither)")

#define PLATFORM_OPTION                                                                                                \
	OPTION_TEXT("platform", 0, struct tool_options, platform, "string",                                            \
		    "Choose this platform's image from an index (linux/arm64)")

/* A command that only hands its operands on. */
#define DEFINE_JOB(function, act)                                                                                      \
	static int function(struct cli *cli, void *options, const struct text_list *operands, struct error *err)       \
	{                                                                                                              \
		return tool_run(cli, act, options, operands, err);                                                     \
	}

#define JOB_COMMAND(use, text, table, least, most, function)                                                           \
	{                                                                                                              \
		.usage = use, .summary = text, .options = table, .options_size = sizeof(struct tool_options),          \
		.min_operands = least, .max_operands = most, .flags = COMMAND_PLAIN_OPERANDS, .run = function          \
	}

static const struct option_spec copy_options[] = {
	OPTION_FLAG("all", 'a', struct tool_options, all, "Copy all images of an index, not one platform's"),
	BOTH_ACCESS_OPTIONS,
	OPTION_TEXT("format", 'f', struct tool_options, format, "string",
		    "Format of the manifest: oci or v2s2 (default: as it is, if the destination can)"),
	PLATFORM_OPTION,
	OPTION_FLAG("preserve-digests", 0, struct tool_options, preserve_digests,
		    "Fail if a manifest would have to be changed"),
	OPTION_FLAG("referrers", 0, struct tool_options, referrers,
		    "Between registries: also copy what refers to it, signatures and SBOMs"),
	OPTION_FLAG("quiet", 'q', struct tool_options, quiet, "Print digests only"),
	OPTION_END,
};

static int run_copy(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	return tool_copy(cli, options, operands, err);
}

const struct command command_image_copy =
	JOB_COMMAND("[OPTIONS] SOURCE DESTINATION",
		    "Copy an image between docker://, oci:, oci-archive:, docker-archive:, dir: and the store",
		    copy_options, 2, 2, run_copy);

DEFINE_JOB(run_sync, "sync")
const struct command command_image_sync = JOB_COMMAND(
	"[OPTIONS] REPOSITORY DESTINATION",
	"Copy every tag of a repository into a registry, dir: folder or oci: layout", copy_options, 2, 2, run_sync);

static const struct option_spec one_options[] = {
	ACCESS_OPTIONS,
	PLATFORM_OPTION,
	OPTION_END,
};

static const struct option_spec access_options[] = {
	ACCESS_OPTIONS,
	OPTION_END,
};

DEFINE_JOB(run_digest, "digest")
const struct command command_image_digest = JOB_COMMAND("[OPTIONS] IMAGE [IMAGE...]",
							"Print the digest a name has in its registry now", one_options,
							1, -1, run_digest);

DEFINE_JOB(run_manifest, "manifest")
const struct command command_image_manifest = JOB_COMMAND(
	"[OPTIONS] IMAGE", "Print the manifest or index of an image, byte by byte", one_options, 1, 1, run_manifest);

DEFINE_JOB(run_config, "config")
const struct command command_image_config = JOB_COMMAND("[OPTIONS] IMAGE", "Print the config of an image, byte by byte",
							one_options, 1, 1, run_config);

DEFINE_JOB(run_validate, "validate")
const struct command command_image_validate = JOB_COMMAND("[OPTIONS] IMAGE",
							  "Check every document, blob and layer of an image or index",
							  access_options, 1, 1, run_validate);

DEFINE_JOB(run_ls_tags, "ls-tags")
const struct command command_image_ls_tags = JOB_COMMAND("[OPTIONS] REPOSITORY", "List the tags of a repository",
							 access_options, 1, 1, run_ls_tags);

DEFINE_JOB(run_catalog, "catalog")
const struct command command_image_catalog = JOB_COMMAND("[OPTIONS] REGISTRY", "List the repositories of a registry",
							 access_options, 1, 1, run_catalog);

static const struct option_spec referrers_options[] = {
	OPTION_TEXT("artifact-type", 0, struct tool_options, artifact_type, "string", "Only those of this type"),
	ACCESS_OPTIONS,
	OPTION_FLAG("raw", 0, struct tool_options, raw, "Print the index as the registry gave it"),
	OPTION_END,
};

DEFINE_JOB(run_referrers, "referrers")
const struct command command_image_referrers =
	JOB_COMMAND("[OPTIONS] IMAGE", "List what refers to an image: signatures, SBOMs and other artifacts",
		    referrers_options, 1, 1, run_referrers);

static const struct option_spec delete_options[] = {
	OPTION_FLAG("by-digest", 0, struct tool_options, by_digest, "Delete the manifest with all its tags"),
	ACCESS_OPTIONS,
	OPTION_END,
};

DEFINE_JOB(run_delete, "delete")
const struct command command_image_delete = JOB_COMMAND("[OPTIONS] IMAGE", "Delete a tag or manifest from its registry",
							delete_options, 1, 1, run_delete);

/* ---- other images from images ---- */

#define TARGET_OPTION                                                                                                  \
	OPTION_TEXT("tag", 't', struct tool_options, output, "string",                                                 \
		    "Where the new image goes: a name in a registry, oci:, dir:, ... (default: the old one's)")

static const struct option_spec append_options[] = {
	ACCESS_OPTIONS,
	OPTION_LIST("file", 'f', struct tool_options, files, "path", "Tar of a layer, plain or packed"),
	PLATFORM_OPTION,
	TARGET_OPTION,
	OPTION_END,
};

static int run_append(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	if (((struct tool_options *)options)->files.count == 0)
		return error_set(err, ERR_INVALID, "name at least one layer with --file");
	return tool_run(cli, "append", options, operands, err);
}

const struct command command_image_append = JOB_COMMAND("[OPTIONS] IMAGE", "Put layers on top of an image",
							append_options, 1, 1, run_append);

static const struct option_spec mutate_options[] = {
	OPTION_LIST("annotation", 'a', struct tool_options, annotations, "name=value", "Annotation of the manifest"),
	OPTION_FLAG("clear-cmd", 0, struct tool_options, clear_cmd, "Without any command"),
	OPTION_FLAG("clear-entrypoint", 0, struct tool_options, clear_entrypoint, "Without any entrypoint"),
	OPTION_LIST("cmd", 0, struct tool_options, cmd, "word", "Word of the command (once for each)"),
	ACCESS_OPTIONS,
	OPTION_LIST("entrypoint", 0, struct tool_options, entrypoint, "word", "Word of the entrypoint (once for each)"),
	OPTION_LIST("env", 'e', struct tool_options, env, "name=value", "Environment variable"),
	OPTION_LIST("expose", 0, struct tool_options, ports, "port", "Port it listens on: 80, 53/udp"),
	OPTION_LIST("label", 'l', struct tool_options, labels, "name=value", "Label of the image"),
	PLATFORM_OPTION,
	OPTION_TEXT("set-platform", 0, struct tool_options, set_platform, "string", "Platform it says it is for"),
	TARGET_OPTION,
	OPTION_TEXT("user", 'u', struct tool_options, user, "string", "User its processes run as"),
	OPTION_TEXT("workdir", 'w', struct tool_options, workdir, "string", "Working directory"),
	OPTION_END,
};

DEFINE_JOB(run_mutate, "mutate")
const struct command command_image_mutate = JOB_COMMAND(
	"[OPTIONS] IMAGE", "Change what an image says of itself, not its layers", mutate_options, 1, 1, run_mutate);

static const struct option_spec rebase_options[] = {
	ACCESS_OPTIONS,
	OPTION_TEXT("new-base", 0, struct tool_options, new_base, "string",
		    "The base it shall have (default: what its annotations name)"),
	OPTION_TEXT("old-base", 0, struct tool_options, base, "string",
		    "The base it was built on (default: what its annotations name)"),
	PLATFORM_OPTION,
	TARGET_OPTION,
	OPTION_END,
};

DEFINE_JOB(run_rebase, "rebase")
const struct command command_image_rebase =
	JOB_COMMAND("[OPTIONS] IMAGE", "Exchange the lower layers of an image for those of another base",
		    rebase_options, 1, 1, run_rebase);

static const struct option_spec flatten_options[] = {
	ACCESS_OPTIONS,
	PLATFORM_OPTION,
	TARGET_OPTION,
	OPTION_END,
};

DEFINE_JOB(run_flatten, "flatten")
const struct command command_image_flatten = JOB_COMMAND("[OPTIONS] IMAGE", "Make one layer of all", flatten_options, 1,
							 1, run_flatten);

DEFINE_JOB(run_export, "export")
const struct command command_image_export = JOB_COMMAND(
	"[OPTIONS] IMAGE [FILE|-]", "Write the file system of an image as a tar", one_options, 1, 2, run_export);

/* ---- inspect: the engine's images, or those of other places ---- */

static const struct option_spec inspect_options[] = {
	ACCESS_OPTIONS,
	OPTION_FLAG("config", 0, struct tool_options, config, "Print the config (of docker://, oci:, ... images)"),
	OPTION_TEXT("format", 'f', struct tool_options, format, "string", "'json' or a Go template"),
	OPTION_TEXT("platform", 0, struct tool_options, platform, "string", NULL),
	OPTION_FLAG("raw", 0, struct tool_options, raw, "Print the manifest, or with --config the config, as it is"),
	OPTION_END,
};

static int run_inspect(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct tool_options *options = target;

	if (!options->raw && !options->config && !tool_is_place(operands->items[0]))
		return inspect_images(cli, options->format, options->platform, operands, err);
	if (!text_empty(options->format))
		return error_set(err, ERR_INVALID, "--format is for images of the engine");
	if (operands->count > 1)
		return error_set(err, ERR_INVALID, "one image at a time can be inspected outside of the engine");
	return tool_run(cli, "inspect", options, operands, err);
}

const struct command command_image_inspect = JOB_COMMAND("[OPTIONS] IMAGE [IMAGE...]",
							 "Display detailed information on one or more images",
							 inspect_options, 1, -1, run_inspect);
