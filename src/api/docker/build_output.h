/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_output.h - what `kist build -o` gets from POST /build?outputs=[...]: the
 * answer's stream of messages has the outputs between them. {"output":N} says
 * that pieces of output N follow its line: each with its size before it, 4 bytes
 * in network order; size 0 ends it, all ones breaks it off.
 */
#pragma once

#include "builder/build.h"
#include "http/server.h"

struct engine;

struct build_outputs_wanted {
	const struct build_options *options;
	const char *outputs; /* [{"Type":"oci","Attrs":{...}}], checked before anything is built; "": the image */
	const struct build_caches *caches; /* of --cache-to; those of type=local are the outputs behind the others */
};
int build_with_outputs(struct engine *engine, const struct build_outputs_wanted *wanted, struct http_response *response,
		       struct build_failure *failure, struct error *err);
