/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "runtime/host_systemd.h"
#include "sys/cpu_list.h"

#define DEFAULT_PERIOD_US 100000
#define QUOTA_STEP_US 10000 /* systemd keeps whole percents of a CPU */
#define PREFIX "org.systemd.property."
#define DEVICES_MAX (1 << 20)

/* ---- limits ---- */

static void add_number(struct text *out, const char *name, uint64_t value)
{
	text_addf(out, "%s t %" PRIu64 "\n", name, value);
}

/* -1 is systemd's infinity. */
static void add_limit(struct text *out, const char *name, int64_t value)
{
	add_number(out, name, value < 0 ? UINT64_MAX : (uint64_t)value);
}

static void add_quota(struct text *out, int64_t quota, uint64_t period)
{
	uint64_t per_second = UINT64_MAX;

	if (!period)
		period = DEFAULT_PERIOD_US;
	add_number(out, "CPUQuotaPeriodUSec", period);
	if (quota > 0) {
		per_second = (uint64_t)quota * 1000000 / period;
		/* Rounded up, as it is the group's own file that gives the exact figure. */
		per_second = (per_second + QUOTA_STEP_US - 1) / QUOTA_STEP_US * QUOTA_STEP_US;
	}
	add_number(out, "CPUQuotaPerSecUSec", per_second);
}

/* A bit per CPU, lowest byte first. */
static int add_set(struct text *out, const char *name, const char *list, const char *where, struct error *err)
{
	struct cpu_list set;
	size_t bytes = 0;
	int r = cpu_list_parse(&set, list);

	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "%s: \"%s\"", where, list);
	for (size_t i = 0; i < CPU_LIST_MAX; i++)
		if (set.words[i / CPU_LIST_WORD] >> (i % CPU_LIST_WORD) & 1)
			bytes = i / 8 + 1;
	text_addf(out, "%s ay ", name);
	for (size_t i = 0; i < bytes; i++)
		text_addf(out, "%02x", (unsigned)(set.words[i * 8 / CPU_LIST_WORD] >> (i * 8 % CPU_LIST_WORD) & 0xff));
	text_add_char(out, '\n');
	return 0;
}

static int add_cpu(struct text *out, const struct spec_cpu *cpu, bool v2, struct error *err)
{
	if (cpu->shares.value)
		add_number(out, v2 ? "CPUWeight" : "CPUShares",
			   v2 ? cgroup_weight_of_shares(cpu->shares.value) : cpu->shares.value);
	if (cpu->quota.set || cpu->period.value)
		add_quota(out, cpu->quota.value, cpu->period.value);
	/* Only cgroup2 has sets of its own in systemd. */
	if (!v2)
		return 0;
	if (!text_empty(cpu->cpus) && add_set(out, "AllowedCPUs", cpu->cpus, "linux.resources.cpu.cpus", err) < 0)
		return -1;
	if (!text_empty(cpu->mems) &&
	    add_set(out, "AllowedMemoryNodes", cpu->mems, "linux.resources.cpu.mems", err) < 0)
		return -1;
	return 0;
}

static void add_memory(struct text *out, const struct spec_memory *memory, bool v2)
{
	int64_t limit = memory->limit.value;

	if (limit)
		add_limit(out, v2 ? "MemoryMax" : "MemoryLimit", limit);
	if (!v2)
		return;
	if (memory->reservation.value)
		add_limit(out, "MemoryLow", memory->reservation.value);
	/* Memory plus swap in the specification, swap alone here. */
	if (memory->swap.value)
		add_limit(out, "MemorySwapMax",
			  memory->swap.value < 0 || limit <= 0 ? memory->swap.value : memory->swap.value - limit);
}

static void add_number_or_max(struct text *out, const char *name, const char *value)
{
	uint64_t number;

	if (text_equal(value, "max"))
		add_number(out, name, UINT64_MAX);
	else if (text_parse_u64(&number, value, UINT64_MAX) == 0)
		add_number(out, name, number);
}

