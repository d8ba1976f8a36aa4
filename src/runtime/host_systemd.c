/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host_systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/program.h"

#define HELPER "kist-systemd-scope"
#define ANSWER_MAX 4096
#define RELEASE_TIMEOUT_MS 5000

/* ---- names ---- */

/* systemd.slice(5): a-b.slice lies in a.slice; "-.slice" is the root. */
static char *expand_slice(const char *slice, struct error *err)
{
	AUTO(text_fini) struct text path = { 0 };
	AUTO_FREE char *stem = xstrdup(slice);
	size_t size = strlen(slice) - strlen(".slice");

	if (text_equal(slice, "-.slice"))
		return xstrdup("");
	if (!text_has_suffix(slice, ".slice") || strchr(slice, '/') || size == 0 || slice[0] == '-' ||
	    slice[size - 1] == '-' || strstr(slice, "--")) {
		error_set(err, ERR_INVALID, "linux.cgroupsPath: invalid slice name: %s", slice);
		return NULL;
	}
	stem[size] = '\0';
	for (char *at = strchr(stem, '-'); at; at = strchr(at + 1, '-')) {
		text_add_char(&path, '/');
		text_add_bytes(&path, stem, (size_t)(at - stem));
		text_add(&path, ".slice");
	}
	text_addf(&path, "/%s", slice);
	return text_take(&path);
}

struct unit_name {
	char *slice; /* owned */
	char *unit;  /* owned */
};

static void unit_name_fini(struct unit_name *name)
{
	free(name->slice);
	free(name->unit);
}

static int parse_name(struct unit_name *out_name, const char *path, const char *id, struct error *err)
{
	AUTO(text_list_fini) struct text_list parts = { 0 };
	AUTO_FREE char *usual = xasprintf(":kist:%s", id);
	const char *name;

	text_list_split(&parts, text_empty(path) ? usual : path, ':');
	if (parts.count != 3)
		return error_set(err, ERR_INVALID,
				 "linux.cgroupsPath: expected cgroupsPath to be of format \"slice:prefix:name\" for "
				 "systemd cgroups, got \"%s\" instead",
				 path);
	name = parts.items[2];
	if (text_empty(name) || strchr(path ? path : "", '/'))
		return error_set(err, ERR_INVALID, "linux.cgroupsPath: \"%s\" names no unit", path);
	if (*parts.items[0])
		out_name->slice = xstrdup(parts.items[0]);
	else
		out_name->slice = xstrdup(geteuid() == 0 ? "system.slice" : "user.slice");
	if (text_has_suffix(name, ".slice"))
		out_name->unit = xstrdup(name);
	else if (text_empty(parts.items[1]))
		out_name->unit = xasprintf("%s.scope", name);
	else
		out_name->unit = xasprintf("%s-%s.scope", parts.items[1], name);
	return 0;
}

int host_systemd_name(struct record *record, const struct spec *spec, struct error *err)
{
	AUTO(unit_name_fini) struct unit_name name = { 0 };
	AUTO_FREE char *folder = NULL;

	if (parse_name(&name, spec->linux_.cgroups_path, record->id, err) < 0)
		return -1;
	folder = expand_slice(name.slice, err);
	if (!folder)
		return -1;
	free(record->cgroup_path);
	record->cgroup_path = xasprintf("%s/%s", folder, name.unit);
	free(record->unit);
	record->unit = take_ptr(name.unit);
	return 0;
}

/* ---- the helper ---- */

static int helper_words(struct text_list *out_words, const char *verb, const char *unit, struct error *err)
{
	AUTO_FREE char *path = program_find(HELPER, err);

	if (!path)
		return error_prefix(err, "systemd cgroups");
	text_list_add(out_words, path);
	if (geteuid() != 0)
		text_list_add(out_words, "--user");
	text_list_add(out_words, verb);
	text_list_add(out_words, unit);
	return 0;
}

bool host_systemd_is_there(void)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *path = program_find(HELPER, &ignored);

	return path != NULL;
}

