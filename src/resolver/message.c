/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/message.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define FLAG_RESPONSE 0x8000
#define FLAG_TRUNCATED 0x0200
#define FLAG_RECURSION_DESIRED 0x0100
#define FLAG_RECURSION_AVAILABLE 0x0080
#define FLAG_CHECKING_DISABLED 0x0010
#define OPCODE_MASK 0x7800
#define CODE_MASK 0x000f
#define EDNS_DNSSEC_OK 0x8000
#define EDNS_OUR_SIZE 1232 /* what passes every link unfragmented */
#define EDNS_RECORD_SIZE 11
#define LABEL_MAX 63
#define NAME_WIRE_MAX 255
#define CLASS_IN 1
#define NAME_OF_QUESTION 0xc00c /* a pointer to the name behind the header */

static uint16_t get16(const uint8_t *place)
{
	return (uint16_t)(place[0] << 8 | place[1]);
}

static uint32_t get32(const uint8_t *place)
{
	return (uint32_t)get16(place) << 16 | get16(place + 2);
}

static void put16(uint8_t *place, unsigned value)
{
	place[0] = (uint8_t)(value >> 8);
	place[1] = (uint8_t)value;
}

static void put32(uint8_t *place, uint32_t value)
{
	put16(place, value >> 16);
	put16(place + 2, value & 0xffff);
}

/* ---- walking ---- */

/* The place behind a name; 0: it is none, or it leaves the message. */
static size_t skip_name(const uint8_t *data, size_t size, size_t at)
{
	while (at < size) {
		uint8_t length = data[at];

		if (length == 0)
			return at + 1;
		if ((length & 0xc0) == 0xc0)
			return at + 2 <= size ? at + 2 : 0;
		if (length > LABEL_MAX)
			return 0;
		at += 1U + length;
	}
	return 0;
}

struct record {
	size_t name;
	uint16_t type;
	uint16_t class_;
	size_t ttl; /* where it is */
	size_t data;
	size_t data_size;
};

/* The place behind the record at `at`; 0: there is no whole one. */
static size_t read_record(struct record *record, const uint8_t *data, size_t size, size_t at)
{
	size_t fixed = skip_name(data, size, at);

	if (!fixed || fixed + 10 > size)
		return 0;
	*record = (struct record){ .name = at,
				   .type = get16(data + fixed),
				   .class_ = get16(data + fixed + 2),
				   .ttl = fixed + 4,
				   .data = fixed + 10,
				   .data_size = get16(data + fixed + 8) };
	return record->data + record->data_size <= size ? record->data + record->data_size : 0;
}

/* ---- queries ---- */

static bool is_plain(uint8_t c)
{
	return isalnum(c) || c == '-' || c == '_';
}

/* Without compression: there is nothing before a question that it could point to. Returns the place behind, or 0. */
static size_t read_name(char *text, const uint8_t *data, size_t size, size_t at)
{
	size_t start = at;
	size_t used = 0;

	while (at < size && data[at] != 0) {
		uint8_t length = data[at++];

		if (length > LABEL_MAX || at + length > size || at + length - start >= NAME_WIRE_MAX)
			return 0;
		if (used)
			text[used++] = '.';
		for (size_t i = 0; i < length; i++, at++) {
			if (is_plain(data[at]))
				text[used++] = (char)tolower(data[at]);
			else
				used += (size_t)snprintf(text + used, 5, "\\%03u", data[at]);
		}
	}
	text[used] = '\0';
	return at < size ? at + 1 : 0;
}

