/* SPDX-License-Identifier: Apache-2.0 */
/*
 * repair.h - a database that cannot be read any more.
 *
 * store_open() refuses it and touches nothing. Beside meta.db lies meta.db.copy,
 * made at each open and every hour. store_repair() makes a new database of every
 * row that can still be read and, for tables that cannot be read to their end,
 * of the copy; volumes without a row get one; folders that nobody knows any
 * more are moved to lost/, for the next open would remove them. The old files
 * stay as meta.db.unreadable-<time>.
 */
#pragma once

#include "base/error.h"

struct database;

/* Refuses a database that is broken, or not there though its copy is. Before anything is removed. */
int repair_check_file(const char *root, struct error *err);
int repair_check(struct database *database, const char *root, struct error *err);
/* meta.db.copy, in one step. Through a connection of its own. */
int repair_copy(const char *root, struct error *err);

typedef void repair_report(void *context, const char *line);
/* While no engine has the data root (ERR_CONFLICT). */
int store_repair(const char *root, repair_report *report, void *context, struct error *err);
