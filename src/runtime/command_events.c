/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "runtime/command.h"
#include "sys/cgroup.h"
#include "sys/pidfd_wait.h"

#define DEFAULT_INTERVAL "5s"

struct events_options {
	const char *interval;
	bool stats;
};

static const struct option_spec events_table[] = {
	OPTION_TEXT("interval", 0, struct events_options, interval, "duration", "time between two lines (5s)"),
	OPTION_FLAG("stats", 0, struct events_options, stats, "print one line and end"),
	OPTION_END,
};

static void add_stall(struct text *out, const char *key, const struct cgroup_stall *stall)
{
	/* An old kernel knows no "full" of the processor. */
	if (!*stall->avg10)
		return;
	text_addf(out, "%s\"%s\":{\"avg10\":%s,\"avg60\":%s,\"avg300\":%s,\"total\":%llu}",
		  out->data[out->size - 1] == '{' ? "" : ",", key, stall->avg10, stall->avg60, stall->avg300,
		  (unsigned long long)stall->total_us);
}

static void add_pressure(struct text *out, const struct cgroup_pressure *pressure)
{
	if (!pressure->set)
		return;
	text_add(out, ",\"psi\":{");
	add_stall(out, "some", &pressure->some);
	add_stall(out, "full", &pressure->full);
	text_add_char(out, '}');
}

static void add_hugetlb(struct text *out, const struct cgroup_stats *stats)
{
	text_add(out, ",\"hugetlb\":{");
	for (size_t i = 0; i < stats->hugetlb_count; i++)
		text_addf(out, "%s\"%s\":{\"usage\":%llu,\"max\":%llu,\"failcnt\":%llu}", i ? "," : "",
			  stats->hugetlb[i].page_size, (unsigned long long)stats->hugetlb[i].usage,
			  (unsigned long long)stats->hugetlb[i].peak, (unsigned long long)stats->hugetlb[i].failures);
	text_add_char(out, '}');
}

static void add_cpu(struct text *out, const struct cgroup_stats *stats)
{
	text_addf(out, "\"cpu\":{\"usage\":{\"total\":%llu,\"percpu\":[", (unsigned long long)stats->cpu_total_ns);
	for (size_t i = 0; i < stats->per_cpu_count; i++)
		text_addf(out, "%s%llu", i ? "," : "", (unsigned long long)stats->per_cpu_ns[i]);
	text_addf(out,
		  "],\"kernel\":%llu,\"user\":%llu},\"throttling\":{\"periods\":%llu,\"throttledPeriods\":%llu,"
		  "\"throttledTime\":%llu}",
		  (unsigned long long)stats->cpu_system_ns, (unsigned long long)stats->cpu_user_ns,
		  (unsigned long long)stats->cpu_periods, (unsigned long long)stats->cpu_throttled_periods,
		  (unsigned long long)stats->cpu_throttled_ns);
	add_pressure(out, &stats->cpu_pressure);
	text_add_char(out, '}');
}

static void add_memory(struct text *out, const struct cgroup_stats *stats)
{
	text_addf(out,
		  ",\"memory\":{\"cache\":%llu,\"usage\":{\"limit\":%llu,\"usage\":%llu,\"max\":%llu,\"failcnt\":%llu},"
		  "\"swap\":{\"limit\":%llu,\"usage\":%llu,\"failcnt\":0},\"raw\":{",
		  (unsigned long long)stats->memory_cache, (unsigned long long)stats->memory_limit,
		  (unsigned long long)stats->memory_usage, (unsigned long long)stats->memory_peak,
		  (unsigned long long)stats->memory_failures, (unsigned long long)stats->memory_swap_limit,
		  (unsigned long long)stats->memory_swap_usage);
	for (size_t i = 0; i < stats->memory_stat.count; i++)
		text_addf(out, "%s\"%s\":%s", i ? "," : "", stats->memory_stat.items[i].key,
			  stats->memory_stat.items[i].value);
	text_add_char(out, '}');
	add_pressure(out, &stats->memory_pressure);
	text_add_char(out, '}');
}

