/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access.h - who is asking, and what may they do: users of an htpasswd file
 * (bcrypt only), bearer tokens of our own (JWT, HS256), rules per repository.
 *
 * Rules are tried in order: the first that fits repository and user says which
 * actions are allowed; without one, users may do everything and others nothing.
 * Without an htpasswd file everybody may do everything. The file is read again
 * when it changes. Threads: share it freely.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "json/json.h"

struct access;

enum access_action { ACCESS_PULL = 1, ACCESS_PUSH = 2, ACCESS_DELETE = 4 };

struct access_rule {
	char *repository;	  /* shell pattern; '*' goes over slashes too */
	struct text_list users;	  /* "*": every user */
	bool anonymous;		  /* also who gives no name */
	struct text_list actions; /* "pull", "push", "delete", "*" */
};

struct access_config {
	char *htpasswd; /* NULL: no authentication */
	char *realm;
	bool token; /* send clients to our token endpoint instead of asking for basic credentials */
	char *service;
	int64_t token_life_s;
	JSON_ARRAY_OF(struct access_rule) rules;
};

/* config is borrowed; secret_path: where the key of the tokens is kept, made if it is not there. */
int access_open(struct access **out_access, const struct access_config *config, const char *secret_path,
		struct error *err);
void access_close(struct access *access);
DEFINE_AUTO(struct access, access_close)
/* config is borrowed; what was borrowed before may still be in use for a moment. */
void access_reload(struct access *access, const struct access_config *config);

/* Who a request is from, and what a token it brought allows. */
struct access_caller {
	char *user;		 /* owned; NULL: anonymous */
	bool by_token;		 /* only what the grants say */
	struct text_list grants; /* "repository:team/web:pull,push" */
};
void access_caller_fini(struct access_caller *caller);

/* authorization: the header or NULL. 1 known (or anonymous), 0 wrong credentials. */
int access_identify(struct access_caller *out_caller, struct access *access, const char *authorization,
		    struct error *err);
bool access_allows(struct access *access, const struct access_caller *caller, const char *repository, unsigned actions);
/* Are there rules or users at all? */
bool access_is_limited(const struct access *access);
/* The WWW-Authenticate header; base: "https://host"; repository NULL: none. Yours. */
char *access_challenge(const struct access *access, const char *base, const char *repository, unsigned actions,
		       bool insufficient);

/* A user and password as they are: 1 right, 0 wrong. */
int access_check_password(struct access *access, const char *user, const char *password, struct error *err);
/* A token for the part of the scopes that the user may have. Yours. refresh: one that only gets other tokens. */
char *access_issue(struct access *access, const char *user, const struct text_list *scopes, bool refresh);
/* The user of a refresh token (yours), or NULL. */
char *access_refresh_user(struct access *access, const char *token);
