/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the request goes to kist-image in a file without a name, as
 * descriptor 3. An image of the store comes as a saved archive and goes as one to
 * be loaded: descriptors 4 and 5, which kist-image calls /dev/fd/N.
 */
#include "cli/image_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/process.h"
#include "base/program.h"
#include "cli/progress.h"
#include "oci/reference.h"

#define PROGRAM "kist-image"

static const char *const transports[] = { "docker://", "oci:", "oci-archive:", "dir:", "docker-archive:" };

bool tool_is_place(const char *name)
{
	for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++)
		if (text_has_prefix(name, transports[i]))
			return true;
	return false;
}

/* ---- the request ---- */

static char *borrow(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* "user:password", or "user". */
static void fill_access(struct image_access *out, const struct tool_access *access)
{
	const char *colon = access->creds ? strchr(access->creds, ':') : NULL;

	out->insecure = access->tls_verify.set && !access->tls_verify.value;
	out->verify = access->tls_verify.set && access->tls_verify.value;
	out->certificates = xstrdup(access->cert_dir);
	out->has_login = access->creds || access->no_creds;
	if (!access->creds)
		return;
	out->login.username = colon ? xstrndup(access->creds, (size_t)(colon - access->creds)) : xstrdup(access->creds);
	out->login.password = xstrdup(colon ? colon + 1 : "");
}

static int add_login(struct image_request *request, const struct cli *cli, const char *name, struct error *err)
{
	const char *rest = text_after(name, "docker://");
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO(credential_fini) struct credential credential = { 0 };
	AUTO_FREE char *catalog = NULL;
	struct image_login *login;
	int r;

	if (!rest && tool_is_place(name))
		return 0;
	rest = rest ? rest : name;
	/* The operand of catalog is a host alone. */
	catalog = text_equal(request->act, "catalog") ? xasprintf("%s/any", rest) : xstrdup(rest);
	if (reference_parse(&reference, catalog, &ignored) < 0)
		return 0;
	for (size_t i = 0; i < request->logins.count; i++)
		if (text_equal(request->logins.items[i].registry, reference.domain))
			return 0;
	r = config_find_auth(&credential, &cli->config, reference_auth_key(reference.domain), err);
	if (r <= 0)
		return r;
	login = json_array_add(&request->logins, sizeof(*login));
	*login = (struct image_login){ .registry = xstrdup(reference.domain),
				       .username = xstrdup(credential.username),
				       .password = xstrdup(credential.password),
				       .identity_token = xstrdup(credential.identity_token),
				       .registry_token = xstrdup(credential.registry_token) };
	return 0;
}

static int add_logins(struct image_request *request, const struct cli *cli, const struct tool_options *options,
		      struct error *err)
{
	for (size_t i = 0; i < request->operands.count; i++)
		if (add_login(request, cli, request->operands.items[i], err) < 0)
			return -1;
	if (options->output && add_login(request, cli, options->output, err) < 0)
		return -1;
	if (options->base && add_login(request, cli, options->base, err) < 0)
		return -1;
	return options->new_base ? add_login(request, cli, options->new_base, err) : 0;
}

/* What is borrowed here is taken out again before the request is freed. */
static char *encode_request(struct image_request *request, const struct tool_options *options)
{
	struct image_request whole = *request;

	whole.all = options->all;
	whole.preserve_digests = options->preserve_digests;
	whole.referrers = options->referrers;
	whole.quiet = options->quiet;
	whole.raw = options->raw;
	whole.config = options->config;
	whole.by_digest = options->by_digest;
	whole.clear_entrypoint = options->clear_entrypoint;
	whole.clear_cmd = options->clear_cmd;
	whole.platform = borrow(options->platform);
	whole.format = borrow(options->format);
	whole.output = borrow(options->output);
	whole.artifact_type = borrow(options->artifact_type);
	whole.base = borrow(options->base);
	whole.new_base = borrow(options->new_base);
	whole.user = borrow(options->user);
	whole.workdir = borrow(options->workdir);
	whole.force = options->force;
	whole.verbose = options->verbose;
	whole.arch = borrow(options->arch);
	whole.os = borrow(options->os);
	whole.variant = borrow(options->variant);
	whole.os_version = borrow(options->os_version);
	whole.os_features = options->os_features;
	whole.set_platform = borrow(options->set_platform);
	whole.files = options->files;
	whole.env = options->env;
	whole.labels = options->labels;
	whole.annotations = options->annotations;
	whole.entrypoint = options->entrypoint;
	whole.cmd = options->cmd;
	whole.ports = options->ports;
	return json_encode(&whole, image_request_fields);
}

static char *make_request(struct cli *cli, const char *act, const struct tool_options *options,
			  const struct text_list *operands, struct error *err)
{
	struct image_request request = { .act = xstrdup(act) };
	char *text = NULL;

	text_list_add_all(&request.operands, operands);
	fill_access(&request.source, &options->source);
	fill_access(&request.destination, &options->destination);
	if (add_logins(&request, cli, options, err) == 0)
		text = encode_request(&request, options);
	json_free_fields(&request, image_request_fields);
	return text;
}

/* ---- the program ---- */

static int wait_end(struct process *process, struct error *err)
{
	struct process_end end = { 0 };
	int r = process_wait(process, &end, -1, -1, err);

	process_fini(process);
	if (r < 0)
		return -1;
	return end.signaled ? error_set(err, ERR_INTERNAL, "%s was killed by signal %d", PROGRAM, end.code) : end.code;
}

/* store_fds: two, or NULL. */
static int run_program(struct cli *cli, const char *act, const struct tool_options *options,
		       const struct text_list *operands, const int *store_fds, struct error *err)
{
	AUTO_FREE char *text = make_request(cli, act, options, operands, err);
	AUTO_FREE char *path = text ? program_find(PROGRAM, err) : NULL;
	AUTO_CLOSE int request = path ? file_memory("request", text, strlen(text)) : -1;
	AUTO_CLOSE int input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	char *argv[] = { borrow(PROGRAM), NULL };
	int fds[3] = { request, store_fds ? store_fds[0] : -1, store_fds ? store_fds[1] : -1 };
	struct process process = { .pidfd = -1 };

	if (!path)
		return -1;
	if (request < 0)
		return error_set_errno(err, ERR_INTERNAL, request, "make a request for %s", PROGRAM);
	fflush(stdout);
	if (process_spawn(&process,
			  &(struct process_options){ .path = path,
						     .argv = argv,
						     .stdin_fd = input,
						     .stdout_fd = STDOUT_FILENO,
						     .fds = fds,
						     .fd_count = store_fds ? 3 : 1 },
			  err) < 0)
		return -1;
	return wait_end(&process, err);
}

int tool_run(struct cli *cli, const char *act, const struct tool_options *options, const struct text_list *operands,
	     struct error *err)
{
	return run_program(cli, act, options, operands, NULL, err);
}

/* ---- the store ---- */

static int scratch(struct error *err)
{
	const char *folder = getenv("TMPDIR");
	int fd = open(text_empty(folder) ? "/var/tmp" : folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "make a temporary file") : fd;
}

static int save_image(struct cli *cli, const char *name, int fd, struct error *err)
{
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(text_fini) struct text path = { 0 };
	struct local_request request = { .method = "GET" };
	struct client *client = cli_client(cli, err);

	text_add(&path, "/images/get");
	query_add(&path, "names", name);
	request.path = path.data;
	if (!client || client_send(&response, client, &request, err) < 0)
		return -1;
	return save_to_fd(response, fd, "Saving - ", err);
}

static int load_image(struct cli *cli, int fd, bool quiet, struct error *err)
{
	AUTO(local_response_freep) struct local_response *response = NULL;
	struct local_request request = { .method = "POST",
					 .path = "/images/load?quiet=1",
					 .content_type = "application/x-tar",
					 .has_body_fd = true,
					 .body_fd = fd };
	struct client *client = cli_client(cli, err);

	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "read the image");
	if (!client || client_send(&response, client, &request, err) < 0)
		return -1;
	return progress_show(response, stderr, quiet, err);
}

