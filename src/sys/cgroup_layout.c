/* SPDX-License-Identifier: Apache-2.0 */
/* How the host mounts its control groups. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/alloc.h"
#include "base/file.h"
#include "sys/cgroup_tree.h"

#define FILE_LIMIT (1 << 20)
#define MOUNTINFO_LIMIT (64 << 20)
#define CGROUP_FOLDER "/sys/fs/cgroup"

static const struct {
	const char *name;
	enum cgroup_controller bit;
} controllers[] = {
	{ "cpu", CONTROLLER_CPU },	   { "cpuacct", CONTROLLER_CPUACCT }, { "cpuset", CONTROLLER_CPUSET },
	{ "memory", CONTROLLER_MEMORY },   { "pids", CONTROLLER_PIDS },	      { "blkio", CONTROLLER_BLKIO },
	{ "io", CONTROLLER_BLKIO },	   { "devices", CONTROLLER_DEVICES }, { "freezer", CONTROLLER_FREEZER },
	{ "hugetlb", CONTROLLER_HUGETLB }, { "net_cls", CONTROLLER_NET_CLS }, { "net_prio", CONTROLLER_NET_PRIO },
};

static unsigned controller_bit(const char *name)
{
	for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++)
		if (text_equal(controllers[i].name, name))
			return controllers[i].bit;
	return 0;
}

/* ---- the host's layout ---- */

static void add_tree(struct cgroup *cgroup, const char *mount_point, bool v2, const char *name, unsigned bits)
{
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		const struct cgroup_tree *tree = &cgroup->trees[i];

		/* Mounted twice: the first one is the system's. */
		if (tree->v2 == v2 && text_equal(tree->name, name))
			return;
	}
	cgroup->trees = xgrow(cgroup->trees, &cgroup->tree_capacity, cgroup->tree_count + 1, sizeof(*cgroup->trees));
	cgroup->trees[cgroup->tree_count++] = (struct cgroup_tree){
		.name = xstrdup(name),
		.mount_point = xstrdup(mount_point),
		.controllers = bits,
		.v2 = v2,
		.dir_fd = -1,
	};
}

/* The options of a v1 superblock name its controllers: "rw,cpu,cpuacct", "rw,xattr,name=systemd". */
static void add_v1_tree(struct cgroup *cgroup, const char *mount_point, const char *options)
{
	AUTO(text_list_fini) struct text_list words = { 0 };
	struct text name = { 0 };
	unsigned bits = 0;

	text_list_split(&words, options, ',');
	for (size_t i = 0; i < words.count; i++) {
		unsigned bit = controller_bit(words.items[i]);

		if (!bit && !text_has_prefix(words.items[i], "name=") && !text_equal(words.items[i], "perf_event") &&
		    !text_equal(words.items[i], "rdma") && !text_equal(words.items[i], "misc"))
			continue;
		if (name.size)
			text_add_char(&name, ',');
		text_add(&name, words.items[i]);
		bits |= bit;
	}
	if (name.size)
		add_tree(cgroup, mount_point, false, name.data, bits);
	text_fini(&name);
}

/* "36 35 98:0 /root /mount/point opts - type source superopts"; the fields we need hold no blanks. */
static void add_mountinfo_line(struct cgroup *cgroup, char *line)
{
	char *dash = strstr(line, " - ");
	char *mount_point = line;
	char *type, *source, *options;

	if (!dash || (!text_has_prefix(dash + 3, "cgroup ") && !text_has_prefix(dash + 3, "cgroup2 ")))
		return;
	for (int i = 0; i < 4 && mount_point; i++) {
		mount_point = strchr(mount_point, ' ');
		if (mount_point)
			mount_point++;
	}
	type = dash + 3;
	source = strchr(type, ' ');
	options = source ? strchr(source + 1, ' ') : NULL;
	if (!mount_point || mount_point >= dash || !options)
		return;
	mount_point[strcspn(mount_point, " ")] = '\0';
	*source = '\0';
	if (!text_has_prefix(mount_point, CGROUP_FOLDER))
		return;
	if (text_equal(type, "cgroup2"))
		add_tree(cgroup, mount_point, true, "", 0);
	else
		add_v1_tree(cgroup, mount_point, options + 1);
}

static bool is_mounted(const char *path, unsigned long type)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == type;
}

/*
 * "4:cpu,cpuacct:/path" lines, each hierarchy mounted where every distribution has it. Spares the mount table, which
 * is long on some hosts. false: some other place.
 */
