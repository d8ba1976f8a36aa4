/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: one function per group of options. An option is either acted
 * on later, or refused here: none is dropped silently. The sentences are
 * dockerd's.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "engine/engine_private.h"
#include "engine/log_driver.h"
#include "engine/spec.h"
#include "engine/user_namespace.h"
#include "sys/cgroup.h"
#include "sys/rlimit.h"
#include "sys/signal_name.h"

#define MEMORY_MIN (INT64_C(6) * 1024 * 1024)

static int invalid(struct error *err, const char *text)
{
	return error_set(err, ERR_INVALID, "%s", text);
}

static int unsupported(struct error *err, const char *option)
{
	return error_set(err, ERR_UNSUPPORTED, "%s is not supported by this engine", option);
}

static void replace(char **member, const char *text)
{
	free(*member);
	*member = xstrdup(text);
}

/* ---- resources ---- */

static int check_memory_swap(const struct host_config *host, struct error *err)
{
	if (host->memory > 0 && host->memory_swap > 0 && host->memory_swap < host->memory)
		return invalid(err, "Minimum memoryswap limit should be larger than memory limit, see usage");
	if (host->memory == 0 && host->memory_swap > 0)
		return invalid(err, "You should always set the Memory limit when using Memoryswap limit, see usage");
	if (host->memory_swappiness.set && (host->memory_swappiness.value < -1 || host->memory_swappiness.value > 100))
		return error_set(err, ERR_INVALID, "Invalid value: %lld, valid memory swappiness range is 0-100",
				 (long long)host->memory_swappiness.value);
	return 0;
}

static int check_memory(struct host_config *host, struct error *err)
{
	if (host->memory < 0 || (host->memory != 0 && host->memory < MEMORY_MIN))
		return invalid(err, "Minimum memory limit allowed is 6MB");
	if (host->memory_reservation != 0 && host->memory_reservation < MEMORY_MIN)
		return invalid(err, "Minimum memory reservation allowed is 6MB");
	if (host->memory > 0 && host->memory_reservation > 0 && host->memory < host->memory_reservation)
		return invalid(err, "Minimum memory limit can not be less than memory reservation limit, see usage");
	if (check_memory_swap(host, err) < 0)
		return -1;
	/* As much swap again as memory, unless said otherwise. */
	if (host->memory > 0 && host->memory_swap == 0)
		host->memory_swap = host->memory > INT64_MAX / 2 ? INT64_MAX : host->memory * 2;
	return 0;
}

static int check_cpu_set(const char *set, const char *which, int64_t available, struct error *err)
{
	AUTO(text_list_fini) struct text_list ranges = { 0 };

	if (text_empty(set))
		return 0;
	text_list_split(&ranges, set, ',');
	for (size_t i = 0; i < ranges.count; i++) {
		AUTO(text_list_fini) struct text_list ends = { 0 };
		uint64_t first;
		uint64_t last;

		text_list_split(&ends, ranges.items[i], '-');
		if (ends.count < 1 || ends.count > 2 || text_parse_u64(&first, ends.items[0], 8191) < 0 ||
		    text_parse_u64(&last, ends.items[ends.count - 1], 8191) < 0 || last < first)
			return error_set(err, ERR_INVALID, "Invalid value %s for cpuset %s", set, which);
		if ((int64_t)last >= available)
			return error_set(
				err, ERR_INVALID, "Requested %s are not available - requested %s, available: 0-%lld",
				text_equal(which, "cpus") ? "CPUs" : "memory nodes", set, (long long)available - 1);
	}
	return 0;
}

