/* SPDX-License-Identifier: Apache-2.0 */
#include "store/ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/file.h"
#include "oci/hasher.h"
#include "store/disk.h"

#define COPY_PIECE (256 * 1024)

struct ingest {
	struct blob_store *store; /* borrowed */
	struct digest digest;
	int fd;
	bool named; /* became a blob */
};

static const char *part_path(char out[BLOB_PATH_MAX], const struct digest *digest)
{
	return disk_blob_path(out, "ingest/", digest, '-');
}

/* 1: locked; 0: the file got another name while we waited for the lock, try again. */
static int open_locked(struct ingest *ingest, struct error *err)
{
	char path[BLOB_PATH_MAX];
	char text[DIGEST_TEXT_MAX];
	AUTO_CLOSE int fd = -1;
	struct stat by_name;
	struct stat by_fd;

	part_path(path, &ingest->digest);
	fd = openat(blob_store_root(ingest->store), path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return disk_fail(err, errno, "open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return error_set(err, ERR_CONFLICT, "%s is being received already", digest_text(&ingest->digest, text));
	if (fstat(fd, &by_fd) < 0 || lseek(fd, 0, SEEK_END) < 0)
		return disk_fail(err, errno, "look at %s", path);
	if (fstatat(blob_store_root(ingest->store), path, &by_name, AT_SYMLINK_NOFOLLOW) < 0 ||
	    by_name.st_ino != by_fd.st_ino)
		return 0;
	ingest->fd = take_fd(&fd);
	return 1;
}

int ingest_open(struct ingest **out_ingest, struct blob_store *store, const struct digest *digest, struct error *err)
{
	AUTO(ingest_closep) struct ingest *ingest = xcalloc(1, sizeof(*ingest));
	int r;

	ingest->store = store;
	ingest->digest = *digest;
	ingest->fd = -1;
	do {
		r = open_locked(ingest, err);
	} while (r == 0);
	if (r < 0)
		return -1;
	*out_ingest = take_ptr(ingest);
	return 0;
}

void ingest_close(struct ingest *ingest)
{
	char path[BLOB_PATH_MAX];

	if (!ingest)
		return;
	if (ingest->fd >= 0) {
		if (!ingest->named && ingest_size(ingest) == 0)
			unlinkat(blob_store_root(ingest->store), part_path(path, &ingest->digest), 0);
		close(ingest->fd);
	}
	free(ingest);
}

int ingest_fd(const struct ingest *ingest)
{
	return ingest->fd;
}

uint64_t ingest_size(const struct ingest *ingest)
{
	struct stat st;

	return fstat(ingest->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

int ingest_reset(struct ingest *ingest, struct error *err)
{
	if (ftruncate(ingest->fd, 0) < 0 || lseek(ingest->fd, 0, SEEK_SET) < 0)
		return disk_fail(err, errno, "empty a part");
	return 0;
}

static int copy_all(int from, int to, const char *name, struct error *err)
{
	AUTO_FREE char *piece = xmalloc(COPY_PIECE);
	ssize_t got;
	int r;

	while ((got = read_full(from, piece, COPY_PIECE)) > 0) {
		r = write_full(to, piece, (size_t)got);
		if (r < 0)
			return disk_fail(err, r, "write %s", name);
	}
	return got < 0 ? disk_fail(err, (int)got, "read %s", name) : 0;
}

int ingest_copy_blob(struct ingest *ingest, struct error *err)
{
	AUTO_CLOSE int from = blob_open(ingest->store, &ingest->digest, err);
	char name[BLOB_PATH_MAX];

	if (from < 0 || ingest_reset(ingest, err) < 0)
		return -1;
	return copy_all(from, ingest->fd, part_path(name, &ingest->digest), err);
}

static int prove(struct ingest *ingest, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	char wanted[DIGEST_TEXT_MAX];
	char got[DIGEST_TEXT_MAX];
	struct digest actual;
	int r;

	if (lseek(ingest->fd, 0, SEEK_SET) < 0)
		return disk_fail(err, errno, "rewind a part");
	r = digest_of_fd(&actual, ingest->digest.algorithm, ingest->fd);
	if (r < 0)
		return disk_fail(err, r, "read a part");
	if (digest_equal(&actual, &ingest->digest))
		return 0;
	ingest_reset(ingest, &ignored);
	return error_set(err, ERR_INVALID, "digest mismatch: expected %s, got %s", digest_text(&ingest->digest, wanted),
			 digest_text(&actual, got));
}

int ingest_commit(struct ingest *ingest, enum ingest_proof proof, struct error *err)
{
	int root = blob_store_root(ingest->store);
	char part[BLOB_PATH_MAX];
	char blob[BLOB_PATH_MAX];

	if (proof == INGEST_HASH && prove(ingest, err) < 0)
		return -1;
	part_path(part, &ingest->digest);
	disk_blob_path(blob, "blobs/", &ingest->digest, '/');
	if (fsync(ingest->fd) < 0)
		return disk_fail(err, errno, "sync %s", part);
	if (renameat(root, part, root, blob) < 0)
		return disk_fail(err, errno, "rename %s to %s", part, blob);
	ingest->named = true;
	return disk_sync_name(root, blob, err);
}

int ingest_demote(struct blob_store *store, const struct digest *digest, struct error *err)
{
	int root = blob_store_root(store);
	char part[BLOB_PATH_MAX];
	char blob[BLOB_PATH_MAX];

	part_path(part, digest);
	disk_blob_path(blob, "blobs/", digest, '/');
	if (renameat(root, blob, root, part) < 0 && errno != ENOENT)
		return disk_fail(err, errno, "rename %s to %s", blob, part);
	return 0;
}

static void expire_one(uint64_t *bytes, int dir_fd, const char *name, int64_t max_age_s)
{
	AUTO_CLOSE int fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
		return;
	if (st.st_size > 0 && max_age_s > 0 && time(NULL) - st.st_mtime <= max_age_s)
		return;
	if (unlinkat(dir_fd, name, 0) == 0)
		*bytes += (uint64_t)st.st_blocks * 512;
}

int ingest_expire(uint64_t *out_bytes, struct blob_store *store, int64_t max_age_s, struct error *err)
{
	AUTO_CLOSEDIR DIR *dir = disk_open_dir(blob_store_root(store), "ingest");
	struct dirent *entry;
	uint64_t bytes = 0;

	if (!dir)
		return disk_fail(err, errno, "open ingest");
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			expire_one(&bytes, dirfd(dir), entry->d_name, max_age_s);
	*out_bytes = bytes;
	return 0;
}
