/* SPDX-License-Identifier: Apache-2.0 */
#include <net/if.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cni/plugin.h"
#include "sys/netlink.h"

#define LINK "lo"

/* A socket in there. */
static int find(struct link_info *out_link, const struct plugin_call *call, struct error *err)
{
	AUTO_CLOSE int fd = netlink_open_inside(call->netns);
	int failed = fd < 0 ? fd : link_find(fd, LINK, out_link);

	if (failed < 0)
		return error_set_errno(err, ERR_INVALID, failed, "find %s in network namespace %s", LINK, call->netns);
	return take_fd(&fd);
}

static int set_up(const struct plugin_call *call, int up, struct error *err)
{
	struct link_info link;
	AUTO_CLOSE int fd = find(&link, call, err);
	int failed;

	if (fd < 0)
		return -1;
	failed = link_change(fd, link.index, &(struct link_change){ .up = up });
	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "set %s", LINK) : 0;
}

static void add_address(struct cni_result *result, const char *address)
{
	struct cni_ip *ip = json_array_add(&result->ips, sizeof(*ip));

	ip->address = xstrdup(address);
	ip->interface = (struct optional_i64){ true, 0 };
}

/* The kernel gives it its addresses. */
static int add(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
	       struct error *err)
{
	struct cni_interface *interface;

	if (set_up(call, 1, err) < 0)
		return -1;
	if (config->previous) {
		json_copy_fields(out_result, config->previous, cni_result_fields);
		return 0;
	}
	interface = json_array_add(&out_result->interfaces, sizeof(*interface));
	interface->name = xstrdup(LINK);
	interface->mac = xstrdup("00:00:00:00:00:00");
	interface->sandbox = xstrdup(call->netns);
	add_address(out_result, "127.0.0.1/8");
	add_address(out_result, "::1/128");
	return 0;
}

/* A namespace that is gone has nothing to be taken down. */
static int delete (const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		   struct error *err)
{
	(void)config;
	(void)out_result;
	return *call->netns && access(call->netns, F_OK) == 0 ? set_up(call, -1, err) : 0;
}

static int check(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		 struct error *err)
{
	struct link_info link;
	AUTO_CLOSE int fd = find(&link, call, err);

	(void)config;
	(void)out_result;
	if (fd < 0)
		return -1;
	return link.flags & IFF_UP ? 0 : error_set(err, ERR_NOT_FOUND, "%s is down in %s", LINK, call->netns);
}

const struct plugin plugin_loopback = { "loopback", add, delete, check, plugin_always_ready, plugin_always_ready };
