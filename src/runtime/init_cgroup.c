/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /sys/fs/cgroup of the container: its own group of every hierarchy and
 * nothing above, as binds of the host's. The groups are those we made, so the
 * host paths can be trusted.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "runtime/host_clone.h"
#include "runtime/init.h"
#include "runtime/init_sched.h"
#include "runtime/mount_option.h"
#include "runtime/sync.h"
#include "runtime/trace.h"
#include "sys/cgroup.h"
#include "sys/in_root.h"
#include "sys/mount_api.h"

/* "cpu,cpuacct" holds cpu; the cgroup2 tree is called "". */
static bool is_named(const struct cgroup_hierarchy *hierarchy, const struct text_list *controllers)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	text_list_split(&names, hierarchy->name, ',');
	for (size_t i = 0; i < controllers->count; i++)
		if (text_list_contains(&names, controllers->items[i]) ||
		    (hierarchy->is_v2 && text_empty(controllers->items[i])))
			return true;
	return false;
}

/*
 * v1 hierarchies: "0" into `tasks` by the process itself. The kernel takes its global lock, and waits for an RCU grace
 * period (milliseconds), only for whole thread groups or for others (cgroup_procs_write_start). We are one thread.
 */
/* By its descriptor, where it was there before the clone: an exec is in the container's mount namespace by now. */
static int enter_group(struct init *init, const struct cgroup_hierarchy *hierarchy, struct error *err)
{
	const char *file = hierarchy->is_v2 ? "cgroup.procs" : "tasks";
	AUTO_FREE char *path = hierarchy->dir_fd >= 0
				       ? xstrdup(file)
				       : xasprintf("%s%s/%s", hierarchy->mount_point, hierarchy->path, file);
	AUTO_CLOSE int fd = openat(hierarchy->dir_fd, path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "0", 1) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "error adding pid %d to cgroups: enter %s%s", getpid(),
				       hierarchy->mount_point, hierarchy->path);
	init_leave_open(init, &fd);
	return 0;
}

int init_cgroup_enter(struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;
	struct cgroup_hierarchy hierarchy;
	bool cloned = host_clone_cgroup_fd(plan) >= 0;

	for (size_t i = 0; plan->cgroup && i < cgroup_hierarchy_count(plan->cgroup); i++) {
		cgroup_get_hierarchy(plan->cgroup, i, &hierarchy);
		for (size_t sub = 0; sub < plan->subgroup_count; sub++)
			if (is_named(&hierarchy, &plan->subgroups[sub].controllers))
				cgroup_get_hierarchy(plan->subgroups[sub].cgroup, i, &hierarchy);
		if (hierarchy.exists && !(hierarchy.is_v2 && cloned) && enter_group(init, &hierarchy, err) < 0)
			return -1;
	}
	return 0;
}

int init_cgroup_join(struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;

	if (init->joined)
		return 0;
	if (init_kernel_join_net(init, err) < 0)
		return -1;
	init->joined = true;
	trace_mark(plan->runtime->trace, "mounts before the cgroups are needed");
	if (sync_expect(plan->sync_fd, SYNC_GO, err) < 0)
		return -1;
	trace_mark(plan->runtime->trace, "wait for the cgroups");
	if (init_cgroup_enter(init, err) < 0 || init_sched_affinity(plan, err) < 0)
		return -1;
	trace_mark(plan->runtime->trace, "enter the cgroups");
	return init_kernel_cgroup_namespace(plan, err);
}

/* A detached mount of the container's group in one hierarchy. */
static int clone_group(const struct cgroup_hierarchy *hierarchy)
{
	AUTO_FREE char *path = path_join(hierarchy->mount_point, hierarchy->path);

	return mount_clone(AT_FDCWD, path, 0);
}

static int attach_group(struct init *init, int base_fd, const struct cgroup_hierarchy *hierarchy, struct error *err)
{
	const char *name = path_base(hierarchy->mount_point);
	AUTO_CLOSE int fd = clone_group(hierarchy);
	int r = fd < 0 ? fd : mount_attach_at(fd, base_fd, name);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "mount cgroup %s", name);
	init_leave_open(init, &fd);
	return 0;
}

/* "cpu,cpuacct" mounted as one: the single names are links to it. */
static int link_names(int base_fd, const struct cgroup_hierarchy *hierarchy)
{
	const char *folder = path_base(hierarchy->mount_point);
	AUTO(text_list_fini) struct text_list names = { 0 };

	if (!strchr(text_or_empty(hierarchy->name), ','))
		return 0;
	text_list_split(&names, hierarchy->name, ',');
	for (size_t i = 0; i < names.count; i++)
		if (!text_equal(names.items[i], folder) && symlinkat(folder, base_fd, names.items[i]) < 0 &&
		    errno != EEXIST)
			return -errno;
	return 0;
}

static int make_folders(int base_fd, const struct cgroup *cgroup, struct error *err)
{
	struct cgroup_hierarchy hierarchy;

	for (size_t i = 0; i < cgroup_hierarchy_count(cgroup); i++) {
		cgroup_get_hierarchy(cgroup, i, &hierarchy);
		if (!hierarchy.exists)
			continue;
		if ((mkdirat(base_fd, path_base(hierarchy.mount_point), 0755) < 0 && errno != EEXIST) ||
		    link_names(base_fd, &hierarchy) < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "mount cgroup: make %s",
					       path_base(hierarchy.mount_point));
	}
	return 0;
}

