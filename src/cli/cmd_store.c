/* SPDX-License-Identifier: Apache-2.0 */
/* store check: what is on disk, proven. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "json/value.h"

#define LINE_MAX_BYTES (64 * 1024)

struct check_options {
	bool repair;
	bool quiet;
};

static const struct option_spec check_options[] = {
	OPTION_FLAG("quiet", 'q', struct check_options, quiet, "Print problems only"),
	OPTION_FLAG("repair", 0, struct check_options, repair,
		    "Put damaged blobs aside, unpack damaged layers again, fetch what is missing"),
	OPTION_END,
};

struct checking {
	const struct check_options *options;
	bool whole;	/* the summary came */
	long long left; /* problems */
};

static long long number_of(const struct json_value *value, const char *key)
{
	return json_value_integer(json_value_get(value, key));
}

static void print_summary(struct checking *checking, const struct json_value *summary)
{
	checking->whole = true;
	checking->left = number_of(summary, "problems");
	if (checking->options->quiet)
		return;
	printf("%lld blobs, %lld layers, %lld images: %lld problems\n", number_of(summary, "blobs"),
	       number_of(summary, "layers"), number_of(summary, "images"), checking->left);
	if (number_of(summary, "unchecked"))
		printf("%lld layers have no stored archive to be compared with\n", number_of(summary, "unchecked"));
}

static int print_line(struct checking *checking, const char *line, size_t size, struct error *err)
{
	AUTO(json_value_freep) struct json_value *value = NULL;
	const struct json_value *problem;
	const struct json_value *fetched;
	const char *error;

	if (json_value_parse(&value, line, size, err) < 0)
		return error_prefix(err, "the engine's answer");
	error = text_of(value, "error");
	if (*error)
		return error_set(err, ERR_INTERNAL, "%s", error);
	problem = json_value_get(value, "problem");
	fetched = json_value_get(value, "fetched");
	if (problem)
		printf("%s %s: %s%s\n", text_of(problem, "kind"), text_of(problem, "id"), text_of(problem, "text"),
		       json_value_bool(json_value_get(problem, "repaired")) ? " (repaired)" : "");
	else if (fetched)
		printf("image %s: fetch from %s: %s\n", text_of(fetched, "id"), text_of(fetched, "from"),
		       *text_of(fetched, "error") ? text_of(fetched, "error") : "done");
	else if (json_value_get(value, "summary"))
		print_summary(checking, json_value_get(value, "summary"));
	fflush(stdout);
	return 0;
}

static int print_lines(struct checking *checking, struct local_response *response, struct error *err)
{
	struct buffer buffer;
	char piece[4096];
	ssize_t got;
	int r = 0;

	buffer_init(&buffer, LINE_MAX_BYTES);
	while (r == 0 && (got = local_response_read(response, piece, sizeof(piece), err)) != 0) {
		const uint8_t *end;

		if (got < 0)
			r = -1;
		else
			buffer_append(&buffer, piece, (size_t)got);
		if (r == 0 && buffer_failed(&buffer))
			r = error_set(err, ERR_INVALID, "the engine's answer has a line that is too long");
		while (r == 0 && (end = memchr(buffer.data, '\n', buffer.size))) {
			size_t size = (size_t)(end - buffer.data);

			r = print_line(checking, (const char *)buffer.data, size, err);
			buffer_consume(&buffer, size + 1);
		}
	}
	buffer_fini(&buffer);
	return r;
}

static int run_check(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	AUTO(local_response_freep) struct local_response *response = NULL;
	struct checking checking = { .options = target };
	AUTO(text_fini) struct text path = { 0 };
	struct local_request request = { .method = "POST" };
	struct client *client = cli_client(cli, err);

	(void)operands;
	text_add(&path, "/store/check");
	query_add_flag(&path, "repair", checking.options->repair);
	request.path = path.data;
	if (!client || client_send(&response, client, &request, err) < 0 || print_lines(&checking, response, err) < 0)
		return -1;
	if (!checking.whole)
		return error_set(err, ERR_INTERNAL, "the engine ended before the check did");
	return checking.left > 0 ? 1 : 0;
}

const struct command command_store_check = {
	.usage = "[OPTIONS]",
	.summary = "Check every blob, layer and image on disk",
	.options = check_options,
	.options_size = sizeof(struct check_options),
	.max_operands = 0,
	.run = run_check,
};
