/* SPDX-License-Identifier: Apache-2.0 */
#include "store/database.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"

#define CACHE_SIZE_KIB "-2048"

struct database {
	sqlite3 *handle;
	pthread_mutex_t lock;  /* recursive: a query inside a transaction */
	struct map statements; /* SQL text -> idle sqlite3_stmt */
	int depth;	       /* transactions inside each other */
};

struct query {
	struct database *database; /* borrowed, locked */
	sqlite3_stmt *statement;
	char *sql;
	int bind_result;
};

struct transaction {
	struct database *database; /* borrowed, locked */
	enum file_sync sync;
	bool open;
	bool inner; /* a savepoint of the one around it */
};

static int database_fail(struct database *database, const char *what, struct error *err)
{
	int code = sqlite3_extended_errcode(database->handle);
	int errnum = sqlite3_system_errno(database->handle);
	const char *text = sqlite3_errmsg(database->handle);

	/* What the system said counts for an I/O error only: it is kept beyond the call that failed. */
	if (code == SQLITE_FULL || ((code & 0xff) == SQLITE_IOERR && errnum == ENOSPC))
		return error_set_errno(err, ERR_EXHAUSTED, ENOSPC, "database: %s", what);
	if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY)
		return error_set(err, ERR_CONFLICT, "database: %s: %s", what, text);
	return error_set(err, ERR_INTERNAL, "database: %s: %s", what, text);
}

static void finalize(void *statement)
{
	sqlite3_finalize(statement);
}

