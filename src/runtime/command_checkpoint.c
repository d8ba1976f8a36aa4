/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint and restore: runc's options are read, so that callers who probe
 * `checkpoint --help` or `restore --lsm-mount-context` see what they look for;
 * the work itself is CRIU's, and is refused until it is done here.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/command.h"

struct checkpoint_options {
	const char *image_path, *work_path, *parent_path, *page_server, *cgroups_mode, *bundle, *console_socket,
		*pid_file, *lsm_profile, *lsm_mount_context;
	struct text_list empty_ns;
	int64_t status_fd;
	bool leave_running, tcp_established, tcp_skip_in_flight, tcp_close, link_remap, ext_unix_sk, shell_job,
		lazy_pages, file_locks, pre_dump, auto_dedup, detach, no_subreaper, no_pivot;
};
#define T struct checkpoint_options

#define BOTH                                                                                                           \
	OPTION_TEXT("image-path", 0, T, image_path, "dir", "folder of CRIU's image files"),                            \
		OPTION_TEXT("work-path", 0, T, work_path, "dir", "folder of CRIU's work files and logs"),              \
		OPTION_FLAG("tcp-established", 0, T, tcp_established, "allow open TCP connections"),                   \
		OPTION_FLAG("tcp-close", 0, T, tcp_close, "close open TCP connections"),                               \
		OPTION_FLAG("ext-unix-sk", 0, T, ext_unix_sk, "allow external unix sockets"),                          \
		OPTION_FLAG("shell-job", 0, T, shell_job, "allow shell jobs"),                                         \
		OPTION_FLAG("lazy-pages", 0, T, lazy_pages, "restore memory pages when they are used"),                \
		OPTION_FLAG("file-locks", 0, T, file_locks, "handle file locks"),                                      \
		OPTION_TEXT("manage-cgroups-mode", 0, T, cgroups_mode, "mode", "soft, full, strict or ignore"),        \
		OPTION_LIST("empty-ns", 0, T, empty_ns, "namespace", "make it, but do not restore its properties"),    \
		OPTION_FLAG("auto-dedup", 0, T, auto_dedup, "deduplicate memory images")

static const struct option_spec checkpoint_table[] = {
	BOTH,
	OPTION_TEXT("parent-path", 0, T, parent_path, "dir", "folder of earlier image files"),
	OPTION_FLAG("leave-running", 'R', T, leave_running, "leave the process running"),
	OPTION_FLAG("tcp-skip-in-flight", 0, T, tcp_skip_in_flight, "skip TCP connections in flight"),
	OPTION_FLAG("link-remap", 0, T, link_remap, "link unlinked files back"),
	OPTION_I64("status-fd", 0, T, status_fd, "written to when lazy pages are ready"),
	OPTION_TEXT("page-server", 0, T, page_server, "address:port", "where memory pages go"),
	OPTION_FLAG("pre-dump", 0, T, pre_dump, "write memory only, leave the container running"),
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
	OPTION_TEXT("lsm-profile", 0, T, lsm_profile, "type:name", "security profile of the restored container"),
	OPTION_TEXT("lsm-mount-context", 0, T, lsm_mount_context, "context", "security context of its mounts"),
	OPTION_END,
};

static bool is_in_path(const char *name)
{
	AUTO(text_list_fini) struct text_list folders = { 0 };

	text_list_split(&folders, text_or_empty(getenv("PATH")), ':');
	for (size_t i = 0; i < folders.count; i++) {
		AUTO_FREE char *path = path_join(folders.items[i], name);

		if (file_exists(AT_FDCWD, path))
			return true;
	}
	return false;
}

static int refuse(const struct option_spec *table, int argc, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	struct checkpoint_options options = { .status_fd = -1 };
	int r = command_parse(table, &options, argc, argv, 0, &operands, 1, 1, err);

	text_list_fini(&options.empty_ns);
	if (r <= 0)
		return r;
	if (!is_in_path("criu"))
		return error_set(err, ERR_UNSUPPORTED, "%s needs CRIU: there is no program criu in $PATH", argv[0]);
	return error_set(err, ERR_UNSUPPORTED, "%s: this build does not drive CRIU; containers cannot be checkpointed",
			 argv[0]);
}

int command_checkpoint(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	(void)runtime;
	return refuse(checkpoint_table, argc, argv, err);
}

int command_restore(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	(void)runtime;
	return refuse(restore_table, argc, argv, err);
}