static int check_cpu_time(const struct host_config *host, struct error *err)
{
	if (host->cpu_shares < 0)
		return error_set(err, ERR_INVALID, "invalid CPU shares (%lld): value must be a positive integer",
				 (long long)host->cpu_shares);
	if (host->cpu_period != 0 && (host->cpu_period < 1000 || host->cpu_period > 1000000))
		return invalid(err, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. "
				    "1000000)");
	if (host->cpu_quota > 0 && host->cpu_quota < 1000)
		return invalid(err, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
	if (host->cpu_count || host->cpu_percent)
		return unsupported(err, "CPU count and percent (Windows only)");
	return 0;
}

static int check_cpu(const struct host_config *host, struct error *err)
{
	int64_t cpus = sysconf(_SC_NPROCESSORS_CONF);

	if (host->nano_cpus != 0 && host->cpu_period != 0)
		return invalid(err, "Conflicting options: Nano CPUs and CPU Period cannot both be set");
	if (host->nano_cpus != 0 && host->cpu_quota != 0)
		return invalid(err, "Conflicting options: Nano CPUs and CPU Quota cannot both be set");
	if (host->nano_cpus < 0 || host->nano_cpus > cpus * 1000000000)
		return error_set(err, ERR_INVALID,
				 "range of CPUs is from 0.01 to %lld.00, as there are only %lld CPUs available",
				 (long long)cpus, (long long)cpus);
	if (check_cpu_time(host, err) < 0 || check_cpu_set(host->cpuset_cpus, "cpus", cpus, err) < 0)
		return -1;
	return check_cpu_set(host->cpuset_mems, "mems", 1024, err);
}

static int check_devices(const struct host_config *host, struct error *err)
{
	if (host->blkio_weight != 0 && (host->blkio_weight < 10 || host->blkio_weight > 1000))
		return invalid(err, "Range of blkio weight is from 10 to 1000");
	for (size_t i = 0; i < host->devices.count; i++) {
		const struct device_mapping *device = &host->devices.items[i];

		if (text_empty(device->path_on_host))
			return invalid(err, "bad format for path: ");
		if (text_or_empty(
			    device->cgroup_permissions)[strspn(text_or_empty(device->cgroup_permissions), "rwm")] !=
		    '\0')
			return error_set(err, ERR_INVALID, "invalid device mode: %s", device->cgroup_permissions);
	}
	if (host->io_maximum_iops || host->io_maximum_bandwidth)
		return unsupported(err, "maximum I/O (Windows only)");
	return 0;
}

static int check_ulimits(const struct host_config *host, struct error *err)
{
	for (size_t i = 0; i < host->ulimits.count; i++) {
		const struct ulimit *limit = &host->ulimits.items[i];

		if (rlimit_parse(text_or_empty(limit->name)) < 0)
			return error_set(err, ERR_INVALID, "invalid ulimit type: %s", text_or_empty(limit->name));
		if (limit->hard != -1 && (limit->soft > limit->hard || limit->soft == -1))
			return error_set(err, ERR_INVALID,
					 "ulimit soft limit must be less than or equal to hard limit: %lld > %lld",
					 (long long)limit->soft, (long long)limit->hard);
	}
	return 0;
}

/* ---- modes ---- */

static int check_restart(const struct host_config *host, struct error *err)
{
	const char *name = text_or_empty(host->restart_policy.name);
	int64_t retries = host->restart_policy.maximum_retry_count;
	bool none = text_equal(name, "") || text_equal(name, "no");

	if (none || text_equal(name, "always") || text_equal(name, "unless-stopped")) {
		if (retries != 0)
			return error_set(err, ERR_INVALID,
					 "invalid restart policy: maximum retry count can only be used with "
					 "'on-failure'%s",
					 retries < 0 ? " and cannot be negative" : "");
	} else if (!text_equal(name, "on-failure")) {
		return error_set(err, ERR_INVALID,
				 "invalid restart policy: unknown policy '%s'; use one of 'no', 'always', "
				 "'on-failure', or 'unless-stopped'",
				 name);
	} else if (retries < 0) {
		return invalid(err, "invalid restart policy: maximum retry count cannot be negative");
	}
	if (host->auto_remove && !none)
		return invalid(err, "can't create 'AutoRemove' container with restart policy");
	return 0;
}

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (text_equal(text, *words))
			return true;
	return false;
}

static int check_namespaces(struct host_config *host, struct error *err)
{
	static const char *const ipc_modes[] = { "none", "private", "shareable", "host", NULL };
	static const char *const plain_modes[] = { "", "host", NULL };
	static const char *const cgroup_modes[] = { "", "host", "private", NULL };
	int64_t userns_size;

	if (text_empty(host->ipc_mode))
		replace(&host->ipc_mode, "private");
	if (!is_one_of(host->ipc_mode, ipc_modes) && !text_has_prefix(host->ipc_mode, "container:"))
		return error_set(err, ERR_INVALID, "invalid IPC mode: %s", host->ipc_mode);
	if (!is_one_of(text_or_empty(host->pid_mode), plain_modes) &&
	    !text_has_prefix(text_or_empty(host->pid_mode), "container:"))
		return error_set(err, ERR_INVALID, "invalid PID mode: %s", host->pid_mode);
	if (!is_one_of(text_or_empty(host->uts_mode), plain_modes))
		return error_set(err, ERR_INVALID, "invalid UTS mode: %s", host->uts_mode);
	if (!is_one_of(text_or_empty(host->cgroupns_mode), cgroup_modes))
		return error_set(err, ERR_INVALID, "invalid cgroup namespace mode: %s", host->cgroupns_mode);
	return userns_mode_parse(&userns_size, host->userns_mode, err);
}

