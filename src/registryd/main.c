/* SPDX-License-Identifier: Apache-2.0 */
/* kist-registry: the OCI distribution API over a folder. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/options.h"
#include "base/path.h"
#include "registryd/api.h"
#include "registryd/collector.h"

/* Of a pushed blob at a time. */
#define READ_BYTES (256 * 1024)

struct settings {
	const char *config;
	const char *root;
	struct text_list listen;
	const char *log_level;
	const char *certificate;
	const char *key;
	const char *htpasswd;
	bool sparse;
	bool read_only;
	bool validate;
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
	OPTION_TEXT("log-level", 'l', T, log_level, "string", "debug, info, warn or error"),
	OPTION_FLAG("read-only", 0, T, read_only, "Refuse everything that would change something"),
	OPTION_FLAG("sparse", 0, T, sparse, "Take image manifests whose blobs are not here"),
	OPTION_FLAG("validate", 0, T, validate, "Check the configuration and quit"),
	OPTION_FLAG("version", 'v', T, version, "Print the version and quit"),
	OPTION_FLAG("help", 'h', T, help, "Print this and quit"),
	OPTION_END,
};
#undef T

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

static int listen_all(struct http_server *server, const struct registry_config *config, const struct log *log,
		      struct error *err)
{
	const struct http_tls tls = { .certificate = config->tls.certificate,
				      .key = config->tls.key,
				      .client_authorities = config->tls.client_authorities };

	for (size_t i = 0; i < config->listen.count; i++) {
		AUTO_FREE char *address = address_of(config->listen.items[i]);
		AUTO_FREE char *port = NULL;
		int r = tls.certificate && text_has_prefix(address, "tcp://")
				? http_server_listen_tls(server, address, &tls, err)
				: http_server_listen(server, address, (gid_t)-1, err);

		if (r < 0)
			return -1;
		port = xasprintf("%u", http_server_port(server, i));
		log_info(log, "listening", F("root", config->root), F("address", address), F("port", port),
			 F("tls", tls.certificate ? "yes" : "no"));
	}
	return 0;
}

static int serve(const struct registry_config *config, const struct log *log, const sigset_t *ends, struct error *err)
{
	AUTO(catalog_closep) struct catalog *catalog = NULL;
	AUTO(upload_table_freep) struct upload_table *uploads = NULL;
	AUTO(access_closep) struct access *access = NULL;
	AUTO(metrics_freep) struct metrics *metrics = metrics_new();
	/* Before those whose threads use it: they end first. */
	struct api api = { .config = config, .log = log, .metrics = metrics };
	AUTO(cache_freep) struct cache *cache = NULL;
	AUTO(collector_freep) struct collector *collector = NULL;
	AUTO(http_server_freep) struct http_server *server = NULL;
	AUTO_FREE char *secret = path_join(config->root, "token.secret");
	int signal_number = 0;

	if (catalog_open(&catalog, config->root, err) < 0 || access_open(&access, &config->auth, secret, err) < 0)
		return -1;
	uploads = upload_table_new(catalog_blobs(catalog));
	api.catalog = catalog;
	api.uploads = uploads;
	api.access = access;
	if (config->upstreams.count)
		cache = cache_new(catalog, log, config->upstreams.items, config->upstreams.count);
	api.cache = cache;
	if (collector_start(&collector, &api, err) < 0 ||
	    http_server_new(&server,
			    &(struct http_server_options){ .routes = api_routes,
							   .context = &api,
							   .before = api_before,
							   .after = api_after,
							   .not_found = api_not_found,
							   .failed = api_failed,
							   .body_limit = API_MANIFEST_MAX,
							   .read_bytes = READ_BYTES,
							   .idle_timeout_s = 120,
							   .send_timeout_s = 120 },
			    err) < 0 ||
	    listen_all(server, config, log, err) < 0 || http_server_start(server, err) < 0)
		return -1;
	log_info(log, "registry is ready", F("root", config->root));
	sigwait(ends, &signal_number);
	log_info(log, "registry ends", F("signal", strsignal(signal_number)));
	return 0;
}

/* ---- settings ---- */

static void replace(char **text, const char *value)
{
	if (!value)
		return;
	free(*text);
	*text = xstrdup(value);
}

static int read_settings(struct registry_config *config, struct settings *settings, int argc, char **argv,
			 struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };

	if (options_parse(options, settings, argc, argv, 0, &operands, err) < 0)
		return -1;
	if (operands.count)
		return error_set(err, ERR_INVALID, "unexpected argument \"%s\"", operands.items[0]);
	if (registry_config_load(config, settings->config, err) < 0)
		return -1;
	replace(&config->root, settings->root);
	replace(&config->log_level, settings->log_level);
	replace(&config->tls.certificate, settings->certificate);
	replace(&config->tls.key, settings->key);
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

static int run(const struct registry_config *config, struct error *err)
{
	struct log log = { .fd = 2, .level = LOG_LEVEL_INFO };
	sigset_t ends;

	if (config->log_level)
		log_level_parse(&log.level, config->log_level);
	log.json = text_equal(config->log_format, "json");
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	return serve(config, &log, &ends, err);
}

static void print_help(void)
{
	AUTO_FREE char *help = options_help(options);

	printf("Usage: kist-registry [options]\n\nServes container images (OCI distribution API).\n\n%s", help);
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
	else if (settings.validate)
		puts("configuration OK");
	else if (run(&config, &err) < 0)
		code = 1;
	if (code)
		fprintf(stderr, "kist-registry: %s\n", err.message);
	text_list_fini(&settings.listen);
	return code;
}
