/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics that are the same work in every version: pressure, huge pages. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "sys/cgroup_tree.h"

/* ---- pressure ---- */

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", and the same of "full". */
static void read_pressure(const struct cgroup_tree *tree, const char *file, struct cgroup_pressure *out)
{
	AUTO_FREE char *text = cgroup_get(tree, file);
	AUTO(text_list_fini) struct text_list lines = { 0 };

	text_list_split(&lines, text_or_empty(text), '\n');
	for (size_t i = 0; i < lines.count; i++) {
		struct cgroup_stall stall = { 0 };
		char kind[8];

		if (sscanf(lines.items[i], "%7s avg10=%11[0-9.] avg60=%11[0-9.] avg300=%11[0-9.] total=%" SCNu64, kind,
			   stall.avg10, stall.avg60, stall.avg300, &stall.total_us) != 5)
			continue;
		*(strcmp(kind, "full") == 0 ? &out->full : &out->some) = stall;
		out->set = true;
	}
}

void cgroup_stats_pressure(const struct cgroup_tree *tree, struct cgroup_stats *stats)
{
	read_pressure(tree, "cpu.pressure", &stats->cpu_pressure);
	read_pressure(tree, "memory.pressure", &stats->memory_pressure);
	read_pressure(tree, "io.pressure", &stats->io_pressure);
}

/* ---- huge pages ---- */

/* "2MB" of "hugetlb.2MB.current"; what is reserved has files of its own. */
static bool parse_page_size(char out[16], const char *file, const char *suffix)
{
	size_t prefix = strlen("hugetlb.");
	size_t size = strlen(file);
	size_t end = size > strlen(suffix) ? size - strlen(suffix) : 0;

	if (end <= prefix || end - prefix >= 16 || strncmp(file, "hugetlb.", prefix) != 0 ||
	    strcmp(file + end, suffix) != 0 || memchr(file + prefix, '.', end - prefix))
		return false;
	memcpy(out, file + prefix, end - prefix);
	out[end - prefix] = '\0';
	return true;
}

static uint64_t number_of(const struct cgroup_tree *tree, const char *page_size, const char *file)
{
	AUTO_FREE char *name = xasprintf("hugetlb.%s.%s", page_size, file);

	return cgroup_get_u64(tree, name, 0);
}

static void add_size(const struct cgroup_tree *tree, const char *page_size, struct cgroup_stats *stats)
{
	struct cgroup_hugetlb_stat *stat;
	AUTO_FREE char *events_name = xasprintf("hugetlb.%s.events", page_size);
	AUTO_FREE char *events = tree->v2 ? cgroup_get(tree, events_name) : NULL;

	stats->hugetlb = xrealloc(stats->hugetlb, (stats->hugetlb_count + 1) * sizeof(*stat));
	stat = &stats->hugetlb[stats->hugetlb_count++];
	*stat = (struct cgroup_hugetlb_stat){ 0 };
	snprintf(stat->page_size, sizeof(stat->page_size), "%s", page_size);
	stat->usage = number_of(tree, page_size, tree->v2 ? "current" : "usage_in_bytes");
	stat->peak = tree->v2 ? 0 : number_of(tree, page_size, "max_usage_in_bytes");
	stat->failures = tree->v2 ? cgroup_key_u64(events, "max", 0) : number_of(tree, page_size, "failcnt");
}

void cgroup_stats_hugetlb(const struct cgroup *cgroup, struct cgroup_stats *stats)
{
	const struct cgroup_tree *v1 = cgroup_find_tree(cgroup, CONTROLLER_HUGETLB);
	/* On a hybrid host the controller may be in the cgroup2 tree. */
	const struct cgroup_tree *tree = v1 ? v1 : cgroup_v2_tree(cgroup);
	AUTO_CLOSEDIR DIR *dir = tree ? dir_open(cgroup_dir(tree), ".") : NULL;
	const struct dirent *entry;
	char page_size[16];

	while (dir && (entry = readdir(dir)))
		if (parse_page_size(page_size, entry->d_name, tree->v2 ? ".current" : ".usage_in_bytes"))
			add_size(tree, page_size, stats);
}
