/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_private.h - the parts of check.h: rules and options (check.c), the file
 * and its FROM lines (check_file.c), the instructions of a stage (check_stage.c).
 */
#pragma once

#include "builder/check.h"
#include "builder/expand.h"
#include "builder/stage.h"

enum check_kind {
	CHECK_STAGE_NAME_CASING,
	CHECK_FROM_AS_CASING,
	CHECK_NO_EMPTY_CONTINUATION,
	CHECK_CONSISTENT_CASING,
	CHECK_DUPLICATE_STAGE,
	CHECK_RESERVED_STAGE,
	CHECK_JSON_ARGS,
	CHECK_MAINTAINER,
	CHECK_UNDEFINED_ARG_IN_FROM,
	CHECK_WORKDIR_RELATIVE,
	CHECK_UNDEFINED_VAR,
	CHECK_MULTIPLE_INSTRUCTIONS,
	CHECK_LEGACY_KEY_VALUE,
	CHECK_BASE_PLATFORM,
	CHECK_REDUNDANT_PLATFORM,
	CHECK_SECRETS,
	CHECK_DEFAULT_ARG_IN_FROM,
	CHECK_CONST_PLATFORM,
	CHECK_COPY_IGNORED,
	CHECK_DEFINITION_DESCRIPTION,
	CHECK_EXPOSE_CASING,
	CHECK_EXPOSE_FORMAT,
};

struct check_config {
	bool skip_all;
	bool experimental_all;
	bool is_error;
	struct text_list skipped;
	struct text_list experimental;
};

struct checker {
	const struct check_options *options;
	const struct dockerfile *dockerfile;
	struct check_report *report;
	struct check_config config; /* of the file */
	struct stages stages;
};

/* An instruction's own place; its "# check=" is heeded. */
void check_found(struct checker *checker, const struct instruction *instruction, enum check_kind kind,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Some lines; only the file's options count. */
void check_found_at(struct checker *checker, unsigned line, unsigned last_line, enum check_kind kind,
		    const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The first failure counts. Takes the error. */
void check_fail(struct checker *checker, unsigned line, unsigned last_line, struct error *err);

/* The keyword as written. Yours. */
char *check_written(const struct instruction *instruction);

/* Lookups that remember what was not found; get() is of an expand_scope. */
struct check_lookup {
	const char *(*get)(void *arg, const char *name);
	void *arg;
	struct text_list found;
	struct text_list missing;
};
void check_lookup_fini(struct check_lookup *lookup);
void check_lookup_scope(struct check_lookup *lookup, char escape, struct expand_scope *out_scope);
/* expand_word() through the lookup. */
int check_expand(char **out_text, const char *word, struct check_lookup *lookup, char escape, struct error *err);

/* ---- check_file.c ---- */

void check_lines(struct checker *checker);
void check_from_lines(struct checker *checker);

/* ---- check_stage.c ---- */

void check_stages(struct checker *checker);