/* What makes no sense in another container's network: the files and ports are that one's. */
static int check_shared_network(const struct container_config *config, const struct host_config *host,
				struct error *err)
{
	const struct {
		bool given;
		const char *message;
	} conflicts[] = {
		{ !text_empty(config->hostname), "conflicting options: hostname and the network mode" },
		{ host->links.count > 0, "conflicting options: container type network can't be used with links. This "
					 "would result in undefined behavior" },
		{ host->dns.count > 0, "conflicting options: dns and the network mode" },
		{ host->extra_hosts.count > 0, "conflicting options: custom host-to-IP mapping and the network mode" },
		{ host->port_bindings.count || host->publish_all_ports,
		  "conflicting options: port publishing and the container type network mode" },
		{ config->exposed_ports.count > 0,
		  "conflicting options: port exposing and the container type network mode" },
	};

	if (host->network_mode[strlen("container:")] == '\0')
		return invalid(err, "Container network mode requires a container: invalid network mode: container:");
	for (size_t i = 0; i < sizeof(conflicts) / sizeof(conflicts[0]); i++)
		if (conflicts[i].given)
			return invalid(err, conflicts[i].message);
	return 0;
}

static int check_network(const struct container_config *config, struct host_config *host, struct error *err)
{
	if (text_empty(host->network_mode) || text_equal(host->network_mode, "default"))
		replace(&host->network_mode, config->network_disabled ? "none" : "bridge");
	if (text_has_prefix(host->network_mode, "container:") && check_shared_network(config, host, err) < 0)
		return -1;
	if (text_equal(host->network_mode, "host") && host->links.count)
		return invalid(err, "conflicting options: host type networking can't be used with links. This would "
				    "result in undefined behavior");
	return 0;
}

static int check_logging(struct host_config *host, struct error *err)
{
	if (text_empty(host->log_config.type))
		replace(&host->log_config.type, "json-file");
	return log_config_check(&host->log_config, err);
}

int container_storage_size(int64_t *out_bytes, const struct host_config *host, struct error *err)
{
	*out_bytes = 0;
	for (size_t i = 0; i < host->storage_opt.count; i++) {
		const struct text_pair *option = &host->storage_opt.items[i];

		if (!text_equal_ignoring_case(option->key, "size"))
			return error_set(err, ERR_INVALID, "unknown option %s", option->key);
		if (text_parse_size(out_bytes, text_or_empty(option->value)) < 0 || *out_bytes < 0)
			return error_set(err, ERR_INVALID, "invalid size: '%s'", text_or_empty(option->value));
	}
	return 0;
}

/* What is accepted by dockerd but would change nothing here is refused, not ignored. */
static int check_unsupported(const struct container_config *config, const struct host_config *host, struct error *err)
{
	int64_t size;

	if (container_storage_size(&size, host, err) < 0)
		return -1;
	if (!text_empty(host->cgroup))
		return unsupported(err, "HostConfig.Cgroup");
	if (!text_empty(host->isolation) && !text_equal(host->isolation, "default"))
		return error_set(err, ERR_INVALID, "invalid isolation '%s' on linux", host->isolation);
	if (health_check_config(config, host, err) < 0)
		return -1;
	return 0;
}

/* ---- the container's own ---- */

/* They become parts of lines in the container's files: one that ends its line would add others. */
static int check_word(const char *text, const char *what, struct error *err)
{
	for (const char *c = text_or_empty(text); *c; c++)
		if (iscntrl((unsigned char)*c))
			return error_set(err, ERR_INVALID, "invalid %s: a control character in \"%s\"", what, text);
	return 0;
}

static int check_words(const struct text_list *words, const char *what, struct error *err)
{
	for (size_t i = 0; i < words->count; i++)
		if (check_word(words->items[i], what, err) < 0)
			return -1;
	return 0;
}

static int check_names(const struct container_config *config, const struct host_config *host, struct error *err)
{
	if (check_word(config->hostname, "hostname", err) < 0 ||
	    check_word(config->domainname, "domainname", err) < 0 || check_words(&host->dns, "DNS server", err) < 0 ||
	    check_words(&host->dns_search, "DNS search domain", err) < 0 ||
	    check_words(&host->dns_options, "DNS option", err) < 0 ||
	    check_words(&host->extra_hosts, "extra host", err) < 0)
		return -1;
	if (text_equal(host->uts_mode, "host") && !text_empty(config->hostname))
		return invalid(err, "conflicting options: hostname and the UTS mode");
	return 0;
}

