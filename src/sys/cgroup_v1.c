/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "sys/cgroup_tree.h"

#define FREEZE_WAIT_MS 10000
#define CLOCK_TICK_NS INT64_C(10000000) /* USER_HZ is 100 everywhere */
#define V1_UNLIMITED UINT64_C(0x7000000000000000)

static int missing(const struct cgroup *cgroup, const char *controller, struct error *err)
{
	return error_set(err, ERR_UNSUPPORTED, "cgroup %s: this host has no %s controller", cgroup->path, controller);
}

/* ---- cpu ---- */

/* The kernel checks quota against period and burst at each write: the order that fits depends on the old values. */
static int apply_bandwidth(const struct cgroup *cgroup, const struct cgroup_tree *cpu,
			   const struct cgroup_limits *limits, struct error *err)
{
	AUTO(error_clear) struct error first = { 0 };
	bool again = false;

	if (limits->cpu_period.set &&
	    cgroup_set_i64(cgroup, cpu, "cpu.cfs_period_us", (int64_t)limits->cpu_period.value,
			   limits->cpu_quota.set ? &first : err) < 0) {
		if (!limits->cpu_quota.set)
			return -1;
		again = true;
	}
	if (limits->cpu_burst.set && cgroup_put(cpu, "cpu.cfs_burst_us", "0") == -ENOENT && limits->cpu_burst.value)
		return error_set(err, ERR_UNSUPPORTED, "cgroup %s: this kernel has no cpu burst", cgroup->path);
	if (limits->cpu_quota.set && cgroup_set_i64(cgroup, cpu, "cpu.cfs_quota_us", limits->cpu_quota.value, err) < 0)
		return -1;
	if (again && cgroup_set_i64(cgroup, cpu, "cpu.cfs_period_us", (int64_t)limits->cpu_period.value, err) < 0)
		return -1;
	if (limits->cpu_burst.set && limits->cpu_burst.value &&
	    cgroup_set_i64(cgroup, cpu, "cpu.cfs_burst_us", (int64_t)limits->cpu_burst.value, err) < 0)
		return -1;
	return 0;
}

/* A number that counts only if it was asked for and is not zero. */
static int set_if_asked(const struct cgroup *cgroup, const struct cgroup_tree *tree, const char *file,
			struct optional_u64 value, struct error *err)
{
	if (!value.set || !value.value)
		return 0;
	return cgroup_set_i64(cgroup, tree, file, (int64_t)value.value, err);
}

static struct optional_u64 as_u64(struct optional_i64 value)
{
	return (struct optional_u64){ .set = value.set, .value = (uint64_t)value.value };
}

/* The runtime must fit into the period after each of the two writes: a shorter period comes second. */
static int apply_realtime(const struct cgroup *cgroup, const struct cgroup_tree *cpu,
			  const struct cgroup_limits *limits, struct error *err)
{
	const struct optional_u64 period = limits->cpu_realtime_period;
	const struct optional_u64 runtime = as_u64(limits->cpu_realtime_runtime);
	AUTO(error_clear) struct error problem = { 0 };

	if (set_if_asked(cgroup, cpu, "cpu.rt_period_us", period, &problem) == 0)
		return set_if_asked(cgroup, cpu, "cpu.rt_runtime_us", runtime, err);
	if (problem.errnum != EINVAL || !runtime.set)
		return error_move(err, &problem);
	if (set_if_asked(cgroup, cpu, "cpu.rt_runtime_us", runtime, err) < 0)
		return -1;
	return set_if_asked(cgroup, cpu, "cpu.rt_period_us", period, err);
}

