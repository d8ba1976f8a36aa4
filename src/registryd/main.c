/* SPDX-License-Identifier: Apache-2.0 */
/* kist-registry: the OCI distribution API over a folder. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/options.h"
#include "base/path.h"
#include "base/systemd.h"
#include "registryd/api.h"
#include "registryd/collector.h"
#include "registryd/objects.h"
#include "registryd/scrub.h"

/* Of a pushed blob at a time. */
#define READ_BYTES (256 * 1024)

struct settings {
	const char *config;
	const char *root;
	struct text_list listen;
	const char *log_level;
	const char *certificate;
	const char *key;
	const char *client_authorities;
	const char *htpasswd;
	bool sparse;
	bool read_only;
	bool validate;
	bool schema;
	bool version;
	bool help;
};

#define T struct settings
static const struct option_spec options[] = {
	OPTION_TEXT("config", 'c', T, config, "path", "Configuration file (JSON); options win over it"),
	OPTION_TEXT("root", 0, T, root, "path", "Folder of all data (default /var/lib/kist-registry)"),
	OPTION_LIST("listen", 0, T, listen, "host:port", "Address to listen on (default 127.0.0.1:5000)"),
	OPTION_TEXT("htpasswd", 0, T, htpasswd, "path", "Users and their bcrypt hashes (htpasswd -B)"),
	OPTION_TEXT("tls-certificate", 0, T, certificate, "path", "Serve TLS with this certificate (PEM)"),
	OPTION_TEXT("tls-key", 0, T, key, "path", "and this key"),
	OPTION_TEXT("tls-client-authorities", 0, T, client_authorities, "path",
		    "and only to clients with a certificate signed by these"),
	OPTION_TEXT("log-level", 'l', T, log_level, "string", "debug, info, warn or error"),
	OPTION_FLAG("read-only", 0, T, read_only, "Refuse everything that would change something"),
	OPTION_FLAG("sparse", 0, T, sparse, "Take image manifests whose blobs are not here"),
	OPTION_FLAG("validate", 0, T, validate, "Check the configuration and quit"),
	OPTION_FLAG("schema", 0, T, schema, "Print the JSON Schema of the configuration file and quit"),
	OPTION_FLAG("version", 'v', T, version, "Print the version and quit"),
	OPTION_FLAG("help", 'h', T, help, "Print this and quit"),
	OPTION_END,
};
#undef T

#define FIRST_INHERITED_FD 3
#define INHERITED_MAX 64
#define DRAIN_SLICE_MS 200
#define DELETED " (deleted)"

static const int handled[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR2 };

struct program {
	const struct settings *settings; /* borrowed, as is argv */
	char **argv;
	struct log log;
	sigset_t signals;
	struct registry_config **configs; /* owned: read while it ran */
	size_t config_count;
	size_t config_capacity;
	int kept[INHERITED_MAX]; /* listening sockets for a successor */
	size_t kept_count;
};

static void set_log(struct log *log, const struct registry_config *config)
{
	enum log_level level = LOG_LEVEL_INFO;

	if (config->log_level)
		log_level_parse(&level, config->log_level);
	log_set_level(log, level);
	log->json = text_equal(config->log_format, "json");
}

/* "5000" and ":5000" are ports on all addresses, as everywhere. */
static char *address_of(const char *listen)
{
	const char *rest = text_after(listen, "tcp://");

	if (!rest)
		rest = listen;
	if (text_has_prefix(rest, "unix://"))
		return xstrdup(rest);
	if (*rest == ':')
		return xasprintf("tcp://0.0.0.0%s", rest);
	return xasprintf("tcp://%s%s", strchr(rest, ':') ? "" : "0.0.0.0:", rest);
}

/* ---- sockets ---- */

