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
	uint32_t source; /* network order */
	uint16_t destination_port;
	uint8_t protocol;
};

/* The tuple of a flow to delete, as the kernel wrote it. */
struct raw_tuple {
	uint8_t bytes[TUPLE_MAX];
	size_t size;
};

struct search {
	uint8_t protocol;
	uint16_t host_port;
	uint32_t answered_by; /* 0: any */
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

static struct flow_tuple read_tuple(const struct rtattr *attribute)
{
	const struct rtattr *ip = find_in(attribute, CTA_TUPLE_IP);
	const struct rtattr *proto = find_in(attribute, CTA_TUPLE_PROTO);
	struct flow_tuple tuple = { 0 };

	copy_value(&tuple.source, sizeof(tuple.source), find_in(ip, CTA_IP_V4_SRC));
	copy_value(&tuple.protocol, sizeof(tuple.protocol), find_in(proto, CTA_PROTO_NUM));
	copy_value(&tuple.destination_port, sizeof(tuple.destination_port), find_in(proto, CTA_PROTO_DST_PORT));
	tuple.destination_port = ntohs(tuple.destination_port);
	return tuple;
}

static int take_flow(const struct nlmsghdr *message, void *arg)
{
	struct search *search = arg;
	const char *block = (const char *)NLMSG_DATA(message) + NLMSG_ALIGN(sizeof(struct nfgenmsg));
	size_t size = message->nlmsg_len < NLMSG_SPACE(sizeof(struct nfgenmsg))
			      ? 0
			      : message->nlmsg_len - NLMSG_SPACE(sizeof(struct nfgenmsg));
	const struct rtattr *original = find(block, size, CTA_TUPLE_ORIG);
	const struct rtattr *reply = find(block, size, CTA_TUPLE_REPLY);
	struct flow_tuple out = read_tuple(original), back = read_tuple(reply);
	struct raw_tuple *raw;

	if (!original || out.protocol != search->protocol)
		return 0;
	if (out.destination_port != search->host_port && (!search->answered_by || back.source != search->answered_by))
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

int conntrack_forget(uint8_t protocol, uint16_t host_port, const struct net_address *answered_by)
{
	const struct nfgenmsg family = { .nfgen_family = AF_INET, .version = NFNETLINK_V0 };
	struct search search = { .protocol = protocol, .host_port = host_port };
	AUTO_CLOSE int fd = open_socket();
	struct request request;
	int failed;

	if (fd < 0)
		return fd;
	if (answered_by->family == AF_INET)
		memcpy(&search.answered_by, answered_by->bytes, sizeof(search.answered_by));
	request_start(&request, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, NLM_F_DUMP, &family, sizeof(family));
	failed = request_exchange(fd, &request, take_flow, &search);
	for (size_t i = 0; failed == 0 && i < search.count; i++) {
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
