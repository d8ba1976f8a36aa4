/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: init_run() is the order of things. A create stops twice for the
 * host side: before the hooks of the runtime namespace (only if there are any)
 * and when all is ready; then it waits on the start socket. A failure goes to
 * whoever waits at that moment: the create, or the start.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "runtime/debug.h"
#include "runtime/hook.h"
#include "runtime/host_clone.h"
#include "runtime/init.h"
#include "runtime/init_sched.h"
#include "runtime/self_seal.h"
#include "runtime/sync.h"
#include "runtime/trace.h"

#define KEYCTL_JOIN_SESSION_KEYRING 1

/* The caller's blocked and ignored signals are its own business; the program starts as from a shell. */
static void reset_signals(unsigned long long signals)
{
	static const int often_ignored[] = { SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGCHLD, SIGTSTP, SIGTTIN, SIGTTOU };
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (size_t i = 0; i < sizeof(often_ignored) / sizeof(often_ignored[0]); i++)
		if (signals >> (often_ignored[i] - 1) & 1)
			sigaction(often_ignored[i], &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Until the container is complete it must not outlive a creator that is killed, whatever it is busy with. A change of
 * credentials forgets this. If the creator is gone already, the next word from it is an end of file.
 */
static void die_with_creator(bool yes)
{
	prctl(PR_SET_PDEATHSIG, yes ? SIGKILL : 0);
}

static void join_keyring(const struct plan *plan)
{
	AUTO(text_fini) struct text name = { 0 };

	if (plan->options->no_new_keyring)
		return;
	text_addf(&name, "_ses.%s", plan->record->id);
	/* Without keyrings, or none to spare, the container shares ours: as runc and crun do. */
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.data);
}

static bool has_runtime_hooks(const struct spec_hooks *hooks)
{
	return hooks->prestart.count > 0 || hooks->create_runtime.count > 0;
}

/* Hooks see our pid as it is in their own pid namespace. */
static int run_hooks(const struct init *init, const spec_hook_list *hooks, const char *kind, enum runtime_status status,
		     char *const *env, struct error *err)
{
	AUTO_FREE char *state = NULL;

	if (!hooks->count)
		return 0;
	state = record_state_json(init->plan->record, status, getpid());
	return hook_run_list(hooks, kind, state, env, err);
}

static int mount_root(struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;
	struct trace *trace = plan->runtime->trace;

	debug_log(plan->runtime, "child process in init(): mounting %zu file systems below %s",
		  plan->spec->mounts.count, plan->rootfs);
	if (init_root_attach(init, err) < 0)
		return -1;
	if (init->in_userns)
		die_with_creator(true);
	trace_mark(trace, "attach the rootfs");
	if (init_mount_all(init, err) < 0 || init_device_make_all(init, err) < 0 || init_kernel_names(init, err) < 0)
		return -1;
	trace_mark(trace, "devices, sysctls");
	return 0;
}

static bool has_hooks(const struct spec_hooks *hooks)
{
	return has_runtime_hooks(hooks) || hooks->create_container.count > 0;
}

/* A read-only copy of a folder above the groups would be one without them: only these lie elsewhere for sure. */
static bool concerns_groups(const struct text_list *paths)
{
	static const char *const elsewhere[] = { "/proc/", "/sys/devices/", "/sys/firmware" };

	for (size_t i = 0; i < paths->count; i++) {
		const char *path = paths->items[i];
		bool is_elsewhere = false;

		for (size_t j = 0; j < sizeof(elsewhere) / sizeof(elsewhere[0]); j++)
			is_elsewhere |= text_has_prefix(path, elsewhere[j]);
		if (!is_elsewhere || strstr(path, ".."))
			return true;
	}
	return false;
}

/*
 * While the host side makes our cgroups. Not if somebody is to find things as they are before: a hook, with all our
 * privileges, or the terminal, which goes into a /dev that becomes read-only with the masks.
 */
static int use_the_wait(struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;
	const struct spec_linux *l = &plan->spec->linux_;

	if (init->joined || plan->process->terminal || has_hooks(&plan->spec->hooks) ||
	    concerns_groups(&l->masked_paths) || concerns_groups(&l->readonly_paths))
		return 0;
	if (init_mask_all(init, err) < 0 || init_program_bound(init, err) < 0)
		return -1;
	trace_mark(plan->runtime->trace, "masked and read-only paths, bounding set");
	return 0;
}

/* First those of the runtime's namespaces, which the host side runs (if any), then those of the container's. */
static int run_create_hooks(struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;
	const struct spec_hooks *hooks = &plan->spec->hooks;

	if (has_hooks(hooks) &&
	    (sync_send(plan->sync_fd, SYNC_HOOKS, err) < 0 || sync_expect(plan->sync_fd, SYNC_GO, err) < 0))
		return -1;
	/* As in runc: the hooks find the mounted root as their current directory. */
	if (hooks->create_container.count && fchdir(init->root_fd) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "enter the rootfs for createContainer hooks");
	return run_hooks(init, &hooks->create_container, "createContainer", RUNTIME_CREATING, NULL, err);
}

static int make_root(struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;
	struct trace *trace = plan->runtime->trace;

	if (mount_root(init, err) < 0)
		return -1;
	fault_point("init: root mounted");
	if (use_the_wait(init, err) < 0 || init_cgroup_show(init, err) < 0 ||
	    (plan->process->terminal && init_tty_make(init, true, err) < 0) || run_create_hooks(init, err) < 0)
		return -1;
	trace_mark(trace, "terminal, hooks");
	if (!init->masked && init_mask_all(init, err) < 0)
		return -1;
	trace_mark(trace, "masked and read-only paths, if not yet done");
	if (init_root_enter(init, err) < 0)
		return -1;
	trace_mark(trace, "pivot_root");
	fault_point("init: root entered");
	return 0;
}

static void end(int signal)
{
	_exit(128 + signal);
}

/*
 * The first process of a pid namespace ignores every signal it has no handler for; a created container must end by
 * SIGTERM all the same. execve puts the handlers back.
 */
static void end_on_signals(void)
{
	static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	struct sigaction action = { .sa_handler = end };

	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		sigaction(ending[i], &action, NULL);
}

/* Whoever connects to the start socket lets us go; what happens then is told on that connection. */
static int await_start(const struct plan *plan, int *out_talk_fd, struct error *err)
{
	int fd;

	do
		fd = accept4(plan->start_fd, NULL, NULL, SOCK_CLOEXEC);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "wait for start");
	*out_talk_fd = fd;
	return sync_expect(fd, SYNC_GO, err);
}

