/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/place.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "builder/build_private.h"
#include "engine/image_agent.h"
#include "oci/hasher.h"
#include "oci/reference.h"

void place_close(struct place *place)
{
	if (place->close)
		place->close(place->arg);
	*place = (struct place){ 0 };
}

void place_describe(struct descriptor *descriptor, const char *media_type, const char *text)
{
	char name[DIGEST_TEXT_MAX];
	struct digest digest;

	digest_of(&digest, DIGEST_SHA256, text, strlen(text));
	*descriptor = (struct descriptor){ .media_type = xstrdup(media_type),
					   .digest = xstrdup(digest_text(&digest, name)),
					   .size = strlen(text) };
}

/* ---- a registry ---- */

struct repository {
	struct agent *agent;
	char *name; /* tag or digest */
};

static void close_repository(void *arg)
{
	struct repository *repository = arg;

	agent_close(repository->agent);
	free(repository->name);
	free(repository);
}

static int has(void *arg, const struct descriptor *blob, struct error *err)
{
	const struct repository *repository = arg;

	return agent_find_blob(repository->agent, blob, NULL, err);
}

static int put(void *arg, const struct descriptor *blob, int fd, struct error *err)
{
	const struct repository *repository = arg;

	return agent_put_blob(repository->agent, blob, fd, err);
}

static int put_document(void *arg, const struct descriptor *document, const char *text, bool root, struct error *err)
{
	const struct repository *repository = arg;

	return agent_put_manifest(repository->agent, root ? repository->name : document->digest, document->media_type,
				  text, err);
}

static int get_root(void *arg, char **out_text, struct error *err)
{
	const struct repository *repository = arg;
	struct agent_document document = { 0 };
	int r = agent_manifest(&document, repository->agent, repository->name, err);

	if (r == 0)
		*out_text = take_ptr(document.text);
	agent_document_fini(&document);
	return r;
}

static int get(void *arg, const struct descriptor *blob, int fd, struct error *err)
{
	const struct repository *repository = arg;

	return agent_blob(repository->agent, blob, fd, err);
}

int place_open_registry(struct place *out_place, const struct build *build, const char *name, struct error *err)
{
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO_FREE char *auth = build_auth(build, name);
	AUTO_FREE char *full = NULL;
	struct repository *repository;
	struct agent *agent;
	char digest[DIGEST_TEXT_MAX];

	if (reference_parse(&reference, name, err) < 0)
		return -1;
	reference_default_tag(&reference);
	full = reference_format(&reference);
	if (image_agent_open(&agent,
			     &(struct image_agent_options){ .reference = full,
							    .auth = auth,
							    .registry = build->options->registry,
							    .cancel_fd = build->options->cancel_fd },
			     err) < 0)
		return -1;
	repository = xcalloc(1, sizeof(*repository));
	repository->agent = agent;
	repository->name = xstrdup(digest_is_set(&reference.digest) ? digest_text(&reference.digest, digest)
								    : reference.tag);
	*out_place = (struct place){ .arg = repository,
				     .has = has,
				     .put = put,
				     .put_document = put_document,
				     .get_root = get_root,
				     .get = get,
				     .close = close_repository };
	return 0;
}
