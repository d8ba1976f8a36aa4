/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RUN: an ordinary container of the engine on the input's layers; when it ended
 * well, what it changed is the result.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/random.h"
#include "builder/build_private.h"
#include "builder/run_mount.h"
#include "engine/attach.h"
#include "engine/commit.h"
#include "engine/container.h"
#include "engine/engine.h"
#include "engine/image_make.h"

#define CARRY_MAX 4
#define REMOVE_TRIES 20
#define REMOVE_PAUSE_MS 100

struct run {
	struct build *build;
	struct node *node;
	char *id;     /* of the container; NULL: none */
	char *folder; /* of the heredoc's program and secrets, on tmpfs; NULL: none yet */
	struct mounts mounts;
	bool ended;		  /* the container is no longer ours */
	char carry[2][CARRY_MAX]; /* the first bytes of a character whose rest has not come */
	size_t carried[2];
};

static void run_fini(struct run *run)
{
	AUTO(error_clear) struct error ignored = { 0 };
	const struct remove_options options = { .force = true, .volumes = true };

	/* On a full disk the files go first, in the background; then there is room to write down that it is gone. */
	for (int i = 0; run->id && !run->ended && i < REMOVE_TRIES; i++) {
		error_clear(&ignored);
		if (container_remove(run->build->engine, run->id, &options, -1, &ignored) == 0 ||
		    ignored.kind == ERR_NOT_FOUND)
			break;
		clock_sleep_ms(REMOVE_PAUSE_MS);
	}
	mounts_fini(&run->mounts);
	if (run->folder)
		remove_tree(AT_FDCWD, run->folder);
	free(run->folder);
	free(run->id);
}

/* ---- the container ---- */

static int make_folder(struct run *run, struct error *err)
{
	char hex[17];
	int r;

	random_hex(hex, 8);
	run->folder = xasprintf("%s/build/%s", engine_exec_root(run->build->engine), hex);
	r = mkdir_all(AT_FDCWD, run->folder, 0711);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "make %s", run->folder) : 0;
}

static int write_script(struct run *run, struct container_create_request *request, struct error *err)
{
	const struct exec_data *exec = &run->node->exec;
	AUTO_FREE char *path = NULL;
	int r;

	if (!exec->script)
		return 0;
	if (strchr(exec->script_name, '/') || strchr(exec->script_name, ':'))
		return error_set(err, ERR_INVALID, "%s is no name for a file", exec->script_name);
	path = path_join(run->folder, "script");
	r = file_write_atomic(AT_FDCWD, path, exec->script, strlen(exec->script), 0755, FILE_NO_SYNC);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "write %s", path);
	text_list_addf(&request->host.binds, "%s:/dev/pipes/%s:ro", path, exec->script_name);
	return 0;
}

static void replace_text(char **text, const char *value)
{
	free(*text);
	*text = xstrdup(value);
}

static int fill_request(struct run *run, struct container_create_request *request, struct error *err)
{
	const struct exec_data *exec = &run->node->exec;
	const struct build_options *options = run->build->options;

	if (options->host)
		json_copy_fields(&request->host, options->host, host_config_fields);
	text_list_add_all(&request->config.cmd, &exec->args);
	text_list_add_all(&request->config.env, &exec->env);
	request->config.user = xstrdup(exec->user);
	request->config.working_dir = xstrdup(exec->workdir);
	request->config.attach_stdout = true;
	request->config.attach_stderr = true;
	/* What the step prints goes to the client, and nowhere else. */
	replace_text(&request->host.log_config.type, "none");
	if (exec->network && !text_equal(exec->network, "default"))
		replace_text(&request->host.network_mode, exec->network);
	if ((exec->script || exec->mount_count > 0) && make_folder(run, err) < 0)
		return -1;
	if (write_script(run, request, err) < 0)
		return -1;
	/* Proxies are hidden likewise: their addresses may hold passwords. */
	text_list_add_all(&run->mounts.secrets, &exec->hidden);
	return mounts_prepare(&run->mounts, run->build, exec, run->folder, request, err);
}

static int create(struct run *run, struct error *err)
{
	struct container_create_request request = { 0 };
	struct image_ready image = { .chain_id = run->node->input->result.chain_id };
	int r = fill_request(run, &request, err);

	image.id = xstrdup("");
	image.name = xstrdup("");
	image.manifest = xstrdup("");
	if (r == 0)
		r = container_create_step(&run->id, run->build->engine, &request, &image, &run->mounts.secrets, err);
	image_ready_fini(&image);
	container_create_request_fini(&request);
	return r;
}

/* ---- output ---- */

/* How many of the last bytes begin a character that is not whole yet. */
static size_t unfinished(const char *data, size_t size)
{
	for (size_t back = 1; back <= 3 && back <= size; back++) {
		unsigned char c = (unsigned char)data[size - back];
		size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;

		if (length)
			return length > back ? back : 0;
		if (c < 0x80)
			return 0;
	}
	return 0;
}

