/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/members.h"
#include "cli/units.h"

struct info_options {
	const char *format;
};

static const struct option_spec info_options[] = {
	OPTION_TEXT("format", 'f', struct info_options, format, "string", "'json' or a Go template"),
	OPTION_END,
};

static const struct json_value *get(const struct json_value *info, const char *key)
{
	return json_value_get(info, key);
}

/* What is empty is left out, when the line is about a text that may be. */
static void print_text(const struct json_value *info, const char *label, const char *key)
{
	if (*text_of(info, key))
		printf(" %s: %s\n", label, text_of(info, key));
}

static void print_number(const struct json_value *info, const char *label, const char *key)
{
	printf(" %s: %lld\n", label, (long long)json_value_integer(get(info, key)));
}

static void print_bool(const struct json_value *info, const char *label, const char *key)
{
	printf(" %s: %s\n", label, json_value_bool(get(info, key)) ? "true" : "false");
}

static void print_words(const char *label, const struct json_value *list)
{
	printf("%s:", label);
	for (size_t i = 0; i < json_value_count(list); i++)
		printf(" %s", text_or_empty(json_value_text(json_value_at(list, i))));
	puts(json_value_count(list) ? "" : " ");
}

static void print_lines(const char *label, const struct json_value *list)
{
	if (json_value_count(list))
		printf(" %s:\n", label);
	for (size_t i = 0; i < json_value_count(list); i++)
		printf("  %s\n", text_or_empty(json_value_text(json_value_at(list, i))));
}

static void print_storage(const struct json_value *info)
{
	const struct json_value *pairs = get(info, "DriverStatus");
	const struct json_value *plugins = get(info, "Plugins");

	print_text(info, "Storage Driver", "Driver");
	for (size_t i = 0; i < json_value_count(pairs); i++) {
		const struct json_value *pair = json_value_at(pairs, i);

		printf("  %s: %s\n", text_or_empty(json_value_text(json_value_at(pair, 0))),
		       text_or_empty(json_value_text(json_value_at(pair, 1))));
	}
	print_text(info, "Logging Driver", "LoggingDriver");
	print_text(info, "Cgroup Driver", "CgroupDriver");
	print_text(info, "Cgroup Version", "CgroupVersion");
	puts(" Plugins:");
	print_words("  Volume", get(plugins, "Volume"));
	print_words("  Network", get(plugins, "Network"));
	if (json_value_count(get(plugins, "Authorization")))
		print_words("  Authorization", get(plugins, "Authorization"));
	print_words("  Log", get(plugins, "Log"));
	print_lines("CDI spec directories", get(info, "CDISpecDirs"));
	printf(" Swarm: %s\n", text_of(get(info, "Swarm"), "LocalNodeState"));
}

/* "name=seccomp,profile=builtin" */
static void print_security(const struct json_value *options)
{
	if (json_value_count(options))
		puts(" Security Options:");
	for (size_t i = 0; i < json_value_count(options); i++) {
		AUTO(text_list_fini) struct text_list parts = { 0 };

		text_list_split(&parts, text_or_empty(json_value_text(json_value_at(options, i))), ',');
		for (size_t j = 0; j < parts.count; j++) {
			const char *name = text_after(parts.items[j], "name=");
			const char *profile = text_after(parts.items[j], "profile=");

			if (name)
				printf("  %s\n", name);
			else if (profile)
				printf("   Profile: %s\n", profile);
		}
	}
}

static void print_runtimes(const struct json_value *info)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO_FREE char *joined = NULL;

	json_value_keys(&names, get(info, "Runtimes"), true);
	if (names.count) {
		joined = text_list_join(&names, " ");
		printf(" Runtimes: %s\n Default Runtime: %s\n", joined, text_of(info, "DefaultRuntime"));
	}
	if (!text_equal(text_of(info, "OSType"), "linux"))
		return;
	printf(" Init Binary: %s\n", text_of(info, "InitBinary"));
	printf(" containerd version: %s\n", text_of(get(info, "ContainerdCommit"), "ID"));
	printf(" runc version: %s\n", text_of(get(info, "RuncCommit"), "ID"));
	printf(" init version: %s\n", text_of(get(info, "InitCommit"), "ID"));
	print_security(get(info, "SecurityOptions"));
}

static void print_host(const struct json_value *info)
{
	AUTO(text_fini) struct text memory = { 0 };

	print_text(info, "Kernel Version", "KernelVersion");
	print_text(info, "Operating System", "OperatingSystem");
	print_text(info, "OSType", "OSType");
	print_text(info, "Architecture", "Architecture");
	print_number(info, "CPUs", "NCPU");
	units_add_binary(&memory, (double)json_value_integer(get(info, "MemTotal")));
	printf(" Total Memory: %s\n", memory.data);
	print_text(info, "Name", "Name");
	print_text(info, "ID", "ID");
	printf(" Docker Root Dir: %s\n", text_of(info, "DockerRootDir"));
	print_bool(info, "Debug Mode", "Debug");
	if (json_value_bool(get(info, "Debug"))) {
		print_number(info, " File Descriptors", "NFd");
		print_number(info, " Goroutines", "NGoroutines");
		print_text(info, " System Time", "SystemTime");
		print_number(info, " EventsListeners", "NEventsListener");
	}
	print_text(info, "HTTP Proxy", "HttpProxy");
	print_text(info, "HTTPS Proxy", "HttpsProxy");
	print_text(info, "No Proxy", "NoProxy");
	print_lines("Labels", get(info, "Labels"));
	print_bool(info, "Experimental", "ExperimentalBuild");
}

