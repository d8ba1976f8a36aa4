/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/user_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "engine/engine_private.h"

#define SUBIDS_MAX ((size_t)1 << 20)
#define REMAP_DEFAULT "dockremap"
#define OWNER "kist"
#define AUTO_SIZE 65536
#define AUTO_SIZE_MIN 1024
#define AUTO_BASE INT64_C(1879048192)
#define AUTO_END INT64_C(2147483648)

struct range {
	int64_t base;
	int64_t size;
};

/* The first line "name:base:size" of a file; by name or number. 1 found, 0 not. */
static int find_range(struct range *out_range, const char *path, const char *name, int64_t id)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *number = xasprintf("%lld", (long long)id);

	if (file_read(&text, NULL, AT_FDCWD, path, SUBIDS_MAX) < 0)
		return 0;
	text_list_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		AUTO(text_list_fini) struct text_list words = { 0 };

		text_list_split(&words, lines.items[i], ':');
		if (words.count == 3 && (text_equal(words.items[0], name) || text_equal(words.items[0], number)) &&
		    text_parse_i64(&out_range->base, words.items[1], 1, UINT32_MAX) == 0 &&
		    text_parse_i64(&out_range->size, words.items[2], 1, UINT32_MAX - out_range->base) == 0)
			return 1;
	}
	return 0;
}

static int64_t user_id(const char *name)
{
	struct passwd entry;
	struct passwd *found = NULL;
	char buffer[4096];
	int64_t id;

	if (text_parse_i64(&id, name, 0, UINT32_MAX) == 0)
		return id;
	return getpwnam_r(name, &entry, buffer, sizeof(buffer), &found) == 0 && found ? (int64_t)entry.pw_uid : -1;
}

static int64_t group_id(const char *name)
{
	struct group entry;
	struct group *found = NULL;
	char buffer[4096];
	int64_t id;

	if (text_parse_i64(&id, name, 0, UINT32_MAX) == 0)
		return id;
	return getgrnam_r(name, &entry, buffer, sizeof(buffer), &found) == 0 && found ? (int64_t)entry.gr_gid : -1;
}

int user_namespace_remap(struct id_map *out_map, const char *remap, struct error *err)
{
	const char *colon = remap ? strchr(remap, ':') : NULL;
	AUTO_FREE char *user = colon ? xstrndup(remap, (size_t)(colon - remap)) : xstrdup(remap);
	const char *group;
	struct range uids;
	struct range gids;

	if (text_empty(remap) || text_equal(remap, "host"))
		return 0;
	if (text_equal(user, "default")) {
		free(user);
		user = xstrdup(REMAP_DEFAULT);
	}
	group = colon ? colon + 1 : user;
	if (!find_range(&uids, "/etc/subuid", user, user_id(user)))
		return error_set(err, ERR_INVALID,
				 "userns-remap: no subuid ranges found for user \"%s\" in /etc/subuid: add a line "
				 "\"%s:100000:65536\"",
				 user, user);
	if (!find_range(&gids, "/etc/subgid", group, group_id(group)))
		return error_set(err, ERR_INVALID,
				 "userns-remap: no subgid ranges found for group \"%s\" in /etc/subgid: add a line "
				 "\"%s:100000:65536\"",
				 group, group);
	*out_map = (struct id_map){ .uid_base = uids.base,
				    .gid_base = gids.base,
				    .size = uids.size < gids.size ? uids.size : gids.size };
	return 0;
}

int userns_mode_parse(int64_t *out_size, const char *mode, struct error *err)
{
	const char *size = text_after(text_or_empty(mode), "auto:size=");

	*out_size = 0;
	if (text_empty(mode) || text_equal(mode, "host"))
		return 0;
	*out_size = AUTO_SIZE;
	if (text_equal(mode, "auto"))
		return 0;
	if (!size)
		return error_set(err, ERR_INVALID, "invalid userns mode: %s", mode);
	if (text_parse_i64(out_size, size, AUTO_SIZE_MIN, AUTO_END - AUTO_BASE) < 0)
		return error_set(err, ERR_INVALID, "invalid userns mode: %s: the size is a number from %d on", mode,
				 AUTO_SIZE_MIN);
	return 0;
}

int user_namespace_check(const struct engine *engine, const struct host_config *host, struct error *err)
{
	bool remapped = engine->remap.size && text_empty(host->userns_mode);
	int64_t size;

	if (userns_mode_parse(&size, host->userns_mode, err) < 0)
		return -1;
	if (!size && !remapped)
		return 0;
	if (host->privileged)
		return error_set(err, ERR_INVALID,
				 "privileged mode is incompatible with user namespaces. You must run the container in "
				 "the host namespace when running privileged mode");
	if (text_equal(host->network_mode, "host"))
		return error_set(err, ERR_INVALID,
				 "cannot share the host's network namespace when user namespaces are enabled");
	for (size_t i = 0; i < host->mounts.count; i++)
		if (text_equal(host->mounts.items[i].type, "image"))
			return error_set(err, ERR_UNSUPPORTED,
					 "images cannot be mounted when user namespaces are enabled");
	if (text_equal(host->pid_mode, "host"))
		return error_set(err, ERR_INVALID,
				 "cannot share the host PID namespace when user namespaces are enabled");
	return 0;
}

static bool overlaps(const struct id_map *map, int64_t base, int64_t size)
{
	return map->size && base < map->uid_base + map->size && map->uid_base < base + size;
}

/* A range behind every other that is in the way. */
static int64_t find_free(struct engine *engine, int64_t base, int64_t end, int64_t size)
{
	bool moved = true;

	while (moved && base + size <= end) {
		const struct container *other;
		const char *id;
		size_t at = 0;

		moved = false;
		while ((other = map_next(&engine->by_id, &at, &id))) {
			if (!overlaps(&other->document.id_map, base, size))
				continue;
			base = other->document.id_map.uid_base + other->document.id_map.size;
			moved = true;
		}
	}
	return base + size <= end ? base : -1;
}

static int assign_auto(struct container *container, int64_t size, struct error *err)
{
	struct range uids = { AUTO_BASE, AUTO_END - AUTO_BASE };
	struct range gids;
	int64_t base;

	/* One range serves both kinds of ids: where the file has two, what they have in common. */
	if (find_range(&uids, "/etc/subuid", OWNER, -1) && find_range(&gids, "/etc/subgid", OWNER, -1)) {
		int64_t end = uids.base + uids.size < gids.base + gids.size ? uids.base + uids.size
									    : gids.base + gids.size;

		uids.base = uids.base > gids.base ? uids.base : gids.base;
		uids.size = end - uids.base;
	}
	base = find_free(container->engine, uids.base, uids.base + uids.size, size);
	if (base < 0)
		return error_set(err, ERR_EXHAUSTED, "no range of %lld ids is free for a user namespace",
				 (long long)size);
	container->document.id_map = (struct id_map){ .uid_base = base, .gid_base = base, .size = size };
	return 0;
}

int user_namespace_assign(struct container *container, struct error *err)
{
	const char *mode = container->document.host.userns_mode;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->engine->index);
	int64_t size;

	if (userns_mode_parse(&size, mode, err) < 0)
		return -1;
	if (size)
		return assign_auto(container, size, err);
	if (text_empty(mode))
		container->document.id_map = container->engine->remap;
	return 0;
}