static void show(struct run *run, const struct stream_frame *frame)
{
	AUTO(text_fini) struct text text = { 0 };
	size_t which = frame->stream == STREAM_STDERR;
	size_t keep;

	text_add_bytes(&text, run->carry[which], run->carried[which]);
	text_add_bytes(&text, frame->data, frame->size);
	keep = unfinished(text.data, text.size);
	node_print_output(run->build, run->node, frame->stream, text.data, text.size - keep);
	memcpy(run->carry[which], text.data + text.size - keep, keep);
	run->carried[which] = keep;
}

static int follow(struct run *run, struct attach *attach, struct error *err)
{
	struct stream_frame frame;
	int r;

	while ((r = attach_read(attach, &frame, build_cancel_fd(run->build), err)) > 0)
		show(run, &frame);
	for (size_t i = 0; i < 2; i++)
		node_print_output(run->build, run->node, (int)i + 1, run->carry[i], run->carried[i]);
	return r;
}

/* ---- its end ---- */

int exec_failed(const struct build *build, const struct node *node, struct error *err)
{
	const char *shown = node->exec.shown;
	long long code = node->exit_code;

	if (build->options->watch)
		return error_set(err, ERR_INTERNAL, "process \"%s\" did not complete successfully: %sexit code: %lld",
				 shown, node->out_of_memory ? "cannot allocate memory: " : "", code);
	return error_set(err, ERR_INVALID, "The command '%s' returned a non-zero code: %lld%s", shown, code,
			 node->out_of_memory ? " (it was killed: out of memory)" : "");
}

static int judge(struct run *run, int64_t code, struct error *err)
{
	struct container_inspect inspect = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };

	if (code == 0)
		return 0;
	if (container_inspect(&inspect, run->build->engine, run->id, false, &ignored) == 0)
		run->node->out_of_memory = inspect.state.oom_killed;
	json_free_fields(&inspect, container_inspect_fields);
	run->node->exit_code = code;
	return exec_failed(run->build, run->node, err);
}

/* Programs of another machine need a handler in the kernel. */
static int explain_start(const struct run *run, struct error *err)
{
	const struct platform *host = &run->build->stages.build_platform;
	const struct platform *image = &run->build->stages.platform;
	AUTO_FREE char *wanted = NULL;

	if (!strstr(text_or_empty(err->message), "exec format error") ||
	    text_equal(image->architecture, host->architecture))
		return -1;
	wanted = platform_format(image);
	return error_prefix(err,
			    "this machine (%s) has no handler for programs of %s: install one, as Debian's "
			    "qemu-user-static with binfmt-support",
			    host->architecture, wanted);
}

static int start(const struct run *run, int cancel_fd, struct error *err)
{
	return container_start(run->build->engine, run->id, cancel_fd, err) < 0 ? explain_start(run, err) : 0;
}

static int execute(struct run *run, struct error *err)
{
	const struct attach_options options = { .stdout_wanted = true, .stderr_wanted = true, .stream = true };
	AUTO(container_waiter_freep) struct container_waiter *waiter = NULL;
	AUTO(attach_freep) struct attach *attach = NULL;
	struct engine *engine = run->build->engine;
	int cancel_fd = build_cancel_fd(run->build);
	struct wait_result result = { 0 };

	if (container_attach(&attach, engine, run->id, &options, err) < 0 ||
	    container_wait_begin(&waiter, engine, run->id, WAIT_NEXT_EXIT, err) < 0 || start(run, cancel_fd, err) < 0 ||
	    follow(run, attach, err) < 0 || container_wait_finish(&result, waiter, cancel_fd, err) < 0)
		return -1;
	free(result.error_message);
	return judge(run, result.exit_code, err);
}

/* Ended with an error: it stays for whoever wants to look, as docker's does, unless it was asked to go. */
static int fail(struct run *run, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };

	if (err->kind != ERR_CANCELED && run->node->exit_code != 0 && !run->build->options->force_remove &&
	    container_keep_step(run->build->engine, run->id, &ignored) == 0) {
		run->ended = true;
		run->node->container = xstrdup(run->id);
	}
	return -1;
}

static int take_layer(struct run *run, struct build_result *result, struct error *err)
{
	struct build *build = run->build;
	AUTO(text_list_fini) struct text_list mounts = { 0 };
	const struct layer_make options = { .key = run->id,
					    .mounts = &mounts,
					    .keep = !build->options->remove && !build->options->force_remove,
					    .latest_s = build_latest_s(build),
					    .lease = build->lease,
					    .cancel_fd = build_cancel_fd(build) };
	struct layer_made made;

	if (container_mount_points(&mounts, build->engine, run->id, err) < 0 ||
	    layer_make(&made, build->engine, &options, err) < 0)
		return -1;
	result->chain_id = made.chain_id;
	result->diff_id = made.diff_id;
	result->size_bytes = made.size_bytes;
	if (!options.keep) {
		node_print(build, run->node, " ---> Removed intermediate container %.12s\n", run->id);
		return 0;
	}
	run->ended = true;
	return container_keep_step(build->engine, run->id, err);
}

int run_exec(struct build *build, struct node *node, struct build_result *out_result, struct error *err)
{
	AUTO(run_fini) struct run run = { .build = build, .node = node };

	if (create(&run, err) < 0)
		return -1;
	node_print(build, node, " ---> Running in %.12s\n", run.id);
	if (execute(&run, err) < 0)
		return fail(&run, err);
	return take_layer(&run, out_result, err);
}
