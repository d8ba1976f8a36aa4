/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "sys/cgroup_tree.h"
#include "sys/device_bpf.h"

#define FREEZE_WAIT_MS 10000

/* ---- controllers ---- */

/* What this directory could give to its children and does not yet: "+cpu +memory", or NULL. */
static char *not_enabled(const char *directory)
{
	AUTO_FREE char *available_file = xasprintf("%s/cgroup.controllers", directory);
	AUTO_FREE char *enabled_file = xasprintf("%s/cgroup.subtree_control", directory);
	AUTO_FREE char *available = NULL;
	AUTO_FREE char *enabled = NULL;
	AUTO(text_list_fini) struct text_list all = { 0 };
	AUTO(text_list_fini) struct text_list on = { 0 };
	struct text missing = { 0 };

	if (file_read(&available, NULL, AT_FDCWD, available_file, 4096) < 0 ||
	    file_read(&enabled, NULL, AT_FDCWD, enabled_file, 4096) < 0)
		return NULL;
	text_list_split(&all, text_trim(available), ' ');
	text_list_split(&on, text_trim(enabled), ' ');
	for (size_t i = 0; i < all.count; i++)
		if (!text_list_contains(&on, all.items[i]))
			text_addf(&missing, "%s+%s", missing.size ? " " : "", all.items[i]);
	return missing.size ? text_take(&missing) : NULL;
}

static void enable_all(const char *directory)
{
	AUTO_FREE char *file = xasprintf("%s/cgroup.subtree_control", directory);
	AUTO_FREE char *missing = not_enabled(directory);
	AUTO(text_list_fini) struct text_list words = { 0 };

	if (!missing || file_write_once(AT_FDCWD, file, missing) == 0)
		return;
	/* One that cannot be had (cpu with real-time processes, say) must not take the others with it. */
	text_list_split(&words, missing, ' ');
	for (size_t i = 0; i < words.count; i++)
		file_write_once(AT_FDCWD, file, words.items[i]);
}

/* Failures show when a limit asks for what is not there: they name the file then. */
void cgroup_v2_enable(const char *mount_point, const char *path)
{
	AUTO_FREE char *directory = xasprintf("%s%s", mount_point, path);

	for (char *c = directory + strlen(mount_point); *c; c++) {
		if (*c != '/')
			continue;
		*c = '\0';
		enable_all(directory);
		*c = '/';
	}
}

/* ---- limits ---- */

static int set_max_or(const struct cgroup *cgroup, const struct cgroup_tree *tree, const char *file, int64_t value,
		      struct error *err)
{
	if (value < 0)
		return cgroup_set(cgroup, tree, file, "max", err);
	return cgroup_set_i64(cgroup, tree, file, value, err);
}

/* Maps 2..262144 shares onto 1..10000, with the default 1024 on the default 100; all runtimes agree on this curve. */
uint64_t cgroup_weight_of_shares(uint64_t shares)
{
	double l;

	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	l = log2((double)shares);
	return (uint64_t)ceil(pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0));
}

/* 10..1000 onto 1..10000 */
uint64_t cgroup_weight_of_blkio(uint64_t weight)
{
	return weight < 10 ? 1 : 1 + (weight - 10) * 9999 / 990;
}

static int apply_bandwidth(const struct cgroup *cgroup, const struct cgroup_tree *tree,
			   const struct cgroup_limits *limits, struct error *err)
{
	AUTO(text_fini) struct text text = { 0 };

	if (limits->cpu_burst.set && cgroup_put(tree, "cpu.max.burst", "0") == -ENOENT && limits->cpu_burst.value)
		return error_set(err, ERR_UNSUPPORTED, "cgroup %s: this kernel has no cpu burst", cgroup->path);
	if (limits->cpu_quota.set || limits->cpu_period.set) {
		if (!limits->cpu_quota.set) {
			/* Only the period changes: the quota stays what it is. */
			AUTO_FREE char *now = cgroup_get(tree, "cpu.max");

			if (now)
				now[strcspn(now, " \n")] = '\0';
			text_add(&text, now ? now : "max");
		} else if (limits->cpu_quota.value > 0) {
			text_addf(&text, "%" PRId64, limits->cpu_quota.value);
		} else {
			text_add(&text, "max");
		}
		if (optional_u64_or(limits->cpu_period, 0))
			text_addf(&text, " %" PRIu64, limits->cpu_period.value);
		if (cgroup_set(cgroup, tree, "cpu.max", text.data, err) < 0)
			return -1;
	}
	if (limits->cpu_burst.set && limits->cpu_burst.value)
		return cgroup_set_i64(cgroup, tree, "cpu.max.burst", (int64_t)limits->cpu_burst.value, err);
	return 0;
}