static void print_registries(const struct json_value *config)
{
	const struct json_value *indexes = get(config, "IndexConfigs");
	const struct json_value *networks = get(config, "InsecureRegistryCIDRs");
	AUTO(text_list_fini) struct text_list names = { 0 };

	json_value_keys(&names, indexes, true);
	if (names.count || json_value_count(networks))
		puts(" Insecure Registries:");
	for (size_t i = 0; i < names.count; i++)
		if (!json_value_bool(get(get(indexes, names.items[i]), "Secure")))
			printf("  %s\n", text_of(get(indexes, names.items[i]), "Name"));
	for (size_t i = 0; i < json_value_count(networks); i++)
		printf("  %s\n", text_or_empty(json_value_text(json_value_at(networks, i))));
	print_lines("Registry Mirrors", get(config, "Mirrors"));
}

static void print_pools(const struct json_value *pools)
{
	if (json_value_count(pools))
		puts(" Default Address Pools:");
	for (size_t i = 0; i < json_value_count(pools); i++)
		printf("   Base: %s, Size: %lld\n", text_of(json_value_at(pools, i), "Base"),
		       (long long)json_value_integer(get(json_value_at(pools, i), "Size")));
}

static void print_server(const struct json_value *info)
{
	const struct json_value *warnings = get(info, "Warnings");

	print_number(info, "Containers", "Containers");
	print_number(info, " Running", "ContainersRunning");
	print_number(info, " Paused", "ContainersPaused");
	print_number(info, " Stopped", "ContainersStopped");
	print_number(info, "Images", "Images");
	print_text(info, "Server Version", "ServerVersion");
	print_storage(info);
	print_runtimes(info);
	print_host(info);
	print_registries(get(info, "RegistryConfig"));
	print_bool(info, "Live Restore Enabled", "LiveRestoreEnabled");
	print_text(info, "Product License", "ProductLicense");
	print_pools(get(info, "DefaultAddressPools"));
	puts("");
	fflush(stdout);
	for (size_t i = 0; i < json_value_count(warnings); i++)
		fprintf(stderr, "%s\n", text_or_empty(json_value_text(json_value_at(warnings, i))));
}

/* The engine's answer with ClientInfo behind it, as docker's --format sees it. */
static int print_formatted(const struct cli *cli, const char *format, const struct json_value *info, struct error *err)
{
	AUTO(json_value_freep) struct json_value *whole = NULL;
	AUTO(template_freep) struct template *template = NULL;
	AUTO(text_fini) struct text json = { 0 };
	AUTO(text_fini) struct text out = { 0 };

	json_value_encode(&json, info, NULL);
	json.data[--json.size] = '\0';
	members_key(&json, "ClientInfo");
	text_addf(&json, "{\"Debug\":%s,\"Version\":\"%s\",\"Context\":\"default\",\"Plugins\":[],\"Warnings\":null}}",
		  cli->debug ? "true" : "false", KIST_VERSION);
	if (text_equal(format, "json")) {
		puts(json.data);
		return 0;
	}
	if (template_parse(&template, format, err) < 0)
		return error_prefix(err, "template parsing error");
	if (json_value_parse(&whole, json.data, json.size, err) < 0)
		return -1;
	if (template_run(template, &out, template_value_of_json(whole, NULL), 0, err) < 0)
		return error_prefix(err, "template parsing error");
	puts(out.data ? out.data : "");
	return 0;
}

static int run_info(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct info_options *options = target;
	AUTO(json_value_freep) struct json_value *info = NULL;
	struct client *client = cli_client(cli, err);
	bool failed = !client || client_get(&info, client, err, "/info") < 0;

	(void)operands;
	if (!failed && json_value_type(info) != JSON_TYPE_OBJECT)
		return error_set(err, ERR_INTERNAL, "the engine's answer to /info is no object");
	if (!text_empty(options->format))
		return failed ? -1 : print_formatted(cli, options->format, info, err);
	printf("Client:\n Version:    %s\n Context:    default\n Debug Mode: %s\n\nServer:\n", KIST_VERSION,
	       cli->debug ? "true" : "false");
	if (failed)
		return -1;
	print_server(info);
	return 0;
}

const struct command command_info = {
	.usage = "[OPTIONS]",
	.summary = "Display system-wide information",
	.options = info_options,
	.options_size = sizeof(struct info_options),
	.min_operands = 0,
	.max_operands = 0,
	.run = run_info,
};
