/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credentials.h - who we are at which registry: docker's config.json ("auths")
 * and credential helpers ("credsStore", "credHelpers"), for the CLI.
 *
 * Needs base and json only. Keys are docker's: the host, or
 * https://index.docker.io/v1/ for Docker Hub (reference_auth_key()).
 * Rewriting the file keeps everything else that is in it.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct credential {
	char *username;
	char *password;
	char *identity_token;
	char *registry_token;
};

void credential_fini(struct credential *credential);

/* 1 with it filled, 0 if there is none for this key. A missing file counts as empty. */
int credentials_get(struct credential *out_credential, const char *path, const char *key, struct error *err);

/* In the helper if one is configured for the key, else in the file (mode 0600). *out_plain (may be NULL): in the file. */
int credentials_store(const char *path, const char *key, const struct credential *credential, bool *out_plain,
		      struct error *err);

/* 1 if there was one, 0 if not. */
int credentials_erase(const char *path, const char *key, struct error *err);
