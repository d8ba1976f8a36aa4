/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a query of a container, and as a server's response to one. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "resolver/message.h"

#define LIMIT 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(const struct dns_query *query, const uint8_t *data)
{
	AUTO_FREE uint8_t *out = xmalloc(LIMIT);
	struct net_address address = { .family = AF_INET, .prefix = 32 };
	struct dns_query again;
	struct dns_reply reply;
	size_t size;

	dns_reply_start(&reply, out, query->edns ? LIMIT : DNS_UDP_PLAIN, data, query);
	for (int i = 0; i < 64; i++)
		dns_reply_address(&reply, &address, 1);
	dns_reply_pointer(&reply, query->name, 1);
	size = dns_reply_finish(&reply, query, DNS_OK);
	if (size > LIMIT || dns_query_parse(&again, out, size) != -22)
		abort(); /* it is an answer, so no query */
	if (query->question_size &&
	    !dns_response_fits(out, size, data, DNS_HEADER_SIZE + query->question_size, query->id))
		abort();
}

static void respond(const uint8_t *data, size_t size)
{
	AUTO_FREE uint8_t *copy = xmalloc(size + 1);
	uint32_t seconds;

	memcpy(copy, data, size);
	if (!dns_response_lifetime(copy, size, &seconds))
		return;
	dns_response_age(copy, size, seconds / 2);
	if (dns_response_fit(copy, size, 1, DNS_UDP_PLAIN) > size)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_query query;
	struct net_address address;
	int code = size <= DNS_MESSAGE_MAX ? dns_query_parse(&query, data, size) : -1;

	if (code >= 0) {
		answer(&query, data);
		dns_pointer_address(&address, query.name);
	}
	if (size <= DNS_MESSAGE_MAX)
		respond(data, size);
	dns_response_fits(data, size, data, size / 2, 1);
	return 0;
}
