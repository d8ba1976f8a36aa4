/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "base/random.h"
#include "engine/engine_private.h"
#include "engine/volume.h"
#include "engine/volume_driver.h"
#include "engine/volume_making.h"
#include "engine/volume_mount.h"
#include "engine/volume_plugin.h"
#include "engine/volume_row.h"

#define FOLDER_DEPTH_MAX 128
#define ANONYMOUS_LABEL "com.docker.volume.anonymous"
#define REMOVE_WITH_MS (10 * 1000) /* the removal of a container waits no longer for a plugin */
#define REMOVED ".removed"	   /* no volume's name begins with a dot */

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
	JSON_RAW("Status", struct volume, status, JSON_OMIT_EMPTY),
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

void volume_mount_event(struct engine *engine, const struct container_mount *mount, const char *container_id,
			bool mounted)
{
	struct text_map attributes = { 0 };

	text_map_set(&attributes, "container", container_id);
	if (mounted)
		text_map_set(&attributes, "destination", mount->destination);
	text_map_set(&attributes, "driver", text_empty(mount->driver) ? VOLUME_DRIVER_LOCAL : mount->driver);
	if (mounted) {
		text_map_set(&attributes, "propagation", text_or_empty(mount->propagation));
		text_map_set(&attributes, "read/write", mount->rw ? "true" : "false");
	}
	event_publish(engine->events, "volume", mounted ? "mount" : "unmount", mount->name, &attributes);
	text_map_fini(&attributes);
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

/* ---- making ---- */

/* One that is made, and for whom. */
struct making {
	struct engine *engine;
	struct container *container; /* it uses it from the first moment on; or NULL */
	const struct volume_create_request *request;
	const char *name;
	struct text_map labels;
	int cancel_fd;
};

static void hold_locked(const struct making *making)
{
	mutex_assert_held(&making->engine->volumes);
	if (making->container)
		text_list_add(&making->container->held_volumes, making->name);
}

static int create_local(struct volume *out_volume, const struct making *making, struct error *err)
{
	struct engine *engine = making->engine;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->volumes);

	if (volume_options_check(&making->request->driver_options, err) < 0)
		return error_prefix(err, "create %s", text_or_empty(making->request->name));
	if (check_name(making->name, err) < 0 || make_folder(engine, making->name, err) < 0 ||
	    volume_row_insert(engine, making->name, VOLUME_DRIVER_LOCAL, &making->labels,
			      &making->request->driver_options, err) < 0)
		return -1;
	volume_publish(engine, "create", making->name, VOLUME_DRIVER_LOCAL);
	if (volume_row_find(out_volume, engine, making->name, err) < 0)
		return -1;
	hold_locked(making);
	return 0;
}

/* It is one of a plugin, made now or before. */
static int create_by_plugin(struct volume *out_volume, const struct making *making, const char *driver,
			    struct error *err)
{
	struct engine *engine = making->engine;
	const struct volume_plugin plugin = { .engine = engine, .name = driver, .cancel_fd = making->cancel_fd };
	int made = volume_driver_make(&plugin, making->name, &making->request->driver_options, err);

	if (made < 0)
		return -1;
	if (volume_row_insert(engine, making->name, driver, &making->labels, &making->request->driver_options, err) < 0)
		return -1;
	if (made)
		volume_publish(engine, "create", making->name, driver);
	if (volume_driver_look(out_volume, engine, making->name, making->cancel_fd, err) < 0)
		return -1;
	mutex_lock(&engine->volumes);
	hold_locked(making);
	mutex_unlock(&engine->volumes);
	return 0;
}

/* 1 there is one, which will do; 0 there is none (any more). */
static int find_existing(struct volume *out_volume, const struct making *making, struct error *err)
{
	struct engine *engine = making->engine;
	const char *wanted = making->request->driver;
	AUTO(text_list_fini) struct text_list users = { 0 };
	struct volume row = { 0 };
	int r = volume_row_find(&row, engine, making->name, err);

	if (r > 0)
		r = volume_driver_look(out_volume, engine, making->name, making->cancel_fd, err);
	if (r > 0 && !text_empty(wanted) && !text_equal(wanted, row.driver)) {
		json_free_fields(out_volume, volume_fields);
		r = error_set(err, ERR_CONFLICT, "driver '%s' already has volume '%s': volume name must be unique",
			      row.driver, making->name);
	}
	mutex_lock(&engine->volumes);
	if (r > 0)
		hold_locked(making);
	else if (r == 0 && row.driver)
		volume_users_locked(&users, engine, making->name);
	mutex_unlock(&engine->volumes);
	if (users.count)
		r = error_set(err, ERR_CONFLICT,
			      "found references to volume '%s' in driver '%s' but the volume was not found in the "
			      "driver -- you may need to remove containers referencing this volume or force remove the "
			      "volume to re-create it: volume name must be unique",
			      making->name, row.driver);
	else if (r == 0 && row.driver)
		r = volume_row_delete(engine, making->name, err);
	json_free_fields(&row, volume_fields);
	return r < 0 ? error_prefix(err, "create %s", making->name) : r;
}

