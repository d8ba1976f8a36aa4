/* SPDX-License-Identifier: Apache-2.0 */
/* dir: - containers/image's folder: manifest.json, version, and every blob under the hex of its digest. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "image/bundle.h"
#include "image/folder.h"
#include "image/place.h"

#define VERSION_TEXT "Directory Transport Version: 1.1\n"

struct dir_place {
	struct place place;
	struct bundle *bundle; /* to read */
	int folder;	       /* to write, or -1 */
};

static struct dir_place *of(struct place *place)
{
	return (struct dir_place *)(void *)place;
}

static void hex_of(const char *digest, char out[DIGEST_TEXT_MAX])
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct digest parsed = { 0 };

	digest_parse(&parsed, digest, &ignored);
	digest_hex(&parsed, out);
}

static int read_document(struct place *place, struct document *out_document, const char *digest, struct error *err)
{
	char hex[DIGEST_TEXT_MAX];
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *text = NULL;
	int r;

	if (digest) {
		hex_of(digest, hex);
		name = xasprintf("%s.manifest.json", hex);
	}
	r = bundle_text(of(place)->bundle, &text, digest ? name : "manifest.json", MANIFEST_SIZE_MAX, err);
	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "%s is missing", digest ? name : "manifest.json");
	if (r < 0)
		return -1;
	if (digest)
		return document_check(out_document, "", digest, take_ptr(text), err);
	document_init(out_document, "", take_ptr(text));
	return 0;
}

static int read_blob(struct place *place, const struct descriptor *blob, int file_fd, struct error *err)
{
	struct bundle_file file = { .fd = -1 };
	char hex[DIGEST_TEXT_MAX];
	int r;

	hex_of(blob->digest, hex);
	r = bundle_find(of(place)->bundle, &file, hex, err);
	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "blob %s is missing", blob->digest);
	if (r < 0)
		return -1;
	r = file.size == blob->size ? place_copy_proven(file_fd, file.fd, 0, blob, err)
				    : error_set(err, ERR_INVALID, "%s has %llu bytes, not %llu", blob->digest,
						(unsigned long long)file.size, (unsigned long long)blob->size);
	close(file.fd);
	return r;
}

static int find_blob(struct place *place, const struct descriptor *blob, const struct text_list *mounts,
		     struct error *err)
{
	char hex[DIGEST_TEXT_MAX];

	(void)mounts;
	(void)err;
	hex_of(blob->digest, hex);
	return folder_has(of(place)->folder, hex, blob->size);
}

static int blob_file(struct place *place, const struct descriptor *blob, struct error *err)
{
	return folder_blob_file(of(place)->folder, blob, err);
}

static int put_blob(struct place *place, const struct descriptor *blob, int file_fd, struct error *err)
{
	char hex[DIGEST_TEXT_MAX];

	hex_of(blob->digest, hex);
	return folder_put(of(place)->folder, blob, file_fd, hex, err);
}

static int put_file(const struct dir_place *self, const char *name, const char *text, struct error *err)
{
	int r = file_write_atomic(self->folder, name, text, strlen(text), 0644, FILE_SYNC_ALL);

	return r < 0 ? error_set_errno(err, r == -ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, r, "write %s", name) : 0;
}

static int put_document(struct place *place, const struct document *document, bool top, struct error *err)
{
	char hex[DIGEST_TEXT_MAX];
	AUTO_FREE char *name = NULL;

	hex_of(document->digest, hex);
	name = xasprintf("%s.manifest.json", hex);
	if (top && put_file(of(place), "version", VERSION_TEXT, err) < 0)
		return -1;
	return put_file(of(place), top ? "manifest.json" : name, document->text, err);
}

static void free_place(struct place *place)
{
	struct dir_place *self = of(place);

	bundle_free(self->bundle);
	if (self->folder >= 0)
		close(self->folder);
	free(self);
}

static const struct place_ops ops = {
	.document = read_document,
	.blob = read_blob,
	.find = find_blob,
	.blob_file = blob_file,
	.put_blob = put_blob,
	.put_document = put_document,
	.free = free_place,
};

static int open_to_write(struct dir_place *self, const char *path, struct error *err)
{
	int r = mkdir_all(AT_FDCWD, path, 0755);

	if (r == 0)
		self->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r < 0 || self->folder < 0)
		return error_set_errno(err, ERR_INVALID, r < 0 ? r : errno, "make %s", path);
	return 0;
}

int place_dir_open(struct place **out_place, const char *rest, enum place_use use, struct error *err)
{
	struct dir_place *self = xcalloc(1, sizeof(*self));
	AUTO(place_freep) struct place *place = &self->place;

	place->ops = &ops;
	self->folder = -1;
	if (text_empty(rest))
		return error_set(err, ERR_INVALID, "dir: needs a folder");
	if (use == PLACE_WRITE ? open_to_write(self, rest, err) < 0 : bundle_open_folder(&self->bundle, rest, err) < 0)
		return -1;
	*out_place = take_ptr(place);
	return 0;
}
