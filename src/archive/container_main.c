/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kist-archive - `docker cp` and `export`: files of a container in and out, as
 * tar streams. Run by engine/archive.c only:
 *
 *   kist-archive stat|get|put|export
 *
 * Descriptors: 0 put: the tar stream; 1 get, export: the tar stream; 3 the
 * report; 4 the request, "key=value" texts each ended by a NUL; 5 a running
 * container's root directory, 6 its user namespace if it has one. Without 5 the container's layers and volumes are
 * mounted, in a mount namespace of this process; then the container's root is
 * our root, and all its paths are looked up inside (openat2 RESOLVE_IN_ROOT):
 * none of its links leads out. The report: 'S' and struct archive_stat_report
 * with name and link (stat, get), then 'R', or 'E' and the error.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/jail.h"
#include "archive/owner.h"
#include "archive/pack.h"
#include "archive/report.h"
#include "archive/unpack.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "sys/in_root.h"
#include "sys/mount_api.h"

#define REPORT_FD 3
#define REQUEST_FD 4
#define ROOT_FD 5
#define USERNS_FD 6
#define REQUEST_MAX (16 * 1024 * 1024)
#define LINK_HOPS_MAX 40

#define MOUNT_WORDS 4

struct request {
	bool running;	     /* the root comes as a descriptor */
	bool user_namespace; /* and its user namespace as the next one: owners are what they are there */
	bool read_only;
	bool whole;	 /* the upper directory holds everything: no overlay */
	bool keep_kinds; /* a directory never replaces anything else, nor the other way round */
	const char *upper;
	const char *work;
	const char *place; /* a folder to mount on, in our own mount namespace */
	const char *path;
	const char *owner;	 /* NULL: as the stream says */
	struct text_list lower;	 /* highest first */
	struct text_list mounts; /* SOURCE, SUBPATH, TARGET, "ro" or "rw" each */
	struct map hollow;	 /* paths without a slash at the start whose content does not belong to the container */
	const char *latest;	 /* export: later times become this one; NULL or negative: they stay */
};

static int usage(struct error *err)
{
	return error_set(err, ERR_INVALID, "kist-archive is started by kistd only");
}

/* ---- the request ---- */

