/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kist-files - work on files that strangers named: COPY into an image, the
 * changes of a container as a layer. Run by store/files.c only:
 *
 *   kist-files copy|hash|mkdir|diff|changes|size|clone|merge|erofs
 *
 * Descriptors: 0 the request, "key=value" texts each ended by a NUL; 1 the
 * output (hash, diff: a tar stream; changes: see changes.h); 3 the report;
 * 4 the source directory, if the request says "source-fd=1". Paths of layers
 * in the request are kistd's own; everything else is looked up inside roots.
 * The overlay of a target or source is mounted detached: it has no path and
 * goes with this process; with "whole=1" there is none, the upper directory holds
 * everything. clone fills it from the source, merge puts the rest of `from` below
 * what `to` has (compose.h), both folders below `base`. erofs makes an image of the source in the file that is descriptor
 * 4. The report is 'R' and struct files_report, or 'E' and
 * the error.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/attributes.h"
#include "archive/changes.h"
#include "archive/clamp.h"
#include "archive/compose.h"
#include "archive/copy.h"
#include "archive/differences.h"
#include "archive/erofs.h"
#include "archive/jail.h"
#include "archive/mount_points.h"
#include "archive/pack.h"
#include "archive/report.h"
#include "archive/tree.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "sys/mount_api.h"

#define REPORT_FD 3
#define SOURCE_FD 4
#define REQUEST_MAX (16 * 1024 * 1024)
#define LOWER_MAX 500

struct request {
	struct copy_settings copy;
	struct text_list source_lower; /* paths, highest first */
	struct text_list lower;	       /* of the target or the upper directory */
	const char *upper;
	const char *work;
	const char *path; /* mkdir */
	struct text_list mounts;
	const char *base; /* merge */
	const char *to;
	const char *from;
	struct map hidden;
	struct map opaque;
	struct timespec since; /* when an upper directory that is whole had nothing changed */
	bool whole;
	bool source_is_fd;
	bool remove_mount_points;
	bool hash_owners;
	bool no_content;
	int64_t latest_s;
};

static int usage(struct error *err)
{
	return error_set(err, ERR_INVALID, "kist-files is started by kistd only");
}

/* ---- the request ---- */

static bool set_text(struct request *request, const char *key, const char *value)
{
	const struct {
		const char *key;
		const char **target;
	} texts[] = {
		{ "upper", &request->upper },	   { "work", &request->work },
		{ "path", &request->path },	   { "destination", &request->copy.destination },
		{ "chown", &request->copy.chown }, { "chmod", &request->copy.chmod },
		{ "base", &request->base },	   { "to", &request->to },
		{ "from", &request->from },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		if (text_equal(texts[i].key, key)) {
			*texts[i].target = value;
			return true;
		}
	}
	return false;
}

static bool add_item(struct request *request, const char *key, const char *value)
{
	const struct {
		const char *key;
		struct text_list *target;
	} lists[] = {
		{ "source-lower", &request->source_lower },
		{ "lower", &request->lower },
		{ "mount", &request->mounts },
		{ "source", &request->copy.sources },
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		if (text_equal(lists[i].key, key)) {
			text_list_add(lists[i].target, value);
			return true;
		}
	}
	return false;
}

static bool set_flag(struct request *request, const char *key)
{
	const struct {
		const char *key;
		bool *target;
	} flags[] = {
		{ "source-fd", &request->source_is_fd },     { "remove-mount-points", &request->remove_mount_points },
		{ "keep-owner", &request->copy.keep_owner }, { "parents", &request->copy.parents },
		{ "hash-owners", &request->hash_owners },    { "whole", &request->whole },
		{ "no-content", &request->no_content },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (text_equal(flags[i].key, key)) {
			*flags[i].target = true;
			return true;
		}
	}
	return false;
}

static int parse_since(struct timespec *out_since, const char *value)
{
	int64_t nanoseconds;

	if (text_parse_i64(&nanoseconds, value, 0, INT64_MAX) < 0)
		return -1;
	*out_since = (struct timespec){ nanoseconds / CLOCK_SECOND, nanoseconds % CLOCK_SECOND };
	return 0;
}

static int set_other(struct request *request, const char *key, const char *value, struct error *err)
{
	if (text_equal(key, "exclude"))
		return pattern_list_add(&request->copy.excludes, value, err);
	if (text_equal(key, "latest"))
		return text_parse_i64(&request->latest_s, value, INT64_MIN, INT64_MAX) < 0 ? usage(err) : 0;
	if (text_equal(key, "since"))
		return parse_since(&request->since, value) < 0 ? usage(err) : 0;
	if (text_equal(key, "hidden"))
		map_set(&request->hidden, value, request);
	else if (text_equal(key, "opaque"))
		map_set(&request->opaque, value, request);
	else if (!set_text(request, key, value) && !add_item(request, key, value) && !set_flag(request, key))
		return usage(err);
	return 0;
}

