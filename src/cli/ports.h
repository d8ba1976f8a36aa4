/* SPDX-License-Identifier: Apache-2.0 */
/* ports.h - the PORTS column of ps: "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 9000-9002/udp". */
#pragma once

#include "json/value.h"

/* From the Ports array of a container; neighbours are joined to ranges. */
char *ports_format(const struct json_value *ports);
