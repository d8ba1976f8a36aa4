/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the image grows at its end, in blocks. Inodes share blocks (a
 * cursor runs through the block for them), with the last, partial block of their
 * data behind them where it fits; whole blocks of data lie between. The number of
 * an inode is its place in the image divided by 32. The root's number has 16 bits
 * only: it lies right behind the super block.
 */
#include "archive/erofs.h"

#include <endian.h>
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

#include "archive/names.h"
#include "archive/tree.h"
#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/map.h"

#define BLOCK 4096
#define SUPER_OFFSET 1024
#define ROOT_OFFSET (SUPER_OFFSET + sizeof(struct super_block))
#define SLOT 32
#define MAGIC 0xE0F5E1E2
#define COMPAT_MTIME 2
#define LAYOUT_PLAIN 0
#define LAYOUT_INLINE 2
#define EXTENDED 1
#define BLOCKS_MAX UINT32_MAX
#define XATTR_NAMES_MAX 65536
#define XATTR_VALUE_MAX 65535
#define XATTRS_MAX (65534 * 4 + 12)
#define KEY_MAX 64

struct super_block {
	uint32_t magic;
	uint32_t checksum;
	uint32_t feature_compat;
	uint8_t block_bits;
	uint8_t extension_slots;
	uint16_t root_number;
	uint64_t inodes;
	uint64_t build_time;
	uint32_t build_time_ns;
	uint32_t blocks;
	uint32_t meta_block;
	uint32_t xattr_block;
	uint8_t uuid[16];
	uint8_t volume_name[16];
	uint32_t feature_incompat;
	uint8_t unused[44];
};

struct disk_inode {
	uint16_t format;
	uint16_t xattr_count;
	uint16_t mode;
	uint16_t reserved;
	uint64_t size;
	uint32_t place; /* of the data, or the device number */
	uint32_t inode_number;
	uint32_t uid;
	uint32_t gid;
	uint64_t mtime;
	uint32_t mtime_ns;
	uint32_t links;
	uint8_t reserved2[16];
};

struct disk_entry {
	uint64_t number;
	uint16_t name_offset;
	uint8_t type;
	uint8_t reserved;
} __attribute__((packed));

_Static_assert(sizeof(struct super_block) == 128, "as the kernel has it");
_Static_assert(sizeof(struct disk_inode) == 64, "as the kernel has it");
_Static_assert(sizeof(struct disk_entry) == 12, "as the kernel has it");

struct image {
	int fd;
	uint64_t end;	 /* in bytes; whole blocks */
	uint64_t cursor; /* where the next inode may go; at a block's start: a new block is needed */
	uint64_t inodes;
	struct map links; /* "inode" -> "number", owned */
	unsigned depth;
};

/* One inode while it is made. */
struct node {
	struct disk_inode inode; /* in the image's byte order */
	struct text xattrs;	 /* header and entries; empty: none */
	uint64_t offset;
	uint64_t number;
};

static void node_fini(struct node *node)
{
	text_fini(&node->xattrs);
}

static int put(const struct image *image, const void *data, size_t size, uint64_t offset, struct error *err)
{
	while (size > 0) {
		ssize_t wrote = pwrite(image->fd, data, size, (off_t)offset);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return tree_fail(err, errno, "write", "the layer's image");
		data = (const char *)data + wrote;
		size -= (size_t)wrote;
		offset += (uint64_t)wrote;
	}
	return 0;
}

static uint64_t round_up(uint64_t size, uint64_t unit)
{
	return (size + unit - 1) / unit * unit;
}

/* Blocks for `size` bytes. */
static int take_blocks(uint64_t *out_offset, struct image *image, uint64_t size, struct error *err)
{
	if (size > (uint64_t)BLOCKS_MAX * BLOCK - image->end - BLOCK)
		return error_set(err, ERR_EXHAUSTED, "the layer is larger than an EROFS image can be (16 TiB)");
	*out_offset = image->end;
	image->end += round_up(size, BLOCK);
	return 0;
}

