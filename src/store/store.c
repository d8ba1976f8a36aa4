/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/list.h"
#include "base/map.h"
#include "base/path.h"
#include "base/random.h"
#include "base/thread.h"
#include "store/disk.h"
#include "store/erofs_layer.h"
#include "store/ingest.h"
#include "store/repair.h"
#include "store/snapshot.h"
#include "store/store_internal.h"

#define TIDY_INTERVAL_NS (30 * CLOCK_SECOND)
#define COPY_INTERVAL_NS (3600 * CLOCK_SECOND)
#define INGEST_MAX_AGE_S (7 * 24 * 3600)

struct store {
	char *root;
	struct blob_store *blobs;
	struct database *database;
	enum store_driver driver;
	struct erofs_layers *erofs;
	_Atomic int64_t last_directory;

	struct mutex lease_mutex;
	struct list leases;
	int collections;

	struct mutex trash_mutex;
	struct condition trash_filled;
	bool trash_pending;
	bool closing;
	pthread_t copy_thread; /* see repair.h */
	struct mutex copy_mutex;
	struct condition copy_changed;
	bool copy_running;
	bool copy_ends;
	bool trash_running;
	pthread_t trash_thread;
};

struct lease {
	struct store *store; /* borrowed */
	struct list_node node;
	bool ended;	    /* but kept: a collection runs */
	struct map digests; /* text -> itself */
};

static const char *const schema[] = {
	"CREATE TABLE layer(chain_id TEXT PRIMARY KEY, parent TEXT NOT NULL, diff_id TEXT NOT NULL, blob TEXT NOT NULL,"
	" directory INTEGER NOT NULL, size INTEGER NOT NULL);"
	"CREATE INDEX layer_parent ON layer(parent);"
	"CREATE TABLE snapshot(key TEXT PRIMARY KEY, chain_id TEXT NOT NULL, directory INTEGER NOT NULL);"
	"CREATE INDEX snapshot_chain ON snapshot(chain_id);"
	"CREATE TABLE image(id TEXT PRIMARY KEY, manifest TEXT NOT NULL, chain_id TEXT NOT NULL, size INTEGER NOT NULL,"
	" created_ns INTEGER NOT NULL, tagged_ns INTEGER NOT NULL, parent TEXT NOT NULL);"
	"CREATE TABLE image_name(name TEXT PRIMARY KEY, repository TEXT NOT NULL, is_digest INTEGER NOT NULL,"
	" image TEXT NOT NULL);"
	"CREATE INDEX image_name_image ON image_name(image);",
	"CREATE TABLE build_cache(key TEXT PRIMARY KEY, chain_id TEXT NOT NULL, diff_id TEXT NOT NULL,"
	" size INTEGER NOT NULL, created_ns INTEGER NOT NULL, text TEXT, description TEXT NOT NULL,"
	" used_ns INTEGER NOT NULL, use_count INTEGER NOT NULL);"
	"CREATE INDEX build_cache_chain ON build_cache(chain_id);",
	"CREATE TABLE snapshotter(driver TEXT NOT NULL);",
};

/* ---- shared by the files of store/ ---- */

int64_t store_next_directory(struct store *store)
{
	return atomic_fetch_add(&store->last_directory, 1) + 1;
}

const char *store_directory(char out[DIRECTORY_PATH_MAX], int64_t number, bool is_new, const char *suffix)
{
	snprintf(out, DIRECTORY_PATH_MAX, "snapshots/%s%lld%s", is_new ? "new-" : "", (long long)number, suffix);
	return out;
}

int store_root_fd(const struct store *store)
{
	return blob_store_root(store->blobs);
}

struct blob_store *store_blobs(struct store *store)
{
	return store->blobs;
}

struct database *store_database(struct store *store)
{
	return store->database;
}

enum store_driver store_driver(const struct store *store)
{
	return store->driver;
}

struct erofs_layers *store_erofs_layers(struct store *store)
{
	return store->erofs;
}

const char *store_root(const struct store *store)
{
	return store->root;
}

void query_bind_digest(struct query *query, int parameter, const struct digest *digest, struct digest_param *memory)
{
	query_bind_text(query, parameter, digest_text(digest, memory->text));
}

