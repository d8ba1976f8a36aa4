/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: every source of mounts (Binds, Mounts, Tmpfs, volumes-from,
 * VOLUME) adds to document->mounts, in docker's order of precedence; a
 * destination taken earlier wins over volumes-from and VOLUME, and is an error
 * between Binds, Mounts and Tmpfs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/path.h"
#include "engine/engine_private.h"
#include "engine/image_mount.h"
#include "engine/volume.h"
#include "engine/volume_row.h"

static struct container_mount *find_mount(struct container_document *document, const char *destination)
{
	for (size_t i = 0; i < document->mounts.count; i++)
		if (text_equal(document->mounts.items[i].destination, destination))
			return &document->mounts.items[i];
	return NULL;
}

/* A new mount on a clean, absolute destination; NULL with ERR_INVALID. */
static struct container_mount *add_mount(struct container *container, const char *type, const char *destination,
					 struct error *err)
{
	AUTO_FREE char *clean = path_clean(destination);
	struct container_mount *mount;

	if (!path_is_absolute(clean)) {
		error_set(err, ERR_INVALID,
			  "invalid mount config for type \"%s\": invalid mount path: '%s' mount path must be absolute",
			  type, destination);
		return NULL;
	}
	if (text_equal(clean, "/")) {
		error_set(err, ERR_INVALID,
			  "invalid mount config for type \"%s\": invalid specification: destination can't be '/'",
			  type);
		return NULL;
	}
	if (find_mount(&container->document, clean)) {
		error_set(err, ERR_INVALID, "Duplicate mount point: %s", clean);
		return NULL;
	}
	mount = json_array_add(&container->document.mounts, sizeof(*mount));
	mount->type = xstrdup(type);
	mount->destination = take_ptr(clean);
	mount->rw = true;
	return mount;
}

static int use_volume(struct container *container, struct container_mount *mount, const char *name,
		      const struct volume_options *options, struct error *err)
{
	struct volume_create_request request = { .name = (char *)(uintptr_t)name };
	struct volume volume = { 0 };
	struct error problem = { 0 };
	bool existed = name && volume_row_find(&volume, container->engine, name, &problem) > 0;

	error_clear(&problem);
	json_free_fields(&volume, volume_fields);
	/* --volume-driver is for volumes that are made now. */
	if (!existed)
		request.driver = container->document.host.volume_driver;
	if (options)
		request.labels = options->labels;
	if (options && options->driver && !existed) {
		request.driver = options->driver->name;
		request.driver_options = options->driver->options;
	}
	if (volume_create_for(&volume, container, &request, err) < 0)
		return -1;
	mount->name = xstrdup(volume.name);
	mount->source = xstrdup(volume.mountpoint);
	mount->driver = xstrdup(volume.driver);
	mount->anonymous = !name;
	json_free_fields(&volume, volume_fields);
	return 0;
}

static bool is_propagation(const char *word)
{
	static const char *const words[] = { "shared", "rshared", "slave", "rslave", "private", "rprivate", NULL };

	for (const char *const *propagation = words; *propagation; propagation++)
		if (text_equal(word, *propagation))
			return true;
	return false;
}

/* The third part of -v: "ro,rslave". */
static int apply_mode(struct container_mount *mount, const char *mode, struct error *err)
{
	static const char *const without_effect[] = { "rw", "z", "Z", "consistent", "cached", "delegated", NULL };
	AUTO(text_list_fini) struct text_list words = { 0 };
	bool bind = text_equal(mount->type, "bind");

	text_list_split(&words, mode, ',');
	for (size_t i = 0; i < words.count; i++) {
		const char *word = words.items[i];
		bool known = false;

		for (const char *const *plain = without_effect; *plain && !known; plain++)
			known = text_equal(word, *plain);
		if (text_equal(word, "ro")) {
			mount->rw = false;
		} else if (text_equal(word, "nocopy") && !bind) {
			mount->copy_up = false;
		} else if (bind && text_equal(word, "idmap")) {
			mount->id_mapped = true;
		} else if (bind && is_propagation(word)) {
			free(mount->propagation);
			mount->propagation = xstrdup(word);
		} else if (!known) {
			return error_set(err, ERR_INVALID, "invalid mode: %s", mode);
		}
	}
	free(mount->mode);
	mount->mode = xstrdup(mode);
	return 0;
}

static int refuse_bind(struct error *err, const char *text)
{
	return error_set(err, ERR_INVALID, "invalid volume specification: '%s'", text);
}

