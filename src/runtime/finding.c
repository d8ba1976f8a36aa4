/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"

struct finding_place finding_at(const char *format, ...)
{
	struct finding_place place;
	va_list args;

	va_start(args, format);
	vsnprintf(place.text, sizeof(place.text), format, args);
	va_end(args);
	return place;
}

static void keep(struct findings *findings, const char *pointer, const char *message, bool warning)
{
	findings->items = xrealloc(findings->items, (findings->count + 1) * sizeof(*findings->items));
	findings->items[findings->count++] =
		(struct finding){ .pointer = xstrdup(pointer), .message = xstrdup(message), .warning = warning };
}

int finding_add(struct findings *findings, enum error_kind kind, const char *pointer, const char *format, ...)
{
	AUTO_FREE char *message = NULL;
	va_list args;

	va_start(args, format);
	message = xvasprintf(format, args);
	va_end(args);
	if (findings->err)
		return error_set(findings->err, kind, "%s", message);
	keep(findings, pointer, message, false);
	return 0;
}

int finding_add_error(struct findings *findings, const char *pointer, struct error *problem)
{
	if (findings->err)
		return error_move(findings->err, problem);
	keep(findings, pointer, problem->message, false);
	error_clear(problem);
	return 0;
}

void finding_warn(struct findings *findings, const char *pointer, const char *format, ...)
{
	AUTO_FREE char *message = NULL;
	va_list args;

	va_start(args, format);
	message = xvasprintf(format, args);
	va_end(args);
	if (!findings->err)
		keep(findings, pointer, message, true);
	else if (findings->log)
		log_warn(findings->log, message);
}

void findings_fini(struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		free(findings->items[i].pointer);
		free(findings->items[i].message);
	}
	free(findings->items);
	findings->items = NULL;
	findings->count = 0;
}
