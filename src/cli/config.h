/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - ~/.docker/config.json (DOCKER_CONFIG, --config): credentials, key
 * sequences, default formats. Keys we do not know are kept when it is written.
 *
 * Credentials are in auths, or with a credential helper (credHelpers per
 * registry, credsStore for all), a program docker-credential-NAME.
 */
#pragma once

#include "base/error.h"
#include "json/value.h"

struct config {
	char *folder;
	struct json_value *root; /* NULL: no file */
};

struct config_auth {
	char *username;
	char *password;
	char *identity_token;
};

int config_load(struct config *config, const char *folder, struct error *err);
void config_fini(struct config *config);
/* A text at the top of the file (borrowed), or NULL. */
const char *config_text(const struct config *config, const char *key);
void config_headers(const struct config *config, struct text_map *out_headers);

/* The registry of an image name, as it is keyed in auths: "https://index.docker.io/v1/" for docker.io. */
char *config_registry_of(const char *image);
/* 1 and *out_auth if there are credentials, 0 if not. */
int config_find_auth(struct config_auth *out_auth, const struct config *config, const char *registry,
		     struct error *err);
void config_auth_fini(struct config_auth *auth);
/* Value of the X-Registry-Auth header. */
char *config_auth_header(const struct config_auth *auth, const char *registry);
int config_store_auth(struct config *config, const char *registry, const struct config_auth *auth, struct error *err);
/* 1 if there were some, 0 if not. */
int config_erase_auth(struct config *config, const char *registry, struct error *err);
/* true if a helper program keeps this registry's credentials. */
bool config_has_helper(const struct config *config, const char *registry);
