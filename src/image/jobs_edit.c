/* SPDX-License-Identifier: Apache-2.0 */
/* append, mutate, rebase, flatten, export: jobs that make another image, or a tar, of one. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/alloc.h"
#include "image/edit.h"
#include "image/jobs.h"
#include "image/tarball.h"
#include "oci/reference.h"

/* ---- append ---- */

int job_append(const struct image_request *request, struct error *err)
{
	AUTO(edit_fini) struct edit edit = { 0 };

	if (edit_load(&edit, request, request->operands.items[0], err) < 0)
		return -1;
	for (size_t i = 0; i < request->files.count; i++) {
		const char *path = request->files.items[i];
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return error_set_errno(err, ERR_INVALID, errno, "open %s", path);
		if (edit_add_layer_take_fd(&edit, fd, "kist image append", err) < 0)
			return error_prefix(err, "%s", path);
	}
	return edit_save(&edit, err);
}

/* ---- mutate ---- */

static int set_pairs(struct text_map *map, const struct text_list *pairs, const char *what, struct error *err)
{
	for (size_t i = 0; i < pairs->count; i++) {
		const char *equals = strchr(pairs->items[i], '=');
		AUTO_FREE char *key = equals ? xstrndup(pairs->items[i], (size_t)(equals - pairs->items[i])) : NULL;

		if (text_empty(key))
			return error_set(err, ERR_INVALID, "%s \"%s\": expected name=value", what, pairs->items[i]);
		text_map_set(map, key, equals + 1);
	}
	return 0;
}

static int set_env(struct text_list *env, const struct text_list *pairs, struct error *err)
{
	struct text_map checked = { 0 };
	int r = set_pairs(&checked, pairs, "env", err);

	for (size_t i = 0; r == 0 && i < checked.count; i++)
		text_list_set_env(env, checked.items[i].key, checked.items[i].value);
	text_map_fini(&checked);
	return r;
}

static void set_list(struct text_list *list, const struct text_list *given, bool clear)
{
	if (!given->count && !clear)
		return;
	text_list_fini(list);
	text_list_add_all(list, given);
}

static void set_text(char **text, const char *given)
{
	if (text_empty(given))
		return;
	free(*text);
	*text = xstrdup(given);
}

static int add_ports(struct image_run *run, const struct text_list *ports, struct error *err)
{
	for (size_t i = 0; i < ports->count; i++) {
		const char *port = ports->items[i];
		AUTO_FREE char *number = xstrndup(port, strcspn(port, "/"));
		uint64_t value;

		if (text_parse_u64(&value, number, 65535) < 0 || value == 0)
			return error_set(err, ERR_INVALID, "port \"%s\": expected a number, or number/protocol", port);
		((struct image_key *)json_array_add(&run->exposed_ports, sizeof(struct image_key)))->name =
			strchr(port, '/') ? xstrdup(port) : xasprintf("%s/tcp", port);
	}
	return 0;
}

static int set_platform(struct image_config *config, const char *text, struct error *err)
{
	struct platform platform = { 0 };

	if (text_empty(text))
		return 0;
	if (platform_parse(&platform, text, err) < 0)
		return -1;
	set_text(&config->os, platform.os);
	set_text(&config->architecture, platform.architecture);
	free(config->variant);
	config->variant = xstrdup(platform.variant);
	platform_fini(&platform);
	return 0;
}

int job_mutate(const struct image_request *request, struct error *err)
{
	AUTO(edit_fini) struct edit edit = { 0 };
	struct image_run *run = &edit.config.config;

	if (edit_load(&edit, request, request->operands.items[0], err) < 0)
		return -1;
	if (set_env(&run->env, &request->env, err) < 0 || set_pairs(&run->labels, &request->labels, "label", err) < 0 ||
	    set_pairs(&edit.manifest.annotations, &request->annotations, "annotation", err) < 0 ||
	    add_ports(run, &request->ports, err) < 0 || set_platform(&edit.config, request->set_platform, err) < 0)
		return -1;
	if (request->annotations.count && !text_equal(edit.document.media_type, MEDIA_OCI_MANIFEST))
		return error_set(err, ERR_UNSUPPORTED,
				 "docker's manifests have no annotations: copy it with --format oci first");
	set_list(&run->entrypoint, &request->entrypoint, request->clear_entrypoint);
	set_list(&run->cmd, &request->cmd, request->clear_cmd);
	set_text(&run->user, request->user);
	set_text(&run->working_dir, request->workdir);
	return edit_save(&edit, err);
}

