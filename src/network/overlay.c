/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: each overlay is an entry in network->overlays with the peers as they were asked for and those that its
 * link knows. Addresses are told at once; the thread resolves the names, with no lock held, now and every few seconds.
 */
#include "network/overlay.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/list.h"

#define PORT 4789
#define NUMBER_LAST 0xffffff
#define PEERS_MAX 1024
#define RENEW_MS 5000
#define HEADERS 50 /* of vxlan over IPv4: Ethernet, IP, UDP, vxlan */
#define MTU (1500 - HEADERS)

struct peers {
	struct net_address *items;
	size_t count;
	size_t capacity;
};

struct overlay {
	char *wanted;	    /* the list as it was asked for */
	struct peers known; /* by the link */
	struct net_address local;
	int index;
	bool has_names;
};

struct overlays {
	struct mutex mutex;
	struct map items; /* bridge -> struct overlay */
	pthread_t thread;
	bool running;
	atomic_bool ending;
	int wake_fd;
};

void overlay_link_name(char out_name[16], const char *bridge)
{
	size_t size = strlen(bridge);

	snprintf(out_name, 16, "kx%s", bridge + (size > 13 ? size - 13 : 0));
}

/* ---- peers ---- */

static bool same(const struct net_address *a, const struct net_address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool has_peer(const struct peers *peers, const struct net_address *address)
{
	for (size_t i = 0; i < peers->count; i++)
		if (same(&peers->items[i], address))
			return true;
	return false;
}

static void add_peer(struct peers *peers, const struct net_address *address)
{
	if (peers->count >= PEERS_MAX || has_peer(peers, address))
		return;
	peers->items = xgrow(peers->items, &peers->capacity, peers->count + 1, sizeof(*peers->items));
	peers->items[peers->count++] = *address;
}

static void peers_fini(struct peers *peers)
{
	free(peers->items);
	*peers = (struct peers){ 0 };
}

/* false: nobody knows the name now. */
static bool resolve(struct peers *peers, const char *name)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM };
	struct addrinfo *found = NULL;

	if (getaddrinfo(name, NULL, &hints, &found) != 0)
		return false;
	for (const struct addrinfo *item = found; item; item = item->ai_next) {
		struct net_address address = { .family = item->ai_family, .prefix = 32 };

		if (item->ai_family == AF_INET) {
			memcpy(address.bytes, &((const struct sockaddr_in *)(const void *)item->ai_addr)->sin_addr, 4);
		} else {
			address.prefix = 128;
			memcpy(address.bytes, &((const struct sockaddr_in6 *)(const void *)item->ai_addr)->sin6_addr,
			       16);
		}
		add_peer(peers, &address);
	}
	freeaddrinfo(found);
	return true;
}

/* All hosts may be told the same list: who is on it himself leaves himself out. */
static void drop_own(struct peers *peers, int socket_fd)
{
	AUTO_FREE struct link_address *own = NULL;
	size_t count = 0, kept = 0;

	if (address_dump(socket_fd, &own, &count) < 0)
		return;
	for (size_t i = 0; i < peers->count; i++) {
		bool ours = false;

		for (size_t j = 0; j < count; j++)
			ours |= same(&peers->items[i], &own[j].address);
		if (!ours)
			peers->items[kept++] = peers->items[i];
	}
	peers->count = kept;
}

/* A link speaks one family. Where a name is not known now, who is known stays. */
static bool collect(struct peers *peers, const char *wanted, int family, bool with_names, int socket_fd)
{
	AUTO(text_list_fini) struct text_list words = { 0 };
	bool complete = true;
	size_t kept = 0;

	text_list_split(&words, wanted, ',');
	for (size_t i = 0; i < words.count; i++) {
		const char *word = text_trim(words.items[i]);
		struct net_address address;

		if (net_address_parse(&address, word) == 0)
			add_peer(peers, &address);
		else
			complete = with_names && resolve(peers, word) && complete;
	}
	drop_own(peers, socket_fd);
	for (size_t i = 0; i < peers->count; i++)
		if (!family || peers->items[i].family == family)
			peers->items[kept++] = peers->items[i];
	peers->count = kept;
	return complete;
}

