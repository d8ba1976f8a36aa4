/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_private.h - one build as the room's own files see it.
 *
 * Order: context.c receives, stage.c splits, compile.c makes steps and nodes
 * (base images are resolved and pulled here), solve.c runs what is not cached,
 * export.c makes the image.
 *
 * Threads: one, and those of work.h while solve() goes on. What nodes call then
 * (run_*.c, copy_digest(), inline_cache_find()) changes nothing of the build.
 */
#pragma once

#include <sys/types.h>

#include "builder/build.h"
#include "builder/expand.h"
#include "builder/graph.h"
#include "builder/inline_cache.h"
#include "builder/kept_context.h"
#include "builder/stage.h"
#include "store/layer.h"

/* --build-context */
struct named_context {
	char *name;
	char *image;	       /* NULL: a folder */
	char *source;	       /* of the client; NULL: another kind */
	struct origin *origin; /* of the network; NULL */
	struct text_list ignored;
	struct layer_writer *directory; /* NULL: not fetched */
};

struct build {
	struct engine *engine;
	struct store *store;
	const struct build_options *options;
	struct lease *lease;
	struct build_failure *failure;
	struct origin *origin;		 /* with options.remote: the context; NULL */
	struct layer_writer *context;	 /* NULL: none received yet */
	struct kept_context *kept;	 /* instead, from a client that builds this folder again and again */
	struct layer_writer *definition; /* with options.client: the Dockerfile and what is ignored */
	struct text_list ignored;	 /* with options.client: lines of .dockerignore */
	struct named_context *named;
	size_t named_count;
	struct dockerfile *dockerfile;
	char *dockerfile_path;
	char *dockerfile_text;
	struct dockerfile **triggers; /* ONBUILD instructions; they must live as long as the stages */
	size_t trigger_count;
	size_t trigger_capacity;
	struct stages stages;
	struct stage *target;
	struct graph graph;
	struct imported_steps imported;
	struct text_list consumed; /* build args that something declared */
	size_t step_total;
	size_t step_number;
	char definition_vertex[DIGEST_TEXT_MAX];
	struct build_vertex *vertex; /* that is no node and runs now; NULL */
	struct work *work;	     /* while nodes are solved; else NULL */
	size_t vertex_count;
	uint64_t vertex_seed;
	int64_t epoch_s; /* SOURCE_DATE_EPOCH; -1: none */
	int64_t started_ns;
	char invocation[33];
};

/* ---- output.c ---- */

void build_print(struct build *build, const char *format, ...) __attribute__((format(printf, 2, 3)));
void build_print_bytes(struct build *build, const void *data, size_t size);
/* The lines around an instruction, marked: where a build failed. */
void build_print_place(struct build *build, unsigned first, unsigned last);
void build_send_id(struct build *build, const struct digest *id);
/* The same about a node that is being solved, and what it prints: stream 1 or 2; any thread. */
void node_print(struct build *build, struct node *node, const char *format, ...) __attribute__((format(printf, 3, 4)));
void node_print_output(struct build *build, struct node *node, int stream, const void *data, size_t size);

/* ---- run_mount.c ---- */

/* A socket there that listens, or -errno. */
int build_listen(int dir_fd, const char *name, uid_t uid, gid_t gid, mode_t mode);
/* What --secret gave: 1 and its bytes (yours, with a NUL behind them), 0 if there is none of that id. */
int build_secret(char **out_data, size_t *out_size, const struct build *build, const char *id, struct error *err);

/* ---- named.c ---- */

int named_load(struct build *build, struct error *err);
void named_fini(struct build *build);
/* As FROM and --from write it; NULL: no context has this name. */
struct named_context *named_find(const struct build *build, const char *name);
/* Stages in whose place an image was given. */
void named_replace_stages(struct build *build);

/* ---- warn.c ---- */

/* Tells who watches what the build checks find; ERR_INVALID if the Dockerfile wants that to be an error. */
int warn_findings(struct build *build, struct error *err);

/* ---- vertex.c: all of it does nothing when nobody watches ---- */

/* Starts an operation that is no node; the name must outlive it. */
void vertex_begin(struct build *build, struct build_vertex *vertex, const char *name);
void vertex_end(struct build *build, struct build_vertex *vertex, const struct error *err);
/* Operations to come. */
void vertex_announce(struct build *build);
/* The same for nodes, any thread. */
void vertex_begin_node(struct build *build, struct build_vertex *vertex, const struct node *node);
void vertex_cached_node(struct build *build, const struct node *node);
/* A part of the operation that runs; begun at started_ns, over if completed. */
void vertex_part(struct build *build, const char *name, int64_t started_ns, int64_t current, bool completed);

/* ---- context.c ---- */

struct unpack_result;
/* What a tar stream has, in a new folder; with `archive` bzip2 and xz are undone too. *out_writer is yours in any case. */
int build_unpack(struct layer_writer **out_writer, struct unpack_result *out_result, struct build *build, int stream_fd,
		 bool archive, struct error *err);

