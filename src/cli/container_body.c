/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cli/container_options.h"
#include "cli/members.h"
#include "json/json.h"

#define T struct container_options

/* ---- how the options are sent ---- */

/* Text that belongs to argv: encoded, never freed. */
#define SENT_TEXT(name, m)                                                                                             \
	{                                                                                                              \
		name, JSON_KIND_TEXT, JSON_MEMBER(T, m, const char *), 0, 0, NULL                                      \
	}
#define SENT_RAW(name, index)                                                                                          \
	{                                                                                                              \
		name, JSON_KIND_RAW, offsetof(T, raw) + (index) * sizeof(char *), JSON_OMIT_EMPTY, 0, NULL             \
	}
#define SENT_LIST(name, m) JSON_TEXT_LIST(name, T, m, JSON_EMPTY_NULL)

static const struct json_field host_config_fields[] = {
	SENT_LIST("Binds", binds),
	SENT_TEXT("ContainerIDFile", cidfile),
	SENT_RAW("LogConfig", RAW_LOG),
	SENT_TEXT("NetworkMode", network_mode),
	SENT_RAW("PortBindings", RAW_PORTS),
	SENT_RAW("RestartPolicy", RAW_RESTART),
	JSON_BOOL("AutoRemove", T, remove, 0),
	SENT_TEXT("VolumeDriver", volume_driver),
	SENT_LIST("VolumesFrom", volumes_from),
	SENT_RAW("ConsoleSize", RAW_CONSOLE),
	SENT_RAW("Annotations", RAW_ANNOTATIONS),
	SENT_LIST("CapAdd", cap_add),
	SENT_LIST("CapDrop", cap_drop),
	SENT_TEXT("CgroupnsMode", cgroupns),
	JSON_TEXT_LIST("Dns", T, dns, 0),
	JSON_TEXT_LIST("DnsOptions", T, dns_options, 0),
	JSON_TEXT_LIST("DnsSearch", T, dns_search, 0),
	SENT_LIST("ExtraHosts", extra_hosts),
	SENT_LIST("GroupAdd", group_add),
	SENT_TEXT("IpcMode", ipc),
	SENT_LIST("Links", links),
	JSON_I64("OomScoreAdj", T, oom_score_adj, 0),
	SENT_TEXT("PidMode", pid),
	JSON_BOOL("Privileged", T, privileged, 0),
	JSON_BOOL("PublishAllPorts", T, publish_all, 0),
	JSON_BOOL("ReadonlyRootfs", T, read_only, 0),
	SENT_LIST("SecurityOpt", security),
	SENT_RAW("StorageOpt", RAW_STORAGE),
	SENT_RAW("Tmpfs", RAW_TMPFS),
	SENT_TEXT("UTSMode", uts),
	SENT_TEXT("UsernsMode", userns),
	JSON_I64("ShmSize", T, shm_size, 0),
	SENT_RAW("Sysctls", RAW_SYSCTLS),
	{ "Runtime", JSON_KIND_TEXT, JSON_MEMBER(T, runtime, const char *), JSON_OMIT_EMPTY, 0, NULL },
	SENT_TEXT("Isolation", isolation),
	JSON_I64("CpuShares", T, cpu_shares, 0),
	JSON_I64("Memory", T, memory, 0),
	JSON_I64("NanoCpus", T, nano_cpus, 0),
	SENT_TEXT("CgroupParent", cgroup_parent),
	JSON_I64("BlkioWeight", T, blkio_weight, 0),
	SENT_RAW("BlkioWeightDevice", BUILT_WEIGHTS),
	SENT_RAW("BlkioDeviceReadBps", BUILT_READ_BPS),
	SENT_RAW("BlkioDeviceWriteBps", BUILT_WRITE_BPS),
	SENT_RAW("BlkioDeviceReadIOps", BUILT_READ_IOPS),
	SENT_RAW("BlkioDeviceWriteIOps", BUILT_WRITE_IOPS),
	JSON_I64("CpuPeriod", T, cpu_period, 0),
	JSON_I64("CpuQuota", T, cpu_quota, 0),
	JSON_I64("CpuRealtimePeriod", T, cpu_rt_period, 0),
	JSON_I64("CpuRealtimeRuntime", T, cpu_rt_runtime, 0),
	SENT_TEXT("CpusetCpus", cpuset_cpus),
	SENT_TEXT("CpusetMems", cpuset_mems),
	SENT_RAW("Devices", RAW_DEVICES),
	SENT_LIST("DeviceCgroupRules", device_cgroup_rules),
	SENT_RAW("DeviceRequests", BUILT_GPUS),
	JSON_I64("KernelMemory", T, kernel_memory, JSON_OMIT_EMPTY),
	JSON_I64("MemoryReservation", T, memory_reservation, 0),
	JSON_I64("MemorySwap", T, memory_swap, 0),
	JSON_I64("MemorySwappiness", T, memory_swappiness, 0),
	JSON_BOOL("OomKillDisable", T, oom_kill_disable, 0),
	JSON_OPT_BOOL("Init", T, init, JSON_OMIT_EMPTY),
	JSON_I64("PidsLimit", T, pids_limit, 0),
	SENT_RAW("Ulimits", BUILT_ULIMITS),
	SENT_RAW("Mounts", BUILT_MOUNTS),
	SENT_RAW("MaskedPaths", RAW_MASKED),
	SENT_RAW("ReadonlyPaths", RAW_READONLY_PATHS),
	JSON_END,
};

