/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: libarchive parses the tar format over our decompressed stream;
 * every entry then goes through tree.c. Directory times are set when all is
 * there, since each new entry changes its directory's time.
 */
#include "archive/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/attributes.h"
#include "archive/inflate.h"
#include "archive/owner.h"
#include "archive/tree.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"

#define IN_SIZE (128 * 1024)
#define OUT_SIZE (512 * 1024)
/* Smaller files wait for the sync: the kernel places them better together. */
#define WRITE_OUT_MIN (256 * 1024)
#define WHITEOUT ".wh."
#define WHITEOUT_META ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
/* A PAX header can carry this many xattrs; a file system cannot keep more. */
#define XATTR_MAX 1024

struct stream {
	int fd;
	int tee_fd; /* 0: none */
	struct inflate *inflate;
	uint8_t *in;
	uint8_t *out;
	const uint8_t *in_at;
	size_t in_left;
	bool end;
	struct error *err; /* borrowed; set by the read callback */
};

struct directory_time {
	char *path;
	struct timespec mtime;
};

struct unpack {
	const struct unpack_settings *settings;
	struct archive *archive;
	struct archive_entry *entry; /* current one, borrowed */
	struct stream stream;
	struct tree tree;
	struct unpack_counts counts;
	struct text *deferred; /* borrowed */
	struct directory_time *times;
	size_t time_count;
	size_t time_capacity;
	size_t implied_count; /* of the tree's, that have a time */
};

