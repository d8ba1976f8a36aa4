/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/task_stats.h"

#include <string.h>

#include "base/alloc.h"

#define NS_PER_US 1000

/* ---- v1: io.containerd.cgroups.v1.Metrics ---- */

static const struct proto_field pids_fields[] = {
	PROTO_U64(1, struct task_stats, pids_current),
	PROTO_U64(2, struct task_stats, pids_limit),
	PROTO_END,
};

static const struct proto_field v1_cpu_usage_fields[] = {
	PROTO_U64(1, struct task_stats, cpu_total_ns),
	PROTO_U64(2, struct task_stats, cpu_system_ns),
	PROTO_U64(3, struct task_stats, cpu_user_ns),
	PROTO_END,
};

static const struct proto_field v1_throttle_fields[] = {
	PROTO_U64(1, struct task_stats, cpu_periods),
	PROTO_U64(2, struct task_stats, cpu_throttled_periods),
	PROTO_U64(3, struct task_stats, cpu_throttled_ns),
	PROTO_END,
};

static const struct proto_field v1_cpu_fields[] = {
	PROTO_INLINE(1, v1_cpu_usage_fields),
	PROTO_INLINE(2, v1_throttle_fields),
	PROTO_END,
};

static const struct proto_field v1_memory_usage_fields[] = {
	PROTO_U64(1, struct task_stats, memory_limit),
	PROTO_U64(2, struct task_stats, memory_usage),
	PROTO_U64(3, struct task_stats, memory_peak),
	PROTO_U64(4, struct task_stats, memory_failures),
	PROTO_END,
};

static const struct proto_field v1_swap_usage_fields[] = {
	PROTO_U64(1, struct task_stats, memory_swap_limit),
	PROTO_U64(2, struct task_stats, memory_swap_usage),
	PROTO_END,
};

static const struct proto_field v1_memory_fields[] = {
	PROTO_U64(1, struct task_stats, memory_cache),
	PROTO_U64(2, struct task_stats, memory_rss),
	PROTO_U64(30, struct task_stats, memory_inactive_file),
	PROTO_INLINE(33, v1_memory_usage_fields),
	PROTO_INLINE(34, v1_swap_usage_fields),
	PROTO_END,
};

static const struct proto_field blkio_entry_fields[] = {
	PROTO_TEXT(1, struct task_blkio_entry, op),   PROTO_TEXT(2, struct task_blkio_entry, device),
	PROTO_U64(3, struct task_blkio_entry, major), PROTO_U64(4, struct task_blkio_entry, minor),
	PROTO_U64(5, struct task_blkio_entry, value), PROTO_END,
};

static const struct proto_field v1_blkio_fields[] = {
	PROTO_LIST(1, struct task_stats, blkio_bytes, blkio_entry_fields),
	PROTO_LIST(2, struct task_stats, blkio_ops, blkio_entry_fields),
	PROTO_END,
};

static const struct proto_field v1_oom_fields[] = {
	PROTO_U64(3, struct task_stats, oom_kills),
	PROTO_END,
};

static const struct proto_field cpu_share_fields[] = {
	PROTO_U64(1, struct task_cpu_share, usage_ns),
	PROTO_END,
};

static const struct proto_field io_stat_fields[] = {
	PROTO_U64(1, struct task_io_stat, major),
	PROTO_U64(2, struct task_io_stat, minor),
	PROTO_U64(3, struct task_io_stat, read_bytes),
	PROTO_U64(4, struct task_io_stat, write_bytes),
	PROTO_U64(5, struct task_io_stat, read_ops),
	PROTO_U64(6, struct task_io_stat, write_ops),
	PROTO_END,
};

static const struct proto_field v1_fields[] = {
	PROTO_INLINE(2, pids_fields),
	PROTO_INLINE(3, v1_cpu_fields),
	PROTO_INLINE(4, v1_memory_fields),
	PROTO_INLINE(5, v1_blkio_fields),
	PROTO_INLINE(9, v1_oom_fields),
	/* ours: what containerd's messages have no place for; its readers skip them */
	PROTO_TEXT_MAP(1000, struct task_stats, memory_stat),
	PROTO_LIST(1001, struct task_stats, io, io_stat_fields),
	PROTO_LIST(1002, struct task_stats, per_cpu, cpu_share_fields),
	PROTO_END,
};

/* ---- v2: io.containerd.cgroups.v2.Metrics ---- */

static const struct proto_field v2_cpu_fields[] = {
	PROTO_U64(1, struct task_stats, cpu_total_ns),
	PROTO_U64(2, struct task_stats, cpu_user_ns),
	PROTO_U64(3, struct task_stats, cpu_system_ns),
	PROTO_U64(4, struct task_stats, cpu_periods),
	PROTO_U64(5, struct task_stats, cpu_throttled_periods),
	PROTO_U64(6, struct task_stats, cpu_throttled_ns),
	PROTO_END,
};

