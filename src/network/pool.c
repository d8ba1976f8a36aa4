/* SPDX-License-Identifier: Apache-2.0 */
#include "network/pool.h"

#include <arpa/inet.h>
#include <string.h>

static uint32_t value_of(const struct net_address *address)
{
	uint32_t value;

	memcpy(&value, address->bytes, sizeof(value));
	return ntohl(value);
}

static struct net_address address_of(uint32_t value, uint8_t prefix)
{
	struct net_address address = { .family = AF_INET, .prefix = prefix };
	uint32_t bytes = htonl(value);

	memcpy(address.bytes, &bytes, sizeof(bytes));
	return address;
}

bool pool_default(struct net_address *out_subnet, unsigned index)
{
	if (index < 15)
		*out_subnet = address_of((172U << 24) + ((17 + index) << 16), 16);
	else if (index < 31)
		*out_subnet = address_of((192U << 24) + (168U << 16) + ((index - 15) << 12), 20);
	else
		return false;
	return true;
}

uint64_t pool_size(const struct net_address *subnet)
{
	return UINT64_C(1) << (32 - subnet->prefix);
}

struct net_address pool_network(const struct net_address *address)
{
	uint32_t host_bits = (uint32_t)(pool_size(address) - 1);

	return address_of(value_of(address) & ~host_bits, address->prefix);
}

struct net_address pool_address(const struct net_address *subnet, uint32_t offset)
{
	return address_of(value_of(subnet) + offset, subnet->prefix);
}

bool pool_contains(const struct net_address *subnet, const struct net_address *address)
{
	return address->family == AF_INET && value_of(address) >= value_of(subnet) &&
	       value_of(address) - value_of(subnet) < pool_size(subnet);
}

bool pool_is_usable(const struct net_address *subnet, const struct net_address *address)
{
	uint32_t offset = value_of(address) - value_of(subnet);

	if (!pool_contains(subnet, address))
		return false;
	/* RFC 3021: both addresses of a /31 are hosts. */
	return subnet->prefix >= 31 || (offset != 0 && offset != pool_size(subnet) - 1);
}

bool pool_take(struct net_address *out_address, const struct net_address *subnet, const struct net_address *range,
	       uint32_t *last, bool (*taken)(const struct net_address *address, void *arg), void *arg)
{
	uint64_t size = pool_size(range);

	for (uint64_t i = 1; i <= size; i++) {
		uint32_t offset = (uint32_t)((*last + i) % size);
		struct net_address candidate = address_of(value_of(range) + offset, subnet->prefix);

		if (!pool_is_usable(subnet, &candidate) || taken(&candidate, arg))
			continue;
		*last = offset;
		*out_address = candidate;
		return true;
	}
	return false;
}

void pool_mac(uint8_t out_mac[6], const struct net_address *address)
{
	out_mac[0] = 0x02; /* locally administered, unicast */
	out_mac[1] = 0x42;
	memcpy(out_mac + 2, address->bytes, 4);
}
