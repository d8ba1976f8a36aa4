/* SPDX-License-Identifier: Apache-2.0 */
/* pull, import, login, logout: what speaks of registries and archives. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/members.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "oci/reference.h"

/* ---- pull ---- */

int auth_header(struct text_list *headers, const struct config *config, const char *image, struct error *err)
{
	AUTO(credential_fini) struct credential auth = { 0 };
	AUTO_FREE char *registry = config_registry_of(image);
	AUTO_FREE char *value = NULL;

	if (config_find_auth(&auth, config, registry, err) < 0)
		return -1;
	value = config_auth_header(&auth, registry);
	text_list_addf(headers, "X-Registry-Auth: %s", value);
	return 0;
}

struct pull_options {
	bool all_platforms;
	bool all_tags;
	bool quiet;
	struct optional_bool no_trust;
	const char *platform;
};

static int pull_reference(struct cli *cli, const struct reference *reference, const char *tag,
			  const struct pull_options *options, FILE *out, struct error *err)
{
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(text_list_fini) struct text_list headers = { 0 };
	AUTO(text_fini) struct text path = { 0 };
	AUTO_FREE char *name = reference_name(reference);
	struct local_request request = { .method = "POST", .headers = &headers };
	struct client *client = cli_client(cli, err);

	if (!client || auth_header(&headers, &cli->config, name, err) < 0)
		return -1;
	text_add(&path, "/images/create");
	query_add(&path, "fromImage", name);
	query_add(&path, "tag", tag);
	query_add_flag(&path, "allPlatforms", options->all_platforms);
	if (!options->all_platforms)
		query_add(&path, "platform", options->platform ? options->platform : getenv("DOCKER_DEFAULT_PLATFORM"));
	request.path = path.data;
	if (client_send(&response, client, &request, err) < 0)
		return -1;
	return progress_show(response, out, options->quiet, err);
}

static char *tag_or_digest(const struct reference *reference)
{
	AUTO_FREE char *full = reference_format(reference);
	const char *at = strchr(full, '@');

	return at ? xstrdup(at + 1) : xstrdup(reference->tag);
}

int pull_image(struct cli *cli, const char *name, const char *platform, bool quiet, FILE *out, struct error *err)
{
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO_FREE char *tag = NULL;

	if (reference_parse(&reference, name, err) < 0)
		return -1;
	reference_default_tag(&reference);
	tag = tag_or_digest(&reference);
	return pull_reference(cli, &reference, tag, &(struct pull_options){ .platform = platform, .quiet = quiet }, out,
			      err);
}

int check_trust(const struct optional_bool *disabled, struct error *err)
{
	const char *wanted = getenv("DOCKER_CONTENT_TRUST");

	if (disabled->set ? disabled->value : !wanted || !*wanted || text_equal(wanted, "0"))
		return 0;
	return error_set(err, ERR_UNSUPPORTED,
			 "content trust is not supported: signatures cannot be checked (%s asks for it)",
			 disabled->set ? "--disable-content-trust=false" : "DOCKER_CONTENT_TRUST");
}

static const struct option_spec pull_options[] = {
	OPTION_FLAG("all-platforms", 0, struct pull_options, all_platforms,
		    "Download the images of a list for all platforms, each under its digest"),
	OPTION_FLAG("all-tags", 'a', struct pull_options, all_tags, "Download all tagged images in the repository"),
	OPTION_OPT_BOOL("disable-content-trust", 0, struct pull_options, no_trust, NULL),
	OPTION_TEXT("platform", 0, struct pull_options, platform, "string", "Platform of the image (linux/arm64)"),
	OPTION_FLAG("quiet", 'q', struct pull_options, quiet, "Do not show the progress"),
	OPTION_END,
};

static int check_pull(const struct pull_options *options, struct error *err)
{
	if (!options->all_platforms || (!options->platform && !options->all_tags))
		return 0;
	return error_set(err, ERR_INVALID, "--all-platforms can't be used with %s",
			 options->platform ? "--platform" : "--all-tags/-a");
}

