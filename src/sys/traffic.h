/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traffic.h - how fast a link sends (token buckets), and where what it receives
 * is sent to first. Over a NETLINK_ROUTE socket, as netlink.h; -errno as the
 * kernel answered: -ENOENT and -EOPNOTSUPP where it has no such discipline.
 */
#pragma once

#include <stdint.h>

/* The link sends at most so many bits a second, and so many bytes at once; replaces an earlier limit. */
int traffic_limit(int fd, int index, uint64_t bits_per_second, uint32_t burst_bytes);
/* What the link receives is sent by another one first (an ifb link), whose limit so is one for receiving. */
int traffic_redirect(int fd, int index, int to_index);
