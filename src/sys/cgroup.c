/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "sys/cgroup_tree.h"

#define FILE_LIMIT (1 << 20)
#define CGROUP_FOLDER "/sys/fs/cgroup"
#define DEPTH_MAX 64
#define REMOVE_WAIT_MS 1000

/* ---- files of a group ---- */

int cgroup_dir(const struct cgroup_tree *tree)
{
	struct cgroup_tree *cache = (struct cgroup_tree *)tree;
	AUTO_FREE char *full = NULL;

	if (cache->dir_fd < 0) {
		full = xasprintf("%s%s", tree->mount_point, tree->path);
		cache->dir_fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return cache->dir_fd;
}

void cgroup_open_all(struct cgroup *cgroup)
{
	for (size_t i = 0; i < cgroup->tree_count; i++)
		if (cgroup->trees[i].exists)
			cgroup_dir(&cgroup->trees[i]);
}

struct cgroup_tree *cgroup_find_tree(const struct cgroup *cgroup, enum cgroup_controller controller)
{
	for (size_t i = 0; i < cgroup->tree_count; i++)
		if (!cgroup->trees[i].v2 && cgroup->trees[i].controllers & controller && cgroup->trees[i].exists)
			return &cgroup->trees[i];
	return NULL;
}

struct cgroup_tree *cgroup_v2_tree(const struct cgroup *cgroup)
{
	for (size_t i = 0; i < cgroup->tree_count; i++)
		if (cgroup->trees[i].v2 && cgroup->trees[i].exists)
			return &cgroup->trees[i];
	return NULL;
}

int cgroup_put(const struct cgroup_tree *tree, const char *file, const char *value)
{
	return file_write_once(cgroup_dir(tree), file, value);
}

int cgroup_set(const struct cgroup *cgroup, const struct cgroup_tree *tree, const char *file, const char *value,
	       struct error *err)
{
	int failed = cgroup_put(tree, file, value);

	if (failed == -ENOENT)
		return error_set_errno(err, ERR_UNSUPPORTED, failed,
				       "cgroup %s has no %s (is the controller enabled on this host?)", cgroup->path,
				       file);
	if (failed < 0)
		return error_set_errno(err, failed == -EINVAL || failed == -ERANGE ? ERR_INVALID : ERR_INTERNAL, failed,
				       "write \"%s\" to %s of cgroup %s", value, file, cgroup->path);
	return 0;
}

int cgroup_set_i64(const struct cgroup *cgroup, const struct cgroup_tree *tree, const char *file, int64_t value,
		   struct error *err)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64, value);
	return cgroup_set(cgroup, tree, file, text, err);
}

char *cgroup_get(const struct cgroup_tree *tree, const char *file)
{
	char *text = NULL;

	return file_read(&text, NULL, cgroup_dir(tree), file, FILE_LIMIT) < 0 ? NULL : text;
}

uint64_t cgroup_get_u64(const struct cgroup_tree *tree, const char *file, uint64_t otherwise)
{
	AUTO_FREE char *text = cgroup_get(tree, file);
	uint64_t value;

	if (!text)
		return otherwise;
	return text_parse_u64(&value, text_trim(text), UINT64_MAX) < 0 ? UINT64_MAX : value;
}

static uint64_t leading_u64(const char *text, uint64_t otherwise)
{
	uint64_t value = 0;

	if (*text < '0' || *text > '9')
		return otherwise;
	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	return value;
}

uint64_t cgroup_key_u64(const char *text, const char *key, uint64_t otherwise)
{
	size_t size = strlen(key);

	for (const char *line = text; line && *line;) {
		if (strncmp(line, key, size) == 0 && line[size] == ' ')
			return leading_u64(line + size + 1, otherwise);
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return otherwise;
}

void cgroup_keys(struct text_map *out_map, const char *text)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };

	text_list_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		char *blank = strchr(lines.items[i], ' ');

		if (!blank)
			continue;
		*blank = '\0';
		text_map_set(out_map, lines.items[i], blank + 1);
	}
}