/* Where the groups will be shown. They themselves may not be there yet: init_cgroup_show(). */
static int mount_v1(struct init *init, int target_fd, const struct mount_options *options, struct error *err)
{
	AUTO_CLOSE int base = mount_new("tmpfs", "tmpfs", "mode=755", 0,
					MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);
	int r;

	if (base < 0 || make_folders(base, init->plan->cgroup, err) < 0)
		return -1;
	r = mount_attach(base, target_fd);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "mount cgroup");
	init->shown = (struct init_groups){ take_fd(&base), options->attr_set, options->attr_clear };
	return 0;
}

int init_cgroup_show(struct init *init, struct error *err)
{
	const struct cgroup *cgroup = init->plan->cgroup;
	AUTO_CLOSE int base = take_fd(&init->shown.base_fd);
	struct cgroup_hierarchy hierarchy;
	int r;

	if (init_cgroup_join(init, err) < 0)
		return -1;
	if (base < 0)
		return 0;
	for (size_t i = 0; i < cgroup_hierarchy_count(cgroup); i++) {
		cgroup_get_hierarchy(cgroup, i, &hierarchy);
		if (hierarchy.exists && attach_group(init, base, &hierarchy, err) < 0)
			return -1;
	}
	/* All of them in one call: nobody is in the container yet. */
	r = mount_change(base, 1, init->shown.attr_set, init->shown.attr_clear, 0);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "mount cgroup: set its options");
	init_leave_open(init, &base);
	trace_mark(init->plan->runtime->trace, "the groups in /sys/fs/cgroup");
	return 0;
}

/* Whether what the specification mounts after this one could lie in it: then the order counts. */
static bool is_last_there(const struct init *init, const struct spec_mount *mount)
{
	const struct spec *spec = init->plan->spec;
	AUTO_FREE char *place = path_clean(mount->destination);
	size_t index = (size_t)(mount - spec->mounts.items);

	for (size_t i = index + 1; i < spec->mounts.count; i++) {
		AUTO_FREE char *other = path_clean(spec->mounts.items[i].destination);

		if (text_has_prefix(other, place))
			return false;
	}
	return true;
}

static int mount_v2(int target_fd, const struct init *init, const struct mount_options *options, struct error *err)
{
	struct cgroup_hierarchy hierarchy;
	AUTO_CLOSE int fd = -1;
	int r;

	/* With a cgroup namespace a new mount shows its root, the container's group; without one it would show all. */
	if (init->plan->new_namespaces & CLONE_NEWCGROUP) {
		AUTO(error_clear) struct error ignored = { 0 };

		fd = mount_new("cgroup2", "cgroup", NULL, 0, options->attr_set, &ignored);
	}
	if (fd < 0) {
		cgroup_get_hierarchy(init->plan->cgroup, 0, &hierarchy);
		fd = clone_group(&hierarchy);
		r = fd < 0 ? fd : mount_change(fd, 0, options->attr_set, options->attr_clear, 0);
		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "mount cgroup2");
	}
	r = mount_attach(fd, target_fd);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "mount cgroup2");
	return 0;
}

/*
 * No cgroup of ours: whoever manages them did not tell which they are, or none is delegated to this user. What may lie
 * there, through a /sys bound from the host, are everybody's groups (CVE-2023-25809): an empty folder hides them.
 */
static int mount_none(int target_fd, const struct init *init, const struct mount_options *options, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_CLOSE int fd = -1;
	int r;

	/* A cgroup namespace shows its own root only. */
	if (init->plan->new_namespaces & CLONE_NEWCGROUP && cgroup_detect() == CGROUP_V2)
		fd = mount_new("cgroup2", "cgroup", NULL, 0, options->attr_set, &ignored);
	if (fd < 0)
		fd = mount_new("tmpfs", "tmpfs", "mode=755,nr_blocks=1,nr_inodes=1", 0,
			       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);
	if (fd < 0)
		return error_prefix(err, "mount cgroup");
	r = mount_attach(fd, target_fd);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "mount cgroup");
	return 0;
}

int init_mount_cgroup(struct init *init, const struct spec_mount *mount, struct error *err)
{
	AUTO(mount_options_fini) struct mount_options options = { 0 };
	const struct cgroup *cgroup = init->plan->cgroup;
	AUTO_CLOSE int target = mkdir_in_root_plain(init->root_fd, mount->destination, 0755);

	if (mount_options_parse(&options, &mount->options, err) < 0)
		return error_prefix(err, "mount %s", mount->destination);
	if (target < 0)
		return error_set_errno(err, ERR_INTERNAL, target, "mount %s", mount->destination);
	if (cgroup && cgroup_get_mode(cgroup) != CGROUP_V2) {
		if ((init->shown.base_fd >= 0 && init_cgroup_show(init, err) < 0) ||
		    mount_v1(init, target, &options, err) < 0)
			return -1;
		return is_last_there(init, mount) ? 0 : init_cgroup_show(init, err);
	}
	if (init_cgroup_join(init, err) < 0)
		return -1;
	if (!cgroup)
		return mount_none(target, init, &options, err);
	return mount_v2(target, init, &options, err);
}
