/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container_document.h"

#define M struct container_mount
const struct json_field container_mount_fields[] = {
	JSON_TEXT("type", M, type, 0),
	JSON_TEXT("name", M, name, JSON_OMIT_EMPTY),
	JSON_TEXT("source", M, source, JSON_OMIT_EMPTY),
	JSON_TEXT("destination", M, destination, 0),
	JSON_TEXT("driver", M, driver, JSON_OMIT_EMPTY),
	JSON_TEXT("mode", M, mode, JSON_OMIT_EMPTY),
	JSON_BOOL("rw", M, rw, JSON_OMIT_EMPTY),
	JSON_TEXT("propagation", M, propagation, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("options", M, options, JSON_OMIT_EMPTY),
	JSON_BOOL("hidden", M, hidden, JSON_OMIT_EMPTY),
	JSON_BOOL("copyUp", M, copy_up, JSON_OMIT_EMPTY),
	JSON_BOOL("anonymous", M, anonymous, JSON_OMIT_EMPTY),
	JSON_BOOL("createSource", M, create_source, JSON_OMIT_EMPTY),
	JSON_BOOL("nonRecursive", M, non_recursive, JSON_OMIT_EMPTY),
	JSON_BOOL("readOnlyTop", M, read_only_top, JSON_OMIT_EMPTY),
	JSON_BOOL("readOnlyForce", M, read_only_force, JSON_OMIT_EMPTY),
	JSON_TEXT("subpath", M, subpath, JSON_OMIT_EMPTY),
	JSON_BOOL("idMapped", M, id_mapped, JSON_OMIT_EMPTY),
	JSON_TEXT("folder", M, folder, JSON_OMIT_EMPTY),
	JSON_END,
};
#undef M

#define S struct container_state
static const struct json_field container_state_fields[] = {
	JSON_BOOL("running", S, running, JSON_OMIT_EMPTY),
	JSON_BOOL("paused", S, paused, JSON_OMIT_EMPTY),
	JSON_BOOL("pausing", S, pausing, JSON_OMIT_EMPTY),
	JSON_BOOL("restarting", S, restarting, JSON_OMIT_EMPTY),
	JSON_BOOL("removing", S, removing, JSON_OMIT_EMPTY),
	JSON_BOOL("removingVolumes", S, removing_volumes, JSON_OMIT_EMPTY),
	JSON_BOOL("dead", S, dead, JSON_OMIT_EMPTY),
	JSON_BOOL("oomKilled", S, oom_killed, JSON_OMIT_EMPTY),
	JSON_BOOL("manuallyStopped", S, manually_stopped, JSON_OMIT_EMPTY),
	JSON_I64("pid", S, pid, JSON_OMIT_EMPTY),
	JSON_I64("exitCode", S, exit_code, JSON_OMIT_EMPTY),
	JSON_TEXT("error", S, error, JSON_OMIT_EMPTY),
	JSON_I64("created", S, created_ns, 0),
	JSON_I64("started", S, started_ns, JSON_OMIT_EMPTY),
	JSON_I64("finished", S, finished_ns, JSON_OMIT_EMPTY),
	JSON_POINTER("health", S, health, state_health_fields, JSON_OMIT_EMPTY),
	JSON_END,
};
#undef S

#define M struct id_map
static const struct json_field id_map_fields[] = {
	JSON_I64("uidBase", M, uid_base, 0),
	JSON_I64("gidBase", M, gid_base, 0),
	JSON_I64("size", M, size, 0),
	JSON_END,
};
#undef M

#define D struct container_document
const struct json_field container_document_fields[] = {
	JSON_TEXT("id", D, id, JSON_REQUIRED),
	JSON_TEXT("name", D, name, JSON_REQUIRED),
	JSON_TEXT("imageId", D, image_id, 0),
	JSON_OBJECT("config", D, config, container_config_fields, 0),
	JSON_OBJECT("hostConfig", D, host, host_config_fields, 0),
	JSON_TEXT_MAP("wantedMacs", D, wanted_macs, 0),
	JSON_OBJECT("networking", D, networking, networking_config_fields, 0),
	JSON_ARRAY("mounts", D, mounts, container_mount_fields, JSON_OMIT_EMPTY),
	JSON_TEXT("path", D, path, 0),
	JSON_TEXT_LIST("args", D, args, 0),
	JSON_OBJECT("state", D, state, container_state_fields, 0),
	JSON_I64("restartCount", D, restart_count, JSON_OMIT_EMPTY),
	JSON_MAP("boundPorts", D, bound_ports, port_bindings_fields, JSON_OMIT_EMPTY),
	JSON_OBJECT("idMap", D, id_map, id_map_fields, JSON_OMIT_EMPTY),
	JSON_BOOL("buildStep", D, build_step, JSON_OMIT_EMPTY),
	JSON_END,
};
#undef D
