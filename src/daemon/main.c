/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kistd: reads its configuration, opens the engine, serves the API until a signal comes. The sockets exist from the
 * start, but nobody is answered before the engine has found its containers again. Containers outlive us.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "api/docker/docker.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/program.h"
#include "daemon/config.h"
#include "daemon/memory.h"
#include "daemon/systemd.h"
#include "engine/engine.h"
#include "http/server.h"
#include "network/network.h"
#include "sys/mount_api.h"

#define FIRST_INHERITED_FD 3
#define DEFAULT_SHUTDOWN_TIMEOUT_S 15
#define DESCRIPTORS_WANTED 1048576 /* as in kistd.service */

struct daemon {
	struct daemon_config config;
	char *config_file; /* NULL: none */
	struct log log;
	struct session_settings registry;
	struct docker_api api;
	struct http_server *server;
	struct engine *engine;
	int signal_fd;
	bool has_pidfile;
};

/* A container costs us two descriptors, a client some more; 1024 of them would not last. Containers inherit it. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS_WANTED)
		return;
	limit.rlim_cur = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : DESCRIPTORS_WANTED;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int check_host(struct error *err)
{
	if (geteuid() != 0)
		return error_set(err, ERR_FORBIDDEN, "kistd needs to be started with root privileges");
	if (!mount_api_available())
		return error_set(err, ERR_UNSUPPORTED, "kistd needs Linux 5.12 or later (mount_setattr)");
	return 0;
}

/* A dead one that its parent has not waited for has a name still, but no program. */
static bool is_kistd(uint64_t pid)
{
	AUTO_FREE char *path = xasprintf("/proc/%llu/comm", (unsigned long long)pid);
	AUTO_FREE char *program = xasprintf("/proc/%llu/exe", (unsigned long long)pid);
	AUTO_FREE char *name = NULL;
	char target[PATH_MAX];

	return file_read(&name, NULL, AT_FDCWD, path, 64) == 0 && text_equal(text_trim(name), "kistd") &&
	       readlink(program, target, sizeof(target)) >= 0;
}

/* A stale file names a process that ended, or one that took over its number. */
static int write_pidfile(struct daemon *daemon, struct error *err)
{
	const char *path = daemon->config.pidfile;
	AUTO_FREE char *parent = path_parent(path);
	AUTO_FREE char *old = NULL;
	AUTO_FREE char *text = xasprintf("%d", (int)getpid());
	uint64_t pid;
	int r;

	if (file_read(&old, NULL, AT_FDCWD, path, 64) == 0 && text_parse_u64(&pid, text_trim(old), INT32_MAX) == 0 &&
	    pid != (uint64_t)getpid() && is_kistd(pid))
		return error_set(
			err, ERR_CONFLICT,
			"process with PID %llu is still running: %s names it; stop it or use another --pidfile",
			(unsigned long long)pid, path);
	r = mkdir_all(AT_FDCWD, parent, 0711);
	if (r == 0)
		r = file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644, FILE_NO_SYNC);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "write pidfile %s", path);
	daemon->has_pidfile = true;
	return 0;
}

/* ---- listeners ---- */

static int find_group(gid_t *out_group, const struct daemon *daemon, struct error *err)
{
	const char *name = daemon->config.group;
	const struct group *found;
	uint64_t number;

	*out_group = (gid_t)-1;
	if (name && text_parse_u64(&number, name, UINT32_MAX - 1) == 0) {
		*out_group = (gid_t)number;
		return 0;
	}
	found = getgrnam(name ? name : "docker");
	if (found)
		*out_group = found->gr_gid;
	else if (name)
		return error_set(err, ERR_INVALID, "group %s not found", name);
	return 0;
}

/* With TLS, or plain: to the local host, or, if it was said in so many words, to everybody. */
static int listen_tcp(struct daemon *daemon, const char *address, struct error *err)
{
	const struct daemon_config *config = &daemon->config;
	const struct http_tls tls = {
		.certificate = config->tls_certificate,
		.key = config->tls_key,
		.client_authorities = optional_bool_or(config->tls_verify, false) ? config->tls_authorities : NULL,
	};

	if (!tls.client_authorities && !daemon_config_is_loopback(address))
		log_warn(&daemon->log,
			 "DANGER: clients of this address need no certificate; whoever reaches it is root on this host",
			 F("address", address));
	return daemon_config_uses_tls(config) ? http_server_listen_tls(daemon->server, address, &tls, err)
					      : http_server_listen(daemon->server, address, (gid_t)-1, err);
}

