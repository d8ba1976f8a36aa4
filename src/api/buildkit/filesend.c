/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moby.filesync.v1.FileSend/DiffCopy, the other way round: an archive is
 * just bytes; into a directory we list the files, the client asks for contents by
 * number. The result's tar is read twice for that: for the list, then for what
 * was asked, in its own order. A client asks for all it wants without waiting.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "api/buildkit/buildkit_private.h"
#include "archive/tar_reader.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "builder/place.h"

#define BLOCK_SIZE (64u * 1024)

struct sending {
	struct frontend *frontend;
	struct grpc_stream *stream;
	const struct filesend *wanted;
	const char *part;
	int64_t started_ns;
	int64_t bytes;
	uint32_t next_id;
	uint8_t *asked; /* by number */
	size_t asked_size;
	bool finished; /* the client said FIN */
};

static void show(struct sending *sending, bool completed)
{
	build_show_part(sending->frontend->build, sending->part, sending->started_ns, sending->bytes, completed);
}

static int open_stream(struct sending *sending, struct error *err)
{
	struct frontend *frontend = sending->frontend;
	AUTO(grpc_metadata_fini) struct grpc_metadata metadata = { 0 };
	const struct grpc_call call = { .path = "/moby.filesync.v1.FileSend/DiffCopy",
					.metadata = &metadata,
					.cancel_fd = frontend->options.cancel_fd };
	AUTO_FREE char *id = xasprintf("%zu", sending->wanted->exporter);

	grpc_metadata_add(&metadata, "buildkit-attachable-exporter-id", id);
	return grpc_open(&sending->stream, session_connection(frontend->session), &call, err);
}

/* ---- a tar file ---- */

static int send_block(void *arg, const void *data, size_t size, struct error *err)
{
	struct sending *sending = arg;
	const struct bk_bytes message = { .data = { (uint8_t *)(uintptr_t)data, size } };

	if (grpc_send(sending->stream, &message, bk_bytes_fields, err) < 0)
		return -1;
	sending->bytes += (int64_t)size;
	return 0;
}

static int send_tar(void *arg, int fd, struct error *err)
{
	AUTO_FREE uint8_t *block = xmalloc(BLOCK_SIZE);
	ssize_t size;

	while ((size = read(fd, block, BLOCK_SIZE)) > 0)
		if (send_block(arg, block, (size_t)size, err) < 0)
			return -1;
	return size < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "read the files") : 0;
}

/* ---- a directory ---- */

static ssize_t read_source(void *arg, void *data, size_t size, struct error *err)
{
	const int *fd = arg;
	ssize_t got = read(*fd, data, size);

	return got < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "read the files") : got;
}

static uint32_t go_mode(const struct tar_entry *entry)
{
	uint32_t mode = entry->mode & 0777;

	mode |= entry->mode & 04000 ? 1u << 23 : 0;
	mode |= entry->mode & 02000 ? 1u << 22 : 0;
	mode |= entry->mode & 01000 ? 1u << 20 : 0;
	switch (entry->type) {
	case TAR_DIRECTORY:
		return mode | 1u << 31;
	case TAR_SYMLINK:
		return mode | 1u << 27;
	case TAR_CHARACTER_DEVICE:
		return mode | 1u << 26 | 1u << 21;
	case TAR_BLOCK_DEVICE:
		return mode | 1u << 26;
	case TAR_FIFO:
		return mode | 1u << 25;
	case TAR_FILE:
	case TAR_HARD_LINK:
		break;
	}
	return mode;
}

static int send_stat(struct sending *sending, const struct tar_entry *entry, struct error *err)
{
	AUTO_FREE char *path = xstrdup(entry->path);
	size_t length = strlen(path);
	struct bk_packet packet = { .type = BK_STAT };

	if (length > 0 && path[length - 1] == '/')
		path[length - 1] = '\0';
	packet.stat = (struct bk_stat){
		.path = path,
		.mode = go_mode(entry),
		.uid = (uint32_t)entry->uid,
		.gid = (uint32_t)entry->gid,
		.size = (int64_t)entry->size,
		.mtime = entry->mtime_s * CLOCK_SECOND,
		.link = (char *)(uintptr_t)entry->link,
		.device_major = entry->device_major,
		.device_minor = entry->device_minor,
	};
	sending->next_id++;
	return grpc_send(sending->stream, &packet, bk_packet_fields, err);
}

static int list_files(void *arg, int fd, struct error *err)
{
	struct sending *sending = arg;
	AUTO(tar_reader_freep) struct tar_reader *reader = tar_reader_new(read_source, &fd);
	const struct bk_packet end = { .type = BK_STAT };
	struct tar_entry entry;
	int r;

	while ((r = tar_reader_next(reader, &entry, err)) > 0)
		if (send_stat(sending, &entry, err) < 0)
			return -1;
	return r < 0 ? -1 : grpc_send(sending->stream, &end, bk_packet_fields, err);
}

