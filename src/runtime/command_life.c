/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "runtime/command.h"
#include "sys/signal_name.h"

#define PS_OUTPUT_MAX (16 << 20)

static const struct option_spec no_options[] = { OPTION_END };

/* What `runc state` prints; `list` prints an array of it. */
struct state_document {
	char *oci_version;
	char *id;
	int64_t pid;
	char *status;
	char *bundle;
	char *rootfs;
	char *created;
	char *owner;
	struct text_map annotations;
	struct optional_i64 exit_status;
	struct optional_i64 signal;
	struct optional_bool oom_killed;
};

static const struct json_field state_document_fields[] = {
	JSON_TEXT("ociVersion", struct state_document, oci_version, 0),
	JSON_TEXT("id", struct state_document, id, 0),
	JSON_I64("pid", struct state_document, pid, 0),
	JSON_TEXT("status", struct state_document, status, 0),
	JSON_TEXT("bundle", struct state_document, bundle, 0),
	JSON_TEXT("rootfs", struct state_document, rootfs, 0),
	JSON_TEXT("created", struct state_document, created, 0),
	JSON_TEXT_MAP("annotations", struct state_document, annotations, JSON_OMIT_EMPTY),
	JSON_TEXT("owner", struct state_document, owner, 0),
	JSON_OPT_I64("exitStatus", struct state_document, exit_status, JSON_OMIT_EMPTY),
	JSON_OPT_I64("signal", struct state_document, signal, JSON_OMIT_EMPTY),
	JSON_OPT_BOOL("oomKilled", struct state_document, oom_killed, JSON_OMIT_EMPTY),
	JSON_END,
};

/* Borrows everything. */
static struct state_document document_of(const struct runtime_state *state)
{
	return (struct state_document){ .oci_version = (char *)SPEC_VERSION,
					.id = state->id,
					.pid = state->pid,
					.status = (char *)runtime_status_name(state->status),
					.bundle = state->bundle,
					.rootfs = state->rootfs,
					.created = state->created,
					.owner = state->owner,
					.annotations = state->annotations,
					.exit_status = state->exit_status,
					.signal = state->signal,
					.oom_killed = state->oom_killed };
}

int command_state(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	AUTO(runtime_state_fini) struct runtime_state state = { 0 };
	AUTO_FREE char *text = NULL;
	struct state_document document;
	int r = command_parse(no_options, NULL, argc, argv, 0, &operands, 1, 1, err);

	if (r <= 0)
		return r;
	if (runtime_load_state(&state, runtime, operands.items[0], err) < 0)
		return -1;
	document = document_of(&state);
	text = json_encode_pretty(&document, state_document_fields, "  ");
	puts(text);
	return 0;
}

/* ---- list ---- */

struct list_options {
	const char *format;
	bool quiet;
};

static const struct option_spec list_table[] = {
	OPTION_TEXT("format", 'f', struct list_options, format, "table|json", "form of the list"),
	OPTION_FLAG("quiet", 'q', struct list_options, quiet, "ids only"),
	OPTION_END,
};

/* Names of others would need the libc's user database, which a static program does not have. */
static const char *owner_name(const char *uid)
{
	return text_equal(uid, "0") ? "root" : uid;
}

static void print_table(const struct runtime_state *states, size_t count)
{
	printf("%-20s %-11s %-11s %-30s %-31s %s\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER");
	for (size_t i = 0; i < count; i++)
		printf("%-20s %-11d %-11s %-30s %-31s %s\n", states[i].id, states[i].pid,
		       runtime_status_name(states[i].status), states[i].bundle, states[i].created,
		       owner_name(states[i].owner));
}

static void print_json(const struct runtime_state *states, size_t count)
{
	JSON_ARRAY_OF(struct state_document) documents = { 0 };
	AUTO_FREE char *text = NULL;

	for (size_t i = 0; i < count; i++) {
		struct state_document *document = json_array_add(&documents, sizeof(*document));

		*document = document_of(&states[i]);
	}
	text = count ? json_encode_array(&documents, state_document_fields, sizeof(struct state_document))
		     : xstrdup("null");
	puts(text);
	free(documents.items);
}

