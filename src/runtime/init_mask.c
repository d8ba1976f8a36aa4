/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/init.h"
#include "sys/in_root.h"
#include "sys/mount_api.h"

/*
 * What covers: made when first needed and attached there, cloned from there for each further path. A mount that was
 * only a model would have to be ended, and that is a wait for all processors.
 */
struct covers {
	int null_fd;
	int empty_fd;
};

static void covers_fini(struct covers *covers)
{
	if (covers->null_fd >= 0)
		close(take_fd(&covers->null_fd));
	if (covers->empty_fd >= 0)
		close(take_fd(&covers->empty_fd));
}

static int make_empty(struct error *err)
{
	return mount_new("tmpfs", "tmpfs", "nr_blocks=1,nr_inodes=1", 0,
			 MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);
}

/* The host's /dev/null, checked by its device number: the container's may be anything (CVE-2025-31133). */
static int attach_cover(struct init *init, struct covers *covers, bool is_directory, int target, struct error *err)
{
	int *cover = is_directory ? &covers->empty_fd : &covers->null_fd;
	AUTO_CLOSE int copy = -1;
	int r;

	if (*cover < 0) {
		*cover = is_directory ? make_empty(err) : init_device_clone("/dev/null", 1, 3, err);
		return *cover < 0 ? -1 : mount_attach(*cover, target);
	}
	copy = mount_clone(*cover, "", 0);
	r = copy < 0 ? copy : mount_attach(copy, target);
	if (r == 0)
		init_leave_open(init, &copy);
	return r;
}

static bool is_absent(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -EACCES;
}

static int mask(struct init *init, struct covers *covers, const char *path, struct error *err)
{
	AUTO_CLOSE int target = open_in_root(init->root_fd, path, O_PATH, 0);
	struct stat st;
	int r;

	if (is_absent(target))
		return 0;
	if (target < 0 || fstat(target, &st) < 0)
		return error_set_errno(err, ERR_INTERNAL, target < 0 ? target : errno, "mask %s", path);
	r = attach_cover(init, covers, S_ISDIR(st.st_mode), target, err);
	if (r < 0 && error_is_set(err))
		return error_prefix(err, "mask %s", path);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "mask %s", path);
	init_leave_open(init, &target);
	return 0;
}

static int make_readonly(struct init *init, const char *path, struct error *err)
{
	AUTO_CLOSE int target = open_in_root(init->root_fd, path, O_PATH, 0);
	AUTO_CLOSE int copy = -1;
	int r;

	if (is_absent(target))
		return 0;
	copy = target < 0 ? target : mount_clone(target, "", 1);
	r = copy < 0 ? copy : mount_change(copy, 1, MOUNT_ATTR_RDONLY, 0, 0);
	if (r == 0)
		r = mount_attach(copy, target);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "make %s read-only", path);
	init_leave_open(init, &target);
	init_leave_open(init, &copy);
	return 0;
}

static bool is_repeated(const struct text_list *paths, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (text_equal(paths->items[i], paths->items[index]))
			return true;
	return false;
}

int init_mask_finish(struct init *init, struct error *err)
{
	for (size_t i = 0; i < init->late_readonly_count; i++) {
		int r = mount_change(init->late_readonly[i], 0, MOUNT_ATTR_RDONLY, 0, 0);

		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "make a tmpfs read-only");
	}
	return 0;
}

int init_mask_all(struct init *init, struct error *err)
{
	const struct spec_linux *l = &init->plan->spec->linux_;
	AUTO(covers_fini) struct covers covers = { -1, -1 };

	for (size_t i = 0; i < l->readonly_paths.count; i++)
		if (!is_repeated(&l->readonly_paths, i) && make_readonly(init, l->readonly_paths.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < l->masked_paths.count; i++)
		if (!is_repeated(&l->masked_paths, i) && mask(init, &covers, l->masked_paths.items[i], err) < 0)
			return -1;
	init->masked = true;
	return init_mask_finish(init, err);
}
