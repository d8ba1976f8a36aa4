/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - DNS messages (RFC 1035, EDNS: RFC 6891) as far as a forwarder
 * needs them: what is asked, our own answers, and the lifetimes in others'.
 *
 * Every byte read here comes from a container or from the network. Sizes are in
 * bytes, numbers in host order. Nothing is allocated.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys/netlink.h"

#define DNS_MESSAGE_MAX 65535
#define DNS_HEADER_SIZE 12
#define DNS_NAME_TEXT_MAX 1024 /* 255 bytes, each perhaps written \ddd */
#define DNS_UDP_PLAIN 512      /* what a client without EDNS takes */

enum dns_type { DNS_A = 1, DNS_SOA = 6, DNS_PTR = 12, DNS_AAAA = 28, DNS_OPT = 41, DNS_ANY = 255 };
enum dns_code { DNS_OK = 0, DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_NOTIMP = 4, DNS_BADVERS = 16 };

struct dns_query {
	uint16_t id;
	char name[DNS_NAME_TEXT_MAX]; /* lower case, without the last dot; other bytes than letters of hosts as \ddd */
	uint16_t type;
	uint16_t class_;
	size_t question_size; /* behind the header */
	bool checking_disabled;
	bool recursion_desired;
	bool edns;
	bool dnssec_ok;
	uint8_t edns_version;
	uint16_t edns_size; /* what the client takes by UDP */
};

/* 0, an enum dns_code to answer with (the question may be missing then: question_size 0), or -EINVAL: no query at all. */
int dns_query_parse(struct dns_query *out_query, const uint8_t *data, size_t size);

/* An answer under construction. What does not fit into `limit` makes it empty and truncated. */
struct dns_reply {
	uint8_t *data;
	size_t size;
	size_t limit;
	unsigned answers;
	bool overflow;
};

/* `query_data` is what `query` was parsed from; data has room for `limit` >= DNS_UDP_PLAIN bytes. */
void dns_reply_start(struct dns_reply *reply, uint8_t *data, size_t limit, const uint8_t *query_data,
		     const struct dns_query *query);
/* A or AAAA for the name that was asked for. */
void dns_reply_address(struct dns_reply *reply, const struct net_address *address, uint32_t ttl_s);
void dns_reply_pointer(struct dns_reply *reply, const char *name, uint32_t ttl_s);
/* The finished size. */
size_t dns_reply_finish(struct dns_reply *reply, const struct dns_query *query, enum dns_code code);

/* The address in "2.0.17.172.in-addr.arpa" or "...ip6.arpa". */
bool dns_pointer_address(struct net_address *out_address, const char *name);

/* Whether a response is one to this query: id, question, direction. */
bool dns_response_fits(const uint8_t *response, size_t size, const uint8_t *query, size_t query_size, uint16_t id);
/* How long an answer may be kept; false: not at all (an error, truncated, malformed, no lifetime). */
bool dns_response_lifetime(const uint8_t *response, size_t size, uint32_t *out_seconds);
/* Takes the time that passed off all its lifetimes. */
void dns_response_age(uint8_t *response, size_t size, uint32_t seconds);
/* Gives a message to a client: its id, and an empty truncated one if it takes less. Returns the size to send. */
size_t dns_response_fit(uint8_t *response, size_t size, uint16_t id, size_t limit);
