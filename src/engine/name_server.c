/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: one connection, one message at a time, each answered before the
 * next (server->mutex, taken before all other locks of the engine). A watcher
 * thread notices the program's death, also while nobody talks to it.
 *
 * A container's resolver sockets are bound to free ports of 127.0.0.11 and its
 * port 53 is turned to them by a rule in its namespace: so port 53 stays free
 * for the container's own programs, as with docker.
 */
#include "engine/name_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/process.h"
#include "base/program.h"
#include "engine/container_network.h"
#include "resolver/control.h"
#include "rpc/attach_frame.h"
#include "sys/nftables.h"

#define PROGRAM "kist-resolve"
#define SOCKET_NAME "resolver.sock"
#define ADDRESS "127.0.0.11"
#define DNS_PORT 53
#define TABLE "kist_resolver"
#define PATIENCE_S 3 /* everybody waits meanwhile; what it is asked takes it microseconds */
#define RESTART_PAUSE_MS 1000

struct name_server {
	struct engine *engine; /* borrowed */
	struct mutex mutex;
	char *folder;
	int fd;			/* -1: not connected */
	struct process process; /* if it is our child */
	unsigned generation;	/* of the connection */
	bool watched;
};

/* ---- talking ---- */

static int read_answer(int fd, char *out_answer, struct error *err)
{
	ssize_t size;

	do
		size = recv(fd, out_answer, 1, 0);
	while (size < 0 && errno == EINTR);
	if (size == 1)
		return 0;
	return size < 0 ? error_set_errno(err, ERR_UNAVAILABLE, errno, PROGRAM " does not answer")
			: error_set(err, ERR_UNAVAILABLE, PROGRAM " went away");
}

static int say(const struct name_server *server, const struct control_message *message, const int *fds, size_t count,
	       struct error *err)
{
	char answer = CONTROL_DONE;

	if (control_send(server->fd, message, fds, count, err) < 0 || read_answer(server->fd, &answer, err) < 0)
		return -1;
	return answer == CONTROL_REFUSED
		       ? error_set(err, ERR_EXHAUSTED, PROGRAM " cannot watch the container's sockets")
		       : 0;
}

static int say_action(const struct name_server *server, const char *action, struct error *err)
{
	AUTO_FREE char *copy = xstrdup(action);

	return say(server, &(struct control_message){ .action = copy }, NULL, 0, err);
}

/* ---- the program ---- */

/* Its folder's path may be too long for a socket's name. */
static int socket_name(struct sockaddr_un *out_address, int folder_fd)
{
	*out_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return snprintf(out_address->sun_path, sizeof(out_address->sun_path), "/proc/self/fd/%d/" SOCKET_NAME,
			folder_fd);
}

static int open_folder(const struct name_server *server, struct error *err)
{
	int fd = open(server->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "open %s", server->folder) : fd;
}

static int connect_program(const struct name_server *server, struct error *err)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	AUTO_CLOSE int folder_fd = open_folder(server, err);
	AUTO_CLOSE int fd = -1;
	struct sockaddr_un address;

	if (folder_fd < 0)
		return -1;
	socket_name(&address, folder_fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set_errno(err, ERR_UNAVAILABLE, errno, "connect to " PROGRAM);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return take_fd(&fd);
}

static int make_listener(const struct name_server *server, struct error *err)
{
	AUTO_CLOSE int folder_fd = open_folder(server, err);
	AUTO_CLOSE int fd = -1;
	struct sockaddr_un address;

	if (folder_fd < 0)
		return -1;
	socket_name(&address, folder_fd);
	unlinkat(folder_fd, SOCKET_NAME, 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* The mode of the socket's file comes from here. */
	if (fd < 0 || fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 4) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "listen for " PROGRAM);
	return take_fd(&fd);
}

static int start_program(struct name_server *server, struct error *err)
{
	AUTO_FREE char *program = program_find(PROGRAM, err);
	AUTO_CLOSE int listener = -1;
	char *const argv[] = { (char[]){ PROGRAM }, NULL };
	struct process_options options = { .path = program, .argv = argv, .new_session = true, .fd_count = 1 };

	if (!program)
		return -1;
	listener = make_listener(server, err);
	if (listener < 0)
		return -1;
	options.fds = &listener;
	process_fini(&server->process);
	return process_spawn(&server->process, &options, err);
}

/* true if it is of our version. */
static bool greet(struct name_server *server)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct control_message hello = { .action = (char[]){ "hello" }, .version = (char[]){ KIST_VERSION } };
	char answer = 0;

	return control_send(server->fd, &hello, NULL, 0, &ignored) == 0 &&
	       read_answer(server->fd, &answer, &ignored) == 0 && answer == CONTROL_DONE;
}

