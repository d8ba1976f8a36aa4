/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/path.h"
#include "base/process.h"
#include "base/program.h"
#include "base/text.h"
#include "rpc/task_messages.h"
#include "rpc/ttrpc_client.h"
#include "runtime/self_seal.h"
#include "shim/attach.h"
#include "shim/bundle.h"
#include "shim/shim.h"

#define HASH_SEED_A UINT64_C(0xcbf29ce484222325)
#define HASH_SEED_B UINT64_C(0x84222325cbf29ce4)
#define HASH_PRIME UINT64_C(0x100000001b3)
#define SOCKET_PATH_MAX 106
#define SOCKET_DIR_MAX 42
#define BOOTSTRAP_VERSION 3
/* Above what a spawned child gets as its numbered descriptors. */
#define HIGH_FD 64

/* FNV-1a: a short, steady name; whoever may make shims may also choose their ids, so nothing is gained by colliding. */
static uint64_t hash(uint64_t seed, const char *text)
{
	for (; *text; text++)
		seed = (seed ^ (uint8_t)*text) * HASH_PRIME;
	return seed;
}

/* A name of one socket per (engine, namespace, container or pod). */
static char *socket_name(const struct shim_options *options, const char *group)
{
	AUTO_FREE char *key = xasprintf("%s/%s/%s", text_or_empty(options->address), options->name_space,
					group ? group : options->id);

	return xasprintf("%016llx%016llx", (unsigned long long)hash(HASH_SEED_A, key),
			 (unsigned long long)hash(HASH_SEED_B, key));
}

/* Beside the engine's own socket, so that a private engine stays private. */
static char *socket_directory(const struct shim_options *options, const struct bootstrap_params *bootstrap)
{
	AUTO_FREE char *parent = NULL;

	if (!text_empty(bootstrap->socket_dir))
		return xstrdup(bootstrap->socket_dir);
	if (text_empty(options->address) || *options->address != '/')
		return xstrdup("/run/kist/s");
	parent = path_parent(options->address);
	return strlen(parent) + 2 <= SOCKET_DIR_MAX + 24 ? path_join(parent, "s") : xstrdup("/run/kist/s");
}

/*
 * containerd 2.3 sends BootstrapParams, older ones an options Any or nothing.
 * An Any can look like BootstrapParams, so both ids must be ours.
 */
static bool parse_bootstrap(struct bootstrap_params *out_params, const struct shim_options *options, const char *data,
			    size_t size)
{
	AUTO(error_clear) struct error ignored = { 0 };

	if (size == 0 || proto_decode(out_params, bootstrap_params_fields, data, size, &ignored) < 0)
		return false;
	if (text_equal(out_params->instance_id, options->id) && text_equal(out_params->name_space, options->name_space))
		return true;
	proto_free(out_params, bootstrap_params_fields);
	return false;
}

/* containerd before 2.0 leaves it to the shim to note where its next start finds it. */
static int note_address(const char *path, struct error *err)
{
	AUTO_FREE char *address = xasprintf("unix://%s", path);
	int r = file_write_atomic(AT_FDCWD, "address", address, strlen(address), 0600, FILE_NO_SYNC);

	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write address") : 0;
}

static int print_address(const char *path, bool bootstrap, struct error *err)
{
	AUTO_FREE char *address = xasprintf("unix://%s", path);
	const struct bootstrap_result result = { .version = BOOTSTRAP_VERSION,
						 .address = address,
						 .protocol = (char *)(uintptr_t) "ttrpc" };
	AUTO(text_fini) struct text out = { 0 };
	int r;

	if (bootstrap)
		proto_encode(&out, &result, bootstrap_result_fields);
	else
		text_add(&out, address);
	r = write_full(STDOUT_FILENO, out.data, out.size);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write the address to standard output") : 0;
}

/* Whether a shim listens there already: one per pod. */
static bool is_alive(const char *path)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_CLOSE int fd = ttrpc_connect(path, &ignored);

	return fd >= 0;
}

static int open_listener(const char *directory, const char *name, struct error *err)
{
	AUTO_CLOSE int dir_fd = -1;
	int r = mkdir_all(AT_FDCWD, directory, 0700);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "make %s", directory);
	dir_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open %s", directory);
	return attach_listen(dir_fd, name, err);
}

