/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: a node's key is the digest of its own data and of the chain id
 * of the root it works on, so equal files below are equal whatever made them;
 * a COPY adds the digest of what it copies. A step's key chains all steps
 * before it: it remembers when a step that changes only the config was first
 * made, so that a build that is all cached gives the very same image. Nodes are
 * solved by the threads of work.h, steps are told in order by the build's own.
 */
#include "builder/build_private.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "builder/share.h"
#include "builder/work.h"
#include "oci/hasher.h"

/* ---- keys ---- */

static void add_text(struct hasher *hasher, const char *text)
{
	hasher_add(hasher, text_or_empty(text), strlen(text_or_empty(text)) + 1);
}

static void add_list(struct hasher *hasher, const struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		add_text(hasher, list->items[i]);
	hasher_add(hasher, "\1", 2);
}

static void add_digest(struct hasher *hasher, const struct digest *digest)
{
	char text[DIGEST_TEXT_MAX];

	add_text(hasher, digest_text(digest, text));
}

/* What a cache or a secret holds is no part of the key; what is mounted to be read is. */
static int add_mount(struct hasher *hasher, struct build *build, const struct run_mount *mount, struct error *err)
{
	AUTO_FREE char *numbers = xasprintf("%d %d %lld %o %u %u", (int)mount->kind, (int)mount->writable,
					    (long long)mount->size_bytes, mount->mode, mount->uid, mount->gid);
	struct digest content;

	add_text(hasher, numbers);
	add_text(hasher, mount->target);
	add_text(hasher, mount->variable);
	add_text(hasher,
		 mount->kind == RUN_SECRET || mount->kind == RUN_CACHE || mount->kind == RUN_SSH ? mount->id : "");
	if (!mount->content)
		return 0;
	if (copy_digest(build, mount->content, &content, err) < 0)
		return -1;
	add_digest(hasher, &content);
	return 0;
}

static void add_exec(struct hasher *hasher, const struct exec_data *exec)
{
	add_list(hasher, &exec->args);
	add_list(hasher, &exec->env);
	add_text(hasher, exec->user);
	add_text(hasher, exec->workdir);
	add_text(hasher, exec->network);
	add_text(hasher, exec->script);
}

static void add_copy(struct hasher *hasher, const struct copy_data *copy, const struct digest *content)
{
	add_digest(hasher, content);
	add_list(hasher, &copy->sources);
	add_list(hasher, &copy->excludes);
	add_text(hasher, copy->destination);
	add_text(hasher, copy->chown);
	add_text(hasher, copy->chmod);
	add_text(hasher, copy->parents ? "parents" : "");
	add_text(hasher, copy->unpack ? "unpack" : "");
	add_text(hasher, copy->source_kind == COPY_NODE ? "owners" : "");
}

static int find_key(struct build *build, struct node *node, struct error *err)
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA256);
	struct digest content = { 0 };

	for (size_t i = 0; i < node->exec.mount_count; i++)
		if (add_mount(hasher, build, &node->exec.mounts[i], err) < 0)
			return -1;
	if (node->kind == NODE_COPY && copy_digest(build, node, &content, err) < 0)
		return -1;
	add_text(hasher, "kist.build.1");
	if (build_latest_s(build) >= 0) {
		AUTO_FREE char *latest = xasprintf("latest %lld", (long long)build_latest_s(build));

		add_text(hasher, latest);
	}
	add_digest(hasher, &node->input->result.chain_id);
	switch (node->kind) {
	case NODE_EXEC:
		add_text(hasher, "exec");
		add_exec(hasher, &node->exec);
		break;
	case NODE_COPY:
		add_text(hasher, "copy");
		add_copy(hasher, &node->copy, &content);
		break;
	case NODE_DIRECTORY:
		add_text(hasher, "directory");
		add_text(hasher, node->path);
		add_text(hasher, node->owner);
		break;
	case NODE_LINK:
		add_text(hasher, "link");
		add_digest(hasher, &node->copy.source->result.chain_id);
		break;
	case NODE_SCRATCH:
	case NODE_IMAGE:
		break;
	}
	hasher_digest(hasher, &node->key);
	return 0;
}

/* ---- nodes ---- */

static int run_node(struct build *build, struct node *node, struct error *err)
{
	node->result.created_ns = clock_wall_ns();
	if (node->kind == NODE_EXEC)
		return run_exec(build, node, &node->result, err);
	if (node->kind == NODE_COPY)
		return run_copy(build, node, &node->result, err);
	if (node->kind == NODE_LINK)
		return run_link(build, node, &node->result, err);
	return run_directory(build, node, &node->result, err);
}

static void lease_result(const struct build *build, const struct build_result *result)
{
	if (digest_is_set(&result->chain_id))
		lease_add(build->lease, &result->chain_id);
	if (digest_is_set(&result->diff_id))
		lease_add(build->lease, &result->diff_id);
}

