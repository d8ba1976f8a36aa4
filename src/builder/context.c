/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "archive/pattern.h"
#include "base/alloc.h"
#include "base/file.h"
#include "builder/build_private.h"
#include "store/unpack.h"
#include "sys/in_root.h"

#define DOCKERFILE_MAX (16 * 1024 * 1024)
#define IGNORE_MAX (4 * 1024 * 1024)
/* Kept free: the database and the containers need some. */
#define RESERVED_BYTES (4 * 1024 * 1024)

int context_fd(const struct build *build)
{
	return layer_writer_fd(build->context);
}

static int unpack_context(struct build *build, struct error *err)
{
	const struct build_options *options = build->options;
	struct unpack_options unpack_options = { .stream_fd = options->context_fd, .lowest = true };
	AUTO(unpack_result_fini) struct unpack_result result = { 0 };
	AUTO(unpack_freep) struct unpack *unpack = NULL;
	uint64_t free_bytes;

	if (store_free_bytes(&free_bytes, build->store, err) < 0 ||
	    layer_writer_new(&build->context, build->store, err) < 0)
		return -1;
	unpack_options.limit_bytes = free_bytes > RESERVED_BYTES ? free_bytes - RESERVED_BYTES : 1;
	unpack_options.target_fd = layer_writer_fd(build->context);
	if (unpack_start(&unpack, &unpack_options, err) < 0 ||
	    unpack_wait(&result, unpack, options->cancel_fd, err) < 0)
		return -1;
	/* A tar that is cut between two entries looks whole. */
	return options->whole ? options->whole(options->whole_arg, err) : 0;
}

static int read_file(char **out_text, size_t *out_size, const struct build *build, const char *path, size_t limit)
{
	AUTO_CLOSE int fd = open_in_root(context_fd(build), path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EISDIR;
	return fd_read_all(out_text, out_size, fd, limit);
}

static int read_dockerfile(struct build *build, const char **out_path, struct error *err)
{
	const char *path = text_empty(build->options->dockerfile) ? "Dockerfile" : build->options->dockerfile;
	AUTO_FREE char *text = NULL;
	size_t size = 0;
	int r = read_file(&text, &size, build, path, DOCKERFILE_MAX);

	if (r == -ENOENT && text_equal(path, "Dockerfile")) {
		r = read_file(&text, &size, build, "dockerfile", DOCKERFILE_MAX);
		if (r == 0)
			path = "dockerfile";
	}
	if (r == -ENOENT || r == -ENOTDIR)
		return error_set(err, ERR_INVALID, "Cannot locate specified Dockerfile: %s", path);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read the Dockerfile %s", path);
	if (size == 0)
		return error_set(err, ERR_INVALID, "the Dockerfile (%s) cannot be empty", path);
	*out_path = path;
	build->dockerfile_path = xstrdup(path);
	build->dockerfile_text = xstrndup(text, size);
	return dockerfile_parse(&build->dockerfile, text, size, err);
}

static void drop_file(const struct build *build, const char *path)
{
	AUTO_FREE char *name = NULL;
	AUTO_CLOSE int fd = parent_in_root(context_fd(build), path, false, &name);

	if (fd >= 0)
		unlinkat(fd, name, 0);
}

/* Clients send these two even if .dockerignore names them, because we need them: then they are not to be copied. */
static int drop_ignored(const struct build *build, const char *dockerfile, struct error *err)
{
	AUTO(pattern_list_fini) struct pattern_list ignored = { 0 };
	AUTO_FREE char *text = NULL;
	size_t size = 0;

	if (read_file(&text, &size, build, ".dockerignore", IGNORE_MAX) < 0)
		return 0;
	if (pattern_list_parse(&ignored, text, size, err) < 0)
		return error_prefix(err, "error reading .dockerignore");
	if (pattern_list_matches(&ignored, dockerfile))
		drop_file(build, dockerfile);
	if (pattern_list_matches(&ignored, ".dockerignore"))
		drop_file(build, ".dockerignore");
	return 0;
}

int context_receive(struct build *build, struct error *err)
{
	const char *dockerfile = NULL;

	if (unpack_context(build, err) < 0)
		return error_prefix(err, "build context");
	if (read_dockerfile(build, &dockerfile, err) < 0)
		return -1;
	return drop_ignored(build, dockerfile, err);
}
