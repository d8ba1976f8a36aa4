/* SPDX-License-Identifier: Apache-2.0 */
/* stop, restart, kill, pause, unpause, rename, rm, update: one request per container. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/members.h"
#include "cli/spec.h"

static int post(struct client *client, const struct text *path, struct error *err)
{
	return client_call(NULL, client, "POST", path->data, NULL, err) < 0 ? -1 : OPERAND_DONE;
}

/* ---- stop, restart ---- */

struct stop_options {
	const char *signal;
	struct optional_i64 seconds;
};

static const struct option_spec stop_options[] = {
	OPTION_TEXT("signal", 's', struct stop_options, signal, "string", "Signal to send to the container"),
	OPTION_OPT_I64("time", 0, struct stop_options, seconds, NULL),
	OPTION_OPT_I64("timeout", 't', struct stop_options, seconds, "Seconds to wait before it is killed"),
	OPTION_END,
};

static int stop_or_restart(struct client *client, const struct stop_options *options, const char *verb,
			   const char *name, struct error *err)
{
	AUTO(text_fini) struct text path = { 0 };
	AUTO_FREE char *seconds = options->seconds.set ? xasprintf("%lld", (long long)options->seconds.value) : NULL;

	text_addf(&path, "/containers/%s/%s", name, verb);
	query_add(&path, "signal", options->signal);
	query_add(&path, "t", seconds);
	return post(client, &path, err);
}

static int stop_one(struct client *client, void *options, const char *name, struct error *err)
{
	return stop_or_restart(client, options, "stop", name, err);
}

static int restart_one(struct client *client, void *options, const char *name, struct error *err)
{
	return stop_or_restart(client, options, "restart", name, err);
}

static int run_stop(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	return for_each_operand(cli, operands, options, stop_one, err);
}

static int run_restart(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	return for_each_operand(cli, operands, options, restart_one, err);
}

const struct command command_stop = {
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Stop one or more running containers",
	.options = stop_options,
	.options_size = sizeof(struct stop_options),
	.min_operands = 1,
	.max_operands = -1,
	.run = run_stop,
};

const struct command command_restart = {
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Restart one or more containers",
	.options = stop_options,
	.options_size = sizeof(struct stop_options),
	.min_operands = 1,
	.max_operands = -1,
	.run = run_restart,
};

/* ---- kill ---- */

struct kill_options {
	const char *signal;
};

static const struct option_spec kill_options[] = {
	OPTION_TEXT("signal", 's', struct kill_options, signal, "string", "Signal to send to the container"),
	OPTION_END,
};

static int kill_one(struct client *client, void *target, const char *name, struct error *err)
{
	const struct kill_options *options = target;
	AUTO(text_fini) struct text path = { 0 };

	text_addf(&path, "/containers/%s/kill", name);
	query_add(&path, "signal", options->signal);
	return post(client, &path, err);
}

static int run_kill(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	return for_each_operand(cli, operands, options, kill_one, err);
}

const struct command command_kill = {
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Kill one or more running containers",
	.options = kill_options,
	.options_size = sizeof(struct kill_options),
	.min_operands = 1,
	.max_operands = -1,
	.run = run_kill,
};

/* ---- pause, unpause, rename ---- */

static int pause_one(struct client *client, void *options, const char *name, struct error *err)
{
	AUTO(text_fini) struct text path = { 0 };

	(void)options;
	text_addf(&path, "/containers/%s/pause", name);
	return post(client, &path, err);
}

static int unpause_one(struct client *client, void *options, const char *name, struct error *err)
{
	AUTO(text_fini) struct text path = { 0 };

	(void)options;
	text_addf(&path, "/containers/%s/unpause", name);
	return post(client, &path, err);
}

static int run_pause(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	return for_each_operand(cli, operands, options, pause_one, err);
}

static int run_unpause(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	return for_each_operand(cli, operands, options, unpause_one, err);
}

/* docker's second line. */
static int error_prefix_line(struct error *err, const char *name)
{
	int code;

	cli_report(&code, err);
	return error_set(err, ERR_INTERNAL, "Error: failed to rename container named %s", name);
}

static int run_rename(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	struct client *client = cli_client(cli, err);
	AUTO(text_fini) struct text path = { 0 };

	(void)options;
	if (!client)
		return -1;
	text_addf(&path, "/containers/%s/rename", operands->items[0]);
	query_add(&path, "name", operands->items[1]);
	if (client_call(NULL, client, "POST", path.data, NULL, err) == 0)
		return 0;
	return error_prefix_line(err, operands->items[0]);
}

const struct command command_pause = {
	.usage = "CONTAINER [CONTAINER...]",
	.summary = "Pause all processes within one or more containers",
	.min_operands = 1,
	.max_operands = -1,
	.run = run_pause,
};

const struct command command_unpause = {
	.usage = "CONTAINER [CONTAINER...]",
	.summary = "Unpause all processes within one or more containers",
	.min_operands = 1,
	.max_operands = -1,
	.run = run_unpause,
};

const struct command command_rename = {
	.usage = "CONTAINER NEW_NAME",
	.summary = "Rename a container",
	.min_operands = 2,
	.max_operands = 2,
	.run = run_rename,
};

/* ---- rm ---- */

struct rm_options {
	bool force;
	bool link;
	bool volumes;
};

static const struct option_spec rm_options[] = {
	OPTION_FLAG("force", 'f', struct rm_options, force, "Kill a running container first (SIGKILL)"),
	OPTION_FLAG("link", 'l', struct rm_options, link, "Remove the link, not the container"),
	OPTION_FLAG("volumes", 'v', struct rm_options, volumes, "Remove the container's anonymous volumes too"),
	OPTION_END,
};

