/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "api/buildkit/buildkit_private.h"
#include "base/alloc.h"
#include "base/file.h"

struct upload_source {
	struct grpc_stream *stream;
	int read_fd;
	int write_fd;
	pthread_t thread;
	bool runs;
	struct error err; /* the thread's; after its end */
};

/* A reader that has seen enough closes its end: that is no failure. */
static void *pump(void *arg)
{
	struct upload_source *source = arg;
	struct bk_bytes block = { 0 };
	int written = 0;

	while (written == 0 && grpc_receive(source->stream, &block, bk_bytes_fields, &source->err) > 0) {
		written = write_full(source->write_fd, block.data.data, block.data.size);
		proto_free(&block, bk_bytes_fields);
	}
	close(take_fd(&source->write_fd));
	return NULL;
}

int upload_start(struct upload_source **out_source, struct session *session, const char *url, int cancel_fd,
		 struct error *err)
{
	AUTO(upload_freep) struct upload_source *source = xcalloc(1, sizeof(*source));
	AUTO(grpc_metadata_fini) struct grpc_metadata metadata = { 0 };
	const struct grpc_call call = { .path = "/moby.upload.v1.Upload/Pull",
					.metadata = &metadata,
					.cancel_fd = cancel_fd };
	const char *host = text_after(url, "http://");
	const char *path = strchr(host, '/');
	AUTO_FREE char *name = path ? xstrndup(host, (size_t)(path - host)) : xstrdup(host);
	int r;

	source->read_fd = source->write_fd = -1;
	grpc_metadata_add(&metadata, "urlhost", name);
	grpc_metadata_add(&metadata, "urlpath", path ? path : "/");
	r = pipe_open(&source->read_fd, &source->write_fd);
	if (r < 0)
		return error_set_errno(err, ERR_EXHAUSTED, r, "make a pipe");
	if (grpc_open(&source->stream, session_connection(session), &call, err) < 0)
		return -1;
	grpc_send_end(source->stream);
	if (thread_start(&source->thread, "upload", pump, source, err) < 0)
		return -1;
	source->runs = true;
	*out_source = take_ptr(source);
	return 0;
}

int upload_fd(const struct upload_source *source)
{
	return source->read_fd;
}

static void join(struct upload_source *source)
{
	auto_close(&source->read_fd);
	source->read_fd = -1;
	if (source->runs)
		pthread_join(source->thread, NULL);
	source->runs = false;
}

int upload_whole(struct upload_source *source, struct error *err)
{
	join(source);
	return error_is_set(&source->err) ? error_move(err, &source->err) : 0;
}

void upload_free(struct upload_source *source)
{
	if (!source)
		return;
	join(source);
	grpc_stream_free(source->stream);
	auto_close(&source->write_fd);
	error_clear(&source->err);
	free(source);
}
