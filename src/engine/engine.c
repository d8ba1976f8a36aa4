/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: opening loads every container's document; a monitor thread for
 * each that ran when we were last seen either finds its shim again or ends the
 * run from what the shim left (exit.json). Then what no container owns is
 * removed: bundles, folders, snapshots, endpoints. Then restart policies.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/program.h"
#include "base/random.h"
#include "engine/cdi.h"
#include "engine/container_restart.h"
#include "engine/engine_network.h"
#include "engine/engine_private.h"
#include "engine/name_server.h"
#include "engine/network_cni.h"
#include "engine/shim_scan.h"
#include "engine/system.h"
#include "engine/user_namespace.h"
#include "engine/volume_making.h"
#include "engine/volume_mount.h"
#include "plugin/plugin.h"
#include "store/snapshot.h"
#include "sys/capability.h"
#include "sys/cgroup.h"
#include "sys/landlock.h"
#include "sys/pidfd_wait.h"

#define SHM_SIZE (INT64_C(64) * 1024 * 1024)
#define STOP_TIMEOUT_S 10
#define END_PATIENCE_NS (10 * CLOCK_SECOND)
#define LINE_PATIENCE_NS (5 * CLOCK_SECOND)
#define CLOSE_WAIT_NS (10 * CLOCK_SECOND)

void engine_options_init(struct engine_options *options)
{
	*options = (struct engine_options){
		.data_root = "/var/lib/kist",
		.exec_root = "/run/kist",
		.bridge = "kist0",
		.nft_table = "kist",
		.cgroup_parent = "kist",
	};
}

void engine_log_error(struct engine *engine, const char *what, const char *id, const struct error *err)
{
	if (engine->log)
		log_error(engine->log, what, F("id", text_or_empty(id)), F("error", text_or_empty(err->message)));
}

struct event_bus *engine_events(struct engine *engine)
{
	return engine->events;
}

struct store *engine_store(struct engine *engine)
{
	return engine->store;
}

struct plugins *engine_plugins(struct engine *engine)
{
	return engine->plugins;
}

const char *engine_exec_root(const struct engine *engine)
{
	return engine->exec_root;
}

void engine_thread_begin(struct engine *engine)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->threads_mutex);

	engine->threads++;
}

void engine_thread_end(struct engine *engine)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->threads_mutex);

	engine->threads--;
	condition_broadcast(&engine->threads_changed);
}

/* ---- opening ---- */

static const struct engine_settings no_settings;

#define CNI_CONFIG_DIR "/etc/cni/net.d"
#define CNI_PLUGIN_DIRS "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni"

/* Our own plugins stand first: their names begin with kist-, so they hide nobody's. */
static char *cni_plugin_path(const char *given)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *own = program_find("kist-cni", &ignored);
	AUTO_FREE char *folder = own ? path_parent(own) : NULL;

	if (!text_empty(given))
		return xstrdup(given);
	return folder ? xasprintf("%s/cni:" CNI_PLUGIN_DIRS, folder) : xstrdup(CNI_PLUGIN_DIRS);
}

static struct engine *engine_new(const struct engine_options *options)
{
	struct engine *engine = xcalloc(1, sizeof(*engine));

