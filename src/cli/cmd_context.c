/* SPDX-License-Identifier: Apache-2.0 */
/* context create, export, import, inspect, ls, rm, show, update, use. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/pack.h"
#include "archive/tar_reader.h"
#include "base/alloc.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/contexts.h"
#include "cli/listing.h"
#include "cli/members.h"
#include "cli/spec.h"
#include "cli/template.h"

#define FILE_MAX_BYTES ((size_t)1 << 20)
#define DEFAULT_DESCRIPTION "Current DOCKER_HOST based configuration"

static const char *const tls_files[] = { "ca.pem", "cert.pem", "key.pem" };
#define TLS_FILES (sizeof(tls_files) / sizeof(tls_files[0]))

static const char *default_host(void)
{
	const char *host = getenv("KIST_HOST");

	if (text_empty(host))
		host = getenv("DOCKER_HOST");
	return text_empty(host) ? CLIENT_DEFAULT_HOST : host;
}

/* Any, also "default". */
static int load(struct saved_context *out_context, struct cli *cli, const char *name, struct error *err)
{
	if (!text_equal(name, "default"))
		return context_load(out_context, &cli->config, name, err);
	*out_context = (struct saved_context){ .name = xstrdup("default"), .host = xstrdup(default_host()) };
	return 0;
}

static int read_whole(char **out_text, size_t *out_size, const char *path, struct error *err)
{
	int r = file_read(out_text, out_size, AT_FDCWD, path, FILE_MAX_BYTES);

	return r < 0 ? error_set_errno(err, ERR_INVALID, r, "read %s", path) : 0;
}

/* ---- create and update ---- */

struct edit_options {
	const char *description;
	const char *from;
	struct text_list docker; /* "host=...,ca=..." */
};

#define T struct edit_options
static const struct option_spec create_options[] = {
	OPTION_TEXT("description", 0, T, description, "string", "Description of the context"),
	OPTION_LIST("docker", 0, T, docker, "stringToString", "set the docker endpoint"),
	OPTION_TEXT("from", 0, T, from, "string", "create context from a named context"),
	OPTION_END,
};

static const struct option_spec update_options[] = {
	OPTION_TEXT("description", 0, T, description, "string", "Description of the context"),
	OPTION_LIST("docker", 0, T, docker, "stringToString", "set the docker endpoint"),
	OPTION_END,
};
#undef T

static int copy_tls(struct cli *cli, const char *to, const char *file, const char *path, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size;

	if (read_whole(&text, &size, path, err) < 0)
		return -1;
	return context_tls_put(&cli->config, to, file, text, size, err);
}

/* All material of one context to another. */
static int copy_all_tls(struct cli *cli, const char *to, const char *from, struct error *err)
{
	AUTO(context_tls_fini) struct context_tls tls = { 0 };
	const char *paths[TLS_FILES];

	context_tls_find(&tls, &cli->config, from);
	paths[0] = tls.ca;
	paths[1] = tls.certificate;
	paths[2] = tls.key;
	for (size_t i = 0; i < TLS_FILES; i++)
		if (paths[i] && copy_tls(cli, to, tls_files[i], paths[i], err) < 0)
			return -1;
	return 0;
}

struct endpoint_wish {
	char *host;
	char *from;
	char *skip;
	char *tls[TLS_FILES];
};

static void wish_fini(struct endpoint_wish *wish)
{
	free(wish->host);
	free(wish->from);
	free(wish->skip);
	for (size_t i = 0; i < TLS_FILES; i++)
		free(wish->tls[i]);
}

static int read_wish(struct endpoint_wish *wish, const char *word, struct error *err)
{
	const char *value;
	AUTO_FREE char *key = spec_cut(word, &value);
	const struct {
		const char *key;
		char **place;
	} keys[] = {
		{ "host", &wish->host }, { "from", &wish->from },   { "skip-tls-verify", &wish->skip },
		{ "ca", &wish->tls[0] }, { "cert", &wish->tls[1] }, { "key", &wish->tls[2] },
	};

	if (!value)
		return error_set(err, ERR_INVALID,
				 "invalid argument \"%s\" for \"--docker\" flag: %s must be formatted as key=value",
				 word, word);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (text_equal(key, keys[i].key)) {
			free(*keys[i].place);
			*keys[i].place = xstrdup(value);
			return 0;
		}
	return error_set(err, ERR_INVALID, "unable to create docker endpoint config: unrecognized config key: %s", key);
}