static int add_unified(struct text *out, const char *file, const char *value, struct error *err)
{
	static const struct {
		const char *file;
		const char *property;
	} numbers[] = { { "cpu.weight", "CPUWeight" }, { "memory.high", "MemoryHigh" },
			{ "memory.low", "MemoryLow" }, { "memory.min", "MemoryMin" },
			{ "memory.max", "MemoryMax" }, { "memory.swap.max", "MemorySwapMax" },
			{ "pids.max", "TasksMax" },    { "io.weight", "IOWeight" } };
	unsigned long long period = DEFAULT_PERIOD_US;
	long long quota = -1;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (text_equal(file, numbers[i].file))
			add_number_or_max(out, numbers[i].property, value);
	if (text_equal(file, "cpuset.cpus"))
		return add_set(out, "AllowedCPUs", value, "linux.resources.unified[cpuset.cpus]", err);
	if (text_equal(file, "cpuset.mems"))
		return add_set(out, "AllowedMemoryNodes", value, "linux.resources.unified[cpuset.mems]", err);
	if (text_equal(file, "cpu.max") &&
	    (sscanf(value, "max %llu", &period) == 1 || sscanf(value, "%lld %llu", &quota, &period) >= 1))
		add_quota(out, quota, period);
	return 0;
}

int host_systemd_add_limits(struct text *out, const struct spec_resources *resources, bool v2, struct error *err)
{
	if (resources->memory)
		add_memory(out, resources->memory, v2);
	if (resources->cpu && add_cpu(out, resources->cpu, v2, err) < 0)
		return -1;
	if (resources->pids && resources->pids->limit.set)
		add_limit(out, "TasksMax", resources->pids->limit.value == 0 ? 1 : resources->pids->limit.value);
	if (resources->block_io && resources->block_io->weight.value)
		add_number(out, v2 ? "IOWeight" : "BlockIOWeight",
			   v2 ? cgroup_weight_of_blkio(resources->block_io->weight.value)
			      : resources->block_io->weight.value);
	for (size_t i = 0; v2 && i < resources->unified.count; i++)
		if (add_unified(out, resources->unified.items[i].key, text_or_empty(resources->unified.items[i].value),
				err) < 0)
			return -1;
	return 0;
}

/* ---- devices ---- */

/* The name of a major number in /proc/devices: "char-pts". NULL if no driver has it. */
static char *driver_name(char type, int64_t major)
{
	AUTO_FREE char *text = NULL;
	AUTO(text_list_fini) struct text_list lines = { 0 };
	bool wanted = false;

	if (file_read(&text, NULL, AT_FDCWD, "/proc/devices", DEVICES_MAX) < 0)
		return NULL;
	text_list_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		const char *line = text_trim(lines.items[i]);
		const char *name = strchr(line, ' ');

		if (text_equal(line, "Character devices:") || text_equal(line, "Block devices:"))
			wanted = *line == (type == 'b' ? 'B' : 'C');
		else if (wanted && name && strtoll(line, NULL, 10) == major)
			return xasprintf("%s-%s", type == 'b' ? "block" : "char", name + 1);
	}
	return NULL;
}

static void add_device(struct text *out, char type, int64_t major, int64_t minor, const char *access)
{
	AUTO_FREE char *group = NULL;

	if (major >= 0 && minor >= 0) {
		text_addf(out, " /dev/%s/%" PRId64 ":%" PRId64 " %s", type == 'b' ? "block" : "char", major, minor,
			  access);
		return;
	}
	group = major < 0 ? xasprintf("%s-*", type == 'b' ? "block" : "char") : driver_name(type, major);
	if (group)
		text_addf(out, " %s %s", group, access);
}

static bool allows_all(const struct spec_device_rule *rule)
{
	return rule->allow && (text_empty(rule->type) || rule->type[0] == 'a');
}

