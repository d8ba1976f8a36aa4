/* SPDX-License-Identifier: Apache-2.0 */
/*
 * self_seal.h - our own program file cannot be written through /proc/PID/exe.
 *
 * A container may make us execute our own file inside it ("#!/proc/self/exe")
 * and then open it for writing (CVE-2019-5736). So a privileged program that
 * clones containers first executes itself again from a read-only, detached
 * mount of its file. See docs/decisions/.
 */
#pragma once

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
 */
void self_seal(char *const *argv);
