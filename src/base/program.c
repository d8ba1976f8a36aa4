/* SPDX-License-Identifier: Apache-2.0 */
#include "base/program.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"

#define KEPT_FOLDER "KIST_PROGRAM_FOLDER"

/* Behind the folder of the running program; the last two are the build tree's. */
static const struct {
	const char *name;
	const char *room;
} rooms[] = {
	{ "kist", "cli" },
	{ "kistd", "daemon" },
	{ "kist-runtime", "runtime" },
	{ "kist-registry", "registryd" },
	{ "kist-shim", "shim" },
	{ "kist-systemd-scope", "systemd" },
	{ "kist-transfer", "transfer" },
	{ "kist-files", "archive" },
	{ "kist-git", "git" },
	{ "kist-unpack", "archive" },
	{ "kist-resolve", "resolver" },
	{ "kist-proxy", "network" },
	{ "kist-sysctl", "network" },
	{ "kist-cni", "cni" },
	{ "kist-log", "logs" },
	{ "kist-dial", "http" },
	{ "kist-init", "init" },
	{ "kist-archive", "archive" },
	{ "kist-image", "image" },
};

static const char *room_of(const char *name)
{
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++)
		if (text_equal(rooms[i].name, name))
			return rooms[i].room;
	return name;
}

static bool is_own_file(const char *path)
{
	struct stat own, there;

	return stat("/proc/self/exe", &own) == 0 && stat(path, &there) == 0 && own.st_dev == there.st_dev &&
	       own.st_ino == there.st_ino;
}

/* A program executed through a detached mount has a path that leads elsewhere. */
static char *own_folder(void)
{
	char target[4096];
	ssize_t size = readlink("/proc/self/exe", target, sizeof(target) - 1);
	const char *kept = getenv(KEPT_FOLDER);

	if (size <= 0)
		return NULL;
	target[size] = '\0';
	if (kept && *kept == '/' && !is_own_file(target))
		return xstrdup(kept);
	return path_parent(target);
}

void program_keep_folder(void)
{
	AUTO_FREE char *folder = own_folder();

	if (folder)
		setenv(KEPT_FOLDER, folder, 1);
}

char *program_find(const char *name, struct error *err)
{
	AUTO_FREE char *folder = own_folder();
	AUTO(text_list_fini) struct text_list places = { 0 };
	AUTO_FREE char *tried = NULL;

	if (!folder) {
		error_set(err, ERR_INTERNAL, "find program %s: /proc/self/exe cannot be read", name);
		return NULL;
	}
	text_list_addf(&places, "%s/../libexec/kist/%s", folder, name);
	text_list_addf(&places, "%s/%s", folder, name);
	text_list_addf(&places, "%s/../../bin/%s", folder, name);
	text_list_addf(&places, "%s/../%s/%s", folder, room_of(name), name);
	text_list_addf(&places, "%s/../../../src/%s/%s", folder, room_of(name), name);
	for (size_t i = 0; i < places.count; i++)
		if (access(places.items[i], X_OK) == 0)
			return path_clean(places.items[i]);
	tried = text_list_join(&places, ", ");
	error_set(err, ERR_INTERNAL, "program %s is not installed (looked at %s)", name, tried);
	return NULL;
}

static char *read_word(int folder_fd, const char *thread, const char *file)
{
	AUTO_FREE char *path = xasprintf("%s/%s", thread, file);
	AUTO_FREE char *text = NULL;

	if (file_read(&text, NULL, folder_fd, path, 4096) < 0)
		return xstrdup("?");
	return xstrdup(text_trim(text));
}

char *program_threads(void)
{
	DIR *folder = opendir("/proc/self/task");
	struct text out = { 0 };
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		AUTO_FREE char *name = NULL;
		AUTO_FREE char *stat = NULL;
		AUTO_FREE char *place = NULL;
		const char *state;

		if (entry->d_name[0] == '.')
			continue;
		name = read_word(dirfd(folder), entry->d_name, "comm");
		stat = read_word(dirfd(folder), entry->d_name, "stat");
		place = read_word(dirfd(folder), entry->d_name, "wchan");
		state = strrchr(stat, ')');
		text_addf(&out, "%s %s %c %s\n", entry->d_name, name, state && state[1] ? state[2] : '?', place);
	}
	if (folder)
		closedir(folder);
	return text_take(&out);
}
