/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host_cgroup.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/path.h"
#include "runtime/host_systemd.h"
#include "sys/idmap.h"

#define REMOVE_ATTEMPTS 5

/* The arrays struct cgroup_limits borrows. */
struct limits {
	struct cgroup_limits out;
	struct cgroup_device_rule *devices;
	struct cgroup_blkio_device *blkio[5];
	struct cgroup_hugepage_limit *hugepages;
	struct cgroup_network_priority *priorities;
};

static void limits_fini(struct limits *limits)
{
	free(limits->devices);
	for (size_t i = 0; i < 5; i++)
		free(limits->blkio[i]);
	free(limits->hugepages);
	free(limits->priorities);
}

int host_cgroup_name(struct record *record, const struct runtime *runtime, const struct spec *spec, struct error *err)
{
	const char *path = spec->linux_.cgroups_path;

	if (runtime->systemd_cgroup)
		return host_systemd_name(record, spec, err);
	for (const char *at = path; at && *at; at = strchr(at, '/')) {
		at += *at == '/';
		if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
			return error_set(err, ERR_INVALID, "linux.cgroupsPath: \"%s\" must not hold \"..\"", path);
	}
	free(record->cgroup_path);
	if (text_empty(path))
		record->cgroup_path = xasprintf("/%s", record->id);
	else
		record->cgroup_path = *path == '/' ? path_clean(path) : path_join("/", path);
	return 0;
}

bool host_cgroup_is_writable(const struct spec *spec)
{
	for (size_t i = 0; i < spec->mounts.count; i++) {
		const struct spec_mount *mount = &spec->mounts.items[i];

		if (text_equal(mount->type, "cgroup") || text_equal(mount->type, "cgroup2"))
			return !text_list_contains(&mount->options, "ro");
	}
	return false;
}

/*
 * A group that was just left is removed at once. EBUSY that stays means processes: they are killed (those of a frozen v1
 * group die when it thaws), and may take some time to go on a busy host, or fork while we look.
 */
int host_cgroup_remove(struct cgroup *cgroup, struct error *err)
{
	AUTO(error_clear) struct error first = { 0 };

	if (cgroup_remove(cgroup, &first) == 0)
		return 0;
	for (int i = 0; i < REMOVE_ATTEMPTS; i++) {
		AUTO(error_clear) struct error ignored = { 0 };

		if (cgroup_kill(cgroup, SIGKILL, &ignored) < 0 ||
		    (cgroup_get_mode(cgroup) != CGROUP_V2 && cgroup_kill_strays(cgroup, &ignored) < 0))
			error_clear(&ignored);
		cgroup_freeze(cgroup, false, &ignored);
		error_clear(&first);
		if (cgroup_remove(cgroup, &first) == 0)
			return 0;
	}
	return error_move(err, &first);
}

/* Every container can make nodes of any kind (harmless without access) and use these. */
static const struct cgroup_device_rule always[] = {
	{ true, 'c', -1, -1, false, false, true }, { true, 'b', -1, -1, false, false, true },
	{ true, 'c', 1, 3, true, true, true },	   { true, 'c', 1, 5, true, true, true },
	{ true, 'c', 1, 7, true, true, true },	   { true, 'c', 1, 8, true, true, true },
	{ true, 'c', 1, 9, true, true, true },	   { true, 'c', 5, 0, true, true, true },
	{ true, 'c', 5, 2, true, true, true },	   { true, 'c', 136, -1, true, true, true },
};
#define ALWAYS_COUNT (sizeof(always) / sizeof(always[0]))

static int64_t device_number(struct optional_i64 number)
{
	return number.set && number.value >= 0 ? number.value : -1;
}

static int convert_device(struct cgroup_device_rule *out, const struct spec_device_rule *rule, size_t index,
			  struct error *err)
{
	const char *type = text_empty(rule->type) ? "a" : rule->type;
	const char *access = text_empty(rule->access) ? "rwm" : rule->access;

