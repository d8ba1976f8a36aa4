/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moby.filesync.v1.FileSync/DiffCopy: the client lists its files, numbered from
 * 0; we ask for the content of some by number and get it in pieces, of several
 * files at once; an empty piece ends a file. FIN from us, FIN from it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "api/buildkit/buildkit_private.h"
#include "api/buildkit/tree.h"
#include "base/alloc.h"
#include "base/file.h"

/* Asked for at a time: as many descriptors are open. */
#define WANTED_MAX 32
#define FILES_MAX 4000000u

/* A file whose content is on its way, or is going to be asked for. */
struct wanted {
	uint32_t id;
	struct bk_stat stat;
	int fd;
};

struct sync {
	struct grpc_stream *stream;
	struct tree *tree;
	const struct build_fill *fill;
	uint32_t next_id;
	bool listed;
	struct wanted open[WANTED_MAX];
	size_t open_count;
	struct wanted *queue; /* not asked for yet: from queue_first on */
	size_t queue_first;
	size_t queue_count;
	size_t queue_capacity;
	int64_t bytes;
};

static void sync_fini(struct sync *sync)
{
	for (size_t i = 0; i < sync->open_count; i++) {
		close(sync->open[i].fd);
		bk_stat_free(&sync->open[i].stat);
	}
	for (size_t i = sync->queue_first; i < sync->queue_count; i++)
		bk_stat_free(&sync->queue[i].stat);
	free(sync->queue);
	tree_free(sync->tree);
	grpc_stream_free(sync->stream);
}

/* ---- what we want, as metadata ---- */

/* As Go's url.QueryEscape. */
static char *query_escape(const char *text)
{
	struct text out = { 0 };

	text_add_escaped(&out, text, true);
	return text_take(&out);
}

static bool is_printable(const char *text)
{
	for (; *text; text++)
		if (*text < 0x20 || *text > 0x7e)
			return false;
	return true;
}

static void add_list(struct grpc_metadata *metadata, const char *name, const struct text_list *list)
{
	AUTO_FREE char *mark = xasprintf("%s-encoded", name);
	bool plain = true;

	for (size_t i = 0; list && i < list->count; i++)
		plain = plain && is_printable(list->items[i]);
	for (size_t i = 0; list && i < list->count; i++) {
		AUTO_FREE char *escaped = plain ? NULL : query_escape(list->items[i]);

		grpc_metadata_add(metadata, name, escaped ? escaped : list->items[i]);
	}
	if (!plain)
		grpc_metadata_add(metadata, mark, "1");
}

/* ---- content ---- */

static int send_packet(struct sync *sync, enum bk_packet_type type, uint32_t id, struct error *err)
{
	const struct bk_packet packet = { .type = (int32_t)type, .id = id };

	return grpc_send(sync->stream, &packet, bk_packet_fields, err);
}

static int ask(struct sync *sync, struct error *err)
{
	while (sync->open_count < WANTED_MAX && sync->queue_first < sync->queue_count) {
		struct wanted *wanted = &sync->queue[sync->queue_first];
		int fd = tree_open(sync->tree, wanted->stat.path, err);

		if (fd < 0)
			return -1;
		wanted->fd = fd;
		sync->open[sync->open_count++] = *wanted;
		sync->queue_first++;
		if (send_packet(sync, BK_REQUEST, wanted->id, err) < 0)
			return -1;
	}
	return 0;
}

static int on_data(struct sync *sync, const struct bk_packet *packet, struct error *err)
{
	struct wanted *wanted = sync->open;
	size_t at = 0;
	int r;

	while (at < sync->open_count && sync->open[at].id != packet->id)
		at++;
	if (at == sync->open_count)
		return error_set(err, ERR_INVALID, "build context: the client sends file %u unasked", packet->id);
	wanted += at;
	if (packet->data.size > 0) {
		sync->bytes += (int64_t)packet->data.size;
		r = write_full(wanted->fd, packet->data.data, packet->data.size);
		return r < 0 ? error_set_errno(err, r == -ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, r,
					       "build context: write %s", wanted->stat.path)
			     : 0;
	}
	r = tree_finish(wanted->fd, &wanted->stat, err);
	close(wanted->fd);
	bk_stat_free(&wanted->stat);
	*wanted = sync->open[--sync->open_count];
	return r < 0 ? -1 : ask(sync, err);
}

static int on_stat(struct sync *sync, struct bk_packet *packet, struct error *err)
{
	uint32_t id = sync->next_id++;
	int r;

	if (!packet->stat.path) {
		sync->listed = true;
		return 0;
	}
	if (id >= FILES_MAX)
		return error_set(err, ERR_EXHAUSTED, "build context: more than %u files", FILES_MAX);
	r = tree_add(sync->tree, &packet->stat, err);
	if (r <= 0)
		return r;
	sync->queue = xgrow(sync->queue, &sync->queue_capacity, sync->queue_count + 1, sizeof(*sync->queue));
	sync->queue[sync->queue_count++] = (struct wanted){ .id = id, .stat = packet->stat, .fd = -1 };
	packet->stat = (struct bk_stat){ 0 };
	return ask(sync, err);
}

/* 1 when the client has said FIN. */
static int on_packet(struct sync *sync, struct bk_packet *packet, struct error *err)
{
	switch (packet->type) {
	case BK_STAT:
		return on_stat(sync, packet, err);
	case BK_DATA:
		return on_data(sync, packet, err);
	case BK_FIN:
		return 1;
	case BK_ERROR:
		return error_set(err, ERR_INVALID, "build context: error from sender: %.*s", (int)packet->data.size,
				 packet->data.size > 0 ? (const char *)packet->data.data : "");
	default:
		return error_set(err, ERR_INVALID, "build context: packet of unknown type %d", packet->type);
	}
}

static int receive_all(struct sync *sync, struct error *err)
{
	bool asked_end = false;
	int r = 0;

	while (r == 0) {
		struct bk_packet packet = { 0 };

		if (!asked_end && sync->listed && sync->open_count == 0 && sync->queue_first == sync->queue_count) {
			asked_end = true;
			if (send_packet(sync, BK_FIN, 0, err) < 0)
				return -1;
		}
		r = grpc_receive(sync->stream, &packet, bk_packet_fields, err);
		if (r == 0)
			r = error_set(err, ERR_INVALID, "build context: the client stopped in the middle");
		else if (r > 0)
			r = on_packet(sync, &packet, err);
		proto_free(&packet, bk_packet_fields);
	}
	if (r > 0 && !asked_end)
		return error_set(err, ERR_INVALID, "build context: the client stopped in the middle");
	return r < 0 ? -1 : 0;
}

int filesync_fill(struct session *session, const struct build_fill *fill, struct error *err)
{
	AUTO(sync_fini) struct sync sync = { .fill = fill };
	AUTO(grpc_metadata_fini) struct grpc_metadata metadata = { 0 };
	const struct grpc_call call = { .path = "/moby.filesync.v1.FileSync/DiffCopy",
					.metadata = &metadata,
					.cancel_fd = fill->cancel_fd };

	grpc_metadata_add(&metadata, "dir-name", fill->source);
	add_list(&metadata, "followpaths", fill->paths);
	add_list(&metadata, "exclude-patterns", fill->ignored);
	sync.tree = tree_new(fill->directory_fd);
	if (grpc_open(&sync.stream, session_connection(session), &call, err) < 0 || receive_all(&sync, err) < 0 ||
	    tree_end(sync.tree, fill->add, err) < 0)
		return -1;
	grpc_send_end(sync.stream);
	fill->progress(fill->progress_arg, sync.bytes);
	return grpc_finish(sync.stream, err);
}