/* The name in the engine's store (yours), or NULL for any other place. */
static int store_name(char **out_name, const char *operand, struct error *err)
{
	const char *rest = text_after(operand, "store:");
	AUTO(reference_fini) struct reference reference = { 0 };

	*out_name = NULL;
	if (!rest && tool_is_place(operand))
		return 0;
	if (reference_parse(&reference, rest ? rest : operand, err) < 0)
		return error_prefix(err, "%s", operand);
	reference_default_tag(&reference);
	*out_name = reference_format(&reference);
	return 1;
}

int tool_copy(struct cli *cli, const struct tool_options *options, const struct text_list *operands, struct error *err)
{
	AUTO(text_list_fini) struct text_list places = { 0 };
	AUTO_FREE char *from = NULL;
	AUTO_FREE char *to = NULL;
	AUTO_CLOSE int source = -1;
	AUTO_CLOSE int target = -1;
	int code;

	if (store_name(&from, operands->items[0], err) < 0 || store_name(&to, operands->items[1], err) < 0)
		return -1;
	if (!from && !to)
		return tool_run(cli, "copy", options, operands, err);
	source = scratch(err);
	target = source < 0 ? -1 : scratch(err);
	if (target < 0 || (from && save_image(cli, from, source, err) < 0))
		return -1;
	text_list_add(&places, from ? "oci-archive:/dev/fd/4" : operands->items[0]);
	if (to)
		text_list_addf(&places, "oci-archive:/dev/fd/5:%s", to);
	else
		text_list_add(&places, operands->items[1]);
	code = run_program(cli, "copy", options, &places, (const int[]){ source, target }, err);
	return code == 0 && to ? load_image(cli, target, options->quiet, err) : code;
}