static int run_pull(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct pull_options *options = target;
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO_FREE char *tag = NULL;
	AUTO_FREE char *full = NULL;
	bool plain;

	if (check_trust(&options->no_trust, err) < 0 || check_pull(options, err) < 0 ||
	    reference_parse(&reference, operands->items[0], err) < 0)
		return -1;
	plain = !reference.tag && !strchr(operands->items[0], '@');
	if (options->all_tags && !plain)
		return error_set(err, ERR_INVALID, "tag can't be used with --all-tags/-a");
	if (plain && !options->all_tags) {
		reference_default_tag(&reference);
		if (!options->quiet)
			printf("Using default tag: %s\n", reference.tag);
	}
	fflush(stdout);
	tag = options->all_tags ? NULL : tag_or_digest(&reference);
	full = options->all_tags ? reference_name(&reference) : reference_format(&reference);
	if (pull_reference(cli, &reference, tag, options, stdout, err) < 0)
		return -1;
	puts(full);
	return 0;
}

const struct command command_pull = {
	.usage = "[OPTIONS] NAME[:TAG|@DIGEST]",
	.summary = "Download an image from a registry",
	.options = pull_options,
	.options_size = sizeof(struct pull_options),
	.min_operands = 1,
	.max_operands = 1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_pull,
};

/* ---- import ---- */

struct import_options {
	struct text_list changes;
	const char *message;
	const char *platform;
};

static const struct option_spec import_options[] = {
	OPTION_LIST("change", 'c', struct import_options, changes, "list",
		    "Apply a Dockerfile instruction to the image"),
	OPTION_TEXT("message", 'm', struct import_options, message, "string", "Commit message of the image"),
	OPTION_TEXT("platform", 0, struct import_options, platform, "string", "Platform of the image (linux/arm64)"),
	OPTION_END,
};

/* The archive: stdin, a file, or -1 for what the engine fetches itself. */
static int open_source(const char *source, struct error *err)
{
	int fd;

	if (text_equal(source, "-"))
		return dup(STDIN_FILENO);
	if (text_has_prefix(source, "http://") || text_has_prefix(source, "https://"))
		return -1;
	fd = open(source, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, ERR_INVALID, "open %s: %s", source, strerror(errno));
	return fd;
}

static int run_import(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct import_options *options = target;
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(text_fini) struct text path = { 0 };
	const char *source = operands->items[0];
	AUTO_CLOSE int fd = open_source(source, err);
	struct local_request request = { .method = "POST", .content_type = "text/plain" };
	struct client *client;

	if (error_is_set(err))
		return -1;
	client = cli_client(cli, err);
	if (!client)
		return -1;
	text_add(&path, "/images/create");
	query_add(&path, "fromSrc", fd >= 0 ? "-" : source);
	query_add(&path, "repo", operands->count > 1 ? operands->items[1] : NULL);
	query_add(&path, "message", options->message);
	query_add(&path, "platform", options->platform);
	for (size_t i = 0; i < options->changes.count; i++)
		query_add(&path, "changes", options->changes.items[i]);
	request.path = path.data;
	request.has_body_fd = fd >= 0;
	request.body_fd = fd;
	if (client_send(&response, client, &request, err) < 0)
		return -1;
	return progress_show(response, stdout, false, err);
}

const struct command command_import = {
	.usage = "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
	.summary = "Import the contents from a tarball to create a filesystem image",
	.options = import_options,
	.options_size = sizeof(struct import_options),
	.min_operands = 1,
	.max_operands = 2,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_import,
};

/* ---- login, logout ---- */

struct login_options {
	const char *username;
	const char *password;
	bool password_stdin;
};

static const struct option_spec login_options[] = {
	OPTION_TEXT("password", 'p', struct login_options, password, "string", "Password or access token (PAT)"),
	OPTION_FLAG("password-stdin", 0, struct login_options, password_stdin, "Take the password from stdin"),
	OPTION_TEXT("username", 'u', struct login_options, username, "string", "Username"),
	OPTION_END,
};

static int read_stdin_password(char **out_password, const struct login_options *options, struct error *err)
{
	size_t size;
	int r;

	if (text_empty(options->username))
		return error_set(err, ERR_INVALID, "the --password-stdin option requires --username to be set");
	r = fd_read_all(out_password, &size, STDIN_FILENO, 1 << 20);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read the password from stdin");
	while (size > 0 && strchr("\r\n", (*out_password)[size - 1]))
		(*out_password)[--size] = '\0';
	return 0;
}

