/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/attributes.h"
#include "archive/names.h"
#include "archive/tar_writer.h"
#include "archive/tree.h"
#include "base/alloc.h"
#include "base/file.h"

#define BLOCK_SIZE (256 * 1024)
#define XATTR_NAMES_MAX 65536
#define XATTR_VALUE_MAX 65536
#define XATTR_COUNT_MAX 256
#define KEY_MAX 64

struct pack {
	struct pack_settings settings;
	struct pack_counts counts;
	struct text header;
	struct map links; /* "dev:inode" -> path of the first name; owned */
	uint8_t *block;
	size_t base; /* length of the path below which excludes count */
	unsigned depth;
};

struct pack *pack_new(const struct pack_settings *settings)
{
	struct pack *pack = xcalloc(1, sizeof(*pack));

	pack->settings = *settings;
	pack->block = xmalloc(BLOCK_SIZE);
	map_init(&pack->links, free);
	return pack;
}

void pack_free(struct pack *pack)
{
	if (!pack)
		return;
	text_fini(&pack->header);
	map_fini(&pack->links);
	free(pack->block);
	free(pack);
}

/* ---- output ---- */

static int put(struct pack *pack, const void *data, size_t size, struct error *err)
{
	int r = write_full(pack->settings.out_fd, data, size);

	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write the archive") : 0;
}

static int put_padding(struct pack *pack, uint64_t size, struct error *err)
{
	static const char zeros[TAR_BLOCK];

	return put(pack, zeros, tar_padding(size), err);
}

static int put_header(struct pack *pack, const struct tar_entry *entry, struct error *err)
{
	text_reset(&pack->header);
	tar_add_header(&pack->header, entry);
	pack->counts.entries++;
	return put(pack, pack->header.data, pack->header.size, err);
}

static int put_content(struct pack *pack, int fd, uint64_t size, const char *path, struct error *err)
{
	uint64_t left = size;

	while (left > 0) {
		size_t want = left < BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;
		ssize_t got = read_full(fd, pack->block, want);

		if (got < 0)
			return tree_fail(err, (int)got, "read", path);
		/* Shorter than a moment ago: somebody still writes. The header is out, so the rest are zeros. */
		if ((size_t)got < want)
			memset(pack->block + got, 0, want - (size_t)got);
		if (put(pack, pack->block, want, err) < 0)
			return -1;
		left -= want;
	}
	pack->counts.bytes += size;
	return put_padding(pack, size, err);
}

/* The kernel sets ctime at each change. */
static int put_identity(struct pack *pack, const struct stat *st, struct error *err)
{
	const uint64_t identity[] = { st->st_dev, st->st_ino, (uint64_t)st->st_size, (uint64_t)st->st_ctim.tv_sec,
				      (uint64_t)st->st_ctim.tv_nsec };

	return put(pack, identity, sizeof(identity), err);
}

/* ---- entries ---- */

struct xattrs {
	struct tar_xattr items[XATTR_COUNT_MAX];
	size_t count;
	struct text_list names; /* sorted */
	struct text_list values;
};

static void xattrs_fini(struct xattrs *xattrs)
{
	text_list_fini(&xattrs->names);
	text_list_fini(&xattrs->values);
}

/* What the file system adds by itself on another machine does not belong to the file. */
static bool xattr_is_foreign(const char *name)
{
	return attributes_xattr_is_private(name) || text_equal(name, "security.selinux") ||
	       text_has_prefix(name, "trusted.") || text_has_prefix(name, "system.nfs4");
}

static void list_names(struct text_list *names, int fd)
{
	AUTO_FREE char *buffer = xmalloc(XATTR_NAMES_MAX);
	ssize_t size = flistxattr(fd, buffer, XATTR_NAMES_MAX);

	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(buffer + at) + 1)
		if (!xattr_is_foreign(buffer + at))
			text_list_add(names, buffer + at);
	text_list_sort(names);
}