bool cgroup_has(const struct cgroup_tree *tree, const char *file)
{
	return faccessat(cgroup_dir(tree), file, F_OK, 0) == 0;
}

/* ---- make, open, close ---- */

/* Absolute, and nothing in it that leaves the tree. */
static int check_path(const char *path, struct error *err)
{
	AUTO(text_list_fini) struct text_list parts = { 0 };

	if (path[0] != '/')
		return error_set(err, ERR_INVALID, "cgroup path \"%s\" is not absolute", path);
	text_list_split(&parts, path + 1, '/');
	for (size_t i = 0; i < parts.count; i++)
		if (text_equal(parts.items[i], "..") || text_equal(parts.items[i], "."))
			return error_set(err, ERR_INVALID, "cgroup path \"%s\" has a \"%s\" in it", path,
					 parts.items[i]);
	return 0;
}

static struct cgroup *cgroup_new(const char *path)
{
	struct cgroup *cgroup = xcalloc(1, sizeof(*cgroup));

	cgroup->path = xstrdup(path);
	cgroup_find_trees(cgroup);
	for (size_t i = 0; i < cgroup->tree_count; i++)
		cgroup->trees[i].path = cgroup->path;
	return cgroup;
}

void cgroup_close(struct cgroup *cgroup)
{
	if (!cgroup)
		return;
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		if (cgroup->trees[i].dir_fd >= 0)
			close(cgroup->trees[i].dir_fd);
		free(cgroup->trees[i].name);
		free(cgroup->trees[i].mount_point);
	}
	free(cgroup->trees);
	free(cgroup->path);
	free(cgroup);
}

/* mkdir with parents: 1 made, 0 was there, -errno. */
static int make_group(const struct cgroup_tree *tree, const char *path)
{
	AUTO_FREE char *full = xasprintf("%s%s", tree->mount_point, path);
	size_t start = strlen(tree->mount_point) + 1;
	int made = mkdir(full, 0755);

	if (made < 0 && errno == ENOENT) {
		for (char *c = full + start; *c; c++) {
			if (*c != '/')
				continue;
			*c = '\0';
			if (mkdir(full, 0755) < 0 && errno != EEXIST)
				return -errno;
			if (tree->controllers & CONTROLLER_CPUSET)
				cgroup_v1_inherit_cpuset(tree->mount_point, full + start - 1, false);
			*c = '/';
		}
		made = mkdir(full, 0755);
	}
	if (made < 0)
		return errno == EEXIST ? 0 : -errno;
	return 1;
}

static int open_group(struct cgroup_tree *tree)
{
	tree->exists = cgroup_dir(tree) >= 0;
	return tree->exists ? 0 : -errno;
}

static int create_in_tree(struct cgroup *cgroup, struct cgroup_tree *tree, struct error *err)
{
	int made = make_group(tree, cgroup->path);

	if (made < 0)
		return error_set_errno(err, ERR_INTERNAL, made, "make cgroup %s%s", tree->mount_point, cgroup->path);
	tree->made = made == 1;
	if (tree->v2)
		cgroup_v2_enable(tree->mount_point, cgroup->path);
	else if (tree->controllers & CONTROLLER_CPUSET)
		made = cgroup_v1_inherit_cpuset(tree->mount_point, cgroup->path, tree->made);
	if (made < 0)
		return error_set_errno(err, ERR_INTERNAL, made, "give cgroup %s%s its cpus", tree->mount_point,
				       cgroup->path);
	return 0;
}

/* The tree that knows best who is in the group. */
static const struct cgroup_tree *process_tree(const struct cgroup *cgroup)
{
	static const enum cgroup_controller order[] = { CONTROLLER_PIDS, CONTROLLER_FREEZER, CONTROLLER_MEMORY,
							CONTROLLER_CPU };

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		const struct cgroup_tree *tree = cgroup_find_tree(cgroup, order[i]);

		if (tree)
			return tree;
	}
	if (cgroup_v2_tree(cgroup))
		return cgroup_v2_tree(cgroup);
	for (size_t i = 0; i < cgroup->tree_count; i++)
		if (cgroup->trees[i].exists)
			return &cgroup->trees[i];
	return NULL;
}