/* data ends with a NUL of its own behind the last text's. */
static int parse_request(struct request *request, char *data, size_t size, struct error *err)
{
	char *end = data + size;
	char *next;

	for (char *key = data; key < end; key = next) {
		char *value = strchr(key, '=');

		next = key + strlen(key) + 1;
		if (!value)
			return usage(err);
		*value++ = '\0';
		if (set_other(request, key, value, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- mounts ---- */

static int open_path(const char *path, struct error *err)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "open %s", path) : fd;
}

/* All layers as one tree. upper NULL: read-only. */
static int mount_tree(const struct text_list *lower, const char *upper, const char *work, struct error *err)
{
	AUTO_FREE char *lowers = text_list_join(lower, ":");
	AUTO_FREE char *data = NULL;

	if (lower->count == 0 || (lower->count == 1 && !upper)) {
		int fd = open_path(upper ? upper : lower->items[0], err);

		return fd < 0 || jail_lock_directory(&fd, !upper, err) < 0 ? -1 : fd;
	}
	data = upper ? xasprintf("lowerdir=%s,upperdir=%s,workdir=%s,index=off,redirect_dir=off,metacopy=off", lowers,
				 upper, work)
		     : xasprintf("lowerdir=%s", lowers);
	return mount_new("overlay", "overlay", data, 0,
			 MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | (upper ? 0 : MOUNT_ATTR_RDONLY),
			 err);
}

static int open_target(const struct request *request, struct error *err)
{
	static const struct text_list none;

	return mount_tree(request->whole ? &none : &request->lower, request->upper, request->work, err);
}

static int open_source(const struct request *request, struct error *err)
{
	int fd = SOURCE_FD;

	if (!request->source_is_fd)
		return request->source_lower.count ? mount_tree(&request->source_lower, NULL, NULL, err) : usage(err);
	return jail_lock_directory(&fd, true, err) < 0 ? -1 : fd;
}

/* ---- verbs ---- */

static int run_copy(struct request *request, struct files_report *report, struct error *err)
{
	if (!request->upper || !request->copy.destination || request->copy.sources.count == 0)
		return usage(err);
	request->copy.source_fd = open_source(request, err);
	if (request->copy.source_fd < 0)
		return -1;
	request->copy.target_fd = open_target(request, err);
	if (request->copy.target_fd < 0 || jail_confine(&request->copy.target_fd, err) < 0)
		return -1;
	report->changed = 1;
	return copy_run(&request->copy, err);
}

static int run_mkdir(struct request *request, struct files_report *report, struct error *err)
{
	int target_fd;
	int r;

	if (!request->upper || !request->path)
		return usage(err);
	target_fd = open_target(request, err);
	if (target_fd < 0 || jail_confine(&target_fd, err) < 0)
		return -1;
	r = copy_make_directory(target_fd, request->path, request->copy.chown, err);
	report->changed = r > 0;
	return r < 0 ? -1 : 0;
}

static int run_hash(struct request *request, struct files_report *report, struct error *err)
{
	const struct pack_settings settings = { .out_fd = STDOUT_FILENO,
						.no_times = true,
						.no_owners = !request->hash_owners,
						.no_content = request->no_content,
						.latest_s = -1,
						.excludes = &request->copy.excludes };
	AUTO(pack_freep) struct pack *pack = NULL;
	struct pack_counts counts;

	request->copy.source_fd = open_source(request, err);
	if (request->copy.source_fd < 0 || jail_confine(&request->copy.source_fd, err) < 0)
		return -1;
	pack = pack_new(&settings);
	if (copy_pack(&request->copy, pack, err) < 0 || pack_finish(pack, &counts, err) < 0)
		return -1;
	report->entries = counts.entries;
	report->bytes = counts.bytes;
	return 0;
}

/* The upper directory and the layers below it, each alone. */
static int open_search(struct mount_point_search *search, int *lower_fds, const struct request *request,
		       struct error *err)
{
	if (!request->upper || request->lower.count > LOWER_MAX)
		return usage(err);
	search->upper_fd = open_path(request->upper, err);
	if (search->upper_fd < 0 ||
	    jail_lock_directory(&search->upper_fd, !request->remove_mount_points || request->whole, err) < 0)
		return -1;
	for (size_t i = 0; i < request->lower.count; i++) {
		lower_fds[i] = open_path(request->lower.items[i], err);
		if (lower_fds[i] < 0 || jail_lock_directory(&lower_fds[i], true, err) < 0)
			return -1;
	}
	search->lower_fds = lower_fds;
	search->lower_count = request->lower.count;
	search->mounts = request->mounts;
	return jail_confine(&search->upper_fd, err);
}

/* Whether the root directory itself is not as below (or as a new one would be). */
static bool root_changed(const struct mount_point_search *search)
{
	struct stat below = { .st_mode = S_IFDIR | 0755 };
	struct stat upper;

	if (fstat(search->upper_fd, &upper) < 0 || (search->lower_count > 0 && fstat(search->lower_fds[0], &below) < 0))
		return false;
	return upper.st_mode != below.st_mode || upper.st_uid != below.st_uid || upper.st_gid != below.st_gid;
}

static int pack_upper(const struct request *request, const struct mount_point_search *search,
		      const struct map *mount_points, const struct differences *only, struct files_report *report,
		      struct error *err)
{
	const struct pack_settings settings = {
		.out_fd = STDOUT_FILENO,
		.overlay = !request->whole,
		.latest_s = request->latest_s,
		.skip = mount_points,
		.only = only,
	};
	AUTO(pack_freep) struct pack *pack = pack_new(&settings);
	struct pack_counts counts;

	if ((root_changed(search) && pack_add_root(pack, search->upper_fd, err) < 0) ||
	    pack_add_below(pack, search->upper_fd, "", err) < 0 || pack_finish(pack, &counts, err) < 0)
		return -1;
	report->entries = counts.entries;
	report->bytes = counts.bytes;
	report->changed = counts.entries > 0;
	return 0;
}

static int run_upper(struct request *request, bool list, struct files_report *report, struct error *err)
{
	AUTO(text_fini) struct text out = { 0 };
	struct mount_point_search search = { .upper_fd = -1 };
	int lower_fds[LOWER_MAX];
	struct map mount_points;
	int r = 0;

	if (open_search(&search, lower_fds, request, err) < 0)
		return -1;
	map_init(&mount_points, NULL);
	r = mount_points_find(&mount_points, &search, err);
	if (r == 0 && request->remove_mount_points)
		r = mount_points_remove(&mount_points, &search, err);
	/* What becomes a layer as it is has the times that its archive has. */
	if (r == 0 && request->remove_mount_points && request->latest_s >= 0)
		r = clamp_times(search.upper_fd, request->latest_s, err);
	if (r == 0 && !list)
		r = pack_upper(request, &search, &mount_points, NULL, report, err);
	if (r == 0 && list)
		r = changes_list(&out, &search, &mount_points, err);
	map_fini(&mount_points);
	if (r == 0 && out.size > 0) {
		r = write_full(STDOUT_FILENO, out.data, out.size);
		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "write the list");
	}
	return r;
}

enum wanted { WANTED_DIFF, WANTED_CHANGES, WANTED_SIZE };

/* An upper directory that holds everything: what is in it is no change, what is different is. */
static int run_whole(const struct request *request, enum wanted wanted, struct files_report *report, struct error *err)
{
	AUTO(differences_fini) struct differences found = { .bytes = 0 };
	AUTO(text_fini) struct text out = { 0 };
	struct mount_point_search search = { .upper_fd = -1 };
	struct differences_search compared = { .lower_fd = -1, .since = request->since };
	int lower_fds[LOWER_MAX];
	struct map mount_points;
	int r;

	if (open_search(&search, lower_fds, request, err) < 0)
		return -1;
	map_init(&mount_points, NULL);
	compared.upper_fd = search.upper_fd;
	compared.skip = &mount_points;
	if (search.lower_count > 0)
		compared.lower_fd = openat(lower_fds[0], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = mount_points_find(&mount_points, &search, err);
	if (r == 0)
		r = differences_find(&found, &compared, err);
	report->bytes = found.bytes;
	if (r == 0 && wanted == WANTED_DIFF)
		r = pack_upper(request, &search, &mount_points, &found, report, err);
	if (r == 0 && wanted == WANTED_CHANGES)
		changes_write(&out, &found.lines);
	map_fini(&mount_points);
	if (r == 0 && out.size > 0 && write_full(STDOUT_FILENO, out.data, out.size) < 0)
		return error_set(err, ERR_CANCELED, "nobody reads the list");
	return r;
}

/* A container's tree, from the one its image has. */
static int run_clone(const struct request *request, struct error *err)
{
	struct compose_settings settings = { .to_fd = -1 };
	struct stat st;

	if (!request->upper || request->source_lower.count != 1)
		return usage(err);
	settings.to_fd = open_path(request->upper, err);
	settings.from_fd = settings.to_fd < 0 ? -1 : open_path(request->source_lower.items[0], err);
	if (settings.from_fd < 0 || jail_lock_directory(&settings.from_fd, true, err) < 0 ||
	    jail_lock_directory(&settings.to_fd, false, err) < 0 || jail_confine(&settings.to_fd, err) < 0)
		return -1;
	settings.from_fd = openat(settings.from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (settings.from_fd < 0 || fstat(settings.from_fd, &st) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open %s", request->source_lower.items[0]);
	if (compose_run(&settings, err) < 0)
		return -1;
	return attributes_copy_fd(settings.from_fd, settings.to_fd, &st, "/", err);
}

/* Links go from one folder to the other: both are below one mount, and nothing else is. */
static int run_merge(const struct request *request, struct error *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	struct compose_settings settings = { .link = true, .hidden = &request->hidden, .opaque = &request->opaque };
	int base;

	if (!request->base || !request->to || !request->from)
		return usage(err);
	base = open_path(request->base, err);
	if (base < 0 || jail_lock_directory(&base, false, err) < 0 || jail_confine(&base, err) < 0)
		return -1;
	settings.to_fd = openat(base, request->to, flags);
	settings.from_fd = openat(base, request->from, flags);
	if (settings.to_fd < 0 || settings.from_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open %s and %s", request->to, request->from);
	return compose_run(&settings, err);
}

static int run_erofs(const struct request *request, struct files_report *report, struct error *err)
{
	struct erofs_counts counts;
	int root;

	if (request->source_lower.count != 1)
		return usage(err);
	root = open_path(request->source_lower.items[0], err);
	if (root < 0 || jail_lock_directory(&root, true, err) < 0 || jail_confine(&root, err) < 0)
		return -1;
	if (erofs_write(&counts, SOURCE_FD, root, err) < 0)
		return -1;
	report->entries = counts.entries;
	report->bytes = counts.bytes;
	return 0;
}

static int run_changes(struct request *request, enum wanted wanted, struct files_report *report, struct error *err)
{
	if (request->whole)
		return run_whole(request, wanted, report, err);
	return wanted == WANTED_SIZE ? usage(err) : run_upper(request, wanted == WANTED_CHANGES, report, err);
}

static int run(struct files_report *report, int argc, char **argv, struct error *err)
{
	struct request request = { .latest_s = -1 };
	char *data = NULL;
	size_t size;
	int r;

	map_init(&request.hidden, NULL);
	map_init(&request.opaque, NULL);
	if (argc != 2)
		return usage(err);
	/* Never freed: the request points into it, and the process ends with it. */
	r = fd_read_all(&data, &size, STDIN_FILENO, REQUEST_MAX);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read the request");
	if (parse_request(&request, data, size, err) < 0)
		return -1;
	if (text_equal(argv[1], "copy"))
		return run_copy(&request, report, err);
	if (text_equal(argv[1], "mkdir"))
		return run_mkdir(&request, report, err);
	if (text_equal(argv[1], "hash"))
		return run_hash(&request, report, err);
	if (text_equal(argv[1], "diff"))
		return run_changes(&request, WANTED_DIFF, report, err);
	if (text_equal(argv[1], "changes"))
		return run_changes(&request, WANTED_CHANGES, report, err);
	if (text_equal(argv[1], "size"))
		return run_changes(&request, WANTED_SIZE, report, err);
	if (text_equal(argv[1], "clone"))
		return run_clone(&request, err);
	if (text_equal(argv[1], "erofs"))
		return run_erofs(&request, report, err);
	if (text_equal(argv[1], "merge"))
		return run_merge(&request, err);
	return usage(err);
}

int main(int argc, char **argv)
{
	struct files_report report = { 0 };
	struct error err = { 0 };

	/* Without kistd nobody wants the result. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	if (run(&report, argc, argv, &err) == 0)
		_exit(write_full(REPORT_FD, "R", 1) < 0 || write_full(REPORT_FD, &report, sizeof(report)) < 0);
	if (write_full(REPORT_FD, "E", 1) < 0 || error_send(REPORT_FD, &err) < 0)
		dprintf(STDERR_FILENO, "kist-files: %s\n", err.message);
	_exit(EXIT_FAILURE);
}
