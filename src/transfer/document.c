/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/document.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "oci/hasher.h"
#include "oci/manifest.h"
#include "transfer/refusal.h"

#define ACCEPT                                                                                                         \
	"Accept: " MEDIA_OCI_INDEX ", " MEDIA_DOCKER_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_MANIFEST          \
	", " MEDIA_DOCKER_SCHEMA1_SIGNED ";q=0.1, */*;q=0.1"

int document_request(struct remote_response *out_response, const struct source *source, struct remote *remote,
		     const char *method, const char *what, struct error *err)
{
	AUTO(text_list_fini) struct text_list headers = { 0 };
	AUTO_FREE char *path = xasprintf("%s/manifests/%s", source->repository, what);

	text_list_add(&headers, ACCEPT);
	return registry_send(out_response, source->registry, remote,
			     &(struct registry_call){ .method = method,
						      .path = path,
						      .scope = source->scope,
						      .headers = &headers,
						      .body_limit = MANIFEST_SIZE_MAX },
			     err);
}

/* docker's words for what a registry says about a manifest. */
int document_refusal(const struct reference *reference, struct remote_response *response, struct error *err)
{
	AUTO(error_clear) struct error cause = { 0 };
	AUTO_FREE char *code = NULL;
	AUTO_FREE char *name = reference_familiar_name(reference);
	AUTO_FREE char *full = reference_familiar(reference);
	const char *challenge = text_or_empty(remote_header(response, "www-authenticate"));

	refusal_error(response, &code, &cause);
	if (text_equal(code, "DENIED") || (response->status == 401 && strcasestr(challenge, "bearer")))
		return error_set(err, ERR_NOT_FOUND,
				 "pull access denied for %s, repository does not exist or may require 'docker login': "
				 "denied: requested access to the resource is denied",
				 name);
	if (text_equal(code, "NAME_UNKNOWN"))
		return error_set(err, ERR_NOT_FOUND, "repository %s not found: %s", name, cause.message);
	if (cause.kind == ERR_NOT_FOUND)
		return error_set(err, ERR_NOT_FOUND, "manifest for %s not found: %s", full, cause.message);
	return error_set(err, cause.kind, "pull %s: %s", full, cause.message);
}

/* What the descriptor or the server's header says, against the bytes. */
int document_prove(struct descriptor *descriptor, const struct remote_response *response, struct error *err)
{
	const char *claimed = descriptor->digest ? descriptor->digest
						 : remote_header(response, "docker-content-digest");
	char text[DIGEST_TEXT_MAX];
	struct digest expected = { .algorithm = DIGEST_SHA256 };
	struct digest got;

	if (claimed && digest_parse(&expected, claimed, err) < 0)
		return error_prefix(err, "digest \"%s\" of %s", claimed, response->url);
	digest_of(&got, expected.algorithm, response->body.data, response->body.size);
	if (claimed && !digest_equal(&got, &expected))
		return error_set(err, ERR_INVALID, "%s: the bytes have digest %s, not %s", response->url,
				 digest_text(&got, text), claimed);
	if (descriptor->size && descriptor->size != response->body.size)
		return error_set(err, ERR_INVALID, "%s: %zu bytes came, the descriptor says %llu", response->url,
				 response->body.size, (unsigned long long)descriptor->size);
	if (!descriptor->digest)
		descriptor->digest = xstrdup(digest_text(&got, text));
	descriptor->size = response->body.size;
	return 0;
}

char *document_limit(const struct remote_response *response)
{
	const char *left = text_or_empty(remote_header(response, "ratelimit-remaining"));
	const char *all = text_or_empty(remote_header(response, "ratelimit-limit"));
	int left_size = (int)strspn(left, "0123456789");
	int all_size = (int)strspn(all, "0123456789");

	return left_size ? xasprintf("%.*s%s%.*s", left_size, left, all_size ? " of " : "", all_size, all) : NULL;
}