int context_receive(struct build *build, struct error *err);
/* With options.client: what the graph needs of the context. */
int context_fetch(struct build *build, struct error *err);
/* The directory (borrowed). */
int context_fd(const struct build *build);
/* The one that a COPY reads. */
int context_fd_of(const struct build *build, const struct copy_data *copy);

/* ---- compile.c ---- */

/* Decides which stages are needed and makes their steps. */
int compile(struct build *build, struct error *err);

/* What compile.c and its parts share for one instruction. */
struct compiler {
	struct build *build;
	struct stage *stage;
	const struct instruction *instruction;
	struct step *step;
	char escape;
};

/* The names an instruction's text may use: ENV before ARG. */
void compiler_scope(struct compiler *compiler, struct expand_scope *out_scope);
int compiler_expand(char **out_text, struct compiler *compiler, const char *word, struct error *err);

/* Where in the Dockerfile the node comes from; a trigger of a base image comes from nowhere. */
void compiler_set_place(struct node *node, const struct compiler *compiler);

/* ERR_FORBIDDEN if the client did not ask for this entitlement. */
int build_check_allowed(const struct build *build, const char *entitlement, struct error *err);

/* Numbers an operation of a stage: "[builder 2/3] RUN make". */
void compiler_show(const struct build *build, struct stage *stage, struct node *node, const char *text);

struct flag_spec {
	const char *name; /* NULL ends the table */
	char **text;
	bool *on;
	struct text_list *list;
};
int compiler_flags(const struct compiler *compiler, const struct flag_spec *specs, struct error *err);

/* ---- compile_config.c: instructions that change the config only ---- */

/* 1 done, 0 another kind. */
int compile_config(struct compiler *compiler, struct error *err);
char *quoted_list(const struct text_list *list);

/* ---- compile_run.c, compile_copy.c, compile_from.c ---- */

int compile_run(struct compiler *compiler, struct error *err);
/* The values of --mount to exec->mounts. */
int compile_mounts(struct exec_data *exec, struct compiler *compiler, const struct text_list *flags, struct error *err);
int compile_copy(struct compiler *compiler, struct error *err);
/* What --from names: a context, a stage or an image. */
int compile_source(struct copy_data *copy, struct compiler *compiler, const char *from, struct error *err);
int compile_workdir(struct compiler *compiler, struct error *err);
int compile_from(struct build *build, struct stage *stage, struct error *err);
/* The credentials of an image's registry among those the client sent, as the JSON a pull wants; yours, NULL: none. */
char *build_auth(const struct build *build, const char *name);
int compile_pull(struct build *build, const char *name, const char *platform, struct error *err);
/* The node of an image, pulled if it is not here; *out_image (may be NULL) is yours. */
int compile_image(struct node **out_node, struct image_ready *out_image, struct build *build, const char *name,
		  const char *platform, struct error *err);

/* ---- solve.c, run_exec.c, run_copy.c ---- */

/* Readable when what runs now is to end: the client is gone, or another node has failed. */
int build_cancel_fd(const struct build *build);

/* The latest time a file of a new layer may have, as layer_make() wants it. */
int64_t build_latest_s(const struct build *build);
/* A time of the config: not later than SOURCE_DATE_EPOCH. */
int64_t build_clamp_ns(const struct build *build, int64_t wall_ns);
/* Runs or finds every step of the needed stages, in order. */
int solve(struct build *build, struct error *err);
/* Says what node->exit_code means; always -1. */
int exec_failed(const struct build *build, const struct node *node, struct error *err);
int run_exec(struct build *build, struct node *node, struct build_result *out_result, struct error *err);
int run_copy(struct build *build, struct node *node, struct build_result *out_result, struct error *err);
/* COPY --link: its layer is put on top of what is there now; nothing is copied. */
int run_link(struct build *build, struct node *node, struct build_result *out_result, struct error *err);
int run_directory(struct build *build, struct node *node, struct build_result *out_result, struct error *err);
/* Copies a node's sources into a new snapshot without layers below; *out_key is yours, snapshot_remove() it. */
int copy_apart(char **out_key, struct build *build, const struct node *node, struct error *err);
/* The file, opened, if it looks like an archive; -1 if not. */
int copy_open_archive(int directory_fd, const char *path);
/* A pattern that means this name only, yours. */
char *copy_escape_pattern(const char *name);
/* What the sources of a COPY contain now. */
int copy_digest(struct build *build, const struct node *node, struct digest *out_digest, struct error *err);

/* ---- export.c ---- */

int export_image(struct digest *out_id, struct build *build, const struct text_list *tags,
		 const struct text_map *annotations, struct error *err);
struct image_record;
/* The image without a row, under the lease. */
int export_record(struct image_record *out_record, struct build *build, const struct text_map *annotations,
		  struct error *err);
