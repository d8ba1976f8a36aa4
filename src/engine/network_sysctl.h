/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_sysctl.h - the kernel's settings of a container's link on one of its networks: the endpoint's driver option
 * com.docker.network.endpoint.sysctls, "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=2".
 */
#pragma once

#include "base/error.h"
#include "engine/container_config.h"

#define SYSCTLS "com.docker.network.endpoint.sysctls"

/* As network_connect() wants them; without the option none. ERR_INVALID in dockerd's words. */
int network_sysctls_read(struct text_map *out_sysctls, const struct endpoint_settings *endpoint, struct error *err);
