/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cp. How it works: out of a container, the engine's tar stream is unpacked
 * below the destination, and nowhere else (tree.h): a container's links lead
 * nothing out. Into one, a child of ours packs the source into a pipe, whose
 * other end is the body of the request.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive/pack.h"
#include "base/alloc.h"
#include "base/base64.h"
#include "base/file.h"
#include "base/path.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/units.h"
#include "cli/untar.h"

#define COPYING_IN "Copying to container - " /* docker's words */
#define COPYING_OUT "Copying from container - "
#define GO_MODE_DIRECTORY 0x80000000u
#define GO_MODE_SYMLINK 0x08000000u

struct cp_options {
	bool archive;
	bool follow;
	bool quiet;
};

static const struct option_spec cp_options[] = {
	OPTION_FLAG("archive", 'a', struct cp_options, archive, "Copy all uid/gid information"),
	OPTION_FLAG("follow-link", 'L', struct cp_options, follow, "Follow a symbolic link in the source path"),
	OPTION_FLAG("quiet", 'q', struct cp_options, quiet, "Say nothing when all went well"),
	OPTION_END,
};

struct operand {
	char *container; /* NULL: a local path */
	char *path;	 /* "-": a tar stream */
};

static void operand_fini(struct operand *operand)
{
	free(operand->container);
	free(operand->path);
}

/* "./a:b" and "/a:b" are local. */
static struct operand parse_operand(const char *text)
{
	const char *colon = strchr(text, ':');

	if (!colon || colon == text || text[0] == '/' || text[0] == '.')
		return (struct operand){ NULL, xstrdup(text) };
	return (struct operand){ xstrndup(text, (size_t)(colon - text)), xstrdup(colon + 1) };
}

static bool means_content(const char *path)
{
	return text_has_suffix(path, "/.") || text_equal(path, ".");
}

static bool means_directory(const char *path)
{
	return text_has_suffix(path, "/") || means_content(path);
}

/* ---- what is there in the container ---- */

struct remote_stat {
	bool found;
	uint32_t mode;
	char *name;
	char *link;
};

static void remote_stat_fini(struct remote_stat *stat)
{
	free(stat->name);
	free(stat->link);
}

static int parse_stat(struct remote_stat *stat, const struct local_response *response, struct error *err)
{
	const char *header = local_response_header(response, "X-Docker-Container-Path-Stat");
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO_FREE char *text = NULL;
	size_t size;

	if (!header || base64_decode(&text, &size, header) < 0 || json_value_parse(&value, text, size, err) < 0)
		return error_is_set(err) ? -1 : error_set(err, ERR_INTERNAL, "the engine does not tell about the path");
	stat->found = true;
	stat->mode = (uint32_t)json_value_integer(json_value_get(value, "mode"));
	stat->name = xstrdup(text_of(value, "name"));
	stat->link = xstrdup(text_of(value, "linkTarget"));
	return 0;
}

static int open_archive(struct local_response **out_response, struct client *client, const char *method,
			const struct operand *operand, const char *path, struct error *err)
{
	AUTO(text_fini) struct text target = { 0 };
	struct local_request request = { .method = method };

	text_add(&target, "/containers/");
	query_escape(&target, operand->container);
	text_add(&target, "/archive");
	query_add(&target, "path", path);
	request.path = target.data;
	return client_send(out_response, client, &request, err);
}

/* A path that is not there is no error. */
static int look(struct remote_stat *out_stat, struct client *client, const struct operand *operand, const char *path,
		struct error *err)
{
	AUTO(local_response_freep) struct local_response *response = NULL;

	*out_stat = (struct remote_stat){ 0 };
	if (open_archive(&response, client, "HEAD", operand, path, err) < 0) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		error_clear(err);
		return 0;
	}
	return parse_stat(out_stat, response, err);
}

/* ---- out of a container ---- */

/* Where the entries go: below `folder`, with the first part of their names replaced. */
struct landing {
	char *folder;
	char *name;	    /* "": straight into the folder */
	const char *source; /* the first part of the names in the stream */
};

static int find_landing(struct landing *landing, const char *destination, const struct remote_stat *source,
			const char *source_path, struct error *err)
{
	bool is_directory = source->mode & GO_MODE_DIRECTORY;
	AUTO_FREE char *clean = path_clean(destination);
	struct stat st;
	bool exists = stat(destination, &st) == 0;

	landing->source = means_content(source_path) ? "." : source->name;
	if (exists && S_ISDIR(st.st_mode)) {
		landing->folder = xstrdup(destination);
		landing->name = means_content(source_path) || text_equal(source->name, "/") ? xstrdup("")
											    : xstrdup(source->name);
		return 0;
	}
	if (exists && is_directory)
		return error_set(err, ERR_INVALID, "cannot copy directory");
	if (means_directory(destination) && !is_directory)
		return error_set(err, ERR_INVALID, "no such directory: \"%s\"", destination);
	landing->folder = path_parent(clean);
	landing->name = xstrdup(path_base(clean));
	if (stat(landing->folder, &st) < 0 || !S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "invalid output path: directory \"%s\" does not exist",
				 landing->folder);
	return 0;
}

