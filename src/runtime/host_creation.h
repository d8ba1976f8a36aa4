/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_creation.h - a container while it is made: by create, run or restore.
 *
 * struct creation collects what was made; creation_fini() takes all of it away
 * again unless `done` is set. The order of the parts is that of this file.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "oci/runtime_spec.h"
#include "runtime/host_systemd.h"
#include "runtime/plan.h"
#include "runtime/record.h"
#include "runtime/runtime.h"

struct creation {
	struct plan plan;
	struct spec spec;
	struct record record;
	struct seccomp_filter filter;
	struct cgroup *cgroup;
	struct host_scope scope;
	struct runtime_process process;
	char *config; /* text of config.json */
	size_t config_size;
	int folder_fd;
	int start_fd;
	int sync_fd;	   /* our end */
	int net_fd;	   /* a socket in the network namespace, for lo; -1: it is up, or not ours to bring up */
	bool whole;	   /* all of the cgroup is made, and is ours to remove */
	bool hooked;	   /* a hook ran: poststop hooks belong to the undo */
	bool late_devices; /* the rules for devices come when init is in the cgroup */
	bool done;
};

void creation_init(struct creation *creation);
void creation_fini(struct creation *creation);
/* Reads and checks config.json, makes the state folder with a record that names no process yet. */
int creation_begin(struct creation *creation, const struct runtime *runtime,
		   const struct runtime_create_options *options, struct error *err);
void creation_plan_idmap(struct creation *creation);
/* Before the process: all of its cgroup, or what a clone enters at birth; the rest while it makes its namespaces. */
int creation_make_cgroup(struct creation *creation, struct error *err);
int creation_complete_cgroup(struct creation *creation, struct error *err);
/* When creation->process is there. */
int creation_enter_resctrl(struct creation *creation, struct error *err);
/* When it lives in its group: systemd's helper, which kept the unit alive, may go. */
int creation_settle_unit(struct creation *creation, struct error *err);
