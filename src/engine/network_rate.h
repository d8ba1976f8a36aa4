/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_rate.h - how fast a container may speak on one of its networks: the
 * endpoint's driver options "ingress" (towards it) and "egress" (from it), each
 * a rate with an optional burst: "10mbit", "2mbit/256k" (bits a second, bytes).
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "engine/container_config.h"
#include "network/network.h"

#define RATE_INGRESS "ingress"
#define RATE_EGRESS "egress"

int network_rates_read(struct network_rates *out_rates, const struct endpoint_settings *endpoint, struct error *err);
/* One option's value. */
int network_rate_parse(uint64_t *out_bits, uint64_t *out_burst_bits, const char *text, struct error *err);
