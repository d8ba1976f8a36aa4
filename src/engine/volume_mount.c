/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/volume_mount.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "base/process.h"
#include "engine/engine_private.h"
#include "engine/volume.h"

#define MOUNTINFO_MAX ((size_t)64 << 20)
#define OUTPUT_MAX 4096

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

static int run_mount(const struct volume *volume, struct error *err)
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
	if (process_run(NULL, text_list_argv(&argv), NULL, OUTPUT_MAX, err) < 0)
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

/* Waits until nobody else is at it; from then on the caller is. */
static struct mounted *claim(struct engine *engine, const char *name)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->mounts_mutex);
	struct mounted *mounted = map_get(&engine->mounted, name);

	if (!mounted) {
		mounted = xcalloc(1, sizeof(*mounted));
		map_set(&engine->mounted, name, mounted);
	}
	while (mounted->busy)
		condition_wait(&engine->mounts_changed, &engine->mounts_mutex);
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
	if (!text_equal(mount->type, "volume"))
		return 0;
	if (volume_inspect(out_volume, engine, mount->name, err) < 0)
		return -1;
	return out_volume->options.count > 0;
}

static int mount_one(struct engine *engine, const struct volume *volume, struct error *err)
{
	struct mounted *mounted = claim(engine, volume->name);
	int r = mounted->users ? 0 : run_mount(volume, err);

	if (r == 0)
		mounted->users++;
	let_go(engine, mounted);
	return r;
}

static void unmount_one(struct engine *engine, const struct volume *volume)
{
	struct mounted *mounted = claim(engine, volume->name);

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

int volumes_mount(struct container *container, struct error *err)
{
	for (size_t i = 0; i < container->document.mounts.count; i++) {
		struct volume volume = { 0 };
		int r = look(&volume, container->engine, &container->document.mounts.items[i], err);

		if (r > 0)
			r = mount_one(container->engine, &volume, err);
		json_free_fields(&volume, volume_fields);
		if (r < 0) {
			unmount_first(container, i);
			return -1;
		}
	}
	return 0;
}

void volumes_unmount(struct container *container)
{
	unmount_first(container, container->document.mounts.count);
}

/* ---- recovery ---- */

static void count_users(struct container *container)
{
	for (size_t i = 0; i < container->document.mounts.count; i++) {
		AUTO(error_clear) struct error ignored = { 0 };
		struct volume volume = { 0 };

		if (look(&volume, container->engine, &container->document.mounts.items[i], &ignored) > 0) {
			struct mounted *mounted = claim(container->engine, volume.name);

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