void query_digest(struct query *query, int column, struct digest *out_digest)
{
	AUTO(error_clear) struct error ignored = { 0 };
	const char *text = query_text(query, column);

	*out_digest = (struct digest){ 0 };
	if (text && *text)
		digest_parse(out_digest, text, &ignored);
}

int store_free_bytes(uint64_t *out_bytes, struct store *store, struct error *err)
{
	struct statvfs st;

	if (fstatvfs(store_root_fd(store), &st) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "statvfs %s", store->root);
	*out_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

/* ---- trash ---- */

static void empty_trash(struct store *store)
{
	AUTO_CLOSEDIR DIR *dir = disk_open_dir(store_root_fd(store), "trash");
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (!text_equal(entry->d_name, ".") && !text_equal(entry->d_name, ".."))
			remove_tree(dirfd(dir), entry->d_name);
}

static void *trash_main(void *arg)
{
	struct store *store = arg;
	int64_t deadline;
	bool later;

	mutex_lock(&store->trash_mutex);
	while (!store->closing) {
		store->trash_pending = false;
		mutex_unlock(&store->trash_mutex);
		empty_trash(store);
		later = erofs_layers_tidy(store);
		mutex_lock(&store->trash_mutex);
		deadline = clock_monotonic_ns() + TIDY_INTERVAL_NS;
		while (!store->trash_pending && !store->closing)
			if (!later)
				condition_wait(&store->trash_filled, &store->trash_mutex);
			else if (!condition_wait_until(&store->trash_filled, &store->trash_mutex, deadline))
				break;
	}
	mutex_unlock(&store->trash_mutex);
	return NULL;
}

static void wake_trash(struct store *store, bool closing)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&store->trash_mutex);

	(void)held;
	store->trash_pending = true;
	store->closing = closing;
	condition_broadcast(&store->trash_filled);
}

int store_discard(struct store *store, const char *path, struct error *err)
{
	char to[DIRECTORY_PATH_MAX];
	char name[17];

	random_hex(name, 8);
	snprintf(to, sizeof(to), "trash/%s", name);
	if (renameat(store_root_fd(store), path, store_root_fd(store), to) < 0)
		return errno == ENOENT ? 0 : disk_fail(err, errno, "move %s to the trash", path);
	wake_trash(store, false);
	return 0;
}

/* ---- leases ---- */

struct lease *lease_new(struct store *store)
{
	struct lease *lease = xcalloc(1, sizeof(*lease));
	AUTO_UNLOCK struct mutex *held = mutex_hold(&store->lease_mutex);

	(void)held;
	lease->store = store;
	map_init(&lease->digests, NULL);
	list_add_last(&store->leases, &lease->node);
	return lease;
}

void lease_add(struct lease *lease, const struct digest *blob_or_chain_id)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&lease->store->lease_mutex);
	char text[DIGEST_TEXT_MAX];

	(void)held;
	map_set(&lease->digests, digest_text(blob_or_chain_id, text), lease);
}

static void lease_end_locked(struct lease *lease)
{
	mutex_assert_held(&lease->store->lease_mutex);
	list_remove(&lease->node);
	map_fini(&lease->digests);
	free(lease);
}

void lease_free(struct lease *lease)
{
	AUTO_UNLOCK struct mutex *held = NULL;
	struct store *store;

	if (!lease)
		return;
	store = lease->store;
	held = mutex_hold(&store->lease_mutex);
	lease->ended = true;
	if (store->collections == 0)
		lease_end_locked(lease);
}

void store_collecting(struct store *store, bool running)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&store->lease_mutex);

	(void)held;
	store->collections += running ? 1 : -1;
	if (store->collections > 0)
		return;
	LIST_FOR_EACH (node, &store->leases) {
		struct lease *lease = list_entry(node, struct lease, node);

		if (lease->ended)
			lease_end_locked(lease);
	}
}

void store_lease_lock(struct store *store)
{
	mutex_lock(&store->lease_mutex);
}

void store_lease_unlock(struct store *store)
{
	mutex_unlock(&store->lease_mutex);
}

