/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "sys/netlink_request.h"

#define ANSWER_TIMEOUT_S 10
#define DUMP_TRIES 100 /* while links come and go by the hundred */

#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif

int netlink_open(void)
{
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct sockaddr_nl local = { .nl_family = AF_NETLINK };
	struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };

	if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0)
		return -errno;
	/* The kernel answers while we send; this only stops a bug from hanging a daemon. */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return take_fd(&fd);
}

int netlink_namespace(int fd)
{
	int namespace_fd = ioctl(fd, SIOCGSKNS);

	return namespace_fd < 0 ? -errno : namespace_fd;
}

/* ---- links ---- */

static void start_link(struct request *request, uint16_t type, uint16_t flags, int index)
{
	const struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = index };

	request_start(request, type, flags | NLM_F_ACK, &info, sizeof(info));
}

static bool name_is_valid(const char *name)
{
	return *name && strlen(name) < IFNAMSIZ;
}

/* A link to be made: what all kinds have in common, and the request, open where the kind's own settings are put. */
struct new_link {
	const char *name;
	const char *kind;
	int parent;	    /* 0: none */
	const uint8_t *mac; /* NULL: the kernel's choice */
	uint32_t mtu;	    /* 0: the kernel's choice */
	int netns_fd;	    /* >0: it is born there */
	struct request request;
	size_t info;
	size_t data;
};