static bool find_usual_trees(struct cgroup *cgroup)
{
	AUTO_FREE char *text = NULL;
	AUTO(text_list_fini) struct text_list lines = { 0 };

	if (file_read_attribute(&text, AT_FDCWD, "/proc/self/cgroup", FILE_LIMIT) < 0)
		return false;
	text_list_split(&lines, text_trim(text), '\n');
	for (size_t i = 0; i < lines.count; i++) {
		char *name = strchr(lines.items[i], ':');
		char *end = name ? strchr(name + 1, ':') : NULL;
		AUTO_FREE char *place = NULL;

		if (!end)
			return false;
		*end = '\0';
		name++;
		place = xasprintf(CGROUP_FOLDER "/%s", !*name			   ? "unified"
						       : text_after(name, "name=") ? text_after(name, "name=")
										   : name);
		if (is_mounted(place, *name ? CGROUP_SUPER_MAGIC : CGROUP2_SUPER_MAGIC))
			*name ? add_v1_tree(cgroup, place, name) : add_tree(cgroup, place, true, "", 0);
		else if (*name)
			return false;
	}
	return cgroup->tree_count > 0;
}

static void forget_trees(struct cgroup *cgroup)
{
	while (cgroup->tree_count > 0) {
		free(cgroup->trees[--cgroup->tree_count].name);
		free(cgroup->trees[cgroup->tree_count].mount_point);
	}
}

static void find_by_mounts(struct cgroup *cgroup)
{
	AUTO_FREE char *mountinfo = NULL;

	forget_trees(cgroup);
	if (file_read(&mountinfo, NULL, AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_LIMIT) < 0)
		return;
	for (char *line = mountinfo, *end; line && *line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		add_mountinfo_line(cgroup, line);
	}
}

void cgroup_find_trees(struct cgroup *cgroup)
{
	bool v1 = false, v2 = false;

	if (is_mounted(CGROUP_FOLDER, CGROUP2_SUPER_MAGIC))
		add_tree(cgroup, CGROUP_FOLDER, true, "", 0);
	else if (!find_usual_trees(cgroup))
		find_by_mounts(cgroup);
	for (size_t i = 0; i < cgroup->tree_count; i++)
		*(cgroup->trees[i].v2 ? &v2 : &v1) = true;
	cgroup->mode = v1 && v2 ? CGROUP_HYBRID : v1 ? CGROUP_V1 : v2 ? CGROUP_V2 : CGROUP_NONE;
}

enum cgroup_mode cgroup_detect(void)
{
	struct cgroup *layout = xcalloc(1, sizeof(*layout));
	enum cgroup_mode mode;

	cgroup_find_trees(layout);
	mode = layout->mode;
	cgroup_close(layout);
	return mode;
}

static void add_controllers(struct text_list *names, const char *text, char separator)
{
	AUTO(text_list_fini) struct text_list words = { 0 };
	AUTO_FREE char *copy = xstrdup(text);

	text_list_split(&words, text_trim(copy), separator);
	for (size_t i = 0; i < words.count; i++)
		if (*words.items[i] && !text_has_prefix(words.items[i], "name=") &&
		    !text_list_contains(names, words.items[i]))
			text_list_add(names, words.items[i]);
}

int cgroup_controllers(struct text_list *out_names, struct error *err)
{
	AUTO(cgroup_closep) struct cgroup *layout = xcalloc(1, sizeof(*layout));
	AUTO(text_list_fini) struct text_list names = { 0 };

	cgroup_find_trees(layout);
	if (layout->mode == CGROUP_NONE)
		return error_set(err, ERR_UNSUPPORTED, "no control groups are mounted below %s", CGROUP_FOLDER);
	for (size_t i = 0; i < layout->tree_count; i++) {
		const struct cgroup_tree *tree = &layout->trees[i];
		AUTO_FREE char *path = xasprintf("%s/cgroup.controllers", tree->mount_point);
		AUTO_FREE char *text = NULL;

		if (!tree->v2)
			add_controllers(&names, tree->name, ',');
		else if (file_read(&text, NULL, AT_FDCWD, path, FILE_LIMIT) == 0)
			add_controllers(&names, text, ' ');
	}
	text_list_sort(&names);
	text_list_add_all(out_names, &names);
	return 0;
}

bool cgroup_accounts_swap(void)
{
	AUTO(cgroup_closep) struct cgroup *layout = xcalloc(1, sizeof(*layout));

	cgroup_find_trees(layout);
	for (size_t i = 0; i < layout->tree_count; i++) {
		const struct cgroup_tree *tree = &layout->trees[i];
		AUTO_FREE char *path = xasprintf("%s/memory.memsw.limit_in_bytes", tree->mount_point);

		if (tree->controllers & CONTROLLER_MEMORY)
			return file_exists(AT_FDCWD, path);
	}
	/* On v2 the file is not at the root; the kernel has it since 4.5 unless built without swap. */
	return layout->mode == CGROUP_V2 && file_exists(AT_FDCWD, "/proc/swaps");
}
