/* SPDX-License-Identifier: Apache-2.0 */
/*
 * finding.h - what is wrong with a specification, and where.
 *
 * The checks run in two ways. A create stops at the first error, which goes
 * into `err`; warnings go to `log`. `kist-runtime check` keeps all of them, each
 * with the JSON pointer (RFC 6901) to its place in config.json.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "base/log.h"

struct finding {
	char *pointer;
	char *message;
	bool warning;
};

struct findings {
	struct error *err;     /* borrowed: stop at the first; NULL: keep all */
	const struct log *log; /* borrowed, may be NULL */
	struct finding *items; /* owned */
	size_t count;
};

/* Pointers are built on the stack: finding_at("/mounts/%zu", i).text */
struct finding_place {
	char text[192];
};
struct finding_place finding_at(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* -1: stop here; 0: it was kept, go on. */
int finding_add(struct findings *findings, enum error_kind kind, const char *pointer, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The same for an error somebody else filled, which is empty afterwards. */
int finding_add_error(struct findings *findings, const char *pointer, struct error *problem);
/* Nothing that hinders a start. */
void finding_warn(struct findings *findings, const char *pointer, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void findings_fini(struct findings *findings);
