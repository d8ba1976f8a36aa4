/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.h - a container written to files by CRIU, and made of them again.
 *
 * The image folder holds CRIU's files and descriptors.json: what was on 0, 1, 2
 * of the container's process ("pipe:[7]", "file[1b:4]"), so that the restored one
 * gets new ones in their place. CRIU's logs (dump.log, restore.log) lie in the
 * work folder. Root only. A container that was dumped without leave_running has
 * ended; deleting it is the caller's business.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "runtime/runtime.h"

/* NULL and false: not asked for. All texts are borrowed. */
struct runtime_criu_options {
	const char *image_path;
	const char *work_path;	  /* NULL: image_path */
	const char *parent_path;  /* of an earlier dump, relative to image_path */
	const char *page_server;  /* ADDRESS:PORT */
	const char *cgroups_mode; /* soft, full, strict, ignore; NULL: soft */
	const char *network_lock; /* iptables, nftables, skip */
	const char *lsm_profile;
	const char *lsm_mount_context;
	const struct text_list *empty_ns; /* "network" is all that is known; may be NULL */
	int status_fd;			  /* gets a zero byte when lazy pages can be fetched; -1; taken at dump */
	bool leave_running, tcp_established, tcp_skip_in_flight, tcp_close, link_remap, ext_unix_sk, shell_job,
		lazy_pages, file_locks, pre_dump, auto_dedup;
	/* The network namespace is somebody else's: not looked at by the dump; one is given to the restore. */
	bool net_outside;
	int net_fd; /* restore with net_outside: borrowed */
};

/* What can be said of the options without CRIU: ERR_INVALID. */
int runtime_criu_check_options(const struct runtime_criu_options *options, struct error *err);

int runtime_checkpoint(const struct runtime *runtime, const char *id, const struct runtime_criu_options *options,
		       struct error *err);
/* As runtime_run(): the process is a child of the caller. create->process.stdio goes to the restored process. */
int runtime_restore(struct runtime_process *out_process, const struct runtime *runtime,
		    const struct runtime_create_options *create, const struct runtime_criu_options *options,
		    struct error *err);
/*
 * The network namespace config.json wants made, with lo up and the sockets of runtime_process.net_fds: for a restore
 * with net_outside, so that it can be set up first. *out_namespace_fd stays -1 if it wants none, or one that exists.
 */
int runtime_make_net(int *out_namespace_fd, int out_net_fds[RUNTIME_NET_COUNT], const char *bundle, struct error *err);