static int read_wishes(struct endpoint_wish *wish, const struct text_list *given, struct error *err)
{
	for (size_t i = 0; i < given->count; i++) {
		AUTO(text_list_fini) struct text_list words = { 0 };

		text_list_split(&words, given->items[i], ',');
		for (size_t j = 0; j < words.count; j++)
			if (read_wish(wish, words.items[j], err) < 0)
				return -1;
	}
	return 0;
}

static int check_wish(const struct endpoint_wish *wish, struct error *err)
{
	const char *host = wish->host;

	if (wish->skip && !text_equal(wish->skip, "true") && !text_equal(wish->skip, "false"))
		return error_set(err, ERR_INVALID,
				 "unable to create docker endpoint config: skip-tls-verify: %s: "
				 "expected true or false",
				 wish->skip);
	if (!host || strstr(host, "://"))
		return 0;
	return error_set(
		err, ERR_INVALID,
		"unable to create docker endpoint config: unable to parse docker host `%s`: a scheme is missing "
		"(unix://, tcp:// or ssh://)",
		host);
}

static int apply_wish(struct saved_context *context, struct cli *cli, const struct endpoint_wish *wish,
		      struct error *err)
{
	AUTO(saved_context_fini) struct saved_context source = { 0 };

	if (wish->from) {
		if (load(&source, cli, wish->from, err) < 0 || copy_all_tls(cli, context->name, wish->from, err) < 0)
			return -1;
		free(context->host);
		context->host = take_ptr(source.host);
	}
	if (wish->host) {
		free(context->host);
		context->host = xstrdup(wish->host);
	}
	if (wish->skip)
		context->skip_tls_verify = text_equal(wish->skip, "true");
	for (size_t i = 0; i < TLS_FILES; i++)
		if (wish->tls[i] && copy_tls(cli, context->name, tls_files[i], wish->tls[i], err) < 0)
			return -1;
	return 0;
}

static int edit(struct saved_context *context, struct cli *cli, const struct edit_options *options, struct error *err)
{
	AUTO(wish_fini) struct endpoint_wish wish = { 0 };

	if (read_wishes(&wish, &options->docker, err) < 0 || check_wish(&wish, err) < 0 ||
	    apply_wish(context, cli, &wish, err) < 0)
		return -1;
	if (options->description) {
		free(context->description);
		context->description = xstrdup(options->description);
	}
	return context_save(context, &cli->config, err);
}

static int run_create(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct edit_options *options = target;
	const char *name = operands->items[0];
	AUTO(saved_context_fini) struct saved_context context = { 0 };

	if (context_check_name(name, err) < 0)
		return -1;
	if (context_exists(&cli->config, name))
		return error_set(err, ERR_CONFLICT, "context \"%s\" already exists", name);
	if (load(&context, cli, options->from ? options->from : context_current(&cli->config, cli->context), err) < 0 ||
	    (options->from && copy_all_tls(cli, name, options->from, err) < 0))
		return -1;
	free(context.name);
	context.name = xstrdup(name);
	if (edit(&context, cli, options, err) < 0)
		return -1;
	puts(name);
	fflush(stdout);
	fprintf(stderr, "Successfully created context \"%s\"\n", name);
	return 0;
}

static int run_update(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const char *name = operands->items[0];
	AUTO(saved_context_fini) struct saved_context context = { 0 };

	if (context_check_name(name, err) < 0 || context_load(&context, &cli->config, name, err) < 0 ||
	    edit(&context, cli, target, err) < 0)
		return -1;
	puts(name);
	fflush(stdout);
	fprintf(stderr, "Successfully updated context \"%s\"\n", name);
	return 0;
}

