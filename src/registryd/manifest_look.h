/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest_look.h - what the registry needs to know of any manifest, also of
 * kinds it has never heard of: its row and what it needs.
 */
#pragma once

#include "registryd/catalog.h"

struct manifest_look {
	struct catalog_manifest row; /* all but digest */
	struct catalog_needs needs;
};

/* content_type: of the header, "" or NULL if there was none. ERR_INVALID says what is wrong. */
int manifest_look(struct manifest_look *out_look, const char *text, size_t size, const char *content_type,
		  struct error *err);
void manifest_look_fini(struct manifest_look *look);
