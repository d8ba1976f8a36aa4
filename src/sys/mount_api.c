/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/mount_api.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"

#define FSCONFIG_TEXT_MAX 255

static const struct {
	unsigned long flag;
	const char *key;
} superblock_flags[] = {
	{ MS_RDONLY, "ro" },	 { MS_SYNCHRONOUS, "sync" },  { MS_DIRSYNC, "dirsync" },
	{ MS_MANDLOCK, "mand" }, { MS_LAZYTIME, "lazytime" },
};

/* The kernel's last complaint in the context ("e tmpfs: Bad value for 'size'"), without its letter; yours or NULL. */
static char *context_message(int context)
{
	char line[512];
	char *found = NULL;
	ssize_t size;

	while ((size = read(context, line, sizeof(line) - 1)) > 0) {
		line[size] = '\0';
		if (size > 2 && line[1] == ' ' && (line[0] == 'e' || !found)) {
			free(found);
			found = xstrdup(text_trim(line + 2));
		}
	}
	return found;
}

static int set_failed(int context, const char *fs_type, const char *what, int errnum, struct error *err)
{
	AUTO_FREE char *said = context_message(context);

	if (said)
		return error_set_errno(err, ERR_INVALID, errnum, "mount %s: %s (%s)", fs_type, said, what);
	return error_set_errno(err, ERR_INVALID, errnum, "mount %s: %s", fs_type, what);
}

/* fsconfig(2) takes at most 255 bytes of text. Overlay takes its lower layers one at a time too, since 6.5. */
static int set_lower_layers(int context, const char *fs_type, char *layers, struct error *err)
{
	char *rest = layers;
	char *layer;

	while ((layer = strsep(&rest, ":"))) {
		if (fsconfig(context, FSCONFIG_SET_STRING, "lowerdir+", layer, 0) < 0)
			return set_failed(context, fs_type, layer, errno, err);
	}
	return 0;
}

/* "key=value" or "key" of the data text; a comma ends it, a backslash protects the next byte as mount(8) reads it. */
static int set_option(int context, const char *fs_type, char *option, struct error *err)
{
	char *value = strchr(option, '=');
	int failed;

	if (value) {
		*value++ = '\0';
		if (strlen(value) > FSCONFIG_TEXT_MAX && strcmp(option, "lowerdir") == 0)
			return set_lower_layers(context, fs_type, value, err);
		failed = fsconfig(context, FSCONFIG_SET_STRING, option, value, 0);
	} else {
		failed = fsconfig(context, FSCONFIG_SET_FLAG, option, NULL, 0);
	}
	if (failed < 0)
		return set_failed(context, fs_type, option, errno, err);
	return 0;
}

/* overlay's lowerdir separates with ':', but a path may hold an escaped comma "\,". */
static char *option_end(char *option)
{
	for (char *c = option; *c; c++) {
		if (*c == '\\' && c[1] == ',') {
			memmove(c, c + 1, strlen(c));
			continue;
		}
		if (*c == ',')
			return c;
	}
	return NULL;
}

static int set_data(int context, const char *fs_type, const char *data, struct error *err)
{
	AUTO_FREE char *copy = xstrdup(text_or_empty(data));
	char *option = copy;

	while (*option) {
		char *end = option_end(option);

		if (end)
			*end = '\0';
		if (*option && set_option(context, fs_type, option, err) < 0)
			return -1;
		if (!end)
			break;
		option = end + 1;
	}
	return 0;
}

static int set_flags(int context, const char *fs_type, unsigned long sb_flags, struct error *err)
{
	for (size_t i = 0; i < sizeof(superblock_flags) / sizeof(superblock_flags[0]); i++)
		if (sb_flags & superblock_flags[i].flag &&
		    fsconfig(context, FSCONFIG_SET_FLAG, superblock_flags[i].key, NULL, 0) < 0)
			return set_failed(context, fs_type, superblock_flags[i].key, errno, err);
	return 0;
}

/* The value of an option in data text, yours; NULL if it is not there. */
static char *option_value(const char *data, const char *key)
{
	AUTO_FREE char *copy = xstrdup(text_or_empty(data));
	size_t size = strlen(key);
	char *option = copy;

	while (option) {
		char *end = option_end(option);

		if (end)
			*end++ = '\0';
		if (strncmp(option, key, size) == 0 && option[size] == '=')
			return xstrdup(option + size + 1);
		option = end;
	}
	return NULL;
}

/* Overlay before 6.5: mount(2) takes a page of text. It needs a place, for a moment, in our own mount namespace. */
static int mount_long_overlay(const char *source, const char *data, unsigned long sb_flags, uint64_t attr,
			      struct error *err)
{
	AUTO_FREE char *place = option_value(data, "upperdir");
	AUTO_FREE char *text = xstrdup(data);
	int fd;
	int r;