static const struct json_field networking_fields[] = {
	SENT_RAW("EndpointsConfig", RAW_ENDPOINTS),
	JSON_END,
};

/* HostConfig and NetworkingConfig are members of the same struct. */
static const struct json_field body_fields[] = {
	SENT_TEXT("Hostname", hostname),
	SENT_TEXT("Domainname", domainname),
	SENT_TEXT("User", user),
	JSON_BOOL("AttachStdin", T, attach_stdin, 0),
	JSON_BOOL("AttachStdout", T, attach_stdout, 0),
	JSON_BOOL("AttachStderr", T, attach_stderr, 0),
	SENT_RAW("ExposedPorts", RAW_EXPOSED),
	JSON_BOOL("Tty", T, tty, 0),
	JSON_BOOL("OpenStdin", T, interactive, 0),
	JSON_BOOL("StdinOnce", T, stdin_once, 0),
	SENT_LIST("Env", env),
	SENT_RAW("Cmd", RAW_CMD),
	SENT_RAW("Healthcheck", RAW_HEALTH),
	SENT_TEXT("Image", image),
	SENT_RAW("Volumes", RAW_VOLUMES),
	SENT_TEXT("WorkingDir", workdir),
	SENT_RAW("Entrypoint", RAW_ENTRYPOINT),
	SENT_RAW("Labels", RAW_LABELS),
	{ "StopSignal", JSON_KIND_TEXT, JSON_MEMBER(T, stop_signal, const char *), JSON_OMIT_EMPTY, 0, NULL },
	JSON_OPT_I64("StopTimeout", T, stop_timeout, JSON_OMIT_EMPTY),
	{ "HostConfig", JSON_KIND_OBJECT, 0, 0, sizeof(T), host_config_fields },
	{ "NetworkingConfig", JSON_KIND_OBJECT, 0, 0, sizeof(T), networking_fields },
	JSON_END,
};

/* ---- what is made from several options ---- */

/* {"a":"b"} of "a=b" (or "a:b") texts; NULL if there are none and it may be left out. */
static char *map_json(const struct text_list *pairs, char separator, bool always)
{
	AUTO(text_map_fini) struct text_map map = { 0 };
	struct text json = { 0 };

	for (size_t i = 0; i < pairs->count; i++) {
		const char *text = pairs->items[i];
		const char *at = strchr(text, separator);
		AUTO_FREE char *key = at ? xstrndup(text, (size_t)(at - text)) : xstrdup(text);

		text_map_set(&map, key, at ? at + 1 : "");
	}
	if (!map.count && !always)
		return NULL;
	text_add_char(&json, '{');
	for (size_t i = 0; i < map.count; i++)
		members_text(&json, map.items[i].key, map.items[i].value);
	text_add_char(&json, '}');
	return text_take(&json);
}

/* {"a":{},"b":{}} */
static char *set_json(const struct text_list *keys)
{
	struct text json = { 0 };

	text_add_char(&json, '{');
	for (size_t i = 0; i < keys->count; i++) {
		members_key(&json, keys->items[i]);
		text_add(&json, "{}");
	}
	text_add_char(&json, '}');
	return text_take(&json);
}

static char *list_json(const struct text_list *list, size_t from)
{
	struct text json = { 0 };

	text_add_char(&json, '[');
	for (size_t i = from; i < list->count; i++)
		members_text_item(&json, list->items[i]);
	text_add_char(&json, ']');
	return text_take(&json);
}

