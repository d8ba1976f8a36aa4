/* SPDX-License-Identifier: Apache-2.0 */
/* With a torture part: every write, fsync and rename fails once, and nothing may be left behind. */
#include "store/blob.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "oci/hasher.h"
#include "store/ingest.h"
#include "tmp_root.h"
#include "unit/unit.h"

/* ---- calls that fail when told ---- */

static int fail_at; /* the n-th call fails; 0: none */
static int calls;

ssize_t __real_write(int fd, const void *data, size_t size);
int __real_fsync(int fd);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
ssize_t __wrap_write(int fd, const void *data, size_t size);
int __wrap_fsync(int fd);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);

static bool must_fail(void)
{
	if (fail_at == 0 || ++calls != fail_at)
		return false;
	errno = ENOSPC;
	return true;
}

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
	return must_fail() ? -1 : __real_write(fd, data, size);
}

int __wrap_fsync(int fd)
{
	return must_fail() ? -1 : __real_fsync(fd);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return must_fail() ? -1 : __real_renameat(from_fd, from, to_fd, to);
}

/* ---- tests ---- */

static struct blob_store *open_store(void)
{
	AUTO(error_clear) struct error err = { 0 };
	struct blob_store *store = NULL;

	assert_no_error(blob_store_open(&store, tmp_root, &err), &err);
	return store;
}

