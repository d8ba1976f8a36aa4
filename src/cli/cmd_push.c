/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "cli/commands.h"
#include "cli/members.h"
#include "cli/progress.h"
#include "oci/reference.h"
#include "json/value.h"

#define ANSWER_MAX (16 * 1024 * 1024)

struct push_options {
	bool all_platforms;
	bool all_tags;
	bool quiet;
	const char *platform;
	struct optional_bool no_trust;
};

static const struct option_spec push_options[] = {
	OPTION_FLAG("all-platforms", 0, struct push_options, all_platforms,
		    "Push the list the image was pulled from, with the images of all platforms"),
	OPTION_FLAG("all-tags", 'a', struct push_options, all_tags, "Push all tags of an image to the repository"),
	OPTION_OPT_BOOL("disable-content-trust", 0, struct push_options, no_trust, NULL),
	OPTION_TEXT("platform", 0, struct push_options, platform, "string", "Push the image of this platform"),
	OPTION_FLAG("quiet", 'q', struct push_options, quiet, "Do not show the progress"),
	OPTION_END,
};

static int send_push(struct cli *cli, const struct reference *reference, const struct push_options *options, FILE *out,
		     struct error *err)
{
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(text_list_fini) struct text_list headers = { 0 };
	AUTO(text_fini) struct text path = { 0 };
	AUTO_FREE char *name = reference_name(reference);
	AUTO_FREE char *familiar = reference_familiar_name(reference);
	struct local_request request = { .method = "POST", .headers = &headers };
	struct client *client = cli_client(cli, err);

	if (!client || auth_header(&headers, &cli->config, name, err) < 0)
		return -1;
	text_addf(&path, "/images/%s/push", familiar);
	query_add(&path, "tag", reference->tag);
	query_add_flag(&path, "allPlatforms", options->all_platforms);
	if (query_add_platform(&path, "platform", options->platform, err) < 0)
		return -1;
	request.path = path.data;
	if (client_send(&response, client, &request, err) < 0)
		return -1;
	return progress_show(response, out, options->quiet, err);
}

int push_image(struct cli *cli, const char *name, FILE *out, bool quiet, struct error *err)
{
	const struct push_options options = { .quiet = quiet };
	AUTO(reference_fini) struct reference reference = { 0 };

	if (reference_parse(&reference, name, err) < 0)
		return -1;
	reference_default_tag(&reference);
	return send_push(cli, &reference, &options, out, err);
}

static int run_push(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct push_options *options = target;
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO_FREE char *full = NULL;

	if (check_trust(&options->no_trust, err) < 0 || reference_parse(&reference, operands->items[0], err) < 0)
		return -1;
	if (digest_is_set(&reference.digest))
		return error_set(err, ERR_INVALID, "cannot push a digest reference");
	if (options->all_platforms && options->platform)
		return error_set(err, ERR_INVALID, "--all-platforms can't be used with --platform");
	if (options->all_tags && reference.tag)
		return error_set(err, ERR_INVALID, "tag can't be used with --all-tags/-a");
	if (!options->all_tags && !reference.tag) {
		reference_default_tag(&reference);
		if (!options->quiet)
			printf("Using default tag: %s\n", reference.tag);
	}
	fflush(stdout);
	if (send_push(cli, &reference, options, stdout, err) < 0)
		return -1;
	full = reference_format(&reference);
	if (options->quiet)
		puts(full);
	return 0;
}

const struct command command_push = {
	.usage = "[OPTIONS] NAME[:TAG]",
	.summary = "Upload an image to a registry",
	.options = push_options,
	.options_size = sizeof(struct push_options),
	.min_operands = 1,
	.max_operands = 1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_push,
};

/* ---- what a name means there ---- */
