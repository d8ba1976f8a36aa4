/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "engine/container_network.h"
#include "engine/engine_private.h"
#include "engine/image_mount.h"
#include "engine/volume.h"
#include "engine/volume_mount.h"
#include "store/snapshot.h"

const char *const container_prune_filter_keys[] = { "label", "label!", "until", NULL };

const struct json_field container_prune_report_fields[] = {
	JSON_TEXT_LIST("ContainersDeleted", struct container_prune_report, deleted, JSON_EMPTY_NULL),
	JSON_I64("SpaceReclaimed", struct container_prune_report, space_reclaimed, 0),
	JSON_END,
};

static void set_removing(struct container *container, bool removing, bool with_volumes)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	container->document.state.removing = removing;
	container->document.state.removing_volumes = with_volumes;
	container->stop_wanted |= removing;
	watch_notify(&container->changes);
}

static void remove_volumes(struct container *container)
{
	for (size_t i = 0; i < container->document.mounts.count; i++) {
		AUTO(error_clear) struct error err = { 0 };
		const struct container_mount *mount = &container->document.mounts.items[i];

		/* In use by another: it stays. */
		if (mount->anonymous && !text_empty(mount->name))
			volume_remove_with(container, mount->name, &err);
	}
}

/* Marked first, row last: a removal that was cut short is finished at the next start. */
int container_destroy(struct container *container, bool with_volumes, struct error *err)
{
	AUTO_FREE char *folder = container_path(container, NULL);
	int r;

	with_volumes |= container->document.state.removing_volumes;
	set_removing(container, true, with_volumes);
	container_save(container);
	fault_point("kistd remove: marked");
	if (snapshot_remove(container->engine->store, container->id, err) < 0) {
		set_removing(container, false, false);
		return error_prefix(err, "container %s: driver \"%s\" failed to remove root filesystem", container->id,
				    store_driver_name(store_driver(container->engine->store)));
	}
	fault_point("kistd remove: snapshot gone");
	image_mounts_remove(container);
	bundle_remove(container->bundle);
	r = remove_tree(AT_FDCWD, folder);
	if (r < 0) {
		set_removing(container, false, false);
		return error_set_errno(err, ERR_INTERNAL, r, "unable to remove filesystem for %s", container->id);
	}
	fault_point("kistd remove: folder gone");
	/* While its row is there: a removal that is cut short here leaves none behind. */
	if (with_volumes)
		remove_volumes(container);
	fault_point("kistd remove: volumes gone");
	if (container_forget(container, err) < 0)
		return -1;
	fault_point("kistd remove: row gone");
	container_end_execs(container);
	container_leave(container);
	container_event(container, "destroy", NULL);
	mutex_lock(&container->mutex);
	container->removed = true;
	container_end_attaches(container);
	watch_notify(&container->changes);
	mutex_unlock(&container->mutex);
	return 0;
}

/* Why it may not be removed now, or 0. */
static int check_removable(struct container *container, const char *name, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	const struct container_state *state = &container->document.state;

	if (!state->running)
		return 0;
	if (state->paused)
		return error_set(err, ERR_CONFLICT,
				 "cannot remove container \"%s\": container is paused and must be unpaused first",
				 name);
	return error_set(err, ERR_CONFLICT,
			 "cannot remove container \"%s\": container is %s: stop the container before removing or force "
			 "remove",
			 name, container_status(state));
}

static int end_by_force(struct engine *engine, struct container *container, int cancel_fd, struct error *err)
{
	AUTO(error_clear) struct error problem = { 0 };

	volumes_give_up(container);
	if (!container_is_running(container))
		return 0;
	if (container_kill(engine, container->id, "KILL", cancel_fd, &problem) == 0 || problem.kind == ERR_CONFLICT ||
	    problem.kind == ERR_NOT_FOUND)
		return 0;
	return error_move(err, &problem);
}

static int remove_held(struct container *container, const char *name, const struct remove_options *options,
		       struct error *err)
{
	if (check_removable(container, name, err) < 0)
		return -1;
	return container_destroy(container, options->volumes, err);
}

int container_remove(struct engine *engine, const char *name, const struct remove_options *options, int cancel_fd,
		     struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	bool removing;
	int r;

	if (options->link)
		return container_remove_link(engine, name, err);
	if (container_find(&container, engine, name, err) < 0)
		return -1;
	mutex_lock(&container->mutex);
	removing = container->document.state.removing && container->busy;
	mutex_unlock(&container->mutex);
	if (removing)
		return error_set(err, ERR_CONFLICT, "removal of container %s is already in progress", name);
	if (options->force ? end_by_force(engine, container, cancel_fd, err) < 0
			   : check_removable(container, name, err) < 0)
		return -1;
	r = container_acquire(container, cancel_fd, err);
	/* Gone meanwhile (--rm): with force that is what was asked for. */
	if (r < 0 && options->force && err->kind == ERR_NOT_FOUND) {
		error_clear(err);
		return 0;
	}
	if (r < 0)
		return -1;
	r = remove_held(container, name, options, err);
	container_release(container);
	return r;
}

/* ---- prune ---- */

static bool is_pruned(struct container *container, const struct filter_set *filters, int64_t until_ns)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	const struct container_document *document = &container->document;

	if (document->state.running || document->state.removing || container->busy)
		return false;
	if (until_ns && document->state.created_ns > until_ns)
		return false;
	if (!filters)
		return true;
	if (filter_has(filters, "label!") && filter_match_labels(filters, "label!", &document->config.labels))
		return false;
	return filter_match_labels(filters, "label", &document->config.labels);
}

static bool begin_prune(struct engine *engine)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->index);

	if (engine->pruning)
		return false;
	engine->pruning = true;
	return true;
}

static void prune_one(struct container_prune_report *report, struct container *container, int cancel_fd)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	const struct remove_options options = { 0 };
	uint64_t bytes = 0;

	if (snapshot_size(&bytes, container->engine->store, container->id, &ignored) < 0)
		bytes = 0;
	if (container_remove(container->engine, container->id, &options, cancel_fd, &err) < 0)
		return;
	text_list_add(&report->deleted, container->id);
	report->space_reclaimed += (int64_t)bytes;
}

int container_prune(struct container_prune_report *out_report, struct engine *engine, const struct filter_set *filters,
		    int cancel_fd, struct error *err)
{
	struct container **items;
	int64_t until_ns;
	size_t count;

	if (filter_until(&until_ns, filters, err) < 0)
		return -1;
	if (!begin_prune(engine))
		return error_set(err, ERR_CONFLICT, "a prune operation is already running");
	count = container_all(&items, engine);
	for (size_t i = 0; i < count; i++)
		if (is_pruned(items[i], filters, until_ns))
			prune_one(out_report, items[i], cancel_fd);
	container_all_free(items, count);
	mutex_lock(&engine->index);
	engine->pruning = false;
	mutex_unlock(&engine->index);
	return 0;
}
