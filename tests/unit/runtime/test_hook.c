/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/hook.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "unit/unit.h"

static char folder[] = "/tmp/kist-hook-XXXXXX";

static void add(spec_hook_list *hooks, const char *script, int64_t timeout)
{
	struct spec_hook *hook = json_array_add(hooks, sizeof(*hook));

	hook->path = xstrdup("/bin/sh");
	text_list_add(&hook->args, "sh");
	text_list_add(&hook->args, "-c");
	text_list_add(&hook->args, script);
	text_list_addf(&hook->env, "OUT=%s/out", folder);
	if (timeout)
		hook->timeout = (struct optional_i64){ true, timeout };
}

static void free_hooks(spec_hook_list *hooks)
{
	for (size_t i = 0; i < hooks->count; i++) {
		free(hooks->items[i].path);
		text_list_fini(&hooks->items[i].args);
		text_list_fini(&hooks->items[i].env);
	}
	free(hooks->items);
}

static void run_in_order_with_the_state(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(free_hooks) spec_hook_list hooks = { 0 };
	AUTO_FREE char *path = xasprintf("%s/out", folder);
	AUTO_FREE char *text = NULL;

	(void)state;
	add(&hooks, "read x; echo first $x >> $OUT", 0);
	add(&hooks, "read x; echo second $x $# >> $OUT; test -z \"$HOME\"", 0);
	assert_no_error(hook_run_list(&hooks, "prestart", "{}\n", NULL, &err), &err);
	assert_int_equal(file_read(&text, NULL, -100, path, 4096), 0);
	assert_string_equal(text, "first {}\nsecond {} 0\n");
	unlink(path);
}

static void the_first_failure_ends_it(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(free_hooks) spec_hook_list hooks = { 0 };
	AUTO_FREE char *path = xasprintf("%s/never", folder);

	(void)state;
	add(&hooks, "echo to out; echo why >&2; exit 3", 0);
	add(&hooks, "touch $OUT/../never", 0);
	assert_int_equal(hook_run_list(&hooks, "poststart", "{}", NULL, &err), -1);
	assert_string_equal(err.message, "error running poststart hook #0: /bin/sh: exit status 3: to out\nwhy");
	assert_int_not_equal(access(path, F_OK), 0);
}

static void timeouts_and_missing_programs(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(free_hooks) spec_hook_list slow = { 0 };
	AUTO(free_hooks) spec_hook_list missing = { 0 };

	(void)state;
	add(&slow, "exec sleep 30", 1);
	assert_int_equal(hook_run_list(&slow, "prestart", "{}", NULL, &err), -1);
	assert_non_null(strstr(err.message, "timed out after 1 s"));
	error_clear(&err);
	add(&missing, "", 0);
	free(missing.items[0].path);
	missing.items[0].path = xstrdup("/none/such");
	assert_int_equal(hook_run_list(&missing, "prestart", "{}", NULL, &err), -1);
	assert_non_null(strstr(err.message, "/none/such"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(run_in_order_with_the_state),
		cmocka_unit_test(the_first_failure_ends_it),
		cmocka_unit_test(timeouts_and_missing_programs),
	};
	int failed;

	if (!mkdtemp(folder))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}
