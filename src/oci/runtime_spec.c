/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/runtime_spec.h"

#include <string.h>

#define NONE JSON_OMIT_EMPTY

static const struct json_field number_fields[] = { JSON_U64("", struct spec_number, value, 0), JSON_END };

static const struct json_field console_size_fields[] = {
	JSON_U32("height", struct spec_console_size, height, 0),
	JSON_U32("width", struct spec_console_size, width, 0),
	JSON_END,
};

static const struct json_field user_fields[] = {
	JSON_U32("uid", struct spec_user, uid, 0),
	JSON_U32("gid", struct spec_user, gid, 0),
	JSON_OPT_U64("umask", struct spec_user, umask, NONE),
	JSON_ARRAY("additionalGids", struct spec_user, additional_gids, number_fields, NONE),
	JSON_TEXT("username", struct spec_user, username, NONE),
	JSON_END,
};

static const struct json_field capabilities_fields[] = {
	JSON_TEXT_LIST("bounding", struct spec_capabilities, bounding, NONE),
	JSON_TEXT_LIST("effective", struct spec_capabilities, effective, NONE),
	JSON_TEXT_LIST("inheritable", struct spec_capabilities, inheritable, NONE),
	JSON_TEXT_LIST("permitted", struct spec_capabilities, permitted, NONE),
	JSON_TEXT_LIST("ambient", struct spec_capabilities, ambient, NONE),
	JSON_END,
};

static const struct json_field rlimit_fields[] = {
	JSON_TEXT("type", struct spec_rlimit, type, JSON_REQUIRED),
	JSON_U64("hard", struct spec_rlimit, hard, 0),
	JSON_U64("soft", struct spec_rlimit, soft, 0),
	JSON_END,
};

static const struct json_field scheduler_fields[] = {
	JSON_TEXT("policy", struct spec_scheduler, policy, JSON_REQUIRED),
	JSON_OPT_I64("nice", struct spec_scheduler, nice, NONE),
	JSON_OPT_I64("priority", struct spec_scheduler, priority, NONE),
	JSON_TEXT_LIST("flags", struct spec_scheduler, flags, NONE),
	JSON_U64("runtime", struct spec_scheduler, runtime, NONE),
	JSON_U64("deadline", struct spec_scheduler, deadline, NONE),
	JSON_U64("period", struct spec_scheduler, period, NONE),
	JSON_END,
};

static const struct json_field io_priority_fields[] = {
	JSON_TEXT("class", struct spec_io_priority, class, JSON_REQUIRED),
	JSON_I64("priority", struct spec_io_priority, priority, 0),
	JSON_END,
};

static const struct json_field cpu_affinity_fields[] = {
	JSON_TEXT("initial", struct spec_cpu_affinity, initial, NONE),
	JSON_TEXT("final", struct spec_cpu_affinity, final, NONE),
	JSON_END,
};

const struct json_field spec_process_fields[] = {
	JSON_BOOL("terminal", struct spec_process, terminal, NONE),
	JSON_POINTER("consoleSize", struct spec_process, console_size, console_size_fields, NONE),
	JSON_OBJECT("user", struct spec_process, user, user_fields, 0),
	JSON_TEXT_LIST("args", struct spec_process, args, NONE),
	JSON_TEXT_LIST("env", struct spec_process, env, NONE),
	JSON_TEXT("cwd", struct spec_process, cwd, 0),
	JSON_POINTER("capabilities", struct spec_process, capabilities, capabilities_fields, NONE),
	JSON_ARRAY("rlimits", struct spec_process, rlimits, rlimit_fields, NONE),
	JSON_BOOL("noNewPrivileges", struct spec_process, no_new_privileges, NONE),
	JSON_TEXT("apparmorProfile", struct spec_process, apparmor_profile, NONE),
	JSON_OPT_I64("oomScoreAdj", struct spec_process, oom_score_adj, NONE),
	JSON_TEXT("selinuxLabel", struct spec_process, selinux_label, NONE),
	JSON_POINTER("scheduler", struct spec_process, scheduler, scheduler_fields, NONE),
	JSON_POINTER("ioPriority", struct spec_process, io_priority, io_priority_fields, NONE),
	JSON_POINTER("execCPUAffinity", struct spec_process, exec_cpu_affinity, cpu_affinity_fields, NONE),
	JSON_END,
};

