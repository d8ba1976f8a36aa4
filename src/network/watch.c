/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the kernel tells of every change to packet rules. When a rule
 * or an element of ours goes (flush ruleset, another program's restart, nft
 * delete element), all of them are counted, and written again if something is
 * missing; a rebuild of our own is seen too, and found whole. A container that
 * ends deletes by a socket that is known, and costs no count. When another program's FORWARD chain changes, our bridges
 * are let through it again.
 */
#include "network/watch.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "network/firewall.h"
#include "network/foreign.h"
#include "sys/netlink_request.h"
#include "sys/nftables.h"

#define MESSAGE_SIZE 65536
#define CALM_MS 50 /* a flush and what follows are one event */

enum finding { NOTHING = 0, OURS = 1, FOREIGN = 2 };

static int open_socket(void)
{
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct sockaddr_nl local = { .nl_family = AF_NETLINK };
	int group = NFNLGRP_NFTABLES;

	if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return -errno;
	return take_fd(&fd);
}

static unsigned judge(const struct network *network, const struct nlmsghdr *message)
{
	/* The table's name is the first attribute of all of these. */
	bool ours = text_equal(nft_message_text(message, NFTA_TABLE_NAME), network->table);

	if (message->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
		return NOTHING;
	switch (message->nlmsg_type & 0xff) {
	case NFT_MSG_DELTABLE:
	case NFT_MSG_DELCHAIN:
	case NFT_MSG_DELRULE:
	case NFT_MSG_DELSET:
		return ours ? OURS : NOTHING;
	case NFT_MSG_DELSETELEM:
		return ours && message->nlmsg_pid != atomic_load(&network->nft_port) ? OURS : NOTHING;
	case NFT_MSG_NEWCHAIN:
		return !ours && foreign_is_chain(nft_message_text(message, NFTA_CHAIN_NAME)) ? FOREIGN : NOTHING;
	default:
		return NOTHING;
	}
}

/* All that is there to be read; messages that were lost may have been any. */
static unsigned read_messages(const struct network *network, int fd, uint8_t *buffer)
{
	unsigned found = NOTHING;

	for (;;) {
		ssize_t size = recv(fd, buffer, MESSAGE_SIZE, MSG_DONTWAIT);
		size_t left = size < 0 ? 0 : (size_t)size;

		if (size < 0 && errno == ENOBUFS) {
			found |= OURS | FOREIGN;
			continue;
		}
		if (size <= 0)
			return found;
		for (const struct nlmsghdr *message = (const void *)buffer; message_is_whole(message, left);
		     message = message_next(message, &left))
			found |= judge(network, message);
	}
}

static bool wait_for(int fd, int stop_fd, int timeout_ms)
{
	struct pollfd fds[] = { { .fd = fd, .events = POLLIN }, { .fd = stop_fd, .events = POLLIN } };

	while (poll(fds, 2, timeout_ms) < 0 && errno == EINTR)
		;
	return fds[1].revents == 0;
}

static bool has_table(struct network *network)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);

	return network->table_made;
}

static void act(struct network *network, unsigned found)
{
	AUTO(error_clear) struct error err = { 0 };

	if (found & FOREIGN)
		foreign_admit_all(network);
	if (!(found & OURS) || !has_table(network) || firewall_is_whole(network))
		return;
	firewall_rebuild(network, &err);
	if (network->restored)
		network->restored(network->restored_arg, error_is_set(&err) ? err.message : NULL);
}

static void *watch(void *arg)
{
	struct network *network = arg;
	AUTO_FREE uint8_t *buffer = xmalloc(MESSAGE_SIZE);

	while (wait_for(network->watch_fd, network->stop_fd, -1)) {
		unsigned found = read_messages(network, network->watch_fd, buffer);

		if (!found)
			continue;
		if (!wait_for(-1, network->stop_fd, CALM_MS))
			break;
		act(network, found | read_messages(network, network->watch_fd, buffer));
	}
	return NULL;
}

int network_watch(struct network *network, void (*restored)(void *arg, const char *problem), void *arg,
		  struct error *err)
{
	network->restored = restored;
	network->restored_arg = arg;
	network->watch_fd = open_socket();
	if (network->watch_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, network->watch_fd, "watch the firewall's rules");
	network->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (network->stop_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "watch the firewall's rules: eventfd");
	if (thread_start(&network->watcher, "firewall-watch", watch, network, err) < 0)
		return -1;
	network->watching = true;
	return 0;
}

void watch_end(struct network *network)
{
	const uint64_t one = 1;

	if (network->watching && write(network->stop_fd, &one, sizeof(one)) > 0)
		pthread_join(network->watcher, NULL);
	network->watching = false;
	if (network->watch_fd >= 0)
		close(take_fd(&network->watch_fd));
	if (network->stop_fd >= 0)
		close(take_fd(&network->stop_fd));
}