static void written_and_read(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct blob_store *store = open_store();
	struct digest digest;
	struct digest expected;
	char *data = NULL;
	size_t size;

	(void)state;
	digest_of(&expected, DIGEST_SHA256, "hello", 5);
	assert_int_equal(blob_exists(store, &expected, &err), 0);
	assert_no_error(blob_put(&digest, store, "hello", 5, &err), &err);
	assert_true(digest_equal(&digest, &expected));
	assert_no_error(blob_put(&digest, store, "hello", 5, &err), &err);
	assert_int_equal(blob_exists(store, &digest, &err), 1);
	assert_no_error(blob_read(&data, &size, store, &digest, 5, &err), &err);
	assert_int_equal(size, 5);
	assert_string_equal(data, "hello");
	free(data);
	assert_int_equal(blob_read(&data, &size, store, &digest, 4, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	error_clear(&err);
	assert_no_error(blob_remove(store, &digest, &err), &err);
	assert_int_equal(blob_open(store, &digest, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_int_equal(count_entries("tmp"), 0);
	blob_store_close(store);
}

static void wrong_digest_gets_no_name(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct blob_store *store = open_store();
	struct blob_writer *writer = NULL;
	struct digest other;

	(void)state;
	digest_of(&other, DIGEST_SHA256, "other", 5);
	assert_no_error(blob_writer_new(&writer, store, 10, &err), &err);
	assert_no_error(blob_writer_write(writer, "hello", 5, &err), &err);
	assert_int_equal(blob_writer_commit(writer, &other, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.message, "digest mismatch"));
	error_clear(&err);
	assert_int_equal(blob_writer_write(writer, "more than ten", 13, &err), -1);
	blob_writer_free(writer);
	assert_int_equal(count_entries("tmp"), 0);
	assert_int_equal(count_entries("blobs/sha256"), 0);
	blob_store_close(store);
}

static void other_algorithm(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct blob_store *store = open_store();
	struct blob_writer *writer = NULL;
	struct digest sha512;

	(void)state;
	digest_of(&sha512, DIGEST_SHA512, "hello", 5);
	assert_no_error(blob_writer_new(&writer, store, BLOB_NO_LIMIT, &err), &err);
	assert_no_error(blob_writer_write(writer, "hello", 5, &err), &err);
	assert_no_error(blob_writer_commit(writer, &sha512, &err), &err);
	blob_writer_free(writer);
	assert_int_equal(count_entries("blobs/sha512"), 1);
	assert_no_error(blob_verify(store, &sha512, &err), &err);
	blob_store_close(store);
}

static void damage(const struct digest *digest)
{
	char path[512];
	char hex[DIGEST_TEXT_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/blobs/sha256/%s", tmp_root, digest_hex(digest, hex));
	file = fopen(path, "w");
	assert_non_null(file);
	fputs("jello", file);
	fclose(file);
}

static void damaged_blob_is_put_aside(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct blob_store *store = open_store();
	struct digest digest;
	char *data = NULL;

	(void)state;
	assert_no_error(blob_put(&digest, store, "hello", 5, &err), &err);
	damage(&digest);
	assert_int_equal(blob_read(&data, NULL, store, &digest, 100, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	error_clear(&err);
	assert_int_equal(blob_exists(store, &digest, &err), 0);
	assert_int_equal(count_entries("quarantine"), 1);
	assert_no_error(blob_put(&digest, store, "hello", 5, &err), &err);
	damage(&digest);
	assert_int_equal(blob_verify(store, &digest, &err), -1);
	error_clear(&err);
	assert_int_equal(blob_exists(store, &digest, &err), 0);
	blob_store_close(store);
}

static void one_process_at_a_time(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct blob_store *store = open_store();
	struct blob_store *second = NULL;

	(void)state;
	assert_int_equal(blob_store_open(&second, tmp_root, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	blob_store_close(store);
}

static void part_survives_and_goes_on(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct blob_store *store = open_store();
	struct ingest *ingest = NULL;
	struct ingest *second = NULL;
	struct digest digest;

	(void)state;
	digest_of(&digest, DIGEST_SHA256, "hello", 5);
	assert_no_error(ingest_open(&ingest, store, &digest, &err), &err);
	assert_int_equal(write(ingest_fd(ingest), "hel", 3), 3);
	assert_int_equal(ingest_open(&second, store, &digest, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	error_clear(&err);
	ingest_close(ingest);
	blob_store_close(store);

	store = open_store();
	assert_no_error(ingest_open(&ingest, store, &digest, &err), &err);
	assert_int_equal(ingest_size(ingest), 3);
	assert_int_equal(write(ingest_fd(ingest), "lo", 2), 2);
	assert_no_error(ingest_commit(ingest, INGEST_HASH, &err), &err);
	ingest_close(ingest);
	assert_no_error(blob_verify(store, &digest, &err), &err);
	assert_int_equal(count_entries("ingest"), 0);
	blob_store_close(store);
}

static void wrong_part_is_thrown_away(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct blob_store *store = open_store();
	struct ingest *ingest = NULL;
	struct digest digest;
	uint64_t bytes;

	(void)state;
	digest_of(&digest, DIGEST_SHA256, "hello", 5);
	assert_no_error(ingest_open(&ingest, store, &digest, &err), &err);
	assert_int_equal(write(ingest_fd(ingest), "jello", 5), 5);
	assert_int_equal(ingest_commit(ingest, INGEST_HASH, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	error_clear(&err);
	assert_int_equal(ingest_size(ingest), 0);
	ingest_close(ingest);
	assert_int_equal(count_entries("ingest"), 0);
	assert_no_error(ingest_open(&ingest, store, &digest, &err), &err);
	assert_int_equal(write(ingest_fd(ingest), "hel", 3), 3);
	assert_no_error(ingest_expire(&bytes, store, 0, &err), &err);
	assert_int_equal(count_entries("ingest"), 1); /* in use */
	ingest_close(ingest);
	assert_no_error(ingest_expire(&bytes, store, 3600, &err), &err);
	assert_int_equal(count_entries("ingest"), 1); /* young */
	assert_no_error(ingest_expire(&bytes, store, 0, &err), &err);
	assert_int_equal(count_entries("ingest"), 0);
	assert_true(bytes > 0);
	blob_store_close(store);
}

static void every_failure_leaves_nothing(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct blob_store *store = open_store();
	struct digest digest;
	int failures = 0;

	(void)state;
	for (fail_at = 1;; fail_at++) {
		calls = 0;
		if (blob_put(&digest, store, "hello", 5, &err) == 0)
			break;
		failures++;
		assert_int_equal(err.kind, ERR_EXHAUSTED);
		assert_non_null(strstr(err.message, "No space left on device"));
		error_clear(&err);
		assert_int_equal(count_entries("tmp"), 0);
	}
	assert_int_equal(failures, 4); /* write, fsync, rename, fsync of the directory */
	fail_at = 0;
	assert_no_error(blob_verify(store, &digest, &err), &err);
	blob_store_close(store);
}

#define IN_TMP(test) cmocka_unit_test_setup_teardown(test, tmp_root_setup, tmp_root_teardown)

/* A pull needs the bytes of a blob that another image has: that one keeps it, also if the pull is cut. */
static void ingest_of_a_stored_blob(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct blob_store *store = open_store();
	struct ingest *ingest = NULL;
	struct digest digest;

	(void)state;
	assert_no_error(blob_put(&digest, store, "hello", 5, &err), &err);
	assert_no_error(ingest_open(&ingest, store, &digest, &err), &err);
	assert_int_equal(write(ingest_fd(ingest), "old", 3), 3);
	assert_no_error(ingest_copy_blob(ingest, &err), &err);
	assert_int_equal(ingest_size(ingest), 5);
	assert_no_error(ingest_reset(ingest, &err), &err);
	assert_no_error(blob_verify(store, &digest, &err), &err);
	assert_no_error(ingest_copy_blob(ingest, &err), &err);
	assert_no_error(ingest_commit(ingest, INGEST_HASH, &err), &err);
	ingest_close(ingest);
	assert_no_error(blob_verify(store, &digest, &err), &err);
	assert_int_equal(count_entries("ingest"), 0);
	blob_store_close(store);
}

/* Another program's word for a digest never changes what is stored under it, and holds for one blob. */
static void proven_elsewhere(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct blob_store *store = open_store();
	struct blob_writer *writer = NULL;
	struct digest stored;
	struct digest fresh;

	(void)state;
	assert_no_error(blob_put(&stored, store, "hello", 5, &err), &err);
	digest_of(&fresh, DIGEST_SHA256, "fresh", 5);
	assert_no_error(blob_writer_new(&writer, store, BLOB_NO_LIMIT, &err), &err);
	assert_int_equal(write(blob_writer_fd(writer), "fresh", 5), 5);
	assert_no_error(blob_writer_commit_proven(writer, &fresh, &err), &err);
	assert_no_error(blob_verify(store, &fresh, &err), &err);
	assert_int_equal(blob_writer_commit_proven(writer, &stored, &err), -1);
	error_clear(&err);
	blob_writer_free(writer);
	assert_no_error(blob_writer_new(&writer, store, BLOB_NO_LIMIT, &err), &err);
	assert_int_equal(write(blob_writer_fd(writer), "a lie", 5), 5);
	assert_no_error(blob_writer_commit_proven(writer, &stored, &err), &err);
	blob_writer_free(writer);
	assert_no_error(blob_verify(store, &stored, &err), &err);
	assert_int_equal(count_entries("tmp"), 0);
	blob_store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TMP(written_and_read),	   IN_TMP(wrong_digest_gets_no_name),
		IN_TMP(other_algorithm),	   IN_TMP(damaged_blob_is_put_aside),
		IN_TMP(one_process_at_a_time),	   IN_TMP(part_survives_and_goes_on),
		IN_TMP(wrong_part_is_thrown_away), IN_TMP(ingest_of_a_stored_blob),
		IN_TMP(proven_elsewhere),	   IN_TMP(every_failure_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
