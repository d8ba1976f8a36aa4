/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_criu.h - what checkpoint and restore tell CRIU in the same words.
 *
 * Mounts that come from outside have a name in the image: the destination as it
 * is in config.json; single files that are masked, "/dev/null". runc's images
 * have the same names.
 */
#pragma once

#include "oci/runtime_spec.h"
#include "runtime/checkpoint.h"
#include "runtime/criu.h"
#include "sys/cgroup.h"

#define CRIU_NET_KEY "extRootNetNS"
#define CRIU_PID_KEY "extRootPidNS"
#define CRIU_MASK_NAME "/dev/null"

/* The folders, open; -1: none. */
struct criu_folders {
	int image_fd;
	int work_fd;
};
#define CRIU_FOLDERS_NONE ((struct criu_folders){ -1, -1 })
void criu_folders_fini(struct criu_folders *folders);
/* Opens them, makes the work folder and, with `make`, the image folder. */
int criu_folders_open(struct criu_folders *out_folders, const struct runtime_criu_options *options, bool make,
		      struct error *err);

/* Fills what dump and restore have in common. */
void criu_options_fill(struct criu_options *out_options, const struct runtime_criu_options *options,
		       const struct criu_folders *folders, const struct text_map *annotations, const char *log_file);
void criu_options_add_mount(struct criu_options *options, const char *key, const char *value);
/* The groups below a cgroup mount of config.json, each of which is a mount from outside: by name, or name and place. */
void criu_options_add_cgroups(struct criu_options *options, const struct spec_mount *mount, const struct cgroup *cgroup,
			      const struct spec *spec, bool restore);
bool criu_is_bind(const struct spec_mount *mount);
bool criu_is_cgroup(const struct spec_mount *mount);
/* As the image has it: absolute, clean, yours. */
char *criu_mount_name(const struct spec_mount *mount, const char *rootfs);
