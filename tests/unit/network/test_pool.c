/* SPDX-License-Identifier: Apache-2.0 */
#include "network/pool.h"

#include "unit/unit.h"

static struct net_address address(const char *text)
{
	struct net_address parsed;

	assert_int_equal(net_address_parse(&parsed, text), 0);
	return parsed;
}

static void assert_address(const struct net_address *given, const char *wanted)
{
	char text[NET_ADDRESS_TEXT_MAX];

	assert_string_equal(net_address_format_prefix(text, given), wanted);
}

static void test_defaults(void **state)
{
	struct net_address subnet, other;
	unsigned count = 0;

	(void)state;
	assert_true(pool_default(&subnet, 0));
	assert_address(&subnet, "172.17.0.0/16");
	assert_true(pool_default(&subnet, 14));
	assert_address(&subnet, "172.31.0.0/16");
	assert_true(pool_default(&subnet, 15));
	assert_address(&subnet, "192.168.0.0/20");
	assert_true(pool_default(&subnet, 30));
	assert_address(&subnet, "192.168.240.0/20");
	while (pool_default(&subnet, count)) {
		for (unsigned i = 0; i < count; i++) {
			pool_default(&other, i);
			assert_false(net_address_overlaps(&subnet, &other));
		}
		count++;
	}
	assert_int_equal(count, 31);
}

static void test_arithmetic(void **state)
{
	struct net_address subnet = address("10.1.2.3/29"), first, inside;
	uint8_t mac[6];
	const uint8_t wanted[6] = { 2, 0x42, 10, 1, 2, 1 };

	(void)state;
	subnet = pool_network(&subnet);
	assert_address(&subnet, "10.1.2.0/29");
	assert_int_equal(pool_size(&subnet), 8);
	first = pool_address(&subnet, 1);
	assert_address(&first, "10.1.2.1/29");
	pool_mac(mac, &first);
	assert_memory_equal(mac, wanted, 6);
	inside = address("10.1.2.7");
	assert_true(pool_contains(&subnet, &inside));
	assert_false(pool_is_usable(&subnet, &inside));
	inside = address("10.1.2.0");
	assert_false(pool_is_usable(&subnet, &inside));
	inside = address("10.1.2.6");
	assert_true(pool_is_usable(&subnet, &inside));
	inside = address("10.1.2.8");
	assert_false(pool_contains(&subnet, &inside));
	inside = address("10.1.1.255");
	assert_false(pool_contains(&subnet, &inside));
}

struct taken {
	bool used[8];
};

static bool is_taken(const struct net_address *candidate, void *arg)
{
	const struct taken *taken = arg;

	return taken->used[candidate->bytes[3]];
}

static void test_take(void **state)
{
	struct net_address subnet = address("10.0.0.0/29"), given;
	struct taken taken = { .used = { [1] = true } };
	uint64_t last = 0;

	(void)state;
	for (int i = 2; i <= 6; i++) {
		assert_true(pool_take(&given, &subnet, &subnet, &last, is_taken, &taken));
		assert_int_equal(given.bytes[3], i);
		taken.used[i] = true;
	}
	assert_false(pool_take(&given, &subnet, &subnet, &last, is_taken, &taken));
	/* Given back early and late: the one behind the last comes first. */
	taken.used[3] = taken.used[5] = false;
	last = 3;
	assert_true(pool_take(&given, &subnet, &subnet, &last, is_taken, &taken));
	assert_int_equal(given.bytes[3], 5);
	taken.used[5] = true;
	assert_true(pool_take(&given, &subnet, &subnet, &last, is_taken, &taken));
	assert_int_equal(given.bytes[3], 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_arithmetic),
		cmocka_unit_test(test_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
