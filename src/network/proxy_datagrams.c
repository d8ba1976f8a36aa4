/* SPDX-License-Identifier: Apache-2.0 */
#include "network/proxy_datagrams.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

#define DATAGRAM_MAX 65536
#define BATCH 64 /* of one socket at a time: the others are not kept waiting */

static void forget(struct datagrams *datagrams, size_t index)
{
	close(datagrams->flows[index].fd);
	datagrams->flows[index] = datagrams->flows[--datagrams->count];
}

static struct flow *find(struct datagrams *datagrams, const struct sockaddr_in6 *client)
{
	for (size_t i = 0; i < datagrams->count; i++) {
		const struct sockaddr_in6 *known = &datagrams->flows[i].client;

		if (known->sin6_port == client->sin6_port && known->sin6_scope_id == client->sin6_scope_id &&
		    memcmp(&known->sin6_addr, &client->sin6_addr, sizeof(known->sin6_addr)) == 0)
			return &datagrams->flows[i];
	}
	return NULL;
}

static void make_room(struct datagrams *datagrams)
{
	size_t oldest = 0;

	if (datagrams->count < FLOWS_MAX)
		return;
	for (size_t i = 1; i < datagrams->count; i++)
		if (datagrams->flows[i].used_ns < datagrams->flows[oldest].used_ns)
			oldest = i;
	forget(datagrams, oldest);
}

static struct flow *find_or_make(struct datagrams *datagrams, const struct sockaddr_in6 *client)
{
	struct flow *flow = find(datagrams, client);
	AUTO_CLOSE int fd = -1;

	if (flow)
		return flow;
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&datagrams->target, sizeof(datagrams->target)) < 0)
		return NULL;
	make_room(datagrams);
	flow = &datagrams->flows[datagrams->count++];
	*flow = (struct flow){ .client = *client, .fd = take_fd(&fd) };
	return flow;
}

/* A datagram that cannot be sent is lost, as on any wire. */
static void hear(struct datagrams *datagrams)
{
	uint8_t data[DATAGRAM_MAX];

	for (int i = 0; i < BATCH; i++) {
		struct sockaddr_in6 client;
		socklen_t size = sizeof(client);
		ssize_t got = recvfrom(datagrams->listener, data, sizeof(data), MSG_DONTWAIT,
				       (struct sockaddr *)&client, &size);
		struct flow *flow = got < 0 ? NULL : find_or_make(datagrams, &client);

		if (got < 0)
			return;
		if (!flow)
			continue;
		flow->used_ns = clock_monotonic_ns();
		send(flow->fd, data, (size_t)got, MSG_NOSIGNAL);
	}
}

/* An error tells that the container did not listen: it may later. */
static void answer(const struct datagrams *datagrams, struct flow *flow)
{
	uint8_t data[DATAGRAM_MAX];

	for (int i = 0; i < BATCH; i++) {
		ssize_t got = recv(flow->fd, data, sizeof(data), MSG_DONTWAIT);

		if (got < 0)
			return;
		flow->used_ns = clock_monotonic_ns();
		sendto(datagrams->listener, data, (size_t)got, MSG_NOSIGNAL, (const struct sockaddr *)&flow->client,
		       sizeof(flow->client));
	}
}

size_t datagrams_fill(const struct datagrams *datagrams, struct pollfd *fds)
{
	for (size_t i = 0; i < datagrams->count; i++)
		fds[i] = (struct pollfd){ datagrams->flows[i].fd, POLLIN, 0 };
	return datagrams->count;
}

void datagrams_serve(struct datagrams *datagrams, const struct pollfd *fds, size_t count, bool heard)
{
	int64_t silent_ns = clock_monotonic_ns() - FLOW_IDLE_MS * CLOCK_MS;

	/* From the last: who is forgotten leaves his place to one that was served. */
	for (size_t i = count; i-- > 0;) {
		if (fds[i].revents)
			answer(datagrams, &datagrams->flows[i]);
		if (datagrams->flows[i].used_ns < silent_ns)
			forget(datagrams, i);
	}
	if (heard)
		hear(datagrams);
}