static bool take_key(struct request *request, const char *key, const char *value)
{
	const struct {
		const char *key;
		const char **target;
	} texts[] = {
		{ "upper", &request->upper }, { "work", &request->work },   { "place", &request->place },
		{ "path", &request->path },   { "owner", &request->owner }, { "latest", &request->latest },
	};
	const struct {
		const char *key;
		bool *target;
	} flags[] = {
		{ "running", &request->running },	{ "user-namespace", &request->user_namespace },
		{ "read-only", &request->read_only },	{ "whole", &request->whole },
		{ "keep-kinds", &request->keep_kinds },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (text_equal(key, texts[i].key)) {
			*texts[i].target = value;
			return true;
		}
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (text_equal(key, flags[i].key)) {
			*flags[i].target = true;
			return true;
		}
	/* What only kist-files wants to know of a tree. */
	if (text_equal(key, "since"))
		return true;
	if (text_equal(key, "lower"))
		text_list_add(&request->lower, value);
	else if (text_equal(key, "mount"))
		text_list_add(&request->mounts, value);
	else if (text_equal(key, "hollow"))
		map_set(&request->hollow, value, request);
	else
		return false;
	return true;
}

static int read_request(struct request *request, struct error *err)
{
	char *data = NULL; /* the request points into it, and ends with the process */
	char *next;
	size_t size;
	int r = fd_read_all(&data, &size, REQUEST_FD, REQUEST_MAX);

	map_init(&request->hollow, NULL);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read the request");
	for (char *key = data; key < data + size; key = next) {
		char *value = strchr(key, '=');

		next = key + strlen(key) + 1;
		if (!value)
			return usage(err);
		*value++ = '\0';
		if (!take_key(request, key, value))
			return usage(err);
	}
	return request->mounts.count % MOUNT_WORDS == 0 ? 0 : usage(err);
}

/* ---- the container's root ---- */

static int bind_layer(const char *path, struct error *err)
{
	int fd = mount_clone(AT_FDCWD, path, 0);

	return fd < 0 ? error_set_errno(err, ERR_INTERNAL, fd, "mount %s", path) : fd;
}

/* All layers as one tree. `look`: the upper directory is one of the layers that are only read. */
static int mount_layers(const struct request *request, bool look, struct error *err)
{
	AUTO_FREE char *lowers = text_list_join(&request->lower, ":");
	AUTO_FREE char *data = NULL;

	if (!request->upper)
		return usage(err);
	if (request->lower.count == 0 || request->whole)
		return bind_layer(request->upper, err);
	data = look ? xasprintf("lowerdir=%s:%s", request->upper, lowers)
		    : xasprintf("lowerdir=%s,upperdir=%s,workdir=%s,index=off,redirect_dir=off,metacopy=off", lowers,
				request->upper, request->work);
	return mount_new("overlay", "overlay", data, 0, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);
}

/* Who can write into a volume can put a link in the place of a part of it: parts are looked up inside. */
static int clone_source(const char *source, const char *subpath)
{
	AUTO_CLOSE int volume = -1;
	AUTO_CLOSE int part = -1;

	if (!*subpath)
		return mount_clone(AT_FDCWD, source, 1);
	volume = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	part = volume < 0 ? -errno : open_in_root(volume, subpath, O_PATH, 0);
	return part < 0 ? part : mount_clone(part, "", 1);
}

/* One volume or bind on its place in the tree; a source that is not there any more is left out. */
static int add_mount(int root_fd, char *const *words, struct error *err)
{
	AUTO_CLOSE int source = clone_source(words[0], words[1]);
	AUTO_CLOSE int target = -1;
	struct stat st;
	int r;

	if (source < 0 || fstat(source, &st) < 0)
		return 0;
	target = S_ISDIR(st.st_mode) ? mkdir_in_root_plain(root_fd, words[2], 0755)
				     : touch_in_root(root_fd, words[2], 0644);
	r = target < 0 ? target : 0;
	if (r == 0)
		r = mount_change(source, 1, text_equal(words[3], "ro") ? MOUNT_ATTR_RDONLY : 0, 0, MS_PRIVATE);
	if (r == 0)
		r = mount_attach(source, target);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "mount %s on %s", words[0], words[2]) : 0;
}

static int mount_container(const struct request *request, struct error *err)
{
	AUTO_CLOSE int fd = -1;
	int r;

	if (!request->place)
		return usage(err);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make a mount namespace");
	fd = mount_layers(request, false, err);
	if (fd < 0)
		return -1;
	r = mount_attach_at(fd, AT_FDCWD, request->place);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "mount on %s", request->place);
	for (size_t i = 0; i < request->mounts.count; i += MOUNT_WORDS)
		if (add_mount(fd, &request->mounts.items[i], err) < 0)
			return -1;
	if (request->read_only) {
		r = mount_change(fd, 0, MOUNT_ATTR_RDONLY, 0, 0);
		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "make the root read-only");
	}
	return take_fd(&fd);
}

/* From here on we are in the container's root, locked in. */
static int enter_container(const struct request *request, struct error *err)
{
	int fd = request->running ? ROOT_FD : mount_container(request, err);

	if (request->user_namespace && (setns(USERNS_FD, CLONE_NEWUSER) < 0 || setresgid(0, 0, 0) < 0 ||
					setgroups(0, NULL) < 0 || setresuid(0, 0, 0) < 0))
		return error_set_errno(err, ERR_INTERNAL, errno, "enter the container's user namespace");
	return fd < 0 || jail_confine(&fd, err) < 0 ? -1 : fd;
}

/* ---- paths ---- */

