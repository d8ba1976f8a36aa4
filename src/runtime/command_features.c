/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "runtime/command.h"
#include "runtime/host_systemd.h"
#include "runtime/memory_policy.h"
#include "runtime/mount_option.h"
#include "sys/capability.h"
#include "sys/namespace.h"
#include "sys/seccomp.h"

struct feature_cgroup {
	bool v1, v2, systemd, systemd_user, rdma;
};
struct feature_seccomp {
	bool enabled;
	struct text_list actions, operators, archs, known_flags, supported_flags;
};
struct feature_enabled {
	bool enabled;
};
struct feature_memory_policy {
	struct text_list modes, flags;
};
struct feature_rdt {
	bool enabled, schemata, monitoring;
};
struct feature_mounts {
	struct feature_enabled idmap;
};
struct feature_linux {
	struct text_list namespaces, capabilities;
	struct feature_cgroup cgroup;
	struct feature_seccomp seccomp;
	struct feature_enabled apparmor, selinux, net_devices;
	struct feature_rdt intel_rdt;
	struct feature_memory_policy memory_policy;
	struct feature_mounts mount_extensions;
};
struct features {
	char *version_min, *version_max;
	struct text_list hooks, mount_options, unsafe_annotations;
	struct feature_linux linux_;
	struct text_map annotations;
};

static const struct json_field cgroup_fields[] = {
	JSON_BOOL("v1", struct feature_cgroup, v1, 0),
	JSON_BOOL("v2", struct feature_cgroup, v2, 0),
	JSON_BOOL("systemd", struct feature_cgroup, systemd, 0),
	JSON_BOOL("systemdUser", struct feature_cgroup, systemd_user, 0),
	JSON_BOOL("rdma", struct feature_cgroup, rdma, 0),
	JSON_END,
};
static const struct json_field seccomp_fields[] = {
	JSON_BOOL("enabled", struct feature_seccomp, enabled, 0),
	JSON_TEXT_LIST("actions", struct feature_seccomp, actions, 0),
	JSON_TEXT_LIST("operators", struct feature_seccomp, operators, 0),
	JSON_TEXT_LIST("archs", struct feature_seccomp, archs, 0),
	JSON_TEXT_LIST("knownFlags", struct feature_seccomp, known_flags, 0),
	JSON_TEXT_LIST("supportedFlags", struct feature_seccomp, supported_flags, 0),
	JSON_END,
};
static const struct json_field enabled_fields[] = { JSON_BOOL("enabled", struct feature_enabled, enabled, 0),
						    JSON_END };
static const struct json_field rdt_fields[] = {
	JSON_BOOL("enabled", struct feature_rdt, enabled, 0),
	JSON_BOOL("schemata", struct feature_rdt, schemata, 0),
	JSON_BOOL("monitoring", struct feature_rdt, monitoring, 0),
	JSON_END,
};
static const struct json_field memory_policy_fields[] = {
	JSON_TEXT_LIST("modes", struct feature_memory_policy, modes, 0),
	JSON_TEXT_LIST("flags", struct feature_memory_policy, flags, 0),
	JSON_END,
};
static const struct json_field mounts_fields[] = {
	JSON_OBJECT("idmap", struct feature_mounts, idmap, enabled_fields, 0), JSON_END
};
static const struct json_field linux_fields[] = {
	JSON_TEXT_LIST("namespaces", struct feature_linux, namespaces, 0),
	JSON_TEXT_LIST("capabilities", struct feature_linux, capabilities, 0),
	JSON_OBJECT("cgroup", struct feature_linux, cgroup, cgroup_fields, 0),
	JSON_OBJECT("seccomp", struct feature_linux, seccomp, seccomp_fields, 0),
	JSON_OBJECT("apparmor", struct feature_linux, apparmor, enabled_fields, 0),
	JSON_OBJECT("selinux", struct feature_linux, selinux, enabled_fields, 0),
	JSON_OBJECT("intelRdt", struct feature_linux, intel_rdt, rdt_fields, 0),
	JSON_OBJECT("memoryPolicy", struct feature_linux, memory_policy, memory_policy_fields, 0),
	JSON_OBJECT("netDevices", struct feature_linux, net_devices, enabled_fields, 0),
	JSON_OBJECT("mountExtensions", struct feature_linux, mount_extensions, mounts_fields, 0),
	JSON_END,
};
static const struct json_field features_fields[] = {
	JSON_TEXT("ociVersionMin", struct features, version_min, 0),
	JSON_TEXT("ociVersionMax", struct features, version_max, 0),
	JSON_TEXT_LIST("hooks", struct features, hooks, 0),
	JSON_TEXT_LIST("mountOptions", struct features, mount_options, 0),
	JSON_OBJECT("linux", struct features, linux_, linux_fields, 0),
	JSON_TEXT_MAP("annotations", struct features, annotations, 0),
	JSON_TEXT_LIST("potentiallyUnsafeConfigAnnotations", struct features, unsafe_annotations, 0),
	JSON_END,
};