static bool read_edns(struct dns_query *query, const uint8_t *data, size_t size, size_t at)
{
	unsigned before = get16(data + 6) + get16(data + 8);
	unsigned all = before + get16(data + 10);

	for (unsigned i = 0; i < all; i++) {
		struct record record;

		at = read_record(&record, data, size, at);
		if (!at)
			return false;
		if (record.type != DNS_OPT || i < before)
			continue;
		if (query->edns || data[record.name] != 0)
			return false; /* RFC 6891 6.1.1: one, and of the root */
		query->edns = true;
		query->edns_size = record.class_ < DNS_UDP_PLAIN ? DNS_UDP_PLAIN : record.class_;
		query->edns_version = data[record.ttl + 1];
		query->dnssec_ok = get16(data + record.ttl + 2) & EDNS_DNSSEC_OK;
	}
	return true;
}

int dns_query_parse(struct dns_query *out_query, const uint8_t *data, size_t size)
{
	struct dns_query query = { .edns_size = DNS_UDP_PLAIN };
	uint16_t flags;
	size_t at;

	if (size < DNS_HEADER_SIZE || get16(data + 2) & FLAG_RESPONSE)
		return -EINVAL;
	flags = get16(data + 2);
	query.id = get16(data);
	query.recursion_desired = flags & FLAG_RECURSION_DESIRED;
	query.checking_disabled = flags & FLAG_CHECKING_DISABLED;
	*out_query = query;
	if (flags & OPCODE_MASK)
		return DNS_NOTIMP;
	if (get16(data + 4) != 1)
		return DNS_FORMERR;
	at = read_name(query.name, data, size, DNS_HEADER_SIZE);
	if (!at || at + 4 > size)
		return DNS_FORMERR;
	query.type = get16(data + at);
	query.class_ = get16(data + at + 2);
	at += 4;
	query.question_size = at - DNS_HEADER_SIZE;
	if (!read_edns(&query, data, size, at)) {
		query.edns = false;
		*out_query = query;
		return DNS_FORMERR;
	}
	*out_query = query;
	return query.edns && query.edns_version ? DNS_BADVERS : 0;
}

/* ---- answers ---- */

static uint8_t *reserve(struct dns_reply *reply, size_t size)
{
	uint8_t *place = reply->data + reply->size;

	if (reply->overflow || reply->size + size > reply->limit) {
		reply->overflow = true;
		return NULL;
	}
	reply->size += size;
	return place;
}

void dns_reply_start(struct dns_reply *reply, uint8_t *data, size_t limit, const uint8_t *query_data,
		     const struct dns_query *query)
{
	/* Room for our OPT record is kept back. */
	*reply = (struct dns_reply){ .data = data, .limit = limit - EDNS_RECORD_SIZE };
	memset(data, 0, DNS_HEADER_SIZE);
	put16(data, query->id);
	put16(data + 4, query->question_size ? 1 : 0);
	memcpy(data + DNS_HEADER_SIZE, query_data + DNS_HEADER_SIZE, query->question_size);
	reply->size = DNS_HEADER_SIZE + query->question_size;
}

static uint8_t *add_record(struct dns_reply *reply, uint16_t type, uint32_t ttl_s, size_t size)
{
	uint8_t *place = reserve(reply, 12 + size);

	if (!place)
		return NULL;
	put16(place, NAME_OF_QUESTION);
	put16(place + 2, type);
	put16(place + 4, CLASS_IN);
	put32(place + 6, ttl_s);
	put16(place + 10, (unsigned)size);
	reply->answers++;
	return place + 12;
}

void dns_reply_address(struct dns_reply *reply, const struct net_address *address, uint32_t ttl_s)
{
	bool v6 = address->family == AF_INET6;
	size_t size = v6 ? 16 : 4;
	uint8_t *place = add_record(reply, v6 ? DNS_AAAA : DNS_A, ttl_s, size);

	if (place)
		memcpy(place, address->bytes, size);
}

/* "web.front" as labels; 0 if it is no name. */
static size_t write_name(uint8_t out[NAME_WIRE_MAX + 1], const char *name)
{
	size_t used = 0;

	while (*name) {
		size_t length = strcspn(name, ".");

		if (length == 0 || length > LABEL_MAX || used + length + 2 > NAME_WIRE_MAX)
			return 0;
		out[used++] = (uint8_t)length;
		memcpy(out + used, name, length);
		used += length;
		name += length + (name[length] == '.');
	}
	out[used++] = 0;
	return used;
}

