/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/rlimit.h"

#include <errno.h>
#include <sys/resource.h>

#include "base/text.h"

static const char *const names[] = {
	[RLIMIT_CPU] = "RLIMIT_CPU",	       [RLIMIT_FSIZE] = "RLIMIT_FSIZE",
	[RLIMIT_DATA] = "RLIMIT_DATA",	       [RLIMIT_STACK] = "RLIMIT_STACK",
	[RLIMIT_CORE] = "RLIMIT_CORE",	       [RLIMIT_RSS] = "RLIMIT_RSS",
	[RLIMIT_NPROC] = "RLIMIT_NPROC",       [RLIMIT_NOFILE] = "RLIMIT_NOFILE",
	[RLIMIT_MEMLOCK] = "RLIMIT_MEMLOCK",   [RLIMIT_AS] = "RLIMIT_AS",
	[RLIMIT_LOCKS] = "RLIMIT_LOCKS",       [RLIMIT_SIGPENDING] = "RLIMIT_SIGPENDING",
	[RLIMIT_MSGQUEUE] = "RLIMIT_MSGQUEUE", [RLIMIT_NICE] = "RLIMIT_NICE",
	[RLIMIT_RTPRIO] = "RLIMIT_RTPRIO",     [RLIMIT_RTTIME] = "RLIMIT_RTTIME",
};

#define NAME_COUNT (sizeof(names) / sizeof(names[0]))

int rlimit_parse(const char *name)
{
	for (size_t i = 0; i < NAME_COUNT; i++)
		if (text_equal_ignoring_case(name, names[i]) ||
		    text_equal_ignoring_case(name, names[i] + sizeof("RLIMIT_") - 1))
			return (int)i;
	return -EINVAL;
}

const char *rlimit_name(size_t number)
{
	return number < NAME_COUNT ? names[number] : NULL;
}