static int create_claimed(struct volume *out_volume, const struct making *making, struct error *err)
{
	const char *driver = making->request->driver;
	AUTO_FREE char *owner = NULL;
	int r = find_existing(out_volume, making, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	/* As dockerd: whoever has one of that name already. */
	if (text_empty(driver) && !text_empty(making->request->name))
		driver = owner = volume_driver_owner(making->engine, making->name, making->cancel_fd);
	if (text_empty(driver) || text_equal(driver, VOLUME_DRIVER_LOCAL))
		return create_local(out_volume, making, err);
	return create_by_plugin(out_volume, making, driver, err);
}

static int create(struct volume *out_volume, struct engine *engine, struct container *container,
		  const struct volume_create_request *request, int cancel_fd, struct error *err)
{
	struct making making = { .engine = engine,
				 .container = container,
				 .request = request,
				 .name = request->name,
				 .cancel_fd = cancel_fd };
	char made_up[65];
	int r;

	text_map_copy(&making.labels, &request->labels);
	if (text_empty(making.name)) {
		random_hex(made_up, 32);
		making.name = made_up;
		text_map_set(&making.labels, ANONYMOUS_LABEL, "");
	}
	r = volume_claim(engine, making.name, cancel_fd, err);
	if (r == 0) {
		r = making.name == made_up && container ? volume_making_begin(engine, made_up, err) : 0;
		if (r == 0)
			r = create_claimed(out_volume, &making, err);
		volume_release(engine, making.name);
	}
	text_map_fini(&making.labels);
	return r;
}

int volume_create(struct volume *out_volume, struct engine *engine, const struct volume_create_request *request,
		  int cancel_fd, struct error *err)
{
	return create(out_volume, engine, NULL, request, cancel_fd, err);
}

int volume_create_for(struct volume *out_volume, struct container *container,
		      const struct volume_create_request *request, struct error *err)
{
	return create(out_volume, container->engine, container, request, -1, err);
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

/* ---- looking ---- */

int volume_inspect(struct volume *out_volume, struct engine *engine, const char *name, int cancel_fd, struct error *err)
{
	int r = volume_driver_look(out_volume, engine, name, cancel_fd, err);

	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "get %s: no such volume", name);
	return r < 0 ? error_prefix(err, "get %s", name) : 0;
}

static bool matches(struct engine *engine, const struct volume *volume, const struct filter_set *filters, bool dangling)
{
	AUTO(text_list_fini) struct text_list users = { 0 };

	if (!filters)
		return true;
	if (!filter_match_pattern(filters, "name", volume->name) ||
	    !filter_match_exact(filters, "driver", volume->driver) ||
	    !filter_match_labels(filters, "label", &volume->labels))
		return false;
	if (!filter_has(filters, "dangling"))
		return true;
	mutex_lock(&engine->volumes);
	volume_users_locked(&users, engine, volume->name);
	mutex_unlock(&engine->volumes);
	return (users.count == 0) == dangling;
}

int volume_list(struct volume_list *out_list, struct engine *engine, const struct filter_set *filters, int cancel_fd,
		struct error *err)
{
	struct volume_list all = { 0 };
	bool dangling;

	if (filter_bool(&dangling, filters, "dangling", false, err) < 0)
		return -1;
	/* The database's lock ends before containers' begin. */
	if (volume_row_list(&all, engine, err) < 0) {
		json_free_fields(&all, volume_list_fields);
		return -1;
	}
	volume_drivers_add(&all, engine, filters, cancel_fd);
	text_list_add_all(&out_list->warnings, &all.warnings);
	for (size_t i = 0; i < all.volumes.count; i++) {
		struct volume *volume = &all.volumes.items[i];

		if (!matches(engine, volume, filters, dangling))
			continue;
		json_copy_fields(json_array_add(&out_list->volumes, sizeof(*volume)), volume, volume_fields);
	}
	json_free_fields(&all, volume_list_fields);
	return 0;
}

int volume_list_local(struct volume_list *out_list, struct engine *engine, struct error *err)
{
	struct volume_list all = { 0 };
	int r = volume_row_list(&all, engine, err);

	for (size_t i = 0; r == 0 && i < all.volumes.count; i++)
		if (text_equal(all.volumes.items[i].driver, VOLUME_DRIVER_LOCAL))
			json_copy_fields(json_array_add(&out_list->volumes, sizeof(struct volume)),
					 &all.volumes.items[i], volume_fields);
	json_free_fields(&all, volume_list_fields);
	return r;
}

/* ---- removing ---- */

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

/* but_id: a container whose use of it does not count, or NULL. */
static int take_away(char **out_aside, struct engine *engine, const char *name, const char *but_id, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->volumes);
	AUTO_FREE char *path = xasprintf("%s/volumes/%s", engine->data_root, name);
	AUTO_FREE char *aside = NULL;

	if (volume_check_unused_locked(engine, name, but_id, err) < 0 || move_aside(&aside, engine, name, err) < 0)
		return -1;
	if (volume_row_delete(engine, name, err) < 0) {
		(void)rename(aside, path);
		return -1;
	}
	*out_aside = take_ptr(aside);
	return 0;
}

