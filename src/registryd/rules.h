/* SPDX-License-Identifier: Apache-2.0 */
/* rules.h - how much may be stored, and which tags expire. Plain values of the configuration; sizes in bytes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "json/json.h"

struct quota_rule {
	char *repository; /* shell pattern; '*' goes over slashes too */
	int64_t size;
};

struct quota {
	int64_t total;				       /* of all bytes, each blob counted once; 0: none */
	int64_t each;				       /* of a repository no rule is for; 0: none */
	JSON_ARRAY_OF(struct quota_rule) repositories; /* the first that fits counts */
};

struct retention_rule {
	char *repository;		  /* shell pattern; NULL: all */
	char *tags;			  /* the same; NULL: all */
	struct optional_i64 keep_newest;  /* so many stay */
	struct optional_i64 older_than_s; /* younger ones stay */
	bool untagged;			  /* manifests no tag names go too */
};

/* A tag belongs to the first rule that fits it; one that nothing of its rule keeps expires. */
struct retention {
	bool dry_run; /* only say so */
	JSON_ARRAY_OF(struct retention_rule) rules;
};

extern const struct json_field quota_fields[];
extern const struct json_field retention_fields[];

/* In bytes, INT64_MAX for none. */
int64_t quota_of(const struct quota *quota, const char *repository);
bool retention_drops_untagged(const struct retention *retention, const char *repository);
/* The rule of a tag, or rules.count. */
size_t retention_rule_of(const struct retention *retention, const char *repository, const char *tag);
/* rank: of this tag among those of its rule and repository, the newest is 0. */
bool retention_expires(const struct retention_rule *rule, size_t rank, int64_t age_s);
