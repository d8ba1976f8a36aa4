/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream.h - registries that ours is a cache of, and their kist-transfer
 * processes, which are kept for the next question.
 *
 * "team/web" of docker.io is the repository "<prefix>/team/web" here; prefix is
 * the upstream's name unless told. Threads: share it freely; the number of
 * processes of one upstream is limited, more wait.
 */
#pragma once

#include "base/log.h"
#include "transfer/fetcher.h"
#include "json/json.h"

struct upstream_config {
	char *name;	     /* what clients call it: "docker.io", "ghcr.io"; containerd's ?ns= */
	char *url;	     /* where it is, if not at its name; http:// allows plain http */
	char *prefix;	     /* of our repositories; NULL: the name */
	char *username;	     /* with password_file: credentials */
	char *password_file; /* read anew for each process */
	bool insecure;
	char *certificates; /* a folder with hosts' certificates and hosts.toml, as docker's certs.d */
	struct optional_i64 tag_life_s;
};

extern const struct json_field upstream_fields[];

struct upstream;
struct upstream_list;

/* configs is borrowed and checked: names and prefixes are there and differ. */
struct upstream_list *upstream_list_new(const struct upstream_config *configs, size_t count);
/* Ends their processes, also busy ones; nobody may wait in upstream_send() when this returns. */
void upstream_list_stop(struct upstream_list *list);
void upstream_list_free(struct upstream_list *list);
DEFINE_AUTO(struct upstream_list, upstream_list_free)

/* Borrowed, or NULL. By what clients call it. */
struct upstream *upstream_by_name(const struct upstream_list *list, const char *name);
/* Of one of our repositories; *out_path (yours) is what it is called there. */
struct upstream *upstream_of(const struct upstream_list *list, const char *repository, char **out_path);
const struct upstream_config *upstream_config_of(const struct upstream *upstream);
const char *upstream_prefix(const struct upstream_config *config);

/* As fetcher_send(), by any of its processes. out_head is zeroed. */
int upstream_send(struct fetch_head *out_head, struct upstream *upstream, const struct fetch_call *call,
		  struct error *err);
/* It did not answer a moment ago: who has something old serves that. */
bool upstream_is_down(struct upstream *upstream);
