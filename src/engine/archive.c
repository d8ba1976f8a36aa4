/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/report.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/process.h"
#include "base/program.h"
#include "engine/engine_private.h"
#include "store/files.h"

#define NAME_MAX_BYTES 65536

struct archive {
	struct container *container; /* a reference; NULL: only a snapshot */
	bool held;		     /* with its busy token: it does not run */
	char *shown;		     /* the container as the client named it, for messages */
	struct process process;
	int report_fd;
	int output_fd;
};

const struct json_field archive_stat_fields[] = {
	JSON_TEXT("name", struct archive_stat, name, 0),
	JSON_I64("size", struct archive_stat, size, 0),
	JSON_U32("mode", struct archive_stat, mode, 0),
	JSON_TEXT("mtime", struct archive_stat, mtime, 0),
	JSON_TEXT("linkTarget", struct archive_stat, link_target, 0),
	JSON_END,
};

void archive_free(struct archive *archive)
{
	if (!archive)
		return;
	process_fini(&archive->process);
	if (archive->report_fd >= 0)
		close(archive->report_fd);
	if (archive->output_fd >= 0)
		close(archive->output_fd);
	if (archive->held)
		container_release(archive->container);
	container_unref(archive->container);
	free(archive->shown);
	free(archive);
}

int archive_output_fd(const struct archive *archive)
{
	return archive->output_fd;
}

/* ---- what the child is told ---- */

static bool is_bound(const struct container_mount *mount)
{
	return text_equal(mount->type, "volume") || text_equal(mount->type, "bind");
}

/* In order of depth, as they would be mounted. */
static void add_mounts(struct text_list *request, const struct container_document *document)
{
	for (size_t depth = 1; depth < PATH_MAX / 2; depth++) {
		bool deeper = false;

		for (size_t i = 0; i < document->mounts.count; i++) {
			const struct container_mount *mount = &document->mounts.items[i];
			size_t slashes = 0;

			for (const char *at = mount->destination; *at; at++)
				slashes += *at == '/';
			deeper = deeper || slashes > depth;
			if (slashes != depth || !is_bound(mount))
				continue;
			text_list_addf(request, "mount=%s", mount->source);
			text_list_addf(request, "mount=%s", text_or_empty(mount->subpath));
			text_list_addf(request, "mount=%s", mount->destination);
			text_list_addf(request, "mount=%s", mount->rw ? "rw" : "ro");
		}
		if (!deeper)
			return;
	}
}

static bool is_users(const struct container_document *document, const char *path)
{
	for (size_t i = 0; i < document->mounts.count; i++)
		if (text_equal(document->mounts.items[i].destination, path))
			return true;
	return false;
}

/* What the kernel makes up is not the container's own: only its mount points are. */
static void add_hollows(struct text_list *request, const struct container_document *document)
{
	static const char *const places[] = { "/proc", "/sys", "/dev", NULL };

	for (const char *const *place = places; *place; place++)
		if (!is_users(document, *place))
			text_list_addf(request, "hollow=%s", *place + 1);
}

static int add_tree(struct text_list *request, const struct container *container, struct error *err)
{
	AUTO_FREE char *place = container_path(container, NULL);

	if (files_add_snapshot(request, container->engine->store, container->id, err) < 0)
		return -1;
	text_list_addf(request, "place=%s", place);
	if (container->document.host.readonly_rootfs)
		text_list_add(request, "read-only=1");
	add_mounts(request, &container->document);
	return 0;
}

/* The root directory of a process, as the process sees it; nobody enters its namespace. */
static int open_root(int64_t pid, struct error *err)
{
	AUTO_FREE char *path = xasprintf("/proc/%lld/root", (long long)pid);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? error_set_errno(err, ERR_CONFLICT, errno, "open the container's root") : fd;
}