static int load_xattrs(struct xattrs *xattrs, int fd, const char *path, struct error *err)
{
	list_names(&xattrs->names, fd);
	if (xattrs->names.count > XATTR_COUNT_MAX)
		return error_set(err, ERR_INVALID, "%s has %zu extended attributes", path, xattrs->names.count);
	for (size_t i = 0; i < xattrs->names.count; i++) {
		char *value = xcalloc(1, XATTR_VALUE_MAX + 1);
		ssize_t size = fgetxattr(fd, xattrs->names.items[i], value, XATTR_VALUE_MAX);

		text_list_add_take(&xattrs->values, value);
		if (size < 0)
			return tree_fail(err, errno, "read an attribute of", path);
		xattrs->items[xattrs->count++] = (struct tar_xattr){ xattrs->names.items[i], value, (size_t)size };
	}
	return 0;
}

static void fill_entry(const struct pack *pack, struct tar_entry *entry, const struct stat *st, const char *path)
{
	*entry = (struct tar_entry){ .path = path, .mode = st->st_mode & 07777 };
	if (!pack->settings.no_owners) {
		entry->uid = st->st_uid;
		entry->gid = st->st_gid;
	}
	if (!pack->settings.no_times)
		entry->mtime_s = st->st_mtim.tv_sec;
	if (pack->settings.latest_s >= 0 && entry->mtime_s > pack->settings.latest_s)
		entry->mtime_s = pack->settings.latest_s;
}

static int add_whiteout(struct pack *pack, const char *path, const struct stat *st, struct error *err)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *hidden = slash ? xasprintf("%.*s/.wh.%s", (int)(slash - path), path, slash + 1)
				       : xasprintf(".wh.%s", path);
	struct tar_entry entry;

	fill_entry(pack, &entry, st, hidden);
	/* Its owner, mode and times are nobody's: overlay's own. */
	entry = (struct tar_entry){ .path = hidden, .type = TAR_FILE, .mtime_s = entry.mtime_s };
	return put_header(pack, &entry, err);
}

