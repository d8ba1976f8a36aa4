/* SPDX-License-Identifier: Apache-2.0 */
#include "network/rate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sys/traffic.h"

#define IFB_PREFIX "kb"

/* "veth1a2b3c" has "kb1a2b3c". */
static void ifb_name(char out_name[16], const char *link)
{
	const char *tail = text_after(link, LINK_PREFIX);

	snprintf(out_name, 16, IFB_PREFIX "%.13s", tail ? tail : link);
}

bool rate_is_ours(const struct link_info *link, char out_name[16])
{
	const char *tail = text_equal(link->kind, "ifb") ? text_after(link->name, IFB_PREFIX) : NULL;

	if (!tail)
		return false;
	snprintf(out_name, 16, LINK_PREFIX "%.11s", tail);
	return true;
}

static int tell(int failed, const char *what, const char *need, struct error *err)
{
	if (failed == -ENOENT || failed == -EOPNOTSUPP)
		return error_set(err, ERR_UNSUPPORTED, "limit the container's %s: this kernel has no %s", what, need);
	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "limit the container's %s", what) : 0;
}

static uint32_t bytes_of(uint64_t bits)
{
	return bits / 8 > UINT32_MAX ? UINT32_MAX : (uint32_t)(bits / 8);
}

static int limit_egress(const struct network_rates *rates, const struct link_info *link, int socket_fd)
{
	struct link_info ifb;
	char name[16];
	int failed;

	ifb_name(name, link->name);
	failed = link_create_ifb(socket_fd, name);
	if (failed == 0)
		failed = link_find(socket_fd, name, &ifb);
	if (failed == 0)
		failed = link_change(socket_fd, ifb.index, &(struct link_change){ .up = 1 });
	if (failed == 0)
		failed = traffic_limit(socket_fd, ifb.index, rates->egress_bits, bytes_of(rates->egress_burst_bits));
	return failed == 0 ? traffic_redirect(socket_fd, link->index, ifb.index) : failed;
}

int rate_apply(const struct endpoint_record *record, int socket_fd, struct error *err)
{
	const struct network_rates *rates = &record->rates;
	struct link_info link;
	int failed;

	if (!rates->ingress_bits && !rates->egress_bits)
		return 0;
	failed = link_find(socket_fd, record->link, &link);
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "find link %s", record->link);
	if (rates->ingress_bits)
		failed = traffic_limit(socket_fd, link.index, rates->ingress_bits, bytes_of(rates->ingress_burst_bits));
	if (tell(failed, "ingress", "token bucket (CONFIG_NET_SCH_TBF)", err) < 0)
		return -1;
	if (rates->egress_bits)
		failed = limit_egress(rates, &link, socket_fd);
	return tell(failed, "egress", "ifb links, or no u32 and mirred to use them by", err);
}

void rate_remove(const char *link, int socket_fd)
{
	struct link_info ifb;
	char name[16];

	ifb_name(name, link);
	if (link_find(socket_fd, name, &ifb) == 0 && text_equal(ifb.kind, "ifb"))
		link_delete(socket_fd, ifb.index);
}
