/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "engine/engine_private.h"

#define ID_SIZE 64 /* hex digits; behind a dot may follow what belongs to it */

static const char *const migrations[] = {
	"CREATE TABLE containers (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, image TEXT NOT NULL,"
	" created INTEGER NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE volumes (name TEXT PRIMARY KEY, created INTEGER NOT NULL, labels TEXT NOT NULL,"
	" options TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE engine (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",
	"CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,"
	" document TEXT NOT NULL) WITHOUT ROWID;",
	"ALTER TABLE volumes ADD COLUMN driver TEXT NOT NULL DEFAULT 'local';"
	/* What plugins were told to mount, and have not been told to unmount. */
	"CREATE TABLE volume_mounts (id TEXT PRIMARY KEY, container TEXT NOT NULL, destination TEXT NOT NULL,"
	" volume TEXT NOT NULL, driver TEXT NOT NULL) WITHOUT ROWID;",
};

int engine_migrate(struct engine *engine, struct error *err)
{
	return database_migrate(store_database(engine->store), "engine", migrations,
				(int)(sizeof(migrations) / sizeof(migrations[0])), err);
}

/* ---- waiting ---- */

int container_await(struct container *container, container_test test, void *arg, int cancel_fd, int64_t deadline_ns,
		    struct error *err)
{
	struct watcher watcher;
	bool done;
	int r;

	if (watcher_open(&watcher, err) < 0)
		return -1;
	mutex_lock(&container->mutex);
	watch_add(&container->changes, &watcher);
	for (;;) {
		done = test(container, arg);
		mutex_unlock(&container->mutex);
		r = done ? 1 : watcher_wait(&watcher, cancel_fd, container->engine->closing_fd, deadline_ns, err);
		mutex_lock(&container->mutex);
		if (done || r <= 0)
			break;
	}
	watch_remove(&watcher);
	mutex_unlock(&container->mutex);
	watcher_close(&watcher);
	return r;
}

static bool take_token(struct container *container, void *arg)
{
	bool *removed = arg;

	*removed = container->removed;
	if (container->busy && !container->removed)
		return false;
	container->busy = true;
	return true;
}

int container_acquire(struct container *container, int cancel_fd, struct error *err)
{
	bool removed = false;

	if (container_await(container, take_token, &removed, cancel_fd, 0, err) < 0)
		return -1;
	if (removed)
		return error_set(err, ERR_NOT_FOUND, "No such container: %s", container->id);
	return 0;
}

void container_release(struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	container->busy = false;
	watch_notify(&container->changes);
}

bool container_is_running(struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	return container->document.state.running;
}

/* ---- the row ---- */

int container_store(struct container *container, struct error *err)
{
	AUTO_UNLOCK struct mutex *writing = mutex_hold(&container->row);
	AUTO(query_freep) struct query *query = NULL;
	AUTO_FREE char *document = NULL;
	AUTO_FREE char *name = NULL;

	/* A stop that comes through behind the removal (--rm) must not bring the row back. */
	if (container->forgotten)
		return 0;
	mutex_lock(&container->mutex);
	document = json_encode_sparse(&container->document, container_document_fields);
	name = xstrdup(container->document.name);
	mutex_unlock(&container->mutex);
	if (query_new(&query, store_database(container->engine->store),
		      "INSERT INTO containers (id, name, image, created, document) VALUES (?1, ?2, ?3, ?4, ?5)"
		      " ON CONFLICT (id) DO UPDATE SET name = ?2, document = ?5",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, container->id);
	query_bind_text(query, 2, name);
	query_bind_text(query, 3, text_or_empty(container->document.image_id));
	query_bind_i64(query, 4, container->document.state.created_ns);
	query_bind_text(query, 5, document);
	return query_run(query, err) < 0 ? -1 : 0;
}

void container_save(struct container *container)
{
	AUTO(error_clear) struct error err = { 0 };

	if (container_store(container, &err) < 0)
		engine_log_error(container->engine, "a container's state was not stored", container->id, &err);
}

int container_forget(struct container *container, struct error *err)
{
	AUTO_UNLOCK struct mutex *writing = mutex_hold(&container->row);
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, store_database(container->engine->store), "DELETE FROM containers WHERE id = ?1", err) <
	    0)
		return -1;
	query_bind_text(query, 1, container->id);
	if (query_run(query, err) < 0)
		return -1;
	container->forgotten = true;
	return 0;
}

