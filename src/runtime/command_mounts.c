/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "runtime/command.h"

#define MOUNTS_MAX (1 << 20)

/* crun's file: the "mounts" section of a config.json, with or without the object around it. */
static int load_mounts(struct spec *spec, const char *path, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = file_read(&text, &size, AT_FDCWD, text_equal(path, "-") ? "/dev/stdin" : path, MOUNTS_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read %s", path);
	if (spec_mounts_parse(spec, text, size, err) < 0)
		return error_prefix(err, "%s", path);
	if (!spec->mounts.count)
		return error_set(err, ERR_INVALID, "%s: no mounts are in it", path);
	return 0;
}

int command_mounts(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	static const struct option_spec table[] = { OPTION_END };
	AUTO(text_list_fini) struct text_list operands = { 0 };
	AUTO(spec_fini) struct spec spec = { 0 };
	int r = command_parse(table, NULL, argc, argv, 0, &operands, 3, 3, err);
	const char *verb;

	if (r <= 0)
		return r;
	verb = operands.items[0];
	if (!text_equal(verb, "add") && !text_equal(verb, "remove"))
		return error_set(err, ERR_INVALID, "mounts: \"%s\" is neither add nor remove", verb);
	if (load_mounts(&spec, operands.items[2], err) < 0)
		return -1;
	return (text_equal(verb, "add") ? runtime_mounts_add : runtime_mounts_remove)(runtime, operands.items[1], &spec,
										      err);
}