/*
 * While we wait, and when the program fails to start, nothing of the host is open: no folder, no cgroup, nothing the
 * caller forgot to close. What is left are stdio, the passed descriptors and our own sockets.
 */
static void close_host_descriptors(const struct plan *plan)
{
	int keep[] = { plan->sync_fd, plan->start_fd, plan->listener_fd };
	const size_t count = sizeof(keep) / sizeof(keep[0]);
	int next = 3 + plan->options->preserve_fds + plan->options->listen_fds;

	for (size_t done = 0; done < count; done++) {
		int least = INT_MAX;

		for (size_t i = 0; i < count; i++)
			if (keep[i] >= next && keep[i] < least)
				least = keep[i];
		if (least == INT_MAX)
			break;
		if (least > next)
			close_range((unsigned)next, (unsigned)least - 1, 0);
		next = least + 1;
	}
	close_range((unsigned)next, ~0U, 0);
	debug_end();
}

static int enter_namespaces(struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;

	init->joined = !plan->late_namespaces;
	if (init->joined && (init_cgroup_enter(init, err) < 0 || init_sched_affinity(plan, err) < 0 ||
			     sync_expect(plan->sync_fd, SYNC_GO, err) < 0))
		return -1;
	trace_mark(plan->runtime->trace, "enter the cgroups, if made before the clone");
	debug_log(plan->runtime, "nsexec container setup: cgroup and namespaces are there");
	setsid();
	umask(0);
	if (init_kernel_namespaces(init, err) < 0)
		return -1;
	trace_mark(plan->runtime->trace, "namespaces");
	fault_point("init: namespaces entered");
	join_keyring(plan);
	return 0;
}

