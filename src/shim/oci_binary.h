/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_binary.h - another OCI runtime in the place of our own library: any
 * program with runc's command line (runc, crun, youki, runsc).
 *
 * <bundle>/oci-runtime.json names it (written by our engine, or by us from
 * containerd's binary_name), so that `kist-shim delete` knows it too. Its files
 * are in <bundle>/oci: config.json with numbers for names, pid file, log. The
 * rootfs is mounted in the host's namespace until delete. The runtime forks the
 * container and ends; the container's process then is our child, for we are the
 * reaper of orphans. Calls block until the program has ended.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "runtime/runtime.h"

#define OCI_BINARY_FILE "oci-runtime.json"

struct oci_binary;
struct spec_resources;

/* Notes containerd's choice in the bundle. */
int oci_binary_note(int bundle_fd, const char *path, struct error *err);
/* 1, or 0 if the bundle names none. `root` is the runtime's state folder. */
int oci_binary_open(struct oci_binary **out_binary, const char *bundle, const char *root, const char *id,
		    struct error *err);
void oci_binary_free(struct oci_binary *binary);
DEFINE_AUTO(struct oci_binary, oci_binary_free)
void oci_binary_use_systemd(struct oci_binary *binary);

int oci_binary_create(struct runtime_process *out_process, const struct oci_binary *binary,
		      const struct runtime_create_options *options, struct error *err);
int oci_binary_start(const struct oci_binary *binary, struct error *err);
int oci_binary_exec(struct runtime_process *out_process, const struct oci_binary *binary, pid_t init_pid,
		    const struct runtime_exec_options *options, struct error *err);
int oci_binary_kill(const struct oci_binary *binary, int signal, bool all, struct error *err);
int oci_binary_pause(const struct oci_binary *binary, bool pause, struct error *err);
int oci_binary_update(const struct oci_binary *binary, const struct spec_resources *resources, struct error *err);
/* With force; takes the rootfs away too. Safe to repeat. */
int oci_binary_delete(const struct oci_binary *binary, struct error *err);
/* What was written when it was created, for who comes after a killed shim; 0: unknown. */
pid_t oci_binary_pid(const struct oci_binary *binary);
