/* SPDX-License-Identifier: Apache-2.0 */
#include "store/repair.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "store/blob.h"
#include "store/database.h"

#define ADVICE "nothing was changed; `kist system recover` makes a new one of what can be read"

struct repair {
	char *root;
	char *path;
	char *copy;
	char *fresh;
	sqlite3 *old; /* NULL: nothing of it can be read */
	sqlite3 *new;
	repair_report *report;
	void *context;
};

static void tell(const struct repair *repair, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(const struct repair *repair, const char *format, ...)
{
	AUTO_FREE char *line = NULL;
	va_list args;

	va_start(args, format);
	line = xvasprintf(format, args);
	va_end(args);
	repair->report(repair->context, line);
}

/* ---- before the store is opened ---- */

int repair_check_file(const char *root, struct error *err)
{
	AUTO_FREE char *path = path_join(root, "meta.db");
	AUTO_FREE char *copy = path_join(root, "meta.db.copy");
	struct stat status;
	bool there = stat(path, &status) == 0 && status.st_size > 0;

	if (there || !file_exists(AT_FDCWD, copy))
		return 0;
	return error_set(err, ERR_INTERNAL, "%s is not there, but its copy is: " ADVICE, path);
}

int repair_check(struct database *database, const char *root, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	const char *found;

	if (query_new(&query, database, "PRAGMA quick_check(1)", err) < 0 || query_next(query, err) < 0)
		return error_prefix(err, "%s/meta.db is unreadable (" ADVICE ")", root);
	found = query_text(query, 0);
	if (text_equal(found, "ok"))
		return 0;
	return error_set(err, ERR_INTERNAL, "%s/meta.db is unreadable (" ADVICE "): %s", root, text_or_empty(found));
}

/* ---- copy ---- */

static int fail(sqlite3 *database, const char *what, struct error *err)
{
	return error_set(err, ERR_INTERNAL, "%s: %s", what, sqlite3_errmsg(database));
}

static int run(sqlite3 *database, const char *sql, struct error *err)
{
	return sqlite3_exec(database, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(database, sql, err);
}

static int open_file(sqlite3 **out_database, const char *path, int flags, struct error *err)
{
	sqlite3 *database = NULL;

	if (sqlite3_open_v2(path, &database, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		fail(database, path, err);
		sqlite3_close(database);
		return -1;
	}
	sqlite3_busy_timeout(database, 5000);
	*out_database = database;
	return 0;
}

static int sync_file(const char *path, struct error *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || fdatasync(fd) < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "sync %s", path) : 0;
}

int repair_copy(const char *root, struct error *err)
{
	AUTO_FREE char *path = path_join(root, "meta.db");
	AUTO_FREE char *copy = path_join(root, "meta.db.copy");
	AUTO_FREE char *fresh = path_join(root, "meta.db.copy.new");
	sqlite3_stmt *vacuum = NULL;
	sqlite3 *database;
	int r = -1;

	unlink(fresh);
	if (open_file(&database, path, SQLITE_OPEN_READWRITE, err) < 0)
		return -1;
	if (sqlite3_prepare_v2(database, "VACUUM INTO ?1", -1, &vacuum, NULL) == SQLITE_OK &&
	    sqlite3_bind_text(vacuum, 1, fresh, -1, SQLITE_STATIC) == SQLITE_OK && sqlite3_step(vacuum) == SQLITE_DONE)
		r = 0;
	else
		fail(database, "copy the database", err);
	sqlite3_finalize(vacuum);
	sqlite3_close(database);
	/* The copy before is a good one: it makes room only for what a power loss does not take. */
	if (r == 0)
		r = sync_file(fresh, err);
	if (r == 0 && rename(fresh, copy) < 0)
		r = error_set_errno(err, ERR_INTERNAL, errno, "name %s", copy);
	if (r < 0)
		unlink(fresh);
	return r;
}

/* ---- rows ---- */

static bool is_sound(const char *path)
{
	AUTO(error_clear) struct error ignored = { 0 };
	sqlite3 *database;
	sqlite3_stmt *statement = NULL;
	bool sound;

	if (!file_exists(AT_FDCWD, path) || open_file(&database, path, SQLITE_OPEN_READWRITE, &ignored) < 0)
		return false;
	sound = sqlite3_prepare_v2(database, "PRAGMA quick_check(1)", -1, &statement, NULL) == SQLITE_OK &&
		sqlite3_step(statement) == SQLITE_ROW &&
		text_equal((const char *)sqlite3_column_text(statement, 0), "ok");
	sqlite3_finalize(statement);
	sqlite3_close(database);
	return sound;
}

/* Column `column` of all rows. */
static void read_texts(struct text_list *out, sqlite3 *database, const char *sql)
{
	sqlite3_stmt *statement = NULL;

	if (database && sqlite3_prepare_v2(database, sql, -1, &statement, NULL) == SQLITE_OK)
		while (sqlite3_step(statement) == SQLITE_ROW)
			text_list_add(out, text_or_empty((const char *)sqlite3_column_text(statement, 0)));
	sqlite3_finalize(statement);
}

/* Without a copy: the tables as the old database describes them. */
static void make_tables(const struct repair *repair)
{
	AUTO(text_list_fini) struct text_list statements = { 0 };

	read_texts(&statements, repair->old,
		   "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' "
		   "ORDER BY type DESC");
	for (size_t i = 0; i < statements.count; i++)
		sqlite3_exec(repair->new, statements.items[i], NULL, NULL, NULL);
}

static sqlite3_stmt *prepare_insert(const struct repair *repair, const char *table, int columns)
{
	AUTO(text_fini) struct text sql = { 0 };
	sqlite3_stmt *insert = NULL;

	text_addf(&sql, "INSERT OR REPLACE INTO \"%s\" VALUES (?", table);
	for (int i = 1; i < columns; i++)
		text_add(&sql, ", ?");
	text_add(&sql, ")");
	sqlite3_prepare_v2(repair->new, sql.data, -1, &insert, NULL);
	return insert;
}

/* How many rows were taken over; *out_whole: to the end. */
static size_t take_rows(const struct repair *repair, const char *table, const char *order, bool *out_whole)
{
	AUTO_FREE char *sql = xasprintf("SELECT * FROM \"%s\"%s", table, order);
	sqlite3_stmt *select = NULL;
	sqlite3_stmt *insert = NULL;
	size_t count = 0;
	int r = SQLITE_ERROR;

	*out_whole = false;
	if (!repair->old || sqlite3_prepare_v2(repair->old, sql, -1, &select, NULL) != SQLITE_OK)
		return 0;
	insert = prepare_insert(repair, table, sqlite3_column_count(select));
	while (insert && (r = sqlite3_step(select)) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(select); i++)
			sqlite3_bind_value(insert, i + 1, sqlite3_column_value(select, i));
		count += sqlite3_step(insert) == SQLITE_DONE;
		sqlite3_reset(insert);
	}
	*out_whole = r == SQLITE_DONE;
	sqlite3_finalize(select);
	sqlite3_finalize(insert);
	return count;
}

/* A table that is read to its end is taken as it is: what is missing there was removed. */
static int take_table(const struct repair *repair, const char *table, struct error *err)
{
	AUTO_FREE char *empty = xasprintf("DELETE FROM \"%s\"", table);
	bool whole;
	bool ignored;
	size_t count;

	if (run(repair->new, "SAVEPOINT taking", err) < 0 || run(repair->new, empty, err) < 0)
		return -1;
	count = take_rows(repair, table, "", &whole);
	if (!whole) {
		if (run(repair->new, "ROLLBACK TO taking", err) < 0)
			return -1;
		/* From both ends, up to where it is broken; the copy's rows stay below. */
		count = take_rows(repair, table, "", &ignored);
		count += take_rows(repair, table, " ORDER BY 1 DESC", &ignored);
	}
	tell(repair, "table %s: %zu rows%s", table, count, whole ? "" : " could be read, the rest is as in the copy");
	return run(repair->new, "RELEASE taking", err);
}

static int take_tables(const struct repair *repair, struct error *err)
{
	AUTO(text_list_fini) struct text_list tables = { 0 };

	if (run(repair->new, "PRAGMA foreign_keys=OFF", err) < 0)
		return -1;
	read_texts(&tables, repair->new,
		   "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name");
	for (size_t i = 0; i < tables.count; i++)
		if (take_table(repair, tables.items[i], err) < 0)
			return -1;
	return 0;
}

/* ---- what is on disk ---- */

/* Folders below root/parent, one level. */
static void list_folders(struct text_list *out, const char *root, const char *parent)
{
	AUTO_FREE char *path = path_join(root, parent);
	AUTO_CLOSEDIR DIR *folder = opendir(path);
	const struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			text_list_add(out, entry->d_name);
}

static void find_volumes(const struct repair *repair)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	sqlite3_stmt *insert = NULL;

	list_folders(&names, repair->root, "volumes");
	sqlite3_prepare_v2(repair->new,
			   "INSERT OR IGNORE INTO volumes (name, created, labels, options) VALUES (?1, ?2, "
			   "'{\"labels\":{}}', '{\"labels\":{}}')",
			   -1, &insert, NULL);
	for (size_t i = 0; insert && i < names.count; i++) {
		sqlite3_bind_text(insert, 1, names.items[i], -1, SQLITE_TRANSIENT);
		sqlite3_bind_int64(insert, 2, clock_wall_ns() / CLOCK_SECOND);
		sqlite3_step(insert);
		sqlite3_reset(insert);
		if (sqlite3_changes(repair->new) > 0)
			tell(repair, "volume %s: found on disk", names.items[i]);
	}
	sqlite3_finalize(insert);
}