static int apply_cpu(const struct cgroup *cgroup, const struct cgroup_tree *tree, const struct cgroup_limits *limits,
		     struct error *err)
{
	if (limits->cpu_idle.set && cgroup_set_i64(cgroup, tree, "cpu.idle", limits->cpu_idle.value, err) < 0)
		return -1;
	if (optional_u64_or(limits->cpu_shares, 0) && !optional_i64_or(limits->cpu_idle, 0) &&
	    cgroup_set_i64(cgroup, tree, "cpu.weight", (int64_t)cgroup_weight_of_shares(limits->cpu_shares.value),
			   err) < 0)
		return -1;
	if (apply_bandwidth(cgroup, tree, limits, err) < 0)
		return -1;
	if (optional_i64_or(limits->cpu_realtime_runtime, 0) || optional_u64_or(limits->cpu_realtime_period, 0))
		return error_set(err, ERR_UNSUPPORTED, "cgroup v2 has no real-time cpu limits");
	if (!text_empty(limits->cpuset_cpus) && cgroup_set(cgroup, tree, "cpuset.cpus", limits->cpuset_cpus, err) < 0)
		return -1;
	if (!text_empty(limits->cpuset_mems) && cgroup_set(cgroup, tree, "cpuset.mems", limits->cpuset_mems, err) < 0)
		return -1;
	return 0;
}

/* The OCI value counts memory plus swap, the v2 file swap alone. */
static int apply_swap(const struct cgroup *cgroup, const struct cgroup_tree *tree, const struct cgroup_limits *limits,
		      struct error *err)
{
	int64_t limit = optional_i64_or(limits->memory_limit, 0);
	int64_t swap = optional_i64_or(limits->memory_swap, 0);

	if (swap == 0 && limit != -1)
		return 0;
	if (!cgroup_has(tree, "memory.swap.max"))
		return 0; /* not accounted: cgroup_accounts_swap() tells whoever wants to warn */
	if (swap < 0 || (swap == 0 && limit == -1))
		return cgroup_set(cgroup, tree, "memory.swap.max", "max", err);
	if (limit <= 0)
		return error_set(err, ERR_INVALID, "a swap limit of %" PRId64 " needs a memory limit", swap);
	if (swap < limit)
		return error_set(err, ERR_INVALID, "memory+swap limit %" PRId64 " is below the memory limit %" PRId64,
				 swap, limit);
	return cgroup_set_i64(cgroup, tree, "memory.swap.max", swap - limit, err);
}

static int apply_memory(const struct cgroup *cgroup, const struct cgroup_tree *tree, const struct cgroup_limits *limits,
			struct error *err)
{
	int64_t limit = optional_i64_or(limits->memory_limit, 0);

	if (limits->memory_check_before_update && limit > 0 &&
	    cgroup_get_u64(tree, "memory.current", 0) > (uint64_t)limit)
		return error_set(err, ERR_CONFLICT, "memory limit %" PRId64 " is below the current usage %" PRIu64,
				 limit, cgroup_get_u64(tree, "memory.current", 0));
	if (apply_swap(cgroup, tree, limits, err) < 0)
		return -1;
	if (limit != 0 && set_max_or(cgroup, tree, "memory.max", limit, err) < 0)
		return -1;
	if (optional_i64_or(limits->memory_reservation, 0) != 0 &&
	    set_max_or(cgroup, tree, "memory.low", limits->memory_reservation.value, err) < 0)
		return -1;
	if (limits->memory_swappiness.set && limits->memory_swappiness.value >= 0)
		return error_set(err, ERR_UNSUPPORTED, "cgroup v2 cannot set memory swappiness");
	if (optional_bool_or(limits->memory_disable_oom_killer, false))
		return error_set(err, ERR_UNSUPPORTED, "cgroup v2 cannot disable the OOM killer");
	return 0;
}

static int apply_io_list(const struct cgroup *cgroup, const struct cgroup_tree *tree, const char *file, const char *key,
			 const struct cgroup_blkio_list *list, struct error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		char text[96];

		snprintf(text, sizeof(text), "%" PRId64 ":%" PRId64 " %s%" PRIu64, list->items[i].major,
			 list->items[i].minor, key, list->items[i].value);
		if (cgroup_set(cgroup, tree, file, text, err) < 0)
			return -1;
	}
	return 0;
}

