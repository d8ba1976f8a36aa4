/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/nftables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/netlink_request.h"

#define ANSWER_SIZE 16384
#define ANSWER_TIMEOUT_S 10
#define BATCH_MAX (1024 * 1024)
#define OUTPUT_PRIORITY (-100) /* dstnat of what the host itself sends */

void nft_value_add(struct nft_value *value, const void *field, size_t size)
{
	size_t padded = (size + 3) & ~(size_t)3;

	if (value->size + padded > sizeof(value->bytes))
		return;
	memset(value->bytes + value->size, 0, padded);
	memcpy(value->bytes + value->size, field, size);
	value->size += padded;
}

/* ---- attributes ---- */

static void put(struct nft_batch *batch, uint16_t type, const void *data, size_t size)
{
	static const uint8_t zeros[4];
	struct nlattr attribute = { .nla_len = (uint16_t)(NLA_HDRLEN + size), .nla_type = type };

	batch->failed |= size > 4096 || batch->bytes.size > BATCH_MAX;
	text_add_bytes(&batch->bytes, &attribute, sizeof(attribute));
	text_add_bytes(&batch->bytes, data, size);
	text_add_bytes(&batch->bytes, zeros, NLA_ALIGN(size) - size);
}

static void put_text(struct nft_batch *batch, uint16_t type, const char *text)
{
	put(batch, type, text, strlen(text) + 1);
}

static void put_u32(struct nft_batch *batch, uint16_t type, uint32_t value)
{
	uint32_t be = htonl(value);

	put(batch, type, &be, sizeof(be));
}

static size_t nest(struct nft_batch *batch, uint16_t type)
{
	size_t place = batch->bytes.size;
	const struct nlattr attribute = { .nla_type = (uint16_t)(type | NLA_F_NESTED) };

	text_add_bytes(&batch->bytes, &attribute, sizeof(attribute));
	return place;
}

static void unnest(struct nft_batch *batch, size_t place)
{
	uint16_t size = (uint16_t)(batch->bytes.size - place);

	batch->failed |= batch->bytes.size - place > UINT16_MAX;
	memcpy(batch->bytes.data + place, &size, sizeof(size));
}

static void put_value(struct nft_batch *batch, uint16_t type, const void *data, size_t size)
{
	size_t place = nest(batch, type);

	put(batch, NFTA_DATA_VALUE, data, size);
	unnest(batch, place);
}

/* ---- messages ---- */

static size_t start(struct nft_batch *batch, uint16_t type, uint16_t flags, uint8_t family, uint16_t resource)
{
	size_t place = batch->bytes.size;
	const struct nlmsghdr header = { .nlmsg_type = type,
					 .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
					 .nlmsg_seq = batch->messages };
	const struct nfgenmsg body = { .nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(resource) };

	text_add_bytes(&batch->bytes, &header, sizeof(header));
	text_add_bytes(&batch->bytes, &body, sizeof(body));
	return place;
}

static void finish(struct nft_batch *batch, size_t place)
{
	uint32_t size = (uint32_t)(batch->bytes.size - place);

	memcpy(batch->bytes.data + place, &size, sizeof(size));
}

static size_t start_change(struct nft_batch *batch, uint16_t type, uint16_t flags, uint8_t family)
{
	batch->messages++;
	return start(batch, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags | NLM_F_ACK, family, 0);
}

