/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a subnet or an address, and the arithmetic with what comes out. */
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "network/pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool nobody(const struct net_address *address, void *arg)
{
	(void)address;
	(void)arg;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = xstrndup((const char *)data, size);
	struct net_address subnet, given, again;
	char out[NET_ADDRESS_TEXT_MAX];
	uint64_t last;

	if (net_address_parse(&subnet, text) < 0)
		return 0;
	subnet = pool_network(&subnet);
	if (net_address_parse(&again, net_address_format_prefix(out, &subnet)) < 0 || again.prefix != subnet.prefix ||
	    !net_address_overlaps(&again, &subnet))
		abort();
	last = pool_size(&subnet) - 1;
	if (pool_take(&given, &subnet, &subnet, &last, nobody, NULL) &&
	    (!pool_contains(&subnet, &given) || !pool_is_usable(&subnet, &given)))
		abort();
	return 0;
}
