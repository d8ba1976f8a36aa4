/* SPDX-License-Identifier: Apache-2.0 */
/* version and events. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/quote.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/members.h"
#include "cli/table.h"

struct format_options {
	const char *format;
};

static const struct option_spec format_options[] = {
	OPTION_TEXT("format", 'f', struct format_options, format, "string", "'json' or a Go template"),
	OPTION_END,
};

/* Prints a document through --format. */
static int print_formatted(const char *format, const struct text *json, struct error *err)
{
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO(template_freep) struct template *template = NULL;
	AUTO(text_fini) struct text out = { 0 };

	if (text_equal(format, "json")) {
		puts(json->data);
		return 0;
	}
	if (template_parse(&template, format, err) < 0)
		return error_prefix(err, "template parsing error");
	if (json_value_parse(&value, json->data, json->size, err) < 0)
		return -1;
	if (template_run(template, &out, template_value_of_json(value, NULL), 0, err) < 0)
		return error_prefix(err, "template parsing error");
	puts(out.data ? out.data : "");
	return 0;
}

/* ---- version ---- */

static const char *go_machine(const char *machine)
{
	if (text_equal(machine, "x86_64"))
		return "amd64";
	return text_equal(machine, "aarch64") ? "arm64" : machine;
}

static void add_client_version(struct text *json, const struct client *client)
{
	struct utsname system;

	uname(&system);
	members_key(json, "Client");
	text_add_char(json, '{');
	members_text(json, "Version", KIST_VERSION);
	members_text(json, "ApiVersion", client ? client->api_version : CLIENT_API_MAX);
	members_text(json, "DefaultAPIVersion", CLIENT_API_MAX);
	members_text(json, "Os", "linux");
	members_text(json, "Arch", go_machine(system.machine));
	members_text(json, "Context", "default");
	text_add_char(json, '}');
}

static void add_pair(struct text *out, const char *indent, const char *label, const char *value)
{
	text_addf(out, "%s%s:\t%s\n", indent, label, value);
}

/* "Tue Sep 15 11:02:57 2026" of an RFC 3339 time. */
static char *built_text(const char *moment)
{
	char text[64];
	int64_t when;
	time_t seconds;
	struct tm tm;

	if (clock_parse(&when, moment) < 0)
		return xstrdup(moment);
	seconds = (time_t)(when / CLOCK_SECOND);
	if (!gmtime_r(&seconds, &tm) || !strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &tm))
		return xstrdup(moment);
	return xstrdup(text);
}

static void add_component(struct text *out, const struct json_value *component)
{
	static const struct {
		const char *label;
		const char *key;
	} engine[] = { { "Go version", "GoVersion" }, { "Git commit", "GitCommit" } };
	const struct json_value *details = json_value_get(component, "Details");
	AUTO(text_list_fini) struct text_list keys = { 0 };
	AUTO_FREE char *built = built_text(text_of(details, "BuildTime"));

	text_addf(out, " %s:\n", text_of(component, "Name"));
	add_pair(out, "  ", "Version", text_of(component, "Version"));
	if (!text_equal(text_of(component, "Name"), "Engine")) {
		json_value_keys(&keys, details, true);
		for (size_t i = 0; i < keys.count; i++)
			add_pair(out, "  ", keys.items[i], text_of(details, keys.items[i]));
		return;
	}
	text_addf(out, "  API version:\t%s (minimum version %s)\n", text_of(details, "ApiVersion"),
		  text_of(details, "MinAPIVersion"));
	for (size_t i = 0; i < sizeof(engine) / sizeof(engine[0]); i++)
		if (*text_of(details, engine[i].key))
			add_pair(out, "  ", engine[i].label, text_of(details, engine[i].key));
	add_pair(out, "  ", "Built", built);
	text_addf(out, "  OS/Arch:\t%s/%s\n", text_of(details, "Os"), text_of(details, "Arch"));
	add_pair(out, "  ", "Experimental", text_of(details, "Experimental"));
}

static void print_version(const struct client *client, const struct json_value *server)
{
	AUTO(text_fini) struct text out = { 0 };
	AUTO(text_fini) struct text table = { 0 };
	const struct json_value *components = json_value_get(server, "Components");
	const char *platform = text_of(json_value_get(server, "Platform"), "Name");
	struct utsname system;

	uname(&system);
	text_add(&out, "Client:\n");
	add_pair(&out, " ", "Version", KIST_VERSION);
	text_addf(&out, " API version:\t%s", client ? client->api_version : CLIENT_API_MAX);
	if (client && !text_equal(client->api_version, CLIENT_API_MAX))
		text_addf(&out, " (downgraded from %s)", CLIENT_API_MAX);
	text_addf(&out, "\n OS/Arch:\tlinux/%s\n Context:\tdefault\n", go_machine(system.machine));
	if (server) {
		text_addf(&out, "\nServer:%s%s\n", *platform ? " " : "", platform);
		for (size_t i = 0; i < json_value_count(components); i++)
			add_component(&out, json_value_at(components, i));
	}
	table_format(&table, out.data, (struct table_style){ .min_width = 20, .padding = 1 });
	fputs(table.data, stdout);
}

static int run_version(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct format_options *options = target;
	AUTO(json_value_freep) struct json_value *server = NULL;
	AUTO(text_fini) struct text json = { 0 };
	struct client *client = cli_client(cli, err);
	bool failed = !client || client_get(&server, client, err, "/version") < 0;

	(void)operands;
	if (text_empty(options->format)) {
		print_version(client, server);
		return failed ? -1 : 0;
	}
	text_add_char(&json, '{');
	add_client_version(&json, client);
	members_key(&json, "Server");
	json_value_encode(&json, server, NULL);
	text_add_char(&json, '}');
	if (failed) {
		AUTO(error_clear) struct error ignored = { 0 };

		print_formatted(options->format, &json, &ignored);
		return -1;
	}
	return print_formatted(options->format, &json, err);
}

