/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "engine/spec.h"
#include "sys/rlimit.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void spec_default_masked_paths(struct text_list *out_paths)
{
	static const char *const paths[] = { "/proc/acpi",
					     "/proc/asound",
					     "/proc/interrupts",
					     "/proc/kcore",
					     "/proc/keys",
					     "/proc/latency_stats",
					     "/proc/sched_debug",
					     "/proc/scsi",
					     "/proc/timer_list",
					     "/proc/timer_stats",
					     "/sys/devices/virtual/powercap",
					     "/sys/firmware",
					     NULL };
	long count = sysconf(_SC_NPROCESSORS_CONF);

	for (const char *const *path = paths; *path; path++)
		text_list_add(out_paths, *path);
	for (long i = 0; i < count; i++) {
		AUTO_FREE char *path = xasprintf("/sys/devices/system/cpu/cpu%ld/thermal_throttle", i);

		if (file_exists(-1, path))
			text_list_add(out_paths, path);
	}
}

void spec_default_readonly_paths(struct text_list *out_paths)
{
	static const char *const paths[] = { "/proc/bus",	    "/proc/fs", "/proc/irq", "/proc/sys",
					     "/proc/sysrq-trigger", NULL };

	for (const char *const *path = paths; *path; path++)
		text_list_add(out_paths, *path);
}

static int refuse_security_option(const char *key, const char *value, const char *text, struct error *err)
{
	if (text_equal(key, "apparmor"))
		return text_equal(value, "unconfined")
			       ? 0
			       : error_set(err, ERR_UNSUPPORTED, "AppArmor profiles are not supported: \"%s\"", text);
	if (text_equal(key, "label"))
		return text_equal(value, "disable")
			       ? 0
			       : error_set(err, ERR_UNSUPPORTED, "SELinux labels are not supported: \"%s\"", text);
	return error_set(err, ERR_INVALID, "invalid --security-opt 2: \"%s\"", text);
}

static int parse_security_option(struct security_options *options, const char *text, struct error *err)
{
	const char *separator = strpbrk(text, "=:");
	AUTO_FREE char *key = separator ? xstrndup(text, (size_t)(separator - text)) : xstrdup(text);
	const char *value = separator ? separator + 1 : "true";

	if (!separator && !text_equal(text, "no-new-privileges"))
		return error_set(err, ERR_INVALID, "invalid --security-opt: \"%s\"", text);
	if (text_equal(key, "no-new-privileges") && (text_equal(value, "true") || text_equal(value, "false"))) {
		options->no_new_privileges = text_equal(value, "true");
	} else if (text_equal(key, "seccomp")) {
		options->seccomp_unconfined = text_equal(value, "unconfined");
		options->seccomp_profile = options->seccomp_unconfined || text_equal(value, "builtin") ? NULL : value;
	} else if (text_equal(key, "systempaths") && text_equal(value, "unconfined")) {
		options->paths_unconfined = true;
	} else {
		return refuse_security_option(key, value, text, err);
	}
	return 0;
}

int security_options_parse(struct security_options *out_options, const struct text_list *list, struct error *err)
{
	memset(out_options, 0, sizeof(*out_options));
	for (size_t i = 0; i < list->count; i++)
		if (parse_security_option(out_options, list->items[i], err) < 0)
			return -1;
	return 0;
}

static const char *shown_hostname(const struct spec *spec, const struct container_document *document)
{
	return spec->hostname ? spec->hostname : text_or_empty(document->config.hostname);
}

/* Defaults first, then the container's; "NAME" without "=" takes one away. */
static void add_environment(struct spec *spec, const struct container_document *document)
{
	const struct text_list *env = &document->config.env;
	struct text_list *out = &spec->process->env;

	text_list_add(out, DEFAULT_PATH);
	text_list_addf(out, "HOSTNAME=%s", shown_hostname(spec, document));
	if (document->config.tty)
		text_list_add(out, "TERM=xterm");
	for (size_t i = 0; i < env->count; i++) {
		const char *equals = strchr(env->items[i], '=');
		AUTO_FREE char *key = equals ? xstrndup(env->items[i], (size_t)(equals - env->items[i]))
					     : xstrdup(env->items[i]);

		if (equals) {
			text_list_set_env(out, key, equals + 1);
			continue;
		}
		for (size_t j = 0; j < out->count; j++)
			if (text_has_prefix(out->items[j], key) && out->items[j][strlen(key)] == '=')
				text_list_remove(out, j--);
	}
}

