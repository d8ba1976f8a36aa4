/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host_check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/finding.h"
#include "runtime/memory_policy.h"
#include "runtime/net_device.h"
#include "runtime/resctrl.h"
#include "sys/capability.h"
#include "sys/cpu_list.h"
#include "sys/namespace.h"
#include "sys/rlimit.h"

/* SELinux is on where its file system is mounted; without it a label would be dropped silently. */
bool host_has_selinux(void)
{
	return file_exists(AT_FDCWD, "/sys/fs/selinux/enforce");
}

static int check_version(const char *version, struct findings *found)
{
	if (!text_has_prefix(version, "1.") && !text_has_prefix(version, "v1."))
		return finding_add(found, ERR_INVALID, "/ociVersion",
				   "ociVersion: \"%s\" is not supported (1.0.0 to " SPEC_VERSION ")", version);
	return 0;
}

static void check_capability_list(const struct text_list *names, const char *set, struct findings *found)
{
	for (size_t i = 0; i < names->count; i++)
		if (capability_parse(names->items[i]) < 0)
			finding_warn(found, finding_at("/process/capabilities/%s/%zu", set, i).text,
				     "unknown capability %s is ignored", names->items[i]);
}

/* The kernel raises only what is permitted and inheritable. */
static void check_ambient(const struct spec_capabilities *capabilities, struct findings *found)
{
	AUTO(text_fini) struct text names = { 0 };
	size_t first = 0;

	for (size_t i = 0; i < capabilities->ambient.count; i++) {
		const char *name = capabilities->ambient.items[i];

		if (text_list_contains(&capabilities->inheritable, name) &&
		    text_list_contains(&capabilities->permitted, name))
			continue;
		if (!names.size)
			first = i;
		text_addf(&names, "%s%s", names.size ? ", " : "", name);
	}
	if (names.size)
		finding_warn(found, finding_at("/process/capabilities/ambient/%zu", first).text,
			     "can't raise ambient capability %s: not in the inheritable and permitted sets",
			     names.data);
}

static void check_capabilities(const struct spec_capabilities *capabilities, struct findings *found)
{
	if (!capabilities || (found->err && !found->log))
		return;
	check_capability_list(&capabilities->bounding, "bounding", found);
	check_capability_list(&capabilities->permitted, "permitted", found);
	check_capability_list(&capabilities->ambient, "ambient", found);
	check_ambient(capabilities, found);
}

static int check_rlimit(const struct spec_process *process, size_t i, uint64_t *seen, struct findings *found)
{
	const struct spec_rlimit *limit = &process->rlimits.items[i];
	const struct finding_place place = finding_at("/process/rlimits/%zu", i);
	int number = rlimit_parse(limit->type);

	if (number < 0)
		return finding_add(found, ERR_INVALID, place.text, "process.rlimits[%zu]: invalid rlimit type: %s", i,
				   limit->type);
	if (*seen & (UINT64_C(1) << number) &&
	    finding_add(found, ERR_INVALID, place.text, "process.rlimits[%zu]: %s is there twice", i, limit->type) < 0)
		return -1;
	*seen |= UINT64_C(1) << number;
	if (limit->soft > limit->hard)
		return finding_add(found, ERR_INVALID, place.text,
				   "process.rlimits[%zu]: soft limit of %s is above its hard limit", i, limit->type);
	return 0;
}

static int check_rlimits(const struct spec_process *process, struct findings *found)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < process->rlimits.count; i++)
		if (check_rlimit(process, i, &seen, found) < 0)
			return -1;
	return 0;
}

static int check_env(const struct spec_process *process, struct findings *found)
{
	for (size_t i = 0; i < process->env.count; i++) {
		const char *entry = process->env.items[i];

		if ((!strchr(entry, '=') || *entry == '=') &&
		    finding_add(found, ERR_INVALID, finding_at("/process/env/%zu", i).text,
				"process.env[%zu]: invalid environment variable \"%s\"", i, entry) < 0)
			return -1;
	}
	return 0;
}