static int apply_cpu(const struct cgroup *cgroup, const struct cgroup_limits *limits, struct error *err)
{
	const struct cgroup_tree *cpu = cgroup_find_tree(cgroup, CONTROLLER_CPU);
	bool bandwidth = limits->cpu_quota.set || limits->cpu_period.set || limits->cpu_burst.set;
	bool real_time = limits->cpu_realtime_runtime.set || limits->cpu_realtime_period.set;

	if (!limits->cpu_shares.set && !bandwidth && !real_time && !limits->cpu_idle.set)
		return 0;
	if (!cpu)
		return missing(cgroup, "cpu", err);
	if (set_if_asked(cgroup, cpu, "cpu.shares", limits->cpu_shares, err) < 0)
		return -1;
	if (bandwidth && apply_bandwidth(cgroup, cpu, limits, err) < 0)
		return -1;
	if (apply_realtime(cgroup, cpu, limits, err) < 0)
		return -1;
	return limits->cpu_idle.set ? cgroup_set_i64(cgroup, cpu, "cpu.idle", limits->cpu_idle.value, err) : 0;
}

static int apply_cpuset(const struct cgroup *cgroup, const struct cgroup_limits *limits, struct error *err)
{
	const struct cgroup_tree *cpuset = cgroup_find_tree(cgroup, CONTROLLER_CPUSET);

	if (text_empty(limits->cpuset_cpus) && text_empty(limits->cpuset_mems))
		return 0;
	if (!cpuset)
		return missing(cgroup, "cpuset", err);
	if (!text_empty(limits->cpuset_cpus) && cgroup_set(cgroup, cpuset, "cpuset.cpus", limits->cpuset_cpus, err) < 0)
		return -1;
	if (!text_empty(limits->cpuset_mems) && cgroup_set(cgroup, cpuset, "cpuset.mems", limits->cpuset_mems, err) < 0)
		return -1;
	return 0;
}

/* Copies a file from the parent; a new group has an empty one, or (cgroup.clone_children) the same already. */
static int inherit_file(const char *directory, const char *file)
{
	AUTO_FREE char *mine = xasprintf("%s/%s", directory, file);
	AUTO_FREE char *parents = xasprintf("%s/../%s", directory, file);
	AUTO_FREE char *from = NULL;
	int failed = file_read_attribute(&from, AT_FDCWD, parents, 65536);

	/* Somebody makes the parent at this moment: an empty copy would let no process in (ENOSPC). */
	if (failed == 0 && !*text_trim(from)) {
		AUTO_FREE char *parent = xasprintf("%s/..", directory);

		inherit_file(parent, file);
		free(take_ptr(from));
		failed = file_read(&from, NULL, AT_FDCWD, parents, 65536);
	}
	return failed < 0 ? failed : file_write_once(AT_FDCWD, mine, text_trim(from));
}

static bool is_empty(const char *directory, const char *file)
{
	AUTO_FREE char *path = xasprintf("%s/%s", directory, file);
	AUTO_FREE char *text = NULL;

	return file_read(&text, NULL, AT_FDCWD, path, 65536) == 0 && !*text_trim(text);
}

int cgroup_v1_inherit_cpuset(const char *mount_point, const char *path, bool made)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
	AUTO_FREE char *directory = xasprintf("%s%s", mount_point, path);

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int failed = made || is_empty(directory, files[i]) ? inherit_file(directory, files[i]) : 0;

		if (failed < 0)
			return failed;
	}
	return 0;
}

/* ---- memory ---- */

#define LIMIT_FILE "memory.limit_in_bytes"
#define SWAP_FILE "memory.memsw.limit_in_bytes"

/* The sentence the kernel does not give: EBUSY means that the limit is below what is in use and cannot be reclaimed. */
static int set_memory(const struct cgroup *cgroup, const struct cgroup_tree *memory, const char *file, int64_t value,
		      struct error *err)
{
	char text[32];
	int failed;

