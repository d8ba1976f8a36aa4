/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats. How it works: each round asks every container for one sample, which
 * costs the engine nothing but reading; the processor's share comes from two
 * rounds, a second apart. So a hundred containers take one second, not hundred.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/units.h"

#define ROUND_MS 1000
#define SIZE_DIGITS 3

struct stats_options {
	bool all;
	bool no_stream;
	bool no_trunc;
	const char *format;
};

static const struct option_spec stats_options[] = {
	OPTION_FLAG("all", 'a', struct stats_options, all, "Show all containers (default shows just running)"),
	OPTION_TEXT("format", 0, struct stats_options, format, "string",
		    "'table', 'table TEMPLATE', 'json' or a Go template"),
	OPTION_FLAG("no-stream", 0, struct stats_options, no_stream, "Print the first result only"),
	OPTION_FLAG("no-trunc", 0, struct stats_options, no_trunc, "Don't truncate output"),
	OPTION_END,
};

static const struct listing_column columns[] = {
	{ "Container", "CONTAINER" },
	{ "Name", "NAME" },
	{ "ID", "CONTAINER ID" },
	{ "CPUPerc", "CPU %" },
	{ "MemUsage", "MEM USAGE / LIMIT" },
	{ "MemPerc", "MEM %" },
	{ "NetIO", "NET I/O" },
	{ "BlockIO", "BLOCK I/O" },
	{ "PIDs", "PIDS" },
	{ NULL, NULL },
};

static const char default_table[] = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}"
				    "\t{{.BlockIO}}\t{{.PIDs}}";

struct subject {
	char *name; /* as it was asked for */
	int64_t cpu_ns;
	int64_t system_ns; /* 0: no sample yet */
};

struct round {
	struct client *client;
	const struct stats_options *options;
	struct listing *listing;
	struct subject *subjects;
	size_t count;
};

static int64_t number(const struct json_value *object, const char *section, const char *key)
{
	return json_value_integer(json_value_get(json_value_get(object, section), key));
}

static char *percent(double part, double whole)
{
	return xasprintf("%.2f%%", whole > 0 ? part / whole * 100 : 0.0);
}

static char *cpu_share(struct subject *subject, const struct json_value *sample)
{
	int64_t cpu = json_value_integer(
		json_value_get(json_value_get(json_value_get(sample, "cpu_stats"), "cpu_usage"), "total_usage"));
	int64_t system = number(sample, "cpu_stats", "system_cpu_usage");
	double used = (double)(cpu - subject->cpu_ns);
	double passed = (double)(system - subject->system_ns);
	bool comparable = subject->system_ns > 0 && used > 0;

	subject->cpu_ns = cpu;
	subject->system_ns = system;
	return percent(comparable ? used * (double)number(sample, "cpu_stats", "online_cpus") : 0, passed);
}

/* Without what the kernel gives back at once. */
static int64_t memory_used(const struct json_value *sample)
{
	const struct json_value *memory = json_value_get(sample, "memory_stats");
	int64_t usage = json_value_integer(json_value_get(memory, "usage"));
	int64_t cache = number(memory, "stats", "total_inactive_file");

	if (cache == 0)
		cache = number(memory, "stats", "inactive_file");
	return cache < usage ? usage - cache : usage;
}

static char *pair(int64_t first, int64_t second)
{
	struct text text = { 0 };

	units_add_size(&text, (double)first, SIZE_DIGITS);
	text_add(&text, " / ");
	units_add_size(&text, (double)second, SIZE_DIGITS);
	return text_take(&text);
}

static char *network_pair(const struct json_value *sample)
{
	const struct json_value *networks = json_value_get(sample, "networks");
	AUTO(text_list_fini) struct text_list names = { 0 };
	int64_t received = 0;
	int64_t sent = 0;

	json_value_keys(&names, networks, true);
	for (size_t i = 0; i < names.count; i++) {
		received += number(networks, names.items[i], "rx_bytes");
		sent += number(networks, names.items[i], "tx_bytes");
	}
	return pair(received, sent);
}

static char *block_pair(const struct json_value *sample)
{
	const struct json_value *list = json_value_get(json_value_get(sample, "blkio_stats"),
						       "io_service_bytes_recursive");
	int64_t read = 0;
	int64_t written = 0;

	for (size_t i = 0; i < json_value_count(list); i++) {
		const struct json_value *entry = json_value_at(list, i);
		const char *op = text_of(entry, "op");
		int64_t bytes = json_value_integer(json_value_get(entry, "value"));

		read += text_equal_ignoring_case(op, "read") ? bytes : 0;
		written += text_equal_ignoring_case(op, "write") ? bytes : 0;
	}
	return pair(read, written);
}

static void set_nothing(struct template_row *row)
{
	listing_set(row, "CPUPerc", "--");
	listing_set(row, "MemUsage", "-- / --");
	listing_set(row, "MemPerc", "--");
	listing_set(row, "NetIO", "--");
	listing_set(row, "BlockIO", "--");
	listing_set(row, "PIDs", "--");
}