void nft_batch_init(struct nft_batch *batch)
{
	*batch = (struct nft_batch){ 0 };
	finish(batch, start(batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

void nft_batch_fini(struct nft_batch *batch)
{
	text_fini(&batch->bytes);
}

static void change_element(struct nft_batch *batch, uint16_t type, uint16_t flags, const char *table, const char *set,
			   const struct nft_value *key, const struct nft_value *data)
{
	size_t message = start_change(batch, type, flags, NFPROTO_INET);
	size_t list, element;

	put_text(batch, NFTA_SET_ELEM_LIST_TABLE, table);
	put_text(batch, NFTA_SET_ELEM_LIST_SET, set);
	list = nest(batch, NFTA_SET_ELEM_LIST_ELEMENTS);
	element = nest(batch, NFTA_LIST_ELEM);
	put_value(batch, NFTA_SET_ELEM_KEY, key->bytes, key->size);
	if (data)
		put_value(batch, NFTA_SET_ELEM_DATA, data->bytes, data->size);
	unnest(batch, element);
	unnest(batch, list);
	finish(batch, message);
}

void nft_batch_add(struct nft_batch *batch, const char *table, const char *set, const struct nft_value *key,
		   const struct nft_value *data)
{
	change_element(batch, NFT_MSG_NEWSETELEM, NLM_F_CREATE, table, set, key, data);
}

void nft_batch_delete(struct nft_batch *batch, const char *table, const char *set, const struct nft_value *key,
		      const struct nft_value *data)
{
	change_element(batch, NFT_MSG_DELSETELEM, 0, table, set, key, data);
}

/* ---- a redirection ---- */

struct expression {
	size_t element;
	size_t data;
};

static struct expression open_expression(struct nft_batch *batch, const char *name)
{
	struct expression expression = { .element = nest(batch, NFTA_LIST_ELEM) };

	put_text(batch, NFTA_EXPR_NAME, name);
	expression.data = nest(batch, NFTA_EXPR_DATA);
	return expression;
}

static void close_expression(struct nft_batch *batch, const struct expression *expression)
{
	unnest(batch, expression->data);
	unnest(batch, expression->element);
}

static void add_compare(struct nft_batch *batch, const void *value, size_t size)
{
	struct expression expression = open_expression(batch, "cmp");

	put_u32(batch, NFTA_CMP_SREG, NFT_REG_1);
	put_u32(batch, NFTA_CMP_OP, NFT_CMP_EQ);
	put_value(batch, NFTA_CMP_DATA, value, size);
	close_expression(batch, &expression);
}

static void add_payload(struct nft_batch *batch, uint32_t base, uint32_t offset, uint32_t size)
{
	struct expression expression = open_expression(batch, "payload");

	put_u32(batch, NFTA_PAYLOAD_DREG, NFT_REG_1);
	put_u32(batch, NFTA_PAYLOAD_BASE, base);
	put_u32(batch, NFTA_PAYLOAD_OFFSET, offset);
	put_u32(batch, NFTA_PAYLOAD_LEN, size);
	close_expression(batch, &expression);
}

static void add_immediate(struct nft_batch *batch, uint32_t reg, const void *value, size_t size)
{
	struct expression expression = open_expression(batch, "immediate");

	put_u32(batch, NFTA_IMMEDIATE_DREG, reg);
	put_value(batch, NFTA_IMMEDIATE_DATA, value, size);
	close_expression(batch, &expression);
}

static void add_protocol(struct nft_batch *batch, uint8_t protocol)
{
	struct expression expression = open_expression(batch, "meta");

	put_u32(batch, NFTA_META_DREG, NFT_REG_1);
	put_u32(batch, NFTA_META_KEY, NFT_META_L4PROTO);
	close_expression(batch, &expression);
	add_compare(batch, &protocol, sizeof(protocol));
}

static void add_translation(struct nft_batch *batch)
{
	struct expression expression = open_expression(batch, "nat");

	put_u32(batch, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	put_u32(batch, NFTA_NAT_FAMILY, NFPROTO_IPV4);
	put_u32(batch, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
	put_u32(batch, NFTA_NAT_REG_PROTO_MIN, NFT_REG_2);
	close_expression(batch, &expression);
}

static void add_table_and_chain(struct nft_batch *batch, const char *table)
{
	size_t message = start_change(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE, NFPROTO_IPV4);
	size_t hook;

	put_text(batch, NFTA_TABLE_NAME, table);
	finish(batch, message);
	message = start_change(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE, NFPROTO_IPV4);
	put_text(batch, NFTA_CHAIN_TABLE, table);
	put_text(batch, NFTA_CHAIN_NAME, "output");
	hook = nest(batch, NFTA_CHAIN_HOOK);
	put_u32(batch, NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
	put_u32(batch, NFTA_HOOK_PRIORITY, (uint32_t)OUTPUT_PRIORITY);
	unnest(batch, hook);
	put_text(batch, NFTA_CHAIN_TYPE, "nat");
	finish(batch, message);
}

void nft_batch_redirect(struct nft_batch *batch, const char *table, uint8_t protocol, uint32_t address_be,
			uint16_t port, uint16_t to_port)
{
	uint16_t port_be = htons(port), to_port_be = htons(to_port);
	size_t message, list;

	add_table_and_chain(batch, table);
	message = start_change(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, NFPROTO_IPV4);
	put_text(batch, NFTA_RULE_TABLE, table);
	put_text(batch, NFTA_RULE_CHAIN, "output");
	list = nest(batch, NFTA_RULE_EXPRESSIONS);
	add_protocol(batch, protocol);
	add_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, 16, 4); /* where IPv4 has its destination */
	add_compare(batch, &address_be, sizeof(address_be));
	add_payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2); /* and TCP and UDP their port */
	add_compare(batch, &port_be, sizeof(port_be));
	add_immediate(batch, NFT_REG_1, &address_be, sizeof(address_be));
	add_immediate(batch, NFT_REG_2, &to_port_be, sizeof(to_port_be));
	add_translation(batch);
	unnest(batch, list);
	finish(batch, message);
}

/* ---- sending ---- */

/* How many of the messages in one datagram are answers, or the first error. */
static int count_answers(const uint8_t *data, size_t size, unsigned *count)
{
	const struct nlmsghdr *message = (const void *)data;

	for (; message_is_whole(message, size); message = message_next(message, &size)) {
		const struct nlmsgerr *answer = NLMSG_DATA(message);

		if (message->nlmsg_type != NLMSG_ERROR || message->nlmsg_len < NLMSG_LENGTH(sizeof(*answer)))
			continue;
		if (answer->error)
			return answer->error;
		(*count)++;
	}
	return 0;
}

static int receive_answers(int fd, unsigned wanted)
{
	_Alignas(struct nlmsghdr) uint8_t data[ANSWER_SIZE];
	unsigned count = 0;

	while (count < wanted) {
		ssize_t size = recv(fd, data, sizeof(data), 0);
		int failed;

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		failed = count_answers(data, (size_t)size, &count);
		if (failed < 0)
			return failed;
	}
	return 0;
}

/* What an earlier batch that failed left unread. */
static void drain(int fd)
{
	uint8_t data[512];

	while (recv(fd, data, sizeof(data), MSG_DONTWAIT) >= 0)
		;
}

int nft_batch_send(struct nft_batch *batch, int netfilter_fd)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	const struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };

	finish(batch, start(batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
	if (batch->failed)
		return -EMSGSIZE;
	setsockopt(netfilter_fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	drain(netfilter_fd);
	if (sendto(netfilter_fd, batch->bytes.data, batch->bytes.size, 0, (struct sockaddr *)&kernel, sizeof(kernel)) <
	    0)
		return -errno;
	return receive_answers(netfilter_fd, batch->messages);
}

/* The attribute's value and its size in a block of attributes; NULL: there is none. */
static const uint8_t *find_in(const uint8_t *at, const uint8_t *end, unsigned attribute, size_t *out_size)
{
	while (at + NLA_HDRLEN <= end) {
		struct nlattr header;

		memcpy(&header, at, sizeof(header));
		if (header.nla_len < NLA_HDRLEN || header.nla_len > end - at)
			return NULL;
		*out_size = header.nla_len - (size_t)NLA_HDRLEN;
		if ((header.nla_type & NLA_TYPE_MASK) == attribute)
			return at + NLA_HDRLEN;
		at += NLA_ALIGN(header.nla_len);
	}
	return NULL;
}

static const uint8_t *find_attribute(const struct nlmsghdr *message, unsigned attribute, size_t *out_size)
{
	return find_in((const uint8_t *)message + NLMSG_SPACE(sizeof(struct nfgenmsg)),
		       (const uint8_t *)message + message->nlmsg_len, attribute, out_size);
}

const char *nft_message_text(const struct nlmsghdr *message, unsigned attribute)
{
	size_t size;
	const uint8_t *value = find_attribute(message, attribute, &size);

	return value && memchr(value, '\0', size) ? (const char *)value : NULL;
}

bool nft_message_u32(const struct nlmsghdr *message, unsigned attribute, uint32_t *out_value)
{
	uint32_t be;
	size_t size;
	const uint8_t *value = find_attribute(message, attribute, &size);

	if (!value || size != sizeof(be))
		return false;
	memcpy(&be, value, sizeof(be));
	*out_value = ntohl(be);
	return true;
}

/* Where an interval ends is an element too, with this flag. */
static bool is_interval_end(const uint8_t *element, size_t size)
{
	uint32_t flags_be = 0;
	size_t flags_size = 0;
	const uint8_t *flags = find_in(element, element + size, NFTA_SET_ELEM_FLAGS, &flags_size);

	if (flags && flags_size == sizeof(flags_be))
		memcpy(&flags_be, flags, sizeof(flags_be));
	return ntohl(flags_be) & NFT_SET_ELEM_INTERVAL_END;
}

static int count_elements(const struct nlmsghdr *message, void *arg)
{
	int *count = arg;
	size_t left = 0, size = 0;
	const uint8_t *at = find_attribute(message, NFTA_SET_ELEM_LIST_ELEMENTS, &left);
	const uint8_t *end = at ? at + left : NULL;
	const uint8_t *element;

	while (at && (element = find_in(at, end, NFTA_LIST_ELEM, &size))) {
		*count += !is_interval_end(element, size);
		at = element + NLA_ALIGN(size);
	}
	return 0;
}

int nft_count_elements(int fd, const char *table, const char *set)
{
	const struct nfgenmsg family = { .nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0 };
	struct request request;
	int count = 0, failed;

	request_start(&request, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM, NLM_F_DUMP, &family, sizeof(family));
	request_put_text(&request, NFTA_SET_ELEM_LIST_TABLE, table);
	request_put_text(&request, NFTA_SET_ELEM_LIST_SET, set);
	failed = request_exchange(fd, &request, count_elements, &count);
	return failed < 0 ? failed : count;
}

struct rule_count {
	const char *table;
	const char *except;
	int count;
};

static int count_rule(const struct nlmsghdr *message, void *arg)
{
	struct rule_count *found = arg;
	const char *chain = nft_message_text(message, NFTA_RULE_CHAIN);

	if (text_equal(nft_message_text(message, NFTA_RULE_TABLE), found->table) &&
	    !(found->except && text_equal(chain, found->except)))
		found->count++;
	return 0;
}

int nft_count_rules(int fd, uint8_t family, const char *table, const char *except)
{
	const struct nfgenmsg body = { .nfgen_family = family, .version = NFNETLINK_V0 };
	struct rule_count found = { .table = table, .except = except };
	struct request request;
	int failed;

	request_start(&request, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE, NLM_F_DUMP, &body, sizeof(body));
	request_put_text(&request, NFTA_RULE_TABLE, table);
	failed = request_exchange(fd, &request, count_rule, &found);
	return failed < 0 ? failed : found.count;
}

int nft_open(void)
{
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct sockaddr_nl local = { .nl_family = AF_NETLINK };

	if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0)
		return -errno;
	return take_fd(&fd);
}