static int check_cpus(const char *text, const char *which, struct findings *found)
{
	struct cpu_list ignored;

	if (cpu_list_parse(&ignored, text) < 0)
		return finding_add(found, ERR_INVALID, finding_at("/process/execCPUAffinity/%s", which).text,
				   "process.execCPUAffinity.%s: \"%s\" is no list of CPUs such as 0-3,8", which, text);
	return 0;
}

static int check_affinity(const struct spec_cpu_affinity *affinity, struct findings *found)
{
	if (!affinity)
		return 0;
	if (check_cpus(affinity->initial, "initial", found) < 0)
		return -1;
	return check_cpus(affinity->final, "final", found);
}

static int check_args(const struct spec_process *process, struct findings *found)
{
	if (process->args.count == 0)
		return finding_add(found, ERR_INVALID, "/process/args",
				   "process.args must not be empty: no command to run");
	if (text_empty(process->args.items[0]))
		return finding_add(found, ERR_INVALID, "/process/args/0",
				   "process.args[0] must not be empty: exec: \"\": executable file not found");
	return 0;
}

static int check_cwd(const struct spec_process *process, struct findings *found)
{
	if (text_empty(process->cwd))
		return finding_add(found, ERR_INVALID, "/process/cwd", "process.cwd property must not be empty");
	if (*process->cwd != '/')
		return finding_add(found, ERR_INVALID, "/process/cwd", "process.cwd must be an absolute path: %s",
				   process->cwd);
	return 0;
}

static int check_process(const struct spec_process *process, struct findings *found)
{
	if (check_args(process, found) < 0 || check_cwd(process, found) < 0 ||
	    check_affinity(process->exec_cpu_affinity, found) < 0)
		return -1;
	if (process->user.umask.set && process->user.umask.value > 0777 &&
	    finding_add(found, ERR_INVALID, "/process/user/umask", "process.user.umask: %llu is no mask",
			(unsigned long long)process->user.umask.value) < 0)
		return -1;
	if (!text_empty(process->selinux_label) && !host_has_selinux() &&
	    finding_add(found, ERR_UNSUPPORTED, "/process/selinuxLabel",
			"process.selinuxLabel: selinux label is specified in config, but selinux is disabled or not "
			"supported") < 0)
		return -1;
	check_capabilities(process->capabilities, found);
	if (check_env(process, found) < 0)
		return -1;
	return check_rlimits(process, found);
}

int host_check_process(const struct spec_process *process, const struct log *log, struct error *err)
{
	struct findings found = { .err = err, .log = log };

	return check_process(process, &found);
}

int host_check_console(const struct spec_process *process, const struct runtime_process_options *options,
		       struct error *err)
{
	if (process->terminal && !options->console_socket && !options->foreground)
		return error_set(err, ERR_INVALID,
				 "cannot allocate tty if runtime will detach without setting console socket");
	if (!process->terminal && options->console_socket)
		return error_set(err, ERR_INVALID,
				 "cannot use console socket if runtime will not detach or allocate tty");
	return 0;
}

static int check_namespace(const struct spec_namespace *wanted, size_t i, int *seen, struct findings *found)
{
	const struct finding_place place = finding_at("/linux/namespaces/%zu", i);
	const struct namespace_kind *kind = namespace_kind_find(wanted->type);

	if (!kind)
		return finding_add(found, ERR_INVALID, place.text, "linux.namespaces[%zu]: invalid type \"%s\"", i,
				   wanted->type);
	if (*seen & kind->flag && finding_add(found, ERR_INVALID, place.text,
					      "malformed spec file: duplicated namespace %s", wanted->type) < 0)
		return -1;
	*seen |= kind->flag;
	if (!text_empty(wanted->path) && *wanted->path != '/')
		return finding_add(found, ERR_INVALID, place.text, "linux.namespaces[%zu]: path %s is not absolute", i,
				   wanted->path);
	return 0;
}

static int check_namespaces(const struct spec *spec, struct findings *found)
{
	int seen = 0;

	for (size_t i = 0; i < spec->linux_.namespaces.count; i++)
		if (check_namespace(&spec->linux_.namespaces.items[i], i, &seen, found) < 0)
			return -1;
	return 0;
}

