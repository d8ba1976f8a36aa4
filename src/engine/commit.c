/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/commit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/fault.h"
#include "engine/engine_private.h"
#include "engine/image_changes.h"
#include "engine/image_lookup.h"
#include "engine/image_make.h"
#include "engine/spec.h"
#include "oci/platform.h"
#include "store/files.h"
#include "store/layer.h"

#define LIST_MAX (256u << 20)

const struct json_field path_change_fields[] = {
	JSON_TEXT("Path", struct path_change, path, 0),
	JSON_I64("Kind", struct path_change, kind, 0),
	JSON_END,
};

int container_mount_points(struct text_list *out_paths, struct engine *engine, const char *name, struct error *err)
{
	static const char *const defaults[] = {
		"/proc",	"/dev",	    "/dev/pts",	  "/sys",	   "/sys/fs/cgroup",
		"/dev/mqueue",	"/dev/shm", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf",
		"/dev/console", NULL
	};
	AUTO(container_unrefp) struct container *container = NULL;

	if (container_find(&container, engine, name, err) < 0)
		return -1;
	for (size_t i = 0; defaults[i]; i++)
		text_list_add(out_paths, defaults[i]);
	mutex_lock(&container->mutex);
	for (size_t i = 0; i < container->document.mounts.count; i++)
		text_list_add(out_paths, container->document.mounts.items[i].destination);
	mutex_unlock(&container->mutex);
	return 0;
}

/* ---- changes ---- */

static int add_changes(struct path_changes *changes, const char *data, size_t size)
{
	const char *end = data + size;

	for (const char *at = data; at < end; at += strlen(at) + 1) {
		struct path_change *change = json_array_add(changes, sizeof(*change));

		change->kind = at[0] == 'A' ? CHANGE_ADDED : at[0] == 'D' ? CHANGE_DELETED : CHANGE_MODIFIED;
		change->path = xstrdup(at + 1);
	}
	return 0;
}

int container_changes(struct path_changes *out_changes, struct engine *engine, const char *name, int cancel_fd,
		      struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	AUTO(text_list_fini) struct text_list request = { 0 };
	AUTO(text_list_fini) struct text_list mounts = { 0 };
	AUTO(buffer_fini) struct buffer list = { 0 };
	AUTO(files_freep) struct files *files = NULL;
	struct files_result result;
	int r;

	if (container_find(&container, engine, name, err) < 0 ||
	    container_mount_points(&mounts, engine, container->id, err) < 0 ||
	    files_add_snapshot(&request, engine->store, container->id, err) < 0)
		return -1;
	for (size_t i = 0; i < mounts.count; i++)
		text_list_addf(&request, "mount=%s", mounts.items[i]);
	if (files_start(&files, "changes", &request, -1, err) < 0)
		return -1;
	buffer_init(&list, LIST_MAX);
	r = buffer_read_all(&list, files_output_fd(files));
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read the list of changes");
	if (files_wait(&result, files, cancel_fd, err) < 0)
		return -1;
	return add_changes(out_changes, list.data ? buffer_text(&list) : "", list.size);
}

/* ---- commit ---- */

struct commit {
	struct engine *engine;
	const struct commit_options *options;
	struct container *container;
	struct lease *lease;
	struct reference reference; /* path NULL: no name */
	struct image_config config;
	struct digest base;
};

static void replace_text(char **text, const char *value)
{
	if (text_empty(value))
		return;
	free(*text);
	*text = xstrdup(value);
}

static void add_keys(void *keys, const struct key_set *set)
{
	JSON_ARRAY_OF(struct image_key) *array = keys;

	for (size_t i = 0; i < set->count; i++) {
		bool known = false;

		for (size_t j = 0; j < array->count && !known; j++)
			known = text_equal(array->items[j].name, set->items[i].key);
		if (!known) {
			struct image_key *key = json_array_add(keys, sizeof(*key));

			key->name = xstrdup(set->items[i].key);
		}
	}
}

static void replace_list(struct text_list *list, const struct text_list *value)
{
	text_list_fini(list);
	text_list_add_all(list, value);
}

