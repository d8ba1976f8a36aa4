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
#include "api/peer/peer.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/program.h"
#include "base/systemd.h"
#include "daemon/memory.h"
#include "daemon/settings.h"
#include "engine/engine.h"
#include "engine/system.h"
#include "http/server.h"
#include "network/network.h"
#include "store/repair.h"
#include "sys/mount_api.h"

#define FIRST_INHERITED_FD 3
#define DEFAULT_SHUTDOWN_TIMEOUT_S 15
#define CLOSE_TIMEOUT_S 60 /* at least, once no client is left */
#define PEER_CONNECTIONS 64
/* An idle one costs three descriptors and some KiB. */
#define API_CONNECTIONS 4096
#define METRICS_CONNECTIONS 16
#define DESCRIPTORS_WANTED 1048576 /* as in kistd.service */

struct daemon {
	int argc;
	char *const *argv;
	struct daemon_config config;	  /* as at the start; borrowed from the oldest of `settings` */
	struct daemon_settings *settings; /* the newest first */
	struct log log;
	struct docker_api api;
	struct metrics *metrics;
	struct http_server *server;
	struct http_server *metrics_server; /* NULL: no --metrics-addr */
	struct http_server *peer_server;    /* NULL: no --serve */
	struct buildkit *buildkit;
	struct engine *engine;
	struct collector *collector;
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

	if (file_read(&name, NULL, AT_FDCWD, path, 64) < 0)
		return false;
	return (text_equal(text_trim(name), "kistd") || text_equal(text_trim(name), "dockerd")) &&
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
		if (http_server_listen_take_fd(daemon->server, FIRST_INHERITED_FD + i, NULL, err) < 0)
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
	const struct network_bridge bridge = daemon_settings_bridge(config);
	struct engine_options options;

	engine_options_init(&options);
	options.data_root = config->data_root;
	options.exec_root = config->exec_root;
	options.storage_driver = config->storage_driver;
	if (daemon_config_storage_size(&options.storage_size_bytes, config, err) < 0)
		return -1;
	options.bridge = config->bridge;
	options.nft_table = config->firewall_table;
	options.cgroup_parent = config->cgroup_parent;
	options.address_pool = config->address_pool;
	options.init_path = init_path;
	options.cni_config_dir = config->cni_config_dir;
	options.cni_plugin_dirs = config->cni_plugin_dirs;
	options.plugin_dirs = config->plugin_dirs;
	options.shm_size_bytes = daemon_config_shm_size(config);
	options.userns_remap = config->userns_remap;
	options.cdi_folders = &config->cdi_folders;
	options.log_driver = config->log_driver;
	options.log_options = &config->log_options;
	options.stop_timeout_s = optional_i64_or(config->stop_timeout_s, 0);
	options.default_bridge = &bridge;
	options.no_proxy = !optional_bool_or(config->userland_proxy, true);
	options.log = &daemon->log;
	options.settings = &daemon->settings->engine;
	options.pools = pools = read_pools(config, err);
	options.pool_count = config->address_pools.count;
	if (!pools || engine_open(&daemon->engine, &options, err) < 0)
		return -1;
	return collector_start(&daemon->collector, daemon->engine, &daemon->log, &daemon->settings->collector, err);
}

static int block_signals(struct daemon *daemon, struct error *err)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
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
		.guard = docker_guard,
		.review = docker_review,
		.after = docker_after,
		.max_connections = API_CONNECTIONS,
	};

	return http_server_new(&daemon->server, &options, err);
}

/* Plain http, as Prometheus asks; only figures are served there. */
static int listen_metrics(struct daemon *daemon, struct error *err)
{
	const struct http_server_options options = {
		.routes = metrics_routes,
		.context = daemon->metrics,
		.not_found = metrics_not_found,
		.max_connections = METRICS_CONNECTIONS,
		.idle_timeout_s = 60,
	};
	AUTO_FREE char *address = NULL;

	if (text_empty(daemon->config.metrics_address))
		return 0;
	address = xasprintf("tcp://%s", daemon->config.metrics_address);
	if (http_server_new(&daemon->metrics_server, &options, err) < 0 ||
	    http_server_listen(daemon->metrics_server, address, (gid_t)-1, err) < 0)
		return error_prefix(err, "metrics-addr");
	return 0;
}

static struct http_tls serve_tls(const struct daemon_config *config)
{
	return (struct http_tls){ .certificate = config->serve_certificate,
				  .key = config->serve_key,
				  .client_authorities = config->serve_authorities };
}

