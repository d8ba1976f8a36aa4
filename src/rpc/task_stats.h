/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_stats.h - what a container used, as it travels in StatsResponse:
 * containerd's cgroup metrics (v1 or v2), read into one flat struct. A field
 * that the host's cgroup version does not have stays zero. Limits: UINT64_MAX
 * or 0 is "none".
 */
#pragma once

#include <stdint.h>

#include "rpc/task_messages.h"

struct task_io_stat {
	uint64_t major, minor;
	uint64_t read_bytes, write_bytes, read_ops, write_ops;
};

struct task_blkio_entry { /* the v1 form: one number of one device and operation */
	char *op;
	char *device;
	uint64_t major, minor, value;
};

struct task_cpu_share {
	uint64_t usage_ns;
};

struct task_stats {
	bool is_v2;
	/* v1 counts nanoseconds, v2 microseconds on the wire: always nanoseconds here, see task_stats_decode(). */
	uint64_t cpu_total_ns, cpu_user_ns, cpu_system_ns;
	uint64_t cpu_periods, cpu_throttled_periods, cpu_throttled_ns;
	PROTO_LIST_OF(struct task_cpu_share) per_cpu; /* v1 */
	uint64_t memory_usage, memory_limit, memory_peak, memory_failures;
	uint64_t memory_swap_usage, memory_swap_limit;
	uint64_t memory_cache, memory_rss, memory_inactive_file;
	struct text_map memory_stat; /* memory.stat as it is: key -> decimal. Ours, field 1000 */
	uint64_t oom_kills;
	uint64_t pids_current, pids_limit;
	PROTO_LIST_OF(struct task_io_stat) io;		    /* v2 form; ours in field 1001 for v1 */
	PROTO_LIST_OF(struct task_blkio_entry) blkio_bytes; /* v1 form, filled by task_stats_encode() */
	PROTO_LIST_OF(struct task_blkio_entry) blkio_ops;
};

/* Fills an Any with v1 or v2 metrics as stats->is_v2 says; adds the v1 forms to stats. */
void task_stats_encode(struct proto_any *out_any, struct task_stats *stats);
/* ERR_INVALID if it is no metrics we know. task_stats_free() afterwards. */
int task_stats_decode(struct task_stats *out_stats, const struct proto_any *any, struct error *err);
void task_stats_free(struct task_stats *stats);