static const struct proto_field v2_memory_fields[] = {
	PROTO_U64(1, struct task_stats, memory_rss),
	PROTO_U64(2, struct task_stats, memory_cache),
	PROTO_U64(13, struct task_stats, memory_inactive_file),
	PROTO_U64(32, struct task_stats, memory_usage),
	PROTO_U64(33, struct task_stats, memory_limit),
	PROTO_U64(34, struct task_stats, memory_swap_usage),
	PROTO_U64(35, struct task_stats, memory_swap_limit),
	PROTO_U64(36, struct task_stats, memory_peak),
	PROTO_END,
};

static const struct proto_field v2_io_fields[] = {
	PROTO_LIST(1, struct task_stats, io, io_stat_fields),
	PROTO_END,
};

static const struct proto_field v2_events_fields[] = {
	PROTO_U64(3, struct task_stats, memory_failures),
	PROTO_U64(5, struct task_stats, oom_kills),
	PROTO_END,
};

static const struct proto_field v2_fields[] = {
	PROTO_INLINE(1, pids_fields),
	PROTO_INLINE(2, v2_cpu_fields),
	PROTO_INLINE(4, v2_memory_fields),
	PROTO_INLINE(6, v2_io_fields),
	PROTO_INLINE(8, v2_events_fields),
	PROTO_TEXT_MAP(1000, struct task_stats, memory_stat),
	PROTO_END,
};

static struct task_blkio_entry *add_entry(struct task_blkio_entry *entry, const struct task_io_stat *io, const char *op,
					  uint64_t value)
{
	*entry = (struct task_blkio_entry){ .op = xstrdup(op), .major = io->major, .minor = io->minor, .value = value };
	return entry + 1;
}

static void add_v1_blkio(struct task_stats *stats)
{
	struct task_blkio_entry *bytes = xcalloc(stats->io.count * 2 + 1, sizeof(*bytes));
	struct task_blkio_entry *ops = xcalloc(stats->io.count * 2 + 1, sizeof(*ops));

	stats->blkio_bytes.items = bytes;
	stats->blkio_ops.items = ops;
	stats->blkio_bytes.count = stats->io.count * 2;
	stats->blkio_ops.count = stats->io.count * 2;
	for (size_t i = 0; i < stats->io.count; i++) {
		const struct task_io_stat *io = &stats->io.items[i];

		bytes = add_entry(bytes, io, "Read", io->read_bytes);
		bytes = add_entry(bytes, io, "Write", io->write_bytes);
		ops = add_entry(ops, io, "Read", io->read_ops);
		ops = add_entry(ops, io, "Write", io->write_ops);
	}
}

/* v2 counts microseconds. */
static void scale_cpu(struct task_stats *stats, bool to_wire)
{
	uint64_t *const times[] = { &stats->cpu_total_ns, &stats->cpu_user_ns, &stats->cpu_system_ns,
				    &stats->cpu_throttled_ns };

	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++)
		*times[i] = to_wire ? *times[i] / NS_PER_US : *times[i] * NS_PER_US;
}

void task_stats_encode(struct proto_any *out_any, struct task_stats *stats)
{
	struct text bytes = { 0 };

	if (stats->is_v2) {
		scale_cpu(stats, true);
		proto_encode(&bytes, stats, v2_fields);
		scale_cpu(stats, false);
	} else {
		if (!stats->blkio_bytes.items)
			add_v1_blkio(stats);
		proto_encode(&bytes, stats, v1_fields);
	}
	*out_any = (struct proto_any){
		.type_url = xstrdup(stats->is_v2 ? TYPE_METRICS_V2 : TYPE_METRICS_V1),
		.value = { .data = (uint8_t *)bytes.data, .size = bytes.size },
	};
}

int task_stats_decode(struct task_stats *out_stats, const struct proto_any *any, struct error *err)
{
	bool is_v2 = text_equal(any->type_url, TYPE_METRICS_V2);

	memset(out_stats, 0, sizeof(*out_stats));
	if (!is_v2 && !text_equal(any->type_url, TYPE_METRICS_V1))
		return error_set(err, ERR_INVALID, "statistics of unknown type %s", text_or_empty(any->type_url));
	if (proto_decode(out_stats, is_v2 ? v2_fields : v1_fields, any->value.data, any->value.size, err) < 0)
		return error_prefix(err, "statistics");
	out_stats->is_v2 = is_v2;
	if (is_v2)
		scale_cpu(out_stats, false);
	return 0;
}

void task_stats_free(struct task_stats *stats)
{
	proto_free(stats, v1_fields);
}