/* One that hangs shares the containers' sockets with its successor: killed, or told to end when it comes round. */
static void end_program(struct name_server *server)
{
	AUTO(error_clear) struct error ignored = { 0 };
	const struct control_message end = { .action = (char[]){ "hello" }, .version = (char[]){ "superseded" } };

	if (server->process.pidfd >= 0)
		process_kill(&server->process, SIGKILL);
	control_send(server->fd, &end, NULL, 0, &ignored);
}

static void disconnect_locked(struct name_server *server)
{
	mutex_assert_held(&server->mutex);
	if (server->fd >= 0)
		close(take_fd(&server->fd));
}

/* ---- one container ---- */

static bool is_served(const struct endpoint_settings *endpoint)
{
	return !text_equal(endpoint->network, "bridge") && !text_equal(endpoint->network, "host") &&
	       !text_equal(endpoint->network, "none") && !text_empty(endpoint->endpoint_id);
}

static bool has_served(const struct endpoint_map *endpoints)
{
	for (size_t i = 0; i < endpoints->count; i++)
		if (is_served(&endpoints->items[i]))
			return true;
	return false;
}

/* What is told of a container: a copy, as others may change it. */
struct told {
	char *id;
	struct networking_config networking;
	struct text_list servers;
};

static void told_fini(struct told *told)
{
	free(told->id);
	json_free_fields(&told->networking, networking_config_fields);
	text_list_fini(&told->servers);
}

static void copy_told(struct told *told, struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	told->id = xstrdup(container->id);
	json_copy_fields(&told->networking, &container->document.networking, networking_config_fields);
	text_list_add_all(&told->servers, &container->document.host.dns);
}

/* Binds a socket once; the engine that came back finds it bound. Its port, or -errno. */
static int bind_socket(int fd, bool *out_fresh)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return -errno;
	if (address.sin_port == 0) {
		inet_pton(AF_INET, ADDRESS, &address.sin_addr);
		address.sin_family = AF_INET;
		if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
			return -errno;
		*out_fresh = true;
	}
	return ntohs(address.sin_port);
}

static int prepare_sockets(const int fds[ATTACH_SOCKETS], struct error *err)
{
	struct in_addr address;
	struct nft_batch batch;
	bool fresh = false;
	int udp = fds[ATTACH_UDP] < 0 ? -EBADF : bind_socket(fds[ATTACH_UDP], &fresh);
	int tcp = fds[ATTACH_TCP] < 0 ? -EBADF : bind_socket(fds[ATTACH_TCP], &fresh);
	int failed = udp < 0 ? udp : tcp < 0 ? tcp : 0;

	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "bind the resolver's sockets to " ADDRESS);
	if (!fresh)
		return 0;
	inet_pton(AF_INET, ADDRESS, &address);
	nft_batch_init(&batch);
	nft_batch_redirect(&batch, TABLE, IPPROTO_UDP, address.s_addr, DNS_PORT, (uint16_t)udp);
	nft_batch_redirect(&batch, TABLE, IPPROTO_TCP, address.s_addr, DNS_PORT, (uint16_t)tcp);
	failed = nft_batch_send(&batch, fds[ATTACH_NETFILTER]);
	nft_batch_fini(&batch);
	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "turn port 53 of the container to the resolver")
			  : 0;
}

static void add_links(struct text_map *links, const struct endpoint_settings *endpoint)
{
	for (size_t i = 0; i < endpoint->links.count; i++) {
		const char *link = endpoint->links.items[i];
		const char *colon = strchr(link, ':');
		AUTO_FREE char *name = colon ? xstrndup(link, (size_t)(colon - link)) : xstrdup(link);

		text_map_set(links, colon ? colon + 1 : link, name);
	}
}

static int say_scope(const struct name_server *server, const struct told *told, const int *fds, struct error *err)
{
	struct control_message message = { .action = (char[]){ "scope" }, .container = told->id };
	const int sent[CONTROL_FDS] = { fds[ATTACH_UDP], fds[ATTACH_TCP] };
	int r;

	for (size_t i = 0; i < told->networking.endpoints.count; i++) {
		const struct endpoint_settings *endpoint = &told->networking.endpoints.items[i];

		message.forward |= !text_empty(endpoint->gateway) || !text_empty(endpoint->ipv6_gateway);
		if (!is_served(endpoint))
			continue;
		text_list_add(&message.networks, endpoint->network_id);
		add_links(&message.links, endpoint);
	}
	message.servers = told->servers;
	r = say(server, &message, sent, CONTROL_FDS, err);
	text_list_fini(&message.networks);
	text_map_fini(&message.links);
	return r;
}