static int listen_inherited(struct daemon *daemon, int count, struct error *err)
{
	if (count == 0)
		return error_set(err, ERR_INVALID, "host fd://: no socket was handed over by a service manager");
	for (int i = 0; i < count; i++)
		if (http_server_listen_take_fd(daemon->server, FIRST_INHERITED_FD + i, err) < 0)
			return -1;
	return 0;
}

static int listen_one(struct daemon *daemon, const char *address, int inherited, struct error *err)
{
	gid_t group = (gid_t)-1;

	if (text_has_prefix(address, "fd://"))
		return listen_inherited(daemon, inherited, err);
	if (find_group(&group, daemon, err) < 0)
		return -1;
	if (text_has_prefix(address, "tcp://"))
		return listen_tcp(daemon, address, err);
	if (text_has_prefix(address, "unix://")) {
		AUTO_FREE char *parent = path_parent(address + strlen("unix://"));
		int r = mkdir_all(AT_FDCWD, parent, 0711);

		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "create %s", parent);
	}
	return http_server_listen(daemon->server, address, group, err);
}

static int listen_all(struct daemon *daemon, struct error *err)
{
	int inherited = systemd_listen_fds();
	AUTO_FREE char *fallback = xasprintf("unix://%s/kist.sock", daemon->config.exec_root);

	if (daemon->config.hosts.count == 0)
		return listen_one(daemon, inherited > 0 ? "fd://" : fallback, inherited, err);
	for (size_t i = 0; i < daemon->config.hosts.count; i++)
		if (listen_one(daemon, daemon->config.hosts.items[i], inherited, err) < 0)
			return -1;
	return 0;
}

/* ---- start ---- */

static struct network_pool *read_pools(const struct daemon_config *config, struct error *err)
{
	AUTO_FREE struct network_pool *pools = xcalloc(config->address_pools.count + 1, sizeof(*pools));

	for (size_t i = 0; i < config->address_pools.count; i++) {
		const struct daemon_pool *pool = &config->address_pools.items[i];

		if (pool->size < 1 || pool->size > 128) {
			error_set(err, ERR_INVALID, "default-address-pools: size %lld", (long long)pool->size);
			return NULL;
		}
		pools[i] = (struct network_pool){ .base = pool->base, .size = (uint8_t)pool->size };
	}
	return take_ptr(pools);
}

static int open_engine(struct daemon *daemon, struct error *err)
{
	const struct daemon_config *config = &daemon->config;
	AUTO(error_clear) struct error no_init = { 0 };
	AUTO_FREE char *init_path = config->init_path ? xstrdup(config->init_path)
						      : program_find("kist-init", &no_init);
	AUTO_FREE struct network_pool *pools = NULL;
	struct engine_options options;

	engine_options_init(&options);
	options.data_root = config->data_root;
	options.exec_root = config->exec_root;
	options.bridge = config->bridge;
	options.nft_table = config->firewall_table;
	options.cgroup_parent = config->cgroup_parent;
	options.address_pool = config->address_pool;
	options.init_path = init_path;
	options.shm_size_bytes = daemon_config_shm_size(config);
	options.log_max_size = text_map_get(&config->log_options, "max-size");
	options.log_max_file = text_map_get(&config->log_options, "max-file");
	options.debug = optional_bool_or(config->debug, false);
	options.log = &daemon->log;
	options.registry = &daemon->registry;
	options.pools = pools = read_pools(config, err);
	options.pool_count = config->address_pools.count;
	return pools ? engine_open(&daemon->engine, &options, err) : -1;
}

static int block_signals(struct daemon *daemon, struct error *err)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	/* Before the first thread, so that all inherit it. */
	sigprocmask(SIG_BLOCK, &set, NULL);
	daemon->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (daemon->signal_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "create signalfd");
	return 0;
}

static int new_server(struct daemon *daemon, struct error *err)
{
	const struct http_server_options options = {
		.routes = docker_routes,
		.context = &daemon->api,
		.before = docker_before,
		.not_found = docker_not_found,
		.failed = docker_failed,
	};

	return http_server_new(&daemon->server, &options, err);
}

