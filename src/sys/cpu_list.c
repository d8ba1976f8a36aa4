/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/cpu_list.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"

/* The number at the start of *at, which moves behind it. */
static int parse_number(size_t *out_number, const char **at)
{
	size_t number = 0;

	if (**at < '0' || **at > '9')
		return -EINVAL;
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		number = number * 10 + (size_t)(**at - '0');
		if (number >= CPU_LIST_MAX)
			return -ERANGE;
	}
	*out_number = number;
	return 0;
}

static int parse_range(struct cpu_list *list, const char **at)
{
	size_t first;
	size_t last;
	int r = parse_number(&first, at);

	last = first;
	if (r == 0 && **at == '-') {
		(*at)++;
		r = parse_number(&last, at);
	}
	if (r < 0 || last < first)
		return r < 0 ? r : -EINVAL;
	for (size_t i = first; i <= last; i++)
		list->words[i / CPU_LIST_WORD] |= 1UL << (i % CPU_LIST_WORD);
	return 0;
}

int cpu_list_parse(struct cpu_list *out_list, const char *text)
{
	const char *at = text_or_empty(text);

	memset(out_list, 0, sizeof(*out_list));
	while (*at) {
		int r = parse_range(out_list, &at);

		if (r < 0)
			return r;
		if (*at == ',' && at[1])
			at++;
		else if (*at)
			return -EINVAL;
	}
	return 0;
}

size_t cpu_list_count(const struct cpu_list *list)
{
	size_t count = 0;

	for (size_t i = 0; i < sizeof(list->words) / sizeof(list->words[0]); i++)
		count += (size_t)__builtin_popcountl(list->words[i]);
	return count;
}

int cpu_list_apply(const struct cpu_list *list)
{
	return syscall(SYS_sched_setaffinity, 0, sizeof(*list), list) < 0 ? -errno : 0;
}

int cpu_list_apply_all(void)
{
	struct cpu_list all;

	memset(&all, 0xff, sizeof(all));
	return cpu_list_apply(&all);
}
