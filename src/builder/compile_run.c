/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "base/alloc.h"
#include "builder/build_private.h"

static const char *const proxy_args[] = { "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
					  "FTP_PROXY",	"ftp_proxy",  "NO_PROXY",    "no_proxy",
					  "ALL_PROXY",	"all_proxy",  NULL };

/* ENV, then the ARGs that ENV does not hide. `shown` gets "|2 A=1 B=2 ", or nothing. */
static void fill_environment(struct exec_data *exec, struct compiler *compiler, struct text *shown)
{
	const struct stage *stage = compiler->stage;
	AUTO(text_list_fini) struct text_list used = { 0 };

	text_list_add_all(&exec->env, &stage->config.config.env);
	for (size_t i = 0; i < stage->declared.count; i++) {
		const char *name = stage->declared.items[i];
		const char *value = text_map_get(&stage->args, name);

		if (!value || text_list_env(&stage->config.config.env, name))
			continue;
		text_list_addf(&used, "%s=%s", name, value);
	}
	text_list_sort(&used);
	text_list_add_all(&exec->env, &used);
	if (used.count > 0)
		text_addf(shown, "|%zu ", used.count);
	for (size_t i = 0; i < used.count; i++)
		text_addf(shown, "%s ", used.items[i]);
	/* Proxies of the builder's machine are nobody's business afterwards. */
	for (size_t i = 0; proxy_args[i]; i++) {
		const char *value = text_map_get(compiler->build->options->args, proxy_args[i]);

		if (!value)
			continue;
		text_list_add(&compiler->build->consumed, proxy_args[i]);
		if (!text_list_env(&exec->env, proxy_args[i]))
			text_list_addf(&exec->hidden, "%s=%s", proxy_args[i], value);
	}
}

static void add_shell(struct text_list *args, const struct compiler *compiler)
{
	const struct text_list *shell = &compiler->stage->config.config.shell;

	if (shell->count > 0) {
		text_list_add_all(args, shell);
		return;
	}
	text_list_add(args, "/bin/sh");
	text_list_add(args, "-c");
}

/* The one word of the line is the heredoc itself: "<<EOF". */
static bool is_only_heredoc(const struct instruction *instruction)
{
	const char *line = instruction->args.count == 1 ? instruction->args.items[0] : "";

	if (instruction->heredoc_count != 1 || strncmp(line, "<<", 2) != 0)
		return false;
	for (; *line; line++)
		if (isspace((unsigned char)*line))
			return false;
	return true;
}

/* The shell does its heredocs itself: they are put back behind the command. */
static char *rebuild_command(const struct instruction *instruction)
{
	struct text command = { 0 };

	text_add(&command, instruction->args.items[0]);
	for (size_t i = 0; i < instruction->heredoc_count; i++)
		text_addf(&command, "\n%s%s", instruction->heredocs[i].body, instruction->heredocs[i].name);
	return text_take(&command);
}

static void fill_command(struct exec_data *exec, const struct compiler *compiler)
{
	const struct instruction *instruction = compiler->instruction;

	if (instruction->json) {
		text_list_add_all(&exec->args, &instruction->args);
	} else if (!is_only_heredoc(instruction)) {
		add_shell(&exec->args, compiler);
		text_list_add_take(&exec->args, rebuild_command(instruction));
	} else if (text_has_prefix(instruction->heredocs[0].body, "#!")) {
		exec->script = xstrdup(instruction->heredocs[0].body);
		exec->script_name = xstrdup(instruction->heredocs[0].name);
		text_list_addf(&exec->args, "/dev/pipes/%s", exec->script_name);
	} else {
		add_shell(&exec->args, compiler);
		text_list_add(&exec->args, instruction->heredocs[0].body);
	}
	exec->shown = text_list_join(&exec->args, " ");
}

static int read_flags(struct exec_data *exec, struct compiler *compiler, struct error *err)
{
	AUTO(text_list_fini) struct text_list mounts = { 0 };
	AUTO(text_list_fini) struct text_list devices = { 0 };
	AUTO_FREE char *security = NULL;
	AUTO_FREE char *network = NULL;
	const struct flag_spec specs[] = { { "mount", NULL, NULL, &mounts },
					   { "device", NULL, NULL, &devices },
					   { "network", &network, NULL, NULL },
					   { "security", &security, NULL, NULL },
					   { NULL, NULL, NULL, NULL } };

	if (compiler_flags(compiler, specs, err) < 0 ||
	    (network && compiler_expand(&exec->network, compiler, network, err) < 0))
		return -1;
	if (exec->network && !text_equal(exec->network, "default") && !text_equal(exec->network, "none") &&
	    !text_equal(exec->network, "host"))
		return error_set(err, ERR_INVALID, "value \"%s\" is not a valid network mode", exec->network);
	if (compiler->build->options->confined && text_equal(exec->network, "host"))
		return error_set(err, ERR_FORBIDDEN, "the policy of this socket does not allow RUN --network=host");
	if (text_equal(exec->network, "host") && build_check_allowed(compiler->build, "network.host", err) < 0)
		return -1;
	if (security && !text_equal(security, "sandbox"))
		return error_set(err, ERR_UNSUPPORTED, "RUN --security=%s: only sandbox is supported", security);
	if (devices.count)
		return error_set(err, ERR_UNSUPPORTED, "RUN --device is not supported");
	return compile_mounts(exec, compiler, &mounts, err);
}

int compile_run(struct compiler *compiler, struct error *err)
{
	const struct image_run *run = &compiler->stage->config.config;
	const struct instruction *instruction = compiler->instruction;
	AUTO(text_fini) struct text prefix = { 0 };
	struct exec_data *exec;
	struct node *node;

	if (instruction->args.count == 0)
		return error_set(err, ERR_INVALID, "RUN requires at least one argument");
	node = graph_add(&compiler->build->graph, NODE_EXEC, compiler->stage->rootfs);
	exec = &node->exec;
	node->description = xstrdup(instruction->original);
	compiler_set_place(node, compiler);
	if (read_flags(exec, compiler, err) < 0)
		return -1;
	fill_command(exec, compiler);
	fill_environment(exec, compiler, &prefix);
	exec->user = xstrdup(text_or_empty(run->user));
	exec->workdir = xstrdup(text_empty(run->working_dir) ? "/" : run->working_dir);
	compiler->step->node = node;
	compiler->step->created_by = xasprintf("RUN %s%s # buildkit", text_or_empty(prefix.data), exec->shown);
	compiler->stage->rootfs = node;
	return 0;
}
