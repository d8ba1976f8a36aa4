/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_output.h - kist build -o and --cache-to: what becomes of the result, in
 * BuildKit's words. An archive has its name only when it is whole.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

struct progress_stream;

struct build_output {
	char *type;
	char *dest; /* path or "-"; NULL: the engine keeps it */
	bool push;  /* an image, once it is made */
	struct text_map attrs;
};

struct build_outputs {
	struct build_output *items;
	size_t count;
	size_t capacity;
};

/* One -o: "type=oci,dest=x.tar", a directory, or "-" for a tar stream. */
int build_outputs_add(struct build_outputs *outputs, const char *value, struct error *err);
void build_outputs_fini(struct build_outputs *outputs);
/* What would go wrong at the end is told before the beginning. */
int build_outputs_check(const struct build_outputs *outputs, struct error *err);
/* Standard output is for one of them. */
bool build_outputs_use_stdout(const struct build_outputs *outputs);
bool build_outputs_push(const struct build_outputs *outputs);
/* [{"Type":"oci","Attrs":{...}}] for POST /build. */
void build_outputs_json(struct text *out, const struct build_outputs *outputs);
/* One --cache-to: "type=registry,ref=x", or a reference. Their dest stays among the attributes too. */
int build_caches_add(struct build_outputs *caches, const char *value, struct error *err);

struct build_wanted {
	struct build_outputs outputs;
	struct build_outputs caches; /* those of type=local come behind the outputs */
};
/* Output `number` from the stream of the build; arg: struct build_wanted. */
int build_outputs_take(void *arg, size_t number, struct progress_stream *stream, struct error *err);