/* ---- rebase ---- */

#define BASE_NAME "org.opencontainers.image.base.name"
#define BASE_DIGEST "org.opencontainers.image.base.digest"

static int check_base(const struct edit *image, const struct edit *base, struct error *err)
{
	const struct text_list *all = &image->config.rootfs.diff_ids;
	const struct text_list *lower = &base->config.rootfs.diff_ids;
	bool same = lower->count <= all->count;

	for (size_t i = 0; same && i < lower->count; i++)
		same = text_equal(all->items[i], lower->items[i]);
	if (!same)
		return error_set(err, ERR_INVALID, "%s is not built on %s: its layers are others", image->place->name,
				 base->place->name);
	return 0;
}

static void add_history(struct image_config *to, const struct image_config *from, size_t first)
{
	for (size_t i = first; i < from->history.count; i++) {
		const struct image_history *old = &from->history.items[i];
		struct image_history *added = json_array_add(&to->history, sizeof(*added));

		*added = (struct image_history){ .created = xstrdup(old->created),
						 .created_by = xstrdup(old->created_by),
						 .author = xstrdup(old->author),
						 .comment = xstrdup(old->comment),
						 .empty_layer = old->empty_layer };
	}
}

/* The new base's layers, then those of the image above its old one. */
static void exchange_base(struct edit *image, const struct edit *old_base, const struct edit *new_base)
{
	size_t kept = image->layer_count - old_base->layer_count;
	size_t count = new_base->layer_count + kept;
	struct edit_layer *layers = xcalloc(count ? count : 1, sizeof(*layers));
	struct image_config config = { 0 };

	for (size_t i = 0; i < new_base->layer_count; i++) {
		layers[i] = (struct edit_layer){ .fd = -1, .from = new_base->place };
		descriptor_copy(&layers[i].descriptor, &new_base->layers[i].descriptor);
	}
	for (size_t i = 0; i < old_base->layer_count; i++)
		descriptor_fini(&image->layers[i].descriptor);
	if (kept)
		memcpy(layers + new_base->layer_count, image->layers + old_base->layer_count, kept * sizeof(*layers));
	text_list_add_all(&config.rootfs.diff_ids, &new_base->config.rootfs.diff_ids);
	for (size_t i = old_base->layer_count; i < image->config.rootfs.diff_ids.count; i++)
		text_list_add(&config.rootfs.diff_ids, image->config.rootfs.diff_ids.items[i]);
	add_history(&config, &new_base->config, 0);
	add_history(&config, &image->config, old_base->config.history.count);
	text_list_fini(&image->config.rootfs.diff_ids);
	for (size_t i = 0; i < image->config.history.count; i++) {
		struct image_history *old = &image->config.history.items[i];

		free(old->created);
		free(old->created_by);
		free(old->author);
		free(old->comment);
	}
	free(image->config.history.items);
	free(image->layers);
	image->layers = layers;
	image->layer_count = count;
	image->config.rootfs.diff_ids = config.rootfs.diff_ids;
	image->config.history.items = config.history.items;
	image->config.history.count = config.history.count;
}

/* What was not given may be said by the image's annotations. */
static int find_bases(const struct image_request *request, const struct edit *image, char **out_old, char **out_new,
		      struct error *err)
{
	const char *name = text_map_get(&image->manifest.annotations, BASE_NAME);
	const char *digest = text_map_get(&image->manifest.annotations, BASE_DIGEST);
	AUTO(reference_fini) struct reference reference = { 0 };