static int new_link_start(struct new_link *link)
{
	struct request *request = &link->request;

	if (!name_is_valid(link->name))
		return -EINVAL;
	start_link(request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
	request_put_text(request, IFLA_IFNAME, link->name);
	if (link->parent)
		request_put_u32(request, IFLA_LINK, (uint32_t)link->parent);
	if (link->mac)
		request_put(request, IFLA_ADDRESS, link->mac, 6);
	if (link->mtu)
		request_put_u32(request, IFLA_MTU, link->mtu);
	if (link->netns_fd > 0)
		request_put_u32(request, IFLA_NET_NS_FD, (uint32_t)link->netns_fd);
	link->info = request_nest(request, IFLA_LINKINFO);
	request_put_text(request, IFLA_INFO_KIND, link->kind);
	link->data = request_nest(request, IFLA_INFO_DATA);
	return 0;
}

static int new_link_make(struct new_link *link, int fd)
{
	request_unnest(&link->request, link->data);
	request_unnest(&link->request, link->info);
	return request_exchange(fd, &link->request, NULL, NULL);
}

static int create_simple(int fd, const char *name, const char *kind, uint32_t mtu)
{
	struct new_link link = { .name = name, .kind = kind, .mtu = mtu };
	int failed = new_link_start(&link);

	return failed < 0 ? failed : new_link_make(&link, fd);
}

int link_create_bridge(int fd, const char *name, uint32_t mtu)
{
	return create_simple(fd, name, "bridge", mtu);
}

int link_create_dummy(int fd, const char *name)
{
	return create_simple(fd, name, "dummy", 0);
}

int link_create_ifb(int fd, const char *name)
{
	return create_simple(fd, name, "ifb", 0);
}

int link_create_veth(int fd, const struct link_veth *veth)
{
	const struct ifinfomsg end = { .ifi_family = AF_UNSPEC,
				       .ifi_flags = veth->up ? IFF_UP : 0,
				       .ifi_change = veth->up ? IFF_UP : 0 };
	const struct ifinfomsg peer_end = { .ifi_family = AF_UNSPEC };
	struct request request;
	size_t info, data, peer;

	if (!name_is_valid(veth->name) || !name_is_valid(veth->peer_name))
		return -EINVAL;
	request_start(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &end, sizeof(end));
	request_put_text(&request, IFLA_IFNAME, veth->name);
	if (veth->mac)
		request_put(&request, IFLA_ADDRESS, veth->mac, 6);
	if (veth->mtu)
		request_put_u32(&request, IFLA_MTU, veth->mtu);
	if (veth->master)
		request_put_u32(&request, IFLA_MASTER, (uint32_t)veth->master);
	info = request_nest(&request, IFLA_LINKINFO);
	request_put_text(&request, IFLA_INFO_KIND, "veth");
	data = request_nest(&request, IFLA_INFO_DATA);
	peer = request_nest(&request, VETH_INFO_PEER);
	memcpy(request_append(&request, sizeof(peer_end)), &peer_end, sizeof(peer_end));
	request_put_text(&request, IFLA_IFNAME, veth->peer_name);
	if (veth->peer_mac)
		request_put(&request, IFLA_ADDRESS, veth->peer_mac, 6);
	if (veth->mtu)
		request_put_u32(&request, IFLA_MTU, veth->mtu);
	if (veth->peer_netns_fd > 0)
		request_put_u32(&request, IFLA_NET_NS_FD, (uint32_t)veth->peer_netns_fd);
	request_unnest(&request, peer);
	request_unnest(&request, data);
	request_unnest(&request, info);
	return request_exchange(fd, &request, NULL, NULL);
}

int link_create_macvlan(int fd, const struct link_macvlan *macvlan)
{
	struct new_link link = { .name = macvlan->name,
				 .kind = "macvlan",
				 .parent = macvlan->parent,
				 .mac = macvlan->mac,
				 .mtu = macvlan->mtu,
				 .netns_fd = macvlan->netns_fd };
	int failed = new_link_start(&link);

	if (failed < 0)
		return failed;
	request_put_u32(&link.request, IFLA_MACVLAN_MODE, macvlan->mode);
	return new_link_make(&link, fd);
}

int link_create_vlan(int fd, const char *name, int parent, uint16_t tag)
{
	struct new_link link = { .name = name, .kind = "vlan", .parent = parent };
	int failed = new_link_start(&link);

	if (failed < 0)
		return failed;
	request_put(&link.request, IFLA_VLAN_ID, &tag, sizeof(tag));
	return new_link_make(&link, fd);
}

int link_create_ipvlan(int fd, const struct link_ipvlan *ipvlan)
{
	struct new_link link = { .name = ipvlan->name,
				 .kind = "ipvlan",
				 .parent = ipvlan->parent,
				 .mtu = ipvlan->mtu,
				 .netns_fd = ipvlan->netns_fd };
	int failed = new_link_start(&link);

	if (failed < 0)
		return failed;
	request_put(&link.request, IFLA_IPVLAN_MODE, &ipvlan->mode, sizeof(ipvlan->mode));
	request_put(&link.request, IFLA_IPVLAN_FLAGS, &ipvlan->flags, sizeof(ipvlan->flags));
	return new_link_make(&link, fd);
}

static size_t bytes_of(const struct net_address *address)
{
	return address->family == AF_INET6 ? 16 : 4;
}

int link_create_vxlan(int fd, const char *name, uint32_t vni, uint16_t port, uint32_t mtu,
		      const struct net_address *local)
{
	struct new_link link = { .name = name, .kind = "vxlan", .mtu = mtu };
	uint16_t port_be = htons(port);
	int failed = new_link_start(&link);

	if (failed < 0)
		return failed;
	request_put_u32(&link.request, IFLA_VXLAN_ID, vni);
	request_put(&link.request, IFLA_VXLAN_PORT, &port_be, sizeof(port_be));
	request_put_u8(&link.request, IFLA_VXLAN_LEARNING, 1);
	if (local->family)
		request_put(&link.request, local->family == AF_INET6 ? IFLA_VXLAN_LOCAL6 : IFLA_VXLAN_LOCAL,
			    local->bytes, bytes_of(local));
	return new_link_make(&link, fd);
}

static int change_peer(int fd, uint16_t type, uint16_t flags, int index, const struct net_address *peer)
{
	static const uint8_t all[6];
	const struct ndmsg entry = {
		.ndm_family = AF_BRIDGE, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT, .ndm_flags = NTF_SELF
	};
	struct request request;

	request_start(&request, type, flags | NLM_F_ACK, &entry, sizeof(entry));
	request_put(&request, NDA_LLADDR, all, sizeof(all));
	request_put(&request, NDA_DST, peer->bytes, bytes_of(peer));
	return request_exchange(fd, &request, NULL, NULL);
}

int vxlan_add_peer(int fd, int index, const struct net_address *peer)
{
	return change_peer(fd, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_APPEND, index, peer);
}

int vxlan_delete_peer(int fd, int index, const struct net_address *peer)
{
	return change_peer(fd, RTM_DELNEIGH, 0, index, peer);
}

int link_change(int fd, int index, const struct link_change *change)
{
	struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	struct request request;

	if (change->name && !name_is_valid(change->name))
		return -EINVAL;
	if (change->up) {
		info.ifi_flags = change->up > 0 ? IFF_UP : 0;
		info.ifi_change = IFF_UP;
	}
	request_start(&request, RTM_NEWLINK, NLM_F_ACK, &info, sizeof(info));
	if (change->name)
		request_put_text(&request, IFLA_IFNAME, change->name);
	if (change->mtu)
		request_put_u32(&request, IFLA_MTU, change->mtu);
	if (change->mac)
		request_put(&request, IFLA_ADDRESS, change->mac, 6);
	if (change->master)
		request_put_u32(&request, IFLA_MASTER, change->master > 0 ? (uint32_t)change->master : 0);
	if (change->netns_fd > 0)
		request_put_u32(&request, IFLA_NET_NS_FD, (uint32_t)change->netns_fd);
	return request_exchange(fd, &request, NULL, NULL);
}

int link_set_no_ipv6(int fd, int index)
{
	struct request request;
	size_t families, settings;
	int failed;

	start_link(&request, RTM_NEWLINK, 0, index);
	families = request_nest(&request, IFLA_AF_SPEC);
	settings = request_nest(&request, AF_INET6);
	request_put_u8(&request, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	request_unnest(&request, settings);
	request_unnest(&request, families);
	failed = request_exchange(fd, &request, NULL, NULL);
	/* A kernel, or a link, without IPv6. */
	return failed == -EAFNOSUPPORT ? 0 : failed;
}

int link_delete(int fd, int index)
{
	struct request request;

	start_link(&request, RTM_DELLINK, 0, index);
	return request_exchange(fd, &request, NULL, NULL);
}

int link_set_bridge_port(int fd, int index, bool hairpin, bool isolated)
{
	const struct ifinfomsg info = { .ifi_family = AF_BRIDGE, .ifi_index = index };
	struct request request;
	size_t port;

	request_start(&request, RTM_SETLINK, NLM_F_ACK, &info, sizeof(info));
	port = request_nest(&request, IFLA_PROTINFO | NLA_F_NESTED);
	request_put_u8(&request, IFLA_BRPORT_MODE, hairpin);
	request_put_u8(&request, IFLA_BRPORT_ISOLATED, isolated);
	request_unnest(&request, port);
	return request_exchange(fd, &request, NULL, NULL);
}

static void copy_text(char *out, size_t out_size, const struct rtattr *attribute)
{
	size_t size = RTA_PAYLOAD(attribute);

	snprintf(out, out_size, "%.*s", (int)size, (const char *)RTA_DATA(attribute));
}

static uint32_t get_u32(const struct rtattr *attribute)
{
	uint32_t value = 0;

	if (RTA_PAYLOAD(attribute) >= sizeof(value))
		memcpy(&value, RTA_DATA(attribute), sizeof(value));
	return value;
}

static void read_link_kind(struct link_info *link, const struct rtattr *outer)
{
	const struct rtattr *attribute = RTA_DATA(outer);
	int left = (int)RTA_PAYLOAD(outer);

	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
		if (attribute->rta_type == IFLA_INFO_KIND)
			copy_text(link->kind, sizeof(link->kind), attribute);
}

static void read_link(struct link_info *link, const struct nlmsghdr *message)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);
	const struct rtattr *attribute = IFLA_RTA(info);
	int left = (int)IFLA_PAYLOAD(message);

	*link = (struct link_info){ .index = info->ifi_index, .flags = info->ifi_flags };
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		switch (attribute->rta_type) {
		case IFLA_IFNAME:
			copy_text(link->name, sizeof(link->name), attribute);
			break;
		case IFLA_MTU:
			link->mtu = get_u32(attribute);
			break;
		case IFLA_MASTER:
			link->master = (int)get_u32(attribute);
			break;
		case IFLA_OPERSTATE:
			link->ready = RTA_PAYLOAD(attribute) >= 1 &&
				      *(const uint8_t *)RTA_DATA(attribute) == IF_OPER_UP;
			break;
		case IFLA_LINK:
			link->peer = (int)get_u32(attribute);
			break;
		case IFLA_ADDRESS:
			if (RTA_PAYLOAD(attribute) == sizeof(link->mac))
				memcpy(link->mac, RTA_DATA(attribute), sizeof(link->mac));
			break;
		case IFLA_LINKINFO:
			read_link_kind(link, attribute);
			break;
		default:
			break;
		}
	}
}