static const struct json_field root_fields[] = {
	JSON_TEXT("path", struct spec_root, path, JSON_REQUIRED),
	JSON_BOOL("readonly", struct spec_root, readonly, NONE),
	JSON_END,
};

static const struct json_field id_mapping_fields[] = {
	JSON_U32("containerID", struct spec_id_mapping, container_id, 0),
	JSON_U32("hostID", struct spec_id_mapping, host_id, 0),
	JSON_U32("size", struct spec_id_mapping, size, 0),
	JSON_END,
};

static const struct json_field mount_fields[] = {
	JSON_TEXT("destination", struct spec_mount, destination, JSON_REQUIRED),
	JSON_TEXT("type", struct spec_mount, type, NONE),
	JSON_TEXT("source", struct spec_mount, source, NONE),
	JSON_TEXT_LIST("options", struct spec_mount, options, NONE),
	JSON_ARRAY("uidMappings", struct spec_mount, uid_mappings, id_mapping_fields, NONE),
	JSON_ARRAY("gidMappings", struct spec_mount, gid_mappings, id_mapping_fields, NONE),
	JSON_END,
};

static const struct json_field hook_fields[] = {
	JSON_TEXT("path", struct spec_hook, path, JSON_REQUIRED),
	JSON_TEXT_LIST("args", struct spec_hook, args, NONE),
	JSON_TEXT_LIST("env", struct spec_hook, env, NONE),
	JSON_OPT_I64("timeout", struct spec_hook, timeout, NONE),
	JSON_END,
};

static const struct json_field hooks_fields[] = {
	JSON_ARRAY("prestart", struct spec_hooks, prestart, hook_fields, NONE),
	JSON_ARRAY("createRuntime", struct spec_hooks, create_runtime, hook_fields, NONE),
	JSON_ARRAY("createContainer", struct spec_hooks, create_container, hook_fields, NONE),
	JSON_ARRAY("startContainer", struct spec_hooks, start_container, hook_fields, NONE),
	JSON_ARRAY("poststart", struct spec_hooks, poststart, hook_fields, NONE),
	JSON_ARRAY("poststop", struct spec_hooks, poststop, hook_fields, NONE),
	JSON_END,
};

static const struct json_field namespace_fields[] = {
	JSON_TEXT("type", struct spec_namespace, type, JSON_REQUIRED),
	JSON_TEXT("path", struct spec_namespace, path, NONE),
	JSON_END,
};

static const struct json_field device_fields[] = {
	JSON_TEXT("type", struct spec_device, type, JSON_REQUIRED),
	JSON_TEXT("path", struct spec_device, path, JSON_REQUIRED),
	JSON_I64("major", struct spec_device, major, 0),
	JSON_I64("minor", struct spec_device, minor, 0),
	JSON_OPT_U64("fileMode", struct spec_device, file_mode, NONE),
	JSON_OPT_U64("uid", struct spec_device, uid, NONE),
	JSON_OPT_U64("gid", struct spec_device, gid, NONE),
	JSON_END,
};

static const struct json_field net_device_fields[] = {
	JSON_KEY(struct spec_net_device, key),
	JSON_TEXT("name", struct spec_net_device, name, NONE),
	JSON_END,
};

static const struct json_field device_rule_fields[] = {
	JSON_BOOL("allow", struct spec_device_rule, allow, 0),
	JSON_TEXT("type", struct spec_device_rule, type, NONE),
	JSON_OPT_I64("major", struct spec_device_rule, major, NONE),
	JSON_OPT_I64("minor", struct spec_device_rule, minor, NONE),
	JSON_TEXT("access", struct spec_device_rule, access, NONE),
	JSON_END,
};

static const struct json_field memory_fields[] = {
	JSON_OPT_I64("limit", struct spec_memory, limit, NONE),
	JSON_OPT_I64("reservation", struct spec_memory, reservation, NONE),
	JSON_OPT_I64("swap", struct spec_memory, swap, NONE),
	JSON_OPT_I64("kernel", struct spec_memory, kernel, NONE),
	JSON_OPT_I64("kernelTCP", struct spec_memory, kernel_tcp, NONE),
	JSON_OPT_U64("swappiness", struct spec_memory, swappiness, NONE),
	JSON_OPT_BOOL("disableOOMKiller", struct spec_memory, disable_oom_killer, NONE),
	JSON_OPT_BOOL("useHierarchy", struct spec_memory, use_hierarchy, NONE),
	JSON_OPT_BOOL("checkBeforeUpdate", struct spec_memory, check_before_update, NONE),
	JSON_END,
};

