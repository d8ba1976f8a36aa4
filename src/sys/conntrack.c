/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "sys/netlink_request.h"

#define TUPLE_MAX 128
#define FORGET_MAX 65536
#define ANSWER_TIMEOUT_S 10

struct flow_tuple {
	uint8_t source[16];
	uint8_t destination[16];
	uint16_t source_port;
	uint16_t destination_port;
	uint8_t protocol;
};

/* The tuple of a flow to delete, as the kernel wrote it. */
struct raw_tuple {
	uint8_t bytes[TUPLE_MAX];
	size_t size;
};

struct search {
	const struct conntrack_port *port;
	const struct link_address *local; /* this machine's addresses */
	size_t local_count;
	struct raw_tuple *found;
	size_t count;
	size_t capacity;
};

/* The attribute of a type among those in a block, or NULL. */
static const struct rtattr *find(const void *block, size_t size, unsigned type)
{
	const struct rtattr *attribute = block;
	int left = (int)size;

	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
		if ((attribute->rta_type & NLA_TYPE_MASK) == type)
			return attribute;
	return NULL;
}

static const struct rtattr *find_in(const struct rtattr *outer, unsigned type)
{
	return outer ? find(RTA_DATA(outer), RTA_PAYLOAD(outer), type) : NULL;
}

static void copy_value(void *out, size_t size, const struct rtattr *attribute)
{
	if (attribute && RTA_PAYLOAD(attribute) >= size)
		memcpy(out, RTA_DATA(attribute), size);
}

static uint16_t read_port(const struct rtattr *proto, unsigned type)
{
	uint16_t port_be = 0;

	copy_value(&port_be, sizeof(port_be), find_in(proto, type));
	return ntohs(port_be);
}

static struct flow_tuple read_tuple(const struct rtattr *attribute, int family)
{
	const struct rtattr *ip = find_in(attribute, CTA_TUPLE_IP);
	const struct rtattr *proto = find_in(attribute, CTA_TUPLE_PROTO);
	bool v6 = family == AF_INET6;
	struct flow_tuple tuple = { 0 };

	copy_value(tuple.source, v6 ? 16 : 4, find_in(ip, v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC));
	copy_value(tuple.destination, v6 ? 16 : 4, find_in(ip, v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST));
	copy_value(&tuple.protocol, sizeof(tuple.protocol), find_in(proto, CTA_PROTO_NUM));
	tuple.source_port = read_port(proto, CTA_PROTO_SRC_PORT);
	tuple.destination_port = read_port(proto, CTA_PROTO_DST_PORT);
	return tuple;
}

/* Another machine's port of the same number is none of ours. */
static bool is_to_host(const struct search *search, const struct flow_tuple *out)
{
	static const uint8_t any[16];
	const struct conntrack_port *port = search->port;

	if (out->destination_port != port->host_port)
		return false;
	if (memcmp(port->host.bytes, any, sizeof(any)) != 0)
		return memcmp(port->host.bytes, out->destination, sizeof(any)) == 0;
	for (size_t i = 0; i < search->local_count; i++)
		if (search->local[i].address.family == port->container.family &&
		    memcmp(search->local[i].address.bytes, out->destination, sizeof(any)) == 0)
			return true;
	/* All of 127.0.0.0/8 is this machine. */
	return port->container.family == AF_INET && out->destination[0] == 127;
}

static int take_flow(const struct nlmsghdr *message, void *arg)
{
	struct search *search = arg;
	const struct conntrack_port *port = search->port;
	const char *block = (const char *)NLMSG_DATA(message) + NLMSG_ALIGN(sizeof(struct nfgenmsg));
	size_t size = message->nlmsg_len < NLMSG_SPACE(sizeof(struct nfgenmsg))
			      ? 0
			      : message->nlmsg_len - NLMSG_SPACE(sizeof(struct nfgenmsg));
	const struct rtattr *original = find(block, size, CTA_TUPLE_ORIG);
	struct flow_tuple out = read_tuple(original, port->container.family);
	struct flow_tuple back = read_tuple(find(block, size, CTA_TUPLE_REPLY), port->container.family);
	bool answered = back.source_port == port->container_port &&
			memcmp(back.source, port->container.bytes, sizeof(back.source)) == 0;
	struct raw_tuple *raw;

	if (!original || out.protocol != port->protocol || (!answered && !is_to_host(search, &out)))
		return 0;
	if (RTA_PAYLOAD(original) > TUPLE_MAX || search->count >= FORGET_MAX)
		return 0;
	search->found = xgrow(search->found, &search->capacity, search->count + 1, sizeof(*search->found));
	raw = &search->found[search->count++];
	raw->size = RTA_PAYLOAD(original);
	memcpy(raw->bytes, RTA_DATA(original), raw->size);
	return 0;
}

static int open_socket(void)
{
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct sockaddr_nl local = { .nl_family = AF_NETLINK };
	struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };

	if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return take_fd(&fd);
}

static int read_local(struct link_address **out_addresses, size_t *out_count)
{
	AUTO_CLOSE int fd = netlink_open();

	return fd < 0 ? fd : address_dump(fd, out_addresses, out_count);
}

static int find_flows(int fd, const struct nfgenmsg *family, struct search *search)
{
	struct request request;
	int failed;

	request_start(&request, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, NLM_F_DUMP, family, sizeof(*family));
	failed = request_exchange(fd, &request, take_flow, search);
	/* Flows come and go all the time: what was seen is what was there when it was asked. */
	return failed == -EINTR ? 0 : failed;
}

int conntrack_forget(const struct conntrack_port *port)
{
	const struct nfgenmsg family = { .nfgen_family = (uint8_t)port->container.family, .version = NFNETLINK_V0 };
	AUTO_FREE struct link_address *local = NULL;
	struct search search = { .port = port };
	AUTO_CLOSE int fd = open_socket();
	int failed = fd < 0 ? fd : read_local(&local, &search.local_count);

	if (failed < 0)
		return failed;
	search.local = local;
	failed = find_flows(fd, &family, &search);
	for (size_t i = 0; failed == 0 && i < search.count; i++) {
		struct request request;

		request_start(&request, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, NLM_F_ACK, &family,
			      sizeof(family));
		request_put(&request, CTA_TUPLE_ORIG | NLA_F_NESTED, search.found[i].bytes, search.found[i].size);
		failed = request_exchange(fd, &request, NULL, NULL);
		if (failed == -ENOENT) /* it ended by itself */
			failed = 0;
	}
	free(search.found);
	return failed;
}