	engine->data_root = path_absolute(options->data_root);
	engine->exec_root = path_absolute(options->exec_root);
	engine->bridge = xstrdup(text_empty(options->bridge) ? "kist0" : options->bridge);
	engine->cgroup_parent = xstrdup(text_empty(options->cgroup_parent) ? "kist" : options->cgroup_parent);
	engine->init_path = text_empty(options->init_path) ? NULL : xstrdup(options->init_path);
	if (options->cdi_folders && options->cdi_folders->count)
		text_list_add_all(&engine->cdi_folders, options->cdi_folders);
	else
		cdi_default_folders(&engine->cdi_folders);
	engine->log_driver = xstrdup(options->log_driver);
	if (options->log_options)
		text_map_copy(&engine->log_options, options->log_options);
	engine->shm_size_bytes = options->shm_size_bytes ? options->shm_size_bytes : SHM_SIZE;
	engine->stop_timeout_s = options->stop_timeout_s ? options->stop_timeout_s : STOP_TIMEOUT_S;
	engine->pids_limit = options->pids_limit;
	engine->storage_size_bytes = options->storage_size_bytes;
	engine->log = options->log;
	engine->settings = options->settings ? options->settings : &no_settings;
	if (options->default_bridge)
		engine->default_bridge = *options->default_bridge;
	engine->default_bridge.name = engine->bridge;
	engine->default_bridge.v4.subnet = options->address_pool;
	engine->cni.config_dir = xstrdup(text_empty(options->cni_config_dir) ? CNI_CONFIG_DIR
									     : options->cni_config_dir);
	engine->cni.plugin_path = cni_plugin_path(options->cni_plugin_dirs);
	engine->cni.state_dir = path_join(engine->data_root, "cni");
	engine->plugins = plugins_new(options->plugin_dirs);
	engine->cgroup_v2 = cgroup_detect() == CGROUP_V2;
	engine->capabilities = capability_bounding();
	engine->events = event_bus_new();
	engine->closing_fd = -1;
	atomic_init(&engine->stopping, false);
	mutex_init(&engine->volumes);
	watch_init(&engine->volumes_changed);
	mutex_init(&engine->mounts_mutex);
	condition_init(&engine->mounts_changed);
	map_init(&engine->mounted, NULL);
	mutex_init(&engine->index);
	mutex_init(&engine->threads_mutex);
	mutex_init(&engine->networks_mutex);
	condition_init(&engine->networks_changed);
	condition_init(&engine->threads_changed);
	map_init(&engine->by_id, NULL);
	map_init(&engine->by_name, NULL);
	map_init(&engine->execs, NULL);
	return engine;
}

static int check_storage_size(struct engine *engine, struct error *err)
{
	if (engine->storage_size_bytes == 0 || snapshot_limit_check(engine->store, err) == 0)
		return 0;
	return error_prefix(err, "storage option overlay2.size not supported");
}

static int make_folders(const struct engine *engine, struct error *err)
{
	static const char *const data[] = { "containers", "volumes" };
	AUTO_FREE char *shims = path_join(engine->exec_root, "shim");
	int r = mkdir_all(AT_FDCWD, shims, 0711);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "make %s", shims);
	for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
		AUTO_FREE char *path = path_join(engine->data_root, data[i]);

		r = mkdir_all(AT_FDCWD, path, 0711);
		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "make %s", path);
	}
	return 0;
}

