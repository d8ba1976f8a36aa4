/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: overlay takes layers by path only, and only mounts that are
 * attached somewhere in the namespace of whoever mounts it. So a child with a
 * mount namespace of its own puts a tmpfs over the (empty) rootfs folder,
 * attaches the id-mapped layers below it as 0, 1, ... and u, mounts the overlay,
 * sends it back, and ends; its namespace goes with it, the overlay keeps the
 * layers.
 */
#include "runtime/host_rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "runtime/mount_option.h"
#include "runtime/runtime.h"
#include "sys/fd_pass.h"
#include "sys/idmap.h"
#include "sys/mount_api.h"
#include "sys/namespace.h"

#define SENT_MOUNT 'm'
#define SENT_ERROR 'e'
#define REASON_MAX 4096

/* A detached, id-mapped copy of a folder. */
static int map_folder(const char *path, bool recursive, int userns, struct error *err)
{
	AUTO_CLOSE int fd = mount_clone(AT_FDCWD, path, recursive);
	int r = fd < 0 ? fd : mount_idmap(fd, recursive, userns);

	if (r < 0)
		return error_set_errno(err, ERR_UNSUPPORTED, r, "rootfs: id-mapped mount of %s", path);
	return take_fd(&fd);
}

static int attach_folder(const char *name, const char *path, int userns, struct error *err)
{
	AUTO_CLOSE int fd = map_folder(path, false, userns, err);
	int r;

	if (fd < 0)
		return -1;
	if (mkdir(name, 0700) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "rootfs: make a place for %s", path);
	r = mount_attach_at(fd, AT_FDCWD, name);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "rootfs: attach %s", path) : 0;
}

/* "lowerdir=/a:/b" becomes "lowerdir=0:1". */
static int attach_lower(struct text *data, const char *folders, int userns, struct error *err)
{
	AUTO(text_list_fini) struct text_list list = { 0 };

	text_list_split(&list, folders, ':');
	text_add(data, "lowerdir=");
	for (size_t i = 0; i < list.count; i++) {
		char name[24];

		snprintf(name, sizeof(name), "%zu", i);
		if (attach_folder(name, list.items[i], userns, err) < 0)
			return -1;
		text_addf(data, "%s%s", i ? ":" : "", name);
	}
	return 0;
}

/* upperdir and workdir must be below one mount: that of their parent. */
static int attach_upper(struct text *data, const char *upper, const char *work, int userns, struct error *err)
{
	AUTO_FREE char *parent = path_parent(upper);
	AUTO_FREE char *work_parent = path_parent(work);

	if (!text_equal(parent, work_parent))
		return error_set(err, ERR_UNSUPPORTED,
				 "rootfs: with a user namespace upperdir and workdir must be in one folder");
	if (attach_folder("u", parent, userns, err) < 0)
		return -1;
	text_addf(data, ",upperdir=u/%s,workdir=u/%s", path_base(upper), path_base(work));
	return 0;
}

/*
 * Overlay makes work files and whiteouts as whoever mounted it; the host's root has no id in mapped layers. Leaving
 * fsuid 0 takes capabilities away, which come back from the permitted ones.
 */
static int become_mapped_root(const struct plan *plan, struct error *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	int64_t uid = idmap_to_host(plan->idmap.uids, plan->idmap.uid_count, 0);
	int64_t gid = idmap_to_host(plan->idmap.gids, plan->idmap.gid_count, 0);

	if (uid < 0 || gid < 0)
		return error_set(err, ERR_INVALID, "rootfs: the user namespace has no id 0");
	setfsgid((gid_t)gid);
	setfsuid((uid_t)uid);
	if (syscall(SYS_capget, &header, data) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "rootfs: capget");
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		data[i].effective = data[i].permitted;
	if (syscall(SYS_capset, &header, data) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "rootfs: capset");
	return 0;
}

static int make_overlay(const struct plan *plan, const struct mount_options *options, int userns, struct error *err)
{
	AUTO(text_list_fini) struct text_list words = { 0 };
	AUTO(text_fini) struct text data = { 0 };
	const char *lower;
	const char *upper;
	const char *work;

	text_list_split(&words, text_or_empty(options->data.data), ',');
	lower = text_list_env(&words, "lowerdir");
	upper = text_list_env(&words, "upperdir");
	work = text_list_env(&words, "workdir");
	if (!lower || attach_lower(&data, lower, userns, err) < 0)
		return error_is_set(err) ? -1 : error_set(err, ERR_INVALID, "rootfs: overlay without lowerdir");
	if (upper && work && attach_upper(&data, upper, work, userns, err) < 0)
		return -1;
	for (size_t i = 0; i < words.count; i++)
		if (!text_has_prefix(words.items[i], "lowerdir=") && !text_has_prefix(words.items[i], "upperdir=") &&
		    !text_has_prefix(words.items[i], "workdir="))
			text_addf(&data, ",%s", words.items[i]);
	if (become_mapped_root(plan, err) < 0)
		return -1;
	return mount_new("overlay", "overlay", data.data, options->superblock, options->attr_set, err);
}

