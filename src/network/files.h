/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.h - what /etc/hosts, /etc/hostname and /etc/resolv.conf of a container
 * say. Texts only, the caller writes them. Returned text is yours.
 */
#pragma once

#include <stdbool.h>

#include "base/text.h"

struct network_hosts {
	const char *hostname;
	const char *domainname;		   /* NULL or "" */
	const struct text_list *addresses; /* the container's own; NULL: none */
	const struct text_list *extra; /* "name:ip" or "name=ip", --add-host; "host-gateway" as ip is host_gateway */
	const char *host_gateway;      /* NULL: such an entry is left out */
	bool no_ipv6;
};

char *network_hosts_text(const struct network_hosts *hosts);

/* Where our own resolver is, in every user-defined network. */
#define NETWORK_RESOLVER "127.0.0.11"

struct network_resolver {
	const char *host_text;		 /* the host's resolv.conf (NULL: it has none) */
	const char *host_path;		 /* named in the comment; NULL: /etc/resolv.conf */
	const struct text_list *servers; /* --dns; empty or NULL: the host's */
	const struct text_list *search;	 /* --dns-search; "." alone: none */
	const struct text_list *options; /* --dns-option */
	bool host_namespace;		 /* shares the host's network: loopback servers work and stay */
	bool internal;			 /* our own resolver is asked, which knows the servers */
};

char *network_resolv_conf_text(const struct network_resolver *resolver);
/* The host's file to copy from: systemd-resolved's real one if /etc/resolv.conf only names its stub. Borrowed. */
const char *network_host_resolv_conf(void);
char *network_hostname_text(const char *hostname);
/* The servers a resolv.conf names, as they are written there; none if it cannot be read. */
void network_nameservers(struct text_list *out_servers, const char *path);
