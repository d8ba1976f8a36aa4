/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"
#include "cli/hint.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"

#define DOCKER_SOCKET "/var/run/docker.sock"

static const char *environment_host(void)
{
	const char *host = getenv("KIST_HOST");

	return text_empty(host) ? getenv("DOCKER_HOST") : host;
}

int cli_engine(char **out_host, struct saved_context *out_context, struct cli *cli, struct error *err)
{
	const char *context = context_current(&cli->config, cli->context);
	const char *host = cli->host;

	*out_host = NULL;
	if (text_empty(host) && !text_equal(context, "default")) {
		if (context_load(out_context, &cli->config, context, err) < 0)
			return error_prefix(err, "unable to resolve docker endpoint");
		host = out_context->host;
	}
	if (text_empty(host))
		host = environment_host();
	/* By docker's name docker's socket, if somebody listens there. */
	if (text_empty(host) && text_equal(cli->program, "docker") && file_exists(AT_FDCWD, DOCKER_SOCKET))
		host = "unix://" DOCKER_SOCKET;
	if (!text_empty(host))
		*out_host = xstrdup(host);
	return 0;
}

/* What the command line said, or the environment, or the context's own files. */
static void find_tls(struct client_tls *out_tls, struct context_tls *files, const struct cli *cli,
		     const struct saved_context *context)
{
	const char *folder = getenv("DOCKER_CERT_PATH");
	const char *verify = getenv("DOCKER_TLS_VERIFY");

	*out_tls = cli->tls;
	if (cli->tls_given)
		return;
	if (context->name) {
		context_tls_find(files, &cli->config, context->name);
		out_tls->wanted = files->ca || files->certificate || context->skip_tls_verify;
		out_tls->no_verify = context->skip_tls_verify;
	} else if (!text_empty(verify)) {
		out_tls->wanted = true;
		files->ca = path_join(text_empty(folder) ? cli->config.folder : folder, "ca.pem");
		files->certificate = path_join(text_empty(folder) ? cli->config.folder : folder, "cert.pem");
		files->key = path_join(text_empty(folder) ? cli->config.folder : folder, "key.pem");
	}
	out_tls->ca = files->ca;
	out_tls->certificate = files->certificate;
	out_tls->key = files->key;
}

struct client *cli_client(struct cli *cli, struct error *err)
{
	AUTO(text_map_fini) struct text_map headers = { 0 };
	AUTO(saved_context_fini) struct saved_context context = { 0 };
	AUTO(context_tls_fini) struct context_tls files = { 0 };
	AUTO_FREE char *host = NULL;
	struct client_options options = { .headers = &headers };

	if (cli->opened)
		return &cli->client;
	if (cli_engine(&host, &context, cli, err) < 0)
		return NULL;
	find_tls(&options.tls, &files, cli, &context);
	options.host = host;
	config_headers(&cli->config, &headers);
	if (client_open(&cli->client, &options, err) < 0)
		return NULL;
	cli->opened = true;
	return &cli->client;
}

void cli_report(int *exit_code, struct error *err)
{
	fflush(stdout);
	fprintf(stderr, "%s\n", err->message);
	hint_print(err->message);
	error_clear(err);
	*exit_code = 1;
}

void cli_done(const char *name)
{
	puts(name);
}

char *command_escape_name(const char *name)
{
	struct text escaped = { 0 };

	for (const char *c = name; *c; c++)
		text_addf(&escaped, strchr("?%#", *c) ? "%%%02X" : "%c", (unsigned char)*c);
	return text_take(&escaped);
}
