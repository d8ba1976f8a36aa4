/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dockerfile.h - a Dockerfile as a list of instructions.
 *
 * The lexical layer of frontend 1.26: parser directives, continued lines,
 * comments, flags, JSON and shell forms, heredocs, ONBUILD. Nothing is expanded
 * and no instruction is judged here beyond its shape. Errors are ERR_INVALID and
 * start "dockerfile parse error on line N: ".
 *
 * A parsed dockerfile is not changed any more and may be shared by threads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

struct heredoc {
	char *name;
	char *body;  /* with its last newline; tabs already stripped for <<- */
	bool expand; /* false: the delimiter was quoted */
};

/* The last code point there is, which stands for nothing. */
#define INSTRUCTION_NUL "\xf4\x8f\xbf\xbf"

struct instruction {
	char *keyword;	/* lower case: "run" */
	char *original; /* the logical line, continued lines joined */
	char *comment;	/* contiguous comment above, or NULL */
	unsigned line;	/* first and last physical line, from 1 */
	unsigned last_line;
	unsigned blank_line;	/* the end of a logical line with a blank one inside; 0: none */
	bool legacy;		/* ENV or LABEL without '=' */
	bool json;		/* the arguments were a JSON array */
	bool has_nul;		/* and one has INSTRUCTION_NUL in the place of a NUL byte */
	struct text_list flags; /* "--from=x", as written */
	struct text_list args;
	struct heredoc *heredocs;
	size_t heredoc_count;
	struct instruction *nested; /* of ONBUILD; owned */
};

struct dockerfile {
	char escape;  /* '\\' or '`' */
	char *syntax; /* of "# syntax=", or NULL */
	char *check;  /* of "# check=", or NULL */
	struct instruction *instructions;
	size_t count;
	size_t capacity;
	unsigned failed_line; /* of dockerfile_parse_part(): where it stopped; 0: nowhere */
	unsigned failed_last_line;
};

int dockerfile_parse(struct dockerfile **out_dockerfile, const char *text, size_t size, struct error *err);
/* The same; on failure too *out_dockerfile is yours: what stands before the place that is wrong. */
int dockerfile_parse_part(struct dockerfile **out_dockerfile, const char *text, size_t size, struct error *err);
void dockerfile_free(struct dockerfile *dockerfile);
DEFINE_AUTO(struct dockerfile, dockerfile_free)

/* One "(keyword "arg" ...)" a line: the form in which parsers of this language are compared. */
char *dockerfile_dump(const struct dockerfile *dockerfile);