static void add_io(struct text *out, const struct cgroup_stats *stats)
{
	text_add(out, ",\"blkio\":{\"ioServiceBytesRecursive\":[");
	for (size_t i = 0; i < stats->io_count; i++)
		text_addf(out,
			  "%s{\"major\":%llu,\"minor\":%llu,\"op\":\"Read\",\"value\":%llu},{\"major\":%llu,\"minor\":"
			  "%llu,\"op\":\"Write\",\"value\":%llu}",
			  i ? "," : "", (unsigned long long)stats->io[i].major, (unsigned long long)stats->io[i].minor,
			  (unsigned long long)stats->io[i].read_bytes, (unsigned long long)stats->io[i].major,
			  (unsigned long long)stats->io[i].minor, (unsigned long long)stats->io[i].write_bytes);
	text_add_char(out, ']');
	add_pressure(out, &stats->io_pressure);
	text_add_char(out, '}');
}

static int print_stats(const struct runtime *runtime, const char *id, struct error *err)
{
	AUTO(cgroup_stats_fini) struct cgroup_stats stats = { 0 };
	AUTO(text_fini) struct text out = { 0 };

	if (runtime_read_stats(&stats, runtime, id, err) < 0)
		return -1;
	text_addf(&out, "{\"type\":\"stats\",\"id\":\"%s\",\"data\":{", id);
	add_cpu(&out, &stats);
	add_memory(&out, &stats);
	text_addf(&out, ",\"pids\":{\"current\":%llu,\"limit\":%llu}", (unsigned long long)stats.pids_current,
		  stats.pids_limit == UINT64_MAX ? 0ULL : (unsigned long long)stats.pids_limit);
	add_io(&out, &stats);
	add_hugetlb(&out, &stats);
	text_add(&out, "}}");
	puts(out.data);
	fflush(stdout);
	return 0;
}

/* One event of the group's out-of-memory watch. It is also set off when the group goes away, which is none. */
static void print_oom(const struct runtime *runtime, const char *id, int oom_fd)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(cgroup_stats_fini) struct cgroup_stats stats = { 0 };
	char dropped[4096];

	if (read(oom_fd, dropped, sizeof(dropped)) < 0 || runtime_read_stats(&stats, runtime, id, &ignored) < 0)
		return;
	printf("{\"type\":\"oom\",\"id\":\"%s\"}\n", id);
	fflush(stdout);
}

/* Until the container ends: statistics after each interval, and each out-of-memory event at once. */
static int follow(const struct runtime *runtime, const char *id, int64_t interval_ns, int pidfd, struct error *err)
{
	AUTO_CLOSE int oom_fd = runtime_watch_oom(runtime, id, err);
	int64_t next = clock_monotonic_ns() + interval_ns;

	/* Without the memory controller nothing can be told of it; the statistics go on. */
	if (oom_fd < 0 && err->kind != ERR_UNSUPPORTED)
		return -1;
	error_clear(err);
	for (;;) {
		struct pollfd fds[] = { { .fd = pidfd, .events = POLLIN }, { .fd = oom_fd, .events = POLLIN } };
		int64_t left = next - clock_monotonic_ns();

		if (poll(fds, 2, left <= 0 ? 0 : (int)(left / CLOCK_MS + 1)) < 0 && errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "wait for events");
		if (fds[1].revents)
			print_oom(runtime, id, oom_fd);
		if (fds[0].revents)
			return 0;
		if (clock_monotonic_ns() < next)
			continue;
		next += interval_ns;
		if (print_stats(runtime, id, err) == 0)
			continue;
		if (pidfd_ended(pidfd, 0) != 1)
			return -1;
		error_clear(err);
		return 0;
	}
}

int command_events(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	AUTO(runtime_state_fini) struct runtime_state state = { 0 };
	struct events_options options = { .interval = DEFAULT_INTERVAL };
	AUTO_CLOSE int pidfd = -1;
	const char *id;
	int64_t interval;
	int r = command_parse(events_table, &options, argc, argv, 0, &operands, 1, 1, err);

	if (r <= 0)
		return r;
	id = operands.items[0];
	if (clock_parse_duration(&interval, options.interval) < 0 || interval <= 0)
		return error_set(err, ERR_INVALID, "duration interval must be greater than 0");
	if (runtime_load_state(&state, runtime, id, err) < 0)
		return -1;
	pidfd = state.pid > 0 ? pidfd_of(state.pid) : -1;
	if (pidfd < 0)
		return error_set(err, ERR_CONFLICT, "container not running: container with id %s is not running", id);
	if (options.stats)
		return print_stats(runtime, id, err);
	return follow(runtime, id, interval, pidfd, err);
}