/* A place for an inode with what follows it, in one block if that is possible. */
static int take_slot(uint64_t *out_offset, struct image *image, uint64_t size, struct error *err)
{
	uint64_t left = round_up(image->cursor, BLOCK) - image->cursor;

	if (left < size) {
		if (take_blocks(&image->cursor, image, size, err) < 0)
			return -1;
	}
	*out_offset = image->cursor;
	image->cursor += round_up(size, SLOT);
	return 0;
}

/* ---- xattrs ---- */

/* The number of a name's prefix, and the rest of it; 0: the image has no place for it. */
static uint8_t split_name(const char **out_rest, const char *name)
{
	static const struct {
		const char *prefix;
		uint8_t index;
	} prefixes[] = {
		{ "user.", 1 },
		{ "system.posix_acl_access", 2 },
		{ "system.posix_acl_default", 3 },
		{ "trusted.", 4 },
		{ "security.", 6 },
	};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		*out_rest = text_after(name, prefixes[i].prefix);
		if (*out_rest)
			return prefixes[i].index;
	}
	return 0;
}

static int add_xattr(struct text *xattrs, int fd, const char *name, const char *path, struct error *err)
{
	static const char zeros[12];
	AUTO_FREE char *value = xmalloc(XATTR_VALUE_MAX);
	const char *rest;
	uint8_t index = split_name(&rest, name);
	ssize_t size = fgetxattr(fd, name, value, XATTR_VALUE_MAX);
	uint16_t value_size;

	if (size < 0)
		return tree_fail(err, errno, "read an attribute of", path);
	if (!index)
		return 0;
	if (xattrs->size == 0)
		text_add_bytes(xattrs, zeros, sizeof(zeros));
	value_size = htole16((uint16_t)size);
	text_add_char(xattrs, (char)strlen(rest));
	text_add_char(xattrs, (char)index);
	text_add_bytes(xattrs, &value_size, sizeof(value_size));
	text_add(xattrs, rest);
	text_add_bytes(xattrs, value, (size_t)size);
	text_add_bytes(xattrs, zeros, round_up(xattrs->size, 4) - xattrs->size);
	return 0;
}

static int load_xattrs(struct node *node, int fd, const char *path, struct error *err)
{
	AUTO_FREE char *names = xmalloc(XATTR_NAMES_MAX);
	ssize_t size = flistxattr(fd, names, XATTR_NAMES_MAX);

	if (size < 0)
		return errno == ENOTSUP ? 0 : tree_fail(err, errno, "list the attributes of", path);
	for (const char *name = names; name < names + size; name += strlen(name) + 1)
		if (add_xattr(&node->xattrs, fd, name, path, err) < 0)
			return -1;
	if (node->xattrs.size > XATTRS_MAX)
		return error_set(err, ERR_INVALID, "entry %s has more attributes than EROFS can keep", path);
	if (node->xattrs.size > 0)
		node->inode.xattr_count = htole16((uint16_t)((node->xattrs.size - 12) / 4 + 1));
	return 0;
}

/* ---- inodes ---- */

static uint32_t device_number(dev_t device)
{
	return (minor(device) & 0xff) | (major(device) << 8) | ((minor(device) & ~0xffU) << 12);
}

static void start_node(struct node *node, struct image *image, const struct stat *st)
{
	bool device = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);

	*node = (struct node){
		.inode = {
			.format = htole16(EXTENDED | LAYOUT_PLAIN << 1),
			.mode = htole16((uint16_t)st->st_mode),
			.place = device ? htole32(device_number(st->st_rdev)) : 0,
			.inode_number = htole32((uint32_t)++image->inodes),
			.uid = htole32(st->st_uid),
			.gid = htole32(st->st_gid),
			.mtime = htole64((uint64_t)st->st_mtim.tv_sec),
			.mtime_ns = htole32((uint32_t)st->st_mtim.tv_nsec),
			.links = htole32((uint32_t)st->st_nlink),
		},
	};
}

/* Where it will be; `tail`: bytes of its data that follow it. */
static int place_node(struct node *node, struct image *image, size_t tail, struct error *err)
{
	if (take_slot(&node->offset, image, sizeof(node->inode) + node->xattrs.size + tail, err) < 0)
		return -1;
	node->number = node->offset / SLOT;
	return 0;
}

