/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "oci/reference.h"

static const struct message_auth anonymous;

static int add(struct source_list *list, const struct message_request *request, const struct registry_options *options,
	       bool insecure, struct error *err)
{
	struct source *source = &list->items[list->count];
	struct registry_options own = *options;
	AUTO_FREE char *host = xstrndup(options->host, strcspn(options->host, "/"));

	if (trust_load(&source->trust, &request->certs, host, insecure || trust_is_insecure(&request->insecure, host),
		       err) < 0)
		return -1;
	own.trust = &source->trust.remote;
	source->registry = registry_new(&own);
	list->count++;
	return 0;
}

/* "https://mirror.example/prefix/" is the host "mirror.example/prefix" to us. */
static int add_mirror(struct source_list *list, const struct message_request *request, const char *url,
		      const atomic_bool *stop, struct error *err)
{
	const char *plain = text_after(url, "http://");
	const char *rest = plain ? plain : text_after(url, "https://");
	AUTO_FREE char *host = xstrdup(rest ? rest : url);
	struct registry_options options = { .host = host, .auth = &anonymous, .stop = stop, .plain = plain != NULL };

	while (text_has_suffix(host, "/"))
		host[strlen(host) - 1] = '\0';
	return add(list, request, &options, plain != NULL, err);
}

int source_list_load(struct source_list *out_list, const char *domain, const struct message_request *request,
		     const atomic_bool *stop, struct error *err)
{
	AUTO(source_list_fini) struct source_list list = { 0 };
	bool mirrored = text_equal(domain, "docker.io");

	list.items = xcalloc(request->mirrors.count + 1, sizeof(*list.items));
	for (size_t i = 0; mirrored && i < request->mirrors.count; i++)
		if (add_mirror(&list, request, request->mirrors.items[i], stop, err) < 0)
			return -1;
	if (add(&list, request,
		&(struct registry_options){ .host = reference_api_host(domain), .auth = &request->auth, .stop = stop },
		false, err) < 0)
		return -1;
	*out_list = list;
	list = (struct source_list){ 0 };
	return 0;
}

void source_list_fini(struct source_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		registry_free(list->items[i].registry);
		trust_fini(&list->items[i].trust);
	}
	free(list->items);
	*list = (struct source_list){ 0 };
}
