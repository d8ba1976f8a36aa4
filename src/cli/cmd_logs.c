/* SPDX-License-Identifier: Apache-2.0 */
/* logs, top, port. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/table.h"

/* ---- logs ---- */

struct logs_options {
	bool details;
	bool follow;
	bool timestamps;
	const char *since;
	const char *until;
	const char *tail;
};

static const struct option_spec logs_options[] = {
	OPTION_FLAG("details", 0, struct logs_options, details, "Show details given to logs"),
	OPTION_FLAG("follow", 'f', struct logs_options, follow, "Follow the output"),
	OPTION_TEXT("since", 0, struct logs_options, since, "string",
		    "From this time on (2013-01-02T13:23:37Z, or 42m)"),
	OPTION_TEXT("tail", 'n', struct logs_options, tail, "string", "Number of lines to show from the end"),
	OPTION_FLAG("timestamps", 't', struct logs_options, timestamps, "Show timestamps"),
	OPTION_TEXT("until", 0, struct logs_options, until, "string", "Up to this time (2013-01-02T13:23:37Z, or 42m)"),
	OPTION_END,
};

/* What the engine takes: seconds.nanoseconds. */
static int add_moment(struct text *path, const char *key, const char *value, struct error *err)
{
	AUTO_FREE char *moment = NULL;
	int64_t when;

	if (text_empty(value))
		return 0;
	if (clock_parse_moment(&when, value) < 0)
		return error_set(err, ERR_INVALID,
				 "invalid value for \"%s\": failed to parse value as time or duration: \"%s\"", key,
				 value);
	moment = xasprintf("%lld.%09lld", (long long)(when / CLOCK_SECOND), (long long)(when % CLOCK_SECOND));
	query_add(path, key, moment);
	return 0;
}

static int run_logs(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct logs_options *options = target;
	AUTO(json_value_freep) struct json_value *container = NULL;
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(text_fini) struct text path = { 0 };
	struct local_request request = { .method = "GET" };
	struct client *client = cli_client(cli, err);

	if (!client || client_get(&container, client, err, "/containers/%s/json", operands->items[0]) < 0)
		return -1;
	text_addf(&path, "/containers/%s/logs?stdout=1&stderr=1", text_of(container, "Id"));
	query_add_flag(&path, "details", options->details);
	query_add_flag(&path, "follow", options->follow);
	query_add_flag(&path, "timestamps", options->timestamps);
	query_add(&path, "tail", options->tail ? options->tail : "all");
	if (add_moment(&path, "since", options->since, err) < 0 || add_moment(&path, "until", options->until, err) < 0)
		return -1;
	request.path = path.data;
	if (client_send(&response, client, &request, err) < 0)
		return -1;
	fflush(stdout);
	return session_copy(response, json_value_bool(json_value_get(json_value_get(container, "Config"), "Tty")), err);
}

const struct command command_logs = {
	.usage = "[OPTIONS] CONTAINER",
	.summary = "Fetch the logs of a container",
	.options = logs_options,
	.options_size = sizeof(struct logs_options),
	.min_operands = 1,
	.max_operands = 1,
	.run = run_logs,
};

/* ---- top ---- */

static void add_cells(struct text *out, const struct json_value *row)
{
	for (size_t i = 0; i < json_value_count(row); i++)
		text_addf(out, "%s%s", i ? "\t" : "", text_or_empty(json_value_text(json_value_at(row, i))));
	text_add_char(out, '\n');
}

static int run_top(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	AUTO(json_value_freep) struct json_value *answer = NULL;
	AUTO(text_fini) struct text path = { 0 };
	AUTO(text_fini) struct text rows = { 0 };
	AUTO(text_fini) struct text table = { 0 };
	AUTO(text_list_fini) struct text_list arguments = { 0 };
	AUTO_FREE char *joined = NULL;
	struct client *client = cli_client(cli, err);
	const struct json_value *processes;

	(void)options;
	if (!client)
		return -1;
	for (size_t i = 1; i < operands->count; i++)
		text_list_add(&arguments, operands->items[i]);
	joined = text_list_join(&arguments, " ");
	text_addf(&path, "/containers/%s/top", operands->items[0]);
	query_add(&path, "ps_args", joined);
	if (client_call(&answer, client, "GET", path.data, NULL, err) < 0)
		return -1;
	add_cells(&rows, json_value_get(answer, "Titles"));
	processes = json_value_get(answer, "Processes");
	for (size_t i = 0; i < json_value_count(processes); i++)
		add_cells(&rows, json_value_at(processes, i));
	table_format(&table, rows.data, (struct table_style){ .min_width = 20, .padding = 3 });
	fputs(table.data, stdout);
	return 0;
}

const struct command command_top = {
	.usage = "CONTAINER [ps OPTIONS]",
	.summary = "Display the running processes of a container",
	.min_operands = 1,
	.max_operands = -1,
	.flags = COMMAND_STOP_AT_OPERAND,
	.run = run_top,
};

/* ---- port ---- */

static void add_port_lines(struct text_list *lines, const char *port, const struct json_value *bindings, bool named)
{
	for (size_t i = 0; i < json_value_count(bindings); i++) {
		const struct json_value *binding = json_value_at(bindings, i);
		const char *ip = text_of(binding, "HostIp");
		const char *host_port = text_of(binding, "HostPort");
		bool v6 = strchr(ip, ':') != NULL;

		text_list_addf(lines, "%s%s%s%s%s:%s", named ? port : "", named ? " -> " : "", v6 ? "[" : "", ip,
			       v6 ? "]" : "", host_port);
	}
}

static int run_port(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	AUTO(json_value_freep) struct json_value *container = NULL;
	AUTO(text_list_fini) struct text_list keys = { 0 };
	AUTO(text_list_fini) struct text_list lines = { 0 };
	const char *wanted = operands->count > 1 ? operands->items[1] : NULL;
	AUTO_FREE char *full = wanted ? xasprintf("%s%s", wanted, strchr(wanted, '/') ? "" : "/tcp") : NULL;
	struct client *client = cli_client(cli, err);
	const struct json_value *ports;

	(void)options;
	if (!client || client_get(&container, client, err, "/containers/%s/json", operands->items[0]) < 0)
		return -1;
	ports = json_value_get(json_value_get(container, "NetworkSettings"), "Ports");
	if (full) {
		if (json_value_type(json_value_get(ports, full)) != JSON_TYPE_ARRAY)
			return error_set(err, ERR_NOT_FOUND, "Error: No public port '%s' published for %s", wanted,
					 operands->items[0]);
		add_port_lines(&lines, full, json_value_get(ports, full), false);
	} else {
		json_value_keys(&keys, ports, true);
		for (size_t i = 0; i < keys.count; i++)
			add_port_lines(&lines, keys.items[i], json_value_get(ports, keys.items[i]), true);
	}
	if (!full)
		text_list_sort(&lines);
	for (size_t i = 0; i < lines.count; i++)
		puts(lines.items[i]);
	return 0;
}

const struct command command_port = {
	.usage = "CONTAINER [PRIVATE_PORT[/PROTO]]",
	.summary = "List port mappings or a specific mapping for the container",
	.min_operands = 1,
	.max_operands = 2,
	.run = run_port,
};
