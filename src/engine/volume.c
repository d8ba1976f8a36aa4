/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/random.h"
#include "engine/engine_private.h"
#include "engine/volume.h"
#include "engine/volume_mount.h"

#define FOLDER_DEPTH_MAX 128
#define ANONYMOUS_LABEL "com.docker.volume.anonymous"
#define REMOVED ".removed" /* no volume's name begins with a dot */

static const struct json_field volume_usage_fields[] = {
	JSON_I64("RefCount", struct volume_usage, reference_count, 0),
	JSON_I64("Size", struct volume_usage, size_bytes, 0),
	JSON_END,
};

const struct json_field volume_fields[] = {
	JSON_TEXT("CreatedAt", struct volume, created_at, 0),
	JSON_TEXT("Driver", struct volume, driver, 0),
	JSON_TEXT_MAP("Labels", struct volume, labels, JSON_EMPTY_NULL),
	JSON_TEXT("Mountpoint", struct volume, mountpoint, 0),
	JSON_TEXT("Name", struct volume, name, 0),
	JSON_TEXT_MAP("Options", struct volume, options, JSON_EMPTY_NULL),
	JSON_TEXT("Scope", struct volume, scope, 0),
	JSON_POINTER("UsageData", struct volume, usage, volume_usage_fields, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field volume_list_fields[] = {
	JSON_ARRAY("Volumes", struct volume_list, volumes, volume_fields, 0),
	JSON_TEXT_LIST("Warnings", struct volume_list, warnings, JSON_EMPTY_NULL),
	JSON_END,
};

const struct json_field volume_create_request_fields[] = {
	JSON_TEXT("Name", struct volume_create_request, name, 0),
	JSON_TEXT("Driver", struct volume_create_request, driver, 0),
	JSON_TEXT_MAP("DriverOpts", struct volume_create_request, driver_options, 0),
	JSON_TEXT_MAP("Labels", struct volume_create_request, labels, 0),
	JSON_END,
};

const struct json_field volume_prune_report_fields[] = {
	JSON_TEXT_LIST("VolumesDeleted", struct volume_prune_report, deleted, JSON_EMPTY_NULL),
	JSON_I64("SpaceReclaimed", struct volume_prune_report, space_reclaimed, 0),
	JSON_END,
};

const char *const volume_filter_keys[] = { "dangling", "driver", "label", "name", NULL };
const char *const volume_prune_filter_keys[] = { "label", "label!", "all", NULL };

/* Labels and options are stored as JSON objects: this struct is their frame. */
struct labels_document {
	struct text_map labels;
};

static const struct json_field labels_document_fields[] = {
	JSON_TEXT_MAP("labels", struct labels_document, labels, 0),
	JSON_END,
};

static int check_name(const char *name, struct error *err)
{
	bool legal = isalnum((unsigned char)name[0]) && name[1] != '\0';

	for (const char *c = name; legal && *c; c++)
		legal = isalnum((unsigned char)*c) || strchr("_.-", *c);
	if (legal && strlen(name) <= 255)
		return 0;
	return error_set(err, ERR_INVALID,
			 "create %s: \"%s\" includes invalid characters for a local volume name, only "
			 "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use "
			 "absolute path",
			 name, name);
}

static void fill_map(struct text_map *out_map, const char *json)
{
	AUTO(error_clear) struct error err = { 0 };
	struct labels_document document = { 0 };

	if (json_decode(&document, labels_document_fields, text_or_empty(json), strlen(text_or_empty(json)), &err) == 0)
		*out_map = document.labels;
}

static void fill(struct volume *volume, struct engine *engine, const char *name, int64_t created_s, const char *labels,
		 const char *options)
{
	char time[CLOCK_TEXT_MAX];

	volume->name = xstrdup(name);
	volume->driver = xstrdup("local");
	volume->scope = xstrdup("local");
	volume->created_at = xstrdup(clock_format(time, created_s * CLOCK_SECOND));
	volume->mountpoint = xasprintf("%s/volumes/%s/_data", engine->data_root, name);
	fill_map(&volume->labels, labels);
	fill_map(&volume->options, options);
}

/* 1 with the volume, 0 if there is none. */
static int find(struct volume *out_volume, struct engine *engine, const char *name, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, store_database(engine->store),
		      "SELECT created, labels, options FROM volumes WHERE name = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, name);
	r = query_next(query, err);
	if (r > 0 && out_volume)
		fill(out_volume, engine, name, query_i64(query, 0), query_text(query, 1), query_text(query, 2));
	return r;
}

static void publish(struct engine *engine, const char *action, const char *name)
{
	struct text_map attributes = { 0 };

	text_map_set(&attributes, "driver", "local");
	event_publish(engine->events, "volume", action, name, &attributes);
	text_map_fini(&attributes);
}

void volume_mount_event(struct engine *engine, const struct container_mount *mount, const char *container_id,
			bool mounted)
{
	struct text_map attributes = { 0 };

	text_map_set(&attributes, "container", container_id);
	if (mounted)
		text_map_set(&attributes, "destination", mount->destination);
	text_map_set(&attributes, "driver", "local");
	if (mounted) {
		text_map_set(&attributes, "propagation", text_or_empty(mount->propagation));
		text_map_set(&attributes, "read/write", mount->rw ? "true" : "false");
	}
	event_publish(engine->events, "volume", mounted ? "mount" : "unmount", mount->name, &attributes);
	text_map_fini(&attributes);
}

static int insert(struct engine *engine, const char *name, const struct text_map *labels,
		  const struct text_map *options, struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	AUTO(query_freep) struct query *query = NULL;
	const struct labels_document document = { *labels };
	const struct labels_document chosen = { *options };
	AUTO_FREE char *text = json_encode(&document, labels_document_fields);
	AUTO_FREE char *options_text = json_encode(&chosen, labels_document_fields);

	/* A volume's name must survive power loss: its files do. */
	if (transaction_begin(&transaction, store_database(engine->store), FILE_SYNC_ALL, err) < 0 ||
	    query_new(&query, store_database(engine->store),
		      "INSERT OR IGNORE INTO volumes (name, created, labels, options) VALUES (?1, ?2, ?3, ?4)",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, name);
	query_bind_i64(query, 2, clock_wall_ns() / CLOCK_SECOND);
	query_bind_text(query, 3, text);
	query_bind_text(query, 4, options_text);
	if (query_run(query, err) < 0)
		return -1;
	query_reset(query);
	return transaction_commit(transaction, err);
}

static int make_folder(struct engine *engine, const char *name, struct error *err)
{
	AUTO_FREE char *all = path_join(engine->data_root, "volumes");
	AUTO_FREE char *parent = path_join(all, name);
	AUTO_FREE char *path = path_join(parent, "_data");
	int r = mkdir_all(AT_FDCWD, parent, 0701);

	if (r == 0 && mkdir(path, 0755) < 0 && errno != EEXIST)
		r = -errno;
	/* A row must not outlive its folder when the power goes. */
	if (r == 0)
		r = dir_sync(AT_FDCWD, parent);
	if (r == 0)
		r = dir_sync(AT_FDCWD, all);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "create volume %s: %s", name, path) : 0;
}

static int create_locked(struct volume *out_volume, struct engine *engine, const struct volume_create_request *request,
			 struct error *err)
{
	AUTO(text_map_fini) struct text_map labels = { 0 };
	char made_up[65];
	const char *name = request->name;
	int r;

	mutex_assert_held(&engine->volumes);
	if (!text_empty(request->driver) && !text_equal(request->driver, "local"))
		return error_set(err, ERR_NOT_FOUND,
				 "create %s: error looking up volume plugin %s: plugin \"%s\" not found",
				 text_or_empty(name), request->driver, request->driver);
	if (volume_options_check(&request->driver_options, err) < 0)
		return error_prefix(err, "create %s", text_or_empty(name));
	text_map_copy(&labels, &request->labels);
	if (text_empty(name)) {
		random_hex(made_up, 32);
		name = made_up;
		text_map_set(&labels, ANONYMOUS_LABEL, "");
	}
	if (check_name(name, err) < 0)
		return -1;
	r = find(out_volume, engine, name, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (make_folder(engine, name, err) < 0 || insert(engine, name, &labels, &request->driver_options, err) < 0)
		return -1;
	publish(engine, "create", name);
	return find(out_volume, engine, name, err) < 0 ? -1 : 0;
}

int volume_create(struct volume *out_volume, struct engine *engine, const struct volume_create_request *request,
		  struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->volumes);

	return create_locked(out_volume, engine, request, err);
}

int volume_create_for(struct volume *out_volume, struct container *container,
		      const struct volume_create_request *request, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->engine->volumes);

	if (create_locked(out_volume, container->engine, request, err) < 0)
		return -1;
	text_list_add(&container->held_volumes, out_volume->name);
	return 0;
}

void volume_hold(struct container *container, const char *name)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->engine->volumes);

	text_list_add(&container->held_volumes, name);
}

