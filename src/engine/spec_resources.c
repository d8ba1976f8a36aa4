/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "engine/spec.h"

#define CPU_PERIOD_US 100000
#define DEVICE_DEPTH_MAX 8

static struct optional_i64 some(int64_t value)
{
	return (struct optional_i64){ .set = value != 0, .value = value };
}

static void add_memory(struct spec_resources *resources, const struct host_config *host)
{
	struct spec_memory *memory;

	if (!host->memory && !host->memory_reservation && !host->memory_swap && !host->memory_swappiness.set &&
	    !optional_bool_or(host->oom_kill_disable, false) && !host->kernel_memory_tcp)
		return;
	memory = xcalloc(1, sizeof(*memory));
	memory->limit = some(host->memory);
	memory->reservation = some(host->memory_reservation);
	memory->swap = some(host->memory_swap);
	memory->kernel_tcp = some(host->kernel_memory_tcp);
	/* -1 is docker's "as the host has it". */
	if (host->memory_swappiness.set && host->memory_swappiness.value >= 0) {
		memory->swappiness.set = true;
		memory->swappiness.value = (uint64_t)host->memory_swappiness.value;
	}
	if (optional_bool_or(host->oom_kill_disable, false))
		memory->disable_oom_killer = host->oom_kill_disable;
	resources->memory = memory;
}

static void add_cpu(struct spec_resources *resources, const struct host_config *host)
{
	struct spec_cpu *cpu = xcalloc(1, sizeof(*cpu));

	if (host->cpu_shares)
		cpu->shares = (struct optional_u64){ true, (uint64_t)host->cpu_shares };
	if (host->nano_cpus) {
		cpu->period = (struct optional_u64){ true, CPU_PERIOD_US };
		cpu->quota = (struct optional_i64){ true, host->nano_cpus * CPU_PERIOD_US / 1000000000 };
	}
	if (host->cpu_period)
		cpu->period = (struct optional_u64){ true, (uint64_t)host->cpu_period };
	if (host->cpu_quota)
		cpu->quota = (struct optional_i64){ true, host->cpu_quota };
	if (host->cpu_realtime_period)
		cpu->realtime_period = (struct optional_u64){ true, (uint64_t)host->cpu_realtime_period };
	cpu->realtime_runtime = some(host->cpu_realtime_runtime);
	cpu->cpus = text_empty(host->cpuset_cpus) ? NULL : xstrdup(host->cpuset_cpus);
	cpu->mems = text_empty(host->cpuset_mems) ? NULL : xstrdup(host->cpuset_mems);
	resources->cpu = cpu;
}

static int device_numbers(int64_t *out_major, int64_t *out_minor, const char *path, struct error *err)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "%s", path);
	*out_major = major(status.st_rdev);
	*out_minor = minor(status.st_rdev);
	return 0;
}

static int add_throttle(spec_throttle_devices *to, const struct throttle_devices *from, struct error *err)
{
	for (size_t i = 0; i < from->count; i++) {
		struct spec_throttle_device *device = json_array_add(to, sizeof(*device));

		if (device_numbers(&device->major, &device->minor, from->items[i].path, err) < 0)
			return -1;
		device->rate = from->items[i].rate;
	}
	return 0;
}

static int add_block_io(struct spec_resources *resources, const struct host_config *host, struct error *err)
{
	struct spec_block_io *io;

	if (!host->blkio_weight && !host->blkio_weight_device.count && !host->blkio_read_bps.count &&
	    !host->blkio_write_bps.count && !host->blkio_read_iops.count && !host->blkio_write_iops.count)
		return 0;
	io = xcalloc(1, sizeof(*io));
	resources->block_io = io;
	if (host->blkio_weight)
		io->weight = (struct optional_u64){ true, (uint64_t)host->blkio_weight };
	for (size_t i = 0; i < host->blkio_weight_device.count; i++) {
		struct spec_weight_device *device = json_array_add(&io->weight_device, sizeof(*device));
		const struct weight_device *from = &host->blkio_weight_device.items[i];

		if (device_numbers(&device->major, &device->minor, from->path, err) < 0)
			return -1;
		device->weight = (struct optional_u64){ true, (uint64_t)from->weight };
	}
	if (add_throttle(&io->throttle_read_bps_device, &host->blkio_read_bps, err) < 0 ||
	    add_throttle(&io->throttle_write_bps_device, &host->blkio_write_bps, err) < 0 ||
	    add_throttle(&io->throttle_read_iops_device, &host->blkio_read_iops, err) < 0 ||
	    add_throttle(&io->throttle_write_iops_device, &host->blkio_write_iops, err) < 0)
		return -1;
	return 0;
}