static int spawn_helper(struct host_scope *scope, const char *unit, int error_fd, struct error *err)
{
	AUTO(text_list_fini) struct text_list words = { 0 };
	struct process_options options = { .stderr_fd = error_fd };
	int pair[2];
	int r;

	if (helper_words(&words, "start", unit, err) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make a socket pair for %s", HELPER);
	options.path = words.items[0];
	options.argv = text_list_argv(&words);
	options.stdin_fd = pair[1];
	options.stdout_fd = pair[1];
	r = process_spawn(&scope->helper, &options, err);
	close(pair[1]);
	scope->talk_fd = pair[0];
	return r;
}

static void read_all(struct text *out, int fd)
{
	char part[512];
	ssize_t got;

	while (out->size < ANSWER_MAX && (got = read(fd, part, sizeof(part))) > 0)
		text_add_bytes(out, part, (size_t)got);
}

/* One line with the unit's cgroup; or the end, and then the reason is on the other pipe. */
static int read_answer(struct text *out_line, int talk_fd, int error_fd, struct error *err)
{
	AUTO(text_fini) struct text reason = { 0 };
	char byte;

	while (out_line->size < ANSWER_MAX && read(talk_fd, &byte, 1) == 1) {
		if (byte == '\n' && out_line->size > 0)
			return 0;
		text_add_char(out_line, byte);
	}
	read_all(&reason, error_fd);
	return error_set(err, ERR_UNAVAILABLE, "%s",
			 reason.size ? text_trim(reason.data) : HELPER " ended without a word");
}

static int ask(struct host_scope *scope, const char *unit, const struct text *properties, struct text *out_line,
	       struct error *err)
{
	AUTO_CLOSE int read_fd = -1;
	AUTO_CLOSE int write_fd = -1;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make a pipe for %s", HELPER);
	read_fd = ends[0];
	write_fd = ends[1];
	if (spawn_helper(scope, unit, write_fd, err) < 0)
		return -1;
	close(take_fd(&write_fd));
	/* What cannot be sent is found out when there is no answer. */
	if (send(scope->talk_fd, properties->data, properties->size, MSG_NOSIGNAL) >= 0)
		send(scope->talk_fd, "\n", 1, MSG_NOSIGNAL);
	return read_answer(out_line, scope->talk_fd, read_fd, err);
}

static int write_properties(struct text *out, const struct record *record, const char *slice, const struct spec *spec,
			    struct error *err)
{
	static const struct spec_resources nothing;
	const struct spec_resources *resources = spec->linux_.resources ? spec->linux_.resources : &nothing;
	bool v2 = cgroup_detect() == CGROUP_V2;
	bool is_slice = text_has_suffix(record->unit, ".slice");

	text_addf(out, "Description s kist container %s\n", record->id);
	text_addf(out, "%s %s %s\n", is_slice ? "Wants" : "Slice", is_slice ? "as" : "s", slice);
	if (!is_slice)
		text_add(out, "Delegate b true\nCollectMode s inactive-or-failed\n");
	text_add(out, "DefaultDependencies b false\nMemoryAccounting b true\nCPUAccounting b true\nTasksAccounting b "
		      "true\n");
	text_add(out, v2 ? "IOAccounting b true\n" : "BlockIOAccounting b true\n");
	host_systemd_add_devices(out, resources);
	if (host_systemd_add_limits(out, resources, v2, err) < 0)
		return -1;
	return host_systemd_add_annotations(out, &spec->annotations, err);
}

int host_systemd_start(struct host_scope *out_scope, struct record *record, const struct spec *spec, struct error *err)
{
	AUTO(unit_name_fini) struct unit_name name = { 0 };
	AUTO(text_fini) struct text properties = { 0 };
	AUTO(text_fini) struct text line = { 0 };

	if (parse_name(&name, spec->linux_.cgroups_path, record->id, err) < 0 ||
	    write_properties(&properties, record, name.slice, spec, err) < 0 ||
	    ask(out_scope, record->unit, &properties, &line, err) < 0)
		return -1;
	free(record->cgroup_path);
	record->cgroup_path = text_take(&line);
	return 0;
}

void host_systemd_release(struct host_scope *scope)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct process_end end;

	if (scope->talk_fd >= 0)
		close(take_fd(&scope->talk_fd));
	if (scope->helper.pidfd >= 0)
		process_wait(&scope->helper, &end, RELEASE_TIMEOUT_MS, -1, &ignored);
	process_fini(&scope->helper);
}

int host_systemd_set(const struct record *record, const struct spec_resources *resources, struct error *err)
{
	AUTO(text_list_fini) struct text_list words = { 0 };
	AUTO(text_fini) struct text properties = { 0 };

	if (text_empty(record->unit))
		return 0;
	if (host_systemd_add_limits(&properties, resources, cgroup_detect() == CGROUP_V2, err) < 0 ||
	    helper_words(&words, "set", record->unit, err) < 0)
		return -1;
	if (!properties.size)
		return 0;
	return process_run(NULL, text_list_argv(&words), properties.data, ANSWER_MAX, err);
}

/* "0::/user.slice/.../kist-c1.scope" */
static bool is_in_group(pid_t pid, const char *group)
{
	AUTO_FREE char *path = xasprintf("/proc/%d/cgroup", pid);
	AUTO_FREE char *line = xasprintf("0::%s\n", group);
	AUTO_FREE char *text = NULL;

	return file_read(&text, NULL, AT_FDCWD, path, ANSWER_MAX) == 0 && strstr(text, line);
}

int host_systemd_attach(const struct record *record, pid_t pid, struct error *err)
{
	AUTO(text_list_fini) struct text_list words = { 0 };
	char number[16];

	if (text_empty(record->unit) || geteuid() == 0 || is_in_group(pid, record->cgroup_path))
		return 0;
	if (helper_words(&words, "attach", record->unit, err) < 0)
		return -1;
	snprintf(number, sizeof(number), "%d", pid);
	return process_run(NULL, text_list_argv(&words), number, ANSWER_MAX, err);
}

int host_systemd_stop(const struct record *record, struct error *err)
{
	AUTO(text_list_fini) struct text_list words = { 0 };

	if (text_empty(record->unit))
		return 0;
	if (helper_words(&words, "stop", record->unit, err) < 0)
		return -1;
	return process_run(NULL, text_list_argv(&words), NULL, ANSWER_MAX, err);
}