void cgroup_unmake(struct cgroup *cgroup)
{
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		AUTO_FREE char *full = xasprintf("%s%s", cgroup->trees[i].mount_point, cgroup->path);

		if (cgroup->trees[i].made)
			rmdir(full);
		cgroup->trees[i].made = false;
	}
}

static int refuse_busy(struct cgroup *cgroup, struct error *err)
{
	AUTO_FREE pid_t *pids = NULL;
	size_t count;
	int frozen = cgroup_is_frozen(cgroup, err);

	if (frozen < 0 || cgroup_pids(cgroup, &pids, &count, err) < 0)
		return -1;
	if (frozen)
		return error_set(err, ERR_CONFLICT, "container's cgroup unexpectedly frozen: %s", cgroup->path);
	if (count > 0)
		return error_set(err, ERR_CONFLICT, "container's cgroup is not empty: process %d lives in %s", pids[0],
				 cgroup->path);
	return 0;
}

/* The trees of one kind. */
static int create_half(struct cgroup *cgroup, bool v2, unsigned flags, struct error *err)
{
	bool existed = false;

	for (size_t i = 0; i < cgroup->tree_count; i++) {
		struct cgroup_tree *tree = &cgroup->trees[i];

		if (tree->v2 != v2)
			continue;
		if (create_in_tree(cgroup, tree, err) < 0)
			return -1;
		existed |= !tree->made;
	}
	/* Between the halves the caller's own clone may have entered the cgroup2 group: the v1 ones tell then. */
	if (!v2 && process_tree(cgroup) && process_tree(cgroup)->v2)
		return 0;
	return existed && flags & CGROUP_REFUSE_BUSY ? refuse_busy(cgroup, err) : 0;
}

int cgroup_begin(struct cgroup **out_cgroup, const char *path, unsigned flags, struct error *err)
{
	AUTO(cgroup_closep) struct cgroup *cgroup = NULL;

	if (check_path(path, err) < 0)
		return -1;
	cgroup = cgroup_new(path);
	if (cgroup->mode == CGROUP_NONE)
		return error_set(err, ERR_UNSUPPORTED, "no control groups are mounted below %s", CGROUP_FOLDER);
	for (size_t i = 0; i < cgroup->tree_count; i++)
		cgroup->trees[i].exists = true;
	if (create_half(cgroup, true, flags, err) < 0) {
		cgroup_unmake(cgroup);
		return -1;
	}
	*out_cgroup = take_ptr(cgroup);
	return 0;
}

int cgroup_finish(struct cgroup *cgroup, unsigned flags, struct error *err)
{
	return create_half(cgroup, false, flags, err);
}

int cgroup_create(struct cgroup **out_cgroup, const char *path, unsigned flags, struct error *err)
{
	AUTO(cgroup_closep) struct cgroup *cgroup = NULL;

	if (cgroup_begin(&cgroup, path, flags, err) < 0)
		return -1;
	if (cgroup_finish(cgroup, flags, err) < 0) {
		cgroup_unmake(cgroup);
		return -1;
	}
	*out_cgroup = take_ptr(cgroup);
	return 0;
}

int cgroup_open(struct cgroup **out_cgroup, const char *path, struct error *err)
{
	AUTO(cgroup_closep) struct cgroup *cgroup = NULL;
	bool found = false;

	if (check_path(path, err) < 0)
		return -1;
	cgroup = cgroup_new(path);
	for (size_t i = 0; i < cgroup->tree_count; i++)
		found |= open_group(&cgroup->trees[i]) == 0;
	if (!found)
		return error_set(err, ERR_NOT_FOUND, "no cgroup %s", path);
	*out_cgroup = take_ptr(cgroup);
	return 0;
}