/* -v [source:]destination[:mode] */
static int add_bind(struct container *container, const char *text, struct error *err)
{
	AUTO(text_list_fini) struct text_list parts = { 0 };
	struct container_mount *mount;
	const char *source;
	const char *mode;

	text_list_split(&parts, text, ':');
	if (parts.count < 2 || parts.count > 3 || parts.items[0][0] == '\0' || parts.items[1][0] == '\0')
		return refuse_bind(err, text);
	source = parts.items[0];
	mode = parts.count == 3 ? parts.items[2] : "";
	mount = add_mount(container, path_is_absolute(source) ? "bind" : "volume", parts.items[1], err);
	if (!mount)
		return -1;
	mount->copy_up = true;
	if (apply_mode(mount, mode, err) < 0)
		return -1;
	if (!path_is_absolute(source)) {
		free(mount->mode);
		mount->mode = xstrdup(*mode ? mode : "z");
		return use_volume(container, mount, source, NULL, err);
	}
	mount->copy_up = false;
	mount->create_source = true;
	mount->source = path_clean(source);
	if (!mount->propagation)
		mount->propagation = xstrdup("rprivate");
	return 0;
}

/* ---- --mount ---- */

static int refuse_mount(struct error *err, const struct mount_request *request, const char *what)
{
	return error_set(err, ERR_INVALID, "invalid mount config for type \"%s\": %s", text_or_empty(request->type),
			 what);
}

static int fill_bind_mount(struct container_mount *mount, const struct mount_request *request, struct error *err)
{
	const struct bind_options *options = request->bind;
	struct stat status;

	if (text_empty(request->source))
		return refuse_mount(err, request, "field Source must not be empty");
	if (!path_is_absolute(request->source))
		return error_set(err, ERR_INVALID,
				 "invalid mount config for type \"bind\": invalid mount path: '%s' mount path must be "
				 "absolute",
				 request->source);
	mount->source = path_clean(request->source);
	mount->create_source = options && options->create_mountpoint;
	if (!mount->create_source && stat(mount->source, &status) < 0)
		return error_set(err, ERR_INVALID,
				 "invalid mount config for type \"bind\": bind source path does not exist: %s",
				 request->source);
	if (options && !text_empty(options->propagation) && !is_propagation(options->propagation))
		return error_set(err, ERR_INVALID, "invalid mount config for type \"bind\": invalid propagation: %s",
				 options->propagation);
	mount->propagation = xstrdup(options && !text_empty(options->propagation) ? options->propagation : "rprivate");
	if (options) {
		mount->non_recursive = options->non_recursive;
		mount->read_only_top = options->read_only_non_recursive;
		mount->read_only_force = options->read_only_force_recursive;
	}
	return 0;
}

static int fill_volume_mount(struct container *container, struct container_mount *mount,
			     const struct mount_request *request, struct error *err)
{
	const struct volume_options *options = request->volume;
	const char *name = text_empty(request->source) ? NULL : request->source;

	if (request->bind)
		return refuse_mount(err, request, "field BindOptions must not be specified");
	mount->copy_up = !options || !options->no_copy;
	mount->mode = xstrdup("z");
	if (options && !text_empty(options->subpath)) {
		AUTO_FREE char *clean = path_clean(options->subpath);

		if (path_is_absolute(clean) || text_equal(clean, "..") || text_has_prefix(clean, "../"))
			return refuse_mount(err, request, "subpath must be a relative path within the volume");
		mount->subpath = take_ptr(clean);
		mount->copy_up = false;
	}
	return use_volume(container, mount, name, options, err);
}

static int fill_tmpfs_mount(struct container_mount *mount, const struct mount_request *request, struct error *err)
{
	const struct tmpfs_options *options = request->tmpfs;

	if (!text_empty(request->source))
		return refuse_mount(err, request, "field Source must not be specified");
	if (!options)
		return 0;
	if (options->size_bytes < 0)
		return refuse_mount(err, request, "the size of a tmpfs must not be negative");
	if (options->size_bytes)
		text_list_addf(&mount->options, "size=%lld", (long long)options->size_bytes);
	if (options->mode)
		text_list_addf(&mount->options, "mode=%o", options->mode);
	for (size_t i = 0; i < options->options.count; i++) {
		const struct text_list *pair = &options->options.items[i].values;

		if (pair->count == 1)
			text_list_add(&mount->options, pair->items[0]);
		else if (pair->count == 2)
			text_list_addf(&mount->options, "%s=%s", pair->items[0], pair->items[1]);
		else
			return refuse_mount(err, request, "invalid option array length");
	}
	return 0;
}

static int add_request(struct container *container, const struct mount_request *request, struct error *err)
{
	struct container_mount *mount;

	if (!text_equal(request->type, "bind") && !text_equal(request->type, "volume") &&
	    !text_equal(request->type, "tmpfs") && !text_equal(request->type, "image")) {
		if (text_equal(request->type, "cluster") || text_equal(request->type, "npipe"))
			return error_set(err, ERR_UNSUPPORTED, "mounts of type \"%s\" are not supported",
					 request->type);
		return error_set(err, ERR_INVALID, "invalid mount config for type \"%s\": mount type unknown: \"%s\"",
				 text_or_empty(request->type), text_or_empty(request->type));
	}
	if (text_empty(request->target))
		return refuse_mount(err, request, "field Target must not be empty");
	mount = add_mount(container, request->type, request->target, err);
	if (!mount)
		return -1;
	mount->rw = !request->read_only;
	if (text_equal(request->type, "image") && text_empty(request->source))
		return refuse_mount(err, request, "field Source must not be empty");
	if (text_equal(request->type, "image"))
		return image_mount_make(container, mount, request->source, err);
	if (text_equal(request->type, "bind"))
		return fill_bind_mount(mount, request, err);
	if (text_equal(request->type, "volume"))
		return fill_volume_mount(container, mount, request, err);
	return fill_tmpfs_mount(mount, request, err);
}

