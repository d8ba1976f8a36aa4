/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h - the product as one object: containers, execs, images, volumes,
 * networks, events of one data root.
 *
 * engine_open() opens the data root and finds again every container that runs
 * (their shims survived us): after it returns, the engine is whole. All verbs
 * (container.h, exec.h, attach.h, image.h, ...) take `struct engine *` and may
 * be called from any thread; those that wait take the request's cancel_fd (an
 * eventfd or -1) and give ERR_CANCELED when it becomes readable.
 * engine_close() detaches: containers go on running.
 * Lock order: README.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"

struct engine;
struct event_bus;
struct network;
struct engine_settings;
struct network_bridge;
struct plugins;
struct store;

struct network_pool;
struct text_list;
struct text_map;

struct engine_options {
	const char *data_root;		  /* /var/lib/kist */
	const char *storage_driver;	  /* see store/driver.h; NULL: what suits */
	const char *exec_root;		  /* /run/kist; short: sockets lie below it */
	const char *bridge;		  /* "kist0"; "none": only host, none and container: networks */
	const char *nft_table;		  /* "kist" */
	const char *address_pool;	  /* "172.17.0.0/16"; NULL: a free one is chosen */
	const struct network_pool *pools; /* where networks' subnets come from; none: docker's (borrowed) */
	size_t pool_count;
	const char *cni_config_dir;		/* lists of CNI plugins; NULL: /etc/cni/net.d */
	const char *cni_plugin_dirs;		/* separated by colons; NULL: our own, /opt/cni/bin and Debian's */
	const char *plugin_dirs;		/* of docker's plugins, separated by colons; NULL: docker's */
	const char *cgroup_parent;		/* "kist"; containers are <parent>/<id> */
	const char *init_path;			/* program for --init; NULL: none */
	int64_t shm_size_bytes;			/* 0: 64 MiB */
	int64_t stop_timeout_s;			/* 0: 10 */
	int64_t pids_limit;			/* 0: none */
	int64_t storage_size_bytes;		/* of a container's own files, if it says nothing; 0: no limit */
	const char *userns_remap;		/* "default", "user[:group]"; NULL: none */
	const struct text_list *cdi_folders;	/* borrowed; NULL or empty: /etc/cdi, /var/run/cdi */
	const char *log_driver;			/* of containers that name none; NULL: json-file */
	const struct text_map *log_options;	/* its options (borrowed); NULL: none */
	const struct log *log;			/* borrowed; NULL: nothing is logged */
	const struct engine_settings *settings; /* borrowed while the engine is open; NULL: none. See settings.h */
	bool no_proxy;				/* ports that the kernel cannot turn to a container are not carried */
	const struct network_bridge *default_bridge; /* borrowed; NULL: docker's. Its name and subnet are above */
};

/* Fills the defaults that dockerd would use for root. */
void engine_options_init(struct engine_options *options);

/* Strings in options are copied. ERR_CONFLICT if another engine has this data root. */
int engine_open(struct engine **out_engine, const struct engine_options *options, struct error *err);
void engine_close(struct engine *engine);
DEFINE_AUTO(struct engine, engine_close)

/* All borrowed, never NULL after open. */
struct event_bus *engine_events(struct engine *engine);
struct store *engine_store(struct engine *engine);
struct plugins *engine_plugins(struct engine *engine);
const char *engine_exec_root(const struct engine *engine);
