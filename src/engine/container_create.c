/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/random.h"
#include "base/rollback.h"
#include "engine/container_network.h"
#include "engine/engine_private.h"
#include "engine/image.h"
#include "engine/image_mount.h"
#include "engine/image_use.h"
#include "engine/log_driver.h"
#include "engine/oci_runtime.h"
#include "engine/user_namespace.h"
#include "engine/volume.h"
#include "engine/volume_making.h"
#include "engine/volume_mount.h"
#include "network/network.h"
#include "store/snapshot.h"

static void fill_command(struct container_document *document)
{
	struct text_list all = { 0 };

	text_list_add_all(&all, &document->config.entrypoint);
	text_list_add_all(&all, &document->config.cmd);
	document->path = xstrdup(all.items[0]);
	for (size_t i = 1; i < all.count; i++)
		text_list_add(&document->args, all.items[i]);
	text_list_fini(&all);
}

static int check_ports(const struct container_document *document, struct error *err)
{
	for (size_t i = 0; i < document->host.port_bindings.count; i++) {
		const char *port = document->host.port_bindings.items[i].port;
		const char *slash = strchr(port, '/');
		AUTO_FREE char *number = slash ? xstrndup(port, (size_t)(slash - port)) : xstrdup(port);
		enum network_protocol protocol;
		uint64_t value;

		if (text_parse_u64(&value, number, 65535) < 0 || value == 0)
			return error_set(err, ERR_INVALID, "invalid port specification: \"%s\"", port);
		if (slash && network_protocol_parse(&protocol, slash + 1) < 0)
			return error_set(err, ERR_INVALID, "invalid port specification: \"%s\"", port);
	}
	return 0;
}

/* Published ports are exposed ports too. */
static void expose_bound_ports(struct container_document *document)
{
	for (size_t i = 0; i < document->host.port_bindings.count; i++) {
		struct port_bindings *bindings = &document->host.port_bindings.items[i];

		if (!strchr(bindings->port, '/')) {
			char *full = xasprintf("%s/tcp", bindings->port);

			free(bindings->port);
			bindings->port = full;
		}
		key_set_add(&document->config.exposed_ports, bindings->port);
	}
}

/* Its name may change; its id does not. One that is not there yet is looked for at the start. */
static void name_shared_network(struct container *container)
{
	const char *other = text_after(container->document.host.network_mode, "container:");
	AUTO(container_unrefp) struct container *found = NULL;
	AUTO(error_clear) struct error missing = { 0 };

	if (!other || container_find(&found, container->engine, other, &missing) < 0)
		return;
	free(container->document.host.network_mode);
	container->document.host.network_mode = xasprintf("container:%s", found->id);
}

static int check_engine(struct container *container, struct error *err)
{
	struct host_config *host = &container->document.host;

	if (oci_runtime_check(container->engine, host, err) < 0)
		return -1;
	if (optional_bool_or(host->init, false) && !container->engine->init_path)
		return error_set(err, ERR_UNSUPPORTED, "--init needs an init program, and this engine has none");
	name_shared_network(container);
	return user_namespace_check(container->engine, host, err);
}

static void undo_enter(void *arg)
{
	container_leave(arg);
}

static void undo_snapshot(void *arg)
{
	struct container *container = arg;
	AUTO(error_clear) struct error err = { 0 };

	if (snapshot_remove(container->engine->store, container->id, &err) < 0)
		engine_log_error(container->engine, "a snapshot was left behind", container->id, &err);
}

static void undo_folder(void *arg)
{
	AUTO_FREE char *path = container_path(arg, NULL);

	remove_tree(AT_FDCWD, path);
}

static void undo_volumes(void *arg)
{
	struct container *container = arg;

	volumes_let_go(container);
	image_mounts_remove(container);
	for (size_t i = 0; i < container->document.mounts.count; i++) {
		AUTO(error_clear) struct error err = { 0 };
		const struct container_mount *mount = &container->document.mounts.items[i];

		if (mount->anonymous && mount->name)
			volume_remove(container->engine, mount->name, true, -1, &err);
	}
	volumes_made(container);
}

/* What the image has at a volume's place goes to where the volume is: a server, another folder. */
static int fill_volumes(struct container *container, const struct digest *chain_id, struct error *err)
{
	bool wanted = false;
	int r;

	for (size_t i = 0; i < container->document.mounts.count; i++)
		wanted |= container->document.mounts.items[i].copy_up;
	if (!wanted)
		return 0;
	if (volumes_mount_to_fill(container, err) < 0)
		return -1;
	r = container_fill_volumes(container, chain_id, err);
	volumes_unmount(container);
	volumes_release(container);
	return r;
}

/* The engine's own limit is for containers, not for what a build leaves as layers. */
static int limit_storage(struct container *container, struct error *err)
{
	struct engine *engine = container->engine;
	int64_t size;

	if (container_storage_size(&size, &container->document.host, err) < 0)
		return -1;
	if (size == 0 && !container->document.build_step)
		size = engine->storage_size_bytes;
	return size > 0 ? snapshot_limit(engine->store, container->id, (uint64_t)size, err) : 0;
}

