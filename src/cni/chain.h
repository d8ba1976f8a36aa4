/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain.h - the caller of CNI plugins: lists of them in a folder (CNI spec 1.1,
 * section 3), run for a container's interface one after the other.
 *
 * What was asked is written down before the first plugin runs, and its result
 * behind the last: who is killed in between can still take it back, with the
 * list as it was then. An ADD that fails is taken back at once.
 * On disk: <state_dir>/<container>,<interface>. Any thread, one at a time for an attachment.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"
#include "cni/result.h"

#define CNI_TIMEOUT_S 60

struct cni_host {
	const char *config_dir;	 /* /etc/cni/net.d */
	const char *plugin_path; /* folders, separated by colons */
	const char *state_dir;	 /* made if missing */
};

struct cni_port {
	uint32_t host_port;
	uint32_t container_port;
	char *protocol;
	char *host_ip; /* "": everywhere */
};

/* Bits, and bits a second; 0: no limit. */
struct cni_bandwidth {
	uint64_t ingress_rate;
	uint64_t ingress_burst;
	uint64_t egress_rate;
	uint64_t egress_burst;
};

/* What is asked of a list; texts are borrowed. */
struct cni_request {
	const char *list;      /* its name */
	const char *container; /* [a-zA-Z0-9_.-] */
	const char *interface; /* "eth0" */
	const char *netns;     /* path */
	JSON_ARRAY_OF(struct cni_port) ports;
	struct text_list ips;
	char *mac;
	struct cni_bandwidth *bandwidth; /* NULL: none */
	int timeout_s;			 /* of each plugin; 0: CNI_TIMEOUT_S */
};

/* Whether a list can be used: it is there, its version is spoken, its plugins exist and say that they are ready. */
int cni_list_check(const struct cni_host *host, const char *name, int timeout_s, struct error *err);
/*
 * ERR_NOT_FOUND: no such list or plugin; ERR_UNSUPPORTED: no plugin of it has the capability for what is asked;
 * ERR_UNAVAILABLE: one hung.
 */
int cni_add(const struct cni_host *host, const struct cni_request *request, struct cni_result *out_result,
	    struct error *err);
/* Whether anything is written down of it. */
bool cni_has(const struct cni_host *host, const char *container, const char *interface);
/* netns "" if it is gone. All plugins are run even if one fails. 0 if there is nothing. */
int cni_delete(const struct cni_host *host, const char *container, const char *interface, const char *netns,
	       struct error *err);
int cni_check(const struct cni_host *host, const char *container, const char *interface, const char *netns,
	      struct error *err);
/* Takes back what containers have that are not in `alive`. */
void cni_restore(const struct cni_host *host, char *const *alive, size_t alive_count);
/*
 * GC: the list's plugins forget all but what is written down here; also what other callers of the same list have, so
 * only for lists that are ours alone.
 */
int cni_collect(const struct cni_host *host, const char *list, int timeout_s, struct error *err);
