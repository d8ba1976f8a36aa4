/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/run_mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/file.h"
#include "base/path.h"
#include "engine/engine.h"
#include "oci/hasher.h"
#include "store/snapshot.h"

#define LOCK_RETRY_MS 50
#define PRIVATE_MAX 1000

static struct mount_request *add_request(struct container_create_request *request, const char *type, const char *source,
					 const char *target)
{
	struct mount_request *mount = json_array_add(&request->host.mounts, sizeof(*mount));

	mount->type = xstrdup(type);
	mount->source = xstrdup(source);
	mount->target = xstrdup(target);
	return mount;
}

/* ---- bind ---- */

static int prepare_bind(struct mounts *mounts, struct build *build, const struct run_mount *mount,
			struct container_create_request *request, struct error *err)
{
	AUTO_FREE char *upper = NULL;
	AUTO_FREE char *source = NULL;
	char *key = NULL;

	if (copy_apart(&key, build, mount->content, err) < 0)
		return -1;
	text_list_add_take(&mounts->snapshots, key);
	upper = snapshot_upper_path(build->store, key, err);
	if (!upper)
		return -1;
	source = path_join(upper, mount->content->copy.destination);
	add_request(request, "bind", source, mount->target)->read_only = !mount->writable;
	return 0;
}

/* ---- cache ---- */

static char *caches_folder(struct engine *engine)
{
	return path_join(store_root(engine_store(engine)), "build-mounts");
}

static int wait_a_moment(int cancel_fd, struct error *err)
{
	struct pollfd polled = { .fd = cancel_fd, .events = POLLIN };

	return poll(&polled, 1, LOCK_RETRY_MS) > 0 ? error_set(err, ERR_CANCELED, "canceled") : 0;
}

/* 1 and the lock is held by *out_fd, 0 if another holds it. */
static int try_lock(int *out_fd, const char *path, int operation, struct error *err)
{
	AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open %s", path);
	if (flock(fd, operation | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK || errno == EINTR)
			return 0;
		return error_set_errno(err, ERR_INTERNAL, errno, "lock %s", path);
	}
	*out_fd = take_fd(&fd);
	return 1;
}

/* The number of the folder that is ours for this step; private ones take the first that is free. */
static int lock_cache(struct mounts *mounts, const char *folder, const struct run_mount *mount, int cancel_fd,
		      struct error *err)
{
	int operation = mount->sharing == SHARING_SHARED ? LOCK_SH : LOCK_EX;

	for (int number = 0; number < PRIVATE_MAX;) {
		AUTO_FREE char *path = xasprintf("%s/%d.lock", folder, number);
		int fd = -1;
		int r = try_lock(&fd, path, operation, err);

		if (r < 0)
			return -1;
		if (r > 0) {
			mounts->locks = xgrow(mounts->locks, &mounts->lock_capacity, mounts->lock_count + 1,
					      sizeof(*mounts->locks));
			mounts->locks[mounts->lock_count++] = fd;
			return number;
		}
		if (mount->sharing == SHARING_PRIVATE)
			number++;
		else if (wait_a_moment(cancel_fd, err) < 0)
			return -1;
	}
	return error_set(err, ERR_EXHAUSTED, "more than %d steps use the cache %s at once", PRIVATE_MAX, mount->id);
}

static int make_cache(const char *path, const struct run_mount *mount, struct error *err)
{
	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : error_set_errno(err, ERR_INTERNAL, errno, "make %s", path);
	if (chown(path, mount->uid, mount->gid) < 0 || chmod(path, mount->mode) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "set the owner of %s", path);
	return 0;
}

/* <data root>/build-mounts/<digest of the id>, made; yours. NULL with err filled. */
static char *cache_folder(const struct build *build, const char *id, struct error *err)
{
	AUTO_FREE char *caches = caches_folder(build->engine);
	AUTO_FREE char *folder = NULL;
	char hex[DIGEST_TEXT_MAX];
	struct digest name;
	int r;

	digest_of(&name, DIGEST_SHA256, id, strlen(id));
	folder = path_join(caches, digest_hex(&name, hex));
	r = mkdir_all(AT_FDCWD, folder, 0700);
	if (r < 0) {
		error_set_errno(err, ERR_INTERNAL, r, "make %s", folder);
		return NULL;
	}
	return take_ptr(folder);
}

