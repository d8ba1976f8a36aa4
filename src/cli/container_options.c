/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/container_options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define T struct container_options

/* ---- values that are checked while they are read ---- */

#define DEFINE_CALL(name, expression)                                                                                  \
	static int name(void *target, const char *value, struct error *err)                                            \
	{                                                                                                              \
		struct container_options *o = target;                                                                  \
                                                                                                                       \
		return expression;                                                                                     \
	}

DEFINE_CALL(read_mount, spec_mount(&o->built[BUILT_MOUNTS], value, err))
DEFINE_CALL(read_ulimit, spec_ulimit(&o->built[BUILT_ULIMITS], value, err))
DEFINE_CALL(read_gpus, spec_gpus(&o->built[BUILT_GPUS], value, err))
DEFINE_CALL(read_weight, spec_weight(&o->built[BUILT_WEIGHTS], value, err))
DEFINE_CALL(read_read_bps, spec_throttle(&o->built[BUILT_READ_BPS], value, true, err))
DEFINE_CALL(read_write_bps, spec_throttle(&o->built[BUILT_WRITE_BPS], value, true, err))
DEFINE_CALL(read_read_iops, spec_throttle(&o->built[BUILT_READ_IOPS], value, false, err))
DEFINE_CALL(read_write_iops, spec_throttle(&o->built[BUILT_WRITE_IOPS], value, false, err))
DEFINE_CALL(read_network, spec_network(&o->networks, value, err))
DEFINE_CALL(read_cpus, spec_cpus(&o->nano_cpus, value, err))
DEFINE_CALL(read_add_host, spec_add_host(&o->extra_hosts, value, err))
DEFINE_CALL(read_health_interval, spec_duration(&o->health_interval, value, err))
DEFINE_CALL(read_health_timeout, spec_duration(&o->health_timeout, value, err))
DEFINE_CALL(read_health_start_period, spec_duration(&o->health_start_period, value, err))
DEFINE_CALL(read_health_start_interval, spec_duration(&o->health_start_interval, value, err))