/* Tells the link; takes `now`. */
static void apply(struct overlay *overlay, struct peers *now, bool complete, int socket_fd)
{
	for (size_t i = 0; i < now->count; i++)
		if (!has_peer(&overlay->known, &now->items[i]))
			vxlan_add_peer(socket_fd, overlay->index, &now->items[i]);
	for (size_t i = 0; i < overlay->known.count; i++) {
		if (has_peer(now, &overlay->known.items[i]))
			continue;
		if (complete)
			vxlan_delete_peer(socket_fd, overlay->index, &overlay->known.items[i]);
		else
			add_peer(now, &overlay->known.items[i]);
	}
	peers_fini(&overlay->known);
	overlay->known = *now;
}

/* ---- the thread ---- */

static void free_overlay(void *value)
{
	struct overlay *overlay = value;

	free(overlay->wanted);
	peers_fini(&overlay->known);
	free(overlay);
}

static char *copy_wanted(struct overlays *overlays, const char *bridge, int *out_family)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&overlays->mutex);
	const struct overlay *overlay = map_get(&overlays->items, bridge);

	if (!overlay || !overlay->has_names)
		return NULL;
	*out_family = overlay->local.family;
	return xstrdup(overlay->wanted);
}

static void renew_one(struct overlays *overlays, const char *bridge, int socket_fd)
{
	struct peers now = { 0 };
	int family = 0;
	AUTO_FREE char *wanted = copy_wanted(overlays, bridge, &family);
	struct overlay *overlay;
	bool complete;

	if (!wanted)
		return;
	complete = collect(&now, wanted, family, true, socket_fd);
	mutex_lock(&overlays->mutex);
	overlay = map_get(&overlays->items, bridge);
	if (overlay && text_equal(overlay->wanted, wanted))
		apply(overlay, &now, complete, socket_fd);
	else
		peers_fini(&now);
	mutex_unlock(&overlays->mutex);
}

static void renew(struct overlays *overlays)
{
	AUTO(text_list_fini) struct text_list bridges = { 0 };
	AUTO_CLOSE int socket_fd = netlink_open();
	const char *bridge;
	size_t at = 0;

	mutex_lock(&overlays->mutex);
	while (map_next(&overlays->items, &at, &bridge))
		text_list_add(&bridges, bridge);
	mutex_unlock(&overlays->mutex);
	for (size_t i = 0; socket_fd >= 0 && i < bridges.count; i++)
		renew_one(overlays, bridges.items[i], socket_fd);
}

static void *keep_peers(void *arg)
{
	struct overlays *overlays = arg;
	struct pollfd wake = { .fd = overlays->wake_fd, .events = POLLIN };
	uint64_t count;

	while (!atomic_load(&overlays->ending)) {
		renew(overlays);
		if (poll(&wake, 1, RENEW_MS) > 0 && read(overlays->wake_fd, &count, sizeof(count)) < 0)
			break;
	}
	return NULL;
}

