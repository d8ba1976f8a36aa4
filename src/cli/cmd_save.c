/* SPDX-License-Identifier: Apache-2.0 */
/* save, load: images as archives. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "oci/platform.h"

#define COPY_SIZE (256 * 1024)

/* --platform as the API wants it: JSON. */
static int add_platform(struct text *path, const char *platform, struct error *err)
{
	AUTO(platform_fini) struct platform parsed = { 0 };
	AUTO_FREE char *json = NULL;

	if (text_empty(platform))
		return 0;
	if (platform_parse(&parsed, platform, err) < 0)
		return -1;
	json = json_encode(&parsed, platform_fields);
	query_add(path, "platform", json);
	return 0;
}

/* ---- save ---- */

struct save_options {
	const char *output;
	const char *platform;
};

static const struct option_spec save_options[] = {
	OPTION_TEXT("output", 'o', struct save_options, output, "string", "Write to a file, instead of STDOUT"),
	OPTION_TEXT("platform", 0, struct save_options, platform, "string", "Save only this platform (linux/arm64)"),
	OPTION_END,
};

static int copy(struct local_response *response, int fd, struct progress_meter *meter, struct error *err)
{
	AUTO_FREE char *block = xmalloc(COPY_SIZE);
	ssize_t got;

	while ((got = local_response_read(response, block, COPY_SIZE, err)) > 0) {
		int r = write_full(fd, block, (size_t)got);

		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "write the archive");
		progress_meter_add(meter, (uint64_t)got);
	}
	return got < 0 ? -1 : 0;
}

/* The line is gone before anybody writes an error. */
int save_to_fd(struct local_response *response, int fd, const char *label, struct error *err)
{
	struct progress_meter meter;
	int r;

	progress_meter_begin(&meter, label, !isatty(fd));
	r = copy(response, fd, &meter, err);
	progress_meter_end(&meter);
	return r;
}

/* A file gets its name when it is whole: one that was there stays until then. */
static int save_to_file(struct local_response *response, const char *output, const char *label, struct error *err)
{
	AUTO_FREE char *part = xasprintf("%s.part-%ld", output, (long)getpid());
	AUTO_CLOSE int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_set_errno(err, ERR_INVALID, errno, "create %s", output);
	if (save_to_fd(response, fd, label, err) < 0) {
		unlink(part);
		return -1;
	}
	if (rename(part, output) < 0) {
		int errnum = errno;

		unlink(part);
		return error_set_errno(err, ERR_INVALID, errnum, "write %s", output);
	}
	return 0;
}

int save_answer(struct local_response *response, const char *output, const char *label, struct error *err)
{
	return output ? save_to_file(response, output, label, err) : save_to_fd(response, STDOUT_FILENO, label, err);
}

static int run_save(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct save_options *options = target;
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(text_fini) struct text path = { 0 };
	struct local_request request = { .method = "GET" };
	struct client *client;

	if (!options->output && isatty(STDOUT_FILENO))
		return error_set(err, ERR_INVALID,
				 "cowardly refusing to save to a terminal. Use the -o flag or redirect");
	text_add(&path, "/images/get");
	for (size_t i = 0; i < operands->count; i++)
		query_add(&path, "names", operands->items[i]);
	if (add_platform(&path, options->platform, err) < 0)
		return -1;
	client = cli_client(cli, err);
	request.path = path.data;
	if (!client || client_send(&response, client, &request, err) < 0)
		return -1;
	return save_answer(response, options->output, "Saving - ", err);
}

const struct command command_save = {
	.usage = "[OPTIONS] IMAGE [IMAGE...]",
	.summary = "Save one or more images to a tar archive (streamed to STDOUT by default)",
	.options = save_options,
	.options_size = sizeof(struct save_options),
	.min_operands = 1,
	.max_operands = -1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_save,
};

/* ---- load ---- */

struct load_options {
	const char *input;
	const char *platform;
	bool quiet;
};

static const struct option_spec load_options[] = {
	OPTION_TEXT("input", 'i', struct load_options, input, "string", "Read from a tar archive, instead of STDIN"),
	OPTION_TEXT("platform", 0, struct load_options, platform, "string", "Load only this platform (linux/arm64)"),
	OPTION_FLAG("quiet", 'q', struct load_options, quiet, "Do not show the progress"),
	OPTION_END,
};

static int run_load(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct load_options *options = target;
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(text_fini) struct text path = { 0 };
	AUTO_CLOSE int fd = options->input ? open(options->input, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	struct local_request request = { .method = "POST", .content_type = "application/x-tar" };
	struct client *client;

	(void)operands;
	if (fd < 0)
		return error_set(err, ERR_INVALID, "open %s: %s", text_or_empty(options->input), strerror(errno));
	if (!options->input && isatty(STDIN_FILENO))
		return error_set(err, ERR_INVALID, "requested load from stdin, but stdin is empty");
	text_add(&path, "/images/load");
	query_add(&path, "quiet", options->quiet || !isatty(STDOUT_FILENO) ? "1" : "0");
	if (add_platform(&path, options->platform, err) < 0)
		return -1;
	client = cli_client(cli, err);
	request.path = path.data;
	request.has_body_fd = true;
	request.body_fd = fd;
	if (!client || client_send(&response, client, &request, err) < 0)
		return -1;
	return progress_show(response, stdout, false, err);
}

const struct command command_load = {
	.usage = "[OPTIONS]",
	.summary = "Load images from a tar archive or STDIN",
	.options = load_options,
	.options_size = sizeof(struct load_options),
	.max_operands = 0,
	.run = run_load,
};
