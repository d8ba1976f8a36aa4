/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/names.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"

struct named_address {
	struct net_address address;
	char *endpoint; /* owned */
};

struct name_entry {
	struct named_address *items;
	size_t count;
	size_t capacity;
	size_t turn; /* who is in front next */
};

struct endpoint_names {
	struct text_list names;
	struct text_list addresses;
};

static void free_entry(void *value)
{
	struct name_entry *entry = value;

	for (size_t i = 0; i < entry->count; i++)
		free(entry->items[i].endpoint);
	free(entry->items);
	free(entry);
}

static void free_endpoint(void *value)
{
	struct endpoint_names *endpoint = value;

	text_list_fini(&endpoint->names);
	text_list_fini(&endpoint->addresses);
	free(endpoint);
}

void names_init(struct names *names)
{
	map_init(&names->entries, free_entry);
	map_init(&names->endpoints, free_endpoint);
	map_init(&names->pointers, free);
}

void names_fini(struct names *names)
{
	map_fini(&names->entries);
	map_fini(&names->endpoints);
	map_fini(&names->pointers);
}

void names_clear(struct names *names)
{
	names_fini(names);
	names_init(names);
}

static char *key_of(const char *network, const char *name)
{
	char *key = xasprintf("%s/%s", network, name);

	for (char *c = key; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return key;
}

static void enter(struct names *names, const char *network, const char *name, const char *endpoint,
		  const struct net_address *address)
{
	AUTO_FREE char *key = key_of(network, name);
	struct name_entry *entry = map_get(&names->entries, key);

	if (!entry) {
		entry = xcalloc(1, sizeof(*entry));
		map_set(&names->entries, key, entry);
	}
	entry->items = xgrow(entry->items, &entry->capacity, entry->count + 1, sizeof(*entry->items));
	entry->items[entry->count++] = (struct named_address){ *address, xstrdup(endpoint) };
}

void names_add(struct names *names, const char *network, const char *endpoint, const struct text_list *list,
	       const struct text_list *addresses, const char *pointer)
{
	AUTO_FREE char *key = key_of(network, endpoint);
	struct endpoint_names *kept = xcalloc(1, sizeof(*kept));

	names_remove(names, network, endpoint);
	text_list_add_all(&kept->names, list);
	text_list_add_all(&kept->addresses, addresses);
	map_set(&names->endpoints, key, kept);
	for (size_t i = 0; i < addresses->count; i++) {
		struct net_address address;
		AUTO_FREE char *place = NULL;

		if (net_address_parse(&address, addresses->items[i]) < 0)
			continue;
		for (size_t j = 0; j < list->count; j++)
			enter(names, network, list->items[j], endpoint, &address);
		place = key_of(network, addresses->items[i]);
		if (!text_empty(pointer))
			map_set(&names->pointers, place, xstrdup(pointer));
	}
}

static void leave(struct names *names, const char *network, const char *name, const char *endpoint)
{
	AUTO_FREE char *key = key_of(network, name);
	struct name_entry *entry = map_get(&names->entries, key);

	for (size_t i = 0; entry && i < entry->count;) {
		if (!text_equal(entry->items[i].endpoint, endpoint)) {
			i++;
			continue;
		}
		free(entry->items[i].endpoint);
		entry->items[i] = entry->items[--entry->count];
	}
	if (entry && entry->count == 0)
		map_remove(&names->entries, key);
}

void names_remove(struct names *names, const char *network, const char *endpoint)
{
	AUTO_FREE char *key = key_of(network, endpoint);
	struct endpoint_names *kept = map_take(&names->endpoints, key);

	if (!kept)
		return;
	for (size_t i = 0; i < kept->names.count; i++)
		leave(names, network, kept->names.items[i], endpoint);
	for (size_t i = 0; i < kept->addresses.count; i++) {
		AUTO_FREE char *place = key_of(network, kept->addresses.items[i]);

		map_remove(&names->pointers, place);
	}
	free_endpoint(kept);
}

bool names_find(struct names *names, const char *network, const char *name, int family,
		struct net_address *out_addresses, size_t max, size_t *out_count)
{
	AUTO_FREE char *key = key_of(network, name);
	struct name_entry *entry = map_get(&names->entries, key);
	size_t count = 0;

	if (!entry)
		return false;
	for (size_t i = 0; i < entry->count && count < max; i++) {
		const struct named_address *item = &entry->items[(entry->turn + i) % entry->count];

		if (item->address.family == family)
			out_addresses[count++] = item->address;
	}
	entry->turn = (entry->turn + 1) % entry->count;
	*out_count = count;
	return true;
}

const char *names_pointer(const struct names *names, const char *network, const struct net_address *address)
{
	char text[NET_ADDRESS_TEXT_MAX];
	AUTO_FREE char *key = key_of(network, net_address_format(text, address));

	return map_get(&names->pointers, key);
}
