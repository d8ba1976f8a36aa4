/* SPDX-License-Identifier: Apache-2.0 */
#include "network/port.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/unit.h"

static struct port_table table;

static int set_up(void **state)
{
	(void)state;
	port_table_init(&table);
	return 0;
}

/* Where no other program takes a port between two looks; as root, who alone may. */
static int leave_the_host(void **state)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	AUTO_CLOSE int fd = -1;

	(void)state;
	if (geteuid() != 0)
		return 0;
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return ioctl(fd, SIOCSIFFLAGS, &lo);
}

static int tear_down(void **state)
{
	(void)state;
	port_table_fini(&table);
	return 0;
}

static struct port_hold take(const struct network_port *port)
{
	AUTO(error_clear) struct error err = { 0 };
	struct port_hold hold;

	assert_no_error(port_take(&table, &hold, port, &err), &err);
	return hold;
}

static void assert_refused(const struct network_port *port, enum error_kind kind, const char *words)
{
	AUTO(error_clear) struct error err = { 0 };
	struct port_hold hold;

	assert_int_equal(port_take(&table, &hold, port, &err), -1);
	assert_int_equal(err.kind, kind);
	assert_non_null(strstr(err.message, words));
}

static void test_conflicts(void **state)
{
	struct port_hold local = take(&(struct network_port){ .host_ip = "127.0.0.1", .container_port = 80 });
	struct network_port same = { .host_ip = "127.0.0.1", .host_port = local.port };
	struct network_port any = { .host_port = local.port };
	struct port_hold other, udp;
	char words[80];

	(void)state;
	snprintf(words, sizeof(words), "Bind for 127.0.0.1:%u failed: port is already allocated", local.port);
	assert_refused(&same, ERR_CONFLICT, words);
	snprintf(words, sizeof(words), "Bind for 0.0.0.0:%u failed: port is already allocated", local.port);
	assert_refused(&any, ERR_CONFLICT, words);
	/* Another address and another protocol are other ports. */
	other = take(&(struct network_port){ .host_ip = "127.0.0.2", .host_port = local.port });
	udp = take(&(struct network_port){ .protocol = NETWORK_UDP, .host_port = local.port });
	port_give_back(&table, &other);
	port_give_back(&table, &udp);
	port_give_back(&table, &local);
	other = take(&any);
	assert_refused(&same, ERR_CONFLICT, "already allocated");
	port_give_back(&table, &other);
	other = take(&same);
	port_give_back(&table, &other);
}

static void test_ranges(void **state)
{
	struct port_hold first = take(&(struct network_port){ .container_port = 80 });
	struct network_port range = { .host_port = first.port, .host_port_end = (uint16_t)(first.port + 1) };
	struct port_hold second = take(&range);

	(void)state;
	assert_int_equal(second.port, first.port + 1);
	assert_refused(&range, ERR_CONFLICT, "all ports are allocated");
	port_give_back(&table, &first);
	port_give_back(&table, &second);
}

/* A program of the host that listens. */
static void test_foreign_listener(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct network_port port = { 0 };

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	port.host_port = ntohs(address.sin_port);
	assert_refused(&port, ERR_CONFLICT, "Address already in use");
	/* After a restart the rules stand, so the port is ours in the table anyway. */
	struct port_hold hold;
	port_retake(&table, &hold, NETWORK_TCP, "0.0.0.0", port.host_port);
	assert_refused(&port, ERR_CONFLICT, "already allocated");
	port_give_back(&table, &hold);
	close(fd);
}

static void test_bad_addresses(void **state)
{
	(void)state;
	assert_refused(&(struct network_port){ .host_ip = "nowhere" }, ERR_INVALID, "nowhere");
	assert_refused(&(struct network_port){ .host_ip = "10.0.0.1/8" }, ERR_INVALID, "10.0.0.1/8");
	assert_refused(&(struct network_port){ .host_ip = "fe80::x" }, ERR_INVALID, "fe80::x");
	assert_refused(&(struct network_port){ .host_ip = "203.0.113.7", .host_port = 4567 }, ERR_INVALID,
		       "203.0.113.7:4567");
}

/* One number on both families, or on neither. */
static void test_both(void **state)
{
	struct port_hold both[2], first, other;
	struct network_port any = { .container_port = 80 };
	AUTO(error_clear) struct error err = { 0 };

	(void)state;
	assert_no_error(port_take_both(&table, both, &any, &err), &err);
	assert_int_equal(both[0].port, both[1].port);
	assert_string_equal(both[1].host_ip, "::");
	assert_refused(&(struct network_port){ .host_ip = "::1", .host_port = both[0].port }, ERR_CONFLICT,
		       "Bind for ::1");
	port_give_back(&table, &both[0]);
	/* The other family's is still taken; this one's is free. */
	any.host_port = both[1].port;
	first = take(&any);
	port_give_back(&table, &first);
	assert_int_equal(port_take_both(&table, both, &any, &err), -1);
	assert_non_null(strstr(err.message, "already allocated"));
	other = take(&any);
	port_give_back(&table, &other);
	port_give_back(&table, &both[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_conflicts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ranges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_foreign_listener, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_both, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_addresses, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, leave_the_host, NULL);
}
