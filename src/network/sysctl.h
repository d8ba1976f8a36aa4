/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysctl.h - a kernel's settings of one link in a container. /proc/sys shows
 * those of the network namespace its reader is in, so a program of its own,
 * `kist-sysctl`, goes there and writes one. Inside of network.h.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"

/*
 * Keys are "net/ipv4/conf/IFNAME/log_martians", where IFNAME is the link. ERR_INTERNAL "/proc/sys/... is not a sysctl
 * file", "unable to write to '/proc/sys/...': Invalid argument". Those before it are set then.
 */
int sysctl_apply(const struct text_map *sysctls, int netlink_fd, const char *link, struct error *err);