static bool is_unix(int fd)
{
	int domain = AF_INET;
	socklen_t size = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

static void say_listening(const struct log *log, struct http_server *server, size_t index, const char *address,
			  const struct registry_config *config)
{
	AUTO_FREE char *port = xasprintf("%u", http_server_port(server, index));

	log_info(log, "listening", F("root", config->root), F("address", address), F("port", port),
		 F("tls", config->tls.certificate && !text_has_prefix(address, "unix") ? "yes" : "no"));
}

/* From a service manager, or from the process that we replace. */
static int take_inherited(struct http_server *server, const struct registry_config *config, int count,
			  const struct log *log, const struct http_tls *tls, struct error *err)
{
	for (int i = 0; i < count; i++) {
		int fd = FIRST_INHERITED_FD + i;
		bool local = is_unix(fd);

		if (http_server_listen_take_fd(server, fd, tls->certificate && !local ? tls : NULL, err) < 0)
			return -1;
		say_listening(log, server, (size_t)i, local ? "unix://inherited" : "inherited", config);
	}
	return 0;
}

static struct http_tls tls_of(const struct registry_config *config)
{
	return (struct http_tls){ .certificate = config->tls.certificate,
				  .key = config->tls.key,
				  .client_authorities = config->tls.client_authorities };
}

static int listen_all(struct http_server *server, const struct registry_config *config, const struct log *log,
		      struct error *err)
{
	const struct http_tls tls = tls_of(config);
	int inherited = systemd_listen_fds();

	if (inherited > 0)
		return take_inherited(server, config, inherited, log, &tls, err);
	for (size_t i = 0; i < config->listen.count; i++) {
		AUTO_FREE char *address = address_of(config->listen.items[i]);
		int r = tls.certificate && text_has_prefix(address, "tcp://")
				? http_server_listen_tls(server, address, &tls, err)
				: http_server_listen(server, address, (gid_t)-1, err);

		if (r < 0)
			return -1;
		say_listening(log, server, i, address, config);
	}
	return 0;
}

/* Copies of the listening sockets, above the numbers they will have. */
static void keep_sockets(struct program *program, struct http_server *server)
{
	int fd;

	while (program->kept_count < INHERITED_MAX &&
	       (fd = http_server_share_listener(server, program->kept_count)) >= 0) {
		program->kept[program->kept_count++] = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_INHERITED_FD + INHERITED_MAX);
		close(fd);
	}
}

/* Becomes the program that is installed now. Only returns with an error. */
static int become_successor(struct program *program, struct error *err)
{
	AUTO_FREE char *count = xasprintf("%zu", program->kept_count);
	AUTO_FREE char *pid = xasprintf("%d", getpid());
	char path[PATH_MAX];
	ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
	sigset_t none;

	if (size < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "read /proc/self/exe");
	path[size] = '\0';
	/* The file was replaced: its successor has the name. */
	if (text_has_suffix(path, DELETED))
		path[(size_t)size - strlen(DELETED)] = '\0';
	for (size_t i = 0; i < program->kept_count; i++)
		if (dup2(program->kept[i], FIRST_INHERITED_FD + (int)i) < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "hand the sockets over");
	setenv("LISTEN_FDS", count, 1);
	setenv("LISTEN_PID", pid, 1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv(path, program->argv);
	return error_set_errno(err, ERR_INTERNAL, errno, "execute %s", path);
}

/* ---- settings ---- */

static void replace(char **text, const char *value)
{
	if (!value)
		return;
	free(*text);
	*text = xstrdup(value);
}

static int load_config(struct registry_config *config, const struct settings *settings, struct error *err)
{
	if (registry_config_load(config, settings->config, err) < 0)
		return -1;
	replace(&config->root, settings->root);
	replace(&config->log_level, settings->log_level);
	replace(&config->tls.certificate, settings->certificate);
	replace(&config->tls.key, settings->key);
	replace(&config->tls.client_authorities, settings->client_authorities);
	replace(&config->auth.htpasswd, settings->htpasswd);
	config->sparse |= settings->sparse;
	config->read_only |= settings->read_only;
	if (settings->listen.count) {
		text_list_fini(&config->listen);
		text_list_add_all(&config->listen, &settings->listen);
	}
	if (config->listen.count == 0)
		text_list_add(&config->listen, "127.0.0.1:5000");
	return registry_config_check(config, err);
}

static int read_settings(struct registry_config *config, struct settings *settings, int argc, char **argv,
			 struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };

	if (options_parse(options, settings, argc, argv, 0, &operands, err) < 0)
		return -1;
	if (operands.count)
		return error_set(err, ERR_INVALID, "unexpected argument \"%s\"", operands.items[0]);
	return load_config(config, settings, err);
}

