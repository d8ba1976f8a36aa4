/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_tree.h - inside of cgroup.h: the trees a group is made of, and what
 * cgroup_v1.c and cgroup_v2.c do on them. Not for other rooms.
 */
#pragma once

#include "sys/cgroup.h"

enum cgroup_controller {
	CONTROLLER_CPU = 1 << 0,
	CONTROLLER_CPUACCT = 1 << 1,
	CONTROLLER_CPUSET = 1 << 2,
	CONTROLLER_MEMORY = 1 << 3,
	CONTROLLER_PIDS = 1 << 4,
	CONTROLLER_BLKIO = 1 << 5, /* "io" on v2 */
	CONTROLLER_DEVICES = 1 << 6,
	CONTROLLER_FREEZER = 1 << 7,
	CONTROLLER_HUGETLB = 1 << 8,
	CONTROLLER_NET_CLS = 1 << 9,
	CONTROLLER_NET_PRIO = 1 << 10,
};

struct cgroup_tree {
	char *name;	      /* owned: "cpu,cpuacct"; "" for v2 */
	char *mount_point;    /* owned */
	const char *path;     /* borrowed: the group's */
	unsigned controllers; /* CONTROLLER_ bits mounted here (v1) */
	bool v2;
	bool exists; /* or will, after cgroup_finish() */
	bool made;   /* by this cgroup_create */
	int dir_fd;  /* -1: not opened yet: cgroup_dir() */
};

struct cgroup {
	enum cgroup_mode mode;
	char *path; /* "/docker/ab" */
	struct cgroup_tree *trees;
	size_t tree_count;
	size_t tree_capacity;
};

/* The group's directory (borrowed), opened when first needed: most hierarchies only get a process. -1 if it is gone. */
int cgroup_dir(const struct cgroup_tree *tree);
/* Fills mode and trees. */
void cgroup_find_trees(struct cgroup *cgroup);
/* A v1 tree with this controller and a directory, or NULL. */
struct cgroup_tree *cgroup_find_tree(const struct cgroup *cgroup, enum cgroup_controller controller);
/* The v2 tree with a directory, or NULL. */
struct cgroup_tree *cgroup_v2_tree(const struct cgroup *cgroup);

/* One write to a file of the group; -errno. */
int cgroup_put(const struct cgroup_tree *tree, const char *file, const char *value);
/* The same with a sentence. */
int cgroup_set(const struct cgroup *cgroup, const struct cgroup_tree *tree, const char *file, const char *value,
	       struct error *err);
int cgroup_set_i64(const struct cgroup *cgroup, const struct cgroup_tree *tree, const char *file, int64_t value,
		   struct error *err);
/* A whole file; yours. NULL if it cannot be read. */
char *cgroup_get(const struct cgroup_tree *tree, const char *file);
/* A file of one number; "max" and what is beyond the range give UINT64_MAX, an absent file `otherwise`. */
uint64_t cgroup_get_u64(const struct cgroup_tree *tree, const char *file, uint64_t otherwise);
/* The number behind "key " at the start of a line of text, or `otherwise`. */
uint64_t cgroup_key_u64(const char *text, const char *key, uint64_t otherwise);
/* Every "key number" line of text into a map. */
void cgroup_keys(struct text_map *out_map, const char *text);
/* The io entry of a device, added if new. */
struct cgroup_io_stat *cgroup_io_entry(struct cgroup_stats *stats, uint64_t major, uint64_t minor);
bool cgroup_has(const struct cgroup_tree *tree, const char *file);

int cgroup_v1_apply(struct cgroup *cgroup, const struct cgroup_limits *limits, struct error *err);
int cgroup_v1_freeze(struct cgroup *cgroup, const struct cgroup_tree *freezer, bool frozen, struct error *err);
void cgroup_v1_stats(struct cgroup *cgroup, struct cgroup_stats *stats);
void cgroup_stats_pressure(const struct cgroup_tree *tree, struct cgroup_stats *stats);
void cgroup_stats_hugetlb(const struct cgroup *cgroup, struct cgroup_stats *stats);
int cgroup_v1_oom_watch(const struct cgroup_tree *memory);
/* A new cpuset group has no cpus nor nodes: takes its parent's. */
int cgroup_v1_inherit_cpuset(const char *mount_point, const char *path, bool made);

/* Turns the controllers on from the root down to the parent of path. */
void cgroup_v2_enable(const char *mount_point, const char *path);
int cgroup_v2_apply(struct cgroup *cgroup, const struct cgroup_tree *tree, const struct cgroup_limits *limits,
		    struct error *err);
int cgroup_v2_apply_unified(struct cgroup *cgroup, const struct cgroup_tree *tree, const struct text_map *unified,
			    struct error *err);
int cgroup_v2_freeze(struct cgroup *cgroup, const struct cgroup_tree *tree, bool frozen, struct error *err);
void cgroup_v2_stats(struct cgroup *cgroup, const struct cgroup_tree *tree, struct cgroup_stats *stats);
int cgroup_v2_oom_watch(const struct cgroup_tree *tree);
