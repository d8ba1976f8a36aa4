/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/rollback.h"
#include "base/text.h"
#include "unit/unit.h"

static char root[] = "/tmp/kist-unit-file-XXXXXX";
static int root_fd = -1;

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(root))
		return -1;
	root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(root_fd);
	return remove_tree(AT_FDCWD, root);
}

static void test_atomic_write(void **state)
{
	AUTO_FREE char *data = NULL;
	struct stat st;
	size_t size = 0;

	(void)state;
	umask(077);
	assert_int_equal(file_write_atomic(root_fd, "a", "one", 3, 0644, FILE_SYNC_ALL), 0);
	assert_int_equal(file_write_atomic(root_fd, "a", "two!", 4, 0644, FILE_NO_SYNC), 0);
	assert_int_equal(file_read(&data, &size, root_fd, "a", 100), 0);
	assert_string_equal(data, "two!");
	assert_int_equal(size, 4);
	assert_int_equal(fstatat(root_fd, "a", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_int_equal(file_read(&data, &size, root_fd, "a", 3), -EFBIG);
	assert_int_equal(file_publish(root_fd, "p", "one", 3, 0640), 0);
	assert_int_equal(file_publish(root_fd, "p", "three", 5, 0640), 0);
	assert_int_equal(fstatat(root_fd, "p", &st, 0), 0);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(file_publish(root_fd, "no/such", "x", 1, 0644), -ENOENT);
	assert_int_equal(file_write_atomic(root_fd, "no/such", "x", 1, 0644, FILE_NO_SYNC), -ENOENT);
}

static void test_trees(void **state)
{
	(void)state;
	assert_int_equal(mkdir_all(root_fd, "x/y/z", 0755), 0);
	assert_int_equal(mkdir_all(root_fd, "x/y/z", 0755), 0);
	assert_int_equal(symlinkat("/etc", root_fd, "x/y/link"), 0);
	assert_int_equal(file_write_atomic(root_fd, "x/y/f", "", 0, 0644, FILE_NO_SYNC), 0);
	assert_int_equal(mkdir_all(root_fd, "x/y/f", 0755), -ENOTDIR);
	assert_int_equal(remove_tree(root_fd, "x"), 0);
	assert_false(file_exists(root_fd, "x"));
	assert_true(file_exists(AT_FDCWD, "/etc/passwd"));
	assert_int_equal(remove_tree(root_fd, "x"), 0);
}

/* Deeper than there are descriptors, and than a path can be: as a container may leave it. */
static void test_deep_tree_is_removed(void **state)
{
	struct rlimit before;
	struct rlimit few;
	int fd = dup(root_fd);

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (int i = 0; i < 3000; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "deep", 0755), 0);
		next = openat(fd, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		if (i % 100 == 0)
			assert_int_equal(mkdirat(fd, "beside", 0755), 0);
		close(fd);
		fd = next;
	}
	close(fd);
	few = (struct rlimit){ 64, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(remove_tree(root_fd, "deep"), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_false(file_exists(root_fd, "deep"));
	assert_int_equal(remove_tree(root_fd, "beside"), 0);
}

/* In a mount namespace of its own: the exit code is the number of the step that failed. */
static void remove_mounted(void)
{
	int step = 0;
	const bool steps[] = {
		unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0,
		chdir(root) == 0 && mkdir_all(root_fd, "mounted/on", 0755) == 0,
		mkdir_all(root_fd, "volume/precious", 0755) == 0,
		mount("volume", "mounted/on", NULL, MS_BIND, NULL) == 0,
		remove_tree(AT_FDCWD, "mounted") == -EBUSY,
		remove_tree(AT_FDCWD, "mounted/on") == -EBUSY,
		file_exists(root_fd, "volume/precious"),
		umount("mounted/on") == 0 && remove_tree(AT_FDCWD, "mounted") == 0,
		remove_tree(root_fd, "volume") == 0,
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps) && step == 0; i++)
		step = steps[i] ? 0 : (int)i + 1;
	_exit(step);
}

/* A volume that is still mounted below a folder is not emptied with it. */
static void test_mounts_are_not_emptied(void **state)
{
	pid_t pid;
	int status = -1;

	(void)state;
	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0)
		remove_mounted();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_buffer_limit_is_sticky(void **state)
{
	struct buffer buffer;

	(void)state;
	buffer_init(&buffer, 4);
	buffer_append(&buffer, "abc", 3);
	assert_false(buffer_failed(&buffer));
	buffer_append(&buffer, "de", 2);
	buffer_append(&buffer, "f", 1);
	assert_true(buffer_failed(&buffer));
	assert_string_equal(buffer_text(&buffer), "abc");
	buffer_consume(&buffer, 2);
	assert_string_equal(buffer_text(&buffer), "c");
	buffer_fini(&buffer);
}

static struct text order;

static void note(void *arg)
{
	text_add(&order, arg);
}

static void test_rollback_undoes_backwards(void **state)
{
	struct rollback undo = { 0 };

	(void)state;
	rollback_add(&undo, note, (void *)(uintptr_t) "a");
	rollback_add(&undo, note, (void *)(uintptr_t) "b");
	rollback_run(&undo);
	assert_string_equal(order.data, "ba");
	rollback_add(&undo, note, (void *)(uintptr_t) "c");
	rollback_cancel(&undo);
	rollback_run(&undo);
	assert_string_equal(order.data, "ba");
	text_fini(&order);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_atomic_write),	       cmocka_unit_test(test_trees),
		cmocka_unit_test(test_deep_tree_is_removed),   cmocka_unit_test(test_mounts_are_not_emptied),
		cmocka_unit_test(test_buffer_limit_is_sticky), cmocka_unit_test(test_rollback_undoes_backwards),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
