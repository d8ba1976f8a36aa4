/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container.h - the verbs on containers. A container is named by its name
 * (with or without "/"), its id, or a unique prefix of its id.
 *
 * Everywhere: ERR_NOT_FOUND "No such container: x", ERR_CONFLICT for a state
 * that forbids the verb, texts as dockerd's. 1 means done, 0 "was so already"
 * (HTTP 304) where a verb says so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/optional.h"
#include "base/text.h"
#include "engine/container_config.h"
#include "engine/filter.h"
#include "engine/health.h"
#include "json/json.h"

struct checkpoint_options;
struct engine;

/* ---- life ---- */

/*
 * name may be NULL: one is made up. *out_id (64 hex digits) is yours; warnings are added.
 * The request is only read. ERR_NOT_FOUND "No such image: x:latest"; ERR_CONFLICT for a taken name.
 */
int container_create(char **out_id, struct text_list *out_warnings, struct engine *engine, const char *name,
		     const struct container_create_request *request, struct error *err);
/*
 * A container for one step of a build, on layers that are no image yet. An engine that finds one when it opens
 * removes it: nobody waits for its result any more. container_keep_step() makes it an ordinary container.
 * secrets: environment that is written down nowhere but in the bundle, on tmpfs.
 */
struct image_ready;
int container_create_step(char **out_id, struct engine *engine, const struct container_create_request *request,
			  const struct image_ready *image, const struct text_list *secrets, struct error *err);
int container_keep_step(struct engine *engine, const char *name, struct error *err);
/* 1 started, 0 ran already. */
int container_start(struct engine *engine, const char *name, int cancel_fd, struct error *err);
/* The same from a checkpoint; options may be NULL. */
int container_start_from(struct engine *engine, const char *name, const struct checkpoint_options *options,
			 int cancel_fd, struct error *err);

struct stop_options {
	const char *signal;	       /* NULL: the container's, then its image's, then SIGTERM */
	struct optional_i64 timeout_s; /* absent: the container's, then 10; negative: for ever */
};
/* 1 stopped, 0 was not running. */
int container_stop(struct engine *engine, const char *name, const struct stop_options *options, int cancel_fd,
		   struct error *err);
int container_restart(struct engine *engine, const char *name, const struct stop_options *options, int cancel_fd,
		      struct error *err);
/* signal: "KILL", "SIGKILL", "9"; NULL or "": SIGKILL (and then waits for the end). */
int container_kill(struct engine *engine, const char *name, const char *signal, int cancel_fd, struct error *err);
int container_pause(struct engine *engine, const char *name, struct error *err);
int container_unpause(struct engine *engine, const char *name, struct error *err);
int container_rename(struct engine *engine, const char *name, const char *new_name, struct error *err);
/* New limits and restart policy: what `wanted` leaves zero stays. Running containers change at once. */
int container_update(struct engine *engine, const char *name, const struct host_config *wanted, struct error *err);
int container_resize(struct engine *engine, const char *name, uint16_t height, uint16_t width, struct error *err);

struct remove_options {
	bool force;
	bool volumes; /* its anonymous volumes too */
	bool link;    /* legacy links: refused */
};
int container_remove(struct engine *engine, const char *name, const struct remove_options *options, int cancel_fd,
		     struct error *err);

/* ---- wait ---- */

enum wait_condition { WAIT_NOT_RUNNING, WAIT_NEXT_EXIT, WAIT_REMOVED };

struct wait_result {
	int64_t exit_code;
	char *error_message; /* yours; NULL: none */
};

struct container_waiter;

/* "", "not-running", "next-exit", "removed"; else ERR_INVALID `invalid condition: "foo"`. */
int wait_condition_parse(enum wait_condition *out_condition, const char *text, struct error *err);
/* After this returned nothing can be missed: send the headers, then finish. */
int container_wait_begin(struct container_waiter **out_waiter, struct engine *engine, const char *name,
			 enum wait_condition condition, struct error *err);
int container_wait_finish(struct wait_result *out_result, struct container_waiter *waiter, int cancel_fd,
			  struct error *err);
void container_waiter_free(struct container_waiter *waiter);
DEFINE_AUTO(struct container_waiter, container_waiter_free)

/* ---- look ---- */

struct inspect_state {
	char *status; /* created running paused restarting removing exited dead */
	bool running;
	bool paused;
	bool restarting;
	bool oom_killed;
	bool dead;
	int64_t pid;
	int64_t exit_code;
	char *error;
	char *started_at;
	char *finished_at;
	struct state_health *health;
};

struct mount_point {
	char *type; /* bind, volume, tmpfs */
	char *name;
	char *source;
	char *destination;
	char *driver;
	char *mode;
	bool rw;
	char *propagation;
};