int spec_add_resources(struct spec *spec, const struct spec_input *input, struct error *err)
{
	const struct host_config *host = &input->document->host;
	struct spec_resources *resources = xcalloc(1, sizeof(*resources));
	int64_t pids = host->pids_limit.set ? host->pids_limit.value : input->pids_limit;

	spec->linux_.resources = resources;
	add_memory(resources, host);
	add_cpu(resources, host);
	if (pids > 0) {
		resources->pids = xcalloc(1, sizeof(*resources->pids));
		resources->pids->limit = (struct optional_i64){ true, pids };
	}
	return add_block_io(resources, host, err);
}

/* ---- devices ---- */

static void add_rule(struct spec *spec, bool allow, const char *type, int64_t major, int64_t minor, const char *access)
{
	struct spec_device_rule *rule = json_array_add(&spec->linux_.resources->devices, sizeof(*rule));

	rule->allow = allow;
	rule->type = type ? xstrdup(type) : NULL;
	if (major >= 0)
		rule->major = (struct optional_i64){ true, major };
	if (minor >= 0)
		rule->minor = (struct optional_i64){ true, minor };
	rule->access = xstrdup(access);
}

static void add_default_rules(struct spec *spec)
{
	static const int64_t allowed[][2] = {
		{ 1, 3 }, { 1, 5 }, { 1, 7 }, { 1, 8 }, { 1, 9 }, { 5, 0 }, { 5, 1 }, { 5, 2 }, { 136, -1 },
	};

	add_rule(spec, false, NULL, -1, -1, "rwm");
	add_rule(spec, true, "c", -1, -1, "m");
	add_rule(spec, true, "b", -1, -1, "m");
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		add_rule(spec, true, "c", allowed[i][0], allowed[i][1], "rwm");
}

static void add_device_node(struct spec *spec, const char *path, const struct stat *status)
{
	struct spec_device *device = json_array_add(&spec->linux_.devices, sizeof(*device));

	device->type = xstrdup(S_ISBLK(status->st_mode) ? "b" : "c");
	device->path = xstrdup(path);
	device->major = major(status->st_rdev);
	device->minor = minor(status->st_rdev);
	device->file_mode = (struct optional_u64){ true, status->st_mode & 07777 };
	device->uid = (struct optional_u64){ true, status->st_uid };
	device->gid = (struct optional_u64){ true, status->st_gid };
}

struct device_walk {
	struct spec *spec;
	const char *access; /* NULL: no rules of their own (privileged) */
	size_t found;
};

static bool is_device(const struct stat *status)
{
	return S_ISCHR(status->st_mode) || S_ISBLK(status->st_mode);
}

/* These are the container's own, not the host's. */
static bool is_private_folder(const char *name)
{
	static const char *const names[] = { "pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", NULL };

	for (const char *const *private = names; *private; private ++)
		if (text_equal(name, *private))
			return true;
	return false;
}

