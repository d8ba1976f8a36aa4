/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/volume_use.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/random.h"
#include "engine/engine_private.h"
#include "engine/volume_mount.h"
#include "engine/volume_plugin.h"

#define RELEASE_MS (10 * 1000) /* a container waits no longer for its end */

/* A row of volume_mounts. */
struct use {
	char *id;
	char *container;
	char *volume;
	char *driver;
};

static const struct json_field use_fields[] = {
	JSON_TEXT("id", struct use, id, 0),
	JSON_TEXT("container", struct use, container, 0),
	JSON_TEXT("volume", struct use, volume, 0),
	JSON_TEXT("driver", struct use, driver, 0),
	JSON_END,
};

struct uses {
	struct use *items;
	size_t count;
};

bool volume_mount_is_plugins(const struct container_mount *mount)
{
	return text_equal(mount->type, "volume") && !text_empty(mount->driver) &&
	       !text_equal(mount->driver, VOLUME_DRIVER_LOCAL);
}

/* ---- rows ---- */

static int add_row(struct engine *engine, const struct use *use, const char *destination, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, store_database(engine->store),
		      "INSERT INTO volume_mounts (id, container, destination, volume, driver) VALUES (?1, ?2, ?3, ?4, "
		      "?5)",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, use->id);
	query_bind_text(query, 2, use->container);
	query_bind_text(query, 3, destination);
	query_bind_text(query, 4, use->volume);
	query_bind_text(query, 5, use->driver);
	return query_run(query, err) < 0 ? -1 : 0;
}

static int delete_row(struct engine *engine, const char *id, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, store_database(engine->store), "DELETE FROM volume_mounts WHERE id = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, id);
	return query_run(query, err) < 0 ? -1 : 0;
}

/* container NULL: of all. */
static void list_rows(struct uses *out_uses, struct engine *engine, const char *container)
{
	AUTO(query_freep) struct query *query = NULL;
	AUTO(error_clear) struct error err = { 0 };
	int r = query_new(&query, store_database(engine->store),
			  "SELECT id, container, volume, driver FROM volume_mounts WHERE ?1 IS NULL OR container = ?1",
			  &err);

	if (r == 0)
		query_bind_text(query, 1, container);
	while (r >= 0 && (r = query_next(query, &err)) > 0) {
		struct use *use = json_array_add(out_uses, sizeof(*use));

		use->id = query_text_copy(query, 0);
		use->container = query_text_copy(query, 1);
		use->volume = query_text_copy(query, 2);
		use->driver = query_text_copy(query, 3);
	}
	if (r < 0)
		engine_log_error(engine, "which volumes plugins have mounted is not known", container, &err);
}

/* ---- one ---- */

/* false: its plugin does not answer, or is gone and perhaps the mount with it. The row stays. */
static bool end_use(struct engine *engine, const struct use *use, int timeout_ms, int cancel_fd)
{
	const struct volume_plugin plugin = { .engine = engine, .name = use->driver, .cancel_fd = cancel_fd };
	AUTO(error_clear) struct error problem = { 0 };
	AUTO(error_clear) struct error err = { 0 };

	if (volume_plugin_unmount(&plugin, use->volume, use->id, timeout_ms, &problem) != PLUGIN_DONE)
		engine_log_error(engine, "a volume's plugin did not unmount it", use->volume, &problem);
	if (problem.kind == ERR_NOT_FOUND || problem.kind == ERR_CANCELED || problem.errnum)
		return false;
	if (delete_row(engine, use->id, &err) < 0)
		engine_log_error(engine, "a volume counts as mounted", use->volume, &err);
	return true;
}

static int begin_use(struct container *container, struct container_mount *mount, int cancel_fd, struct error *err)
{
	struct engine *engine = container->engine;
	const struct volume_plugin plugin = { .engine = engine, .name = mount->driver, .cancel_fd = cancel_fd };
	AUTO_FREE char *path = NULL;
	char id[65];
	const struct use use = { .id = id, .container = container->id, .volume = mount->name, .driver = mount->driver };

	random_hex(id, 32);
	if (add_row(engine, &use, mount->destination, err) < 0)
		return -1;
	if (volume_plugin_mount(&path, &plugin, mount->name, id, err) != PLUGIN_DONE)
		return error_prefix(err, "error while mounting volume '%s'", text_or_empty(mount->source));
	mutex_lock(&container->mutex);
	free(mount->source);
	mount->source = take_ptr(path);
	mutex_unlock(&container->mutex);
	return 0;
}

