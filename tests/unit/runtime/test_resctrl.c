/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/resctrl.h"

/* A folder that looks like a resctrl with one class, `gold`. */
static char *fake_root(void)
{
	static const char *const files[] = { "tasks", "schemata", "gold/tasks", "gold/schemata" };
	char *root = xstrdup("/tmp/kt-resctrl-XXXXXX");

	assert_non_null(mkdtemp(root));
	assert_int_equal(mkdir_all(AT_FDCWD, root, 0755), 0);
	for (size_t i = 0; i < 4; i++) {
		AUTO_FREE char *path = path_join(root, files[i]);
		AUTO_FREE char *parent = path_parent(path);

		assert_int_equal(mkdir_all(AT_FDCWD, parent, 0755), 0);
		assert_int_equal(file_write_atomic(AT_FDCWD, path, "", 0, 0644, FILE_NO_SYNC), 0);
	}
	return root;
}

static void expect_file(const char *root, const char *name, const char *wanted)
{
	AUTO_FREE char *path = path_join(root, name);
	AUTO_FREE char *text = NULL;

	assert_int_equal(file_read(&text, NULL, AT_FDCWD, path, 4096), 0);
	assert_string_equal(text, wanted);
}

static void a_named_class_is_used_and_left_alone(void **state)
{
	AUTO_FREE char *root = fake_root();
	AUTO_FREE char *made = NULL;
	AUTO(error_clear) struct error err = { 0 };
	struct spec_intel_rdt rdt = { .clos_id = (char *)"gold", .l3_cache_schema = (char *)"L3:0=f" };

	(void)state;
	text_list_add(&rdt.schemata, "MB:0=20");
	assert_int_equal(resctrl_apply(&made, root, &rdt, "c1", 77, &err), 0);
	assert_null(made);
	expect_file(root, "gold/tasks", "77");
	expect_file(root, "gold/schemata", "L3:0=f\nMB:0=20\n");
	text_list_fini(&rdt.schemata);
	remove_tree(AT_FDCWD, root);
}

static void the_root_is_a_class_too(void **state)
{
	AUTO_FREE char *root = fake_root();
	AUTO_FREE char *made = NULL;
	AUTO(error_clear) struct error err = { 0 };
	const struct spec_intel_rdt rdt = { .clos_id = (char *)"/" };

	(void)state;
	assert_int_equal(resctrl_apply(&made, root, &rdt, "c1", 78, &err), 0);
	assert_null(made);
	expect_file(root, "tasks", "78");
	remove_tree(AT_FDCWD, root);
}

static void a_class_without_schemata_must_be_there(void **state)
{
	AUTO_FREE char *root = fake_root();
	AUTO_FREE char *made = NULL;
	AUTO(error_clear) struct error err = { 0 };
	const struct spec_intel_rdt rdt = { .clos_id = (char *)"none" };

	(void)state;
	assert_int_equal(resctrl_apply(&made, root, &rdt, "c1", 79, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_null(made);
	remove_tree(AT_FDCWD, root);
}

/* Without the kernel's help the new folder has no files: what was made is told all the same. */
static void what_is_made_is_told_also_on_failure(void **state)
{
	AUTO_FREE char *root = fake_root();
	AUTO_FREE char *wanted = path_join(root, "c1");
	AUTO_FREE char *made = NULL;
	AUTO(error_clear) struct error err = { 0 };
	const struct spec_intel_rdt rdt = { .mem_bw_schema = (char *)"MB:0=20" };

	(void)state;
	assert_int_equal(resctrl_apply(&made, root, &rdt, "c1", 80, &err), -1);
	assert_string_equal(made, wanted);
	remove_tree(AT_FDCWD, root);
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
	static const char *const bad[] = { "..", ".", "a/b", "../x" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		const struct spec_intel_rdt rdt = { .clos_id = (char *)bad[i] };

		assert_int_equal(resctrl_check(&rdt, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_named_class_is_used_and_left_alone),
		cmocka_unit_test(the_root_is_a_class_too),
		cmocka_unit_test(a_class_without_schemata_must_be_there),
		cmocka_unit_test(what_is_made_is_told_also_on_failure),
		cmocka_unit_test(names_that_lead_elsewhere_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