/* Where the files of a running container have the owners that the container sees. */
static int open_user_namespace(int64_t pid, struct error *err)
{
	AUTO_FREE char *path = xasprintf("/proc/%lld/ns/user", (long long)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? error_set_errno(err, ERR_CONFLICT, errno, "open the container's user namespace") : fd;
}

/* ---- the child ---- */

static int spawn(struct archive *archive, const char *verb, const struct text_list *request, const int running_fds[2],
		 int stream_fd, struct error *err)
{
	AUTO_FREE char *program = program_find("kist-archive", err);
	AUTO_CLOSE int input = program ? files_request(request, err) : -1;
	AUTO_CLOSE int report_write = -1;
	AUTO_CLOSE int output_write = -1;
	const char *argv[] = { "kist-archive", verb, NULL };
	struct process_options options = { .path = program, .argv = (char *const *)argv, .stdin_fd = stream_fd };
	int report[2];
	int output[2];
	int fds[4];

	if (input < 0)
		return -1;
	if (pipe2(report, O_CLOEXEC) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make a pipe");
	archive->report_fd = report[0];
	report_write = report[1];
	if (pipe2(output, O_CLOEXEC) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make a pipe");
	archive->output_fd = output[0];
	output_write = output[1];
	options.stdout_fd = output_write;
	fds[0] = report_write;
	fds[1] = input;
	fds[2] = running_fds[0];
	fds[3] = running_fds[1];
	options.fds = fds;
	options.fd_count = 2 + (running_fds[0] >= 0) + (running_fds[1] >= 0);
	return process_spawn(&archive->process, &options, err);
}

static int hold_if_stopped(struct archive *archive, int64_t *out_pid, int cancel_fd, struct error *err)
{
	struct container *container = archive->container;
	bool running;

	if (container_acquire(container, cancel_fd, err) < 0)
		return -1;
	mutex_lock(&container->mutex);
	running = container->document.state.running && !container->document.state.restarting;
	*out_pid = running ? container->document.state.pid : 0;
	mutex_unlock(&container->mutex);
	archive->held = !running;
	if (running)
		container_release(container);
	return 0;
}

static struct archive *archive_make(const char *name)
{
	struct archive *archive = xcalloc(1, sizeof(*archive));

	archive->shown = xstrdup(name);
	archive->process.pidfd = -1;
	archive->report_fd = -1;
	archive->output_fd = -1;
	return archive;
}

static int archive_new(struct archive **out_archive, struct engine *engine, const char *name, struct error *err)
{
	struct container *container = NULL;

	if (container_find(&container, engine, name, err) < 0)
		return -1;
	*out_archive = archive_make(name);
	(*out_archive)->container = container;
	return 0;
}

/* The container's whole tree: a running one's own, or a stopped one's mounted by the child. */
static int start(struct archive *archive, const char *verb, struct text_list *request, int stream_fd, int cancel_fd,
		 struct error *err)
{
	AUTO_CLOSE int root_fd = -1;
	AUTO_CLOSE int userns_fd = -1;
	int64_t pid;

	if (hold_if_stopped(archive, &pid, cancel_fd, err) < 0)
		return -1;
	if (pid > 0) {
		root_fd = open_root(pid, err);
		if (root_fd < 0)
			return -1;
		if (archive->container->document.id_map.size) {
			userns_fd = open_user_namespace(pid, err);
			if (userns_fd < 0)
				return -1;
			text_list_add(request, "user-namespace=1");
		}
		text_list_add(request, "running=1");
		add_hollows(request, &archive->container->document);
	} else if (add_tree(request, archive->container, err) < 0) {
		return -1;
	}
	return spawn(archive, verb, request, (const int[]){ root_fd, userns_fd }, stream_fd, err);
}

static int await_report(const struct archive *archive, int cancel_fd, struct error *err)
{
	struct pollfd items[] = { { .fd = archive->report_fd, .events = POLLIN },
				  { .fd = cancel_fd, .events = POLLIN } };

	while (poll(items, 2, -1) < 0)
		if (errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "poll");
	return items[0].revents ? 0 : error_set(err, ERR_CANCELED, "the client went away");
}

/* The next mark of the report; 'E' arrives as the error. */
static int next_mark(char *out_mark, const struct archive *archive, int cancel_fd, struct error *err)
{
	if (await_report(archive, cancel_fd, err) < 0)
		return -1;
	if (read_full(archive->report_fd, out_mark, 1) != 1)
		return error_set(err, ERR_INTERNAL, "kist-archive ended without a report");
	if (*out_mark != 'E')
		return 0;
	if (error_receive(archive->report_fd, err) == 0)
		return error_set(err, ERR_INTERNAL, "kist-archive ended in the middle of its report");
	if (err->kind == ERR_NOT_FOUND) {
		AUTO_FREE char *text = take_ptr(err->message);

		err->message = xasprintf("%s in container %s", text, archive->shown);
	}
	return -1;
}

int archive_finish(struct archive *archive, int cancel_fd, struct error *err)
{
	struct process_end end;
	char mark;

	if (next_mark(&mark, archive, cancel_fd, err) < 0)
		return -1;
	return process_wait(&archive->process, &end, -1, -1, err) < 0 ? -1 : 0;
}

/* ---- stat ---- */

/* os.FileMode: the permission bits, and a bit of Go's own for each kind and each of setuid, setgid, sticky. */
static uint32_t go_mode(uint64_t mode)
{
	static const struct {
		mode_t kind;
		uint32_t bits;
	} kinds[] = { { S_IFDIR, 1u << 31 },
		      { S_IFLNK, 1u << 27 },
		      { S_IFBLK, 1u << 26 },
		      { S_IFIFO, 1u << 25 },
		      { S_IFCHR, 1u << 26 | 1u << 21 },
		      { S_IFSOCK, 1u << 24 } };
	uint32_t bits = mode & 0777;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if ((mode & S_IFMT) == kinds[i].kind)
			bits |= kinds[i].bits;
	bits |= mode & S_ISUID ? 1u << 23 : 0;
	bits |= mode & S_ISGID ? 1u << 22 : 0;
	bits |= mode & S_ISVTX ? 1u << 20 : 0;
	return bits;
}

static int read_name(char **out_name, int fd, uint64_t size, struct error *err)
{
	AUTO_FREE char *name = size <= NAME_MAX_BYTES ? xcalloc(1, size + 1) : NULL;

	if (!name || read_full(fd, name, size) != (ssize_t)size)
		return error_set(err, ERR_INTERNAL, "kist-archive's report is damaged");
	*out_name = take_ptr(name);
	return 0;
}

static int read_stat(struct archive_stat *out_stat, const struct archive *archive, int cancel_fd, struct error *err)
{
	struct archive_stat_report report;
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *link = NULL;
	char time[CLOCK_TEXT_MAX];
	char mark;

	if (next_mark(&mark, archive, cancel_fd, err) < 0)
		return -1;
	if (mark != 'S' || read_full(archive->report_fd, &report, sizeof(report)) != sizeof(report))
		return error_set(err, ERR_INTERNAL, "kist-archive's report is damaged");
	if (read_name(&name, archive->report_fd, report.name_size, err) < 0 ||
	    read_name(&link, archive->report_fd, report.link_size, err) < 0)
		return -1;
	clock_format(time, report.mtime_s * CLOCK_SECOND + report.mtime_ns);
	*out_stat = (struct archive_stat){ .name = take_ptr(name),
					   .size = (int64_t)report.size,
					   .mode = go_mode(report.mode),
					   .mtime = xstrdup(time),
					   .link_target = take_ptr(link) };
	return 0;
}

static void add_path(struct text_list *request, const char *path)
{
	text_list_addf(request, "path=%s%s", path[0] == '/' ? "" : "/", path);
}

/* ---- verbs ---- */

int archive_stat(struct archive_stat *out_stat, struct engine *engine, const char *name, const char *path,
		 int cancel_fd, struct error *err)
{
	AUTO(text_list_fini) struct text_list request = { 0 };
	AUTO(archive_freep) struct archive *archive = NULL;

	if (archive_new(&archive, engine, name, err) < 0)
		return -1;
	add_path(&request, path);
	if (start(archive, "stat", &request, -1, cancel_fd, err) < 0)
		return -1;
	return read_stat(out_stat, archive, cancel_fd, err);
}

int archive_get(struct archive **out_archive, struct archive_stat *out_stat, struct engine *engine, const char *name,
		const char *path, int cancel_fd, struct error *err)
{
	AUTO(text_list_fini) struct text_list request = { 0 };
	AUTO(archive_freep) struct archive *archive = NULL;

	if (archive_new(&archive, engine, name, err) < 0)
		return -1;
	add_path(&request, path);
	if (start(archive, "get", &request, -1, cancel_fd, err) < 0 || read_stat(out_stat, archive, cancel_fd, err) < 0)
		return -1;
	container_event(archive->container, "archive-path", NULL);
	*out_archive = take_ptr(archive);
	return 0;
}

int archive_export(struct archive **out_archive, struct engine *engine, const char *name, struct error *err)
{
	AUTO(text_list_fini) struct text_list request = { 0 };
	AUTO(archive_freep) struct archive *archive = NULL;

	if (archive_new(&archive, engine, name, err) < 0 ||
	    files_add_snapshot(&request, engine->store, archive->container->id, err) < 0 ||
	    spawn(archive, "export", &request, (const int[]){ -1, -1 }, -1, err) < 0)
		return -1;
	container_event(archive->container, "export", NULL);
	*out_archive = take_ptr(archive);
	return 0;
}

int archive_export_snapshot(struct archive **out_archive, struct engine *engine, const char *key, int64_t latest_s,
			    struct error *err)
{
	AUTO(text_list_fini) struct text_list request = { 0 };
	AUTO(archive_freep) struct archive *archive = archive_make(key);

	text_list_addf(&request, "latest=%lld", (long long)latest_s);
	if (files_add_snapshot(&request, engine->store, key, err) < 0 ||
	    spawn(archive, "export", &request, (const int[]){ -1, -1 }, -1, err) < 0)
		return -1;
	*out_archive = take_ptr(archive);
	return 0;
}

int archive_put(struct engine *engine, const char *name, const char *path, const struct archive_put_options *options,
		int stream_fd, int cancel_fd, struct error *err)
{
	AUTO(text_list_fini) struct text_list request = { 0 };
	AUTO(archive_freep) struct archive *archive = NULL;
	const char *user;

	if (archive_new(&archive, engine, name, err) < 0)
		return -1;
	user = archive->container->document.config.user;
	add_path(&request, path);
	if (options->keep_kinds)
		text_list_add(&request, "keep-kinds=1");
	if (options->own && !text_empty(user))
		text_list_addf(&request, "owner=%s", user);
	if (start(archive, "put", &request, stream_fd, cancel_fd, err) < 0 ||
	    archive_finish(archive, cancel_fd, err) < 0)
		return -1;
	container_event(archive->container, "extract-to-dir", NULL);
	return 0;
}