const char *cgroup_path(const struct cgroup *cgroup)
{
	return cgroup->path;
}

enum cgroup_mode cgroup_get_mode(const struct cgroup *cgroup)
{
	return cgroup->mode;
}

size_t cgroup_hierarchy_count(const struct cgroup *cgroup)
{
	return cgroup->tree_count;
}

void cgroup_get_hierarchy(const struct cgroup *cgroup, size_t index, struct cgroup_hierarchy *out_hierarchy)
{
	const struct cgroup_tree *tree = &cgroup->trees[index];

	*out_hierarchy = (struct cgroup_hierarchy){
		.name = tree->name,
		.mount_point = tree->mount_point,
		.path = cgroup->path,
		.exists = tree->exists,
		.dir_fd = tree->dir_fd,
		.is_v2 = tree->v2,
	};
}

bool cgroup_find_hierarchy(const struct cgroup *cgroup, const char *controller, struct cgroup_hierarchy *out_hierarchy)
{
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		AUTO(text_list_fini) struct text_list names = { 0 };

		text_list_split(&names, cgroup->trees[i].name, ',');
		if (!text_list_contains(&names, controller) && !(cgroup->trees[i].v2 && text_empty(controller)))
			continue;
		cgroup_get_hierarchy(cgroup, i, out_hierarchy);
		return true;
	}
	return false;
}

int cgroup_clone_fd(const struct cgroup *cgroup)
{
	const struct cgroup_tree *tree = cgroup_v2_tree(cgroup);

	return tree ? cgroup_dir(tree) : -1;
}

/* ---- processes ---- */

static int add_to_trees(struct cgroup *cgroup, pid_t pid, bool also_v2, struct error *err)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		const struct cgroup_tree *tree = &cgroup->trees[i];
		int failed;

		if (!tree->exists || (tree->v2 && !also_v2))
			continue;
		failed = cgroup_put(tree, "cgroup.procs", text);
		if (failed < 0)
			return error_set_errno(err, ERR_INTERNAL, failed, "move process %d into cgroup %s%s", pid,
					       tree->mount_point, cgroup->path);
	}
	return 0;
}

int cgroup_add_cloned(struct cgroup *cgroup, pid_t pid, struct error *err)
{
	return add_to_trees(cgroup, pid, false, err);
}

int cgroup_add(struct cgroup *cgroup, pid_t pid, struct error *err)
{
	return add_to_trees(cgroup, pid, true, err);
}

struct pid_list {
	pid_t *items;
	size_t count;
	size_t capacity;
};

static void pid_list_fini(struct pid_list *list)
{
	free(list->items);
}

static int collect_pids(struct pid_list *list, int dir_fd, unsigned depth);

static int collect_children(struct pid_list *list, int dir_fd, unsigned depth)
{
	AUTO_CLOSEDIR DIR *dir = NULL;
	AUTO_CLOSE int again = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;

	dir = again < 0 ? NULL : fdopendir(again);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	take_fd(&again);
	while ((entry = readdir(dir))) {
		AUTO_CLOSE int child = -1;
		int failed;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		child = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child < 0)
			continue; /* removed meanwhile */
		failed = collect_pids(list, child, depth + 1);
		if (failed < 0)
			return failed;
	}
	return 0;
}

static int collect_pids(struct pid_list *list, int dir_fd, unsigned depth)
{
	AUTO_FREE char *text = NULL;
	AUTO(text_list_fini) struct text_list lines = { 0 };
	int failed = file_read(&text, NULL, dir_fd, "cgroup.procs", FILE_LIMIT * 16);

	if (failed == -ENOENT || failed == -ENODEV)
		return 0;
	/* A threaded group has no processes of its own: they are listed by its domain. */
	if (failed < 0 && failed != -EOPNOTSUPP)
		return failed;
	if (failed == 0)
		text_list_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		pid_t pid = (pid_t)leading_u64(lines.items[i], 0);

		if (pid <= 0)
			continue;
		list->items = xgrow(list->items, &list->capacity, list->count + 1, sizeof(*list->items));
		list->items[list->count++] = pid;
	}
	return depth < DEPTH_MAX ? collect_children(list, dir_fd, depth) : 0;
}