	if (!place)
		return error_set(err, ERR_UNSUPPORTED, "mount overlay: so many read-only layers need Linux 6.5");
	if (strlen(data) >= (size_t)sysconf(_SC_PAGESIZE))
		return error_set(err, ERR_UNSUPPORTED, "mount overlay: so many layers need Linux 6.5");
	if (mount(text_or_empty(source), place, "overlay", sb_flags, text) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "mount overlay");
	fd = mount_clone(AT_FDCWD, place, 0);
	umount2(place, MNT_DETACH);
	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, fd, "clone the overlay mount");
	r = attr ? mount_change(fd, 0, attr, 0, 0) : 0;
	if (r < 0) {
		close(fd);
		return error_set_errno(err, ERR_INTERNAL, r, "set the attributes of the overlay mount");
	}
	return fd;
}

static bool is_long_overlay(const char *fs_type, const char *data)
{
	AUTO_FREE char *lower = strcmp(fs_type, "overlay") == 0 ? option_value(data, "lowerdir") : NULL;

	return lower && strlen(lower) > FSCONFIG_TEXT_MAX;
}

static bool pretend_no_lower_plus;

void mount_without_lower_plus(bool without)
{
	pretend_no_lower_plus = without;
}

int mount_new(const char *fs_type, const char *source, const char *data, unsigned long sb_flags, uint64_t attr,
	      struct error *err)
{
	bool long_overlay = is_long_overlay(fs_type, data);
	AUTO_CLOSE int context = -1;
	int mount_fd;

	if (long_overlay && pretend_no_lower_plus)
		return mount_long_overlay(source, data, sb_flags, attr, err);
	context = fsopen(fs_type, FSOPEN_CLOEXEC);
	if (context < 0)
		return error_set_errno(err, errno == ENODEV ? ERR_UNSUPPORTED : ERR_INTERNAL, errno,
				       "file system type %s", fs_type);
	if (source && fsconfig(context, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return set_failed(context, fs_type, source, errno, err);
	if (set_flags(context, fs_type, sb_flags, err) < 0 || set_data(context, fs_type, data, err) < 0)
		return -1;
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
		/* An older overlay takes any text and only now says that it does not know "lowerdir+". */
		if (long_overlay && errno == EINVAL)
			return mount_long_overlay(source, data, sb_flags, attr, err);
		return set_failed(context, fs_type, "create superblock", errno, err);
	}
	mount_fd = fsmount(context, FSMOUNT_CLOEXEC, (unsigned)attr);
	if (mount_fd < 0)
		return set_failed(context, fs_type, "create mount", errno, err);
	return mount_fd;
}

int mount_clone(int dir_fd, const char *path, int recursive)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (*path ? 0 : AT_EMPTY_PATH) |
			 (recursive ? (unsigned)AT_RECURSIVE : 0);
	int fd = open_tree(dir_fd, path, flags);

	return fd < 0 ? -errno : fd;
}

int mount_change(int mount_fd, int recursive, uint64_t attr_set, uint64_t attr_clear, uint64_t propagation)
{
	struct mount_attr attr = { .attr_set = attr_set, .attr_clr = attr_clear, .propagation = propagation };
	unsigned flags = AT_EMPTY_PATH | (recursive ? (unsigned)AT_RECURSIVE : 0);

	/* The three ways of atime are one field: the kernel wants it cleared whole when one is set. */
	if (attr_set & MOUNT_ATTR__ATIME)
		attr.attr_clr |= MOUNT_ATTR__ATIME;
	return mount_setattr(mount_fd, "", flags, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

int mount_idmap(int mount_fd, int recursive, int userns_fd)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns_fd };
	unsigned flags = AT_EMPTY_PATH | (recursive ? (unsigned)AT_RECURSIVE : 0);

	return mount_setattr(mount_fd, "", flags, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

int mount_attach(int mount_fd, int target_fd)
{
	return move_mount(mount_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno
													      : 0;
}

int mount_attach_at(int mount_fd, int dir_fd, const char *path)
{
	return move_mount(mount_fd, "", dir_fd, path, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

int mount_pivot(int root_fd, bool is_slave)
{
	AUTO_CLOSE int old_root = is_slave ? -1 : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if ((old_root < 0 && !is_slave) || fchdir(root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return -errno;
	/* The old root now lies over the new one. Slave first: the unmount must not travel back to the host. */
	if (!is_slave && (fchdir(old_root) < 0 || mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0))
		return -errno;
	if (umount2(".", MNT_DETACH) < 0)
		return -errno;
	return chdir("/") < 0 ? -errno : 0;
}

int mount_api_available(void)
{
	AUTO_CLOSE int context = fsopen("tmpfs", FSOPEN_CLOEXEC);

	if (context < 0)
		return 0;
	return mount_setattr(-1, "", 0, NULL, 0) < 0 && errno != ENOSYS;
}
