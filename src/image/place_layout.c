/* SPDX-License-Identifier: Apache-2.0 */
/* oci: and oci-archive: - an OCI image layout (image-spec image-layout.md) in a folder or in a tar. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "image/bundle.h"
#include "image/folder.h"
#include "image/place.h"
#include "image/tarball.h"

#define LAYOUT_TEXT "{\"imageLayoutVersion\":\"1.0.0\"}"
#define REF_NAME "org.opencontainers.image.ref.name"
/* What docker calls it, when the engine loads the archive. */
#define IMAGE_NAME "io.containerd.image.name"

struct layout_place {
	struct place place;
	struct bundle *bundle;	 /* to read */
	struct tarball *tarball; /* to write an archive */
	int root;		 /* to write a folder, or -1 */
	char *reference;	 /* NULL: none was given */
	struct descriptor top;	 /* what is to be named at the end */
};

static struct layout_place *of(struct place *place)
{
	return (struct layout_place *)(void *)place;
}

/* "blobs/sha256/<hex>"; "" for what is no digest. */
static char *blob_path(const char *digest)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct digest parsed = { 0 };
	char hex[DIGEST_TEXT_MAX];

	if (digest_parse(&parsed, text_or_empty(digest), &ignored) < 0)
		return xstrdup("");
	return xasprintf("blobs/%s/%s", digest_algorithm_name(parsed.algorithm), digest_hex(&parsed, hex));
}

/* ---- reading ---- */

static int load_index(struct manifest *out_index, struct bundle *bundle, struct error *err)
{
	AUTO_FREE char *text = NULL;
	int r = bundle_text(bundle, &text, "index.json", MANIFEST_SIZE_MAX, err);

	if (r == 0)
		return error_set(err, ERR_INVALID, "no OCI image layout: index.json is missing");
	if (r < 0)
		return -1;
	if (manifest_decode(out_index, text, strlen(text), MEDIA_OCI_INDEX, err) < 0)
		return error_prefix(err, "index.json");
	return 0;
}

static bool is_named(const struct descriptor *entry, const char *reference)
{
	return text_equal(text_map_get(&entry->annotations, REF_NAME), reference) ||
	       text_equal(text_map_get(&entry->annotations, IMAGE_NAME), reference) ||
	       text_equal(entry->digest, reference);
}

/* Borrowed from the index. */
static const struct descriptor *find_entry(const struct manifest *index, const char *reference, struct error *err)
{
	if (!reference) {
		if (index->manifests.count == 1)
			return &index->manifests.items[0];
		error_set(err, ERR_INVALID, "the layout has %zu images: name one", index->manifests.count);
		return NULL;
	}
	for (size_t i = 0; i < index->manifests.count; i++)
		if (is_named(&index->manifests.items[i], reference))
			return &index->manifests.items[i];
	error_set(err, ERR_NOT_FOUND, "the layout has no image \"%s\"", reference);
	return NULL;
}

static int find_blob_file(struct layout_place *self, struct bundle_file *out_file, const char *digest,
			  struct error *err)
{
	AUTO_FREE char *path = blob_path(digest);
	int r = *path ? bundle_find(self->bundle, out_file, path, err) : 0;

	return r == 0 ? error_set(err, ERR_NOT_FOUND, "blob %s is missing", digest) : r;
}

static int read_document(struct place *place, struct document *out_document, const char *digest, struct error *err)
{
	AUTO(manifest_fini) struct manifest index = { 0 };
	const struct descriptor *entry = NULL;
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *text = NULL;
	int r;

	if (!digest) {
		if (load_index(&index, of(place)->bundle, err) < 0)
			return -1;
		entry = find_entry(&index, of(place)->reference, err);
		if (!entry)
			return -1;
		digest = entry->digest;
	}
	path = blob_path(digest);
	r = *path ? bundle_text(of(place)->bundle, &text, path, MANIFEST_SIZE_MAX, err) : 0;
	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "manifest %s is missing", digest);
	if (r < 0)
		return -1;
	return document_check(out_document, entry ? entry->media_type : "", digest, take_ptr(text), err);
}

static int read_blob(struct place *place, const struct descriptor *blob, int file_fd, struct error *err)
{
	struct bundle_file file = { .fd = -1 };
	int r;

	if (find_blob_file(of(place), &file, blob->digest, err) < 0)
		return -1;
	r = file.size == blob->size ? place_copy_proven(file_fd, file.fd, file.offset, blob, err)
				    : error_set(err, ERR_INVALID, "%s has %llu bytes, not %llu", blob->digest,
						(unsigned long long)file.size, (unsigned long long)blob->size);
	close(file.fd);
	return r;
}

/* ---- writing ---- */

static int find_blob(struct place *place, const struct descriptor *blob, const struct text_list *mounts,
		     struct error *err)
{
	struct layout_place *self = of(place);
	AUTO_FREE char *path = blob_path(blob->digest);

	(void)mounts;
	(void)err;
	return self->tarball ? tarball_has(self->tarball, path) : folder_has(self->root, path, blob->size);
}

/* The folder of an algorithm's blobs. */
static int open_blobs(const struct layout_place *self, const char *digest, struct error *err)
{
	AUTO_FREE char *path = xasprintf("blobs/%.*s", (int)strcspn(digest, ":"), digest);
	int fd = mkdir_all(self->root, path, 0755) < 0 ? -1
						       : openat(self->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "make %s", path) : fd;
}

static int blob_file(struct place *place, const struct descriptor *blob, struct error *err)
{
	AUTO_CLOSE int folder = of(place)->tarball ? -1 : open_blobs(of(place), blob->digest, err);

	if (of(place)->tarball)
		return place_scratch(err);
	return folder < 0 ? -1 : folder_blob_file(folder, blob, err);
}