/* The cache of the smallest id above `last` (NULL: any), as the one that shares least has it; NULL: there is none. */
static const struct run_mount *next_cache(const struct exec_data *exec, const char *last)
{
	const struct run_mount *found = NULL;

	for (size_t i = 0; i < exec->mount_count; i++) {
		const struct run_mount *mount = &exec->mounts[i];
		int order = found && mount->id ? strcmp(mount->id, found->id) : -1;

		if (mount->kind != RUN_CACHE || (last && strcmp(mount->id, last) <= 0))
			continue;
		if (order < 0 || (order == 0 && mount->sharing > found->sharing))
			found = mount;
	}
	return found;
}

/*
 * Each id once, in one order for all steps: a cache that is mounted at two places would wait for itself, and two steps
 * with the same two caches for each other.
 */
static int lock_caches(struct mounts *mounts, struct build *build, const struct exec_data *exec, struct error *err)
{
	const struct run_mount *mount = NULL;

	while ((mount = next_cache(exec, mount ? mount->id : NULL))) {
		AUTO_FREE char *folder = cache_folder(build, mount->id, err);
		int number = folder ? lock_cache(mounts, folder, mount, build_cancel_fd(build), err) : -1;

		if (number < 0)
			return -1;
		text_list_addf(&mounts->caches, "%s=%s/%d", mount->id, folder, number);
	}
	return 0;
}

static int prepare_cache(struct mounts *mounts, const struct run_mount *mount, struct container_create_request *request,
			 struct error *err)
{
	AUTO_FREE char *prefix = xasprintf("%s=", mount->id);
	const char *path = NULL;

	for (size_t i = 0; !path && i < mounts->caches.count; i++)
		path = text_after(mounts->caches.items[i], prefix);
	if (!path)
		return error_set(err, ERR_INTERNAL, "the cache %s is not locked", mount->id);
	if (make_cache(path, mount, err) < 0)
		return -1;
	add_request(request, "bind", path, mount->target)->read_only = !mount->writable;
	return 0;
}

void mounts_prune_caches(struct engine *engine)
{
	AUTO_FREE char *caches = caches_folder(engine);
	AUTO_CLOSEDIR DIR *folder = opendir(caches);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		AUTO_FREE char *path = path_join(caches, entry->d_name);
		AUTO_FREE char *lock = xasprintf("%s/0.lock", path);
		AUTO_CLOSE int fd = -1;

		if (entry->d_name[0] == '.')
			continue;
		fd = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
			remove_tree(dirfd(folder), entry->d_name);
	}
}

/* ---- tmpfs, secret ---- */

static void prepare_tmpfs(const struct run_mount *mount, struct container_create_request *request)
{
	struct mount_request *added = add_request(request, "tmpfs", "", mount->target);
	struct text_list_item *option;

	added->tmpfs = xcalloc(1, sizeof(*added->tmpfs));
	added->tmpfs->size_bytes = mount->size_bytes;
	/* Programs are compiled and run there. */
	option = json_array_add(&added->tmpfs->options, sizeof(*option));
	text_list_add(&option->values, "exec");
}

static int write_secret(const char *path, const char *data, size_t size, const struct run_mount *mount,
			struct error *err)
{
	int r = file_write_atomic(AT_FDCWD, path, data, size, 0600, FILE_NO_SYNC);

	if (r == 0 && (chown(path, mount->uid, mount->gid) < 0 || chmod(path, mount->mode) < 0))
		r = -errno;
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write a secret") : 0;
}

int build_secret(char **out_data, size_t *out_size, const struct build *build, const char *id, struct error *err)
{
	const struct build_options *options = build->options;
	const struct build_client *client = options->client;
	const char *encoded = options->secrets ? text_map_get(options->secrets, id) : NULL;

	if (client && client->secret)
		return client->secret(client->arg, id, build_cancel_fd(build), out_data, out_size, err);
	if (encoded && base64_decode(out_data, out_size, encoded) < 0)
		return error_set(err, ERR_INVALID, "secret %s is not base64", id);
	return encoded != NULL;
}

static int prepare_secret(struct mounts *mounts, struct build *build, const struct run_mount *mount, const char *folder,
			  size_t index, struct container_create_request *request, struct error *err)
{
	AUTO_FREE char *path = xasprintf("%s/secret%zu", folder, index);
	AUTO_FREE char *data = NULL;
	size_t size = 0;
	int found = build_secret(&data, &size, build, mount->id, err);

	if (found < 0)
		return -1;
	if (!found && !mount->required)
		return 0;
	if (!found)
		return error_set(err, ERR_INVALID, "secret %s: not found", mount->id);
	if (mount->variable && memchr(data, '\0', size))
		return error_set(err, ERR_INVALID, "secret %s holds a NUL byte and cannot be a variable", mount->id);
	if (mount->variable)
		text_list_addf(&mounts->secrets, "%s=%s", mount->variable, data);
	if (!mount->target)
		return 0;
	if (write_secret(path, data, size, mount, err) < 0)
		return -1;
	add_request(request, "bind", path, mount->target)->read_only = true;
	return 0;
}

