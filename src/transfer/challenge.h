/* SPDX-License-Identifier: Apache-2.0 */
/*
 * challenge.h - the WWW-Authenticate header (RFC 9110, 11.6.1): what a registry
 * wants to see before it answers. One header may hold several challenges.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

enum challenge_scheme { CHALLENGE_OTHER, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
	enum challenge_scheme scheme;
	struct text_map parameters; /* names in lower case: realm, service, scope, error */
};

struct challenge_list {
	struct challenge *items;
	size_t count;
	size_t capacity;
};

/* Whatever can be understood; a malformed rest is dropped. */
void challenge_parse(struct challenge_list *out_list, const char *header);
void challenge_list_fini(struct challenge_list *list);
/* The best one we can answer (bearer before basic; borrowed), or NULL. */
const struct challenge *challenge_choose(const struct challenge_list *list);