static int apply_io(const struct cgroup *cgroup, const struct cgroup_tree *tree, const struct cgroup_limits *limits,
		    struct error *err)
{
	uint64_t weight = optional_u64_or(limits->blkio_weight, 0);
	bool bfq = cgroup_has(tree, "io.bfq.weight");

	if (optional_u64_or(limits->blkio_leaf_weight, 0))
		return error_set(err, ERR_UNSUPPORTED, "cgroup v2 has no blkio leaf weight");
	if (weight && bfq && cgroup_set_i64(cgroup, tree, "io.bfq.weight", (int64_t)weight, err) < 0)
		return -1;
	if (weight && !bfq &&
	    cgroup_set_i64(cgroup, tree, "io.weight", (int64_t)cgroup_weight_of_blkio(weight), err) < 0)
		return -1;
	if (apply_io_list(cgroup, tree, bfq ? "io.bfq.weight" : "io.weight", "", &limits->blkio_weight_device, err) <
		    0 ||
	    apply_io_list(cgroup, tree, "io.max", "rbps=", &limits->blkio_read_bps, err) < 0 ||
	    apply_io_list(cgroup, tree, "io.max", "wbps=", &limits->blkio_write_bps, err) < 0 ||
	    apply_io_list(cgroup, tree, "io.max", "riops=", &limits->blkio_read_iops, err) < 0 ||
	    apply_io_list(cgroup, tree, "io.max", "wiops=", &limits->blkio_write_iops, err) < 0)
		return -1;
	return 0;
}

static int apply_rest(const struct cgroup *cgroup, const struct cgroup_tree *tree, const struct cgroup_limits *limits,
		      struct error *err)
{
	if (limits->pids_limit.set && set_max_or(cgroup, tree, "pids.max", limits->pids_limit.value, err) < 0)
		return -1;
	for (size_t i = 0; i < limits->hugepage_count; i++) {
		AUTO_FREE char *file = xasprintf("hugetlb.%s.max", limits->hugepages[i].page_size);
		AUTO_FREE char *reserved = xasprintf("hugetlb.%s.rsvd.max", limits->hugepages[i].page_size);
		AUTO_FREE char *value = xasprintf("%" PRIu64, limits->hugepages[i].limit);

		if (cgroup_has(tree, reserved) && cgroup_set(cgroup, tree, reserved, value, err) < 0)
			return -1;
		if (cgroup_set(cgroup, tree, file, value, err) < 0)
			return -1;
	}
	if (limits->network_class_id.set || limits->network_priority_count)
		return error_set(err, ERR_UNSUPPORTED, "cgroup v2 has no network classes and priorities");
	return 0;
}

int cgroup_v2_apply_unified(struct cgroup *cgroup, const struct cgroup_tree *tree, const struct text_map *unified,
			    struct error *err)
{
	for (size_t i = 0; i < unified->count; i++) {
		const char *key = unified->items[i].key;
		const char *dot = strchr(key, '.');

		if (strchr(key, '/') || !dot || dot == key || !dot[1])
			return error_set(err, ERR_INVALID, "unified resource \"%s\" must be CONTROLLER.PARAMETER", key);
		if (cgroup_set(cgroup, tree, key, unified->items[i].value, err) < 0)
			return error_prefix(err, "unified resource \"%s\"", key);
	}
	return 0;
}

int cgroup_v2_apply(struct cgroup *cgroup, const struct cgroup_tree *tree, const struct cgroup_limits *limits,
		    struct error *err)
{
	if (apply_cpu(cgroup, tree, limits, err) < 0 || apply_memory(cgroup, tree, limits, err) < 0 ||
	    apply_io(cgroup, tree, limits, err) < 0 || apply_rest(cgroup, tree, limits, err) < 0)
		return -1;
	if (limits->unified && cgroup_v2_apply_unified(cgroup, tree, limits->unified, err) < 0)
		return -1;
	if (limits->devices_set && device_bpf_attach(cgroup_dir(tree), limits->devices, limits->device_count, err) < 0)
		return error_prefix(err, "cgroup %s", cgroup->path);
	return 0;
}

/* ---- freezer, events ---- */

