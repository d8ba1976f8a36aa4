/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/volume_mount.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/process.h"
#include "engine/engine_private.h"
#include "engine/volume.h"
#include "engine/volume_row.h"
#include "engine/volume_use.h"

#define MOUNTINFO_MAX ((size_t)64 << 20)
#define OUTPUT_MAX 4096
#define MOUNT_LIMIT_NS (120 * CLOCK_SECOND)
#define STEP_MS 100

/* In engine->mounted, by the volume's name. */
struct mounted {
	size_t users;
	bool busy; /* somebody mounts or unmounts it */
};

int volume_options_check(const struct text_map *options, struct error *err)
{
	static const char *const known[] = { "type", "o", "device" };
	static const char *const needed[][2] = {
		{ "device", "type" }, { "type", "device" }, { "o", "device" }, { "o", "type" }
	};

	for (size_t i = 0; i < options->count; i++) {
		const char *key = options->items[i].key;

		if (text_equal(key, "size"))
			return error_set(err, ERR_INVALID, "quota size requested but no quota support");
		if (!text_equal(key, known[0]) && !text_equal(key, known[1]) && !text_equal(key, known[2]))
			return error_set(err, ERR_INVALID, "invalid option: \"%s\"", key);
	}
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (text_map_get(options, needed[i][0]) && !text_map_get(options, needed[i][1]))
			return error_set(err, ERR_INVALID, "missing required option: \"%s\"", needed[i][1]);
	return 0;
}

/* ---- mount(8) ---- */

static bool gave_up(struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	return container->mounts_given_up;
}

/* The kernel's nfs and cifs want addr= as a number; people write names. */
static char *resolve_address(const char *words)
{
	AUTO(text_list_fini) struct text_list list = { 0 };

	text_list_split(&list, words, ',');
	for (size_t i = 0; i < list.count; i++) {
		const char *name = text_after(list.items[i], "addr=");
		const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
		struct addrinfo *found = NULL;
		char number[INET6_ADDRSTRLEN];

		if (!name || getaddrinfo(name, NULL, &hints, &found) != 0)
			continue;
		if (getnameinfo(found->ai_addr, found->ai_addrlen, number, sizeof(number), NULL, 0, NI_NUMERICHOST) ==
		    0) {
			free(list.items[i]);
			list.items[i] = xasprintf("addr=%s", number);
		}
		freeaddrinfo(found);
	}
	return text_list_join(&list, ",");
}

/* One that the kernel does not let go yet: nobody waits for it but this thread. */
static void *reap(void *arg)
{
	struct process *process = arg;

	process_fini(process);
	free(process);
	return NULL;
}

static void leave_to_reaper(struct process *process)
{
	struct process *left = xcalloc(1, sizeof(*left));
	AUTO(error_clear) struct error err = { 0 };

	*left = *process;
	if (thread_start(NULL, "mount-reaper", reap, left, &err) < 0)
		free(left);
	process->pidfd = -1;
}

/* What it wrote there, for an error. */
static void read_words(char *out, size_t size, int fd)
{
	ssize_t got = pread(fd, out, size - 1, 0);

	out[got > 0 ? got : 0] = '\0';
}

static bool is_over(struct container *container)
{
	return gave_up(container) || atomic_load(&container->engine->stopping);
}

/* 1 it ended, 0 nobody waits for it any longer. */
static int await_mount(struct process *process, struct process_end *out_end, struct container *container,
		       struct error *err)
{
	int64_t deadline_ns = clock_monotonic_ns() + MOUNT_LIMIT_NS;
	int r = 0;

	while (r == 0 && clock_monotonic_ns() < deadline_ns && !is_over(container))
		r = process_wait(process, out_end, STEP_MS, -1, err);
	return r;
}

