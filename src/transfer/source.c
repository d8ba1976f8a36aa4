/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

static const struct message_auth anonymous;

static int add(struct source_list *list, const struct message_request *request, const struct registry_options *options,
	       const char *repository, bool insecure, struct error *err)
{
	struct source *source = &list->items[list->count];
	struct registry_options own = *options;
	AUTO_FREE char *host = xstrndup(options->host, strcspn(options->host, "/"));

	insecure = !request->verify && (insecure || trust_is_insecure(&request->insecure, host));
	if (trust_load(
		    &source->trust,
		    &(struct trust_options){
			    .host = host, .folders = &request->certs, .own = &request->folders, .insecure = insecure },
		    err) < 0)
		return -1;
	own.trust = &source->trust.remote;
	source->registry = registry_new(&own);
	source->repository = xstrdup(repository);
	source->scope = source_scope(source, "pull");
	source->tags = true;
	source->digests = true;
	list->count++;
	return 0;
}

/* "https://mirror.example/prefix/" is the host "mirror.example/prefix" to us. */
static int add_mirror(struct source_list *list, const struct message_request *request, const char *url,
		      const char *repository, const atomic_bool *stop, struct error *err)
{
	const char *plain = text_after(url, "http://");
	const char *rest = plain ? plain : text_after(url, "https://");
	AUTO_FREE char *host = xstrdup(rest ? rest : url);
	struct registry_options options = { .host = host, .auth = &anonymous, .stop = stop, .plain = plain != NULL };

	while (text_has_suffix(host, "/"))
		host[strlen(host) - 1] = '\0';
	return add(list, request, &options, repository, plain != NULL, err);
}

int source_list_load(struct source_list *out_list, const struct reference *reference,
		     const struct message_request *request, const atomic_bool *stop, struct error *err)
{
	AUTO(source_list_fini) struct source_list list = { 0 };
	bool mirrored = text_equal(reference->domain, "docker.io");

	list.items = xcalloc(request->mirrors.count + 1, sizeof(*list.items));
	for (size_t i = 0; mirrored && i < request->mirrors.count; i++)
		if (add_mirror(&list, request, request->mirrors.items[i], reference->path, stop, err) < 0)
			return -1;
	if (add(&list, request,
		&(struct registry_options){
			.host = reference_api_host(reference->domain), .auth = &request->auth, .stop = stop },
		reference->path, false, err) < 0)
		return -1;
	list.items[list.count - 1].pushes = true;
	*out_list = list;
	list = (struct source_list){ 0 };
	return 0;
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

void source_list_fini(struct source_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		registry_free(list->items[i].registry);
		trust_fini(&list->items[i].trust);
		free(list->items[i].repository);
		free(list->items[i].scope);
	}
	free(list->items);
	*list = (struct source_list){ 0 };
}