/* In the child: a place of our own to attach things. */
static int make_place(const char *rootfs, struct error *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", rootfs, "tmpfs", MS_NOSUID | MS_NODEV, "mode=700") < 0 || chdir(rootfs) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "rootfs: a place to attach layers");
	return 0;
}

static int make_one(const struct plan *plan, const struct runtime_rootfs_mount *given, int userns, struct error *err)
{
	AUTO(mount_options_fini) struct mount_options options = { 0 };
	static const struct text_list none;

	if (mount_options_parse(&options, given->options ? given->options : &none, err) < 0)
		return -1;
	if (options.bind || text_equal(given->type, "bind"))
		return map_folder(given->source, options.recursive_bind, userns, err);
	if (!text_equal(given->type, "overlay"))
		return error_set(err, ERR_UNSUPPORTED, "rootfs: %s cannot be id-mapped", given->type);
	if (make_place(plan->rootfs, err) < 0)
		return -1;
	return make_overlay(plan, &options, userns, err);
}

static _Noreturn void run_child(const struct plan *plan, const struct runtime_rootfs_mount *given, int userns,
				int socket_fd)
{
	AUTO(error_clear) struct error err = { 0 };
	char word = SENT_MOUNT;
	int fd = make_one(plan, given, userns, &err);

	if (fd >= 0) {
		_exit(fd_pass_send(socket_fd, &word, 1, &fd, 1) < 0);
	} else {
		AUTO_FREE char *text = xasprintf("%c%s", SENT_ERROR, text_or_empty(err.message));

		(void)!write(socket_fd, text, strnlen(text, REASON_MAX - 1));
		_exit(1);
	}
}

static int receive(int socket_fd, struct error *err)
{
	char reason[REASON_MAX];
	size_t count = 1;
	int fd = -1;
	ssize_t got = fd_pass_receive(socket_fd, reason, sizeof(reason) - 1, &fd, &count);

	if (got > 0 && reason[0] == SENT_MOUNT && count == 1)
		return fd;
	reason[got > 0 ? got : 0] = '\0';
	return error_set(err, ERR_UNSUPPORTED, "%s", got > 1 ? reason + 1 : "rootfs: its maker ended without a word");
}

static int make_in_child(const struct plan *plan, const struct runtime_rootfs_mount *given, int userns,
			 struct error *err)
{
	int pair[2];
	pid_t pid;
	int fd;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "rootfs: socketpair");
	pid = namespace_clone(CLONE_NEWNS, -1, NULL);
	if (pid == 0) {
		close(pair[0]);
		run_child(plan, given, userns, pair[1]);
	}
	close(pair[1]);
	fd = pid < 0 ? error_set_errno(err, ERR_INTERNAL, (int)pid, "rootfs: clone") : receive(pair[0], err);
	close(pair[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return fd;
}

int host_rootfs_make(struct plan *plan, struct error *err)
{
	size_t count = plan->create ? plan->create->rootfs_mount_count : 0;
	AUTO_CLOSE int userns = -1;

	if (!(plan->new_namespaces & CLONE_NEWUSER) || geteuid() != 0 || !plan->idmap.uid_count || !count)
		return 0;
	userns = idmap_namespace(&plan->idmap, err);
	if (userns < 0)
		return -1;
	plan->rootfs_fds = xcalloc(count, sizeof(int));
	for (size_t i = 0; i < count; i++)
		plan->rootfs_fds[i] = -1;
	for (size_t i = 0; i < count; i++) {
		plan->rootfs_fds[i] = make_in_child(plan, &plan->create->rootfs_mounts[i], userns, err);
		if (plan->rootfs_fds[i] < 0)
			return -1;
	}
	return 0;
}

void host_rootfs_close(struct plan *plan)
{
	for (size_t i = 0; plan->rootfs_fds && i < plan->create->rootfs_mount_count; i++)
		if (plan->rootfs_fds[i] >= 0)
			close(plan->rootfs_fds[i]);
	free(plan->rootfs_fds);
	plan->rootfs_fds = NULL;
}