static int start(struct daemon *daemon, struct error *err)
{
	daemon->registry = (struct session_settings){
		.insecure = daemon->config.insecure_registries,
		.mirrors = daemon->config.registry_mirrors,
		.parallel = optional_i64_or(daemon->config.max_concurrent_downloads, 0),
	};
	daemon->api = (struct docker_api){ .log = &daemon->log,
					   .registry = &daemon->registry,
					   .bridge = daemon->config.bridge,
					   .started_ns = clock_wall_ns() };
	if (block_signals(daemon, err) < 0 || write_pidfile(daemon, err) < 0 || new_server(daemon, err) < 0 ||
	    listen_all(daemon, err) < 0 || open_engine(daemon, err) < 0)
		return -1;
	daemon->api.engine = daemon->engine;
	if (http_server_start(daemon->server, err) < 0)
		return -1;
	systemd_notify("READY=1");
	memory_shrink();
	log_info(&daemon->log, "ready", F("version", KIST_VERSION), F("data-root", daemon->config.data_root));
	return 0;
}

/* ---- run ---- */

static void reload(struct daemon *daemon)
{
	AUTO(error_clear) struct error err = { 0 };
	struct optional_bool debug = { 0 };

	if (!daemon->config_file) {
		log_warn(&daemon->log, "SIGHUP: there is no configuration file to reload");
		return;
	}
	if (daemon_config_reload_debug(&debug, daemon->config_file, &err) < 0) {
		log_error(&daemon->log, "configuration not reloaded", F("error", err.message));
		return;
	}
	if (debug.set)
		daemon->config.debug = debug;
	log_set_level(&daemon->log, daemon_config_log_level(&daemon->config));
	log_info(&daemon->log, "configuration reloaded",
		 F("debug", optional_bool_or(daemon->config.debug, false) ? "true" : "false"));
}

static void wait_for_end(struct daemon *daemon)
{
	struct signalfd_siginfo info;

	for (;;) {
		if (read_full(daemon->signal_fd, &info, sizeof(info)) != sizeof(info))
			return;
		if (info.ssi_signo != SIGHUP)
			break;
		reload(daemon);
	}
	log_info(&daemon->log, "stopping; containers go on running",
		 F("signal", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM"));
}

/* A request that does not end must not hold us: what was acknowledged is on disk, as after kill -9. */
static void give_up(int signal_number)
{
	(void)signal_number;
	_exit(0);
}

static void stop(struct daemon *daemon)
{
	if (daemon->server && daemon->engine) {
		int64_t timeout = optional_i64_or(daemon->config.shutdown_timeout_s, DEFAULT_SHUTDOWN_TIMEOUT_S);

		systemd_notify("STOPPING=1");
		signal(SIGALRM, give_up);
		if (timeout >= 0)
			alarm(timeout ? (unsigned)timeout : 1);
	}
	if (daemon->has_pidfile)
		unlink(daemon->config.pidfile);
	http_server_free(daemon->server);
	engine_close(daemon->engine);
	if (daemon->signal_fd >= 0)
		close(daemon->signal_fd);
	daemon_config_fini(&daemon->config);
	free(daemon->config_file);
}

static int run(struct daemon *daemon, struct error *err)
{
	daemon->log = (struct log){ .fd = STDERR_FILENO,
				    .level = daemon_config_log_level(&daemon->config),
				    .json = text_equal(daemon->config.log_format, "json") };
	raise_descriptor_limit();
	if (check_host(err) < 0 || start(daemon, err) < 0)
		return -1;
	wait_for_end(daemon);
	return 0;
}

int main(int argc, char **argv)
{
	struct daemon daemon = { .signal_fd = -1 };
	AUTO(error_clear) struct error err = { 0 };
	enum config_action action;
	int r = 0;

	/* A thread per connection needs no heap of its own: with two arenas we stay small. */
	mallopt(M_ARENA_MAX, 2);
	r = daemon_config_load(&daemon.config, &action, &daemon.config_file, argc, argv, &err);
	if (r == 0 && action == CONFIG_HELP) {
		AUTO_FREE char *help = daemon_config_help();

		fputs(help, stdout);
	} else if (r == 0 && action == CONFIG_VERSION) {
		puts("kistd version " KIST_VERSION);
	} else if (r == 0 && action == CONFIG_VALIDATE) {
		puts("configuration OK");
	} else if (r == 0) {
		r = run(&daemon, &err);
	}
	if (r < 0)
		fprintf(stderr, "kistd: %s\n", text_or_empty(err.message));
	stop(&daemon);
	return r < 0 ? 1 : 0;
}