static int check_process(struct container_config *config, struct error *err)
{
	if (config->entrypoint.count == 0 && config->cmd.count == 0)
		return invalid(err, "no command specified");
	if (!text_empty(config->working_dir)) {
		AUTO_FREE char *clean = path_clean(config->working_dir);

		if (!path_is_absolute(clean))
			return error_set(err, ERR_INVALID,
					 "the working directory '%s' is invalid, it needs to be an absolute path",
					 config->working_dir);
		replace(&config->working_dir, clean);
	}
	for (size_t i = 0; i < config->env.count; i++)
		if (config->env.items[i][0] == '\0' || config->env.items[i][0] == '=')
			return error_set(err, ERR_INVALID, "invalid environment variable: %s", config->env.items[i]);
	if (!text_empty(config->stop_signal) && signal_parse(config->stop_signal) < 0)
		return error_set(err, ERR_INVALID, "invalid signal: %s", config->stop_signal);
	if (strlen(text_or_empty(config->hostname)) > 63)
		return error_set(err, ERR_INVALID, "invalid hostname: \"%s\" is longer than 63 bytes",
				 config->hostname);
	return 0;
}

static int check_host_rest(struct host_config *host, struct error *err)
{
	struct security_options security;

	if (host->oom_score_adj < -1000 || host->oom_score_adj > 1000)
		return error_set(err, ERR_INVALID, "Invalid value %lld, range for oom score adj is [-1000, 1000]",
				 (long long)host->oom_score_adj);
	if (host->shm_size < 0)
		return invalid(err, "SHM size can not be less than 0");
	if (host->console_size.count != 0 && host->console_size.count != 2)
		return invalid(err, "ConsoleSize: expected [height, width]");
	if (host->auto_remove && text_equal(host->cgroup_parent, "/"))
		return invalid(err, "cgroup-parent must not be /");
	if (strstr(text_or_empty(host->cgroup_parent), ".."))
		return error_set(err, ERR_INVALID, "invalid cgroup parent: %s", host->cgroup_parent);
	return security_options_parse(&security, &host->security_opt, err);
}

static void fill_paths(struct host_config *host)
{
	if (host->privileged)
		return;
	if (!host->masked_paths_given)
		spec_default_masked_paths(&host->masked_paths);
	if (!host->readonly_paths_given)
		spec_default_readonly_paths(&host->readonly_paths);
}

static int check_all(struct container_config *config, struct host_config *host, struct error *err)
{
	if (check_process(config, err) < 0 || check_memory(host, err) < 0 || check_cpu(host, err) < 0 ||
	    check_devices(host, err) < 0 || check_ulimits(host, err) < 0 || check_restart(host, err) < 0)
		return -1;
	if (check_namespaces(host, err) < 0 || check_network(config, host, err) < 0 || check_logging(host, err) < 0 ||
	    check_unsupported(config, host, err) < 0 || check_host_rest(host, err) < 0 ||
	    check_names(config, host, err) < 0)
		return -1;
	return spec_check_capabilities(host, err);
}

int container_check_resources(struct host_config *host, struct error *err)
{
	if (check_memory(host, err) < 0 || check_cpu(host, err) < 0 || check_devices(host, err) < 0)
		return -1;
	return check_restart(host, err);
}

int container_check(struct container_config *config, struct host_config *host, struct text_list *warnings,
		    struct error *err)
{
	/* Gone from kernels since 5.4; dockerd drops it too. */
	if (host->kernel_memory > 0)
		text_list_add(warnings,
			      "Your kernel does not support kernel memory limit capabilities or the cgroup is "
			      "not mounted. Limitation discarded.");
	host->kernel_memory = 0;
	if (check_all(config, host, err) < 0)
		return -1;
	if (text_empty(host->restart_policy.name))
		replace(&host->restart_policy.name, "no");
	/* What docker CLI says when nobody asked. */
	if (host->memory_swappiness.value == -1)
		host->memory_swappiness = (struct optional_i64){ 0 };
	if (host->pids_limit.value == 0)
		host->pids_limit.set = false;
	for (size_t i = host->console_size.count; i < 2; i++)
		json_array_add(&host->console_size, sizeof(struct u64_item));
	if (optional_bool_or(host->oom_kill_disable, false) && host->memory == 0)
		text_list_add(warnings, "OOM killer is disabled for the container, but no memory limit is set, this "
					"can result in the system running out of resources.");
	if (host->memory > 0 && host->memory_swap > 0 && !cgroup_accounts_swap())
		text_list_add(warnings, "Your kernel does not support swap limit capabilities or the cgroup is not "
					"mounted. Memory limited without swap.");
	fill_paths(host);
	return 0;
}