static void wake(struct overlays *overlays)
{
	const uint64_t one = 1;

	while (write(overlays->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static int start(struct network *network, struct error *err)
{
	struct overlays *overlays = xcalloc(1, sizeof(*overlays));

	mutex_init(&overlays->mutex);
	map_init(&overlays->items, free_overlay);
	overlays->wake_fd = eventfd(0, EFD_CLOEXEC);
	atomic_init(&overlays->ending, false);
	network->overlays = overlays;
	if (overlays->wake_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make an eventfd");
	if (thread_start(&overlays->thread, "overlay-peers", keep_peers, overlays, err) < 0)
		return -1;
	overlays->running = true;
	return 0;
}

void overlays_free(struct overlays *overlays)
{
	if (!overlays)
		return;
	if (overlays->running) {
		atomic_store(&overlays->ending, true);
		wake(overlays);
		pthread_join(overlays->thread, NULL);
	}
	if (overlays->wake_fd >= 0)
		close(overlays->wake_fd);
	map_fini(&overlays->items);
	mutex_fini(&overlays->mutex);
	free(overlays);
}

/* ---- overlays ---- */

int overlay_fill(struct bridge *bridge, const struct network_overlay *asked, struct error *err)
{
	AUTO(text_list_fini) struct text_list words = { 0 };
	struct net_address local;

	if (asked->number > NUMBER_LAST)
		return error_set(err, ERR_INVALID, "vxlan number %u is not 1 to %u", asked->number, NUMBER_LAST);
	if (asked->local && (net_address_parse(&local, asked->local) < 0 || strchr(asked->local, '/')))
		return error_set(err, ERR_INVALID, "local \"%s\" is no address", asked->local);
	text_list_split(&words, text_or_empty(asked->peers), ',');
	if (words.count == 0 || words.count > PEERS_MAX)
		return error_set(err, ERR_INVALID, "an overlay needs 1 to %d peers: addresses or names of the hosts",
				 PEERS_MAX);
	for (size_t i = 0; i < words.count; i++)
		if (strlen(words.items[i]) > 253 || strpbrk(words.items[i], "/ \t\n"))
			return error_set(err, ERR_INVALID, "peer \"%.260s\" is no address and no name", words.items[i]);
	bridge->overlay = asked->number;
	if (!bridge->mtu_given)
		bridge->mtu = MTU;
	return 0;
}

/* The link as it should be: one that is there may be of another number. */
static int make_link(const struct bridge *bridge, const struct network_overlay *asked, const struct net_address *local,
		     int socket_fd, int *out_index, struct error *err)
{
	uint16_t port = asked->port ? asked->port : PORT;
	char name[16];
	struct link_info link;
	int failed;

	overlay_link_name(name, bridge->name);
	overlay_remove_link(bridge->name, socket_fd);
	failed = link_create_vxlan(socket_fd, name, asked->number, port, bridge->mtu, local);
	if (failed == -EOPNOTSUPP)
		return error_set(err, ERR_UNSUPPORTED, "this kernel has no vxlan links (module vxlan)");
	if (failed == -EEXIST)
		return error_set(err, ERR_CONFLICT, "vxlan number %u is another link's on port %u", asked->number,
				 port);
	if (failed == 0)
		failed = link_find(socket_fd, name, &link);
	if (failed == 0)
		failed = link_change(socket_fd, link.index, &(struct link_change){ .master = bridge->index, .up = 1 });
	if (failed == 0)
		failed = link_set_bridge_port(socket_fd, link.index, false, bridge->no_inter_container);
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "make link %s", name);
	*out_index = link.index;
	return 0;
}

static bool has_names(const char *list)
{
	AUTO(text_list_fini) struct text_list words = { 0 };
	struct net_address address;

	text_list_split(&words, list, ',');
	for (size_t i = 0; i < words.count; i++)
		if (net_address_parse(&address, text_trim(words.items[i])) < 0)
			return true;
	return false;
}

int overlay_raise(struct network *network, const struct bridge *bridge, const struct network_overlay *asked,
		  int socket_fd, struct error *err)
{
	struct net_address local = { 0 };
	struct peers peers = { 0 };
	struct overlay *overlay;
	bool complete;
	int index;

	if (!bridge->overlay)
		return 0;
	if (asked->local)
		net_address_parse(&local, asked->local);
	/* Networks are made one at a time: nobody else starts it. */
	if (make_link(bridge, asked, &local, socket_fd, &index, err) < 0 ||
	    (!network->overlays && start(network, err) < 0))
		return -1;
	overlay = xcalloc(1, sizeof(*overlay));
	overlay->wanted = xstrdup(asked->peers);
	overlay->has_names = has_names(asked->peers);
	overlay->local = local;
	overlay->index = index;
	/* Names are the thread's: an engine that starts waits for nobody's name server. */
	complete = collect(&peers, asked->peers, local.family, false, socket_fd);
	apply(overlay, &peers, complete, socket_fd);
	mutex_lock(&network->overlays->mutex);
	map_set(&network->overlays->items, bridge->name, overlay);
	mutex_unlock(&network->overlays->mutex);
	wake(network->overlays);
	return 0;
}

void overlay_forget(struct network *network, const char *bridge)
{
	if (!network->overlays)
		return;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->overlays->mutex);

	map_remove(&network->overlays->items, bridge);
}

void overlay_remove_link(const char *bridge, int socket_fd)
{
	struct link_info link;
	char name[16];

	overlay_link_name(name, bridge);
	if (link_find(socket_fd, name, &link) == 0 && text_equal(link.kind, "vxlan"))
		link_delete(socket_fd, link.index);
}
