/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/context.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive/pack.h"
#include "archive/pattern.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/random.h"
#include "cli/script.h"

#define DOCKERFILE_MAX (16 * 1024 * 1024)
#define IGNORE_MAX (4 * 1024 * 1024)
#define MAGIC_SIZE 512
#define BLOCK_SIZE (256 * 1024)

/* What the process that writes works on. */
struct writer {
	int out_fd;
	const char *source;	/* directory; NULL: standard input */
	const char *dockerfile; /* path in the stream */
	const char *injected;	/* text of a Dockerfile that is not in the directory; NULL */
	size_t injected_size;
	struct pattern_list ignored;
	const char *early; /* bytes of standard input that were read already */
	size_t early_size;
};

/* ---- the process ---- */

static int write_directory(struct writer *writer, struct error *err)
{
	const struct pack_settings settings = {
		.out_fd = writer->out_fd, .no_owners = true, .latest_s = -1, .excludes = &writer->ignored
	};
	AUTO(pack_freep) struct pack *pack = pack_new(&settings);
	AUTO_CLOSE int dir_fd = open(writer->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct pack_counts counts;

	if (dir_fd < 0)
		return error_set_errno(err, ERR_INVALID, errno, "open %s", writer->source);
	if (pack_add_below(pack, dir_fd, "", err) < 0)
		return -1;
	if (writer->injected &&
	    pack_add_text(pack, writer->dockerfile, writer->injected, writer->injected_size, err) < 0)
		return -1;
	return pack_finish(pack, &counts, err);
}

static int write_dockerfile_only(struct writer *writer, struct error *err)
{
	const struct pack_settings settings = { .out_fd = writer->out_fd, .latest_s = -1 };
	AUTO(pack_freep) struct pack *pack = pack_new(&settings);
	struct pack_counts counts;

	if (pack_add_text(pack, writer->dockerfile, writer->injected, writer->injected_size, err) < 0)
		return -1;
	return pack_finish(pack, &counts, err);
}

static int pass_stdin_on(struct writer *writer, struct error *err)
{
	AUTO_FREE char *block = xmalloc(BLOCK_SIZE);
	int r = write_full(writer->out_fd, writer->early, writer->early_size);
	ssize_t got;

	while (r == 0 && (got = read(STDIN_FILENO, block, BLOCK_SIZE)) != 0)
		r = got < 0 ? -errno : write_full(writer->out_fd, block, (size_t)got);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "send standard input") : 0;
}

static int write_all(struct writer *writer, struct error *err)
{
	if (writer->source)
		return write_directory(writer, err);
	return writer->injected ? write_dockerfile_only(writer, err) : pass_stdin_on(writer, err);
}

static _Noreturn void run_writer(struct writer *writer, int report_fd)
{
	static const char spoiled[2 * MAGIC_SIZE] = { [0 ... 2 * MAGIC_SIZE - 1] = '!' };
	struct error err = { 0 };

	if (write_all(writer, &err) == 0)
		_exit(EXIT_SUCCESS);
	/* Not an end the engine could take for the whole. */
	write_full(writer->out_fd, spoiled, sizeof(spoiled));
	error_send(report_fd, &err);
	_exit(EXIT_FAILURE);
}