static void copy_health(struct image_run *run, const struct health_config *health)
{
	struct image_healthcheck *copy;

	if (!health)
		return;
	if (run->healthcheck)
		json_free_fields(run->healthcheck, image_healthcheck_fields);
	free(run->healthcheck);
	copy = xcalloc(1, sizeof(*copy));
	text_list_add_all(&copy->test, &health->test);
	copy->interval_ns = health->interval_ns;
	copy->timeout_ns = health->timeout_ns;
	copy->start_period_ns = health->start_period_ns;
	copy->start_interval_ns = health->start_interval_ns;
	copy->retries = health->retries;
	run->healthcheck = copy;
}

/* The container's config is the image's merged with the user's: what the new image shall run. */
static void take_container(struct image_run *run, const struct container_config *from)
{
	struct image_run fresh = { 0 };

	json_free_fields(run, image_run_fields);
	*run = fresh;
	replace_text(&run->user, from->user);
	add_keys(&run->exposed_ports, &from->exposed_ports);
	replace_list(&run->env, &from->env);
	replace_list(&run->entrypoint, &from->entrypoint);
	replace_list(&run->cmd, &from->cmd);
	add_keys(&run->volumes, &from->volumes);
	replace_text(&run->working_dir, from->working_dir);
	replace_list(&run->on_build, &from->on_build);
	text_map_copy(&run->labels, &from->labels);
	replace_text(&run->stop_signal, from->stop_signal);
	run->stop_timeout = from->stop_timeout;
	replace_list(&run->shell, &from->shell);
	copy_health(run, from->healthcheck);
}

/* The body of the request: what it names replaces or adds. */
static void take_request(struct image_run *run, const struct container_config *from)
{
	replace_text(&run->user, from->user);
	add_keys(&run->exposed_ports, &from->exposed_ports);
	for (size_t i = 0; i < from->env.count; i++) {
		const char *equals = strchr(from->env.items[i], '=');
		AUTO_FREE char *key = equals ? xstrndup(from->env.items[i], (size_t)(equals - from->env.items[i]))
					     : xstrdup(from->env.items[i]);

		text_list_set_env(&run->env, key, equals ? equals + 1 : "");
	}
	if (from->entrypoint.count)
		replace_list(&run->entrypoint, &from->entrypoint);
	if (from->cmd.count)
		replace_list(&run->cmd, &from->cmd);
	add_keys(&run->volumes, &from->volumes);
	replace_text(&run->working_dir, from->working_dir);
	for (size_t i = 0; i < from->labels.count; i++)
		text_map_set(&run->labels, from->labels.items[i].key, from->labels.items[i].value);
	replace_text(&run->stop_signal, from->stop_signal);
	copy_health(run, from->healthcheck);
}

static int load_base(struct commit *commit, struct error *err)
{
	AUTO(error_clear) struct error missing = { 0 };
	struct platform host = { 0 };

	if (digest_parse(&commit->base, commit->container->document.image_id, &missing) == 0 &&
	    image_load_config(&commit->config, commit->engine, &commit->base, &missing) == 0)
		return 0;
	/* Its image is gone (or was a step of a build): then the layers below speak for themselves. */
	(void)err;
	commit->base = (struct digest){ 0 };
	image_config_fini(&commit->config);
	platform_host(&host);
	commit->config.architecture = xstrdup(host.architecture);
	commit->config.os = xstrdup(host.os);
	platform_fini(&host);
	return 0;
}

static int load_diff_ids(struct commit *commit, const struct digest *chain_id, struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	char text[DIGEST_TEXT_MAX];

	if (layer_stack_load(&stack, commit->engine->store, chain_id, err) < 0)
		return -1;
	text_list_fini(&commit->config.rootfs.diff_ids);
	for (size_t i = stack.count; i > 0; i--)
		text_list_add(&commit->config.rootfs.diff_ids, digest_text(&stack.items[i - 1].diff_id, text));
	free(commit->config.rootfs.type);
	commit->config.rootfs.type = xstrdup("layers");
	return 0;
}

