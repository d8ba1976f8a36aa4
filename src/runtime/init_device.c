/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "runtime/init.h"
#include "sys/in_root.h"
#include "sys/mount_api.h"

struct node {
	const char *path;
	mode_t type; /* S_IFCHR, S_IFBLK, S_IFIFO */
	mode_t mode;
	dev_t number;
	uid_t uid;
	gid_t gid;
};

static const struct {
	const char *name;
	unsigned minor;
} always[] = {
	{ "/dev/null", 3 }, { "/dev/zero", 5 }, { "/dev/full", 7 }, { "/dev/random", 8 }, { "/dev/urandom", 9 }
};

static const struct {
	const char *name;
	const char *target;
} links[] = {
	{ "fd", "/proc/self/fd" },
	{ "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" },
	{ "stderr", "/proc/self/fd/2" },
};

int init_device_clone(const char *path, unsigned major_number, unsigned minor_number, struct error *err)
{
	AUTO_CLOSE int fd = mount_clone(AT_FDCWD, path, 0);
	struct stat st;

	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, fd, "open the host's %s", path);
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(major_number, minor_number))
		return error_set(err, ERR_INTERNAL, "the host's %s is not the device %u:%u", path, major_number,
				 minor_number);
	return take_fd(&fd);
}

/* In a user namespace nobody can make nodes: the host's is bound, if it is the same device. */
static int bind_node(const struct init *init, const struct node *node, struct error *err)
{
	AUTO_CLOSE int fd = mount_clone(AT_FDCWD, node->path, 0);
	AUTO_CLOSE int target = -1;
	struct stat st;
	int r;

	if (fd < 0)
		return error_set_errno(err, ERR_INVALID, fd, "device %s", node->path);
	if (fstat(fd, &st) < 0 || (st.st_mode & S_IFMT) != node->type || st.st_rdev != node->number)
		return error_set(err, ERR_INVALID, "device %s: the host's is another device", node->path);
	target = touch_in_root(init->root_fd, node->path, 0644);
	r = target < 0 ? target : mount_attach(fd, target);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "device %s", node->path);
	return 0;
}

static int check_existing(int dir_fd, const char *name, const struct node *node, struct error *err)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "device %s", node->path);
	if ((st.st_mode & S_IFMT) != node->type || (node->type != S_IFIFO && st.st_rdev != node->number))
		return error_set(err, ERR_INVALID, "device %s: the rootfs has something else there", node->path);
	return 0;
}

static int make_node_at(int dir_fd, const char *name, const struct node *node, struct error *err)
{
	if (mknodat(dir_fd, name, node->type | node->mode, node->number) < 0) {
		if (errno == EEXIST)
			return check_existing(dir_fd, name, node, err);
		return error_set_errno(err, ERR_INTERNAL, errno, "device %s", node->path);
	}
	if ((node->uid || node->gid) && fchownat(dir_fd, name, node->uid, node->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "device %s: set owner", node->path);
	return 0;
}

/* dev_fd is the container's /dev, opened once: most nodes lie directly there. */
static int make_node(const struct init *init, int dev_fd, const struct node *node, struct error *err)
{
	const char *in_dev = text_after(node->path, "/dev/");
	AUTO_FREE char *name = NULL;
	AUTO_CLOSE int parent = -1;

	if (init->in_userns)
		return bind_node(init, node, err);
	if (in_dev && *in_dev && !strchr(in_dev, '/'))
		return make_node_at(dev_fd, in_dev, node, err);
	parent = parent_in_root(init->root_fd, node->path, true, &name);
	if (parent < 0)
		return error_set_errno(err, ERR_INTERNAL, parent, "device %s", node->path);
	return make_node_at(parent, name, node, err);
}

static int make_always(const struct init *init, int dev_fd, struct error *err)
{
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		if (make_node(init, dev_fd,
			      &(struct node){ always[i].name, S_IFCHR, 0666, makedev(1, always[i].minor), 0, 0 },
			      err) < 0)
			return -1;
	return make_node(init, dev_fd, &(struct node){ "/dev/tty", S_IFCHR, 0666, makedev(5, 0), 0, 0 }, err);
}

static int make_asked(const struct init *init, int dev_fd, const struct spec_device *device, struct error *err)
{
	struct node node = { .path = device->path,
			     .mode = (mode_t)optional_u64_or(device->file_mode, 0666) & 07777,
			     .number = makedev((unsigned)device->major, (unsigned)device->minor),
			     .uid = (uid_t)optional_u64_or(device->uid, 0),
			     .gid = (gid_t)optional_u64_or(device->gid, 0) };

	if (*device->path != '/')
		return error_set(err, ERR_INVALID, "linux.devices: path %s is not absolute", device->path);
	switch (device->type[0]) {
	case 'c':
	case 'u':
		node.type = S_IFCHR;
		break;
	case 'b':
		node.type = S_IFBLK;
		break;
	case 'p':
		node.type = S_IFIFO;
		node.number = 0;
		break;
	default:
		return error_set(err, ERR_INVALID, "linux.devices: %s: type \"%s\" is none of c, b, u, p", device->path,
				 device->type);
	}
	return make_node(init, dev_fd, &node, err);
}

/* ptmx must be that of the container's own devpts, whatever the image has there. */
static int make_links(int dev_fd, struct error *err)
{
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (symlinkat(links[i].target, dev_fd, links[i].name) < 0 && errno != EEXIST)
			return error_set_errno(err, ERR_INTERNAL, errno, "make /dev/%s", links[i].name);
	if (symlinkat("pts/ptmx", dev_fd, "ptmx") == 0)
		return 0;
	if (errno == EEXIST && unlinkat(dev_fd, "ptmx", 0) == 0 && symlinkat("pts/ptmx", dev_fd, "ptmx") == 0)
		return 0;
	return error_set_errno(err, ERR_INTERNAL, errno, "make /dev/ptmx");
}

/* A /dev bound from outside is not ours to fill. */
static bool dev_is_bound(const struct spec *spec)
{
	for (size_t i = 0; i < spec->mounts.count; i++) {
		const struct spec_mount *mount = &spec->mounts.items[i];
		AUTO_FREE char *path = path_clean(mount->destination);

		if (text_equal(path, "/dev") &&
		    (text_equal(mount->type, "bind") || text_list_contains(&mount->options, "bind") ||
		     text_list_contains(&mount->options, "rbind")))
			return true;
	}
	return false;
}

int init_device_make_all(struct init *init, struct error *err)
{
	const struct spec *spec = init->plan->spec;
	AUTO_CLOSE int dev_fd = -1;

	if (dev_is_bound(spec))
		return 0;
	dev_fd = mkdir_in_root_plain(init->root_fd, "/dev", 0755);
	if (dev_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, dev_fd, "make /dev");
	if (make_always(init, dev_fd, err) < 0)
		return -1;
	for (size_t i = 0; i < spec->linux_.devices.count; i++)
		if (make_asked(init, dev_fd, &spec->linux_.devices.items[i], err) < 0)
			return -1;
	return make_links(dev_fd, err);
}
