/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec.h - a container's document becomes an OCI config.json, with docker's
 * defaults: 14 capabilities, masked and read-only paths, the default mounts,
 * devices and seccomp profile.
 *
 * Pure but for looking at host devices: no process, no lock, no store. What the
 * user may not have (an unknown capability, a bad device) is ERR_INVALID in
 * docker's words.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/container_document.h"
#include "oci/runtime_spec.h"

struct spec_input {
	const struct container_document *document; /* borrowed, like all here */
	const char *root_path;			   /* folder the root file system is mounted on */
	const char *cgroups_path;
	const char *hosts_path; /* the three files; NULL: the container has the image's own */
	const char *hostname_path;
	const char *resolv_conf_path;
	const char *network_namespace; /* path to join; NULL: a new one */
	const char *pid_namespace;
	const char *ipc_namespace;
	const char *shm_path;		 /* host folder for /dev/shm; NULL: a tmpfs of its own */
	const char *init_path;		 /* our --init program; NULL: none asked */
	bool cgroup_v2;			 /* decides the default cgroup namespace */
	uint64_t capabilities;		 /* what can be given at all: sys/capability.h's bounding mask */
	int64_t shm_size_bytes;		 /* default */
	int64_t pids_limit;		 /* default; 0: none */
	const struct text_list *secrets; /* KEY=VALUE, more environment; NULL: none */
};

/* Free with spec_fini(). */
int spec_build(struct spec *out_spec, const struct spec_input *input, struct error *err);

/* ---- its parts, each in a file of its own ---- */

/* Default mounts, the user's, the three files; sorted as they must be mounted. */
int spec_add_mounts(struct spec *spec, const struct spec_input *input, struct error *err);
int spec_add_resources(struct spec *spec, const struct spec_input *input, struct error *err);
int spec_add_devices(struct spec *spec, const struct spec_input *input, struct error *err);

/* docker's rules for --cap-add, --cap-drop and --privileged; names as "CAP_X". */
int spec_capability_names(struct text_list *out_names, const struct host_config *host, uint64_t available,
			  struct error *err);
/* ERR_INVALID `invalid CapAdd: unknown capability: "CAP_FOO"`. */
int spec_check_capabilities(const struct host_config *host, struct error *err);

/* The default profile, or the JSON text of docker's or OCI's form; NULL when unconfined. */
int spec_seccomp_profile(struct spec_seccomp **out_seccomp, const char *profile_text,
			 const struct text_list *capabilities, struct error *err);

/* What --security-opt says, decoded. */
struct security_options {
	bool no_new_privileges;
	bool seccomp_unconfined;
	const char *seccomp_profile; /* JSON text, borrowed; NULL: the default */
	bool paths_unconfined;	     /* systempaths=unconfined */
};
int security_options_parse(struct security_options *out_options, const struct text_list *list, struct error *err);

/* "no" or docker's default lists, for inspect and the spec. */
void spec_default_masked_paths(struct text_list *out_paths);
void spec_default_readonly_paths(struct text_list *out_paths);
