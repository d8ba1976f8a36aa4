/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: a name that somebody on one of the asker's networks has is
 * answered from the tables, whatever the type: with addresses, or with nothing
 * of that type, never with "no such name". Everything else is others' to
 * answer: only they know what does not exist.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "resolver/resolver.h"

#define ADDRESSES_MAX 128
#define CLASS_IN 1
#define UDP_LARGEST 4096

static size_t limit_of(const struct asker *asker, const struct dns_query *query)
{
	if (asker->client)
		return DNS_MESSAGE_MAX;
	return query->edns_size < UDP_LARGEST ? query->edns_size : UDP_LARGEST;
}

void answer_failure(const struct asker *asker, const uint8_t *data, const struct dns_query *query, enum dns_code code)
{
	uint8_t out[DNS_UDP_PLAIN];
	struct dns_reply reply;

	dns_reply_start(&reply, out, sizeof(out), data, query);
	server_reply(asker, out, dns_reply_finish(&reply, query, code));
}

/* Who has the name, on the first of the asker's networks where somebody has. */
static bool find_name(const struct scope *scope, const char *name, int family, struct net_address *out,
		      size_t *out_count)
{
	const char *link = text_map_get(&scope->links, name);

	for (size_t i = 0; i < scope->networks.count; i++)
		if (names_find(&scope->resolver->names, scope->networks.items[i], link ? link : name, family, out,
			       ADDRESSES_MAX, out_count))
			return true;
	return false;
}

static bool answer_name(const struct asker *asker, const uint8_t *data, const struct dns_query *query)
{
	struct net_address addresses[ADDRESSES_MAX];
	size_t count = 0, limit = limit_of(asker, query);
	AUTO_FREE uint8_t *out = NULL;
	struct dns_reply reply;

	if (!find_name(asker->scope, query->name, query->type == DNS_AAAA ? AF_INET6 : AF_INET, addresses, &count))
		return false;
	out = xmalloc(limit);
	dns_reply_start(&reply, out, limit, data, query);
	for (size_t i = 0; i < count && (query->type == DNS_A || query->type == DNS_AAAA || query->type == DNS_ANY);
	     i++)
		dns_reply_address(&reply, &addresses[i], OWN_LIFETIME_S);
	server_reply(asker, out, dns_reply_finish(&reply, query, DNS_OK));
	return true;
}

static bool answer_pointer(const struct asker *asker, const uint8_t *data, const struct dns_query *query)
{
	uint8_t out[DNS_UDP_PLAIN];
	struct net_address address;
	struct dns_reply reply;
	const char *name = NULL;

	if (!dns_pointer_address(&address, query->name))
		return false;
	for (size_t i = 0; i < asker->scope->networks.count && !name; i++)
		name = names_pointer(&asker->scope->resolver->names, asker->scope->networks.items[i], &address);
	if (!name)
		return false;
	dns_reply_start(&reply, out, sizeof(out), data, query);
	if (query->type == DNS_PTR || query->type == DNS_ANY)
		dns_reply_pointer(&reply, name, OWN_LIFETIME_S);
	server_reply(asker, out, dns_reply_finish(&reply, query, DNS_OK));
	return true;
}

void answer_query(const struct asker *asker, const uint8_t *data, size_t size)
{
	struct dns_query query;
	int code = dns_query_parse(&query, data, size);

	if (code < 0)
		return;
	if (code > 0)
		answer_failure(asker, data, &query, (enum dns_code)code);
	else if (query.class_ != CLASS_IN ||
		 (!answer_name(asker, data, &query) && !answer_pointer(asker, data, &query)))
		forward_query(asker, data, size, &query);
}
