/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: what this host lacks for containers, each with what to do about it. Works without an engine. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/program.h"
#include "cli/commands.h"
#include "sys/cgroup.h"

#define DATA_ROOT "/var/lib/kist"
#define FREE_MIN_BYTES (UINT64_C(1) << 30)
#define FILE_MAX 65536

enum verdict { GOOD, SO_SO, BAD };

struct checkup {
	unsigned bad;
};

__attribute__((format(printf, 3, 4))) static void say(struct checkup *checkup, enum verdict verdict, const char *format,
						      ...)
{
	static const char *const words[] = { "ok  ", "note", "BAD " };
	va_list args;

	printf("%s  ", words[verdict]);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	checkup->bad += verdict == BAD;
}

static bool file_has(const char *path, const char *word)
{
	AUTO_FREE char *text = NULL;

	return file_read(&text, NULL, AT_FDCWD, path, FILE_MAX) == 0 && strstr(text, word);
}

static bool in_path(const char *program)
{
	AUTO(text_list_fini) struct text_list folders = { 0 };

	text_list_split(&folders, text_or_empty(getenv("PATH")), ':');
	text_list_add(&folders, "/usr/sbin");
	text_list_add(&folders, "/sbin");
	for (size_t i = 0; i < folders.count; i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", folders.items[i], program);

		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

/* ---- kernel ---- */

static void check_kernel(struct checkup *checkup)
{
	struct utsname system;
	int major = 0;
	int minor = 0;

	uname(&system);
	if (sscanf(system.release, "%d.%d", &major, &minor) == 2 && (major > 5 || (major == 5 && minor >= 12)))
		say(checkup, GOOD, "Linux %s", system.release);
	else
		say(checkup, BAD, "Linux %s is too old: kist needs 5.12", system.release);
	if (file_has("/proc/filesystems", "overlay"))
		say(checkup, GOOD, "overlay file system");
	else
		say(checkup, SO_SO,
		    "no overlay file system: `modprobe overlay`, or containers are copies of their images "
		    "(--storage-driver copy)");
	if (access("/proc/self/ns/user", F_OK) != 0)
		say(checkup, SO_SO, "no user namespaces: containers cannot have their own users");
	if (!file_has("/proc/self/status", "Seccomp:"))
		say(checkup, BAD, "no seccomp: containers could make every system call");
	else
		say(checkup, GOOD, "seccomp");
	if (file_has("/sys/kernel/security/lsm", "landlock"))
		say(checkup, GOOD, "Landlock");
	else
		say(checkup, SO_SO, "no Landlock: kist-transfer is confined by its user and system calls only");
}

static void check_cgroups(struct checkup *checkup)
{
	static const char *const wanted[] = { "cpu", "memory", "pids", "io", NULL };
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	enum cgroup_mode mode = cgroup_detect();

	if (mode == CGROUP_NONE) {
		say(checkup, BAD, "control groups are not mounted: `mount -t cgroup2 none /sys/fs/cgroup`");
		return;
	}
	if (cgroup_controllers(&names, &err) < 0) {
		say(checkup, BAD, "control groups: %s", err.message);
		return;
	}
	say(checkup, mode == CGROUP_V2 ? GOOD : SO_SO, "control groups: %s%s",
	    mode == CGROUP_V2	    ? "version 2"
	    : mode == CGROUP_HYBRID ? "version 1 with a version 2 tree"
				    : "version 1",
	    mode == CGROUP_V2 ? "" : " (Linux will drop version 1)");
	for (const char *const *name = wanted; *name; name++)
		if (!text_list_contains(&names, *name) &&
		    !(text_equal(*name, "io") && text_list_contains(&names, "blkio")))
			say(checkup, SO_SO, "no %s controller: its limits cannot be set", *name);
	if (!cgroup_accounts_swap())
		say(checkup, SO_SO,
		    "swap is not accounted: --memory-swap has no effect (swapaccount=1 on old kernels)");
}

/* ---- network, disk, programs, engine ---- */

static void check_network(struct checkup *checkup)
{
	if (in_path("nft"))
		say(checkup, GOOD, "nft");
	else
		say(checkup, BAD, "no nft program: bridge networks and published ports need it (package nftables)");
	if (!file_has("/proc/sys/net/ipv4/ip_forward", "1"))
		say(checkup, SO_SO, "net.ipv4.ip_forward is off; kistd switches it on for its bridges");
	if (!file_has("/etc/resolv.conf", "nameserver"))
		say(checkup, SO_SO, "/etc/resolv.conf names no server: containers ask 8.8.8.8");
}

static void check_disk(struct checkup *checkup)
{
	const char *place = access(DATA_ROOT, F_OK) == 0 ? DATA_ROOT : "/var/lib";
	struct statvfs disk;
	uint64_t left;

	if (statvfs(place, &disk) < 0)
		return;
	left = (uint64_t)disk.f_bavail * disk.f_frsize;
	say(checkup, left < FREE_MIN_BYTES ? SO_SO : GOOD, "%llu MiB free on %s", (unsigned long long)(left >> 20),
	    place);
	if (disk.f_files > 0 && disk.f_favail < 10000)
		say(checkup, SO_SO, "few inodes are left on %s: images have many files", place);
}

static void check_programs(struct checkup *checkup)
{
	static const char *const programs[] = { "kistd",       "kist-shim",  "kist-transfer",
						"kist-unpack", "kist-files", "kist-archive",
						"kist-image",  "kist-init",  NULL };

	for (const char *const *name = programs; *name; name++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO_FREE char *path = program_find(*name, &err);

		if (!path)
			say(checkup, BAD, "%s", err.message);
	}
}

static void say_engine(struct checkup *checkup, struct client *client)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(json_value_freep) struct json_value *info = NULL;

	say(checkup, GOOD, "an engine answers at %s (API %s)", client->host, client->api_version);
	if (client_get(&info, client, &ignored, "/info") == 0)
		say(checkup, GOOD, "its storage driver is %s",
		    text_or_empty(json_value_text(json_value_get(info, "Driver"))));
}

static void check_engine(struct checkup *checkup, struct cli *cli)
{
	AUTO(error_clear) struct error err = { 0 };
	const struct client_options options = { .host = cli->host ? cli->host : CLIENT_DEFAULT_HOST };
	const char *named = getenv("KIST_HOST") ? getenv("KIST_HOST") : getenv("DOCKER_HOST");
	const struct client_options chosen = { .host = cli->host ? cli->host : named ? named : options.host };
	struct client client = { 0 };

	if (client_open(&client, &chosen, &err) == 0)
		say_engine(checkup, &client);
	else if (geteuid() != 0)
		say(checkup, SO_SO, "no engine: %s (`sudo kist` starts one)", err.message);
	else
		say(checkup, SO_SO, "no engine: %s (the next command starts one)", err.message);
	client_close(&client);
}

static int run_doctor(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	struct checkup checkup = { 0 };

	(void)options;
	(void)operands;
	(void)err;
	check_kernel(&checkup);
	check_cgroups(&checkup);
	check_network(&checkup);
	check_disk(&checkup);
	check_programs(&checkup);
	check_engine(&checkup, cli);
	if (checkup.bad)
		printf("\n%u things must be mended before containers can run here.\n", checkup.bad);
	return checkup.bad ? 1 : 0;
}

const struct command command_doctor = {
	.usage = "",
	.summary = "Say what this host lacks for containers",
	.min_operands = 0,
	.max_operands = 0,
	.run = run_doctor,
};
