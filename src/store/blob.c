/* SPDX-License-Identifier: Apache-2.0 */
#include "store/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/random.h"
#include "base/text.h"
#include "oci/hasher.h"
#include "store/disk.h"

#define TMP_NAME_MAX 32

struct blob_store {
	int root_fd;
	int lock_fd;
};

struct blob_writer {
	struct blob_store *store; /* borrowed */
	int fd;
	char name[TMP_NAME_MAX]; /* "" once it is committed */
	uint64_t size;
	uint64_t limit;
	struct hasher *hasher;
	enum digest_algorithm algorithm;
};

/* ---- open ---- */

static const char *const directories[] = {
	"blobs", "blobs/sha256", "blobs/sha512", "ingest", "tmp", "quarantine", NULL
};

static int take_lock(struct blob_store *store, const char *root, struct error *err)
{
	store->lock_fd = openat(store->root_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (store->lock_fd < 0)
		return disk_fail(err, errno, "open %s/lock", root);
	if (flock(store->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return error_set(err, ERR_CONFLICT, "%s is in use by another process", root);
	return error_set_errno(err, ERR_INTERNAL, errno, "lock %s/lock", root);
}

static int make_directories(struct blob_store *store, const char *root, struct error *err)
{
	/* Nothing in tmp has a name yet: it belongs to writers that are gone. */
	int r = remove_tree(store->root_fd, "tmp");

	for (size_t i = 0; r == 0 && directories[i]; i++)
		r = mkdir_all(store->root_fd, directories[i], 0700);
	return r < 0 ? disk_fail(err, r, "prepare %s", root) : 0;
}

int blob_store_open(struct blob_store **out_store, const char *root, struct error *err)
{
	AUTO(blob_store_closep) struct blob_store *store = xcalloc(1, sizeof(*store));
	int r;

	store->root_fd = -1;
	store->lock_fd = -1;
	r = mkdir_all(AT_FDCWD, root, 0711);
	if (r < 0)
		return disk_fail(err, r, "make %s", root);
	store->root_fd = open(root, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (store->root_fd < 0)
		return disk_fail(err, errno, "open %s", root);
	if (take_lock(store, root, err) < 0 || make_directories(store, root, err) < 0)
		return -1;
	*out_store = take_ptr(store);
	return 0;
}

void blob_store_close(struct blob_store *store)
{
	if (!store)
		return;
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	if (store->root_fd >= 0)
		close(store->root_fd);
	free(store);
}

int blob_store_root(const struct blob_store *store)
{
	return store->root_fd;
}

/* ---- read ---- */

static const char *blob_path(char out[BLOB_PATH_MAX], const struct digest *digest)
{
	return disk_blob_path(out, "blobs/", digest, '/');
}

int blob_size(uint64_t *out_bytes, struct blob_store *store, const struct digest *digest, struct error *err)
{
	char path[BLOB_PATH_MAX];
	struct stat st;

	if (!digest_is_set(digest))
		return 0;
	if (fstatat(store->root_fd, blob_path(path, digest), &st, AT_SYMLINK_NOFOLLOW) == 0) {
		*out_bytes = (uint64_t)st.st_size;
		return 1;
	}
	return errno == ENOENT ? 0 : disk_fail(err, errno, "look for %s", path);
}

int blob_exists(struct blob_store *store, const struct digest *digest, struct error *err)
{
	uint64_t size;

	return blob_size(&size, store, digest, err);
}

int blob_open(struct blob_store *store, const struct digest *digest, struct error *err)
{
	char path[BLOB_PATH_MAX];
	char text[DIGEST_TEXT_MAX];
	int fd = openat(store->root_fd, blob_path(path, digest), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return error_set(err, ERR_NOT_FOUND, "blob %s is not stored", digest_text(digest, text));
	return disk_fail(err, errno, "open %s", path);
}

/* The blob no longer is what its name says: it must never be served again, but may help to find out why. */
static int quarantine(struct blob_store *store, const struct digest *digest, struct error *err)
{
	char path[BLOB_PATH_MAX];
	char aside[BLOB_PATH_MAX];
	char text[DIGEST_TEXT_MAX];

	blob_path(path, digest);
	disk_blob_path(aside, "quarantine/", digest, '-');
	if (renameat(store->root_fd, path, store->root_fd, aside) < 0)
		unlinkat(store->root_fd, path, 0);
	return error_set(err, ERR_NOT_FOUND, "blob %s was damaged on disk and put aside in quarantine",
			 digest_text(digest, text));
}

int blob_read(char **out_data, size_t *out_size, struct blob_store *store, const struct digest *digest, size_t limit,
	      struct error *err)
{
	AUTO_CLOSE int fd = blob_open(store, digest, err);
	AUTO_FREE char *data = NULL;
	char text[DIGEST_TEXT_MAX];
	struct digest actual;
	size_t size = 0;
	int r;

	if (fd < 0)
		return -1;
	r = fd_read_all(&data, &size, fd, limit);
	if (r == -EFBIG)
		return error_set(err, ERR_INVALID, "blob %s is larger than %zu bytes", digest_text(digest, text),
				 limit);
	if (r < 0)
		return disk_fail(err, r, "read blob %s", digest_text(digest, text));
	digest_of(&actual, digest->algorithm, data, size);
	if (!digest_equal(&actual, digest))
		return quarantine(store, digest, err);
	*out_data = take_ptr(data);
	if (out_size)
		*out_size = size;
	return 0;
}

int blob_verify(struct blob_store *store, const struct digest *digest, struct error *err)
{
	AUTO_CLOSE int fd = blob_open(store, digest, err);
	char text[DIGEST_TEXT_MAX];
	struct digest actual;
	int r;

	if (fd < 0)
		return -1;
	r = digest_of_fd(&actual, digest->algorithm, fd);
	if (r < 0)
		return disk_fail(err, r, "read blob %s", digest_text(digest, text));
	return digest_equal(&actual, digest) ? 0 : quarantine(store, digest, err);
}

/* ---- write ---- */

int blob_writer_new(struct blob_writer **out_writer, struct blob_store *store, uint64_t limit, struct error *err)
{
	AUTO(blob_writer_freep) struct blob_writer *writer = xcalloc(1, sizeof(*writer));
	char random[17];

	writer->store = store;
	writer->limit = limit;
	random_hex(random, 8);
	snprintf(writer->name, sizeof(writer->name), "tmp/%s", random);
	writer->fd = openat(store->root_fd, writer->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (writer->fd < 0) {
		writer->name[0] = '\0';
		return disk_fail(err, errno, "create a blob");
	}
	writer->algorithm = DIGEST_SHA256;
	writer->hasher = hasher_new(DIGEST_SHA256);
	*out_writer = take_ptr(writer);
	return 0;
}

int blob_writer_write(struct blob_writer *writer, const void *data, size_t size, struct error *err)
{
	int r;

	if (size > writer->limit - writer->size)
		return error_set(err, ERR_INVALID, "more bytes than the %llu announced",
				 (unsigned long long)writer->limit);
	r = write_full(writer->fd, data, size);
	if (r < 0)
		return disk_fail(err, r, "write %s", writer->name);
	hasher_add(writer->hasher, data, size);
	writer->size += size;
	return 0;
}

/* Without the fsync, a power loss could leave the name and lose the bytes. */
static int sync_bytes(struct blob_writer *writer, struct error *err)
{
	return fsync(writer->fd) < 0 ? disk_fail(err, errno, "sync %s", writer->name) : 0;
}

static int name_blob(struct blob_writer *writer, const struct digest *digest, struct error *err)
{
	char path[BLOB_PATH_MAX];

	if (sync_bytes(writer, err) < 0)
		return -1;
	if (renameat(writer->store->root_fd, writer->name, writer->store->root_fd, blob_path(path, digest)) < 0)
		return disk_fail(err, errno, "rename %s to %s", writer->name, path);
	writer->name[0] = '\0';
	return disk_sync_name(writer->store->root_fd, path, err);
}

/* A digest of another algorithm than the one hashed so far: read it again. */
static int rehash(struct blob_writer *writer, struct digest *out_actual, enum digest_algorithm algorithm,
		  struct error *err)
{
	int r;

	if (lseek(writer->fd, 0, SEEK_SET) < 0)
		return disk_fail(err, errno, "rewind %s", writer->name);
	r = digest_of_fd(out_actual, algorithm, writer->fd);
	return r < 0 ? disk_fail(err, r, "read %s", writer->name) : 0;
}

int blob_writer_commit(struct blob_writer *writer, const struct digest *expected, struct error *err)
{
	char wanted[DIGEST_TEXT_MAX];
	char got[DIGEST_TEXT_MAX];
	struct digest actual;

	if (expected->algorithm == writer->algorithm)
		hasher_digest(writer->hasher, &actual);
	else if (rehash(writer, &actual, expected->algorithm, err) < 0)
		return -1;
	if (!digest_equal(&actual, expected))
		return error_set(err, ERR_INVALID, "digest mismatch: expected %s, got %s",
				 digest_text(expected, wanted), digest_text(&actual, got));
	return name_blob(writer, expected, err);
}

void blob_writer_digest(const struct blob_writer *writer, struct digest *out_digest)
{
	hasher_digest(writer->hasher, out_digest);
}

int blob_writer_fd(const struct blob_writer *writer)
{
	return writer->fd;
}

int blob_writer_commit_proven(struct blob_writer *writer, const struct digest *digest, struct error *err)
{
	char path[BLOB_PATH_MAX];
	int root = writer->store->root_fd;

	if (sync_bytes(writer, err) < 0)
		return -1;
	/* What is stored stays: it may be another image's, and we have somebody's word only. */
	if (linkat(root, writer->name, root, blob_path(path, digest), 0) < 0 && errno != EEXIST)
		return disk_fail(err, errno, "link %s to %s", writer->name, path);
	unlinkat(root, writer->name, 0);
	writer->name[0] = '\0';
	return disk_sync_name(root, path, err);
}

int blob_writer_commit_any(struct blob_writer *writer, struct digest *out_digest, struct error *err)
{
	struct digest digest;

	hasher_digest(writer->hasher, &digest);
	if (name_blob(writer, &digest, err) < 0)
		return -1;
	*out_digest = digest;
	return 0;
}

int blob_adopt(struct blob_store *store, int dir_fd, const char *name, const struct digest *digest, struct error *err)
{
	AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char path[BLOB_PATH_MAX];

	if (fd < 0)
		return disk_fail(err, errno, "open %s", name);
	if (fchown(fd, geteuid(), getegid()) < 0 || fchmod(fd, 0600) < 0 || fsync(fd) < 0)
		return disk_fail(err, errno, "sync %s", name);
	if (linkat(dir_fd, name, store->root_fd, blob_path(path, digest), 0) < 0 && errno != EEXIST)
		return disk_fail(err, errno, "link %s to %s", name, path);
	return disk_sync_name(store->root_fd, path, err);
}

void blob_writer_free(struct blob_writer *writer)
{
	if (!writer)
		return;
	if (writer->fd >= 0)
		close(writer->fd);
	if (writer->name[0])
		unlinkat(writer->store->root_fd, writer->name, 0);
	hasher_free(writer->hasher);
	free(writer);
}

int blob_put(struct digest *out_digest, struct blob_store *store, const void *data, size_t size, struct error *err)
{
	AUTO(blob_writer_freep) struct blob_writer *writer = NULL;

	if (blob_writer_new(&writer, store, size, err) < 0 || blob_writer_write(writer, data, size, err) < 0)
		return -1;
	return blob_writer_commit_any(writer, out_digest, err);
}

/* ---- remove, walk ---- */

int blob_remove(struct blob_store *store, const struct digest *digest, struct error *err)
{
	char path[BLOB_PATH_MAX];

	if (unlinkat(store->root_fd, blob_path(path, digest), 0) < 0 && errno != ENOENT)
		return disk_fail(err, errno, "remove %s", path);
	return 0;
}

static int visit_entry(struct blob_store *store, const char *algorithm, const char *hex, blob_visit visit, void *arg,
		       struct error *err)
{
	AUTO_FREE char *text = xasprintf("%s:%s", algorithm, hex);
	AUTO(error_clear) struct error ignored = { 0 };
	struct digest digest;
	uint64_t size;
	int r;

	if (digest_parse(&digest, text, &ignored) < 0)
		return 0;
	r = blob_size(&size, store, &digest, err);
	return r <= 0 ? r : visit(arg, &digest, size, err);
}

static int walk_algorithm(struct blob_store *store, const char *algorithm, blob_visit visit, void *arg,
			  struct error *err)
{
	AUTO_FREE char *path = xasprintf("blobs/%s", algorithm);
	AUTO_CLOSEDIR DIR *dir = NULL;
	struct dirent *entry;
	int r = 0;

	dir = disk_open_dir(store->root_fd, path);
	if (!dir)
		return errno == ENOENT ? 0 : disk_fail(err, errno, "open %s", path);
	while (r >= 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			r = visit_entry(store, algorithm, entry->d_name, visit, arg, err);
	return r < 0 ? r : 0;
}

int blob_walk(struct blob_store *store, blob_visit visit, void *arg, struct error *err)
{
	int r = walk_algorithm(store, "sha256", visit, arg, err);

	return r < 0 ? r : walk_algorithm(store, "sha512", visit, arg, err);
}