static void set_streams(struct container_options *options)
{
	bool all = options->attach.count == 0;

	options->attach_stdin = text_list_contains(&options->attach, "stdin");
	options->attach_stdout = all || text_list_contains(&options->attach, "stdout");
	options->attach_stderr = all || text_list_contains(&options->attach, "stderr");
	if (all && options->interactive)
		options->attach_stdin = true;
	/* A detached run attaches to nothing, but its process is told the same by the engine. */
	if (options->detach)
		options->attach_stdin = options->attach_stdout = options->attach_stderr = false;
	options->stdin_once = options->interactive && options->attach_stdin;
}

static int set_env_and_labels(T *options, struct error *err)
{
	AUTO(text_list_fini) struct text_list labels = { 0 };

	for (size_t i = 0; i < options->env_files.count; i++)
		if (spec_env_file(&options->env, options->env_files.items[i], true, err) < 0)
			return -1;
	text_list_add_all(&options->env, &options->env_options);
	for (size_t i = 0; i < options->label_files.count; i++)
		if (spec_env_file(&labels, options->label_files.items[i], false, err) < 0)
			return -1;
	text_list_add_all(&labels, &options->label_options);
	options->raw[RAW_LABELS] = map_json(&labels, '=', true);
	return 0;
}

static int set_health(T *options, struct error *err)
{
	const int64_t settings[] = { options->health_interval, options->health_timeout, options->health_start_period,
				     options->health_start_interval, options->health_retries };
	static const char *const names[] = { "interval", "timeout", "start-period", "start-interval", "retries" };
	static const char *const keys[] = { "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries" };
	bool given = !text_empty(options->health_cmd);
	struct text json = { 0 };

	for (size_t i = 0; i < 5; i++) {
		given = given || settings[i];
		if (settings[i] < 0)
			return error_set(err, ERR_INVALID, "--health-%s cannot be negative", names[i]);
	}
	if (options->no_healthcheck && given)
		return error_set(err, ERR_INVALID, "--no-healthcheck conflicts with --health-* options");
	if (options->no_healthcheck)
		options->raw[RAW_HEALTH] = xstrdup("{\"Test\":[\"NONE\"]}");
	if (!given)
		return 0;
	text_add_char(&json, '{');
	if (!text_empty(options->health_cmd)) {
		members_key(&json, "Test");
		text_add(&json, "[\"CMD-SHELL\"");
		members_text_item(&json, options->health_cmd);
		text_add_char(&json, ']');
	}
	for (size_t i = 0; i < 5; i++)
		if (settings[i])
			members_integer(&json, keys[i], settings[i]);
	text_add_char(&json, '}');
	options->raw[RAW_HEALTH] = text_take(&json);
	return 0;
}

