/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference.h - image names as docker reads them: [domain/]path[:tag][@digest].
 *
 * reference_parse() normalises: "debian" is docker.io/library/debian, and
 * index.docker.io is docker.io. Nothing adds a tag but reference_default_tag().
 * Errors are docker's own sentences. A plain value that owns its texts.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "oci/digest.h"

struct reference {
	char *domain;	      /* "docker.io", "localhost:5000" */
	char *path;	      /* "library/debian" */
	char *tag;	      /* NULL: none */
	struct digest digest; /* not set: none */
};

int reference_parse(struct reference *out_reference, const char *text, struct error *err);
void reference_fini(struct reference *reference);
void reference_copy(struct reference *to, const struct reference *from);
/* Gives it the tag "latest" if it has neither tag nor digest. */
void reference_default_tag(struct reference *reference);

/* All returned texts are yours. "docker.io/library/debian:12" */
char *reference_format(const struct reference *reference);
/* "docker.io/library/debian" */
char *reference_name(const struct reference *reference);
/* What docker shows: "debian:12" */
char *reference_familiar(const struct reference *reference);
/* "debian" */
char *reference_familiar_name(const struct reference *reference);

/* host[:port] that serves a domain's API: registry-1.docker.io for docker.io (borrowed). */
const char *reference_api_host(const char *domain);
/* The key of a domain in docker's config.json: https://index.docker.io/v1/ for docker.io (borrowed). */
const char *reference_auth_key(const char *domain);

bool reference_is_tag(const char *text);
/* A repository path, as in URLs of the distribution API: "library/debian". */
bool reference_is_path(const char *text);
