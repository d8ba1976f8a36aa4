/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h - what the clients of one socket may ask for (--socket-policy FILE).
 *
 * The file maps addresses (as given to --host) to rules:
 *   {"unix:///run/kist/ci.sock": {"access": "read-only", "allow": ["POST /containers/{id...}/restart"],
 *    "deny": ["GET /containers/{id...}/archive"], "bind-sources": ["/srv/data", "/srv/work/"], "privileged": false}}
 * `deny` wins over `allow`, which wins over `access` (all, read-only, none). Unless `privileged` is true, containers are
 * only made, started and entered if they have nothing that reaches around the container; binds must be of a listed
 * source, or below one that ends with a slash. A socket that is not named serves everything.
 */
#pragma once

#include "base/cleanup.h"
#include "base/error.h"
#include "engine/container_config.h"

struct policy_set;
struct policy;

/* ERR_INVALID for an unknown key, word or pattern: a rule that is not understood must not be left out. */
int policy_set_parse(struct policy_set **out_set, const char *text, size_t size, struct error *err);
int policy_set_load(struct policy_set **out_set, const char *path, struct error *err);
void policy_set_free(struct policy_set *set);
DEFINE_AUTO(struct policy_set, policy_set_free)
/* Addresses the set has rules for. */
void policy_set_addresses(struct text_list *out_addresses, const struct policy_set *set);
/* Of this address; NULL: everything is allowed. Borrowed. */
const struct policy *policy_find(const struct policy_set *set, const char *address);

/* ERR_FORBIDDEN with the rule that refuses. The path is without "/v1.xx". */
int policy_check_request(const struct policy *policy, const char *method, const char *path, struct error *err);
/* Everything may be asked of containers. */
bool policy_is_privileged(const struct policy *policy);
/* "bind-sources", as they were given: those that end with a slash are folders. Borrowed. */
const struct text_list *policy_bind_sources(const struct policy *policy);
/* A folder or file of the host, for a bind or behind a volume. */
int policy_check_source(const struct policy *policy, const char *source, struct error *err);
/* NULL and "" are "local"; where a plugin's volume leads is the plugin's to say, so only the privileged have them. */
int policy_check_volume_driver(const char *driver, struct error *err);
/* A container with this configuration; `stored`: it is one that exists, with defaults filled in. */
int policy_check_container(const struct policy *policy, const struct host_config *host, bool stored, struct error *err);
