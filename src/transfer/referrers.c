/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/referrers.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "oci/hasher.h"
#include "oci/manifest.h"
#include "transfer/document.h"
#include "transfer/listing.h"
#include "transfer/refusal.h"

#define EMPTY_INDEX "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"manifests\":[]}"
/* Bounds a registry that never ends. */
#define REFERRERS_MAX 20000

static char *tag_of(const char *digest)
{
	char *tag = xstrdup(digest);
	char *colon = strchr(tag, ':');

	if (colon)
		*colon = '-';
	return tag;
}

static int read_tag(char **out_text, const struct source *source, struct remote *remote, const char *digest,
		    struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO_FREE char *tag = tag_of(digest);

	if (document_request(&response, source, remote, "GET", tag, err) < 0)
		return -1;
	if (response.status != 200 && response.status != 404) {
		refusal_error(&response, NULL, err);
		return -1;
	}
	*out_text = xstrdup(response.status == 200 ? buffer_text(&response.body) : EMPTY_INDEX);
	return 0;
}

/* ---- list ---- */

static bool has(const struct manifest *index, const char *digest)
{
	for (size_t i = 0; i < index->manifests.count; i++)
		if (text_equal(index->manifests.items[i].digest, digest))
			return true;
	return false;
}

static void append(struct manifest *index, const struct descriptor *entry)
{
	size_t count = index->manifests.count;

	index->manifests.items = xrealloc(index->manifests.items, (count + 1) * sizeof(*entry));
	index->manifests.items[count] = (struct descriptor){ 0 };
	descriptor_copy(&index->manifests.items[count], entry);
	index->manifests.count++;
}

/* 1: there was something new in it. */
static int add_page(struct manifest *all, struct remote_response *response, struct error *err)
{
	struct manifest page = { 0 };
	size_t before = all->manifests.count;

	if (manifest_decode(&page, buffer_text(&response->body), response->body.size, MEDIA_OCI_INDEX, err) < 0)
		return error_prefix(err, "%s", response->url);
	for (size_t i = 0; page.kind == MANIFEST_INDEX && i < page.manifests.count; i++)
		if (!has(all, page.manifests.items[i].digest))
			append(all, &page.manifests.items[i]);
	manifest_fini(&page);
	if (all->manifests.count > REFERRERS_MAX)
		return error_set(err, ERR_EXHAUSTED, "%s lists more than %d referrers", response->url, REFERRERS_MAX);
	return all->manifests.count > before;
}

/* The pages behind the first, as its Link headers say; one page alone stays byte for byte what it is. */
static int add_pages(char **out_text, const struct source *source, struct remote *remote, struct remote_response *first,
		     struct error *err)
{
	AUTO(manifest_fini)
	struct manifest all = { .kind = MANIFEST_INDEX, .schema_version = 2, .media_type = xstrdup(MEDIA_OCI_INDEX) };
	AUTO_FREE char *url = listing_next_page(first);
	int more;

	if (!url) {
		*out_text = xstrdup(buffer_text(&first->body));
		return 0;
	}
	more = add_page(&all, first, err);
	while (more > 0 && url) {
		AUTO(remote_response_fini) struct remote_response response = { 0 };

		if (registry_send(&response, source->registry, remote,
				  &(struct registry_call){
					  .url = url, .scope = source->scope, .body_limit = MANIFEST_SIZE_MAX },
				  err) < 0)
			return -1;
		if (response.status != 200)
			return refusal_error(&response, NULL, err);
		more = add_page(&all, &response, err);
		free(url);
		url = listing_next_page(&response);
	}
	if (more < 0)
		return -1;
	*out_text = manifest_encode_compact(&all);
	return 0;
}

int referrers_list(char **out_text, const struct source *source, struct remote *remote, const char *digest,
		   struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO_FREE char *path = xasprintf("%s/referrers/%s", source->repository, digest);
	const char *type;

	if (!digest_is_valid(digest))
		return error_set(err, ERR_INVALID, "\"%s\" is no digest", digest);
	if (registry_send(
		    &response, source->registry, remote,
		    &(struct registry_call){ .path = path, .scope = source->scope, .body_limit = MANIFEST_SIZE_MAX },
		    err) < 0)
		return -1;
	type = text_or_empty(remote_header(&response, "content-type"));
	if (response.status == 404 || (response.status == 200 && !text_has_prefix(type, MEDIA_OCI_INDEX)))
		return read_tag(out_text, source, remote, digest, err);
	if (response.status != 200)
		return refusal_error(&response, NULL, err);
	return add_pages(out_text, source, remote, &response, err);
}

/* ---- note ---- */

/* What the index shall say of it; its texts are borrowed. */
static struct descriptor describe(const struct manifest *manifest, const struct referrers_put *put, char *digest)
{
	bool has_type = !text_empty(manifest->artifact_type);

