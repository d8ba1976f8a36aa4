/* SPDX-License-Identifier: Apache-2.0 */
#include "store/erofs_layer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/map.h"
#include "base/path.h"
#include "base/thread.h"
#include "store/disk.h"
#include "store/files.h"
#include "store/store_internal.h"
#include "sys/loop.h"
#include "sys/mount_api.h"

#define IMAGE "/layer.erofs"
/* Longer than anybody who looked up a path takes to open it. */
#define IDLE_NS (30 * CLOCK_SECOND)
#define NUMBER_MAX 24

struct mounted {
	int64_t directory;
	int64_t used_ns; /* monotonic */
};

struct erofs_layers {
	struct store *store; /* borrowed */
	struct mutex mutex;
	struct map mounted; /* number -> struct mounted, owned */
};

static const char *number_key(char out[NUMBER_MAX], int64_t directory)
{
	snprintf(out, NUMBER_MAX, "%lld", (long long)directory);
	return out;
}

struct erofs_layers *erofs_layers_new(struct store *store)
{
	struct erofs_layers *layers = xcalloc(1, sizeof(*layers));

	layers->store = store;
	mutex_init(&layers->mutex);
	map_init(&layers->mounted, free);
	return layers;
}

static char *folder_path(const struct store *store, int64_t directory)
{
	char path[DIRECTORY_PATH_MAX];

	return path_join(store_root(store), store_directory(path, directory, false, "/fs"));
}

/* ---- unmount ---- */

/* Whoever has it open keeps it; a folder that stays would look like an empty layer. */
static void unmount_locked(struct erofs_layers *layers, int64_t directory)
{
	AUTO_FREE char *path = folder_path(layers->store, directory);
	char key[NUMBER_MAX];

	mutex_assert_held(&layers->mutex);
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL)
		rmdir(path);
	map_remove(&layers->mounted, number_key(key, directory));
}

void erofs_layer_forget(struct store *store, int64_t directory)
{
	struct erofs_layers *layers = store_erofs_layers(store);
	char key[NUMBER_MAX];

	mutex_lock(&layers->mutex);
	if (map_get(&layers->mounted, number_key(key, directory)))
		unmount_locked(layers, directory);
	mutex_unlock(&layers->mutex);
}

void erofs_layers_free(struct erofs_layers *layers)
{
	struct mounted *mounted;
	const char *key;

	if (!layers)
		return;
	mutex_lock(&layers->mutex);
	for (size_t at = 0; (mounted = map_next(&layers->mounted, &at, &key)); at = 0)
		unmount_locked(layers, mounted->directory);
	mutex_unlock(&layers->mutex);
	map_fini(&layers->mounted);
	mutex_fini(&layers->mutex);
	free(layers);
}

int erofs_layers_recover(struct store *store, struct error *err)
{
	AUTO_CLOSEDIR DIR *dir = disk_open_dir(store_root_fd(store), "snapshots");
	struct dirent *entry;
	int64_t number;

	if (!dir)
		return disk_fail(err, errno, "open snapshots");
	while ((entry = readdir(dir))) {
		AUTO_FREE char *image = xasprintf("snapshots/%s" IMAGE, entry->d_name);
		AUTO_FREE char *path = NULL;

		if (text_parse_i64(&number, entry->d_name, 1, INT64_MAX) < 0 ||
		    !file_exists(store_root_fd(store), image))
			continue;
		path = folder_path(store, number);
		while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			;
		rmdir(path);
	}
	return 0;
}

/* ---- mount ---- */

/* The reason, as far as it is known: nobody should have to guess that from an error number. */
static int fail_mount(int errnum, const char *path, struct error *err)
{
	if (errnum == ENODEV)
		return error_set(err, ERR_UNSUPPORTED, "mount %s: this kernel has no EROFS (`modprobe erofs`)", path);
	return error_set_errno(err, ERR_INTERNAL, errnum, "mount %s", path);
}

static int mount_from(const char *source, struct error *err)
{
	return mount_new("erofs", source, NULL, MS_RDONLY, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, err);
}

static int mount_by_loop(const char *path, struct error *err)
{
	AUTO(error_clear) struct error cause = { 0 };
	AUTO_CLOSE int file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int device = -1;
	char source[LOOP_PATH_MAX];
	int fd;

	if (file < 0)
		return disk_fail(err, errno, "open %s", path);
	device = loop_attach(source, file);
	if (device < 0)
		return error_set_errno(err, ERR_UNSUPPORTED, device,
				       "mount %s: this kernel mounts EROFS from no file here (that wants Linux 6.12, "
				       "CONFIG_EROFS_FS_BACKED_BY_FILE and a file system that is no overlay and no "
				       "tmpfs), and a loop device",
				       path);
	fd = mount_from(source, &cause);
	return fd < 0 ? fail_mount(cause.errnum, path, err) : fd;
}

/* A mount that is attached nowhere; where the kernel wants a block device, by one that goes with the mount. */
static int mount_image(const char *path, struct error *err)
{
	AUTO(error_clear) struct error cause = { 0 };
	int fd = mount_from(path, &cause);

	if (fd >= 0)
		return fd;
	return cause.errnum == ENOTBLK ? mount_by_loop(path, err) : fail_mount(cause.errnum, path, err);
}

static char *image_path(const struct store *store, int64_t directory)
{
	char path[DIRECTORY_PATH_MAX];

	return path_join(store_root(store), store_directory(path, directory, false, IMAGE));
}