static int add_rlimits(struct spec *spec, const struct host_config *host, struct error *err)
{
	for (size_t i = 0; i < host->ulimits.count; i++) {
		const struct ulimit *from = &host->ulimits.items[i];
		int number = rlimit_parse(text_or_empty(from->name));
		struct spec_rlimit *limit;

		if (number < 0)
			return error_set(err, ERR_INVALID, "invalid ulimit type: %s", text_or_empty(from->name));
		limit = json_array_add(&spec->process->rlimits, sizeof(*limit));
		limit->type = xstrdup(rlimit_name((size_t)number));
		limit->soft = (uint64_t)from->soft;
		limit->hard = (uint64_t)from->hard;
	}
	return 0;
}

static void add_arguments(struct spec *spec, const struct spec_input *input)
{
	const struct container_document *document = input->document;

	if (input->init_path) {
		text_list_add(&spec->process->args, "/sbin/docker-init");
		text_list_add(&spec->process->args, "--");
	}
	text_list_add(&spec->process->args, document->path);
	text_list_add_all(&spec->process->args, &document->args);
}

static void add_console_size(struct spec *spec, const struct host_config *host)
{
	if (host->console_size.count != 2 || !host->console_size.items[0].value || !host->console_size.items[1].value)
		return;
	spec->process->console_size = xcalloc(1, sizeof(*spec->process->console_size));
	spec->process->console_size->height = (uint32_t)host->console_size.items[0].value;
	spec->process->console_size->width = (uint32_t)host->console_size.items[1].value;
}

static int add_capabilities(struct spec *spec, const struct spec_input *input, struct error *err)
{
	struct spec_capabilities *sets = xcalloc(1, sizeof(*sets));

	/* Nothing inheritable nor ambient: another user than root keeps only the bounding set across execve. */
	spec->process->capabilities = sets;
	if (spec_capability_names(&sets->bounding, &input->document->host, input->capabilities, err) < 0)
		return -1;
	text_list_add_all(&sets->effective, &sets->bounding);
	text_list_add_all(&sets->permitted, &sets->bounding);
	return 0;
}

static int add_process(struct spec *spec, const struct spec_input *input, const struct security_options *security,
		       struct error *err)
{
	const struct container_config *config = &input->document->config;
	const struct host_config *host = &input->document->host;
	struct spec_process *process = xcalloc(1, sizeof(*process));

	spec->process = process;
	process->terminal = config->tty;
	process->cwd = xstrdup(text_empty(config->working_dir) ? "/" : config->working_dir);
	/* Without one too: root has the groups that the image gives it. */
	process->user.username = xstrdup(text_empty(config->user) ? "0" : config->user);
	process->no_new_privileges = security->no_new_privileges;
	process->oom_score_adj = (struct optional_i64){ true, host->oom_score_adj };
	add_arguments(spec, input);
	add_environment(spec, input->document);
	if (input->secrets)
		text_list_add_all(&process->env, input->secrets);
	add_console_size(spec, host);
	if (add_rlimits(spec, host, err) < 0)
		return -1;
	return add_capabilities(spec, input, err);
}

static void add_namespace(struct spec *spec, const char *type, const char *path)
{
	struct spec_namespace *entry = json_array_add(&spec->linux_.namespaces, sizeof(*entry));

	entry->type = xstrdup(type);
	entry->path = path ? xstrdup(path) : NULL;
}

static void add_user_namespace(struct spec *spec, const struct id_map *map)
{
	struct spec_id_mapping *uids = json_array_add(&spec->linux_.uid_mappings, sizeof(*uids));
	struct spec_id_mapping *gids = json_array_add(&spec->linux_.gid_mappings, sizeof(*gids));

	uids->host_id = (uint32_t)map->uid_base;
	gids->host_id = (uint32_t)map->gid_base;
	uids->size = gids->size = (uint32_t)map->size;
	add_namespace(spec, "user", NULL);
}

static void add_namespaces(struct spec *spec, const struct spec_input *input)
{
	const struct host_config *host = &input->document->host;
	bool private_cgroup = text_empty(host->cgroupns_mode) ? input->cgroup_v2 && !host->privileged
							      : text_equal(host->cgroupns_mode, "private");

	add_namespace(spec, "mount", NULL);
	if (!text_equal(host->network_mode, "host"))
		add_namespace(spec, "network", input->network_namespace);
	if (!text_equal(host->uts_mode, "host"))
		add_namespace(spec, "uts", NULL);
	if (!text_equal(host->pid_mode, "host"))
		add_namespace(spec, "pid", input->pid_namespace);
	if (!text_equal(host->ipc_mode, "host"))
		add_namespace(spec, "ipc", input->ipc_namespace);
	if (private_cgroup)
		add_namespace(spec, "cgroup", NULL);
	if (input->document->id_map.size)
		add_user_namespace(spec, &input->document->id_map);
}

