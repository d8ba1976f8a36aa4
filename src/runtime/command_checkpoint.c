/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint and restore, with the options of runc and crun together. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/checkpoint.h"
#include "runtime/command.h"

struct checkpoint_options {
	struct runtime_criu_options criu;
	const char *bundle, *console_socket, *pid_file;
	struct text_list empty_ns;
	int64_t status_fd;
	bool detach, no_subreaper, no_pivot;
};
#define T struct checkpoint_options

#define BOTH                                                                                                           \
	OPTION_TEXT("image-path", 0, T, criu.image_path, "dir", "folder of CRIU's image files"),                       \
		OPTION_TEXT("work-path", 0, T, criu.work_path, "dir", "folder of CRIU's work files and logs"),         \
		OPTION_FLAG("tcp-established", 0, T, criu.tcp_established, "allow open TCP connections"),              \
		OPTION_FLAG("tcp-close", 0, T, criu.tcp_close, "close open TCP connections"),                          \
		OPTION_FLAG("ext-unix-sk", 0, T, criu.ext_unix_sk, "allow external unix sockets"),                     \
		OPTION_FLAG("shell-job", 0, T, criu.shell_job, "allow shell jobs"),                                    \
		OPTION_FLAG("lazy-pages", 0, T, criu.lazy_pages, "restore memory pages when they are used"),           \
		OPTION_TEXT("network-lock", 0, T, criu.network_lock, "method", "iptables, nftables or skip"),          \
		OPTION_FLAG("file-locks", 0, T, criu.file_locks, "handle file locks"),                                 \
		OPTION_TEXT("manage-cgroups-mode", 0, T, criu.cgroups_mode, "mode", "soft, full, strict or ignore"),   \
		OPTION_LIST("empty-ns", 0, T, empty_ns, "namespace", "make it, but do not restore its properties"),    \
		OPTION_FLAG("auto-dedup", 0, T, criu.auto_dedup, "deduplicate memory images")

static const struct option_spec checkpoint_table[] = {
	BOTH,
	OPTION_TEXT("parent-path", 0, T, criu.parent_path, "dir", "folder of earlier image files"),
	OPTION_FLAG("leave-running", 'R', T, criu.leave_running, "leave the process running"),
	OPTION_FLAG("tcp-skip-in-flight", 0, T, criu.tcp_skip_in_flight, "skip TCP connections in flight"),
	OPTION_FLAG("link-remap", 0, T, criu.link_remap, "link unlinked files back"),
	OPTION_I64("status-fd", 0, T, status_fd, "written to when lazy pages are ready"),
	OPTION_TEXT("page-server", 0, T, criu.page_server, "address:port", "where memory pages go"),
	OPTION_FLAG("pre-dump", 0, T, criu.pre_dump, "write memory only, leave the container running"),
	OPTION_END,
};

static const struct option_spec restore_table[] = {
	BOTH,
	OPTION_TEXT("bundle", 'b', T, bundle, "dir", "folder of config.json (default: .)"),
	OPTION_TEXT("console-socket", 0, T, console_socket, "socket", "gets the terminal's master side"),
	OPTION_FLAG("detach", 'd', T, detach, "do not wait for the process"),
	OPTION_TEXT("pid-file", 0, T, pid_file, "file", "write the process id there"),
	OPTION_FLAG("no-subreaper", 0, T, no_subreaper, "do not adopt the container's orphans"),
	OPTION_FLAG("no-pivot", 0, T, no_pivot, "do not use pivot_root"),
	OPTION_TEXT("lsm-profile", 0, T, criu.lsm_profile, "type:name", "security profile of the restored container"),
	OPTION_TEXT("lsm-mount-context", 0, T, criu.lsm_mount_context, "context", "security context of its mounts"),
	OPTION_END,
};

/* Where runc looks if no folder is named. */
#define DEFAULT_IMAGES "checkpoint"

/* --parent-path and the like are looked at before any container is. */
static int complete(struct checkpoint_options *options, struct error *err)
{
	if (text_empty(options->criu.image_path))
		options->criu.image_path = DEFAULT_IMAGES;
	if (options->status_fd < -1 || options->status_fd > INT_MAX)
		return error_set(err, ERR_INVALID, "invalid --status-fd argument %lld", (long long)options->status_fd);
	options->criu.status_fd = (int)options->status_fd;
	options->criu.empty_ns = &options->empty_ns;
	return runtime_criu_check_options(&options->criu, err);
}

static void options_fini(struct checkpoint_options *options)
{
	text_list_fini(&options->empty_ns);
}

int command_checkpoint(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	AUTO(options_fini) struct checkpoint_options options = { .status_fd = -1 };
	int r = command_parse(checkpoint_table, &options, argc, argv, 0, &operands, 1, 1, err);

	if (r <= 0)
		return r;
	if (complete(&options, err) < 0)
		return -1;
	r = mkdir_all(AT_FDCWD, options.criu.image_path, 0700);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "--image-path: make %s", options.criu.image_path);
	if (runtime_checkpoint(runtime, operands.items[0], &options.criu, err) < 0)
		return -1;
	if (options.criu.leave_running || options.criu.pre_dump)
		return 0;
	/* It lives in its files now. */
	return runtime_delete(runtime, operands.items[0], true, err);
}

static int restore(const struct runtime *runtime, const struct runtime_create_options *create,
		   const struct checkpoint_options *options, struct error *err)
{
	AUTO(runtime_process_fini) struct runtime_process process = RUNTIME_PROCESS_NONE;
	int r;

	if (!options->detach) {
		if (!options->no_subreaper)
			prctl(PR_SET_CHILD_SUBREAPER, 1);
		foreground_begin();
	}
	r = runtime_restore(&process, runtime, create, &options->criu, err);
	if (r < 0 || options->detach)
		return r;
	r = foreground_wait(&process, NULL, err);
	return r < 0 || runtime_delete(runtime, create->id, true, err) == 0 ? r : -1;
}

int command_restore(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	AUTO(options_fini) struct checkpoint_options options = { .status_fd = -1 };
	struct runtime_create_options create;
	int r = command_parse(restore_table, &options, argc, argv, 0, &operands, 1, 1, err);

	if (r <= 0)
		return r;
	if (complete(&options, err) < 0)
		return -1;
	create = (struct runtime_create_options){ .id = operands.items[0],
						  .bundle = options.bundle,
						  .process = { .stdio = RUNTIME_STDIO_INHERIT,
							       .console_socket = options.console_socket,
							       .pid_file = options.pid_file,
							       .foreground = !options.detach && !options.console_socket,
							       .keep_newlines = !options.detach &&
										!options.console_socket },
						  .no_pivot = options.no_pivot };
	return restore(runtime, &create, &options, err);
}
