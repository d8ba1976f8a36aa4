/* SPDX-License-Identifier: Apache-2.0 */
/* A container's row in the database. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "engine/engine_private.h"
#include "unit/unit.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/kist-row-XXXXXX");
	assert_non_null(mkdtemp(folder));
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return remove_tree(AT_FDCWD, folder);
}

static int64_t count_rows(const struct engine *engine)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(query_freep) struct query *query = NULL;

	assert_no_error(query_new(&query, store_database(engine->store), "SELECT count(*) FROM containers", &err),
			&err);
	assert_int_equal(query_next(query, &err), 1);
	return query_i64(query, 0);
}

static void test_a_late_save_brings_no_row_back(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(container_unrefp) struct container *container = NULL;
	struct engine engine = { .exec_root = folder, .data_root = folder };

	(void)state;
	assert_no_error(store_open(&engine.store, folder, "overlay2", &err), &err);
	assert_no_error(engine_migrate(&engine, &err), &err);
	container = container_new(&engine, ID);
	container->document.id = xstrdup(ID);
	container->document.name = xstrdup("name");
	assert_no_error(container_store(container, &err), &err);
	assert_no_error(container_store(container, &err), &err);
	assert_int_equal(count_rows(&engine), 1);
	assert_no_error(container_forget(container, &err), &err);
	/* A stop of a container with --rm saves when it has seen the end, and the removal may have been faster. */
	container_save(container);
	assert_int_equal(count_rows(&engine), 0);
	container_unref(take_ptr(container));
	store_close(engine.store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_late_save_brings_no_row_back, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
