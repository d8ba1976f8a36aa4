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
#include "base/process.h"
#include "base/program.h"
#include "network/proxy_name.h"

#define START_MS 10000

static bool needs_proxy(const struct binding_record *binding)
{
	return (text_equal(binding->protocol, "tcp") || text_equal(binding->protocol, "udp")) && binding->host_port &&
	       (text_equal(binding->host_ip, "::") || text_equal(binding->host_ip, "::1"));
}

/* The program says by its end that it listens: what goes on is its child, and nobody's of ours. */
static int run(const struct endpoint_record *record, const struct binding_record *binding, int listener,
	       struct error *err)
{
	AUTO_FREE char *program = program_find("kist-proxy", err);
	AUTO_FREE char *host_port = xasprintf("%u", binding->host_port);
	AUTO_FREE char *port = xasprintf("%u", binding->container_port);
	AUTO(process_fini) struct process process = { .pidfd = -1 };
	char *const argv[] = {
		(char[]){ "kist-proxy" }, binding->protocol, record->link, host_port, record->address6, port, NULL
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

	copy_record(network, id, &record);
	for (size_t i = 0; i < record.bindings.count; i++) {
		AUTO(error_clear) struct error ignored = { 0 };
		AUTO_CLOSE int listener = -1;

		if (!needs_proxy(&record.bindings.items[i]) || text_empty(record.address6) || text_empty(record.link))
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
		if (needs_proxy(&record->bindings.items[i]) && !text_empty(record->address6))
			stop(record->link, &record->bindings.items[i]);
}