	if (strlen(type) != 1 || !strchr("abcu", type[0]))
		return error_set(err, ERR_INVALID, "linux.resources.devices[%zu].type: \"%s\" is none of a, b, c",
				 index, type);
	if (access[strspn(access, "rwma")])
		return error_set(err, ERR_INVALID, "linux.resources.devices[%zu].access: \"%s\" may hold only r, w, m",
				 index, access);
	*out = (struct cgroup_device_rule){ .allow = rule->allow,
					    .type = type[0] == 'u' ? 'c' : type[0],
					    .major = device_number(rule->major),
					    .minor = device_number(rule->minor),
					    .read = strpbrk(access, "ra") != NULL,
					    .write = strpbrk(access, "wa") != NULL,
					    .mknod = strpbrk(access, "ma") != NULL };
	return 0;
}

static int add_devices(struct limits *limits, const struct spec_resources *resources, struct error *err)
{
	size_t count = resources->devices.count;

	limits->devices = xcalloc(count + ALWAYS_COUNT, sizeof(limits->devices[0]));
	for (size_t i = 0; i < count; i++)
		if (convert_device(&limits->devices[i], &resources->devices.items[i], i, err) < 0)
			return -1;
	memcpy(limits->devices + count, always, sizeof(always));
	limits->out.devices_set = true;
	limits->out.devices = limits->devices;
	limits->out.device_count = count + ALWAYS_COUNT;
	return 0;
}

/* A zero is "not asked for", as in runc: dockerd sends them for all that an update does not change. */
static struct optional_i64 unless_zero_i64(struct optional_i64 value)
{
	return value.value ? value : (struct optional_i64){ 0 };
}

static struct optional_u64 unless_zero_u64(struct optional_u64 value)
{
	return value.value ? value : (struct optional_u64){ 0 };
}

static void add_memory(struct cgroup_limits *out, const struct spec_memory *memory)
{
	out->memory_limit = unless_zero_i64(memory->limit);
	out->memory_reservation = unless_zero_i64(memory->reservation);
	out->memory_swap = unless_zero_i64(memory->swap);
	out->memory_swappiness = (struct optional_i64){ memory->swappiness.set, (int64_t)memory->swappiness.value };
	out->memory_disable_oom_killer = memory->disable_oom_killer;
	out->memory_check_before_update = optional_bool_or(memory->check_before_update, false);
}

static void add_cpu(struct cgroup_limits *out, const struct spec_cpu *cpu)
{
	out->cpu_shares = unless_zero_u64(cpu->shares);
	out->cpu_quota = unless_zero_i64(cpu->quota);
	out->cpu_period = unless_zero_u64(cpu->period);
	out->cpu_burst = cpu->burst;
	out->cpu_realtime_runtime = unless_zero_i64(cpu->realtime_runtime);
	out->cpu_realtime_period = unless_zero_u64(cpu->realtime_period);
	out->cpu_idle = cpu->idle;
	out->cpuset_cpus = text_empty(cpu->cpus) ? NULL : cpu->cpus;
	out->cpuset_mems = text_empty(cpu->mems) ? NULL : cpu->mems;
}

static struct cgroup_blkio_list throttle(struct cgroup_blkio_device **out_items, const spec_throttle_devices *devices)
{
	*out_items = xcalloc(devices->count + 1, sizeof(**out_items));
	for (size_t i = 0; i < devices->count; i++)
		(*out_items)[i] = (struct cgroup_blkio_device){ .major = devices->items[i].major,
								.minor = devices->items[i].minor,
								.value = devices->items[i].rate };
	return (struct cgroup_blkio_list){ *out_items, devices->count };
}