/* One word of the client. */
static int listen_once(struct sending *sending, struct error *err)
{
	struct bk_packet packet = { 0 };
	int r = grpc_receive(sending->stream, &packet, bk_packet_fields, err);

	if (r == 0)
		r = error_set(err, ERR_INVALID, "the client stopped in the middle");
	else if (r > 0 && packet.type == BK_ERROR)
		r = error_set(err, ERR_INVALID, "error from receiver: %.*s", (int)packet.data.size,
			      packet.data.size > 0 ? (const char *)packet.data.data : "");
	else if (r > 0 && packet.type == BK_REQUEST && packet.id >= sending->asked_size)
		r = error_set(err, ERR_INVALID, "the client asks for file %u, which was not listed", packet.id);
	else if (r > 0 && packet.type == BK_REQUEST)
		sending->asked[packet.id] = 1;
	else if (r > 0 && packet.type == BK_FIN)
		sending->finished = true;
	proto_free(&packet, bk_packet_fields);
	return r < 0 ? -1 : 0;
}

static int send_content(struct sending *sending, struct tar_reader *reader, uint32_t id, struct error *err)
{
	AUTO_FREE uint8_t *block = xmalloc(BLOCK_SIZE);
	struct bk_packet packet = { .type = BK_DATA, .id = id };
	ssize_t size;

	while ((size = tar_reader_read(reader, block, BLOCK_SIZE, err)) > 0) {
		packet.data = (struct proto_bytes){ block, (size_t)size };
		if (grpc_send(sending->stream, &packet, bk_packet_fields, err) < 0)
			return -1;
		sending->bytes += size;
	}
	packet.data = (struct proto_bytes){ 0 };
	return size < 0 ? -1 : grpc_send(sending->stream, &packet, bk_packet_fields, err);
}

static int send_files(void *arg, int fd, struct error *err)
{
	struct sending *sending = arg;
	AUTO(tar_reader_freep) struct tar_reader *reader = tar_reader_new(read_source, &fd);
	struct tar_entry entry;
	uint32_t id = 0;
	int r;

	for (; (r = tar_reader_next(reader, &entry, err)) > 0; id++) {
		if (entry.type != TAR_FILE || id >= sending->asked_size)
			continue;
		while (!sending->asked[id] && !sending->finished)
			if (listen_once(sending, err) < 0)
				return -1;
		if (sending->asked[id] && send_content(sending, reader, id, err) < 0)
			return -1;
	}
	return r;
}

static int send_directory(struct sending *sending, struct error *err)
{
	struct build *build = sending->frontend->build;
	const struct bk_packet end = { .type = BK_FIN };

	if (build_read_files(build, list_files, sending, err) < 0)
		return -1;
	sending->asked_size = sending->next_id;
	sending->asked = xcalloc(sending->asked_size + 1, 1);
	if (build_read_files(build, send_files, sending, err) < 0)
		return -1;
	while (!sending->finished)
		if (listen_once(sending, err) < 0)
			return -1;
	return grpc_send(sending->stream, &end, bk_packet_fields, err);
}

static int send_image(struct sending *sending, struct error *err)
{
	const struct filesend *wanted = sending->wanted;
	const struct build_archive archive = { .docker = wanted->form == FILESEND_DOCKER,
					       .tags = wanted->tags,
					       .annotations = wanted->annotations,
					       .write = send_block,
					       .arg = sending };

	if (wanted->images) {
		AUTO(place_close) struct place place = { 0 };

		place_open_archive(
			&place, &(struct place_archive){ .names = wanted->tags, .write = send_block, .arg = sending });
		return build_write_images(wanted->out_written, wanted->images, &place, err);
	}
	return build_write_archive(wanted->out_id, sending->frontend->build, &archive, err);
}

static int send(struct sending *sending, struct error *err)
{
	switch (sending->wanted->form) {
	case FILESEND_LOCAL:
		return send_directory(sending, err);
	case FILESEND_TAR:
		return build_read_files(sending->frontend->build, send_tar, sending, err);
	case FILESEND_LAYOUT:
	case FILESEND_DOCKER:
		break;
	}
	return send_image(sending, err);
}

static int run(void *arg, struct error *err)
{
	struct sending *sending = arg;
	int r;

	if (open_stream(sending, err) < 0)
		return -1;
	show(sending, false);
	r = send(sending, err);
	if (r < 0)
		return -1;
	grpc_send_end(sending->stream);
	if (grpc_finish(sending->stream, err) < 0)
		return -1;
	show(sending, true);
	return 0;
}

int filesend_export(struct frontend *frontend, const struct filesend *wanted, struct error *err)
{
	static const char *const names[] = { "exporting to client directory", "exporting to client tarball",
					     "exporting to oci image format", "exporting to docker image format" };
	struct sending sending = { .frontend = frontend,
				   .wanted = wanted,
				   .part = wanted->form == FILESEND_LOCAL ? "copying files" : "sending tarball",
				   .started_ns = clock_wall_ns() };
	int r = build_export_shown(frontend->build, names[wanted->form], run, &sending, err);

	grpc_stream_free(sending.stream);
	free(sending.asked);
	return r;
}