static int find_cached(struct build *build, struct node *node, struct error *err)
{
	int r;

	if (node->no_cache)
		return 0;
	r = build_cache_find(&node->result, build->store, &node->key, err);
	if (r < 0)
		return -1;
	if (r == 0) {
		r = inline_cache_find(&node->result, build, node, &node->key, err);
		if (r <= 0)
			return r;
		return build_cache_put(build->store, &node->key, node->description, &node->result, err) < 0 ? -1 : 1;
	}
	/* Leased, then looked at again: the collector may just have been at it. */
	lease_result(build, &node->result);
	build_result_fini(&node->result);
	return build_cache_find(&node->result, build->store, &node->key, err);
}

static int run_shown(struct build *build, struct node *node, struct error *err)
{
	struct build_vertex vertex;
	int r;

	vertex_begin_node(build, &vertex, node);
	r = run_node(build, node, err);
	if (r == 0)
		r = build_cache_put(build->store, &node->key, node->description, &node->result, err);
	vertex_end(build, &vertex, r < 0 ? err : NULL);
	return r;
}

static void show_cached(struct build *build, struct node *node)
{
	node->cached = true;
	node_print(build, node, " ---> Using cache\n");
	vertex_cached_node(build, node);
}

/* ---- with other builds ---- */

/* Who has no part in a step's secrets sees nothing of it; who wants no cache wants it run for itself. */
static bool is_shared(const struct node *node)
{
	for (size_t i = 0; i < node->exec.mount_count; i++)
		if (node->exec.mounts[i].kind == RUN_SECRET || node->exec.mounts[i].kind == RUN_SSH)
			return false;
	return !node->no_cache;
}

/* With other limits it may end otherwise. */
static void share_key(struct digest *out_key, const struct build *build, const struct node *node)
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA256);
	const struct host_config *host = build->options->host;
	AUTO_FREE char *limits = host ? json_encode(host, host_config_fields) : NULL;

	add_digest(hasher, &node->key);
	add_text(hasher, limits);
	hasher_digest(hasher, out_key);
}

static int run_first(struct build *build, struct node *node, struct shared_run *run, struct error *err)
{
	struct shared_end end = { 0 };
	int r;

	/* It may have been solved since we looked. */
	r = find_cached(build, node, err);
	if (r > 0)
		show_cached(build, node);
	node->run = run;
	if (r == 0)
		r = run_shown(build, node, err);
	node->run = NULL;
	end.solved = r >= 0;
	end.exit_code = node->exit_code;
	end.out_of_memory = node->out_of_memory;
	share_end(run, &end);
	return r < 0 ? -1 : 0;
}

struct follow {
	struct build *build;
	struct node *node;
};

static void on_told(void *arg, int stream, const void *data, size_t size)
{
	const struct follow *follow = arg;

	node_print_output(follow->build, follow->node, stream, data, size);
}

/* 1 it is solved, 0 that it ended means nothing for us. */
static int follow_run(struct build *build, struct node *node, struct shared_run *run, struct error *err)
{
	struct follow follow = { build, node };
	struct build_vertex vertex;
	struct shared_end end;
	int r;

	vertex_begin_node(build, &vertex, node);
	r = share_follow(&end, run, on_told, &follow, build_cancel_fd(build), err);
	if (r == 0 && end.exit_code) {
		node->exit_code = end.exit_code;
		node->out_of_memory = end.out_of_memory;
		r = exec_failed(build, node, err);
	}
	if (r == 0 && end.solved)
		r = find_cached(build, node, err);
	if (r != 0)
		vertex_end(build, &vertex, r < 0 ? err : NULL);
	return r;
}

static int run_or_follow(struct build *build, struct node *node, struct error *err)
{
	struct digest key;
	int r = 0;

	share_key(&key, build, node);
	while (r == 0) {
		bool is_first;
		AUTO(share_leavep) struct shared_run *run = share_join(&is_first, build->store, &key);

		if (is_first)
			return run_first(build, node, run, err);
		r = follow_run(build, node, run, err);
	}
	return r < 0 ? -1 : 0;
}

/* What it stands on is solved; any thread. */
static int solve_node(struct build *build, struct node *node, struct error *err)
{
	int r;

	if (node->kind == NODE_SCRATCH || node->kind == NODE_IMAGE) {
		node->result.chain_id = node->chain_id;
		vertex_cached_node(build, node);
		return 0;
	}
	if (find_key(build, node, err) < 0)
		return -1;
	r = find_cached(build, node, err);
	if (r < 0)
		return -1;
	if (r > 0) {
		show_cached(build, node);
		return 0;
	}
	return is_shared(node) ? run_or_follow(build, node, err) : run_shown(build, node, err);
}

/* ---- steps ---- */

static void step_key(struct step *step, const struct step *before, const struct stage *stage)
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA256);

	add_text(hasher, "kist.step.1");
	if (before)
		add_digest(hasher, &before->key);
	else
		add_digest(hasher, &stage->base_image);
	add_text(hasher, step->created_by);
	if (step->node)
		add_digest(hasher, &step->node->result.chain_id);
	hasher_digest(hasher, &step->key);
}

