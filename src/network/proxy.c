/* SPDX-License-Identifier: Apache-2.0 */
#include "network/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "base/program.h"
#include "network/proxy_name.h"

#define START_MS 10000
#define SOCKETS_LIMIT (64U << 20)

bool proxy_is_needed(const struct endpoint_record *record, const struct binding_record *binding)
{
	bool carried = text_equal(binding->protocol, "tcp") || text_equal(binding->protocol, "udp");

	if (!carried || !binding->host_port || !port_is_ipv6(binding->host_ip) || text_empty(record->link))
		return false;
	if (text_empty(record->address6))
		return !text_empty(record->address);
	return text_equal(binding->host_ip, "::") || text_equal(binding->host_ip, "::1");
}

bool proxy_is_there(const struct endpoint_record *record, const struct binding_record *binding)
{
	struct sockaddr_un address;
	AUTO_FREE char *sockets = NULL;
	AUTO_FREE char *name = NULL;

	proxy_name(&address, binding->protocol, record->link, binding->host_port);
	name = xasprintf("@%s\n", address.sun_path + 1);
	return file_read(&sockets, NULL, AT_FDCWD, "/proc/net/unix", SOCKETS_LIMIT) == 0 && strstr(sockets, name);
}

/* The program says by its end that it listens: what goes on is its child, and nobody's of ours. */
static int run(const struct endpoint_record *record, const struct binding_record *binding, int listener,
	       struct error *err)
{
	AUTO_FREE char *program = program_find("kist-proxy", err);
	AUTO_FREE char *host_port = xasprintf("%u", binding->host_port);
	AUTO_FREE char *port = xasprintf("%u", binding->container_port);
	/* The form in which a socket of IPv6 speaks to an address of IPv4. */
	AUTO_FREE char *address = text_empty(record->address6) ? xasprintf("::ffff:%s", record->address)
							       : xstrdup(record->address6);
	AUTO(process_fini) struct process process = { .pidfd = -1 };
	char *const argv[] = {
		(char[]){ "kist-proxy" }, binding->protocol, record->link, host_port, address, port, NULL
	};
	struct process_end end = { 0 };

	if (!program || process_spawn(&process,
				      &(struct process_options){ .path = program,
								 .argv = argv,
								 .cwd = "/",
								 .fds = &listener,
								 .fd_count = 1,
								 .new_session = true },
				      err) < 0)
		return -1;
	return process_wait(&process, &end, START_MS, -1, err) < 0 ? -1 : 0;
}

/* A copy of the socket that holds the port; -1: a proxy of before has it, or nobody. */
static int copy_holder(struct network *network, const char *id, const struct binding_record *binding)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	const struct endpoint *endpoint = map_get(&network->endpoints, id);

	for (size_t i = 0; endpoint && i < endpoint->hold_count; i++) {
		const struct port_hold *hold = &endpoint->holds[i];

		if (text_equal(network_protocol_name(hold->protocol), binding->protocol) &&
		    hold->port == binding->host_port && hold->fd >= 0 && text_equal(hold->host_ip, binding->host_ip))
			return fcntl(hold->fd, F_DUPFD_CLOEXEC, 0);
	}
	return -1;
}

static void copy_record(struct network *network, const char *id, struct endpoint_record *out_record)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	const struct endpoint *endpoint = map_get(&network->endpoints, id);

	if (endpoint && endpoint->record.connected)
		json_copy_fields(out_record, &endpoint->record, endpoint_record_fields);
}

void proxy_start_all(struct network *network, const char *id)
{
	AUTO(endpoint_record_fini) struct endpoint_record record = { 0 };

	if (network->no_proxy)
		return;
	copy_record(network, id, &record);
	for (size_t i = 0; i < record.bindings.count; i++) {
		AUTO(error_clear) struct error ignored = { 0 };
		AUTO_CLOSE int listener = -1;

		if (!proxy_is_needed(&record, &record.bindings.items[i]))
			continue;
		listener = copy_holder(network, id, &record.bindings.items[i]);
		if (listener >= 0)
			run(&record, &record.bindings.items[i], listener, &ignored);
	}
}

/* A connection to its name ends it, and is closed when it is gone: then the port is free. */
static void stop(const char *link, const struct binding_record *binding)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval patience = { .tv_sec = 2 };
	struct sockaddr_un address;
	socklen_t size = proxy_name(&address, binding->protocol, link, binding->host_port);
	char byte;

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&address, size) == 0)
		while (recv(fd, &byte, 1, 0) < 0 && errno == EINTR)
			;
}

void proxy_stop_all(const struct endpoint_record *record)
{
	for (size_t i = 0; i < record->bindings.count; i++)
		if (proxy_is_needed(record, &record->bindings.items[i]))
			stop(record->link, &record->bindings.items[i]);
}