static int take_link(const struct nlmsghdr *message, void *arg)
{
	if (message->nlmsg_type == RTM_NEWLINK)
		read_link(arg, message);
	return 0;
}

static int get_link(int fd, int index, const char *name, struct link_info *out_link)
{
	const struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	struct link_info link = { 0 };
	struct request request;
	int failed;

	if (name && !name_is_valid(name))
		return -EINVAL;
	request_start(&request, RTM_GETLINK, 0, &info, sizeof(info));
	if (name)
		request_put_text(&request, IFLA_IFNAME, name);
	failed = request_exchange(fd, &request, take_link, &link);
	if (failed < 0)
		return failed;
	if (!link.index)
		return -ENODEV;
	*out_link = link;
	return 0;
}

int link_find(int fd, const char *name, struct link_info *out_link)
{
	return get_link(fd, 0, name, out_link);
}

/* ---- dumps ---- */

struct dump {
	void *items;
	size_t count;
	size_t capacity;
	size_t item_size;
	void (*read)(void *item, const struct nlmsghdr *message);
	uint16_t type;
};

static int take_item(const struct nlmsghdr *message, void *arg)
{
	struct dump *dump = arg;

	if (message->nlmsg_type != dump->type)
		return 0;
	dump->items = xgrow(dump->items, &dump->capacity, dump->count + 1, dump->item_size);
	dump->read((char *)dump->items + dump->count * dump->item_size, message);
	dump->count++;
	return 0;
}

