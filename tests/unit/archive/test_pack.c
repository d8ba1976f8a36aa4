/* SPDX-License-Identifier: Apache-2.0 */
/* A tree that changes while it is packed: what goes between the look at it and its opening. */
#include "archive/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/tar_reader.h"
#include "base/file.h"
#include "base/text.h"
#include "unit/unit.h"

int __real_openat64(int dir_fd, const char *name, int flags, mode_t mode);
int __wrap_openat64(int dir_fd, const char *name, int flags, ...);

static bool changing;

int __wrap_openat64(int dir_fd, const char *name, int flags, ...)
{
	mode_t mode;
	va_list args;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (changing && text_has_prefix(name, "gone"))
		unlinkat(dir_fd, name, flags & O_DIRECTORY ? AT_REMOVEDIR : 0);
	if (changing && text_equal(name, "pipe")) {
		unlinkat(dir_fd, name, 0);
		mkfifoat(dir_fd, name, 0600);
	}
	return __real_openat64(dir_fd, name, flags, mode);
}

static ssize_t take(void *arg, void *data, size_t size, struct error *err)
{
	(void)err;
	return read(*(int *)arg, data, size);
}

static void expect_entries(int fd, const char *wanted)
{
	struct tar_reader *reader = tar_reader_new(take, &fd);
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text got = { 0 };
	struct tar_entry entry;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	while (tar_reader_next(reader, &entry, &err) > 0)
		text_addf(&got, "%s%s%s ", entry.path, entry.type == TAR_HARD_LINK ? "=" : "",
			  entry.type == TAR_HARD_LINK ? entry.link : "");
	assert_false(error_is_set(&err));
	assert_string_equal(got.data, wanted);
	tar_reader_free(reader);
}

static void test_what_goes_meanwhile(void **state)
{
	static const char *const files[] = { "a", "gone", "pipe", "z" };
	char folder[] = "/tmp/kist-pack-XXXXXX";
	struct pack_settings settings = { .out_fd = memfd_create("stream", MFD_CLOEXEC), .latest_s = -1 };
	AUTO(error_clear) struct error err = { 0 };
	struct pack *pack = pack_new(&settings);
	struct pack_counts counts;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		assert_int_equal(file_write_atomic(fd, files[i], "x", 1, 0600, FILE_NO_SYNC), 0);
	assert_int_equal(mkdirat(fd, "gone-folder", 0700), 0);
	assert_int_equal(linkat(fd, "gone", fd, "link-1", 0), 0);
	assert_int_equal(linkat(fd, "gone", fd, "link-2", 0), 0);
	changing = true;
	assert_no_error(pack_add_below(pack, fd, "", &err), &err);
	changing = false;
	assert_no_error(pack_finish(pack, &counts, &err), &err);
	expect_entries(settings.out_fd, "a link-1 link-2=link-1 z ");
	pack_free(pack);
	close(settings.out_fd);
	close(fd);
	assert_int_equal(remove_tree(AT_FDCWD, folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_goes_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
