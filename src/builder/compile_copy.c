/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "archive/owner.h"
#include "base/alloc.h"
#include "base/path.h"
#include "builder/build_private.h"

struct copy_flags {
	char *from;
	char *chown;
	char *chmod;
	char *checksum;
	bool link;
	bool parents;
	bool keep_git_dir;
	bool unpack;
	struct text_list excludes;
};

static void copy_flags_fini(struct copy_flags *flags)
{
	free(flags->from);
	free(flags->chown);
	free(flags->chmod);
	free(flags->checksum);
	text_list_fini(&flags->excludes);
}

static int read_flags(struct copy_flags *flags, const struct compiler *compiler, bool is_add, struct error *err)
{
	const struct flag_spec copy_specs[] = { { "from", &flags->from, NULL, NULL },
						{ "chown", &flags->chown, NULL, NULL },
						{ "chmod", &flags->chmod, NULL, NULL },
						{ "link", NULL, &flags->link, NULL },
						{ "parents", NULL, &flags->parents, NULL },
						{ "exclude", NULL, NULL, &flags->excludes },
						{ NULL, NULL, NULL, NULL } };
	const struct flag_spec add_specs[] = {
		{ "chown", &flags->chown, NULL, NULL },	      { "chmod", &flags->chmod, NULL, NULL },
		{ "link", NULL, &flags->link, NULL },	      { "keep-git-dir", NULL, &flags->keep_git_dir, NULL },
		{ "checksum", &flags->checksum, NULL, NULL }, { "unpack", NULL, &flags->unpack, NULL },
		{ "exclude", NULL, NULL, &flags->excludes },  { NULL, NULL, NULL, NULL }
	};

	flags->unpack = is_add;
	return compiler_flags(compiler, is_add ? add_specs : copy_specs, err);
}

static bool is_remote(const char *source)
{
	return text_has_prefix(source, "http://") || text_has_prefix(source, "https://") ||
	       text_has_prefix(source, "git://") || text_has_prefix(source, "ssh://") ||
	       text_has_prefix(source, "git@");
}

static int check_sources(const struct copy_data *copy, const struct copy_flags *flags, bool is_add, struct error *err)
{
	for (size_t i = 0; i < copy->sources.count; i++) {
		if (copy->source_kind == COPY_HEREDOC || !is_remote(copy->sources.items[i]))
			continue;
		if (!is_add)
			return error_set(err, ERR_INVALID, "source can't be a URL for COPY");
		return error_set(err, ERR_UNSUPPORTED, "ADD %s: fetching from the network is not supported yet",
				 copy->sources.items[i]);
	}
	if (flags->checksum)
		return error_set(err, ERR_INVALID, "checksum can't be specified for local sources");
	if (flags->keep_git_dir)
		return error_set(err, ERR_UNSUPPORTED, "ADD --keep-git-dir: git sources are not supported");
	return 0;
}

/* Relative to WORKDIR; a slash at the end says "a directory", and so does ".". */
static char *absolute_destination(const struct compiler *compiler, const char *text)
{
	const char *workdir = compiler->stage->config.config.working_dir;
	AUTO_FREE char *joined = path_is_absolute(text) ? xstrdup(text)
							: path_join(text_empty(workdir) ? "/" : workdir, text);
	AUTO_FREE char *clean = path_clean(joined);
	bool directory = text_has_suffix(text, "/") || text_equal(text, ".") || text_has_suffix(text, "/.") ||
			 text_equal(text, "..") || text_has_suffix(text, "/..");

	return directory && !text_equal(clean, "/") ? xasprintf("%s/", clean) : xstrdup(clean);
}

/* Sources that are heredocs: their bodies are the files. */
static int take_heredocs(struct copy_data *copy, struct compiler *compiler, struct error *err)
{
	const struct instruction *instruction = compiler->instruction;
	struct expand_scope scope;

	compiler_scope(compiler, &scope);
	for (size_t i = 0; i < instruction->heredoc_count; i++) {
		const struct heredoc *heredoc = &instruction->heredocs[i];
		char *body = NULL;

		if (!heredoc->expand)
			body = xstrdup(heredoc->body);
		else if (expand_body(&body, heredoc->body, &scope, err) < 0)
			return -1;
		text_list_add(&copy->sources, heredoc->name);
		text_list_add_take(&copy->bodies, body);
	}
	copy->source_kind = COPY_HEREDOC;
	return 0;
}

static bool is_heredoc_word(const char *word)
{
	word += strspn(word, "0123456789");
	return text_has_prefix(word, "<<");
}

static int read_arguments(struct copy_data *copy, struct compiler *compiler, struct error *err)
{
	const struct instruction *instruction = compiler->instruction;
	const struct text_list *args = &instruction->args;
	bool is_add = text_equal(instruction->keyword, "add");
	AUTO_FREE char *destination = NULL;
	size_t heredocs = 0;

	if (args->count < 2)
		return error_set(err, ERR_INVALID,
				 "%s requires at least two arguments, but only one was provided. Destination could not "
				 "be determined",
				 is_add ? "ADD" : "COPY");
	for (size_t i = 0; i + 1 < args->count; i++)
		heredocs += instruction->heredoc_count > 0 && is_heredoc_word(args->items[i]);
	if (instruction->heredoc_count > 0 && is_heredoc_word(args->items[args->count - 1]))
		return error_set(err, ERR_INVALID, "a heredoc cannot be the destination");
	if (heredocs > 0 && heredocs < args->count - 1)
		return error_set(err, ERR_UNSUPPORTED, "heredocs and files in one instruction: use two");
	if (compiler_expand(&destination, compiler, args->items[args->count - 1], err) < 0)
		return -1;
	if (!*destination)
		return error_set(err, ERR_INVALID, "the destination is empty");
	copy->destination = absolute_destination(compiler, destination);
	if (heredocs > 0)
		return take_heredocs(copy, compiler, err);
	for (size_t i = 0; i + 1 < args->count; i++) {
		char *source = NULL;

		if (compiler_expand(&source, compiler, args->items[i], err) < 0)
			return -1;
		text_list_add_take(&copy->sources, source);
	}
	return 0;
}