static int put_blob(struct place *place, const struct descriptor *blob, int file_fd, struct error *err)
{
	struct layout_place *self = of(place);
	AUTO_FREE char *path = blob_path(blob->digest);
	AUTO_CLOSE int folder = -1;

	if (!*path)
		return error_set(err, ERR_INVALID, "\"%s\" is no digest", blob->digest);
	if (self->tarball)
		return tarball_add(self->tarball, path, file_fd, blob->size, err);
	folder = open_blobs(self, blob->digest, err);
	return folder < 0 ? -1 : folder_put(folder, blob, file_fd, strrchr(path, '/') + 1, err);
}

static int put_text(struct layout_place *self, const char *path, const char *text, struct error *err)
{
	int r;

	if (self->tarball)
		return tarball_add_text(self->tarball, path, text, err);
	r = file_write_atomic(self->root, path, text, strlen(text), 0644, FILE_SYNC_ALL);
	return r < 0 ? error_set_errno(err, r == -ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, r, "write %s", path) : 0;
}

static int put_document(struct place *place, const struct document *document, bool top, struct error *err)
{
	struct layout_place *self = of(place);
	AUTO_FREE char *path = blob_path(document->digest);
	AUTO_CLOSE int folder = self->tarball ? -1 : open_blobs(self, document->digest, err);

	if (!self->tarball && folder < 0)
		return -1;
	if (put_text(self, path, document->text, err) < 0)
		return -1;
	if (!top)
		return 0;
	descriptor_fini(&self->top);
	self->top = (struct descriptor){ .media_type = xstrdup(document->media_type),
					 .digest = xstrdup(document->digest),
					 .size = document->size };
	if (self->reference) {
		text_map_set(&self->top.annotations, REF_NAME, self->reference);
		if (strchr(self->reference, '/'))
			text_map_set(&self->top.annotations, IMAGE_NAME, self->reference);
	}
	return 0;
}

/* What had the name before loses it; an image without a name replaces its own entry only. */
static void enter(struct manifest *index, const struct descriptor *top, const char *reference)
{
	size_t kept = 0;

	for (size_t i = 0; i < index->manifests.count; i++) {
		struct descriptor *entry = &index->manifests.items[i];
		const char *name = text_map_get(&entry->annotations, REF_NAME);
		bool replaced = reference ? text_equal(name, reference)
					  : !name && text_equal(entry->digest, top->digest);

		if (replaced)
			descriptor_fini(entry);
		else
			index->manifests.items[kept++] = *entry;
	}
	index->manifests.count = kept;
	descriptor_copy(json_array_add(&index->manifests, sizeof(*top)), top);
}

static int write_index(struct layout_place *self, struct error *err)
{
	AUTO(manifest_fini) struct manifest index = { .kind = MANIFEST_INDEX, .schema_version = 2 };
	AUTO_FREE char *text = NULL;

	if (self->root >= 0 && file_exists(self->root, "index.json")) {
		AUTO_FREE char *before = NULL;
		int r = file_read(&before, NULL, self->root, "index.json", MANIFEST_SIZE_MAX);

		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "read index.json");
		if (manifest_decode(&index, before, strlen(before), MEDIA_OCI_INDEX, err) < 0)
			return error_prefix(err, "index.json");
	}
	enter(&index, &self->top, self->reference);
	text = manifest_encode_compact(&index);
	return put_text(self, "index.json", text, err);
}

static int finish(struct place *place, struct error *err)
{
	struct layout_place *self = of(place);

	if (self->root >= 0 && flock(self->root, LOCK_EX) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "lock the layout");
	if (put_text(self, "oci-layout", LAYOUT_TEXT, err) < 0 || write_index(self, err) < 0)
		return -1;
	return self->tarball ? tarball_finish(self->tarball, err) : 0;
}

static void free_place(struct place *place)
{
	struct layout_place *self = of(place);

	bundle_free(self->bundle);
	tarball_free(self->tarball);
	if (self->root >= 0)
		close(self->root);
	descriptor_fini(&self->top);
	free(self->reference);
	free(self);
}

static const struct place_ops ops = {
	.document = read_document,
	.blob = read_blob,
	.find = find_blob,
	.blob_file = blob_file,
	.put_blob = put_blob,
	.put_document = put_document,
	.finish = finish,
	.free = free_place,
};

static int open_to_write(struct layout_place *self, const char *path, bool archive, struct error *err)
{
	int r;

	if (archive)
		return tarball_open(&self->tarball, path, err);
	r = mkdir_all(AT_FDCWD, path, 0755);
	if (r == 0)
		self->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r < 0 || self->root < 0)
		return error_set_errno(err, ERR_INVALID, r < 0 ? r : errno, "make %s", path);
	return 0;
}

int place_layout_open(struct place **out_place, const char *rest, bool archive, enum place_use use, struct error *err)
{
	struct layout_place *self = xcalloc(1, sizeof(*self));
	AUTO(place_freep) struct place *place = &self->place;
	AUTO_FREE char *path = NULL;
	int r;

	place->ops = &ops;
	place->likes = PLACE_LIKES_OCI;
	place->packs = true;
	self->root = -1;
	place_split(&path, &self->reference, rest);
	if (!*path)
		return error_set(err, ERR_INVALID, "no path is given");
	if (use == PLACE_WRITE)
		r = open_to_write(self, path, archive, err);
	else
		r = archive ? bundle_open_archive(&self->bundle, path, err)
			    : bundle_open_folder(&self->bundle, path, err);
	if (r < 0)
		return -1;
	*out_place = take_ptr(place);
	return 0;
}
