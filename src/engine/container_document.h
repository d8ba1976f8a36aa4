/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_document.h - everything about a container that must survive us:
 * one JSON document, a row of meta.db. Plain value; free it with
 * json_free_fields(document, container_document_fields).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "engine/container_config.h"
#include "engine/health.h"
#include "json/json.h"

/* A mount that the user or the image asked for, decided at create. */
struct container_mount {
	char *type;   /* "bind", "volume", "tmpfs" */
	char *name;   /* volumes */
	char *source; /* on the host; "" for tmpfs */
	char *destination;
	char *driver; /* "local" for volumes */
	char *mode;   /* the options part of -v, as inspect shows it */
	bool rw;
	char *propagation;	  /* binds; "" means rprivate */
	struct text_list options; /* tmpfs: size=..., noexec, ... */
	bool hidden;		  /* --tmpfs: not in inspect's Mounts */
	bool copy_up;		  /* volumes: image content goes into an empty one */
	bool anonymous;		  /* goes away with the container */
	bool create_source;	  /* -v: a missing source becomes a directory */
	bool non_recursive;	  /* bind instead of rbind */
	bool read_only_top;	  /* ro for the top mount only */
	bool read_only_force;	  /* recursive ro or fail */
	char *subpath;		  /* below a volume */
	bool id_mapped;		  /* binds: as the container's ids, not the host's */
	char *folder;		  /* binds: around the source; what leads out of it is not bound. NULL: anything is */
};

struct container_state {
	bool running;
	bool paused;
	bool pausing; /* between the two, or for a commit only: an engine that finds it so resumes */
	bool restarting;
	bool removing;
	bool removing_volumes; /* and its anonymous volumes go with it */
	bool dead;
	bool oom_killed;
	bool manually_stopped; /* by stop or kill: restart policies leave it */
	int64_t pid;
	int64_t exit_code;
	char *error;
	int64_t created_ns;
	int64_t started_ns;	     /* 0: never */
	int64_t finished_ns;	     /* 0: never */
	struct state_health *health; /* NULL: no check, or never started */
};

/* Ids 0 to size - 1 of a user namespace are these of the host; size 0: there is none. */
struct id_map {
	int64_t uid_base;
	int64_t gid_base;
	int64_t size;
};

struct container_document {
	char *id;
	char *name; /* without "/" */
	char *image_id;
	struct container_config config; /* merged with the image's */
	struct host_config host;
	struct networking_config networking;
	JSON_ARRAY_OF(struct container_mount) mounts;
	char *path;
	struct text_list args;
	struct container_state state;
	int64_t restart_count;
	struct port_map bound_ports; /* while running */
	struct text_map wanted_macs; /* network -> MAC address that was asked for */
	struct id_map id_map;	     /* decided at create, never changed */
	bool build_step;	     /* of a build that dies with this engine */
};

extern const struct json_field container_document_fields[];
extern const struct json_field container_mount_fields[];
