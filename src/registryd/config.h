/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - what kist-registry was told: a JSON file, and options over it.
 *
 * Every key of the file is known (an unknown one is an error that names it) and
 * acts. docs: kist-registry(8).
 */
#pragma once

#include "registryd/access.h"
#include "registryd/access_log.h"
#include "registryd/events.h"
#include "registryd/rules.h"
#include "registryd/s3.h"
#include "registryd/upstream.h"

struct registry_tls {
	char *certificate;
	char *key;
	char *client_authorities;
};

struct registry_config {
	char *root;
	struct text_list listen;
	char *log_level;
	char *log_format; /* "text" or "json" */
	bool sparse;
	bool read_only;
	bool access_log;
	enum access_format access_format;
	int64_t stop_wait_s; /* for running requests, at the end */
	bool metrics;
	struct registry_tls tls;
	struct access_config auth;
	JSON_ARRAY_OF(struct upstream_config) upstreams;
	bool collect_off;
	JSON_ARRAY_OF(struct webhook) webhooks;
	struct s3_config *s3; /* owned; NULL: a folder */
	struct quota quota;
	struct retention retention;
	int64_t scrub_interval_s; /* 0: never */
	int64_t scrub_rate;	  /* bytes a second */
	int64_t collect_interval_s;
	int64_t collect_delay_s; /* younger things stay */
	bool collect_untagged;	 /* manifests without a tag go too */
};

/* The same from a text; errors name the place. */
int registry_config_parse(struct registry_config *out_config, const char *text, size_t size, struct error *err);
/* path NULL: the defaults. ERR_INVALID names file, place and reason. */
int registry_config_load(struct registry_config *out_config, const char *path, struct error *err);
/* After the options were put over it. */
int registry_config_check(const struct registry_config *config, struct error *err);
/* What cannot change while it runs, as a word of the file, or NULL if nothing of that differs. */
const char *registry_config_fixed(const struct registry_config *old, const struct registry_config *new);
/* The schema of the file, yours. */
char *registry_config_schema(void);
void registry_config_fini(struct registry_config *config);
