/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host, two containers and a neighbour, each a network namespace made here:
 *
 *   neighbour 10.9.0.2 --- 10.9.0.1 host kist0 172.17.0.1 --- a, b
 *
 * The machine's own network is never touched. Servers answer with the address
 * they see the client at, so each test also shows who was masqueraded.
 */
#include "network/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "sys/namespace.h"
#include "sys/netlink.h"
#include "unit/unit.h"

struct place {
	int namespace_fd;
	int netlink_fd;
};

static struct place host, neighbour, a, b;
static char state_dir[] = "/tmp/kist-unit-network-XXXXXX";
static struct network *network;
static pid_t servers[8];
static size_t server_count;

static void enter(const struct place *place)
{
	assert_int_equal(setns(place->namespace_fd, CLONE_NEWNET), 0);
}

static int make_place(struct place *place)
{
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	place->namespace_fd = namespace_open(0, namespace_kind_find("network"));
	place->netlink_fd = netlink_open();
	return place->namespace_fd < 0 || place->netlink_fd < 0 ? -1 : 0;
}

static struct net_address address(const char *text)
{
	struct net_address parsed;

	assert_int_equal(net_address_parse(&parsed, text), 0);
	return parsed;
}

static int up(const struct place *place, const char *name, const char *with)
{
	struct net_address parsed = address(with);
	struct link_info link;

	return link_find(place->netlink_fd, name, &link) < 0 ||
			       address_add(place->netlink_fd, link.index, &parsed) < 0 ||
			       link_change(place->netlink_fd, link.index, &(struct link_change){ .up = 1 }) < 0
		       ? -1
		       : 0;
}

static int set_up(void **state)
{
	struct link_veth veth = { .name = "uplink", .peer_name = "eth0" };
	struct link_route route = { .destination = { .family = AF_INET } };
	AUTO(error_clear) struct error err = { 0 };

	(void)state;
	/* Others than root cannot make namespaces: each test that needs one says that it is skipped. */
	if (geteuid() != 0)
		return 0;
	if (!mkdtemp(state_dir))
		return -1;
	if (make_place(&a) < 0 || make_place(&b) < 0 || make_place(&neighbour) < 0 || make_place(&host) < 0)
		return -1;
	veth.peer_netns_fd = neighbour.namespace_fd;
	if (link_create_veth(host.netlink_fd, &veth) < 0 || up(&host, "uplink", "10.9.0.1/24") < 0 ||
	    up(&neighbour, "eth0", "10.9.0.2/24") < 0 || network_loopback_up(host.netlink_fd, &err) < 0)
		return -1;
	/* The neighbour knows a way to the containers: it must not be let in by it. */
	route.destination = address("172.17.0.0/16");
	route.gateway = address("10.9.0.1");
	return route_add(neighbour.netlink_fd, &route);
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < server_count; i++) {
		kill(servers[i], SIGKILL);
		waitpid(servers[i], NULL, 0);
	}
	network_close(take_ptr(network));
	return remove_tree(AT_FDCWD, state_dir);
}

/* ---- servers and clients ---- */

static struct sockaddr_in socket_address(const char *ip, uint16_t port)
{
	struct sockaddr_in out = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, ip, &out.sin_addr);
	return out;
}

static void serve(int fd, bool udp, const char *name)
{
	for (;;) {
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		char ip[INET_ADDRSTRLEN], text[64];
		int client = udp ? fd : accept(fd, (struct sockaddr *)&from, &size);

		if (udp && recvfrom(fd, text, sizeof(text), 0, (struct sockaddr *)&from, &size) < 0)
			continue;
		if (client < 0)
			continue;
		snprintf(text, sizeof(text), "%s<%s", name, inet_ntop(AF_INET, &from.sin_addr, ip, sizeof(ip)));
		if (sendto(client, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&from, udp ? size : 0) < 0)
			continue;
		if (!udp)
			close(client);
	}
}

static void start_server(const struct place *place, uint16_t port, bool udp, const char *name)
{
	struct sockaddr_in any = socket_address("0.0.0.0", port);
	int fd;
	int on = 1;

	enter(place);
	fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	enter(&host);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	if (!udp)
		assert_int_equal(listen(fd, 8), 0);
	servers[server_count] = fork();
	if (servers[server_count] == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(fd, udp, name);
	}
	server_count++;
	close(fd);
}

