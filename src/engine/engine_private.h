/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_private.h - the engine and a container as the room's own files see
 * them.
 *
 * Locks, in this order: the name server's, engine->index, container->mutex, then
 * the store's and the network's own. But for the first, none is held while waiting
 * for a process, a shim, the network or a client. What may take long (start, the end of a run, removal)
 * is guarded by a container's `busy` token instead: container_acquire().
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/thread.h"
#include "cni/chain.h"
#include "engine/container.h"
#include "engine/container_document.h"
#include "engine/engine.h"
#include "engine/event.h"
#include "engine/settings.h"
#include "engine/watch.h"
#include "network/network.h"
#include "rpc/task_client.h"
#include "store/store.h"

/* The three networks that are always there. */
enum engine_network_kind { ENGINE_NETWORK_BRIDGE, ENGINE_NETWORK_HOST, ENGINE_NETWORK_NONE, ENGINE_NETWORK_COUNT };

struct engine {
	char *data_root;
	char *exec_root;
	char *bridge;
	char *cgroup_parent;
	char *init_path;
	struct id_map remap; /* --userns-remap; size 0: none */
	struct text_list cdi_folders;
	char *log_driver;
	struct text_map log_options;
	int64_t shm_size_bytes;
	int64_t stop_timeout_s;
	int64_t storage_size_bytes; /* of containers that say nothing; 0: no limit */
	int64_t pids_limit;
	const struct log *log;			/* borrowed */
	const struct engine_settings *settings; /* borrowed; atomic: engine_settings() */
	struct network_bridge default_bridge;	/* as it was asked for */
	char id[65];
	bool cgroup_v2;
	uint64_t capabilities;
	struct network_bridge_info bridge_info;
	char network_ids[ENGINE_NETWORK_COUNT][65];
	int64_t opened_ns; /* wall */

	struct cni_host cni; /* owned texts */
	struct store *store;
	struct network *network;   /* NULL: bridge "none" */
	struct name_server *names; /* NULL: bridge "none" */
	struct event_bus *events;

	struct mutex index;	     /* guards the maps, the removal of containers from them, and `pruning` */
	struct map by_id;	     /* containers; each holds one reference */
	struct map by_name;	     /* the same, borrowed */
	struct text_map used_images; /* ids, since image_use_take() */
	struct map execs;	     /* exec id -> struct exec, one reference each */
	/* Rows that could not be read: nothing of theirs is removed. Does not change after the start. */
	struct text_list unreadable;
	bool pruning;

	struct mutex networks_mutex; /* guards networks_change: one network is made or removed at a time */
	struct condition networks_changed;
	bool networks_change;
	struct mutex mounts_mutex; /* guards `mounted` */
	struct condition mounts_changed;
	struct map mounted;   /* see volume_mount.c */
	struct mutex volumes; /* before `index`; guards the three below: volumes come and go one at a time */
	struct watch volumes_changed;
	struct text_list volumes_busy; /* names of those whose plugin is being asked to make or remove them */
	struct text_map volume_scopes; /* of plugins that told theirs */
	struct plugins *plugins;

	atomic_ullong health_checks; /* health_count() */
	atomic_ullong health_failures;

	atomic_bool stopping; /* no restart policy acts any more */
	int closing_fd;	      /* eventfd: readable once engine_close() began */
	struct mutex threads_mutex;
	struct condition threads_changed;
	size_t threads; /* monitors that run */
};

struct container {
	atomic_int references;
	struct engine *engine; /* borrowed */
	char id[65];
	char *bundle; /* <exec root>/shim/<16 hex>: short, sockets lie in it */

	/* One writer of the row at a time, so that an older document never follows a newer one. Before `mutex`. */
	struct mutex row;
	bool forgotten; /* guarded by `row`: it has none any more */

	struct text_list held_volumes; /* guarded by engine->volumes: its, before its mounts can be seen */
	struct text_list secrets;      /* KEY=VALUE of a build step; set before it is published, never stored */

