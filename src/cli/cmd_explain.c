/* SPDX-License-Identifier: Apache-2.0 */
/* explain: why a container does not run, or does not run well, in words, and what to do about it. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/units.h"

#define LOG_LINES 5
#define MUX_HEADER 8
#define SIGNAL_BASE 128

static const struct json_value *at(const struct json_value *object, const char *section, const char *key)
{
	return json_value_get(json_value_get(object, section), key);
}

static const char *state_text(const struct json_value *container, const char *key)
{
	return text_or_empty(json_value_text(at(container, "State", key)));
}

static bool state_flag(const struct json_value *container, const char *key)
{
	return json_value_bool(at(container, "State", key));
}

static char *since(const char *time)
{
	int64_t moment;

	if (clock_parse(&moment, time) < 0 || moment == 0)
		return xstrdup("some time");
	AUTO_FREE char *age = units_duration(clock_wall_ns() - moment);

	age[0] = (char)tolower((unsigned char)age[0]);
	return take_ptr(age);
}

/* ---- exit codes ---- */

struct meaning {
	int64_t code;
	const char *what;
	const char *hint;
};

static const struct meaning meanings[] = {
	{ 0, "its command ended, and said that all went well",
	  "A container lives as long as its command: one that should stay must not go to the background." },
	{ 1, "its command ended with an error of its own (exit code 1)", "Its last output should say which." },
	{ 2, "its command was used wrongly, or failed (exit code 2)", "Its last output should say how." },
	{ 125, "it could not be set up (exit code 125)", NULL },
	{ 126, "its command was found, but cannot be executed (exit code 126)",
	  "Is it a directory, without the x bit, or for another kind of machine?" },
	{ 127, "its command, or a program it calls, was not found (exit code 127)",
	  "Is the name right, is it in the image, and does its #! line name an interpreter the image has?" },
	{ SIGNAL_BASE + 2, "it was interrupted (SIGINT)", NULL },
	{ SIGNAL_BASE + 4, "it executed an instruction this processor does not know (SIGILL)",
	  "Was the image built for a newer processor?" },
	{ SIGNAL_BASE + 6, "it gave up by itself (SIGABRT)", "Its last output should say why." },
	{ SIGNAL_BASE + 7, "it touched memory that is not there (SIGBUS)",
	  "Is /dev/shm too small? --shm-size makes it larger." },
	{ SIGNAL_BASE + 9, "it was killed (SIGKILL)",
	  "By `kist kill`, `kist rm -f`, a `kist stop` whose patience ended, or the host's kernel when all memory was "
	  "used." },
	{ SIGNAL_BASE + 11, "it crashed: it touched memory that is not its own (SIGSEGV)", NULL },
	{ SIGNAL_BASE + 13, "it wrote where nobody reads any more (SIGPIPE)", NULL },
	{ SIGNAL_BASE + 15, "it was asked to end, and did (SIGTERM)", NULL },
	{ SIGNAL_BASE + 31, "it made a system call that its seccomp profile forbids (SIGSYS)",
	  "`--security-opt seccomp=PROFILE` takes another profile." },
};

static const struct meaning *meaning_of(int64_t code)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(*meanings); i++)
		if (meanings[i].code == code)
			return &meanings[i];
	return NULL;
}

static void print_hint(const char *hint)
{
	if (!text_empty(hint))
		printf("  %s\n", hint);
}

static void explain_memory(const struct json_value *container)
{
	int64_t limit = json_value_integer(at(container, "HostConfig", "Memory"));
	struct text size = { 0 };

	if (limit > 0) {
		units_add_binary(&size, (double)limit);
		printf("The kernel killed it: it needed more than its memory limit of %s.\n", size.data);
		text_fini(&size);
		printf("  `kist update --memory SIZE --memory-swap SIZE NAME` gives it more.\n");
	} else {
		printf("The kernel killed it or one of its processes: the host ran out of memory.\n");
	}
}

static void explain_exit(const struct json_value *container)
{
	int64_t code = json_value_integer(at(container, "State", "ExitCode"));
	AUTO_FREE char *age = since(state_text(container, "FinishedAt"));
	const struct meaning *meaning = meaning_of(code);

	printf("It ended %s ago: ", age);
	if (meaning)
		printf("%s.\n", meaning->what);
	else if (code > SIGNAL_BASE && code < SIGNAL_BASE + 65)
		printf("signal %lld (%s) ended it.\n", (long long)code - SIGNAL_BASE,
		       strsignal((int)code - SIGNAL_BASE));
	else
		printf("its command ended with exit code %lld, whose meaning is its own.\n", (long long)code);
	if (state_flag(container, "OOMKilled"))
		explain_memory(container);
	else if (meaning)
		print_hint(meaning->hint);
}

/* ---- states ---- */

