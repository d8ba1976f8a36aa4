/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask.h - the JSON lines of a kist-transfer that serves one repository: after
 * its request (message.h, action "serve") questions come with an id, and each
 * gets exactly one answer with that id, in any order. A question that needs
 * bytes brings one descriptor. The end of the questions ends the program.
 */
#pragma once

#include "base/text.h"
#include "json/json.h"

struct message_ask {
	uint64_t id;
	/* "manifest" "head" (by `what`), "put_manifest", "find_blob" (there, or mounted), "blob" and "put_blob" (with a
	 * descriptor), "delete" (of a manifest), "tags", "catalog", "search" (no more than size results), "referrers" */
	char *act;
	char *what;	  /* a tag or digest; of referrers: the subject; of search: the term */
	char *media_type; /* of put_manifest, and of blob */
	char *text;	  /* the manifest's exact bytes */
	char *digest;	  /* of a blob */
	uint64_t size;
	struct text_list mounts; /* repositories of the same registry that may have the blob */
	struct text_list urls;	 /* where else a foreign layer may be */
};

struct message_answer {
	uint64_t id;
	bool found;
	char *media_type;
	char *digest;
	uint64_t size;
	char *text;
	char *limit; /* requests left, as the registry says it: "98 of 100" */
	struct text_list names;
	char *error_kind;
	char *error_message;
	int64_t error_number;
};

extern const struct json_field message_ask_fields[];
extern const struct json_field message_answer_fields[];
