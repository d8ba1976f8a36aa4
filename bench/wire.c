/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire COUNT ROUNDS - what the kernel takes for a container's link, and nothing else: a network namespace, a veth pair
 * into it from a bridge, an address, both ends up, the bridge passes frames. Prints the least milliseconds of ROUNDS on
 * a bridge without others and on one with COUNT - 1, in a network namespace of its own. No IPv6, as on a network that
 * has none: with it each link's multicast goes to all others.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "sys/netlink.h"

struct end {
	char name[16];
	int namespace_fd;
	int netlink_fd;
};

static int host_fd, host_namespace, bridge;

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	exit(1);
}

static double now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static int find(int fd, const char *name)
{
	struct link_info link;

	must(link_find(fd, name, &link), name);
	return link.index;
}

static void silence(const char *name)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1", 1) == 1)
		close(fd);
}

static void set_up(int fd, int index)
{
	must(link_change(fd, index, &(struct link_change){ .up = 1 }), "up");
}

static struct end add(unsigned number)
{
	struct net_address address = { .family = AF_INET, .prefix = 16, .bytes = { 10, 99, 1 } };
	struct link_veth veth = { .peer_name = "eth0", .mtu = 1500, .master = bridge, .up = true };
	struct link_info link = { 0 };
	struct end end;
	int index;

	snprintf(end.name, sizeof(end.name), "wire%u", number);
	must(unshare(CLONE_NEWNET), "unshare");
	end.netlink_fd = netlink_open();
	end.namespace_fd = netlink_namespace(end.netlink_fd);
	must(setns(host_namespace, CLONE_NEWNET), "setns");
	veth.name = end.name;
	veth.peer_netns_fd = end.namespace_fd;
	must(link_create_veth(host_fd, &veth), "veth");
	silence(end.name);
	must(link_set_bridge_port(host_fd, find(host_fd, end.name), true, false), "port");
	set_up(end.netlink_fd, find(end.netlink_fd, "lo"));
	index = find(end.netlink_fd, "eth0");
	must(link_set_no_ipv6(end.netlink_fd, index), "no IPv6");
	address.bytes[2] = (uint8_t)(1 + number / 256);
	address.bytes[3] = (uint8_t)number;
	must(address_add(end.netlink_fd, index, &address), "address");
	set_up(end.netlink_fd, index);
	while (!link.ready) {
		usleep(50);
		must(link_find(host_fd, end.name, &link), end.name);
	}
	return end;
}

static void take_away(const struct end *end)
{
	close(end->netlink_fd);
	close(end->namespace_fd);
	must(link_delete(host_fd, find(host_fd, end->name)), "delete");
}

static double least(unsigned number, int rounds)
{
	double found = 1e9;

	for (int i = 0; i < rounds; i++) {
		double start = now_ms(), took;
		struct end end = add(number);

		took = now_ms() - start;
		found = took < found ? took : found;
		take_away(&end);
		/* Namespaces go in the background. */
		usleep(30000);
	}
	return found;
}

int main(int argc, char **argv)
{
	unsigned count = argc == 3 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
	int rounds = argc == 3 ? (int)strtol(argv[2], NULL, 10) : 0;
	struct rlimit files = { 65536, 65536 };
	double first;

	if (count < 1 || count > 60000 || rounds < 1) {
		fprintf(stderr, "usage: wire COUNT ROUNDS\n");
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	must(unshare(CLONE_NEWNET), "unshare");
	host_fd = netlink_open();
	host_namespace = netlink_namespace(host_fd);
	must(link_create_bridge(host_fd, "wires", 1500), "bridge");
	bridge = find(host_fd, "wires");
	set_up(host_fd, bridge);
	first = least(count, rounds);
	for (unsigned i = 1; i < count; i++)
		add(i);
	sleep(3);
	printf("%.3f %.3f\n", first, least(count, rounds));
	return 0;
}
