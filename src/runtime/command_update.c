/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "runtime/command.h"

#define RESOURCES_MAX (1 << 20)

struct update_options {
	const char *resources;
	const char *cpuset_cpus;
	const char *cpuset_mems;
	const char *memory;
	const char *memory_reservation;
	const char *memory_swap;
	struct optional_i64 blkio_weight;
	struct optional_i64 cpu_period;
	struct optional_i64 cpu_quota;
	struct optional_i64 cpu_burst;
	struct optional_i64 cpu_share;
	struct optional_i64 cpu_rt_period;
	struct optional_i64 cpu_rt_runtime;
	struct optional_i64 cpu_idle;
	struct optional_i64 pids_limit;
	const char *l3_cache_schema;
	const char *mem_bw_schema;
	const char *kernel_memory;
	const char *kernel_memory_tcp;
};

static const struct option_spec update_table[] = {
	OPTION_TEXT("resources", 'r', struct update_options, resources, "file", "linux.resources as JSON; - is stdin"),
	OPTION_OPT_I64("blkio-weight", 0, struct update_options, blkio_weight, "share of block I/O, 10 to 1000"),
	OPTION_OPT_I64("cpu-period", 0, struct update_options, cpu_period, "CPU period in microseconds"),
	OPTION_OPT_I64("cpu-quota", 0, struct update_options, cpu_quota, "CPU time per period in microseconds"),
	OPTION_OPT_I64("cpu-burst", 0, struct update_options, cpu_burst, "CPU burst in microseconds"),
	OPTION_OPT_I64("cpu-share", 0, struct update_options, cpu_share, "CPU shares"),
	OPTION_OPT_I64("cpu-rt-period", 0, struct update_options, cpu_rt_period, "realtime period in microseconds"),
	OPTION_OPT_I64("cpu-rt-runtime", 0, struct update_options, cpu_rt_runtime, "realtime run time per period"),
	OPTION_OPT_I64("cpu-idle", 0, struct update_options, cpu_idle, "1: run only when nothing else does"),
	OPTION_TEXT("cpuset-cpus", 0, struct update_options, cpuset_cpus, "list", "CPUs to run on"),
	OPTION_TEXT("cpuset-mems", 0, struct update_options, cpuset_mems, "list", "memory nodes to use"),
	OPTION_TEXT("memory", 0, struct update_options, memory, "bytes", "memory limit"),
	OPTION_TEXT("memory-reservation", 0, struct update_options, memory_reservation, "bytes", "soft memory limit"),
	OPTION_TEXT("memory-swap", 0, struct update_options, memory_swap, "bytes", "memory and swap; -1: unlimited"),
	OPTION_OPT_I64("pids-limit", 0, struct update_options, pids_limit, "processes at most; -1: unlimited"),
	OPTION_TEXT("l3-cache-schema", 0, struct update_options, l3_cache_schema, "schema", "Intel RDT: L3 cache"),
	OPTION_TEXT("mem-bw-schema", 0, struct update_options, mem_bw_schema, "schema", "Intel RDT: memory bandwidth"),
	OPTION_TEXT("kernel-memory", 0, struct update_options, kernel_memory, "bytes", NULL),
	OPTION_TEXT("kernel-memory-tcp", 0, struct update_options, kernel_memory_tcp, "bytes", NULL),
	OPTION_END,
};

static int read_resources(struct spec_resources *out_resources, const char *path, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = text_equal(path, "-") ? fd_read_all(&text, &size, STDIN_FILENO, RESOURCES_MAX)
				      : file_read(&text, &size, AT_FDCWD, path, RESOURCES_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "--resources: read %s", path);
	if (spec_resources_parse(out_resources, text, size, err) < 0)
		return error_prefix(err, "--resources");
	return 0;
}

static int parse_bytes(struct optional_i64 *out_bytes, const char *text, const char *option, struct error *err)
{
	if (!text)
		return 0;
	if (text_parse_size(&out_bytes->value, text) < 0)
		return error_set(err, ERR_INVALID, "invalid value for %s: \"%s\"", option, text);
	out_bytes->set = true;
	return 0;
}

static struct optional_u64 unsigned_of(struct optional_i64 value)
{
	return (struct optional_u64){ value.set && value.value >= 0, (uint64_t)value.value };
}

static void fill_cpu(struct spec_resources *resources, const struct update_options *options)
{
	struct spec_cpu *cpu = xcalloc(1, sizeof(*cpu));

	cpu->shares = unsigned_of(options->cpu_share);
	cpu->quota = options->cpu_quota;
	cpu->burst = unsigned_of(options->cpu_burst);
	cpu->period = unsigned_of(options->cpu_period);
	cpu->realtime_runtime = options->cpu_rt_runtime;
	cpu->realtime_period = unsigned_of(options->cpu_rt_period);
	cpu->idle = options->cpu_idle;
	cpu->cpus = xstrdup(options->cpuset_cpus);
	cpu->mems = xstrdup(options->cpuset_mems);
	resources->cpu = cpu;
}

static int fill(struct spec_resources *resources, const struct update_options *options, struct error *err)
{
	fill_cpu(resources, options);
	resources->memory = xcalloc(1, sizeof(*resources->memory));
	resources->pids = xcalloc(1, sizeof(*resources->pids));
	resources->pids->limit = options->pids_limit;
	resources->block_io = xcalloc(1, sizeof(*resources->block_io));
	resources->block_io->weight = unsigned_of(options->blkio_weight);
	if (parse_bytes(&resources->memory->limit, options->memory, "--memory", err) < 0 ||
	    parse_bytes(&resources->memory->reservation, options->memory_reservation, "--memory-reservation", err) < 0)
		return -1;
	return parse_bytes(&resources->memory->swap, options->memory_swap, "--memory-swap", err);
}

int command_update(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	AUTO(spec_resources_fini) struct spec_resources resources = { 0 };
	struct update_options options = { 0 };
	int r = command_parse(update_table, &options, argc, argv, 0, &operands, 1, 1, err);

	if (r <= 0)
		return r;
	r = options.resources ? read_resources(&resources, options.resources, err) : fill(&resources, &options, err);
	if (r < 0)
		return -1;
	if (runtime->log && (options.kernel_memory || options.kernel_memory_tcp))
		log_warn(runtime->log, "Kernel memory settings are ignored and will be removed");
	if ((options.l3_cache_schema || options.mem_bw_schema) &&
	    runtime_update_resctrl(runtime, operands.items[0], options.l3_cache_schema, options.mem_bw_schema, err) < 0)
		return -1;
	return runtime_update(runtime, operands.items[0], &resources, err);
}