/* ---- behind us ---- */

struct recovery {
	struct engine *engine;
	struct uses uses;
};

static void *end_uses(void *arg)
{
	struct recovery *recovery = arg;

	for (size_t i = 0; i < recovery->uses.count; i++)
		if (!atomic_load(&recovery->engine->stopping))
			end_use(recovery->engine, &recovery->uses.items[i], 0, -1);
	json_free_array(&recovery->uses, use_fields, sizeof(struct use));
	engine_thread_end(recovery->engine);
	free(recovery);
	return NULL;
}

/* Those that cannot be ended now are tried again when the engine opens. Takes what uses has. */
static void end_behind_us(struct engine *engine, struct uses *uses)
{
	struct recovery *recovery = xcalloc(1, sizeof(*recovery));
	AUTO(error_clear) struct error err = { 0 };

	*recovery = (struct recovery){ .engine = engine, .uses = *uses };
	*uses = (struct uses){ 0 };
	engine_thread_begin(engine);
	if (recovery->uses.count && thread_start(NULL, "volume-release", end_uses, recovery, &err) == 0)
		return;
	json_free_array(&recovery->uses, use_fields, sizeof(struct use));
	engine_thread_end(engine);
	free(recovery);
}

/* ---- a container's ---- */

/* -1: it has no such volumes, or there are no descriptors: then nobody can give up. */
static int open_give_up(struct container *container)
{
	const uint64_t one = 1;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	container->give_up_fd = fd;
	if (fd >= 0 && container->mounts_given_up && write(fd, &one, sizeof(one)) < 0)
		return -1;
	return fd;
}

static void close_give_up(struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	if (container->give_up_fd >= 0)
		close(take_fd(&container->give_up_fd));
}

void volumes_give_up(struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	const struct container_state *state = &container->document.state;
	const uint64_t one = 1;

	if (state->running && !state->restarting)
		return;
	container->mounts_given_up = true;
	if (container->give_up_fd >= 0 && write(container->give_up_fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

void volumes_release(struct container *container)
{
	struct uses uses = { 0 };
	struct uses left = { 0 };
	int cancel_fd;

	list_rows(&uses, container->engine, container->id);
	if (uses.count == 0)
		return;
	cancel_fd = open_give_up(container);
	for (size_t i = 0; i < uses.count; i++)
		if (!end_use(container->engine, &uses.items[i], RELEASE_MS, cancel_fd))
			json_copy_fields(json_array_add(&left, sizeof(struct use)), &uses.items[i], use_fields);
	close_give_up(container);
	json_free_array(&uses, use_fields, sizeof(struct use));
	if (left.count)
		end_behind_us(container->engine, &left);
}

int volume_uses_begin(struct container *container, bool to_fill, struct error *err)
{
	struct container_document *document = &container->document;
	int cancel_fd = -1;
	bool any = false;
	int r = 0;

	for (size_t i = 0; i < document->mounts.count && r == 0; i++) {
		if (!volume_mount_is_plugins(&document->mounts.items[i]) ||
		    (to_fill && !document->mounts.items[i].copy_up))
			continue;
		if (!any)
			cancel_fd = open_give_up(container);
		any = true;
		r = begin_use(container, &document->mounts.items[i], cancel_fd, err);
	}
	if (any)
		close_give_up(container);
	/* One that failed may still have mounted it. */
	if (r < 0)
		volumes_release(container);
	return r;
}

/* ---- recovery ---- */

static bool is_in_use(const struct use *use, struct container *const *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal(items[i]->id, use->container))
			return items[i]->document.state.running && !items[i]->document.state.restarting;
	return false;
}

void volume_uses_recover(struct engine *engine, struct container *const *items, size_t count)
{
	struct uses unused = { 0 };
	struct uses all = { 0 };

	list_rows(&all, engine, NULL);
	for (size_t i = 0; i < all.count; i++)
		if (!is_in_use(&all.items[i], items, count) &&
		    !text_list_contains(&engine->unreadable, all.items[i].container))
			json_copy_fields(json_array_add(&unused, sizeof(struct use)), &all.items[i], use_fields);
	json_free_array(&all, use_fields, sizeof(struct use));
	end_behind_us(engine, &unused);
}
