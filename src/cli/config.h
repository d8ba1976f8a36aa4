/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - ~/.docker/config.json (DOCKER_CONFIG, --config): credentials, key
 * sequences, default formats. Keys we do not know are kept when it is written.
 * The credentials in it, and helper programs, are transfer/credentials.h.
 */
#pragma once

#include "base/error.h"
#include "transfer/credentials.h"
#include "json/value.h"

struct config {
	char *folder;
	struct json_value *root; /* NULL: no file */
};

int config_load(struct config *config, const char *folder, struct error *err);
void config_fini(struct config *config);
/* A text at the top of the file (borrowed), or NULL. */
const char *config_text(const struct config *config, const char *key);
void config_headers(const struct config *config, struct text_map *out_headers);

/* The registry of an image name, as it is keyed in auths: "https://index.docker.io/v1/" for docker.io. */
char *config_registry_of(const char *image);
/* 1 and *out_auth if there are credentials, 0 if not. */
int config_find_auth(struct credential *out_auth, const struct config *config, const char *registry, struct error *err);
/* The engine's form of credentials: yours. */
char *config_auth_json(const struct credential *auth, const char *registry);
/* Value of the X-Registry-Auth header. */
char *config_auth_header(const struct credential *auth, const char *registry);
/* *out_plain: it is in the file, not with a helper. */
int config_store_auth(const struct config *config, const char *registry, const struct credential *auth, bool *out_plain,
		      struct error *err);
/* 1 if there were some, 0 if not. */
int config_erase_auth(const struct config *config, const char *registry, struct error *err);
