/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.h - what kist says to kist-image, as one JSON object on descriptor 3:
 * which job, its operands as they were typed, its options, and credentials, which
 * are no business of a command line.
 */
#pragma once

#include "json/json.h"

struct image_login {
	char *registry; /* its domain: "docker.io" */
	char *username;
	char *password;
	char *identity_token;
	char *registry_token;
};

/* How one side of a copy is reached. */
struct image_access {
	bool insecure;	/* TLS is not verified, plain http is tried */
	bool verify;	/* on loopback too */
	bool has_login; /* the one below counts, not those of the request */
	struct image_login login;
	char *certificates; /* folder instead of certs.d */
};

struct image_request {
	char *act; /* the command's name: "copy" */
	struct text_list operands;
	JSON_ARRAY_OF(struct image_login) logins;
	struct image_access source; /* also of commands with one side */
	struct image_access destination;
	bool all;
	bool preserve_digests;
	bool referrers; /* copy, sync: with what refers to it */
	bool quiet;
	bool raw;
	bool config;
	bool force;
	bool verbose;	/* manifest inspect */
	bool by_digest; /* delete: with all its tags */
	char *platform;
	char *format; /* "oci", "v2s2" */
	char *output;
	char *artifact_type;
	char *base;
	char *new_base;
	struct text_list files; /* layers to append: tars */
	struct text_list env;
	struct text_list labels;
	struct text_list annotations;
	struct text_list entrypoint;
	struct text_list cmd;
	struct text_list ports;
	char *user;
	char *workdir;
	char *set_platform;
	char *arch; /* of manifest annotate */
	char *os;
	char *variant;
	char *os_version;
	struct text_list os_features;
	bool clear_entrypoint;
	bool clear_cmd;
};

extern const struct json_field image_request_fields[];
