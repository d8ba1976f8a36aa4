/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/debug.h"
#include "runtime/init.h"
#include "sys/in_root.h"
#include "sys/mount_api.h"
#include "sys/tty.h"

/* Made if missing, and never a link: that would lead the mount over another file of the container (CVE-2025-52565). */
static int open_console(const struct init *init)
{
	AUTO_CLOSE int dev = mkdir_in_root_plain(init->root_fd, "/dev", 0755);
	AUTO_CLOSE int made = -1;
	AUTO_CLOSE int target = -1;
	struct stat st;

	if (dev < 0)
		return dev;
	made = openat(dev, "console", O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0620);
	if (made < 0 && errno != EEXIST && errno != EROFS)
		return -errno;
	target = openat(dev, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0 || fstat(target, &st) < 0)
		return -errno;
	return S_ISLNK(st.st_mode) ? -ELOOP : take_fd(&target);
}

/* Bound from the slave's own descriptor: nobody can put another file in its place (CVE-2025-52565). */
static int bind_console(const struct init *init, struct error *err)
{
	AUTO_CLOSE int copy = mount_clone(init->tty_slave_fd, "", 0);
	AUTO_CLOSE int target = -1;
	int r;

	if (copy < 0)
		return error_set_errno(err, ERR_INTERNAL, copy, "copy the terminal for /dev/console");
	target = open_console(init);
	r = target < 0 ? target : mount_attach(copy, target);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "bind /dev/console");
	return 0;
}

/* The folder is opened inside the root and must be a devpts; exec is in the container, where / is the root. */
static int open_pts(const struct init *init, struct error *err)
{
	AUTO_CLOSE int root = init->root_fd < 0 ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : dup(init->root_fd);
	AUTO_CLOSE int pts = root < 0 ? -errno : open_in_root(root, "/dev/pts", O_PATH | O_DIRECTORY, 0);
	struct statfs fs;

	if (pts < 0)
		return error_set_errno(err, ERR_INVALID, pts, "process.terminal: open /dev/pts of the container");
	if (fstatfs(pts, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
		return error_set(err, ERR_INVALID,
				 "process.terminal: /dev/pts of the container is not a devpts; mounts[] needs one");
	return take_fd(&pts);
}

int init_tty_make(struct init *init, bool with_console, struct error *err)
{
	const struct spec_console_size *size = init->plan->process->console_size;
	AUTO_CLOSE int pts = open_pts(init, err);
	int r;

	if (pts < 0)
		return -1;
	r = tty_open_pair(pts, "ptmx", &init->tty_master_fd, &init->tty_slave_fd);
	if (r == 0)
		r = tty_verify_slave(init->tty_slave_fd);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "process.terminal: make a terminal pair");
	if (size && size->height && size->width)
		tty_set_size(init->tty_slave_fd, (unsigned short)size->height, (unsigned short)size->width);
	return with_console ? bind_console(init, err) : 0;
}

static int open_null(struct error *err)
{
	AUTO_CLOSE int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open /dev/null");
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return error_set(err, ERR_INVALID, "/dev/null of the container is not the null device");
	return take_fd(&fd);
}

/* Sources may sit on 0, 1, 2 themselves: all are lifted above before any is put in place. */
static int place(const int wanted[3], struct error *err)
{
	int lifted[3];

	for (int i = 0; i < 3; i++) {
		if (wanted[i] == i) {
			lifted[i] = i;
			continue;
		}
		lifted[i] = wanted[i] < 3 ? fcntl(wanted[i], F_DUPFD_CLOEXEC, 3) : wanted[i];
		if (lifted[i] < 0)
			return error_set_errno(err, ERR_INVALID, errno, "stdio descriptor %d", wanted[i]);
	}
	for (int i = 0; i < 3; i++) {
		if (lifted[i] != i && dup2(lifted[i], i) < 0)
			return error_set_errno(err, ERR_INVALID, errno, "stdio descriptor %d", i);
	}
	return 0;
}

int init_tty_use(struct init *init, struct error *err)
{
	const struct runtime_stdio *stdio = &init->plan->options->stdio;
	int wanted[3] = { stdio->in, stdio->out, stdio->error };
	AUTO_CLOSE int null = -1;
	int r;

	if (init->tty_slave_fd >= 0) {
		r = tty_set_controlling(init->tty_slave_fd);
		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "process.terminal: make it the controlling one");
		debug_leave_stderr(init->plan->runtime);
		return place((const int[3]){ init->tty_slave_fd, init->tty_slave_fd, init->tty_slave_fd }, err);
	}
	for (int i = 0; i < 3; i++) {
		if (wanted[i] >= 0)
			continue;
		if (null < 0)
			null = open_null(err);
		if (null < 0)
			return -1;
		wanted[i] = null;
	}
	return place(wanted, err);
}
