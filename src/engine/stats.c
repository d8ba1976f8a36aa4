/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/stats.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "engine/engine_private.h"
#include "sys/cgroup.h"

#define PROC_FILE_MAX ((size_t)1 << 20)
#define NETWORK_COLUMNS 16

struct stats_reader {
	struct container *container; /* a reference */
	char previous_read[CLOCK_TEXT_MAX];
	struct stats_cpu previous_cpu; /* owns its per_cpu */
};

/* ---- tables ---- */

static const struct json_field count_fields[] = {
	JSON_U64("", struct stats_count, value, 0),
	JSON_END,
};
static const struct json_field number_fields[] = {
	JSON_KEY(struct stats_number, key),
	JSON_U64("", struct stats_number, value, 0),
	JSON_END,
};
static const struct json_field pids_fields[] = {
	JSON_U64("current", struct stats_pids, current, JSON_OMIT_EMPTY),
	JSON_U64("limit", struct stats_pids, limit, JSON_OMIT_EMPTY),
	JSON_END,
};
static const struct json_field block_entry_fields[] = {
	JSON_U64("major", struct stats_block_entry, major, 0),
	JSON_U64("minor", struct stats_block_entry, minor, 0),
	JSON_TEXT("op", struct stats_block_entry, op, 0),
	JSON_U64("value", struct stats_block_entry, value, 0),
	JSON_END,
};
static const struct json_field block_fields[] = {
	JSON_ARRAY("io_service_bytes_recursive", struct stats_block, bytes, block_entry_fields, JSON_EMPTY_NULL),
	JSON_ARRAY("io_serviced_recursive", struct stats_block, operations, block_entry_fields, JSON_EMPTY_NULL),
	JSON_ARRAY("io_queue_recursive", struct stats_block, unknown, block_entry_fields, JSON_EMPTY_NULL),
	JSON_ARRAY("io_service_time_recursive", struct stats_block, unknown, block_entry_fields, JSON_EMPTY_NULL),
	JSON_ARRAY("io_wait_time_recursive", struct stats_block, unknown, block_entry_fields, JSON_EMPTY_NULL),
	JSON_ARRAY("io_merged_recursive", struct stats_block, unknown, block_entry_fields, JSON_EMPTY_NULL),
	JSON_ARRAY("io_time_recursive", struct stats_block, unknown, block_entry_fields, JSON_EMPTY_NULL),
	JSON_ARRAY("sectors_recursive", struct stats_block, unknown, block_entry_fields, JSON_EMPTY_NULL),
	JSON_END,
};
static const struct json_field cpu_usage_fields[] = {
	JSON_U64("total_usage", struct stats_cpu_usage, total, 0),
	JSON_ARRAY("percpu_usage", struct stats_cpu_usage, per_cpu, count_fields, JSON_OMIT_EMPTY),
	JSON_U64("usage_in_kernelmode", struct stats_cpu_usage, kernel, 0),
	JSON_U64("usage_in_usermode", struct stats_cpu_usage, user, 0),
	JSON_END,
};
static const struct json_field throttling_fields[] = {
	JSON_U64("periods", struct stats_throttling, periods, 0),
	JSON_U64("throttled_periods", struct stats_throttling, throttled_periods, 0),
	JSON_U64("throttled_time", struct stats_throttling, throttled_ns, 0),
	JSON_END,
};
static const struct json_field cpu_fields[] = {
	JSON_OBJECT("cpu_usage", struct stats_cpu, usage, cpu_usage_fields, 0),
	JSON_U64("system_cpu_usage", struct stats_cpu, system_ns, JSON_OMIT_EMPTY),
	JSON_U64("online_cpus", struct stats_cpu, online_cpus, JSON_OMIT_EMPTY),
	JSON_OBJECT("throttling_data", struct stats_cpu, throttling, throttling_fields, 0),
	JSON_END,
};
static const struct json_field memory_fields[] = {
	JSON_U64("usage", struct stats_memory, usage, JSON_OMIT_EMPTY),
	JSON_U64("max_usage", struct stats_memory, max_usage, JSON_OMIT_EMPTY),
	JSON_MAP("stats", struct stats_memory, stats, number_fields, JSON_OMIT_EMPTY),
	JSON_U64("failcnt", struct stats_memory, failures, JSON_OMIT_EMPTY),
	JSON_U64("limit", struct stats_memory, limit, JSON_OMIT_EMPTY),
	JSON_END,
};
static const struct json_field network_fields[] = {
	JSON_KEY(struct stats_network, key),
	JSON_U64("rx_bytes", struct stats_network, rx_bytes, 0),
	JSON_U64("rx_packets", struct stats_network, rx_packets, 0),
	JSON_U64("rx_errors", struct stats_network, rx_errors, 0),
	JSON_U64("rx_dropped", struct stats_network, rx_dropped, 0),
	JSON_U64("tx_bytes", struct stats_network, tx_bytes, 0),
	JSON_U64("tx_packets", struct stats_network, tx_packets, 0),
	JSON_U64("tx_errors", struct stats_network, tx_errors, 0),
	JSON_U64("tx_dropped", struct stats_network, tx_dropped, 0),
	JSON_END,
};
const struct json_field container_stats_fields[] = {
	JSON_TEXT("name", struct container_stats, name, 0),
	JSON_TEXT("id", struct container_stats, id, 0),
	JSON_TEXT("read", struct container_stats, read, 0),
	JSON_TEXT("preread", struct container_stats, pre_read, 0),
	JSON_OBJECT("pids_stats", struct container_stats, pids, pids_fields, 0),
	JSON_OBJECT("blkio_stats", struct container_stats, block, block_fields, 0),
	JSON_U64("num_procs", struct container_stats, process_count, 0),
	JSON_TEXT_MAP("storage_stats", struct container_stats, storage, 0),
	JSON_OBJECT("cpu_stats", struct container_stats, cpu, cpu_fields, 0),
	JSON_OBJECT("precpu_stats", struct container_stats, previous_cpu, cpu_fields, 0),
	JSON_OBJECT("memory_stats", struct container_stats, memory, memory_fields, 0),
	JSON_MAP("networks", struct container_stats, networks, network_fields, JSON_OMIT_EMPTY),
	JSON_END,
};