/* A value made once and kept: ids of the engine and its networks. */
static int load_id(char out_id[65], struct engine *engine, const char *key, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	char fresh[65];

	random_hex(fresh, 32);
	if (query_new(&query, store_database(engine->store),
		      "INSERT OR IGNORE INTO engine (key, value) VALUES (?1, ?2)", err) < 0)
		return -1;
	query_bind_text(query, 1, key);
	query_bind_text(query, 2, fresh);
	if (query_run(query, err) < 0)
		return -1;
	query_free(take_ptr(query));
	if (query_new(&query, store_database(engine->store), "SELECT value FROM engine WHERE key = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, key);
	if (query_next(query, err) <= 0)
		return error_is_set(err) ? -1 : error_set(err, ERR_INTERNAL, "engine table: no %s", key);
	if (strlen(text_or_empty(query_text(query, 0))) != 64)
		return error_set(err, ERR_INTERNAL, "engine table: %s is not an id", key);
	memcpy(out_id, query_text(query, 0), 65);
	return 0;
}

static int load_ids(struct engine *engine, struct error *err)
{
	static const char *const names[ENGINE_NETWORK_COUNT] = { "network-bridge", "network-host", "network-none" };

	for (size_t i = 0; i < ENGINE_NETWORK_COUNT; i++)
		if (load_id(engine->network_ids[i], engine, names[i], err) < 0)
			return -1;
	return load_id(engine->id, engine, "id", err);
}

static int open_network(struct engine *engine, const struct engine_options *options, struct error *err)
{
	AUTO_FREE char *state = path_join(engine->exec_root, "network");
	const struct network_options network = { .state_dir = state,
						 .table = options->nft_table,
						 .host_seed = engine->id,
						 .no_proxy = options->no_proxy,
						 .pools = options->pools,
						 .pool_count = options->pool_count };

	if (text_equal(engine->bridge, "none"))
		return 0;
	if (network_open(&engine->network, &network, err) < 0)
		return error_prefix(err, "open network");
	if (engine_network_raise_default(engine, err) < 0)
		return error_prefix(err, "bridge %s", engine->bridge);
	name_server_open(engine);
	return engine_networks_raise_all(engine, err);
}

/* ---- recovery ---- */

/* How long it runs by now, by the clock that survives us; one that says "not yet" was set back meanwhile. */
static int64_t run_age_ns(const struct container_state *state)
{
	int64_t age_ns = clock_wall_ns() - state->started_ns;

	return age_ns > 0 ? age_ns : 0;
}

/* A run that was never acknowledged is undone; one that was is watched again. */
static void recover_one(struct container *container)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(error_clear) struct error problem = { 0 };
	struct container_state *state = &container->document.state;

	if (state->removing) {
		if (shim_delete(container, &problem) < 0)
			engine_log_error(container->engine, "cleaning up behind a removal", container->id, &problem);
		if (container_destroy(container, container->document.host.auto_remove, &err) < 0)
			engine_log_error(container->engine, "finishing a removal", container->id, &err);
		return;
	}
	if (!state->running) {
		state->pid = 0;
		if (!file_exists(AT_FDCWD, container->bundle))
			return;
		if (shim_delete(container, &problem) < 0)
			engine_log_error(container->engine, "cleaning up behind a start that was cut short",
					 container->id, &problem);
		bundle_remove(container->bundle);
		return;
	}
	container->line_lost = !state->restarting;
	container->run_started_ns = clock_monotonic_ns() - run_age_ns(state);
	if (container_monitor_start(container, &err) < 0)
		engine_log_error(container->engine, "a container is not watched", container->id, &err);
}

/* Whether its process is over, though nobody has ended the run yet: its shim may not even have noticed. */
static bool has_ended(const struct container *container)
{
	const struct container_state *state = &container->document.state;
	AUTO_FREE char *path = path_join(container->bundle, "exit.json");
	AUTO_CLOSE int pidfd = -1;

	if (!state->running || state->restarting || file_exists(AT_FDCWD, path))
		return state->running && !state->restarting;
	pidfd = state->pid > 0 ? pidfd_of((pid_t)state->pid) : -ESRCH;
	return pidfd == -ESRCH || (pidfd >= 0 && pidfd_ended(pidfd, 0) == 1);
}

/* Addresses and ports of the dead are gone before anybody can ask; between two runs a container has none. */
static int restore_network(struct engine *engine, struct container **items, const bool *ended, size_t count,
			   struct error *err)
{
	AUTO(text_list_fini) struct text_list alive = { 0 };

	if (!engine->network)
		return 0;
	for (size_t i = 0; i < count; i++)
		if (items[i]->document.state.running && !items[i]->document.state.restarting && !ended[i])
			text_list_add(&alive, items[i]->id);
	text_list_add_all(&alive, &engine->unreadable);
	network_cni_restore(engine, text_list_argv(&alive), alive.count);
	return network_restore(engine->network, text_list_argv(&alive), alive.count, err);
}

/* Folders below `parent` whose name is no container's. */
static void remove_strangers(struct engine *engine, const char *parent)
{
	AUTO_CLOSEDIR DIR *folder = opendir(parent);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		if (entry->d_name[0] == '.' || container_has_row(engine, entry->d_name))
			continue;
		remove_tree(dirfd(folder), entry->d_name);
	}
}

