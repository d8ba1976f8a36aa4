/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/traffic.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <string.h>

#include "sys/netlink_request.h"

#define QUEUE_MS 50 /* what may wait before it is thrown away */
#define PRIORITY 1

static void start(struct request *request, uint16_t type, int index, uint32_t handle, uint32_t parent, uint32_t info)
{
	const struct tcmsg message = { .tcm_family = AF_UNSPEC,
				       .tcm_ifindex = index,
				       .tcm_handle = handle,
				       .tcm_parent = parent,
				       .tcm_info = info };

	request_start(request, type, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK, &message, sizeof(message));
}

int traffic_limit(int fd, int index, uint64_t bits_per_second, uint32_t burst_bytes)
{
	uint64_t bytes = bits_per_second / 8, queue = bytes * QUEUE_MS / 1000 + burst_bytes;
	struct tc_tbf_qopt shape = { .rate = { .linklayer = TC_LINKLAYER_ETHERNET,
					       .rate = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes },
				     .limit = queue > UINT32_MAX ? UINT32_MAX : (uint32_t)queue };
	struct request request;
	size_t options;

	start(&request, RTM_NEWQDISC, index, TC_H_MAKE(1 << 16, 0), TC_H_ROOT, 0);
	request_put_text(&request, TCA_KIND, "tbf");
	options = request_nest(&request, TCA_OPTIONS);
	request_put(&request, TCA_TBF_PARMS, &shape, sizeof(shape));
	request_put_u32(&request, TCA_TBF_BURST, burst_bytes);
	if (bytes > UINT32_MAX)
		request_put(&request, TCA_TBF_RATE64, &bytes, sizeof(bytes));
	request_unnest(&request, options);
	return request_exchange(fd, &request, NULL, NULL);
}

static int add_ingress(int fd, int index)
{
	struct request request;

	start(&request, RTM_NEWQDISC, index, TC_H_MAKE(TC_H_INGRESS, 0), TC_H_INGRESS, 0);
	request_put_text(&request, TCA_KIND, "ingress");
	return request_exchange(fd, &request, NULL, NULL);
}

static void put_redirection(struct request *request, int to_index)
{
	const struct tc_mirred redirection = { .action = TC_ACT_STOLEN,
					       .eaction = TCA_EGRESS_REDIR,
					       .ifindex = (uint32_t)to_index };
	size_t actions = request_nest(request, TCA_U32_ACT);
	size_t first = request_nest(request, 1);
	size_t options;

	request_put_text(request, TCA_ACT_KIND, "mirred");
	options = request_nest(request, TCA_ACT_OPTIONS | NLA_F_NESTED);
	request_put(request, TCA_MIRRED_PARMS, &redirection, sizeof(redirection));
	request_unnest(request, options);
	request_unnest(request, first);
	request_unnest(request, actions);
}

int traffic_redirect(int fd, int index, int to_index)
{
	/* One key whose mask is zero: every packet. */
	union {
		struct tc_u32_sel head;
		char bytes[sizeof(struct tc_u32_sel) + sizeof(struct tc_u32_key)];
	} every = { .bytes = { 0 } };
	int failed = add_ingress(fd, index);
	struct request request;
	size_t options;

	if (failed < 0)
		return failed;
	every.head.flags = TC_U32_TERMINAL;
	every.head.nkeys = 1;
	start(&request, RTM_NEWTFILTER, index, 0, TC_H_MAKE(TC_H_INGRESS, 0),
	      TC_H_MAKE(PRIORITY << 16, htons(ETH_P_ALL)));
	request_put_text(&request, TCA_KIND, "u32");
	options = request_nest(&request, TCA_OPTIONS);
	request_put(&request, TCA_U32_SEL, &every, sizeof(every));
	put_redirection(&request, to_index);
	request_unnest(&request, options);
	return request_exchange(fd, &request, NULL, NULL);
}
