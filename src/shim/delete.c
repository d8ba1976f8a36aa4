/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `delete` must undo: containerd (or our engine) runs it when the shim is
 * gone, killed or not, and once more after a clean end. The container's init
 * outlives a killed shim; it is killed here.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "rpc/task_client.h"
#include "rpc/task_messages.h"
#include "runtime/runtime.h"
#include "shim/bundle.h"
#include "shim/oci_binary.h"
#include "shim/shim.h"

#define KILLED (128 + SIGKILL)
#define ADDRESS_MAX 4096
#define STOP_WAIT_S 5
#define DYING_TRIES 100

static int print_response(const char *bundle, pid_t pid, struct error *err)
{
	struct task_exit_response response = { .pid = (uint32_t)pid };
	AUTO(text_fini) struct text out = { 0 };
	int r;

	if (!bundle_read_exit(bundle, &response.exit_status, &response.exited_at)) {
		response.exit_status = KILLED;
		response.exited_at = clock_wall_ns();
	}
	proto_encode(&out, &response, task_delete_response_fields);
	r = write_full(STDOUT_FILENO, out.data, out.size);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write to standard output") : 0;
}

/* The runtime options of the container, as containerd passes them again. */
static char *state_root_of(const char *bundle)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *data = NULL;
	struct proto_any any = { 0 };
	struct task_runc_options options = { 0 };
	size_t size = 0;
	char *root;

	if (shim_read_stdin(&data, &size, &ignored) == 0 && size > 0 &&
	    proto_decode(&any, proto_any_fields, data, size, &ignored) == 0 &&
	    text_equal(any.type_url, TYPE_RUNC_OPTIONS))
		(void)proto_decode(&options, task_runc_options_fields, any.value.data, any.value.size, &ignored);
	root = bundle_state_root(bundle, options.root);
	proto_free(&options, task_runc_options_fields);
	proto_free(&any, proto_any_fields);
	return root;
}

/* 1 one that is there was told to end, 0 it is dying, -1 nobody listens. */
static int tell_server(const char *address, const char *id, int timer)
{
	AUTO(task_client_closep) struct task_client *client = NULL;
	AUTO(error_clear) struct error problem = { 0 };

	if (task_client_open(&client, address, &problem) < 0)
		return problem.errnum == ECONNREFUSED ? -1 : 1;
	return task_shutdown(client, id, timer, &problem) == 0 || problem.kind != ERR_UNAVAILABLE;
}

/*
 * A shim whose creator died before it made a task waits for ever: nobody but us knows of it. One with tasks stays. One
 * that was killed left the name of its socket.
 */
static void stop_idle_server(const char *bundle, const char *id)
{
	const struct itimerspec patience = { .it_value = { .tv_sec = STOP_WAIT_S } };
	AUTO_CLOSE int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	AUTO_FREE char *path = path_join(bundle, "address");
	AUTO_FREE char *address = NULL;
	const char *socket;
	struct stat status;
	size_t size = 0;
	int r = 0;

	if (timer < 0 || timerfd_settime(timer, 0, &patience, NULL) < 0 ||
	    file_read(&address, &size, AT_FDCWD, path, ADDRESS_MAX) < 0)
		return;
	for (int tries = 0; r == 0 && tries < DYING_TRIES; tries++)
		r = tell_server(address, id, timer);
	socket = text_after(address, "unix://");
	if (r < 0 && socket && lstat(socket, &status) == 0 && S_ISSOCK(status.st_mode))
		unlink(socket);
}

static void remove_sockets(const char *bundle)
{
	static const char *const names[] = { "attach", "fds", "exit.json.tmp", "shim.json" };
	AUTO_CLOSE int bundle_fd = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; bundle_fd >= 0 && i < sizeof(names) / sizeof(*names); i++)
		unlinkat(bundle_fd, names[i], 0);
}

/* *out_pid is of the container's process, if it is known. */
static int delete_container(pid_t *out_pid, const char *bundle, const char *root, const char *id, struct error *err)
{
	AUTO(runtime_state_fini) struct runtime_state state = { 0 };
	AUTO(oci_binary_freep) struct oci_binary *binary = NULL;
	AUTO(error_clear) struct error missing = { 0 };
	const struct runtime runtime = { .root = root };

	if (oci_binary_open(&binary, bundle, root, id, err) < 0)
		return -1;
	if (binary) {
		*out_pid = oci_binary_pid(binary);
		return oci_binary_delete(binary, err);
	}
	if (runtime_load_state(&state, &runtime, id, &missing) < 0)
		return 0;
	*out_pid = state.pid;
	return runtime_delete(&runtime, id, true, err);
}

int shim_delete(const struct shim_options *options, struct error *err)
{
	AUTO_FREE char *bundle = path_absolute(text_empty(options->bundle) ? "." : options->bundle);
	AUTO_FREE char *root = NULL;
	pid_t pid = 0;

	if (!bundle)
		return error_set_errno(err, ERR_INVALID, errno, "bundle");
	root = state_root_of(bundle);
	if (delete_container(&pid, bundle, root, options->id, err) < 0)
		return error_prefix(err, "delete container %s", options->id);
	stop_idle_server(bundle, options->id);
	remove_sockets(bundle);
	return print_response(bundle, pid, err);
}
