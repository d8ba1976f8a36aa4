/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/catalog.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "oci/hasher.h"
#include "registryd/upload.h"
#include "unit/unit.h"

static char root[] = "/tmp/kist-catalog-XXXXXX";
static struct catalog *catalog;

static void reopen(void)
{
	AUTO(error_clear) struct error err = { 0 };

	catalog_close(catalog);
	catalog = NULL;
	assert_no_error(catalog_open(&catalog, root, &err), &err);
}

static int setup(void **state)
{
	struct error err = { 0 };

	(void)state;
	return mkdtemp(root) && catalog_open(&catalog, root, &err) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	catalog_close(catalog);
	return remove_tree(AT_FDCWD, root);
}

static struct digest put(const char *bytes)
{
	AUTO(error_clear) struct error err = { 0 };
	struct digest digest;

	assert_no_error(blob_put(&digest, catalog_blobs(catalog), bytes, strlen(bytes), &err), &err);
	return digest;
}

static void test_blobs(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct digest kept = put("kept");
	struct digest orphan = put("orphan");

	(void)state;
	assert_int_equal(catalog_has_repository(catalog, "a", &err), 0);
	assert_no_error(catalog_link_blob(catalog, "a", &kept, &err), &err);
	assert_no_error(catalog_link_blob(catalog, "a", &kept, &err), &err);
	assert_int_equal(catalog_has_repository(catalog, "a", &err), 1);
	assert_int_equal(catalog_has_blob(catalog, "a", &kept, &err), 1);
	assert_int_equal(catalog_has_blob(catalog, "b", &kept, &err), 0);
	assert_int_equal(catalog_has_blob(catalog, NULL, &kept, &err), 1);
	assert_int_equal(blob_exists(catalog_blobs(catalog), &orphan, &err), 1);
	reopen();
	assert_int_equal(blob_exists(catalog_blobs(catalog), &orphan, &err), 0);
	assert_int_equal(blob_exists(catalog_blobs(catalog), &kept, &err), 1);
	assert_int_equal(catalog_link_blob(catalog, "a", &orphan, &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	error_clear(&err);
	assert_int_equal(catalog_unlink_blob(catalog, "b", &kept, &err), 0);
	assert_int_equal(catalog_unlink_blob(catalog, "a", &kept, &err), 1);
	assert_int_equal(blob_exists(catalog_blobs(catalog), &kept, &err), 0);
}

static void test_manifests(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(catalog_manifest_fini) struct catalog_manifest found = { 0 };
	AUTO(text_list_fini) struct text_list names = { 0 };
	struct catalog_manifest one = { .digest = put("one"), .media_type = (char *)"a/b", .size = 3 };
	struct catalog_manifest two = { .digest = put("two"), .media_type = (char *)"c/d", .size = 3 };
	char text[DIGEST_TEXT_MAX];

	(void)state;
	assert_no_error(catalog_put_manifest(catalog, "m", &one, NULL, "x", &err), &err);
	assert_no_error(catalog_put_manifest(catalog, "m", &one, NULL, "y", &err), &err);
	assert_no_error(catalog_put_manifest(catalog, "m", &two, NULL, "x", &err), &err);
	assert_int_equal(catalog_find_manifest(&found, catalog, "m", "x", &err), 1);
	assert_string_equal(found.media_type, "c/d");
	assert_true(digest_equal(&found.digest, &two.digest));
	assert_int_equal(catalog_remove_manifest(catalog, "m", digest_text(&two.digest, text), &err), 1);
	assert_int_equal(catalog_remove_manifest(catalog, "m", text, &err), 0);
	assert_no_error(catalog_tags(&names, catalog, "m", NULL, 10, &err), &err);
	assert_int_equal(names.count, 1);
	assert_string_equal(names.items[0], "y");
	assert_int_equal(blob_exists(catalog_blobs(catalog), &two.digest, &err), 0);
	assert_int_equal(blob_exists(catalog_blobs(catalog), &one.digest, &err), 1);
}

static void test_uploads(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(upload_table_freep) struct upload_table *table = upload_table_new(catalog_blobs(catalog));
	struct upload *upload = NULL;
	struct upload *again = NULL;
	AUTO_FREE char *id = NULL;

	(void)state;
	assert_no_error(upload_start(&upload, table, "u", &err), &err);
	id = xstrdup(upload->id);
	assert_int_equal(upload_take(&again, table, "u", id, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	error_clear(&err);
	upload_give(table, upload);
	assert_int_equal(upload_take(&again, table, "other", id, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	error_clear(&err);
	assert_no_error(upload_take(&again, table, "u", id, &err), &err);
	assert_ptr_equal(again, upload);
	upload_drop(table, again);
	assert_int_equal(upload_take(&again, table, "u", id, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blobs),
		cmocka_unit_test(test_manifests),
		cmocka_unit_test(test_uploads),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