	snprintf(text, sizeof(text), "%" PRId64, value);
	failed = cgroup_put(memory, file, text);
	if (failed == -EBUSY)
		return error_set(err, ERR_CONFLICT,
				 "unable to set memory limit to %" PRId64 " (current usage: %" PRIu64
				 ", peak usage: %" PRIu64 ")",
				 value, cgroup_get_u64(memory, "memory.usage_in_bytes", 0),
				 cgroup_get_u64(memory, "memory.max_usage_in_bytes", 0));
	return failed < 0 ? cgroup_set(cgroup, memory, file, text, err) : 0;
}

/* memory.limit <= memory.memsw.limit holds at every moment, so the one that grows goes first. */
static int apply_memory_limits(const struct cgroup *cgroup, const struct cgroup_tree *memory,
			       const struct cgroup_limits *limits, struct error *err)
{
	int64_t limit = optional_i64_or(limits->memory_limit, 0);
	int64_t swap = optional_i64_or(limits->memory_swap, 0);
	bool has_swap = cgroup_has(memory, SWAP_FILE);
	bool swap_first;

	if (limit == -1 && swap == 0)
		swap = -1;
	if (!has_swap)
		swap = 0; /* not accounted: cgroup_accounts_swap() tells whoever wants to warn */
	swap_first = swap == -1 || (swap != 0 && (uint64_t)swap > cgroup_get_u64(memory, SWAP_FILE, 0));
	if (swap != 0 && swap_first && set_memory(cgroup, memory, SWAP_FILE, swap, err) < 0)
		return -1;
	if (limit != 0 && set_memory(cgroup, memory, LIMIT_FILE, limit, err) < 0)
		return -1;
	if (swap != 0 && !swap_first && set_memory(cgroup, memory, SWAP_FILE, swap, err) < 0)
		return -1;
	return 0;
}

static int check_usage(const struct cgroup_tree *memory, const struct cgroup_limits *limits, struct error *err)
{
	int64_t limit = optional_i64_or(limits->memory_limit, 0);
	uint64_t usage;

	if (!limits->memory_check_before_update || limit <= 0)
		return 0;
	usage = cgroup_get_u64(memory, "memory.usage_in_bytes", 0);
	if (usage <= (uint64_t)limit)
		return 0;
	return error_set(err, ERR_CONFLICT, "memory limit %" PRId64 " is below the current usage %" PRIu64, limit,
			 usage);
}

static bool wants_memory(const struct cgroup_limits *limits)
{
	return limits->memory_limit.set || limits->memory_reservation.set || limits->memory_swap.set ||
	       limits->memory_swappiness.set || optional_bool_or(limits->memory_disable_oom_killer, false);
}

static int apply_memory(const struct cgroup *cgroup, const struct cgroup_limits *limits, struct error *err)
{
	const struct cgroup_tree *memory = cgroup_find_tree(cgroup, CONTROLLER_MEMORY);
	int64_t reservation = optional_i64_or(limits->memory_reservation, 0);
	int64_t swappiness = optional_i64_or(limits->memory_swappiness, -1);

	if (!wants_memory(limits))
		return 0;
	if (!memory)
		return missing(cgroup, "memory", err);
	if (check_usage(memory, limits, err) < 0 || apply_memory_limits(cgroup, memory, limits, err) < 0)
		return -1;
	if (reservation != 0 && set_memory(cgroup, memory, "memory.soft_limit_in_bytes", reservation, err) < 0)
		return -1;
	if (swappiness >= 0 && cgroup_set_i64(cgroup, memory, "memory.swappiness", swappiness, err) < 0)
		return -1;
	return optional_bool_or(limits->memory_disable_oom_killer, false)
		       ? cgroup_set(cgroup, memory, "memory.oom_control", "1", err)
		       : 0;
}

/* ---- pids, blkio, hugetlb, network ---- */

static int apply_pids(const struct cgroup *cgroup, const struct cgroup_limits *limits, struct error *err)
{
	const struct cgroup_tree *pids = cgroup_find_tree(cgroup, CONTROLLER_PIDS);

	if (!limits->pids_limit.set)
		return 0;
	if (!pids)
		return missing(cgroup, "pids", err);
	if (limits->pids_limit.value < 0)
		return cgroup_set(cgroup, pids, "pids.max", "max", err);
	return cgroup_set_i64(cgroup, pids, "pids.max", limits->pids_limit.value, err);
}

