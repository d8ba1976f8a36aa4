/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - the engine's side of kist-transfer: one process per pull, push or
 * login, talking JSON lines over a socket, descriptors by SCM_RIGHTS.
 *
 * The child is unprivileged and opens no file of ours; a sink gives it what it
 * may write to. Every callback runs in the thread that called session_*(), one
 * at a time; a callback that fails ends the session with its error.
 *
 * Pull, in order: document() for the index if there is one, the manifest and
 * the config; then for each layer want_layer(), later layer_done(). Layers
 * arrive several at a time, in any order.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "oci/descriptor.h"
#include "oci/platform.h"

/* As in X-Registry-Auth and config.json; texts borrowed, any may be NULL. */
struct session_auth {
	const char *username;
	const char *password;
	const char *identity_token;
	const char *registry_token;
};

/* What the machine's owner says about registries; all borrowed. Hosts on loopback count as insecure by themselves. */
struct session_settings {
	struct text_list insecure; /* host, host:port or CIDR: TLS is not verified, plain http is tried */
	struct text_list mirrors;  /* base URLs tried first, for docker.io only, as dockerd's registry-mirrors */
	struct text_list peers;	   /* host:port of engines that serve theirs: asked for layers first */
	struct text_list
		certs; /* folders with HOST/{*.crt,*.cert,*.key}; empty: /etc/docker/certs.d, /etc/containers/certs.d */
	struct text_list folders; /* with certificates for this registry alone, instead of those */
	int64_t parallel;	  /* layers at a time; 0: 3 */
};

enum session_document { SESSION_INDEX, SESSION_MANIFEST, SESSION_CONFIG };

struct session_layer {
	size_t index; /* 0 is the lowest */
	size_t count; /* of layers */
	const struct descriptor *descriptor;
	const char *diff_id;
	bool again; /* the bytes of the first try were wrong: start with an empty file and a new unpacker */
};

struct session_grant {
	int ingest_fd; /* borrowed: read-write; what it holds is hashed and continued. Read-only is fine if whole */
	int unpack_fd; /* owned, moves to the child: gets the uncompressed tar; -1: do not unpack */
};

struct session_progress {
	const char *id;	    /* 12 hex digits of the layer; NULL: about the whole */
	const char *status; /* "Pulling fs layer", "Downloading", ... docker's words */
	uint64_t current;   /* bytes; 0 and total 0: none */
	uint64_t total;
};

struct session_sink {
	void *arg;
	/* The exact bytes; their digest has been checked against the descriptor. */
	int (*document)(void *arg, enum session_document kind, const struct descriptor *descriptor, const char *text,
			size_t size, struct error *err);
	/* A document by its digest, if it is still here: NULL or yours to free by the caller. May be NULL. */
	char *(*known)(void *arg, const struct digest *digest);
	/* Asked for every layer right after the config: 1 if it is here ("Already exists"), 0 if not. May be NULL: none is. */
	int (*have_layer)(void *arg, const struct session_layer *layer, struct error *err);
	/* 1 with the grant filled; 0 if it is here already ("Already exists"). */
	int (*want_layer)(void *arg, const struct session_layer *layer, struct session_grant *out_grant,
			  struct error *err);
	/* All bytes are in ingest_fd, digest and diff id are proven, unpack_fd is closed. May take its time. */
	int (*layer_done)(void *arg, const struct session_layer *layer, struct error *err);
	/* The reader of unpack_fd went away: fill err with its reason. Returns -1. */
	int (*unpack_broke)(void *arg, const struct session_layer *layer, struct error *err);
	void (*progress)(void *arg, const struct session_progress *progress); /* may be NULL */
};