/* ---- ls, show, use, rm ---- */

struct ls_options {
	const char *format;
	bool quiet;
};

static const struct option_spec ls_options[] = {
	OPTION_TEXT("format", 0, struct ls_options, format, "string",
		    "'table', 'table TEMPLATE', 'json', or a Go template"),
	OPTION_FLAG("quiet", 'q', struct ls_options, quiet, "Only show context names"),
	OPTION_END,
};

static const struct listing_column columns[] = {
	{ "Current", "" },
	{ "Description", "DESCRIPTION" },
	{ "DockerEndpoint", "DOCKER ENDPOINT" },
	{ "Error", "ERROR" },
	{ "Name", "NAME" },
	{ NULL, NULL },
};

static void add_row(struct listing *listing, struct cli *cli, const char *name, const char *current)
{
	struct template_row *row = listing_add(listing);
	AUTO(saved_context_fini) struct saved_context context = { 0 };
	AUTO(error_clear) struct error problem = { 0 };

	if (load(&context, cli, name, &problem) == 0 && text_equal(name, "default"))
		context.description = xstrdup(DEFAULT_DESCRIPTION);
	row->flag = "Current";
	listing_set(row, "Current", text_equal(name, current) ? "true" : "false");
	listing_set(row, "Description", text_or_empty(context.description));
	listing_set(row, "DockerEndpoint", text_or_empty(context.host));
	listing_set(row, "Error", text_or_empty(problem.message));
	listing_set(row, "Name", name);
}

static int run_ls(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct ls_options *options = target;
	const char *current = context_current(&cli->config, cli->context);
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO(listing_fini) struct listing listing = { 0 };

	(void)operands;
	text_list_add(&names, "default");
	context_names(&names, &cli->config);
	text_list_sort(&names);
	listing_init(&listing, columns, "*formatter.clientContextContext",
		     options->quiet ? "{{.Name}}" : options->format,
		     "table {{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}");
	for (size_t i = 0; i < names.count; i++)
		add_row(&listing, cli, names.items[i], current);
	return listing_print(&listing, err);
}

static int run_show(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	(void)options;
	(void)operands;
	(void)err;
	puts(context_current(&cli->config, cli->context));
	return 0;
}

static int run_use(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	const char *name = operands->items[0];
	AUTO(saved_context_fini) struct saved_context context = { 0 };
	const char *host = getenv("DOCKER_HOST");

	(void)options;
	if (load(&context, cli, name, err) < 0 || context_use(&cli->config, name, err) < 0)
		return -1;
	puts(name);
	fflush(stdout);
	fprintf(stderr, "Current context is now \"%s\"\n", name);
	if (!text_empty(host) && !text_equal(name, "default"))
		fprintf(stderr,
			"Warning: DOCKER_HOST environment variable overrides the active context. To use \"%s\", either "
			"set "
			"the global --context flag, or unset DOCKER_HOST environment variable.\n",
			name);
	return 0;
}

struct rm_options {
	bool force;
};

static const struct option_spec rm_options[] = {
	OPTION_FLAG("force", 'f', struct rm_options, force, "Force the removal of a context in use"),
	OPTION_END,
};

static int remove_one(struct cli *cli, const char *name, bool force, struct error *err)
{
	bool in_use = text_equal(name, context_current(&cli->config, cli->context));

	if (text_equal(name, "default"))
		return error_set(err, ERR_INVALID, "context \"default\" cannot be removed");
	if (!context_exists(&cli->config, name))
		return force ? 0 : error_set(err, ERR_NOT_FOUND, "context \"%s\" does not exist", name);
	if (in_use && !force)
		return error_set(err, ERR_CONFLICT, "context \"%s\" is in use, set -f flag to force remove", name);
	if (in_use && context_use(&cli->config, "default", err) < 0)
		return -1;
	return context_remove(&cli->config, name, err);
}