static void add_block_io(struct limits *limits, const struct spec_block_io *io)
{
	struct cgroup_limits *out = &limits->out;
	size_t weights = 0;

	/* Zero means "not set" in what docker sends. */
	out->blkio_weight = unless_zero_u64(io->weight);
	out->blkio_leaf_weight = unless_zero_u64(io->leaf_weight);
	limits->blkio[0] = xcalloc(io->weight_device.count + 1, sizeof(*limits->blkio[0]));
	for (size_t i = 0; i < io->weight_device.count; i++) {
		const struct spec_weight_device *device = &io->weight_device.items[i];

		if (device->weight.set)
			limits->blkio[0][weights++] = (struct cgroup_blkio_device){ .major = device->major,
										    .minor = device->minor,
										    .value = device->weight.value };
	}
	out->blkio_weight_device = (struct cgroup_blkio_list){ limits->blkio[0], weights };
	out->blkio_read_bps = throttle(&limits->blkio[1], &io->throttle_read_bps_device);
	out->blkio_write_bps = throttle(&limits->blkio[2], &io->throttle_write_bps_device);
	out->blkio_read_iops = throttle(&limits->blkio[3], &io->throttle_read_iops_device);
	out->blkio_write_iops = throttle(&limits->blkio[4], &io->throttle_write_iops_device);
}

static void add_others(struct limits *limits, const struct spec_resources *resources)
{
	struct cgroup_limits *out = &limits->out;

	limits->hugepages = xcalloc(resources->hugepage_limits.count + 1, sizeof(*limits->hugepages));
	for (size_t i = 0; i < resources->hugepage_limits.count; i++)
		limits->hugepages[i] = (struct cgroup_hugepage_limit){ resources->hugepage_limits.items[i].page_size,
								       resources->hugepage_limits.items[i].limit };
	out->hugepages = limits->hugepages;
	out->hugepage_count = resources->hugepage_limits.count;
	if (resources->unified.count)
		out->unified = &resources->unified;
	if (!resources->network)
		return;
	out->network_class_id = resources->network->class_id.value ? resources->network->class_id
								   : (struct optional_u64){ 0 };
	limits->priorities = xcalloc(resources->network->priorities.count + 1, sizeof(*limits->priorities));
	for (size_t i = 0; i < resources->network->priorities.count; i++)
		limits->priorities[i] = (struct cgroup_network_priority){
			resources->network->priorities.items[i].name, resources->network->priorities.items[i].priority
		};
	out->network_priorities = limits->priorities;
	out->network_priority_count = resources->network->priorities.count;
}

/*
 * Device rules need CAP_SYS_ADMIN of the host. Who has not got it makes containers in a user namespace, where nobody can
 * make a node, and a node of the host opens only for whom its mode allows.
 */
int host_cgroup_apply_devices(struct cgroup *cgroup, const struct spec_resources *resources, struct error *err)
{
	AUTO(limits_fini) struct limits limits = { 0 };

	if (geteuid() != 0)
		return 0;
	if (add_devices(&limits, resources, err) < 0)
		return -1;
	if (cgroup_apply(cgroup, &limits.out, err) == 0)
		return 0;
	if (err->errnum != EPERM || idmap_is_whole())
		return -1;
	error_clear(err);
	return 0;
}

int host_cgroup_apply(struct cgroup *cgroup, const struct spec_resources *resources, bool with_devices,
		      struct error *err)
{
	AUTO(limits_fini) struct limits limits = { 0 };

	if (resources->memory)
		add_memory(&limits.out, resources->memory);
	if (resources->cpu)
		add_cpu(&limits.out, resources->cpu);
	/* 0 is a limit (the specification since 1.3): as in runc, of the one process that must be. */
	if (resources->pids && resources->pids->limit.set)
		limits.out.pids_limit = (struct optional_i64){ true, resources->pids->limit.value == 0
									     ? 1
									     : resources->pids->limit.value };
	if (resources->block_io)
		add_block_io(&limits, resources->block_io);
	add_others(&limits, resources);
	for (size_t i = 0; i < resources->rdma.count; i++) {
		const struct spec_rdma *rdma = &resources->rdma.items[i];
		const struct cgroup_rdma_limit limit = { rdma->name, rdma->hca_handles, rdma->hca_objects };

		if (cgroup_set_rdma(cgroup, &limit, err) < 0)
			return error_prefix(err, "linux.resources.rdma.%s", rdma->name);
	}
	if (cgroup_apply(cgroup, &limits.out, err) < 0)
		return -1;
	return with_devices ? host_cgroup_apply_devices(cgroup, resources, err) : 0;
}
