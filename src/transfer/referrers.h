/* SPDX-License-Identifier: Apache-2.0 */
/*
 * referrers.h - inside kist-transfer: what speaks of a manifest (signatures,
 * SBOMs), by the registry's referrers API or, where there is none, by the tag
 * that clients keep in its place (distribution-spec, "Referrers Tag Schema":
 * sha256:abc is at the tag sha256-abc).
 */
#pragma once

#include "transfer/source.h"

/* The text of an index (yours): all pages of the API, or what the tag holds, or an empty one. */
int referrers_list(char **out_text, const struct source *source, struct remote *remote, const char *digest,
		   struct error *err);

struct referrers_put {
	const char *text; /* the manifest that was pushed */
	const char *media_type;
	const char *digest; /* NULL: its sha256 */
	const char *scope;  /* to push */
};

/* After a manifest was pushed, with the registry's answer: if that did not note the subject, its tag does. */
int referrers_note(const struct source *source, struct remote *remote, const struct referrers_put *put,
		   const struct remote_response *answer, struct error *err);
/* After a manifest was deleted: a registry without the API has the tag, and only we take it out of there. */
int referrers_forget(const struct source *source, struct remote *remote, const struct referrers_put *gone,
		     struct error *err);