/* "web", and "web.front" for whoever wants to say where. */
static int say_endpoint(const struct name_server *server, const struct told *told,
			const struct endpoint_settings *endpoint, struct error *err)
{
	struct control_message message = {
		.action = (char[]){ "add" },
		.network = endpoint->network_id,
		.endpoint = told->id,
	};
	const struct text_list *names = &endpoint->dns_names;
	int r;

	for (size_t i = 0; i < names->count; i++) {
		text_list_add(&message.names, names->items[i]);
		text_list_addf(&message.names, "%s.%s", names->items[i], endpoint->network);
	}
	if (!text_empty(endpoint->ip_address))
		text_list_add(&message.addresses, endpoint->ip_address);
	if (!text_empty(endpoint->global_ipv6_address))
		text_list_add(&message.addresses, endpoint->global_ipv6_address);
	if (names->count)
		message.pointer = xasprintf("%s.%s", names->items[0], endpoint->network);
	r = say(server, &message, NULL, 0, err);
	free(message.pointer);
	text_list_fini(&message.names);
	text_list_fini(&message.addresses);
	return r;
}

static int tell_locked(struct name_server *server, struct container *container, struct error *err)
{
	AUTO(told_fini) struct told told = { 0 };
	int fds[ATTACH_SOCKETS];
	int r;

	mutex_assert_held(&server->mutex);
	copy_told(&told, container);
	if (!has_served(&told.networking.endpoints))
		return 0;
	if (attach_receive_sockets(fds, container->bundle, err) < 0)
		return -1;
	r = prepare_sockets(fds, err);
	if (r == 0)
		r = say_scope(server, &told, fds, err);
	attach_close_sockets(fds);
	for (size_t i = 0; r == 0 && i < told.networking.endpoints.count; i++)
		if (is_served(&told.networking.endpoints.items[i]))
			r = say_endpoint(server, &told, &told.networking.endpoints.items[i], err);
	return r;
}

/* ---- connecting ---- */

static bool needs_server(struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	return has_served(&container->document.networking.endpoints);
}

/* Everything of everybody; who cannot be reached is going. */
static int tell_all_locked(struct name_server *server, struct error *err)
{
	struct container **items;
	size_t count;

	if (say_action(server, "begin", err) < 0)
		return -1;
	count = container_all(&items, server->engine);
	for (size_t i = 0; i < count; i++) {
		AUTO(error_clear) struct error problem = { 0 };

		if (needs_server(items[i]) && tell_locked(server, items[i], &problem) < 0 && server->engine->log)
			log_debug(server->engine->log, "a container is not told to the resolver", F("id", items[i]->id),
				  F("reason", problem.message));
	}
	container_all_free(items, count);
	return say_action(server, "end", err);
}

static void start_watcher_locked(struct name_server *server);

static int connect_locked(struct name_server *server, struct error *err)
{
	AUTO(error_clear) struct error none = { 0 };

	mutex_assert_held(&server->mutex);
	disconnect_locked(server);
	server->fd = connect_program(server, &none);
	if (server->fd >= 0 && !greet(server)) {
		end_program(server);
		disconnect_locked(server);
	}
	if (server->fd < 0) {
		if (start_program(server, err) < 0)
			return -1;
		server->fd = connect_program(server, err);
		if (server->fd < 0)
			return -1;
	}
	server->generation++;
	start_watcher_locked(server);
	if (tell_all_locked(server, err) < 0) {
		disconnect_locked(server);
		return -1;
	}
	return 0;
}

/* ---- the watcher ---- */

/* 1 the program is gone, 0 the engine closes. */
static int await_death(struct name_server *server, int fd)
{
	struct pollfd fds[] = { { .fd = fd, .events = POLLRDHUP },
				{ .fd = server->engine->closing_fd, .events = POLLIN } };

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	return fds[1].revents == 0;
}

static void connect_again(struct name_server *server, unsigned generation)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&server->mutex);
	AUTO(error_clear) struct error err = { 0 };

	if (server->generation != generation)
		return;
	if (server->engine->log)
		log_warn(server->engine->log, PROGRAM " ended and is started again");
	if (connect_locked(server, &err) < 0)
		engine_log_error(server->engine, "containers have no name server", "", &err);
}

static void *watch_program(void *arg)
{
	struct name_server *server = arg;
	struct pollfd closing = { .fd = server->engine->closing_fd, .events = POLLIN };

	for (;;) {
		AUTO_CLOSE int fd = -1;
		unsigned generation;

		mutex_lock(&server->mutex);
		fd = server->fd < 0 ? -1 : fcntl(server->fd, F_DUPFD_CLOEXEC, 0);
		generation = server->generation;
		mutex_unlock(&server->mutex);
		if (fd >= 0 && !await_death(server, fd))
			break;
		/* Not in a hurry: a program that cannot live would be started without end. */
		if (poll(&closing, 1, RESTART_PAUSE_MS / 10) > 0)
			break;
		connect_again(server, generation);
		mutex_lock(&server->mutex);
		generation = server->fd < 0;
		mutex_unlock(&server->mutex);
		if (generation && poll(&closing, 1, RESTART_PAUSE_MS) > 0)
			break;
	}
	engine_thread_end(server->engine);
	return NULL;
}

