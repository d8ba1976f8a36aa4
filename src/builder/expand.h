/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expand.h - variables and quotes in the words of a Dockerfile.
 *
 * $name, ${name} and the operators :- - :+ + :? ? # ## % %% / // with nested
 * words; '...' is literal, "..." expands, the escape character protects the
 * next one. Errors are ERR_INVALID in the reference frontend's words. Nesting
 * is bounded. Pure.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"

struct expand_scope {
	/* NULL: unset. The text lives as long as the scope. */
	const char *(*get)(void *arg, const char *name);
	void *arg;
	char escape; /* '\\' or '`' */
};

/* One word, quotes removed; *out_text is yours. */
int expand_word(char **out_text, const char *word, const struct expand_scope *scope, struct error *err);
/* The same; what is not quoted is split at blanks. Adds to the list. */
int expand_words(struct text_list *out_words, const char *word, const struct expand_scope *scope, struct error *err);
/* Quotes stay as they are: bodies of heredocs. */
int expand_body(char **out_text, const char *body, const struct expand_scope *scope, struct error *err);
