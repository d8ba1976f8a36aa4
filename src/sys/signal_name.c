/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/signal_name.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

/* The kernel's range: libc keeps two real-time signals for itself and calls the third SIGRTMIN. */
#define REAL_TIME_FIRST 34
#define REAL_TIME_LAST 64

static const char *const names[] = {
	[SIGHUP] = "SIGHUP",   [SIGINT] = "SIGINT",	  [SIGQUIT] = "SIGQUIT", [SIGILL] = "SIGILL",
	[SIGTRAP] = "SIGTRAP", [SIGABRT] = "SIGABRT",	  [SIGBUS] = "SIGBUS",	 [SIGFPE] = "SIGFPE",
	[SIGKILL] = "SIGKILL", [SIGUSR1] = "SIGUSR1",	  [SIGSEGV] = "SIGSEGV", [SIGUSR2] = "SIGUSR2",
	[SIGPIPE] = "SIGPIPE", [SIGALRM] = "SIGALRM",	  [SIGTERM] = "SIGTERM", [SIGSTKFLT] = "SIGSTKFLT",
	[SIGCHLD] = "SIGCHLD", [SIGCONT] = "SIGCONT",	  [SIGSTOP] = "SIGSTOP", [SIGTSTP] = "SIGTSTP",
	[SIGTTIN] = "SIGTTIN", [SIGTTOU] = "SIGTTOU",	  [SIGURG] = "SIGURG",	 [SIGXCPU] = "SIGXCPU",
	[SIGXFSZ] = "SIGXFSZ", [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF", [SIGWINCH] = "SIGWINCH",
	[SIGIO] = "SIGIO",     [SIGPWR] = "SIGPWR",	  [SIGSYS] = "SIGSYS",
};

#define NAME_COUNT ((int)(sizeof(names) / sizeof(names[0])))

static const struct {
	const char *name;
	int number;
} aliases[] = {
	{ "SIGIOT", SIGABRT },
	{ "SIGPOLL", SIGIO },
	{ "SIGCLD", SIGCHLD },
	{ "SIGUNUSED", SIGSYS },
};

/* "RTMIN", "RTMIN+3", "RTMAX-1" */
static int parse_real_time(const char *text)
{
	bool from_end = strncasecmp(text, "RTMAX", 5) == 0;
	uint64_t offset = 0;
	int number;

	if (!from_end && strncasecmp(text, "RTMIN", 5) != 0)
		return -EINVAL;
	text += 5;
	if (*text) {
		if (*text != (from_end ? '-' : '+') ||
		    text_parse_u64(&offset, text + 1, REAL_TIME_LAST - REAL_TIME_FIRST) < 0)
			return -EINVAL;
	}
	number = from_end ? REAL_TIME_LAST - (int)offset : REAL_TIME_FIRST + (int)offset;
	return number;
}

int signal_parse(const char *text)
{
	uint64_t number;

	if (text_parse_u64(&number, text, REAL_TIME_LAST) == 0)
		return number ? (int)number : -EINVAL;
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	for (int i = 1; i < NAME_COUNT; i++)
		if (names[i] && strcasecmp(text, names[i] + 3) == 0)
			return i;
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (strcasecmp(text, aliases[i].name + 3) == 0)
			return aliases[i].number;
	return parse_real_time(text);
}

static const char *const real_time_names[] = {
	"SIGRTMIN",    "SIGRTMIN+1",  "SIGRTMIN+2",  "SIGRTMIN+3",  "SIGRTMIN+4",  "SIGRTMIN+5",  "SIGRTMIN+6",
	"SIGRTMIN+7",  "SIGRTMIN+8",  "SIGRTMIN+9",  "SIGRTMIN+10", "SIGRTMIN+11", "SIGRTMIN+12", "SIGRTMIN+13",
	"SIGRTMIN+14", "SIGRTMIN+15", "SIGRTMAX-14", "SIGRTMAX-13", "SIGRTMAX-12", "SIGRTMAX-11", "SIGRTMAX-10",
	"SIGRTMAX-9",  "SIGRTMAX-8",  "SIGRTMAX-7",  "SIGRTMAX-6",  "SIGRTMAX-5",  "SIGRTMAX-4",  "SIGRTMAX-3",
	"SIGRTMAX-2",  "SIGRTMAX-1",  "SIGRTMAX",
};

const char *signal_name(int number)
{
	if (number >= REAL_TIME_FIRST && number <= REAL_TIME_LAST)
		return real_time_names[number - REAL_TIME_FIRST];
	return number > 0 && number < NAME_COUNT ? names[number] : NULL;
}