void dns_reply_pointer(struct dns_reply *reply, const char *name, uint32_t ttl_s)
{
	uint8_t wire[NAME_WIRE_MAX + 1];
	size_t size = write_name(wire, name);
	uint8_t *place = size ? add_record(reply, DNS_PTR, ttl_s, size) : NULL;

	if (place)
		memcpy(place, wire, size);
}

size_t dns_reply_finish(struct dns_reply *reply, const struct dns_query *query, enum dns_code code)
{
	unsigned flags = FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | (code & CODE_MASK);

	if (query->recursion_desired)
		flags |= FLAG_RECURSION_DESIRED;
	if (query->checking_disabled)
		flags |= FLAG_CHECKING_DISABLED;
	if (reply->overflow) {
		flags |= FLAG_TRUNCATED;
		reply->answers = 0;
		reply->size = DNS_HEADER_SIZE + query->question_size;
	}
	put16(reply->data + 2, flags);
	put16(reply->data + 6, reply->answers);
	if (query->edns) {
		uint8_t *place = reply->data + reply->size;

		memset(place, 0, EDNS_RECORD_SIZE);
		put16(place + 1, DNS_OPT);
		put16(place + 3, EDNS_OUR_SIZE);
		place[5] = (uint8_t)(code >> 4);
		put16(place + 7, query->dnssec_ok ? EDNS_DNSSEC_OK : 0);
		put16(reply->data + 10, 1);
		reply->size += EDNS_RECORD_SIZE;
	}
	return reply->size;
}

/* ---- addresses as names ---- */

static bool read_arpa4(struct net_address *address, const char *name, size_t size)
{
	char text[16];
	unsigned parts[4];
	int end = 0;

	if (size >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)size, name);
	if (sscanf(text, "%3u.%3u.%3u.%3u%n", &parts[0], &parts[1], &parts[2], &parts[3], &end) != 4 ||
	    (size_t)end != size)
		return false;
	for (int i = 0; i < 4; i++) {
		if (parts[i] > 255)
			return false;
		address->bytes[3 - i] = (uint8_t)parts[i];
	}
	address->family = AF_INET;
	address->prefix = 32;
	return true;
}

static bool read_arpa6(struct net_address *address, const char *name, size_t size)
{
	if (size != 63)
		return false;
	for (size_t i = 0; i < 32; i++) {
		int c = (unsigned char)name[2 * i];
		int value = isdigit(c) ? c - '0' : c - 'a' + 10;
		uint8_t *byte = &address->bytes[15 - i / 2];

		if (!isxdigit(c) || isupper(c) || (i < 31 && name[2 * i + 1] != '.'))
			return false;
		*byte |= (uint8_t)(i % 2 ? value << 4 : value);
	}
	address->family = AF_INET6;
	address->prefix = 128;
	return true;
}

bool dns_pointer_address(struct net_address *out_address, const char *name)
{
	struct net_address address = { 0 };
	size_t size = strlen(name);

	if (text_has_suffix(name, ".in-addr.arpa")) {
		if (!read_arpa4(&address, name, size - strlen(".in-addr.arpa")))
			return false;
	} else if (!text_has_suffix(name, ".ip6.arpa") || !read_arpa6(&address, name, size - strlen(".ip6.arpa"))) {
		return false;
	}
	*out_address = address;
	return true;
}

/* ---- others' answers ---- */

static bool same_ignoring_case(const uint8_t *a, const uint8_t *b, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (tolower(a[i]) != tolower(b[i]))
			return false;
	return true;
}

