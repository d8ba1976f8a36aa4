/* SPDX-License-Identifier: Apache-2.0 */
/* Which process of this network namespace has a port. Asked only when it is in the way: all of /proc is looked at. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "network/port.h"

#define TABLE_MAX ((size_t)16 << 20)
#define TCP_LISTEN 10

/* A line of /proc/net/tcp: "  0: 0100007F:0035 00000000:0000 0A 0:0 0:0 0 uid 0 inode ..."; 0 if it is another's. */
static unsigned long socket_of_line(const char *line, enum network_protocol protocol, uint16_t port)
{
	unsigned long inode = 0;
	unsigned number, state;

	if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %lu", &number, &state, &inode) != 3 ||
	    number != port || (protocol == NETWORK_TCP && state != TCP_LISTEN))
		return 0;
	return inode;
}

static unsigned long socket_in(const char *path, enum network_protocol protocol, uint16_t port)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *text = NULL;

	if (file_read(&text, NULL, AT_FDCWD, path, TABLE_MAX) < 0)
		return 0;
	text_list_split(&lines, text, '\n');
	for (size_t i = 1; i < lines.count; i++) {
		unsigned long inode = socket_of_line(lines.items[i], protocol, port);

		if (inode)
			return inode;
	}
	return 0;
}

static bool has_socket(const char *pid, const char *wanted)
{
	AUTO_FREE char *path = xasprintf("/proc/%s/fd", pid);
	AUTO_CLOSEDIR DIR *folder = opendir(path);
	const struct dirent *entry;
	char target[64];

	while (folder && (entry = readdir(folder))) {
		ssize_t size = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);

		if (size <= 0)
			continue;
		target[size] = '\0';
		if (text_equal(target, wanted))
			return true;
	}
	return false;
}

static char *describe(const char *pid)
{
	AUTO_FREE char *path = xasprintf("/proc/%s/comm", pid);
	AUTO_FREE char *name = NULL;

	return file_read(&name, NULL, AT_FDCWD, path, 64) < 0 ? xasprintf("process %s", pid)
							      : xasprintf("process %s, %s", pid, text_trim(name));
}

char *port_holder(enum network_protocol protocol, uint16_t port)
{
	static const char *const tables[][2] = { { "/proc/net/tcp", "/proc/net/tcp6" },
						 { "/proc/net/udp", "/proc/net/udp6" } };
	AUTO_CLOSEDIR DIR *folder = NULL;
	AUTO_FREE char *wanted = NULL;
	const struct dirent *entry;
	unsigned long inode;

	if (protocol == NETWORK_SCTP)
		return NULL;
	inode = socket_in(tables[protocol][0], protocol, port);
	if (!inode)
		inode = socket_in(tables[protocol][1], protocol, port);
	if (!inode)
		return NULL;
	wanted = xasprintf("socket:[%lu]", inode);
	folder = opendir("/proc");
	while (folder && (entry = readdir(folder)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && has_socket(entry->d_name, wanted))
			return describe(entry->d_name);
	return NULL;
}
