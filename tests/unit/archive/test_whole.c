/* SPDX-License-Identifier: Apache-2.0 */
/* Trees that are whole: put together, compared, and as an image. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/compose.h"
#include "archive/differences.h"
#include "archive/erofs.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "unit/unit.h"

static char folder[] = "/tmp/kist-whole-XXXXXX";

static void make(const char *path, const char *content)
{
	AUTO_CLOSE int fd = -1;

	if (!content) {
		assert_int_equal(mkdir(path, 0755), 0);
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0 && write_full(fd, content, strlen(content)) == 0);
}

static int open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int set_up(void **state)
{
	static const char *const below[] = { "low", "low/d", "low/op", "low/hid" };

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
	for (size_t i = 0; i < sizeof(below) / sizeof(*below); i++)
		make(below[i], NULL);
	make("low/d/old", "old");
	make("low/d/gone", "gone");
	make("low/op/y", "y");
	make("low/hid/x", "x");
	make("low/keep", "keep");
	assert_int_equal(link("low/keep", "low/kept"), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(chdir("/"), 0);
	return remove_tree(AT_FDCWD, folder);
}

static ino_t inode(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static void test_a_layer_above(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct map hidden;
	struct map opaque;
	struct compose_settings settings = { .link = true, .hidden = &hidden, .opaque = &opaque };

	(void)state;
	make("high", NULL);
	make("high/d", NULL);
	make("high/op", NULL);
	make("high/d/old", "newer");
	settings.to_fd = open_folder("high");
	settings.from_fd = open_folder("low");
	map_init(&hidden, NULL);
	map_init(&opaque, NULL);
	map_set(&hidden, "d/gone", &hidden);
	map_set(&hidden, "hid", &hidden);
	map_set(&opaque, "op", &opaque);
	assert_no_error(compose_run(&settings, &err), &err);
	assert_true(inode("high/keep") == inode("low/keep") && inode("high/kept") == inode("low/keep"));
	assert_true(inode("high/d/old") && inode("high/d/old") != inode("low/d/old"));
	assert_int_equal(inode("high/d/gone") + inode("high/hid") + inode("high/op/y"), 0);
	map_fini(&hidden);
	map_fini(&opaque);
	close(settings.to_fd);
	close(settings.from_fd);
}

/* Another content, and neither another size nor another time. */
static void change_unseen(const char *path)
{
	struct timespec times[2];
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	make(path, "kEEP");
	times[0] = st.st_mtim;
	times[1] = st.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_what_changed(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(differences_fini) struct differences found = { .bytes = 0 };
	AUTO_FREE char *lines = NULL;
	struct compose_settings settings = { .link = false };
	struct differences_search search;
	struct map none;
	struct stat st;

	(void)state;
	make("own", NULL);
	settings.to_fd = open_folder("own");
	settings.from_fd = open_folder("low");
	assert_no_error(compose_run(&settings, &err), &err);
	assert_true(inode("own/keep") == inode("own/kept") && inode("own/keep") != inode("low/keep"));
	make("mark", "");
	assert_int_equal(stat("mark", &st), 0);
	change_unseen("own/keep");
	assert_int_equal(unlink("own/d/gone"), 0);
	make("own/hid/more", "more");
	map_init(&none, NULL);
	search = (struct differences_search){ settings.to_fd, settings.from_fd, st.st_ctim, &none };
	assert_no_error(differences_find(&found, &search, &err), &err);
	lines = text_list_join(&found.lines, " ");
	assert_string_equal(lines, "/d\1C /d/gone\1D /hid\1C /hid/more\1A /keep\1C /kept\1C");
	assert_non_null(map_get(&found.gone, "d/gone"));
	assert_int_equal(found.bytes, 4 + 2 + 2);
	map_fini(&none);
	close(settings.to_fd);
	close(settings.from_fd);
}

static void test_an_image(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_CLOSE int root = open_folder("low");
	AUTO_CLOSE int out = memfd_create("image", MFD_CLOEXEC);
	AUTO_CLOSE int read_only = open("/dev/null", O_RDONLY | O_CLOEXEC);
	static const uint8_t magic[] = { 0xe2, 0xe1, 0xf5, 0xe0 };
	struct erofs_counts counts;
	uint8_t super[128];

	(void)state;
	assert_no_error(erofs_write(&counts, out, root, &err), &err);
	assert_int_equal(counts.entries, 4 + 5);
	assert_true(counts.bytes % 4096 == 0 && counts.bytes == (uint64_t)lseek(out, 0, SEEK_END));
	assert_int_equal(pread(out, super, sizeof(super), 1024), sizeof(super));
	assert_memory_equal(super, magic, sizeof(magic));
	/* The root's number: what is 32 bytes further. */
	assert_int_equal(super[14] | super[15] << 8, (1024 + 128) / 32);
	assert_int_equal(erofs_write(&counts, read_only, root, &err), -1);
	assert_int_equal(err.kind, ERR_INTERNAL);
	assert_non_null(strstr(err.message, "write the layer's image"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_layer_above),
		cmocka_unit_test(test_what_changed),
		cmocka_unit_test(test_an_image),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
