/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Major numbers of Unix98 slaves (Documentation/admin-guide/devices.txt). */
#define SLAVE_MAJOR_FIRST 136
#define SLAVE_MAJOR_LAST 143

int tty_open_pair(int dir_fd, const char *ptmx_path, int *out_master, int *out_slave)
{
	AUTO_CLOSE int master = openat(dir_fd, ptmx_path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	AUTO_CLOSE int slave = -1;
	int unlock = 0;

	if (master < 0)
		return -errno;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return -errno;
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return -errno;
	*out_master = take_fd(&master);
	*out_slave = take_fd(&slave);
	return 0;
}

int tty_number(int master_fd)
{
	unsigned number;

	return ioctl(master_fd, TIOCGPTN, &number) < 0 ? -errno : (int)number;
}

int tty_verify_slave(int slave_fd)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(slave_fd, &fs) < 0 || fstat(slave_fd, &st) < 0)
		return -errno;
	if (fs.f_type != DEVPTS_SUPER_MAGIC || !S_ISCHR(st.st_mode) || major(st.st_rdev) < SLAVE_MAJOR_FIRST ||
	    major(st.st_rdev) > SLAVE_MAJOR_LAST)
		return -ENOTTY;
	return 0;
}

int tty_set_controlling(int slave_fd)
{
	return ioctl(slave_fd, TIOCSCTTY, 0) < 0 ? -errno : 0;
}

int tty_set_size(int fd, unsigned short rows, unsigned short columns)
{
	struct winsize size = { .ws_row = rows, .ws_col = columns };

	return ioctl(fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int tty_get_size(int fd, unsigned short *out_rows, unsigned short *out_columns)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) < 0)
		return -errno;
	*out_rows = size.ws_row;
	*out_columns = size.ws_col;
	return 0;
}

int tty_set_raw(int fd, struct termios *out_saved)
{
	struct termios raw;

	if (tcgetattr(fd, &raw) < 0)
		return -errno;
	*out_saved = raw;
	cfmakeraw(&raw);
	return tcsetattr(fd, TCSANOW, &raw) < 0 ? -errno : 0;
}

int tty_keep_newlines(int fd)
{
	struct termios settings;

	if (tcgetattr(fd, &settings) < 0)
		return -errno;
	settings.c_oflag &= ~(tcflag_t)ONLCR;
	return tcsetattr(fd, TCSANOW, &settings) < 0 ? -errno : 0;
}

int tty_restore(int fd, const struct termios *saved)
{
	return tcsetattr(fd, TCSANOW, saved) < 0 ? -errno : 0;
}