static void set_figures(struct template_row *row, struct subject *subject, const struct json_value *sample)
{
	int64_t used = memory_used(sample);
	int64_t limit = number(sample, "memory_stats", "limit");
	struct text memory = { 0 };

	units_add_binary(&memory, (double)used);
	text_add(&memory, " / ");
	units_add_binary(&memory, (double)limit);
	listing_set_take(row, "CPUPerc", cpu_share(subject, sample));
	listing_set_take(row, "MemUsage", text_take(&memory));
	listing_set_take(row, "MemPerc", percent((double)used, (double)limit));
	listing_set_take(row, "NetIO", network_pair(sample));
	listing_set_take(row, "BlockIO", block_pair(sample));
	listing_set_take(row, "PIDs", xasprintf("%lld", (long long)number(sample, "pids_stats", "current")));
}

static void add_row(const struct round *round, struct subject *subject, const struct json_value *sample)
{
	struct template_row *row = listing_add(round->listing);
	const char *id = text_of(sample, "id");
	const char *name = text_of(sample, "name");

	listing_set(row, "Container", subject->name);
	listing_set(row, "Name", name + (*name == '/'));
	listing_set_take(row, "ID", round->options->no_trunc ? xstrdup(id) : units_short_id(id));
	if (number(sample, "memory_stats", "limit") > 0)
		set_figures(row, subject, sample);
	else
		set_nothing(row);
}

/* `fatal`: a container that is not there ends the command; later they just disappear. */
static int look(const struct round *round, bool fatal, struct error *err)
{
	for (size_t i = 0; i < round->count; i++) {
		AUTO(json_value_freep) struct json_value *sample = NULL;
		AUTO_FREE char *path = xasprintf("/containers/%s/stats?stream=0&one-shot=1", round->subjects[i].name);

		if (client_call(&sample, round->client, "GET", path, NULL, err) == 0)
			add_row(round, &round->subjects[i], sample);
		else if (fatal || err->kind != ERR_NOT_FOUND)
			return -1;
		else
			error_clear(err);
	}
	return 0;
}

static void add_subject(struct round *round, const char *name)
{
	round->subjects = xrealloc(round->subjects, (round->count + 1) * sizeof(*round->subjects));
	round->subjects[round->count++] = (struct subject){ .name = xstrdup(name) };
}

static bool is_known(const struct round *round, const char *name)
{
	for (size_t i = 0; i < round->count; i++)
		if (text_equal(round->subjects[i].name, name))
			return true;
	return false;
}

/* Without operands: whatever runs now. */
static int find_subjects(struct round *round, struct error *err)
{
	AUTO(json_value_freep) struct json_value *containers = NULL;

	if (client_get(&containers, round->client, err, "/containers/json%s", round->options->all ? "?all=1" : "") < 0)
		return -1;
	for (size_t i = 0; i < json_value_count(containers); i++) {
		AUTO_FREE char *id = units_short_id(
			text_or_empty(json_value_text(json_value_get(json_value_at(containers, i), "Id"))));

		if (!is_known(round, id))
			add_subject(round, id);
	}
	return 0;
}

static void clear_rows(struct listing *listing, const char *format)
{
	listing_fini(listing);
	listing_init(listing, columns, "*formatter.ContainerStatsContext", format, default_table);
}

static int show_rounds(struct round *round, const char *format, bool named, struct error *err)
{
	bool terminal = isatty(STDOUT_FILENO) != 0;

	for (bool first = true;; first = false) {
		if (!named && find_subjects(round, err) < 0)
			return -1;
		if (look(round, first && named, err) < 0)
			return -1;
		/* The first look has no processor shares yet. */
		if (first && round->options->no_stream && round->count > 0) {
			clock_sleep_ms(ROUND_MS);
			clear_rows(round->listing, format);
			if (look(round, false, err) < 0)
				return -1;
		}
		if (terminal && !round->options->no_stream)
			printf("\033[2J\033[H");
		if (listing_print(round->listing, err) < 0)
			return -1;
		fflush(stdout);
		if (round->options->no_stream)
			return 0;
		clear_rows(round->listing, format);
		clock_sleep_ms(ROUND_MS);
	}
}

static int run_stats(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct stats_options *options = target;
	const char *format = text_empty(options->format) ? config_text(&cli->config, "statsFormat") : options->format;
	AUTO(listing_fini) struct listing listing = { 0 };
	struct round round = { .options = options, .listing = &listing, .client = cli_client(cli, err) };
	int r;

	if (!round.client)
		return -1;
	listing_init(&listing, columns, "*formatter.ContainerStatsContext", format, default_table);
	for (size_t i = 0; i < operands->count; i++)
		add_subject(&round, operands->items[i]);
	r = show_rounds(&round, format, operands->count > 0, err);
	for (size_t i = 0; i < round.count; i++)
		free(round.subjects[i].name);
	free(round.subjects);
	return r;
}

const struct command command_stats = {
	.usage = "[OPTIONS] [CONTAINER...]",
	.summary = "Display what containers use, live",
	.options = stats_options,
	.options_size = sizeof(struct stats_options),
	.min_operands = 0,
	.max_operands = -1,
	.run = run_stats,
};