static int read_attach(void *target, const char *value, struct error *err)
{
	struct container_options *o = target;
	AUTO_FREE char *lower = xstrdup(value);

	for (char *c = lower; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (!text_equal(lower, "stdin") && !text_equal(lower, "stdout") && !text_equal(lower, "stderr"))
		return error_set(err, ERR_INVALID, "valid streams are STDIN, STDOUT and STDERR");
	text_list_add(&o->attach, lower);
	return 0;
}

static int read_env(void *target, const char *value, struct error *err)
{
	struct container_options *o = target;

	if (*value == '=' || *value == '\0')
		return error_set(err, ERR_INVALID, "invalid environment variable: %s", value);
	if (strchr(value, '=') || getenv(value))
		spec_env(&o->env_options, value);
	else
		text_list_add(&o->env_options, value);
	return 0;
}

static int read_dns(void *target, const char *value, struct error *err)
{
	struct container_options *o = target;

	if (!spec_is_ip(value))
		return error_set(err, ERR_INVALID, "IP address is not correctly formatted: %s", value);
	text_list_add(&o->dns, value);
	return 0;
}

static int read_link(void *target, const char *value, struct error *err)
{
	struct container_options *o = target;

	if (*value == '\0')
		return error_set(err, ERR_INVALID, "empty string specified for links");
	if (strchr(value, ':') != strrchr(value, ':'))
		return error_set(err, ERR_INVALID, "bad format for links: %s", value);
	text_list_add(&o->links, value);
	return 0;
}

static int read_sysctl(void *target, const char *value, struct error *err)
{
	static const char *const names[] = {
		"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
		"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"
	};
	struct container_options *o = target;
	bool allowed = text_has_prefix(value, "net.") || text_has_prefix(value, "fs.mqueue.");
	size_t size = strcspn(value, "=");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		allowed = allowed || (strlen(names[i]) == size && strncmp(names[i], value, size) == 0);
	if (!allowed || value[size] == '\0')
		return error_set(err, ERR_INVALID, "sysctl '%s' is not allowed", value);
	text_list_add(&o->sysctls, value);
	return 0;
}

static int read_label(void *target, const char *value, struct error *err)
{
	struct container_options *o = target;

	if (*value == '=' || *value == '\0')
		return error_set(err, ERR_INVALID, "invalid label '%s': empty name", value);
	text_list_add(&o->label_options, value);
	return 0;
}

static int read_cgroup_rule(void *target, const char *value, struct error *err)
{
	struct container_options *o = target;
	const char *at = value;

	if (!strchr("acb", *at) || at[1] != ' ')
		return error_set(err, ERR_INVALID, "invalid device cgroup format '%s'", value);
	at += 2;
	at += *at == '*' ? 1 : strspn(at, "0123456789");
	if (*at == ':')
		at++;
	at += *at == '*' ? 1 : strspn(at, "0123456789");
	if (*at != ' ' || !at[1] || at[1 + strspn(at + 1, "rwm")])
		return error_set(err, ERR_INVALID, "invalid device cgroup format '%s'", value);
	text_list_add(&o->device_cgroup_rules, value);
	return 0;
}

static int refuse_api_socket(void *target, const char *value, struct error *err)
{
	(void)target;
	(void)value;
	return error_set(
		err, ERR_UNSUPPORTED,
		"--use-api-socket would make the container root on this host: mount a socket that has a policy "
		"instead (kistd --socket-policy, -v)");
}

static int refuse_windows(void *target, const char *value, struct error *err)
{
	(void)target;
	(void)value;
	return error_set(err, ERR_UNSUPPORTED, "only Windows has this");
}

/* ---- the table ---- */

#define CREATE_OPTIONS                                                                                                 \
	OPTION_CALL("add-host", 0, read_add_host, "list", "Add a host-to-IP mapping (host:ip)"),                       \
		OPTION_LIST("annotation", 0, T, annotations, "map", "Annotation for the OCI runtime"),                 \
		OPTION_CALL("attach", 'a', read_attach, "list", "Attach to STDIN, STDOUT or STDERR"),                  \
		OPTION_I64("blkio-weight", 0, T, blkio_weight, "Block IO weight, 10 to 1000, or 0 for none"),          \
		OPTION_CALL("blkio-weight-device", 0, read_weight, "list", "Block IO weight of a device"),             \
		OPTION_LIST("cap-add", 0, T, cap_add, "list", "Add Linux capabilities"),                               \
		OPTION_LIST("cap-drop", 0, T, cap_drop, "list", "Drop Linux capabilities"),                            \
		OPTION_TEXT("cgroup-parent", 0, T, cgroup_parent, "string", "Parent cgroup for the container"),        \
		OPTION_TEXT("cgroupns", 0, T, cgroupns, "string", "Cgroup namespace to use (host|private)"),           \
		OPTION_TEXT("cidfile", 0, T, cidfile, "string", "Write the container ID to the file"),                 \
		OPTION_CALL_FLAG("use-api-socket", 0, refuse_api_socket, NULL),                                        \
		OPTION_CALL("cpu-count", 0, refuse_windows, "int", NULL),                                              \
		OPTION_CALL("cpu-percent", 0, refuse_windows, "int", NULL),                                            \
		OPTION_I64("cpu-period", 0, T, cpu_period, "Period of the CPU quota in microseconds"),                 \
		OPTION_I64("cpu-quota", 0, T, cpu_quota, "CPU time per period in microseconds"),                       \
		OPTION_I64("cpu-rt-period", 0, T, cpu_rt_period, "Real-time period in microseconds"),                  \
		OPTION_I64("cpu-rt-runtime", 0, T, cpu_rt_runtime, "Real-time runtime in microseconds"),               \
		OPTION_I64("cpu-shares", 'c', T, cpu_shares, "CPU shares (relative weight)"),                          \
		OPTION_CALL("cpus", 0, read_cpus, "decimal", "Number of CPUs"),                                        \
		OPTION_TEXT("cpuset-cpus", 0, T, cpuset_cpus, "string", "CPUs to run on (0-3, 0,1)"),                  \
		OPTION_TEXT("cpuset-mems", 0, T, cpuset_mems, "string", "Memory nodes to use (0-3, 0,1)"),             \
		OPTION_LIST("device", 0, T, devices, "list", "Add a host device (host[:container[:rwm]])"),            \
		OPTION_CALL("device-cgroup-rule", 0, read_cgroup_rule, "list", "Add a rule to the device cgroup"),     \
		OPTION_CALL("device-read-bps", 0, read_read_bps, "list", "Limit bytes per second read from a device"), \
		OPTION_CALL("device-read-iops", 0, read_read_iops, "list", "Limit reads per second of a device"),      \
		OPTION_CALL("device-write-bps", 0, read_write_bps, "list",                                             \
			    "Limit bytes per second written to a device"),                                             \
		OPTION_CALL("device-write-iops", 0, read_write_iops, "list", "Limit writes per second to a device"),   \
		OPTION_OPT_BOOL("disable-content-trust", 0, T, no_trust, NULL),                                        \
		OPTION_CALL("dns", 0, read_dns, "list", "Set DNS servers"),                                            \
		OPTION_LIST("dns-opt", 0, T, dns_options, "list", NULL),                                               \
		OPTION_LIST("dns-option", 0, T, dns_options, "list", "Set DNS options"),                               \
		OPTION_LIST("dns-search", 0, T, dns_search, "list", "Set DNS search domains"),                         \
		OPTION_TEXT("domainname", 0, T, domainname, "string", "NIS domain name of the container"),             \
		OPTION_TEXT("entrypoint", 0, T, entrypoint, "string", "Replace the image's entrypoint"),               \
		OPTION_CALL("env", 'e', read_env, "list", "Set environment variables"),                                \
		OPTION_LIST("env-file", 0, T, env_files, "list", "Read environment variables from a file"),            \
		OPTION_LIST("expose", 0, T, expose, "list", "Expose a port or a range of ports"),                      \
		OPTION_CALL("gpus", 0, read_gpus, "gpu-request", "GPUs to add ('all' for all)"),                       \
		OPTION_LIST("group-add", 0, T, group_add, "list", "Join more groups"),                                 \
		OPTION_TEXT("health-cmd", 0, T, health_cmd, "string", "Command that checks health"),                   \
		OPTION_CALL("health-interval", 0, read_health_interval, "duration", "Time between checks"),            \
		OPTION_I64("health-retries", 0, T, health_retries, "Failures in a row that mean unhealthy"),           \
		OPTION_CALL("health-start-interval", 0, read_health_start_interval, "duration",                        \
			    "Time between checks in the start period"),                                                \
		OPTION_CALL("health-start-period", 0, read_health_start_period, "duration",                            \
			    "Time to start before failures count"),                                                    \
		OPTION_CALL("health-timeout", 0, read_health_timeout, "duration", "Longest time a check may take"),    \
		OPTION_TEXT("hostname", 'h', T, hostname, "string", "Host name of the container"),                     \
		OPTION_OPT_BOOL("init", 0, T, init, "Run an init that forwards signals and reaps processes"),          \
		OPTION_FLAG("interactive", 'i', T, interactive, "Keep STDIN open even if not attached"),               \
		OPTION_CALL("io-maxbandwidth", 0, refuse_windows, "bytes", NULL),                                      \
		OPTION_CALL("io-maxiops", 0, refuse_windows, "uint", NULL),                                            \
		OPTION_TEXT("ip", 0, T, ip, "string", "IPv4 address"),                                                 \
		OPTION_TEXT("ip6", 0, T, ip6, "string", "IPv6 address"),                                               \
		OPTION_TEXT("ipc", 0, T, ipc, "string", "IPC mode"),                                                   \
		OPTION_TEXT("isolation", 0, T, isolation, "string", NULL),                                             \
		OPTION_SIZE("kernel-memory", 0, T, kernel_memory, NULL),                                               \
		OPTION_CALL("label", 'l', read_label, "list", "Set labels on the container"),                          \
		OPTION_LIST("label-file", 0, T, label_files, "list", "Read labels from a file"),                       \
		OPTION_CALL("link", 0, read_link, "list", "Add a link to another container"),                          \
		OPTION_LIST("link-local-ip", 0, T, link_local_ips, "list", "Link-local addresses"),                    \
		OPTION_TEXT("log-driver", 0, T, log_driver, "string", "Logging driver"),                               \
		OPTION_LIST("log-opt", 0, T, log_options, "list", "Options of the logging driver"),                    \
		OPTION_TEXT("mac-address", 0, T, mac_address, "string", "MAC address (92:d0:c6:0a:29:33)"),            \
		OPTION_SIZE("memory", 'm', T, memory, "Memory limit"),                                                 \
		OPTION_SIZE("memory-reservation", 0, T, memory_reservation, "Memory soft limit"),                      \
		OPTION_SIZE("memory-swap", 0, T, memory_swap, "Limit of memory plus swap, -1 for unlimited swap"),     \
		OPTION_I64("memory-swappiness", 0, T, memory_swappiness, "Memory swappiness (0 to 100)"),              \
		OPTION_CALL("mount", 0, read_mount, "mount", "Attach a file system mount"),                            \
		OPTION_TEXT("name", 0, T, name, "string", "Name of the container"),                                    \
		OPTION_CALL("net", 0, read_network, "network", NULL),                                                  \
		OPTION_LIST("net-alias", 0, T, aliases, "list", NULL),                                                 \
		OPTION_CALL("network", 0, read_network, "network", "Connect the container to a network"),              \
		OPTION_LIST("network-alias", 0, T, aliases, "list", "Alias on the network"),                           \
		OPTION_FLAG("no-healthcheck", 0, T, no_healthcheck, "Disable the image's health check"),               \
		OPTION_FLAG("oom-kill-disable", 0, T, oom_kill_disable, "Disable the OOM killer"),                     \
		OPTION_I64("oom-score-adj", 0, T, oom_score_adj, "Host's OOM preference (-1000 to 1000)"),             \
		OPTION_TEXT("pid", 0, T, pid, "string", "PID namespace to use"),                                       \
		OPTION_I64("pids-limit", 0, T, pids_limit, "Limit of processes (-1 for unlimited)"),                   \
		OPTION_TEXT("platform", 0, T, platform, "string", "Platform of the image (linux/arm64)"),              \
		OPTION_FLAG("privileged", 0, T, privileged, "Give all privileges to this container"),                  \
		OPTION_LIST("publish", 'p', T, publish, "list", "Publish ports to the host"),                          \
		OPTION_FLAG("publish-all", 'P', T, publish_all, "Publish all exposed ports to free ports"),            \
		OPTION_TEXT("pull", 0, T, pull, "string", "Pull the image first (always, missing, never)"),            \
		OPTION_FLAG("quiet", 'q', T, quiet, "Do not show the pull"),                                           \
		OPTION_FLAG("read-only", 0, T, read_only, "Mount the root file system read-only"),                     \
		OPTION_TEXT("restart", 0, T, restart, "string", "Restart policy when the container exits"),            \
		OPTION_FLAG("rm", 0, T, remove, "Remove the container and its anonymous volumes when it exits"),       \
		OPTION_TEXT("runtime", 0, T, runtime, "string", "OCI runtime to use"),                                 \
		OPTION_LIST("security-opt", 0, T, security_options, "list", "Security options"),                       \
		OPTION_SIZE("shm-size", 0, T, shm_size, "Size of /dev/shm"),                                           \
		OPTION_TEXT("stop-signal", 0, T, stop_signal, "string", "Signal that stops the container"),            \
		OPTION_OPT_I64("stop-timeout", 0, T, stop_timeout, "Seconds to wait before it is killed"),             \
		OPTION_LIST("storage-opt", 0, T, storage_options, "list", "Storage driver options"),                   \
		OPTION_CALL("sysctl", 0, read_sysctl, "map", "Kernel parameters"),                                     \
		OPTION_LIST("tmpfs", 0, T, tmpfs, "list", "Mount a tmpfs"),                                            \
		OPTION_FLAG("tty", 't', T, tty, "Allocate a terminal"),                                                \
		OPTION_CALL("ulimit", 0, read_ulimit, "ulimit", "Resource limits (name=soft[:hard])"),                 \
		OPTION_TEXT("user", 'u', T, user, "string", "User name or UID (<name|uid>[:<group|gid>])"),            \
		OPTION_TEXT("userns", 0, T, userns, "string", "User namespace to use"),                                \
		OPTION_TEXT("uts", 0, T, uts, "string", "UTS namespace to use"),                                       \
		OPTION_LIST("volume", 'v', T, volume_options, "list", "Bind a folder or a volume"),                    \
		OPTION_TEXT("volume-driver", 0, T, volume_driver, "string", "Driver of the container's volumes"),      \
		OPTION_LIST("volumes-from", 0, T, volumes_from, "list", "Mount the volumes of other containers"),      \
		OPTION_TEXT("workdir", 'w', T, workdir, "string", "Working directory inside the container")

const struct option_spec create_options[] = { CREATE_OPTIONS, OPTION_END };

const struct option_spec run_options[] = {
	CREATE_OPTIONS,
	OPTION_FLAG("detach", 'd', T, detach, "Run in the background and print the container ID"),
	OPTION_TEXT("detach-keys", 0, T, detach_keys, "string", "Key sequence that detaches"),
	OPTION_FLAG("sig-proxy", 0, T, sig_proxy, "Pass received signals on to the process"),
	OPTION_END,
};

void container_options_defaults(void *target)
{
	struct container_options *options = target;

	options->hostname = options->domainname = options->user = options->workdir = "";
	options->log_driver = options->volume_driver = options->cgroupns = options->ipc = options->pid = "";
	options->uts = options->userns = options->isolation = options->runtime = options->cgroup_parent = "";
	options->cpuset_cpus = options->cpuset_mems = options->cidfile = "";
	options->restart = "no";
	options->pull = "missing";
	options->memory_swappiness = -1;
	options->sig_proxy = true;
}

void container_options_fini(void *target)
{
	struct container_options *options = target;
	/* Filled by calls, not by the option table, which frees its own lists. */
	struct text_list *lists[] = { &options->env,	 &options->env_options, &options->label_options,
				      &options->volumes, &options->binds,	&options->links,
				      &options->dns,	 &options->extra_hosts, &options->security,
				      &options->sysctls, &options->attach,	&options->device_cgroup_rules };

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		text_list_fini(lists[i]);
	for (size_t i = 0; i < CONTAINER_BUILT_COUNT; i++)
		text_fini(&options->built[i]);
	for (size_t i = 0; i < CONTAINER_RAW_COUNT; i++)
		free(options->raw[i]);
	port_bindings_fini(&options->ports);
	network_options_fini(&options->networks);
}