static bool is_opaque(int fd)
{
	char value;

	return fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

static int add_opaque_mark(struct pack *pack, const char *path, const struct tar_entry *directory, struct error *err)
{
	AUTO_FREE char *mark = *path ? xasprintf("%s/.wh..wh..opq", path) : xstrdup(".wh..wh..opq");
	const struct tar_entry entry = { .path = mark, .type = TAR_FILE, .mtime_s = directory->mtime_s };

	return put_header(pack, &entry, err);
}

static int add_directory(struct pack *pack, int fd, const char *path, struct tar_entry *entry, struct error *err)
{
	AUTO(xattrs_fini) struct xattrs xattrs = { .count = 0 };

	if (load_xattrs(&xattrs, fd, path, err) < 0)
		return -1;
	entry->type = TAR_DIRECTORY;
	entry->xattrs = xattrs.items;
	entry->xattr_count = xattrs.count;
	if (put_header(pack, entry, err) < 0)
		return -1;
	if (pack->settings.overlay && is_opaque(fd) && add_opaque_mark(pack, path, entry, err) < 0)
		return -1;
	if (pack->settings.hollow && map_get(pack->settings.hollow, path))
		return 0;
	return pack_add_below(pack, fd, path, err);
}

static int add_file(struct pack *pack, int fd, const char *path, struct tar_entry *entry, const struct stat *st,
		    struct error *err)
{
	AUTO(xattrs_fini) struct xattrs xattrs = { .count = 0 };

	if (load_xattrs(&xattrs, fd, path, err) < 0)
		return -1;
	entry->type = TAR_FILE;
	entry->size = (uint64_t)st->st_size;
	entry->xattrs = xattrs.items;
	entry->xattr_count = xattrs.count;
	if (put_header(pack, entry, err) < 0)
		return -1;
	if (pack->settings.no_content)
		return put_identity(pack, st, err);
	return put_content(pack, fd, entry->size, path, err);
}

static int add_symlink(struct pack *pack, int dir_fd, const char *name, struct tar_entry *entry, struct error *err)
{
	char target[PATH_MAX];
	ssize_t size = readlinkat(dir_fd, name, target, sizeof(target) - 1);

	if (size < 0)
		return tree_fail(err, errno, "read the link", entry->path);
	target[size] = '\0';
	entry->type = TAR_SYMLINK;
	entry->link = target;
	entry->mode = 0777;
	return put_header(pack, entry, err);
}

static void link_key(char out_key[KEY_MAX], const struct stat *st)
{
	snprintf(out_key, KEY_MAX, "%llx:%llx", (unsigned long long)st->st_dev, (unsigned long long)st->st_ino);
}

/* 1 if another name of the same file is in the stream already, and this one became a link to it. */
static int add_hard_link(struct pack *pack, const struct stat *st, struct tar_entry *entry, struct error *err)
{
	char key[KEY_MAX];
	const char *first;

	if (st->st_nlink < 2)
		return 0;
	link_key(key, st);
	first = map_get(&pack->links, key);
	if (!first) {
		map_set(&pack->links, key, xstrdup(entry->path));
		return 0;
	}
	entry->type = TAR_HARD_LINK;
	entry->link = first;
	return put_header(pack, entry, err) < 0 ? -1 : 1;
}

static int add_special(struct pack *pack, const struct stat *st, struct tar_entry *entry, struct error *err)
{
	if (S_ISFIFO(st->st_mode)) {
		entry->type = TAR_FIFO;
	} else {
		entry->type = S_ISCHR(st->st_mode) ? TAR_CHARACTER_DEVICE : TAR_BLOCK_DEVICE;
		entry->device_major = major(st->st_rdev);
		entry->device_minor = minor(st->st_rdev);
	}
	return put_header(pack, entry, err);
}

/* 1 it is open; 0 it went, or is another file now: a tree may be changed while it is packed. */
static int open_entry(int *out_fd, int dir_fd, const char *name, const struct stat *st, const char *path,
		      struct error *err)
{
	int flags = S_ISDIR(st->st_mode) ? O_DIRECTORY : 0;
	AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags);
	struct stat opened;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENXIO))
		return 0;
	if (fd < 0 || fstat(fd, &opened) < 0)
		return tree_fail(err, errno, "open", path);
	/* Numbers of inodes are used again. */
	if (opened.st_ino != st->st_ino || opened.st_dev != st->st_dev || (opened.st_mode ^ st->st_mode) & S_IFMT)
		return 0;
	*out_fd = take_fd(&fd);
	return 1;
}

static int add_regular(struct pack *pack, int dir_fd, const char *name, const struct stat *st, struct tar_entry *entry,
		       struct error *err)
{
	AUTO_CLOSE int fd = -1;
	int r = open_entry(&fd, dir_fd, name, st, entry->path, err);
	char key[KEY_MAX];

	if (r > 0)
		return add_file(pack, fd, entry->path, entry, st, err);
	/* The next name of it is the first. */
	link_key(key, st);
	map_remove(&pack->links, key);
	return r;
}

static int add_other(struct pack *pack, int dir_fd, const char *name, const struct stat *st, struct tar_entry *entry,
		     struct error *err)
{
	int r = add_hard_link(pack, st, entry, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (S_ISLNK(st->st_mode))
		return add_symlink(pack, dir_fd, name, entry, err);
	return S_ISREG(st->st_mode) ? add_regular(pack, dir_fd, name, st, entry, err)
				    : add_special(pack, st, entry, err);
}

static bool is_left_out(const struct pack *pack, const char *path)
{
	const struct pack_settings *settings = &pack->settings;
	const char *below = path + pack->base;

	below += *below == '/';
	if (settings->skip && map_get(settings->skip, path))
		return true;
	return settings->excludes && *below && pattern_list_matches(settings->excludes, below);
}

/* Something below a directory that is left out may still be wanted; the directory itself is not. */
static int add_taken_back(struct pack *pack, int dir_fd, const char *name, const char *path, const struct stat *st,
			  struct error *err)
{
	const char *below = path + pack->base;
	AUTO_CLOSE int fd = -1;
	int r;