static int run_dump(int fd, struct dump *dump, uint16_t request_type, const void *body, size_t body_size)
{
	struct request request;
	int failed = -EINTR;

	for (int i = 0; failed == -EINTR && i < DUMP_TRIES; i++) {
		dump->count = 0;
		request_start(&request, request_type, NLM_F_DUMP, body, body_size);
		failed = request_exchange(fd, &request, take_item, dump);
	}
	if (failed < 0)
		free(take_ptr(dump->items));
	return failed;
}

static void read_link_item(void *item, const struct nlmsghdr *message)
{
	read_link(item, message);
}

int link_dump(int fd, struct link_info **out_links, size_t *out_count)
{
	const struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
	struct dump dump = { .item_size = sizeof(struct link_info), .read = read_link_item, .type = RTM_NEWLINK };
	int failed = run_dump(fd, &dump, RTM_GETLINK, &info, sizeof(info));

	if (failed < 0)
		return failed;
	*out_links = dump.items;
	*out_count = dump.count;
	return 0;
}

static size_t family_size(int family)
{
	return family == AF_INET6 ? 16 : 4;
}

static void read_bytes(struct net_address *address, int family, uint8_t prefix, const struct rtattr *attribute)
{
	size_t size = family_size(family);

	if (RTA_PAYLOAD(attribute) < size)
		return;
	address->family = family;
	address->prefix = prefix;
	memcpy(address->bytes, RTA_DATA(attribute), size);
}

