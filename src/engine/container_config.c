/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "engine/container_config.h"
#include "json/value.h"

const struct json_field key_item_fields[] = {
	JSON_KEY(struct key_item, key),
	JSON_END,
};

const struct json_field health_config_fields[] = {
	JSON_TEXT_LIST("Test", struct health_config, test, JSON_OMIT_EMPTY),
	JSON_I64("Interval", struct health_config, interval_ns, JSON_OMIT_EMPTY),
	JSON_I64("Timeout", struct health_config, timeout_ns, JSON_OMIT_EMPTY),
	JSON_I64("StartPeriod", struct health_config, start_period_ns, JSON_OMIT_EMPTY),
	JSON_I64("StartInterval", struct health_config, start_interval_ns, JSON_OMIT_EMPTY),
	JSON_I64("Retries", struct health_config, retries, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field container_config_fields[] = {
	JSON_TEXT("Hostname", struct container_config, hostname, 0),
	JSON_TEXT("Domainname", struct container_config, domainname, 0),
	JSON_TEXT("User", struct container_config, user, 0),
	JSON_BOOL("AttachStdin", struct container_config, attach_stdin, 0),
	JSON_BOOL("AttachStdout", struct container_config, attach_stdout, 0),
	JSON_BOOL("AttachStderr", struct container_config, attach_stderr, 0),
	JSON_MAP("ExposedPorts", struct container_config, exposed_ports, key_item_fields, JSON_OMIT_EMPTY),
	JSON_BOOL("Tty", struct container_config, tty, 0),
	JSON_BOOL("OpenStdin", struct container_config, open_stdin, 0),
	JSON_BOOL("StdinOnce", struct container_config, stdin_once, 0),
	JSON_TEXT_LIST("Env", struct container_config, env, JSON_EMPTY_NULL),
	JSON_TEXT_LIST("Cmd", struct container_config, cmd, JSON_TEXT_OR_LIST | JSON_EMPTY_NULL),
	JSON_POINTER("Healthcheck", struct container_config, healthcheck, health_config_fields, JSON_OMIT_EMPTY),
	JSON_BOOL("ArgsEscaped", struct container_config, args_escaped, JSON_OMIT_EMPTY),
	JSON_TEXT("Image", struct container_config, image, 0),
	JSON_MAP("Volumes", struct container_config, volumes, key_item_fields, JSON_EMPTY_NULL),
	JSON_TEXT("WorkingDir", struct container_config, working_dir, 0),
	JSON_TEXT_LIST("Entrypoint", struct container_config, entrypoint, JSON_TEXT_OR_LIST | JSON_EMPTY_NULL),
	JSON_BOOL("NetworkDisabled", struct container_config, network_disabled, JSON_OMIT_EMPTY),
	JSON_TEXT("MacAddress", struct container_config, mac_address, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("OnBuild", struct container_config, on_build, JSON_EMPTY_NULL),
	JSON_TEXT_MAP("Labels", struct container_config, labels, 0),
	JSON_TEXT("StopSignal", struct container_config, stop_signal, JSON_OMIT_EMPTY),
	JSON_OPT_I64("StopTimeout", struct container_config, stop_timeout, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("Shell", struct container_config, shell, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field port_binding_fields[] = {
	JSON_TEXT("HostIp", struct port_binding, host_ip, 0),
	JSON_TEXT("HostPort", struct port_binding, host_port, 0),
	JSON_END,
};

const struct json_field port_bindings_fields[] = {
	JSON_KEY(struct port_bindings, port),
	JSON_ARRAY("", struct port_bindings, bindings, port_binding_fields, JSON_EMPTY_NULL),
	JSON_END,
};

static const struct json_field restart_policy_fields[] = {
	JSON_TEXT("Name", struct restart_policy, name, 0),
	JSON_I64("MaximumRetryCount", struct restart_policy, maximum_retry_count, 0),
	JSON_END,
};

static const struct json_field log_config_fields[] = {
	JSON_TEXT("Type", struct log_config, type, 0),
	JSON_TEXT_MAP("Config", struct log_config, options, 0),
	JSON_END,
};

static const struct json_field u64_item_fields[] = {
	JSON_U64("", struct u64_item, value, 0),
	JSON_END,
};

static const struct json_field weight_device_fields[] = {
	JSON_TEXT("Path", struct weight_device, path, 0),
	JSON_I64("Weight", struct weight_device, weight, 0),
	JSON_END,
};

static const struct json_field throttle_device_fields[] = {
	JSON_TEXT("Path", struct throttle_device, path, 0),
	JSON_U64("Rate", struct throttle_device, rate, 0),
	JSON_END,
};

static const struct json_field device_mapping_fields[] = {
	JSON_TEXT("PathOnHost", struct device_mapping, path_on_host, 0),
	JSON_TEXT("PathInContainer", struct device_mapping, path_in_container, 0),
	JSON_TEXT("CgroupPermissions", struct device_mapping, cgroup_permissions, 0),
	JSON_END,
};

static const struct json_field text_list_item_fields[] = {
	JSON_TEXT_LIST("", struct text_list_item, values, 0),
	JSON_END,
};

static const struct json_field device_request_fields[] = {
	JSON_TEXT("Driver", struct device_request, driver, 0),
	JSON_I64("Count", struct device_request, count, 0),
	JSON_TEXT_LIST("DeviceIDs", struct device_request, device_ids, JSON_EMPTY_NULL),
	JSON_ARRAY("Capabilities", struct device_request, capabilities, text_list_item_fields, JSON_EMPTY_NULL),
	JSON_TEXT_MAP("Options", struct device_request, options, 0),
	JSON_END,
};

static const struct json_field ulimit_fields[] = {
	JSON_TEXT("Name", struct ulimit, name, 0),
	JSON_I64("Hard", struct ulimit, hard, 0),
	JSON_I64("Soft", struct ulimit, soft, 0),
	JSON_END,
};

static const struct json_field bind_options_fields[] = {
	JSON_TEXT("Propagation", struct bind_options, propagation, JSON_OMIT_EMPTY),
	JSON_BOOL("NonRecursive", struct bind_options, non_recursive, JSON_OMIT_EMPTY),
	JSON_BOOL("CreateMountpoint", struct bind_options, create_mountpoint, JSON_OMIT_EMPTY),
	JSON_BOOL("ReadOnlyNonRecursive", struct bind_options, read_only_non_recursive, JSON_OMIT_EMPTY),
	JSON_BOOL("ReadOnlyForceRecursive", struct bind_options, read_only_force_recursive, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field volume_driver_config_fields[] = {
	JSON_TEXT("Name", struct volume_driver_config, name, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("Options", struct volume_driver_config, options, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field volume_options_fields[] = {
	JSON_BOOL("NoCopy", struct volume_options, no_copy, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("Labels", struct volume_options, labels, JSON_OMIT_EMPTY),
	JSON_TEXT("Subpath", struct volume_options, subpath, JSON_OMIT_EMPTY),
	JSON_POINTER("DriverConfig", struct volume_options, driver, volume_driver_config_fields, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field image_mount_options_fields[] = {
	JSON_TEXT("Subpath", struct image_mount_options, subpath, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field tmpfs_options_fields[] = {
	JSON_I64("SizeBytes", struct tmpfs_options, size_bytes, JSON_OMIT_EMPTY),
	JSON_U32("Mode", struct tmpfs_options, mode, JSON_OMIT_EMPTY),
	JSON_ARRAY("Options", struct tmpfs_options, options, text_list_item_fields, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field mount_request_fields[] = {
	JSON_TEXT("Type", struct mount_request, type, JSON_OMIT_EMPTY),
	JSON_TEXT("Source", struct mount_request, source, JSON_OMIT_EMPTY),
	JSON_TEXT("Target", struct mount_request, target, JSON_OMIT_EMPTY),
	JSON_BOOL("ReadOnly", struct mount_request, read_only, JSON_OMIT_EMPTY),
	JSON_TEXT("Consistency", struct mount_request, consistency, JSON_OMIT_EMPTY),
	JSON_POINTER("BindOptions", struct mount_request, bind, bind_options_fields, JSON_OMIT_EMPTY),
	JSON_POINTER("VolumeOptions", struct mount_request, volume, volume_options_fields, JSON_OMIT_EMPTY),
	JSON_POINTER("ImageOptions", struct mount_request, image, image_mount_options_fields, JSON_OMIT_EMPTY),
	JSON_POINTER("TmpfsOptions", struct mount_request, tmpfs, tmpfs_options_fields, JSON_OMIT_EMPTY),
	JSON_END,
};

#define H struct host_config
const struct json_field host_config_fields[] = {
	JSON_TEXT_LIST("Binds", H, binds, JSON_EMPTY_NULL),
	JSON_TEXT("ContainerIDFile", H, container_id_file, 0),
	JSON_OBJECT("LogConfig", H, log_config, log_config_fields, 0),
	JSON_TEXT("NetworkMode", H, network_mode, 0),
	JSON_MAP("PortBindings", H, port_bindings, port_bindings_fields, 0),
	JSON_OBJECT("RestartPolicy", H, restart_policy, restart_policy_fields, 0),
	JSON_BOOL("AutoRemove", H, auto_remove, 0),
	JSON_TEXT("VolumeDriver", H, volume_driver, 0),
	JSON_TEXT_LIST("VolumesFrom", H, volumes_from, JSON_EMPTY_NULL),
	JSON_ARRAY("ConsoleSize", H, console_size, u64_item_fields, 0),
	JSON_TEXT_MAP("Annotations", H, annotations, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("CapAdd", H, cap_add, JSON_EMPTY_NULL),
	JSON_TEXT_LIST("CapDrop", H, cap_drop, JSON_EMPTY_NULL),
	JSON_TEXT("CgroupnsMode", H, cgroupns_mode, 0),
	JSON_TEXT_LIST("Dns", H, dns, 0),
	JSON_TEXT_LIST("DnsOptions", H, dns_options, 0),
	JSON_TEXT_LIST("DnsSearch", H, dns_search, 0),
	JSON_TEXT_LIST("ExtraHosts", H, extra_hosts, JSON_EMPTY_NULL),
	JSON_TEXT_LIST("GroupAdd", H, group_add, JSON_EMPTY_NULL),
	JSON_TEXT("IpcMode", H, ipc_mode, 0),
	JSON_TEXT("Cgroup", H, cgroup, 0),
	JSON_TEXT_LIST("Links", H, links, JSON_EMPTY_NULL),
	JSON_I64("OomScoreAdj", H, oom_score_adj, 0),
	JSON_TEXT("PidMode", H, pid_mode, 0),
	JSON_BOOL("Privileged", H, privileged, 0),
	JSON_BOOL("PublishAllPorts", H, publish_all_ports, 0),
	JSON_BOOL("ReadonlyRootfs", H, readonly_rootfs, 0),
	JSON_TEXT_LIST("SecurityOpt", H, security_opt, JSON_EMPTY_NULL),
	JSON_TEXT_MAP("StorageOpt", H, storage_opt, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("Tmpfs", H, tmpfs, JSON_OMIT_EMPTY),
	JSON_TEXT("UTSMode", H, uts_mode, 0),
	JSON_TEXT("UsernsMode", H, userns_mode, 0),
	JSON_I64("ShmSize", H, shm_size, 0),
	JSON_TEXT_MAP("Sysctls", H, sysctls, JSON_OMIT_EMPTY),
	JSON_TEXT("Runtime", H, runtime, 0),
	JSON_TEXT("Isolation", H, isolation, 0),
	JSON_I64("CpuShares", H, cpu_shares, 0),
	JSON_I64("Memory", H, memory, 0),
	JSON_I64("NanoCpus", H, nano_cpus, 0),
	JSON_TEXT("CgroupParent", H, cgroup_parent, 0),
	JSON_I64("BlkioWeight", H, blkio_weight, 0),
	JSON_ARRAY("BlkioWeightDevice", H, blkio_weight_device, weight_device_fields, 0),
	JSON_ARRAY("BlkioDeviceReadBps", H, blkio_read_bps, throttle_device_fields, 0),
	JSON_ARRAY("BlkioDeviceWriteBps", H, blkio_write_bps, throttle_device_fields, 0),
	JSON_ARRAY("BlkioDeviceReadIOps", H, blkio_read_iops, throttle_device_fields, 0),
	JSON_ARRAY("BlkioDeviceWriteIOps", H, blkio_write_iops, throttle_device_fields, 0),
	JSON_I64("CpuPeriod", H, cpu_period, 0),
	JSON_I64("CpuQuota", H, cpu_quota, 0),
	JSON_I64("CpuRealtimePeriod", H, cpu_realtime_period, 0),
	JSON_I64("CpuRealtimeRuntime", H, cpu_realtime_runtime, 0),
	JSON_TEXT("CpusetCpus", H, cpuset_cpus, 0),
	JSON_TEXT("CpusetMems", H, cpuset_mems, 0),
	JSON_ARRAY("Devices", H, devices, device_mapping_fields, 0),
	JSON_TEXT_LIST("DeviceCgroupRules", H, device_cgroup_rules, JSON_EMPTY_NULL),
	JSON_ARRAY("DeviceRequests", H, device_requests, device_request_fields, JSON_EMPTY_NULL),
	JSON_I64("KernelMemory", H, kernel_memory, JSON_OMIT_EMPTY),
	JSON_I64("KernelMemoryTCP", H, kernel_memory_tcp, JSON_OMIT_EMPTY),
	JSON_I64("MemoryReservation", H, memory_reservation, 0),
	JSON_I64("MemorySwap", H, memory_swap, 0),
	JSON_OPT_I64("MemorySwappiness", H, memory_swappiness, 0),
	JSON_OPT_BOOL("OomKillDisable", H, oom_kill_disable, 0),
	JSON_OPT_I64("PidsLimit", H, pids_limit, 0),
	JSON_ARRAY("Ulimits", H, ulimits, ulimit_fields, 0),
	JSON_I64("CpuCount", H, cpu_count, 0),
	JSON_I64("CpuPercent", H, cpu_percent, 0),
	JSON_I64("IOMaximumIOps", H, io_maximum_iops, 0),
	JSON_I64("IOMaximumBandwidth", H, io_maximum_bandwidth, 0),
	JSON_ARRAY("Mounts", H, mounts, mount_request_fields, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("MaskedPaths", H, masked_paths, 0),
	JSON_TEXT_LIST("ReadonlyPaths", H, readonly_paths, 0),
	JSON_OPT_BOOL("Init", H, init, JSON_OMIT_EMPTY),
	JSON_END,
};
#undef H

static const struct json_field endpoint_ipam_fields[] = {
	JSON_TEXT("IPv4Address", struct endpoint_ipam_config, ipv4_address, JSON_OMIT_EMPTY),
	JSON_TEXT("IPv6Address", struct endpoint_ipam_config, ipv6_address, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("LinkLocalIPs", struct endpoint_ipam_config, link_local_ips, JSON_OMIT_EMPTY),
	JSON_END,
};

#define E struct endpoint_settings
const struct json_field endpoint_settings_fields[] = {
	JSON_KEY(E, network),
	JSON_POINTER("IPAMConfig", E, ipam, endpoint_ipam_fields, 0),
	JSON_TEXT_LIST("Links", E, links, JSON_EMPTY_NULL),
	JSON_TEXT_LIST("Aliases", E, aliases, JSON_EMPTY_NULL),
	JSON_TEXT("MacAddress", E, mac_address, 0),
	JSON_TEXT_MAP("DriverOpts", E, driver_opts, JSON_EMPTY_NULL),
	JSON_I64("GwPriority", E, gw_priority, 0),
	JSON_TEXT("NetworkID", E, network_id, 0),
	JSON_TEXT("EndpointID", E, endpoint_id, 0),
	JSON_TEXT("Gateway", E, gateway, 0),
	JSON_TEXT("IPAddress", E, ip_address, 0),
	JSON_I64("IPPrefixLen", E, ip_prefix_len, 0),
	JSON_TEXT("IPv6Gateway", E, ipv6_gateway, 0),
	JSON_TEXT("GlobalIPv6Address", E, global_ipv6_address, 0),
	JSON_I64("GlobalIPv6PrefixLen", E, global_ipv6_prefix_len, 0),
	JSON_TEXT_LIST("DNSNames", E, dns_names, JSON_EMPTY_NULL),
	JSON_END,
};
#undef E

const struct json_field networking_config_fields[] = {
	JSON_MAP("EndpointsConfig", struct networking_config, endpoints, endpoint_settings_fields, 0),
	JSON_END,
};

bool key_set_contains(const struct key_set *set, const char *key)
{
	for (size_t i = 0; i < set->count; i++)
		if (text_equal(set->items[i].key, key))
			return true;
	return false;
}

void key_set_add(struct key_set *set, const char *key)
{
	struct key_item *item;

	if (key_set_contains(set, key))
		return;
	item = json_array_add(set, sizeof(*item));
	item->key = xstrdup(key);
}

/* Which lists were given at all: docker tells [] from null there. */
struct given_paths {
	char *masked;
	char *readonly;
};

static const struct json_field given_paths_fields[] = {
	JSON_RAW("MaskedPaths", struct given_paths, masked, 0),
	JSON_RAW("ReadonlyPaths", struct given_paths, readonly, 0),
	JSON_END,
};

struct create_body {
	struct host_config host;
	struct networking_config networking;
	struct given_paths *given; /* the same HostConfig, read a second way */
};

static const struct json_field create_body_fields[] = {
	JSON_OBJECT("HostConfig", struct create_body, host, host_config_fields, 0),
	JSON_POINTER("HostConfig", struct create_body, given, given_paths_fields, 0),
	JSON_OBJECT("NetworkingConfig", struct create_body, networking, networking_config_fields, 0),
	JSON_END,
};

static bool is_empty_document(const char *text, size_t size)
{
	size_t start = 0;
	size_t end = size;

	while (start < end && strchr(" \t\r\n", text[start]))
		start++;
	while (end > start && strchr(" \t\r\n", text[end - 1]))
		end--;
	return end == start || (end - start == 4 && memcmp(text + start, "null", 4) == 0) ||
	       (end - start == 2 && memcmp(text + start, "{}", 2) == 0);
}

int container_create_request_decode(struct container_create_request *out_request, const char *text, size_t size,
				    struct error *err)
{
	struct create_body body = { 0 };

	if (is_empty_document(text, size))
		return error_set(err, ERR_INVALID, "config cannot be empty in order to create a container");
	if (json_decode(&out_request->config, container_config_fields, text, size, err) < 0)
		return -1;
	if (json_decode(&body, create_body_fields, text, size, err) < 0) {
		json_free_fields(&out_request->config, container_config_fields);
		return -1;
	}
	out_request->host = body.host;
	out_request->networking = body.networking;
	out_request->host.masked_paths_given = body.given && body.given->masked;
	out_request->host.readonly_paths_given = body.given && body.given->readonly;
	memset(&body.host, 0, sizeof(body.host));
	memset(&body.networking, 0, sizeof(body.networking));
	json_free_fields(&body, create_body_fields);
	return 0;
}

void container_create_request_fini(struct container_create_request *request)
{
	json_free_fields(&request->config, container_config_fields);
	json_free_fields(&request->host, host_config_fields);
	json_free_fields(&request->networking, networking_config_fields);
}
