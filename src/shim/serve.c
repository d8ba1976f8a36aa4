/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "base/text.h"
#include "shim/bundle.h"
#include "shim/events.h"
#include "shim/loop.h"
#include "shim/service.h"
#include "shim/shim.h"

#define LISTEN_FD 3
#define OOM_SCORE_MAX 1000

struct server {
	struct loop loop;
	struct log log;
	struct task_host host;
	struct service *service;
	struct watch signal_watch;
	int signal_fd;
};

static void reap(struct server *server)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		task_reaped(&server->host, pid, status);
}

static void log_state(const struct server *server)
{
	LIST_FOR_EACH (node, &server->host.tasks) {
		const struct task *task = list_entry(node, struct task, node);
		AUTO_FREE char *state = xasprintf("%d", task->init.state);
		AUTO_FREE char *pid = xasprintf("%d", task->init.pid);

		log_info(&server->log, "task", F("id", task->id), F("pid", pid), F("state", state));
	}
}

static void on_signal(struct watch *watch, short revents)
{
	struct server *server = list_entry(watch, struct server, signal_watch);
	struct signalfd_siginfo info;

	(void)revents;
	while (read(server->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			log_state(server);
		else if (info.ssi_signo != SIGCHLD && list_empty(&server->host.tasks))
			server->loop.stop = true;
		else if (info.ssi_signo != SIGCHLD)
			log_warn(&server->log, "told to end, but the container still needs its shim");
	}
	reap(server);
}

static void ignore_signal(int number)
{
	(void)number;
}

static int open_signals(struct server *server, struct error *err)
{
	/* A handler, not SIG_IGN: that would pass to the container. */
	const struct sigaction action = { .sa_handler = ignore_signal };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaction(SIGPIPE, &action, NULL);
	sigprocmask(SIG_BLOCK, &set, NULL);
	server->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (server->signal_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "signalfd");
	loop_add(&server->loop, &server->signal_watch, server->signal_fd, POLLIN, on_signal);
	return 0;
}

/* One above its parent's: under pressure the shim goes before the engine. Not being allowed to is no failure. */
static void raise_oom_score(void)
{
	AUTO_FREE char *text = NULL;
	int64_t score;

	if (file_read(&text, NULL, AT_FDCWD, "/proc/self/oom_score_adj", 64) < 0 ||
	    text_parse_i64(&score, text_trim(text), -OOM_SCORE_MAX, OOM_SCORE_MAX - 1) < 0)
		return;
	free(text);
	text = xasprintf("%lld", (long long)score + 1);
	(void)file_write_once(AT_FDCWD, "/proc/self/oom_score_adj", text);
}

static int serve(struct server *server, const struct shim_options *options, const char *bundle, struct error *err)
{
	AUTO_FREE char *address = xasprintf("unix://%s", text_or_empty(options->socket));
	AUTO_CLOSE int bundle_fd = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (bundle_fd < 0)
		return error_set_errno(err, ERR_INVALID, errno, "open bundle %s", bundle);
	server->host.address = address;
	if (open_signals(server, err) < 0 || bundle_write_shim(bundle_fd, address, err) < 0)
		return -1;
	fault_point("shim: shim.json written");
	server->host.name_space = options->name_space;
	server->host.events = events_new(&server->loop, &server->log, getenv("TTRPC_ADDRESS"), options->name_space);
	server->service = service_new_take_fd(&server->host, LISTEN_FD);
	while (!server->loop.stop) {
		loop_turn(&server->loop);
		service_flush(server->service);
	}
	/* After Shutdown the name is gone, or another's by now. */
	if (!text_empty(options->socket) && !service_is_stopping(server->service))
		unlink(options->socket);
	service_free(server->service);
	events_free(server->host.events);
	close(server->signal_fd);
	bundle_remove_shim(bundle_fd);
	return 0;
}

int shim_serve(const struct shim_options *options, struct error *err)
{
	AUTO_FREE char *bundle = path_absolute(text_empty(options->bundle) ? "." : options->bundle);
	struct server server = { .signal_fd = -1 };
	AUTO_CLOSE int log_fd = -1;
	int r;

	if (fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC) < 0)
		return error_set(err, ERR_INVALID, "descriptor 3 is no socket: run kist-shim start");
	/* What others forgot to close would stay open for the container's life. */
	(void)close_range(LISTEN_FD + 1, ~0U, 0);
	if (!bundle)
		return error_set_errno(err, ERR_INVALID, errno, "bundle");
	/* A shim is one of many and mostly sleeps: give memory back early. */
	mallopt(M_TRIM_THRESHOLD, 65536);
	mallopt(M_TOP_PAD, 0);
	raise_oom_score();
	/* Run through a descriptor, the kernel named us after its number. */
	prctl(PR_SET_NAME, "kist-shim", 0, 0, 0);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "become the reaper of orphans");
	/* Not 2: that one becomes the container's in a child which still logs as it makes the container. */
	log_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, LISTEN_FD + 1);
	if (log_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "duplicate standard error");
	server.log = (struct log){ .fd = log_fd, .level = options->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO };
	loop_init(&server.loop);
	server.host.loop = &server.loop;
	server.host.log = &server.log;
	list_init(&server.host.tasks);
	r = serve(&server, options, bundle, err);
	loop_fini(&server.loop);
	return r;
}
