/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nftables.h - small changes to the kernel's packet rules over a
 * NETLINK_NETFILTER socket, without a program: elements of sets and maps, and
 * one redirection. A batch is taken whole or not at all. What is larger is
 * written for nft(8). -errno as the kernel answered.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* A batch under construction. */
struct nft_batch {
	struct text bytes; /* messages */
	unsigned messages;
	bool failed; /* something did not fit */
};

/* A set's or map's key or value: up to four fields, each padded to four bytes as the kernel keeps them. */
#define NFT_VALUE_MAX 64
struct nft_value {
	uint8_t bytes[NFT_VALUE_MAX];
	size_t size;
};
void nft_value_add(struct nft_value *value, const void *field, size_t size);

void nft_batch_init(struct nft_batch *batch);
void nft_batch_fini(struct nft_batch *batch);
/* `data` NULL: the element of a set. Adding one that is there changes nothing; deleting one that is not there fails. */
void nft_batch_add(struct nft_batch *batch, const char *table, const char *set, const struct nft_value *key,
		   const struct nft_value *data);
void nft_batch_delete(struct nft_batch *batch, const char *table, const char *set, const struct nft_value *key,
		      const struct nft_value *data);
/* Table `table` of family ip: what the namespace itself sends to address:port goes to to_port of the same address. */
void nft_batch_redirect(struct nft_batch *batch, const char *table, uint8_t protocol, uint32_t address_be,
			uint16_t port, uint16_t to_port);
int nft_batch_send(struct nft_batch *batch, int netfilter_fd);
/* A text attribute of a message about rules; NULL: it has none that ends. Borrowed. */
struct nlmsghdr;
const char *nft_message_text(const struct nlmsghdr *message, unsigned attribute);
/* A number likewise; false: it has none. */
bool nft_message_u32(const struct nlmsghdr *message, unsigned attribute, uint32_t *out_value);
/* How many rules a table of a family (NFPROTO_) has, but for those of one chain (NULL: of all). -EINTR as below. */
int nft_count_rules(int fd, uint8_t family, const char *table, const char *except);
/* How many elements a set or map of family inet has (an interval counts once). -EINTR: they changed meanwhile. */
int nft_count_elements(int fd, const char *table, const char *set);
/* A NETLINK_NETFILTER socket in this process's network namespace. */
int nft_open(void);