int cgroup_v2_freeze(struct cgroup *cgroup, const struct cgroup_tree *tree, bool frozen, struct error *err)
{
	AUTO_CLOSE int events = openat(cgroup_dir(tree), "cgroup.events", O_RDONLY | O_CLOEXEC);
	int64_t deadline = clock_monotonic_ns() + FREEZE_WAIT_MS * CLOCK_MS;

	if (cgroup_set(cgroup, tree, "cgroup.freeze", frozen ? "1" : "0", err) < 0)
		return -1;
	for (;;) {
		struct pollfd poll_fd = { .fd = events, .events = POLLPRI };
		char text[256];
		ssize_t size = events < 0 ? -1 : pread(events, text, sizeof(text) - 1, 0);

		if (size < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "read cgroup.events of cgroup %s",
					       cgroup->path);
		text[size] = '\0';
		if (cgroup_key_u64(text, "frozen", 0) == (frozen ? 1U : 0U))
			return 0;
		if (clock_monotonic_ns() > deadline)
			break;
		poll(&poll_fd, 1, 100);
	}
	if (frozen)
		cgroup_put(tree, "cgroup.freeze", "0");
	return error_set(err, ERR_UNAVAILABLE, "cgroup %s does not %s", cgroup->path, frozen ? "freeze" : "thaw");
}

int cgroup_v2_oom_watch(const struct cgroup_tree *tree)
{
	AUTO_CLOSE int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char path[64];

	if (watch < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/memory.events", cgroup_dir(tree));
	return inotify_add_watch(watch, path, IN_MODIFY) < 0 ? -errno : take_fd(&watch);
}

/* ---- stats ---- */

static void read_io(const struct cgroup_tree *tree, struct cgroup_stats *stats)
{
	AUTO_FREE char *text = cgroup_get(tree, "io.stat");
	AUTO(text_list_fini) struct text_list lines = { 0 };

	/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6" */
	text_list_split(&lines, text_or_empty(text), '\n');
	for (size_t i = 0; i < lines.count; i++) {
		struct cgroup_io_stat *entry;
		struct cgroup_io_stat read = { 0 };

		if (sscanf(lines.items[i],
			   "%" SCNu64 ":%" SCNu64 " rbytes=%" SCNu64 " wbytes=%" SCNu64 " rios=%" SCNu64
			   " wios=%" SCNu64,
			   &read.major, &read.minor, &read.read_bytes, &read.write_bytes, &read.read_ops,
			   &read.write_ops) != 6)
			continue;
		entry = cgroup_io_entry(stats, read.major, read.minor);
		*entry = read;
	}
}

void cgroup_v2_stats(struct cgroup *cgroup, const struct cgroup_tree *tree, struct cgroup_stats *stats)
{
	AUTO_FREE char *cpu = cgroup_get(tree, "cpu.stat");
	AUTO_FREE char *memory = cgroup_get(tree, "memory.stat");
	AUTO_FREE char *events = cgroup_get(tree, "memory.events");

	(void)cgroup;
	stats->cpu_total_ns = cgroup_key_u64(cpu, "usage_usec", 0) * 1000;
	stats->cpu_user_ns = cgroup_key_u64(cpu, "user_usec", 0) * 1000;
	stats->cpu_system_ns = cgroup_key_u64(cpu, "system_usec", 0) * 1000;
	stats->cpu_periods = cgroup_key_u64(cpu, "nr_periods", 0);
	stats->cpu_throttled_periods = cgroup_key_u64(cpu, "nr_throttled", 0);
	stats->cpu_throttled_ns = cgroup_key_u64(cpu, "throttled_usec", 0) * 1000;
	stats->memory_usage = cgroup_get_u64(tree, "memory.current", 0);
	stats->memory_peak = cgroup_get_u64(tree, "memory.peak", 0);
	stats->memory_limit = cgroup_get_u64(tree, "memory.max", UINT64_MAX);
	stats->memory_swap_usage = cgroup_get_u64(tree, "memory.swap.current", 0);
	stats->memory_swap_limit = cgroup_get_u64(tree, "memory.swap.max", UINT64_MAX);
	stats->memory_failures = cgroup_key_u64(events, "max", 0);
	stats->memory_cache = cgroup_key_u64(memory, "file", 0);
	stats->memory_rss = cgroup_key_u64(memory, "anon", 0);
	stats->memory_inactive_file = cgroup_key_u64(memory, "inactive_file", 0);
	if (memory)
		cgroup_keys(&stats->memory_stat, memory);
	stats->pids_current = cgroup_get_u64(tree, "pids.current", 0);
	stats->pids_limit = cgroup_get_u64(tree, "pids.max", UINT64_MAX);
	read_io(tree, stats);
	cgroup_stats_pressure(tree, stats);
}