void volumes_let_go(struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->engine->volumes);

	text_list_fini(&container->held_volumes);
}

int volume_inspect(struct volume *out_volume, struct engine *engine, const char *name, struct error *err)
{
	int r = find(out_volume, engine, name, err);

	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "get %s: no such volume", name);
	return r < 0 ? -1 : 0;
}

/* Ids of the containers that use it. */
static void users_of(struct text_list *out_ids, struct engine *engine, const char *name)
{
	struct container **items;
	size_t count = container_all(&items, engine);

	for (size_t i = 0; i < count; i++) {
		AUTO_UNLOCK struct mutex *held = mutex_hold(&items[i]->mutex);
		const struct container_document *document = &items[i]->document;

		for (size_t j = 0; j < document->mounts.count; j++) {
			if (!text_equal(document->mounts.items[j].type, "volume") ||
			    !text_equal(document->mounts.items[j].name, name))
				continue;
			text_list_add(out_ids, items[i]->id);
			break;
		}
	}
	container_all_free(items, count);
}

static bool matches(struct engine *engine, const struct volume *volume, const struct filter_set *filters, bool dangling)
{
	AUTO(text_list_fini) struct text_list users = { 0 };

	if (!filters)
		return true;
	if (!filter_match_pattern(filters, "name", volume->name) || !filter_match_exact(filters, "driver", "local") ||
	    !filter_match_labels(filters, "label", &volume->labels))
		return false;
	if (!filter_has(filters, "dangling"))
		return true;
	users_of(&users, engine, volume->name);
	return (users.count == 0) == dangling;
}