static const struct json_field cpu_fields[] = {
	JSON_OPT_U64("shares", struct spec_cpu, shares, NONE),
	JSON_OPT_I64("quota", struct spec_cpu, quota, NONE),
	JSON_OPT_U64("burst", struct spec_cpu, burst, NONE),
	JSON_OPT_U64("period", struct spec_cpu, period, NONE),
	JSON_OPT_I64("realtimeRuntime", struct spec_cpu, realtime_runtime, NONE),
	JSON_OPT_U64("realtimePeriod", struct spec_cpu, realtime_period, NONE),
	JSON_TEXT("cpus", struct spec_cpu, cpus, NONE),
	JSON_TEXT("mems", struct spec_cpu, mems, NONE),
	JSON_OPT_I64("idle", struct spec_cpu, idle, NONE),
	JSON_END,
};

static const struct json_field pids_fields[] = { JSON_OPT_I64("limit", struct spec_pids, limit, NONE), JSON_END };

static const struct json_field weight_device_fields[] = {
	JSON_I64("major", struct spec_weight_device, major, 0),
	JSON_I64("minor", struct spec_weight_device, minor, 0),
	JSON_OPT_U64("weight", struct spec_weight_device, weight, NONE),
	JSON_OPT_U64("leafWeight", struct spec_weight_device, leaf_weight, NONE),
	JSON_END,
};

static const struct json_field throttle_device_fields[] = {
	JSON_I64("major", struct spec_throttle_device, major, 0),
	JSON_I64("minor", struct spec_throttle_device, minor, 0),
	JSON_U64("rate", struct spec_throttle_device, rate, 0),
	JSON_END,
};

static const struct json_field block_io_fields[] = {
	JSON_OPT_U64("weight", struct spec_block_io, weight, NONE),
	JSON_OPT_U64("leafWeight", struct spec_block_io, leaf_weight, NONE),
	JSON_ARRAY("weightDevice", struct spec_block_io, weight_device, weight_device_fields, NONE),
	JSON_ARRAY("throttleReadBpsDevice", struct spec_block_io, throttle_read_bps_device, throttle_device_fields,
		   NONE),
	JSON_ARRAY("throttleWriteBpsDevice", struct spec_block_io, throttle_write_bps_device, throttle_device_fields,
		   NONE),
	JSON_ARRAY("throttleReadIOPSDevice", struct spec_block_io, throttle_read_iops_device, throttle_device_fields,
		   NONE),
	JSON_ARRAY("throttleWriteIOPSDevice", struct spec_block_io, throttle_write_iops_device, throttle_device_fields,
		   NONE),
	JSON_END,
};

static const struct json_field hugepage_limit_fields[] = {
	JSON_TEXT("pageSize", struct spec_hugepage_limit, page_size, JSON_REQUIRED),
	JSON_U64("limit", struct spec_hugepage_limit, limit, 0),
	JSON_END,
};

static const struct json_field network_priority_fields[] = {
	JSON_TEXT("name", struct spec_network_priority, name, JSON_REQUIRED),
	JSON_U32("priority", struct spec_network_priority, priority, 0),
	JSON_END,
};

static const struct json_field network_fields[] = {
	JSON_OPT_U64("classID", struct spec_network, class_id, NONE),
	JSON_ARRAY("priorities", struct spec_network, priorities, network_priority_fields, NONE),
	JSON_END,
};

static const struct json_field rdma_fields[] = {
	JSON_KEY(struct spec_rdma, name),
	JSON_OPT_U64("hcaHandles", struct spec_rdma, hca_handles, NONE),
	JSON_OPT_U64("hcaObjects", struct spec_rdma, hca_objects, NONE),
	JSON_END,
};

const struct json_field spec_resources_fields[] = {
	JSON_ARRAY("devices", struct spec_resources, devices, device_rule_fields, NONE),
	JSON_POINTER("memory", struct spec_resources, memory, memory_fields, NONE),
	JSON_POINTER("cpu", struct spec_resources, cpu, cpu_fields, NONE),
	JSON_POINTER("pids", struct spec_resources, pids, pids_fields, NONE),
	JSON_POINTER("blockIO", struct spec_resources, block_io, block_io_fields, NONE),
	JSON_ARRAY("hugepageLimits", struct spec_resources, hugepage_limits, hugepage_limit_fields, NONE),
	JSON_POINTER("network", struct spec_resources, network, network_fields, NONE),
	JSON_MAP("rdma", struct spec_resources, rdma, rdma_fields, NONE),
	JSON_TEXT_MAP("unified", struct spec_resources, unified, NONE),
	JSON_END,
};

