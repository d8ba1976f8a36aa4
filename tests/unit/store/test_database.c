/* SPDX-License-Identifier: Apache-2.0 */
#include "store/database.h"

#include "base/path.h"
#include "base/text.h"
#include "tmp_root.h"
#include "unit/unit.h"

static struct database *open_database(void)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *path = path_join(tmp_root, "meta.db");
	struct database *database = NULL;

	assert_no_error(database_open(&database, path, &err), &err);
	return database;
}

static int64_t number(struct database *database, const char *sql)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(query_freep) struct query *query = NULL;

	assert_no_error(query_new(&query, database, sql, &err), &err);
	assert_int_equal(query_next(query, &err), 1);
	return query_i64(query, 0);
}

static void steps_run_once(void **state)
{
	static const char *const steps[] = { "CREATE TABLE a(x)", "INSERT INTO a VALUES(1)" };
	AUTO(error_clear) struct error err = { 0 };
	struct database *database = open_database();

	(void)state;
	assert_no_error(database_migrate(database, "room", steps, 1, &err), &err);
	assert_no_error(database_migrate(database, "room", steps, 2, &err), &err);
	assert_no_error(database_migrate(database, "room", steps, 2, &err), &err);
	database_close(database);
	database = open_database();
	assert_no_error(database_migrate(database, "room", steps, 2, &err), &err);
	assert_int_equal(number(database, "SELECT count(*) FROM a"), 1);
	assert_int_equal(database_migrate(database, "room", steps, 1, &err), -1);
	assert_int_equal(err.kind, ERR_UNSUPPORTED);
	database_close(database);
}

static void broken_step_leaves_nothing(void **state)
{
	static const char *const steps[] = { "CREATE TABLE a(x)", "nonsense" };
	AUTO(error_clear) struct error err = { 0 };
	struct database *database = open_database();

	(void)state;
	assert_int_equal(database_migrate(database, "room", steps, 2, &err), -1);
	assert_non_null(strstr(err.message, "schema step 2"));
	assert_int_equal(number(database, "SELECT count(*) FROM sqlite_master WHERE name = 'a'"), 0);
	database_close(database);
}

static void add(struct database *database, const char *text, int64_t value, struct error *err, int expected)
{
	AUTO(query_freep) struct query *query = NULL;

	assert_no_error(query_new(&query, database, "INSERT INTO t VALUES(?1, ?2)", err), err);
	query_bind_text(query, 1, text);
	query_bind_i64(query, 2, value);
	assert_int_equal(query_run(query, err), expected);
}

static void transactions_roll_back(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct database *database = open_database();
	struct transaction *transaction = NULL;

	(void)state;
	assert_no_error(database_run(database, "CREATE TABLE t(name TEXT PRIMARY KEY, value)", &err), &err);
	assert_no_error(transaction_begin(&transaction, database, FILE_SYNC_ALL, &err), &err);
	add(database, "one", 1, &err, 1);
	transaction_free(transaction);
	assert_int_equal(number(database, "SELECT count(*) FROM t"), 0);
	assert_no_error(transaction_begin(&transaction, database, FILE_NO_SYNC, &err), &err);
	add(database, "one", 1, &err, 1);
	assert_no_error(transaction_commit(transaction, &err), &err);
	transaction_free(transaction);
	assert_int_equal(number(database, "SELECT count(*) FROM t"), 1);
	add(database, "one", 2, &err, -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	database_close(database);
}

static void the_same_text_may_run_twice_at_once(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct database *database = open_database();
	struct query *first = NULL;
	struct query *second = NULL;

	(void)state;
	assert_no_error(database_run(database, "CREATE TABLE t(x); INSERT INTO t VALUES(7),(8)", &err), &err);
	assert_no_error(query_new(&first, database, "SELECT x FROM t ORDER BY x", &err), &err);
	assert_int_equal(query_next(first, &err), 1);
	assert_no_error(query_new(&second, database, "SELECT x FROM t ORDER BY x", &err), &err);
	assert_int_equal(query_next(second, &err), 1);
	assert_int_equal(query_next(first, &err), 1);
	assert_int_equal(query_i64(first, 0), 8);
	assert_int_equal(query_i64(second, 0), 7);
	query_free(second);
	query_free(first);
	database_close(database);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(steps_run_once, tmp_root_setup, tmp_root_teardown),
		cmocka_unit_test_setup_teardown(broken_step_leaves_nothing, tmp_root_setup, tmp_root_teardown),
		cmocka_unit_test_setup_teardown(transactions_roll_back, tmp_root_setup, tmp_root_teardown),
		cmocka_unit_test_setup_teardown(the_same_text_may_run_twice_at_once, tmp_root_setup, tmp_root_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
