/* SPDX-License-Identifier: Apache-2.0 */
#include "store/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/random.h"
#include "store/disk.h"
#include "store/driver.h"
#include "store/files.h"
#include "store/layer.h"
#include "store/store_internal.h"
#include "sys/project_quota.h"

/* Beside the files of a snapshot that is a copy. */
#define MARK "/whole"
#define MARK_MAX 32
/* Projects of ours are from here to twice that: others number theirs from 1. */
#define PROJECT_FIRST (UINT32_C(1) << 30)
#define PROJECT_TRIES 100

struct snapshot {
	struct digest chain_id;
	int64_t directory;
};

/* 1 or 0. */
static int find(struct snapshot *out_snapshot, struct store *store, const char *key, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, store_database(store), "SELECT chain_id, directory FROM snapshot WHERE key = ?1", err) <
	    0)
		return -1;
	query_bind_text(query, 1, key);
	r = query_next(query, err);
	if (r > 0) {
		query_digest(query, 0, &out_snapshot->chain_id);
		out_snapshot->directory = query_i64(query, 1);
	}
	return r;
}

static int get(struct snapshot *out_snapshot, struct store *store, const char *key, struct error *err)
{
	int r = find(out_snapshot, store, key, err);

	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "no snapshot %s", key);
	return r < 0 ? -1 : 0;
}

/* ---- create ---- */