static int listen_peers(struct daemon *daemon, struct error *err)
{
	const struct http_server_options options = {
		.routes = peer_routes,
		.context = &daemon->engine,
		.not_found = peer_not_found,
		.failed = peer_failed,
		.max_connections = PEER_CONNECTIONS,
		.idle_timeout_s = 60,
		.send_timeout_s = 60,
		.direct = true,
	};
	const struct text_list *addresses = &daemon->config.serve;
	const struct http_tls tls = serve_tls(&daemon->config);

	if (addresses->count == 0)
		return 0;
	if (http_server_new(&daemon->peer_server, &options, err) < 0)
		return -1;
	for (size_t i = 0; i < addresses->count; i++) {
		AUTO_FREE char *address = xasprintf("tcp://%s", addresses->items[i]);
		int r = tls.certificate ? http_server_listen_tls(daemon->peer_server, address, &tls, err)
					: http_server_listen(daemon->peer_server, address, (gid_t)-1, err);

		if (r < 0)
			return error_prefix(err, "serve");
	}
	return 0;
}

/* For our own programs that talk to registries, and for info. Before the first thread. */
static void set_proxies(const struct daemon_proxies *proxies)
{
	if (proxies->http)
		setenv("HTTP_PROXY", proxies->http, 1);
	if (proxies->http)
		setenv("http_proxy", proxies->http, 1);
	if (proxies->https)
		setenv("HTTPS_PROXY", proxies->https, 1);
	if (proxies->no)
		setenv("NO_PROXY", proxies->no, 1);
}

static int adjust_oom_score(const struct daemon *daemon, struct error *err)
{
	AUTO_FREE char *text = NULL;
	int r;

	if (!daemon->config.oom_score_adjust.set)
		return 0;
	text = xasprintf("%lld", (long long)daemon->config.oom_score_adjust.value);
	r = file_write_once(AT_FDCWD, "/proc/self/oom_score_adj", text);
	return r < 0 ? error_set_errno(err, ERR_FORBIDDEN, r, "oom-score-adjust %s", text) : 0;
}

static int start(struct daemon *daemon, struct error *err)
{
	daemon->metrics = metrics_new();
	daemon->api = (struct docker_api){ .log = &daemon->log,
					   .metrics = daemon->metrics,
					   .policies = daemon->settings->policies,
					   .bridge = daemon->config.bridge,
					   .started_ns = clock_wall_ns() };
	set_proxies(&daemon->config.proxies);
	if (adjust_oom_score(daemon, err) < 0 || block_signals(daemon, err) < 0 || write_pidfile(daemon, err) < 0 ||
	    new_server(daemon, err) < 0 || listen_all(daemon, err) < 0 || listen_metrics(daemon, err) < 0 ||
	    listen_peers(daemon, err) < 0 || open_engine(daemon, err) < 0)
		return -1;
	daemon->api.engine = daemon->engine;
	daemon->api.buildkit = daemon->buildkit = buildkit_new(daemon->engine);
	metrics_set_engine(daemon->metrics, daemon->engine);
	if (http_server_start(daemon->server, err) < 0 ||
	    (daemon->metrics_server && http_server_start(daemon->metrics_server, err) < 0) ||
	    (daemon->peer_server && http_server_start(daemon->peer_server, err) < 0))
		return -1;
	systemd_notify("READY=1");
	memory_shrink();
	log_info(&daemon->log, "ready", F("version", KIST_VERSION), F("data-root", daemon->config.data_root));
	return 0;
}

/* ---- run ---- */

static void log_all(struct daemon *daemon, const char *message, const char *key, const struct text_list *values)
{
	for (size_t i = 0; i < values->count; i++)
		log_warn(&daemon->log, message, F(key, values->items[i]));
}

/* A certificate has a short life: who renews it says so by a signal. */
static void reload_serve_tls(struct daemon *daemon)
{
	const struct http_tls tls = serve_tls(&daemon->config);
	AUTO(error_clear) struct error err = { 0 };

	if (tls.certificate && http_server_reload_tls(daemon->peer_server, &tls, &err) < 0)
		log_error(&daemon->log, "the certificate of serve stays what it was", F("error", err.message));
}

/* The command line and the file again: what cannot be used leaves everything as it is. */
static void reload(struct daemon *daemon)
{
	struct daemon_settings *settings = xcalloc(1, sizeof(*settings));
	AUTO(text_list_fini) struct text_list unchanged = { 0 };
	AUTO(text_map_fini) struct text_map attributes = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	enum config_action action;
	char *file = NULL;

	if (daemon_config_load(&settings->config, &action, &file, daemon->argc, daemon->argv, &err) < 0 ||
	    daemon_settings_fill(settings, &err) < 0) {
		log_error(&daemon->log, "configuration not reloaded", F("error", err.message));
		daemon_settings_free(settings);
		free(file);
		return;
	}
	free(file);
	settings->older = daemon->settings;
	daemon->settings = settings;
	daemon_settings_unchanged(&unchanged, &daemon->config, &settings->config);
	log_all(daemon, "configuration: this changes with the next start only", "option", &unchanged);
	log_set_level(&daemon->log, daemon_config_log_level(&settings->config));
	daemon_settings_describe(&attributes, &settings->config);
	__atomic_store_n(&daemon->api.policies, settings->policies, __ATOMIC_RELEASE);
	engine_reload(daemon->engine, &settings->engine, &attributes);
	collector_reload(daemon->collector, &settings->collector);
	reload_serve_tls(daemon);
	log_info(&daemon->log, "configuration reloaded", F("debug", settings->engine.debug ? "true" : "false"));
}