static void add_sysctls(struct spec *spec, const struct spec_input *input)
{
	const struct host_config *host = &input->document->host;
	int64_t ids = input->document->id_map.size;
	AUTO_FREE char *groups = xasprintf("0 %lld", (long long)(ids ? ids - 1 : INT32_MAX));

	if (!text_equal(host->network_mode, "host") && !input->network_namespace) {
		text_map_set(&spec->linux_.sysctl, "net.ipv4.ip_unprivileged_port_start", "0");
		text_map_set(&spec->linux_.sysctl, "net.ipv4.ping_group_range", groups);
	}
	for (size_t i = 0; i < host->sysctls.count; i++)
		text_map_set(&spec->linux_.sysctl, host->sysctls.items[i].key, host->sysctls.items[i].value);
}

static void add_paths(struct spec *spec, const struct host_config *host, const struct security_options *security)
{
	if (host->privileged || security->paths_unconfined)
		return;
	text_list_add_all(&spec->linux_.masked_paths, &host->masked_paths);
	text_list_add_all(&spec->linux_.readonly_paths, &host->readonly_paths);
}

/* A namespace only propagates to its mounts what its root lets through. */
static void add_propagation(struct spec *spec, const struct container_document *document)
{
	const char *wanted = NULL;

	for (size_t i = 0; i < document->mounts.count; i++) {
		const char *propagation = text_or_empty(document->mounts.items[i].propagation);

		if (text_equal(propagation, "shared") || text_equal(propagation, "rshared"))
			wanted = "shared";
		else if (!wanted && (text_equal(propagation, "slave") || text_equal(propagation, "rslave")))
			wanted = "rslave";
	}
	if (wanted)
		spec->linux_.rootfs_propagation = xstrdup(wanted);
}

static void add_annotations(struct spec *spec, const struct host_config *host)
{
	text_map_copy(&spec->annotations, &host->annotations);
	if (host->group_add.count) {
		AUTO_FREE char *groups = text_list_join(&host->group_add, ",");

		text_map_set(&spec->annotations, "run.kist.groups", groups);
	}
}

static int add_seccomp(struct spec *spec, const struct host_config *host, const struct security_options *security,
		       struct error *err)
{
	if (security->seccomp_unconfined || (host->privileged && !security->seccomp_profile))
		return 0;
	return spec_seccomp_profile(&spec->linux_.seccomp, security->seccomp_profile,
				    &spec->process->capabilities->bounding, err);
}

static int build(struct spec *spec, const struct spec_input *input, struct error *err)
{
	const struct container_document *document = input->document;
	struct security_options security;

	if (security_options_parse(&security, &document->host.security_opt, err) < 0)
		return -1;
	spec->oci_version = xstrdup("1.2.0");
	spec->root = xcalloc(1, sizeof(*spec->root));
	spec->root->path = xstrdup(input->root_path);
	spec->root->readonly = document->host.readonly_rootfs;
	if (!text_equal(document->host.uts_mode, "host")) {
		spec->hostname = xstrdup(text_or_empty(document->config.hostname));
		spec->domainname = text_empty(document->config.domainname) ? NULL
									   : xstrdup(document->config.domainname);
	}
	if (add_process(spec, input, &security, err) < 0 || spec_add_mounts(spec, input, err) < 0 ||
	    spec_add_resources(spec, input, err) < 0 || spec_add_devices(spec, input, err) < 0 ||
	    add_seccomp(spec, &document->host, &security, err) < 0)
		return -1;
	spec->linux_.cgroups_path = xstrdup(input->cgroups_path);
	add_namespaces(spec, input);
	add_sysctls(spec, input);
	add_paths(spec, &document->host, &security);
	add_propagation(spec, document);
	add_annotations(spec, &document->host);
	return 0;
}

int spec_build(struct spec *out_spec, const struct spec_input *input, struct error *err)
{
	struct spec spec = { 0 };

	if (build(&spec, input, err) < 0) {
		spec_fini(&spec);
		return -1;
	}
	*out_spec = spec;
	return 0;
}
