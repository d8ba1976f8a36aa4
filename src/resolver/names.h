/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.h - who is called what on which network. An endpoint (a container's
 * place on a network) has names and addresses; several may share a name, and
 * then take turns in front.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/map.h"
#include "base/text.h"
#include "sys/netlink.h"

struct names {
	struct map entries;   /* "<network>/<name>" -> struct name_entry */
	struct map endpoints; /* "<network>/<endpoint>" -> struct endpoint_names */
	struct map pointers;  /* "<network>/<address>" -> char * */
};

void names_init(struct names *names);
void names_fini(struct names *names);
/* Replaces what the endpoint had. Names are taken in lower case; `pointer` is what its addresses are called. */
void names_add(struct names *names, const char *network, const char *endpoint, const struct text_list *list,
	       const struct text_list *addresses, const char *pointer);
void names_remove(struct names *names, const char *network, const char *endpoint);
/* Everything of a network. */
void names_clear(struct names *names);

/*
 * true if somebody on the network has the name; *out_count of at most `max`
 * addresses of the family follow (none: it has only the other kind).
 */
bool names_find(struct names *names, const char *network, const char *name, int family,
		struct net_address *out_addresses, size_t max, size_t *out_count);
/* Borrowed, or NULL. */
const char *names_pointer(const struct names *names, const char *network, const struct net_address *address);
