/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - a file as a block device (loop(4)), for file systems that are mounted
 * from nothing else. Read-only; the device ends by itself when its last mount and
 * descriptor are gone, after a kill too.
 */
#pragma once

#define LOOP_PATH_MAX 32

/*
 * The device's descriptor, yours, to be held until it is mounted; its path in out_path ("/dev/loop3"). -errno: -ENOENT or
 * -ENODEV without loop devices, -EBUSY if others took each one first.
 */
int loop_attach(char out_path[LOOP_PATH_MAX], int file_fd);
