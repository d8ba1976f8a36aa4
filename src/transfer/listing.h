/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing.h - inside kist-transfer: what a registry lists: tags and repositories
 * (page by page, as its Link headers say).
 */
#pragma once

#include "base/text.h"
#include "transfer/source.h"

int listing_tags(struct text_list *out_names, const struct source *source, struct remote *remote, struct error *err);
int listing_catalog(struct text_list *out_names, const struct source *source, struct remote *remote, struct error *err);
/*
 * Docker Hub's search, and that of registries which have one there: at most `limit` results, as JSON (yours). NULL: the
 * registry has none.
 */
int listing_search(char **out_text, const struct source *source, struct remote *remote, const char *domain,
		   const char *term, uint64_t limit, struct error *err);
/* The URL of the next page (yours), as a Link header says it, or NULL. */
char *listing_next_page(const struct remote_response *response);