static int compare_pids(const void *a, const void *b)
{
	pid_t left = *(const pid_t *)a, right = *(const pid_t *)b;

	return (left > right) - (left < right);
}

int cgroup_pids(struct cgroup *cgroup, pid_t **out_pids, size_t *out_count, struct error *err)
{
	AUTO(pid_list_fini) struct pid_list list = { 0 };
	const struct cgroup_tree *tree = process_tree(cgroup);
	int dir_fd = tree ? cgroup_dir(tree) : -1;
	int failed = dir_fd >= 0 ? collect_pids(&list, dir_fd, 0) : 0;

	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "list the processes of cgroup %s", cgroup->path);
	if (list.count)
		qsort(list.items, list.count, sizeof(*list.items), compare_pids);
	*out_pids = take_ptr(list.items);
	*out_count = list.count;
	return 0;
}

/* ---- freeze and kill ---- */

int cgroup_freeze(struct cgroup *cgroup, bool frozen, struct error *err)
{
	const struct cgroup_tree *freezer = cgroup_find_tree(cgroup, CONTROLLER_FREEZER);
	const struct cgroup_tree *v2 = cgroup_v2_tree(cgroup);

	if (freezer)
		return cgroup_v1_freeze(cgroup, freezer, frozen, err);
	if (v2)
		return cgroup_v2_freeze(cgroup, v2, frozen, err);
	return error_set(err, ERR_UNSUPPORTED, "cgroup %s: this host has no freezer", cgroup->path);
}

int cgroup_is_frozen(struct cgroup *cgroup, struct error *err)
{
	const struct cgroup_tree *freezer = cgroup_find_tree(cgroup, CONTROLLER_FREEZER);
	const struct cgroup_tree *v2 = cgroup_v2_tree(cgroup);
	AUTO_FREE char *text = NULL;

	(void)err;
	if (freezer) {
		text = cgroup_get(freezer, "freezer.state");
		return text && !text_has_prefix(text, "THAWED");
	}
	if (v2) {
		text = cgroup_get(v2, "cgroup.freeze");
		return text && text[0] == '1';
	}
	return 0;
}

/*
 * Their pids cannot be reused for others while they are frozen; without a freezer that risk is the caller's. Whoever may
 * not be signalled does not spare the others: the error is the first.
 */
static int signal_all(struct cgroup *cgroup, int signal, size_t *out_count, struct error *err)
{
	AUTO_FREE pid_t *pids = NULL;
	int result = 0;

	if (cgroup_pids(cgroup, &pids, out_count, err) < 0)
		return -1;
	for (size_t i = 0; i < *out_count; i++) {
		int failed = kill(pids[i], signal) < 0 ? -errno : 0;

		if (failed < 0 && failed != -ESRCH && result == 0)
			result = error_set_errno(err, ERR_INTERNAL, failed, "signal process %d of cgroup %s", pids[i],
						 cgroup->path);
	}
	return result;
}

int cgroup_kill_strays(struct cgroup *cgroup, struct error *err)
{
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		AUTO(pid_list_fini) struct pid_list list = { 0 };
		int dir_fd = cgroup->trees[i].exists ? cgroup_dir(&cgroup->trees[i]) : -1;
		int failed = dir_fd < 0 ? 0 : collect_pids(&list, dir_fd, 0);

		if (failed < 0)
			return error_set_errno(err, ERR_INTERNAL, failed, "list processes of cgroup %s%s",
					       cgroup->trees[i].mount_point, cgroup->path);
		for (size_t k = 0; k < list.count; k++)
			kill(list.items[k], SIGKILL);
	}
	return 0;
}

