/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/program.h"
#include "engine/engine_private.h"
#include "engine/system.h"
#include "engine/volume.h"
#include "logs/options.h"
#include "store/image_record.h"
#include "sys/cgroup.h"
#include "sys/landlock.h"
#include "transfer/session.h"

/* ---- version ---- */

static const struct json_field component_fields[] = {
	JSON_TEXT("Name", struct version_component, name, 0),
	JSON_TEXT("Version", struct version_component, version, 0),
	JSON_TEXT_MAP("Details", struct version_component, details, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field platform_name_fields[] = {
	JSON_TEXT("Name", struct platform_name, name, 0),
	JSON_END,
};

#define V struct system_version
const struct json_field system_version_fields[] = {
	JSON_OBJECT("Platform", V, platform, platform_name_fields, 0),
	JSON_ARRAY("Components", V, components, component_fields, 0),
	JSON_TEXT("Version", V, version, 0),
	JSON_TEXT("ApiVersion", V, api_version, 0),
	JSON_TEXT("MinAPIVersion", V, min_api_version, 0),
	JSON_TEXT("GitCommit", V, git_commit, 0),
	JSON_TEXT("GoVersion", V, go_version, 0),
	JSON_TEXT("Os", V, os, 0),
	JSON_TEXT("Arch", V, arch, 0),
	JSON_TEXT("KernelVersion", V, kernel_version, 0),
	JSON_BOOL("Experimental", V, experimental, JSON_OMIT_EMPTY),
	JSON_TEXT("BuildTime", V, build_time, 0),
	JSON_END,
};
#undef V

/* The names Go has for machines. */
static const char *go_architecture(const char *machine)
{
	if (text_equal(machine, "x86_64"))
		return "amd64";
	return text_equal(machine, "aarch64") ? "arm64" : machine;
}

static void add_component(struct system_version *version, const char *name, const char *number)
{
	struct version_component *component = json_array_add(&version->components, sizeof(*component));

	component->name = xstrdup(name);
	component->version = xstrdup(number);
}

int system_version(struct system_version *out_version, struct engine *engine, struct error *err)
{
	struct utsname host;
	struct text_map *details;

	if (uname(&host) < 0)
		return error_set(err, ERR_INTERNAL, "uname");
	memset(out_version, 0, sizeof(*out_version));
	out_version->platform.name = xstrdup("kist " KIST_VERSION);
	add_component(out_version, "Engine", ENGINE_SERVER_VERSION);
	details = &out_version->components.items[0].details;
	text_map_set(details, "ApiVersion", ENGINE_API_VERSION);
	text_map_set(details, "MinAPIVersion", ENGINE_MIN_API_VERSION);
	text_map_set(details, "Arch", go_architecture(host.machine));
	text_map_set(details, "Os", "linux");
	text_map_set(details, "KernelVersion", host.release);
	text_map_set(details, "GitCommit", "kist-" KIST_VERSION);
	text_map_set(details, "GoVersion", "none (C)");
	text_map_set(details, "BuildTime", "");
	text_map_set(details, "Experimental", engine_settings(engine)->experimental ? "true" : "false");
	add_component(out_version, "kist", KIST_VERSION);
	add_component(out_version, "kist-shim", KIST_VERSION);
	add_component(out_version, "kist-runtime", KIST_VERSION);
	out_version->version = xstrdup(ENGINE_SERVER_VERSION);
	out_version->api_version = xstrdup(ENGINE_API_VERSION);
	out_version->min_api_version = xstrdup(ENGINE_MIN_API_VERSION);
	out_version->git_commit = xstrdup("kist-" KIST_VERSION);
	out_version->go_version = xstrdup("none (C)");
	out_version->os = xstrdup("linux");
	out_version->arch = xstrdup(go_architecture(host.machine));
	out_version->kernel_version = xstrdup(host.release);
	out_version->experimental = engine_settings(engine)->experimental;
	out_version->build_time = xstrdup("");
	return 0;
}

/* ---- info ---- */

static const struct json_field pair_fields[] = {
	JSON_TEXT_LIST("", struct info_pair, values, 0),
	JSON_END,
};

static const struct json_field plugins_fields[] = {
	JSON_TEXT_LIST("Volume", struct info_plugins, volume, 0),
	JSON_TEXT_LIST("Network", struct info_plugins, network, 0),
	JSON_TEXT_LIST("Authorization", struct info_plugins, authorization, JSON_EMPTY_NULL),
	JSON_TEXT_LIST("Log", struct info_plugins, log, 0),
	JSON_END,
};

static const struct json_field index_fields[] = {
	JSON_KEY(struct info_index, key),
	JSON_TEXT("Name", struct info_index, name, 0),
	JSON_TEXT_LIST("Mirrors", struct info_index, mirrors, 0),
	JSON_BOOL("Secure", struct info_index, secure, 0),
	JSON_BOOL("Official", struct info_index, official, 0),
	JSON_END,
};

static const struct json_field registry_fields[] = {
	JSON_TEXT_LIST("InsecureRegistryCIDRs", struct info_registry, insecure_cidrs, 0),
	JSON_MAP("IndexConfigs", struct info_registry, indexes, index_fields, 0),
	JSON_TEXT_LIST("Mirrors", struct info_registry, mirrors, JSON_EMPTY_NULL),
	JSON_END,
};

static const struct json_field runtime_fields[] = {
	JSON_KEY(struct info_runtime, key),
	JSON_TEXT("path", struct info_runtime, path, 0),
	JSON_TEXT_LIST("runtimeArgs", struct info_runtime, arguments, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field swarm_fields[] = {
	JSON_TEXT("NodeID", struct info_swarm, node_id, 0),
	JSON_TEXT("NodeAddr", struct info_swarm, node_addr, 0),
	JSON_TEXT("LocalNodeState", struct info_swarm, local_node_state, 0),
	JSON_BOOL("ControlAvailable", struct info_swarm, control_available, 0),
	JSON_TEXT("Error", struct info_swarm, error, 0),
	JSON_TEXT_LIST("RemoteManagers", struct info_swarm, remote_managers, JSON_EMPTY_NULL),
	JSON_END,
};

static const struct json_field commit_fields[] = {
	JSON_TEXT("ID", struct info_commit, id, 0),
	JSON_END,
};

#define S struct system_info
const struct json_field system_info_fields[] = {
	JSON_TEXT("ID", S, id, 0),
	JSON_I64("Containers", S, containers, 0),
	JSON_I64("ContainersRunning", S, containers_running, 0),
	JSON_I64("ContainersPaused", S, containers_paused, 0),
	JSON_I64("ContainersStopped", S, containers_stopped, 0),
	JSON_I64("Images", S, images, 0),
	JSON_TEXT("Driver", S, driver, 0),
	JSON_ARRAY("DriverStatus", S, driver_status, pair_fields, 0),
	JSON_OBJECT("Plugins", S, plugins, plugins_fields, 0),
	JSON_BOOL("MemoryLimit", S, memory_limit, 0),
	JSON_BOOL("SwapLimit", S, swap_limit, 0),
	JSON_BOOL("CpuCfsPeriod", S, cpu_cfs_period, 0),
	JSON_BOOL("CpuCfsQuota", S, cpu_cfs_quota, 0),
	JSON_BOOL("CPUShares", S, cpu_shares, 0),
	JSON_BOOL("CPUSet", S, cpu_set, 0),
	JSON_BOOL("PidsLimit", S, pids_limit, 0),
	JSON_BOOL("IPv4Forwarding", S, ipv4_forwarding, 0),
	JSON_BOOL("Debug", S, debug, 0),
	JSON_I64("NFd", S, file_descriptors, 0),
	JSON_BOOL("OomKillDisable", S, oom_kill_disable, 0),
	JSON_I64("NGoroutines", S, goroutines, 0),
	JSON_TEXT("SystemTime", S, system_time, 0),
	JSON_TEXT("LoggingDriver", S, logging_driver, 0),
	JSON_TEXT("CgroupDriver", S, cgroup_driver, 0),
	JSON_TEXT("CgroupVersion", S, cgroup_version, 0),
	JSON_I64("NEventsListener", S, event_listeners, 0),
	JSON_TEXT("KernelVersion", S, kernel_version, 0),
	JSON_TEXT("OperatingSystem", S, operating_system, 0),
	JSON_TEXT("OSVersion", S, os_version, 0),
	JSON_TEXT("OSType", S, os_type, 0),
	JSON_TEXT("Architecture", S, architecture, 0),
	JSON_TEXT("IndexServerAddress", S, index_server_address, 0),
	JSON_OBJECT("RegistryConfig", S, registry, registry_fields, 0),
	JSON_I64("NCPU", S, cpu_count, 0),
	JSON_I64("MemTotal", S, memory_total, 0),
	JSON_TEXT("DockerRootDir", S, docker_root_dir, 0),
	JSON_TEXT("HttpProxy", S, http_proxy, 0),
	JSON_TEXT("HttpsProxy", S, https_proxy, 0),
	JSON_TEXT("NoProxy", S, no_proxy, 0),
	JSON_TEXT("Name", S, name, 0),
	JSON_TEXT_LIST("Labels", S, labels, 0),
	JSON_BOOL("ExperimentalBuild", S, experimental, 0),
	JSON_TEXT("ServerVersion", S, server_version, 0),
	JSON_MAP("Runtimes", S, runtimes, runtime_fields, 0),
	JSON_TEXT("DefaultRuntime", S, default_runtime, 0),
	JSON_OBJECT("Swarm", S, swarm, swarm_fields, 0),
	JSON_BOOL("LiveRestoreEnabled", S, live_restore, 0),
	JSON_TEXT("Isolation", S, isolation, 0),
	JSON_TEXT("InitBinary", S, init_binary, 0),
	JSON_OBJECT("ContainerdCommit", S, containerd_commit, commit_fields, 0),
	JSON_OBJECT("RuncCommit", S, runc_commit, commit_fields, 0),
	JSON_OBJECT("InitCommit", S, init_commit, commit_fields, 0),
	JSON_TEXT_LIST("SecurityOptions", S, security_options, 0),
	JSON_TEXT_LIST("CDISpecDirs", S, cdi_spec_dirs, 0),
	JSON_TEXT_LIST("Warnings", S, warnings, JSON_EMPTY_NULL),
	JSON_END,
};
#undef S

static void count_containers(struct system_info *info, struct engine *engine)
{
	struct container **items;
	size_t count = container_all(&items, engine);

	info->containers = (int64_t)count;
	for (size_t i = 0; i < count; i++) {
		AUTO_UNLOCK struct mutex *held = mutex_hold(&items[i]->mutex);
		const struct container_state *state = &items[i]->document.state;

		if (state->running && state->paused)
			info->containers_paused++;
		else if (state->running)
			info->containers_running++;
		else
			info->containers_stopped++;
	}
	container_all_free(items, count);
}

static int64_t count_entries(const char *path)
{
	AUTO_CLOSEDIR DIR *folder = opendir(path);
	struct dirent *entry;
	int64_t count = 0;

	while (folder && (entry = readdir(folder)))
		count += entry->d_name[0] != '.';
	return count;
}

/* PRETTY_NAME of os-release. */
static void read_os_release(struct system_info *info)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *text = NULL;

	if (file_read(&text, NULL, AT_FDCWD, "/etc/os-release", 65536) == 0)
		text_list_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		const char *name = text_after(lines.items[i], "PRETTY_NAME=");
		const char *number = text_after(lines.items[i], "VERSION_ID=");
		char **member = name ? &info->operating_system : number ? &info->os_version : NULL;
		const char *value = name ? name : number;
		size_t size = value ? strlen(value) : 0;

		if (!member || *member)
			continue;
		*member = size >= 2 && value[0] == '"' ? xstrndup(value + 1, size - 2) : xstrdup(value);
	}
	if (!info->operating_system)
		info->operating_system = xstrdup("Linux");
	if (!info->os_version)
		info->os_version = xstrdup("");
}

static bool file_says_one(const char *path)
{
	AUTO_FREE char *text = NULL;

	return file_read(&text, NULL, AT_FDCWD, path, 64) == 0 && text[0] == '1';
}

static void fill_cgroups(struct system_info *info)
{
	AUTO(text_list_fini) struct text_list controllers = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	bool v2 = cgroup_detect() == CGROUP_V2;

	if (cgroup_controllers(&controllers, &err) < 0)
		text_list_add(&info->warnings, "WARNING: the host's cgroups cannot be read");
	info->memory_limit = text_list_contains(&controllers, "memory");
	info->swap_limit = info->memory_limit && cgroup_accounts_swap();
	info->cpu_cfs_period = text_list_contains(&controllers, "cpu");
	info->cpu_cfs_quota = info->cpu_cfs_period;
	info->cpu_shares = info->cpu_cfs_period;
	info->cpu_set = text_list_contains(&controllers, "cpuset");
	info->pids_limit = text_list_contains(&controllers, "pids");
	info->oom_kill_disable = !v2 && info->memory_limit;
	info->cgroup_driver = xstrdup("cgroupfs");
	info->cgroup_version = xstrdup(v2 ? "2" : "1");
	if (!info->memory_limit)
		text_list_add(&info->warnings, "WARNING: No memory limit support");
	else if (!info->swap_limit)
		text_list_add(&info->warnings, "WARNING: No swap limit support");
	if (!info->pids_limit)
		text_list_add(&info->warnings, "WARNING: No pids limit support");
	if (!info->ipv4_forwarding)
		text_list_add(&info->warnings, "WARNING: IPv4 forwarding is disabled");
	if (landlock_version() == 0)
		text_list_add(&info->warnings, SYSTEM_NO_LANDLOCK);
}

static void add_status(struct system_info *info, const char *key, const char *value)
{
	struct info_pair *pair = json_array_add(&info->driver_status, sizeof(*pair));

	text_list_add(&pair->values, key);
	text_list_add(&pair->values, value);
}

char *system_storage_warning(struct store *store)
{
	bool overlays;
	const char *name = store_driver_file_system(&overlays, store_root_fd(store));

	if (store_driver(store) == STORE_COPY)
		return overlays ? NULL : xasprintf(SYSTEM_COPIES, name);
	return overlays ? NULL : xasprintf(SYSTEM_NO_OVERLAY, name);
}

static void fill_driver(struct system_info *info, struct store *store)
{
	AUTO_FREE char *warning = system_storage_warning(store);
	bool overlays;
	const char *name = store_driver_file_system(&overlays, store_root_fd(store));

	info->driver = xstrdup(store_driver_name(store_driver(store)));
	add_status(info, "Backing Filesystem", name);
	if (store_driver(store) != STORE_COPY) {
		add_status(info, "Supports d_type", "true");
		add_status(info, "Native Overlay Diff", overlays ? "true" : "false");
	}
	if (warning)
		text_list_add(&info->warnings, warning);
}

static void add_insecure(struct system_info *info, const char *name)
{
	struct info_index *index;

	if (strchr(name, '/')) {
		text_list_add(&info->registry.insecure_cidrs, name);
		return;
	}
	index = json_array_add(&info->registry.indexes, sizeof(*index));
	index->key = xstrdup(name);
	index->name = xstrdup(name);
}

static void fill_registries(struct system_info *info, const struct session_settings *settings)
{
	struct info_index *index = json_array_add(&info->registry.indexes, sizeof(*index));

	index->key = xstrdup("docker.io");
	index->name = xstrdup("docker.io");
	index->secure = true;
	index->official = true;
	text_list_add(&info->registry.insecure_cidrs, "127.0.0.0/8");
	text_list_add(&info->registry.insecure_cidrs, "::1/128");
	text_list_add_all(&info->registry.mirrors, &settings->mirrors);
	text_list_add_all(&index->mirrors, &settings->mirrors);
	for (size_t i = 0; i < settings->insecure.count; i++)
		add_insecure(info, settings->insecure.items[i]);
}

static void fill_runtimes(struct system_info *info, const struct engine_settings *settings)
{
	for (size_t i = 0; i < settings->runtimes.count; i++) {
		const struct engine_runtime *from = &settings->runtimes.items[i];
		struct info_runtime *runtime = json_array_add(&info->runtimes, sizeof(*runtime));

		runtime->key = xstrdup(from->name);
		runtime->path = xstrdup(from->path);
		text_list_add_all(&runtime->arguments, &from->arguments);
	}
	info->default_runtime = xstrdup(settings->default_runtime ? settings->default_runtime : "runc");
}

static void fill_names(struct system_info *info, struct engine *engine)
{
	AUTO(error_clear) struct error err = { 0 };
	struct info_runtime *runtime = json_array_add(&info->runtimes, sizeof(*runtime));
	char *path = program_find("kist-runtime", &err);

	fill_registries(info, &engine_settings(engine)->registry);
	text_list_add_all(&info->labels, &engine_settings(engine)->labels);
	text_list_add_all(&info->plugins.authorization, &engine_settings(engine)->authorization);
	runtime->key = xstrdup("runc");
	runtime->path = path ? path : xstrdup("kist-runtime");
	fill_runtimes(info, engine_settings(engine));
	fill_driver(info, engine->store);
	volume_drivers(&info->plugins.volume, engine);
	text_list_add(&info->plugins.network, "bridge");
	text_list_add(&info->plugins.network, "host");
	text_list_add(&info->plugins.network, "null");
	for (const char *const *name = log_driver_names; *name; name++)
		text_list_add(&info->plugins.log, *name);
	text_list_add(&info->security_options, "name=seccomp,profile=builtin");
	if (engine->cgroup_v2)
		text_list_add(&info->security_options, "name=cgroupns");
	if (engine->remap.size)
		text_list_add(&info->security_options, "name=userns");
	if (landlock_version() > 0)
		text_list_add(&info->security_options, "name=landlock");
	info->id = xstrdup(engine->id);
	info->docker_root_dir = xstrdup(engine->data_root);
	text_list_add_all(&info->cdi_spec_dirs, &engine->cdi_folders);
	info->logging_driver = xstrdup(text_empty(engine->log_driver) ? "json-file" : engine->log_driver);
	info->server_version = xstrdup(ENGINE_SERVER_VERSION);
	info->index_server_address = xstrdup("https://index.docker.io/v1/");
	info->swarm.local_node_state = xstrdup("inactive");
	info->live_restore = true;
	info->isolation = xstrdup("");
	info->init_binary = xstrdup(engine->init_path ? engine->init_path : "");
	info->containerd_commit.id = xstrdup("kist-shim " KIST_VERSION);
	info->runc_commit.id = xstrdup("kist-runtime " KIST_VERSION);
}

static char *environment(const char *lower, const char *upper)
{
	const char *value = getenv(lower);

	return xstrdup(text_or_empty(value ? value : getenv(upper)));
}

static void fill_host(struct system_info *info, const struct utsname *host)
{
	struct sysinfo memory;
	char time[CLOCK_TEXT_MAX];

	info->ipv4_forwarding = file_says_one("/proc/sys/net/ipv4/ip_forward");
	info->file_descriptors = count_entries("/proc/self/fd");
	info->goroutines = count_entries("/proc/self/task");
	info->system_time = xstrdup(clock_format(time, clock_wall_ns()));
	info->kernel_version = xstrdup(host->release);
	info->os_type = xstrdup("linux");
	info->architecture = xstrdup(host->machine);
	info->name = xstrdup(host->nodename);
	info->cpu_count = get_nprocs();
	if (sysinfo(&memory) == 0)
		info->memory_total = (int64_t)memory.totalram * memory.mem_unit;
	info->http_proxy = environment("http_proxy", "HTTP_PROXY");
	info->https_proxy = environment("https_proxy", "HTTPS_PROXY");
	info->no_proxy = environment("no_proxy", "NO_PROXY");
	read_os_release(info);
}

int system_info(struct system_info *out_info, struct engine *engine, struct error *err)
{
	struct image_record_list images = { 0 };
	struct utsname host;

	if (uname(&host) < 0)
		return error_set(err, ERR_INTERNAL, "uname");
	if (image_record_list_load(&images, engine->store, err) < 0)
		return -1;
	memset(out_info, 0, sizeof(*out_info));
	out_info->images = (int64_t)images.count;
	image_record_list_fini(&images);
	out_info->debug = engine_settings(engine)->debug;
	out_info->experimental = engine_settings(engine)->experimental;
	out_info->event_listeners = (int64_t)event_listener_count(engine->events);
	count_containers(out_info, engine);
	fill_names(out_info, engine);
	fill_host(out_info, &host);
	fill_cgroups(out_info);
	return 0;
}
