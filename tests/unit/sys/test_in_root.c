/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/in_root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "sys/proc_fs.h"
#include "unit/unit.h"

static char top[] = "/tmp/kist-unit-root-XXXXXX";
static int top_fd = -1, root_fd = -1;

/* top/secret lies outside of top/root. */
static int set_up(void **state)
{
	if (!mkdtemp(top))
		return -1;
	in_root_without_openat2(*state != NULL);
	top_fd = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (mkdirat(top_fd, "root", 0755) < 0 || mkdirat(top_fd, "root/dir", 0755) < 0 ||
	    mkdirat(top_fd, "outside", 0755) < 0)
		return -1;
	root_fd = openat(top_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (symlinkat("../../outside", root_fd, "up") < 0 || symlinkat("/dir", root_fd, "absolute") < 0 ||
	    symlinkat("loop", root_fd, "loop") < 0 || symlinkat("/gone/deep", root_fd, "dangling") < 0 ||
	    symlinkat("../../secret", root_fd, "steal") < 0)
		return -1;
	file_write_atomic(top_fd, "secret", "secret", 6, 0600, FILE_NO_SYNC);
	file_write_atomic(top_fd, "root/dir/file", "inside", 6, 0644, FILE_NO_SYNC);
	return root_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(root_fd);
	close(top_fd);
	in_root_without_openat2(false);
	remove_tree(AT_FDCWD, top);
	memcpy(top + strlen(top) - 6, "XXXXXX", 6);
	return 0;
}

static void assert_reads(const char *path, const char *wanted)
{
	AUTO_CLOSE int fd = open_in_root(root_fd, path, O_RDONLY, 0);
	char text[16] = "";

	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof(text) - 1) >= 0);
	assert_string_equal(text, wanted);
}

static void test_open(void **state)
{
	(void)state;
	assert_reads("/dir/file", "inside");
	assert_reads("dir/./../dir//file", "inside");
	assert_reads("../../../dir/file", "inside");
	assert_reads("absolute/file", "inside");
	assert_int_equal(open_in_root(root_fd, "steal", O_RDONLY, 0), -ENOENT);
	assert_int_equal(open_in_root(root_fd, "../secret", O_RDONLY, 0), -ENOENT);
	assert_int_equal(open_in_root(root_fd, "up", O_RDONLY, 0), -ENOENT);
	assert_int_equal(open_in_root(root_fd, "loop", O_RDONLY, 0), -ELOOP);
	assert_int_equal(open_in_root(root_fd, "absolute", O_RDONLY | O_NOFOLLOW, 0), -ELOOP);
	assert_int_equal(open_in_root(root_fd, "dir/file/more", O_RDONLY, 0), -ENOTDIR);
}

static void test_create(void **state)
{
	int fd = open_in_root(root_fd, "/absolute/new", O_WRONLY | O_CREAT | O_EXCL, 0640);
	struct stat st;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(fstatat(top_fd, "root/dir/new", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	/* The link leads to the root's own "outside", which is not there. */
	assert_int_equal(open_in_root(root_fd, "up/x", O_WRONLY | O_CREAT, 0600), -ENOENT);
}

static void test_mkdir(void **state)
{
	struct stat st;
	int fd = mkdir_in_root_plain(root_fd, "/up/a/b", 0755);

	(void)state;
	/* "up" points two levels above the root: that is the root itself. */
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(fstatat(top_fd, "root/outside/a/b", &st, 0), 0);
	assert_int_equal(fstatat(top_fd, "outside/a", &st, 0), -1);
	fd = mkdir_in_root_plain(root_fd, "dangling/x", 0755);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(fstatat(top_fd, "root/gone/deep/x", &st, 0), 0);
	fd = mkdir_in_root(root_fd, "owned/by", 0700, 7, 8);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	if (geteuid() == 0)
		assert_true(st.st_uid == 7 && st.st_gid == 8);
	close(fd);
	assert_int_equal(mkdir_in_root_plain(root_fd, "dir/file/x", 0755), -ENOTDIR);
	assert_int_equal(mkdir_in_root_plain(root_fd, "loop/x", 0755), -ELOOP);
	fd = mkdir_in_root_plain(root_fd, "/", 0755);
	assert_true(fd >= 0);
	close(fd);
}

static void test_touch_and_parent(void **state)
{
	AUTO_FREE char *name = NULL;
	struct stat st;
	int fd = touch_in_root(root_fd, "/new/dir/target", 0644);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(fstatat(top_fd, "root/new/dir/target", &st, 0), 0);
	fd = touch_in_root(root_fd, "steal", 0644);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(fstatat(top_fd, "root/secret", &st, 0), 0);
	assert_int_equal(st.st_size, 0);
	fd = parent_in_root(root_fd, "absolute/node", false, &name);
	assert_true(fd >= 0);
	assert_string_equal(name, "node");
	assert_int_equal(faccessat(fd, "file", F_OK, 0), 0);
	close(fd);
	assert_int_equal(parent_in_root(root_fd, "/..", false, &name), -EINVAL);
	assert_int_equal(symlink_in_root(root_fd, "pts/ptmx", "/dev/ptmx"), 0);
	assert_int_equal(symlink_in_root(root_fd, "pts/ptmx", "/dev/ptmx"), 0);
	assert_int_equal(symlink_in_root(root_fd, "other", "/dev/ptmx"), -EEXIST);
	assert_int_equal(symlink_in_root(root_fd, "other", "/dir/file"), -EEXIST);
}

static void test_proc(void **state)
{
	AUTO_FREE char *text = NULL;
	AUTO_CLOSE int proc = proc_fs_open(true);

	(void)state;
	assert_true(proc >= 0);
	assert_true(proc_fs_verify(proc));
	assert_false(proc_fs_verify(root_fd));
	prctl(PR_SET_NAME, "before");
	assert_int_equal(proc_fs_read(proc, "self/comm", &text, 64), 0);
	assert_string_equal(text, "before\n");
	assert_int_equal(proc_fs_write(proc, "thread-self/comm", "renamed"), 0);
	free(take_ptr(text));
	assert_int_equal(proc_fs_read(proc, "self/comm", &text, 64), 0);
	assert_string_equal(text, "renamed\n");
	/* Magic links lead out of proc. */
	assert_true(proc_fs_open_file(proc, "self/exe", O_RDONLY) < 0);
	assert_true(proc_fs_open_file(proc, "self/root/etc/passwd", O_RDONLY) < 0);
	if (geteuid() == 0)
		assert_int_equal(proc_fs_open_file(proc, "sys/kernel/core_pattern", O_RDONLY), -ENOENT);
}

#define BOTH_WAYS(fn)                                                                                                  \
	cmocka_unit_test_prestate_setup_teardown(fn, set_up, tear_down, NULL),                                         \
		cmocka_unit_test_prestate_setup_teardown(fn, set_up, tear_down, top)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_WAYS(test_open), BOTH_WAYS(test_create), BOTH_WAYS(test_mkdir), BOTH_WAYS(test_touch_and_parent),
		BOTH_WAYS(test_proc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