bool dns_response_fits(const uint8_t *response, size_t size, const uint8_t *query, size_t query_size, uint16_t id)
{
	size_t end;

	if (size < DNS_HEADER_SIZE || query_size < DNS_HEADER_SIZE || get16(response) != id ||
	    !(get16(response + 2) & FLAG_RESPONSE))
		return false;
	/* An error may come without the question. */
	if (get16(response + 4) == 0)
		return (get16(response + 2) & CODE_MASK) != DNS_OK;
	end = skip_name(query, query_size, DNS_HEADER_SIZE);
	if (!end || end + 4 > query_size || end + 4 > size || get16(response + 4) != 1)
		return false;
	return same_ignoring_case(response + DNS_HEADER_SIZE, query + DNS_HEADER_SIZE, end + 4 - DNS_HEADER_SIZE);
}

/* Visits the records behind the question; false: the message is malformed. */
static bool each_record(const uint8_t *data, size_t size, void (*fn)(const struct record *record, void *arg), void *arg)
{
	unsigned count;
	size_t at;

	if (size < DNS_HEADER_SIZE || get16(data + 4) != 1)
		return false;
	at = skip_name(data, size, DNS_HEADER_SIZE);
	if (!at || at + 4 > size)
		return false;
	at += 4;
	count = (unsigned)get16(data + 6) + get16(data + 8) + get16(data + 10);
	for (unsigned i = 0; i < count; i++) {
		struct record record;

		at = read_record(&record, data, size, at);
		if (!at)
			return false;
		fn(&record, arg);
	}
	return true;
}

struct lifetime {
	const uint8_t *data;
	uint32_t least;
	bool found;
};

static void take_least(const struct record *record, void *arg)
{
	struct lifetime *lifetime = arg;
	uint32_t ttl = get32(lifetime->data + record->ttl);

	if (record->type == DNS_OPT)
		return;
	/* RFC 2308 5: a negative answer lives as long as the zone says, in the last number of its SOA. */
	if (record->type == DNS_SOA && record->data_size >= 22) {
		uint32_t minimum = get32(lifetime->data + record->data + record->data_size - 4);

		ttl = minimum < ttl ? minimum : ttl;
	}
	if (ttl > INT32_MAX)
		ttl = 0; /* RFC 2181 8 */
	if (!lifetime->found || ttl < lifetime->least)
		lifetime->least = ttl;
	lifetime->found = true;
}

bool dns_response_lifetime(const uint8_t *response, size_t size, uint32_t *out_seconds)
{
	struct lifetime lifetime = { .data = response };
	unsigned code;

	if (size < DNS_HEADER_SIZE || get16(response + 2) & FLAG_TRUNCATED)
		return false;
	code = get16(response + 2) & CODE_MASK;
	if ((code != DNS_OK && code != DNS_NXDOMAIN) || !each_record(response, size, take_least, &lifetime) ||
	    !lifetime.found || lifetime.least == 0)
		return false;
	*out_seconds = lifetime.least;
	return true;
}

struct ageing {
	uint8_t *data;
	uint32_t seconds;
};

static void age_record(const struct record *record, void *arg)
{
	struct ageing *ageing = arg;
	uint32_t ttl = get32(ageing->data + record->ttl);

	if (record->type != DNS_OPT)
		put32(ageing->data + record->ttl, ttl > ageing->seconds ? ttl - ageing->seconds : 0);
}

void dns_response_age(uint8_t *response, size_t size, uint32_t seconds)
{
	struct ageing ageing = { response, seconds };

	each_record(response, size, age_record, &ageing);
}

size_t dns_response_fit(uint8_t *response, size_t size, uint16_t id, size_t limit)
{
	size_t end = skip_name(response, size, DNS_HEADER_SIZE);

	put16(response, id);
	if (size <= limit)
		return size;
	put16(response + 2, get16(response + 2) | FLAG_TRUNCATED);
	memset(response + 6, 0, 6);
	if (!end || end + 4 > size || end + 4 > limit) {
		put16(response + 4, 0);
		return DNS_HEADER_SIZE;
	}
	return end + 4;
}
