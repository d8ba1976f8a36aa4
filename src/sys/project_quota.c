/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/project_quota.h"

#include <errno.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

#ifndef MAXQUOTAS
#define MAXQUOTAS 3
#endif
#define BLOCK 512

static int control(int dir_fd, unsigned command, uint32_t project, void *data)
{
	return syscall(SYS_quotactl_fd, dir_fd, QCMD(command, PRJQUOTA), project, data) < 0 ? -errno : 0;
}

/* A type that no kernel has is EINVAL, before anything else is looked at. */
static bool kernel_has_quotas(int dir_fd)
{
	return syscall(SYS_quotactl_fd, dir_fd, QCMD(Q_XGETQSTAT, MAXQUOTAS), 0, NULL) == 0 || errno != ENOSYS;
}

int project_quota_check(int dir_fd)
{
	struct fs_quota_stat status = { .qs_version = FS_QSTAT_VERSION };
	struct fsxattr attributes;

	if (!kernel_has_quotas(dir_fd))
		return -ENOSYS;
	if (ioctl(dir_fd, FS_IOC_FSGETXATTR, &attributes) < 0)
		return errno == ENOTTY ? -EOPNOTSUPP : -errno;
	/* Where none is on it fails, with one errno or another. */
	if (control(dir_fd, Q_XGETQSTAT, 0, &status) < 0 || !(status.qs_flags & FS_QUOTA_PDQ_ENFD))
		return -ESRCH;
	return 0;
}

int project_quota_is_used(int dir_fd, uint32_t project)
{
	struct fs_disk_quota found = { 0 };
	int r = control(dir_fd, Q_XGETQUOTA, project, &found);

	/* xfs: nobody has asked for this one yet. */
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : found.d_bcount || found.d_icount;
}

int project_quota_limit(int dir_fd, uint32_t project, uint64_t bytes)
{
	struct fs_disk_quota limit = {
		.d_version = FS_DQUOT_VERSION,
		.d_flags = FS_PROJ_QUOTA,
		.d_fieldmask = FS_DQ_BHARD | FS_DQ_BSOFT,
		.d_id = project,
		.d_blk_hardlimit = (bytes + BLOCK - 1) / BLOCK,
		.d_blk_softlimit = (bytes + BLOCK - 1) / BLOCK,
	};

	return control(dir_fd, Q_XSETQLIM, project, &limit);
}

int project_quota_assign(int dir_fd, uint32_t project)
{
	struct fsxattr attributes;

	if (ioctl(dir_fd, FS_IOC_FSGETXATTR, &attributes) < 0)
		return -errno;
	attributes.fsx_projid = project;
	attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	return ioctl(dir_fd, FS_IOC_FSSETXATTR, &attributes) < 0 ? -errno : 0;
}

int project_quota_project(uint32_t *out_project, int dir_fd)
{
	struct fsxattr attributes;

	if (ioctl(dir_fd, FS_IOC_FSGETXATTR, &attributes) < 0)
		return -errno;
	*out_project = attributes.fsx_projid;
	return 0;
}