/* ---- life ---- */

/* Whole or not at all. Old ones stay: a request may have looked at one a moment ago. */
static int apply(struct program *program, struct registry_config *config, struct api *api, struct http_server *server,
		 struct error *err)
{
	const char *fixed = registry_config_fixed(api_config(api), config);
	const struct http_tls tls = tls_of(config);

	if (fixed)
		return error_set(err, ERR_UNSUPPORTED, "%s cannot change while it runs: restart it", fixed);
	if (tls.certificate && http_server_reload_tls(server, &tls, err) < 0)
		return -1;
	set_log(&program->log, config);
	access_reload(api->access, &config->auth);
	catalog_set_quota(api->catalog, &config->quota);
	api->config = config;
	return 0;
}

static void reload(struct program *program, struct api *api, struct http_server *server)
{
	struct registry_config *config = xcalloc(1, sizeof(*config));
	AUTO(error_clear) struct error err = { 0 };

	program->configs = xgrow(program->configs, &program->config_capacity, program->config_count + 1,
				 sizeof(struct registry_config *));
	program->configs[program->config_count++] = config;
	if (load_config(config, program->settings, &err) < 0 || apply(program, config, api, server, &err) < 0)
		log_error(&program->log, "the configuration stays as it was", F("error", err.message));
	else
		log_info(&program->log, "configuration read again");
}

/* Serves until a signal says to end; that is returned. */
static int serve_signals(struct program *program, struct api *api, struct http_server *server,
			 struct routine *const routines[2])
{
	int number = 0;

	for (;;) {
		sigwait(&program->signals, &number);
		if (number != SIGHUP)
			return number;
		reload(program, api, server);
		routine_wake(routines[0]);
		routine_wake(routines[1]);
	}
}

/* Requests that run go on to their end; another signal, or too long a time, ends them too. */
static void finish_requests(struct program *program, const struct api *api, struct http_server *server)
{
	int64_t deadline_ns = clock_monotonic_ns() + api_config(api)->stop_wait_s * CLOCK_SECOND;
	const struct timespec now = { 0 };

	while (!http_server_drain(server, DRAIN_SLICE_MS) && clock_monotonic_ns() < deadline_ns)
		if (sigtimedwait(&program->signals, NULL, &now) > 0)
			return;
}

static int open_parts(struct api *api, const struct registry_config *config, const struct log *log, struct error *err)
{
	AUTO_FREE char *secret = path_join(config->root, "token.secret");

	if (catalog_open(&api->catalog, config->root, err) < 0 ||
	    access_open(&api->access, &config->auth, secret, err) < 0)
		return -1;
	catalog_set_quota(api->catalog, &config->quota);
	api->uploads = upload_table_new(catalog_blobs(api->catalog));
	if (config->s3 && objects_new(&api->objects, config->s3, log, err) < 0)
		return error_prefix(err, "s3.secret-file");
	if (catalog_set_objects(api->catalog, api->objects, err) < 0)
		return -1;
	if (config->upstreams.count || config->s3)
		api->cache = cache_new(api->catalog, log, config->upstreams.items, config->upstreams.count);
	if (config->webhooks.count) {
		api->events = events_new(config->webhooks.items, config->webhooks.count, log, api->metrics);
		return events_start(api->events, err);
	}
	return 0;
}

