/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.h - where a log driver sends to: "udp://host:514", "tcp+tls://host:6514",
 * "unix:///dev/log", "host:24224". Plain value; log_address_fini() frees it.
 */
#pragma once

#include "base/error.h"

struct log_address {
	char *scheme;
	char *host; /* without the brackets of an IPv6 address */
	char *port; /* NULL: none was given */
	char *path; /* unix, unixgram */
};

/* scheme: what a text without "://" has. */
int log_address_parse(struct log_address *out_address, const char *text, const char *scheme, struct error *err);
void log_address_fini(struct log_address *address);