static void keep_strangers(const struct repair *repair, const char *parent, const char *sql)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO(text_list_fini) struct text_list known = { 0 };
	AUTO_FREE char *lost = path_join(repair->root, "lost");

	list_folders(&names, repair->root, parent);
	read_texts(&known, repair->new, sql);
	for (size_t i = 0; i < names.count; i++) {
		AUTO_FREE char *from = xasprintf("%s/%s/%s", repair->root, parent, names.items[i]);
		AUTO_FREE char *to = xasprintf("%s/%s-%s", lost, parent, names.items[i]);

		if (text_list_contains(&known, names.items[i]))
			continue;
		mkdir(lost, 0700);
		if (rename(from, to) == 0)
			tell(repair, "%s/%s: nobody knows it any more; it is in lost/ now", parent, names.items[i]);
	}
}

/* ---- all of it ---- */

static int copy_bytes(const char *from, const char *to, struct error *err)
{
	AUTO_CLOSE int in = open(from, O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char data[65536];
	ssize_t got = -1;
	int r = in < 0 || out < 0 ? -errno : 0;

	while (r == 0 && (got = read_full(in, data, sizeof(data))) > 0)
		r = write_full(out, data, (size_t)got);
	if (r == 0 && got < 0)
		r = (int)got;
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "copy %s to %s", from, to) : 0;
}

