/* SPDX-License-Identifier: Apache-2.0 */
#include "store/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "store/database.h"
#include "sys/mount_api.h"

static const struct {
	const char *name;
	enum store_driver driver;
} names[] = {
	{ "overlay2", STORE_OVERLAY }, { "overlay", STORE_OVERLAY }, { "overlayfs", STORE_OVERLAY },
	{ "erofs", STORE_EROFS },      { "copy", STORE_COPY },	     { "vfs", STORE_COPY },
};

int store_driver_parse(enum store_driver *out_driver, const char *name, struct error *err)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (text_equal(names[i].name, name)) {
			*out_driver = names[i].driver;
			return 0;
		}
	return error_set(err, ERR_INVALID,
			 "storage driver %s: there are overlay2 (also overlay), erofs and copy (also vfs)", name);
}

const char *store_driver_name(enum store_driver driver)
{
	return driver == STORE_OVERLAY ? "overlay2" : driver == STORE_EROFS ? "erofs" : "copy";
}

const char *store_driver_file_system(bool *out_overlays, int root_fd)
{
	static const struct {
		unsigned long magic;
		const char *name;
		bool overlays;
	} known[] = {
		{ EXT4_SUPER_MAGIC, "extfs", true },   { XFS_SUPER_MAGIC, "xfs", true },
		{ BTRFS_SUPER_MAGIC, "btrfs", true },  { TMPFS_MAGIC, "tmpfs", true },
		{ F2FS_SUPER_MAGIC, "f2fs", true },    { OVERLAYFS_SUPER_MAGIC, "overlayfs", false },
		{ NFS_SUPER_MAGIC, "nfs", false },     { ECRYPTFS_SUPER_MAGIC, "ecryptfs", false },
		{ MSDOS_SUPER_MAGIC, "msdos", false }, { EXFAT_SUPER_MAGIC, "exfat", false },
		{ SMB2_SUPER_MAGIC, "smb", false },    { CIFS_SUPER_MAGIC, "smb", false },
	};
	struct statfs st;

	*out_overlays = true;
	for (size_t i = 0; fstatfs(root_fd, &st) == 0 && i < sizeof(known) / sizeof(known[0]); i++)
		if ((unsigned long)st.f_type == known[i].magic) {
			*out_overlays = known[i].overlays;
			return known[i].name;
		}
	return "unknown";
}

/* Mounts one, for nobody to see. */
static bool overlay_works(int root_fd, const char *root)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *data = xasprintf("lowerdir=%s/probe/l,upperdir=%s/probe/u,workdir=%s/probe/w", root, root,
					 root);
	AUTO_CLOSE int fd = -1;
	bool overlays;

	store_driver_file_system(&overlays, root_fd);
	if (!overlays)
		return false;
	if (mkdir_all(root_fd, "probe/l", 0700) == 0 && mkdir_all(root_fd, "probe/u", 0700) == 0 &&
	    mkdir_all(root_fd, "probe/w", 0700) == 0)
		fd = mount_new("overlay", "overlay", data, 0, MOUNT_ATTR_NODEV, &ignored);
	overlays = fd >= 0;
	if (fd >= 0)
		close(take_fd(&fd));
	remove_tree(root_fd, "probe");
	return overlays;
}

/* ---- what the store remembers ---- */

/* 1 with *out_driver, or 0: nothing is stored yet and nobody chose. */
static int load(enum store_driver *out_driver, bool *out_used, struct database *database, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, database,
		      "SELECT (SELECT count(*) FROM (SELECT 1 FROM layer UNION ALL SELECT 1 FROM snapshot LIMIT 1)),"
		      " (SELECT driver FROM snapshotter)",
		      err) < 0 ||
	    query_next(query, err) < 0)
		return -1;
	*out_used = query_i64(query, 0) > 0;
	/* Before there were others, all was overlay. */
	*out_driver = STORE_OVERLAY;
	r = query_text(query, 1) ? 1 : *out_used;
	if (query_text(query, 1) && store_driver_parse(out_driver, query_text(query, 1), err) < 0)
		return -1;
	return r;
}

static int save(struct database *database, enum store_driver driver, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, database, "INSERT OR REPLACE INTO snapshotter(rowid, driver) VALUES(1, ?1)", err) < 0)
		return -1;
	query_bind_text(query, 1, store_driver_name(driver));
	return query_run(query, err) < 0 ? -1 : 0;
}

int store_driver_choose(enum store_driver *out_driver, struct database *database, int root_fd, const char *root,
			const char *asked, struct error *err)
{
	enum store_driver kept = STORE_OVERLAY;
	bool used;
	int known = load(&kept, &used, database, err);

	if (known < 0)
		return -1;
	if (!asked && known > 0)
		*out_driver = kept;
	else if (!asked)
		*out_driver = overlay_works(root_fd, root) ? STORE_OVERLAY : STORE_COPY;
	else if (store_driver_parse(out_driver, asked, err) < 0)
		return -1;
	/* Folders and images can lie in one overlay; trees that are whole cannot. */
	if (used && *out_driver != kept && (*out_driver == STORE_COPY || kept == STORE_COPY))
		return error_set(
			err, ERR_CONFLICT,
			"%s holds images of the storage driver %s, which %s cannot use: start with "
			"--storage-driver %s, or with another --data-root (`save` and `load` carry images over)",
			root, store_driver_name(kept), store_driver_name(*out_driver), store_driver_name(kept));
	return known > 0 && *out_driver == kept ? 0 : save(database, *out_driver, err);
}