	*out_old = xstrdup(request->base);
	*out_new = xstrdup(request->new_base ? request->new_base : name);
	if (!*out_old && name && digest) {
		AUTO_FREE char *repository = NULL;

		if (reference_parse(&reference, name, err) < 0)
			return error_prefix(err, "annotation %s", BASE_NAME);
		repository = reference_name(&reference);
		*out_old = xasprintf("docker://%s@%s", repository, digest);
	}
	if (!*out_old || !*out_new)
		return error_set(err, ERR_INVALID,
				 "the image does not say what it is built on: name it with --old-base and --new-base");
	return 0;
}

int job_rebase(const struct image_request *request, struct error *err)
{
	AUTO(edit_fini) struct edit old_base = { 0 };
	AUTO(edit_fini) struct edit new_base = { 0 };
	AUTO(edit_fini) struct edit image = { 0 };
	AUTO_FREE char *old_name = NULL;
	AUTO_FREE char *new_name = NULL;

	if (edit_load(&image, request, request->operands.items[0], err) < 0 ||
	    find_bases(request, &image, &old_name, &new_name, err) < 0 ||
	    edit_load(&old_base, request, old_name, err) < 0 || edit_load(&new_base, request, new_name, err) < 0 ||
	    check_base(&image, &old_base, err) < 0)
		return -1;
	if (text_map_get(&image.manifest.annotations, BASE_DIGEST))
		text_map_set(&image.manifest.annotations, BASE_DIGEST, new_base.document.digest);
	exchange_base(&image, &old_base, &new_base);
	return edit_save(&image, err);
}

/* ---- flatten, export ---- */

static void drop_layers(struct edit *edit)
{
	for (size_t i = 0; i < edit->layer_count; i++) {
		descriptor_fini(&edit->layers[i].descriptor);
		if (edit->layers[i].fd >= 0)
			close(edit->layers[i].fd);
	}
	edit->layer_count = 0;
	text_list_fini(&edit->config.rootfs.diff_ids);
	/* What was done is still told, but by empty layers only. */
	for (size_t i = 0; i < edit->config.history.count; i++)
		edit->config.history.items[i].empty_layer = true;
}

int job_flatten(const struct image_request *request, struct error *err)
{
	AUTO(edit_fini) struct edit edit = { 0 };
	int flat;

	if (edit_load(&edit, request, request->operands.items[0], err) < 0)
		return -1;
	flat = edit_flatten(&edit, err);
	if (flat < 0)
		return -1;
	drop_layers(&edit);
	if (edit_add_layer_take_fd(&edit, flat, "kist image flatten", err) < 0)
		return -1;
	return edit_save(&edit, err);
}

static int send_to(int out, int from, struct error *err)
{
	off_t at = 0;
	ssize_t sent;

	while ((sent = sendfile(out, from, &at, 1 << 30)) != 0)
		if (sent < 0 && errno != EINTR)
			return error_set_errno(err, errno == ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, errno,
					       "write the file system");
	return 0;
}

int job_export(const struct image_request *request, struct error *err)
{
	const char *output = request->operands.count > 1 ? request->operands.items[1] : "-";
	AUTO(edit_fini) struct edit edit = { 0 };
	AUTO(tarball_freep) struct tarball *target = NULL;
	AUTO_CLOSE int flat = -1;

	if (text_equal(output, "-") && isatty(STDOUT_FILENO))
		return error_set(err, ERR_INVALID, "refusing to write a tar to a terminal: name a file, or redirect");
	if (edit_load(&edit, request, request->operands.items[0], err) < 0)
		return -1;
	flat = edit_flatten(&edit, err);
	if (flat < 0)
		return -1;
	if (text_equal(output, "-"))
		return send_to(STDOUT_FILENO, flat, err);
	return tarball_open(&target, output, err) < 0 || tarball_take(target, flat, err) < 0 ? -1 : 0;
}
