/* SPDX-License-Identifier: Apache-2.0 */
/* Who may enter a group, and to whom it is given: delegation as of cgroup-v2.rst, "Delegation". */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "sys/cgroup_tree.h"

#define FILE_LIMIT (1 << 20)

/* The group of this process below the mount point of cgroup2: the line "0::/path"; yours. */
static char *own_v2_path(void)
{
	AUTO_FREE char *text = NULL;
	char *line;

	if (file_read(&text, NULL, AT_FDCWD, "/proc/self/cgroup", FILE_LIMIT) < 0)
		return xstrdup("/");
	line = text_has_prefix(text, "0::") ? text : strstr(text, "\n0::");
	if (!line)
		return xstrdup("/");
	line = strchr(line, '/');
	if (line)
		line[strcspn(line, "\n")] = '\0';
	return xstrdup(line ? line : "/");
}

/* What both paths begin with, by whole names; yours. */
static char *common_folder(const char *one, const char *other)
{
	size_t end = 0;

	for (size_t i = 0;; i++) {
		bool one_ends = one[i] == '/' || one[i] == '\0';
		bool other_ends = other[i] == '/' || other[i] == '\0';

		if (one_ends && other_ends)
			end = i;
		if (one[i] != other[i] || one[i] == '\0')
			break;
	}
	return xstrndup(one, end);
}

static void leave_tree(const struct cgroup *cgroup, struct cgroup_tree *tree)
{
	AUTO_FREE char *full = xasprintf("%s%s", tree->mount_point, cgroup->path);

	if (tree->dir_fd >= 0)
		close(take_fd(&tree->dir_fd));
	tree->exists = false;
	if (tree->made)
		rmdir(full);
	tree->made = false;
}

int cgroup_check_entry(struct cgroup *cgroup, struct error *err)
{
	struct cgroup_tree *tree = cgroup_v2_tree(cgroup);
	AUTO_FREE char *own = own_v2_path();
	AUTO_FREE char *common = common_folder(own, cgroup->path);
	AUTO_FREE char *file = tree ? xasprintf("%s%s/cgroup.procs", tree->mount_point, common) : NULL;

	if (!tree || faccessat(AT_FDCWD, file, W_OK, AT_EACCESS) == 0)
		return 0;
	if (cgroup->mode == CGROUP_V2)
		return error_set_errno(err, ERR_FORBIDDEN, EACCES,
				       "from %s nobody but the owner of %s may enter it (write to %s)", own,
				       *common ? common : "/", file);
	leave_tree(cgroup, tree);
	return 0;
}

int cgroup_delegate(struct cgroup *cgroup, uid_t uid, struct error *err)
{
	const struct cgroup_tree *tree = cgroup_v2_tree(cgroup);
	AUTO(text_list_fini) struct text_list files = { 0 };
	AUTO_FREE char *text = NULL;

	if (!tree)
		return 0;
	if (file_read(&text, NULL, AT_FDCWD, "/sys/kernel/cgroup/delegate", FILE_LIMIT) < 0)
		text = xstrdup("cgroup.procs\ncgroup.subtree_control\ncgroup.threads");
	text_list_split(&files, text_trim(text), '\n');
	if (fchown(cgroup_dir(tree), uid, (gid_t)-1) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "give cgroup %s to user %u", cgroup->path, uid);
	for (size_t i = 0; i < files.count; i++)
		if (fchownat(cgroup_dir(tree), files.items[i], uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0 &&
		    errno != ENOENT)
			return error_set_errno(err, ERR_INTERNAL, errno, "give %s of cgroup %s to user %u",
					       files.items[i], cgroup->path, uid);
	return 0;
}
