/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "oci/hasher.h"
#include "store/image_name.h"
#include "store/image_record.h"
#include "store/layer.h"
#include "store/snapshot.h"
#include "tmp_root.h"
#include "unit/unit.h"

static struct store *open_store(void)
{
	AUTO(error_clear) struct error err = { 0 };
	struct store *store = NULL;

	assert_no_error(store_open(&store, tmp_root, "overlay2", &err), &err);
	return store;
}

static struct digest named(const char *text)
{
	struct digest digest;

	digest_of(&digest, DIGEST_SHA256, text, strlen(text));
	return digest;
}

/* The hint is for ext4; elsewhere it must do no harm, which every other test shows. */
static void test_trees_are_spread(void **state)
{
	struct store *store = open_store();
	AUTO_FREE char *path = xasprintf("%s/snapshots", tmp_root);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs file_system;
	int flags = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fstatfs(fd, &file_system), 0);
	if (file_system.f_type == EXT4_SUPER_MAGIC) {
		assert_int_equal(ioctl(fd, FS_IOC_GETFLAGS, &flags), 0);
		assert_true(flags & FS_TOPDIR_FL);
	}
	store_close(store);
}

/* A layer with one file "f" of 5 bytes. */
static struct layer add_layer(struct store *store, const char *name, const char *parent)
{
	AUTO(error_clear) struct error err = { 0 };
	struct layer layer = { .chain_id = named(name), .diff_id = named(name), .size = 5 };
	struct layer_writer *writer = NULL;
	int fd;

	if (parent)
		layer.parent = named(parent);
	assert_no_error(layer_writer_new(&writer, store, &err), &err);
	fd = openat(layer_writer_fd(writer), "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "12345", 5), 5);
	close(fd);
	assert_no_error(layer_commit(writer, &layer, &err), &err);
	layer_writer_free(writer);
	assert_int_equal(layer_find(&layer, store, &layer.chain_id, &err), 1);
	return layer;
}

static struct digest add_image(struct store *store, const char *config, const char *chain)
{
	AUTO(error_clear) struct error err = { 0 };
	struct image_record image = { .size = 10 };

