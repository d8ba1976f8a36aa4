/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host_check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/memory_policy.h"
#include "runtime/net_device.h"
#include "runtime/resctrl.h"
#include "sys/capability.h"
#include "sys/cpu_list.h"
#include "sys/namespace.h"
#include "sys/rlimit.h"

static int check_version(const char *version, struct error *err)
{
	if (!text_has_prefix(version, "1.") && !text_has_prefix(version, "v1."))
		return error_set(err, ERR_INVALID, "ociVersion: \"%s\" is not supported (1.0.0 to " SPEC_VERSION ")",
				 version);
	return 0;
}

static void check_capability_list(const struct text_list *names, const struct log *log)
{
	for (size_t i = 0; log && i < names->count; i++)
		if (capability_parse(names->items[i]) < 0)
			log_warn(log, "unknown capability is ignored", F("name", names->items[i]));
}

/* The kernel raises only what is permitted and inheritable. */
static void check_ambient(const struct spec_capabilities *capabilities, const struct log *log)
{
	for (size_t i = 0; i < capabilities->ambient.count; i++) {
		const char *name = capabilities->ambient.items[i];
		AUTO_FREE char *message = NULL;

		if (text_list_contains(&capabilities->inheritable, name) &&
		    text_list_contains(&capabilities->permitted, name))
			continue;
		message = xasprintf(
			"can't raise ambient capability %s: it is not in the inheritable and permitted sets", name);
		log_warn(log, message);
	}
}

static void check_capabilities(const struct spec_capabilities *capabilities, const struct log *log)
{
	if (!capabilities || !log)
		return;
	check_capability_list(&capabilities->bounding, log);
	check_capability_list(&capabilities->permitted, log);
	check_capability_list(&capabilities->ambient, log);
	check_ambient(capabilities, log);
}

static int check_rlimits(const struct spec_process *process, const char *where, struct error *err)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < process->rlimits.count; i++) {
		const struct spec_rlimit *limit = &process->rlimits.items[i];
		int number = rlimit_parse(limit->type);

		if (number < 0)
			return error_set(err, ERR_INVALID, "%s.rlimits[%zu]: invalid rlimit type: %s", where, i,
					 limit->type);
		if (seen & (UINT64_C(1) << number))
			return error_set(err, ERR_INVALID, "%s.rlimits[%zu]: %s is there twice", where, i, limit->type);
		if (limit->soft > limit->hard)
			return error_set(err, ERR_INVALID, "%s.rlimits[%zu]: soft limit of %s is above its hard limit",
					 where, i, limit->type);
		seen |= UINT64_C(1) << number;
	}
	return 0;
}

static int check_env(const struct spec_process *process, const char *where, struct error *err)
{
	for (size_t i = 0; i < process->env.count; i++)
		if (!strchr(process->env.items[i], '=') || process->env.items[i][0] == '=')
			return error_set(err, ERR_INVALID, "%s.env[%zu]: invalid environment variable \"%s\"", where, i,
					 process->env.items[i]);
	return 0;
}

static int check_cpus(const char *text, const char *where, const char *which, struct error *err)
{
	struct cpu_list ignored;

	if (cpu_list_parse(&ignored, text) < 0)
		return error_set(err, ERR_INVALID, "%s.execCPUAffinity.%s: \"%s\" is no list of CPUs such as 0-3,8",
				 where, which, text);
	return 0;
}

static int check_affinity(const struct spec_cpu_affinity *affinity, const char *where, struct error *err)
{
	if (!affinity || check_cpus(affinity->initial, where, "initial", err) < 0)
		return affinity ? -1 : 0;
	return check_cpus(affinity->final, where, "final", err);
}