int volume_list(struct volume_list *out_list, struct engine *engine, const struct filter_set *filters,
		struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct volume_list all = { 0 };
	bool dangling;
	int r;

	if (filter_bool(&dangling, filters, "dangling", false, err) < 0 ||
	    query_new(&query, store_database(engine->store),
		      "SELECT name, created, labels, options FROM volumes ORDER BY name", err) < 0)
		return -1;
	/* The database's lock ends before containers' begin. */
	while ((r = query_next(query, err)) > 0)
		fill(json_array_add(&all.volumes, sizeof(struct volume)), engine, query_text(query, 0),
		     query_i64(query, 1), query_text(query, 2), query_text(query, 3));
	query_free(take_ptr(query));
	for (size_t i = 0; r == 0 && i < all.volumes.count; i++) {
		struct volume *volume = &all.volumes.items[i];

		if (!matches(engine, volume, filters, dangling))
			continue;
		json_copy_fields(json_array_add(&out_list->volumes, sizeof(*volume)), volume, volume_fields);
	}
	json_free_fields(&all, volume_list_fields);
	return r;
}

static int delete_row(struct engine *engine, const char *name, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, store_database(engine->store), "DELETE FROM volumes WHERE name = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, name);
	return query_run(query, err) < 0 ? -1 : 0;
}

/* Of a container that is just being made: nobody else can see its mounts yet. */
static void holders_of_locked(struct text_list *out_ids, struct engine *engine, const char *name)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->index);
	const struct container *container;
	const char *id;
	size_t at = 0;

	mutex_assert_held(&engine->volumes);
	while ((container = map_next(&engine->by_id, &at, &id)))
		if (text_list_contains(&container->held_volumes, name) && !text_list_contains(out_ids, id))
			text_list_add(out_ids, id);
}

/* Aside in one step, so that nobody ever meets half of it; a start brings it back if its row is still there. */
static int move_aside(char **out_aside, const struct engine *engine, const char *name, struct error *err)
{
	AUTO_FREE char *folder = xasprintf("%s/volumes/" REMOVED, engine->data_root);
	AUTO_FREE char *path = xasprintf("%s/volumes/%s", engine->data_root, name);
	AUTO_FREE char *aside = path_join(folder, name);
	int r = mkdir_all(AT_FDCWD, folder, 0700);

	if (r == 0)
		r = remove_tree(AT_FDCWD, aside);
	if (r == 0 && rename(path, aside) < 0 && errno != ENOENT)
		r = -errno;
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "remove %s: %s", name, path);
	*out_aside = take_ptr(aside);
	return 0;
}

