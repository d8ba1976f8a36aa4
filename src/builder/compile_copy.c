/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "archive/owner.h"
#include "base/alloc.h"
#include "base/path.h"
#include "builder/origin.h"

struct copy_flags {
	char *from;
	char *chown;
	char *chmod;
	char *checksum;
	bool link;
	bool parents;
	bool keep_git_dir;
	bool keep_said;
	bool unpack;
	bool unpack_said;
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
	for (size_t i = 0; i < compiler->instruction->flags.count; i++) {
		const char *flag = compiler->instruction->flags.items[i];

		flags->unpack_said = flags->unpack_said || text_has_prefix(flag, "--unpack");
		flags->keep_said = flags->keep_said || text_has_prefix(flag, "--keep-git-dir");
	}
	return compiler_flags(compiler, is_add ? add_specs : copy_specs, err);
}

/* ---- sources from elsewhere ---- */

static bool is_url(const char *source)
{
	return text_has_prefix(source, "http://") || text_has_prefix(source, "https://");
}

/* A part of its own; the first one is the instruction's. */
static struct copy_data *add_part(struct copy_data *copy, enum copy_source kind)
{
	while (copy->more)
		copy = copy->more;
	if (copy->sources.count > 0) {
		copy->more = xcalloc(1, sizeof(*copy->more));
		copy = copy->more;
	}
	copy->source_kind = kind;
	return copy;
}

/* What the flags say beside the reference itself. */
static int join_git(struct git_ref *ref, const struct copy_flags *flags, struct error *err)
{
	enum git_choice keep = !flags->keep_said ? GIT_UNSAID : flags->keep_git_dir ? GIT_YES : GIT_NO;

	if (keep != GIT_UNSAID && ref->keep_git_dir != GIT_UNSAID && keep != ref->keep_git_dir)
		return error_set(err, ERR_INVALID, "inconsistent keep-git-dir configuration");
	if (ref->keep_git_dir == GIT_UNSAID)
		ref->keep_git_dir = keep;
	if (flags->checksum && ref->checksum && !text_equal(flags->checksum, ref->checksum))
		return error_set(err, ERR_INVALID, "checksum mismatch \"%s\" != \"%s\"", flags->checksum,
				 ref->checksum);
	if (!ref->checksum)
		ref->checksum = xstrdup(flags->checksum);
	return 0;
}

static int make_origin(struct origin **out_origin, struct compiler *compiler, const struct copy_flags *flags,
		       const char *word, struct git_ref *ref, struct error *err)
{
	if (!ref)
		return origin_new_url(out_origin, compiler->build, word, NULL, flags->checksum, err);
	return join_git(ref, flags, err) < 0 ? -1 : origin_new_git(out_origin, compiler->build, ref, err);
}

/* 1: the word names something in the network, and is a part now; 0: a path. */
static int take_remote(struct copy_data *copy, struct compiler *compiler, const struct copy_flags *flags,
		       const char *word, struct error *err)
{
	AUTO(git_ref_fini) struct git_ref ref = { 0 };
	struct origin *origin = NULL;
	int git = git_ref_parse(&ref, word, err);

	if (git < 0)
		return -1;
	git = git && !ref.like_local;
	if (!git && !is_url(word))
		return 0;
	if (!copy->is_add)
		return error_set(err, ERR_INVALID, "source can't be a %s for COPY", git ? "git ref" : "URL");
	if (make_origin(&origin, compiler, flags, word, git ? &ref : NULL, err) < 0)
		return -1;
	copy = add_part(copy, COPY_ORIGIN);
	copy->origin = origin;
	copy->unpack = origin->url && flags->unpack_said && flags->unpack;
	text_list_add(&copy->sources, word);
	return 1;
}