static void log_threads(struct daemon *daemon)
{
	AUTO_FREE char *text = program_threads();
	AUTO(text_list_fini) struct text_list lines = { 0 };

	text_list_split(&lines, text, '\n');
	for (size_t i = 0; i + 1 < lines.count; i++)
		log_info(&daemon->log, "thread", F("is", lines.items[i]));
}

static void wait_for_end(struct daemon *daemon)
{
	struct signalfd_siginfo info;

	for (;;) {
		if (read_full(daemon->signal_fd, &info, sizeof(info)) != sizeof(info))
			return;
		if (info.ssi_signo == SIGHUP)
			reload(daemon);
		else if (info.ssi_signo == SIGUSR1)
			log_threads(daemon);
		else
			break;
	}
	log_info(&daemon->log, "stopping; containers go on running",
		 F("signal", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM"));
}

/* A request that does not end must not hold us: what was acknowledged is on disk, as after kill -9. */
static void give_up(int signal_number)
{
	static const char word[] =
		"kistd: gives up waiting for requests to end; the next start removes what they leave\n";

	_exit(write(STDERR_FILENO, word, sizeof(word) - 1) < 0 ? signal_number : 0);
}

static void give_up_after(int64_t timeout_s)
{
	signal(SIGALRM, give_up);
	alarm(timeout_s < 0 ? 0 : timeout_s == 0 ? 1 : (unsigned)timeout_s);
}

static void stop(struct daemon *daemon)
{
	bool serving = daemon->server && daemon->engine;
	int64_t timeout_s = optional_i64_or(daemon->settings->config.shutdown_timeout_s, DEFAULT_SHUTDOWN_TIMEOUT_S);

	if (serving) {
		systemd_notify("STOPPING=1");
		give_up_after(timeout_s);
	}
	if (daemon->has_pidfile)
		unlink(daemon->config.pidfile);
	http_server_free(daemon->server);
	http_server_free(daemon->metrics_server);
	http_server_free(daemon->peer_server);
	buildkit_free(daemon->buildkit);
	collector_free(daemon->collector);
	/* On a busy machine the clients may have taken all of it: links and rules have time of their own to go. */
	if (serving && timeout_s >= 0 && timeout_s < CLOSE_TIMEOUT_S)
		give_up_after(CLOSE_TIMEOUT_S);
	engine_close(daemon->engine);
	metrics_free(daemon->metrics);
	if (daemon->signal_fd >= 0)
		close(daemon->signal_fd);
	daemon_settings_free(daemon->settings);
}

static int run(struct daemon *daemon, struct error *err)
{
	daemon->config = daemon->settings->config;
	daemon->log = (struct log){ .fd = STDERR_FILENO,
				    .level = daemon_config_log_level(&daemon->config),
				    .json = text_equal(daemon->config.log_format, "json") };
	log_all(daemon, "configuration", "option", &daemon->config.warnings);
	raise_descriptor_limit();
	if (check_host(err) < 0 || start(daemon, err) < 0)
		return -1;
	wait_for_end(daemon);
	return 0;
}

static void print_line(void *context, const char *line)
{
	(void)context;
	puts(line);
}

static int act(struct daemon *daemon, enum config_action action, struct error *err)
{
	bool as_dockerd = daemon_config_is_dockerd(daemon->argv[0]);
	AUTO_FREE char *help = NULL;

	switch (action) {
	case CONFIG_HELP:
		help = daemon_config_help(as_dockerd ? "dockerd" : "kistd");
		fputs(help, stdout);
		return 0;
	case CONFIG_VERSION:
		puts(as_dockerd ? "Docker version " ENGINE_SERVER_VERSION ", build kist-" KIST_VERSION
				: "kistd version " KIST_VERSION);
		return 0;
	case CONFIG_VALIDATE:
		puts("configuration OK");
		return 0;
	case CONFIG_RECOVER:
		return store_repair(daemon->settings->config.data_root, print_line, NULL, err);
	case CONFIG_RUN:
		break;
	}
	return run(daemon, err);
}

int main(int argc, char **argv)
{
	struct daemon daemon = { .signal_fd = -1, .argc = argc, .argv = argv };
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *file = NULL;
	enum config_action action;
	int r;

	/* A thread per connection needs no heap of its own: with two arenas we stay small. */
	mallopt(M_ARENA_MAX, 2);
	daemon.settings = xcalloc(1, sizeof(*daemon.settings));
	r = daemon_config_load(&daemon.settings->config, &action, &file, argc, argv, &err);
	if (r == 0)
		r = daemon_settings_fill(daemon.settings, &err);
	if (r == 0)
		r = act(&daemon, action, &err);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", daemon_config_is_dockerd(argv[0]) ? "dockerd" : "kistd",
			text_or_empty(err.message));
	stop(&daemon);
	return r < 0 ? 1 : 0;
}