static int run_rm(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct rm_options *options = target;
	int exit_code = 0;

	for (size_t i = 0; i < operands->count; i++)
		if (remove_one(cli, operands->items[i], options->force, err) < 0)
			cli_report(&exit_code, err);
		else
			puts(operands->items[i]);
	return exit_code;
}

/* ---- inspect ---- */

struct inspect_options {
	const char *format;
};

static const struct option_spec inspect_options[] = {
	OPTION_TEXT("format", 'f', struct inspect_options, format, "string", "'json' or a Go template"),
	OPTION_END,
};

static void add_tls(struct text *json, struct cli *cli, const char *name)
{
	AUTO(context_tls_fini) struct context_tls tls = { 0 };
	AUTO(text_list_fini) struct text_list files = { 0 };

	context_tls_find(&tls, &cli->config, name);
	if (tls.ca)
		text_list_add(&files, tls_files[0]);
	if (tls.certificate)
		text_list_add(&files, tls_files[1]);
	if (tls.key)
		text_list_add(&files, tls_files[2]);
	members_key(json, "TLSMaterial");
	text_add_char(json, '{');
	if (files.count)
		members_list(json, "docker", &files);
	text_add_char(json, '}');
}

static void add_storage(struct text *json, struct cli *cli, const char *name)
{
	bool in_memory = text_equal(name, "default");
	AUTO_FREE char *meta = in_memory ? xstrdup("<IN MEMORY>") : context_folder(&cli->config, "meta", name);
	AUTO_FREE char *tls = in_memory ? xstrdup("<IN MEMORY>") : context_folder(&cli->config, "tls", name);

	members_key(json, "Storage");
	text_add_char(json, '{');
	members_text(json, "MetadataPath", meta);
	members_text(json, "TLSPath", tls);
	text_add_char(json, '}');
}

static char *inspect_json(struct cli *cli, const struct saved_context *context)
{
	struct text json = { 0 };

	text_add_char(&json, '{');
	members_text(&json, "Name", context->name);
	members_key(&json, "Metadata");
	text_add_char(&json, '{');
	if (!text_empty(context->description))
		members_text(&json, "Description", context->description);
	text_add_char(&json, '}');
	members_key(&json, "Endpoints");
	text_add(&json, "{\"docker\":{");
	members_text(&json, "Host", context->host);
	members_bool(&json, "SkipTLSVerify", context->skip_tls_verify);
	text_add(&json, "}}");
	add_tls(&json, cli, context->name);
	add_storage(&json, cli, context->name);
	text_add_char(&json, '}');
	return text_take(&json);
}

static int find_context(struct json_value **out_object, void *arg, const char *name, struct error *err)
{
	AUTO(saved_context_fini) struct saved_context context = { 0 };
	AUTO_FREE char *json = NULL;

	if (load(&context, arg, name, err) < 0)
		return -1;
	json = inspect_json(arg, &context);
	return json_value_parse(out_object, json, strlen(json), err);
}

static int run_inspect(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct inspect_options *options = target;
	AUTO(text_list_fini) struct text_list names = { 0 };

	text_list_add_all(&names, operands);
	if (names.count == 0)
		text_list_add(&names, context_current(&cli->config, cli->context));
	return inspect_objects(&names, options->format, find_context, cli, err);
}

/* ---- export and import ---- */

static int pack_tls(struct pack *pack, const char *path, const char *name, struct error *err)
{
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *inside = xasprintf("tls/docker/%s", name);
	size_t size;

	if (!path)
		return 0;
	if (read_whole(&text, &size, path, err) < 0)
		return -1;
	return pack_add_text(pack, inside, text, size, err);
}