int unpack_devices_parse(enum unpack_devices *out_devices, const char *text)
{
	static const char *const names[] = { "allow", "skip", "refuse" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (text_equal(text, names[i])) {
			*out_devices = (enum unpack_devices)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* ---- the stream below libarchive ---- */

static int fill_input(struct stream *stream)
{
	ssize_t got;

	do {
		got = read(stream->fd, stream->in, IN_SIZE);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return error_set_errno(stream->err, ERR_INTERNAL, errno, "read the layer");
	stream->in_at = stream->in;
	stream->in_left = (size_t)got;
	stream->end = got == 0;
	return 0;
}

static ssize_t pass_on(const struct stream *stream, size_t size)
{
	int r = stream->tee_fd > 0 ? write_full(stream->tee_fd, stream->out, size) : 0;

	if (r < 0)
		return error_set_errno(stream->err, ERR_INTERNAL, r, "pass the layer on");
	return (ssize_t)size;
}

/* Fills the output buffer as far as one read allows: bytes, 0 at the end, -1 with err. */
static ssize_t stream_read(struct stream *stream)
{
	struct inflate_window window = { stream->in_at, stream->in_left, stream->out, OUT_SIZE };

	/* libarchive may take a failed read for the end, and then we come here again. */
	if (error_is_set(stream->err))
		return -1;
	for (;;) {
		if (inflate_step(stream->inflate, &window, stream->err) < 0)
			return -1;
		stream->in_at = window.in;
		stream->in_left = window.in_size;
		if (window.out_size < OUT_SIZE)
			return pass_on(stream, OUT_SIZE - window.out_size);
		if (stream->end)
			return inflate_finish(stream->inflate, stream->err) < 0 ? -1 : 0;
		if (fill_input(stream) < 0)
			return -1;
		window.in = stream->in_at;
		window.in_size = stream->in_left;
	}
}

static ssize_t read_callback(struct archive *archive, void *arg, const void **out_data)
{
	struct stream *stream = arg;
	ssize_t got = stream_read(stream);

	if (got < 0)
		archive_set_error(archive, EIO, "%s", stream->err->message);
	*out_data = stream->out;
	return got < 0 ? ARCHIVE_FATAL : got;
}

/* libarchive's own complaint, unless the stream below it failed first. */
static int archive_fail(struct unpack *unpack, struct error *err)
{
	const char *text = archive_error_string(unpack->archive);

	if (error_is_set(err))
		return -1;
	return error_set(err, ERR_INVALID, "not a whole tar archive: %s", text ? text : "unknown damage");
}

/* ---- attributes ---- */

static int read_xattrs(struct attributes *attributes, struct archive_entry *entry, const char *path, struct error *err)
{
	int count = archive_entry_xattr_reset(entry);
	const char *name;
	const void *value;
	size_t size;

	if (count == 0)
		return 0;
	if (count > XATTR_MAX)
		return error_set(err, ERR_INVALID, "entry %s has %d attributes", path, count);
	attributes->xattrs = xcalloc((size_t)count, sizeof(*attributes->xattrs));
	while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
		if (name && !attributes_xattr_is_private(name))
			attributes->xattrs[attributes->xattr_count++] = (struct attribute_xattr){ name, value, size };
	return 0;
}

static int read_attributes(struct attributes *out_attributes, struct archive_entry *entry, const char *path,
			   struct error *err)
{
	int64_t uid = archive_entry_uid(entry);
	int64_t gid = archive_entry_gid(entry);

	/* -1 would mean "leave it" to chown. */
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return error_set(err, ERR_INVALID, "entry %s: owner %lld:%lld is out of range", path, (long long)uid,
				 (long long)gid);
	*out_attributes = (struct attributes){
		.uid = (uid_t)uid,
		.gid = (gid_t)gid,
		.mode = archive_entry_perm(entry) & 07777,
		.mtime = { .tv_sec = archive_entry_mtime(entry), .tv_nsec = archive_entry_mtime_nsec(entry) },
	};
	return read_xattrs(out_attributes, entry, path, err);
}

static void remember_time(struct unpack *unpack, const char *path, const struct timespec *mtime)
{
	unpack->times = xgrow(unpack->times, &unpack->time_capacity, unpack->time_count + 1, sizeof(*unpack->times));
	unpack->times[unpack->time_count++] = (struct directory_time){ xstrdup(path), *mtime };
}

/* ---- one kind of entry each ---- */

static int apply_root(struct unpack *unpack, const struct attributes *attributes, struct error *err)
{
	if (archive_entry_filetype(unpack->entry) != AE_IFDIR)
		return error_set(err, ERR_INVALID, "the root entry is not a directory");
	unpack->counts.has_root = true;
	remember_time(unpack, ".", &attributes->mtime);
	return attributes_apply_fd(unpack->tree.root_fd, attributes, false, "/", err);
}

static int add_directory(struct unpack *unpack, const struct tree_place *place, const struct attributes *attributes,
			 const char *path, struct error *err)
{
	AUTO_CLOSE int fd = -1;

	if (tree_make_directory(&unpack->tree, place, attributes->mode & 0777, err) < 0)
		return -1;
	fd = openat(place->dir_fd, place->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return tree_fail(err, errno, "open", path);
	remember_time(unpack, path, &attributes->mtime);
	return attributes_apply_fd(fd, attributes, false, path, err);
}

static int write_at(int fd, const uint8_t *data, size_t size, int64_t offset)
{
	while (size > 0) {
		ssize_t wrote = pwrite(fd, data, size, offset);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return -errno;
		data += wrote;
		size -= (size_t)wrote;
		offset += wrote;
	}
	return 0;
}

static int copy_content(struct unpack *unpack, int fd, const char *path, struct error *err)
{
	int64_t size = archive_entry_size(unpack->entry);
	int64_t end = 0;
	uint64_t limit = unpack->settings->any_compression ? unpack->settings->limit_bytes : 0;
	const void *data;
	int64_t offset;
	size_t length;
	int r;

	/* What libarchive decompresses, inflate.c does not count. */
	if (limit > 0 && unpack->counts.bytes + (uint64_t)size > limit)
		return error_set(err, ERR_EXHAUSTED, "the archive holds more than %llu bytes",
				 (unsigned long long)limit);

	while ((r = archive_read_data_block(unpack->archive, &data, &length, &offset)) == ARCHIVE_OK) {
		/* A sparse map may claim anything. */
		if (offset < 0 || offset > size || length > (uint64_t)(size - offset))
			return error_set(err, ERR_INVALID, "entry %s: data behind its end", path);
		r = write_at(fd, data, length, offset);
		if (r < 0)
			return tree_fail(err, r, "write", path);
		end = offset + (int64_t)length;
	}
	if (r != ARCHIVE_EOF || error_is_set(err))
		return archive_fail(unpack, err);
	/* Holes at the end of sparse files. */
	if (end < size && ftruncate(fd, size) < 0)
		return tree_fail(err, errno, "extend", path);
	unpack->counts.bytes += (uint64_t)size;
	if (size >= WRITE_OUT_MIN)
		fd_start_writing(fd, 0, 0);
	return 0;
}

static int create_file(struct unpack *unpack, const struct tree_place *place, mode_t mode, struct error *err)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(place->dir_fd, place->name, flags, mode);

	if (fd < 0 && errno == EEXIST) {
		if (tree_clear(&unpack->tree, place, err) < 0)
			return -1;
		fd = openat(place->dir_fd, place->name, flags, mode);
	}
	return fd < 0 ? tree_fail(err, errno, "create", place->name) : fd;
}

static int add_file(struct unpack *unpack, const struct tree_place *place, const struct attributes *attributes,
		    const char *path, struct error *err)
{
	AUTO_CLOSE int fd = create_file(unpack, place, attributes->mode & 0777, err);

	if (fd < 0 || copy_content(unpack, fd, path, err) < 0)
		return -1;
	return attributes_apply_fd(fd, attributes, !place->setgid, path, err);
}

static int add_symlink(struct unpack *unpack, const struct tree_place *place, const struct attributes *attributes,
		       const char *path, struct error *err)
{
	const char *target = archive_entry_symlink(unpack->entry);

	if (text_empty(target))
		return error_set(err, ERR_INVALID, "entry %s: symbolic link to nothing", path);
	if (tree_clear(&unpack->tree, place, err) < 0)
		return -1;
	if (symlinkat(target, place->dir_fd, place->name) < 0)
		return tree_fail(err, errno, "link", path);
	return attributes_apply_at(place, attributes, true, path, err);
}

static void defer_mark(struct unpack *unpack, char kind, const char *path)
{
	text_add_char(unpack->deferred, kind);
	text_add(unpack->deferred, path);
	text_add_char(unpack->deferred, '\0');
}

static int hide(struct unpack *unpack, const struct tree_place *place, const char *path, struct error *err)
{
	if (!unpack->settings->marks_apart)
		return tree_whiteout(&unpack->tree, place, err);
	defer_mark(unpack, UNPACK_HIDDEN, path);
	return 0;
}

static int add_node(struct unpack *unpack, const struct tree_place *place, const struct attributes *attributes,
		    mode_t type, const char *path, struct error *err)
{
	dev_t device = type == S_IFIFO ? 0 : archive_entry_rdev(unpack->entry);

	if (type != S_IFIFO && unpack->settings->devices == UNPACK_DEVICES_SKIP)
		return 0;
	if (type != S_IFIFO && unpack->settings->devices == UNPACK_DEVICES_REFUSE)
		return error_set(err, ERR_FORBIDDEN, "entry %s is a device; devices are not allowed here", path);
	if (type == S_IFCHR && device == 0)
		return unpack->settings->lowest ? 0 : hide(unpack, place, path, err);
	if (tree_clear(&unpack->tree, place, err) < 0)
		return -1;
	if (mknodat(place->dir_fd, place->name, type | (attributes->mode & 0777), device) < 0)
		return tree_fail(err, errno, "make device", path);
	return attributes_apply_at(place, attributes, false, path, err);
}

static void defer_link(struct unpack *unpack, const char *path, const char *target)
{
	text_addf(unpack->deferred, "L%s", path);
	text_add_char(unpack->deferred, '\0');
	text_add(unpack->deferred, target);
	text_add_char(unpack->deferred, '\0');
}

/* 1: linked; 0: the target is not in this layer. */
static int link_inside(struct unpack *unpack, const struct tree_place *place, const char *target, const char *path,
		       struct error *err)
{
	const char *name = NULL;
	AUTO_CLOSE int fd = tree_find_parent(&unpack->tree, target, &name, err);
	struct stat st;

	if (error_is_set(err))
		return -1;
	if (fd < 0 || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || tree_is_whiteout(&st))
		return 0;
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "entry %s: hard link to the directory %s", path, target);
	if (tree_clear(&unpack->tree, place, err) < 0)
		return -1;
	if (linkat(fd, name, place->dir_fd, place->name, 0) == 0)
		return 1;
	return errno == EMLINK ? error_set_errno(err, ERR_INTERNAL, errno, "link %s to %s", path, target)
			       : tree_fail(err, errno, "link", path);
}

static int add_hard_link(struct unpack *unpack, const struct tree_place *place, const char *path, struct error *err)
{
	AUTO_FREE char *target = tree_path(archive_entry_hardlink(unpack->entry), err);
	int r;

	if (!target)
		return error_prefix(err, "hard link %s", path);
	if (!*target)
		return error_set(err, ERR_INVALID, "entry %s: hard link to the root", path);
	if (text_equal(target, path))
		return 0;
	r = link_inside(unpack, place, target, path, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (unpack->settings->lowest)
		return error_set(err, ERR_INVALID, "entry %s: hard link to %s, which is not in the layer", path,
				 target);
	defer_link(unpack, path, target);
	return 0;
}

/* ---- whiteouts ---- */

/* Hides what the layers below have in the directory of an opaque mark. Returns 1. */
static int hide_all(struct unpack *unpack, const char *path, const char *slash, struct error *err)
{
	AUTO_FREE char *directory = xstrndup(path, slash ? (size_t)(slash - path) : 0);
	struct tree_place place;

	/* Makes the directory, if it was not mentioned. */
	if (tree_place(&unpack->tree, &place, path, err) < 0)
		return -1;
	if (unpack->settings->marks_apart) {
		defer_mark(unpack, UNPACK_OPAQUE, directory);
		return 1;
	}
	return tree_make_opaque(&unpack->tree, directory, err) < 0 ? -1 : 1;
}

/* 1 if the entry was a mark and is dealt with. */
static int apply_mark(struct unpack *unpack, const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	AUTO_FREE char *hidden = NULL;
	struct tree_place place;

	/* aufs's own bookkeeping, at the root of old images. */
	if (text_has_prefix(path, WHITEOUT_META) && !text_equal(path, WHITEOUT_OPAQUE))
		return 1;
	if (!text_has_prefix(name, WHITEOUT))
		return 0;
	if (text_equal(name, WHITEOUT) || text_equal(name, WHITEOUT ".") || text_equal(name, WHITEOUT ".."))
		return error_set(err, ERR_INVALID, "entry %s: a whiteout of nothing", path);
	if (unpack->settings->lowest || (text_has_prefix(name, WHITEOUT_META) && !text_equal(name, WHITEOUT_OPAQUE)))
		return 1;
	if (text_equal(name, WHITEOUT_OPAQUE))
		return hide_all(unpack, path, slash, err);
	hidden = slash ? xasprintf("%.*s/%s", (int)(slash - path), path, name + strlen(WHITEOUT))
		       : xstrdup(name + strlen(WHITEOUT));
	if (tree_place(&unpack->tree, &place, hidden, err) < 0)
		return -1;
	return hide(unpack, &place, hidden, err) < 0 ? -1 : 1;
}

/* ---- entries ---- */

/* docker cp without -L: what is there stays a directory, or does not become one. */
static int check_kind(const struct unpack *unpack, const struct tree_place *place, const char *path, struct error *err)
{
	bool directory = !archive_entry_hardlink(unpack->entry) && archive_entry_filetype(unpack->entry) == AE_IFDIR;
	struct stat st;

	if (fstatat(place->dir_fd, place->name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode) == directory)
		return 0;
	return directory ? error_set(err, ERR_INVALID, "cannot overwrite non-directory \"%s\" with directory \"%s\"",
				     path, path)
			 : error_set(err, ERR_INVALID, "cannot overwrite directory \"%s\" with non-directory \"%s\"",
				     path, path);
}

static int add_entry(struct unpack *unpack, const char *path, const struct attributes *attributes, struct error *err)
{
	struct tree_place place;

	if (!*path)
		return apply_root(unpack, attributes, err);
	if (tree_place(&unpack->tree, &place, path, err) < 0 ||
	    (unpack->settings->keep_kinds && check_kind(unpack, &place, path, err) < 0))
		return -1;
	if (archive_entry_hardlink(unpack->entry))
		return add_hard_link(unpack, &place, path, err);
	switch (archive_entry_filetype(unpack->entry)) {
	case AE_IFREG:
		return add_file(unpack, &place, attributes, path, err);
	case AE_IFDIR:
		return add_directory(unpack, &place, attributes, path, err);
	case AE_IFLNK:
		return add_symlink(unpack, &place, attributes, path, err);
	case AE_IFCHR:
		return add_node(unpack, &place, attributes, S_IFCHR, path, err);
	case AE_IFBLK:
		return add_node(unpack, &place, attributes, S_IFBLK, path, err);
	case AE_IFIFO:
		return add_node(unpack, &place, attributes, S_IFIFO, path, err);
	default:
		return error_set(err, ERR_INVALID, "entry %s is of an unknown kind", path);
	}
}

static int handle_entry(struct unpack *unpack, struct error *err)
{
	const char *raw = archive_entry_pathname(unpack->entry);
	AUTO(attributes_fini) struct attributes attributes = { 0 };
	AUTO_FREE char *path = NULL;
	int r;

	unpack->counts.entries++;
	if (unpack->settings->limit_entries > 0 && unpack->counts.entries > unpack->settings->limit_entries)
		return error_set(err, ERR_EXHAUSTED, "more than %llu entries",
				 (unsigned long long)unpack->settings->limit_entries);
	if (!raw)
		return error_set(err, ERR_INVALID, "an entry has no name");
	path = tree_path(raw, err);
	if (!path)
		return -1;
	r = unpack->settings->plain ? 0 : apply_mark(unpack, path, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (read_attributes(&attributes, unpack->entry, path, err) < 0)
		return -1;
	if (unpack->settings->owner) {
		attributes.uid = unpack->settings->owner->uid;
		attributes.gid = unpack->settings->owner->gid;
	}
	return add_entry(unpack, path, &attributes, err);
}

/* Directories that only the path of an entry names: its time is theirs, so that the same layer is always the same. */
static void time_implied(struct unpack *unpack)
{
	const struct timespec mtime = { .tv_sec = archive_entry_mtime(unpack->entry) };
	const struct text_list *implied = &unpack->tree.implied;

	for (; unpack->implied_count < implied->count; unpack->implied_count++)
		if (!unpack->settings->plain)
			remember_time(unpack, implied->items[unpack->implied_count], &mtime);
}

static int read_entries(struct unpack *unpack, struct error *err)
{
	ssize_t got;
	int r;

	while ((r = archive_read_next_header(unpack->archive, &unpack->entry)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		if (error_is_set(err) || handle_entry(unpack, err) < 0)
			return -1;
		time_implied(unpack);
	}
	if (r != ARCHIVE_EOF || error_is_set(err))
		return archive_fail(unpack, err);
	/* The digest counts what is behind the end mark too: its writer must be able to finish. */
	do {
		got = stream_read(&unpack->stream);
	} while (got > 0);
	return got < 0 ? -1 : 0;
}

static int set_directory_time(const struct unpack *unpack, const struct directory_time *time, struct error *err)
{
	const char *name = ".";
	AUTO_CLOSE int fd = -1;
	int r;

	if (text_equal(time->path, "."))
		fd = openat(unpack->tree.root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	else
		fd = tree_find_parent(&unpack->tree, time->path, &name, err);
	if (fd < 0)
		return error_is_set(err) ? -1 : 0; /* a later entry replaced it */
	r = attributes_set_times(fd, name, &time->mtime);
	return r < 0 && r != -ENOENT ? tree_fail(err, r, "set the times of", time->path) : 0;
}

static int set_directory_times(const struct unpack *unpack, struct error *err)
{
	for (size_t i = 0; i < unpack->time_count; i++)
		if (set_directory_time(unpack, &unpack->times[i], err) < 0)
			return -1;
	return 0;
}

static void defer_directories(struct unpack *unpack)
{
	if (unpack->settings->lowest)
		return;
	for (size_t i = 0; i < unpack->tree.implied.count; i++) {
		text_addf(unpack->deferred, "D%s", unpack->tree.implied.items[i]);
		text_add_char(unpack->deferred, '\0');
	}
}

static int open_archive(struct unpack *unpack, struct error *err)
{
	unpack->archive = archive_read_new();
	if (!unpack->archive)
		return error_set(err, ERR_INTERNAL, "libarchive: cannot start");
	archive_read_support_format_tar(unpack->archive);
	if (unpack->settings->any_compression) {
		archive_read_support_filter_bzip2(unpack->archive);
		archive_read_support_filter_xz(unpack->archive);
		inflate_pass_foreign(unpack->stream.inflate);
	}
	archive_read_support_format_empty(unpack->archive);
	if (archive_read_open(unpack->archive, &unpack->stream, NULL, read_callback, NULL) != ARCHIVE_OK)
		return archive_fail(unpack, err);
	return 0;
}

static void unpack_fini(struct unpack *unpack)
{
	if (unpack->archive)
		archive_read_free(unpack->archive);
	tree_fini(&unpack->tree);
	inflate_free(unpack->stream.inflate);
	free(unpack->stream.in);
	free(unpack->stream.out);
	for (size_t i = 0; i < unpack->time_count; i++)
		free(unpack->times[i].path);
	free(unpack->times);
}

int unpack_stream(struct unpack_counts *out_counts, struct text *deferred, int stream_fd, int root_fd,
		  const struct unpack_settings *settings, struct error *err)
{
	AUTO(unpack_fini) struct unpack unpack = { .settings = settings, .deferred = deferred };

	tree_init(&unpack.tree, root_fd);
	unpack.stream = (struct stream){
		.fd = stream_fd,
		.tee_fd = settings->tee_fd,
		.inflate = inflate_new(settings->limit_bytes ? settings->limit_bytes : INFLATE_NO_LIMIT),
		.in = xmalloc(IN_SIZE),
		.out = xmalloc(OUT_SIZE),
		.err = err,
	};
	if (open_archive(&unpack, err) < 0 || read_entries(&unpack, err) < 0 || set_directory_times(&unpack, err) < 0)
		return -1;
	defer_directories(&unpack);
	*out_counts = unpack.counts;
	return 0;
}
