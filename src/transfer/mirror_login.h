/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mirror_login.h - who we are at a mirror. What the user gave is for the registry
 * itself; the logins for its mirrors are those of the machine's owner: the first
 * of containers-auth.json(5)'s files that has one for the mirror's host, then
 * docker's config.json, with their credential helpers:
 * REGISTRY_AUTH_FILE alone if it is set; else $XDG_RUNTIME_DIR (or
 * /run/containers/UID)/containers/auth.json, ~/.config/containers/auth.json,
 * DOCKER_CONFIG (or ~/.docker)/config.json. Read before the sandbox closes.
 */
#pragma once

#include "base/error.h"
#include "transfer/message.h"

/* host: with its port, without a path. 0 with it empty: there is none. ERR_INVALID: a file that is wrong. */
int mirror_login_find(struct message_auth *out_auth, const char *host, struct error *err);
void mirror_login_fini(struct message_auth *auth);