static void read_address_item(void *item, const struct nlmsghdr *message)
{
	struct link_address *address = item;
	const struct ifaddrmsg *info = NLMSG_DATA(message);
	const struct rtattr *attribute = IFA_RTA(info);
	int left = (int)IFA_PAYLOAD(message);

	*address = (struct link_address){ .index = (int)info->ifa_index, .scope = info->ifa_scope };
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		/* On a point-to-point link IFA_ADDRESS is the peer's, IFA_LOCAL ours. */
		if (attribute->rta_type == IFA_LOCAL ||
		    (attribute->rta_type == IFA_ADDRESS && address->address.family == AF_UNSPEC))
			read_bytes(&address->address, info->ifa_family, info->ifa_prefixlen, attribute);
		else if (attribute->rta_type == IFA_FLAGS)
			address->flags = get_u32(attribute);
	}
}

int address_dump(int fd, struct link_address **out_addresses, size_t *out_count)
{
	const struct ifaddrmsg info = { .ifa_family = AF_UNSPEC };
	struct dump dump = { .item_size = sizeof(struct link_address), .read = read_address_item, .type = RTM_NEWADDR };
	int failed = run_dump(fd, &dump, RTM_GETADDR, &info, sizeof(info));

	if (failed < 0)
		return failed;
	*out_addresses = dump.items;
	*out_count = dump.count;
	return 0;
}

static void read_route_item(void *item, const struct nlmsghdr *message)
{
	struct link_route *route = item;
	const struct rtmsg *info = NLMSG_DATA(message);
	const struct rtattr *attribute = RTM_RTA(info);
	int left = (int)RTM_PAYLOAD(message);

	*route = (struct link_route){ .table = info->rtm_table, .type = info->rtm_type };
	route->destination.family = info->rtm_family;
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		if (attribute->rta_type == RTA_DST)
			read_bytes(&route->destination, info->rtm_family, info->rtm_dst_len, attribute);
		else if (attribute->rta_type == RTA_GATEWAY)
			read_bytes(&route->gateway, info->rtm_family, (uint8_t)(8 * family_size(info->rtm_family)),
				   attribute);
		else if (attribute->rta_type == RTA_OIF)
			route->index = (int)get_u32(attribute);
	}
}

int route_dump(int fd, struct link_route **out_routes, size_t *out_count)
{
	const struct rtmsg info = { .rtm_family = AF_UNSPEC };
	struct dump dump = { .item_size = sizeof(struct link_route), .read = read_route_item, .type = RTM_NEWROUTE };
	int failed = run_dump(fd, &dump, RTM_GETROUTE, &info, sizeof(info));

	if (failed < 0)
		return failed;
	*out_routes = dump.items;
	*out_count = dump.count;
	return 0;
}

/* ---- addresses and routes ---- */

static void start_address(struct request *request, uint16_t type, uint16_t flags, int index,
			  const struct net_address *address)
{
	const struct ifaddrmsg info = { .ifa_family = (uint8_t)address->family,
					.ifa_prefixlen = address->prefix,
					.ifa_index = (unsigned)index };
	size_t size = family_size(address->family);

	request_start(request, type, flags | NLM_F_ACK, &info, sizeof(info));
	request_put(request, IFA_LOCAL, address->bytes, size);
	request_put(request, IFA_ADDRESS, address->bytes, size);
}

