/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kist-systemd-scope [--user] start|attach|set|stop UNIT: properties come on stdin, one per line (property.h).
 *
 * start ends them with an empty line, answers with the unit's cgroup and lives on as its first process until stdin ends:
 * so the group is there, and kept, before the container is. attach reads the number of a process. All but start end when
 * systemd has done it. An error is one line on stderr and exit code 1.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "systemd/scope.h"

#define PROPERTIES_MAX (1 << 20)

/* Up to the end, or to the empty line. */
static int read_properties(struct text *out_text, bool until_empty_line, struct error *err)
{
	char byte;

	for (;;) {
		ssize_t got = read(STDIN_FILENO, &byte, 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "read properties");
		if (got == 0 && until_empty_line)
			return error_set(err, ERR_CANCELED, "the caller has ended");
		if (got == 0 ||
		    (until_empty_line && byte == '\n' && text_has_suffix(text_or_empty(out_text->data), "\n")))
			return 0;
		if (out_text->size >= PROPERTIES_MAX)
			return error_set(err, ERR_INVALID, "the properties are too long");
		text_add_char(out_text, byte);
	}
}

static void wait_for_end_of_input(void)
{
	char byte;
	ssize_t got;

	do
		got = read(STDIN_FILENO, &byte, 1);
	while (got > 0 || (got < 0 && errno == EINTR));
}

static int start(struct scope_bus *bus, const char *unit, struct error *err)
{
	AUTO(text_fini) struct text properties = { 0 };
	AUTO_FREE char *cgroup = NULL;

	if (read_properties(&properties, true, err) < 0 ||
	    scope_start(bus, unit, text_or_empty(properties.data), &cgroup, err) < 0)
		return -1;
	printf("%s\n", cgroup);
	fflush(stdout);
	wait_for_end_of_input();
	return 0;
}

static int set(struct scope_bus *bus, const char *unit, struct error *err)
{
	AUTO(text_fini) struct text properties = { 0 };

	if (read_properties(&properties, false, err) < 0)
		return -1;
	return scope_set(bus, unit, text_or_empty(properties.data), err);
}

static int attach(struct scope_bus *bus, const char *unit, struct error *err)
{
	AUTO(text_fini) struct text words = { 0 };
	uint64_t pid;

	if (read_properties(&words, false, err) < 0)
		return -1;
	if (text_parse_u64(&pid, text_or_empty(words.data), INT32_MAX) < 0)
		return error_set(err, ERR_INVALID, "\"%s\" is no process", text_or_empty(words.data));
	return scope_attach(bus, unit, (pid_t)pid, err);
}

static const struct {
	const char *name;
	int (*act)(struct scope_bus *bus, const char *unit, struct error *err);
} verbs[] = { { "start", start }, { "attach", attach }, { "set", set }, { "stop", scope_stop } };

static int run(int argc, char **argv, struct error *err)
{
	bool user = argc > 1 && text_equal(argv[1], "--user");
	const char *verb = argc == 3 + user ? argv[1 + user] : "";
	AUTO(scope_bus_closep) struct scope_bus *bus = NULL;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (text_equal(verbs[i].name, verb))
			return scope_bus_open(&bus, user, err) < 0 ? -1 : verbs[i].act(bus, argv[2 + user], err);
	return error_set(err, ERR_INVALID, "usage: kist-systemd-scope [--user] start|attach|set|stop UNIT");
}

int main(int argc, char **argv)
{
	AUTO(error_clear) struct error err = { 0 };

	if (run(argc, argv, &err) == 0)
		return 0;
	fprintf(stderr, "%s\n", err.message);
	return 1;
}