void host_systemd_add_devices(struct text *out, const struct spec_resources *resources)
{
	static const struct {
		char type;
		int major, minor;
		const char *access;
	} always[] = { { 'c', -1, -1, "m" }, { 'b', -1, -1, "m" },   { 'c', 1, 3, "rwm" }, { 'c', 1, 5, "rwm" },
		       { 'c', 1, 7, "rwm" }, { 'c', 1, 8, "rwm" },   { 'c', 1, 9, "rwm" }, { 'c', 5, 0, "rwm" },
		       { 'c', 5, 2, "rwm" }, { 'c', 136, -1, "rwm" } };
	bool strict = resources->devices.count > 0;

	/* It knows allowed ones only: what is denied after "all" stays with the group's own rules. */
	for (size_t i = 0; i < resources->devices.count; i++)
		strict &= !allows_all(&resources->devices.items[i]);
	text_addf(out, "DevicePolicy s %s\n", strict ? "strict" : "auto");
	if (!strict)
		return;
	text_add(out, "DeviceAllow a(ss)");
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		add_device(out, always[i].type, always[i].major, always[i].minor, always[i].access);
	for (size_t i = 0; i < resources->devices.count; i++) {
		const struct spec_device_rule *rule = &resources->devices.items[i];

		if (rule->allow)
			add_device(out, rule->type[0] == 'b' ? 'b' : 'c', rule->major.set ? rule->major.value : -1,
				   rule->minor.set ? rule->minor.value : -1,
				   text_empty(rule->access) ? "rwm" : rule->access);
	}
	text_add_char(out, '\n');
}

/* ---- annotations ---- */

/* "FooSec" with a number of seconds is "FooUSec" on the bus. */
static int add_seconds(struct text *out, const char *name, const char *value, struct error *err)
{
	uint64_t seconds;

	if (text_parse_u64(&seconds, value, UINT64_MAX / 1000000) < 0)
		return error_set(err, ERR_INVALID, "annotations[" PREFIX "%s]: \"%s\" is no number of seconds", name,
				 value);
	text_addf(out, "%.*sUSec t %" PRIu64 "\n", (int)(strlen(name) - 3), name, seconds * 1000000);
	return 0;
}

/* ['a', 'b'] without its brackets and quotes. */
static void add_words(struct text *out, const char *name, const char *value)
{
	bool quoted = false;

	text_addf(out, "%s as", name);
	for (const char *at = value; *at; at++) {
		if (*at == '\'' || *at == '"') {
			quoted = !quoted;
			if (quoted)
				text_add_char(out, ' ');
		} else if (quoted && *at != '\n') {
			text_add_char(out, *at);
		}
	}
	text_add_char(out, '\n');
}

static int check_annotation(const char *name, const char *value, struct error *err)
{
	for (const char *at = name; *at; at++)
		if (!isalnum((unsigned char)*at))
			return error_set(err, ERR_INVALID, "annotations[" PREFIX "%s]: no name of a property", name);
	if (strchr(value, '\n'))
		return error_set(err, ERR_INVALID, "annotations[" PREFIX "%s]: a value has one line", name);
	return 0;
}

static bool is_quoted(const char *value)
{
	size_t size = strlen(value);

	return size >= 2 && (*value == '\'' || *value == '"') && value[size - 1] == *value;
}

static int add_annotation(struct text *out, const char *name, const char *value, struct error *err)
{
	if (check_annotation(name, value, err) < 0)
		return -1;
	if (text_has_suffix(name, "Sec") && !text_has_suffix(name, "USec"))
		return add_seconds(out, name, value, err);
	if (text_equal(value, "true") || text_equal(value, "false"))
		text_addf(out, "%s b %s\n", name, value);
	else if (text_after(value, "uint64 "))
		text_addf(out, "%s t %s\n", name, text_after(value, "uint64 "));
	else if (is_quoted(value))
		text_addf(out, "%s s %.*s\n", name, (int)strlen(value) - 2, value + 1);
	else if (*value == '[')
		add_words(out, name, value);
	else if (*value && value[strspn(value, "-0123456789")] == '\0')
		text_addf(out, "%s i %s\n", name, value);
	else
		return error_set(err, ERR_INVALID, "annotations[" PREFIX "%s]: cannot read the value %s", name, value);
	return 0;
}

int host_systemd_add_annotations(struct text *out, const struct text_map *annotations, struct error *err)
{
	for (size_t i = 0; i < annotations->count; i++) {
		const char *name = text_after(annotations->items[i].key, PREFIX);

		if (name && add_annotation(out, name, text_or_empty(annotations->items[i].value), err) < 0)
			return -1;
	}
	return 0;
}
