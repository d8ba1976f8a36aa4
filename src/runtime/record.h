/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - what is kept of a container between two processes of ours.
 *
 * <root>/<id>/state.json is the record, config.json the specification as it was
 * at create, `start` the socket on which a created init listens. A record with
 * pid 0 belongs to a create that is under way, or was killed if its process is
 * gone: the container then counts as stopped.
 */
#pragma once

#include <stdint.h>

#include "oci/runtime_spec.h"
#include "runtime/runtime.h"

struct record {
	char *oci_version;
	char *id;
	char *bundle;
	char *rootfs;
	char *created;
	char *cgroup_path; /* empty: none */
	char *resctrl;	   /* the folder to be removed with it; empty: none */
	char *unit;	   /* empty: systemd does not know of it */
	int64_t pid;
	uint64_t start_time; /* of pid, in ticks since boot */
	int64_t creator;     /* who makes the container; counts while pid is 0 */
	uint64_t creator_start;
	uint32_t owner;
	struct optional_i64 wait_status; /* how it ended, if somebody who waited for it told us */
	bool own_pid_namespace;
	bool has_poststop;
	struct text_map annotations;
};

void record_fini(struct record *record);
/* "container with given ID already exists", or the id cannot be used. Returns the container's folder as a descriptor. */
int record_make_folder(const struct runtime *runtime, const char *id, struct error *err);
/* ERR_NOT_FOUND "container does not exist". */
int record_open_folder(const struct runtime *runtime, const char *id, struct error *err);
int record_remove_folder(const struct runtime *runtime, const char *id, struct error *err);
int record_remove_open_folder(const struct runtime *runtime, const char *id, int folder_fd, struct error *err);
/* The first record and the specification: not in one step, because a record without pid promises nothing. */
int record_begin(int folder_fd, const struct record *record, const char *config, size_t size, struct error *err);
/* Replaces the record, at once or in two steps: nobody sees it before the second. */
int record_save(int folder_fd, const struct record *record, struct error *err);
int record_prepare(int folder_fd, const struct record *record, struct error *err);
int record_commit(int folder_fd, const struct record *record, struct error *err);
/* An empty or missing state.json gives a record with pid 0. */
int record_load(struct record *out_record, int folder_fd, const char *id, struct error *err);
/* The specification as it was at create. */
int record_load_spec(struct spec *out_spec, int folder_fd, struct error *err);

/* Whether the recorded process runs (a zombie does not). */
bool record_is_alive(const struct record *record);
/* How the process ended, in wait(2)'s form, if that is known: told to us, or still to be read from a zombie. */
bool record_read_end(const struct record *record, int *out_wait_status);
/* The container is not complete, and the process that made it has ended. */
bool record_is_abandoned(const struct record *record);
/* Without a look at the freezer: created, running or stopped (creating with pid 0). */
enum runtime_status record_status(const struct record *record, int folder_fd);
/* The state document hooks get on stdin; yours. */
char *record_state_json(const struct record *record, enum runtime_status status, int64_t pid);
/* ERR_INVALID unless the id is made of letters, digits and _+-. */
int record_check_id(const char *id, struct error *err);