static const struct json_field seccomp_arg_fields[] = {
	JSON_U32("index", struct spec_seccomp_arg, index, 0),
	JSON_U64("value", struct spec_seccomp_arg, value, 0),
	JSON_U64("valueTwo", struct spec_seccomp_arg, value_two, NONE),
	JSON_TEXT("op", struct spec_seccomp_arg, op, JSON_REQUIRED),
	JSON_END,
};

static const struct json_field seccomp_rule_fields[] = {
	JSON_TEXT_LIST("names", struct spec_seccomp_rule, names, 0),
	JSON_TEXT("action", struct spec_seccomp_rule, action, JSON_REQUIRED),
	JSON_OPT_U64("errnoRet", struct spec_seccomp_rule, errno_ret, NONE),
	JSON_ARRAY("args", struct spec_seccomp_rule, args, seccomp_arg_fields, NONE),
	JSON_END,
};

const struct json_field spec_seccomp_fields[] = {
	JSON_TEXT("defaultAction", struct spec_seccomp, default_action, JSON_REQUIRED),
	JSON_OPT_U64("defaultErrnoRet", struct spec_seccomp, default_errno_ret, NONE),
	JSON_TEXT_LIST("architectures", struct spec_seccomp, architectures, NONE),
	JSON_TEXT_LIST("flags", struct spec_seccomp, flags, NONE),
	JSON_TEXT("listenerPath", struct spec_seccomp, listener_path, NONE),
	JSON_TEXT("listenerMetadata", struct spec_seccomp, listener_metadata, NONE),
	JSON_ARRAY("syscalls", struct spec_seccomp, syscalls, seccomp_rule_fields, NONE),
	JSON_END,
};

static const struct json_field intel_rdt_fields[] = {
	JSON_TEXT("closID", struct spec_intel_rdt, clos_id, NONE),
	JSON_TEXT_LIST("schemata", struct spec_intel_rdt, schemata, NONE),
	JSON_TEXT("l3CacheSchema", struct spec_intel_rdt, l3_cache_schema, NONE),
	JSON_TEXT("memBwSchema", struct spec_intel_rdt, mem_bw_schema, NONE),
	JSON_BOOL("enableMonitoring", struct spec_intel_rdt, enable_monitoring, NONE),
	JSON_END,
};

static const struct json_field personality_fields[] = {
	JSON_TEXT("domain", struct spec_personality, domain, JSON_REQUIRED),
	JSON_TEXT_LIST("flags", struct spec_personality, flags, NONE),
	JSON_END,
};

static const struct json_field memory_policy_fields[] = {
	JSON_TEXT("mode", struct spec_memory_policy, mode, NONE),
	JSON_TEXT("nodes", struct spec_memory_policy, nodes, NONE),
	JSON_TEXT_LIST("flags", struct spec_memory_policy, flags, NONE),
	JSON_END,
};

static const struct json_field time_offset_fields[] = {
	JSON_KEY(struct spec_time_offset, key),
	JSON_I64("secs", struct spec_time_offset, secs, 0),
	JSON_U32("nanosecs", struct spec_time_offset, nanosecs, 0),
	JSON_END,
};

