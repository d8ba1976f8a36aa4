/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "cni/plugin.h"

/* CNI spec 1.1, section 5, "Error". */
enum {
	CODE_VERSION = 1,
	CODE_ENVIRONMENT = 4,
	CODE_IO = 5,
	CODE_DECODE = 6,
	CODE_CONFIG = 7,
	CODE_AGAIN = 11,
	CODE_UNAVAILABLE = 50,
	CODE_OTHER = 999
};

static const struct plugin *const plugins[] = { &plugin_bridge,	    &plugin_portmap,  &plugin_firewall,
						&plugin_host_local, &plugin_loopback, NULL };

/* "bridge" and "kist-bridge" are the same. */
static const struct plugin *find_plugin(const char *program)
{
	const char *name = path_base(program);
	const char *rest = text_after(name, "kist-");

	for (size_t i = 0; plugins[i]; i++)
		if (text_equal(plugins[i]->name, rest ? rest : name))
			return plugins[i];
	return NULL;
}

static int code_of(const struct error *err)
{
	switch (err->kind) {
	case ERR_INVALID:
		return CODE_CONFIG;
	case ERR_UNAVAILABLE:
		return CODE_AGAIN;
	default:
		return CODE_OTHER;
	}
}

static int fail(const char *version, int code, const char *message)
{
	struct cni_failure failure = { .version = (char *)(uintptr_t)(text_empty(version) ? CNI_VERSION : version),
				       .code = code,
				       .message = (char *)(uintptr_t)message };
	AUTO_FREE char *text = json_encode(&failure, cni_failure_fields);

	puts(text);
	return 1;
}

static const char *environment(const char *key)
{
	return text_or_empty(getenv(key));
}

static const struct plugin_command_row {
	const char *name;
	bool attached; /* is about one container's interface */
	bool needs_netns;
	size_t offset;
} commands[] = {
	{ "ADD", true, true, offsetof(struct plugin, add) },
	{ "DEL", true, false, offsetof(struct plugin, delete) },
	{ "CHECK", true, true, offsetof(struct plugin, check) },
	{ "GC", false, false, offsetof(struct plugin, collect) },
	{ "STATUS", false, false, offsetof(struct plugin, status) },
	{ NULL, false, false, 0 },
};

static const struct plugin_command_row *find_command(const char *name)
{
	for (const struct plugin_command_row *row = commands; row->name; row++)
		if (text_equal(row->name, name))
			return row;
	return NULL;
}

static bool name_is_plain(const char *text)
{
	return *text &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == strlen(text) &&
	       *text != '.' && strlen(text) <= 200;
}

/* What is missing in the call; NULL: nothing. */
static const char *missing(const struct plugin_command_row *row, const struct plugin_call *call)
{
	if (!row->attached)
		return NULL;
	if (!name_is_plain(call->container))
		return "CNI_CONTAINERID is missing or no plain name";
	if (!name_is_plain(call->interface) || strlen(call->interface) > 15)
		return "CNI_IFNAME is missing or no interface's name";
	if (row->needs_netns && !*call->netns)
		return "CNI_NETNS is missing";
	return NULL;
}

static void print_versions(const char *version)
{
	printf("{\"cniVersion\":\"%s\",\"supportedVersions\":[\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"%s\"]}\n",
	       cni_version_is_known(version) ? version : CNI_VERSION, CNI_VERSION);
}

static void print_result(struct cni_result *result, const struct plugin_config *config)
{
	AUTO_FREE char *text = NULL;

	free(result->version);
	result->version = xstrdup(config->version);
	for (size_t i = 0; i < result->ips.count; i++) {
		struct cni_ip *ip = &result->ips.items[i];

		free(ip->version);
		ip->version = cni_version_has_families(config->version) ? xstrdup(strchr(ip->address, ':') ? "6" : "4")
									: NULL;
	}
	text = json_encode(result, cni_result_fields);
	puts(text);
}

static int act(const struct plugin *plugin, const struct plugin_command_row *row, const struct plugin_call *call,
	       const struct plugin_config *config)
{
	AUTO(cni_result_fini) struct cni_result result = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	plugin_command *const *command = (void *)((uintptr_t)plugin + row->offset);

	if (!cni_version_is_known(config->version))
		return fail(NULL, CODE_VERSION, "this cniVersion is not spoken: 0.3.0 to " CNI_VERSION " are");
	if (!name_is_plain(text_or_empty(config->name)))
		return fail(config->version, CODE_CONFIG, "the network has no name, or no plain one");
	if ((*command)(call, config, &result, &err) < 0)
		return fail(config->version, text_equal(row->name, "STATUS") ? CODE_UNAVAILABLE : code_of(&err),
			    err.message);
	if (text_equal(row->name, "ADD"))
		print_result(&result, config);
	return 0;
}

static int run(const struct plugin *plugin)
{
	const struct plugin_call call = { environment("CNI_COMMAND"), environment("CNI_CONTAINERID"),
					  environment("CNI_NETNS"),   environment("CNI_IFNAME"),
					  environment("CNI_ARGS"),    environment("CNI_PATH") };
	const struct plugin_command_row *row = find_command(call.command);
	AUTO(error_clear) struct error err = { 0 };
	struct plugin_config config = { 0 };
	AUTO_FREE char *text = NULL;
	size_t size = 0;
	int code;

	if (fd_read_all(&text, &size, STDIN_FILENO, CNI_RESULT_MAX) < 0)
		return fail(NULL, CODE_IO, "the configuration on standard input cannot be read");
	if (!row && !text_equal(call.command, "VERSION"))
		return fail(NULL, CODE_ENVIRONMENT, "CNI_COMMAND is none of ADD, DEL, CHECK, GC, STATUS, VERSION");
	if (row && missing(row, &call))
		return fail(NULL, CODE_ENVIRONMENT, missing(row, &call));
	if (json_decode(&config, plugin_config_fields, text, size, &err) < 0)
		return fail(NULL, CODE_DECODE, err.message);
	config.text = text;
	if (config.previous && cni_result_check(config.previous, &err) < 0) {
		code = fail(config.version, CODE_CONFIG, err.message);
	} else if (row) {
		code = act(plugin, row, &call, &config);
	} else {
		print_versions(config.version);
		code = 0;
	}
	json_free_fields(&config, plugin_config_fields);
	return code;
}

int main(int argc, char **argv)
{
	const struct plugin *plugin = find_plugin(argc > 0 ? argv[0] : "");
	int code;

	if (!plugin) {
		fputs("kist-cni is called by the name of a CNI plugin: bridge, portmap, firewall, host-local or "
		      "loopback, each with or without \"kist-\" in front\n",
		      stderr);
		return fail(NULL, CODE_ENVIRONMENT, "called by a name that is none of its plugins'");
	}
	code = run(plugin);
	return fflush(stdout) == 0 ? code : 1;
}
