/* SPDX-License-Identifier: Apache-2.0 */
/*
 * project_quota.h - limits of what a folder's files may take (ext4 and xfs, mounted with prjquota).
 *
 * Every file of a project counts; a folder that is of one hands it on to what is made in it. The file system keeps the
 * ids and the limits: nothing has to be remembered. The limit is on bytes of blocks; who meets it gets EDQUOT or ENOSPC.
 * -errno: ENOSYS the kernel has no quotas (or is older than 5.14), ESRCH they are not on here, EOPNOTSUPP this file
 * system has no projects.
 */
#pragma once

#include <stdint.h>

/* 0 if limits are enforced on the file system of this folder. */
int project_quota_check(int dir_fd);
/* 1 if files count for this project, 0 if none do. */
int project_quota_is_used(int dir_fd, uint32_t project);
/* bytes 0: no limit. */
int project_quota_limit(int dir_fd, uint32_t project, uint64_t bytes);
/* The folder itself, and what is made in it from now on. */
int project_quota_assign(int dir_fd, uint32_t project);
/* 0: of no project. */
int project_quota_project(uint32_t *out_project, int dir_fd);
