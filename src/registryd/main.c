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
#include "registryd/api.h"

struct settings {
	const char *root;
	const char *listen;
	const char *log_level;
	bool sparse;
	bool version;
	bool help;
};

static const struct option_spec options[] = {
	OPTION_TEXT("root", 0, struct settings, root, "path", "Folder of all data (default /var/lib/kist-registry)"),
	OPTION_TEXT("listen", 0, struct settings, listen, "host:port", "Address to listen on (default 127.0.0.1:5000)"),
	OPTION_TEXT("log-level", 'l', struct settings, log_level, "string", "debug, info, warn or error"),
	OPTION_FLAG("sparse", 0, struct settings, sparse, "Take image manifests whose blobs are not here"),
	OPTION_FLAG("version", 'v', struct settings, version, "Print the version and quit"),
	OPTION_FLAG("help", 'h', struct settings, help, "Print this and quit"),
	OPTION_END,
};

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

static int serve(const struct settings *settings, const struct log *log, const sigset_t *ends, struct error *err)
{
	AUTO(catalog_closep) struct catalog *catalog = NULL;
	AUTO(upload_table_freep) struct upload_table *uploads = NULL;
	AUTO(http_server_freep) struct http_server *server = NULL;
	AUTO_FREE char *address = address_of(settings->listen);
	AUTO_FREE char *port = NULL;
	struct api api = { 0 };
	int signal_number = 0;

	if (catalog_open(&catalog, settings->root, err) < 0)
		return -1;
	uploads = upload_table_new(catalog_blobs(catalog));
	api = (struct api){ .catalog = catalog, .uploads = uploads, .sparse = settings->sparse };
	if (http_server_new(&server,
			    &(struct http_server_options){ .routes = api_routes,
							   .context = &api,
							   .before = api_before,
							   .not_found = api_not_found,
							   .failed = api_failed,
							   .body_limit = API_MANIFEST_MAX,
							   .idle_timeout_s = 120,
							   .send_timeout_s = 120 },
			    err) < 0 ||
	    http_server_listen(server, address, (gid_t)-1, err) < 0 || http_server_start(server, err) < 0)
		return -1;
	port = xasprintf("%u", http_server_port(server, 0));
	log_info(log, "registry is ready", F("root", settings->root), F("address", address), F("port", port));
	sigwait(ends, &signal_number);
	log_info(log, "registry ends", F("signal", strsignal(signal_number)));
	return 0;
}

static int read_settings(struct settings *settings, struct log *log, int argc, char **argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };

	if (options_parse(options, settings, argc, argv, 0, &operands, err) < 0)
		return -1;
	if (operands.count)
		return error_set(err, ERR_INVALID, "unexpected argument \"%s\"", operands.items[0]);
	if (settings->log_level && log_level_parse(&log->level, settings->log_level) < 0)
		return error_set(err, ERR_INVALID, "unknown log level \"%s\"", settings->log_level);
	return 0;
}

int main(int argc, char **argv)
{
	AUTO(error_clear) struct error err = { 0 };
	struct settings settings = { .root = "/var/lib/kist-registry", .listen = "127.0.0.1:5000" };
	struct log log = { .fd = 2, .level = LOG_LEVEL_INFO };
	sigset_t ends;

	if (read_settings(&settings, &log, argc, argv, &err) < 0) {
		fprintf(stderr, "kist-registry: %s\n", err.message);
		return 2;
	}
	if (settings.version || settings.help) {
		AUTO_FREE char *help = options_help(options);

		if (settings.version)
			puts("kist-registry version " KIST_VERSION);
		else
			printf("Usage: kist-registry [options]\n\nServes container images (OCI distribution "
			       "API).\n\n%s",
			       help);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	if (serve(&settings, &log, &ends, &err) < 0) {
		fprintf(stderr, "kist-registry: %s\n", err.message);
		return 1;
	}
	return 0;
}
