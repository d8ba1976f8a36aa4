/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net_device.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "sys/namespace.h"
#include "sys/netlink.h"

struct plan_net_device {
	const char *name;     /* borrowed: on the host */
	const char *new_name; /* borrowed: inside, may hold %d */
	struct link_info link;
	struct net_address *addresses; /* owned */
	size_t address_count;
};

static bool is_name(const char *name)
{
	size_t size = strlen(name);

	return size > 0 && size < IFNAMSIZ && !text_equal(name, ".") && !text_equal(name, "..") &&
	       strcspn(name, "/: \t\n") == size;
}

int net_device_check(const struct spec *spec, struct error *err)
{
	const struct spec_linux *l = &spec->linux_;

	if (!l->net_devices.count)
		return 0;
	if (!spec_find_namespace(spec, "network"))
		return error_set(err, ERR_INVALID,
				 "linux.netDevices: unable to move network devices without a NET namespace");
	for (size_t i = 0; i < l->net_devices.count; i++) {
		const struct spec_net_device *device = &l->net_devices.items[i];

		if (!is_name(device->key))
			return error_set(err, ERR_INVALID, "linux.netDevices: invalid network device name \"%s\"",
					 device->key);
		if (!text_empty(device->name) && !is_name(device->name))
			return error_set(err, ERR_INVALID,
					 "linux.netDevices.%s.name: invalid network device name \"%s\"", device->key,
					 device->name);
	}
	return 0;
}

/* What was set by hand and holds everywhere; the rest belongs to the network that is left. */
static bool is_kept(const struct link_address *address, int index)
{
	return address->index == index && address->scope == RT_SCOPE_UNIVERSE && address->flags & IFA_F_PERMANENT;
}

static void add_addresses(struct plan_net_device *device, const struct link_address *all, size_t count)
{
	device->addresses = xcalloc(count + 1, sizeof(*device->addresses));
	for (size_t i = 0; i < count; i++)
		if (is_kept(&all[i], device->link.index))
			device->addresses[device->address_count++] = all[i].address;
}

int net_device_plan(struct plan *plan, struct error *err)
{
	const struct spec_linux *l = &plan->spec->linux_;
	AUTO_FREE struct link_address *addresses = NULL;
	AUTO_CLOSE int fd = -1;
	size_t count = 0;
	int r;

	if (!l->net_devices.count)
		return 0;
	if (geteuid() != 0)
		return error_set(err, ERR_FORBIDDEN, "linux.netDevices: moving network devices needs root");
	fd = netlink_open();
	r = fd < 0 ? fd : address_dump(fd, &addresses, &count);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "linux.netDevices: list addresses");
	plan->net_devices = xcalloc(l->net_devices.count, sizeof(*plan->net_devices));
	for (size_t i = 0; i < l->net_devices.count; i++) {
		const struct spec_net_device *wanted = &l->net_devices.items[i];
		struct plan_net_device *device = &plan->net_devices[i];

		*device = (struct plan_net_device){ .name = wanted->key,
						    .new_name = text_empty(wanted->name) ? wanted->key : wanted->name };
		r = link_find(fd, device->name, &device->link);
		if (r < 0)
			return error_set_errno(err, ERR_INVALID, r,
					       "linux.netDevices: link not found for interface %s on runtime namespace",
					       device->name);
		plan->net_device_count++;
		add_addresses(device, addresses, count);
	}
	return 0;
}

static int open_namespace(const struct plan *plan, pid_t pid)
{
	for (size_t i = 0; i < plan->join_count; i++)
		if (plan->joins[i].flag & CLONE_NEWNET)
			return dup(plan->joins[i].fd);
	return namespace_open(pid, namespace_kind_of_flag(CLONE_NEWNET));
}

int net_device_move(const struct plan *plan, pid_t pid, struct error *err)
{
	AUTO_CLOSE int fd = -1;
	AUTO_CLOSE int netns = -1;

	if (!plan->net_device_count)
		return 0;
	fd = netlink_open();
	netns = open_namespace(plan, pid);
	if (fd < 0 || netns < 0)
		return error_set_errno(err, ERR_INTERNAL, fd < 0 ? fd : netns, "linux.netDevices: open the namespace");
	for (size_t i = 0; i < plan->net_device_count; i++) {
		const struct plan_net_device *device = &plan->net_devices[i];
		const struct link_change change = { .name = device->new_name, .up = -1, .netns_fd = netns };
		int r = link_change(fd, device->link.index, &change);

		if (r < 0)
			return error_set_errno(err, ERR_INVALID, r, "linux.netDevices: move %s to the container as %s",
					       device->name, device->new_name);
	}
	return 0;
}

/* The index stays the same unless it is taken there; a template ("eth%d") leaves the name to the kernel. */
static int find_inside(int fd, const struct plan_net_device *device, struct link_info *out_link)
{
	AUTO_FREE struct link_info *links = NULL;
	size_t prefix = strcspn(device->new_name, "%");
	size_t count = 0;
	int r;

	if (!device->new_name[prefix])
		return link_find(fd, device->new_name, out_link);
	r = link_dump(fd, &links, &count);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (strncmp(links[i].name, device->new_name, prefix) != 0 ||
		    memcmp(links[i].mac, device->link.mac, sizeof(links[i].mac)) != 0)
			continue;
		*out_link = links[i];
		return 0;
	}
	return r < 0 ? r : -ENODEV;
}

static int finish_one(int fd, const struct plan_net_device *device, struct error *err)
{
	const struct link_change up = { .up = 1 };
	struct link_info link;
	int r = find_inside(fd, device, &link);

	for (size_t i = 0; r == 0 && i < device->address_count; i++)
		r = address_add(fd, link.index, &device->addresses[i]);
	if (r == 0)
		r = link_change(fd, link.index, &up);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "linux.netDevices: set up %s in the container",
				       device->new_name);
	return 0;
}

int net_device_finish(const struct plan *plan, struct error *err)
{
	AUTO_CLOSE int fd = -1;

	if (!plan->net_device_count)
		return 0;
	fd = netlink_open();
	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, fd, "linux.netDevices: open netlink");
	for (size_t i = 0; i < plan->net_device_count; i++)
		if (finish_one(fd, &plan->net_devices[i], err) < 0)
			return -1;
	return 0;
}

void net_device_fini(struct plan *plan)
{
	for (size_t i = 0; i < plan->net_device_count; i++)
		free(plan->net_devices[i].addresses);
	free(plan->net_devices);
	plan->net_devices = NULL;
	plan->net_device_count = 0;
}
