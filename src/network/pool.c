/* SPDX-License-Identifier: Apache-2.0 */
#include "network/pool.h"

#include <arpa/inet.h>
#include <string.h>

static unsigned bits_of(const struct net_address *address)
{
	return address->family == AF_INET6 ? 128 : 32;
}

/* The last 32 or 64 bits, where the counting happens. */
static uint64_t low_of(const struct net_address *address)
{
	size_t end = bits_of(address) / 8;
	uint64_t value = 0;

	for (size_t i = end > 8 ? end - 8 : 0; i < end; i++)
		value = value << 8 | address->bytes[i];
	return value;
}

static void set_low(struct net_address *address, uint64_t value)
{
	size_t end = bits_of(address) / 8;
	size_t size = end > 8 ? 8 : end;

	for (size_t i = 0; i < size; i++)
		address->bytes[end - 1 - i] = (uint8_t)(value >> (8 * i));
}

uint64_t pool_size(const struct net_address *subnet)
{
	unsigned bits = bits_of(subnet) - subnet->prefix;

	return UINT64_C(1) << (bits < 63 ? bits : 63);
}

struct net_address pool_network(const struct net_address *address)
{
	struct net_address network = *address;

	for (unsigned bit = address->prefix; bit < bits_of(address); bit++)
		network.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return network;
}

struct net_address pool_address(const struct net_address *subnet, uint64_t offset)
{
	struct net_address address = *subnet;

	set_low(&address, low_of(subnet) + offset);
	return address;
}

bool pool_contains(const struct net_address *subnet, const struct net_address *address)
{
	struct net_address host = *address;

	host.prefix = (uint8_t)bits_of(address);
	return net_address_overlaps(subnet, &host);
}

bool pool_is_usable(const struct net_address *subnet, const struct net_address *address)
{
	struct net_address first = pool_network(subnet);
	bool top = memcmp(first.bytes, address->bytes, 8) == 0;
	uint64_t offset = low_of(address) - low_of(&first);

	if (!pool_contains(subnet, address))
		return false;
	if (subnet->family == AF_INET6)
		return subnet->prefix >= 127 || offset != 0 || !top;
	/* RFC 3021: both addresses of a /31 are hosts. */
	return subnet->prefix >= 31 || (offset != 0 && offset != pool_size(subnet) - 1);
}

bool pool_take(struct net_address *out_address, const struct net_address *subnet, const struct net_address *range,
	       uint64_t *last, bool (*taken)(const struct net_address *address, void *arg), void *arg)
{
	uint64_t size = pool_size(range);

	for (uint64_t i = 1; i <= size; i++) {
		uint64_t offset = (*last + i) % size;
		struct net_address candidate = pool_address(range, offset);

		candidate.prefix = subnet->prefix;
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
	memcpy(out_mac + 2, address->bytes + bits_of(address) / 8 - 4, 4);
}

/* ---- which subnets there are ---- */

/* Adds n to the bits of the base that lie in front of `prefix`. */
static struct net_address nth_subnet(const struct pool_space *space, unsigned n)
{
	struct net_address subnet = pool_network(&space->base);

	subnet.prefix = space->size;
	for (unsigned bit = space->size; n && bit > 0; bit--, n >>= 1)
		if (n & 1)
			subnet.bytes[(bit - 1) / 8] |= (uint8_t)(0x80 >> (bit - 1) % 8);
	return subnet;
}

bool pool_nth(struct net_address *out_subnet, const struct pool_space *spaces, size_t count, int family, unsigned index)
{
	for (size_t i = 0; i < count; i++) {
		const struct pool_space *space = &spaces[i];
		unsigned bits = (unsigned)(space->size - space->base.prefix);
		unsigned subnets = 1U << (bits < 16 ? bits : 16);

		if (space->base.family != family)
			continue;
		if (index < subnets) {
			*out_subnet = nth_subnet(space, index);
			return true;
		}
		index -= subnets;
	}
	return false;
}

bool pool_default(struct net_address *out_subnet, unsigned index)
{
	static const struct pool_space defaults[] = {
		{ { AF_INET, { 172, 17 }, 16 }, 16 },  { { AF_INET, { 172, 18 }, 15 }, 16 },
		{ { AF_INET, { 172, 20 }, 14 }, 16 },  { { AF_INET, { 172, 24 }, 13 }, 16 },
		{ { AF_INET, { 192, 168 }, 16 }, 20 },
	};

	return pool_nth(out_subnet, defaults, sizeof(defaults) / sizeof(defaults[0]), AF_INET, index);
}

struct pool_space pool_private6(const char *seed)
{
	struct pool_space space = { { AF_INET6, { 0xfd }, 48 }, 64 };
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (; *seed; seed++)
		hash = (hash ^ (uint8_t)*seed) * UINT64_C(0x100000001b3);
	for (size_t i = 1; i < 6; i++)
		space.base.bytes[i] = (uint8_t)(hash >> (8 * i));
	return space;
}
