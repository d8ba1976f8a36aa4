/* SPDX-License-Identifier: Apache-2.0 */
/* Everything happens in network namespaces made here; the host's is never touched. */
#include "sys/netlink.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "unit/unit.h"

static int inside = -1, outside = -1;

/* Sockets born in two fresh namespaces; this process stays in the second. */
static int set_up(void **state)
{
	(void)state;
	if (geteuid() != 0)
		return 0;
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	inside = netlink_open();
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	outside = netlink_open();
	return inside < 0 || outside < 0 ? -1 : 0;
}

static struct net_address address(const char *text)
{
	struct net_address parsed;

	assert_int_equal(net_address_parse(&parsed, text), 0);
	return parsed;
}

static void test_addresses(void **state)
{
	char text[NET_ADDRESS_TEXT_MAX];
	struct net_address a = address("172.17.0.0/16"), b = address("172.17.5.0/24"), c = address("172.18.0.0/15");

	(void)state;
	assert_true(net_address_overlaps(&a, &b));
	assert_true(net_address_overlaps(&b, &a));
	assert_false(net_address_overlaps(&a, &c));
	c = address("172.16.0.0/12");
	assert_true(net_address_overlaps(&a, &c));
	c = address("0.0.0.0/0");
	assert_true(net_address_overlaps(&a, &c));
	a = address("fe80::1/64");
	assert_false(net_address_overlaps(&a, &c));
	assert_string_equal(net_address_format_prefix(text, &a), "fe80::1/64");
	a = address("10.0.0.1");
	assert_string_equal(net_address_format_prefix(text, &a), "10.0.0.1/32");
	assert_string_equal(net_address_format(text, &a), "10.0.0.1");
	assert_int_equal(net_address_parse(&a, "10.0.0"), -EINVAL);
	assert_int_equal(net_address_parse(&a, "10.0.0.1/33"), -EINVAL);
	assert_int_equal(net_address_parse(&a, "10.0.0.1/"), -EINVAL);
	assert_int_equal(net_address_parse(&a, ""), -EINVAL);
}

static void test_container_link(void **state)
{
	static const uint8_t mac[6] = { 0x02, 0x42, 0xac, 0x11, 0, 2 };
	struct net_address ours = address("172.17.0.1/16"), theirs = address("172.17.0.2/16");
	struct link_route route = { .destination = address("0.0.0.0/0"), .gateway = address("172.17.0.1") };
	struct link_veth veth = { .name = "veth0", .peer_name = "eth0", .peer_mac = mac, .mtu = 1400 };
	AUTO_FREE struct link_address *addresses = NULL;
	AUTO_FREE struct link_route *routes = NULL;
	AUTO_FREE struct link_info *links = NULL;
	AUTO_CLOSE int namespace_fd = -1;
	struct link_info bridge, link;
	size_t count = 0, found = 0;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(link_create_bridge(outside, "br0", 1400), 0);
	assert_int_equal(link_create_bridge(outside, "br0", 1400), -EEXIST);
	assert_int_equal(link_find(outside, "br0", &bridge), 0);
	assert_string_equal(bridge.kind, "bridge");
	assert_int_equal(address_add(outside, bridge.index, &ours), 0);
	assert_int_equal(address_add(outside, bridge.index, &ours), 0);
	assert_int_equal(link_change(outside, bridge.index, &(struct link_change){ .up = 1 }), 0);

	namespace_fd = netlink_namespace(inside);
	assert_true(namespace_fd >= 0);
	veth.master = bridge.index;
	veth.peer_netns_fd = namespace_fd;
	assert_int_equal(link_create_veth(outside, &veth), 0);
	assert_int_equal(link_find(outside, "veth0", &link), 0);
	assert_int_equal(link.master, bridge.index);
	assert_int_equal(link_set_bridge_port(outside, link.index, false, true), 0);
	assert_int_equal(link_change(outside, link.index, &(struct link_change){ .up = 1 }), 0);

	assert_int_equal(link_find(inside, "eth0", &link), 0);
	assert_memory_equal(link.mac, mac, 6);
	assert_int_equal(link.mtu, 1400);
	assert_int_equal(address_add(inside, link.index, &theirs), 0);
	assert_int_equal(link_change(inside, link.index, &(struct link_change){ .up = 1 }), 0);
	assert_int_equal(route_add(inside, &route), 0);
	assert_int_equal(route_add(inside, &route), 0);
	assert_int_equal(route_dump(inside, &routes, &count), 0);
	for (size_t i = 0; i < count; i++)
		found += routes[i].destination.prefix == 0 && memcmp(routes[i].gateway.bytes, ours.bytes, 4) == 0;
	assert_int_equal(found, 1);
	assert_int_equal(address_dump(inside, &addresses, &count), 0);
	found = 0;
	for (size_t i = 0; i < count; i++)
		found += addresses[i].index == link.index && memcmp(addresses[i].address.bytes, theirs.bytes, 4) == 0 &&
			 addresses[i].address.prefix == 16;
	assert_int_equal(found, 1);
	assert_int_equal(link_dump(outside, &links, &count), 0);
	assert_int_equal(count, 3); /* lo, br0, veth0 */

	assert_int_equal(link_delete(outside, bridge.index), 0);
	assert_int_equal(link_delete(outside, bridge.index), -ENODEV);
	assert_int_equal(link_find(outside, "veth0", &link), 0);
	assert_int_equal(link_change(outside, link.index, &(struct link_change){ .up = -1 }), 0);
	assert_int_equal(link_change(outside, link.index, &(struct link_change){ .name = "other" }), 0);
	assert_int_equal(link_find(outside, "veth0", &link), -ENODEV);
	assert_int_equal(link_find(outside, "other", &link), 0);
	assert_int_equal(link_delete(outside, link.index), 0);
	assert_int_equal(link_find(inside, "eth0", &link), -ENODEV);
}

static void test_bad_names(void **state)
{
	(void)state;
	assert_int_equal(link_create_bridge(-1, "a-name-of-sixteen", 0), -EINVAL);
	assert_int_equal(link_create_bridge(-1, "", 0), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_container_link),
		cmocka_unit_test(test_bad_names),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