int compile_source(struct copy_data *copy, struct compiler *compiler, const char *from, struct error *err)
{
	struct build *build = compiler->build;
	size_t index = (size_t)(compiler->stage - build->stages.items);
	struct named_context *named = named_find(build, from);
	struct stage *stage = named ? NULL : stages_find(&build->stages, from, index);

	copy->source_kind = COPY_NODE;
	if (named && !named->image) {
		copy->source_kind = COPY_CONTEXT;
		copy->named = named;
		return 0;
	}
	if (stage) {
		copy->source = stage->rootfs;
		return 0;
	}
	if (!named && text_equal_ignoring_case(from, text_or_empty(compiler->stage->name)))
		return error_set(err, ERR_INVALID,
				 "%s: circular dependency detected in a stage that copies from itself", from);
	return compile_image(&copy->source, NULL, build, named ? named->image : from, NULL, err);
}

static int find_source(struct copy_data *copy, struct compiler *compiler, const char *from, struct error *err)
{
	if (!from)
		return 0;
	if (strchr(from, '$'))
		return error_set(
			err, ERR_INVALID,
			"variable expansion is not supported for --from, define a new stage with FROM using ARG "
			"from global scope as a workaround");
	if (copy->source_kind == COPY_HEREDOC)
		return error_set(err, ERR_INVALID, "--from cannot be used with a heredoc");
	return compile_source(copy, compiler, from, err);
}

static int expand_owner(struct copy_data *copy, struct compiler *compiler, const struct copy_flags *flags,
			struct error *err)
{
	if (flags->chown && compiler_expand(&copy->chown, compiler, flags->chown, err) < 0)
		return -1;
	if (!flags->chmod)
		return 0;
	if (compiler_expand(&copy->chmod, compiler, flags->chmod, err) < 0)
		return -1;
	return mode_check(copy->chmod, err);
}

static char *history_text(const struct compiler *compiler, const struct copy_data *copy, bool is_add)
{
	struct text out = { 0 };

	text_add(&out, is_add ? "ADD" : "COPY");
	for (size_t i = 0; i < compiler->instruction->flags.count; i++) {
		const char *flag = compiler->instruction->flags.items[i];

		if (text_has_prefix(flag, "--chown=") || text_has_prefix(flag, "--chmod=") ||
		    text_has_prefix(flag, "--parents"))
			text_addf(&out, " %s", flag);
	}
	for (size_t i = 0; i < copy->sources.count; i++)
		text_addf(&out, copy->source_kind == COPY_HEREDOC ? " <<%s" : " %s", copy->sources.items[i]);
	text_addf(&out, " %s # buildkit", compiler->instruction->args.items[compiler->instruction->args.count - 1]);
	return text_take(&out);
}

int compile_copy(struct compiler *compiler, struct error *err)
{
	bool is_add = text_equal(compiler->instruction->keyword, "add");
	AUTO(copy_flags_fini) struct copy_flags flags = { 0 };
	struct node *node = graph_add(&compiler->build->graph, NODE_COPY, compiler->stage->rootfs);
	struct copy_data *copy = &node->copy;

	node->description = xstrdup(compiler->instruction->original);
	compiler_set_place(node, compiler);
	if (read_flags(&flags, compiler, is_add, err) < 0 || read_arguments(copy, compiler, err) < 0 ||
	    check_sources(copy, &flags, is_add, err) < 0 || find_source(copy, compiler, flags.from, err) < 0 ||
	    expand_owner(copy, compiler, &flags, err) < 0)
		return -1;
	text_list_add_all(&copy->excludes, &flags.excludes);
	copy->parents = flags.parents;
	copy->unpack = is_add && flags.unpack;
	compiler->step->node = node;
	compiler->step->created_by = history_text(compiler, copy, is_add);
	compiler->stage->rootfs = node;
	return 0;
}

/* ---- WORKDIR ---- */

int compile_workdir(struct compiler *compiler, struct error *err)
{
	static const struct flag_spec none[] = { { NULL, NULL, NULL, NULL } };
	struct image_run *run = &compiler->stage->config.config;
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *joined = NULL;
	struct node *node;

	if (compiler_flags(compiler, none, err) < 0)
		return -1;
	if (compiler->instruction->args.count != 1)
		return error_set(err, ERR_INVALID, "WORKDIR requires exactly one argument");
	if (compiler_expand(&text, compiler, compiler->instruction->args.items[0], err) < 0)
		return -1;
	if (!*text)
		return error_set(err, ERR_INVALID, "cannot normalize nothing");
	joined = path_is_absolute(text) ? xstrdup(text)
					: path_join(text_empty(run->working_dir) ? "/" : run->working_dir, text);
	free(run->working_dir);
	run->working_dir = path_clean(joined);
	compiler->step->created_by = xasprintf("WORKDIR %s", run->working_dir);
	if (text_equal(run->working_dir, "/"))
		return 0;
	node = graph_add(&compiler->build->graph, NODE_DIRECTORY, compiler->stage->rootfs);
	node->description = xstrdup(compiler->instruction->original);
	compiler_set_place(node, compiler);
	node->path = xstrdup(run->working_dir);
	node->owner = xstrdup(run->user);
	compiler->step->node = node;
	compiler->stage->rootfs = node;
	return 0;
}