static int check_uts(const struct spec *spec, struct findings *found)
{
	if (spec_find_namespace(spec, "uts"))
		return 0;
	if (!text_empty(spec->hostname))
		return finding_add(found, ERR_INVALID, "/hostname",
				   "unable to set hostname without a private UTS namespace");
	if (!text_empty(spec->domainname))
		return finding_add(found, ERR_INVALID, "/domainname",
				   "unable to set domainname without a private UTS namespace");
	return 0;
}

static int check_user(const struct spec *spec, struct findings *found)
{
	const struct spec_namespace *user = spec_find_namespace(spec, "user");
	const struct spec_linux *l = &spec->linux_;

	if (!user && (l->uid_mappings.count || l->gid_mappings.count))
		return finding_add(found, ERR_INVALID, "/linux/uidMappings",
				   "linux.uidMappings: user namespace mappings specified, but user namespace isn't "
				   "enabled in the config");
	if (user && text_empty(user->path) && (!l->uid_mappings.count || !l->gid_mappings.count))
		return finding_add(found, ERR_INVALID, "/linux/uidMappings",
				   "user namespaces enabled, but no uidMappings or gidMappings specified");
	return 0;
}

static int check_time(const struct spec *spec, struct findings *found)
{
	const struct spec_namespace *time = spec_find_namespace(spec, "time");

	if (!spec->linux_.time_offsets.count)
		return 0;
	if (!time)
		return finding_add(found, ERR_INVALID, "/linux/timeOffsets",
				   "time namespace offsets specified, but time namespace isn't enabled");
	if (!text_empty(time->path))
		return finding_add(found, ERR_INVALID, "/linux/timeOffsets",
				   "time namespace offsets specified for a time namespace given by path");
	for (size_t i = 0; i < spec->linux_.time_offsets.count; i++) {
		const char *key = spec->linux_.time_offsets.items[i].key;

		if (!text_equal(key, "monotonic") && !text_equal(key, "boottime"))
			return finding_add(found, ERR_INVALID, finding_at("/linux/timeOffsets/%s", key).text,
					   "linux.timeOffsets: unknown clock \"%s\"", key);
	}
	return 0;
}

static bool in_list(const char *const *names, const char *name)
{
	for (; *names; names++)
		if (text_equal(*names, name))
			return true;
	return false;
}

static int check_sysctl(const struct spec *spec, const char *given, struct findings *found)
{
	static const char *const ipc[] = { "kernel.msgmax", "kernel.msgmnb",	      "kernel.msgmni",
					   "kernel.sem",    "kernel.shmall",	      "kernel.shmmax",
					   "kernel.shmmni", "kernel.shm_rmid_forced", NULL };
	AUTO_FREE char *name = xstrdup(given);
	const char *needs = NULL;

	for (char *at = name; *at; at++)
		if (*at == '/')
			*at = '.';
	if (strstr(name, ".."))
		return finding_add(found, ERR_INVALID, finding_at("/linux/sysctl/%s", given).text,
				   "linux.sysctl: \"%s\" is no sysctl name", given);
	if (in_list(ipc, name) || text_has_prefix(name, "fs.mqueue."))
		needs = "ipc";
	else if (text_has_prefix(name, "net."))
		needs = "network";
	else if (text_equal(name, "kernel.domainname"))
		needs = "uts";
	else if (text_has_prefix(name, "user."))
		needs = "user";
	else if (text_equal(name, "kernel.hostname"))
		return finding_add(found, ERR_INVALID, finding_at("/linux/sysctl/%s", given).text,
				   "sysctl \"kernel.hostname\": use the hostname property instead");
	else
		return finding_add(found, ERR_INVALID, finding_at("/linux/sysctl/%s", given).text,
				   "sysctl \"%s\" is not in a separate kernel namespace", given);
	if (!spec_find_namespace(spec, needs))
		return finding_add(found, ERR_INVALID, finding_at("/linux/sysctl/%s", given).text,
				   "sysctl \"%s\" is not allowed in the hosts %s namespace", given, needs);
	return 0;
}

