/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - the JSON lines between engine and kist-transfer.
 *
 * The engine sends one request, then replies to the child's "which" and "layer"
 * events; all else are events of the child, the last one "end".
 */
#pragma once

#include "oci/platform.h"
#include "json/json.h"

struct message_auth {
	char *username;
	char *password;
	char *identity_token;
	char *registry_token;
};

/* One of a push: the config or a layer. */
struct message_blob {
	char *digest;
	uint64_t size;
	bool pack;		 /* it is a plain tar: to be compressed first, digest and size are not used */
	struct text_list mounts; /* repositories of the same registry that may have it */
};

struct message_request {
	/* "pull", "look" (the first documents of a pull, no layer), "push", "pack" (one file compressed), "login", "fetch"
	 * (message_fetch follow), "serve" (ask.h), "get" (one file of any server: url, etag, authorization, unpacked_limit) */
	char *action;
	char *reference;
	char *server;
	struct platform *platform;
	bool strict;
	struct message_auth auth;
	struct text_list insecure;
	bool verify; /* nothing is insecure, not even loopback */
	struct text_list mirrors;
	int64_t peer_patience_ms; /* 0: 20 */
	struct text_list peers;	  /* [http[s]://]host:port of engines that are asked for layers first */
	struct text_list certs;
	struct text_list folders; /* certificates for this registry alone, instead of certs */
	int64_t parallel;
	uint64_t unpacked_limit;
	int64_t zstd_level;	/* pack; 0: gzip */
	struct text_list known; /* digests this name had before: the engine may still have the documents */
	JSON_ARRAY_OF(struct message_blob) blobs;
	char *url;
	char *etag;
	char *authorization;
};

struct message_event {
	/* "document" kind descriptor text; "limit" text; "known" digest; "which"; "layer" index again; "progress" index status current total;
	 * "done" index; "unpack_broke" index; "end" digest media_type identity_token | error_*
	 * of a get: "file" asks for where the bytes go; "progress"; "end" code etag modified
	 * of a push: "blob" index asks for the bytes; "packed" index digest size; "manifest" asks for it; "progress" */
	char *event;
	char *kind;
	char *media_type;
	char *digest;
	uint64_t size;
	char *text;
	uint64_t index;
	bool again;
	char *status;
	uint64_t current;
	uint64_t total;
	char *identity_token;
	int64_t code; /* HTTP */
	char *etag;
	char *modified;
	char *error_kind;
	char *error_message;
	int64_t error_number;
};

struct message_flag {
	bool value;
};

struct message_reply {
	bool want;				 /* to "layer" */
	bool unpack;				 /* to "layer": two descriptors come with it, not one */
	JSON_ARRAY_OF(struct message_flag) have; /* to "which" */
	char *text;				 /* to "manifest"; to "known": absent, or the document */
	char *media_type;
};

/* After a request of action "fetch", any number of these, one at a time. */
struct message_fetch {
	char *method;
	char *path; /* behind /v2/ */
	char *scope;
	bool manifest;		       /* say which media types we know */
	bool body;		       /* a pipe for the bytes comes with it */
	bool resume;		       /* the bytes never change: go on after a cut */
	bool once;		       /* do not try again */
	uint64_t from;		       /* how many sources not to ask: what they gave was wrong */
	char *url;		       /* instead of path, anywhere */
	char *text;		       /* to send; absent: nothing */
	struct optional_u64 send_size; /* so many bytes of a file that comes with it, from send_offset on, instead */
	uint64_t send_offset;
	struct text_list headers;
};

/* What came of it: first with the head when there are bytes, and always a last one. */
struct message_fetched {
	bool last;
	int64_t status;
	char *media_type;
	char *digest;
	struct optional_u64 size;
	char *link;
	char *filters;
	char *etag;
	uint64_t source; /* whose the first bytes are */
	char *mirror;	 /* its address, if another may be asked after it */
	char *error_kind;
	char *error_message;
};

extern const struct json_field message_fetch_fields[];
extern const struct json_field message_fetched_fields[];
extern const struct json_field message_request_fields[];
extern const struct json_field message_event_fields[];
extern const struct json_field message_reply_fields[];

/* For members that borrow: what is only encoded is never freed. */
static inline char *message_text(const char *text)
{
	return (char *)(uintptr_t)text;
}
