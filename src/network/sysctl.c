/* SPDX-License-Identifier: Apache-2.0 */
#include "network/sysctl.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/process.h"
#include "base/program.h"
#include "sys/netlink.h"

#define PLACE "/IFNAME/"
#define WAIT_MS 10000

/* "/proc/sys/net/ipv4/conf/eth0/log_martians"; yours. */
static char *path_of(const char *key, const char *link)
{
	const char *place = strstr(key, PLACE);

	return place ? xasprintf("/proc/sys/%.*s/%s/%s", (int)(place - key), key, link, place + strlen(PLACE))
		     : xasprintf("/proc/sys/%s", key);
}

static int set(char *path, char *value, const char *program, int namespace_fd, struct error *err)
{
	char *const argv[] = { (char[]){ "kist-sysctl" }, path, value, NULL };
	const struct process_options options = {
		.path = program, .argv = argv, .cwd = "/", .fds = &namespace_fd, .fd_count = 1
	};
	AUTO(process_fini) struct process process = { .pidfd = -1 };
	struct process_end end = { 0 };
	int r = process_spawn(&process, &options, err);

	if (r == 0)
		r = process_wait(&process, &end, WAIT_MS, -1, err);
	if (r < 0)
		return -1;
	if (r == 0 || end.signaled)
		return error_set(err, ERR_INTERNAL, "set %s: kist-sysctl %s", path, r ? "was killed" : "hangs");
	if (end.code == ENOENT)
		return error_set(err, ERR_INTERNAL, "%s is not a sysctl file", path);
	return end.code ? error_set_errno(err, ERR_INTERNAL, -end.code, "unable to write to '%s'", path) : 0;
}

int sysctl_apply(const struct text_map *sysctls, int netlink_fd, const char *link, struct error *err)
{
	AUTO_CLOSE int namespace_fd = -1;
	AUTO_FREE char *program = NULL;
	int r = 0;

	if (!sysctls || !sysctls->count)
		return 0;
	program = program_find("kist-sysctl", err);
	if (!program)
		return -1;
	namespace_fd = netlink_namespace(netlink_fd);
	if (namespace_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, namespace_fd, "reach the container's network namespace");
	for (size_t i = 0; r == 0 && i < sysctls->count; i++) {
		AUTO_FREE char *path = path_of(sysctls->items[i].key, link);

		r = set(path, sysctls->items[i].value, program, namespace_fd, err);
	}
	return r;
}