static int open_both(struct repair *repair, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	bool copy = is_sound(repair->copy);
	struct stat status;

	unlink(repair->fresh);
	if (copy && copy_bytes(repair->copy, repair->fresh, err) < 0)
		return -1;
	if (copy && stat(repair->copy, &status) == 0) {
		char time[CLOCK_TEXT_MAX];

		tell(repair, "there is a copy of %s", clock_format(time, status.st_mtim.tv_sec * CLOCK_SECOND));
	}
	if (open_file(&repair->new, repair->fresh, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err) < 0)
		return -1;
	if (!file_exists(AT_FDCWD, repair->path) ||
	    open_file(&repair->old, repair->path, SQLITE_OPEN_READWRITE, &ignored) < 0)
		repair->old = NULL;
	if (!copy)
		make_tables(repair);
	return 0;
}

static void close_both(struct repair *repair)
{
	sqlite3_close(take_ptr(repair->old));
	sqlite3_close(take_ptr(repair->new));
}

/* The old files, which a wiser program may read more of, aside. */
static int swap(const struct repair *repair, struct error *err)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	int64_t now = clock_wall_ns() / CLOCK_SECOND;

	for (size_t i = 0; i < 3; i++) {
		AUTO_FREE char *from = xasprintf("%s%s", repair->path, suffixes[i]);
		AUTO_FREE char *to = xasprintf("%s.unreadable-%lld%s", repair->path, (long long)now, suffixes[i]);

		if (rename(from, to) < 0 && errno != ENOENT)
			return error_set_errno(err, ERR_INTERNAL, errno, "rename %s", from);
	}
	if (rename(repair->fresh, repair->path) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "name %s", repair->path);
	dir_sync(AT_FDCWD, repair->path);
	return 0;
}

static int rebuild(struct repair *repair, struct error *err)
{
	if (open_both(repair, err) < 0 || take_tables(repair, err) < 0)
		return -1;
	find_volumes(repair);
	keep_strangers(repair, "snapshots", "SELECT directory FROM layer UNION ALL SELECT directory FROM snapshot");
	keep_strangers(repair, "containers", "SELECT id FROM containers");
	close_both(repair);
	return swap(repair, err);
}

int store_repair(const char *root, repair_report *report, void *context, struct error *err)
{
	AUTO_FREE char *absolute = path_absolute(root);
	AUTO_FREE char *path = path_join(absolute, "meta.db");
	AUTO_FREE char *copy = path_join(absolute, "meta.db.copy");
	AUTO_FREE char *fresh = path_join(absolute, "meta.db.new");
	struct repair repair = {
		.root = absolute, .path = path, .copy = copy, .fresh = fresh, .report = report, .context = context
	};
	/* Its lock keeps an engine out. */
	struct blob_store *blobs = NULL;
	int r = 0;

	if (blob_store_open(&blobs, absolute, err) < 0)
		return -1;
	if (is_sound(path))
		tell(&repair, "%s is sound: there is nothing to do", path);
	else
		r = rebuild(&repair, err);
	close_both(&repair);
	blob_store_close(blobs);
	return r;
}