int cgroup_kill(struct cgroup *cgroup, int signal, struct error *err)
{
	const struct cgroup_tree *v2 = cgroup->mode == CGROUP_V2 ? cgroup_v2_tree(cgroup) : NULL;
	AUTO(error_clear) struct error ignored = { 0 };
	size_t count;
	int was_frozen, failed;

	if (signal == SIGKILL && v2 && cgroup_put(v2, "cgroup.kill", "1") == 0)
		return 0;
	was_frozen = cgroup_is_frozen(cgroup, err);
	if (was_frozen < 0)
		return -1;
	/* Who is frozen cannot fork away while we list. Signals reach them when they thaw. */
	if (signal == SIGKILL && !was_frozen)
		cgroup_freeze(cgroup, true, &ignored);
	failed = signal_all(cgroup, signal, &count, err);
	if (signal == SIGKILL) {
		error_clear(&ignored);
		cgroup_freeze(cgroup, false, &ignored);
	}
	return failed;
}

/* ---- limits, stats, out of memory ---- */

static void add_rdma_number(struct text *line, const char *key, struct optional_u64 number)
{
	if (number.set)
		text_addf(line, " %s=%llu", key, (unsigned long long)number.value);
	else
		text_addf(line, " %s=max", key);
}

int cgroup_set_rdma(struct cgroup *cgroup, const struct cgroup_rdma_limit *limit, struct error *err)
{
	AUTO(text_fini) struct text line = { 0 };

	text_add(&line, limit->device);
	add_rdma_number(&line, "hca_handle", limit->handles);
	add_rdma_number(&line, "hca_object", limit->objects);
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		const struct cgroup_tree *tree = &cgroup->trees[i];

		if (tree->exists && cgroup_has(tree, "rdma.max"))
			return cgroup_set(cgroup, tree, "rdma.max", line.data, err);
	}
	return error_set(err, ERR_UNSUPPORTED, "the rdma controller is not there (is it mounted, or delegated?)");
}

int cgroup_apply(struct cgroup *cgroup, const struct cgroup_limits *limits, struct error *err)
{
	const struct cgroup_tree *v2 = cgroup_v2_tree(cgroup);

	if (cgroup->mode == CGROUP_V2)
		return v2 ? cgroup_v2_apply(cgroup, v2, limits, err) : 0;
	if (limits->unified && limits->unified->count > 0) {
		if (!v2)
			return error_set(
				err, ERR_UNSUPPORTED,
				"invalid configuration: linux.resources.unified needs cgroup v2, this host has v1");
		if (cgroup_v2_apply_unified(cgroup, v2, limits->unified, err) < 0)
			return error_prefix(err, "invalid configuration: linux.resources.unified");
	}
	return cgroup_v1_apply(cgroup, limits, err);
}

struct cgroup_io_stat *cgroup_io_entry(struct cgroup_stats *stats, uint64_t major, uint64_t minor)
{
	for (size_t i = 0; i < stats->io_count; i++)
		if (stats->io[i].major == major && stats->io[i].minor == minor)
			return &stats->io[i];
	stats->io = xrealloc(stats->io, (stats->io_count + 1) * sizeof(*stats->io));
	stats->io[stats->io_count] = (struct cgroup_io_stat){ .major = major, .minor = minor };
	return &stats->io[stats->io_count++];
}

int cgroup_stats_read(struct cgroup *cgroup, struct cgroup_stats *out_stats, struct error *err)
{
	struct cgroup_stats stats = { .memory_limit = UINT64_MAX,
				      .memory_swap_limit = UINT64_MAX,
				      .pids_limit = UINT64_MAX };
	const struct cgroup_tree *v2 = cgroup_v2_tree(cgroup);
	const struct cgroup_tree *any = process_tree(cgroup);

	if (!any || !cgroup_has(any, "cgroup.procs"))
		return error_set(err, ERR_NOT_FOUND, "cgroup %s is gone", cgroup->path);
	if (cgroup->mode == CGROUP_V2)
		cgroup_v2_stats(cgroup, v2, &stats);
	else
		cgroup_v1_stats(cgroup, &stats);
	cgroup_stats_hugetlb(cgroup, &stats);
	stats.oom_kills = cgroup_oom_kills(cgroup);
	*out_stats = stats;
	return 0;
}