static int apply_device_list(const struct cgroup *cgroup, const struct cgroup_tree *blkio, const char *file,
			     const struct cgroup_blkio_list *list, struct error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		char text[96];

		snprintf(text, sizeof(text), "%" PRId64 ":%" PRId64 " %" PRIu64, list->items[i].major,
			 list->items[i].minor, list->items[i].value);
		if (cgroup_set(cgroup, blkio, file, text, err) < 0)
			return -1;
	}
	return 0;
}

static int apply_blkio_weights(const struct cgroup *cgroup, const struct cgroup_tree *blkio,
			       const struct cgroup_limits *limits, struct error *err)
{
	/* The cfq files went with Linux 5.0, bfq has its own. */
	bool bfq = !cgroup_has(blkio, "blkio.weight");
	const char *weight = bfq ? "blkio.bfq.weight" : "blkio.weight";
	const char *weight_device = bfq ? "blkio.bfq.weight_device" : "blkio.weight_device";

	if (optional_u64_or(limits->blkio_weight, 0) &&
	    cgroup_set_i64(cgroup, blkio, weight, (int64_t)limits->blkio_weight.value, err) < 0)
		return -1;
	if (optional_u64_or(limits->blkio_leaf_weight, 0) &&
	    cgroup_set_i64(cgroup, blkio, "blkio.leaf_weight", (int64_t)limits->blkio_leaf_weight.value, err) < 0)
		return -1;
	return apply_device_list(cgroup, blkio, weight_device, &limits->blkio_weight_device, err);
}

static int apply_blkio(const struct cgroup *cgroup, const struct cgroup_limits *limits, struct error *err)
{
	const struct cgroup_tree *blkio = cgroup_find_tree(cgroup, CONTROLLER_BLKIO);
	const struct {
		const char *file;
		const struct cgroup_blkio_list *list;
	} throttles[] = {
		{ "blkio.throttle.read_bps_device", &limits->blkio_read_bps },
		{ "blkio.throttle.write_bps_device", &limits->blkio_write_bps },
		{ "blkio.throttle.read_iops_device", &limits->blkio_read_iops },
		{ "blkio.throttle.write_iops_device", &limits->blkio_write_iops },
	};
	size_t asked = limits->blkio_weight_device.count;

	for (size_t i = 0; i < 4; i++)
		asked += throttles[i].list->count;
	if (!asked && !optional_u64_or(limits->blkio_weight, 0) && !optional_u64_or(limits->blkio_leaf_weight, 0))
		return 0;
	if (!blkio)
		return missing(cgroup, "blkio", err);
	if (apply_blkio_weights(cgroup, blkio, limits, err) < 0)
		return -1;
	for (size_t i = 0; i < 4; i++)
		if (apply_device_list(cgroup, blkio, throttles[i].file, throttles[i].list, err) < 0)
			return -1;
	return 0;
}

static int apply_hugetlb(const struct cgroup *cgroup, const struct cgroup_limits *limits, struct error *err)
{
	const struct cgroup_tree *hugetlb = cgroup_find_tree(cgroup, CONTROLLER_HUGETLB);
	const struct cgroup_tree *v2 = cgroup_v2_tree(cgroup);

	for (size_t i = 0; i < limits->hugepage_count; i++) {
		const struct cgroup_hugepage_limit *page = &limits->hugepages[i];
		/* In hybrid mode the controller may live in the v2 tree. */
		const struct cgroup_tree *tree = hugetlb ? hugetlb : v2;
		AUTO_FREE char *file = xasprintf("hugetlb.%s.%s", page->page_size, hugetlb ? "limit_in_bytes" : "max");
		AUTO_FREE char *value = xasprintf("%" PRIu64, page->limit);

		if (!tree)
			return missing(cgroup, "hugetlb", err);
		if (cgroup_set(cgroup, tree, file, value, err) < 0)
			return -1;
	}
	return 0;
}