static void close_parts(struct api *api)
{
	cache_free(api->cache);
	events_free(api->events);
	access_close(api->access);
	upload_table_free(api->uploads);
	catalog_close(api->catalog);
	objects_free(api->objects);
	metrics_free(api->metrics);
}

static int serve(struct program *program, const struct registry_config *config, struct error *err)
{
	const struct log *log = &program->log;
	AUTO(close_parts) struct api api = { .config = config, .log = log, .metrics = metrics_new() };
	/* Behind the parts that their threads use: they end first. */
	AUTO(routine_freep) struct routine *collector = NULL;
	AUTO(routine_freep) struct routine *scrub = NULL;
	AUTO(routine_freep) struct routine *tidy = NULL;
	AUTO(http_server_freep) struct http_server *server = NULL;
	int number;

	if (open_parts(&api, config, log, err) < 0 || collector_start(&collector, &api, err) < 0 ||
	    scrub_start(&scrub, &api, err) < 0 || tidy_start(&tidy, &api, err) < 0 ||
	    http_server_new(&server,
			    &(struct http_server_options){ .routes = api_routes,
							   .context = &api,
							   .before = api_before,
							   .after = api_after,
							   .not_found = api_not_found,
							   .failed = api_failed,
							   .body_limit = API_MANIFEST_MAX,
							   .read_bytes = READ_BYTES,
							   .direct = true,
							   .idle_timeout_s = 120,
							   .send_timeout_s = 120 },
			    err) < 0 ||
	    listen_all(server, config, log, err) < 0 || http_server_start(server, err) < 0)
		return -1;
	log_info(log, "registry is ready", F("root", config->root));
	systemd_notify("READY=1");
	number = serve_signals(program, &api, server, (struct routine *const[]){ collector, scrub });
	log_info(log, number == SIGUSR2 ? "registry restarts" : "registry ends", F("signal", strsignal(number)));
	systemd_notify(number == SIGUSR2 ? "RELOADING=1" : "STOPPING=1");
	finish_requests(program, &api, server);
	if (number == SIGUSR2)
		keep_sockets(program, server);
	return 0;
}

static int run(const struct registry_config *config, const struct settings *settings, char **argv, struct error *err)
{
	struct program program = { .settings = settings, .argv = argv, .log = { .fd = 2 } };
	int r;

	set_log(&program.log, config);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&program.signals);
	for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
		sigaddset(&program.signals, handled[i]);
	sigprocmask(SIG_BLOCK, &program.signals, NULL);
	r = serve(&program, config, err);
	for (size_t i = 0; i < program.config_count; i++) {
		registry_config_fini(program.configs[i]);
		free(program.configs[i]);
	}
	free(program.configs);
	return r == 0 && program.kept_count ? become_successor(&program, err) : r;
}

static void print_help(void)
{
	AUTO_FREE char *help = options_help(options);

	printf("Usage: kist-registry [options]\n\nServes container images (OCI distribution API).\n\n%s", help);
}

static void print_schema(void)
{
	AUTO_FREE char *schema = registry_config_schema();

	fputs(schema, stdout);
}

int main(int argc, char **argv)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(registry_config_fini) struct registry_config config = { 0 };
	struct settings settings = { 0 };
	int code = 0;

	if (read_settings(&config, &settings, argc, argv, &err) < 0)
		code = 2;
	else if (settings.version)
		puts("kist-registry version " KIST_VERSION);
	else if (settings.help)
		print_help();
	else if (settings.schema)
		print_schema();
	else if (settings.validate)
		puts("configuration OK");
	else if (run(&config, &settings, argv, &err) < 0)
		code = 1;
	if (code)
		fprintf(stderr, "kist-registry: %s\n", err.message);
	text_list_fini(&settings.listen);
	return code;
}