/* 1 if it is gone, 0 if there was none. but_id: a container whose use of it does not count, or NULL. */
static int take_away(char **out_aside, struct engine *engine, const char *name, const char *but_id, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->volumes);
	AUTO(text_list_fini) struct text_list users = { 0 };
	AUTO_FREE char *path = xasprintf("%s/volumes/%s", engine->data_root, name);
	AUTO_FREE char *aside = NULL;
	int r = find(NULL, engine, name, err);

	if (r <= 0)
		return r;
	users_of(&users, engine, name);
	holders_of_locked(&users, engine, name);
	for (size_t i = users.count; i > 0; i--)
		if (text_equal(users.items[i - 1], but_id))
			text_list_remove(&users, i - 1);
	if (users.count) {
		AUTO_FREE char *ids = text_list_join(&users, ", ");

		return error_set(err, ERR_CONFLICT, "remove %s: volume is in use - [%s]", name, ids);
	}
	if (move_aside(&aside, engine, name, err) < 0)
		return -1;
	if (delete_row(engine, name, err) < 0) {
		(void)rename(aside, path);
		return -1;
	}
	*out_aside = take_ptr(aside);
	return 1;
}

static int remove_volume(struct engine *engine, const char *name, bool force, const char *but_id, struct error *err)
{
	AUTO_FREE char *aside = NULL;
	int r = take_away(&aside, engine, name, but_id, err);

	if (r < 0)
		return -1;
	if (r == 0)
		return force ? 0 : error_set(err, ERR_NOT_FOUND, "get %s: no such volume", name);
	r = remove_tree(AT_FDCWD, aside);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "remove %s: %s", name, aside);
	publish(engine, "destroy", name);
	return 0;
}

int volume_remove(struct engine *engine, const char *name, bool force, struct error *err)
{
	return remove_volume(engine, name, force, NULL, err);
}

void volume_remove_with(struct container *container, const char *name, struct error *err)
{
	(void)remove_volume(container->engine, name, true, container->id, err);
}

static int recover_removed(struct engine *engine, int folder_fd, const char *name, struct error *err)
{
	AUTO_FREE char *path = xasprintf("%s/volumes/%s", engine->data_root, name);
	int r = find(NULL, engine, name, err);

	if (r < 0)
		return -1;
	if (r == 0)
		return remove_tree(folder_fd, name) < 0 ? error_set(err, ERR_INTERNAL, "remove %s", path) : 0;
	if (renameat(folder_fd, name, AT_FDCWD, path) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "bring back %s", path);
	return 0;
}

void volumes_recover(struct engine *engine)
{
	AUTO_FREE char *removed = xasprintf("%s/volumes/" REMOVED, engine->data_root);
	AUTO_CLOSEDIR DIR *folder = dir_open(AT_FDCWD, removed);
	const struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		AUTO(error_clear) struct error err = { 0 };

		if (!text_equal(entry->d_name, ".") && !text_equal(entry->d_name, "..") &&
		    recover_removed(engine, dirfd(folder), entry->d_name, &err) < 0)
			engine_log_error(engine, "a removal of a volume was cut short", entry->d_name, &err);
	}
}

/* Bytes on disk below a folder; what cannot be read counts nothing. */
static int64_t folder_bytes(int parent_fd, const char *name, unsigned depth)
{
	int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_CLOSEDIR DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int64_t bytes = 0;

	while (folder && depth < FOLDER_DEPTH_MAX && (entry = readdir(folder))) {
		struct stat status;

		if (text_equal(entry->d_name, ".") || text_equal(entry->d_name, "..") ||
		    fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		bytes += S_ISDIR(status.st_mode) ? folder_bytes(dirfd(folder), entry->d_name, depth + 1)
						 : status.st_size;
	}
	return bytes;
}

static bool is_pruned(const struct volume *volume, const struct filter_set *filters, bool all)
{
	if (!all && !text_map_get(&volume->labels, ANONYMOUS_LABEL))
		return false;
	if (!filters)
		return true;
	if (filter_has(filters, "label!") && filter_match_labels(filters, "label!", &volume->labels))
		return false;
	return filter_match_labels(filters, "label", &volume->labels);
}

int volume_prune(struct volume_prune_report *out_report, struct engine *engine, const struct filter_set *filters,
		 struct error *err)
{
	struct volume_list all = { 0 };
	bool named_too;

	if (filter_bool(&named_too, filters, "all", false, err) < 0 || volume_list(&all, engine, NULL, err) < 0)
		return -1;
	for (size_t i = 0; i < all.volumes.count; i++) {
		AUTO(error_clear) struct error problem = { 0 };
		struct volume *volume = &all.volumes.items[i];

		int64_t bytes;

		if (!is_pruned(volume, filters, named_too))
			continue;
		bytes = folder_bytes(AT_FDCWD, volume->mountpoint, 0);
		/* One in use, or gone meanwhile, is simply not pruned. */
		if (volume_remove(engine, volume->name, false, &problem) < 0)
			continue;
		text_list_add(&out_report->deleted, volume->name);
		out_report->space_reclaimed += bytes;
	}
	json_free_fields(&all, volume_list_fields);
	return 0;
}
