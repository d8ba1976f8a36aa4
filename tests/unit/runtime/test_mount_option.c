/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/mount_option.h"

#include <sys/mount.h>

#include "base/cleanup.h"
#include "sys/mount_api.h"
#include "unit/unit.h"

static struct mount_options parse(const char *words)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list list = { 0 };
	struct mount_options options = { 0 };

	text_list_split(&list, words, ' ');
	assert_no_error(mount_options_parse(&options, &list, &err), &err);
	return options;
}

static void sorts_words_by_what_they_act_on(void **state)
{
	AUTO(mount_options_fini)
	struct mount_options options = parse("rbind ro nosuid rnoexec sync mode=755 size=1k rslave tmpcopyup");

	(void)state;
	assert_true(options.bind && options.recursive_bind && options.copy_up);
	assert_true(options.attr_set == (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID));
	assert_true(options.recursive_set == MOUNT_ATTR_NOEXEC);
	assert_true(options.superblock == MS_SYNCHRONOUS);
	assert_int_equal(options.propagation_count, 1);
	assert_true(options.propagation[0] == (MS_SLAVE | MS_REC));
	assert_string_equal(options.data.data, "mode=755,size=1k");
}

static void later_words_win(void **state)
{
	AUTO(mount_options_fini) struct mount_options rw = parse("ro rw");
	AUTO(mount_options_fini) struct mount_options ro = parse("rw ro");
	AUTO(mount_options_fini) struct mount_options async = parse("sync async");

	(void)state;
	assert_true(rw.attr_set == 0 && rw.attr_clear == MOUNT_ATTR_RDONLY);
	assert_true(ro.attr_set == MOUNT_ATTR_RDONLY && ro.attr_clear == 0);
	assert_true(async.superblock == 0);
}

static void atime_is_one_field(void **state)
{
	AUTO(mount_options_fini) struct mount_options none = parse("strictatime noatime");
	AUTO(mount_options_fini) struct mount_options relative = parse("noatime relatime");

	(void)state;
	assert_true(none.attr_set == MOUNT_ATTR_NOATIME && none.attr_clear == MOUNT_ATTR__ATIME);
	assert_true(relative.attr_set == 0 && relative.attr_clear == MOUNT_ATTR__ATIME);
}

static void propagation_words(void **state)
{
	(void)state;
	assert_true(mount_options_propagation("rshared") == (MS_SHARED | MS_REC));
	assert_true(mount_options_propagation("ro") == 0);
	assert_true(mount_options_propagation(NULL) == 0);
}

static void too_many_propagations(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list list = { 0 };
	struct mount_options options = { 0 };

	(void)state;
	text_list_split(&list, "x=1 private slave shared rslave rshared", ' ');
	assert_int_equal(mount_options_parse(&options, &list, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorts_words_by_what_they_act_on),
		cmocka_unit_test(later_words_win),
		cmocka_unit_test(atime_is_one_field),
		cmocka_unit_test(propagation_words),
		cmocka_unit_test(too_many_propagations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