static int become_container(struct init *init, int *talk_fd, struct error *err)
{
	AUTO(init_program_fini) struct init_program program = { 0 };
	const struct plan *plan = init->plan;

	die_with_creator(true);
	if (enter_namespaces(init, err) < 0 || make_root(init, err) < 0 || init_tty_use(init, err) < 0 ||
	    init_program_prepare(&program, init, err) < 0)
		return -1;
	trace_mark(plan->runtime->trace, "user, program");
	debug_log(plan->runtime, "init: closing the pipe to signal completion, then waiting for start");
	/* From here on we wait for words only: the end of the creator is an end of file. */
	die_with_creator(false);
	/* Before anybody hears that the container is created, and may send one. */
	if (plan->start_fd >= 0)
		end_on_signals();
	if (sync_send_ready(plan->sync_fd, init->tty_master_fd, init->net_fds, err) < 0)
		return -1;
	fault_point("init: ready");
	close_host_descriptors(plan);
	if (sync_expect(plan->sync_fd, SYNC_GO, err) < 0)
		return -1;
	trace_mark(plan->runtime->trace, "wait for the host to commit");
	if (plan->start_fd >= 0 && await_start(plan, talk_fd, err) < 0)
		return -1;
	fault_point("init: told to start");
	/* Their programs are the image's: they have the privileges of the container's process, and no more. */
	if (init_program_become(&program, init, err) < 0 ||
	    run_hooks(init, &plan->spec->hooks.start_container, "startContainer", RUNTIME_CREATED, program.envp, err) <
		    0)
		return -1;
	return init_program_exec(&program, init, err);
}

/* From the birth until all namespaces and groups of the container are entered. */
static int join_container(struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;

	prctl(PR_SET_DUMPABLE, 0);
	debug_log(plan->runtime, "nsexec container setup: a process for a running container");
	if (init_sched_initial_affinity(plan, err) < 0 || init_cgroup_enter(init, err) < 0 ||
	    init_sched_affinity(plan, err) < 0 || sync_expect(plan->sync_fd, SYNC_GO, err) < 0)
		return -1;
	setsid();
	if (host_clone_join_rest(plan, err) < 0)
		return -1;
	if (init->in_userns && init_kernel_become_root(err) < 0)
		return -1;
	trace_mark(plan->runtime->trace, "namespaces and cgroups");
	fault_point("init exec: joined");
	return 0;
}

static int become_exec(struct init *init, struct error *err)
{
	AUTO(init_program_fini) struct init_program program = { 0 };
	const struct plan *plan = init->plan;

	if (join_container(init, err) < 0)
		return -1;
	debug_log(plan->runtime, "child process in init(): the namespaces of %s are joined", plan->record->id);
	join_keyring(plan);
	if (plan->process->terminal && init_tty_make(init, false, err) < 0)
		return -1;
	if (init_tty_use(init, err) < 0 || init_program_prepare(&program, init, err) < 0)
		return -1;
	trace_mark(plan->runtime->trace, "user, program");
	debug_log(plan->runtime, "setns_init: about to exec %s", program.path);
	if (sync_send_ready(plan->sync_fd, init->tty_master_fd, NULL, err) < 0)
		return -1;
	fault_point("init exec: ready");
	close_host_descriptors(plan);
	if (sync_expect(plan->sync_fd, SYNC_GO, err) < 0)
		return -1;
	trace_mark(plan->runtime->trace, "wait for the host to commit");
	if (init_program_become(&program, init, err) < 0)
		return -1;
	return init_program_exec(&program, init, err);
}

/* Alone with our end of the socket: if the host side ends, we shall see it. */
static int begin(const struct plan *plan, struct error *err)
{
	int r;

	trace_is_init(plan->runtime->trace);
	close(plan->host_sync_fd);
	reset_signals(plan->signals);
	trace_mark(plan->runtime->trace, "clone");
	r = self_seal_finish();
	self_seal_release();
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "move to the read-only mount of our own program");
	trace_mark(plan->runtime->trace, "seal");
	return 0;
}

static struct init start_state(const struct plan *plan)
{
	return (struct init){ .plan = plan,
			      .root_fd = -1,
			      .proc_fd = -1,
			      .tty_master_fd = -1,
			      .tty_slave_fd = -1,
			      .shown = { .base_fd = -1 },
			      .net_fds = { -1, -1, -1, -1 },
			      .in_userns = spec_find_namespace(plan->spec, "user") != NULL };
}

void init_run(const struct plan *plan)
{
	struct error err = { 0 };
	struct init init = start_state(plan);
	int talk_fd = plan->sync_fd;

	if (begin(plan, &err) == 0)
		become_container(&init, &talk_fd, &err);
	sync_send_error(talk_fd, &err);
	_exit(1);
}

void init_run_exec(const struct plan *plan)
{
	struct error err = { 0 };
	struct init init = start_state(plan);

	if (begin(plan, &err) == 0)
		become_exec(&init, &err);
	sync_send_error(plan->sync_fd, &err);
	_exit(1);
}