/* ---- the host ---- */

/* The first line of /proc/stat without guest time, which user time contains: ticks of all processors. */
static uint64_t host_cpu_ns(void)
{
	AUTO_FREE char *text = NULL;
	uint64_t ticks = 0;
	char *place;

	if (file_read(&text, NULL, AT_FDCWD, "/proc/stat", PROC_FILE_MAX) < 0 || !text_has_prefix(text, "cpu "))
		return 0;
	place = text + strlen("cpu ");
	for (int column = 0; column < 7; column++)
		ticks += strtoull(place, &place, 10);
	return ticks * ((uint64_t)CLOCK_SECOND / (uint64_t)sysconf(_SC_CLK_TCK));
}

static uint64_t host_memory(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- networks ---- */

/* "  eth0: 1 2 3 ...": receive bytes packets errs drop fifo frame compressed multicast, then the same of transmit. */
static void add_network(struct container_stats *stats, char *line)
{
	char *colon = strchr(line, ':');
	uint64_t columns[NETWORK_COLUMNS] = { 0 };
	struct stats_network *network;
	char *name = text_trim(line);
	char *place;

	if (!colon)
		return;
	place = colon + 1;
	*colon = '\0';
	if (text_equal(name, "lo"))
		return;
	for (size_t i = 0; i < NETWORK_COLUMNS; i++)
		columns[i] = strtoull(place, &place, 10);
	network = json_array_add(&stats->networks, sizeof(*network));
	network->key = xstrdup(name);
	network->rx_bytes = columns[0];
	network->rx_packets = columns[1];
	network->rx_errors = columns[2];
	network->rx_dropped = columns[3];
	network->tx_bytes = columns[8];
	network->tx_packets = columns[9];
	network->tx_errors = columns[10];
	network->tx_dropped = columns[11];
}

/* A process' net/dev shows the interfaces of its own namespace; nobody has to enter it. */
static void add_networks(struct container_stats *stats, int64_t pid)
{
	AUTO_FREE char *path = xasprintf("/proc/%lld/net/dev", (long long)pid);
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *text = NULL;

	if (pid <= 0 || file_read(&text, NULL, AT_FDCWD, path, PROC_FILE_MAX) < 0)
		return;
	text_list_split(&lines, text, '\n');
	/* Two lines of headings. */
	for (size_t i = 2; i < lines.count; i++)
		add_network(stats, lines.items[i]);
}

/* ---- the control group ---- */

static void add_cpu(struct container_stats *stats, const struct cgroup_stats *from)
{
	struct stats_cpu *cpu = &stats->cpu;

	cpu->usage.total = from->cpu_total_ns;
	cpu->usage.kernel = from->cpu_system_ns;
	cpu->usage.user = from->cpu_user_ns;
	for (size_t i = 0; i < from->per_cpu_count; i++) {
		struct stats_count *one = json_array_add(&cpu->usage.per_cpu, sizeof(*one));

		one->value = from->per_cpu_ns[i];
	}
	cpu->system_ns = host_cpu_ns();
	cpu->online_cpus = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
	cpu->throttling.periods = from->cpu_periods;
	cpu->throttling.throttled_periods = from->cpu_throttled_periods;
	cpu->throttling.throttled_ns = from->cpu_throttled_ns;
}

static void add_memory(struct container_stats *stats, const struct cgroup_stats *from, bool is_v2)
{
	struct stats_memory *memory = &stats->memory;
	uint64_t host = host_memory();

	memory->usage = from->memory_usage;
	memory->max_usage = is_v2 ? 0 : from->memory_peak;
	memory->failures = from->memory_failures;
	memory->limit = from->memory_limit < host ? from->memory_limit : host;
	for (size_t i = 0; i < from->memory_stat.count; i++) {
		struct stats_number *number;
		uint64_t value;

		if (text_parse_u64(&value, from->memory_stat.items[i].value, UINT64_MAX) < 0)
			continue;
		number = json_array_add(&memory->stats, sizeof(*number));
		number->key = xstrdup(from->memory_stat.items[i].key);
		number->value = value;
	}
}

static void add_entry(struct stats_block_list *list, const struct cgroup_io_stat *io, const char *op, uint64_t value)
{
	struct stats_block_entry *entry = json_array_add(list, sizeof(*entry));

	*entry =
		(struct stats_block_entry){ .major = io->major, .minor = io->minor, .op = xstrdup(op), .value = value };
}

static void add_block(struct container_stats *stats, const struct cgroup_stats *from)
{
	for (size_t i = 0; i < from->io_count; i++) {
		const struct cgroup_io_stat *io = &from->io[i];

		add_entry(&stats->block.bytes, io, "read", io->read_bytes);
		add_entry(&stats->block.bytes, io, "write", io->write_bytes);
		add_entry(&stats->block.operations, io, "read", io->read_ops);
		add_entry(&stats->block.operations, io, "write", io->write_ops);
	}
}

static bool add_figures(struct container_stats *stats, const struct container *container, int64_t pid)
{
	const char *mode = text_or_empty(container->document.host.network_mode);
	bool is_v2 = container->engine->cgroup_v2;
	AUTO_FREE char *path = container_cgroup_path(container);
	AUTO(cgroup_closep) struct cgroup *cgroup = NULL;
	AUTO(error_clear) struct error gone = { 0 };
	struct cgroup_stats figures = { 0 };

	/* A run that ends meanwhile is one without figures. */
	if (cgroup_open(&cgroup, path, &gone) < 0 || cgroup_stats_read(cgroup, &figures, &gone) < 0)
		return false;
	stats->pids.current = figures.pids_current;
	stats->pids.limit = figures.pids_limit == UINT64_MAX && !is_v2 ? 0 : figures.pids_limit;
	add_cpu(stats, &figures);
	add_memory(stats, &figures, is_v2);
	add_block(stats, &figures);
	cgroup_stats_fini(&figures);
	if (!text_equal(mode, "host") && !text_equal(mode, "none"))
		add_networks(stats, pid);
	return true;
}

/* ---- the reader ---- */

int stats_reader_open(struct stats_reader **out_reader, struct engine *engine, const char *name, struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	struct stats_reader *reader;

	if (container_find(&container, engine, name, err) < 0)
		return -1;
	reader = xcalloc(1, sizeof(*reader));
	reader->container = take_ptr(container);
	clock_format(reader->previous_read, 0);
	*out_reader = reader;
	return 0;
}

static void remember(struct stats_reader *reader, const struct container_stats *stats, bool running)
{
	json_free_fields(&reader->previous_cpu, cpu_fields);
	clock_format(reader->previous_read, 0);
	if (!running)
		return;
	json_copy_fields(&reader->previous_cpu, &stats->cpu, cpu_fields);
	memcpy(reader->previous_read, stats->read, strlen(stats->read) + 1);
}

int stats_reader_next(struct stats_reader *reader, struct container_stats *out_stats, bool *out_running,
		      struct error *err)
{
	struct container *container = reader->container;
	char now[CLOCK_TEXT_MAX];
	bool running;
	bool removed;
	int64_t pid;

	(void)err;
	memset(out_stats, 0, sizeof(*out_stats));
	mutex_lock(&container->mutex);
	running = container->document.state.running && !container->document.state.restarting;
	pid = container->document.state.pid;
	removed = container->removed;
	out_stats->name = xasprintf("/%s", container->document.name);
	mutex_unlock(&container->mutex);
	out_stats->id = xstrdup(container->id);
	if (running)
		running = add_figures(out_stats, container, pid);
	out_stats->read = xstrdup(clock_format(now, running ? clock_wall_ns() : 0));
	out_stats->pre_read = xstrdup(reader->previous_read);
	json_copy_fields(&out_stats->previous_cpu, &reader->previous_cpu, cpu_fields);
	remember(reader, out_stats, running);
	*out_running = running;
	if (!removed)
		return 1;
	json_free_fields(out_stats, container_stats_fields);
	return 0;
}

void stats_reader_close(struct stats_reader *reader)
{
	if (!reader)
		return;
	container_unref(reader->container);
	json_free_fields(&reader->previous_cpu, cpu_fields);
	free(reader);
}
