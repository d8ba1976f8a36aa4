/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graph.h - a build as operations on root file systems; inside builder/ only.
 *
 * A node names its inputs and says all that decides its result; its key is the
 * digest of that and of its inputs' keys (of their content, where only some
 * files matter). A solved node has a stack of layers. Nodes live as long as the
 * graph. What changes only an image's config is no node.
 */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "builder/dockerfile.h"
#include "engine/image.h"
#include "store/build_cache.h"

enum node_kind {
	NODE_SCRATCH,	/* no files */
	NODE_IMAGE,	/* an image that is stored */
	NODE_EXEC,	/* RUN */
	NODE_COPY,	/* COPY, ADD */
	NODE_DIRECTORY, /* WORKDIR */
};

enum run_mount_kind { RUN_BIND, RUN_CACHE, RUN_TMPFS, RUN_SECRET, RUN_SSH };
enum run_mount_sharing { SHARING_SHARED, SHARING_PRIVATE, SHARING_LOCKED };

/* RUN --mount */
struct run_mount {
	enum run_mount_kind kind;
	enum run_mount_sharing sharing;
	char *target; /* absolute; NULL: a secret that is only in the environment, an agent in its usual place */
	char *id;
	char *variable;	      /* secret: its name in the environment; NULL */
	struct node *content; /* bind: what is copied, as a COPY that is never run */
	bool writable;
	bool required;
	int64_t size_bytes; /* tmpfs; 0: no limit */
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
};

struct exec_data {
	struct text_list args;
	struct text_list env;	 /* sorted as given */
	struct text_list hidden; /* environment that decides nothing: proxies */
	char *user;
	char *workdir;
	char *network; /* "default", "none", "host" */
	char *script;  /* body of a heredoc that is a program; NULL */
	char *script_name;
	struct run_mount *mounts;
	size_t mount_count;
	char *shown; /* for errors: "/bin/sh -c make" */
};

enum copy_source { COPY_CONTEXT, COPY_NODE, COPY_HEREDOC };

struct copy_data {
	enum copy_source source_kind;
	struct node *source;	     /* COPY_NODE */
	struct named_context *named; /* COPY_CONTEXT: not the main one (borrowed); NULL */
	struct text_list sources;
	struct text_list bodies; /* COPY_HEREDOC: one for each source */
	char *destination;	 /* absolute; '/' at the end kept */
	char *chown;		 /* NULL: none */
	char *chmod;
	struct text_list excludes;
	bool parents;
	bool unpack; /* ADD: archives are unpacked */
};

struct node {
	enum node_kind kind;
	struct node *input; /* the root it works on; NULL for sources */
	char *description;  /* as written: "RUN make" */
	char *shown;	    /* "[2/3] RUN make"; NULL: not shown */
	unsigned line;	    /* first and last of the Dockerfile; 0: not from there */
	unsigned last_line;
	struct digest image_id; /* NODE_IMAGE */
	struct digest chain_id;
	struct exec_data exec;
	struct copy_data copy;
	char *path; /* NODE_DIRECTORY */
	char *owner;

	bool no_cache; /* run, whatever is known of it */
	bool solved;
	bool cached;
	struct digest key;
	struct build_result result;
};

struct graph {
	struct node **nodes;
	size_t count;
	size_t capacity;
};

struct node *graph_add(struct graph *graph, enum node_kind kind, struct node *input);
void graph_fini(struct graph *graph);