static void remove_strange_snapshots(struct engine *engine)
{
	AUTO(text_list_fini) struct text_list keys = { 0 };
	AUTO(error_clear) struct error err = { 0 };

	if (snapshot_list(&keys, engine->store, &err) < 0) {
		engine_log_error(engine, "looking for leftover snapshots", "", &err);
		return;
	}
	for (size_t i = 0; i < keys.count; i++) {
		AUTO(error_clear) struct error problem = { 0 };

		if (!container_has_row(engine, keys.items[i]) &&
		    snapshot_remove(engine->store, keys.items[i], &problem) < 0)
			engine_log_error(engine, "removing a leftover snapshot", keys.items[i], &problem);
	}
}

struct late_start {
	struct engine *engine;
	char *id;
};

static void start_and_tell(struct engine *engine, const char *id)
{
	AUTO(error_clear) struct error err = { 0 };

	if (container_start(engine, id, -1, &err) < 0)
		engine_log_error(engine, "a container could not be started again", id, &err);
}

static void *start_late(void *arg)
{
	struct late_start *start = arg;

	start_and_tell(start->engine, start->id);
	engine_thread_end(start->engine);
	free(start->id);
	free(start);
	return NULL;
}

/* One whose volumes are a server's or a plugin's, which may not be there yet: nobody else waits for it. */
static void start_behind_us(struct container *container)
{
	struct late_start *start = xcalloc(1, sizeof(*start));
	AUTO(error_clear) struct error err = { 0 };

	*start = (struct late_start){ .engine = container->engine, .id = xstrdup(container->id) };
	engine_thread_begin(container->engine);
	if (thread_start(NULL, "late-start", start_late, start, &err) < 0)
		start_late(start);
}

static void start_by_policy(struct engine *engine, struct container **items, size_t count, const bool *wanted)
{
	AUTO_FREE const struct container_document **documents = xcalloc(count + 1, sizeof(struct container_document *));
	AUTO_FREE size_t *order = xcalloc(count + 1, sizeof(*order));

	/* What these documents say of others does not change. */
	for (size_t i = 0; i < count; i++)
		documents[i] = &items[i]->document;
	restart_order(order, documents, count);
	for (size_t i = 0; i < count; i++) {
		struct container *container = items[order[i]];

		if (wanted[order[i]] && volumes_are_remote(container))
			start_behind_us(container);
		else if (wanted[order[i]])
			start_and_tell(engine, container->id);
	}
}

/* Bundles that belong to nobody: their rows never were, or are gone. */
static void remove_strange_bundles(struct engine *engine, struct container **items, size_t count)
{
	AUTO_FREE char *parent = path_join(engine->exec_root, "shim");
	AUTO_CLOSEDIR DIR *folder = opendir(parent);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		bool known = entry->d_name[0] == '.';

		for (size_t i = 0; i < count && !known; i++)
			known = text_equal(path_base(items[i]->bundle), entry->d_name);
		for (size_t i = 0; i < engine->unreadable.count && !known; i++)
			known = text_has_prefix(engine->unreadable.items[i], entry->d_name);
		if (!known) {
			AUTO_FREE char *bundle = path_join(parent, entry->d_name);

			bundle_remove(bundle);
		}
	}
}

static bool is_end_pending(struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	const struct container_state *state = &container->document.state;

	return state->running && !state->restarting && !container->removed && container->exits == 0;
}

static bool is_line_pending(struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	const struct container_state *state = &container->document.state;

	return state->running && !state->restarting && container->monitored && !container->task &&
	       container->exits == 0;
}