static void walk_devices(struct device_walk *walk, const char *host, const char *inside, unsigned depth)
{
	AUTO_CLOSEDIR DIR *folder = opendir(host);
	struct dirent *entry;

	while (folder && depth < DEVICE_DEPTH_MAX && (entry = readdir(folder))) {
		AUTO_FREE char *host_path = xasprintf("%s/%s", host, entry->d_name);
		AUTO_FREE char *path = xasprintf("%s/%s", inside, entry->d_name);
		struct stat status;

		if (entry->d_name[0] == '.' || is_private_folder(entry->d_name) || text_equal(path, "/dev/console") ||
		    lstat(host_path, &status) < 0)
			continue;
		if (S_ISDIR(status.st_mode)) {
			walk_devices(walk, host_path, path, depth + 1);
		} else if (is_device(&status)) {
			add_device_node(walk->spec, path, &status);
			if (walk->access)
				add_rule(walk->spec, true, S_ISBLK(status.st_mode) ? "b" : "c", major(status.st_rdev),
					 minor(status.st_rdev), walk->access);
			walk->found++;
		}
	}
}

static int add_mapping(struct spec *spec, const struct device_mapping *mapping, bool with_rule, struct error *err)
{
	AUTO_FREE char *real = realpath(mapping->path_on_host, NULL);
	const char *inside = text_empty(mapping->path_in_container) ? mapping->path_on_host
								    : mapping->path_in_container;
	const char *access = text_empty(mapping->cgroup_permissions) ? "rwm" : mapping->cgroup_permissions;
	struct device_walk walk = { spec, with_rule ? access : NULL, 0 };
	struct stat status;

	if (!real || stat(real, &status) < 0)
		return error_set(err, ERR_INVALID,
				 "error gathering device information while adding custom device \"%s\": "
				 "no such file or directory",
				 mapping->path_on_host);
	if (S_ISDIR(status.st_mode)) {
		walk_devices(&walk, real, inside, 0);
	} else if (is_device(&status)) {
		add_device_node(spec, inside, &status);
		if (with_rule)
			add_rule(spec, true, S_ISBLK(status.st_mode) ? "b" : "c", major(status.st_rdev),
				 minor(status.st_rdev), access);
		walk.found = 1;
	}
	if (walk.found == 0)
		return error_set(err, ERR_INVALID,
				 "error gathering device information while adding custom device \"%s\": "
				 "not a device node",
				 mapping->path_on_host);
	return 0;
}

static int parse_device_number(int64_t *out_number, const char *text)
{
	if (text_equal(text, "*")) {
		*out_number = -1;
		return 0;
	}
	return text_parse_i64(out_number, text, 0, UINT32_MAX);
}

/* "c 1:3 rwm", "a *:* rwm" */
static int add_cgroup_rule(struct spec *spec, const char *text, struct error *err)
{
	AUTO(text_list_fini) struct text_list words = { 0 };
	AUTO(text_list_fini) struct text_list numbers = { 0 };
	int64_t major;
	int64_t minor;

	text_list_split(&words, text, ' ');
	if (words.count == 3)
		text_list_split(&numbers, words.items[1], ':');
	if (words.count != 3 || numbers.count != 2 || strlen(words.items[0]) != 1 || !strchr("abc", *words.items[0]) ||
	    words.items[2][0] == '\0' || words.items[2][strspn(words.items[2], "rwm")] != '\0' ||
	    parse_device_number(&major, numbers.items[0]) < 0 || parse_device_number(&minor, numbers.items[1]) < 0)
		return error_set(err, ERR_INVALID, "invalid device cgroup rule format: '%s'", text);
	add_rule(spec, true, words.items[0], major, minor, words.items[2]);
	return 0;
}

int spec_add_devices(struct spec *spec, const struct spec_input *input, struct error *err)
{
	const struct host_config *host = &input->document->host;

	if (host->privileged) {
		struct device_walk walk = { spec, NULL, 0 };

		add_rule(spec, true, NULL, -1, -1, "rwm");
		walk_devices(&walk, "/dev", "/dev", 0);
	} else {
		add_default_rules(spec);
	}
	for (size_t i = 0; i < host->devices.count; i++)
		if (add_mapping(spec, &host->devices.items[i], !host->privileged, err) < 0)
			return -1;
	for (size_t i = 0; i < host->device_cgroup_rules.count; i++)
		if (add_cgroup_rule(spec, host->device_cgroup_rules.items[i], err) < 0)
			return -1;
	return 0;
}
