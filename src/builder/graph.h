/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graph.h - a build as operations on root file systems; inside builder/ only.
 *
 * A node names its inputs and says all that decides its result; its key is the
 * digest of that and of its inputs' keys (of their content, where only some
 * files matter). A solved node has a stack of layers. Nodes live as long as the
 * graph. What changes only an image's config is no node. While a build is solved
 * (work.h) a node belongs to the thread that solves it; solved, it changes no more.
 */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/error.h"
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
	NODE_LINK,	/* the layer of a COPY --link, copy.source, on top of the input */
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

enum copy_source { COPY_CONTEXT, COPY_NODE, COPY_HEREDOC, COPY_ORIGIN };

struct copy_data {
	enum copy_source source_kind;
	struct node *source;	     /* COPY_NODE */
	struct named_context *named; /* COPY_CONTEXT: not the main one (borrowed); NULL */
	struct origin *origin;	     /* COPY_ORIGIN: owned */
	struct text_list sources;
	struct text_list bodies; /* COPY_HEREDOC: one for each source */
	char *destination;	 /* absolute; '/' at the end kept */
	char *chown;		 /* NULL: none */
	char *chmod;
	struct text_list excludes;
	bool parents;
	bool is_add;
	bool unpack;		/* ADD: archives are unpacked */
	struct copy_data *more; /* of the same instruction, from elsewhere; to the same place; owned */
};

enum node_state { NODE_UNWANTED, NODE_WAITING, NODE_RUNNING, NODE_SOLVED, NODE_FAILED };

/* As BuildKit: what a step prints beyond this is not shown. */
#define NODE_OUTPUT_MAX (2u * 1024 * 1024)
#define NODE_OUTPUT_CLIPPED "\\n[output clipped, log limit 2MiB reached]\\n"

struct shared_run;

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

	bool no_cache;		  /* run, whatever is known of it */
	char id[DIGEST_TEXT_MAX]; /* for who watches; "": not shown */

	enum node_state state;
	bool cached;
	struct digest key;
	struct build_result result;
	struct error problem;	  /* NODE_FAILED */
	int64_t exit_code;	  /* of a RUN that failed; 0: something else */
	bool out_of_memory;	  /* and that is why */
	char *container;	  /* what it left; NULL: none */
	struct shared_run *run;	  /* while other builds may follow it (share.h); NULL */
	struct text_list printed; /* messages that are not sent yet */
	size_t printed_bytes;
	size_t logged_bytes; /* told to who watches */
};

struct graph {
	struct node **nodes;
	size_t count;
	size_t capacity;
};

struct node *graph_add(struct graph *graph, enum node_kind kind, struct node *input);
/* What must be solved before: the index-th, which may be NULL; false: there are no more. */
bool node_dependency(struct node **out_node, const struct node *node, size_t index);
void graph_fini(struct graph *graph);
