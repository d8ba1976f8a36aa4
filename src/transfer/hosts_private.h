/* SPDX-License-Identifier: Apache-2.0 */
/* hosts_private.h - what the readers of hosts.toml and registries.conf share. */
#pragma once

#include "transfer/hosts.h"

#define HOSTS_FILE_MAX (1024 * 1024)

/* A new last one, all zero. */
struct host *host_list_add(struct host_list *list);
/* Scheme, host and path of "https://mirror/path/". */
void host_address(struct host *host, const char *url);
/* path NULL: the system's. */
int hosts_find_registries(struct host_list *out_list, const struct reference *reference, const char *path,
			  struct error *err);
