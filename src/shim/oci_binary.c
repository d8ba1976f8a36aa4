/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/oci_binary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "base/process.h"
#include "base/rollback.h"
#include "oci/runtime_spec.h"
#include "runtime/prepare.h"
#include "shim/attach.h"
#include "sys/fd_pass.h"
#include "sys/pidfd_wait.h"
#include "json/json.h"

#define FOLDER "oci"
#define CONSOLE_SOCKET "console" /* below the folder it runs in, for a socket's name has 107 bytes */
#define CONFIG_MAX ((size_t)16 << 20)
#define LOG_MAX ((size_t)1 << 20)
#define PATIENCE_MS 120000

struct oci_binary {
	char *path;
	struct text_list arguments;
	char *bundle;
	char *folder; /* <bundle>/oci */
	char *root;
	char *id;
	bool systemd;
};

struct choice {
	char *path;
	struct text_list arguments;
};

static const struct json_field choice_fields[] = {
	JSON_TEXT("path", struct choice, path, JSON_REQUIRED),
	JSON_TEXT_LIST("arguments", struct choice, arguments, 0),
	JSON_END,
};

/* A line of the runtime's log. */
struct log_line {
	char *level;
	char *message;
};

static const struct json_field log_line_fields[] = {
	JSON_TEXT("level", struct log_line, level, 0),
	JSON_TEXT("msg", struct log_line, message, 0),
	JSON_END,
};

/* ---- which ---- */

int oci_binary_note(int bundle_fd, const char *path, struct error *err)
{
	const struct choice choice = { .path = (char *)(uintptr_t)path };
	AUTO_FREE char *text = json_encode(&choice, choice_fields);
	int r = file_write_atomic(bundle_fd, OCI_BINARY_FILE, text, strlen(text), 0600, FILE_NO_SYNC);

	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write " OCI_BINARY_FILE) : 0;
}

int oci_binary_open(struct oci_binary **out_binary, const char *bundle, const char *root, const char *id,
		    struct error *err)
{
	AUTO_FREE char *path = path_join(bundle, OCI_BINARY_FILE);
	AUTO_FREE char *text = NULL;
	struct choice choice = { 0 };
	struct oci_binary *binary;
	size_t size;
	int r = file_read(&text, &size, AT_FDCWD, path, LOG_MAX);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read %s", path);
	if (json_decode(&choice, choice_fields, text, size, err) < 0)
		return error_prefix(err, "%s", path);
	binary = xcalloc(1, sizeof(*binary));
	binary->path = choice.path;
	binary->arguments = choice.arguments;
	binary->bundle = xstrdup(bundle);
	binary->folder = path_join(bundle, FOLDER);
	binary->root = xstrdup(root);
	binary->id = xstrdup(id);
	*out_binary = binary;
	return 1;
}

void oci_binary_free(struct oci_binary *binary)
{
	if (!binary)
		return;
	text_list_fini(&binary->arguments);
	free(binary->path);
	free(binary->bundle);
	free(binary->folder);
	free(binary->root);
	free(binary->id);
	free(binary);
}

void oci_binary_use_systemd(struct oci_binary *binary)
{
	binary->systemd = true;
}

static char *file_of(const struct oci_binary *binary, const char *name)
{
	return path_join(binary->folder, name);
}

/* ---- running it ---- */

/* The last thing it called an error; yours, NULL if there is none. */
static char *last_error(const struct oci_binary *binary)
{
	AUTO_FREE char *path = file_of(binary, "log");
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *text = NULL;
	char *found = NULL;

	if (file_read(&text, NULL, AT_FDCWD, path, LOG_MAX) < 0)
		return NULL;
	text_list_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		AUTO(error_clear) struct error ignored = { 0 };
		struct log_line line = { 0 };

		if (json_decode(&line, log_line_fields, lines.items[i], strlen(lines.items[i]), &ignored) < 0)
			continue;
		if (text_equal(line.level, "error") && !text_empty(line.message)) {
			free(found);
			found = xstrdup(text_trim(line.message));
		}
		json_free_fields(&line, log_line_fields);
	}
	return found;
}

/* What every call begins with. */
static void begin(struct text_list *argv, const struct oci_binary *binary, const char *verb)
{
	AUTO_FREE char *log = file_of(binary, "log");
	const char *const words[] = { "--root", binary->root, "--log", log, "--log-format", "json" };

	text_list_add(argv, binary->path);
	text_list_add_all(argv, &binary->arguments);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		text_list_add(argv, words[i]);
	if (binary->systemd)
		text_list_add(argv, "--systemd-cgroup");
	text_list_add(argv, verb);
	unlink(log);
}

