/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "transfer/hosts_private.h"
#include "transfer/mirror_login.h"

static int add(struct source_list *list, const struct message_request *request, const struct host *host,
	       const atomic_bool *stop, struct error *err)
{
	struct source *source = &list->items[list->count];
	AUTO_FREE char *name = xstrndup(host->address, strcspn(host->address, "/"));
	bool own = text_equal(name, list->domain) || text_equal(name, reference_api_host(list->domain));
	struct registry_options options = { .host = host->address,
					    /* Credentials are for the registry they were given for. */
					    .auth = own ? &request->auth : &source->login,
					    .trust = &source->trust.remote,
					    .stop = stop,
					    .plain = host->plain,
					    .whole_path = host->whole_path,
					    .origin = host->names_origin ? list->domain : NULL,
					    .headers = &host->headers };
	bool listed = trust_is_insecure(&request->insecure, name);

	/* Nobody who asks the engine for a push pushes in the name of the machine's owner. */
	if (!own && !text_equal(request->action, "push") && mirror_login_find(&source->login, name, err) < 0)
		return -1;
	options.tls_only = host->insecure && !listed && host->verify_only;
	list->count++;
	if (trust_load(
		    &source->trust,
		    &(struct trust_options){ .host = name,
					     .folders = &request->certs,
					     .own = &request->folders,
					     .insecure = !request->verify && (host->insecure || host->plain || listed),
					     .ca_pem = host->ca_pem,
					     .client_cert_pem = host->client_cert_pem,
					     .client_key_pem = host->client_key_pem },
		    err) < 0)
		return -1;
	source->registry = registry_new(&options);
	source->repository = xstrdup(host->repository);
	source->scope = source_scope(source, "pull");
	source->tags = host->tags;
	source->digests = host->digests;
	source->pushes = host->pushes;
	return 0;
}

/* The daemon's own --registry-mirror, for docker.io only, as dockerd has it. */
static void add_mirrors(struct host_list *hosts, const struct reference *reference,
			const struct message_request *request)
{
	for (size_t i = 0; text_equal(reference->domain, "docker.io") && i < request->mirrors.count; i++) {
		struct host *host = host_list_add(hosts);

		host_address(host, request->mirrors.items[i]);
		host->repository = xstrdup(reference->path);
		host->tags = true;
		host->digests = true;
	}
}

static void add_itself(struct host_list *hosts, const struct reference *reference, const char *url)
{
	struct host *host = host_list_add(hosts);

	host_address(host, url);
	host->repository = xstrdup(reference->path);
	host->tags = true;
	host->digests = true;
	host->pushes = true;
}

static int find_hosts(struct source_list *list, const struct reference *reference,
		      const struct message_request *request, struct error *err)
{
	struct host_list found = { 0 };

	if (hosts_find(&found, reference, &(struct hosts_options){ .folders = &request->certs }, err) < 0)
		return -1;
	add_mirrors(&list->hosts, reference, request);
	for (size_t i = 0; i < found.count; i++)
		*host_list_add(&list->hosts) = found.items[i];
	if (found.count == 0)
		add_itself(&list->hosts, reference, reference_api_host(reference->domain));
	free(found.items);
	return 0;
}

/* Takes the hosts of *list for its sources. */
static int add_all(struct source_list *out_list, struct source_list *list, const struct message_request *request,
		   const atomic_bool *stop, struct error *err)
{
	list->items = xcalloc(list->hosts.count, sizeof(*list->items));
	for (size_t i = 0; i < list->hosts.count; i++)
		if (add(list, request, &list->hosts.items[i], stop, err) < 0)
			return -1;
	*out_list = *list;
	*list = (struct source_list){ 0 };
	return 0;
}

int source_list_load(struct source_list *out_list, const struct reference *reference,
		     const struct message_request *request, const atomic_bool *stop, struct error *err)
{
	AUTO(source_list_fini) struct source_list list = { .domain = xstrdup(reference->domain) };

	return find_hosts(&list, reference, request, err) < 0 ? -1 : add_all(out_list, &list, request, stop, err);
}

int source_list_load_server(struct source_list *out_list, const struct message_request *request,
			    const atomic_bool *stop, struct error *err)
{
	AUTO(source_list_fini) struct source_list list = { 0 };
	const char *server = text_or_empty(request->server);
	const char *url = strstr(server, "://");
	const char *name = url ? url + strlen("://") : server;
	AUTO_FREE char *domain = xstrndup(name, strcspn(name, "/"));
	const struct reference reference = { .domain = domain, .path = message_text("") };
	const struct hosts_options options = { .folders = &request->certs, .folders_only = true };

	list.domain = xstrdup(domain);
	if (url) {
		add_itself(&list.hosts, &reference, server);
		return add_all(out_list, &list, request, stop, err);
	}
	if (hosts_find(&list.hosts, &reference, &options, err) < 0)
		return -1;
	if (list.hosts.count == 0)
		add_itself(&list.hosts, &reference, reference_api_host(domain));
	return add_all(out_list, &list, request, stop, err);
}

struct source *source_list_own(const struct source_list *list)
{
	for (size_t i = list->count; i > 0; i--)
		if (list->items[i - 1].pushes)
			return &list->items[i - 1];
	return &list->items[list->count - 1];
}

char *source_scope(const struct source *source, const char *actions)
{
	return xasprintf("repository:%s:%s", source->repository, actions);
}

void source_fini(struct source *source)
{
	registry_free(source->registry);
	trust_fini(&source->trust);
	mirror_login_fini(&source->login);
	free(source->repository);
	free(source->scope);
}

void source_list_fini(struct source_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		source_fini(&list->items[i]);
	free(list->items);
	free(list->domain);
	host_list_fini(&list->hosts);
	*list = (struct source_list){ 0 };
}
