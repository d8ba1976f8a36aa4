/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd.services.content.v1 of the client: its folder of --cache-to and
 * --cache-from type=local, as a place for blobs.
 *
 * A write is a conversation: the client tells after each piece how far it is,
 * and after the last one that the digest is right. What it has already it says
 * with the status ALREADY_EXISTS.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/buildkit/buildkit_private.h"
#include "base/alloc.h"
#include "base/file.h"
#include "builder/place.h"

#define SERVICE "/containerd.services.content.v1.Content/"
#define BLOCK_SIZE (256u * 1024)
#define DOCUMENT_MAX (8 * 1024 * 1024)

enum { ACTION_WRITE = 1, ACTION_COMMIT = 2 };

struct folder {
	struct frontend *frontend; /* borrowed */
	char *id;		   /* "local:/path" */
	char *root;		   /* digest of the document that was asked for, or NULL */
	struct grpc_metadata metadata;
	int cancel_fd;
};

static void close_folder(void *arg)
{
	struct folder *folder = arg;

	grpc_metadata_fini(&folder->metadata);
	free(folder->id);
	free(folder->root);
	free(folder);
}

static struct grpc_call call_of(const struct folder *folder, const char *path)
{
	return (struct grpc_call){ .path = path, .metadata = &folder->metadata, .cancel_fd = folder->cancel_fd };
}

static struct grpc_connection *connection_of(const struct folder *folder)
{
	return session_connection(folder->frontend->session);
}

/* 1 with its size, or 0. */
static int look(uint64_t *out_size, const struct folder *folder, const char *digest, struct error *err)
{
	const struct grpc_call call = call_of(folder, SERVICE "Info");
	const struct bk_content_info_request request = { .digest = (char *)(uintptr_t)digest };
	struct bk_content_info answer = { 0 };
	const struct grpc_message message = { &request, bk_content_info_request_fields, &answer,
					      bk_content_info_fields };
	AUTO(error_clear) struct error problem = { 0 };

	if (grpc_exchange(connection_of(folder), &call, &message, &problem) < 0)
		return problem.kind == ERR_NOT_FOUND ? 0 : error_move(err, &problem);
	*out_size = answer.size > 0 ? (uint64_t)answer.size : 0;
	proto_free(&answer, bk_content_info_fields);
	return 1;
}

static int has(void *arg, const struct descriptor *blob, struct error *err)
{
	uint64_t size;
	int r = look(&size, arg, blob->digest, err);

	return r > 0 ? size == blob->size : r;
}

/* ---- to the client ---- */

/* One piece and the word that it arrived. */
static int exchange(struct grpc_stream *stream, const struct bk_content_write *piece, struct error *err)
{
	struct bk_content_written answer = { 0 };
	int r;

	if (grpc_send(stream, piece, bk_content_write_fields, err) < 0)
		return -1;
	r = grpc_receive(stream, &answer, bk_content_written_fields, err);
	proto_free(&answer, bk_content_written_fields);
	return r == 0 ? error_set(err, ERR_INVALID, "the client stopped in the middle of a blob") : r < 0 ? -1 : 0;
}

static int send_pieces(struct grpc_stream *stream, const struct descriptor *blob, int fd, struct error *err)
{
	AUTO_FREE uint8_t *block = xmalloc(BLOCK_SIZE);
	AUTO_FREE char *ref = xasprintf("kist-%s", blob->digest);
	struct bk_content_write piece = {
		.action = ACTION_WRITE, .ref = ref, .total = (int64_t)blob->size, .expected = blob->digest
	};
	ssize_t size;

	while ((size = read(fd, block, BLOCK_SIZE)) > 0) {
		piece.data = (struct proto_bytes){ block, (size_t)size };
		if (exchange(stream, &piece, err) < 0)
			return -1;
		piece.offset += size;
	}
	if (size < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "read blob %s", blob->digest);
	piece.action = ACTION_COMMIT;
	piece.data = (struct proto_bytes){ 0 };
	return exchange(stream, &piece, err);
}