static int apply_network(const struct cgroup *cgroup, const struct cgroup_limits *limits, struct error *err)
{
	const struct cgroup_tree *class_tree = cgroup_find_tree(cgroup, CONTROLLER_NET_CLS);
	const struct cgroup_tree *priority_tree = cgroup_find_tree(cgroup, CONTROLLER_NET_PRIO);

	if (limits->network_class_id.set) {
		if (!class_tree)
			return missing(cgroup, "net_cls", err);
		if (cgroup_set_i64(cgroup, class_tree, "net_cls.classid", (int64_t)limits->network_class_id.value,
				   err) < 0)
			return -1;
	}
	for (size_t i = 0; i < limits->network_priority_count; i++) {
		AUTO_FREE char *text = xasprintf("%s %u", limits->network_priorities[i].interface,
						 limits->network_priorities[i].priority);

		if (!priority_tree)
			return missing(cgroup, "net_prio", err);
		if (cgroup_set(cgroup, priority_tree, "net_prio.ifpriomap", text, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- devices ---- */

static void add_number(struct text *text, int64_t number)
{
	if (number < 0)
		text_add_char(text, '*');
	else
		text_addf(text, "%" PRId64, number);
}

static void format_rule(struct text *text, const struct cgroup_device_rule *rule)
{
	text_reset(text);
	text_addf(text, "%c ", rule->type);
	add_number(text, rule->major);
	text_add_char(text, ':');
	add_number(text, rule->minor);
	text_add_char(text, ' ');
	text_add(text, rule->read ? "r" : "");
	text_add(text, rule->write ? "w" : "");
	text_add(text, rule->mknod ? "m" : "");
}

static bool denies_all(const struct cgroup_device_rule *rule)
{
	return !rule->allow && rule->type == 'a' && rule->major < 0 && rule->minor < 0 && rule->read && rule->write &&
	       rule->mknod;
}

static int write_rules(const struct cgroup *cgroup, const struct cgroup_limits *limits, int allow_fd, int deny_fd,
		       struct text *text, struct error *err)
{
	for (size_t i = 0; i < limits->device_count; i++) {
		const struct cgroup_device_rule *rule = &limits->devices[i];

		/* As docker's lists begin; it is so already. */
		if (i == 0 && denies_all(rule))
			continue;
		format_rule(text, rule);
		if (write(rule->allow ? allow_fd : deny_fd, text->data, text->size) < 0)
			return error_set_errno(err, errno == EINVAL ? ERR_INVALID : ERR_INTERNAL, errno,
					       "%s device \"%s\" in cgroup %s", rule->allow ? "allow" : "deny",
					       text->data, cgroup->path);
	}
	return 0;
}

static int apply_devices(const struct cgroup *cgroup, const struct cgroup_limits *limits, struct error *err)
{
	const struct cgroup_tree *devices = cgroup_find_tree(cgroup, CONTROLLER_DEVICES);
	AUTO(text_fini) struct text text = { 0 };
	AUTO_CLOSE int allow_fd = -1;
	AUTO_CLOSE int deny_fd = -1;

	if (!limits->devices_set)
		return 0;
	if (!devices)
		return missing(cgroup, "devices", err);
	allow_fd = openat(cgroup_dir(devices), "devices.allow", O_WRONLY | O_CLOEXEC);
	deny_fd = openat(cgroup_dir(devices), "devices.deny", O_WRONLY | O_CLOEXEC);
	if (allow_fd < 0 || deny_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open the device rules of cgroup %s", cgroup->path);
	/* A list starts from "deny all", as on v2. */
	if (write(deny_fd, "a", 1) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "deny all devices in cgroup %s", cgroup->path);
	return write_rules(cgroup, limits, allow_fd, deny_fd, &text, err);
}

int cgroup_v1_apply(struct cgroup *cgroup, const struct cgroup_limits *limits, struct error *err)
{
	static int (*const steps[])(const struct cgroup *, const struct cgroup_limits *, struct error *) = {
		apply_cpu,   apply_cpuset,  apply_memory,  apply_pids,
		apply_blkio, apply_hugetlb, apply_network, apply_devices,
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i](cgroup, limits, err) < 0)
			return -1;
	return 0;
}

/* ---- freezer ---- */

int cgroup_v1_freeze(struct cgroup *cgroup, const struct cgroup_tree *freezer, bool frozen, struct error *err)
{
	const char *wanted = frozen ? "FROZEN" : "THAWED";
	int64_t deadline = clock_monotonic_ns() + FREEZE_WAIT_MS * CLOCK_MS;
	int64_t pause_ms = 1;

	for (int round = 0;; round++) {
		AUTO_FREE char *state = NULL;

		/* A process that enters or forks while freezing can hold the group in FREEZING: ask again. */
		if (cgroup_set(cgroup, freezer, "freezer.state", wanted, err) < 0)
			return -1;
		state = cgroup_get(freezer, "freezer.state");
		if (state && text_has_prefix(state, wanted))
			return 0;
		if (clock_monotonic_ns() > deadline)
			break;
		if (round > 2) {
			clock_sleep_ms(pause_ms);
			pause_ms = pause_ms < 50 ? pause_ms * 2 : pause_ms;
		}
		if (frozen && round % 25 == 24)
			cgroup_put(freezer, "freezer.state", "THAWED");
	}
	cgroup_put(freezer, "freezer.state", "THAWED");
	return error_set(err, ERR_UNAVAILABLE, "cgroup %s does not become %s", cgroup->path, wanted);
}

/* ---- stats ---- */

static uint64_t limit_of(uint64_t value)
{
	return value >= V1_UNLIMITED ? UINT64_MAX : value;
}

static void read_bandwidth(const struct cgroup_tree *cpu, struct cgroup_stats *stats)
{
	AUTO_FREE char *text = cgroup_get(cpu, "cpu.stat");

	stats->cpu_periods = cgroup_key_u64(text, "nr_periods", 0);
	stats->cpu_throttled_periods = cgroup_key_u64(text, "nr_throttled", 0);
	stats->cpu_throttled_ns = cgroup_key_u64(text, "throttled_time", 0);
}

static void read_account(const struct cgroup_tree *account, struct cgroup_stats *stats)
{
	AUTO_FREE char *split = cgroup_get(account, "cpuacct.stat");
	AUTO_FREE char *per_cpu = cgroup_get(account, "cpuacct.usage_percpu");
	AUTO(text_list_fini) struct text_list numbers = { 0 };

	stats->cpu_user_ns = cgroup_key_u64(split, "user", 0) * CLOCK_TICK_NS;
	stats->cpu_system_ns = cgroup_key_u64(split, "system", 0) * CLOCK_TICK_NS;
	stats->cpu_total_ns = cgroup_get_u64(account, "cpuacct.usage", 0);
	if (!per_cpu)
		return;
	text_list_split(&numbers, text_trim(per_cpu), ' ');
	stats->per_cpu_ns = xcalloc(numbers.count + 1, sizeof(*stats->per_cpu_ns));
	for (size_t i = 0; i < numbers.count; i++)
		if (text_parse_u64(&stats->per_cpu_ns[stats->per_cpu_count], numbers.items[i], UINT64_MAX) == 0)
			stats->per_cpu_count++;
}

static void read_cpu(const struct cgroup *cgroup, struct cgroup_stats *stats)
{
	const struct cgroup_tree *cpu = cgroup_find_tree(cgroup, CONTROLLER_CPU);
	const struct cgroup_tree *account = cgroup_find_tree(cgroup, CONTROLLER_CPUACCT);

	if (cpu)
		read_bandwidth(cpu, stats);
	if (account)
		read_account(account, stats);
}

static void read_memory(const struct cgroup *cgroup, struct cgroup_stats *stats)
{
	const struct cgroup_tree *memory = cgroup_find_tree(cgroup, CONTROLLER_MEMORY);
	AUTO_FREE char *text = memory ? cgroup_get(memory, "memory.stat") : NULL;

	if (!text)
		return;
	stats->memory_usage = cgroup_get_u64(memory, "memory.usage_in_bytes", 0);
	stats->memory_peak = cgroup_get_u64(memory, "memory.max_usage_in_bytes", 0);
	stats->memory_failures = cgroup_get_u64(memory, "memory.failcnt", 0);
	stats->memory_limit = limit_of(cgroup_get_u64(memory, LIMIT_FILE, UINT64_MAX));
	stats->memory_swap_usage = cgroup_get_u64(memory, "memory.memsw.usage_in_bytes", 0);
	stats->memory_swap_limit = limit_of(cgroup_get_u64(memory, SWAP_FILE, UINT64_MAX));
	stats->memory_cache = cgroup_key_u64(text, "total_cache", 0);
	stats->memory_rss = cgroup_key_u64(text, "total_rss", 0);
	stats->memory_inactive_file = cgroup_key_u64(text, "total_inactive_file", 0);
	cgroup_keys(&stats->memory_stat, text);
}

/* "8:0 Read 4096" lines, of bytes or of operations. */
static void read_io_file(const struct cgroup_tree *blkio, const char *recursive, const char *flat, bool bytes,
			 struct cgroup_stats *stats)
{
	AUTO_FREE char *text = cgroup_get(blkio, cgroup_has(blkio, recursive) ? recursive : flat);
	AUTO(text_list_fini) struct text_list lines = { 0 };

	text_list_split(&lines, text_or_empty(text), '\n');
	for (size_t i = 0; i < lines.count; i++) {
		uint64_t major, minor, value;
		struct cgroup_io_stat *entry;
		char word[16];

		if (sscanf(lines.items[i], "%" SCNu64 ":%" SCNu64 " %15s %" SCNu64, &major, &minor, word, &value) != 4)
			continue;
		entry = cgroup_io_entry(stats, major, minor);
		if (text_equal(word, "Read"))
			*(bytes ? &entry->read_bytes : &entry->read_ops) = value;
		else if (text_equal(word, "Write"))
			*(bytes ? &entry->write_bytes : &entry->write_ops) = value;
	}
}

void cgroup_v1_stats(struct cgroup *cgroup, struct cgroup_stats *stats)
{
	const struct cgroup_tree *pids = cgroup_find_tree(cgroup, CONTROLLER_PIDS);
	const struct cgroup_tree *blkio = cgroup_find_tree(cgroup, CONTROLLER_BLKIO);

	read_cpu(cgroup, stats);
	read_memory(cgroup, stats);
	if (pids) {
		stats->pids_current = cgroup_get_u64(pids, "pids.current", 0);
		stats->pids_limit = cgroup_get_u64(pids, "pids.max", UINT64_MAX);
	}
	if (blkio) {
		read_io_file(blkio, "blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes",
			     true, stats);
		read_io_file(blkio, "blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced", false, stats);
	}
}

int cgroup_v1_oom_watch(const struct cgroup_tree *memory)
{
	AUTO_CLOSE int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	AUTO_CLOSE int control = openat(cgroup_dir(memory), "memory.oom_control", O_RDONLY | O_CLOEXEC);
	char text[32];
	int failed;

	if (event < 0 || control < 0)
		return -errno;
	snprintf(text, sizeof(text), "%d %d", event, control);
	failed = cgroup_put(memory, "cgroup.event_control", text);
	return failed < 0 ? failed : take_fd(&event);
}