static int mount_locked(struct erofs_layers *layers, int64_t directory, const char *image, struct error *err)
{
	AUTO_FREE char *path = folder_path(layers->store, directory);
	AUTO_CLOSE int fd = mount_image(image, err);
	int r;

	mutex_assert_held(&layers->mutex);
	if (fd < 0)
		return -1;
	if (mkdir(path, 0711) < 0 && errno != EEXIST)
		return disk_fail(err, errno, "make %s", path);
	r = mount_attach_at(fd, AT_FDCWD, path);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "mount %s on %s", image, path) : 0;
}

static int use_locked(struct erofs_layers *layers, int64_t directory, const char *image, struct error *err)
{
	char key[NUMBER_MAX];
	struct mounted *mounted = map_get(&layers->mounted, number_key(key, directory));

	mutex_assert_held(&layers->mutex);
	if (!mounted) {
		if (mount_locked(layers, directory, image, err) < 0)
			return -1;
		mounted = xcalloc(1, sizeof(*mounted));
		mounted->directory = directory;
		map_set(&layers->mounted, key, mounted);
	}
	mounted->used_ns = clock_monotonic_ns();
	return 0;
}

int erofs_layer_use(struct store *store, int64_t directory, struct error *err)
{
	struct erofs_layers *layers = store_erofs_layers(store);
	AUTO_FREE char *image = image_path(store, directory);
	int r;

	if (!file_exists(AT_FDCWD, image))
		return 0;
	mutex_lock(&layers->mutex);
	r = use_locked(layers, directory, image, err);
	mutex_unlock(&layers->mutex);
	return r;
}

int erofs_layer_open_again(struct store *store, int64_t directory, struct error *err)
{
	AUTO_FREE char *image = image_path(store, directory);

	return file_exists(AT_FDCWD, image) ? mount_image(image, err) : -1;
}

/* ---- what nothing needs ---- */

/* Everything a snapshot or a lease stands on, and how long ago the rest was used. */
static int is_needed(struct store *store, int64_t directory, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	bool needed = false;
	int r;

	if (query_new(&query, store_database(store),
		      "WITH RECURSIVE above(chain) AS (SELECT chain_id FROM layer WHERE directory = ?1 UNION"
		      " SELECT chain_id FROM layer JOIN above ON parent = chain)"
		      " SELECT chain, EXISTS (SELECT 1 FROM snapshot WHERE chain_id = chain) FROM above",
		      err) < 0)
		return -1;
	query_bind_i64(query, 1, directory);
	store_lease_lock(store);
	while ((r = query_next(query, err)) > 0 && !needed) {
		struct digest chain;

		query_digest(query, 0, &chain);
		needed = query_i64(query, 1) || store_is_leased_locked(store, &chain);
	}
	store_lease_unlock(store);
	return r < 0 ? -1 : needed;
}

/* One that was idle long enough, or 0. */
static int64_t find_idle(struct erofs_layers *layers, bool *out_more)
{
	int64_t now = clock_monotonic_ns();
	struct mounted *mounted;
	int64_t found = 0;
	const char *key;

	*out_more = false;
	mutex_lock(&layers->mutex);
	for (size_t at = 0; (mounted = map_next(&layers->mounted, &at, &key));) {
		if (now - mounted->used_ns < IDLE_NS)
			*out_more = true;
		else if (!found)
			found = mounted->directory;
	}
	mutex_unlock(&layers->mutex);
	return found;
}

static void unmount_idle(struct erofs_layers *layers, int64_t directory, bool needed)
{
	char key[NUMBER_MAX];
	struct mounted *mounted;

	mutex_lock(&layers->mutex);
	mounted = map_get(&layers->mounted, number_key(key, directory));
	if (mounted && needed)
		mounted->used_ns = clock_monotonic_ns();
	else if (mounted && clock_monotonic_ns() - mounted->used_ns >= IDLE_NS)
		unmount_locked(layers, directory);
	mutex_unlock(&layers->mutex);
}

bool erofs_layers_tidy(struct store *store)
{
	struct erofs_layers *layers = store_erofs_layers(store);
	int64_t directory;
	bool more;

	while ((directory = find_idle(layers, &more)) > 0) {
		AUTO(error_clear) struct error ignored = { 0 };

		/* One that is needed, or of which nobody knows, is looked at again after a while. */
		unmount_idle(layers, directory, is_needed(store, directory, &ignored) != 0);
	}
	return more;
}

/* ---- make ---- */

static int write_image(struct store *store, const char *source, const char *image, struct error *err)
{
	AUTO(text_list_fini) struct text_list request = { 0 };
	AUTO_CLOSE int fd = openat(store_root_fd(store), image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct files_result ignored;

	if (fd < 0)
		return disk_fail(err, errno, "make %s", image);
	text_list_addf(&request, "source-lower=%s/%s", store_root(store), source);
	return files_run(&ignored, "erofs", &request, fd, -1, err);
}

int erofs_layer_make(struct store *store, int64_t directory, struct error *err)
{
	char source[DIRECTORY_PATH_MAX];
	char image[DIRECTORY_PATH_MAX];

	store_directory(source, directory, true, "/fs");
	if (write_image(store, source, store_directory(image, directory, true, IMAGE), err) < 0)
		return error_prefix(err, "make the layer's image");
	return store_discard(store, source, err);
}

int erofs_layers_check(struct store *store, struct error *err)
{
	AUTO_FREE char *path = path_join(store_root(store), "probe/image");
	AUTO_CLOSE int fd = -1;
	int r = mkdir_all(store_root_fd(store), "probe/fs", 0700);

	r = r < 0 ? disk_fail(err, r, "make %s", path) : write_image(store, "probe/fs", "probe/image", err);
	if (r == 0)
		fd = mount_image(path, err);
	remove_tree(store_root_fd(store), "probe");
	return fd < 0 ? error_prefix(err, "storage driver erofs") : 0;
}