static int check_propagation(const char *name, struct findings *found)
{
	static const char *const known[] = { "shared",	 "rshared",    "slave",	      "rslave", "private",
					     "rprivate", "unbindable", "runbindable", NULL };

	if (text_empty(name) || in_list(known, name))
		return 0;
	return finding_add(found, ERR_INVALID, "/linux/rootfsPropagation",
			   "linux.rootfsPropagation: rootfsPropagation=%s is not supported", name);
}

static int check_mounts(const struct spec *spec, struct findings *found)
{
	for (size_t i = 0; i < spec->mounts.count; i++) {
		const struct spec_mount *mount = &spec->mounts.items[i];

		if (text_empty(mount->destination) &&
		    finding_add(found, ERR_INVALID, finding_at("/mounts/%zu/destination", i).text,
				"mounts[%zu].destination must not be empty", i) < 0)
			return -1;
		if (!mount->uid_mappings.count != !mount->gid_mappings.count &&
		    finding_add(found, ERR_INVALID, finding_at("/mounts/%zu", i).text,
				"mounts[%zu]: uidMappings and gidMappings come together", i) < 0)
			return -1;
	}
	return 0;
}

static int check_labels(const struct spec *spec, struct findings *found)
{
	if (!text_empty(spec->linux_.mount_label) && !host_has_selinux())
		return finding_add(
			found, ERR_UNSUPPORTED, "/linux/mountLabel",
			"linux.mountLabel: selinux label is specified in config, but selinux is disabled or not "
			"supported");
	return 0;
}

static int check_others(const struct spec *spec, struct findings *found)
{
	const struct spec_linux *l = &spec->linux_;
	AUTO(error_clear) struct error problem = { 0 };
	struct memory_policy ignored;

	if (l->memory_policy && memory_policy_parse(&ignored, l->memory_policy, &problem) < 0 &&
	    finding_add_error(found, "/linux/memoryPolicy", &problem) < 0)
		return -1;
	if (net_device_check(spec, &problem) < 0 && finding_add_error(found, "/linux/netDevices", &problem) < 0)
		return -1;
	if (resctrl_check(l->intel_rdt, &problem) < 0 && finding_add_error(found, "/linux/intelRdt", &problem) < 0)
		return -1;
	return 0;
}

static int check_linux(const struct spec *spec, struct findings *found)
{
	const struct spec_linux *l = &spec->linux_;

	if (check_namespaces(spec, found) < 0 || check_uts(spec, found) < 0 || check_user(spec, found) < 0 ||
	    check_time(spec, found) < 0 || check_propagation(l->rootfs_propagation, found) < 0 ||
	    check_labels(spec, found) < 0)
		return -1;
	if (check_others(spec, found) < 0)
		return -1;
	for (size_t i = 0; i < l->sysctl.count; i++)
		if (check_sysctl(spec, l->sysctl.items[i].key, found) < 0)
			return -1;
	return 0;
}

static int check_root(const struct spec *spec, struct findings *found)
{
	if (!spec->root || text_empty(spec->root->path))
		return finding_add(found, ERR_INVALID, "/root/path", "root.path must be set");
	return 0;
}

static int check_spec(const struct spec *spec, struct findings *found)
{
	if (check_version(spec->oci_version, found) < 0 || check_root(spec, found) < 0)
		return -1;
	if (spec->process && check_process(spec->process, found) < 0)
		return -1;
	if (!spec_find_namespace(spec, "mount") &&
	    (spec->linux_.masked_paths.count || spec->linux_.readonly_paths.count) &&
	    finding_add(found, ERR_INVALID, "/linux/namespaces",
			"linux.namespaces: unable to restrict sys entries without a private MNT namespace "
			"(maskedPaths, readonlyPaths)") < 0)
		return -1;
	if (check_linux(spec, found) < 0)
		return -1;
	return check_mounts(spec, found);
}

int host_check_spec(const struct spec *spec, const struct log *log, struct error *err)
{
	struct findings found = { .err = err, .log = log };

	return check_spec(spec, &found);
}

void host_check_all(const struct spec *spec, struct findings *found)
{
	check_spec(spec, found);
}
