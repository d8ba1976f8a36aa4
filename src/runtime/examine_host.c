/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/examine_host.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "sys/cgroup.h"

#define LIST_MAX 65536

bool examine_host_has_apparmor(void)
{
	AUTO_FREE char *text = NULL;

	return file_read(&text, NULL, AT_FDCWD, "/sys/module/apparmor/parameters/enabled", LIST_MAX) == 0 &&
	       *text == 'Y';
}

bool examine_host_has_file_system(const char *type)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *text = NULL;

	if (file_read(&text, NULL, AT_FDCWD, "/proc/filesystems", LIST_MAX) < 0)
		return true;
	text_list_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		const char *name = text_after(lines.items[i], "nodev");

		if (text_equal(text_trim(name ? (char *)name : lines.items[i]), type))
			return true;
	}
	return false;
}

/* v1 and v2 have different names for two of them. */
static void need(struct findings *found, const struct text_list *there, bool wanted, const char *pointer,
		 const char *controller, const char *other_name)
{
	if (!wanted || text_list_contains(there, controller) || (other_name && text_list_contains(there, other_name)))
		return;
	finding_add(found, ERR_UNSUPPORTED, pointer,
		    "no cgroup controller \"%s\" is there for us (not mounted, or not delegated)", controller);
}

static void look_at_unified(struct findings *found, const struct spec_resources *resources)
{
	for (size_t i = 0; i < resources->unified.count; i++) {
		const char *key = resources->unified.items[i].key;

		if (cgroup_detect() == CGROUP_V1)
			finding_add(found, ERR_UNSUPPORTED, finding_at("/linux/resources/unified/%s", key).text,
				    "needs cgroup v2, this host has v1");
	}
}

void examine_host_resources(struct findings *found, const struct runtime *runtime, const struct spec *spec)
{
	const struct spec_resources *resources = spec->linux_.resources;
	AUTO(text_list_fini) struct text_list there = { 0 };
	AUTO(error_clear) struct error problem = { 0 };

	if (!resources || runtime->no_cgroups)
		return;
	if (cgroup_controllers(&there, &problem) < 0) {
		finding_add_error(found, "/linux/resources", &problem);
		return;
	}
	need(found, &there, resources->memory != NULL, "/linux/resources/memory", "memory", NULL);
	need(found, &there, resources->cpu && (resources->cpu->shares.set || resources->cpu->quota.set),
	     "/linux/resources/cpu", "cpu", NULL);
	need(found, &there, resources->cpu && (!text_empty(resources->cpu->cpus) || !text_empty(resources->cpu->mems)),
	     "/linux/resources/cpu", "cpuset", NULL);
	need(found, &there, resources->pids != NULL, "/linux/resources/pids", "pids", NULL);
	need(found, &there, resources->block_io != NULL, "/linux/resources/blockIO", "blkio", "io");
	need(found, &there, resources->hugepage_limits.count > 0, "/linux/resources/hugepageLimits", "hugetlb", NULL);
	need(found, &there, resources->rdma.count > 0, "/linux/resources/rdma", "rdma", NULL);
	look_at_unified(found, resources);
}