	below += *below == '/';
	if (!S_ISDIR(st->st_mode) || !pattern_list_may_take_back(pack->settings.excludes, below))
		return 0;
	r = open_entry(&fd, dir_fd, name, st, path, err);
	return r <= 0 ? r : pack_add_below(pack, fd, path, err);
}

static int add_entry(struct pack *pack, int dir_fd, const char *name, const char *path, struct error *err)
{
	bool left_out = is_left_out(pack, path);
	const struct stat nobody = { .st_mtim = { 0, 0 } };
	AUTO_CLOSE int fd = -1;
	struct tar_entry entry;
	struct stat st;
	int r;

	if (left_out && !(pack->settings.excludes && pack->settings.excludes->any_taken_back))
		return 0;
	if (pack->settings.only && map_get(&pack->settings.only->gone, path))
		return add_whiteout(pack, path, &nobody, err);
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : tree_fail(err, errno, "look at", path);
	if (left_out)
		return add_taken_back(pack, dir_fd, name, path, &st, err);
	if (S_ISSOCK(st.st_mode))
		return 0;
	if (pack->settings.overlay && tree_is_whiteout(&st))
		return add_whiteout(pack, path, &st, err);
	fill_entry(pack, &entry, &st, path);
	if (!S_ISDIR(st.st_mode))
		return add_other(pack, dir_fd, name, &st, &entry, err);
	r = open_entry(&fd, dir_fd, name, &st, path, err);
	return r <= 0 ? r : add_directory(pack, fd, path, &entry, err);
}

int pack_add_opened(struct pack *pack, int fd, const char *path, struct error *err)
{
	struct tar_entry entry;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return tree_fail(err, errno, "look at", path);
	pack->base = strlen(path);
	fill_entry(pack, &entry, &st, path);
	if (S_ISDIR(st.st_mode))
		return add_directory(pack, fd, path, &entry, err);
	if (S_ISREG(st.st_mode))
		return add_file(pack, fd, path, &entry, &st, err);
	if (S_ISLNK(st.st_mode))
		return add_symlink(pack, fd, "", &entry, err);
	return S_ISSOCK(st.st_mode) ? 0 : add_special(pack, &st, &entry, err);
}

int pack_add_below(struct pack *pack, int dir_fd, const char *path, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	const struct text_list *listed;
	int r = 0;

	if (pack->depth >= TREE_DEPTH_MAX)
		return error_set(err, ERR_INVALID, "%.64s...: more than %d directories deep", path, TREE_DEPTH_MAX);
	listed = pack->settings.only ? map_get(&pack->settings.only->listed, path) : NULL;
	if (listed)
		text_list_add_all(&names, listed);
	else if (names_load(&names, dir_fd, path, err) < 0)
		return -1;
	pack->depth++;
	for (size_t i = 0; i < names.count && r == 0; i++) {
		AUTO_FREE char *inner = *path ? xasprintf("%s/%s", path, names.items[i]) : xstrdup(names.items[i]);

		r = add_entry(pack, dir_fd, names.items[i], inner, err);
	}
	pack->depth--;
	return r;
}

int pack_add_text(struct pack *pack, const char *path, const char *text, size_t size, struct error *err)
{
	const struct tar_entry entry = { .path = path, .type = TAR_FILE, .mode = 0644, .size = size };

	if (put_header(pack, &entry, err) < 0 || put(pack, text, size, err) < 0)
		return -1;
	return put_padding(pack, size, err);
}

int pack_add_root(struct pack *pack, int dir_fd, struct error *err)
{
	struct tar_entry entry;
	struct stat st;

	if (fstat(dir_fd, &st) < 0)
		return tree_fail(err, errno, "look at", "/");
	fill_entry(pack, &entry, &st, "./");
	entry.type = TAR_DIRECTORY;
	return put_header(pack, &entry, err);
}

int pack_finish(struct pack *pack, struct pack_counts *out_counts, struct error *err)
{
	static const char zeros[TAR_END_SIZE];

	*out_counts = pack->counts;
	return put(pack, zeros, sizeof(zeros), err);
}