static int rm_one(struct client *client, void *target, const char *name, struct error *err)
{
	const struct rm_options *options = target;
	AUTO(text_fini) struct text path = { 0 };

	text_addf(&path, "/containers/%s", name + (*name == '/'));
	query_add_flag(&path, "force", options->force);
	query_add_flag(&path, "link", options->link);
	query_add_flag(&path, "v", options->volumes);
	if (client_call(NULL, client, "DELETE", path.data, NULL, err) == 0)
		return OPERAND_DONE;
	/* rm -f of what is not there has done what was asked. */
	return options->force && err->kind == ERR_NOT_FOUND ? OPERAND_FORGIVEN : -1;
}

static int run_rm(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	return for_each_operand(cli, operands, options, rm_one, err);
}

const struct command command_rm = {
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Remove one or more containers",
	.options = rm_options,
	.options_size = sizeof(struct rm_options),
	.min_operands = 1,
	.max_operands = -1,
	.run = run_rm,
};

/* ---- update ---- */

struct update_options {
	int64_t blkio_weight;
	int64_t cpu_period;
	int64_t cpu_rt_period;
	int64_t cpu_rt_runtime;
	int64_t cpu_quota;
	int64_t cpu_shares;
	int64_t nano_cpus;
	int64_t memory;
	int64_t memory_reservation;
	int64_t memory_swap;
	struct optional_i64 pids_limit;
	const char *cpuset_cpus;
	const char *cpuset_mems;
	const char *restart;
};

static int read_update_cpus(void *target, const char *value, struct error *err)
{
	return spec_cpus(&((struct update_options *)target)->nano_cpus, value, err);
}

static const struct option_spec update_options[] = {
	OPTION_I64("blkio-weight", 0, struct update_options, blkio_weight,
		   "Block IO weight, 10 to 1000, or 0 for none"),
	OPTION_I64("cpu-period", 0, struct update_options, cpu_period, "Period of the CPU quota in microseconds"),
	OPTION_I64("cpu-quota", 0, struct update_options, cpu_quota, "CPU time per period in microseconds"),
	OPTION_I64("cpu-rt-period", 0, struct update_options, cpu_rt_period, "Real-time period in microseconds"),
	OPTION_I64("cpu-rt-runtime", 0, struct update_options, cpu_rt_runtime, "Real-time runtime in microseconds"),
	OPTION_I64("cpu-shares", 'c', struct update_options, cpu_shares, "CPU shares (relative weight)"),
	OPTION_CALL("cpus", 0, read_update_cpus, "decimal", "Number of CPUs"),
	OPTION_TEXT("cpuset-cpus", 0, struct update_options, cpuset_cpus, "string", "CPUs to run on (0-3, 0,1)"),
	OPTION_TEXT("cpuset-mems", 0, struct update_options, cpuset_mems, "string", "Memory nodes to use (0-3, 0,1)"),
	OPTION_SIZE("memory", 'm', struct update_options, memory, "Memory limit"),
	OPTION_SIZE("memory-reservation", 0, struct update_options, memory_reservation, "Memory soft limit"),
	OPTION_SIZE("memory-swap", 0, struct update_options, memory_swap,
		    "Limit of memory plus swap, -1 for unlimited swap"),
	OPTION_OPT_I64("pids-limit", 0, struct update_options, pids_limit, "Limit of processes (-1 for unlimited)"),
	OPTION_TEXT("restart", 0, struct update_options, restart, "string", "Restart policy when the container exits"),
	OPTION_END,
};

static int update_body(struct text *body, const struct update_options *options, struct error *err)
{
	const struct {
		const char *key;
		int64_t value;
	} numbers[] = { { "BlkioWeight", options->blkio_weight },
			{ "CpuPeriod", options->cpu_period },
			{ "CpuQuota", options->cpu_quota },
			{ "CpuRealtimePeriod", options->cpu_rt_period },
			{ "CpuRealtimeRuntime", options->cpu_rt_runtime },
			{ "CpuShares", options->cpu_shares },
			{ "NanoCpus", options->nano_cpus },
			{ "Memory", options->memory },
			{ "MemoryReservation", options->memory_reservation },
			{ "MemorySwap", options->memory_swap } };

	text_add_char(body, '{');
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i].value)
			members_integer(body, numbers[i].key, numbers[i].value);
	if (options->pids_limit.set)
		members_integer(body, "PidsLimit", options->pids_limit.value);
	if (options->cpuset_cpus)
		members_text(body, "CpusetCpus", options->cpuset_cpus);
	if (options->cpuset_mems)
		members_text(body, "CpusetMems", options->cpuset_mems);
	if (options->restart) {
		members_key(body, "RestartPolicy");
		if (spec_restart(body, options->restart, err) < 0)
			return -1;
	}
	text_add_char(body, '}');
	return 0;
}

static int update_one(struct client *client, void *body, const char *name, struct error *err)
{
	AUTO_FREE char *path = xasprintf("/containers/%s/update", name);

	return client_call(NULL, client, "POST", path, body, err) < 0 ? -1 : OPERAND_DONE;
}

static int run_update(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	AUTO(text_fini) struct text body = { 0 };

	if (update_body(&body, target, err) < 0)
		return -1;
	if (text_equal(body.data, "{}"))
		return error_set(err, ERR_INVALID, "you must provide one or more flags when using this command");
	return for_each_operand(cli, operands, body.data, update_one, err);
}

const struct command command_update = {
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Update configuration of one or more containers",
	.options = update_options,
	.options_size = sizeof(struct update_options),
	.min_operands = 1,
	.max_operands = -1,
	.run = run_update,
};