/* The path of an entry below the folder; yours. */
static char *landed(const struct landing *landing, const char *path)
{
	const char *rest = path;

	if (text_equal(landing->source, "/"))
		rest = path;
	else if (text_has_prefix(path, landing->source) &&
		 (path[strlen(landing->source)] == '/' || path[strlen(landing->source)] == '\0'))
		rest = path + strlen(landing->source);
	while (*rest == '/')
		rest++;
	return *landing->name && *rest ? xasprintf("%s/%s", landing->name, rest)
	       : *landing->name	       ? xstrdup(landing->name)
				       : xstrdup(rest);
}

struct incoming {
	struct local_response *response; /* borrowed */
	struct progress_meter meter;
};

static ssize_t read_answer(void *arg, void *data, size_t size, struct error *err)
{
	struct incoming *incoming = arg;
	ssize_t got = local_response_read(incoming->response, data, size, err);

	if (got > 0)
		progress_meter_add(&incoming->meter, (uint64_t)got);
	return got;
}

static char *land(void *arg, const char *path)
{
	return landed(arg, path);
}

static void tell(const struct cp_options *options, uint64_t bytes, const char *where)
{
	AUTO_FREE char *size = units_size((double)bytes, 3);

	if (!options->quiet && isatty(STDOUT_FILENO))
		fprintf(stderr, "Successfully copied %s to %s\n", size, where);
}

/* -L: the path that a link leads to. */
static int follow_source(struct operand *source, struct client *client, struct error *err)
{
	AUTO(remote_stat_fini) struct remote_stat stat = { 0 };

	if (look(&stat, client, source, source->path, err) < 0)
		return -1;
	if (stat.found && stat.mode & GO_MODE_SYMLINK) {
		free(source->path);
		source->path = take_ptr(stat.link);
	}
	return 0;
}

static int copy_out(struct client *client, const struct cp_options *options, struct operand *source,
		    const char *destination, struct error *err)
{
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(remote_stat_fini) struct remote_stat stat = { 0 };
	struct landing landing = { 0 };
	struct incoming incoming = { 0 };
	struct untar untar = { .read = read_answer,
			       .read_arg = &incoming,
			       .land = land,
			       .land_arg = &landing,
			       .owners = options->archive };
	int r;

	if (options->follow && follow_source(source, client, err) < 0)
		return -1;
	if (open_archive(&response, client, "GET", source, source->path, err) < 0 ||
	    parse_stat(&stat, response, err) < 0)
		return -1;
	if (text_equal(destination, "-"))
		return save_answer(response, NULL, COPYING_OUT, err);
	incoming.response = response;
	r = find_landing(&landing, destination, &stat, source->path, err);
	if (r == 0) {
		progress_meter_begin(&incoming.meter, COPYING_OUT, !options->quiet);
		r = untar_into(&untar, landing.folder, err);
		progress_meter_end(&incoming.meter);
	}
	if (r == 0)
		tell(options, untar.bytes, destination);
	free(landing.folder);
	free(landing.name);
	return r;
}

/* ---- into a container ---- */

/* The folder in the container, and the name the source gets there ("." for its content). */
static int find_target(char **out_folder, char **out_name, struct client *client, const struct operand *destination,
		       const char *source, bool is_directory, struct error *err)
{
	AUTO(remote_stat_fini) struct remote_stat stat = { 0 };
	AUTO_FREE char *path = xstrdup(destination->path);
	AUTO_FREE char *clean = NULL;
	AUTO_FREE char *plain_source = path_clean(source);

	if (look(&stat, client, destination, path, err) < 0)
		return -1;
	if (stat.found && stat.mode & GO_MODE_SYMLINK) {
		free(path);
		path = xstrdup(stat.link);
		remote_stat_fini(&stat);
		if (look(&stat, client, destination, path, err) < 0)
			return -1;
	}
	clean = path_clean(path);
	if (stat.found && stat.mode & GO_MODE_DIRECTORY) {
		*out_folder = xstrdup(path);
		*out_name = xstrdup(means_content(source) ? "." : path_base(plain_source));
		return 0;
	}
	if (stat.found && is_directory)
		return error_set(err, ERR_INVALID, "cannot copy directory");
	if (!stat.found && means_directory(path) && !is_directory)
		return error_set(err, ERR_INVALID, "no such directory");
	*out_folder = path_parent(clean);
	*out_name = xstrdup(path_base(clean));
	return 0;
}

