/* SPDX-License-Identifier: Apache-2.0 */
#include "network/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "sys/netlink.h"

#define ANY_ADDRESS "0.0.0.0"
#define ANY_ADDRESS6 "::"
#define DYNAMIC_FIRST 49153
#define DYNAMIC_LAST 65535

struct port_use {
	struct text_list addresses;
};

static void free_use(void *value)
{
	struct port_use *use = value;

	text_list_fini(&use->addresses);
	free(use);
}

void port_table_init(struct port_table *table)
{
	map_init(&table->uses, free_use);
	table->next_dynamic = 0;
}

void port_table_fini(struct port_table *table)
{
	map_fini(&table->uses);
}

#define KEY_MAX 16

static void format_key(char key[KEY_MAX], enum network_protocol protocol, uint16_t port)
{
	snprintf(key, KEY_MAX, "%s/%u", network_protocol_name(protocol), port);
}

bool port_is_ipv6(const char *host_ip)
{
	return strchr(host_ip, ':') != NULL;
}

static const char *any_of(const char *host_ip)
{
	return port_is_ipv6(host_ip) ? ANY_ADDRESS6 : ANY_ADDRESS;
}

/* All addresses and one address exclude each other, in their family. */
static bool is_taken(const struct port_table *table, enum network_protocol protocol, const char *host_ip, uint16_t port)
{
	const struct port_use *use;
	char key[KEY_MAX];

	format_key(key, protocol, port);
	use = map_get(&table->uses, key);
	if (!use || use->addresses.count == 0)
		return false;
	if (text_list_contains(&use->addresses, any_of(host_ip)) || text_list_contains(&use->addresses, host_ip))
		return true;
	for (size_t i = 0; text_equal(host_ip, any_of(host_ip)) && i < use->addresses.count; i++)
		if (port_is_ipv6(use->addresses.items[i]) == port_is_ipv6(host_ip))
			return true;
	return false;
}

static void enter(struct port_table *table, const struct port_hold *hold)
{
	struct port_use *use;
	char key[KEY_MAX];

	format_key(key, hold->protocol, hold->port);
	use = map_get(&table->uses, key);
	if (!use) {
		use = xcalloc(1, sizeof(*use));
		map_set(&table->uses, key, use);
	}
	text_list_add(&use->addresses, hold->host_ip);
}

void port_give_back(struct port_table *table, struct port_hold *hold)
{
	struct port_use *use;
	char key[KEY_MAX];

	format_key(key, hold->protocol, hold->port);
	use = map_get(&table->uses, key);
	for (size_t i = 0; use && i < use->addresses.count; i++) {
		if (!text_equal(use->addresses.items[i], hold->host_ip))
			continue;
		text_list_remove(&use->addresses, i);
		break;
	}
	if (use && use->addresses.count == 0)
		free_use(map_take(&table->uses, key));
	if (hold->fd >= 0)
		close(take_fd(&hold->fd));
}

static int socket_address(struct sockaddr_storage *out_address, socklen_t *out_size, const char *host_ip, uint16_t port)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, host_ip, &v4.sin_addr) == 1) {
		memcpy(out_address, &v4, sizeof(v4));
		*out_size = sizeof(v4);
		return AF_INET;
	}
	if (inet_pton(AF_INET6, host_ip, &v6.sin6_addr) != 1)
		return -EINVAL;
	memcpy(out_address, &v6, sizeof(v6));
	*out_size = sizeof(v6);
	return AF_INET6;
}

