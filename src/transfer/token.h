/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.h - bearer tokens from a registry's token server (docker's token
 * authentication): GET with basic credentials, POST with a refresh token.
 */
#pragma once

#include <stdint.h>

#include "http/remote.h"
#include "transfer/challenge.h"
#include "transfer/message.h"

struct token {
	char *text;
	char *refresh_token; /* NULL: none came */
	int64_t expires_ns;  /* monotonic; a little early */
};

struct token_request {
	const struct challenge *challenge;
	const char *scope;		  /* NULL: the challenge's own */
	const struct message_auth *auth;  /* without any: anonymous */
	const struct remote_trust *trust; /* for the registry's own host */
	bool offline;			  /* ask for a refresh token */
	bool plain;			  /* the registry itself speaks plain http: so may its token server */
};

/* ERR_UNAUTHORIZED if the credentials are wrong. */
int token_fetch(struct token *out_token, struct remote *remote, const struct token_request *request, struct error *err);
void token_fini(struct token *token);

/* "Basic ..." of a user and password; yours. */
char *token_basic(const struct message_auth *auth);
