/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: an address that is given is a file of its name that tells who has it, in the form and the place that
 * the CNI project's own host-local uses: the two may share a folder. The folder's file `lock` is held meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "cni/plugin.h"
#include "network/files.h"
#include "network/pool.h"
#include "sys/netlink.h"

#define FOLDER "/var/lib/cni/networks"
#define OWNER_MAX 1024
#define TRIES_MAX (1 << 20)

struct lease_folder {
	int fd;
	int lock_fd;
};

static void folder_close(const struct lease_folder *folder)
{
	if (folder->lock_fd >= 0)
		close(folder->lock_fd);
	if (folder->fd >= 0)
		close(folder->fd);
}

static int folder_open(struct lease_folder *folder, const struct plugin_config *config, struct error *err)
{
	const char *base = text_empty(config->ipam.folder) ? FOLDER : config->ipam.folder;
	AUTO_FREE char *path = path_join(base, config->name);
	int failed = mkdir_all(AT_FDCWD, path, 0755);

	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "make %s", path);
	folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	folder->lock_fd = folder->fd < 0 ? -1 : openat(folder->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (folder->lock_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open %s", path);
	while (flock(folder->lock_fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "lock %s", path);
	return 0;
}

static char *owner_text(const char *container, const char *interface)
{
	return xasprintf("%s\r\n%s", container, interface);
}

/* ---- walking what is given out ---- */

/* fn gets the file's name and "container\r\nifname"; non-zero ends the walk. */
static int walk(const struct lease_folder *folder, int (*fn)(int fd, const char *name, const char *owner, void *arg),
		void *arg)
{
	AUTO_CLOSEDIR DIR *dir = dir_open(folder->fd, ".");
	const struct dirent *entry;
	int r = 0;

	while (dir && r == 0 && (entry = readdir(dir))) {
		AUTO_FREE char *owner = NULL;
		struct net_address address;

		if (net_address_parse(&address, entry->d_name) == 0 &&
		    file_read(&owner, NULL, folder->fd, entry->d_name, OWNER_MAX) == 0)
			r = fn(folder->fd, entry->d_name, text_trim(owner), arg);
	}
	return r;
}

static int is_owner(int fd, const char *name, const char *owner, void *arg)
{
	(void)fd;
	(void)name;
	return text_equal(owner, arg);
}

static int remove_own(int fd, const char *name, const char *owner, void *arg)
{
	if (text_equal(owner, arg))
		unlinkat(fd, name, 0);
	return 0;
}

static int remove_invalid(int fd, const char *name, const char *owner, void *arg)
{
	const char *end = strstr(owner, "\r\n");
	AUTO_FREE char *container = end ? xstrndup(owner, (size_t)(end - owner)) : xstrdup(owner);

	if (!attachment_is_valid(arg, container, end ? end + 2 : ""))
		unlinkat(fd, name, 0);
	return 0;
}

/* ---- ranges ---- */

struct range {
	struct net_address subnet, first, last, gateway;
};

static void step(struct net_address *address)
{
	for (int i = (address->family == AF_INET ? 4 : 16) - 1; i >= 0; i--)
		if (++address->bytes[i])
			return;
}

static int compare(const struct net_address *a, const struct net_address *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int parse_one(struct net_address *out_address, const struct range *range, const char *text, const char *what,
		     struct error *err)
{
	if (net_address_parse(out_address, text) < 0 || strchr(text, '/') ||
	    out_address->family != range->subnet.family || !pool_contains(&range->subnet, out_address))
		return error_set(err, ERR_INVALID, "%s \"%s\" is no address of the subnet", what, text);
	return 0;
}

/* The last that may be given: not IPv4's broadcast address. */
static struct net_address last_usable(const struct net_address *subnet)
{
	uint64_t size = pool_size(subnet);

	return pool_address(subnet, size < 4 || subnet->family == AF_INET6 ? size - 1 : size - 2);
}

static int parse_range(struct range *out_range, const struct ipam_range *config, struct error *err)
{
	struct range range = { 0 };

	if (net_address_parse(&range.subnet, text_or_empty(config->subnet)) < 0 || !strchr(config->subnet, '/'))
		return error_set(err, ERR_INVALID, "\"%s\" is no subnet", text_or_empty(config->subnet));
	if (range.subnet.prefix > (range.subnet.family == AF_INET ? 30 : 126))
		return error_set(err, ERR_INVALID, "subnet %s is too small to give out addresses", config->subnet);
	range.subnet = pool_network(&range.subnet);
	range.gateway = range.first = pool_address(&range.subnet, 1);
	range.last = last_usable(&range.subnet);
	if ((!text_empty(config->gateway) && parse_one(&range.gateway, &range, config->gateway, "gateway", err) < 0) ||
	    (!text_empty(config->first) && parse_one(&range.first, &range, config->first, "rangeStart", err) < 0) ||
	    (!text_empty(config->last) && parse_one(&range.last, &range, config->last, "rangeEnd", err) < 0))
		return -1;
	if (compare(&range.first, &range.last) > 0)
		return error_set(err, ERR_INVALID, "rangeStart is behind rangeEnd in %s", config->subnet);
	*out_range = range;
	return 0;
}

static bool in_range(const struct range *range, const struct net_address *address)
{
	return address->family == range->subnet.family && compare(address, &range->first) >= 0 &&
	       compare(address, &range->last) <= 0;
}

/* ---- giving ---- */

/* 1 given, 0 somebody has it. */
static int give(const struct lease_folder *folder, const struct net_address *address, const char *owner,
		struct error *err)
{
	char name[NET_ADDRESS_TEXT_MAX];
	AUTO_CLOSE int fd = openat(folder->fd, net_address_format(name, address),
				   O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int failed;

	if (fd < 0 && errno == EEXIST)
		return 0;
	failed = fd < 0 ? -errno : write_full(fd, owner, strlen(owner));
	if (failed == 0)
		return 1;
	if (fd >= 0)
		unlinkat(folder->fd, name, 0);
	return error_set_errno(err, ERR_INTERNAL, failed, "write down address %s", name);
}

static int give_wanted(const struct lease_folder *folder, const struct net_address *wanted, const struct range *range,
		       const char *owner, struct error *err)
{
	char name[NET_ADDRESS_TEXT_MAX];
	int given;

	net_address_format(name, wanted);
	if (compare(wanted, &range->gateway) == 0)
		return error_set(err, ERR_CONFLICT, "requested address %s is the gateway's", name);
	given = give(folder, wanted, owner, err);
	return given != 0 ? given : error_set(err, ERR_CONFLICT, "requested address %s is taken", name);
}

/* From behind the one given last, once round. */
static int give_next(const struct lease_folder *folder, const struct range *range, const struct net_address *last,
		     const char *owner, struct net_address *out_address, struct error *err)
{
	struct net_address at = in_range(range, last) ? *last : range->last;
	struct net_address end = at;

	for (int i = 0; i < TRIES_MAX; i++) {
		int given;

		if (compare(&at, &range->last) >= 0)
			at = range->first;
		else
			step(&at);
		given = compare(&at, &range->gateway) == 0 ? 0 : give(folder, &at, owner, err);
		if (given < 0)
			return -1;
		if (given == 1) {
			*out_address = at;
			return 1;
		}
		if (compare(&at, &end) == 0)
			break;
	}
	return 0;
}

static struct net_address read_last(const struct lease_folder *folder, const char *file)
{
	struct net_address last = { 0 };
	AUTO_FREE char *text = NULL;

	if (file_read(&text, NULL, folder->fd, file, NET_ADDRESS_TEXT_MAX) == 0 &&
	    net_address_parse(&last, text_trim(text)) < 0)
		last = (struct net_address){ 0 };
	return last;
}

static void add_ip(struct cni_result *result, struct net_address address, const struct range *range)
{
	struct cni_ip *ip = json_array_add(&result->ips, sizeof(*ip));
	char text[NET_ADDRESS_TEXT_MAX];

	address.prefix = range->subnet.prefix;
	ip->address = xstrdup(net_address_format_prefix(text, &address));
	ip->gateway = xstrdup(net_address_format(text, &range->gateway));
}

/* The requested address that lies in this range, taken off the list. */
static bool take_wanted(struct text_list *wanted, const struct range *range, struct net_address *out_address)
{
	for (size_t i = 0; i < wanted->count; i++) {
		if (net_address_parse(out_address, wanted->items[i]) < 0 || !in_range(range, out_address))
			continue;
		text_list_remove(wanted, i);
		return true;
	}
	return false;
}

static int give_from_ranges(const struct lease_folder *folder, const struct range *ranges, size_t count,
			    const struct net_address *last, struct text_list *wanted, const char *owner,
			    struct cni_result *result, struct net_address *out_address, struct error *err)
{
	int given = 0;

	for (size_t i = 0; given == 0 && i < count; i++) {
		if (!take_wanted(wanted, &ranges[i], out_address))
			continue;
		given = give_wanted(folder, out_address, &ranges[i], owner, err);
		if (given == 1)
			add_ip(result, *out_address, &ranges[i]);
	}
	for (size_t i = 0; given == 0 && i < count; i++) {
		given = give_next(folder, &ranges[i], last, owner, out_address, err);
		if (given == 1)
			add_ip(result, *out_address, &ranges[i]);
	}
	return given;
}

static int give_from_set(const struct lease_folder *folder, const struct ipam_range *configs, size_t count,
			 size_t number, struct text_list *wanted, const char *owner, struct cni_result *result,
			 struct error *err)
{
	AUTO_FREE struct range *ranges = xcalloc(count + 1, sizeof(*ranges));
	AUTO_FREE char *file = xasprintf("last_reserved_ip.%zu", number);
	struct net_address last = read_last(folder, file), address = { 0 };
	char text[NET_ADDRESS_TEXT_MAX];
	int given;

	for (size_t i = 0; i < count; i++)
		if (parse_range(&ranges[i], &configs[i], err) < 0)
			return -1;
	given = give_from_ranges(folder, ranges, count, &last, wanted, owner, result, &address, err);
	if (given < 0)
		return -1;
	if (given == 0)
		return error_set(err, ERR_EXHAUSTED, "no address is free in range set %zu", number);
	net_address_format(text, &address);
	file_write_atomic(folder->fd, file, text, strlen(text), 0600, FILE_NO_SYNC);
	return 0;
}

static void collect_wanted(struct text_list *wanted, const struct plugin_call *call, const struct plugin_config *config)
{
	AUTO_FREE char *argument = call_argument(call, "IP");

	if (!text_empty(argument))
		text_list_add(wanted, argument);
	for (size_t i = 0; i < config->runtime.ips.count; i++)
		text_list_add_take(wanted,
				   xstrndup(config->runtime.ips.items[i], strcspn(config->runtime.ips.items[i], "/")));
}

static int give_all(const struct lease_folder *folder, const struct plugin_call *call,
		    const struct plugin_config *config, const char *owner, struct cni_result *result, struct error *err)
{
	const struct ipam_config *ipam = &config->ipam;
	AUTO(text_list_fini) struct text_list wanted = { 0 };
	size_t number = 0;

	collect_wanted(&wanted, call, config);
	if (!text_empty(ipam->range.subnet) &&
	    give_from_set(folder, &ipam->range, 1, number++, &wanted, owner, result, err) < 0)
		return -1;
	for (size_t i = 0; i < config->runtime.sets.count; i++)
		if (give_from_set(folder, config->runtime.sets.items[i].ranges.items,
				  config->runtime.sets.items[i].ranges.count, number++, &wanted, owner, result,
				  err) < 0)
			return -1;
	for (size_t i = 0; i < ipam->sets.count; i++)
		if (give_from_set(folder, ipam->sets.items[i].ranges.items, ipam->sets.items[i].ranges.count, number++,
				  &wanted, owner, result, err) < 0)
			return -1;
	if (number == 0)
		return error_set(err, ERR_INVALID, "ipam: no ranges are given");
	if (wanted.count)
		return error_set(err, ERR_INVALID, "requested address %s is in none of the ranges", wanted.items[0]);
	return 0;
}

static int add(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
	       struct error *err)
{
	AUTO(folder_close) struct lease_folder folder = { -1, -1 };
	AUTO_FREE char *owner = owner_text(call->container, call->interface);

	if (folder_open(&folder, config, err) < 0)
		return -1;
	if (walk(&folder, is_owner, owner))
		return error_set(err, ERR_CONFLICT, "%s of container %s has an address already", call->interface,
				 call->container);
	if (give_all(&folder, call, config, owner, out_result, err) < 0) {
		walk(&folder, remove_own, owner);
		return -1;
	}
	for (size_t i = 0; i < config->ipam.routes.count; i++)
		json_copy_fields(json_array_add(&out_result->routes, sizeof(struct cni_route)),
				 &config->ipam.routes.items[i], cni_route_fields);
	if (!text_empty(config->ipam.resolv_conf))
		network_nameservers(&out_result->dns.servers, config->ipam.resolv_conf);
	return 0;
}

static int delete (const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		   struct error *err)
{
	AUTO(folder_close) struct lease_folder folder = { -1, -1 };
	AUTO_FREE char *owner = owner_text(call->container, call->interface);

	(void)out_result;
	if (folder_open(&folder, config, err) < 0)
		return -1;
	walk(&folder, remove_own, owner);
	return 0;
}

static int check(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		 struct error *err)
{
	AUTO(folder_close) struct lease_folder folder = { -1, -1 };
	AUTO_FREE char *owner = owner_text(call->container, call->interface);

	(void)out_result;
	if (folder_open(&folder, config, err) < 0)
		return -1;
	if (!walk(&folder, is_owner, owner))
		return error_set(err, ERR_NOT_FOUND, "%s of container %s has no address here", call->interface,
				 call->container);
	return 0;
}

static int collect(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		   struct error *err)
{
	AUTO(folder_close) struct lease_folder folder = { -1, -1 };

	(void)call;
	(void)out_result;
	if (folder_open(&folder, config, err) < 0)
		return -1;
	walk(&folder, remove_invalid, (void *)(uintptr_t)config);
	return 0;
}

static int status(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		  struct error *err)
{
	AUTO(folder_close) struct lease_folder folder = { -1, -1 };

	(void)call;
	(void)out_result;
	return folder_open(&folder, config, err);
}

const struct plugin plugin_host_local = { "host-local", add, delete, check, collect, status };
