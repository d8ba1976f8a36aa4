/* SPDX-License-Identifier: Apache-2.0 */
/* image_auth.h - X-Registry-Auth, decoded from base64: who the user is at the registry. Inside engine/ only. */
#pragma once

#include "transfer/session.h"

struct image_auth {
	char *username;
	char *password;
	char *identity_token;
	char *registry_token;
};

/* json NULL: nobody. */
int image_auth_decode(struct image_auth *out_auth, const char *json, struct error *err);
void image_auth_fini(struct image_auth *auth);
/* Borrows. */
struct session_auth image_auth_session(const struct image_auth *auth);