	return (struct descriptor){ .media_type = message_text(put->media_type),
				    .digest = digest,
				    .size = strlen(put->text),
				    .annotations = manifest->annotations,
				    .artifact_type = has_type		? manifest->artifact_type
						     : manifest->config ? manifest->config->media_type
									: NULL };
}

static int put_tag(const struct source *source, struct remote *remote, const char *subject, const char *text,
		   const char *scope, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(text_list_fini) struct text_list headers = { 0 };
	AUTO_FREE char *tag = tag_of(subject);
	AUTO_FREE char *path = xasprintf("%s/manifests/%s", source->repository, tag);

	text_list_add(&headers, "Content-Type: " MEDIA_OCI_INDEX);
	if (registry_send(&response, source->registry, remote,
			  &(struct registry_call){ .method = "PUT",
						   .path = path,
						   .scope = scope,
						   .headers = &headers,
						   .body = text,
						   .body_size = strlen(text) },
			  err) < 0)
		return -1;
	if (response.status / 100 == 2)
		return 0;
	refusal_error(&response, NULL, err);
	return error_prefix(err, "push %s, which lists what refers to %s", tag, subject);
}

static int note_in_tag(const struct source *source, struct remote *remote, const struct manifest *manifest,
		       const struct referrers_put *put, struct error *err)
{
	const char *subject = manifest->subject->digest;
	AUTO(manifest_fini) struct manifest index = { 0 };
	AUTO_FREE char *before = NULL;
	AUTO_FREE char *after = NULL;
	char sum[DIGEST_TEXT_MAX];
	struct digest digest;
	struct descriptor entry;

	digest_of(&digest, DIGEST_SHA256, put->text, strlen(put->text));
	entry = describe(manifest, put, message_text(put->digest ? put->digest : digest_text(&digest, sum)));
	if (read_tag(&before, source, remote, subject, err) < 0)
		return -1;
	if (manifest_decode(&index, before, strlen(before), MEDIA_OCI_INDEX, err) < 0 || index.kind != MANIFEST_INDEX)
		return error_is_set(err) ? error_prefix(err, "the tag that lists what refers to %s", subject)
					 : error_set(err, ERR_INVALID,
						     "the tag that would list what refers to %s is no index", subject);
	if (has(&index, entry.digest))
		return 0;
	append(&index, &entry);
	after = manifest_encode_compact(&index);
	return put_tag(source, remote, subject, after, put->scope, err);
}

int referrers_note(const struct source *source, struct remote *remote, const struct referrers_put *put,
		   const struct remote_response *answer, struct error *err)
{
	AUTO(error_clear) struct error unknown = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };

	/* The registry took it, whatever it is. */
	if (remote_header(answer, "oci-subject") ||
	    manifest_decode(&manifest, put->text, strlen(put->text), put->media_type, &unknown) < 0 ||
	    !manifest.subject || !digest_is_valid(manifest.subject->digest))
		return 0;
	return note_in_tag(source, remote, &manifest, put, err);
}

/* ---- forget ---- */

/* 1: the registry has the API. */
static int has_api(const struct source *source, struct remote *remote, const char *subject, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO_FREE char *path = xasprintf("%s/referrers/%s", source->repository, subject);

	if (registry_send(
		    &response, source->registry, remote,
		    &(struct registry_call){ .path = path, .scope = source->scope, .body_limit = MANIFEST_SIZE_MAX },
		    err) < 0)
		return -1;
	return response.status == 200 &&
	       text_has_prefix(text_or_empty(remote_header(&response, "content-type")), MEDIA_OCI_INDEX);
}

static bool take_out(struct manifest *index, const char *digest)
{
	for (size_t i = 0; i < index->manifests.count; i++) {
		if (!text_equal(index->manifests.items[i].digest, digest))
			continue;
		descriptor_fini(&index->manifests.items[i]);
		memmove(&index->manifests.items[i], &index->manifests.items[i + 1],
			(--index->manifests.count - i) * sizeof(index->manifests.items[0]));
		return true;
	}
	return false;
}

int referrers_forget(const struct source *source, struct remote *remote, const struct referrers_put *gone,
		     struct error *err)
{
	AUTO(error_clear) struct error unknown = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO(manifest_fini) struct manifest index = { 0 };
	AUTO_FREE char *before = NULL;
	AUTO_FREE char *after = NULL;
	const char *subject;
	int r;

	if (manifest_decode(&manifest, gone->text, strlen(gone->text), gone->media_type, &unknown) < 0 ||
	    !manifest.subject || !digest_is_valid(manifest.subject->digest))
		return 0;
	subject = manifest.subject->digest;
	r = has_api(source, remote, subject, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (read_tag(&before, source, remote, subject, err) < 0)
		return -1;
	/* What is no index there is not ours to change. */
	if (manifest_decode(&index, before, strlen(before), MEDIA_OCI_INDEX, &unknown) < 0 ||
	    index.kind != MANIFEST_INDEX || !take_out(&index, gone->digest))
		return 0;
	after = manifest_encode_compact(&index);
	return put_tag(source, remote, subject, after, gone->scope, err);
}