bool store_is_leased_locked(struct store *store, const struct digest *digest)
{
	char text[DIGEST_TEXT_MAX];

	mutex_assert_held(&store->lease_mutex);
	digest_text(digest, text);
	LIST_FOR_EACH (node, &store->leases) {
		if (map_get(&list_entry(node, struct lease, node)->digests, text))
			return true;
	}
	return false;
}

/* ---- recovery ---- */

/* Numbers that layers and snapshots have, ascending. */
struct known_directories {
	int64_t *items;
	size_t count;
};

static int load_known(struct known_directories *known, struct store *store, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	size_t capacity = 0;
	int r;

	if (query_new(&query, store->database,
		      "SELECT directory FROM layer UNION ALL SELECT directory FROM snapshot ORDER BY 1", err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0) {
		if (known->count == capacity) {
			capacity = capacity ? capacity * 2 : 64;
			known->items = xrealloc(known->items, capacity * sizeof(*known->items));
		}
		known->items[known->count++] = query_i64(query, 0);
	}
	return r;
}

static int compare_numbers(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a;
	int64_t right = *(const int64_t *)b;

	return (left > right) - (left < right);
}

static bool is_known(const struct known_directories *known, int64_t number)
{
	return bsearch(&number, known->items, known->count, sizeof(number), compare_numbers) != NULL;
}

static int recover_directory(struct store *store, const struct known_directories *known, const char *name,
			     struct error *err)
{
	AUTO_FREE char *path = NULL;
	int64_t number = 0;

	if (text_parse_i64(&number, name, 1, INT64_MAX) == 0) {
		if (number > store->last_directory)
			store->last_directory = number;
		if (is_known(known, number))
			return 0;
	}
	path = xasprintf("snapshots/%s", name);
	return store_discard(store, path, err);
}

/* Directories without a row: an unpack that was not finished, or a removal that was. */
static int recover_directories(struct store *store, struct error *err)
{
	AUTO_CLOSEDIR DIR *dir = disk_open_dir(store_root_fd(store), "snapshots");
	struct known_directories known = { 0 };
	struct dirent *entry;
	int r;

	if (!dir)
		return disk_fail(err, errno, "open snapshots");
	r = load_known(&known, store, err);
	while (r == 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			r = recover_directory(store, &known, entry->d_name, err);
	free(known.items);
	return r;
}

/* 1 if it is there. */
static int directory_exists(struct store *store, int64_t number, struct error *err)
{
	char path[DIRECTORY_PATH_MAX];

	if (faccessat(store_root_fd(store), store_directory(path, number, false, ""), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return errno == ENOENT ? 0 : disk_fail(err, errno, "look for %s", path);
}

/* A container's snapshot whose removal was done on disk, but not yet in a synced row when the power went. */
static int recover_snapshots(struct store *store, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	AUTO(text_list_fini) struct text_list gone = { 0 };
	int r;

	if (query_new(&query, store->database, "SELECT key, directory FROM snapshot", err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0) {
		int there = directory_exists(store, query_i64(query, 1), err);

		if (there < 0)
			return -1;
		if (!there)
			text_list_add(&gone, query_text(query, 0));
	}
	for (size_t i = 0; r == 0 && i < gone.count; i++)
		r = snapshot_remove(store, gone.items[i], err);
	return r;
}

static int load_last_directory(struct store *store, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(
		    &query, store->database,
		    "SELECT max(directory) FROM (SELECT directory FROM layer UNION ALL SELECT directory FROM snapshot)",
		    err) < 0 ||
	    query_next(query, err) < 0)
		return -1;
	store->last_directory = query_i64(query, 0);
	return 0;
}

static int recover(struct store *store, struct error *err)
{
	uint64_t expired;

	/* Before folders are thrown away: what is mounted in them is not theirs. */
	if (erofs_layers_recover(store, err) < 0 || load_last_directory(store, err) < 0 ||
	    recover_directories(store, err) < 0 || recover_snapshots(store, err) < 0 ||
	    store_demote_unused(store, err) < 0)
		return -1;
	return ingest_expire(&expired, store->blobs, INGEST_MAX_AGE_S, err);
}

static int prepare(struct store *store, const char *driver, struct error *err)
{
	AUTO_FREE char *path = path_join(store->root, "meta.db");
	int r = mkdir_all(store_root_fd(store), "snapshots", 0711);

	if (r == 0)
		r = mkdir_all(store_root_fd(store), "trash", 0700);
	if (r < 0)
		return disk_fail(err, r, "prepare %s", store->root);
	/*
	 * Each tree in a corner of its own: ext4 does not use the numbers of inodes deleted within the last minutes again,
	 * and every file made where a big tree was just removed has to look past all of them.
	 */
	disk_spread_children(store_root_fd(store), "snapshots");
	if (repair_check_file(store->root, err) < 0)
		return -1;
	if (database_open(&store->database, path, err) < 0)
		return err->kind == ERR_INTERNAL ? error_prefix(err, "unreadable (`kist system recover` helps)") : -1;
	if (repair_check(store->database, store->root, err) < 0)
		return -1;
	if (database_migrate(store->database, "store", schema, sizeof(schema) / sizeof(*schema), err) < 0)
		return -1;
	return store_driver_choose(&store->driver, store->database, store_root_fd(store), store->root, driver, err);
}

/* Copies of the database, for the day it cannot be read: now, and every hour in which something has changed. */
static void *copy_main(void *arg)
{
	struct store *store = arg;
	int64_t changes = -1;

	mutex_lock(&store->copy_mutex);
	while (!store->copy_ends) {
		int64_t deadline = clock_monotonic_ns() + COPY_INTERVAL_NS;
		int64_t now = database_changes(store->database);

		mutex_unlock(&store->copy_mutex);
		if (now != changes) {
			AUTO(error_clear) struct error ignored = { 0 };

			/* A full disk is no reason to stop; the next hour tries again. */
			if (repair_copy(store->root, &ignored) == 0)
				changes = now;
		}
		mutex_lock(&store->copy_mutex);
		while (!store->copy_ends && condition_wait_until(&store->copy_changed, &store->copy_mutex, deadline))
			;
	}
	mutex_unlock(&store->copy_mutex);
	return NULL;
}

int store_open(struct store **out_store, const char *root, const char *driver, struct error *err)
{
	AUTO(store_closep) struct store *store = xcalloc(1, sizeof(*store));

	mutex_init(&store->lease_mutex);
	mutex_init(&store->trash_mutex);
	mutex_init(&store->copy_mutex);
	condition_init(&store->copy_changed);
	condition_init(&store->trash_filled);
	list_init(&store->leases);
	store->erofs = erofs_layers_new(store);
	store->root = path_absolute(root);
	if (!store->root)
		return error_set_errno(err, ERR_INTERNAL, errno, "find the current directory");
	if (blob_store_open(&store->blobs, store->root, err) < 0 || prepare(store, driver, err) < 0 ||
	    recover(store, err) < 0 || (store->driver == STORE_EROFS && erofs_layers_check(store, err) < 0))
		return error_prefix(err, "open store");
	if (thread_start(&store->trash_thread, "trash", trash_main, store, err) < 0)
		return -1;
	store->trash_running = true;
	wake_trash(store, false);
	if (thread_start(&store->copy_thread, "copy", copy_main, store, err) < 0)
		return -1;
	store->copy_running = true;
	*out_store = take_ptr(store);
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	if (store->trash_running) {
		wake_trash(store, true);
		pthread_join(store->trash_thread, NULL);
	}
	if (store->copy_running) {
		mutex_lock(&store->copy_mutex);
		store->copy_ends = true;
		condition_broadcast(&store->copy_changed);
		mutex_unlock(&store->copy_mutex);
		pthread_join(store->copy_thread, NULL);
	}
	erofs_layers_free(store->erofs);
	condition_fini(&store->copy_changed);
	mutex_fini(&store->copy_mutex);
	database_close(store->database);
	blob_store_close(store->blobs);
	condition_fini(&store->trash_filled);
	mutex_fini(&store->trash_mutex);
	mutex_fini(&store->lease_mutex);
	free(store->root);
	free(store);
}