	struct mutex mutex; /* guards all below */
	struct container_document document;
	struct watch changes;
	bool busy;	/* somebody changes what it is: start, end, removal */
	bool published; /* create is done */
	bool removed;
	bool monitored;	      /* a monitor thread serves it */
	bool keep_once;	      /* restart: this end does not remove it */
	bool mounts_given_up; /* see volume_mount.h */
	int give_up_fd;	      /* eventfd: while plugins mount or unmount for it; -1 */
	bool stop_wanted;     /* by stop, kill or remove: restart policies leave it */
	int netns_fd;	      /* guarded by `busy`: kept for CNI plugins; -1 */
	char *checkpoint;     /* under `busy`, while a run is launched that goes on from it; owned by the launcher */
	uint64_t exits;	      /* how many runs ended */
	int64_t restart_delay_ms;
	int64_t run_started_ns;	  /* monotonic */
	struct task_client *task; /* while running; closed by the monitor only, under `busy` */
	int task_users;		  /* threads inside a task_*() call on it */
	bool line_lost;		  /* it runs, and its monitor looks for its shim */
	struct list attaches;	  /* struct attach: wait for the start */
	struct list execs;	  /* struct exec */
};

/* ---- container_index.c ---- */

struct container *container_new(struct engine *engine, const char *id);
struct container *container_ref(struct container *container);
void container_unref(struct container *container);
DEFINE_AUTO(struct container, container_unref)

/* By name, id or unique prefix; ERR_NOT_FOUND in docker's words. *out is a reference. */
int container_find(struct container **out_container, struct engine *engine, const char *name, struct error *err);
/* All published containers, a reference each; newest first. *out_items is yours. */
size_t container_all(struct container ***out_items, struct engine *engine);
void container_all_free(struct container **items, size_t count);
/* Takes the name (ERR_CONFLICT in docker's words) and enters the container, invisible until published. */
int container_enter(struct container *container, struct error *err);
void container_leave(struct container *container);
/* "/"-less and legal, or ERR_INVALID. */
int container_check_name(const char *name, struct error *err);
/* A made-up free name: "quiet_lamport". Yours. */
char *container_make_name(struct engine *engine);
/* Moves the container to a new name in the index and its document. */
int container_index_rename(struct container *container, const char *new_name, struct error *err);

/* ---- container_state.c ---- */

/* Waits for the token. container_removed is ERR_NOT_FOUND. */
int container_acquire(struct container *container, int cancel_fd, struct error *err);
void container_release(struct container *container);

/* Tests under container->mutex. */
typedef bool (*container_test)(struct container *container, void *arg);
/* 1 the test was true, 0 deadline (monotonic; 0: none), -1 canceled (also by engine_close). */
int container_await(struct container *container, container_test test, void *arg, int cancel_fd, int64_t deadline_ns,
		    struct error *err);
bool container_is_running(struct container *container);

/* Whether a row has this id: a container's, or one that could not be read. Only while the engine opens. */
bool container_has_row(const struct engine *engine, const char *id);
/* Writes the document to the database; nothing once it was forgotten. Failures are logged: the state in memory is what counts. */
void container_save(struct container *container);
/* The same where failing matters. Insert or replace. */
int container_store(struct container *container, struct error *err);
int container_forget(struct container *container, struct error *err);
int containers_load(struct engine *engine, struct error *err);
int engine_migrate(struct engine *engine, struct error *err);

/* "created", "running", ... for a state. */
const char *container_status(const struct container_state *state);
/* Publishes a container event: labels, image, name and the extras ("k", "v", ..., NULL). */
void container_event(struct container *container, const char *action, const char *const *extras);

/* Borrow the task connection for a call: NULL and ERR_CONFLICT if it does not run. */
struct task_client *container_borrow_task(struct container *container, struct error *err);
void container_return_task(struct container *container);

/* <data root>/containers/<id>[/file]: yours. */
char *container_path(const struct container *container, const char *file);
char *container_log_path(const struct container *container);

