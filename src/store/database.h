/* SPDX-License-Identifier: Apache-2.0 */
/*
 * database.h - sqlite in WAL mode, as little of it as we need.
 *
 * One connection; every query and transaction holds its (recursive) lock from
 * begin to end, so keep them short and never wait for anything inside. A
 * transaction that is freed without commit is rolled back. Committed means: it
 * survives kill -9; with FILE_SYNC_ALL also power loss. Each room brings its
 * own tables as a list of steps; schema versions are kept per room.
 *
 * Threads: share a database freely; a query belongs to the thread that made it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"

struct database;
struct query;
struct transaction;

int database_open(struct database **out_database, const char *path, struct error *err);
void database_close(struct database *database);
DEFINE_AUTO(struct database, database_close)

/*
 * Brings a room's tables up to date: runs the steps (each: SQL statements) it
 * has not run yet, in one transaction. Append steps, never change one. A
 * database written by a newer program is ERR_UNSUPPORTED.
 */
int database_migrate(struct database *database, const char *room, const char *const *steps, int count,
		     struct error *err);

/* How many rows were ever written through this connection. */
int64_t database_changes(struct database *database);
/* SQL without parameters and rows. */
int database_run(struct database *database, const char *sql, struct error *err);

/* ---- query: AUTO(query_freep) struct query *query = NULL; ---- */

/* Parameters are ?1, ?2, ... Prepared statements are cached by text. */
int query_new(struct query **out_query, struct database *database, const char *sql, struct error *err);
void query_free(struct query *query);
DEFINE_AUTO(struct query, query_free)

/* NULL text binds NULL. The text must stay until the query is reset or freed. */
void query_bind_text(struct query *query, int parameter, const char *text);
void query_bind_i64(struct query *query, int parameter, int64_t value);
/* 1 with a row, 0 at the end, negative with err. A broken UNIQUE constraint is ERR_CONFLICT. */
int query_next(struct query *query, struct error *err);
/* For statements without rows: runs it to the end; returns the number of rows changed. */
int query_run(struct query *query, struct error *err);
/* Ready to bind and run again. */
void query_reset(struct query *query);
/* Columns from 0. The text is borrowed until the next step; NULL for SQL NULL. */
const char *query_text(struct query *query, int column);
int64_t query_i64(struct query *query, int column);
/* A copy, yours, NULL for NULL. */
char *query_text_copy(struct query *query, int column);

/* ---- transaction: AUTO(transaction_freep) struct transaction *transaction = NULL; ---- */

/* Inside another of the same thread it is a part of that: undone alone, but on disk only when the outer one commits. */
int transaction_begin(struct transaction **out_transaction, struct database *database, enum file_sync sync,
		      struct error *err);
int transaction_commit(struct transaction *transaction, struct error *err);
/* Rolls back unless committed. */
void transaction_free(struct transaction *transaction);
DEFINE_AUTO(struct transaction, transaction_free)
