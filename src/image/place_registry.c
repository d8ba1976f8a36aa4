/* SPDX-License-Identifier: Apache-2.0 */
#include "image/place_registry.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "oci/reference.h"

struct registry_place {
	struct place place;
	struct agent *agent;
	struct reference reference;
	char *what; /* tag or digest */
};

static struct registry_place *of(struct place *place)
{
	return (struct registry_place *)(void *)place;
}

static int read_document(struct place *place, struct document *out_document, const char *digest, struct error *err)
{
	struct registry_place *self = of(place);
	struct agent_document got = { 0 };

	if (agent_manifest(&got, self->agent, digest ? digest : self->what, err) < 0)
		return -1;
	*out_document = (struct document){ .media_type = take_ptr(got.media_type),
					   .digest = take_ptr(got.digest),
					   .text = take_ptr(got.text),
					   .limit = take_ptr(got.limit) };
	out_document->size = strlen(out_document->text);
	agent_document_fini(&got);
	return 0;
}

static int read_blob(struct place *place, const struct descriptor *blob, int file_fd, struct error *err)
{
	return agent_blob(of(place)->agent, blob, file_fd, err);
}

static int find_blob(struct place *place, const struct descriptor *blob, const struct text_list *mounts,
		     struct error *err)
{
	return agent_find_blob(of(place)->agent, blob, mounts, err);
}

static int put_blob(struct place *place, const struct descriptor *blob, int file_fd, struct error *err)
{
	return agent_put_blob(of(place)->agent, blob, file_fd, err);
}

static int put_document(struct place *place, const struct document *document, bool top, struct error *err)
{
	struct registry_place *self = of(place);
	const char *what = top && !digest_is_valid(self->what) ? self->what : document->digest;

	if (top && digest_is_valid(self->what) && !text_equal(self->what, document->digest))
		return error_set(err, ERR_INVALID, "the image has digest %s", document->digest);
	return agent_put_manifest(self->agent, what, document->media_type, document->text, err);
}

static void free_place(struct place *place)
{
	struct registry_place *self = of(place);

	agent_close(self->agent);
	reference_fini(&self->reference);
	free(self->what);
	free(self);
}

static const struct place_ops ops = {
	.document = read_document,
	.blob = read_blob,
	.find = find_blob,
	.put_blob = put_blob,
	.put_document = put_document,
	.free = free_place,
};

static void find_login(struct session_auth *auth, const char *domain, const struct place_options *options)
{
	const struct image_login *login = options->access->has_login ? &options->access->login : NULL;

	for (size_t i = 0; !login && i < options->request->logins.count; i++)
		if (text_equal(options->request->logins.items[i].registry, domain))
			login = &options->request->logins.items[i];
	if (login)
		*auth = (struct session_auth){ .username = login->username,
					       .password = login->password,
					       .identity_token = login->identity_token,
					       .registry_token = login->registry_token };
}

static int open_agent(struct registry_place *self, const struct place_options *options, struct error *err)
{
	AUTO_FREE char *name = reference_name(&self->reference);
	struct session_auth auth = { 0 };
	struct session_settings settings = { 0 };
	int r;

	find_login(&auth, self->reference.domain, options);
	if (options->access->insecure)
		text_list_add(&settings.insecure, reference_api_host(self->reference.domain));
	if (!text_empty(options->access->certificates))
		text_list_add(&settings.folders, options->access->certificates);
	r = agent_open(
		&self->agent,
		&(struct agent_options){
			.reference = name, .auth = &auth, .settings = &settings, .verify = options->access->verify },
		err);
	text_list_fini(&settings.insecure);
	text_list_fini(&settings.folders);
	return r;
}

int place_registry_open(struct place **out_place, const char *name, const struct place_options *options,
			struct error *err)
{
	struct registry_place *self = xcalloc(1, sizeof(*self));
	AUTO(place_freep) struct place *place = &self->place;
	char digest[DIGEST_TEXT_MAX];

	place->ops = &ops;
	place->packs = true;
	if (reference_parse(&self->reference, name, err) < 0)
		return -1;
	reference_default_tag(&self->reference);
	self->what = digest_is_set(&self->reference.digest) ? xstrdup(digest_text(&self->reference.digest, digest))
							    : xstrdup(self->reference.tag);
	place->registry = xstrdup(self->reference.domain);
	place->repository = xstrdup(self->reference.path);
	if (open_agent(self, options, err) < 0)
		return -1;
	*out_place = take_ptr(place);
	return 0;
}

struct agent *place_registry_agent(struct place *place, const char **out_what, struct error *err)
{
	if (place->ops != &ops) {
		error_set(err, ERR_INVALID, "%s is no repository of a registry", place->name);
		return NULL;
	}
	if (out_what)
		*out_what = of(place)->what;
	return of(place)->agent;
}
