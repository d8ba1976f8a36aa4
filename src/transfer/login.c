/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/login.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "transfer/source.h"

struct login {
	struct source_list sources;
	struct remote *remote;
	struct reference server; /* only its domain */
	atomic_bool stop;
};

/* "https://index.docker.io/v1/" is docker.io; else the host of a URL or the text itself. */
static char *domain_of(const char *server)
{
	const char *rest = text_after(server, "https://");
	AUTO_FREE char *host = NULL;

	if (!rest)
		rest = text_after(server, "http://");
	if (!rest)
		rest = server;
	host = xstrndup(rest, strcspn(rest, "/"));
	if (text_equal(host, "index.docker.io") || text_equal(host, "registry-1.docker.io") || text_empty(host))
		return xstrdup("docker.io");
	return take_ptr(host);
}

int login_open(struct login **out_login, const struct message_request *request, struct error *err)
{
	AUTO(login_freep) struct login *login = xcalloc(1, sizeof(*login));

	login->server.domain = domain_of(text_or_empty(request->server));
	login->server.path = xstrdup("");
	login->remote = remote_new(&(struct remote_options){ 0 });
	if (source_list_load(&login->sources, &login->server, request, &login->stop, err) < 0)
		return -1;
	*out_login = take_ptr(login);
	return 0;
}

int login_run(struct login *login, struct message_event *out_end, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	struct registry *registry = source_list_own(&login->sources)->registry;
	AUTO_FREE char *base = NULL;
	int r = registry_send(&response, registry, login->remote,
			      &(struct registry_call){ .path = "", .offline_token = true }, err);

	base = registry_base(registry);
	if (r < 0)
		return error_prefix(err, "Get \"%s/v2/\"", base);
	if (response.status != 200)
		return error_set(err,
				 response.status == 401 || response.status == 403 ? ERR_UNAUTHORIZED : ERR_UNAVAILABLE,
				 "login attempt to %s/v2/ failed with status: %d%s", base, response.status,
				 response.status == 401 ? " Unauthorized" : "");
	out_end->identity_token = registry_refresh_token(registry);
	return 0;
}

void login_free(struct login *login)
{
	if (!login)
		return;
	source_list_fini(&login->sources);
	remote_free(login->remote);
	reference_fini(&login->server);
	free(login);
}
