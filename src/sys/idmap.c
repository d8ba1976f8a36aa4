/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "sys/namespace.h"

#define MAP_MAX (1 << 16)

static char *map_text(const struct idmap_range *ranges, size_t count)
{
	struct text text = { 0 };

	for (size_t i = 0; i < count; i++)
		text_addf(&text, "%u %u %u\n", ranges[i].container_id, ranges[i].host_id, ranges[i].size);
	return text_take(&text);
}

static int write_proc(pid_t pid, const char *file, const char *text, struct error *err)
{
	char path[64];
	int failed;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	failed = file_write_once(AT_FDCWD, path, text);
	if (failed < 0)
		return error_set_errno(err, failed == -EPERM ? ERR_FORBIDDEN : ERR_INVALID, failed, "write %s", path);
	return 0;
}

/* newuidmap PID inside outside count ... */
static int run_helper(const char *helper, pid_t pid, const struct idmap_range *ranges, size_t count, struct error *err)
{
	AUTO(text_list_fini) struct text_list argv = { 0 };

	text_list_add(&argv, helper);
	text_list_addf(&argv, "%d", pid);
	for (size_t i = 0; i < count; i++) {
		text_list_addf(&argv, "%u", ranges[i].container_id);
		text_list_addf(&argv, "%u", ranges[i].host_id);
		text_list_addf(&argv, "%u", ranges[i].size);
	}
	return process_run(NULL, text_list_argv(&argv), NULL, 4096, err);
}

/* The kernel lets anyone map just themselves, if setgroups is given up. */
static bool is_self_only(const struct idmap *map)
{
	return map->uid_count == 1 && map->uids[0].size == 1 && map->uids[0].host_id == geteuid() &&
	       map->gid_count <= 1 &&
	       (map->gid_count == 0 || (map->gids[0].size == 1 && map->gids[0].host_id == getegid()));
}

int idmap_write(pid_t pid, const struct idmap *map, struct error *err)
{
	AUTO_FREE char *uids = map_text(map->uids, map->uid_count);
	AUTO_FREE char *gids = map_text(map->gids, map->gid_count);
	bool privileged = geteuid() == 0;

	if (!privileged && !is_self_only(map)) {
		if (run_helper("newuidmap", pid, map->uids, map->uid_count, err) < 0)
			return -1;
		return map->gid_count ? run_helper("newgidmap", pid, map->gids, map->gid_count, err) : 0;
	}
	if (!privileged && write_proc(pid, "setgroups", "deny", err) < 0)
		return -1;
	if (map->gid_count && write_proc(pid, "gid_map", gids, err) < 0)
		return -1;
	return map->uid_count ? write_proc(pid, "uid_map", uids, err) : 0;
}

int idmap_namespace(const struct idmap *map, struct error *err)
{
	pid_t parent = getpid();
	pid_t pid = namespace_clone(CLONE_NEWUSER, -1, NULL);
	int fd = -1;

	if (pid < 0)
		return error_set_errno(err, ERR_INTERNAL, pid, "make a user namespace for an id-mapped mount");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* It may have ended before that. */
		if (getppid() != parent)
			_exit(1);
		for (;;)
			pause();
	}
	if (idmap_write(pid, map, err) == 0) {
		fd = namespace_open(pid, namespace_kind_find("user"));
		if (fd < 0)
			error_set_errno(err, ERR_INTERNAL, fd, "open the user namespace of an id-mapped mount");
	}
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return fd < 0 ? -1 : fd;
}

bool idmap_is_whole(void)
{
	AUTO_FREE char *text = NULL;
	unsigned inside, outside, size;

	return file_read(&text, NULL, AT_FDCWD, "/proc/self/uid_map", MAP_MAX) == 0 &&
	       sscanf(text, "%u %u %u", &inside, &outside, &size) == 3 && inside == 0 && outside == 0 &&
	       size == UINT32_MAX;
}

int64_t idmap_to_host(const struct idmap_range *ranges, size_t count, uint32_t container_id)
{
	for (size_t i = 0; i < count; i++)
		if (container_id >= ranges[i].container_id && container_id - ranges[i].container_id < ranges[i].size)
			return (int64_t)ranges[i].host_id + (container_id - ranges[i].container_id);
	return -1;
}