static int fill_config(struct commit *commit, const struct layer_made *made, struct error *err)
{
	const struct commit_options *options = commit->options;
	const struct container_config *config = &commit->container->document.config;
	struct image_history *step;
	char now[CLOCK_TEXT_MAX];

	take_container(&commit->config.config, config);
	if (options->config)
		take_request(&commit->config.config, options->config);
	if (image_changes_apply(&commit->config.config, options->changes, err) < 0 ||
	    load_diff_ids(commit, &made->chain_id, err) < 0)
		return -1;
	clock_format(now, clock_wall_ns());
	free(commit->config.created);
	commit->config.created = xstrdup(now);
	replace_text(&commit->config.author, options->author);
	step = json_array_add(&commit->config.history, sizeof(*step));
	step->created = xstrdup(now);
	step->created_by = text_list_join(&config->cmd, " ");
	step->author = text_empty(options->author) ? NULL : xstrdup(options->author);
	step->comment = text_empty(options->comment) ? NULL : xstrdup(options->comment);
	step->empty_layer = !digest_is_set(&made->diff_id);
	return 0;
}

static int check(struct commit *commit, struct error *err)
{
	const struct commit_options *options = commit->options;

	if (image_changes_check(options->changes, err) < 0)
		return -1;
	if (text_empty(options->repo))
		return 0;
	if (image_parse_reference(&commit->reference, options->repo, options->tag, err) < 0)
		return -1;
	if (digest_is_set(&commit->reference.digest))
		return error_set(err, ERR_INVALID, "cannot commit to a name with a digest");
	return 0;
}

/* 1: it runs, and was paused for us. */
static int pause_for_commit(struct commit *commit)
{
	AUTO(error_clear) struct error ignored = { 0 };

	return commit->options->pause && container_pause_for_commit(commit->container, &ignored) == 0;
}

static int make_layer(struct layer_made *made, struct commit *commit, struct error *err)
{
	AUTO(text_list_fini) struct text_list mounts = { 0 };
	const struct layer_make options = { .key = commit->container->id,
					    .mounts = &mounts,
					    .keep = true,
					    .latest_s = -1,
					    .lease = commit->lease,
					    .cancel_fd = commit->options->cancel_fd };
	AUTO(error_clear) struct error problem = { 0 };
	int paused;
	int r;

	if (container_mount_points(&mounts, commit->engine, commit->container->id, err) < 0)
		return -1;
	paused = pause_for_commit(commit);
	r = layer_make(made, commit->engine, &options, err);
	if (paused && container_unpause(commit->engine, commit->container->id, &problem) < 0)
		engine_log_error(commit->engine, "going on after a commit", commit->container->id, &problem);
	return r;
}

static int run_commit(struct digest *out_id, struct commit *commit, struct error *err)
{
	struct image_make make = { .config = &commit->config, .lease = commit->lease };
	struct layer_made made;
	char text[DIGEST_TEXT_MAX];

	if (check(commit, err) < 0 ||
	    container_find(&commit->container, commit->engine, commit->options->container, err) < 0 ||
	    make_layer(&made, commit, err) < 0)
		return -1;
	fault_point("kistd commit: layer made");
	if (load_base(commit, err) < 0 || fill_config(commit, &made, err) < 0)
		return -1;
	make.base = commit->base;
	make.parent = commit->base;
	make.name = commit->reference.path ? &commit->reference : NULL;
	if (image_make(out_id, commit->engine, &make, err) < 0)
		return -1;
	fault_point("kistd commit: image named");
	{
		const char *extras[] = { "comment", text_or_empty(commit->options->comment), "imageID",
					 digest_text(out_id, text), NULL };

		container_event(commit->container, "commit", extras);
	}
	return 0;
}

int container_commit(struct digest *out_id, struct engine *engine, const struct commit_options *options,
		     struct error *err)
{
	struct commit commit = { .engine = engine, .options = options, .lease = lease_new(engine->store) };
	int r = run_commit(out_id, &commit, err);

	container_unrefp(&commit.container);
	reference_fini(&commit.reference);
	image_config_fini(&commit.config);
	lease_free(commit.lease);
	return r;
}