/* A container that goes away between the list and the look is not there. */
static size_t load_all(struct runtime_state *states, const struct runtime *runtime, const struct text_list *ids)
{
	size_t count = 0;

	for (size_t i = 0; i < ids->count; i++) {
		AUTO(error_clear) struct error ignored = { 0 };

		if (runtime_load_state(&states[count], runtime, ids->items[i], &ignored) == 0)
			count++;
	}
	return count;
}

int command_list(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	AUTO(text_list_fini) struct text_list ids = { 0 };
	AUTO_FREE struct runtime_state *states = NULL;
	struct list_options options = { .format = "table" };
	size_t count;
	int r = command_parse(list_table, &options, argc, argv, 0, &operands, 0, 0, err);

	if (r <= 0)
		return r;
	if (!text_equal(options.format, "table") && !text_equal(options.format, "json"))
		return error_set(err, ERR_INVALID, "invalid format option \"%s\"", options.format);
	if (command_program() == PROGRAM_RUNC && command_root_given() && !file_exists(AT_FDCWD, runtime->root))
		return error_set(err, ERR_NOT_FOUND, "--root: open %s: no such file or directory", runtime->root);
	if (runtime_list(&ids, runtime, err) < 0)
		return -1;
	states = xcalloc(ids.count + 1, sizeof(*states));
	count = load_all(states, runtime, &ids);
	if (options.quiet)
		for (size_t i = 0; i < count; i++)
			puts(states[i].id);
	else if (text_equal(options.format, "json"))
		print_json(states, count);
	else
		print_table(states, count);
	for (size_t i = 0; i < count; i++)
		runtime_state_fini(&states[i]);
	return 0;
}

/* ---- kill, delete, pause, resume ---- */

/* The ids a word stands for: itself, or (crun's --regex) all that match it. */
static int find_ids(struct text_list *out_ids, const struct runtime *runtime, const char *word, bool is_pattern,
		    struct error *err)
{
	AUTO(text_list_fini) struct text_list all = { 0 };
	regex_t pattern;
	int r;

	if (!is_pattern) {
		text_list_add(out_ids, word);
		return 0;
	}
	if (runtime_list(&all, runtime, err) < 0)
		return -1;
	r = regcomp(&pattern, word, REG_EXTENDED | REG_NOSUB);
	if (r != 0)
		return error_set(err, ERR_INVALID, "--regex: \"%s\" is no regular expression", word);
	for (size_t i = 0; i < all.count; i++)
		if (regexec(&pattern, all.items[i], 0, NULL, 0) == 0)
			text_list_add(out_ids, all.items[i]);
	regfree(&pattern);
	return 0;
}

struct kill_options {
	bool all;
	bool regex;
};

static const struct option_spec kill_table[] = {
	OPTION_FLAG("all", 'a', struct kill_options, all, "signal every process of the container"),
	OPTION_FLAG("regex", 'r', struct kill_options, regex, "CONTAINER is a regular expression"),
	OPTION_END,
};

int command_kill(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	AUTO(text_list_fini) struct text_list ids = { 0 };
	struct kill_options options = { 0 };
	int signal = SIGTERM;
	int r = command_parse(kill_table, &options, argc, argv, 0, &operands, 1, 2, err);

	if (r <= 0)
		return r;
	if (operands.count > 1)
		signal = text_equal(operands.items[1], "0") ? 0 : signal_parse(operands.items[1]);
	if (signal < 0)
		return error_set(err, ERR_INVALID, "unknown signal \"%s\"", operands.items[1]);
	if (find_ids(&ids, runtime, operands.items[0], options.regex, err) < 0)
		return -1;
	for (size_t i = 0; i < ids.count; i++)
		if (runtime_kill(runtime, ids.items[i], signal, options.all, err) < 0)
			return -1;
	return 0;
}

struct delete_options {
	bool force;
	bool regex;
};

static const struct option_spec delete_table[] = {
	OPTION_FLAG("force", 'f', struct delete_options, force, "kill it first if it runs; no error if it is gone"),
	OPTION_FLAG("regex", 'r', struct delete_options, regex, "CONTAINER is a regular expression"),
	OPTION_END,
};

