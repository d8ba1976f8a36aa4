/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/image_archive.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "sys/in_root.h"

#define INDEX_DEPTH_MAX 4

static const struct json_field source_fields[] = {
	JSON_KEY(struct archive_source, diff_id),
	JSON_OBJECT("", struct archive_source, layer, descriptor_fields, 0),
	JSON_END,
};

const struct json_field archive_image_fields[] = {
	JSON_TEXT("Config", struct archive_image, config, 0),
	JSON_TEXT_LIST("RepoTags", struct archive_image, repo_tags, JSON_EMPTY_NULL),
	JSON_TEXT_LIST("Layers", struct archive_image, layers, 0),
	JSON_MAP("LayerSources", struct archive_image, sources, source_fields, JSON_OMIT_EMPTY),
	JSON_END,
};

char *archive_blob_path(const struct digest *digest)
{
	char hex[DIGEST_TEXT_MAX];

	return xasprintf("blobs/%s/%s", digest_algorithm_name(digest->algorithm), digest_hex(digest, hex));
}

void archive_images_fini(struct archive_images *images)
{
	for (size_t i = 0; i < images->count; i++)
		free(take_ptr(images->items[i].manifest));
	json_free_array(images, archive_image_fields, sizeof(struct archive_image));
}

/* ---- files ---- */

int archive_open(int root_fd, const char *path, struct error *err)
{
	/* Not to wait for a pipe that somebody put there. */
	AUTO_CLOSE int fd = open_in_root(root_fd, path, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;

	if (fd < 0 && (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP))
		return error_set(err, ERR_INVALID, "the archive has no file %s", path);
	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, fd, "open %s of the archive", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, ERR_INVALID, "%s in the archive is no file", path);
	return take_fd(&fd);
}

int archive_read_file(char **out_text, size_t *out_size, int root_fd, const char *path, size_t limit, struct error *err)
{
	AUTO_CLOSE int fd = archive_open(root_fd, path, err);
	int r = fd < 0 ? -1 : fd_read_all(out_text, out_size, fd, limit);

	if (fd < 0)
		return -1;
	if (r == -EFBIG)
		return error_set(err, ERR_INVALID, "%s in the archive is larger than %zu bytes", path, limit);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "read %s of the archive", path) : 0;
}

static bool has_file(int root_fd, const char *path)
{
	AUTO_CLOSE int fd = open_in_root(root_fd, path, O_PATH, 0);

	return fd >= 0;
}

/* ---- OCI ---- */

struct walk {
	struct archive_images *images;
	int root_fd;
	const struct platform *platform; /* NULL: every manifest, only to find those of images that are listed */
};

static char *descriptor_path(const struct descriptor *descriptor)
{
	struct digest digest;

	descriptor_digest(descriptor, &digest);
	return archive_blob_path(&digest);
}

/* containerd's annotation is a whole name; OCI's may be one, or only a tag, which names nothing. */
static const char *name_of(const struct descriptor *entry)
{
	const char *name = text_map_get(&entry->annotations, ARCHIVE_NAME);
	const char *reference = text_map_get(&entry->annotations, ARCHIVE_REFERENCE);

	if (name)
		return name;
	return reference && strpbrk(reference, "/:") ? reference : NULL;
}

static struct archive_image *find_image(struct archive_images *images, const char *config)
{
	for (size_t i = 0; i < images->count; i++)
		if (text_equal(images->items[i].config, config))
			return &images->items[i];
	return NULL;
}

static void add_manifest(struct walk *walk, const struct manifest *manifest, const char *path, const char *name)
{
	AUTO_FREE char *config = descriptor_path(manifest->config);
	struct archive_image *image = find_image(walk->images, config);

	if (!image && !walk->platform)
		return;
	if (!image) {
		image = json_array_add(walk->images, sizeof(*image));
		image->config = xstrdup(config);
		for (size_t i = 0; i < manifest->layers.count; i++)
			text_list_add_take(&image->layers, descriptor_path(&manifest->layers.items[i]));
	}
	if (!image->manifest)
		image->manifest = xstrdup(path);
	if (walk->platform && name && !text_list_contains(&image->repo_tags, name))
		text_list_add(&image->repo_tags, name);
}

static int walk_index(struct walk *walk, const struct manifest *index, const char *name, int depth, struct error *err);