static const struct json_field linux_fields[] = {
	JSON_ARRAY("uidMappings", struct spec_linux, uid_mappings, id_mapping_fields, NONE),
	JSON_ARRAY("gidMappings", struct spec_linux, gid_mappings, id_mapping_fields, NONE),
	JSON_TEXT_MAP("sysctl", struct spec_linux, sysctl, NONE),
	JSON_POINTER("resources", struct spec_linux, resources, spec_resources_fields, NONE),
	JSON_TEXT("cgroupsPath", struct spec_linux, cgroups_path, NONE),
	JSON_ARRAY("namespaces", struct spec_linux, namespaces, namespace_fields, NONE),
	JSON_ARRAY("devices", struct spec_linux, devices, device_fields, NONE),
	JSON_MAP("netDevices", struct spec_linux, net_devices, net_device_fields, NONE),
	JSON_POINTER("seccomp", struct spec_linux, seccomp, spec_seccomp_fields, NONE),
	JSON_TEXT("rootfsPropagation", struct spec_linux, rootfs_propagation, NONE),
	JSON_TEXT_LIST("maskedPaths", struct spec_linux, masked_paths, NONE),
	JSON_TEXT_LIST("readonlyPaths", struct spec_linux, readonly_paths, NONE),
	JSON_TEXT("mountLabel", struct spec_linux, mount_label, NONE),
	JSON_POINTER("intelRdt", struct spec_linux, intel_rdt, intel_rdt_fields, NONE),
	JSON_POINTER("personality", struct spec_linux, personality, personality_fields, NONE),
	JSON_POINTER("memoryPolicy", struct spec_linux, memory_policy, memory_policy_fields, NONE),
	JSON_MAP("timeOffsets", struct spec_linux, time_offsets, time_offset_fields, NONE),
	JSON_END,
};

const struct json_field spec_fields[] = {
	JSON_TEXT("ociVersion", struct spec, oci_version, JSON_REQUIRED),
	JSON_POINTER("process", struct spec, process, spec_process_fields, NONE),
	JSON_POINTER("root", struct spec, root, root_fields, NONE),
	JSON_TEXT("hostname", struct spec, hostname, NONE),
	JSON_TEXT("domainname", struct spec, domainname, NONE),
	JSON_ARRAY("mounts", struct spec, mounts, mount_fields, NONE),
	JSON_OBJECT("hooks", struct spec, hooks, hooks_fields, NONE),
	JSON_OBJECT("linux", struct spec, linux_, linux_fields, NONE),
	JSON_TEXT_MAP("annotations", struct spec, annotations, NONE),
	JSON_END,
};

const struct json_field spec_state_fields[] = {
	JSON_TEXT("ociVersion", struct spec_state, oci_version, 0),
	JSON_TEXT("id", struct spec_state, id, 0),
	JSON_TEXT("status", struct spec_state, status, 0),
	JSON_I64("pid", struct spec_state, pid, JSON_OMIT_EMPTY),
	JSON_TEXT("bundle", struct spec_state, bundle, 0),
	JSON_TEXT_MAP("annotations", struct spec_state, annotations, NONE),
	JSON_END,
};

int spec_parse(struct spec *out_spec, const char *text, size_t size, struct error *err)
{
	*out_spec = (struct spec){ 0 };
	return json_decode(out_spec, spec_fields, text, size, err);
}

int spec_mounts_parse(struct spec *out_spec, const char *text, size_t size, struct error *err)
{
	static const struct json_field section_fields[] = {
		JSON_ARRAY("mounts", struct spec, mounts, mount_fields, JSON_REQUIRED), JSON_END
	};

	*out_spec = (struct spec){ 0 };
	if (size > 0 && text[strspn(text, " \t\r\n")] == '[')
		return json_decode_array(&out_spec->mounts, mount_fields, sizeof(struct spec_mount), text, size, err);
	return json_decode(out_spec, section_fields, text, size, err);
}

void spec_fini(struct spec *spec)
{
	json_free_fields(spec, spec_fields);
}

char *spec_format(const struct spec *spec)
{
	return json_encode_pretty(spec, spec_fields, "\t");
}

int spec_process_parse(struct spec_process *out_process, const char *text, size_t size, struct error *err)
{
	*out_process = (struct spec_process){ 0 };
	return json_decode(out_process, spec_process_fields, text, size, err);
}

void spec_process_fini(struct spec_process *process)
{
	json_free_fields(process, spec_process_fields);
}

int spec_resources_parse(struct spec_resources *out_resources, const char *text, size_t size, struct error *err)
{
	*out_resources = (struct spec_resources){ 0 };
	return json_decode(out_resources, spec_resources_fields, text, size, err);
}

void spec_resources_fini(struct spec_resources *resources)
{
	json_free_fields(resources, spec_resources_fields);
}

const struct spec_namespace *spec_find_namespace(const struct spec *spec, const char *type)
{
	for (size_t i = 0; i < spec->linux_.namespaces.count; i++)
		if (text_equal(spec->linux_.namespaces.items[i].type, type))
			return &spec->linux_.namespaces.items[i];
	return NULL;
}