static void start_watcher_locked(struct name_server *server)
{
	AUTO(error_clear) struct error err = { 0 };

	if (server->watched)
		return;
	engine_thread_begin(server->engine);
	if (thread_start(NULL, "name-server", watch_program, server, &err) == 0) {
		server->watched = true;
		return;
	}
	engine_thread_end(server->engine);
	engine_log_error(server->engine, "the name server is not watched", "", &err);
}

/* ---- from outside ---- */

int name_server_tell(struct container *container, struct error *err)
{
	struct name_server *server = container->engine->names;
	AUTO(error_clear) struct error first = { 0 };

	if (!server || !needs_server(container))
		return 0;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&server->mutex);

	if (server->fd >= 0 && tell_locked(server, container, &first) == 0)
		return 0;
	/* It died, or there was none: a new one is told everything, this container too. */
	if (connect_locked(server, err) < 0)
		return -1;
	return tell_locked(server, container, err);
}

static void say_gone(const struct name_server *server, const struct container *container, const char *network_id)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *network = network_id ? xstrdup(network_id) : NULL;
	AUTO_FREE char *id = xstrdup(container->id);
	const struct control_message message = { .action = network ? (char[]){ "remove" } : (char[]){ "drop" },
						 .container = id,
						 .network = network,
						 .endpoint = network ? id : NULL };

	if (say(server, &message, NULL, 0, &err) < 0)
		engine_log_error(container->engine, "the name server was not told of a container's end", container->id,
				 &err);
}

void name_server_forget(struct container *container, const struct endpoint_settings *endpoint)
{
	struct name_server *server = container->engine->names;
	const struct endpoint_map *endpoints = &container->document.networking.endpoints;
	bool stays = false;

	if (!server || !has_served(endpoints))
		return;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&server->mutex);

	if (server->fd < 0)
		return;
	for (size_t i = 0; i < endpoints->count; i++) {
		if (!is_served(&endpoints->items[i]))
			continue;
		if (!endpoint || endpoint == &endpoints->items[i])
			say_gone(server, container, endpoints->items[i].network_id);
		else
			stays = true;
	}
	/* With its last user-defined network its sockets go too: they would keep its namespace alive. */
	if (!stays)
		say_gone(server, container, NULL);
}

void name_server_open(struct engine *engine)
{
	struct name_server *server = xcalloc(1, sizeof(*server));
	mutex_init(&server->mutex);
	server->engine = engine;
	server->fd = -1;
	server->process.pidfd = -1;
	server->folder = path_join(engine->exec_root, "network");
	engine->names = server;
}

/* After recovery: a program of an earlier engine is told who is still there. */
void name_server_resume(struct engine *engine)
{
	struct name_server *server = engine->names;
	AUTO(error_clear) struct error err = { 0 };
	AUTO_CLOSE int probe = -1;
	struct container **items;
	size_t count = container_all(&items, engine);
	bool needed = false;

	for (size_t i = 0; i < count; i++)
		needed |= needs_server(items[i]);
	container_all_free(items, count);
	probe = needed ? -1 : connect_program(server, &err);
	error_clear(&err);
	if (!needed && probe < 0)
		return;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&server->mutex);

	if (connect_locked(server, &err) < 0)
		engine_log_error(engine, "containers have no name server", "", &err);
}

bool name_server_is_reached(struct container *container)
{
	AUTO(error_clear) struct error ignored = { 0 };
	int fds[ATTACH_SOCKETS];
	int count;

	if (attach_receive_sockets(fds, container->bundle, &ignored) < 0)
		return false;
	count = fds[ATTACH_NETFILTER] < 0 ? -1 : nft_count_rules(fds[ATTACH_NETFILTER], NFPROTO_IPV4, TABLE, NULL);
	attach_close_sockets(fds);
	return count == 2; /* UDP and TCP */
}

bool name_server_is_alive(struct engine *engine)
{
	struct name_server *server = engine->names;
	struct control_message hello = { .action = (char[]){ "hello" }, .version = (char[]){ KIST_VERSION } };
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_UNLOCK struct mutex *held = mutex_hold(&server->mutex);

	return server->fd >= 0 && say(server, &hello, NULL, 0, &ignored) == 0;
}

void name_server_close(struct name_server *server)
{
	if (!server)
		return;
	mutex_lock(&server->mutex);
	disconnect_locked(server);
	mutex_unlock(&server->mutex);
	/* It goes on without us, or ends: it is not to be killed. */
	if (server->process.pidfd >= 0)
		close(server->process.pidfd);
	mutex_fini(&server->mutex);
	free(server->folder);
	free(server);
}