int command_delete(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	AUTO(text_list_fini) struct text_list ids = { 0 };
	struct delete_options options = { 0 };
	int r = command_parse(delete_table, &options, argc, argv, 0, &operands, 1, SIZE_MAX, err);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < operands.count; i++)
		if (find_ids(&ids, runtime, operands.items[i], options.regex, err) < 0)
			return -1;
	for (size_t i = 0; i < ids.count; i++)
		if (runtime_delete(runtime, ids.items[i], options.force, err) < 0)
			return -1;
	return 0;
}

static int with_id(const struct runtime *runtime, int argc, char *const *argv,
		   int (*verb)(const struct runtime *runtime, const char *id, struct error *err), struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	int r = command_parse(no_options, NULL, argc, argv, 0, &operands, 1, 1, err);

	return r <= 0 ? r : verb(runtime, operands.items[0], err);
}

int command_pause(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	return with_id(runtime, argc, argv, runtime_pause, err);
}

int command_resume(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	return with_id(runtime, argc, argv, runtime_resume, err);
}

/* ---- ps ---- */

struct ps_options {
	const char *format;
};

static const struct option_spec ps_table[] = {
	OPTION_TEXT("format", 'f', struct ps_options, format, "table|json", "table of ps(1), or an array of ids"),
	OPTION_END,
};

static void print_pids(const struct runtime_pids *pids)
{
	putchar('[');
	for (size_t i = 0; i < pids->count; i++)
		printf("%s%d", i ? "," : "", pids->pids[i]);
	puts("]");
}

static bool is_listed(const struct runtime_pids *pids, const char *word)
{
	uint64_t pid;

	if (text_parse_u64(&pid, word, INT32_MAX) < 0)
		return false;
	for (size_t i = 0; i < pids->count; i++)
		if ((uint64_t)pids->pids[i] == pid)
			return true;
	return false;
}

/* The word in column `index` of a line, yours. */
static char *column(const char *line, size_t index)
{
	for (size_t i = 0;; i++) {
		size_t size;

		line += strspn(line, " \t");
		size = strcspn(line, " \t");
		if (i == index || !size)
			return xstrndup(line, size);
		line += size;
	}
}

static int pid_column(const char *header)
{
	for (int i = 0; i < 64; i++) {
		AUTO_FREE char *name = column(header, (size_t)i);

		if (!*name)
			return -1;
		if (text_equal(name, "PID"))
			return i;
	}
	return -1;
}

static int print_ps(const struct runtime_pids *pids, const struct text_list *operands, struct error *err)
{
	AUTO(text_list_fini) struct text_list command = { 0 };
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *output = NULL;
	int at;

	text_list_add(&command, "ps");
	for (size_t i = 1; i < operands->count; i++)
		text_list_add(&command, operands->items[i]);
	if (operands->count == 1)
		text_list_add(&command, "-ef");
	if (process_run(&output, text_list_argv(&command), NULL, PS_OUTPUT_MAX, err) < 0)
		return -1;
	text_list_split(&lines, output, '\n');
	at = lines.count ? pid_column(lines.items[0]) : -1;
	if (at < 0)
		return error_set(err, ERR_INVALID, "the output of ps has no column PID");
	puts(lines.items[0]);
	for (size_t i = 1; i < lines.count; i++) {
		AUTO_FREE char *word = column(lines.items[i], (size_t)at);

		if (is_listed(pids, word))
			puts(lines.items[i]);
	}
	return 0;
}

int command_ps(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	struct ps_options options = { .format = "table" };
	struct runtime_pids pids = { 0 };
	int r = command_parse(ps_table, &options, argc, argv, OPTIONS_STOP_AT_OPERAND, &operands, 1, SIZE_MAX, err);

	if (r <= 0)
		return r;
	if (!text_equal(options.format, "table") && !text_equal(options.format, "json"))
		return error_set(err, ERR_INVALID, "invalid format option \"%s\"", options.format);
	if (runtime_list_pids(&pids, runtime, operands.items[0], err) < 0)
		return -1;
	if (text_equal(options.format, "json"))
		print_pids(&pids);
	else
		r = print_ps(&pids, &operands, err);
	free(pids.pids);
	return r < 0 ? -1 : 0;
}
