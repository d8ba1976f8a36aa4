/* SPDX-License-Identifier: Apache-2.0 */
/* An OCI layout in a tar stream as a place: what nothing was said of comes first, index.json last. */
#include <stdlib.h>
#include <string.h>

#include "archive/tar_stream.h"
#include "base/alloc.h"
#include "builder/place.h"
#include "oci/manifest.h"

#define LAYOUT "{\"imageLayoutVersion\":\"1.0.0\"}"

struct archive {
	struct place_archive options;
	struct tar_stream stream;
};

static void close_archive(void *arg)
{
	struct archive *archive = arg;

	tar_stream_fini(&archive->stream);
	free(archive);
}

/* "blobs/sha256/<hex>"; the folders are written before the first. */
static char *blob_path(struct archive *archive, const struct descriptor *blob, struct error *err)
{
	const char *colon = strchr(blob->digest, ':');
	AUTO_FREE char *folder = xasprintf("blobs/%.*s/", (int)(colon - blob->digest), blob->digest);

	if (tar_stream_begin(&archive->stream, "blobs/", 0, err) < 0 ||
	    tar_stream_begin(&archive->stream, folder, 0, err) < 0)
		return NULL;
	return xasprintf("%s%s", folder, colon + 1);
}

static int put(void *arg, const struct descriptor *blob, int fd, struct error *err)
{
	struct archive *archive = arg;
	AUTO_FREE char *path = blob_path(archive, blob, err);

	return path ? tar_stream_copy(&archive->stream, path, fd, blob->size, err) : -1;
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
	AUTO(manifest_fini) struct manifest index = { .kind = MANIFEST_INDEX, .schema_version = 2 };
	const struct text_list *names = archive->options.names;
	AUTO_FREE char *text = NULL;

	index.media_type = xstrdup(MEDIA_OCI_INDEX);
	for (size_t i = 0; names && i < names->count; i++)
		add_entry(&index, document, names->items[i]);
	if (index.manifests.count == 0)
		add_entry(&index, document, NULL);
	text = manifest_encode(&index);
	if (tar_stream_text(&archive->stream, "index.json", text, err) < 0 ||
	    tar_stream_text(&archive->stream, "oci-layout", LAYOUT, err) < 0)
		return -1;
	return tar_stream_end(&archive->stream, err);
}

static int put_document(void *arg, const struct descriptor *document, const char *text, bool root, struct error *err)
{
	struct archive *archive = arg;
	AUTO_FREE char *path = blob_path(archive, document, err);

	if (!path || tar_stream_text(&archive->stream, path, text, err) < 0)
		return -1;
	return root ? write_index(archive, document, err) : 0;
}

void place_open_archive(struct place *out_place, const struct place_archive *options)
{
	struct archive *archive = xcalloc(1, sizeof(*archive));

	archive->options = *options;
	tar_stream_init(&archive->stream, options->write, options->arg);
	*out_place = (struct place){ .arg = archive, .put = put, .put_document = put_document, .close = close_archive };
}