/* Nobody is to answer: a moment is enough, and a slow machine only makes the silence longer. */
#define MOMENT_S 1
/* An answer is to come: however slow the machine is. */
#define PATIENCE_S 60
#define DATAGRAM_MS 500

/* What the server says, "refused", or "silence". */
static const char *ask_for(const struct place *from, const char *ip, uint16_t port, int seconds)
{
	struct sockaddr_in to = socket_address(ip, port);
	struct timeval patience = { .tv_sec = seconds };
	static char answer[64];
	AUTO_CLOSE int fd = -1;
	ssize_t size;

	enter(from);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	enter(&host);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return errno == ECONNREFUSED ? "refused" : "silence";
	size = recv(fd, answer, sizeof(answer) - 1, 0);
	if (size < 0)
		return errno == ECONNREFUSED ? "refused" : "silence";
	answer[size] = '\0';
	return answer;
}

static const char *ask(const struct place *from, const char *ip, uint16_t port)
{
	return ask_for(from, ip, port, PATIENCE_S);
}

/* Datagrams may be lost on a busy machine, so they are sent until one is answered: one flow for the kernel. */
static const char *ask_on(int fd, int tries)
{
	struct timeval patience = { .tv_usec = DATAGRAM_MS * 1000 };
	static char answer[64];
	ssize_t size;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (int i = 0; i < tries; i++) { /* an error of the datagram before may come first */
		if (send(fd, "?", 1, 0) < 0)
			continue;
		size = recv(fd, answer, sizeof(answer) - 1, 0);
		if (size < 0)
			continue;
		answer[size] = '\0';
		while (recv(fd, &(char){ 0 }, 1, MSG_DONTWAIT) >= 0) /* of an earlier try */
			;
		return answer;
	}
	return "nothing";
}

static const char *ask_datagram(const struct place *from, const char *ip, uint16_t port)
{
	struct sockaddr_in to = socket_address(ip, port);
	AUTO_CLOSE int fd = -1;

	enter(from);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	enter(&host);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return "refused";
	return ask_on(fd, PATIENCE_S * 1000 / DATAGRAM_MS);
}

static char *ruleset(void)
{
	char *const argv[] = { (char[]){ "nft" }, (char[]){ "list" }, (char[]){ "ruleset" }, NULL };
	AUTO(error_clear) struct error err = { 0 };
	char *text = NULL;

	assert_no_error(process_run(&text, argv, NULL, 1 << 20, &err), &err);
	return text;
}

static bool has_link(const struct place *place, const char *name)
{
	struct link_info link;

	return link_find(place->netlink_fd, name, &link) == 0;
}

static void open_network(void)
{
	const struct network_options options = { .state_dir = state_dir };
	const struct network_bridge bridge = { .name = "kist0" };
	struct network_bridge_info info;
	AUTO(error_clear) struct error err = { 0 };

	assert_no_error(network_open(&network, &options, &err), &err);
	assert_no_error(network_bridge_add(network, &bridge, &info, &err), &err);
	assert_string_equal(info.subnet, "172.17.0.0/16");
	assert_string_equal(info.gateway, "172.17.0.1");
}

/* With its way out. */
static int join(const char *id, const struct place *place, struct error *err)
{
	if (network_connect(network, id, place->netlink_fd, NULL, NULL, err) < 0)
		return -1;
	return network_set_gateway(network, id, NULL, place->netlink_fd, err);
}

static bool has_sockets6(void)
{
	return file_exists(AT_FDCWD, "/proc/self/net/if_inet6");
}

/* ---- the tests, in this order ---- */