void cgroup_stats_fini(struct cgroup_stats *stats)
{
	free(stats->per_cpu_ns);
	free(stats->io);
	free(stats->hugetlb);
	text_map_fini(&stats->memory_stat);
	*stats = (struct cgroup_stats){ 0 };
}

uint64_t cgroup_oom_kills(struct cgroup *cgroup)
{
	const struct cgroup_tree *memory = cgroup_find_tree(cgroup, CONTROLLER_MEMORY);
	const struct cgroup_tree *v2 = cgroup_v2_tree(cgroup);
	AUTO_FREE char *text = NULL;

	if (memory)
		text = cgroup_get(memory, "memory.oom_control");
	else if (v2)
		text = cgroup_get(v2, "memory.events");
	return cgroup_key_u64(text, "oom_kill", 0);
}

uint64_t cgroup_refused_forks(struct cgroup *cgroup)
{
	const struct cgroup_tree *pids = cgroup_find_tree(cgroup, CONTROLLER_PIDS);
	const struct cgroup_tree *v2 = cgroup_v2_tree(cgroup);
	AUTO_FREE char *text = pids || v2 ? cgroup_get(pids ? pids : v2, "pids.events") : NULL;

	return cgroup_key_u64(text, "max", 0);
}

int cgroup_oom_watch(struct cgroup *cgroup)
{
	const struct cgroup_tree *memory = cgroup_find_tree(cgroup, CONTROLLER_MEMORY);
	const struct cgroup_tree *v2 = cgroup_v2_tree(cgroup);

	if (memory)
		return cgroup_v1_oom_watch(memory);
	return v2 ? cgroup_v2_oom_watch(v2) : -ENOSYS;
}

/* ---- remove ---- */

static int remove_group(int parent_fd, const char *name, unsigned depth);

static void remove_children(int dir_fd, unsigned depth)
{
	AUTO_CLOSEDIR DIR *dir = fdopendir(dir_fd);
	const struct dirent *entry;

	if (!dir) {
		close(dir_fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			remove_group(dirfd(dir), entry->d_name, depth + 1);
}

/* Depth first; 0 also if it was not there. */
static int remove_group(int parent_fd, const char *name, unsigned depth)
{
	int dir_fd;

	if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY && errno != ENOTEMPTY)
		return -errno;
	dir_fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir_fd >= 0 && depth < DEPTH_MAX)
		remove_children(dir_fd, depth);
	else if (dir_fd >= 0)
		close(dir_fd);
	return unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

/* All hierarchies are tried, whatever happens in one: the error is the first. */
int cgroup_remove(struct cgroup *cgroup, struct error *err)
{
	int64_t deadline = clock_monotonic_ns() + REMOVE_WAIT_MS * CLOCK_MS;
	int result = 0;

	for (size_t i = 0; i < cgroup->tree_count; i++) {
		struct cgroup_tree *tree = &cgroup->trees[i];
		AUTO_FREE char *full = xasprintf("%s%s", tree->mount_point, cgroup->path);
		int64_t pause_ms = 1;
		int failed;

		/* A process that was killed leaves its group when it is through with exiting. */
		while ((failed = remove_group(AT_FDCWD, full, 0)) == -EBUSY && clock_monotonic_ns() < deadline) {
			clock_sleep_ms(pause_ms);
			pause_ms = pause_ms < 32 ? pause_ms * 2 : pause_ms;
		}
		if (failed < 0 && result == 0)
			result = error_set_errno(err, failed == -EBUSY ? ERR_CONFLICT : ERR_INTERNAL, failed,
						 "remove cgroup %s", full);
	}
	return result;
}