static int export_to(int fd, struct cli *cli, const char *name, struct error *err)
{
	const struct pack_settings settings = { .out_fd = fd, .latest_s = -1 };
	AUTO(pack_freep) struct pack *pack = pack_new(&settings);
	AUTO(context_tls_fini) struct context_tls tls = { 0 };
	AUTO_FREE char *folder = context_folder(&cli->config, "meta", name);
	AUTO_FREE char *path = xasprintf("%s/meta.json", folder);
	AUTO_FREE char *meta = NULL;
	struct pack_counts counts;
	size_t size;

	context_tls_find(&tls, &cli->config, name);
	if (read_whole(&meta, &size, path, err) < 0 || pack_add_text(pack, "meta.json", meta, size, err) < 0 ||
	    pack_tls(pack, tls.ca, tls_files[0], err) < 0 || pack_tls(pack, tls.certificate, tls_files[1], err) < 0 ||
	    pack_tls(pack, tls.key, tls_files[2], err) < 0)
		return -1;
	return pack_finish(pack, &counts, err);
}

static int run_export(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	const char *name = operands->items[0];
	AUTO(saved_context_fini) struct saved_context context = { 0 };
	AUTO_FREE char *file = operands->count > 1 ? xstrdup(operands->items[1]) : xasprintf("%s.dockercontext", name);
	AUTO_CLOSE int fd = -1;

	(void)options;
	if (text_equal(name, "default"))
		return error_set(err, ERR_INVALID, "the default context cannot be exported: it is the environment's");
	if (context_load(&context, &cli->config, name, err) < 0)
		return -1;
	if (text_equal(file, "-")) {
		if (isatty(STDOUT_FILENO))
			return error_set(err, ERR_INVALID,
					 "cowardly refusing to export to a terminal, specify a file path");
		return export_to(STDOUT_FILENO, cli, name, err);
	}
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(err, ERR_INVALID, errno, "open %s", file);
	if (export_to(fd, cli, name, err) < 0) {
		unlink(file);
		return -1;
	}
	fprintf(stderr, "Written file \"%s\"\n", file);
	return 0;
}

static ssize_t read_fd(void *arg, void *data, size_t size, struct error *err)
{
	ssize_t got = read(*(int *)arg, data, size);

	return got < 0 ? error_set_errno(err, ERR_INVALID, errno, "read context") : got;
}

static int read_entry(char **out_text, struct tar_reader *reader, const struct tar_entry *entry, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t at = 0;
	ssize_t got;

	if (entry->size > FILE_MAX_BYTES)
		return error_set(err, ERR_INVALID, "%s in the context is larger than %zu bytes", entry->path,
				 FILE_MAX_BYTES);
	text = xmalloc((size_t)entry->size + 1);
	while ((got = tar_reader_read(reader, text + at, (size_t)entry->size - at, err)) > 0)
		at += (size_t)got;
	if (got < 0)
		return -1;
	text[at] = '\0';
	*out_text = take_ptr(text);
	return 0;
}

struct import_state {
	struct saved_context context;
	bool has_meta;
};

static int import_meta(struct import_state *state, const char *name, const char *text, size_t size, struct error *err)
{
	AUTO(json_value_freep) struct json_value *meta = NULL;
	const struct json_value *docker;
	const char *description;

	if (json_value_parse(&meta, text, size, err) < 0)
		return error_prefix(err, "meta.json");
	docker = json_value_get(json_value_get(meta, "Endpoints"), "docker");
	description = json_value_text(json_value_get(json_value_get(meta, "Metadata"), "Description"));
	saved_context_fini(&state->context);
	state->context = (struct saved_context){
		.name = xstrdup(name),
		.description = description ? xstrdup(description) : NULL,
		.host = xstrdup(text_of(docker, "Host")),
		.skip_tls_verify = json_value_bool(json_value_get(docker, "SkipTLSVerify")),
	};
	state->has_meta = true;
	return 0;
}

static int import_entry(struct import_state *state, struct cli *cli, const char *name, struct tar_reader *reader,
			const struct tar_entry *entry, struct error *err)
{
	AUTO_FREE char *path = xstrdup(entry->path);
	AUTO_FREE char *text = NULL;

	if (entry->type != TAR_FILE)
		return 0;
	if (read_entry(&text, reader, entry, err) < 0)
		return -1;
	if (text_equal(path, "meta.json"))
		return import_meta(state, name, text, (size_t)entry->size, err);
	for (size_t i = 0; i < TLS_FILES; i++)
		if (text_equal(text_after(path, "tls/docker/"), tls_files[i]))
			return context_tls_put(&cli->config, name, tls_files[i], text, (size_t)entry->size, err);
	return error_set(err, ERR_INVALID, "unexpected context file: %s", path);
}