	assert_no_error(blob_put(&image.id, store_blobs(store), config, strlen(config), &err), &err);
	image.chain_id = named(chain);
	assert_no_error(image_record_put(store, &image, &err), &err);
	return image.id;
}

static int wait_for_entries(const char *name, int wanted)
{
	for (int i = 0; i < 3000 && count_entries(name) != wanted; i++)
		clock_sleep_ms(10);
	return count_entries(name);
}

/* What names an image's blobs cannot be read just now: a folder in its place stands for a disk that fails. */
static void blobs_of_an_unreadable_manifest_stay(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct image_record image = { .size = 10, .manifest = named("manifest") };
	struct store *store = open_store();
	struct store_garbage garbage = { 0 };
	char hex[DIGEST_TEXT_MAX];
	AUTO_FREE char *path = xasprintf("%s/blobs/sha256/%s", tmp_root, digest_hex(&image.manifest, hex));
	struct digest blob;

	(void)state;
	assert_int_equal(mkdir(path, 0700), 0);
	assert_no_error(blob_put(&blob, store_blobs(store), "layer", 5, &err), &err);
	image.id = add_image(store, "{}", "");
	assert_no_error(image_record_put(store, &image, &err), &err);
	assert_int_equal(store_collect(&garbage, store, &err), -1);
	assert_int_equal(err.kind, ERR_INTERNAL);
	error_clear(&err);
	assert_int_equal(blob_exists(store_blobs(store), &blob, &err), 1);
	/* A start tidies up nothing then, but it is a start. */
	store_close(store);
	store = open_store();
	assert_int_equal(blob_exists(store_blobs(store), &blob, &err), 1);
	store_close(store);
}

static void layers_stack(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct store *store = open_store();
	struct layer_stack stack;
	struct layer low = add_layer(store, "low", NULL);
	struct layer high = add_layer(store, "high", "low");

	(void)state;
	assert_no_error(layer_stack_load(&stack, store, &high.chain_id, &err), &err);
	assert_int_equal(stack.count, 2);
	assert_int_equal(stack.items[0].directory, high.directory);
	assert_int_equal(stack.items[1].directory, low.directory);
	assert_int_equal(stack.size, 10);
	layer_stack_fini(&stack);
	/* The same again is dropped. */
	assert_int_equal(add_layer(store, "low", NULL).directory, low.directory);
	assert_int_equal(wait_for_entries("snapshots", 2), 2);
	store_close(store);
}

static void layer_without_its_parent_is_refused(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct store *store = open_store();
	struct layer layer = { .chain_id = named("b"), .parent = named("a"), .diff_id = named("b") };
	struct layer_writer *writer = NULL;

	(void)state;
	assert_no_error(layer_writer_new(&writer, store, &err), &err);
	assert_int_equal(layer_commit(writer, &layer, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	layer_writer_free(writer);
	assert_int_equal(count_entries("snapshots"), 0);
	assert_int_equal(wait_for_entries("trash", 0), 0);
	store_close(store);
}

static void snapshot_names_its_mount(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct store *store = open_store();
	struct snapshot_mount mount;
	struct digest none = { 0 };
	struct digest high = named("high");
	struct digest missing = named("missing");
	char expected[512];
	uint64_t bytes;

	(void)state;
	add_layer(store, "low", NULL);
	add_layer(store, "high", "low");
	assert_no_error(snapshot_create(store, "c1", &(struct digest){ 0 }, &err), &err);
	assert_int_equal(snapshot_create(store, "c2", &missing, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	error_clear(&err);
	assert_no_error(snapshot_create(store, "c3", &high, &err), &err);
	assert_no_error(snapshot_mount(&mount, store, "c3", &err), &err);
	assert_string_equal(mount.type, "overlay");
	snprintf(expected, sizeof(expected), "lowerdir=%s/snapshots/2/fs:%s/snapshots/1/fs", tmp_root, tmp_root);
	assert_string_equal(mount.options.items[0], expected);
	assert_true(text_has_prefix(mount.options.items[1], "upperdir="));
	snapshot_mount_fini(&mount);
	assert_no_error(snapshot_mount(&mount, store, "c1", &err), &err);
	assert_string_equal(mount.type, "bind");
	snapshot_mount_fini(&mount);
	assert_no_error(snapshot_size(&bytes, store, "c3", &err), &err);
	assert_int_equal(bytes, 0);
	assert_no_error(snapshot_parent_size(&bytes, store, "c3", &err), &err);
	assert_int_equal(bytes, 10);
	assert_int_equal(snapshot_create(store, "c3", &none, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	store_close(store);
}

static void collector_keeps_what_is_needed(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct store *store = open_store();
	struct store_garbage garbage;
	struct digest config;
	struct digest stray;
	struct digest chain = named("high");

	(void)state;
	add_layer(store, "low", NULL);
	add_layer(store, "high", "low");
	add_layer(store, "other", "low");
	config = add_image(store, "{}", "high");
	assert_no_error(blob_put(&stray, store_blobs(store), "stray", 5, &err), &err);
	assert_no_error(store_collect(&garbage, store, &err), &err);
	assert_int_equal(garbage.layers, 1);
	assert_int_equal(garbage.blobs, 1);
	assert_int_equal(garbage.bytes, 10);
	assert_int_equal(blob_exists(store_blobs(store), &config, &err), 1);
	/* A container keeps the layers when the image goes. */
	assert_no_error(snapshot_create(store, "c", &chain, &err), &err);
	assert_no_error(image_record_remove(store, &config, &err), &err);
	assert_no_error(store_collect(&garbage, store, &err), &err);
	assert_int_equal(garbage.layers, 0);
	assert_int_equal(garbage.blobs, 1);
	assert_no_error(snapshot_remove(store, "c", &err), &err);
	assert_no_error(store_collect(&garbage, store, &err), &err);
	assert_int_equal(garbage.layers, 2);
	assert_int_equal(wait_for_entries("snapshots", 0), 0);
	assert_int_equal(wait_for_entries("trash", 0), 0);
	store_close(store);
}

static void leases_protect(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct store *store = open_store();
	struct lease *lease = lease_new(store);
	struct store_garbage garbage;
	struct digest stray;
	struct layer layer = add_layer(store, "leased", NULL);

	(void)state;
	assert_no_error(blob_put(&stray, store_blobs(store), "stray", 5, &err), &err);
	lease_add(lease, &stray);
	lease_add(lease, &layer.chain_id);
	assert_no_error(store_collect(&garbage, store, &err), &err);
	assert_int_equal(garbage.layers + garbage.blobs, 0);
	lease_free(lease);
	assert_no_error(store_collect(&garbage, store, &err), &err);
	assert_int_equal(garbage.layers, 1);
	assert_int_equal(garbage.blobs, 1);
	store_close(store);
}

/* As after kill -9: a directory being made, one without a row, a blob of an unfinished pull, a file in tmp. */
static void opening_repairs(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct store *store = open_store();
	struct layer kept = add_layer(store, "kept", NULL);
	AUTO_FREE char *bytes = calloc(1, 100000);
	struct digest stray;
	char path[256];

	(void)state;
	add_image(store, "{}", "kept");
	assert_no_error(blob_put(&stray, store_blobs(store), "document", 8, &err), &err);
	assert_no_error(blob_put(&stray, store_blobs(store), bytes, 100000, &err), &err);
	store_close(store);
	for (int i = 0; i < 3; i++) {
		static const char *const left[] = { "snapshots/new-7", "snapshots/9", "tmp/0123" };

		snprintf(path, sizeof(path), "%s/%s", tmp_root, left[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	store = open_store();
	assert_int_equal(count_entries("snapshots"), 1);
	assert_int_equal(count_entries("tmp"), 0);
	assert_int_equal(count_entries("blobs/sha256"), 1);
	assert_int_equal(count_entries("ingest"), 1);
	assert_int_equal(wait_for_entries("trash", 0), 0);
	/* Numbers that were in use are not given again. */
	assert_true(add_layer(store, "new", NULL).directory > 9);
	assert_int_equal(layer_find(&kept, store, &kept.chain_id, &err), 1);
	store_close(store);
}

static void snapshot_without_its_directory_is_dropped(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list keys = { 0 };
	struct store *store = open_store();
	struct digest none = { 0 };
	char path[256];

	(void)state;
	assert_no_error(snapshot_create(store, "gone", &none, &err), &err);
	assert_no_error(snapshot_create(store, "here", &none, &err), &err);
	store_close(store);
	snprintf(path, sizeof(path), "%s/snapshots/1", tmp_root);
	assert_int_equal(remove_tree(AT_FDCWD, path), 0);
	store = open_store();
	assert_no_error(snapshot_list(&keys, store, &err), &err);
	assert_int_equal(keys.count, 1);
	assert_string_equal(keys.items[0], "here");
	store_close(store);
}

static void names_move(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };
	struct store *store = open_store();
	struct image_name_list names;
	struct image_record found;
	struct digest none = named("none");
	struct digest previous;
	struct digest image;
	struct digest a;
	struct digest b;
	char prefix[20];
	char text[DIGEST_TEXT_MAX];

	(void)state;
	a = add_image(store, "{\"a\":1}", "");
	b = add_image(store, "{\"b\":1}", "");
	assert_no_error(reference_parse(&reference, "debian:12", &err), &err);
	assert_no_error(image_name_set(store, &reference, &a, &previous, &err), &err);
	assert_false(digest_is_set(&previous));
	assert_no_error(image_name_set(store, &reference, &b, &previous, &err), &err);
	assert_true(digest_equal(&previous, &a));
	assert_int_equal(image_name_find(&image, store, &reference, &err), 1);
	assert_true(digest_equal(&image, &b));
	assert_int_equal(image_name_set(store, &reference, &none, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	error_clear(&err);
	assert_no_error(image_name_list_load(&names, store, &b, &err), &err);
	assert_int_equal(names.count, 1);
	assert_string_equal(names.items[0].name, "docker.io/library/debian:12");
	assert_string_equal(names.items[0].repository, "docker.io/library/debian");
	image_name_list_fini(&names);
	snprintf(prefix, sizeof(prefix), "%.12s", digest_hex(&b, text));
	assert_int_equal(image_record_find_prefix(&found, store, prefix, &err), 1);
	assert_true(digest_equal(&found.id, &b));
	assert_int_equal(image_record_find_prefix(&found, store, "xyz", &err), 0);
	assert_no_error(image_record_remove(store, &b, &err), &err);
	assert_int_equal(image_name_find(&image, store, &reference, &err), 0);
	assert_int_equal(image_name_remove(store, &reference, &err), 0);
	store_close(store);
}

#define IN_TMP(test) cmocka_unit_test_setup_teardown(test, tmp_root_setup, tmp_root_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TMP(test_trees_are_spread),
		IN_TMP(blobs_of_an_unreadable_manifest_stay),
		IN_TMP(layers_stack),
		IN_TMP(layer_without_its_parent_is_refused),
		IN_TMP(snapshot_names_its_mount),
		IN_TMP(collector_keeps_what_is_needed),
		IN_TMP(leases_protect),
		IN_TMP(opening_repairs),
		IN_TMP(snapshot_without_its_directory_is_dropped),
		IN_TMP(names_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