/* "/x/" and "/x/." mean what a link at x leads to. */
static bool follows(const char *path)
{
	return text_has_suffix(path, "/") || text_has_suffix(path, "/.") || text_equal(path, ".");
}

static int not_found(const char *path, int errnum, struct error *err)
{
	if (errnum == -ENOENT || errnum == -ENOTDIR)
		return error_set(err, ERR_NOT_FOUND, "Could not find the file %s", path);
	return error_set_errno(err, ERR_INVALID, errnum, "%s", path);
}

static int open_path(int root_fd, const char *path, struct error *err)
{
	int fd = open_in_root(root_fd, path, O_PATH | (follows(path) ? 0 : O_NOFOLLOW), 0);

	return fd < 0 ? not_found(path, fd, err) : fd;
}

/* Go's filepath.Base of the path as it was given. */
static char *entry_name(const char *path)
{
	size_t size = strlen(path);

	while (size > 1 && path[size - 1] == '/')
		size--;
	AUTO_FREE char *plain = xstrndup(path, size);

	if (text_equal(plain, "/"))
		return xstrdup("/");
	return xstrdup(path_base(plain));
}

/* Where a chain of links ends, as a path of the container. */
static char *link_end(int root_fd, const char *path)
{
	char *at = path_clean(path);

	for (int hops = 0; hops < LINK_HOPS_MAX; hops++) {
		AUTO_CLOSE int fd = open_in_root(root_fd, at, O_PATH | O_NOFOLLOW, 0);
		AUTO_FREE char *parent = path_parent(at);
		AUTO_FREE char *joined = NULL;
		char target[PATH_MAX];
		ssize_t size = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof(target) - 1);

		if (size < 0)
			break;
		target[size] = '\0';
		joined = target[0] == '/' ? xstrdup(target) : path_join(parent, target);
		free(at);
		at = path_clean(joined);
	}
	return at;
}

static int report_stat(int root_fd, int fd, const char *path, struct error *err)
{
	AUTO_FREE char *name = entry_name(path);
	AUTO_FREE char *link = NULL;
	struct archive_stat_report report = { 0 };
	struct stat st;

	if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "look at %s", path);
	link = S_ISLNK(st.st_mode) ? link_end(root_fd, path) : xstrdup("");
	report = (struct archive_stat_report){ .size = (uint64_t)st.st_size,
					       .mode = st.st_mode,
					       .mtime_s = st.st_mtim.tv_sec,
					       .mtime_ns = st.st_mtim.tv_nsec,
					       .name_size = strlen(name),
					       .link_size = strlen(link) };
	if (write_full(REPORT_FD, "S", 1) < 0 || write_full(REPORT_FD, &report, sizeof(report)) < 0 ||
	    write_full(REPORT_FD, name, strlen(name)) < 0 || write_full(REPORT_FD, link, strlen(link)) < 0)
		return error_set(err, ERR_CANCELED, "nobody reads the report");
	return 0;
}

/* ---- verbs ---- */

static int run_stat(const struct request *request, struct error *err)
{
	int root_fd = enter_container(request, err);
	AUTO_CLOSE int fd = root_fd < 0 ? -1 : open_path(root_fd, request->path, err);

	return fd < 0 ? -1 : report_stat(root_fd, fd, request->path, err);
}

/* A second descriptor of what was found, for reading; links and devices stay O_PATH. */
static int open_content(int root_fd, int fd, const char *path, struct error *err)
{
	int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | (follows(path) ? 0 : O_NOFOLLOW);
	struct stat found;
	struct stat opened;
	int content;

	if (fstat(fd, &found) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "look at %s", path);
	if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode))
		return fcntl(fd, F_DUPFD_CLOEXEC, 0);
	content = open_in_root(root_fd, path, flags, 0);
	if (content < 0)
		return not_found(path, content, err);
	/* Another file in its place meanwhile: what the report told of is gone. */
	if (fstat(content, &opened) == 0 && opened.st_ino == found.st_ino && opened.st_dev == found.st_dev)
		return content;
	close(content);
	return not_found(path, -ENOENT, err);
}