static int put(void *arg, const struct descriptor *blob, int fd, struct error *err)
{
	const struct folder *folder = arg;
	const struct grpc_call call = call_of(folder, SERVICE "Write");
	AUTO(grpc_stream_freep) struct grpc_stream *stream = NULL;
	AUTO(error_clear) struct error problem = { 0 };

	if (grpc_open(&stream, connection_of(folder), &call, err) < 0)
		return -1;
	if (send_pieces(stream, blob, fd, &problem) == 0) {
		grpc_send_end(stream);
		return grpc_finish(stream, err);
	}
	return problem.kind == ERR_CONFLICT ? 0 : error_move(err, &problem);
}

static int put_document(void *arg, const struct descriptor *document, const char *text, bool root, struct error *err)
{
	AUTO_CLOSE int fd = -1;
	uint64_t size;
	int r = look(&size, arg, document->digest, err);

	(void)root;
	if (r != 0)
		return r < 0 ? -1 : 0;
	fd = file_memory("document", text, strlen(text));
	if (fd < 0)
		return error_set_errno(err, ERR_EXHAUSTED, fd, "no memory for a document");
	return put(arg, document, fd, err);
}

/* ---- from the client ---- */

static int take(int fd, const struct descriptor *blob, uint64_t *at, const struct bk_content_data *piece,
		struct error *err)
{
	int r;

	if (piece->offset != (int64_t)*at || piece->data.size > blob->size - *at)
		return error_set(err, ERR_INVALID, "the client sends other bytes of %s than were asked for",
				 blob->digest);
	r = write_full(fd, piece->data.data, piece->data.size);
	*at += piece->data.size;
	return r < 0 ? error_set_errno(err, r == -ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, r, "write blob %s",
				       blob->digest)
		     : 0;
}

static int get(void *arg, const struct descriptor *blob, int fd, struct error *err)
{
	const struct folder *folder = arg;
	const struct grpc_call call = call_of(folder, SERVICE "Read");
	AUTO(grpc_stream_freep) struct grpc_stream *stream = NULL;
	const struct bk_content_read request = { .digest = blob->digest };
	uint64_t at = 0;
	int r;

	if (grpc_open(&stream, connection_of(folder), &call, err) < 0 ||
	    grpc_send(stream, &request, bk_content_read_fields, err) < 0)
		return -1;
	grpc_send_end(stream);
	for (;;) {
		struct bk_content_data piece = { 0 };

		r = grpc_receive(stream, &piece, bk_content_data_fields, err);
		if (r > 0)
			r = take(fd, blob, &at, &piece, err) < 0 ? -1 : 1;
		proto_free(&piece, bk_content_data_fields);
		if (r <= 0)
			return r;
	}
}

static int get_root(void *arg, char **out_text, struct error *err)
{
	const struct folder *folder = arg;
	struct descriptor document = { .digest = folder->root };
	AUTO_FREE char *text = NULL;
	AUTO_CLOSE int fd = -1;
	size_t size;
	int r;

	if (text_empty(folder->root))
		return error_set(err, ERR_INVALID, "local cache importer requires explicit digest");
	r = look(&document.size, folder, folder->root, err);
	if (r <= 0)
		return r < 0 ? -1 : error_set(err, ERR_NOT_FOUND, "%s is not in that folder", folder->root);
	if (document.size > DOCUMENT_MAX)
		return error_set(err, ERR_INVALID, "its manifest is too big");
	fd = file_memory("document", "", 0);
	if (fd < 0)
		return error_set_errno(err, ERR_EXHAUSTED, fd, "no memory for a document");
	if (get(arg, &document, fd, err) < 0)
		return -1;
	lseek(fd, 0, SEEK_SET);
	r = fd_read_all(&text, &size, fd, DOCUMENT_MAX);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read a manifest");
	*out_text = take_ptr(text);
	return 0;
}

int content_open(void *arg, struct place *out_place, const char *folder_name, const char *digest, int cancel_fd,
		 struct error *err)
{
	struct folder *folder = xcalloc(1, sizeof(*folder));

	(void)err;
	folder->frontend = arg;
	folder->cancel_fd = cancel_fd;
	folder->id = xasprintf("local:%s", folder_name);
	folder->root = xstrdup(digest);
	grpc_metadata_add(&folder->metadata, "buildkit-attachable-store-id", folder->id);
	*out_place = (struct place){ .arg = folder,
				     .has = has,
				     .put = put,
				     .put_document = put_document,
				     .get_root = get_root,
				     .get = get,
				     .close = close_folder };
	return 0;
}
