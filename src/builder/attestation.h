/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attestation.h - what is said about an image beside it: how it was made (SLSA
 * provenance) and what is in it (SPDX), as in-toto statements.
 *
 * In an index each image has a manifest of its own for them, for the platform
 * unknown/unknown, which names it in its annotations: as BuildKit lays them out.
 * Secrets are in none of it; build args only with mode=max.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

struct build;
struct digest;

enum provenance_mode { PROVENANCE_NONE, PROVENANCE_MIN, PROVENANCE_MAX };

struct attestation_options {
	enum provenance_mode provenance;
	bool inline_only; /* only in images that are stored or pushed, not in archives and folders */
	bool version_1;	  /* SLSA v1, else v0.2 */
	bool reproducible;
	char *builder_id; /* NULL: none */
	bool sbom;
};

/* "mode=max,version=v1" of attest:provenance; "generator=..." of attest:sbom. ERR_UNSUPPORTED, ERR_INVALID. */
int attestation_read(struct attestation_options *options, const char *kind, const char *value, struct error *err);
void attestation_options_fini(struct attestation_options *options);

struct statement {
	const char *predicate_type; /* static */
	char *text;		    /* JSON */
};
struct statements {
	struct statement items[2];
	size_t count;
};

/* About what was built: `manifest` is the image's, names as its subject; with none "_". */
int statements_make(struct statements *out_statements, struct build *build, const struct digest *manifest,
		    const struct text_list *names, struct error *err);
void statements_fini(struct statements *statements);

/* ---- inside: the predicates ---- */

/* A JSON object. */
char *provenance_make(struct build *build, const struct attestation_options *options);
int sbom_make(char **out_text, struct build *build, struct error *err);
/* "pkg:docker/debian@12?platform=linux%2Famd64" */
char *attestation_purl(const char *name, const char *platform);