static int set_ports(T *options, struct error *err)
{
	AUTO(text_list_fini) struct text_list ports = { 0 };
	struct text json = { 0 };

	for (size_t i = 0; i < options->publish.count; i++)
		if (spec_publish(&options->ports, options->publish.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < options->ports.count; i++)
		if (!text_list_contains(&ports, options->ports.items[i].port))
			text_list_add(&ports, options->ports.items[i].port);
	for (size_t i = 0; i < options->expose.count; i++)
		if (spec_expose(&ports, options->expose.items[i], err) < 0)
			return -1;
	if (ports.count)
		options->raw[RAW_EXPOSED] = set_json(&ports);
	spec_port_bindings_json(&json, &options->ports);
	options->raw[RAW_PORTS] = text_take(&json);
	return 0;
}

static int set_devices(T *options, struct error *err)
{
	AUTO(text_list_fini) struct text_list cdi = { 0 };
	struct text json = { 0 };
	int r = 0;

	text_add_char(&json, '[');
	for (size_t i = 0; i < options->devices.count && r == 0; i++)
		r = spec_device(&json, &cdi, options->devices.items[i], err);
	text_add_char(&json, ']');
	options->raw[RAW_DEVICES] = text_take(&json);
	if (cdi.count) {
		struct text *requests = &options->built[BUILT_GPUS];

		members_open_item(requests);
		members_text(requests, "Driver", "cdi");
		members_integer(requests, "Count", 0);
		members_list(requests, "DeviceIDs", &cdi);
		text_add_char(requests, '}');
	}
	return r;
}

/* The old flags speak of the first network. */
static int give_first(struct network_option *network, const T *options, struct error *err)
{
	const struct {
		const char *flag;
		const char *what;
		bool both;
	} conflicts[] = {
		{ "--network-alias", "per-network alias", network->aliases.count && options->aliases.count },
		{ "--ip", "per-network IPv4 address", network->ip && options->ip },
		{ "--ip6", "per-network IPv6 address", network->ip6 && options->ip6 },
		{ "--mac-address", "per-network MAC address", network->mac_address && options->mac_address },
		{ "--link-local-ip", "per-network link-local IP addresses",
		  network->link_local_ips.count && options->link_local_ips.count },
	};

	for (size_t i = 0; i < sizeof(conflicts) / sizeof(conflicts[0]); i++)
		if (conflicts[i].both)
			return error_set(err, ERR_INVALID, "conflicting options: cannot specify both %s and %s",
					 conflicts[i].flag, conflicts[i].what);
	text_list_add_all(&network->aliases, &options->aliases);
	text_list_add_all(&network->link_local_ips, &options->link_local_ips);
	if (spec_network_is_user_defined(text_or_empty(network->target)))
		text_list_add_all(&network->links, &options->links);
	if (!network->ip)
		network->ip = xstrdup(options->ip);
	if (!network->ip6)
		network->ip6 = xstrdup(options->ip6);
	if (!network->mac_address)
		network->mac_address = xstrdup(options->mac_address);
	return 0;
}

static int check_networks(const struct network_options *networks, struct error *err)
{
	bool user_defined = false;
	bool other = false;

	for (size_t i = 0; i < networks->count; i++) {
		if (spec_network_is_user_defined(networks->items[i].target))
			user_defined = true;
		else
			other = true;
		for (size_t j = 0; j < i; j++)
			if (text_equal(networks->items[i].target, networks->items[j].target))
				return error_set(err, ERR_INVALID, "network \"%s\" is specified multiple times",
						 networks->items[i].target);
	}
	if (user_defined && other)
		return error_set(err, ERR_INVALID,
				 "conflicting options: cannot attach both user-defined and "
				 "non-user-defined network-modes");
	return 0;
}

static int set_networks(T *options, struct error *err)
{
	struct network_options *networks = &options->networks;
	AUTO(text_fini) struct text json = { 0 };
	bool given = networks->count > 0;

	if (!given && spec_network(networks, "default", err) < 0)
		return -1;
	if (give_first(&networks->items[0], options, err) < 0)
		return -1;
	options->network_mode = networks->items[0].target;
	text_add_char(&json, '{');
	for (size_t i = 0; i < networks->count; i++) {
		AUTO(text_fini) struct text endpoint = { 0 };

		if (spec_endpoint_json(&endpoint, &networks->items[i], err) < 0)
			return -1;
		/* The engine connects a single plain network by itself. */
		if (given && networks->count == 1 && text_equal(endpoint.data, "{}"))
			continue;
		members_key(&json, networks->items[i].target);
		text_add(&json, endpoint.data);
	}
	text_add_char(&json, '}');
	options->raw[RAW_ENDPOINTS] = text_take(&json);
	return check_networks(networks, err);
}

static int set_volumes(T *options, struct error *err)
{
	for (size_t i = 0; i < options->volume_options.count; i++)
		if (spec_volume(&options->binds, &options->volumes, options->volume_options.items[i], err) < 0)
			return -1;
	return 0;
}

static int set_security(T *options, struct error *err)
{
	for (size_t i = 0; i < options->security_options.count; i++) {
		if (text_equal(options->security_options.items[i], "systempaths=unconfined")) {
			free(options->raw[RAW_MASKED]);
			free(options->raw[RAW_READONLY_PATHS]);
			options->raw[RAW_MASKED] = xstrdup("[]");
			options->raw[RAW_READONLY_PATHS] = xstrdup("[]");
		} else if (spec_security(&options->security, options->security_options.items[i], err) < 0) {
			return -1;
		}
	}
	return 0;
}

static int set_log(T *options, struct error *err)
{
	AUTO_FREE char *config = map_json(&options->log_options, '=', true);
	struct text json = { 0 };

	if (text_equal(options->log_driver, "none") && options->log_options.count)
		return error_set(err, ERR_INVALID, "invalid logging opts for driver %s", options->log_driver);
	text_add_char(&json, '{');
	members_text(&json, "Type", options->log_driver);
	members_key(&json, "Config");
	text_addf(&json, "%s}", config);
	options->raw[RAW_LOG] = text_take(&json);
	return 0;
}

static int set_restart(T *options, struct error *err)
{
	struct text json = { 0 };

	if (*options->restart == '\0') {
		options->raw[RAW_RESTART] = xstrdup("{\"Name\":\"\",\"MaximumRetryCount\":0}");
		return 0;
	}
	if (spec_restart(&json, options->restart, err) < 0)
		return -1;
	options->raw[RAW_RESTART] = text_take(&json);
	if (options->remove && !text_equal(options->restart, "no"))
		return error_set(err, ERR_INVALID, "conflicting options: cannot specify both --restart and --rm");
	return 0;
}

static int check_mode(const char *value, const char *option, const char *allowed, const char *also, const char *kind,
		      struct error *err)
{
	if (*value == '\0' || text_equal(value, allowed) || text_equal(value, also))
		return 0;
	return error_set(err, ERR_INVALID, "--%s: invalid %s mode", option, kind);
}

static int check_modes(const T *options, struct error *err)
{
	bool shared_pid = !text_empty(text_after(options->pid, "container:"));

	if ((!shared_pid && check_mode(options->pid, "pid", "host", NULL, "PID", err) < 0) ||
	    check_mode(options->uts, "uts", "host", NULL, "UTS", err) < 0 ||
	    (!text_has_prefix(options->userns, "auto") &&
	     check_mode(options->userns, "userns", "host", NULL, "USER", err) < 0) ||
	    check_mode(options->cgroupns, "cgroupns", "host", "private", "CGROUP", err) < 0)
		return -1;
	if (options->memory_swappiness < -1 || options->memory_swappiness > 100)
		return error_set(err, ERR_INVALID, "invalid value: %lld. Valid memory swappiness range is 0-100",
				 (long long)options->memory_swappiness);
	for (size_t i = 0; i < options->storage_options.count; i++)
		if (!strchr(options->storage_options.items[i], '='))
			return error_set(err, ERR_INVALID, "invalid storage option");
	return 0;
}

/* "net_admin" is CAP_NET_ADMIN; each once. */
static void set_capabilities(struct text_list *list)
{
	struct text_list full = { 0 };

	for (size_t i = 0; i < list->count; i++) {
		AUTO_FREE char *name = NULL;

		for (char *c = list->items[i]; *c; c++)
			*c = (char)toupper((unsigned char)*c);
		name = text_equal(list->items[i], "ALL") || text_has_prefix(list->items[i], "CAP_")
			       ? xstrdup(list->items[i])
			       : xasprintf("CAP_%s", list->items[i]);
		if (!text_list_contains(&full, name))
			text_list_add(&full, name);
	}
	text_list_sort(&full);
	text_list_fini(list);
	*list = full;
}

static void set_maps(T *options)
{
	options->raw[RAW_VOLUMES] = set_json(&options->volumes);
	options->raw[RAW_TMPFS] = map_json(&options->tmpfs, ':', false);
	options->raw[RAW_SYSCTLS] = map_json(&options->sysctls, '=', false);
	options->raw[RAW_ANNOTATIONS] = map_json(&options->annotations, '=', false);
	options->raw[RAW_STORAGE] = map_json(&options->storage_options, '=', false);
	for (size_t i = 0; i < CONTAINER_BUILT_COUNT; i++)
		if (options->built[i].size)
			options->raw[i] = xasprintf("[%s]", options->built[i].data);
	if (!options->raw[RAW_CONSOLE])
		options->raw[RAW_CONSOLE] = xstrdup("[0,0]");
}

int container_body(char **out_body, struct container_options *options, const struct text_list *operands,
		   struct error *err)
{
	options->image = operands->items[0];
	if (operands->count > 1)
		options->raw[RAW_CMD] = list_json(operands, 1);
	if (options->entrypoint) {
		AUTO(text_list_fini) struct text_list entrypoint = { 0 };

		/* --entrypoint "" resets the image's. */
		text_list_add(&entrypoint, options->entrypoint);
		options->raw[RAW_ENTRYPOINT] = list_json(&entrypoint, 0);
	}
	set_streams(options);
	set_capabilities(&options->cap_add);
	set_capabilities(&options->cap_drop);
	if (check_modes(options, err) < 0 || set_env_and_labels(options, err) < 0 || set_health(options, err) < 0 ||
	    set_ports(options, err) < 0 || set_volumes(options, err) < 0 || set_devices(options, err) < 0 ||
	    set_networks(options, err) < 0 || set_security(options, err) < 0 || set_log(options, err) < 0 ||
	    set_restart(options, err) < 0)
		return -1;
	set_maps(options);
	*out_body = json_encode(options, body_fields);
	return 0;
}