static void lock_init(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

int database_open(struct database **out_database, const char *path, struct error *err)
{
	AUTO(database_closep) struct database *database = xcalloc(1, sizeof(*database));
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;

	lock_init(&database->lock);
	map_init(&database->statements, finalize);
	if (sqlite3_open_v2(path, &database->handle, flags, NULL) != SQLITE_OK)
		return database_fail(database, path, err);
	sqlite3_busy_timeout(database->handle, 5000);
	if (database_run(database, "PRAGMA journal_mode=WAL", err) < 0 ||
	    database_run(database, "PRAGMA synchronous=NORMAL", err) < 0 ||
	    database_run(database, "PRAGMA foreign_keys=ON", err) < 0 ||
	    database_run(database, "PRAGMA cache_size=" CACHE_SIZE_KIB, err) < 0 ||
	    database_run(database, "CREATE TABLE IF NOT EXISTS schema_version(room TEXT PRIMARY KEY, version INTEGER)",
			 err) < 0)
		return error_prefix(err, "%s", path);
	*out_database = take_ptr(database);
	return 0;
}

void database_close(struct database *database)
{
	if (!database)
		return;
	map_fini(&database->statements);
	sqlite3_close(database->handle);
	pthread_mutex_destroy(&database->lock);
	free(database);
}

int64_t database_changes(struct database *database)
{
	int64_t changes;

	pthread_mutex_lock(&database->lock);
	changes = sqlite3_total_changes(database->handle);
	pthread_mutex_unlock(&database->lock);
	return changes;
}

int database_run(struct database *database, const char *sql, struct error *err)
{
	int result;

	pthread_mutex_lock(&database->lock);
	result = 0;
	if (sqlite3_exec(database->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		result = database_fail(database, sql, err);
	pthread_mutex_unlock(&database->lock);
	return result;
}

/* ---- query ---- */

int query_new(struct query **out_query, struct database *database, const char *sql, struct error *err)
{
	AUTO(query_freep) struct query *query = xcalloc(1, sizeof(*query));

	pthread_mutex_lock(&database->lock);
	query->database = database;
	query->sql = xstrdup(sql);
	query->statement = map_take(&database->statements, sql);
	if (!query->statement && sqlite3_prepare_v3(database->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
						    &query->statement, NULL) != SQLITE_OK)
		return database_fail(database, sql, err);
	*out_query = take_ptr(query);
	return 0;
}

void query_free(struct query *query)
{
	struct database *database;

	if (!query)
		return;
	database = query->database;
	if (query->statement) {
		sqlite3_reset(query->statement);
		sqlite3_clear_bindings(query->statement);
		map_set(&database->statements, query->sql, query->statement);
	}
	free(query->sql);
	free(query);
	pthread_mutex_unlock(&database->lock);
}

static void note_bind(struct query *query, int result)
{
	if (query->bind_result == SQLITE_OK)
		query->bind_result = result;
}

void query_bind_text(struct query *query, int parameter, const char *text)
{
	note_bind(query, sqlite3_bind_text(query->statement, parameter, text, -1, SQLITE_STATIC));
}

void query_bind_i64(struct query *query, int parameter, int64_t value)
{
	note_bind(query, sqlite3_bind_int64(query->statement, parameter, value));
}

int query_next(struct query *query, struct error *err)
{
	int result;

	if (query->bind_result != SQLITE_OK)
		return error_set(err, ERR_INTERNAL, "database: bind: %s: %s", sqlite3_errstr(query->bind_result),
				 query->sql);
	result = sqlite3_step(query->statement);
	if (result == SQLITE_ROW)
		return 1;
	if (result == SQLITE_DONE)
		return 0;
	return database_fail(query->database, query->sql, err);
}

int query_run(struct query *query, struct error *err)
{
	int result;

	do {
		result = query_next(query, err);
	} while (result > 0);
	return result < 0 ? -1 : sqlite3_changes(query->database->handle);
}

void query_reset(struct query *query)
{
	sqlite3_reset(query->statement);
	sqlite3_clear_bindings(query->statement);
	query->bind_result = SQLITE_OK;
}

const char *query_text(struct query *query, int column)
{
	return (const char *)sqlite3_column_text(query->statement, column);
}

int64_t query_i64(struct query *query, int column)
{
	return sqlite3_column_int64(query->statement, column);
}

char *query_text_copy(struct query *query, int column)
{
	return xstrdup(query_text(query, column));
}

/* ---- transaction ---- */

int transaction_begin(struct transaction **out_transaction, struct database *database, enum file_sync sync,
		      struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = xcalloc(1, sizeof(*transaction));

	pthread_mutex_lock(&database->lock);
	transaction->database = database;
	transaction->inner = database->depth > 0;
	/* The one around it decides when the disk is waited for. */
	transaction->sync = transaction->inner ? FILE_NO_SYNC : sync;
	database->depth++;
	/* FULL syncs the log at the commit; NORMAL only at checkpoints. */
	if (transaction->sync == FILE_SYNC_ALL && database_run(database, "PRAGMA synchronous=FULL", err) < 0)
		return -1;
	if (database_run(database, transaction->inner ? "SAVEPOINT inner" : "BEGIN IMMEDIATE", err) < 0)
		return -1;
	transaction->open = true;
	*out_transaction = take_ptr(transaction);
	return 0;
}

int transaction_commit(struct transaction *transaction, struct error *err)
{
	if (database_run(transaction->database, transaction->inner ? "RELEASE inner" : "COMMIT", err) < 0)
		return -1;
	transaction->open = false;
	return 0;
}

void transaction_free(struct transaction *transaction)
{
	struct database *database;

	if (!transaction)
		return;
	database = transaction->database;
	if (transaction->open)
		sqlite3_exec(database->handle, transaction->inner ? "ROLLBACK TO inner; RELEASE inner" : "ROLLBACK",
			     NULL, NULL, NULL);
	if (transaction->sync == FILE_SYNC_ALL)
		sqlite3_exec(database->handle, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
	database->depth--;
	free(transaction);
	pthread_mutex_unlock(&database->lock);
}

/* ---- schema ---- */

static int load_version(int *out_version, struct database *database, const char *room, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int found;

	if (query_new(&query, database, "SELECT version FROM schema_version WHERE room = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, room);
	found = query_next(query, err);
	if (found < 0)
		return -1;
	*out_version = found ? (int)query_i64(query, 0) : 0;
	return 0;
}

static int save_version(struct database *database, const char *room, int version, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, database, "INSERT OR REPLACE INTO schema_version VALUES(?1, ?2)", err) < 0)
		return -1;
	query_bind_text(query, 1, room);
	query_bind_i64(query, 2, version);
	return query_run(query, err) < 0 ? -1 : 0;
}

int database_migrate(struct database *database, const char *room, const char *const *steps, int count,
		     struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	int version;

	if (transaction_begin(&transaction, database, FILE_SYNC_ALL, err) < 0 ||
	    load_version(&version, database, room, err) < 0)
		return -1;
	if (version > count)
		return error_set(err, ERR_UNSUPPORTED,
				 "the database was written by a newer kist (%s version %d, this program knows %d)",
				 room, version, count);
	if (version == count)
		return 0;
	for (int i = version; i < count; i++)
		if (database_run(database, steps[i], err) < 0)
			return error_prefix(err, "%s: schema step %d", room, i + 1);
	if (save_version(database, room, count, err) < 0)
		return -1;
	return transaction_commit(transaction, err);
}