/* ---- ssh ---- */

/* A path may be longer than a socket's address: the directory's descriptor is not. */
int build_listen(int dir_fd, const char *name, uid_t uid, gid_t gid, mode_t mode)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    fchmodat(dir_fd, name, mode, 0) < 0 || fchownat(dir_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    listen(fd, 16) < 0)
		return -errno;
	return take_fd(&fd);
}

static int prepare_ssh(struct mounts *mounts, struct build *build, const struct run_mount *mount, const char *folder,
		       size_t index, struct container_create_request *request, struct error *err)
{
	const struct build_client *client = build->options->client;
	AUTO_FREE char *name = xasprintf("ssh%zu", index);
	AUTO_FREE char *path = path_join(folder, name);
	AUTO_FREE char *usual = xasprintf("/run/buildkit/ssh_agent.%zu", mounts->agent_count);
	const char *target = mount->target ? mount->target : usual;
	AUTO_CLOSE int fd = -1;
	void *server = NULL;
	int r = 0;

	if (client && client->agent_start) {
		AUTO_CLOSE int dir_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

		fd = dir_fd < 0 ? -errno : build_listen(dir_fd, name, mount->uid, mount->gid, mount->mode);
		if (fd < 0)
			return error_set_errno(err, ERR_INTERNAL, fd, "listen on %s", path);
		r = client->agent_start(client->arg, mount->id, fd, build_cancel_fd(build), &server, err);
	}
	if (r < 0)
		return -1;
	if (r == 0)
		return mount->required
			       ? error_set(err, ERR_INVALID, "no SSH key \"%s\" forwarded from the client", mount->id)
			       : 0;
	/* The first is the one that programs find. */
	if (mounts->agent_count == 0)
		text_list_addf(&mounts->secrets, "SSH_AUTH_SOCK=%s", target);
	mounts->agents = xgrow(mounts->agents, &mounts->agent_capacity, mounts->agent_count + 1,
			       sizeof(*mounts->agents));
	mounts->agents[mounts->agent_count++] =
		(struct agent){ .client = client, .server = server, .listen_fd = take_fd(&fd) };
	add_request(request, "bind", path, target);
	return 0;
}

/* ---- all ---- */

static int prepare(struct mounts *mounts, struct build *build, const struct run_mount *mount, const char *folder,
		   size_t index, struct container_create_request *request, struct error *err)
{
	switch (mount->kind) {
	case RUN_BIND:
		return prepare_bind(mounts, build, mount, request, err);
	case RUN_CACHE:
		return prepare_cache(mounts, mount, request, err);
	case RUN_SECRET:
		return prepare_secret(mounts, build, mount, folder, index, request, err);
	case RUN_SSH:
		return prepare_ssh(mounts, build, mount, folder, index, request, err);
	case RUN_TMPFS:
		prepare_tmpfs(mount, request);
		return 0;
	}
	return 0;
}

int mounts_prepare(struct mounts *mounts, struct build *build, const struct exec_data *exec, const char *folder,
		   struct container_create_request *request, struct error *err)
{
	mounts->store = build->store;
	if (lock_caches(mounts, build, exec, err) < 0)
		return -1;
	for (size_t i = 0; i < exec->mount_count; i++)
		if (prepare(mounts, build, &exec->mounts[i], folder, i, request, err) < 0)
			return -1;
	return 0;
}

void mounts_fini(struct mounts *mounts)
{
	for (size_t i = 0; i < mounts->snapshots.count; i++) {
		AUTO(error_clear) struct error ignored = { 0 };

		snapshot_remove(mounts->store, mounts->snapshots.items[i], &ignored);
	}
	for (size_t i = 0; i < mounts->agent_count; i++) {
		mounts->agents[i].client->agent_stop(mounts->agents[i].server);
		close(mounts->agents[i].listen_fd);
	}
	free(mounts->agents);
	for (size_t i = 0; i < mounts->lock_count; i++)
		close(mounts->locks[i]);
	free(mounts->locks);
	text_list_fini(&mounts->caches);
	text_list_fini(&mounts->snapshots);
	text_list_fini(&mounts->secrets);
	*mounts = (struct mounts){ 0 };
}
