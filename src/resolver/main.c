/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kist-resolve: the containers' name server. Descriptor 3 is a listening unix
 * socket by which the engine tells it what to say (control.h). It ends when no
 * engine is connected and no container is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "resolver/control.h"
#include "resolver/resolver.h"
#include "resolver/sandbox.h"

#define LISTEN_FD 3
#define LISTEN_BACKLOG 16
#define ENGINE_PATIENCE_S 5
#define START_PATIENCE_NS (30 * CLOCK_SECOND)

struct program {
	struct resolver resolver;
	struct names next; /* being told, between begin and end */
	bool telling;
	struct watch listener;
	struct watch engine;
	bool connected;
	const struct log *log;
};

static ino_t socket_of(int fd)
{
	struct stat status;

	return fstat(fd, &status) < 0 ? 0 : status.st_ino;
}

/* The container's sockets; the ones we have already, if an engine that came back sends them again. */
static struct scope *scope_with(struct program *program, const char *id, int fds[CONTROL_FDS])
{
	struct scope *scope = map_get(&program->resolver.scopes, id);

	if (scope && socket_of(scope->udp.fd) == socket_of(fds[0])) {
		close(fds[0]);
		close(fds[1]);
		return scope;
	}
	if (scope)
		scope_end(scope);
	scope = scope_new(&program->resolver, id, fds[0], fds[1]);
	if (scope)
		return scope;
	log_warn(program->log, "a container's sockets cannot be watched", F("error", strerror(errno)));
	close(fds[0]);
	close(fds[1]);
	return NULL;
}

/* false: the container has no DNS. */
static bool set_scope(struct program *program, struct control_message *message, int *fds, size_t count)
{
	struct scope *scope = map_get(&program->resolver.scopes, message->container);

	if (count == CONTROL_FDS) {
		fd_set_nonblocking(fds[0], true);
		fd_set_nonblocking(fds[1], true);
		if (listen(fds[1], LISTEN_BACKLOG) < 0)
			log_warn(program->log, "a container has no DNS by TCP", F("error", strerror(errno)));
		scope = scope_with(program, message->container, fds);
	}
	if (!scope)
		return count != CONTROL_FDS;
	text_list_fini(&scope->networks);
	text_list_fini(&scope->servers);
	text_map_fini(&scope->links);
	text_list_add_all(&scope->networks, &message->networks);
	text_list_add_all(&scope->servers, &message->servers);
	text_map_copy(&scope->links, &message->links);
	scope->forward = message->forward;
	scope->stale = false;
	return true;
}

static void begin(struct program *program)
{
	struct scope *scope;
	size_t at = 0;

	if (program->telling)
		names_fini(&program->next);
	names_init(&program->next);
	program->telling = true;
	while ((scope = map_next(&program->resolver.scopes, &at, NULL)))
		scope->stale = true;
}

static void end(struct program *program)
{
	struct scope *scope;
	size_t at = 0;

	if (!program->telling)
		return;
	names_fini(&program->resolver.names);
	program->resolver.names = program->next;
	program->telling = false;
	while ((scope = map_next(&program->resolver.scopes, &at, NULL))) {
		if (!scope->stale)
			continue;
		scope_end(scope);
		at = 0;
	}
}

static char greeted(struct program *program, const char *version)
{
	program->resolver.loop.ended = !text_equal(version, KIST_VERSION);
	return program->resolver.loop.ended ? CONTROL_OTHER : CONTROL_DONE;
}

static void change_names(struct program *program, const struct control_message *message)
{
	struct names *names = program->telling ? &program->next : &program->resolver.names;

	if (!message->network || !message->endpoint)
		return;
	if (text_equal(message->action, "add"))
		names_add(names, message->network, message->endpoint, &message->names, &message->addresses,
			  message->pointer);
	else if (text_equal(message->action, "remove"))
		names_remove(names, message->network, message->endpoint);
}

