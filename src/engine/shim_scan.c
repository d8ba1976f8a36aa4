/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "engine/shim_scan.h"

#define COMMAND_LINE_MAX 65536
#define DEATH_PATIENCE_MS 2000
#define ROUNDS 4

/* The words of a command line, which NULs separate. */
static void read_words(struct text_list *words, int proc_fd, const char *pid)
{
	AUTO_FREE char *path = xasprintf("%s/cmdline", pid);
	AUTO_FREE char *text = NULL;
	size_t size = 0;

	if (file_read(&text, &size, proc_fd, path, COMMAND_LINE_MAX) < 0)
		return;
	for (size_t at = 0; at < size; at += strlen(text + at) + 1)
		text_list_add(words, text + at);
}

static const char *option(const struct text_list *words, const char *name)
{
	for (size_t i = 1; i + 1 < words->count; i++)
		if (text_equal(words->items[i], name))
			return words->items[i + 1];
	return NULL;
}

bool shim_is_of(int64_t pid, const char *id)
{
	AUTO(text_list_fini) struct text_list words = { 0 };
	AUTO_CLOSE int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char number[24];

	snprintf(number, sizeof(number), "%lld", (long long)pid);
	if (pid <= 0 || proc_fd < 0)
		return false;
	read_words(&words, proc_fd, number);
	return words.count && text_equal(path_base(words.items[0]), "kist-shim") &&
	       text_equal(option(&words, "-id"), id);
}

static bool is_expected(struct engine *engine, const char *id)
{
	AUTO(container_unrefp) struct container *container = NULL;
	AUTO(error_clear) struct error missing = { 0 };

	if (id && text_list_contains(&engine->unreadable, id))
		return true;
	return id && container_find(&container, engine, id, &missing) == 0 && container_is_running(container);
}

/* true if it is ours and nobody waits for it. */
static bool is_strange(struct engine *engine, const struct text_list *words)
{
	AUTO_FREE char *shims = path_join(engine->exec_root, "shim/");
	const char *bundle = option(words, "-bundle");

	return words->count && text_equal(path_base(words->items[0]), "kist-shim") && bundle &&
	       text_has_prefix(bundle, shims) && !is_expected(engine, option(words, "-id"));
}

/* By pidfd, looked at again once it is held: the number may have gone to another. */
static bool kill_if_strange(struct engine *engine, int proc_fd, const char *pid)
{
	AUTO(text_list_fini) struct text_list words = { 0 };
	AUTO_CLOSE int pidfd = -1;
	struct pollfd death = { .events = POLLIN };

	read_words(&words, proc_fd, pid);
	if (!is_strange(engine, &words))
		return false;
	pidfd = (int)syscall(SYS_pidfd_open, (pid_t)strtol(pid, NULL, 10), 0);
	text_list_fini(&words);
	read_words(&words, proc_fd, pid);
	if (pidfd < 0 || !is_strange(engine, &words) || syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
		return false;
	death.fd = pidfd;
	poll(&death, 1, DEATH_PATIENCE_MS);
	if (option(&words, "-socket"))
		unlink(option(&words, "-socket"));
	return true;
}

static size_t scan(struct engine *engine)
{
	AUTO_CLOSEDIR DIR *proc = opendir("/proc");
	struct dirent *entry;
	size_t killed = 0;

	while (proc && (entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			killed += kill_if_strange(engine, dirfd(proc), entry->d_name);
	return killed;
}

void shims_kill_strange(struct engine *engine)
{
	/* `kist-shim start` may be about to start the one that stays: until a round finds none. */
	for (int round = 0; round < ROUNDS && scan(engine) > 0; round++)
		;
}