static int pack_path(struct pack *pack, int root_fd, const char *path, struct error *err)
{
	AUTO_FREE char *clean = path_clean(path);
	AUTO_FREE char *name = entry_name(path);
	AUTO_CLOSE int fd = open_path(root_fd, path, err);
	AUTO_CLOSE int content = -1;
	struct pack_counts counts;
	int r;

	if (fd < 0 || report_stat(root_fd, fd, path, err) < 0)
		return -1;
	content = open_content(root_fd, fd, path, err);
	if (content < 0)
		return -1;
	if (text_equal(clean, "/"))
		r = pack_add_root(pack, content, err) < 0 ? -1 : pack_add_below(pack, content, "", err);
	else
		r = pack_add_opened(pack, content, name, err);
	return r < 0 ? -1 : pack_finish(pack, &counts, err);
}

static int run_get(const struct request *request, struct error *err)
{
	const struct pack_settings settings = { .out_fd = STDOUT_FILENO, .latest_s = -1, .hollow = &request->hollow };
	int root_fd = enter_container(request, err);
	AUTO(pack_freep) struct pack *pack = NULL;

	if (root_fd < 0)
		return -1;
	pack = pack_new(&settings);
	return pack_path(pack, root_fd, request->path, err);
}

static int run_export(const struct request *request, struct error *err)
{
	struct pack_settings settings = { .out_fd = STDOUT_FILENO, .latest_s = -1 };
	AUTO(pack_freep) struct pack *pack = NULL;
	struct pack_counts counts;
	int root_fd;

	if (request->latest && text_parse_i64(&settings.latest_s, request->latest, -1, INT64_MAX) < 0)
		return usage(err);
	root_fd = mount_layers(request, true, err);
	if (root_fd < 0 || jail_confine(&root_fd, err) < 0)
		return -1;
	pack = pack_new(&settings);
	return pack_add_below(pack, root_fd, "", err) < 0 ? -1 : pack_finish(pack, &counts, err);
}

static int run_put(const struct request *request, struct error *err)
{
	struct unpack_settings settings = { .lowest = true, .plain = true, .keep_kinds = request->keep_kinds };
	AUTO(text_fini) struct text deferred = { 0 };
	struct unpack_counts counts;
	struct owner owner;
	int root_fd = enter_container(request, err);
	AUTO_CLOSE int fd = -1;
	struct stat st;

	if (root_fd < 0)
		return -1;
	if (request->owner) {
		if (owner_parse(&owner, root_fd, request->owner, err) < 0)
			return -1;
		settings.owner = &owner;
	}
	fd = open_in_root(root_fd, request->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return not_found(request->path, fd, err);
	if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "extraction point is not a directory");
	return unpack_stream(&counts, &deferred, STDIN_FILENO, fd, &settings, err);
}

static int run(int argc, char **argv, struct error *err)
{
	struct request request = { 0 };

	if (argc != 2)
		return usage(err);
	if (read_request(&request, err) < 0)
		return -1;
	if (text_equal(argv[1], "export"))
		return run_export(&request, err);
	if (!request.path)
		return usage(err);
	if (text_equal(argv[1], "stat"))
		return run_stat(&request, err);
	if (text_equal(argv[1], "get"))
		return run_get(&request, err);
	return text_equal(argv[1], "put") ? run_put(&request, err) : usage(err);
}

int main(int argc, char **argv)
{
	struct error err = { 0 };

	/* Without kistd nobody wants the result. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	if (run(argc, argv, &err) == 0)
		_exit(write_full(REPORT_FD, "R", 1) < 0);
	if (err.errnum == EROFS)
		err.kind = ERR_INVALID;
	if (write_full(REPORT_FD, "E", 1) < 0 || error_send(REPORT_FD, &err) < 0)
		dprintf(STDERR_FILENO, "kist-archive: %s\n", err.message);
	_exit(EXIT_FAILURE);
}