/* containerd reads a fifo `log` in the bundle; without it the shim writes a file. */
static int open_log(void)
{
	struct stat status;
	int fd = open("log", O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode))
		return fd;
	if (fd >= 0)
		close(fd);
	return open("shim.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void add_option(struct text_list *arguments, const char *name, const char *value)
{
	if (text_empty(value))
		return;
	text_list_add(arguments, name);
	text_list_add(arguments, value);
}

/* *out_server: so that it can be ended; process_fini() would. */
static int spawn_server(struct process *out_server, const struct shim_options *options, const char *bundle,
			const char *path, int listen_fd, struct error *err)
{
	AUTO(text_list_fini) struct text_list arguments = { 0 };
	AUTO_CLOSE int log_fd = open_log();
	/* The container must not find our file, writable, as /proc/PID/exe of its init (CVE-2019-5736). */
	AUTO_CLOSE int low_fd = self_seal_open();
	AUTO_CLOSE int sealed_fd = low_fd < 0 ? -1 : fcntl(low_fd, F_DUPFD_CLOEXEC, HIGH_FD);
	AUTO_FREE char *sealed = xasprintf("/proc/self/fd/%d", sealed_fd);
	struct process_options spawn = {
		.path = sealed_fd < 0 ? "/proc/self/exe" : sealed,
		.cwd = bundle,
		.stderr_fd = log_fd,
		.fds = &listen_fd,
		.fd_count = 1,
		.new_session = true,
	};

	if (log_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open shim.log in %s", bundle);
	program_keep_folder();
	text_list_add(&arguments, "kist-shim");
	add_option(&arguments, "-namespace", options->name_space);
	add_option(&arguments, "-id", options->id);
	add_option(&arguments, "-address", options->address);
	add_option(&arguments, "-bundle", bundle);
	add_option(&arguments, "-socket", path);
	if (options->debug)
		text_list_add(&arguments, "-debug");
	spawn.argv = text_list_argv(&arguments);
	return process_spawn(out_server, &spawn, err) < 0 ? error_prefix(err, "start the shim") : 0;
}

static int start(const struct shim_options *options, const struct bootstrap_params *bootstrap, bool is_bootstrap,
		 struct error *err)
{
	AUTO_FREE char *bundle = path_absolute(text_empty(options->bundle) ? "." : options->bundle);
	AUTO_FREE char *group = bundle ? bundle_group(bundle) : NULL;
	AUTO_FREE char *directory = socket_directory(options, bootstrap);
	AUTO_FREE char *name = socket_name(options, group);
	AUTO_FREE char *path = path_join(directory, name);
	struct process server = { .pidfd = -1 };
	AUTO_CLOSE int listen_fd = -1;

	if (!bundle || chdir(bundle) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "bundle %s", text_or_empty(options->bundle));
	if (strlen(path) > SOCKET_PATH_MAX)
		return error_set(err, ERR_INVALID, "socket path %s is longer than %d bytes", path, SOCKET_PATH_MAX);
	if (is_alive(path)) {
		if (!group)
			return error_set(err, ERR_CONFLICT, "a shim of container %s runs already", options->id);
		return note_address(path, err) < 0 ? -1 : print_address(path, is_bootstrap, err);
	}
	listen_fd = open_listener(directory, name, err);
	if (listen_fd < 0 || note_address(path, err) < 0)
		return -1;
	fault_point("shim launch: listens");
	if (spawn_server(&server, options, bundle, path, listen_fd, err) < 0)
		return -1;
	fault_point("shim launch: server runs");
	/* A shim that nobody was told of would stay for ever: whoever asked for it may be dead. */
	if (print_address(path, is_bootstrap, err) < 0) {
		process_fini(&server);
		return -1;
	}
	close(server.pidfd); /* it lives on */
	return 0;
}

int shim_start(const struct shim_options *options, struct error *err)
{
	AUTO_FREE char *data = NULL;
	struct bootstrap_params bootstrap = { 0 };
	size_t size = 0;
	bool is_bootstrap;
	int r;

	signal(SIGPIPE, SIG_IGN);
	if (shim_read_stdin(&data, &size, err) < 0)
		return -1;
	is_bootstrap = parse_bootstrap(&bootstrap, options, data, size);
	r = start(options, &bootstrap, is_bootstrap, err);
	proto_free(&bootstrap, bootstrap_params_fields);
	return r;
}
