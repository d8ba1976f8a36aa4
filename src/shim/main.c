/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/options.h"
#include "base/text.h"
#include "rpc/task_messages.h"
#include "shim/bundle.h"
#include "shim/shim.h"

#define STDIN_MAX (1024 * 1024)

static const struct option_spec option_table[] = {
	OPTION_TEXT("namespace", 0, struct shim_options, name_space, "NAME", "namespace of the container"),
	OPTION_TEXT("address", 0, struct shim_options, address, "PATH", "socket of containerd or kistd"),
	OPTION_TEXT("publish-binary", 0, struct shim_options, publish_binary, "PATH",
		    "accepted for containerd; events go by ttrpc"),
	OPTION_TEXT("id", 0, struct shim_options, id, "ID", "container"),
	OPTION_TEXT("bundle", 0, struct shim_options, bundle, "DIR", "its bundle; default: the working directory"),
	OPTION_TEXT("socket", 0, struct shim_options, socket, "PATH", "own socket, of the serving shim"),
	OPTION_FLAG("debug", 0, struct shim_options, debug, "log more"),
	OPTION_FLAG("v", 0, struct shim_options, version, "print the version"),
	OPTION_FLAG("version", 0, struct shim_options, version, "print the version"),
	OPTION_FLAG("info", 0, struct shim_options, info, "print a RuntimeInfo message"),
	OPTION_END,
};

int shim_read_stdin(char **out_data, size_t *out_size, struct error *err)
{
	int r = isatty(STDIN_FILENO) ? 0 : fd_read_all(out_data, out_size, STDIN_FILENO, STDIN_MAX);

	/* No stdin at all is as good as an empty one. */
	return r < 0 && r != -EBADF ? error_set_errno(err, ERR_INVALID, r, "read standard input") : 0;
}

int shim_info(struct error *err)
{
	struct runtime_info info = { .name = (char *)(uintptr_t) "io.containerd.kist.v2" };
	AUTO(text_fini) struct text out = { 0 };

	info.version.version = (char *)(uintptr_t)KIST_VERSION;
	proto_encode(&out, &info, runtime_info_fields);
	if (write_full(STDOUT_FILENO, out.data, out.size) < 0)
		return error_set(err, ERR_INTERNAL, "write to standard output");
	return 0;
}

static int check_ids(const struct shim_options *options, struct error *err)
{
	if (!bundle_id_is_valid(options->id))
		return error_set(err, ERR_INVALID, "container id \"%s\" is invalid", text_or_empty(options->id));
	if (!bundle_id_is_valid(options->name_space))
		return error_set(err, ERR_INVALID, "namespace \"%s\" is invalid", text_or_empty(options->name_space));
	return 0;
}

static int run(const struct shim_options *options, const struct text_list *operands, struct error *err)
{
	const char *command = operands->count ? operands->items[0] : "";

	if (options->version) {
		printf("kist-shim:\n  Version:  " KIST_VERSION "\n");
		return 0;
	}
	if (options->info)
		return shim_info(err);
	if (check_ids(options, err) < 0)
		return -1;
	if (operands->count > 1)
		return error_set(err, ERR_INVALID, "one command at most");
	if (text_equal(command, "start"))
		return shim_start(options, err);
	if (text_equal(command, "delete"))
		return shim_delete(options, err);
	if (*command)
		return error_set(err, ERR_INVALID, "unknown command %s", command);
	return shim_serve(options, err);
}

int main(int argc, char **argv)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list operands = { 0 };
	struct shim_options options = { 0 };

	if (options_parse(option_table, &options, argc, argv, OPTIONS_GO_STYLE, &operands, &err) == 0 &&
	    run(&options, &operands, &err) == 0)
		return 0;
	(void)fprintf(stderr, "kist-shim: %s\n", err.message);
	return 1;
}