static int remove_local(struct engine *engine, const char *name, const char *but_id, struct error *err)
{
	AUTO_FREE char *aside = NULL;
	int r = take_away(&aside, engine, name, but_id, err);

	if (r < 0)
		return -1;
	r = remove_tree(AT_FDCWD, aside);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "remove %s: %s", name, aside) : 0;
}

static int remove_by_plugin(const struct volume_plugin *plugin, const char *name, bool force, const char *but_id,
			    struct error *err)
{
	struct engine *engine = plugin->engine;
	AUTO(error_clear) struct error problem = { 0 };
	int r;

	mutex_lock(&engine->volumes);
	r = volume_check_unused_locked(engine, name, but_id, err);
	mutex_unlock(&engine->volumes);
	if (r < 0)
		return -1;
	/* force: it is forgotten, whatever its plugin says. */
	if (volume_plugin_remove(plugin, name, but_id ? REMOVE_WITH_MS : 0, &problem) != PLUGIN_DONE && !force) {
		error_move(err, &problem);
		return error_prefix(err, "remove %s", name);
	}
	return volume_row_delete(engine, name, err);
}

static int remove_claimed(struct engine *engine, const char *name, bool force, const char *but_id, int cancel_fd,
			  struct error *err)
{
	struct volume row = { 0 };
	AUTO_FREE char *driver = NULL;
	int r = volume_row_find(&row, engine, name, err);

	driver = r > 0 ? take_ptr(row.driver) : NULL;
	json_free_fields(&row, volume_fields);
	if (r < 0)
		return -1;
	if (!driver && !but_id)
		driver = volume_driver_owner(engine, name, cancel_fd);
	if (!driver)
		return force ? 0 : error_set(err, ERR_NOT_FOUND, "get %s: no such volume", name);
	if (text_equal(driver, VOLUME_DRIVER_LOCAL))
		r = remove_local(engine, name, but_id, err);
	else
		r = remove_by_plugin(
			&(struct volume_plugin){ .engine = engine, .name = driver, .cancel_fd = cancel_fd }, name,
			force, but_id, err);
	if (r == 0)
		volume_publish(engine, "destroy", name, driver);
	return r;
}

static int remove_volume(struct engine *engine, const char *name, bool force, const char *but_id, int cancel_fd,
			 struct error *err)
{
	int r = volume_claim(engine, name, cancel_fd, err);

	if (r == 0) {
		r = remove_claimed(engine, name, force, but_id, cancel_fd, err);
		volume_release(engine, name);
	}
	return r;
}

int volume_remove(struct engine *engine, const char *name, bool force, int cancel_fd, struct error *err)
{
	return remove_volume(engine, name, force, NULL, cancel_fd, err);
}

void volume_remove_with(struct container *container, const char *name, struct error *err)
{
	(void)remove_volume(container->engine, name, true, container->id, -1, err);
}

static int recover_removed(struct engine *engine, int folder_fd, const char *name, struct error *err)
{
	AUTO_FREE char *path = xasprintf("%s/volumes/%s", engine->data_root, name);
	int r = volume_row_find(NULL, engine, name, err);

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

	if (filter_bool(&named_too, filters, "all", false, err) < 0 || volume_list_local(&all, engine, err) < 0)
		return -1;
	for (size_t i = 0; i < all.volumes.count; i++) {
		AUTO(error_clear) struct error problem = { 0 };
		struct volume *volume = &all.volumes.items[i];

		int64_t bytes;

		if (!is_pruned(volume, filters, named_too))
			continue;
		bytes = folder_bytes(AT_FDCWD, volume->mountpoint, 0);
		/* One in use, or gone meanwhile, is simply not pruned. */
		if (volume_remove(engine, volume->name, false, -1, &problem) < 0)
			continue;
		text_list_add(&out_report->deleted, volume->name);
		out_report->space_reclaimed += bytes;
	}
	json_free_fields(&all, volume_list_fields);
	return 0;
}
