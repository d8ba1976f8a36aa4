/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.h - what a container uses: GET /containers/{id}/stats.
 *
 * A reader gives one sample after the other, each with the CPU figures of the
 * one before it. Read from the control group's files and /proc/<pid>/net/dev by
 * us: no process is started or asked. A container that does not run gives
 * samples without figures, as docker's do.
 */
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "json/json.h"

struct engine;
struct stats_reader;

struct stats_number {
	char *key;
	uint64_t value;
};

struct stats_count {
	uint64_t value;
};

struct stats_pids {
	uint64_t current;
	uint64_t limit;
};

struct stats_block_entry {
	uint64_t major;
	uint64_t minor;
	char *op;
	uint64_t value;
};
struct stats_block_list {
	struct stats_block_entry *items;
	size_t count;
};
struct stats_block {
	struct stats_block_list bytes;
	struct stats_block_list operations;
	struct stats_block_list unknown; /* what kernels do not tell any more: always null */
};

struct stats_cpu_usage { /* nanoseconds */
	uint64_t total;
	JSON_ARRAY_OF(struct stats_count) per_cpu; /* v1 only */
	uint64_t kernel;
	uint64_t user;
};
struct stats_throttling {
	uint64_t periods;
	uint64_t throttled_periods;
	uint64_t throttled_ns;
};
struct stats_cpu {
	struct stats_cpu_usage usage;
	uint64_t system_ns; /* of all processors since boot */
	uint64_t online_cpus;
	struct stats_throttling throttling;
};

struct stats_memory { /* bytes */
	uint64_t usage;
	uint64_t max_usage; /* v1 only */
	JSON_ARRAY_OF(struct stats_number) stats;
	uint64_t failures;
	uint64_t limit;
};

struct stats_network {
	char *key; /* "eth0" */
	uint64_t rx_bytes;
	uint64_t rx_packets;
	uint64_t rx_errors;
	uint64_t rx_dropped;
	uint64_t tx_bytes;
	uint64_t tx_packets;
	uint64_t tx_errors;
	uint64_t tx_dropped;
};

struct container_stats {
	char *name; /* "/x" */
	char *id;
	char *read;
	char *pre_read;
	struct stats_pids pids;
	struct stats_block block;
	uint64_t process_count; /* Windows only */
	struct text_map storage;
	struct stats_cpu cpu;
	struct stats_cpu previous_cpu;
	struct stats_memory memory;
	JSON_ARRAY_OF(struct stats_network) networks;
};
/* Free with json_free_fields(). */
extern const struct json_field container_stats_fields[];

int stats_reader_open(struct stats_reader **out_reader, struct engine *engine, const char *container,
		      struct error *err);
/* 1 a sample, 0 the container is removed. *out_running: it has figures. */
int stats_reader_next(struct stats_reader *reader, struct container_stats *out_stats, bool *out_running,
		      struct error *err);
void stats_reader_close(struct stats_reader *reader);
DEFINE_AUTO(struct stats_reader, stats_reader_close)