static void test_connect(void **state)
{
	const struct network_port ports[] = {
		{ .host_port = 8080, .container_port = 80 },
		{ .protocol = NETWORK_UDP, .host_port = 5353, .container_port = 53 },
		{ .host_ip = "127.0.0.1", .host_port = 8081, .container_port = 80 },
		{ .host_ip = "10.9.0.1", .host_port = 8082, .container_port = 80 },
		{ .container_port = 80 },
	};
	struct network_request request = { .id = "a", .bridge = "kist0", .ports = ports, .port_count = 5 };
	AUTO(network_endpoint_fini) struct network_endpoint endpoint = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	bool six = has_sockets6();
	uint16_t chosen;

	(void)state;
	if (geteuid() != 0)
		skip();
	open_network();
	assert_no_error(network_reserve(network, &request, &endpoint, &err), &err);
	assert_string_equal(endpoint.address, "172.17.0.2");
	assert_int_equal(endpoint.prefix, 16);
	assert_string_equal(endpoint.gateway, "172.17.0.1");
	assert_string_equal(endpoint.mac, "02:42:ac:11:00:02");
	/* Ports that name no address have a binding of each family that sockets can be had of. */
	assert_int_equal(endpoint.binding_count, six ? 8 : 5);
	assert_string_equal(endpoint.bindings[0].host_ip, "0.0.0.0");
	assert_string_equal(endpoint.bindings[1].host_ip, six ? "::" : "0.0.0.0");
	chosen = endpoint.bindings[six ? 6 : 4].host_port;
	assert_true(chosen >= 1024);
	assert_no_error(join("a", &a, &err), &err);
	request = (struct network_request){ .id = "b", .bridge = "kist0" };
	assert_no_error(network_reserve(network, &request, NULL, &err), &err);
	assert_no_error(join("b", &b, &err), &err);
	start_server(&a, 80, false, "a");
	start_server(&a, 53, true, "a");
	start_server(&neighbour, 9000, false, "n");
	start_server(&host, 7000, false, "h");
	assert_string_equal(ask(&host, "127.0.0.1", chosen), "a<172.17.0.1");
}

static void test_reach(void **state)
{
	(void)state;
	if (!network)
		skip();
	/* each other */
	assert_string_equal(ask(&b, "172.17.0.2", 80), "a<172.17.0.3");
	assert_string_equal(ask_datagram(&b, "172.17.0.2", 53), "a<172.17.0.3");
	/* out, with the host's address */
	assert_string_equal(ask(&b, "10.9.0.2", 9000), "n<10.9.0.1");
	/* the host by the gateway */
	assert_string_equal(ask(&b, "172.17.0.1", 7000), "h<172.17.0.3");
	/* in from outside: the client's own address is seen */
	assert_string_equal(ask(&neighbour, "10.9.0.1", 8080), "a<10.9.0.2");
	assert_string_equal(ask_datagram(&neighbour, "10.9.0.1", 5353), "a<10.9.0.2");
	/* from the host itself */
	assert_string_equal(ask(&host, "127.0.0.1", 8080), "a<172.17.0.1");
	assert_string_equal(ask(&host, "10.9.0.1", 8080), "a<10.9.0.1");
	assert_string_equal(ask(&host, "172.17.0.2", 80), "a<172.17.0.1");
	assert_string_equal(ask_datagram(&host, "127.0.0.1", 5353), "a<172.17.0.1");
	/* hairpin: from a container to the published port, its own too */
	assert_string_equal(ask(&b, "10.9.0.1", 8080), "a<172.17.0.1");
	assert_string_equal(ask(&a, "10.9.0.1", 8080), "a<172.17.0.1");
	assert_string_equal(ask(&b, "172.17.0.1", 8080), "a<172.17.0.1");
	/* one host address only */
	assert_string_equal(ask(&host, "127.0.0.1", 8081), "a<172.17.0.1");
	assert_string_equal(ask(&neighbour, "10.9.0.1", 8081), "refused");
	assert_string_equal(ask(&neighbour, "10.9.0.1", 8082), "a<10.9.0.2");
	assert_string_equal(ask(&host, "127.0.0.1", 8082), "refused");
}

static void test_not_reached(void **state)
{
	struct link_route route = { .destination = address("127.0.0.0/8"), .gateway = address("172.17.0.1") };

	(void)state;
	if (!network)
		skip();
	/* what was not published, though the neighbour knows the way */
	assert_string_equal(ask_for(&neighbour, "172.17.0.2", 80, MOMENT_S), "silence");
	/* the host's loopback, by a container that bends its routes: route_localnet must not open it */
	enter(&b);
	assert_int_equal(file_write_once(AT_FDCWD, "/proc/sys/net/ipv4/conf/eth0/route_localnet", "1"), 0);
	enter(&host);
	assert_int_equal(route_add(b.netlink_fd, &route), 0);
	assert_int_equal(link_change(b.netlink_fd, 1, &(struct link_change){ .up = -1 }), 0);
	assert_string_equal(ask_for(&b, "127.0.0.1", 7000, MOMENT_S), "silence");
	assert_int_equal(link_change(b.netlink_fd, 1, &(struct link_change){ .up = 1 }), 0);
	assert_int_equal(route_delete(b.netlink_fd, &route), 0);
}