static int put_node(const struct node *node, const struct image *image, struct error *err)
{
	if (put(image, &node->inode, sizeof(node->inode), node->offset, err) < 0)
		return -1;
	return put(image, node->xattrs.data, node->xattrs.size, node->offset + sizeof(node->inode), err);
}

/* Everything of it in memory. The partial block at the end lies behind the inode, if both fit into a block. */
static int put_with_data(struct node *node, struct image *image, const char *data, size_t size, struct error *err)
{
	size_t tail = size % BLOCK;
	uint64_t place = 0;

	if (sizeof(node->inode) + node->xattrs.size + tail > BLOCK)
		tail = 0;
	if (tail > 0)
		node->inode.format = htole16(EXTENDED | LAYOUT_INLINE << 1);
	node->inode.size = htole64(size);
	if (size > tail &&
	    (take_blocks(&place, image, size - tail, err) < 0 || put(image, data, size - tail, place, err) < 0))
		return -1;
	node->inode.place = htole32((uint32_t)(place / BLOCK));
	if (place_node(node, image, tail, err) < 0 || put_node(node, image, err) < 0)
		return -1;
	return put(image, data + size - tail, tail, node->offset + sizeof(node->inode) + node->xattrs.size, err);
}

/* ---- files ---- */

/* [at, end) of the file to where it belongs; the file system may share the blocks. */
static int copy_part(const struct image *image, int fd, off_t at, off_t end, uint64_t place, char *block,
		     const char *path, struct error *err)
{
	off_t to = (off_t)place + at;
	ssize_t got = 1;

	while (at < end && got > 0)
		got = copy_file_range(fd, &at, image->fd, &to, (size_t)(end - at), 0);
	if (got < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
		return tree_fail(err, errno, "copy", path);
	while (at < end) {
		got = pread(fd, block, end - at < BLOCK * 16 ? (size_t)(end - at) : BLOCK * 16, at);
		if (got < 0)
			return tree_fail(err, errno, "read", path);
		if (got == 0)
			return 0;
		if (put(image, block, (size_t)got, place + (uint64_t)at, err) < 0)
			return -1;
		at += got;
	}
	return 0;
}

static int copy_data(const struct image *image, int fd, off_t size, uint64_t place, const char *path, struct error *err)
{
	AUTO_FREE char *block = xmalloc(BLOCK * 16);
	off_t end = 0;

	while (end < size) {
		off_t at = lseek(fd, end, SEEK_DATA);

		if (at < 0 && errno == ENXIO)
			return 0; /* a hole to the end */
		if (at < 0)
			return tree_fail(err, errno, "read", path);
		end = lseek(fd, at, SEEK_HOLE);
		if (end < 0 || end > size)
			end = size;
		if (copy_part(image, fd, at, end, place, block, path, err) < 0)
			return -1;
	}
	return 0;
}

/* Small files go in one piece; of others the last block is not put behind the inode, for that would be read twice. */
static int put_file(struct node *node, struct image *image, int fd, off_t size, const char *path, struct error *err)
{
	char data[BLOCK];
	uint64_t place;

	if (size <= BLOCK) {
		ssize_t got = read_full(fd, data, (size_t)size);

		if (got < size)
			return tree_fail(err, got < 0 ? (int)got : EIO, "read", path);
		return put_with_data(node, image, data, (size_t)size, err);
	}
	if (take_blocks(&place, image, (uint64_t)size, err) < 0 || copy_data(image, fd, size, place, path, err) < 0 ||
	    place_node(node, image, 0, err) < 0)
		return -1;
	node->inode.size = htole64((uint64_t)size);
	node->inode.place = htole32((uint32_t)(place / BLOCK));
	return put_node(node, image, err);
}

static int add_file(struct node *node, struct image *image, int dir_fd, const char *name, const char *path,
		    struct error *err)
{
	AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return tree_fail(err, errno, "open", path);
	if (load_xattrs(node, fd, path, err) < 0)
		return -1;
	return put_file(node, image, fd, st.st_size, path, err);
}

static int add_other(struct node *node, struct image *image, int dir_fd, const char *name, const struct stat *st,
		     const char *path, struct error *err)
{
	char target[PATH_MAX];
	ssize_t size;

	if (!S_ISLNK(st->st_mode)) {
		if (place_node(node, image, 0, err) < 0)
			return -1;
		return put_node(node, image, err);
	}
	size = readlinkat(dir_fd, name, target, sizeof(target));
	if (size < 0 || size == sizeof(target))
		return tree_fail(err, size < 0 ? errno : ENAMETOOLONG, "read the link", path);
	return put_with_data(node, image, target, (size_t)size, err);
}

/* ---- directories ---- */

struct entry {
	const char *name; /* borrowed */
	uint64_t number;
	uint8_t type;
};

/* A block of entries, then their names; as many as fit. Returns how many. */
static size_t fill_block(struct text *out, const struct entry *entries, size_t count)
{
	size_t size = 0;
	size_t fit = 0;
	size_t at;

	while (fit < count && size + sizeof(struct disk_entry) + strlen(entries[fit].name) <= BLOCK)
		size += sizeof(struct disk_entry) + strlen(entries[fit++].name);
	at = fit * sizeof(struct disk_entry);
	for (size_t i = 0; i < fit; i++) {
		const struct disk_entry entry = { .number = htole64(entries[i].number),
						  .name_offset = htole16((uint16_t)at),
						  .type = entries[i].type };

		text_add_bytes(out, &entry, sizeof(entry));
		at += strlen(entries[i].name);
	}
	for (size_t i = 0; i < fit; i++)
		text_add(out, entries[i].name);
	/* The last block ends where its last name does. */
	if (fit < count)
		memset(text_extend(out, BLOCK - size), 0, BLOCK - size);
	return fit;
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *left = a;
	const struct entry *right = b;

	return strcmp(left->name, right->name);
}

static int put_entries(struct node *node, struct image *image, struct entry *entries, size_t count, struct error *err)
{
	AUTO(text_fini) struct text data = { 0 };
	uint64_t place;

	qsort(entries, count, sizeof(*entries), compare_entries);
	for (size_t done = 0; done < count;)
		done += fill_block(&data, entries + done, count - done);
	if (take_blocks(&place, image, data.size, err) < 0 || put(image, data.data, data.size, place, err) < 0)
		return -1;
	node->inode.size = htole64(data.size);
	node->inode.place = htole32((uint32_t)(place / BLOCK));
	return put_node(node, image, err);
}

static uint8_t entry_type(mode_t mode)
{
	static const struct {
		mode_t kind;
		uint8_t type;
	} types[] = { { S_IFREG, 1 }, { S_IFDIR, 2 },  { S_IFCHR, 3 }, { S_IFBLK, 4 },
		      { S_IFIFO, 5 }, { S_IFSOCK, 6 }, { S_IFLNK, 7 } };

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if ((mode & S_IFMT) == types[i].kind)
			return types[i].type;
	return 0;
}

static int add_entry(struct entry *entry, struct image *image, int dir_fd, const char *path, uint64_t parent,
		     struct error *err);

/* Everything in the directory whose inode has its place; then its entries, and the inode. */
static int add_below(struct node *node, struct image *image, int fd, const char *path, uint64_t parent,
		     struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO_FREE struct entry *entries = NULL;
	uint32_t links = 2;
	int r = 0;

	if (image->depth >= TREE_DEPTH_MAX)
		return error_set(err, ERR_INVALID, "%.64s...: more than %d directories deep", path, TREE_DEPTH_MAX);
	if (names_load(&names, fd, path, err) < 0)
		return -1;
	entries = xcalloc(names.count + 2, sizeof(*entries));
	entries[0] = (struct entry){ ".", node->number, 2 };
	entries[1] = (struct entry){ "..", parent, 2 };
	image->depth++;
	for (size_t i = 0; r == 0 && i < names.count; i++) {
		AUTO_FREE char *inner = *path ? xasprintf("%s/%s", path, names.items[i]) : xstrdup(names.items[i]);

		entries[i + 2].name = names.items[i];
		r = add_entry(&entries[i + 2], image, fd, inner, node->number, err);
		links += entries[i + 2].type == 2;
	}
	image->depth--;
	node->inode.links = htole32(links);
	return r < 0 ? -1 : put_entries(node, image, entries, names.count + 2, err);
}

static int add_directory(struct node *node, struct image *image, int dir_fd, const char *name, const char *path,
			 uint64_t parent, struct error *err)
{
	AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return tree_fail(err, errno, "open", path);
	if (load_xattrs(node, fd, path, err) < 0 || place_node(node, image, 0, err) < 0)
		return -1;
	return add_below(node, image, fd, path, parent, err);
}

/* 1: it is another name of an inode that has its place. */
static int find_link(struct entry *entry, const struct image *image, const struct stat *st)
{
	const char *number;
	char key[KEY_MAX];

	if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
		return 0;
	snprintf(key, sizeof(key), "%llx", (unsigned long long)st->st_ino);
	number = map_get(&image->links, key);
	return number && text_parse_u64(&entry->number, number, UINT64_MAX) == 0;
}

static void note_link(struct image *image, const struct stat *st, uint64_t number)
{
	char key[KEY_MAX];

	snprintf(key, sizeof(key), "%llx", (unsigned long long)st->st_ino);
	map_set(&image->links, key, xasprintf("%llu", (unsigned long long)number));
}

static int add_entry(struct entry *entry, struct image *image, int dir_fd, const char *path, uint64_t parent,
		     struct error *err)
{
	AUTO(node_fini) struct node node = { .offset = 0 };
	const char *name = entry->name;
	struct stat st;
	int r;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return tree_fail(err, errno, "look at", path);
	entry->type = entry_type(st.st_mode);
	if (find_link(entry, image, &st))
		return 0;
	start_node(&node, image, &st);
	if (S_ISDIR(st.st_mode))
		r = add_directory(&node, image, dir_fd, name, path, parent, err);
	else if (S_ISREG(st.st_mode))
		r = add_file(&node, image, dir_fd, name, path, err);
	else
		r = add_other(&node, image, dir_fd, name, &st, path, err);
	entry->number = node.number;
	if (r == 0 && st.st_nlink > 1 && !S_ISDIR(st.st_mode))
		note_link(image, &st, node.number);
	return r;
}

/* ---- all ---- */

static int add_root(struct image *image, int root_fd, struct error *err)
{
	AUTO(node_fini) struct node node = { .offset = 0 };
	struct stat st;

	if (fstat(root_fd, &st) < 0)
		return tree_fail(err, errno, "look at", "/");
	start_node(&node, image, &st);
	if (load_xattrs(&node, root_fd, "/", err) < 0)
		return -1;
	if (ROOT_OFFSET + sizeof(node.inode) + node.xattrs.size > BLOCK)
		return error_set(err, ERR_INVALID, "the root directory has more attributes than EROFS can keep");
	if (place_node(&node, image, 0, err) < 0)
		return -1;
	return add_below(&node, image, root_fd, "", node.number, err);
}

int erofs_write(struct erofs_counts *out_counts, int out_fd, int root_fd, struct error *err)
{
	struct image image = { .fd = out_fd, .end = BLOCK, .cursor = ROOT_OFFSET };
	struct super_block super = { .magic = htole32(MAGIC),
				     .feature_compat = htole32(COMPAT_MTIME),
				     .block_bits = 12 };
	int r;

	map_init(&image.links, free);
	r = add_root(&image, root_fd, err);
	map_fini(&image.links);
	if (r < 0)
		return -1;
	super.root_number = htole16(ROOT_OFFSET / SLOT);
	super.inodes = htole64(image.inodes);
	super.blocks = htole32((uint32_t)(image.end / BLOCK));
	if (ftruncate(out_fd, (off_t)image.end) < 0)
		return tree_fail(err, errno, "extend", "the layer's image");
	*out_counts = (struct erofs_counts){ image.inodes, image.end };
	/* Last: an image that is not whole has no super block. */
	return put(&image, &super, sizeof(super), SUPER_OFFSET, err);
}
