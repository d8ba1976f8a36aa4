/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/resctrl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"

#define RESCTRL_ROOT "/sys/fs/resctrl"
#define RESCTRL_MAGIC 0x7655821

const char *resctrl_root(void)
{
	struct statfs fs;

	return statfs(RESCTRL_ROOT, &fs) == 0 && fs.f_type == RESCTRL_MAGIC ? RESCTRL_ROOT : NULL;
}

int resctrl_check(const struct spec_intel_rdt *rdt, struct error *err)
{
	const char *name = rdt ? text_or_empty(rdt->clos_id) : "";

	if (!rdt)
		return 0;
	if (text_equal(name, ".") || text_equal(name, "..") || (strchr(name, '/') && !text_equal(name, "/")))
		return error_set(err, ERR_INVALID, "linux.intelRdt.closID: invalid intelRdt.ClosID \"%s\"", name);
	if (!resctrl_root())
		return error_set(
			err, ERR_UNSUPPORTED,
			"linux.intelRdt: intelRdt is specified in config, but Intel RDT is not enabled (no resctrl "
			"on " RESCTRL_ROOT ")");
	return 0;
}

static char *group_of(const char *root, const struct spec_intel_rdt *rdt, const char *id)
{
	if (text_equal(rdt->clos_id, "/"))
		return xstrdup(root);
	return path_join(root, text_empty(rdt->clos_id) ? id : rdt->clos_id);
}

static bool has_schema(const struct spec_intel_rdt *rdt)
{
	return rdt->schemata.count || !text_empty(rdt->l3_cache_schema) || !text_empty(rdt->mem_bw_schema);
}

static int add_task(const char *group, pid_t pid, struct error *err)
{
	AUTO_FREE char *file = path_join(group, "tasks");
	char text[16];
	int r;

	snprintf(text, sizeof(text), "%d", pid);
	r = file_write_once(AT_FDCWD, file, text);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "linux.intelRdt: write %s", file);
	return 0;
}

/* 1 if it is new. */
static int make_group(const char *group, struct error *err)
{
	if (mkdir(group, 0755) == 0)
		return 1;
	if (errno == EEXIST)
		return 0;
	return error_set_errno(err, ERR_INTERNAL, errno, "linux.intelRdt: make %s%s", group,
			       errno == ENOSPC ? " (the processor has no class of service left)" : "");
}

static void add_line(struct text *lines, const char *schema)
{
	if (!text_empty(schema))
		text_addf(lines, "%s\n", schema);
}

/* The specification: schemata are written last. */
static int write_schemata(const char *group, const struct spec_intel_rdt *rdt, struct error *err)
{
	AUTO_FREE char *file = path_join(group, "schemata");
	AUTO(text_fini) struct text lines = { 0 };
	int r;

	add_line(&lines, rdt->l3_cache_schema);
	add_line(&lines, rdt->mem_bw_schema);
	for (size_t i = 0; i < rdt->schemata.count; i++)
		add_line(&lines, rdt->schemata.items[i]);
	r = lines.size ? file_write_once(AT_FDCWD, file, lines.data) : 0;
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "linux.intelRdt: write \"%s\" to %s", lines.data, file);
	return 0;
}

static int monitor(char **out_made, const char *group, const char *id, pid_t pid, struct error *err)
{
	AUTO_FREE char *name = xasprintf("mon_groups/%s", id);
	AUTO_FREE char *path = path_join(group, name);
	int r = make_group(path, err);

	if (r < 0)
		return -1;
	if (r > 0 && !*out_made)
		*out_made = xstrdup(path);
	return add_task(path, pid, err);
}

int resctrl_apply(char **out_made, const char *root, const struct spec_intel_rdt *rdt, const char *id, pid_t pid,
		  struct error *err)
{
	AUTO_FREE char *group = group_of(root, rdt, id);
	int r;

	*out_made = NULL;
	/* A named class without schemata of ours is somebody else's, and must be there. */
	if (!text_empty(rdt->clos_id) && !has_schema(rdt) && !file_exists(AT_FDCWD, group))
		return error_set(
			err, ERR_NOT_FOUND,
			"linux.intelRdt.closID: clos dir %s not accessible (it must be there when no schemata are "
			"given)",
			group);
	r = make_group(group, err);
	if (r < 0)
		return -1;
	if (r > 0 && text_empty(rdt->clos_id))
		*out_made = xstrdup(group);
	if (add_task(group, pid, err) < 0)
		return -1;
	if (rdt->enable_monitoring && monitor(out_made, group, id, pid, err) < 0)
		return -1;
	return write_schemata(group, rdt, err);
}

int resctrl_update(const char *root, const struct spec_intel_rdt *rdt, const char *id, struct error *err)
{
	AUTO_FREE char *group = group_of(root, rdt, id);

	return write_schemata(group, rdt, err);
}
