/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h - one control group, whatever the host's version is.
 *
 * A group is one path below the mount point of every hierarchy: of each v1
 * controller, of the cgroup2 tree beside them (hybrid), or of the one cgroup2
 * tree. Their directories are opened when they are needed. What a hierarchy lacks is an
 * error only if a limit asks for it. kill -9 between any two calls is harmless:
 * open the group by its path again, or create it again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/optional.h"
#include "base/text.h"

enum cgroup_mode {
	CGROUP_NONE,   /* nothing mounted */
	CGROUP_V1,     /* v1 hierarchies only */
	CGROUP_HYBRID, /* v1 hierarchies and a cgroup2 tree */
	CGROUP_V2,     /* one cgroup2 tree */
};

struct cgroup;

struct cgroup_device_rule {
	bool allow;
	char type;     /* 'a', 'b' or 'c' */
	int64_t major; /* -1: any */
	int64_t minor; /* -1: any */
	bool read, write, mknod;
};

struct cgroup_blkio_device {
	int64_t major, minor;
	uint64_t value; /* weight, or rate */
};

struct cgroup_blkio_list {
	const struct cgroup_blkio_device *items; /* borrowed */
	size_t count;
};

struct cgroup_hugepage_limit {
	const char *page_size; /* "2MB", as in the file names */
	uint64_t limit;
};

struct cgroup_network_priority {
	const char *interface;
	uint32_t priority;
};

/* What to set; everything else is left as it is. All pointers are borrowed. -1 means unlimited, as in the OCI spec. */
struct cgroup_limits {
	struct optional_u64 cpu_shares;
	struct optional_i64 cpu_quota;
	struct optional_u64 cpu_period;
	struct optional_u64 cpu_burst;
	struct optional_i64 cpu_realtime_runtime;
	struct optional_u64 cpu_realtime_period;
	struct optional_i64 cpu_idle;
	const char *cpuset_cpus; /* NULL: not asked */
	const char *cpuset_mems;
	struct optional_i64 memory_limit;
	struct optional_i64 memory_reservation;
	struct optional_i64 memory_swap; /* memory plus swap */
	struct optional_i64 memory_swappiness;
	struct optional_bool memory_disable_oom_killer;
	bool memory_check_before_update; /* refuse a limit below the usage */
	struct optional_i64 pids_limit;
	struct optional_u64 blkio_weight;
	struct optional_u64 blkio_leaf_weight;
	struct cgroup_blkio_list blkio_weight_device;
	struct cgroup_blkio_list blkio_read_bps;
	struct cgroup_blkio_list blkio_write_bps;
	struct cgroup_blkio_list blkio_read_iops;
	struct cgroup_blkio_list blkio_write_iops;
	bool devices_set; /* apply `devices`, even if empty: deny all */
	const struct cgroup_device_rule *devices;
	size_t device_count;
	const struct cgroup_hugepage_limit *hugepages;
	size_t hugepage_count;
	struct optional_u64 network_class_id;
	const struct cgroup_network_priority *network_priorities;
	size_t network_priority_count;
	const struct text_map *unified; /* file name -> content, cgroup2 only; NULL: none */
};

struct cgroup_io_stat {
	uint64_t major, minor;
	uint64_t read_bytes, write_bytes, read_ops, write_ops;
};

/* cgroup2's pressure files (Documentation/accounting/psi.rst): shares of time as the kernel writes them, "0.00". */
struct cgroup_stall {
	char avg10[12], avg60[12], avg300[12]; /* percent */
	uint64_t total_us;
};
struct cgroup_pressure {
	bool set;
	struct cgroup_stall some, full;
};

struct cgroup_hugetlb_stat {
	char page_size[16]; /* "2MB" */
	uint64_t usage, peak, failures;
};

/* What a container used. Absent controllers leave zeros; limits are UINT64_MAX if there is none. */
struct cgroup_stats {
	uint64_t cpu_total_ns, cpu_user_ns, cpu_system_ns;
	uint64_t cpu_periods, cpu_throttled_periods, cpu_throttled_ns;
	uint64_t *per_cpu_ns; /* owned; v1 only */
	size_t per_cpu_count;
	uint64_t memory_usage, memory_limit, memory_peak, memory_failures;
	uint64_t memory_swap_usage, memory_swap_limit; /* v1: memory plus swap; v2: swap alone */
	uint64_t memory_cache, memory_rss, memory_inactive_file;
	struct text_map memory_stat; /* memory.stat as it is: key -> decimal */
	uint64_t oom_kills;
	uint64_t pids_current, pids_limit;
	struct cgroup_io_stat *io; /* owned */
	size_t io_count;
	struct cgroup_hugetlb_stat *hugetlb; /* owned */
	size_t hugetlb_count;
	struct cgroup_pressure cpu_pressure, memory_pressure, io_pressure; /* v2 only */
};

/* One tree the group lives in: what a runtime needs to mount /sys/fs/cgroup in a container. */
struct cgroup_hierarchy {
	const char *name;	 /* borrowed: "cpu,cpuacct", "name=systemd"; "" for cgroup2 */
	const char *mount_point; /* borrowed: "/sys/fs/cgroup/cpu" */
	const char *path;	 /* borrowed: the group below the mount point, "/docker/ab" */
	bool exists;		 /* the hierarchy has the group, or will have it after cgroup_finish() */
	int dir_fd;		 /* borrowed: the group's directory; -1 if it was not opened: cgroup_open_all() */
	bool is_v2;
};

/* The rdma controller's limits of one device; an unset number is no limit. */
struct cgroup_rdma_limit {
	const char *device; /* "mlx5_0" */
	struct optional_u64 handles;
	struct optional_u64 objects;
};