static int insert(struct store *store, const char *key, const struct digest *chain_id, int64_t directory,
		  struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory;

	/* One statement with the look at the layer: the collector cannot come between. */
	if (query_new(&query, store_database(store),
		      "INSERT INTO snapshot(key, chain_id, directory) SELECT ?1, ?2, ?3"
		      " WHERE ?2 = '' OR EXISTS (SELECT 1 FROM layer WHERE chain_id = ?2)",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, key);
	query_bind_digest(query, 2, chain_id, &memory);
	query_bind_i64(query, 3, directory);
	return query_run(query, err);
}

static int make_directory(int root, int64_t directory, const char *suffix, mode_t mode, struct error *err)
{
	char path[DIRECTORY_PATH_MAX];

	store_directory(path, directory, false, suffix);
	if (mkdirat(root, path, mode) < 0 || fchmodat(root, path, mode, 0) < 0)
		return disk_fail(err, errno, "make %s", path);
	return 0;
}

/* Overlay shows the upper directory's owner and mode as the root's: take the top layer's. */
static int copy_root_attributes(struct store *store, const struct digest *chain_id, int64_t directory,
				struct error *err)
{
	int root = store_root_fd(store);
	char path[DIRECTORY_PATH_MAX];
	struct layer top;
	struct stat st;
	int r = digest_is_set(chain_id) ? layer_find(&top, store, chain_id, err) : 0;

	if (r <= 0 || layer_use(store, &top, err) < 0)
		return r <= 0 ? r : -1;
	if (fstatat(root, store_directory(path, top.directory, false, "/fs"), &st, AT_SYMLINK_NOFOLLOW) < 0)
		return disk_fail(err, errno, "look at %s", path);
	store_directory(path, directory, false, "/fs");
	if (fchownat(root, path, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(root, path, st.st_mode & 07777, 0) < 0)
		return disk_fail(err, errno, "set the attributes of %s", path);
	return 0;
}

static int make_directories(struct store *store, const struct digest *chain_id, int64_t directory, struct error *err)
{
	int root = store_root_fd(store);

	if (make_directory(root, directory, "", 0711, err) < 0 ||
	    make_directory(root, directory, "/fs", 0755, err) < 0 ||
	    make_directory(root, directory, "/work", 0700, err) < 0)
		return -1;
	return copy_root_attributes(store, chain_id, directory, err);
}

static char *directory_path(struct store *store, int64_t directory, const char *suffix)
{
	char path[DIRECTORY_PATH_MAX];

	return path_join(store_root(store), store_directory(path, directory, false, suffix));
}

/* The time of the copy is kept as a text: a copy of the data root has other change times. */
static int write_mark(struct store *store, int64_t directory, struct error *err)
{
	char path[DIRECTORY_PATH_MAX];
	AUTO_FREE char *text = NULL;
	AUTO_CLOSE int fd = -1;
	int64_t changed_ns;
	struct stat st;

	store_directory(path, directory, false, MARK);
	fd = openat(store_root_fd(store), path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return disk_fail(err, errno, "make %s", path);
	changed_ns = st.st_ctim.tv_sec * CLOCK_SECOND + st.st_ctim.tv_nsec;
	text = xasprintf("%lld", (long long)changed_ns);
	if (write_full(fd, text, strlen(text)) < 0 || syncfs(fd) < 0)
		return disk_fail(err, errno, "write %s", path);
	return 0;
}

/* A whole tree of its own. */
static int copy_layers(struct store *store, const struct digest *chain_id, int64_t directory, struct error *err)
{
	AUTO(text_list_fini) struct text_list request = { 0 };
	AUTO_FREE char *upper = directory_path(store, directory, "/fs");
	struct files_result ignored;

	if (digest_is_set(chain_id)) {
		text_list_addf(&request, "upper=%s", upper);
		if (files_add_source(&request, store, chain_id, err) < 0 ||
		    files_run(&ignored, "clone", &request, -1, -1, err) < 0)
			return error_prefix(err, "copy the image's files");
	}
	return write_mark(store, directory, err);
}

static int create(struct store *store, const char *key, const struct digest *chain_id, bool held, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	int64_t directory = store_next_directory(store);
	char path[DIRECTORY_PATH_MAX];
	char text[DIGEST_TEXT_MAX];
	int r;

	if (make_directories(store, chain_id, directory, err) < 0 ||
	    (store_driver(store) == STORE_COPY && !held && copy_layers(store, chain_id, directory, err) < 0)) {
		store_discard(store, store_directory(path, directory, false, ""), &ignored);
		return -1;
	}
	r = insert(store, key, chain_id, directory, err);
	if (r > 0)
		return 0;
	store_discard(store, store_directory(path, directory, false, ""), &ignored);
	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "layer %s is not stored", digest_text(chain_id, text));
	return error_prefix(err, "create snapshot %s", key);
}

int snapshot_create(struct store *store, const char *key, const struct digest *chain_id, struct error *err)
{
	return create(store, key, chain_id, false, err);
}

int snapshot_hold(struct store *store, const char *key, const struct digest *chain_id, struct error *err)
{
	return create(store, key, chain_id, true, err);
}

/* ---- limit ---- */

static int refuse_limit(struct store *store, int errnum, struct error *err)
{
	bool overlays;
	const char *why = errnum == -ENOSYS  ? "this kernel has no quotas"
			  : errnum == -ESRCH ? "it is not mounted with prjquota"
					     : "it has no project quotas";

	return error_set(
		err, ERR_UNSUPPORTED,
		"--storage-opt is supported only for overlay over xfs or ext4 with 'pquota' mount option: %s is on "
		"%s, and %s",
		store_root(store), store_driver_file_system(&overlays, store_root_fd(store)), why);
}

int snapshot_limit_check(struct store *store, struct error *err)
{
	AUTO_CLOSE int fd = openat(store_root_fd(store), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : project_quota_check(fd);

	if (store_driver(store) == STORE_COPY)
		return error_set(
			err, ERR_UNSUPPORTED,
			"--storage-opt is supported only for overlay: here every container has a copy of its image");
	return r < 0 ? refuse_limit(store, r, err) : 0;
}

/* One that nobody else on the file system has, now or by what is still being removed. */
static int free_project(uint32_t *out_project, int dir_fd)
{
	int r = 1;

	for (int tries = 0; r == 1 && tries < PROJECT_TRIES; tries++) {
		random_bytes(out_project, sizeof(*out_project));
		*out_project = PROJECT_FIRST | (*out_project & (PROJECT_FIRST - 1));
		r = project_quota_is_used(dir_fd, *out_project);
	}
	return r == 1 ? -EBUSY : r;
}

/* An overlay moves files from work to fs, which only one project may have both of. */
static int assign_project(int dir_fd, uint32_t project)
{
	static const char *const folders[] = { ".", "fs", "work" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		AUTO_CLOSE int fd = openat(dir_fd, folders[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		int r = fd < 0 ? -errno : project_quota_assign(fd, project);

		if (r < 0)
			return r;
	}
	return 0;
}

static int open_directory(struct store *store, int64_t directory)
{
	char path[DIRECTORY_PATH_MAX];

	store_directory(path, directory, false, "");
	return openat(store_root_fd(store), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int snapshot_limit(struct store *store, const char *key, uint64_t bytes, struct error *err)
{
	AUTO_CLOSE int fd = -1;
	struct snapshot snapshot;
	uint32_t project;
	int r;

	if (snapshot_limit_check(store, err) < 0 || get(&snapshot, store, key, err) < 0)
		return -1;
	fd = open_directory(store, snapshot.directory);
	r = fd < 0 ? -errno : free_project(&project, fd);
	if (r == 0)
		r = project_quota_limit(fd, project, bytes);
	if (r == 0)
		r = assign_project(fd, project);
	return r < 0 ? disk_fail(err, r, "limit snapshot %s", key) : 0;
}

/* The number may be given again once the last of its files is gone. */
static void forget_limit(struct store *store, int64_t directory)
{
	AUTO_CLOSE int fd = open_directory(store, directory);
	uint32_t project;

	if (fd >= 0 && project_quota_project(&project, fd) == 0 && (project & ~(PROJECT_FIRST - 1)) == PROJECT_FIRST)
		project_quota_limit(fd, project, 0);
}

/* ---- mount ---- */

static int add_overlay_options(struct snapshot_mount *mount, struct store *store, const struct layer_stack *stack,
			       int64_t directory, struct error *err)
{
	struct text lower = { 0 };
	AUTO_FREE char *upper = directory_path(store, directory, "/fs");
	AUTO_FREE char *work = directory_path(store, directory, "/work");

	text_add(&lower, "lowerdir=");
	for (size_t i = 0; i < stack->count; i++) {
		AUTO_FREE char *path = directory_path(store, stack->items[i].directory, "/fs");

		if (layer_use(store, &stack->items[i], err) < 0) {
			text_fini(&lower);
			return -1;
		}
		text_addf(&lower, "%s%s", i > 0 ? ":" : "", path);
	}
	text_list_add_take(&mount->options, text_take(&lower));
	text_list_addf(&mount->options, "upperdir=%s", upper);
	text_list_addf(&mount->options, "workdir=%s", work);
	text_list_add(&mount->options, "index=off");
	/* A renamed directory of a layer must be whole in the upper directory, or a commit of it would not be. */
	text_list_add(&mount->options, "redirect_dir=off");
	return 0;
}

int snapshot_mount(struct snapshot_mount *out_mount, struct store *store, const char *key, struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	struct snapshot_mount mount = { 0 };
	struct snapshot snapshot;

	if (get(&snapshot, store, key, err) < 0 || layer_stack_load(&stack, store, &snapshot.chain_id, err) < 0)
		return -1;
	if (stack.count == 0 || store_driver(store) == STORE_COPY) {
		mount.type = xstrdup("bind");
		mount.source = directory_path(store, snapshot.directory, "/fs");
		text_list_add(&mount.options, "rbind");
		text_list_add(&mount.options, "rw");
	} else {
		mount.type = xstrdup("overlay");
		mount.source = xstrdup("overlay");
		if (add_overlay_options(&mount, store, &stack, snapshot.directory, err) < 0) {
			snapshot_mount_fini(&mount);
			return -1;
		}
	}
	*out_mount = mount;
	return 0;
}

void snapshot_mount_fini(struct snapshot_mount *mount)
{
	free(mount->type);
	free(mount->source);
	text_list_fini(&mount->options);
	*mount = (struct snapshot_mount){ 0 };
}

/* ---- remove, size, list ---- */

int snapshot_remove(struct store *store, const char *key, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	char path[DIRECTORY_PATH_MAX];
	struct snapshot snapshot;
	int r = find(&snapshot, store, key, err);

	if (r <= 0)
		return r;
	forget_limit(store, snapshot.directory);
	/* The files first: on a full disk a row can be removed only after they are. A row without files goes at the next open. */
	if (store_discard(store, store_directory(path, snapshot.directory, false, ""), err) < 0 ||
	    query_new(&query, store_database(store), "DELETE FROM snapshot WHERE key = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, key);
	return query_run(query, err) < 0 ? error_prefix(err, "remove snapshot %s", key) : 0;
}

int layer_writer_take_snapshot(struct layer_writer **out_writer, struct store *store, const char *key,
			       struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	char path[DIRECTORY_PATH_MAX];
	struct snapshot snapshot;

	if (get(&snapshot, store, key, err) < 0 ||
	    query_new(&query, store_database(store), "DELETE FROM snapshot WHERE key = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, key);
	if (query_run(query, err) < 0)
		return error_prefix(err, "take snapshot %s", key);
	store_directory(path, snapshot.directory, false, "/work");
	if (store_discard(store, path, err) < 0)
		return -1;
	return layer_writer_adopt(out_writer, store, snapshot.directory, err);
}

/* Deeper than this only mischief goes: a descriptor and stack per level are ours to keep. */
#define SIZE_DEPTH_MAX 256

/* Not an error: a running container removes files while they are counted. */
static uint64_t tree_size(int dir_fd, const char *name, unsigned depth)
{
	AUTO_CLOSEDIR DIR *dir = disk_open_dir(dir_fd, name);
	struct dirent *entry;
	uint64_t bytes = 0;
	struct stat st;

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		if (text_equal(entry->d_name, ".") || text_equal(entry->d_name, "..") ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			bytes += depth < SIZE_DEPTH_MAX ? tree_size(dirfd(dir), entry->d_name, depth + 1) : 0;
		else if (S_ISREG(st.st_mode))
			bytes += (uint64_t)st.st_size / st.st_nlink;
	}
	return bytes;
}

int64_t snapshot_whole_since(struct store *store, const char *key)
{
	AUTO(error_clear) struct error ignored = { 0 };
	char path[DIRECTORY_PATH_MAX];
	struct snapshot snapshot;
	AUTO_FREE char *text = NULL;
	int64_t since;
	size_t size;

	if (find(&snapshot, store, key, &ignored) <= 0 ||
	    file_read(&text, &size, store_root_fd(store), store_directory(path, snapshot.directory, false, MARK),
		      MARK_MAX) < 0 ||
	    text_parse_i64(&since, text, 0, INT64_MAX) < 0)
		return 0;
	return since;
}

/* Of what is not as it was copied. */
static int differences_size(uint64_t *out_bytes, struct store *store, const char *key, struct error *err)
{
	AUTO(text_list_fini) struct text_list request = { 0 };
	struct files_result result;

	if (files_add_snapshot(&request, store, key, err) < 0 || files_run(&result, "size", &request, -1, -1, err) < 0)
		return -1;
	*out_bytes = result.bytes;
	return 0;
}

int snapshot_size(uint64_t *out_bytes, struct store *store, const char *key, struct error *err)
{
	char path[DIRECTORY_PATH_MAX];
	struct snapshot snapshot;

	if (get(&snapshot, store, key, err) < 0)
		return -1;
	if (store_driver(store) == STORE_COPY)
		return differences_size(out_bytes, store, key, err);
	*out_bytes = tree_size(store_root_fd(store), store_directory(path, snapshot.directory, false, "/fs"), 0);
	return 0;
}

int snapshot_parent_size(uint64_t *out_bytes, struct store *store, const char *key, struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	struct snapshot snapshot;

	if (get(&snapshot, store, key, err) < 0 || layer_stack_load(&stack, store, &snapshot.chain_id, err) < 0)
		return -1;
	*out_bytes = stack.size;
	return 0;
}

int snapshot_chain_id(struct digest *out_chain_id, struct store *store, const char *key, struct error *err)
{
	struct snapshot snapshot;

	if (get(&snapshot, store, key, err) < 0)
		return -1;
	*out_chain_id = snapshot.chain_id;
	return 0;
}

char *snapshot_upper_path(struct store *store, const char *key, struct error *err)
{
	struct snapshot snapshot;

	return get(&snapshot, store, key, err) < 0 ? NULL : directory_path(store, snapshot.directory, "/fs");
}

int snapshot_list(struct text_list *out_keys, struct store *store, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, store_database(store), "SELECT key FROM snapshot ORDER BY key", err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0)
		text_list_add(out_keys, query_text(query, 0));
	return r;
}