/* The monitors find their shims all at once: one that does not answer holds up nobody but its own container. */
static void await_lines(struct container **items, size_t count)
{
	int64_t deadline = clock_monotonic_ns() + LINE_PATIENCE_NS;

	for (size_t i = 0; i < count; i++)
		while (is_line_pending(items[i]) && clock_monotonic_ns() < deadline)
			clock_sleep_ms(1);
}

/* Who ended while we were away is seen to have ended by the first client that asks. */
static void await_ended(struct container **items, const bool *ended, size_t count)
{
	int64_t deadline = clock_monotonic_ns() + END_PATIENCE_NS;

	for (size_t i = 0; i < count; i++)
		while (ended[i] && is_end_pending(items[i]) && clock_monotonic_ns() < deadline)
			clock_sleep_ms(5);
}

/* The build went with the last engine: what ran for it is a stranger now, and is removed. */
static void forget_step(struct container *container)
{
	if (!container->document.build_step)
		return;
	container->document.state.running = false;
	container->document.state.removing = true;
}

static void tell_restored(void *arg, const char *problem)
{
	const struct engine *engine = arg;

	if (engine->log && problem)
		log_error(engine->log, "somebody removed firewall rules, and they could not be written again",
			  F("error", problem));
	else if (engine->log)
		log_warn(engine->log, "somebody removed firewall rules: they are written again");
}

static int recover(struct engine *engine, struct error *err)
{
	AUTO_FREE char *folders = path_join(engine->data_root, "containers");
	AUTO_FREE bool *wanted = NULL;
	AUTO_FREE bool *ended = NULL;
	struct container **items;
	size_t count;
	int r;

	volumes_recover(engine);
	if (containers_load(engine, err) < 0)
		return -1;
	volumes_making_recover(engine);
	count = container_all(&items, engine);
	/* Judged before the monitors run: what ended while we were away is theirs. */
	wanted = xcalloc(count + 1, sizeof(*wanted));
	ended = xcalloc(count + 1, sizeof(*ended));
	for (size_t i = 0; i < count; i++) {
		wanted[i] = !items[i]->removed && restart_at_open(&items[i]->document);
		ended[i] = has_ended(items[i]);
	}
	for (size_t i = 0; i < count; i++)
		forget_step(items[i]);
	volumes_mount_recover(engine, items, count);
	r = restore_network(engine, items, ended, count, err);
	if (r == 0 && engine->network)
		r = network_watch(engine->network, tell_restored, engine, err);
	if (r == 0) {
		shims_kill_strange(engine);
		for (size_t i = 0; i < count; i++)
			recover_one(items[i]);
		await_lines(items, count);
		for (size_t i = 0; i < count; i++) {
			container_settle_pause(items[i]);
			container_restore_execs(items[i]);
		}
		remove_strangers(engine, folders);
		remove_strange_snapshots(engine);
		remove_strange_bundles(engine, items, count);
		if (engine->names)
			name_server_resume(engine);
		await_ended(items, ended, count);
		start_by_policy(engine, items, count, wanted);
	}
	container_all_free(items, count);
	return r < 0 ? error_prefix(err, "restore network") : 0;
}

static void warn_of_lacks(struct engine *engine)
{
	AUTO_FREE char *words = system_storage_warning(engine->store);

	if (landlock_version() == 0)
		log_warn(engine->log, SYSTEM_NO_LANDLOCK);
	if (words)
		log_warn(engine->log, words);
}