/* A server that does not answer is given up after a while; the container's stop or removal ends it at once. */
static int run_limited(char *const *argv, struct container *container, struct error *err)
{
	AUTO_CLOSE int words_fd = memfd_create("mount", MFD_CLOEXEC);
	struct process process = { .pidfd = -1 };
	struct process_end end = { 0 };
	char words[OUTPUT_MAX];
	int r;

	if (words_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "memfd_create");
	if (process_spawn(&process, &(struct process_options){ .path = argv[0], .argv = argv, .stderr_fd = words_fd },
			  err) < 0)
		return -1;
	r = await_mount(&process, &end, container, err);
	if (r <= 0) {
		process_kill(&process, SIGKILL);
		leave_to_reaper(&process);
	}
	if (r < 0)
		return -1;
	if (r == 0 && is_over(container))
		return error_set(err, ERR_CANCELED, "canceled");
	if (r == 0)
		return error_set(err, ERR_INTERNAL, "the server did not answer within %d s",
				 (int)(MOUNT_LIMIT_NS / CLOCK_SECOND));
	if (!end.signaled && end.code == 0)
		return 0;
	read_words(words, sizeof(words), words_fd);
	return error_set(err, ERR_INTERNAL, "%s", *text_trim(words) ? text_trim(words) : "mount(8) failed");
}

static int run_mount(struct container *container, const struct volume *volume, struct error *err)
{
	const char *words = text_map_get(&volume->options, "o");
	AUTO_FREE char *resolved = resolve_address(text_or_empty(words));
	AUTO(text_list_fini) struct text_list argv = { 0 };

	/* -i: the kernel's own words, no helper's, as dockerd's mount(2). */
	text_list_add(&argv, "mount");
	text_list_add(&argv, "-i");
	text_list_add(&argv, "-t");
	text_list_add(&argv, text_map_get(&volume->options, "type"));
	if (*resolved) {
		text_list_add(&argv, "-o");
		text_list_add(&argv, resolved);
	}
	text_list_add(&argv, "--");
	text_list_add(&argv, text_map_get(&volume->options, "device"));
	text_list_add(&argv, volume->mountpoint);
	if (run_limited(text_list_argv(&argv), container, err) < 0)
		return error_prefix(err, "error while mounting volume '%s': failed to mount local volume: mount %s:%s",
				    volume->mountpoint, text_map_get(&volume->options, "device"), volume->mountpoint);
	return 0;
}

/* Whoever still has files open keeps them; nobody waits for a server that is gone. */
static void detach(const char *path)
{
	umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

/* ---- users ---- */

static struct mounted *find_locked(struct engine *engine, const char *name)
{
	struct mounted *mounted = map_get(&engine->mounted, name);

	if (!mounted) {
		mounted = xcalloc(1, sizeof(*mounted));
		map_set(&engine->mounted, name, mounted);
	}
	return mounted;
}

/* Waits until nobody else is at it; from then on the caller is. container: may give up; NULL: waits on. NULL: it did. */
static struct mounted *claim(struct engine *engine, struct container *container, const char *name)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->mounts_mutex);
	struct mounted *mounted = find_locked(engine, name);

	while (mounted->busy) {
		if (container && (gave_up(container) || atomic_load(&engine->stopping)))
			return NULL;
		condition_wait_until(&engine->mounts_changed, &engine->mounts_mutex,
				     clock_monotonic_ns() + STEP_MS * CLOCK_MS);
	}
	mounted->busy = true;
	return mounted;
}

static void let_go(struct engine *engine, struct mounted *mounted)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->mounts_mutex);

	mounted->busy = false;
	condition_broadcast(&engine->mounts_changed);
}

/* 1 it has options, 0 not; -1: there is none. */
static int look(struct volume *out_volume, struct engine *engine, const struct container_mount *mount,
		struct error *err)
{
	int r;

	if (!text_equal(mount->type, "volume") || volume_mount_is_plugins(mount))
		return 0;
	r = volume_row_find(out_volume, engine, mount->name, err);
	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "get %s: no such volume", mount->name);
	return r < 0 ? -1 : out_volume->options.count > 0;
}

static int mount_one(struct container *container, const struct volume *volume, struct error *err)
{
	struct engine *engine = container->engine;
	struct mounted *mounted = claim(engine, container, volume->name);
	int r;

	if (!mounted)
		return error_set(err, ERR_CANCELED, "error while mounting volume '%s': canceled", volume->mountpoint);
	r = mounted->users ? 0 : run_mount(container, volume, err);
	if (r == 0)
		mounted->users++;
	let_go(engine, mounted);
	return r;
}

/* Whoever mounts meanwhile is an other user of it: so there are others, and nothing to unmount. */
static void unmount_one(struct engine *engine, const struct volume *volume)
{
	struct mounted *mounted = claim(engine, NULL, volume->name);

	if (mounted->users > 0 && --mounted->users == 0)
		detach(volume->mountpoint);
	let_go(engine, mounted);
}

