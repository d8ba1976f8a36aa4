/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: sources are opened here; a forked process, not dumpable, joins
 * the container's user and mount namespaces, where / is the container's root,
 * and mounts or unmounts below that root as init does. Its last word is an
 * error, or the end of the socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/path.h"
#include "runtime/host_found.h"
#include "runtime/host_mount.h"
#include "runtime/host_process.h"
#include "runtime/init.h"
#include "runtime/sync.h"
#include "sys/in_root.h"
#include "sys/namespace.h"
#include "sys/pidfd_wait.h"

typedef int inside_fn(struct init *init, struct error *err);

static int enter(struct init *init, int pidfd, struct error *err)
{
	int flags = CLONE_NEWNS | (init->in_userns ? CLONE_NEWUSER : 0);
	int r = namespace_join(pidfd, flags);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "enter the container's mount namespace");
	if (init->in_userns && init_kernel_become_root(err) < 0)
		return -1;
	init->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (init->root_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open the container's root");
	return 0;
}

static _Noreturn void run_inside(struct init *init, int pidfd, inside_fn *inside)
{
	struct error err = { 0 };

	prctl(PR_SET_DUMPABLE, 0);
	close(init->plan->host_sync_fd);
	if (enter(init, pidfd, &err) < 0 || inside(init, &err) < 0)
		sync_send_error(init->plan->sync_fd, &err);
	_exit(0);
}

static int call_inside(struct plan *plan, bool in_userns, inside_fn *inside, struct error *err)
{
	struct init init = { .plan = plan, .root_fd = -1, .proc_fd = -1, .in_userns = in_userns };
	AUTO_CLOSE int pidfd = pidfd_of((pid_t)plan->record->pid);
	int pair[2];
	pid_t child;
	int r;

	if (pidfd < 0 || !record_is_alive(plan->record))
		return error_set(err, ERR_CONFLICT, "container not running");
	if (host_process_sync_pair(pair, err) < 0)
		return -1;
	plan->host_sync_fd = pair[0];
	plan->sync_fd = pair[1];
	child = fork();
	if (child == 0)
		run_inside(&init, pidfd, inside);
	close(pair[1]);
	r = child < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "fork") : host_process_await_exec(pair[0], err);
	close(pair[0]);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

static int add_all(struct init *init, struct error *err)
{
	return init_mount_all(init, err) < 0 ? -1 : init_mask_finish(init, err);
}

static int remove_one(const struct init *init, const char *destination, struct error *err)
{
	AUTO_FREE char *joined = path_join("/", destination);
	AUTO_FREE char *path = path_clean(joined);
	AUTO_FREE char *name = NULL;
	AUTO_CLOSE int parent = -1;

	if (text_equal(path, "/"))
		return error_set(err, ERR_INVALID, "unmount %s: that is the rootfs itself", destination);
	parent = parent_in_root(init->root_fd, path, false, &name);
	if (parent < 0)
		return error_set_errno(err, ERR_NOT_FOUND, parent, "unmount %s", destination);
	if (fchdir(parent) < 0 || umount2(name, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "unmount %s%s", destination,
				       errno == EINVAL ? " (nothing is mounted there)" : "");
	return 0;
}

static int remove_all(struct init *init, struct error *err)
{
	for (size_t i = init->plan->spec->mounts.count; i-- > 0;)
		if (remove_one(init, init->plan->spec->mounts.items[i].destination, err) < 0)
			return -1;
	return 0;
}

static int change(const struct runtime *runtime, const char *id, const struct spec *spec, inside_fn *inside,
		  struct error *err)
{
	AUTO(found_fini) struct found found = FOUND_NONE;
	AUTO(spec_fini) struct spec own = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	struct plan plan = { .runtime = runtime, .spec = spec, .sync_fd = -1, .start_fd = -1, .listener_fd = -1 };
	int r;

	if (found_open(&found, runtime, id, err) < 0)
		return -1;
	if (found.status != RUNTIME_CREATED && found.status != RUNTIME_RUNNING)
		return error_set(err, ERR_CONFLICT, "container not running");
	if (record_load_spec(&own, found.folder_fd, err) < 0)
		return -1;
	if (!spec_find_namespace(&own, "mount"))
		return error_set(err, ERR_UNSUPPORTED, "the container has no mount namespace of its own");
	plan.record = &found.record;
	plan.rootfs = found.record.rootfs;
	if (found_open_cgroup(&found, &ignored) == 0)
		plan.cgroup = found.cgroup;
	r = inside == add_all ? host_mount_open_sources(&plan, true, err) : 0;
	if (r == 0)
		r = call_inside(&plan, spec_find_namespace(&own, "user") != NULL, inside, err);
	host_mount_close(&plan);
	return r;
}

int runtime_mounts_add(const struct runtime *runtime, const char *id, const struct spec *spec, struct error *err)
{
	return change(runtime, id, spec, add_all, err);
}

int runtime_mounts_remove(const struct runtime *runtime, const char *id, const struct spec *spec, struct error *err)
{
	return change(runtime, id, spec, remove_all, err);
}