static void test_refusals(void **state)
{
	const struct network_port taken = { .host_port = 8080, .container_port = 1 };
	const struct network_port foreign = { .host_port = 7000, .container_port = 1 };
	struct network_request request = { .id = "c", .bridge = "kist0", .ports = &taken, .port_count = 1 };
	const struct network_bridge overlap = { .name = "kist9", .v4.subnet = "172.17.128.0/24" };
	AUTO(error_clear) struct error err = { 0 };

	(void)state;
	if (!network)
		skip();
	assert_int_equal(network_reserve(network, &request, NULL, &err), -1);
	assert_string_equal(err.message, "Bind for 0.0.0.0:8080 failed: port is already allocated");
	error_clear(&err);
	request.ports = &foreign;
	assert_int_equal(network_reserve(network, &request, NULL, &err), -1);
	assert_non_null(strstr(err.message, "0.0.0.0:7000"));
	error_clear(&err);
	request = (struct network_request){ .id = "c", .bridge = "kist0", .address = "172.17.0.2" };
	assert_int_equal(network_reserve(network, &request, NULL, &err), -1);
	assert_string_equal(err.message, "Address already in use");
	error_clear(&err);
	request.address = "10.0.0.1";
	assert_int_equal(network_reserve(network, &request, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	error_clear(&err);
	request = (struct network_request){ .id = "a", .bridge = "kist0" };
	assert_int_equal(network_reserve(network, &request, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	error_clear(&err);
	request = (struct network_request){ .id = "../x", .bridge = "kist0" };
	assert_int_equal(network_reserve(network, &request, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	error_clear(&err);
	assert_int_equal(network_bridge_add(network, &overlap, NULL, &err), -1);
	assert_non_null(strstr(err.message, "Pool overlaps with other one on this address space"));
	error_clear(&err);
	assert_int_equal(network_bridge_remove(network, "kist0", &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	/* Nothing of it stays. */
	assert_int_equal(network_find(network, "c", NULL), 0);
}

/* The daemon dies and comes again; b died meanwhile. */
static void test_restore(void **state)
{
	char *const alive[] = { (char[]){ "a" } };
	const struct network_port taken = { .host_port = 8080, .container_port = 1 };
	struct network_request request = { .id = "c", .bridge = "kist0", .ports = &taken, .port_count = 1 };
	AUTO(network_endpoint_fini) struct network_endpoint endpoint = { 0 };
	AUTO(error_clear) struct error err = { 0 };

	(void)state;
	if (!network)
		skip();
	network_close(take_ptr(network));
	/* Without a daemon all goes on. */
	assert_string_equal(ask(&neighbour, "10.9.0.1", 8080), "a<10.9.0.2");
	open_network();
	assert_string_equal(ask(&neighbour, "10.9.0.1", 8080), "a<10.9.0.2");
	assert_no_error(network_restore(network, alive, 1, &err), &err);
	assert_string_equal(ask(&neighbour, "10.9.0.1", 8080), "a<10.9.0.2");
	assert_string_equal(ask(&host, "127.0.0.1", 8081), "a<172.17.0.1");
	assert_int_equal(network_find(network, "b", NULL), 0);
	assert_false(has_link(&b, "eth0"));
	assert_int_equal(network_find(network, "a", &endpoint), 1);
	assert_string_equal(endpoint.address, "172.17.0.2");
	assert_int_equal(endpoint.binding_count, has_sockets6() ? 8 : 5);
	assert_int_equal(network_reserve(network, &request, NULL, &err), -1);
	assert_string_equal(err.message, "Bind for 0.0.0.0:8080 failed: port is already allocated");
	error_clear(&err);
}

/* Somebody flushes the ruleset: the next change brings everything back. */
static void test_flushed(void **state)
{
	char *const flush[] = { (char[]){ "nft" }, (char[]){ "flush" }, (char[]){ "ruleset" }, NULL };
	const struct network_port port = { .host_port = 8090, .container_port = 80 };
	struct network_request request = { .id = "b", .bridge = "kist0", .ports = &port, .port_count = 1 };
	AUTO(error_clear) struct error err = { 0 };

	(void)state;
	if (!network)
		skip();
	assert_no_error(process_run(NULL, flush, NULL, 4096, &err), &err);
	assert_no_error(network_reserve(network, &request, NULL, &err), &err);
	assert_no_error(join("b", &b, &err), &err);
	start_server(&b, 80, false, "b");
	assert_string_equal(ask(&neighbour, "10.9.0.1", 8080), "a<10.9.0.2");
	assert_string_equal(ask(&neighbour, "10.9.0.1", 8090), "b<10.9.0.2");
}

static void test_detach(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *rules = NULL;

	(void)state;
	if (!network)
		skip();
	assert_no_error(network_detach(network, "a", &err), &err);
	assert_no_error(network_detach(network, "a", &err), &err);
	assert_int_equal(network_find(network, "a", NULL), 0);
	network_settle(network);
	assert_false(has_link(&a, "eth0"));
	assert_string_equal(ask(&neighbour, "10.9.0.1", 8080), "refused");
	assert_string_equal(ask(&neighbour, "10.9.0.1", 8090), "b<10.9.0.2");
	rules = ruleset();
	assert_null(strstr(rules, "172.17.0.2"));
	assert_no_error(network_detach(network, "b", &err), &err);
	free(take_ptr(rules));
	rules = ruleset();
	assert_null(strstr(rules, "8090"));
}

/* The link goes in the background, its address with it: who wants just that address gets it without a conflict. */
static void test_address_comes_back(void **state)
{
	struct network_request request = { .id = "a", .bridge = "kist0", .address = "172.17.0.9" };
	AUTO(error_clear) struct error err = { 0 };

	(void)state;
	if (!network)
		skip();
	for (int i = 0; i < 3; i++) {
		assert_no_error(network_reserve(network, &request, NULL, &err), &err);
		request.id = "b";
		assert_int_equal(network_reserve(network, &request, NULL, &err), -1);
		assert_int_equal(err.kind, ERR_CONFLICT);
		error_clear(&err);
		request.id = "a";
		assert_no_error(join("a", &a, &err), &err);
		assert_true(has_link(&a, "eth0"));
		assert_no_error(network_detach(network, "a", &err), &err);
	}
	network_settle(network);
	assert_false(has_link(&a, "eth0"));
}

/* A client that never stops sending gets whoever has the port. */
static void test_one_flow(void **state)
{
	const struct network_port port = { .protocol = NETWORK_UDP, .host_port = 5399, .container_port = 53 };
	struct network_request request = { .id = "a", .bridge = "kist0", .ports = &port, .port_count = 1 };
	struct sockaddr_in to = socket_address("10.9.0.1", 5399);
	AUTO(error_clear) struct error err = { 0 };
	const char *answer;
	int late = 0;
	AUTO_CLOSE int fd = -1;

	(void)state;
	if (!network)
		skip();
	enter(&neighbour);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	enter(&host);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_string_equal(ask_on(fd, 2), "nothing");
	assert_no_error(network_reserve(network, &request, NULL, &err), &err);
	assert_no_error(join("a", &a, &err), &err);
	assert_string_equal(ask_on(fd, PATIENCE_S * 1000 / DATAGRAM_MS), "a<10.9.0.2");
	assert_no_error(network_detach(network, "a", &err), &err);
	request.id = "b";
	assert_no_error(network_reserve(network, &request, NULL, &err), &err);
	assert_no_error(join("b", &b, &err), &err);
	start_server(&b, 53, true, "b");
	do /* what a still said may come late */
		answer = ask_on(fd, PATIENCE_S * 1000 / DATAGRAM_MS);
	while (text_equal(answer, "a<10.9.0.2") && ++late < 5);
	assert_string_equal(answer, "b<10.9.0.2");
	assert_no_error(network_detach(network, "b", &err), &err);
}

static void test_more_bridges(void **state)
{
	const struct network_bridge internal = { .name = "kist1", .internal = true };
	const struct network_port port = { .host_port = 8099, .container_port = 80 };
	struct network_request request = { .id = "a", .bridge = "kist1", .ports = &port, .port_count = 1 };
	struct network_bridge_info info;
	AUTO(network_endpoint_fini) struct network_endpoint endpoint = { 0 };
	AUTO(error_clear) struct error err = { 0 };

	(void)state;
	if (!network)
		skip();
	assert_no_error(network_bridge_add(network, &internal, &info, &err), &err);
	assert_string_equal(info.subnet, "172.18.0.0/16");
	assert_int_equal(network_reserve(network, &request, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	error_clear(&err);
	request.port_count = 0;
	request.mac = "02:00:00:00:00:07";
	request.address = "172.18.3.4";
	assert_no_error(network_reserve(network, &request, &endpoint, &err), &err);
	assert_string_equal(endpoint.address, "172.18.3.4");
	assert_string_equal(endpoint.gateway, "");
	assert_no_error(join("a", &a, &err), &err);
	request = (struct network_request){ .id = "b", .bridge = "kist0" };
	assert_no_error(network_reserve(network, &request, NULL, &err), &err);
	assert_no_error(join("b", &b, &err), &err);
	/* No way from one bridge to the other, nor out. */
	assert_string_equal(ask_for(&b, "172.18.3.4", 80, MOMENT_S), "silence");
	assert_string_equal(ask_for(&a, "10.9.0.2", 9000, MOMENT_S), "silence");
	assert_string_equal(ask(&host, "172.18.3.4", 80), "a<172.18.0.1");
	assert_no_error(network_detach(network, "a", &err), &err);
	assert_no_error(network_bridge_remove(network, "kist1", &err), &err);
	assert_no_error(network_bridge_remove(network, "kist1", &err), &err);
	assert_false(has_link(&host, "kist1"));
	assert_string_equal(ask(&b, "10.9.0.2", 9000), "n<10.9.0.1");
}

static void test_teardown(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *rules = NULL;
	AUTO_FREE struct link_info *links = NULL;
	size_t count = 0;

	(void)state;
	if (!network)
		skip();
	assert_no_error(network_teardown(network, &err), &err);
	rules = ruleset();
	assert_string_equal(rules, "");
	assert_int_equal(link_dump(host.netlink_fd, &links, &count), 0);
	for (size_t i = 0; i < count; i++) {
		assert_string_not_equal(links[i].kind, "bridge");
		assert_true(!text_has_prefix(links[i].name, "veth"));
	}
}

/* Killed as soon as its link is there: the next one knows whose it is. */
static void test_killed_while_made(void **state)
{
	const struct network_bridge bridge = { .name = "kist7" };
	AUTO(error_clear) struct error err = { 0 };
	struct network_bridge_info info;

	(void)state;
	if (!network)
		skip();
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();

		if (child == 0)
			_exit(network_bridge_add(network, &bridge, &info, &err) < 0);
		while (!has_link(&host, "kist7") && waitpid(child, NULL, WNOHANG) == 0)
			;
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		assert_no_error(network_restore(network, NULL, 0, &err), &err);
		assert_false(has_link(&host, "kist7"));
	}
	assert_no_error(network_teardown(network, &err), &err);
}

static void restored(void *arg, const char *problem)
{
	(void)arg;
	(void)problem;
}

/* Rules that somebody flushed are not written again after they were to go. */
static void test_teardown_beside_watch(void **state)
{
	char *const flush[] = { (char[]){ "nft" },
				(char[]){ "flush" },
				(char[]){ "chain" },
				(char[]){ "inet" },
				(char[]){ "kist" },
				(char[]){ "forward" },
				NULL };

	(void)state;
	if (!network)
		skip();
	for (int64_t i = 0; i < 30; i += 2) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO_FREE char *rules = NULL;

		network_close(take_ptr(network));
		open_network();
		assert_no_error(network_restore(network, NULL, 0, &err), &err);
		assert_no_error(network_watch(network, restored, NULL, &err), &err);
		assert_no_error(process_run(NULL, flush, NULL, 4096, &err), &err);
		clock_sleep_ms(20 + i);
		assert_no_error(network_teardown(network, &err), &err);
		network_close(take_ptr(network));
		rules = ruleset();
		assert_string_equal(rules, "");
		assert_false(has_link(&host, "kist0"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_reach),
		cmocka_unit_test(test_not_reached),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_restore),
		cmocka_unit_test(test_flushed),
		cmocka_unit_test(test_detach),
		cmocka_unit_test(test_address_comes_back),
		cmocka_unit_test(test_one_flow),
		cmocka_unit_test(test_more_bridges),
		cmocka_unit_test(test_teardown),
		cmocka_unit_test(test_killed_while_made),
		cmocka_unit_test(test_teardown_beside_watch),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