const struct command command_version = {
	.usage = "[OPTIONS]",
	.summary = "Show the kist version information",
	.options = format_options,
	.options_size = sizeof(struct format_options),
	.min_operands = 0,
	.max_operands = 0,
	.run = run_version,
};

/* ---- events ---- */

struct events_options {
	struct text_list filters;
	const char *since;
	const char *until;
	const char *format;
};

static const struct option_spec events_options[] = {
	OPTION_LIST("filter", 'f', struct events_options, filters, "filter",
		    "Show only what meets the condition (name=value)"),
	OPTION_TEXT("format", 0, struct events_options, format, "string", "'json' or a Go template"),
	OPTION_TEXT("since", 0, struct events_options, since, "string", "Show all events from this time on"),
	OPTION_TEXT("until", 0, struct events_options, until, "string", "Stream events until this time"),
	OPTION_END,
};

/* "2026-11-21T22:28:48.123456789Z container start ID (image=x, name=y)" */
static void print_event(struct text *out, const struct json_value *event)
{
	const struct json_value *actor = json_value_get(event, "Actor");
	const struct json_value *attributes = json_value_get(actor, "Attributes");
	AUTO(text_list_fini) struct text_list keys = { 0 };
	int64_t nanos = json_value_integer(json_value_get(event, "timeNano"));
	time_t seconds;
	char date[32];
	char zone[8];
	struct tm tm;

	if (nanos == 0)
		nanos = json_value_integer(json_value_get(event, "time")) * CLOCK_SECOND;
	seconds = (time_t)(nanos / CLOCK_SECOND);
	localtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	text_addf(out, "%s.%09lld", date, (long long)(nanos % CLOCK_SECOND));
	if (text_equal(zone, "+0000"))
		text_add_char(out, 'Z');
	else
		text_addf(out, "%.3s:%s", zone, zone + 3);
	text_addf(out, " %s %s %s", text_of(event, "Type"), text_of(event, "Action"), text_of(actor, "ID"));
	json_value_keys(&keys, attributes, true);
	for (size_t i = 0; i < keys.count; i++)
		text_addf(out, "%s%s=%s", i ? ", " : " (", keys.items[i], text_of(attributes, keys.items[i]));
	if (keys.count)
		text_add_char(out, ')');
}

static int show_event(const char *line, size_t size, const struct template *template, bool json, struct error *err)
{
	AUTO(json_value_freep) struct json_value *event = NULL;
	AUTO(text_fini) struct text out = { 0 };

	if (size == 0)
		return 0;
	if (json_value_parse(&event, line, size, err) < 0)
		return -1;
	if (json)
		json_value_encode(&out, event, NULL);
	else if (!template)
		print_event(&out, event);
	else if (template_run(template, &out, template_value_of_json(event, NULL), 0, err) < 0)
		return error_prefix(err, "template parsing error");
	puts(out.data ? out.data : "");
	fflush(stdout);
	return 0;
}

static int follow_events(struct local_response *response, const struct template *template, bool json, struct error *err)
{
	AUTO(buffer_fini) struct buffer in = { 0 };
	char data[8192];
	ssize_t size;

	buffer_init(&in, 16u << 20);
	while ((size = local_response_read(response, data, sizeof(data), err)) > 0) {
		const char *end;

		buffer_append(&in, data, (size_t)size);
		if (buffer_failed(&in))
			return error_set(err, ERR_EXHAUSTED, "an event of the engine is too long");
		while (in.size && (end = memchr(in.data, '\n', in.size))) {
			size_t length = (size_t)(end - (const char *)in.data);

			if (show_event((const char *)in.data, length, template, json, err) < 0)
				return -1;
			buffer_consume(&in, length + 1);
		}
	}
	return size < 0 ? -1 : show_event((const char *)in.data, in.size, template, json, err);
}

static int add_event_moment(struct text *path, const char *key, const char *value, struct error *err)
{
	AUTO_FREE char *moment = NULL;
	int64_t when;

	if (text_empty(value))
		return 0;
	if (clock_parse_moment(&when, value) < 0)
		return error_set(err, ERR_INVALID, "failed to parse value as time or duration: \"%s\"", value);
	moment = xasprintf("%lld.%09lld", (long long)(when / CLOCK_SECOND), (long long)(when % CLOCK_SECOND));
	query_add(path, key, moment);
	return 0;
}

static int run_events(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct events_options *options = target;
	AUTO(template_freep) struct template *template = NULL;
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(text_fini) struct text path = { 0 };
	AUTO_FREE char *format = options->format ? listing_unescape(options->format) : NULL;
	bool json = text_equal(format, "json");
	struct local_request request = { .method = "GET" };
	struct client *client;

	(void)operands;
	if (!text_empty(format) && !json && template_parse(&template, format, err) < 0)
		return error_prefix(err, "error parsing format");
	text_add(&path, "/events");
	if (add_event_moment(&path, "since", options->since, err) < 0 ||
	    add_event_moment(&path, "until", options->until, err) < 0 ||
	    query_add_filters(&path, &options->filters, err) < 0)
		return -1;
	client = cli_client(cli, err);
	request.path = path.data;
	if (!client || client_send(&response, client, &request, err) < 0)
		return -1;
	return follow_events(response, template, json, err);
}

const struct command command_events = {
	.usage = "[OPTIONS]",
	.summary = "Get real time events from the server",
	.options = events_options,
	.options_size = sizeof(struct events_options),
	.min_operands = 0,
	.max_operands = 0,
	.run = run_events,
};