static int run_in(const char *cwd, const struct oci_binary *binary, const struct text_list *argv,
		  const struct runtime_stdio *stdio, struct error *err)
{
	AUTO(process_fini) struct process process = { .pidfd = -1 };
	AUTO_CLOSE int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	const struct process_options options = {
		.path = binary->path,
		.argv = text_list_argv(argv),
		.cwd = cwd,
		.stdin_fd = stdio ? stdio->in : -1,
		.stdout_fd = stdio ? stdio->out : -1,
		.stderr_fd = stdio && stdio->error >= 0 ? stdio->error : nowhere,
	};
	struct process_end end = { 0 };
	AUTO_FREE char *reason = NULL;
	int r;

	if (process_spawn(&process, &options, err) < 0)
		return error_prefix(err, "OCI runtime");
	r = process_wait(&process, &end, PATIENCE_MS, -1, err);
	if (r <= 0)
		return r < 0 ? -1 : error_set(err, ERR_UNAVAILABLE, "OCI runtime %s did not end", binary->path);
	if (!end.signaled && end.code == 0)
		return 0;
	reason = last_error(binary);
	if (reason)
		return error_set(err, ERR_INTERNAL, "%s", reason);
	return error_set(err, ERR_INTERNAL, "OCI runtime %s ended with %s %d and said nothing", binary->path,
			 end.signaled ? "signal" : "exit code", end.code);
}

static int run(const struct oci_binary *binary, const struct text_list *argv, struct error *err)
{
	return run_in(binary->bundle, binary, argv, NULL, err);
}

static int run_verb(const struct oci_binary *binary, const char *verb, struct error *err)
{
	AUTO(text_list_fini) struct text_list argv = { 0 };

	begin(&argv, binary, verb);
	text_list_add(&argv, binary->id);
	return run(binary, &argv, err);
}

static pid_t read_pid(const char *path)
{
	AUTO_FREE char *text = NULL;
	int64_t pid;

	if (file_read(&text, NULL, AT_FDCWD, path, 64) < 0 || text_parse_i64(&pid, text_trim(text), 1, INT32_MAX) < 0)
		return 0;
	return (pid_t)pid;
}

pid_t oci_binary_pid(const struct oci_binary *binary)
{
	AUTO_FREE char *path = file_of(binary, "init.pid");

	return read_pid(path);
}

/* ---- terminals ---- */

static int console_listen(const char *folder, struct error *err)
{
	AUTO_CLOSE int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "open %s", folder)
		      : attach_listen(fd, CONSOLE_SOCKET, err);
}

/* The program has ended well: what it sent is there. */
static int console_take(int listen_fd, struct error *err)
{
	AUTO_CLOSE int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	char name[4096];
	size_t count = 1;
	int tty = -1;

	if (fd < 0 || fd_pass_receive(fd, name, sizeof(name), &tty, &count) <= 0 || count != 1)
		return error_set(err, ERR_INTERNAL, "the OCI runtime sent no terminal");
	return tty;
}

/* A process to be made, by a call that lacks only what create and exec have in common. */
struct making {
	const struct oci_binary *binary;
	struct text_list *argv;
	const char *cwd; /* for create the bundle, where runtimes go anyway */
	const char *pid_path;
	bool terminal;
	const struct runtime_stdio *stdio;
};

static int make_process(struct runtime_process *out_process, const struct making *making, struct error *err)
{
	const struct oci_binary *binary = making->binary;
	struct text_list *argv = making->argv;
	AUTO(runtime_process_fini) struct runtime_process made = RUNTIME_PROCESS_NONE;
	AUTO_FREE char *console = path_join(making->cwd, CONSOLE_SOCKET);
	AUTO_CLOSE int listen_fd = -1;
	int r;

	unlink(making->pid_path);
	text_list_add(argv, "--pid-file");
	text_list_add(argv, making->pid_path);
	if (making->terminal) {
		listen_fd = console_listen(making->cwd, err);
		if (listen_fd < 0)
			return -1;
		text_list_add(argv, "--console-socket");
		text_list_add(argv, CONSOLE_SOCKET);
	}
	text_list_add(argv, binary->id);
	r = run_in(making->cwd, binary, argv, making->terminal ? NULL : making->stdio, err);
	if (r == 0 && making->terminal)
		r = made.tty_fd = console_take(listen_fd, err);
	if (making->terminal)
		unlink(console);
	if (r < 0)
		return -1;
	made.pid = read_pid(making->pid_path);
	/* Nobody else reaps it, so the number cannot be another's. */
	made.pidfd = made.pid > 0 ? pidfd_of(made.pid) : -ESRCH;
	if (made.pidfd < 0)
		return error_set_errno(err, ERR_INTERNAL, made.pidfd, "process of the OCI runtime %s", binary->path);
	*out_process = made;
	made = RUNTIME_PROCESS_NONE;
	return 0;
}