static int start_writer(struct context *context, struct writer *writer, struct error *err)
{
	int stream[2];
	int report[2];

	if (pipe2(stream, O_CLOEXEC) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make a pipe");
	context->stream_fd = stream[0];
	writer->out_fd = stream[1];
	if (pipe2(report, O_CLOEXEC) < 0) {
		close(stream[1]);
		return error_set_errno(err, ERR_INTERNAL, errno, "make a pipe");
	}
	context->report_fd = report[0];
	context->pid = fork();
	if (context->pid == 0) {
		close(stream[0]);
		close(report[0]);
		run_writer(writer, report[1]);
	}
	close(stream[1]);
	close(report[1]);
	if (context->pid < 0) {
		context->pid = 0;
		return error_set_errno(err, ERR_INTERNAL, errno, "start a process");
	}
	return 0;
}

/* ---- what to send ---- */

/* NAME.dockerignore beats .dockerignore. 1, or 0 if there is none. */
static int read_ignored(char **out_text, size_t *out_size, const struct writer *writer, struct error *err)
{
	AUTO_FREE char *own = xasprintf("%s/%s.dockerignore", writer->source, writer->dockerfile);
	AUTO_FREE char *common = path_join(writer->source, ".dockerignore");
	int r = file_read(out_text, out_size, AT_FDCWD, own, IGNORE_MAX);

	if (r == -ENOENT)
		r = file_read(out_text, out_size, AT_FDCWD, common, IGNORE_MAX);
	if (r < 0 && r != -ENOENT)
		return error_set_errno(err, ERR_INVALID, r, "error reading .dockerignore");
	return r == 0;
}

/* The engine needs both files even where they are ignored. */
static int load_ignored(struct writer *writer, struct error *err)
{
	AUTO_FREE char *keep = xasprintf("!%s", writer->dockerfile);
	AUTO_FREE char *text = NULL;
	size_t size = 0;
	int r = read_ignored(&text, &size, writer, err);

	if (r <= 0)
		return r;
	if (pattern_list_parse(&writer->ignored, text, size, err) < 0)
		return error_prefix(err, "error reading .dockerignore");
	if (writer->ignored.count == 0)
		return 0;
	if (pattern_list_add(&writer->ignored, keep, err) < 0)
		return -1;
	return pattern_list_add(&writer->ignored, "!.dockerignore", err);
}

/* A Dockerfile from elsewhere gets a name nobody has. */
static int inject(struct context *context, struct writer *writer, size_t size)
{
	char hex[17];

	random_hex(hex, 8);
	free(context->dockerfile);
	context->dockerfile = xasprintf(".dockerfile.%s", hex);
	writer->dockerfile = context->dockerfile;
	writer->injected = context->text;
	writer->injected_size = size;
	return 0;
}

/* The path below the directory (both real paths), or NULL. */
static const char *inside(const char *path, const char *directory)
{
	const char *rest = text_after(path, directory);

	if (text_equal(directory, "/"))
		return path + 1;
	return rest && *rest == '/' ? rest + 1 : NULL;
}

static int find_dockerfile(struct context *context, struct writer *writer, const char *source, const char *file,
			   struct error *err)
{
	AUTO_FREE char *directory = realpath(source, NULL);
	AUTO_FREE char *joined = NULL;
	AUTO_FREE char *real = NULL;
	const char *rest;
	size_t size;
	int r;

	if (text_equal(file, "-")) {
		r = fd_read_all(&context->text, &size, STDIN_FILENO, DOCKERFILE_MAX);
		if (r < 0)
			return error_set_errno(err, ERR_INVALID, r, "read the Dockerfile from standard input");
		return inject(context, writer, size);
	}
	joined = file ? xstrdup(file) : path_join(source, "Dockerfile");
	/* docker: -f is a path here; one below the context works too. */
	real = realpath(joined, NULL);
	if (!real && file && !path_is_absolute(file)) {
		free(joined);
		joined = path_join(source, file);
		real = realpath(joined, NULL);
	}
	if (!real || !directory)
		return error_set(err, ERR_INVALID,
				 "unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat %s: "
				 "no such file or directory",
				 joined);
	r = file_read(&context->text, &size, AT_FDCWD, real, DOCKERFILE_MAX);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read %s", real);
	rest = inside(real, directory);
	if (!rest)
		return inject(context, writer, size);
	context->dockerfile = xstrdup(rest);
	writer->dockerfile = context->dockerfile;
	return 0;
}

static bool is_archive(const char *data, size_t size)
{
	const unsigned char *magic = (const unsigned char *)data;

	return (size >= 2 && magic[0] == 0x1f && magic[1] == 0x8b) || (size >= 3 && memcmp(data, "BZh", 3) == 0) ||
	       (size >= 4 && memcmp(data, "\x28\xb5\x2f\xfd", 4) == 0) ||
	       (size >= 6 && memcmp(data,
				    "\xfd"
				    "7zXZ",
				    6) == 0) ||
	       (size >= 262 && memcmp(data + 257, "ustar", 5) == 0);
}

static int start_from_text(struct context *context, struct writer *writer, size_t got, struct error *err)
{
	AUTO_FREE char *rest = NULL;
	size_t size = 0;
	int r = fd_read_all(&rest, &size, STDIN_FILENO, DOCKERFILE_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read standard input");
	context->text = xcalloc(1, got + size + 1);
	memcpy(context->text, writer->early, got);
	memcpy(context->text + got, rest, size);
	inject(context, writer, got + size);
	return start_writer(context, writer, err);
}

/* A tar, or the text of a Dockerfile. */
static int start_from_stdin(struct context *context, const char *file, struct error *err)
{
	AUTO_FREE char *early = xcalloc(1, MAGIC_SIZE);
	struct writer writer = { .early = early };
	ssize_t got = read_full(STDIN_FILENO, early, MAGIC_SIZE);

	if (got < 0)
		return error_set_errno(err, ERR_INVALID, (int)got, "read standard input");
	if (is_archive(early, (size_t)got)) {
		writer.early_size = (size_t)got;
		context->dockerfile = xstrdup(file ? file : "Dockerfile");
		return start_writer(context, &writer, err);
	}
	if (file)
		return error_set(err, ERR_INVALID,
				 "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles");
	return start_from_text(context, &writer, (size_t)got, err);
}

static bool is_url(const char *source)
{
	return text_has_prefix(source, "http://") || text_has_prefix(source, "https://") ||
	       text_has_prefix(source, "git://") || text_has_prefix(source, "ssh://") ||
	       text_has_prefix(source, "git@") || (text_has_prefix(source, "github.com/") && access(source, F_OK) < 0);
}

static int check_source(const char *source, const char *file, struct error *err)
{
	struct stat st;

	if (text_equal(source, "-") && text_equal(file, "-"))
		return error_set(err, ERR_INVALID,
				 "invalid argument: can't use stdin for both build context and "
				 "dockerfile");
	if (text_equal(source, "-"))
		return 0;
	if (is_url(source))
		return 0;
	if (stat(source, &st) < 0)
		return error_set(err, ERR_INVALID, "unable to prepare context: path \"%s\" not found", source);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "unable to prepare context: context must be a directory: %s",
				 source);
	return 0;
}

int context_start(struct context *context, const char *source, const char *file, struct error *err)
{
	struct writer writer = { .source = source };
	int r;

	*context = (struct context){ .stream_fd = -1, .report_fd = -1 };
	if (check_source(source, file, err) < 0)
		return -1;
	if (text_equal(source, "-"))
		return start_from_stdin(context, file, err);
	if (is_url(source)) {
		context->remote = source;
		context->dockerfile = xstrdup(file);
		return text_equal(file, "-") ? error_set(err, ERR_UNSUPPORTED,
							 "the Dockerfile of a remote context cannot come from stdin")
					     : 0;
	}
	r = find_dockerfile(context, &writer, source, file, err);
	if (r == 0)
		r = load_ignored(&writer, err);
	if (r == 0)
		r = start_writer(context, &writer, err);
	pattern_list_fini(&writer.ignored);
	return r;
}

int context_start_script(struct context *context, const char *source, const char *script, struct error *err)
{
	struct writer writer = { .source = source };
	AUTO_FREE char *text = NULL;
	int r;

	*context = (struct context){ .stream_fd = -1, .report_fd = -1 };
	if (text_equal(source, "-") || is_url(source))
		return error_set(err, ERR_INVALID, "--script needs a directory as context, not %s", source);
	if (check_source(source, NULL, err) < 0)
		return -1;
	r = text_equal(script, "-") ? fd_read_all(&text, NULL, STDIN_FILENO, DOCKERFILE_MAX)
				    : file_read(&text, NULL, AT_FDCWD, script, DOCKERFILE_MAX);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read the script %s", script);
	context->text = script_dockerfile(text, err);
	if (!context->text)
		return -1;
	inject(context, &writer, strlen(context->text));
	r = load_ignored(&writer, err);
	if (r == 0)
		r = start_writer(context, &writer, err);
	pattern_list_fini(&writer.ignored);
	return r;
}

int context_look(struct context *context, const char *source, const char *file, struct error *err)
{
	struct writer writer = { .source = source };
	size_t size;

	*context = (struct context){ .stream_fd = -1, .report_fd = -1 };
	if (check_source(source, file, err) < 0)
		return -1;
	if (is_url(source))
		return error_set(err, ERR_UNSUPPORTED, "questions about %s are not supported: fetch it and ask there",
				 source);
	if (text_equal(source, "-"))
		return find_dockerfile(context, &writer, ".", "-", err);
	if (find_dockerfile(context, &writer, source, file, err) < 0)
		return -1;
	return read_ignored(&context->ignored, &size, &writer, err) < 0 ? -1 : 0;
}

/* ---- its end ---- */

int context_finish(struct context *context, struct error *err)
{
	struct error problem = { 0 };
	int status;

	/* The engine may have stopped reading: then there is nobody to write to. */
	if (context->stream_fd >= 0)
		close(take_fd(&context->stream_fd));
	if (context->pid > 0 && error_receive(context->report_fd, &problem) > 0 &&
	    !(problem.errnum == EPIPE && error_is_set(err))) {
		error_clear(err);
		error_prefix(&problem, "send the build context");
		error_transfer(err, &problem);
	}
	error_clear(&problem);
	if (context->pid > 0)
		waitpid(context->pid, &status, 0);
	context->pid = 0;
	return error_is_set(err) ? -1 : 0;
}

void context_fini(struct context *context)
{
	AUTO(error_clear) struct error ignored = { 0 };

	context_finish(context, &ignored);
	if (context->report_fd >= 0)
		close(context->report_fd);
	free(context->dockerfile);
	free(context->text);
	free(context->ignored);
	*context = (struct context){ .stream_fd = -1, .report_fd = -1 };
}