/* Everything with an effect, each step undone if a later one fails. */
static int build(struct container *container, const struct image_ready *image, const struct text_list *bind_sources,
		 struct error *err)
{
	AUTO(rollback_run) struct rollback undo = { 0 };
	AUTO_FREE char *folder = container_path(container, NULL);
	int r;

	if (container_enter(container, err) < 0)
		return -1;
	rollback_add(&undo, undo_enter, container);
	if (user_namespace_assign(container, err) < 0)
		return -1;
	rollback_add(&undo, undo_volumes, container);
	if (container_resolve_mounts(container, err) < 0)
		return -1;
	container_confine_mounts(container, bind_sources);
	fault_point("kistd create: volumes made");
	if (snapshot_create(container->engine->store, container->id, &image->chain_id, err) < 0)
		return -1;
	rollback_add(&undo, undo_snapshot, container);
	fault_point("kistd create: snapshot made");
	if (limit_storage(container, err) < 0)
		return -1;
	r = mkdir_all(AT_FDCWD, folder, 0710);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "create container: %s", folder);
	rollback_add(&undo, undo_folder, container);
	fault_point("kistd create: folder made");
	if (fill_volumes(container, &image->chain_id, err) < 0 || container_store(container, err) < 0)
		return -1;
	fault_point("kistd create: row written");
	volumes_made(container);
	rollback_cancel(&undo);
	return 0;
}

static int fill_document(struct container *container, const struct container_create_request *request,
			 const struct image_ready *image, struct text_list *warnings, struct error *err)
{
	struct container_document *document = &container->document;

	document->id = xstrdup(container->id);
	document->image_id = xstrdup(image->id);
	image_use_note(container->engine, image->id);
	document->state.created_ns = clock_wall_ns();
	json_copy_fields(&document->config, &request->config, container_config_fields);
	json_copy_fields(&document->host, &request->host, host_config_fields);
	json_copy_fields(&document->networking, &request->networking, networking_config_fields);
	document->host.masked_paths_given = request->host.masked_paths_given;
	document->host.readonly_paths_given = request->host.readonly_paths_given;
	container_defaults_apply(&document->host, &engine_settings(container->engine)->containers);
	container_merge_image(&document->config, &image->config.config);
	log_config_fill(&document->host.log_config, container->engine);
	if (container_check(&document->config, &document->host, warnings, err) < 0 ||
	    check_engine(container, err) < 0 || check_ports(document, err) < 0)
		return -1;
	expose_bound_ports(document);
	if (document->host.shm_size == 0)
		document->host.shm_size = container->engine->shm_size_bytes;
	if (text_empty(document->config.hostname) && !text_has_prefix(document->host.network_mode, "container:")) {
		free(document->config.hostname);
		document->config.hostname = xstrndup(container->id, 12);
	}
	if (container_network_check(container, err) < 0)
		return -1;
	if (text_empty(document->host.cgroupns_mode)) {
		free(document->host.cgroupns_mode);
		document->host.cgroupns_mode =
			xstrdup(container->engine->cgroup_v2 && !document->host.privileged ? "private" : "host");
	}
	fill_command(document);
	return 0;
}

static void publish(struct container *container)
{
	mutex_lock(&container->mutex);
	container->published = true;
	mutex_unlock(&container->mutex);
	container_event(container, "create", NULL);
}

static int create(char **out_id, struct text_list *out_warnings, struct engine *engine, const char *name,
		  const struct container_create_request *request, const struct image_ready *image,
		  const struct text_list *step_secrets, struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	char id[65];

	random_hex(id, 32);
	container = container_new(engine, id);
	container->document.build_step = step_secrets != NULL;
	if (step_secrets)
		text_list_add_all(&container->secrets, step_secrets);
	container->document.name = text_empty(name) ? container_make_name(engine) : xstrdup(name);
	if (fill_document(container, request, image, out_warnings, err) < 0 ||
	    build(container, image, request->bind_sources, err) < 0)
		return -1;
	publish(container);
	*out_id = xstrdup(id);
	return 0;
}

int container_create(char **out_id, struct text_list *out_warnings, struct engine *engine, const char *name,
		     const struct container_create_request *request, struct error *err)
{
	AUTO(image_ready_fini) struct image_ready image = { 0 };

	if (name && *name == '/')
		name++;
	if (!text_empty(name) && container_check_name(name, err) < 0)
		return -1;
	if (text_empty(request->config.image))
		return error_set(err, ERR_INVALID, "no command specified");
	if (image_resolve(&image, engine, request->config.image, err) < 0)
		return -1;
	return create(out_id, out_warnings, engine, name, request, &image, NULL, err);
}

int container_create_step(char **out_id, struct engine *engine, const struct container_create_request *request,
			  const struct image_ready *image, const struct text_list *secrets, struct error *err)
{
	AUTO(text_list_fini) struct text_list warnings = { 0 };

	return create(out_id, &warnings, engine, NULL, request, image, secrets, err);
}

int container_keep_step(struct engine *engine, const char *name, struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;

	if (container_find(&container, engine, name, err) < 0)
		return -1;
	mutex_lock(&container->mutex);
	container->document.build_step = false;
	mutex_unlock(&container->mutex);
	return container_store(container, err);
}