int engine_open(struct engine **out_engine, const struct engine_options *options, struct error *err)
{
	AUTO(engine_closep) struct engine *engine = engine_new(options);

	engine->closing_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (engine->closing_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open engine: eventfd");
	if (user_namespace_remap(&engine->remap, options->userns_remap, err) < 0 || make_folders(engine, err) < 0 ||
	    store_open(&engine->store, engine->data_root, options->storage_driver, err) < 0 ||
	    check_storage_size(engine, err) < 0 || engine_migrate(engine, err) < 0 || load_ids(engine, err) < 0 ||
	    open_network(engine, options, err) < 0 || recover(engine, err) < 0)
		return -1;
	if (engine->log)
		warn_of_lacks(engine);
	*out_engine = take_ptr(engine);
	return 0;
}

/* ---- closing ---- */

static void await_threads(struct engine *engine)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->threads_mutex);
	int64_t deadline_ns = clock_monotonic_ns() + CLOSE_WAIT_NS;

	while (engine->threads && condition_wait_until(&engine->threads_changed, &engine->threads_mutex, deadline_ns))
		;
}

static void drop_containers(struct engine *engine)
{
	struct container **items;
	size_t count = container_all(&items, engine);

	for (size_t i = 0; i < count; i++) {
		mutex_lock(&items[i]->mutex);
		container_end_attaches(items[i]);
		mutex_unlock(&items[i]->mutex);
		container_end_execs(items[i]);
		container_leave(items[i]);
	}
	container_all_free(items, count);
}

/* Empty, it is of no use to anybody; rmdir(2) refuses one that is not empty. */
static void remove_cgroup_parent(const struct engine *engine)
{
	AUTO(cgroup_closep) struct cgroup *cgroup = NULL;
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *path = xasprintf("%s%s", engine->cgroup_parent[0] == '/' ? "" : "/", engine->cgroup_parent);

	if (cgroup_open(&cgroup, path, &err) < 0)
		return;
	for (size_t i = 0; i < cgroup_hierarchy_count(cgroup); i++) {
		struct cgroup_hierarchy hierarchy;
		AUTO_FREE char *folder = NULL;

		cgroup_get_hierarchy(cgroup, i, &hierarchy);
		folder = path_join(hierarchy.mount_point, hierarchy.path);
		rmdir(folder);
	}
}

/* An engine that ends without containers leaves the host as it found it. */
static void retire_network(struct engine *engine)
{
	AUTO(error_clear) struct error err = { 0 };

	if (engine->network && network_retire(engine->network, &err) < 0 && engine->log)
		log_warn(engine->log, "network not removed", F("reason", err.message));
}

void engine_close(struct engine *engine)
{
	const uint64_t one = 1;

	if (!engine)
		return;
	atomic_store(&engine->stopping, true);
	if (engine->closing_fd >= 0 && write(engine->closing_fd, &one, sizeof(one)) > 0)
		await_threads(engine);
	drop_containers(engine);
	remove_cgroup_parent(engine);
	map_fini(&engine->by_id);
	map_fini(&engine->by_name);
	text_map_fini(&engine->used_images);
	map_fini(&engine->execs);
	name_server_close(engine->names);
	retire_network(engine);
	network_close(engine->network);
	store_close(engine->store);
	event_bus_free(engine->events);
	if (engine->closing_fd >= 0)
		close(engine->closing_fd);
	condition_fini(&engine->threads_changed);
	mutex_fini(&engine->threads_mutex);
	condition_fini(&engine->networks_changed);
	mutex_fini(&engine->networks_mutex);
	mutex_fini(&engine->index);
	mutex_fini(&engine->volumes);
	volumes_mount_fini(engine);
	text_list_fini(&engine->volumes_busy);
	text_map_fini(&engine->volume_scopes);
	plugins_free(engine->plugins);
	text_list_fini(&engine->unreadable);
	free(engine->data_root);
	free(engine->exec_root);
	free(engine->bridge);
	free(engine->cgroup_parent);
	free(engine->init_path);
	free((char *)(uintptr_t)engine->cni.config_dir);
	free((char *)(uintptr_t)engine->cni.plugin_path);
	free((char *)(uintptr_t)engine->cni.state_dir);
	free(engine->log_driver);
	text_list_fini(&engine->cdi_folders);
	text_map_fini(&engine->log_options);
	free(engine);
}