struct session_pull {
	const char *reference;		 /* full form, with tag or digest (borrowed) */
	const struct platform *platform; /* NULL: the host's (borrowed) */
	enum platform_match match;
	const struct session_auth *auth;	 /* NULL: anonymous */
	const struct session_settings *settings; /* NULL: defaults */
	uint64_t unpacked_limit;		 /* bytes of one layer, uncompressed; 0: none */
	const struct text_list *known;		 /* digests the name had before; NULL: none */
	int cancel_fd;				 /* readable: stop, ERR_CANCELED; 0 or -1: none */
};

struct session_pulled {
	char *digest;	  /* owned: of what the tag named (the index, if there is one) */
	char *media_type; /* owned */
};

/*
 * ERR_NOT_FOUND, ERR_UNAUTHORIZED, ERR_FORBIDDEN and ERR_UNAVAILABLE (registry
 * down, name not resolved) in docker's words where docker has any.
 */
int session_pull(struct session_pulled *out_pulled, const struct session_pull *pull, const struct session_sink *sink,
		 struct error *err);
void session_pulled_fini(struct session_pulled *pulled);

struct session_looked {
	char *digest;
	char *media_type;
	char *text;   /* the document itself: an index, or a manifest */
	char *config; /* of a manifest that is an image's; else NULL */
};

/* What a reference means in its registry now; of `look` only reference, auth, settings and cancel_fd count. */
int session_look(struct session_looked *out_looked, const struct session_pull *look, struct error *err);
void session_looked_fini(struct session_looked *looked);

/* ---- push ---- */

struct session_blob {
	const char *id; /* 12 digits shown with its progress; NULL: shows none (the config) */
	const struct digest *digest;
	uint64_t size;
	bool pack;			/* a plain tar that is to be compressed first: digest and size are not used */
	const struct text_list *mounts; /* repositories of the same registry that may have it; NULL: none known */
};

struct session_bytes {
	int source_fd; /* owned, moves to the child */
	int packed_fd; /* borrowed: empty, read-write; for those to be compressed */
};

struct session_push_sink {
	void *arg;
	int (*open)(void *arg, size_t index, struct session_bytes *out_bytes, struct error *err);
	/* packed_fd holds it all now, as gzip. */
	int (*packed)(void *arg, size_t index, const struct digest *digest, uint64_t size, struct error *err);
	/* When all blobs are there: the manifest's exact bytes (yours to make) and media type (borrowed). */
	int (*manifest)(void *arg, char **out_text, const char **out_media_type, struct error *err);
	void (*progress)(void *arg, const struct session_progress *progress); /* may be NULL */
};

struct session_push {
	const char *reference; /* full form, with a tag; without one the manifest goes under its digest */
	const struct session_blob *blobs;
	size_t blob_count;
	const struct session_auth *auth;	 /* NULL: anonymous */
	const struct session_settings *settings; /* NULL: defaults */
	int64_t parallel;			 /* uploads at a time; 0: 5 */
	int cancel_fd;				 /* as above */
};

struct session_pushed {
	char *digest; /* owned: of the manifest */
	uint64_t size;
};

/* Errors as session_pull's. */
int session_push(struct session_pushed *out_pushed, const struct session_push *push,
		 const struct session_push_sink *sink, struct error *err);
void session_pushed_fini(struct session_pushed *pushed);

/* ---- compression alone ---- */

struct session_pack {
	int source_fd;	/* a plain tar, from its start (borrowed) */
	int target_fd;	/* empty, read-write (borrowed) */
	int zstd_level; /* 1 to 22; 0: gzip */
	int cancel_fd;
};

/* What is in the target then. */
int session_pack(struct digest *out_digest, uint64_t *out_size, const struct session_pack *pack, struct error *err);

/* ---- login ---- */

struct session_login {
	const char *server; /* "docker.io", "https://index.docker.io/v1/", "localhost:5000" */
	const struct session_auth *auth;
	const struct session_settings *settings;
	int cancel_fd;
};

/* Checks credentials against the registry: 0 and *out_identity_token ("" if none; yours), or ERR_UNAUTHORIZED. */
int session_login(char **out_identity_token, const struct session_login *login, struct error *err);
