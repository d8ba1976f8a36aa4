/* SPDX-License-Identifier: Apache-2.0 */
/*
 * self_seal.h - our own program file cannot be written through /proc/PID/exe.
 *
 * A container may make us execute our own file inside it ("#!/proc/self/exe")
 * and then open it for writing (CVE-2019-5736). So a privileged program that
 * clones containers first moves itself to a read-only, detached mount of its
 * file, or executes itself again from there. See docs/decisions/0020.
 */
#pragma once

#include <stdbool.h>

/*
 * Our program on a mount that cannot be written, to be executed as
 * /proc/self/fd/N by whoever starts itself again anyway; or -1 where that is
 * not needed or not possible. Yours.
 */
int self_seal_open(void);

/*
 * Returns if sealing is done, or not needed (not privileged, or the file lies
 * on a read-only mount), or not possible; else does not return. To be called
 * early, by whoever is going to clone a container, with the argv of main().
 * may_wait: where it can be done in place, self_seal_finish() does it.
 */
void self_seal(char *const *argv, bool may_wait);

/*
 * What self_seal() left to be done, by the process that crosses: before anybody of a container can see it. 0, also if
 * there is nothing to do; -errno.
 */
int self_seal_finish(void);

/*
 * Lets go of the mount, which self_seal() keeps open because its end takes time; it lives on as long as a process runs
 * from it. To be called while there is something to wait for anyway; harmless if there is none.
 */
void self_seal_release(void);
