/* SPDX-License-Identifier: Apache-2.0 */
/* An OCI layout in a tar stream as a place: what nothing was said of comes first, index.json last. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/tar_writer.h"
#include "base/alloc.h"
#include "base/map.h"
#include "builder/place.h"
#include "oci/manifest.h"

#define BLOCK_SIZE (256 * 1024)
#define LAYOUT "{\"imageLayoutVersion\":\"1.0.0\"}"

struct archive {
	struct place_archive options;
	struct map written; /* paths */
};

static void close_archive(void *arg)
{
	struct archive *archive = arg;

	map_fini(&archive->written);
	free(archive);
}

static int write_bytes(struct archive *archive, const void *data, size_t size, struct error *err)
{
	return archive->options.write(archive->options.arg, data, size, err);
}

/* 1 if its content is to follow; 0: it is there. */
static int begin(struct archive *archive, const char *path, uint64_t size, struct error *err)
{
	bool is_folder = text_has_suffix(path, "/");
	const struct tar_entry entry = { .path = path,
					 .type = is_folder ? TAR_DIRECTORY : TAR_FILE,
					 .mode = is_folder ? 0755 : 0644,
					 .size = size };
	AUTO(text_fini) struct text header = { 0 };

	if (map_get(&archive->written, path))
		return 0;
	map_set(&archive->written, path, archive);
	tar_add_header(&header, &entry);
	return write_bytes(archive, header.data, header.size, err) < 0 ? -1 : 1;
}

static int finish(struct archive *archive, uint64_t size, struct error *err)
{
	static const uint8_t zeros[TAR_BLOCK];
	size_t padding = tar_padding(size);

	return padding ? write_bytes(archive, zeros, padding, err) : 0;
}

static int write_text(struct archive *archive, const char *path, const char *text, struct error *err)
{
	size_t size = strlen(text);
	int r = begin(archive, path, size, err);

	if (r <= 0)
		return r;
	return write_bytes(archive, text, size, err) < 0 ? -1 : finish(archive, size, err);
}

/* "blobs/sha256/<hex>"; the folders are written before the first. */
static char *blob_path(struct archive *archive, const struct descriptor *blob, struct error *err)
{
	const char *colon = strchr(blob->digest, ':');
	AUTO_FREE char *folder = xasprintf("blobs/%.*s/", (int)(colon - blob->digest), blob->digest);

	if (begin(archive, "blobs/", 0, err) < 0 || begin(archive, folder, 0, err) < 0)
		return NULL;
	return xasprintf("%s%s", folder, colon + 1);
}

static int copy(struct archive *archive, int fd, uint64_t size, struct error *err)
{
	AUTO_FREE char *block = xmalloc(BLOCK_SIZE);
	uint64_t left = size;

	while (left > 0) {
		ssize_t got = read(fd, block, left < BLOCK_SIZE ? left : BLOCK_SIZE);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return error_set_errno(err, ERR_INTERNAL, got < 0 ? errno : EIO, "read a blob");
		if (write_bytes(archive, block, (size_t)got, err) < 0)
			return -1;
		left -= (uint64_t)got;
	}
	return finish(archive, size, err);
}

static int put(void *arg, const struct descriptor *blob, int fd, struct error *err)
{
	struct archive *archive = arg;
	AUTO_FREE char *path = blob_path(archive, blob, err);
	int r = path ? begin(archive, path, blob->size, err) : -1;

	return r <= 0 ? r : copy(archive, fd, blob->size, err);
}

static void add_entry(struct manifest *index, const struct descriptor *document, const char *name)
{
	struct descriptor *entry = json_array_add(&index->manifests, sizeof(*entry));
	const char *colon = name ? strrchr(name, ':') : NULL;

	descriptor_copy(entry, document);
	if (name && colon && strchr(name, '/'))
		text_map_set(&entry->annotations, "io.containerd.image.name", name);
	if (name)
		text_map_set(&entry->annotations, "org.opencontainers.image.ref.name",
			     colon && strchr(name, '/') ? colon + 1 : name);
}

static int write_index(struct archive *archive, const struct descriptor *document, struct error *err)
{
	static const uint8_t end[2 * TAR_BLOCK];
	AUTO(manifest_fini) struct manifest index = { .kind = MANIFEST_INDEX, .schema_version = 2 };
	const struct text_list *names = archive->options.names;
	AUTO_FREE char *text = NULL;

	index.media_type = xstrdup(MEDIA_OCI_INDEX);
	for (size_t i = 0; names && i < names->count; i++)
		add_entry(&index, document, names->items[i]);
	if (index.manifests.count == 0)
		add_entry(&index, document, NULL);
	text = manifest_encode(&index);
	if (write_text(archive, "index.json", text, err) < 0 || write_text(archive, "oci-layout", LAYOUT, err) < 0)
		return -1;
	return write_bytes(archive, end, sizeof(end), err);
}

static int put_document(void *arg, const struct descriptor *document, const char *text, bool root, struct error *err)
{
	struct archive *archive = arg;
	AUTO_FREE char *path = blob_path(archive, document, err);

	if (!path || write_text(archive, path, text, err) < 0)
		return -1;
	return root ? write_index(archive, document, err) : 0;
}

void place_open_archive(struct place *out_place, const struct place_archive *options)
{
	struct archive *archive = xcalloc(1, sizeof(*archive));

	archive->options = *options;
	map_init(&archive->written, NULL);
	*out_place = (struct place){ .arg = archive, .put = put, .put_document = put_document, .close = close_archive };
}