static int import_from(int fd, struct cli *cli, const char *name, struct error *err)
{
	AUTO(tar_reader_freep) struct tar_reader *reader = tar_reader_new(read_fd, &fd);
	struct import_state state = { 0 };
	struct tar_entry entry;
	int r;

	while ((r = tar_reader_next(reader, &entry, err)) > 0)
		if (import_entry(&state, cli, name, reader, &entry, err) < 0) {
			r = -1;
			break;
		}
	if (r == 0 && !state.has_meta)
		r = error_set(err, ERR_INVALID, "invalid context: no metadata found");
	if (r == 0)
		r = context_save(&state.context, &cli->config, err);
	saved_context_fini(&state.context);
	return r;
}

static int run_import(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	const char *name = operands->items[0];
	const char *file = operands->items[1];
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_CLOSE int fd = -1;

	(void)options;
	if (context_check_name(name, err) < 0)
		return -1;
	if (context_exists(&cli->config, name))
		return error_set(err, ERR_CONFLICT, "context \"%s\" already exists", name);
	if (!text_equal(file, "-"))
		fd = open(file, O_RDONLY | O_CLOEXEC);
	if (!text_equal(file, "-") && fd < 0)
		return error_set_errno(err, ERR_INVALID, errno, "open %s", file);
	if (import_from(fd < 0 ? STDIN_FILENO : fd, cli, name, err) < 0) {
		context_remove(&cli->config, name, &ignored);
		return -1;
	}
	puts(name);
	fflush(stdout);
	fprintf(stderr, "Successfully imported context \"%s\"\n", name);
	return 0;
}

/* ---- commands ---- */

const struct command command_context_create = {
	.usage = "[OPTIONS] CONTEXT",
	.summary = "Create a context",
	.options = create_options,
	.options_size = sizeof(struct edit_options),
	.min_operands = 1,
	.max_operands = 1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_create,
};

const struct command command_context_update = {
	.usage = "[OPTIONS] CONTEXT",
	.summary = "Update a context",
	.options = update_options,
	.options_size = sizeof(struct edit_options),
	.min_operands = 1,
	.max_operands = 1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_update,
};

const struct command command_context_ls = {
	.usage = "[OPTIONS]",
	.summary = "List contexts",
	.options = ls_options,
	.options_size = sizeof(struct ls_options),
	.min_operands = 0,
	.max_operands = 0,
	.run = run_ls,
};

const struct command command_context_show = {
	.usage = "",
	.summary = "Print the name of the current context",
	.min_operands = 0,
	.max_operands = 0,
	.run = run_show,
};

const struct command command_context_use = {
	.usage = "CONTEXT",
	.summary = "Set the current docker context",
	.min_operands = 1,
	.max_operands = 1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_use,
};

const struct command command_context_rm = {
	.usage = "CONTEXT [CONTEXT...]",
	.summary = "Remove one or more contexts",
	.options = rm_options,
	.options_size = sizeof(struct rm_options),
	.min_operands = 1,
	.max_operands = -1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_rm,
};

const struct command command_context_inspect = {
	.usage = "[OPTIONS] [CONTEXT] [CONTEXT...]",
	.summary = "Display detailed information on one or more contexts",
	.options = inspect_options,
	.options_size = sizeof(struct inspect_options),
	.min_operands = 0,
	.max_operands = -1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_inspect,
};

const struct command command_context_export = {
	.usage = "CONTEXT [FILE|-]",
	.summary = "Export a context to a tar archive FILE or a tar stream on STDOUT.",
	.min_operands = 1,
	.max_operands = 2,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_export,
};

const struct command command_context_import = {
	.usage = "CONTEXT FILE|-",
	.summary = "Import a context from a tar file",
	.min_operands = 2,
	.max_operands = 2,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_import,
};
