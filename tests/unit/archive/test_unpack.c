/* SPDX-License-Identifier: Apache-2.0 */
/* Needs root: owners, devices and trusted attributes are what it is about. */
#include "archive/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "make_tar.h"
#include "unit/unit.h"

static char folder[64];
static int root_fd = -1;
static int lower_fd = -1;

static int setup(void **state)
{
	char layer[128];

	(void)state;
	if (geteuid() != 0)
		return -1;
	snprintf(folder, sizeof(folder), "/var/tmp/t-store-unpack-XXXXXX");
	if (!mkdtemp(folder) || mkdir_all(AT_FDCWD, folder, 0755) < 0)
		return -1;
	root_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(root_fd, "layer", 0755);
	mkdirat(root_fd, "lower", 0755);
	mkdirat(root_fd, "outside", 0755);
	lower_fd = openat(root_fd, "lower", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(root_fd);
	snprintf(layer, sizeof(layer), "%s/layer", folder);
	root_fd = open(layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root_fd < 0 || lower_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	close(root_fd);
	close(lower_fd);
	return chdir("/") < 0 ? -1 : remove_tree(AT_FDCWD, folder);
}

/* Unpacks and frees the tar. */
static int unpack_with(struct text *tar, struct text *deferred, int fd, const struct unpack_settings *settings,
		       struct error *err)
{
	AUTO_CLOSE int stream = memfd_create("tar", MFD_CLOEXEC);
	AUTO(text_fini) struct text taken = *tar;
	struct unpack_counts counts;

	*tar = (struct text){ 0 };
	assert_int_equal(write_full(stream, taken.data, taken.size), 0);
	lseek(stream, 0, SEEK_SET);
	return unpack_stream(&counts, deferred, stream, fd, settings, err);
}

static void unpack_ok(struct text *tar, struct text *deferred)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text none = { 0 };
	const struct unpack_settings settings = { 0 };

	tar_end(tar);
	assert_no_error(unpack_with(tar, deferred ? deferred : &none, root_fd, &settings, &err), &err);
}

/* The one entry, alone, must be refused with these words. */
static void refused_with(struct text *tar, const struct unpack_settings *settings, enum error_kind kind,
			 const char *words)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text deferred = { 0 };

	tar_end(tar);
	assert_int_equal(unpack_with(tar, &deferred, root_fd, settings, &err), -1);
	if (!strstr(err.message, words))
		fail_msg("expected \"%s\" in: %s", words, err.message);
	assert_int_equal(err.kind, kind);
}

static void refused(struct text *tar, const char *words)
{
	const struct unpack_settings settings = { .lowest = true };

	refused_with(tar, &settings, ERR_INVALID, words);
}

static struct stat stat_of(const char *name)
{
	struct stat st = { 0 };

