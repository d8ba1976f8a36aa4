/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.h - is there Landlock (5.13, and switched on), which lets a program give up file access without root? */
#pragma once

/* The version of its ABI, 1 or more; 0: the kernel has none, or it is switched off. */
int landlock_version(void);
