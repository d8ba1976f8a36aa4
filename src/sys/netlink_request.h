/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netlink_request.h - inside of netlink.h and conntrack.h: build one request,
 * send it, read the kernel's answer. What does not fit is not sent at all.
 */
#pragma once

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_SIZE 1024

struct request {
	union {
		struct nlmsghdr header;
		uint8_t bytes[REQUEST_SIZE];
	};
	size_t size;
	bool overflow;
};

/* A message with its fixed part; attributes follow. */
void request_start(struct request *request, uint16_t type, uint16_t flags, const void *body, size_t body_size);
void *request_append(struct request *request, size_t size);
void request_put(struct request *request, uint16_t type, const void *data, size_t size);
void request_put_u32(struct request *request, uint16_t type, uint32_t value);
void request_put_u8(struct request *request, uint16_t type, uint8_t value);
void request_put_text(struct request *request, uint16_t type, const char *text);
/* Attributes put between the two are inside of this one. */
size_t request_nest(struct request *request, uint16_t type);
void request_unnest(struct request *request, size_t place);

/*
 * Walks the messages of a datagram: the kernel's NLMSG_NEXT goes below zero behind a last one of odd size.
 * for (; message_is_whole(message, left); message = message_next(message, &left))
 */
static inline bool message_is_whole(const struct nlmsghdr *message, size_t left)
{
	return left >= sizeof(*message) && message->nlmsg_len >= sizeof(*message) && message->nlmsg_len <= left;
}

static inline const struct nlmsghdr *message_next(const struct nlmsghdr *message, size_t *left)
{
	size_t size = NLMSG_ALIGN(message->nlmsg_len);

	*left = size < *left ? *left - size : 0;
	return (const void *)((const char *)message + size);
}

/*
 * Sends, and calls fn (or NULL) for each message of the answer. 0 or -errno; -EINTR: a list that changed while it was
 * read, of which something may be missing: ask again.
 */
int request_exchange(int fd, struct request *request, int (*fn)(const struct nlmsghdr *message, void *arg), void *arg);