static void unmount_first(struct container *container, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		AUTO(error_clear) struct error ignored = { 0 };
		struct volume volume = { 0 };

		if (look(&volume, container->engine, &container->document.mounts.items[i], &ignored) > 0)
			unmount_one(container->engine, &volume);
		json_free_fields(&volume, volume_fields);
	}
}

static int mount_local(struct container *container, size_t *out_done, struct error *err)
{
	for (; *out_done < container->document.mounts.count; ++*out_done) {
		struct volume volume = { 0 };
		int r = look(&volume, container->engine, &container->document.mounts.items[*out_done], err);

		if (r > 0)
			r = mount_one(container, &volume, err);
		json_free_fields(&volume, volume_fields);
		if (r < 0)
			return -1;
	}
	return 0;
}

static int mount_all(struct container *container, bool to_fill, struct error *err)
{
	size_t done = 0;

	mutex_lock(&container->mutex);
	container->mounts_given_up = false;
	mutex_unlock(&container->mutex);
	if (mount_local(container, &done, err) < 0 || volume_uses_begin(container, to_fill, err) < 0) {
		unmount_first(container, done);
		return -1;
	}
	return 0;
}

int volumes_mount(struct container *container, struct error *err)
{
	return mount_all(container, false, err);
}

int volumes_mount_to_fill(struct container *container, struct error *err)
{
	return mount_all(container, true, err);
}

void volumes_unmount(struct container *container)
{
	unmount_first(container, container->document.mounts.count);
}

bool volumes_are_remote(struct container *container)
{
	bool remote = false;

	for (size_t i = 0; i < container->document.mounts.count && !remote; i++) {
		const struct container_mount *mount = &container->document.mounts.items[i];
		AUTO(error_clear) struct error ignored = { 0 };
		struct volume volume = { 0 };

		remote = volume_mount_is_plugins(mount);
		if (look(&volume, container->engine, mount, &ignored) > 0) {
			const char *type = text_or_empty(text_map_get(&volume.options, "type"));

			remote = !text_equal(type, "tmpfs") && !text_equal(type, "none") && !text_equal(type, "bind");
		}
		json_free_fields(&volume, volume_fields);
	}
	return remote;
}

/* ---- recovery ---- */

static void count_users(struct container *container)
{
	for (size_t i = 0; i < container->document.mounts.count; i++) {
		AUTO(error_clear) struct error ignored = { 0 };
		struct volume volume = { 0 };

		if (look(&volume, container->engine, &container->document.mounts.items[i], &ignored) > 0) {
			struct mounted *mounted = claim(container->engine, NULL, volume.name);

			mounted->users++;
			let_go(container->engine, mounted);
		}
		json_free_fields(&volume, volume_fields);
	}
}

/* The name of the volume that is mounted at this place; NULL: it is none of ours. Yours. */
static char *volume_at(const struct engine *engine, const char *place)
{
	AUTO_FREE char *folder = xasprintf("%s/volumes/", engine->data_root);
	const char *rest = text_after(place, folder);
	const char *slash = rest ? strchr(rest, '/') : NULL;

	return slash && text_equal(slash, "/_data") ? xstrndup(rest, (size_t)(slash - rest)) : NULL;
}

static void unmount_unused(struct engine *engine)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *text = NULL;

	if (file_read(&text, NULL, AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX) < 0)
		return;
	text_list_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		AUTO(text_list_fini) struct text_list words = { 0 };
		AUTO_FREE char *name = NULL;

		text_list_split(&words, lines.items[i], ' ');
		name = words.count > 4 ? volume_at(engine, words.items[4]) : NULL;
		if (name && !map_get(&engine->mounted, name))
			detach(words.items[4]);
	}
}

void volumes_mount_recover(struct engine *engine, struct container *const *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (items[i]->document.state.running && !items[i]->document.state.restarting)
			count_users(items[i]);
	unmount_unused(engine);
	volume_uses_recover(engine, items, count);
}

void volumes_mount_fini(struct engine *engine)
{
	const char *name;
	size_t at = 0;
	void *mounted;

	while ((mounted = map_next(&engine->mounted, &at, &name)))
		free(mounted);
	map_fini(&engine->mounted);
	condition_fini(&engine->mounts_changed);
	mutex_fini(&engine->mounts_mutex);
}