/* When a step without files was made first. */
static int date_step(struct build *build, const struct stage *stage, struct step *step, struct error *err)
{
	AUTO(build_result_fini) struct build_result result = { 0 };
	int r = stage->no_cache ? 0 : build_cache_find(&result, build->store, &step->key, err);
	bool imported = false;

	if (r == 0 && !stage->no_cache) {
		r = inline_cache_find(&result, build, NULL, &step->key, err);
		imported = r > 0;
	}
	if (r < 0 || (imported && build_cache_put(build->store, &step->key, step->text, &result, err) < 0))
		return -1;
	if (r > 0) {
		build_print(build, " ---> Using cache\n");
		step->created_ns = result.created_ns;
		return 0;
	}
	result.created_ns = clock_wall_ns();
	step->created_ns = result.created_ns;
	return build_cache_put(build->store, &step->key, step->text, &result, err);
}

static const struct step *step_before(const struct stage *stage, size_t index)
{
	if (index > 0)
		return &stage->steps[index - 1];
	return stage->base && stage->base->step_count > 0 ? &stage->base->steps[stage->base->step_count - 1] : NULL;
}

static void print_id(struct build *build, const struct stage *stage, const struct step *step)
{
	bool is_base = !step->created_by && step == stage->steps && digest_is_set(&stage->base_image) && !stage->base;
	char hex[DIGEST_TEXT_MAX];

	if (!step->created_by && !is_base && !stage->base)
		build_print(build, " ---> \n");
	else
		build_print(build, " ---> %.12s\n", digest_hex(is_base ? &stage->base_image : &step->key, hex));
}

static void print_head(struct build *build, const struct step *step)
{
	if (step->before)
		build_print(build, "%s", step->before);
	build_print(build, "Step %zu/%zu : %s", ++build->step_number, build->step_total, step->text);
	build_print(build, "\n");
}

/* 1 it is solved, 0 something has stopped the work. */
static int solve_step(struct build *build, struct stage *stage, size_t index, struct error *err)
{
	struct step *step = &stage->steps[index];

	print_head(build, step);
	if (step->node && !work_wait(build->work, step->node))
		return 0;
	step_key(step, step_before(stage, index), stage);
	if (step->node && step->node->kind != NODE_IMAGE && step->node->kind != NODE_SCRATCH && step->created_by)
		step->created_ns = step->node->result.created_ns;
	else if (step->created_by && date_step(build, stage, step, err) < 0)
		return -1;
	print_id(build, stage, step);
	return 1;
}

static int solve_steps(struct build *build, struct error *err)
{
	struct stages *stages = &build->stages;
	int r = 1;

	for (size_t i = 0; i < stages->count; i++) {
		struct stage *stage = &stages->items[i];

		for (size_t j = 0; stage->needed && j < stage->step_count && r > 0; j++)
			r = solve_step(build, stage, j, err);
	}
	return r;
}

/* ---- its end ---- */

static void count(const struct build *build)
{
	struct build_counts *counts = build->options->counts;

	for (size_t i = 0; counts && i < build->graph.count; i++) {
		const struct node *node = build->graph.nodes[i];

		if (node->kind == NODE_SCRATCH || node->kind == NODE_IMAGE || node->kind == NODE_LINK ||
		    node->state <= NODE_WAITING)
			continue;
		counts->total++;
		counts->cached += node->cached;
		counts->completed += node->state == NODE_SOLVED;
	}
}

/* The step's place among all that are told; the first, if later stages begin where it ends. */
static const struct step *find_step(size_t *out_number, const struct build *build, const struct node *node)
{
	*out_number = 0;
	for (size_t i = 0; i < build->stages.count; i++) {
		const struct stage *stage = &build->stages.items[i];

		for (size_t j = 0; stage->needed && j < stage->step_count; j++, ++*out_number)
			if (stage->steps[j].node == node)
				return &stage->steps[j];
	}
	return NULL;
}

/* The step that failed may be one that nobody was told of yet. */
static void tell_failed_step(struct build *build, struct node *failed)
{
	size_t number;
	const struct step *step = find_step(&number, build, failed);

	if (step && number >= build->step_number) {
		build->step_number = number;
		print_head(build, step);
	}
	work_tell_rest(build->work, failed);
}

static int fail(struct build *build, struct node *failed, struct error *err)
{
	if (!failed)
		return error_set(err, ERR_CANCELED, "canceled");
	tell_failed_step(build, failed);
	build->failure->code = failed->exit_code;
	snprintf(build->failure->container, sizeof(build->failure->container), "%s", text_or_empty(failed->container));
	if (failed->problem.kind != ERR_CANCELED)
		build_print_place(build, failed->line, failed->last_line);
	return error_move(err, &failed->problem);
}

int build_cancel_fd(const struct build *build)
{
	return build->work ? work_cancel_fd(build->work) : build->options->cancel_fd;
}

int solve(struct build *build, struct error *err)
{
	struct node *failed;
	int r;

	if (work_start(&build->work, build, solve_node, err) < 0)
		return -1;
	r = solve_steps(build, err);
	failed = work_end(build->work);
	count(build);
	if (r == 0)
		fail(build, failed, err);
	work_free(build->work);
	build->work = NULL;
	return r > 0 ? 0 : -1;
}