/* How the host mounts its control groups. */
enum cgroup_mode cgroup_detect(void);
/* The controllers that can be used, sorted ("cpu", "memory", ...). */
int cgroup_controllers(struct text_list *out_names, struct error *err);

/* Whether swap is accounted: without it a swap limit has no effect. */
bool cgroup_accounts_swap(void);

enum cgroup_create_flags {
	CGROUP_REFUSE_BUSY = 1, /* ERR_CONFLICT if the group exists and holds processes or is frozen */
};

/*
 * Makes the group in every hierarchy (and its parents, with their controllers
 * enabled). `path` is absolute below the mount points: "/docker/ab"; ".." is
 * refused. What was made is removed again if it fails.
 */
int cgroup_create(struct cgroup **out_cgroup, const char *path, unsigned flags, struct error *err);
/*
 * The same in two halves, so that a process can be cloned in between: begin makes only what CLONE_INTO_CGROUP needs,
 * the group of the cgroup2 tree; finish makes those of the v1 hierarchies. After a failed finish, cgroup_unmake() takes
 * away what was made, when no process of ours is in it any more.
 */
int cgroup_begin(struct cgroup **out_cgroup, const char *path, unsigned flags, struct error *err);
int cgroup_finish(struct cgroup *cgroup, unsigned flags, struct error *err);
void cgroup_unmake(struct cgroup *cgroup);
/* Opens the directories now, for whoever will not see the host's paths; cgroup_open() has done it. */
void cgroup_open_all(struct cgroup *cgroup);
/* Opens an existing group; ERR_NOT_FOUND if no hierarchy has it. */
int cgroup_open(struct cgroup **out_cgroup, const char *path, struct error *err);
void cgroup_close(struct cgroup *cgroup);
DEFINE_AUTO(struct cgroup, cgroup_close)

const char *cgroup_path(const struct cgroup *cgroup);
enum cgroup_mode cgroup_get_mode(const struct cgroup *cgroup);
size_t cgroup_hierarchy_count(const struct cgroup *cgroup);
/* The hierarchy a controller ("memory"; "" for the cgroup2 tree) belongs to; false if the host has none. */
bool cgroup_find_hierarchy(const struct cgroup *cgroup, const char *controller, struct cgroup_hierarchy *out_hierarchy);
void cgroup_get_hierarchy(const struct cgroup *cgroup, size_t index, struct cgroup_hierarchy *out_hierarchy);

/* The cgroup2 directory for CLONE_INTO_CGROUP (borrowed), or -1 on pure v1. */
int cgroup_clone_fd(const struct cgroup *cgroup);
/* The cgroup of this v2 tree was entered by clone already: enter the v1 hierarchies only (nothing to do on v2). */
int cgroup_add_cloned(struct cgroup *cgroup, pid_t pid, struct error *err);
/*
 * Without privileges: whether this process may be born into the group, or move there. cgroup2 wants the right to write
 * to the group that both lie in. Beside v1 hierarchies the cgroup2 tree is left out then; else it fails with EACCES.
 */
int cgroup_check_entry(struct cgroup *cgroup, struct error *err);
/* Moves a process into the group in every hierarchy. */
int cgroup_add(struct cgroup *cgroup, pid_t pid, struct error *err);
/* chown for delegation (v2 only): the directory and the files of /sys/kernel/cgroup/delegate. */
int cgroup_delegate(struct cgroup *cgroup, uid_t uid, struct error *err);

int cgroup_set_rdma(struct cgroup *cgroup, const struct cgroup_rdma_limit *limit, struct error *err);
/* Values of v1 as cgroup2 has them: cpu shares and blkio weights onto 1..10000. */
uint64_t cgroup_weight_of_shares(uint64_t shares);
uint64_t cgroup_weight_of_blkio(uint64_t weight);
int cgroup_apply(struct cgroup *cgroup, const struct cgroup_limits *limits, struct error *err);

/* Stops or resumes all processes and waits until it is so. */
int cgroup_freeze(struct cgroup *cgroup, bool frozen, struct error *err);
/* 1 frozen, 0 not. */
int cgroup_is_frozen(struct cgroup *cgroup, struct error *err);
/* Signals every process in the group and below; SIGKILL reaches also those that fork meanwhile. */
int cgroup_kill(struct cgroup *cgroup, int signal, struct error *err);
/* SIGKILL to whoever is in the group of any hierarchy: v1 processes may be in one and not in the others. */
int cgroup_kill_strays(struct cgroup *cgroup, struct error *err);
/* All processes in the group and below, ascending. *out_pids is yours. */
int cgroup_pids(struct cgroup *cgroup, pid_t **out_pids, size_t *out_count, struct error *err);

int cgroup_stats_read(struct cgroup *cgroup, struct cgroup_stats *out_stats, struct error *err);
void cgroup_stats_fini(struct cgroup_stats *stats);
/* How many processes the OOM killer took here; 0 if unknown. */
uint64_t cgroup_oom_kills(struct cgroup *cgroup);
/* How often the pids limit refused a new process here; 0 if unknown. */
uint64_t cgroup_refused_forks(struct cgroup *cgroup);
/*
 * A descriptor that becomes readable at an out-of-memory event; yours. Read and
 * discard, then ask cgroup_oom_kills(). -errno if the kernel cannot.
 */
int cgroup_oom_watch(struct cgroup *cgroup);

/* Removes the group and what is below it; 0 also if it was gone. Waits briefly for exiting processes. */
int cgroup_remove(struct cgroup *cgroup, struct error *err);