bool container_has_row(const struct engine *engine, const char *id)
{
	AUTO_FREE char *own = xstrndup(id, ID_SIZE);

	return map_get(&engine->by_id, own) || text_list_contains(&engine->unreadable, own);
}

static int load_row(struct engine *engine, struct query *query, struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	const char *id = query_text(query, 0);
	const char *text = query_text(query, 1);

	if (strlen(id) != 64)
		return error_set(err, ERR_INTERNAL, "container \"%s\": not an id", id);
	container = container_new(engine, id);
	if (json_decode(&container->document, container_document_fields, text, strlen(text), err) < 0)
		return error_prefix(err, "container %s", id);
	if (text_empty(container->document.name))
		return error_set(err, ERR_INTERNAL, "container %s: the document has no name", id);
	container->published = true;
	return container_enter(container, err);
}

/* One broken row must not keep all others from working; what belongs to it is left alone. */
int containers_load(struct engine *engine, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, store_database(engine->store), "SELECT id, document FROM containers ORDER BY created",
		      err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0) {
		AUTO(error_clear) struct error problem = { 0 };

		if (load_row(engine, query, &problem) == 0)
			continue;
		text_list_add(&engine->unreadable, query_text(query, 0));
		engine_log_error(engine, "a stored container cannot be read", query_text(query, 0), &problem);
	}
	return r;
}

/* ---- words and events ---- */

const char *container_status(const struct container_state *state)
{
	if (state->running)
		return state->paused ? "paused" : state->restarting ? "restarting" : "running";
	if (state->removing)
		return "removing";
	if (state->dead)
		return "dead";
	return state->started_ns == 0 && state->finished_ns == 0 ? "created" : "exited";
}

void container_event(struct container *container, const char *action, const char *const *extras)
{
	struct text_map attributes = { 0 };

	mutex_lock(&container->mutex);
	text_map_copy(&attributes, &container->document.config.labels);
	text_map_set(&attributes, "image", text_or_empty(container->document.config.image));
	text_map_set(&attributes, "name", container->document.name);
	mutex_unlock(&container->mutex);
	for (; extras && extras[0]; extras += 2)
		text_map_set(&attributes, extras[0], extras[1]);
	event_publish(container->engine->events, "container", action, container->id, &attributes);
	text_map_fini(&attributes);
}

/* ---- the line to the shim ---- */

struct task_client *container_borrow_task(struct container *container, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	if (container->document.state.running && container->line_lost)
		error_set(err, ERR_UNAVAILABLE, "container %s: its shim does not answer", container->id);
	else if (!container->document.state.running || !container->task)
		error_set(err, ERR_CONFLICT, "container %s is not running", container->id);
	if (error_is_set(err))
		return NULL;
	container->task_users++;
	return container->task;
}

void container_return_task(struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	container->task_users--;
	watch_notify(&container->changes);
}

char *container_path(const struct container *container, const char *file)
{
	return file ? xasprintf("%s/containers/%s/%s", container->engine->data_root, container->id, file)
		    : xasprintf("%s/containers/%s", container->engine->data_root, container->id);
}

char *container_log_path(const struct container *container)
{
	return xasprintf("%s/containers/%s/%s-json.log", container->engine->data_root, container->id, container->id);
}

int container_signal(struct container *container, int signal, struct error *err)
{
	struct task_client *task = container_borrow_task(container, err);
	int r;

	if (!task)
		return -1;
	r = task_kill(task, container->id, NULL, signal, false, -1, err);
	container_return_task(container);
	return r;
}