static void add_all(struct text_list *list, const char *(*at)(size_t index))
{
	const char *word;

	for (size_t i = 0; (word = at(i)); i++)
		text_list_add(list, word);
}

static void fill_linux(struct feature_linux *l)
{
	const struct namespace_kind *kind;
	const char *capability;

	for (unsigned i = 0; (kind = namespace_kind_at(i)); i++)
		text_list_add(&l->namespaces, kind->name);
	text_list_sort(&l->namespaces);
	for (unsigned i = 0; (capability = capability_name(i)); i++)
		text_list_add(&l->capabilities, capability);
	l->cgroup = (struct feature_cgroup){ .v1 = true,
					     .v2 = true,
					     .systemd = host_systemd_is_there(),
					     .systemd_user = host_systemd_is_there(),
					     .rdma = true };
	l->seccomp.enabled = true;
	add_all(&l->seccomp.actions, seccomp_action_at);
	add_all(&l->seccomp.operators, seccomp_operator_at);
	add_all(&l->seccomp.archs, seccomp_architecture_at);
	add_all(&l->seccomp.known_flags, seccomp_flag_at);
	add_all(&l->seccomp.supported_flags, seccomp_flag_at);
	/* As in runc: what this program can do; whether the host has it, the host knows (and `check` tells). */
	l->apparmor.enabled = true;
	l->selinux.enabled = true;
	l->intel_rdt = (struct feature_rdt){ .enabled = true, .schemata = true, .monitoring = true };
	l->net_devices.enabled = true;
	add_all(&l->memory_policy.modes, memory_policy_mode_at);
	add_all(&l->memory_policy.flags, memory_policy_flag_at);
	l->mount_extensions.idmap.enabled = true;
}

int command_features(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	static const struct option_spec table[] = { OPTION_END };
	static const char *const hooks[] = { "prestart",       "createRuntime", "createContainer",
					     "startContainer", "poststart",	"poststop" };
	AUTO(text_list_fini) struct text_list operands = { 0 };
	struct features features = { .version_min = (char *)"1.0.0", .version_max = (char *)SPEC_VERSION };
	AUTO_FREE char *text = NULL;
	int r = command_parse(table, NULL, argc, argv, 0, &operands, 0, 0, err);

	(void)runtime;
	if (r <= 0)
		return r;
	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++)
		text_list_add(&features.hooks, hooks[i]);
	add_all(&features.mount_options, mount_options_known);
	fill_linux(&features.linux_);
	text_map_set(&features.annotations, "run.kist.version", KIST_VERSION);
	text_map_set(&features.annotations, "org.opencontainers.runc.checkpoint.enabled", "true");
	text_list_add(&features.unsafe_annotations, "run.kist.");
	text = json_encode_pretty(&features, features_fields, "  ");
	puts(text);
	features.version_min = NULL;
	features.version_max = NULL;
	json_free_fields(&features, features_fields);
	return 0;
}