/* ---- create ---- */

static int load_spec(struct spec *out_spec, const struct oci_binary *binary, struct error *err)
{
	AUTO_FREE char *path = path_join(binary->bundle, "config.json");
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = file_read(&text, &size, AT_FDCWD, path, CONFIG_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read %s", path);
	if (spec_parse(out_spec, text, size, err) < 0)
		return -1;
	return out_spec->root && out_spec->process ? 0 : error_set(err, ERR_INVALID, "%s: no root or process", path);
}

/* Ours, which others would not understand, becomes theirs in a bundle of its own; all else is left as it is. */
static int translate(struct spec *spec, const struct oci_binary *binary, const char *rootfs, struct error *err)
{
	AUTO_FREE char *path = file_of(binary, "config.json");
	AUTO_CLOSE int root_fd = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE char *text = NULL;
	int r;

	if (root_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open %s", rootfs);
	if (runtime_number_user(spec->process, &spec->annotations, root_fd, err) < 0)
		return -1;
	free(spec->root->path);
	spec->root->path = xstrdup(rootfs);
	/* crun before 1.9 takes no other; what is newer is taken for its name by all of them. */
	free(spec->oci_version);
	spec->oci_version = xstrdup("1.0.2");
	text = spec_format(spec);
	r = file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FILE_NO_SYNC);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", path) : 0;
}

static char *rootfs_of(const struct spec *spec, const struct oci_binary *binary)
{
	return path_is_absolute(spec->root->path) ? xstrdup(spec->root->path)
						  : path_join(binary->bundle, spec->root->path);
}

static void unmount(void *rootfs)
{
	runtime_unmount_rootfs(rootfs);
}

static void delete_again(void *arg)
{
	AUTO(error_clear) struct error ignored = { 0 };

	oci_binary_delete(arg, &ignored);
}

static int run_create(struct runtime_process *out_process, const struct oci_binary *binary, const struct spec *spec,
		      const struct runtime_create_options *options, const char *bundle, struct error *err)
{
	AUTO(text_list_fini) struct text_list argv = { 0 };
	AUTO_FREE char *pid_path = file_of(binary, "init.pid");
	const struct making making = { .binary = binary,
				       .argv = &argv,
				       .cwd = bundle,
				       .pid_path = pid_path,
				       .terminal = spec->process->terminal,
				       .stdio = &options->process.stdio };

	begin(&argv, binary, "create");
	text_list_add(&argv, "--bundle");
	text_list_add(&argv, bundle);
	if (options->no_pivot)
		text_list_add(&argv, "--no-pivot");
	if (options->process.no_new_keyring)
		text_list_add(&argv, "--no-new-keyring");
	if (make_process(out_process, &making, err) < 0)
		return error_prefix(err, "OCI runtime create failed");
	return 0;
}

static int create(struct runtime_process *out_process, const struct oci_binary *binary, struct spec *spec,
		  const struct runtime_create_options *options, struct error *err)
{
	AUTO_FREE char *rootfs = rootfs_of(spec, binary);
	const struct spec_namespace *network = spec_find_namespace(spec, "network");
	bool translated = runtime_needs_names(spec);
	/* Before `undo`, which uses them. */
	AUTO(rollback_run) struct rollback undo = { 0 };
	int r = mkdir_all(AT_FDCWD, binary->folder, 0700);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "make %s", binary->folder);
	if (runtime_check_portable(spec, err) < 0 ||
	    runtime_mount_rootfs(rootfs, options->rootfs_mounts, options->rootfs_mount_count, err) < 0)
		return -1;
	if (options->rootfs_mount_count)
		rollback_add(&undo, unmount, rootfs);
	if (translated && translate(spec, binary, rootfs, err) < 0)
		return -1;
	rollback_add(&undo, delete_again, (void *)(uintptr_t)binary);
	if (run_create(out_process, binary, spec, options, translated ? binary->folder : binary->bundle, err) < 0)
		return -1;
	if (options->want_netlink && network && text_empty(network->path) &&
	    runtime_open_net(out_process->net_fds, out_process->pid, err) < 0)
		return -1;
	rollback_cancel(&undo);
	return 0;
}

