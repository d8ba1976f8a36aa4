/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio_uri.h - where a process' output goes and its input comes from, as the
 * engine or containerd writes it.
 *
 * Output: "" or none: discard; /path a fifo (or file, appended);
 * file:///path append; json-file:///path?max-size=BYTES&max-file=N docker's
 * JSON lines with rotation; binary:///path?key=value a program that takes both
 * streams, with key and value as arguments. Of ours: helper=PATH is kist-log;
 * send=1 (also of none:) feeds it too, compress=1 lets it compress rotated files,
 * attrs=JSON stands in every line. Input: "" none; /path a fifo; attach: what attach
 * clients send; attach:?once=1 closed when one of them closes it. Percent
 * escapes are decoded; what is not known is refused, by name.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum stdio_kind { STDIO_NONE, STDIO_PATH, STDIO_FILE, STDIO_JSON_FILE, STDIO_BINARY, STDIO_ATTACH };

struct stdio_uri {
	enum stdio_kind kind;
	char *path;		    /* owned */
	int64_t max_size;	    /* json-file; 0: no rotation */
	int64_t max_file;	    /* json-file; at least 1 */
	bool once;		    /* attach */
	bool compress;		    /* json-file; needs `helper` */
	bool send;		    /* feed the helper */
	char *helper;		    /* owned; NULL, or kist-log */
	char *attributes;	    /* owned; NULL, or a JSON object */
	struct text_list arguments; /* binary */
};

/* uri may be NULL. */
int stdio_uri_parse_output(struct stdio_uri *out_uri, const char *uri, struct error *err);
int stdio_uri_parse_input(struct stdio_uri *out_uri, const char *uri, struct error *err);
void stdio_uri_fini(struct stdio_uri *uri);