static int ask_credentials(struct credential *auth, const struct login_options *options, struct error *err)
{
	auth->username = xstrdup(options->username);
	auth->password = xstrdup(options->password);
	if (options->password_stdin && options->password)
		return error_set(err, ERR_INVALID,
				 "conflicting options: cannot specify both --password and --password-stdin");
	if (options->password)
		fputs("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n", stderr);
	if (options->password_stdin)
		return read_stdin_password(&auth->password, options, err);
	if (text_empty(auth->username) || !auth->password) {
		if (!isatty(STDIN_FILENO))
			return error_set(err, ERR_INVALID,
					 "Error: Cannot perform an interactive login from a non TTY device");
		if (text_empty(auth->username)) {
			free(auth->username);
			auth->username = terminal_read_line("Username: ");
		}
		if (!auth->password)
			auth->password = terminal_read_secret("Password: ");
	}
	if (text_empty(auth->username) || text_empty(auth->password))
		return error_set(err, ERR_INVALID, "username and password must not be empty");
	return 0;
}

static char *registry_key(const struct text_list *operands)
{
	AUTO_FREE char *host = NULL;
	const char *name;

	if (!operands->count)
		return xstrdup(reference_auth_key("docker.io"));
	name = operands->items[0];
	if (text_has_prefix(name, "https://"))
		name += strlen("https://");
	else if (text_has_prefix(name, "http://"))
		name += strlen("http://");
	host = xstrndup(name, strcspn(name, "/"));
	if (text_equal(host, "docker.io") || text_equal(host, "index.docker.io") ||
	    text_equal(host, "registry-1.docker.io"))
		return xstrdup(reference_auth_key("docker.io"));
	return xstrdup(host);
}

/* The engine checks them; a token of the registry replaces the password. */
static int check_credentials(struct client *client, struct credential *auth, const char *registry, char **out_status,
			     struct error *err)
{
	AUTO(json_value_freep) struct json_value *answer = NULL;
	AUTO(text_fini) struct text body = { 0 };
	const char *token;

	text_add_char(&body, '{');
	if (auth->identity_token)
		members_text(&body, "identitytoken", auth->identity_token);
	members_text(&body, "username", text_or_empty(auth->username));
	members_text(&body, "password", text_or_empty(auth->password));
	members_text(&body, "serveraddress", registry);
	text_add_char(&body, '}');
	if (client_call(&answer, client, "POST", "/auth", body.data, err) < 0)
		return -1;
	token = json_value_text(json_value_get(answer, "IdentityToken"));
	if (!text_empty(token)) {
		free(auth->password);
		auth->password = NULL;
		free(auth->identity_token);
		auth->identity_token = xstrdup(token);
	}
	*out_status = xstrdup(json_value_text(json_value_get(answer, "Status")));
	return 0;
}

static int run_login(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct login_options *options = target;
	AUTO(credential_fini) struct credential auth = { 0 };
	AUTO_FREE char *registry = registry_key(operands);
	AUTO_FREE char *status = NULL;
	struct client *client;
	bool stored = false;
	bool plain = false;

	/* What is stored already may still be good. */
	if (!options->username && !options->password && !options->password_stdin) {
		int r = config_find_auth(&auth, &cli->config, registry, err);

		if (r < 0)
			return -1;
		stored = r == 1;
		if (stored)
			puts("Authenticating with existing credentials...");
	}
	if (!stored && ask_credentials(&auth, options, err) < 0)
		return -1;
	client = cli_client(cli, err);
	if (!client || check_credentials(client, &auth, registry, &status, err) < 0)
		return -1;
	if (config_store_auth(&cli->config, registry, &auth, &plain, err) < 0)
		return error_prefix(err, "error saving credentials");
	if (plain)
		fprintf(stderr,
			"\nWARNING! Your credentials are stored unencrypted in '%s/config.json'.\n"
			"Configure a credential helper to remove this warning.\n\n",
			cli->config.folder);
	puts(text_empty(status) ? "Login Succeeded" : status);
	return 0;
}

const struct command command_login = {
	.usage = "[OPTIONS] [SERVER]",
	.summary = "Authenticate to a registry",
	.options = login_options,
	.options_size = sizeof(struct login_options),
	.min_operands = 0,
	.max_operands = 1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_login,
};

static int run_logout(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	AUTO_FREE char *registry = registry_key(operands);
	int r = config_erase_auth(&cli->config, registry, err);

	(void)options;
	if (r < 0)
		return error_prefix(err, "remove the credentials of %s", registry);
	printf("Removing login credentials for %s\n", registry);
	return 0;
}

const struct command command_logout = {
	.usage = "[SERVER]",
	.summary = "Log out from a registry",
	.min_operands = 0,
	.max_operands = 1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_logout,
};