/* In the child: the source as a tar stream. Ends the process. */
static _Noreturn void pack_child(int source_fd, const char *name, int out_fd)
{
	const struct pack_settings settings = { .out_fd = out_fd, .latest_s = -1 };
	struct pack *pack = pack_new(&settings);
	struct error err = { 0 };
	struct pack_counts counts;

	signal(SIGPIPE, SIG_IGN);
	if (pack_add_opened(pack, source_fd, name, &err) < 0 || pack_finish(pack, &counts, &err) < 0) {
		if (err.errnum != EPIPE)
			fprintf(stderr, "%s\n", err.message);
		_exit(EXIT_FAILURE);
	}
	_exit(EXIT_SUCCESS);
}

static int put(struct client *client, const struct cp_options *options, const struct operand *destination,
	       const char *folder, int body_fd, struct error *err)
{
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(text_fini) struct text target = { 0 };
	struct progress_meter meter;
	struct local_request request = { .method = "PUT",
					 .has_body_fd = true,
					 .body_fd = body_fd,
					 .content_type = "application/x-tar",
					 .sent = progress_meter_add,
					 .sent_arg = &meter };
	int r;

	text_add(&target, "/containers/");
	query_escape(&target, destination->container);
	text_add(&target, "/archive");
	query_add(&target, "path", folder);
	query_add(&target, "noOverwriteDirNonDir", "true");
	query_add_flag(&target, "copyUIDGID", options->archive);
	request.path = target.data;
	progress_meter_begin(&meter, COPYING_IN, !options->quiet);
	r = client_send(&response, client, &request, err);
	progress_meter_end(&meter);
	return r;
}

static int put_packed(struct client *client, const struct cp_options *options, const struct operand *destination,
		      const char *folder, const char *name, int source_fd, struct error *err)
{
	AUTO_CLOSE int body_fd = -1;
	int ends[2];
	int status;
	pid_t child;
	int r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make a pipe");
	body_fd = ends[0];
	fflush(stdout);
	child = fork();
	if (child == 0)
		pack_child(source_fd, name, ends[1]);
	close(ends[1]);
	if (child < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "start a process");
	r = put(client, options, destination, folder, body_fd, err);
	close(take_fd(&body_fd));
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (r == 0 && status != 0)
		return error_set(err, ERR_INTERNAL, "the source could not be read to its end");
	return r;
}

static int copy_in(struct client *client, const struct cp_options *options, const char *source,
		   const struct operand *destination, struct error *err)
{
	AUTO_FREE char *folder = NULL;
	AUTO_FREE char *name = NULL;
	AUTO_CLOSE int fd = -1;
	struct stat st;
	bool follow = options->follow || means_directory(source);

	if (text_equal(source, "-"))
		return put(client, options, destination, destination->path, STDIN_FILENO, err);
	if ((follow ? stat(source, &st) : lstat(source, &st)) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "lstat %s", source);
	fd = S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) ? open(source, O_RDONLY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW))
							: open(source, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, ERR_INVALID, errno, "open %s", source);
	if (find_target(&folder, &name, client, destination, source, S_ISDIR(st.st_mode), err) < 0 ||
	    put_packed(client, options, destination, folder, name, fd, err) < 0)
		return -1;
	tell(options, (uint64_t)st.st_size, destination->path);
	return 0;
}

static int run_cp(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	AUTO(operand_fini) struct operand source = parse_operand(operands->items[0]);
	AUTO(operand_fini) struct operand destination = parse_operand(operands->items[1]);
	struct client *client;

	if (source.container && destination.container)
		return error_set(err, ERR_INVALID, "copying between containers is not supported");
	if (!source.container && !destination.container)
		return error_set(err, ERR_INVALID, "must specify at least one container source");
	if (text_empty(source.path) || text_empty(destination.path))
		return error_set(err, ERR_INVALID, "%s can not be empty",
				 text_empty(source.path) ? "source" : "destination");
	client = cli_client(cli, err);
	if (!client)
		return -1;
	return source.container ? copy_out(client, target, &source, destination.path, err)
				: copy_in(client, target, source.path, &destination, err);
}

const struct command command_cp = {
	.usage = "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tkist cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
	.summary = "Copy files between a container and the local filesystem",
	.options = cp_options,
	.options_size = sizeof(struct cp_options),
	.min_operands = 2,
	.max_operands = 2,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_cp,
};
