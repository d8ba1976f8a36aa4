/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plugins.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/path.h"

#define PREFIX "docker-"

static void folders(struct text_list *out, const struct config *config)
{
	static const char *const machine[] = {
		"/usr/local/lib/docker/cli-plugins",
		"/usr/local/libexec/docker/cli-plugins",
		"/usr/lib/docker/cli-plugins",
		"/usr/libexec/docker/cli-plugins",
	};
	const struct json_value *more = json_value_get(config->root, "cliPluginsExtraDirs");

	for (size_t i = 0; i < json_value_count(more); i++)
		if (json_value_text(json_value_at(more, i)))
			text_list_add(out, json_value_text(json_value_at(more, i)));
	text_list_add_take(out, path_join(config->folder, "cli-plugins"));
	for (size_t i = 0; i < sizeof(machine) / sizeof(machine[0]); i++)
		text_list_add(out, machine[i]);
}

/* What may follow "docker-". */
static bool is_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";

	return *name && name[strspn(name, allowed)] == '\0';
}

char *plugin_find(const struct config *config, const char *name)
{
	AUTO(text_list_fini) struct text_list list = { 0 };

	if (!is_name(name))
		return NULL;
	folders(&list, config);
	for (size_t i = 0; i < list.count; i++) {
		AUTO_FREE char *path = xasprintf("%s/" PREFIX "%s", list.items[i], name);

		if (access(path, X_OK) == 0)
			return take_ptr(path);
	}
	return NULL;
}

static void add_names(struct text_list *out, const char *folder)
{
	DIR *directory = opendir(folder);
	struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		const char *name = text_after(entry->d_name, PREFIX);

		if (name && is_name(name) && !text_list_contains(out, name))
			text_list_add(out, name);
	}
	if (directory)
		closedir(directory);
}

void plugin_names(struct text_list *out_names, const struct config *config)
{
	AUTO(text_list_fini) struct text_list list = { 0 };

	folders(&list, config);
	for (size_t i = 0; i < list.count; i++)
		add_names(out_names, list.items[i]);
	text_list_sort(out_names);
}

/* Where the plugin shall find our engine: it knows contexts itself, but not our own default. */
static int name_engine(struct cli *cli, struct error *err)
{
	AUTO(saved_context_fini) struct saved_context context = { 0 };
	AUTO_FREE char *host = NULL;

	if (cli_engine(&host, &context, cli, err) < 0)
		return -1;
	if (context.name || (host && getenv("DOCKER_HOST") && !getenv("KIST_HOST")))
		return 0;
	return setenv("DOCKER_HOST", host ? host : CLIENT_DEFAULT_HOST, 1) < 0
		       ? error_set_errno(err, ERR_INTERNAL, errno, "setenv")
		       : 0;
}

int plugin_execute(struct cli *cli, const char *path, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list arguments = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	char self[PATH_MAX] = "";
	ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (name_engine(cli, err) < 0)
		return -1;
	/* Opened for its side effect: it starts an engine where none runs. Without one some plugins still work. */
	if (!cli_client(cli, &ignored))
		error_clear(&ignored);
	if (size > 0)
		setenv("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", self, 1);
	text_list_add(&arguments, path);
	for (size_t i = 1; argv[i]; i++)
		text_list_add(&arguments, argv[i]);
	execv(path, text_list_argv(&arguments));
	return error_set_errno(err, ERR_INTERNAL, errno, "run the plugin %s", path);
}