static int bind_once(enum network_protocol protocol, const char *host_ip, uint16_t port, bool reuse)
{
	struct sockaddr_storage address;
	socklen_t size = 0;
	int family = socket_address(&address, &size, host_ip, port);
	AUTO_CLOSE int fd = -1;
	int on = 1;

	if (family < 0)
		return family;
	fd = socket(family, (protocol == NETWORK_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	if (fd < 0 || (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
	    (reuse && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0))
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, size) < 0)
		return -errno;
	return take_fd(&fd);
}

bool port_has_ipv6(void)
{
	AUTO_CLOSE int fd = bind_once(NETWORK_TCP, "::1", 0, false);

	return fd >= 0;
}

/* A bound socket, -1 for a protocol without one, -errno. */
static int hold_socket(enum network_protocol protocol, const char *host_ip, uint16_t port)
{
	int fd;

	if (protocol == NETWORK_SCTP)
		return -1;
	fd = bind_once(protocol, host_ip, port, false);
	/* Old connections in TIME_WAIT are in nobody's way; a listener is, and refuses this one too. */
	if (fd == -EADDRINUSE && protocol == NETWORK_TCP)
		fd = bind_once(protocol, host_ip, port, true);
	return fd;
}

/* 1 taken, 0 somebody has it, -errno. */
static int try_one(struct port_table *table, struct port_hold *hold, uint16_t port)
{
	int fd;

	if (is_taken(table, hold->protocol, hold->host_ip, port))
		return 0;
	fd = hold_socket(hold->protocol, hold->host_ip, port);
	if (fd < -1)
		return fd;
	hold->fd = fd;
	hold->port = port;
	enter(table, hold);
	return 1;
}

/* The same for all of them, or for none. */
static int try_port(struct port_table *table, struct port_hold *holds, size_t count, uint16_t port)
{
	for (size_t i = 0; i < count; i++) {
		int taken = try_one(table, &holds[i], port);

		if (taken == 1)
			continue;
		while (i > 0)
			port_give_back(table, &holds[--i]);
		return taken;
	}
	return 1;
}

static void dynamic_range(uint16_t *out_first, uint16_t *out_last)
{
	AUTO_FREE char *text = NULL;
	unsigned first, last;

	*out_first = DYNAMIC_FIRST;
	*out_last = DYNAMIC_LAST;
	if (file_read(&text, NULL, AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range", 64) < 0 ||
	    sscanf(text, "%u %u", &first, &last) != 2 || first == 0 || first > last || last > UINT16_MAX)
		return;
	*out_first = (uint16_t)first;
	*out_last = (uint16_t)last;
}

static int take_dynamic(struct port_table *table, struct port_hold *holds, size_t count, struct error *err)
{
	uint16_t first, last;

	dynamic_range(&first, &last);
	if (table->next_dynamic < first || table->next_dynamic > last)
		table->next_dynamic = first;
	for (unsigned i = 0; i <= (unsigned)(last - first); i++) {
		uint16_t port = table->next_dynamic;
		int taken = try_port(table, holds, count, port);

		table->next_dynamic = port == last ? first : (uint16_t)(port + 1);
		if (taken == 1)
			return 0;
		if (taken < 0 && taken != -EADDRINUSE && taken != -EACCES)
			return error_set_errno(err, ERR_INTERNAL, taken, "failed to bind host port for %s",
					       holds[0].host_ip);
	}
	return error_set(err, ERR_EXHAUSTED, "all ports are allocated");
}

static int normalise_address(struct port_hold *hold, const char *host_ip, struct error *err)
{
	struct net_address address;

	if (text_empty(host_ip))
		host_ip = ANY_ADDRESS;
	if (net_address_parse(&address, host_ip) < 0 || strchr(host_ip, '/'))
		return error_set(err, ERR_INVALID, "invalid IP address: %s", host_ip);
	net_address_format(hold->host_ip, &address);
	return 0;
}

static int refuse(const struct port_hold *hold, int failed, const struct network_port *port, struct error *err)
{
	AUTO_FREE char *holder = failed == -EADDRINUSE ? port_holder(port->protocol, port->host_port) : NULL;

	error_set_errno(err, failed == -EADDRINUSE ? ERR_CONFLICT : ERR_INVALID, failed,
			"failed to bind host port %s:%u/%s", hold->host_ip, port->host_port,
			network_protocol_name(port->protocol));
	if (holder) {
		AUTO_FREE char *message = take_ptr(err->message);

		err->message = xasprintf("%s (%s has it)", message, holder);
	}
	return -1;
}

static int take(struct port_table *table, struct port_hold *holds, size_t count, const struct network_port *port,
		struct error *err)
{
	uint16_t last = port->host_port_end > port->host_port ? port->host_port_end : port->host_port;
	const char *host_ip = holds[0].host_ip;
	int taken = 0;

	if (port->host_port == 0)
		return take_dynamic(table, holds, count, err);
	for (unsigned number = port->host_port; number <= last; number++) {
		taken = try_port(table, holds, count, (uint16_t)number);
		if (taken == 1)
			return 0;
		if (taken < 0 && taken != -EADDRINUSE)
			break;
	}
	if (taken == 0 && last == port->host_port)
		return error_set(err, ERR_CONFLICT, "Bind for %s:%u failed: port is already allocated", host_ip,
				 port->host_port);
	if (taken == 0)
		return error_set(err, ERR_CONFLICT, "Bind for %s:%u-%u failed: all ports are allocated", host_ip,
				 port->host_port, last);
	return refuse(holds, taken, port, err);
}

int port_take(struct port_table *table, struct port_hold *out_hold, const struct network_port *port, struct error *err)
{
	struct port_hold hold = { .protocol = port->protocol, .fd = -1 };

	if (normalise_address(&hold, port->host_ip, err) < 0 || take(table, &hold, 1, port, err) < 0)
		return -1;
	*out_hold = hold;
	return 0;
}

int port_take_both(struct port_table *table, struct port_hold out_holds[2], const struct network_port *port,
		   struct error *err)
{
	struct port_hold holds[2] = {
		{ .protocol = port->protocol, .host_ip = ANY_ADDRESS, .fd = -1 },
		{ .protocol = port->protocol, .host_ip = ANY_ADDRESS6, .fd = -1 },
	};

	if (take(table, holds, 2, port, err) < 0)
		return -1;
	memcpy(out_holds, holds, sizeof(holds));
	return 0;
}

void port_retake(struct port_table *table, struct port_hold *out_hold, enum network_protocol protocol,
		 const char *host_ip, uint16_t host_port)
{
	int fd = hold_socket(protocol, host_ip, host_port);

	*out_hold = (struct port_hold){ .protocol = protocol, .port = host_port, .fd = fd < 0 ? -1 : fd };
	snprintf(out_hold->host_ip, sizeof(out_hold->host_ip), "%s", host_ip);
	enter(table, out_hold);
}