int oci_binary_create(struct runtime_process *out_process, const struct oci_binary *binary,
		      const struct runtime_create_options *options, struct error *err)
{
	AUTO(spec_fini) struct spec spec = { 0 };

	return load_spec(&spec, binary, err) < 0 ? -1 : create(out_process, binary, &spec, options, err);
}

/* ---- the other verbs ---- */

int oci_binary_start(const struct oci_binary *binary, struct error *err)
{
	return run_verb(binary, "start", err) < 0 ? error_prefix(err, "OCI runtime start failed") : 0;
}

/* Names are those of the running container, whatever it has mounted over them. */
static char *exec_json(const struct spec_process *process, pid_t init_pid, struct error *err)
{
	AUTO(spec_process_fini) struct spec_process copy = { 0 };
	AUTO_FREE char *text = json_encode(process, spec_process_fields);
	AUTO_FREE char *root = xasprintf("/proc/%d/root", init_pid);
	AUTO_CLOSE int root_fd = -1;

	if (text_empty(process->user.username))
		return take_ptr(text);
	if (spec_process_parse(&copy, text, strlen(text), err) < 0)
		return NULL;
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		error_set_errno(err, ERR_INTERNAL, errno, "open %s", root);
	if (root_fd < 0 || runtime_number_user(&copy, NULL, root_fd, err) < 0)
		return NULL;
	return json_encode(&copy, spec_process_fields);
}

int oci_binary_exec(struct runtime_process *out_process, const struct oci_binary *binary, pid_t init_pid,
		    const struct runtime_exec_options *options, struct error *err)
{
	AUTO(text_list_fini) struct text_list argv = { 0 };
	AUTO_FREE char *text = exec_json(options->spec, init_pid, err);
	AUTO_FREE char *path = file_of(binary, "process.json");
	AUTO_FREE char *pid_path = file_of(binary, "exec.pid");
	const struct making making = { .binary = binary,
				       .argv = &argv,
				       .cwd = binary->folder,
				       .pid_path = pid_path,
				       .terminal = options->spec->terminal,
				       .stdio = &options->process.stdio };
	int r = text ? file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FILE_NO_SYNC) : 0;

	if (!text)
		return -1;
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "write %s", path);
	begin(&argv, binary, "exec");
	text_list_add(&argv, "--detach");
	text_list_add(&argv, "--process");
	text_list_add(&argv, path);
	if (make_process(out_process, &making, err) < 0)
		return error_prefix(err, "OCI runtime exec failed");
	return 0;
}

int oci_binary_kill(const struct oci_binary *binary, int signal, bool all, struct error *err)
{
	AUTO(text_list_fini) struct text_list argv = { 0 };

	begin(&argv, binary, "kill");
	if (all)
		text_list_add(&argv, "--all");
	text_list_add(&argv, binary->id);
	text_list_addf(&argv, "%d", signal);
	return run(binary, &argv, err);
}

int oci_binary_pause(const struct oci_binary *binary, bool pause, struct error *err)
{
	return run_verb(binary, pause ? "pause" : "resume", err);
}

int oci_binary_update(const struct oci_binary *binary, const struct spec_resources *resources, struct error *err)
{
	AUTO(text_list_fini) struct text_list argv = { 0 };
	AUTO_FREE char *text = json_encode(resources, spec_resources_fields);
	AUTO_FREE char *path = file_of(binary, "resources.json");
	int r = file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FILE_NO_SYNC);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "write %s", path);
	begin(&argv, binary, "update");
	text_list_add(&argv, "--resources");
	text_list_add(&argv, path);
	text_list_add(&argv, binary->id);
	return run(binary, &argv, err);
}

int oci_binary_delete(const struct oci_binary *binary, struct error *err)
{
	AUTO(text_list_fini) struct text_list argv = { 0 };
	/* Where containerd and we have it mounted; a root elsewhere is somebody else's to unmount. */
	AUTO_FREE char *rootfs = path_join(binary->bundle, "rootfs");
	int r = 0;

	/* Without it nothing was ever made. */
	if (file_exists(AT_FDCWD, binary->folder)) {
		begin(&argv, binary, "delete");
		text_list_add(&argv, "--force");
		text_list_add(&argv, binary->id);
		r = run(binary, &argv, err);
	}
	runtime_unmount_rootfs(rootfs);
	return r;
}