int address_add(int fd, int index, const struct net_address *address)
{
	struct request request;
	int failed;

	start_address(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, address);
	if (address->family == AF_INET && address->prefix < 31) {
		uint32_t broadcast, mask = htonl(UINT32_MAX >> address->prefix);

		memcpy(&broadcast, address->bytes, sizeof(broadcast));
		request_put_u32(&request, IFA_BROADCAST, broadcast | mask);
	}
	if (address->family == AF_INET6) /* nobody else can have it: do not wait for duplicate detection */
		request_put_u32(&request, IFA_FLAGS, IFA_F_NODAD);
	failed = request_exchange(fd, &request, NULL, NULL);
	return failed == -EEXIST ? 0 : failed;
}

int address_delete(int fd, int index, const struct net_address *address)
{
	struct request request;

	start_address(&request, RTM_DELADDR, 0, index, address);
	return request_exchange(fd, &request, NULL, NULL);
}

static int change_route(int fd, uint16_t type, uint16_t flags, const struct link_route *route)
{
	const struct rtmsg info = {
		.rtm_family = (uint8_t)route->destination.family,
		.rtm_dst_len = route->destination.prefix,
		.rtm_table = route->table ? route->table : RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = route->gateway.family ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
		.rtm_type = route->type ? route->type : RTN_UNICAST,
	};
	struct request request;

	request_start(&request, type, flags | NLM_F_ACK, &info, sizeof(info));
	if (route->destination.prefix)
		request_put(&request, RTA_DST, route->destination.bytes, family_size(route->destination.family));
	if (route->gateway.family)
		request_put(&request, RTA_GATEWAY, route->gateway.bytes, family_size(route->gateway.family));
	if (route->index)
		request_put_u32(&request, RTA_OIF, (uint32_t)route->index);
	return request_exchange(fd, &request, NULL, NULL);
}

int route_add(int fd, const struct link_route *route)
{
	int failed = change_route(fd, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route);

	return failed == -EEXIST ? 0 : failed;
}

int route_delete(int fd, const struct link_route *route)
{
	return change_route(fd, RTM_DELROUTE, 0, route);
}

/* ---- addresses as text ---- */

int net_address_parse(struct net_address *out_address, const char *text)
{
	struct net_address address = { 0 };
	char host[INET6_ADDRSTRLEN + 1];
	const char *slash = strchr(text, '/');
	size_t size = slash ? (size_t)(slash - text) : strlen(text);
	uint64_t prefix;

	if (size >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, size);
	host[size] = '\0';
	if (inet_pton(AF_INET, host, address.bytes) == 1)
		address.family = AF_INET;
	else if (inet_pton(AF_INET6, host, address.bytes) == 1)
		address.family = AF_INET6;
	else
		return -EINVAL;
	prefix = 8 * family_size(address.family);
	if (slash && text_parse_u64(&prefix, slash + 1, prefix) < 0)
		return -EINVAL;
	address.prefix = (uint8_t)prefix;
	*out_address = address;
	return 0;
}

const char *net_address_format(char out[NET_ADDRESS_TEXT_MAX], const struct net_address *address)
{
	if (address->family == AF_UNSPEC || !inet_ntop(address->family, address->bytes, out, NET_ADDRESS_TEXT_MAX))
		out[0] = '\0';
	return out;
}

const char *net_address_format_prefix(char out[NET_ADDRESS_TEXT_MAX], const struct net_address *address)
{
	size_t size;

	net_address_format(out, address);
	size = strlen(out);
	if (size)
		snprintf(out + size, NET_ADDRESS_TEXT_MAX - size, "/%u", address->prefix);
	return out;
}

bool net_address_overlaps(const struct net_address *a, const struct net_address *b)
{
	unsigned bits = a->prefix < b->prefix ? a->prefix : b->prefix;
	unsigned bytes = bits / 8;

	if (a->family != b->family)
		return false;
	if (memcmp(a->bytes, b->bytes, bytes) != 0)
		return false;
	return bits % 8 == 0 || (a->bytes[bytes] ^ b->bytes[bytes]) >> (8 - bits % 8) == 0;
}