/* --tmpfs /run:size=64m,exec */
static int add_tmpfs(struct container *container, const struct text_pair *pair, struct error *err)
{
	static const char *const flags[] = { "exec",	   "noexec",	  "suid",     "nosuid",	    "dev",
					     "nodev",	   "rw",	  "ro",	      "sync",	    "async",
					     "atime",	   "noatime",	  "diratime", "nodiratime", "relatime",
					     "norelatime", "strictatime", NULL };
	static const char *const keys[] = {
		"size=", "mode=", "uid=", "gid=", "nr_inodes=", "nr_blocks=", "mpol=", NULL
	};
	struct container_mount *mount = add_mount(container, "tmpfs", pair->key, err);
	bool known = true;

	if (!mount)
		return -1;
	mount->hidden = true;
	text_list_split(&mount->options, text_or_empty(pair->value), ',');
	for (size_t i = 0; i < mount->options.count && known; i++) {
		known = false;
		for (const char *const *flag = flags; *flag && !known; flag++)
			known = text_equal(mount->options.items[i], *flag);
		for (const char *const *key = keys; *key && !known; key++)
			known = text_has_prefix(mount->options.items[i], *key);
		if (!known)
			return error_set(err, ERR_INVALID, "Invalid tmpfs option [\"%s\"]", mount->options.items[i]);
	}
	return 0;
}

/* --volumes-from name[:ro|rw] */
static int add_from(struct container *container, const char *text, struct error *err)
{
	AUTO(container_unrefp) struct container *other = NULL;
	const char *colon = strchr(text, ':');
	AUTO_FREE char *name = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
	bool read_only = colon && text_equal(colon + 1, "ro");

	if (colon && !read_only && !text_equal(colon + 1, "rw") && !text_equal(colon + 1, "z"))
		return error_set(err, ERR_INVALID, "invalid mode for volumes-from: %s", colon + 1);
	if (container_find(&other, container->engine, name, err) < 0) {
		/* Not the image that is missing: a client would pull it. */
		err->kind = ERR_INVALID;
		return -1;
	}
	/* The mounts of a published container never change. */
	for (size_t i = 0; i < other->document.mounts.count; i++) {
		const struct container_mount *from = &other->document.mounts.items[i];
		struct container_mount *mount;

		if (text_equal(from->type, "tmpfs") || text_equal(from->type, "image") ||
		    find_mount(&container->document, from->destination))
			continue;
		mount = json_array_add(&container->document.mounts, sizeof(*mount));
		json_copy_fields(mount, from, container_mount_fields);
		mount->rw = from->rw && !read_only;
		mount->copy_up = false;
		mount->anonymous = false;
		if (text_equal(mount->type, "volume"))
			volume_hold(container, mount->name);
	}
	return 0;
}

/* VOLUME of the image and `-v /path` */
static int add_image_volume(struct container *container, const char *destination, struct error *err)
{
	AUTO_FREE char *clean = path_clean(destination);
	struct container_mount *mount;

	if (find_mount(&container->document, clean))
		return 0;
	mount = add_mount(container, "volume", clean, err);
	if (!mount)
		return -1;
	mount->copy_up = true;
	mount->mode = xstrdup("");
	return use_volume(container, mount, NULL, NULL, err);
}

/* Who may write in the folder must not choose, at any later start, what else of the host is bound. */
static void confine(struct container_mount *mount, const struct text_list *bind_sources)
{
	for (size_t i = 0; i < bind_sources->count; i++) {
		const char *folder = bind_sources->items[i];

		if (!text_has_suffix(folder, "/") || !text_has_prefix(mount->source, folder))
			continue;
		free(mount->folder);
		mount->folder = xstrdup(folder);
		mount->create_source = false;
		return;
	}
}

void container_confine_mounts(struct container *container, const struct text_list *bind_sources)
{
	for (size_t i = 0; bind_sources && i < container->document.mounts.count; i++)
		if (text_equal(container->document.mounts.items[i].type, "bind"))
			confine(&container->document.mounts.items[i], bind_sources);
}

int container_resolve_mounts(struct container *container, struct error *err)
{
	const struct host_config *host = &container->document.host;
	const struct container_config *config = &container->document.config;

	for (size_t i = 0; i < host->volumes_from.count; i++)
		if (add_from(container, host->volumes_from.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < host->binds.count; i++)
		if (add_bind(container, host->binds.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < host->mounts.count; i++)
		if (add_request(container, &host->mounts.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < host->tmpfs.count; i++)
		if (add_tmpfs(container, &host->tmpfs.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < config->volumes.count; i++)
		if (add_image_volume(container, config->volumes.items[i].key, err) < 0)
			return -1;
	return 0;
}
