/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/netlink_request.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define ANSWER_SIZE 32768

/* ---- requests ---- */

void *request_append(struct request *request, size_t size)
{
	size_t aligned = NLMSG_ALIGN(size);
	void *place = request->bytes + request->size;

	if (request->size + aligned > sizeof(request->bytes)) {
		request->overflow = true;
		return request->bytes; /* somewhere harmless: the request is not sent */
	}
	memset(place, 0, aligned);
	request->size += aligned;
	return place;
}

void request_start(struct request *request, uint16_t type, uint16_t flags, const void *body, size_t body_size)
{
	request->size = 0;
	request->overflow = false;
	request_append(request, NLMSG_HDRLEN);
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = NLM_F_REQUEST | flags;
	memcpy(request_append(request, body_size), body, body_size);
}

void request_put(struct request *request, uint16_t type, const void *data, size_t size)
{
	/* CVE-2021-43784: a length that does not fit its field must not wrap. Everything put here is short. */
	struct rtattr *attribute = request_append(request, size <= 256 ? RTA_LENGTH(size) : REQUEST_SIZE + 1);

	if (request->overflow)
		return;
	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(size);
	if (size)
		memcpy(RTA_DATA(attribute), data, size);
}

void request_put_u32(struct request *request, uint16_t type, uint32_t value)
{
	request_put(request, type, &value, sizeof(value));
}

void request_put_u8(struct request *request, uint16_t type, uint8_t value)
{
	request_put(request, type, &value, sizeof(value));
}

void request_put_text(struct request *request, uint16_t type, const char *text)
{
	request_put(request, type, text, strlen(text) + 1);
}

size_t request_nest(struct request *request, uint16_t type)
{
	size_t place = request->size;

	request_put(request, type, NULL, 0);
	return place;
}

void request_unnest(struct request *request, size_t place)
{
	struct rtattr *attribute = (struct rtattr *)(void *)(request->bytes + place);

	if (!request->overflow)
		attribute->rta_len = (unsigned short)(request->size - place);
}

/* ---- answers ---- */

static int transmit(int fd, struct request *request, uint32_t sequence)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	if (request->overflow)
		return -EMSGSIZE;
	request->header.nlmsg_len = (uint32_t)request->size;
	request->header.nlmsg_seq = sequence;
	if (sendto(fd, request->bytes, request->size, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

/* 1: go on reading; 0: the answer is complete; -errno. */
static int take_message(const struct nlmsghdr *message, uint32_t sequence, int (*fn)(const struct nlmsghdr *, void *),
			void *arg)
{
	if (message->nlmsg_seq != sequence)
		return 1; /* left over from a request that gave up */
	if (message->nlmsg_type == NLMSG_DONE)
		return 0;
	if (message->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *answer = NLMSG_DATA(message);

		return message->nlmsg_len < NLMSG_LENGTH(sizeof(*answer)) ? -EPROTO : answer->error;
	}
	if (fn) {
		int failed = fn(message, arg);

		if (failed < 0)
			return failed;
	}
	return message->nlmsg_flags & NLM_F_MULTI ? 1 : 0;
}

struct reception {
	uint32_t sequence;
	bool wants_ack;
	bool interrupted; /* what is listed changed meanwhile */
	int (*fn)(const struct nlmsghdr *message, void *arg);
	void *arg;
};

/* The messages of one datagram; 1: more are to come; 0: the answer is complete; -errno. */
static int take_datagram(struct reception *reception, const struct nlmsghdr *message, size_t left)
{
	for (; message_is_whole(message, left); message = message_next(message, &left)) {
		int more = take_message(message, reception->sequence, reception->fn, reception->arg);

		/* Read to the end all the same: one list at a time a socket. */
		reception->interrupted |= message->nlmsg_seq == reception->sequence &&
					  message->nlmsg_flags & NLM_F_DUMP_INTR;
		if (more < 0)
			return more;
		if (more == 0 &&
		    (!reception->wants_ack || message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE))
			return reception->interrupted ? -EINTR : 0;
	}
	return 1;
}

static int receive(int fd, struct reception *reception)
{
	AUTO_FREE uint8_t *buffer = xmalloc(ANSWER_SIZE);
	int more = 1;

	while (more > 0) {
		struct sockaddr_nl from;
		socklen_t from_size = sizeof(from);
		ssize_t size = recvfrom(fd, buffer, ANSWER_SIZE, MSG_TRUNC, (struct sockaddr *)&from, &from_size);

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (size > ANSWER_SIZE)
			return -EMSGSIZE;
		if (from.nl_pid == 0) /* only the kernel is believed */
			more = take_datagram(reception, (const void *)buffer, (size_t)size);
	}
	return more;
}

static uint32_t next_sequence(void)
{
	struct timespec now;
	static _Atomic uint32_t counter;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)now.tv_nsec * 2654435761U + ++counter;
}

int request_exchange(int fd, struct request *request, int (*fn)(const struct nlmsghdr *, void *), void *arg)
{
	struct reception reception = { .sequence = next_sequence(),
				       .wants_ack = (request->header.nlmsg_flags & NLM_F_ACK) != 0,
				       .fn = fn,
				       .arg = arg };
	int failed = transmit(fd, request, reception.sequence);

	return failed < 0 ? failed : receive(fd, &reception);
}