static void explain_error(const struct json_value *container)
{
	const char *error = state_text(container, "Error");

	if (*error)
		printf("The engine's last error with it: %s\n", error);
}

static void explain_health(const struct json_value *container)
{
	const struct json_value *health = at(container, "State", "Health");
	const struct json_value *log = json_value_get(health, "Log");
	const struct json_value *last = json_value_count(log) ? json_value_at(log, json_value_count(log) - 1) : NULL;
	const char *status = text_of(health, "Status");

	if (!health || !state_flag(container, "Running"))
		return;
	printf("Its health check says: %s.\n", status);
	if (last && text_equal(status, "unhealthy"))
		printf("  The last probe ended with %lld and said: %s\n",
		       (long long)json_value_integer(json_value_get(last, "ExitCode")), text_of(last, "Output"));
}

static void explain_policy(const struct json_value *container)
{
	const char *policy =
		text_or_empty(json_value_text(json_value_get(at(container, "HostConfig", "RestartPolicy"), "Name")));
	int64_t count = json_value_integer(json_value_get(container, "RestartCount"));

	if (count > 0)
		printf("It was started again %lld times by its restart policy (%s).\n", (long long)count, policy);
	else if (!state_flag(container, "Running") && (text_empty(policy) || text_equal(policy, "no")))
		printf("Nothing starts it again: it has no restart policy (`kist update --restart on-failure "
		       "NAME`).\n");
}

static void explain_state(const struct json_value *container)
{
	const char *status = state_text(container, "Status");
	AUTO_FREE char *age = since(state_text(container, "StartedAt"));

	if (text_equal(status, "created") && *state_text(container, "Error")) {
		printf("Its start failed: it never ran.\n");
	} else if (text_equal(status, "created")) {
		printf("It was made, but never ran: `kist start NAME` runs it.\n");
	} else if (text_equal(status, "paused")) {
		printf("It is frozen: `kist unpause NAME` lets it go on.\n");
	} else if (text_equal(status, "running")) {
		printf("It runs, since %s.\n", age);
	} else if (text_equal(status, "restarting")) {
		printf("It ends again and again, and waits for its next start.\n");
		explain_exit(container);
	} else if (text_equal(status, "removing") || text_equal(status, "dead")) {
		printf("It is being removed: `kist rm -f NAME` finishes that.\n");
	} else {
		explain_exit(container);
	}
}

/* ---- its last words ---- */

#define REFUSED "Operation not permitted"

static void print_frames(const char *data, size_t size, bool framed)
{
	while (framed && size >= MUX_HEADER) {
		const unsigned char *header = (const unsigned char *)data;
		size_t length = (size_t)header[4] << 24 | (size_t)header[5] << 16 | (size_t)header[6] << 8 | header[7];

		data += MUX_HEADER;
		size -= MUX_HEADER;
		length = length < size ? length : size;
		printf("  %.*s", (int)length, data);
		data += length;
		size -= length;
	}
	if (!framed)
		printf("%.*s", (int)size, data);
}

static int print_log(struct client *client, const char *name, bool tty, struct error *err)
{
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO_FREE char *path = xasprintf("/containers/%s/logs?stdout=1&stderr=1&tail=%d", name, LOG_LINES);
	const struct local_request request = { .method = "GET", .path = path };
	AUTO(buffer_fini) struct buffer log = { 0 };

	buffer_init(&log, (size_t)1 << 20);
	if (client_send(&response, client, &request, err) < 0 || local_response_read_all(response, &log, err) < 0) {
		/* A log driver that cannot be read is no failure of ours. */
		error_clear(err);
		return 0;
	}
	if (log.size == 0) {
		printf("It said nothing.\n");
		return 0;
	}
	printf("The last it said:\n");
	print_frames((const char *)log.data, log.size, !tty);
	/* Most profiles do not kill: the call fails, and the program says so. */
	if (memmem(log.data, log.size, REFUSED, strlen(REFUSED)))
		printf("The kernel refused it something: a system call that its seccomp profile denies (try "
		       "`--security-opt seccomp=unconfined`), or for which it lacks a capability (`--cap-add`).\n");
	return 0;
}

static int run_explain(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	AUTO(json_value_freep) struct json_value *container = NULL;
	struct client *client = cli_client(cli, err);

	(void)options;
	if (!client || client_get(&container, client, err, "/containers/%s/json", operands->items[0]) < 0)
		return -1;
	explain_state(container);
	explain_error(container);
	explain_health(container);
	explain_policy(container);
	if (text_equal(state_text(container, "Status"), "created"))
		return 0;
	return print_log(client, operands->items[0], json_value_bool(at(container, "Config", "Tty")), err);
}

const struct command command_explain = {
	.usage = "CONTAINER",
	.summary = "Say in words why a container does not run, or not well",
	.min_operands = 1,
	.max_operands = 1,
	.run = run_explain,
};