static char do_message(struct program *program, struct control_message *message, int *fds, size_t *count)
{
	struct scope *scope = map_get(&program->resolver.scopes, text_or_empty(message->container));

	if (text_equal(message->action, "hello"))
		return greeted(program, message->version);
	if (text_equal(message->action, "begin")) {
		begin(program);
	} else if (text_equal(message->action, "end")) {
		end(program);
	} else if (text_equal(message->action, "scope") && message->container) {
		bool done = set_scope(program, message, fds, *count);

		*count = *count == CONTROL_FDS ? 0 : *count;
		return done ? CONTROL_DONE : CONTROL_REFUSED;
	} else if (text_equal(message->action, "drop") && scope) {
		scope_end(scope);
	} else {
		change_names(program, message);
	}
	return CONTROL_DONE;
}

static void disconnect(struct program *program)
{
	if (!program->connected)
		return;
	loop_remove(&program->resolver.loop, &program->engine);
	close(program->engine.fd);
	program->connected = false;
}

static void on_engine(struct watch *watch, uint32_t events)
{
	struct program *program = list_entry(watch, struct program, engine);
	AUTO(error_clear) struct error err = { 0 };
	struct control_message message;
	int fds[CONTROL_FDS];
	size_t count;
	int r = control_receive(watch->fd, &message, fds, &count, &err);

	(void)events;
	if (r < 0)
		log_warn(program->log, "the engine is not understood", F("error", err.message));
	if (r <= 0) {
		disconnect(program);
		return;
	}
	const char answer = do_message(program, &message, fds, &count);

	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	json_free_fields(&message, control_message_fields);
	if (send(watch->fd, &answer, 1, MSG_NOSIGNAL) != 1)
		disconnect(program);
}

/* The newest engine counts: one before it is dead, or about to be. */
static void on_listener(struct watch *watch, uint32_t events)
{
	struct program *program = list_entry(watch, struct program, listener);
	const struct timeval patience = { .tv_sec = ENGINE_PATIENCE_S };
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	disconnect(program);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (loop_add(&program->resolver.loop, &program->engine, fd, EPOLLIN, on_engine) < 0)
		close(fd);
	else
		program->connected = true;
}

static int run(struct program *program, const char *resolv_conf, struct error *err)
{
	int64_t started_ns = clock_monotonic_ns();
	bool served = false;

	if (loop_open(&program->resolver.loop, err) < 0)
		return -1;
	resolver_init(&program->resolver, resolv_conf);
	fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC);
	if (loop_add(&program->resolver.loop, &program->listener, LISTEN_FD, EPOLLIN, on_listener) < 0)
		return error_set(err, ERR_INVALID, "descriptor 3 is not a listening socket: kistd starts this program");
	if (sandbox_enter(err) < 0)
		return -1;
	while (!program->resolver.loop.ended) {
		served |= program->connected;
		if (!program->connected && program->resolver.scopes.count == 0 &&
		    (served || clock_monotonic_ns() - started_ns > START_PATIENCE_NS))
			break;
		resolver_turn(&program->resolver);
	}
	disconnect(program);
	if (program->telling)
		names_fini(&program->next);
	resolver_fini(&program->resolver);
	return 0;
}

int main(int argc, char **argv)
{
	static struct program program;
	const struct log log = { .fd = STDERR_FILENO, .level = LOG_LEVEL_INFO };
	AUTO(error_clear) struct error err = { 0 };

	signal(SIGPIPE, SIG_IGN);
	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		fprintf(stderr, "usage: kist-resolve [RESOLV.CONF]\n");
		return 2;
	}
	program.log = &log;
	if (run(&program, argc > 1 ? argv[1] : "/etc/resolv.conf", &err) < 0)
		log_error(&log, "kist-resolve ends", F("error", err.message));
	/* Not by exit handlers: the sandbox may not allow what they do. */
	_exit(error_is_set(&err));
}
