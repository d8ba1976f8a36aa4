/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/mount_api.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "sys/idmap.h"
#include "unit/unit.h"

static void test_bad_option(void **state)
{
	AUTO(error_clear) struct error err = { 0 };

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(mount_new("tmpfs", "tmpfs", "size=nonsense", 0, 0, &err), -1);
	assert_non_null(strstr(err.message, "tmpfs"));
	assert_non_null(strstr(err.message, "size"));
	error_clear(&err);
	assert_int_equal(mount_new("nosuchfs", NULL, NULL, 0, 0, &err), -1);
	assert_int_equal(err.kind, ERR_UNSUPPORTED);
	assert_non_null(strstr(err.message, "nosuchfs"));
}

static int require(int ok, int code)
{
	if (!ok)
		_exit(code);
	return 0;
}

/* In a mount namespace of its own: the exit code is the number of the step that failed. */
static void mounts_in_child(void)
{
	AUTO(error_clear) struct error err = { 0 };
	struct statvfs fs;
	struct stat st;
	int root, inner, copy, target;

	require(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, 1);
	root = mount_new("tmpfs", "tmpfs", "size=64k,mode=751", 0, MOUNT_ATTR_NOSUID, &err);
	require(root >= 0, 2);
	require(fstatvfs(root, &fs) == 0 && fs.f_flag & ST_NOSUID && fs.f_blocks * fs.f_frsize == 65536, 3);
	require(fstat(root, &st) == 0 && (st.st_mode & 0777) == 0751, 4);
	require(mkdirat(root, "sub", 0755) == 0 && mkdirat(root, "again", 0755) == 0, 5);
	require(mount_attach_at(root, AT_FDCWD, "/mnt") == 0, 6);
	inner = mount_new("tmpfs", NULL, NULL, MS_RDONLY, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &err);
	require(inner >= 0, 7);
	target = openat(root, "sub", O_PATH | O_CLOEXEC);
	require(mount_attach(inner, target) == 0, 8);
	require(mkdirat(root, "sub/x", 0755) < 0 && errno == EROFS, 9);
	/* A copy read-only from the start, with what is below. */
	copy = mount_clone(root, "", 1);
	require(copy >= 0 && mount_change(copy, 1, MOUNT_ATTR_RDONLY, 0, MS_PRIVATE) == 0, 10);
	require(mkdirat(copy, "new", 0755) < 0 && errno == EROFS, 11);
	require(mkdirat(root, "new", 0755) == 0, 12);
	require(mount_pivot(open("/mnt", O_PATH | O_DIRECTORY | O_CLOEXEC), false) == 0, 13);
	require(stat("/sub", &st) == 0 && stat("/etc", &st) < 0 && errno == ENOENT, 14);
	require(stat("/../proc", &st) < 0, 15);
	_exit(0);
}

/* More lower layers than fsconfig(2) takes as one text, both ways to mount them. */
static void overlay_in_child(void)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text data = { 0 };
	char name[64];

	require(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, 1);
	require(mount("tmpfs", "/mnt", "tmpfs", 0, "mode=755") == 0, 2);
	text_add(&data, "lowerdir=");
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "/mnt/layer%d", i);
		require(mkdir(name, 0755) == 0, 3);
		text_addf(&data, "%s%s", i ? ":" : "", name);
		snprintf(name, sizeof(name), "/mnt/layer%d/file%d", i, i);
		require(mkdir(name, 0755) == 0, 4);
	}
	require(mkdir("/mnt/upper", 0755) == 0 && mkdir("/mnt/work", 0755) == 0, 5);
	text_add(&data, ",upperdir=/mnt/upper,workdir=/mnt/work,index=off");
	for (int old = 0; old < 2; old++) {
		struct statvfs fs;
		int fd;

		mount_without_lower_plus(old);
		fd = mount_new("overlay", "overlay", data.data, 0, MOUNT_ATTR_NODEV, &err);
		require(fd >= 0, 6 + old);
		require(fstatvfs(fd, &fs) == 0 && fs.f_flag & ST_NODEV, 8);
		require(faccessat(fd, "file0", F_OK, 0) == 0 && faccessat(fd, "file59", F_OK, 0) == 0, 9);
		snprintf(name, sizeof(name), "new%d", old);
		require(mkdirat(fd, name, 0755) == 0, 10);
		close(fd);
		snprintf(name, sizeof(name), "/mnt/upper/new%d", old);
		require(access(name, F_OK) == 0, 11);
		require(access("/mnt/upper/file0", F_OK) < 0, 12); /* nothing stays mounted */
	}
	_exit(0);
}

static void test_long_overlay(void **state)
{
	pid_t pid;
	int status = -1;

	(void)state;
	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0)
		overlay_in_child();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_mounts(void **state)
{
	pid_t pid;
	int status = -1;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_true(mount_api_available());
	pid = fork();
	if (pid == 0)
		mounts_in_child();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_idmap(void **state)
{
	const struct idmap_range range = { 0, 1000, 10 };
	const struct idmap map = { &range, 1, &range, 1 };
	AUTO(error_clear) struct error err = { 0 };
	AUTO_CLOSE int tmpfs = -1;
	AUTO_CLOSE int userns = -1;
	AUTO_CLOSE int copy = -1;
	AUTO_CLOSE int file = -1;
	struct stat st;

	(void)state;
	if (geteuid() != 0)
		skip();
	userns = idmap_namespace(&map, &err);
	assert_no_error(userns, &err);
	tmpfs = mount_new("tmpfs", NULL, NULL, 0, 0, &err);
	assert_no_error(tmpfs, &err);
	file = openat(tmpfs, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(file >= 0);
	copy = mount_clone(tmpfs, "", 0);
	if (copy < 0) /* copies of detached mounts came with Linux 6.15 */
		skip();
	assert_int_equal(mount_idmap(copy, 0, userns), 0);
	assert_int_equal(fstatat(copy, "f", &st, 0), 0);
	assert_int_equal(st.st_uid, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_option),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_long_overlay),
		cmocka_unit_test(test_idmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
