/* SPDX-License-Identifier: Apache-2.0 */
#include "image/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "oci/hasher.h"

#define COPY_SIZE (256 * 1024)

/* ---- documents ---- */

void document_fini(struct document *document)
{
	free(document->media_type);
	free(document->digest);
	free(document->text);
	free(document->limit);
	*document = (struct document){ 0 };
}

void document_init(struct document *out_document, const char *media_type, char *text)
{
	char name[DIGEST_TEXT_MAX];
	struct digest digest;

	digest_of(&digest, DIGEST_SHA256, text, strlen(text));
	*out_document = (struct document){ .media_type = xstrdup(media_type),
					   .digest = xstrdup(digest_text(&digest, name)),
					   .text = text,
					   .size = strlen(text) };
}

int document_check(struct document *out_document, const char *media_type, const char *digest, char *text,
		   struct error *err)
{
	struct digest expected;
	struct digest got;

	document_init(out_document, media_type, text);
	if (digest_parse(&expected, digest, err) == 0) {
		digest_of(&got, expected.algorithm, text, out_document->size);
		if (digest_equal(&got, &expected)) {
			free(out_document->digest);
			out_document->digest = xstrdup(digest);
			return 0;
		}
		error_set(err, ERR_INVALID, "the bytes of manifest %s are others", digest);
	}
	document_fini(out_document);
	return -1;
}

/* ---- places ---- */

int place_open(struct place **out_place, const char *name, const struct place_options *options, struct error *err)
{
	const char *rest;
	int r;

	if ((rest = text_after(name, "oci-archive:")))
		r = place_layout_open(out_place, rest, true, options->use, err);
	else if ((rest = text_after(name, "oci:")))
		r = place_layout_open(out_place, rest, false, options->use, err);
	else if ((rest = text_after(name, "dir:")))
		r = place_dir_open(out_place, rest, options->use, err);
	else if ((rest = text_after(name, "docker-archive:")))
		r = place_docker_open(out_place, rest, options->use, err);
	else {
		rest = text_after(name, "docker://");
		r = place_registry_open(out_place, rest ? rest : name, options, err);
	}
	if (r < 0)
		return error_prefix(err, "%s", name);
	(*out_place)->name = xstrdup(name);
	return 0;
}

void place_free(struct place *place)
{
	free(place->name);
	free(place->registry);
	free(place->repository);
	place->ops->free(place);
}

/* A place that does not know: the document itself may. */
static int name_type(struct document *document, struct error *err)
{
	AUTO(manifest_fini) struct manifest manifest = { 0 };

	if (manifest_decode(&manifest, document->text, document->size, NULL, err) < 0)
		return -1;
	free(document->media_type);
	document->media_type = xstrdup(manifest.media_type		 ? manifest.media_type
				       : manifest.kind == MANIFEST_INDEX ? MEDIA_OCI_INDEX
									 : MEDIA_OCI_MANIFEST);
	return 0;
}

int place_document(struct place *place, struct document *out_document, const char *digest, struct error *err)
{
	if (place->ops->document(place, out_document, digest, err) < 0)
		return error_prefix(err, "%s", place->name);
	if (!media_type_is_index(out_document->media_type) && !media_type_is_manifest(out_document->media_type) &&
	    name_type(out_document, err) < 0) {
		document_fini(out_document);
		return error_prefix(err, "%s", place->name);
	}
	return 0;
}

int place_text(struct place *place, const struct descriptor *blob, size_t limit, char **out_text, struct error *err)
{
	AUTO_CLOSE int file = -1;
	size_t size;
	int r;

	if (blob->size > limit)
		return error_set(err, ERR_INVALID, "%s: %s is larger than %zu bytes", place->name, blob->digest, limit);
	file = place_scratch(err);
	if (file < 0)
		return -1;
	if (place->ops->blob(place, blob, file, err) < 0)
		return error_prefix(err, "%s", place->name);
	if (lseek(file, 0, SEEK_SET) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "read %s", blob->digest);
	r = fd_read_all(out_text, &size, file, limit);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "read %s", blob->digest) : 0;
}

int place_finish(struct place *place, struct error *err)
{
	if (place->ops->finish && place->ops->finish(place, err) < 0)
		return error_prefix(err, "%s", place->name);
	return 0;
}

/* ---- for the places ---- */

int place_scratch(struct error *err)
{
	const char *folder = getenv("TMPDIR");
	int fd = -1;

	if (!text_empty(folder))
		fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "make a temporary file (TMPDIR, /var/tmp, /tmp)")
		      : fd;
}

static int copy_hashed(struct hasher *hasher, int file_fd, int source_fd, uint64_t offset,
		       const struct descriptor *blob, struct error *err)
{
	AUTO_FREE char *chunk = xmalloc(COPY_SIZE);
	uint64_t left = blob->size;

	while (left > 0) {
		ssize_t got = pread(source_fd, chunk, left < COPY_SIZE ? left : COPY_SIZE, (off_t)offset);
		int r;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "read %s", blob->digest);
		if (got == 0)
			return error_set(err, ERR_INVALID, "%s ends %llu bytes early", blob->digest,
					 (unsigned long long)left);
		hasher_add(hasher, chunk, (size_t)got);
		r = write_full(file_fd, chunk, (size_t)got);
		if (r < 0)
			return error_set_errno(err, r == -ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, r, "write %s",
					       blob->digest);
		left -= (uint64_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

int place_copy_proven(int file_fd, int source_fd, uint64_t offset, const struct descriptor *blob, struct error *err)
{
	AUTO(hasher_freep) struct hasher *hasher = NULL;
	char text[DIGEST_TEXT_MAX];
	struct digest expected;
	struct digest got;

	if (digest_parse(&expected, text_or_empty(blob->digest), err) < 0)
		return -1;
	if (ftruncate(file_fd, 0) < 0 || lseek(file_fd, 0, SEEK_SET) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "empty the file for %s", blob->digest);
	hasher = hasher_new(expected.algorithm);
	if (copy_hashed(hasher, file_fd, source_fd, offset, blob, err) < 0)
		return -1;
	hasher_digest(hasher, &got);
	if (!digest_equal(&expected, &got))
		return error_set(err, ERR_INVALID, "the bytes of %s have digest %s", blob->digest,
				 digest_text(&got, text));
	return 0;
}

void place_split(char **out_path, char **out_reference, const char *rest)
{
	const char *colon = strchr(rest, ':');

	*out_path = colon ? xstrndup(rest, (size_t)(colon - rest)) : xstrdup(rest);
	*out_reference = colon && colon[1] ? xstrdup(colon + 1) : NULL;
}