int host_check_process(const struct spec_process *process, const char *where, const struct log *log, struct error *err)
{
	if (process->args.count == 0)
		return error_set(err, ERR_INVALID, "%s.args must not be empty: no command to run", where);
	if (text_empty(process->args.items[0]))
		return error_set(err, ERR_INVALID,
				 "%s.args[0] must not be empty: exec: \"\": executable file not found", where);
	if (text_empty(process->cwd))
		return error_set(err, ERR_INVALID, "%s.cwd property must not be empty", where);
	if (*process->cwd != '/')
		return error_set(err, ERR_INVALID, "%s.cwd must be an absolute path: %s", where, process->cwd);
	if (check_affinity(process->exec_cpu_affinity, where, err) < 0)
		return -1;
	if (process->user.umask.set && process->user.umask.value > 0777)
		return error_set(err, ERR_INVALID, "%s.user.umask: %llu is no mask", where,
				 (unsigned long long)process->user.umask.value);
	if (!text_empty(process->selinux_label) && !host_has_selinux())
		return error_set(
			err, ERR_UNSUPPORTED,
			"%s.selinuxLabel: selinux label is specified in config, but selinux is disabled or not "
			"supported",
			where);
	check_capabilities(process->capabilities, log);
	if (check_env(process, where, err) < 0)
		return -1;
	return check_rlimits(process, where, err);
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

static int check_namespaces(const struct spec *spec, struct error *err)
{
	int seen = 0;

	for (size_t i = 0; i < spec->linux_.namespaces.count; i++) {
		const struct spec_namespace *wanted = &spec->linux_.namespaces.items[i];
		const struct namespace_kind *kind = namespace_kind_find(wanted->type);

		if (!kind)
			return error_set(err, ERR_INVALID, "linux.namespaces[%zu]: invalid type \"%s\"", i,
					 wanted->type);
		if (seen & kind->flag)
			return error_set(err, ERR_INVALID, "malformed spec file: duplicated namespace %s",
					 wanted->type);
		if (!text_empty(wanted->path) && *wanted->path != '/')
			return error_set(err, ERR_INVALID, "linux.namespaces[%zu]: path %s is not absolute", i,
					 wanted->path);
		seen |= kind->flag;
	}
	return 0;
}

static int check_uts(const struct spec *spec, struct error *err)
{
	if (spec_find_namespace(spec, "uts"))
		return 0;
	if (!text_empty(spec->hostname))
		return error_set(err, ERR_INVALID, "unable to set hostname without a private UTS namespace");
	if (!text_empty(spec->domainname))
		return error_set(err, ERR_INVALID, "unable to set domainname without a private UTS namespace");
	return 0;
}

static int check_user(const struct spec *spec, struct error *err)
{
	const struct spec_namespace *user = spec_find_namespace(spec, "user");
	const struct spec_linux *l = &spec->linux_;

	if (!user && (l->uid_mappings.count || l->gid_mappings.count))
		return error_set(err, ERR_INVALID,
				 "linux.uidMappings: user namespace mappings specified, but user namespace isn't "
				 "enabled in the config");
	if (user && text_empty(user->path) && (!l->uid_mappings.count || !l->gid_mappings.count))
		return error_set(err, ERR_INVALID,
				 "user namespaces enabled, but no uidMappings or gidMappings specified");
	return 0;
}

static int check_time(const struct spec *spec, struct error *err)
{
	const struct spec_namespace *time = spec_find_namespace(spec, "time");

	if (!spec->linux_.time_offsets.count)
		return 0;
	if (!time)
		return error_set(err, ERR_INVALID,
				 "time namespace offsets specified, but time namespace isn't enabled");
	if (!text_empty(time->path))
		return error_set(err, ERR_INVALID,
				 "time namespace offsets specified for a time namespace given by path");
	for (size_t i = 0; i < spec->linux_.time_offsets.count; i++) {
		const char *key = spec->linux_.time_offsets.items[i].key;

		if (!text_equal(key, "monotonic") && !text_equal(key, "boottime"))
			return error_set(err, ERR_INVALID, "linux.timeOffsets: unknown clock \"%s\"", key);
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

static int check_sysctl(const struct spec *spec, const char *given, struct error *err)
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
		return error_set(err, ERR_INVALID, "linux.sysctl: \"%s\" is no sysctl name", given);
	if (in_list(ipc, name) || text_has_prefix(name, "fs.mqueue."))
		needs = "ipc";
	else if (text_has_prefix(name, "net."))
		needs = "network";
	else if (text_equal(name, "kernel.domainname"))
		needs = "uts";
	else if (text_has_prefix(name, "user."))
		needs = "user";
	else if (text_equal(name, "kernel.hostname"))
		return error_set(err, ERR_INVALID, "sysctl \"kernel.hostname\": use the hostname property instead");
	else
		return error_set(err, ERR_INVALID, "sysctl \"%s\" is not in a separate kernel namespace", given);
	if (!spec_find_namespace(spec, needs))
		return error_set(err, ERR_INVALID, "sysctl \"%s\" is not allowed in the hosts %s namespace", given,
				 needs);
	return 0;
}

static int check_propagation(const char *name, struct error *err)
{
	static const char *const known[] = { "shared",	 "rshared",    "slave",	      "rslave", "private",
					     "rprivate", "unbindable", "runbindable", NULL };

	if (text_empty(name) || in_list(known, name))
		return 0;
	return error_set(err, ERR_INVALID, "linux.rootfsPropagation: rootfsPropagation=%s is not supported", name);
}

static int check_mounts(const struct spec *spec, struct error *err)
{
	for (size_t i = 0; i < spec->mounts.count; i++) {
		const struct spec_mount *mount = &spec->mounts.items[i];

		if (text_empty(mount->destination))
			return error_set(err, ERR_INVALID, "mounts[%zu].destination must not be empty", i);
		if (!mount->uid_mappings.count != !mount->gid_mappings.count)
			return error_set(err, ERR_INVALID, "mounts[%zu]: uidMappings and gidMappings come together", i);
	}
	return 0;
}

/* SELinux is on where its file system is mounted; without it a label would be dropped silently. */
bool host_has_selinux(void)
{
	return file_exists(AT_FDCWD, "/sys/fs/selinux/enforce");
}

static int check_labels(const struct spec *spec, struct error *err)
{
	if (!text_empty(spec->linux_.mount_label) && !host_has_selinux())
		return error_set(
			err, ERR_UNSUPPORTED,
			"linux.mountLabel: selinux label is specified in config, but selinux is disabled or not "
			"supported");
	return 0;
}

static int check_memory_policy(const struct spec_memory_policy *policy, struct error *err)
{
	struct memory_policy ignored;

	return policy ? memory_policy_parse(&ignored, policy, err) : 0;
}

static int check_linux(const struct spec *spec, struct error *err)
{
	const struct spec_linux *l = &spec->linux_;

	if (check_namespaces(spec, err) < 0 || check_uts(spec, err) < 0 || check_user(spec, err) < 0 ||
	    check_time(spec, err) < 0 || check_propagation(l->rootfs_propagation, err) < 0 ||
	    check_labels(spec, err) < 0)
		return -1;
	if (check_memory_policy(l->memory_policy, err) < 0 || net_device_check(spec, err) < 0 ||
	    resctrl_check(l->intel_rdt, err) < 0)
		return -1;
	for (size_t i = 0; i < l->sysctl.count; i++)
		if (check_sysctl(spec, l->sysctl.items[i].key, err) < 0)
			return -1;
	return 0;
}

int host_check_spec(const struct spec *spec, const struct log *log, struct error *err)
{
	if (check_version(spec->oci_version, err) < 0)
		return -1;
	if (!spec->root || text_empty(spec->root->path))
		return error_set(err, ERR_INVALID, "root.path must be set");
	if (spec->process && host_check_process(spec->process, "process", log, err) < 0)
		return -1;
	if (!spec_find_namespace(spec, "mount") &&
	    (spec->linux_.masked_paths.count || spec->linux_.readonly_paths.count))
		return error_set(err, ERR_INVALID,
				 "linux.namespaces: unable to restrict sys entries without a private MNT namespace "
				 "(maskedPaths, readonlyPaths)");
	if (check_linux(spec, err) < 0)
		return -1;
	return check_mounts(spec, err);
}