/* An entry of the top index is an image by itself; one of a nested index stands beside others for other machines. */
static int walk_entry(struct walk *walk, const struct descriptor *entry, const char *name, int depth, struct error *err)
{
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO_FREE char *path = descriptor_path(entry);
	AUTO_FREE char *text = NULL;
	size_t size;

	if (!media_type_is_manifest(entry->media_type) && !media_type_is_index(entry->media_type))
		return 0;
	/* An index may be sparse. */
	if (depth > 0 && !has_file(walk->root_fd, path))
		return 0;
	if (archive_read_file(&text, &size, walk->root_fd, path, MANIFEST_SIZE_MAX, err) < 0)
		return -1;
	if (manifest_decode(&manifest, text, size, entry->media_type, err) < 0)
		return error_prefix(err, "%s in the archive", path);
	if (manifest.kind == MANIFEST_INDEX)
		return walk_index(walk, &manifest, name, depth + 1, err);
	/* Attestations and other artifacts are no images. */
	if (media_type_is_config(manifest.config->media_type))
		add_manifest(walk, &manifest, path, name);
	return 0;
}

static int walk_index(struct walk *walk, const struct manifest *index, const char *name, int depth, struct error *err)
{
	if (depth > INDEX_DEPTH_MAX)
		return error_set(err, ERR_INVALID, "indexes nested more than %d deep in the archive", INDEX_DEPTH_MAX);
	if (depth > 0 && walk->platform) {
		const struct descriptor *entry = manifest_select(index, walk->platform, PLATFORM_RUNNABLE, err);

		return entry ? walk_entry(walk, entry, name, depth, err) : -1;
	}
	for (size_t i = 0; i < index->manifests.count; i++) {
		const struct descriptor *entry = &index->manifests.items[i];

		if (walk_entry(walk, entry, depth == 0 ? name_of(entry) : name, depth, err) < 0)
			return -1;
	}
	return 0;
}

static int read_index(struct archive_images *images, int root_fd, const struct platform *platform, struct error *err)
{
	struct walk walk = { .images = images, .root_fd = root_fd, .platform = platform };
	AUTO(manifest_fini) struct manifest index = { 0 };
	AUTO_FREE char *text = NULL;
	size_t size;

	if (archive_read_file(&text, &size, root_fd, "index.json", MANIFEST_SIZE_MAX, err) < 0)
		return -1;
	if (manifest_decode(&index, text, size, MEDIA_OCI_INDEX, err) < 0)
		return error_prefix(err, "index.json of the archive");
	return walk_index(&walk, &index, NULL, 0, err);
}

/* ---- docker's ---- */

static int read_manifest(struct archive_images *images, int root_fd, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *text = NULL;
	size_t size;

	if (archive_read_file(&text, &size, root_fd, "manifest.json", MANIFEST_SIZE_MAX, err) < 0)
		return -1;
	if (text_equal(text_trim(text), "null"))
		return error_set(err, ERR_INVALID, "invalid manifest.json: it is null");
	if (json_decode_array(images, archive_image_fields, sizeof(struct archive_image), text, strlen(text), err) < 0)
		return error_prefix(err, "manifest.json of the archive");
	for (size_t i = 0; i < images->count; i++)
		if (text_empty(images->items[i].config))
			return error_set(err, ERR_INVALID, "manifest.json of the archive: image %zu has no Config", i);
	/* The OCI half, where there is one, has the manifests they were pushed with. */
	read_index(images, root_fd, NULL, &ignored);
	return 0;
}

int archive_read(struct archive_images *out_images, int root_fd, const struct platform *platform, struct error *err)
{
	AUTO(archive_images_fini) struct archive_images images = { 0 };
	AUTO(platform_fini) struct platform host = { 0 };
	int r;

	platform_host(&host);
	if (has_file(root_fd, "manifest.json"))
		r = read_manifest(&images, root_fd, err);
	else if (has_file(root_fd, "index.json"))
		r = read_index(&images, root_fd, platform ? platform : &host, err);
	else
		r = error_set(err, ERR_INVALID,
			      "not an archive of images: it has neither manifest.json nor index.json");
	if (r < 0)
		return -1;
	*out_images = images;
	images = (struct archive_images){ 0 };
	return 0;
}