struct address_item {
	char *address;
	int64_t prefix_length;
};

struct inspect_network {
	char *bridge;
	char *sandbox_id;
	char *sandbox_key;
	struct port_map ports;
	bool hairpin_mode;
	char *link_local_ipv6_address;
	int64_t link_local_ipv6_prefix_length;
	JSON_ARRAY_OF(struct address_item) secondary_ip_addresses;
	JSON_ARRAY_OF(struct address_item) secondary_ipv6_addresses;
	char *endpoint_id;
	char *gateway;
	char *global_ipv6_address;
	int64_t global_ipv6_prefix_length;
	char *ip_address;
	int64_t ip_prefix_length;
	char *ipv6_gateway;
	char *mac_address;
	struct endpoint_map networks;
};

struct graph_driver {
	struct text_map data;
	char *name;
};

/* GET /containers/{id}/json, API 1.51: encode with container_inspect_fields, free with json_free_fields. */
struct container_inspect {
	char *id;
	char *created;
	char *path;
	struct text_list args;
	struct inspect_state state;
	char *image; /* id */
	char *resolv_conf_path;
	char *hostname_path;
	char *hosts_path;
	char *log_path;
	char *name; /* "/x" */
	int64_t restart_count;
	char *driver;
	char *platform;
	char *mount_label;
	char *process_label;
	char *apparmor_profile;
	struct text_list exec_ids;
	struct host_config host;
	struct graph_driver graph_driver;
	struct optional_i64 size_rw;
	struct optional_i64 size_root_fs;
	JSON_ARRAY_OF(struct mount_point) mounts;
	struct container_config config;
	struct inspect_network network;
};
extern const struct json_field container_inspect_fields[];
int container_inspect(struct container_inspect *out_inspect, struct engine *engine, const char *name, bool with_size,
		      struct error *err);

struct summary_port {
	char *ip;
	int64_t private_port;
	int64_t public_port;
	char *type;
};

struct summary_host_config {
	char *network_mode;
	struct text_map annotations;
};

struct summary_network_settings {
	struct endpoint_map networks;
};

/* One item of GET /containers/json. */
struct container_summary {
	char *id;
	struct text_list names; /* "/x" */
	char *image;
	char *image_id;
	char *command;
	int64_t created; /* unix seconds */
	JSON_ARRAY_OF(struct summary_port) ports;
	struct optional_i64 size_rw;
	struct optional_i64 size_root_fs;
	struct text_map labels;
	char *state;
	char *status; /* "Up 5 minutes" */
	struct summary_host_config host;
	struct summary_network_settings network;
	JSON_ARRAY_OF(struct mount_point) mounts;
};
extern const struct json_field container_summary_fields[];

struct list_options {
	bool all;
	bool size;
	int64_t limit; /* 0: none; else the newest n, running or not */
	const struct text_list
		*fields; /* only these keys are filled (and Id); NULL: all. See container_list_fields() */
	const struct filter_set *filters; /* NULL: none */
};
/* For filter_set_parse(). */
extern const char *const container_filter_keys[];
extern const char *const container_prune_filter_keys[];
/*
 * Newest first, each given once and freed by us; `give` may change it. One after the other: ten thousand at a time are
 * megabytes nobody wants.
 */
int container_list(struct engine *engine, const struct list_options *options,
		   void (*give)(void *context, struct container_summary *summary), void *context, struct error *err);

/* The table for an answer with these keys only; yours (free()). */
struct json_field *container_list_fields(const struct text_list *fields);

struct top_row {
	struct text_list values;
};
/* GET /containers/{id}/top: {"Titles":[...],"Processes":[[...]]}. */
struct container_top {
	struct text_list titles;
	JSON_ARRAY_OF(struct top_row) processes;
};
extern const struct json_field container_top_fields[];
/* ps_args NULL or "": "-ef". ERR_CONFLICT "container x is not running". */
int container_top(struct container_top *out_top, struct engine *engine, const char *name, const char *ps_args,
		  struct error *err);

struct container_prune_report {
	struct text_list deleted; /* ids */
	int64_t space_reclaimed;
};
/* {"ContainersDeleted":[...]|null,"SpaceReclaimed":N}. */
extern const struct json_field container_prune_report_fields[];
int container_prune(struct container_prune_report *out_report, struct engine *engine, const struct filter_set *filters,
		    int cancel_fd, struct error *err);

/* What other rooms of the engine ask: ids of the containers made from an image, or that use a volume. */
int containers_using_image(struct text_list *out_ids, bool *out_running, struct engine *engine, const char *image_id);