	if (fstatat(root_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		st.st_mode = 0;
	return st;
}

static bool is_whiteout(const char *name)
{
	struct stat st = stat_of(name);

	return S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

static bool is_opaque(const char *name)
{
	AUTO_CLOSE int fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char value = 0;

	return fd >= 0 && fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

static void assert_content(const char *name, const char *expected)
{
	AUTO_FREE char *data = NULL;

	assert_int_equal(file_read(&data, NULL, root_fd, name, 1000), 0);
	assert_string_equal(data, expected);
}

/* Nothing beside the layer may have changed. */
static void assert_outside_empty(void)
{
	AUTO_CLOSEDIR DIR *dir = NULL;
	struct dirent *entry;
	char path[128];

	snprintf(path, sizeof(path), "%s/outside", folder);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		assert_int_equal(entry->d_name[0], '.');
}

/* ---- what a layer is ---- */

static void all_kinds(void **state)
{
	struct text tar = { 0 };
	struct stat st;
	char value[8];

	(void)state;
	tar_add(&tar, (struct tar_entry){ .name = "./", .type = '5', .mode = 0711, .mtime = 5 });
	tar_add(&tar, (struct tar_entry){ .name = "dir/", .type = '5', .mode = 01777, .mtime = 1000 });
	tar_add(&tar, (struct tar_entry){ .name = "dir/file",
					  .content = "hello",
					  .mode = 04755,
					  .uid = 3,
					  .gid = 4,
					  .mtime = 2000,
					  .xattr = "user.x=yes" });
	tar_add(&tar, (struct tar_entry){ .name = "/dir/link", .type = '2', .link = "/etc/passwd", .uid = 7 });
	tar_add(&tar, (struct tar_entry){ .name = "dir/hard", .type = '1', .link = "/dir/file" });
	tar_add(&tar, (struct tar_entry){ .name = "null", .type = '3', .major = 1, .minor = 3, .mode = 0666 });
	tar_add(&tar, (struct tar_entry){ .name = "pipe", .type = '6' });
	unpack_ok(&tar, NULL);

	st = stat_of("dir/file");
	assert_int_equal(st.st_mode, S_IFREG | 04755);
	assert_int_equal(st.st_uid, 3);
	assert_int_equal(st.st_gid, 4);
	assert_int_equal(st.st_mtim.tv_sec, 2000);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(st.st_ino, stat_of("dir/hard").st_ino);
	assert_content("dir/file", "hello");
	st = stat_of("dir");
	assert_int_equal(st.st_mode, S_IFDIR | 01777);
	assert_int_equal(st.st_mtim.tv_sec, 1000);
	st = stat_of("dir/link");
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(st.st_uid, 7);
	assert_int_equal(stat_of("null").st_rdev, makedev(1, 3));
	assert_int_equal(stat_of("null").st_mode, S_IFCHR | 0666);
	assert_true(S_ISFIFO(stat_of("pipe").st_mode));
	assert_int_equal(stat_of(".").st_mtim.tv_sec, 5);
	assert_int_equal(stat_of(".").st_mode, S_IFDIR | 0711);
	assert_int_equal(fchdir(root_fd), 0);
	assert_int_equal(getxattr("dir/file", "user.x", value, sizeof(value)), 3);
}

static void group_of_setgid_directory_is_not_inherited(void **state)
{
	struct text tar = { 0 };

	(void)state;
	tar_add(&tar, (struct tar_entry){ .name = "d", .type = '5', .mode = 02775, .gid = 50 });
	tar_add(&tar, (struct tar_entry){ .name = "d/f", .content = "x" });
	unpack_ok(&tar, NULL);
	assert_int_equal(stat_of("d/f").st_gid, 0);
	assert_int_equal(stat_of("d").st_mode, S_IFDIR | 02775);
}

static void later_entries_replace(void **state)
{
	struct text tar = { 0 };

	(void)state;
	tar_add(&tar, (struct tar_entry){ .name = "a", .content = "one" });
	tar_add(&tar, (struct tar_entry){ .name = "a", .content = "two", .mode = 0600 });
	tar_add(&tar, (struct tar_entry){ .name = "b", .type = '5' });
	tar_add(&tar, (struct tar_entry){ .name = "b/x/y", .content = "deep" });
	tar_add(&tar, (struct tar_entry){ .name = "b", .content = "file now" });
	tar_add(&tar, (struct tar_entry){ .name = "c", .content = "file" });
	tar_add(&tar, (struct tar_entry){ .name = "c", .type = '5', .mode = 0700 });
	tar_add(&tar, (struct tar_entry){ .name = "d", .type = '5', .mode = 0700, .mtime = 10 });
	tar_add(&tar, (struct tar_entry){ .name = "d/kept", .content = "x" });
	tar_add(&tar, (struct tar_entry){ .name = "d", .type = '5', .mode = 0711, .mtime = 20 });
	unpack_ok(&tar, NULL);
	assert_content("a", "two");
	assert_int_equal(stat_of("a").st_mode, S_IFREG | 0600);
	assert_content("b", "file now");
	assert_int_equal(stat_of("c").st_mode, S_IFDIR | 0700);
	assert_int_equal(stat_of("d").st_mode, S_IFDIR | 0711);
	assert_int_equal(stat_of("d").st_mtim.tv_sec, 20);
	assert_content("d/kept", "x");
}

static void links_inside_the_layer_are_followed(void **state)
{
	struct text tar = { 0 };

	(void)state;
	tar_add(&tar, (struct tar_entry){ .name = "usr/lib", .type = '5' });
	tar_add(&tar, (struct tar_entry){ .name = "lib", .type = '2', .link = "usr/lib" });
	tar_add(&tar, (struct tar_entry){ .name = "lib/x", .content = "merged" });
	unpack_ok(&tar, NULL);
	assert_content("usr/lib/x", "merged");
	assert_true(S_ISLNK(stat_of("lib").st_mode));
}

static void whiteouts_become_overlays(void **state)
{
	struct text tar = { 0 };

	(void)state;
	tar_add(&tar, (struct tar_entry){ .name = "etc/.wh.gone" });
	tar_add(&tar, (struct tar_entry){ .name = "opq/kept", .content = "x" });
	tar_add(&tar, (struct tar_entry){ .name = "opq/.wh..wh..opq" });
	tar_add(&tar, (struct tar_entry){ .name = ".wh.again" });
	tar_add(&tar, (struct tar_entry){ .name = "again", .type = '5' });
	tar_add(&tar, (struct tar_entry){ .name = "was", .type = '5' });
	tar_add(&tar, (struct tar_entry){ .name = "was/mine", .content = "x" });
	tar_add(&tar, (struct tar_entry){ .name = ".wh.was" });
	tar_add(&tar, (struct tar_entry){ .name = "file", .content = "x" });
	tar_add(&tar, (struct tar_entry){ .name = ".wh.file" });
	tar_add(&tar, (struct tar_entry){ .name = ".wh.new" });
	tar_add(&tar, (struct tar_entry){ .name = "new", .content = "x" });
	tar_add(&tar, (struct tar_entry){ .name = ".wh.parent" });
	tar_add(&tar, (struct tar_entry){ .name = "parent/child", .content = "x" });
	tar_add(&tar, (struct tar_entry){ .name = ".wh..wh.plnk/1.2", .content = "aufs" });
	unpack_ok(&tar, NULL);
	assert_true(is_whiteout("etc/gone"));
	assert_true(is_opaque("opq"));
	assert_content("opq/kept", "x");
	assert_true(is_opaque("again"));
	assert_true(is_opaque("was"));
	assert_content("was/mine", "x");
	assert_content("file", "x");
	assert_content("new", "x");
	assert_true(is_opaque("parent"));
	assert_int_equal(stat_of(".wh..wh.plnk").st_mode, 0);
	assert_false(is_opaque("etc"));
}

static void lowest_layer_has_no_whiteouts(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	const struct unpack_settings settings = { .lowest = true };
	AUTO(text_fini) struct text deferred = { 0 };
	struct text tar = { 0 };

	(void)state;
	tar_add(&tar, (struct tar_entry){ .name = "etc/.wh.gone" });
	tar_add(&tar, (struct tar_entry){ .name = "implied/file", .content = "x" });
	tar_end(&tar);
	assert_no_error(unpack_with(&tar, &deferred, root_fd, &settings, &err), &err);
	assert_int_equal(stat_of("etc/gone").st_mode, 0);
	assert_int_equal(deferred.size, 0);
}

static void overlays_own_attributes_are_dropped(void **state)
{
	struct text tar = { 0 };

	(void)state;
	tar_add(&tar, (struct tar_entry){ .name = "d", .type = '5', .xattr = "trusted.overlay.opaque=y" });
	tar_add(&tar, (struct tar_entry){ .name = "e", .type = '5', .xattr = "trusted.overlay.redirect=/x" });
	unpack_ok(&tar, NULL);
	assert_false(is_opaque("d"));
	assert_int_equal(fchdir(root_fd), 0);
	assert_int_equal(getxattr("e", "trusted.overlay.redirect", NULL, 0), -1);
}

/* ---- what needs the layers below ---- */

static void finish(const struct text *deferred)
{
	AUTO(error_clear) struct error err = { 0 };

	assert_no_error(unpack_finish(root_fd, &lower_fd, 1, deferred->data, deferred->size, &err), &err);
}

static void implied_directories_keep_their_attributes(void **state)
{
	AUTO(text_fini) struct text deferred = { 0 };
	struct text tar = { 0 };

	(void)state;
	mkdirat(lower_fd, "a", 0700);
	mkdirat(lower_fd, "a/b", 0755);
	assert_int_equal(fchownat(lower_fd, "a/b", 5, 6, 0), 0);
	assert_int_equal(fchmodat(lower_fd, "a/b", 02711, 0), 0);
	tar_add(&tar, (struct tar_entry){ .name = "a/b/c/f", .content = "x" });
	unpack_ok(&tar, &deferred);
	assert_int_equal(stat_of("a").st_mode, S_IFDIR | 0755);
	finish(&deferred);
	assert_int_equal(stat_of("a").st_mode, S_IFDIR | 0700);
	assert_int_equal(stat_of("a/b").st_mode, S_IFDIR | 02711);
	assert_int_equal(stat_of("a/b").st_uid, 5);
	assert_int_equal(stat_of("a/b/c").st_mode, S_IFDIR | 0755);
}

static void hard_link_to_a_lower_layer(void **state)
{
	AUTO(text_fini) struct text deferred = { 0 };
	AUTO_CLOSE int fd = -1;
	struct text tar = { 0 };

	(void)state;
	fd = openat(lower_fd, "orig", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write_full(fd, "below", 5), 0);
	assert_int_equal(fchown(fd, 8, 9), 0);
	assert_int_equal(fsetxattr(fd, "user.k", "v", 1, 0), 0);
	assert_int_equal(symlinkat("target", lower_fd, "sym"), 0);
	tar_add(&tar, (struct tar_entry){ .name = "new/link", .type = '1', .link = "orig" });
	tar_add(&tar, (struct tar_entry){ .name = "sym2", .type = '1', .link = "sym" });
	unpack_ok(&tar, &deferred);
	finish(&deferred);
	assert_content("new/link", "below");
	assert_int_equal(stat_of("new/link").st_uid, 8);
	assert_int_equal(stat_of("new/link").st_mode, S_IFREG | 0600);
	assert_true(S_ISLNK(stat_of("sym2").st_mode));
}

static void hard_link_to_nothing_is_told(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text deferred = { 0 };
	struct text tar = { 0 };

	(void)state;
	/* Hidden by a whiteout above it, so it does not count. */
	assert_int_equal(symlinkat("/etc/shadow", lower_fd, "s"), 0);
	tar_add(&tar, (struct tar_entry){ .name = "x", .type = '1', .link = "s/deeper" });
	unpack_ok(&tar, &deferred);
	assert_int_equal(unpack_finish(root_fd, &lower_fd, 1, deferred.data, deferred.size, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.message, "not in the image"));
}

/* ---- evil ---- */

static void dot_dot(void **state)
{
	static const char *const names[] = { "../outside/x", "a/../../outside/x", "a/..", "..", "/../outside/x" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct text tar = { 0 };

		tar_add(&tar, (struct tar_entry){ .name = names[i], .content = "evil" });
		refused(&tar, "contains \"..\"");
	}
	assert_outside_empty();
}

static void through_a_link_out(void **state)
{
	static const char *const targets[] = { "../outside", "/tmp", "a/../../outside", "/", ".." };

	(void)state;
	for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
		struct text tar = { 0 };

		tar_add(&tar, (struct tar_entry){ .name = "a", .type = '5' });
		tar_add(&tar, (struct tar_entry){ .name = "out", .type = '2', .link = targets[i] });
		tar_add(&tar, (struct tar_entry){ .name = "out/t-store-evil", .content = "evil" });
		refused(&tar, "leads out of the layer through a symbolic link");
	}
	assert_outside_empty();
	assert_int_equal(access("/tmp/t-store-evil", F_OK), -1);
}

/* A directory that was used, then becomes a link: a remembered descriptor must not serve a changed path. */
static void directory_replaced_by_a_link(void **state)
{
	struct text tar = { 0 };

	(void)state;
	tar_add(&tar, (struct tar_entry){ .name = "d", .type = '5' });
	tar_add(&tar, (struct tar_entry){ .name = "d/one", .content = "x" });
	tar_add(&tar, (struct tar_entry){ .name = "d", .type = '2', .link = "../outside" });
	tar_add(&tar, (struct tar_entry){ .name = "d/two", .content = "evil" });
	refused(&tar, "leads out");
	assert_outside_empty();
}

/* The last component is replaced, not followed. */
static void file_over_a_link(void **state)
{
	struct text tar = { 0 };

	(void)state;
	tar_add(&tar, (struct tar_entry){ .name = "f", .type = '2', .link = "../outside/evil" });
	tar_add(&tar, (struct tar_entry){ .name = "f", .content = "mine" });
	tar_add(&tar, (struct tar_entry){ .name = "g", .type = '2', .link = "../outside" });
	tar_add(&tar, (struct tar_entry){ .name = "g", .type = '5', .mode = 0777 });
	tar_add(&tar, (struct tar_entry){ .name = "g/x", .content = "mine" });
	unpack_ok(&tar, NULL);
	assert_content("f", "mine");
	assert_content("g/x", "mine");
	assert_outside_empty();
}

static void hard_links_out(void **state)
{
	struct text tar = { 0 };

	(void)state;
	tar_add(&tar, (struct tar_entry){ .name = "h", .type = '1', .link = "../../../../etc/passwd" });
	refused(&tar, "contains \"..\"");
	tar_add(&tar, (struct tar_entry){ .name = "h", .type = '1', .link = "/etc/passwd" });
	refused(&tar, "which is not in the layer");
	tar_add(&tar, (struct tar_entry){ .name = "l", .type = '2', .link = "/etc" });
	tar_add(&tar, (struct tar_entry){ .name = "h", .type = '1', .link = "l/passwd" });
	refused(&tar, "leads out of the layer");
	tar_add(&tar, (struct tar_entry){ .name = "d", .type = '5' });
	tar_add(&tar, (struct tar_entry){ .name = "h", .type = '1', .link = "d" });
	refused(&tar, "hard link to the directory");
	assert_int_equal(stat_of("h").st_mode, 0);
}

static void whiteouts_of_nothing(void **state)
{
	static const char *const names[] = { "a/.wh.", "a/.wh..", "a/.wh..." };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const struct unpack_settings settings = { 0 };
		struct text tar = { 0 };

		tar_add(&tar, (struct tar_entry){ .name = names[i] });
		refused_with(&tar, &settings, ERR_INVALID, "a whiteout of nothing");
	}
	assert_outside_empty();
}

static void file_as_a_parent(void **state)
{
	struct text tar = { 0 };

	(void)state;
	tar_add(&tar, (struct tar_entry){ .name = "f", .content = "x" });
	tar_add(&tar, (struct tar_entry){ .name = "f/g", .content = "x" });
	refused(&tar, "a parent is not a directory");
	assert_content("f", "x");
}

static void devices_by_policy(void **state)
{
	const struct unpack_settings refuse = { .lowest = true, .devices = UNPACK_DEVICES_REFUSE };
	const struct unpack_settings skip = { .lowest = true, .devices = UNPACK_DEVICES_SKIP };
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text deferred = { 0 };
	struct text tar = { 0 };

	(void)state;
	tar_add(&tar, (struct tar_entry){ .name = "sda", .type = '4', .major = 8 });
	refused_with(&tar, &refuse, ERR_FORBIDDEN, "devices are not allowed");
	tar_add(&tar, (struct tar_entry){ .name = "sda", .type = '4', .major = 8 });
	tar_add(&tar, (struct tar_entry){ .name = "file", .content = "x" });
	tar_end(&tar);
	assert_no_error(unpack_with(&tar, &deferred, root_fd, &skip, &err), &err);
	assert_int_equal(stat_of("sda").st_mode, 0);
	assert_content("file", "x");
}

static void limits(void **state)
{
	const struct unpack_settings bytes = { .lowest = true, .limit_bytes = 1024 };
	const struct unpack_settings entries = { .lowest = true, .limit_entries = 1 };
	struct text tar = { 0 };

	(void)state;
	tar_add(&tar, (struct tar_entry){ .name = "a", .content = "x" });
	refused_with(&tar, &bytes, ERR_EXHAUSTED, "limit of 1024 bytes");
	tar_add(&tar, (struct tar_entry){ .name = "a", .content = "x" });
	tar_add(&tar, (struct tar_entry){ .name = "b", .content = "x" });
	refused_with(&tar, &entries, ERR_EXHAUSTED, "more than 1 entries");
}

static void damaged_archives(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text deferred = { 0 };
	const struct unpack_settings settings = { .lowest = true };
	struct text tar = { 0 };

	(void)state;
	text_add(&tar, "this is no tar archive, it is a sentence in English, as one can see");
	for (int i = 0; i < 1000; i++)
		text_add(&tar, " again");
	assert_int_equal(unpack_with(&tar, &deferred, root_fd, &settings, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.message, "not a whole tar archive"));
	error_clear(&err);
	tar_add(&tar, (struct tar_entry){ .name = "a", .content = "0123456789" });
	tar.size = 515;
	assert_int_equal(unpack_with(&tar, &deferred, root_fd, &settings, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	error_clear(&err);
	/* Empty is an empty layer. */
	text_add(&tar, "");
	assert_no_error(unpack_with(&tar, &deferred, root_fd, &settings, &err), &err);
}

/* libarchive takes a failed read for the end of the archive: the failure must not get lost. Found by the fuzzer. */
static void broken_compression(void **state)
{
	static const uint8_t broken[] = { 0x1f, 0x8b, 8,    0,	  0,	0,    0,    0,	  2,
					  0xf3, 0x5b, 0x2f, 0xa0, 0xff, 0xff, 0xd7, 0xff, 0 };
	const struct unpack_settings settings = { .lowest = true };
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text deferred = { 0 };
	struct text tar = { 0 };

	(void)state;
	text_add_bytes(&tar, broken, sizeof(broken));
	assert_int_equal(unpack_with(&tar, &deferred, root_fd, &settings, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.message, "gzip"));
}

static void owner_minus_one(void **state)
{
	struct text tar = { 0 };

	(void)state;
	tar_add(&tar, (struct tar_entry){ .name = "a", .content = "x" });
	/* Base-256: eight bytes of 0xff is -1. */
	memset(tar.data + 108, 0xff, 8);
	{
		unsigned sum = 0;

		memset(tar.data + 148, ' ', 8);
		for (int i = 0; i < 512; i++)
			sum += (unsigned char)tar.data[i];
		snprintf(tar.data + 148, 8, "%06o", sum);
	}
	refused(&tar, "out of range");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(all_kinds),
		IN_FOLDER(group_of_setgid_directory_is_not_inherited),
		IN_FOLDER(later_entries_replace),
		IN_FOLDER(links_inside_the_layer_are_followed),
		IN_FOLDER(whiteouts_become_overlays),
		IN_FOLDER(lowest_layer_has_no_whiteouts),
		IN_FOLDER(overlays_own_attributes_are_dropped),
		IN_FOLDER(implied_directories_keep_their_attributes),
		IN_FOLDER(hard_link_to_a_lower_layer),
		IN_FOLDER(hard_link_to_nothing_is_told),
		IN_FOLDER(dot_dot),
		IN_FOLDER(through_a_link_out),
		IN_FOLDER(directory_replaced_by_a_link),
		IN_FOLDER(file_over_a_link),
		IN_FOLDER(hard_links_out),
		IN_FOLDER(whiteouts_of_nothing),
		IN_FOLDER(file_as_a_parent),
		IN_FOLDER(devices_by_policy),
		IN_FOLDER(limits),
		IN_FOLDER(damaged_archives),
		IN_FOLDER(broken_compression),
		IN_FOLDER(owner_minus_one),
	};

	if (geteuid() != 0)
		return 77; /* meson: skipped */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
