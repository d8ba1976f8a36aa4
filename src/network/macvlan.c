/* SPDX-License-Identifier: Apache-2.0 */
#include "network/macvlan.h"

#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define VLAN_LAST 4094

int macvlan_parse_mode(uint32_t *out_mode, const char *text, struct error *err)
{
	static const struct {
		const char *name;
		uint32_t mode;
	} modes[] = { { "bridge", MACVLAN_MODE_BRIDGE },
		      { "private", MACVLAN_MODE_PRIVATE },
		      { "vepa", MACVLAN_MODE_VEPA },
		      { "passthru", MACVLAN_MODE_PASSTHRU } };

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (!text_equal(text_empty(text) ? "bridge" : text, modes[i].name))
			continue;
		*out_mode = modes[i].mode;
		return 0;
	}
	return error_set(err, ERR_INVALID, "requested macvlan mode '%s' is not valid, 'bridge' mode is the default",
			 text);
}

static int parse_word(uint16_t *out_value, const char *const words[], const char *text, const char *what,
		      struct error *err)
{
	for (uint16_t i = 0; words[i]; i++) {
		if (!text_equal(text_empty(text) ? words[0] : text, words[i]))
			continue;
		*out_value = i;
		return 0;
	}
	return error_set(err, ERR_INVALID, "requested ipvlan %s '%s' is not valid, '%s' is the default", what, text,
			 words[0]);
}

/* A kernel with ipvlan asks for the parent, one without knows no such kind. */
static bool kernel_has_ipvlan(void)
{
	AUTO_CLOSE int fd = netlink_open();
	const struct link_ipvlan probe = { .name = "kist-probe" };

	return fd < 0 || link_create_ipvlan(fd, &probe) != -EOPNOTSUPP;
}

int ipvlan_parse(struct bridge *bridge, const char *mode, const char *flag, struct error *err)
{
	/* In the order of IPVLAN_MODE_ and IPVLAN_F_. */
	static const char *const modes[] = { "l2", "l3", "l3s", NULL };
	static const char *const flags[] = { "bridge", "private", "vepa", NULL };

	if (parse_word(&bridge->ipvlan_mode, modes, mode, "mode", err) < 0 ||
	    parse_word(&bridge->ipvlan_flag, flags, flag, "flag", err) < 0)
		return -1;
	return kernel_has_ipvlan() ? 0
				   : error_set(err, ERR_UNSUPPORTED,
					       "this kernel has no ipvlan links (module ipvlan, CONFIG_IPVLAN)");
}

bool ipvlan_is_routed(const struct bridge *bridge)
{
	return bridge->driver == NETWORK_IPVLAN && bridge->ipvlan_mode != IPVLAN_MODE_L2;
}

/* A host link with a tag of its own: "eth0.10" is made on eth0. */
static int make_vlan(struct bridge *bridge, int socket_fd, struct error *err)
{
	const char *dot = strrchr(bridge->parent, '.');
	AUTO_FREE char *master = dot ? xstrndup(bridge->parent, (size_t)(dot - bridge->parent)) : NULL;
	struct link_info link;
	uint64_t tag;
	int failed;

	if (!dot)
		return error_set(err, ERR_INVALID,
				 "invalid subinterface vlan name %s, example formatting is eth0.10: the host has no "
				 "link %s",
				 bridge->parent, bridge->parent);
	if (text_parse_u64(&tag, dot + 1, VLAN_LAST) < 0 || tag == 0)
		return error_set(err, ERR_INVALID, "vlan id must be between 1-4094, received: %s", dot + 1);
	if (link_find(socket_fd, master, &link) < 0)
		return error_set(err, ERR_INVALID, "failed to find master interface %s on the host", master);
	failed = link_create_vlan(socket_fd, bridge->parent, link.index, (uint16_t)tag);
	if (failed == -EOPNOTSUPP)
		return error_set(err, ERR_UNSUPPORTED, "this kernel has no 802.1q links (module 8021q)");
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "make link %s", bridge->parent);
	return 0;
}

int macvlan_find_parent(struct bridge *bridge, int socket_fd, struct error *err)
{
	struct link_info link;
	int failed;

	/* Without a parent the containers see each other and nobody else. */
	if (!bridge->parent[0])
		memcpy(bridge->parent, bridge->name, sizeof(bridge->parent));
	failed = link_find(socket_fd, bridge->parent, &link);
	if (failed == -ENODEV) {
		if (text_equal(bridge->parent, bridge->name)) {
			failed = link_create_dummy(socket_fd, bridge->parent);
			if (failed < 0)
				return error_set_errno(err, ERR_INTERNAL, failed, "make link %s", bridge->parent);
		} else if (make_vlan(bridge, socket_fd, err) < 0) {
			return -1;
		}
		bridge->made = bridge->fresh = true;
		failed = link_find(socket_fd, bridge->parent, &link);
	}
	if (failed == 0 && bridge->made)
		failed = link_change(socket_fd, link.index, &(struct link_change){ .up = 1 });
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "find link %s", bridge->parent);
	bridge->index = link.index;
	return 0;
}

static int make_ipvlan(const struct bridge *bridge, int socket_fd, int namespace_fd, const char *name)
{
	return link_create_ipvlan(socket_fd, &(struct link_ipvlan){ .name = name,
								    .parent = bridge->index,
								    .mode = bridge->ipvlan_mode,
								    .flags = bridge->ipvlan_flag,
								    .mtu = bridge->mtu_given ? bridge->mtu : 0,
								    .netns_fd = namespace_fd });
}

int macvlan_make_link(const struct endpoint_record *record, const struct bridge *bridge, const uint8_t *mac,
		      int socket_fd, int namespace_fd, const char *name, struct error *err)
{
	struct link_macvlan link = { .name = name,
				     .parent = bridge->index,
				     .mode = bridge->macvlan_mode,
				     .mac = mac,
				     .mtu = bridge->mtu_given ? bridge->mtu : 0,
				     .netns_fd = namespace_fd };
	bool ipvlan = bridge->driver == NETWORK_IPVLAN;
	int failed = ipvlan ? make_ipvlan(bridge, socket_fd, namespace_fd, name)
			    : link_create_macvlan(socket_fd, &link);

	if (failed == -EOPNOTSUPP)
		return error_set(err, ERR_UNSUPPORTED, "this kernel has no %s links (module %s)",
				 ipvlan ? "ipvlan" : "macvlan", ipvlan ? "ipvlan" : "macvlan");
	if (failed == -EBUSY)
		return error_set_errno(err, ERR_CONFLICT, failed, "%s has macvlan and ipvlan links at once",
				       bridge->parent);
	if (failed == -EINVAL && !ipvlan)
		return error_set_errno(err, ERR_CONFLICT, failed,
				       "make link %s of %s: mode passthru has %s for itself, and it has another "
				       "container",
				       name, record->id, bridge->parent);
	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "make link %s of %s on %s", name, record->id,
					    bridge->parent)
			  : 0;
}
