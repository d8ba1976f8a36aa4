/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "unit/unit.h"

static void test_holds_many(void **state)
{
	struct map map;
	char key[32];
	size_t at = 0;
	size_t seen = 0;

	(void)state;
	map_init(&map, free);
	assert_null(map_get(&map, "x"));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 1000; i++) {
			snprintf(key, sizeof(key), "key-%d", i);
			map_set(&map, key, xstrdup(key));
		}
		for (int i = 0; i < 1000; i += 2) {
			snprintf(key, sizeof(key), "key-%d", i);
			map_remove(&map, key);
			assert_null(map_get(&map, key));
		}
	}
	assert_int_equal(map.count, 500);
	assert_string_equal(map_get(&map, "key-999"), "key-999");
	while (map_next(&map, &at, NULL))
		seen++;
	assert_int_equal(seen, 500);
	map_fini(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_holds_many) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