/* ---- container_create.c and its parts ---- */

/* Merges what the image says into the user's config, as docker does. */
struct image_run;
void container_merge_image(struct container_config *config, const struct image_run *image);
/* Everything that can be judged without looking at other objects. Adds warnings; fills defaults. */
int container_check(struct container_config *config, struct host_config *host, struct text_list *warnings,
		    struct error *err);
/* --storage-opt size: 0 if there is none. */
int container_storage_size(int64_t *out_bytes, const struct host_config *host, struct error *err);
/* The part of it that an update may change. */
int container_check_resources(struct host_config *host, struct error *err);
/* Binds, Mounts, Tmpfs, volumes-from and image volumes to document->mounts; makes volumes. */
int container_resolve_mounts(struct container *container, struct error *err);
/* As container_create_request.bind_sources says. NULL: nothing to do. */
void container_confine_mounts(struct container *container, const struct text_list *bind_sources);
/* Copies the image's files into new, empty volumes. */
int container_fill_volumes(struct container *container, const struct digest *chain_id, struct error *err);

/* ---- container_launch.c, container_monitor.c ---- */

/* With the token: runs it, or fails with docker's sentence and leaves nothing. */
int container_launch(struct container *container, int cancel_fd, struct error *err);
/* A container's folder below the exec root, and what is mounted there. */
void bundle_remove(const char *bundle);
/* Its volumes begin, or cease, to be in use. */
void container_volume_events(struct container *container, bool mounted);
/* Its control group below the mount points; yours. */
char *container_cgroup_path(const struct container *container);
/* Starts the thread that waits for the end. */
int container_monitor_start(struct container *container, struct error *err);
/* With the token: kills and ends a run that no thread could be started for. */
void container_end_unwatched(struct container *container);
/* Exit code docker gives to a start that failed with this text. */
int64_t launch_exit_code(const char *message);
/* errno's words as Go and runc write them, which clients search for: "permission denied". */
void lower_errno_words(char *text);
/* Runs `kist-shim delete`: kills what is left of the container, removes cgroup and state. */
int shim_delete(struct container *container, struct error *err);
/* With the token: everything of it goes. */
int container_destroy(struct container *container, bool with_volumes, struct error *err);
/* Signals init; ERR_CONFLICT if it does not run. */
int container_signal(struct container *container, int signal, struct error *err);
/* attach.c: with container->mutex held, connects those who wait; or ends them. */
void container_connect_attaches(struct container *container);
void container_end_attaches(struct container *container);
/* exec.c: forgets all execs of a container that starts anew or goes. */
void container_end_execs(struct container *container);
/* Those of a container that ran on while no engine did: once there is a line to its shim. */
void container_restore_execs(struct container *container);
/* With container->mutex held. */
void container_exec_ids(struct container *container, struct text_list *out_ids);

/* ---- container_control.c ---- */

/* An engine that is killed before it is unpaused leaves nothing paused. */
int container_pause_for_commit(struct container *container, struct error *err);
/* At the start: a pause or its end that was cut short, or was for a commit. */
void container_settle_pause(struct container *container);

/* ---- volume.c ---- */

struct volume;
struct volume_create_request;
/* volume_create() for a container that is being made: from the first moment on the volume counts as used. */
int volume_create_for(struct volume *out_volume, struct container *container,
		      const struct volume_create_request *request, struct error *err);
/* The same for one that is another's too. */
void volume_hold(struct container *container, const char *name);
/* Removes a volume of a container that is being removed; one that others use, too, stays. */
void volume_remove_with(struct container *container, const char *name, struct error *err);
/* The container will not be made. */
void volumes_let_go(struct container *container);
/* Ends removals that were cut short, or takes them back. */
void volumes_recover(struct engine *engine);

/* ---- engine.c ---- */

void engine_thread_begin(struct engine *engine);
void engine_thread_end(struct engine *engine);
void engine_log_error(struct engine *engine, const char *what, const char *id, const struct error *err);