static int take_word(struct copy_data *copy, struct compiler *compiler, const struct copy_flags *flags,
		     const char *word, struct error *err)
{
	AUTO_FREE char *source = NULL;
	struct copy_data *last = copy;
	int r;

	if (compiler_expand(&source, compiler, word, err) < 0)
		return -1;
	r = take_remote(copy, compiler, flags, source, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (flags->checksum)
		return error_set(err, ERR_INVALID, "checksum requires HTTP(S) or Git sources");
	while (last->more)
		last = last->more;
	if (last->source_kind != COPY_CONTEXT)
		last = add_part(copy, COPY_CONTEXT);
	last->unpack = copy->is_add && flags->unpack;
	text_list_add_take(&last->sources, take_ptr(source));
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
	copy = add_part(copy, COPY_HEREDOC);
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
	return 0;
}

static bool is_heredoc_word(const char *word)
{
	word += strspn(word, "0123456789");
	return text_has_prefix(word, "<<");
}

static int read_destination(struct copy_data *copy, struct compiler *compiler, struct error *err)
{
	const struct instruction *instruction = compiler->instruction;
	const struct text_list *args = &instruction->args;
	AUTO_FREE char *destination = NULL;
	AUTO_FREE char *absolute = NULL;
	bool directory;

	if (args->count < 2)
		return error_set(err, ERR_INVALID,
				 "%s requires at least two arguments, but only one was provided. Destination could not "
				 "be determined",
				 copy->is_add ? "ADD" : "COPY");
	if (instruction->heredoc_count > 0 && is_heredoc_word(args->items[args->count - 1]))
		return error_set(err, ERR_INVALID, "a heredoc cannot be the destination");
	if (compiler_expand(&destination, compiler, args->items[args->count - 1], err) < 0)
		return -1;
	if (!*destination)
		return error_set(err, ERR_INVALID, "the destination is empty");
	absolute = absolute_destination(compiler, destination);
	/* What comes in parts cannot see that there are several. */
	directory = args->count > 2 && !text_has_suffix(absolute, "/");
	copy->destination = xasprintf("%s%s", absolute, directory ? "/" : "");
	return 0;
}

static int read_sources(struct copy_data *copy, struct compiler *compiler, const struct copy_flags *flags,
			struct error *err)
{
	const struct instruction *instruction = compiler->instruction;
	const struct text_list *args = &instruction->args;

	if (flags->checksum && args->count > 2)
		return error_set(err, ERR_INVALID, "checksum can't be specified for multiple sources");
	for (size_t i = 0; i + 1 < args->count; i++) {
		if (instruction->heredoc_count > 0 && is_heredoc_word(args->items[i]))
			continue;
		if (take_word(copy, compiler, flags, args->items[i], err) < 0)
			return -1;
	}
	return instruction->heredoc_count > 0 ? take_heredocs(copy, compiler, err) : 0;
}

/* What counts for all parts alike. */
static void share(struct copy_data *copy, const struct copy_flags *flags)
{
	for (struct copy_data *part = copy; part; part = part->more) {
		text_list_add_all(&part->excludes, &flags->excludes);
		part->parents = flags->parents;
		if (part == copy)
			continue;
		part->is_add = copy->is_add;
		part->destination = xstrdup(copy->destination);
		part->chown = xstrdup(copy->chown);
		part->chmod = xstrdup(copy->chmod);
	}
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

static int expand_checksum(struct copy_flags *flags, struct compiler *compiler, struct error *err)
{
	AUTO_FREE char *written = take_ptr(flags->checksum);

	if (!written)
		return 0;
	if (compiler_expand(&flags->checksum, compiler, written, err) < 0)
		return -1;
	if (!*flags->checksum)
		free(take_ptr(flags->checksum));
	return 0;
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
	for (; copy; copy = copy->more)
		for (size_t i = 0; i < copy->sources.count; i++)
			text_addf(&out, copy->source_kind == COPY_HEREDOC ? " <<%s" : " %s", copy->sources.items[i]);
	text_addf(&out, " %s # buildkit", compiler->instruction->args.items[compiler->instruction->args.count - 1]);
	return text_take(&out);
}

/* The files are copied into nothing; the layer that gives is put on top of the stage, whatever that is then. */
static struct node *link_layer(struct node *node, struct compiler *compiler)
{
	struct graph *graph = &compiler->build->graph;
	struct node *link = graph_add(graph, NODE_LINK, node->input);
	struct node *nothing = graph_add(graph, NODE_SCRATCH, NULL);

	nothing->description = xstrdup("FROM scratch");
	node->input = nothing;
	link->copy.source = node;
	link->description = xstrdup(node->description);
	compiler_set_place(link, compiler);
	return link;
}

int compile_copy(struct compiler *compiler, struct error *err)
{
	bool is_add = text_equal(compiler->instruction->keyword, "add");
	AUTO(copy_flags_fini) struct copy_flags flags = { 0 };
	struct node *node = graph_add(&compiler->build->graph, NODE_COPY, compiler->stage->rootfs);
	struct copy_data *copy = &node->copy;

	node->description = xstrdup(compiler->instruction->original);
	compiler_set_place(node, compiler);
	copy->is_add = is_add;
	if (read_flags(&flags, compiler, is_add, err) < 0 || expand_checksum(&flags, compiler, err) < 0 ||
	    read_destination(copy, compiler, err) < 0 || read_sources(copy, compiler, &flags, err) < 0 ||
	    find_source(copy, compiler, flags.from, err) < 0 || expand_owner(copy, compiler, &flags, err) < 0)
		return -1;
	share(copy, &flags);
	if (flags.link)
		node = link_layer(node, compiler);
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
