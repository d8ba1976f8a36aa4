/* SPDX-License-Identifier: Apache-2.0 */
#include "image/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/inflate.h"
#include "archive/tar_reader.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/map.h"
#include "base/path.h"
#include "image/file_walk.h"
#include "image/place.h"

#define CHUNK (256 * 1024)
/* More files than any image has. */
#define FILES_MAX 200000
#define LINKS_MAX 8

struct member {
	uint64_t offset;
	uint64_t size;
	char *link; /* of symbolic and hard links: the name that is meant */
};

struct bundle {
	int folder;  /* or -1 */
	int archive; /* or -1 */
	struct map members;
};

static void free_member(void *value)
{
	struct member *member = value;

	free(member->link);
	free(member);
}

void bundle_free(struct bundle *bundle)
{
	if (!bundle)
		return;
	if (bundle->folder >= 0)
		close(bundle->folder);
	if (bundle->archive >= 0)
		close(bundle->archive);
	map_fini(&bundle->members);
	free(bundle);
}

static struct bundle *new_bundle(void)
{
	struct bundle *bundle = xcalloc(1, sizeof(*bundle));

	bundle->folder = -1;
	bundle->archive = -1;
	map_init(&bundle->members, free_member);
	return bundle;
}

int bundle_open_folder(struct bundle **out_bundle, const char *path, struct error *err)
{
	AUTO(bundle_freep) struct bundle *bundle = new_bundle();

	bundle->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (bundle->folder < 0)
		return error_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID, errno, "open %s", path);
	*out_bundle = take_ptr(bundle);
	return 0;
}

/* ---- archives ---- */

static int take_piece(void *arg, const void *data, size_t size, struct error *err)
{
	int r = write_full(*(const int *)arg, data, size);

	return r < 0 ? error_set_errno(err, r == -ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, r, "keep the archive") : 0;
}

/* What cannot be read at random becomes a file that can. */
static int spool(int from, struct error *err)
{
	AUTO(inflate_freep) struct inflate *inflate = inflate_new(INFLATE_NO_LIMIT);
	AUTO_FREE char *chunk = xmalloc(CHUNK);
	AUTO_CLOSE int file = place_scratch(err);
	ssize_t got;

	if (file < 0)
		return -1;
	while ((got = read(from, chunk, CHUNK)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "read the archive");
		if (inflate_write(inflate, chunk, (size_t)got, take_piece, &file, err) < 0)
			return -1;
	}
	return inflate_finish(inflate, err) < 0 ? -1 : take_fd(&file);
}

static bool is_plain_file(int fd)
{
	static const unsigned char gzip[] = { 0x1f, 0x8b };
	static const unsigned char zstd[] = { 0x28, 0xb5 };
	unsigned char head[2] = { 0 };
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && pread(fd, head, sizeof(head), 0) >= 0 &&
	       memcmp(head, gzip, sizeof(head)) != 0 && memcmp(head, zstd, sizeof(head)) != 0;
}

static void add_member(struct bundle *bundle, const struct tar_entry *entry, uint64_t offset)
{
	AUTO_FREE char *name = path_clean(entry->path);
	struct member *member;

	if (entry->type != TAR_FILE && entry->type != TAR_SYMLINK && entry->type != TAR_HARD_LINK)
		return;
	member = xcalloc(1, sizeof(*member));
	member->offset = offset;
	member->size = entry->size;
	if (entry->type == TAR_HARD_LINK)
		member->link = path_clean(text_or_empty(entry->link));
	if (entry->type == TAR_SYMLINK) {
		AUTO_FREE char *parent = path_parent(name);
		AUTO_FREE char *target = path_join(parent, text_or_empty(entry->link));

		member->link = path_clean(target);
	}
	map_set(&bundle->members, name, member);
}

static int walk_archive(struct bundle *bundle, struct error *err)
{
	struct file_walk walk = { .fd = bundle->archive, .what = "the archive" };
	AUTO(tar_reader_freep) struct tar_reader *reader = tar_reader_new(file_walk_read, &walk);
	struct tar_entry entry;
	int r;

	while ((r = tar_reader_next(reader, &entry, err)) > 0) {
		add_member(bundle, &entry, walk.at);
		if (bundle->members.count > FILES_MAX)
			return error_set(err, ERR_INVALID, "the archive has more than %d files", FILES_MAX);
	}
	return r;
}

int bundle_open_archive(struct bundle **out_bundle, const char *path, struct error *err)
{
	AUTO(bundle_freep) struct bundle *bundle = new_bundle();
	AUTO_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC);

	if (file < 0)
		return error_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID, errno, "open %s", path);
	bundle->archive = is_plain_file(file) ? take_fd(&file) : spool(file, err);
	if (bundle->archive < 0 || walk_archive(bundle, err) < 0)
		return -1;
	*out_bundle = take_ptr(bundle);
	return 0;
}

/* ---- files ---- */

static int find_in_folder(const struct bundle *bundle, struct bundle_file *out_file, const char *name,
			  struct error *err)
{
	AUTO_CLOSE int fd = openat(bundle->folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "open %s", name);
	if (!S_ISREG(status.st_mode))
		return error_set(err, ERR_INVALID, "%s is no file", name);
	*out_file = (struct bundle_file){ .fd = take_fd(&fd), .size = (uint64_t)status.st_size };
	return 1;
}

int bundle_find(struct bundle *bundle, struct bundle_file *out_file, const char *name, struct error *err)
{
	AUTO_FREE char *clean = path_clean(name);
	const struct member *member;
	int fd;

	if (path_is_absolute(clean) || text_equal(clean, "..") || text_has_prefix(clean, "../"))
		return error_set(err, ERR_INVALID, "%s leads out of the image", name);
	if (bundle->folder >= 0)
		return find_in_folder(bundle, out_file, clean, err);
	member = map_get(&bundle->members, clean);
	for (int i = 0; member && member->link && i < LINKS_MAX; i++)
		member = map_get(&bundle->members, member->link);
	if (!member || member->link)
		return 0;
	fd = fcntl(bundle->archive, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "read the archive");
	*out_file = (struct bundle_file){ .fd = fd, .offset = member->offset, .size = member->size };
	return 1;
}

int bundle_text(struct bundle *bundle, char **out_text, const char *name, size_t limit, struct error *err)
{
	struct bundle_file file = { .fd = -1 };
	AUTO_FREE char *text = NULL;
	int r = bundle_find(bundle, &file, name, err);
	ssize_t got;

	if (r <= 0)
		return r;
	if (file.size > limit) {
		close(file.fd);
		return error_set(err, ERR_INVALID, "%s is larger than %zu bytes", name, limit);
	}
	text = xmalloc(file.size + 1);
	got = pread(file.fd, text, file.size, (off_t)file.offset);
	close(file.fd);
	if (got < 0 || (uint64_t)got != file.size)
		return error_set_errno(err, ERR_INTERNAL, got < 0 ? errno : EIO, "read %s", name);
	text[file.size] = '\0';
	if (strlen(text) != file.size)
		return error_set(err, ERR_INVALID, "%s has a NUL byte in it", name);
	*out_text = take_ptr(text);
	return 1;
}
