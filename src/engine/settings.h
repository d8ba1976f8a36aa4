/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.h - what the machine's owner says of all containers, registries and
 * of the engine itself, and may change while it runs.
 *
 * Plain values, everything borrowed. engine_reload() puts new ones in their
 * place; whoever reads them takes the pointer once, so old ones live until
 * engine_close(). What a container got from them at its creation stays.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "engine/container_config.h"
#include "transfer/session.h"

struct engine;

struct container_defaults {
	struct text_list dns;
	struct text_list dns_options;
	struct text_list dns_search;
	JSON_ARRAY_OF(struct ulimit) ulimits;
	const char *cgroupns_mode; /* NULL: private with cgroup v2, else host */
	const char *ipc_mode;	   /* NULL: private */
	const char *host_gateway;  /* NULL: the default bridge's address */
	bool init;
	bool no_new_privileges;
};

/* An OCI runtime besides our own; see oci_runtime.h. */
struct engine_runtime {
	char *name;
	char *path;
	struct text_list arguments; /* before the verb */
};

struct engine_settings {
	bool debug;
	bool experimental;
	int64_t parallel_uploads;	/* 0: 5 */
	struct text_list labels;	/* of the engine, for info */
	struct text_list authorization; /* names of plugins, for info */
	struct session_settings registry;
	struct container_defaults containers;
	JSON_ARRAY_OF(struct engine_runtime) runtimes;
	const char *default_runtime; /* NULL: runc, which is ours */
};

/* Borrowed, never NULL. */
const struct engine_settings *engine_settings(const struct engine *engine);
/* From now on these; publishes `daemon reload` with the attributes dockerd gives. */
void engine_reload(struct engine *engine, const struct engine_settings *settings, const struct text_map *attributes);
/* What the container did not say itself. */
void container_defaults_apply(struct host_config *host, const struct container_defaults *defaults);
