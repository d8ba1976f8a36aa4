/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/pack.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#include "archive/deflate.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/thread.h"
#include "oci/hasher.h"

#define READ_SIZE (256 * 1024)

struct pack {
	int source;
	int target;
	int zstd_level; /* 0: gzip */
	const atomic_bool *stop;
	pthread_t thread;
	bool started;
	struct hasher *hasher; /* the thread's, until it has ended */

	struct mutex lock;
	struct condition grown;
	uint64_t size;	     /* bytes in target */
	bool ended;	     /* no more will come */
	struct error failed; /* why, if it is not the end */
};

static int take_packed(void *arg, const void *data, size_t size, struct error *err)
{
	struct pack *pack = arg;
	int r = write_full(pack->target, data, size);

	if (r < 0)
		return error_set_errno(err, r == -ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, r, "write a compressed layer");
	hasher_add(pack->hasher, data, size);
	mutex_lock(&pack->lock);
	pack->size += size;
	condition_broadcast(&pack->grown);
	mutex_unlock(&pack->lock);
	return 0;
}

static ssize_t read_more(struct pack *pack, char *chunk, struct error *err)
{
	ssize_t got = read(pack->source, chunk, READ_SIZE);

	if (got < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "read a layer");
	return atomic_load(pack->stop) ? error_set(err, ERR_CANCELED, "canceled") : got;
}

/* Until all that goes in is out; at the end, until the frame is whole. */
static int zstd_piece(struct pack *pack, ZSTD_CCtx *context, const char *chunk, size_t size, struct error *err)
{
	AUTO_FREE char *out = xmalloc(READ_SIZE);
	ZSTD_inBuffer input = { chunk, size, 0 };
	size_t left;

	do {
		ZSTD_outBuffer output = { out, READ_SIZE, 0 };

		left = ZSTD_compressStream2(context, &output, &input, size ? ZSTD_e_continue : ZSTD_e_end);
		if (ZSTD_isError(left))
			return error_set(err, ERR_INTERNAL, "zstd: %s", ZSTD_getErrorName(left));
		if (output.pos > 0 && take_packed(pack, out, output.pos, err) < 0)
			return -1;
	} while (size ? input.pos < input.size : left > 0);
	return 0;
}

static int zstd_all(struct pack *pack, struct error *err)
{
	ZSTD_CCtx *context = ZSTD_createCCtx();
	AUTO_FREE char *chunk = xmalloc(READ_SIZE);
	ssize_t got;
	int r = 0;

	ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, pack->zstd_level);
	do {
		got = read_more(pack, chunk, err);
		r = got < 0 ? -1 : zstd_piece(pack, context, chunk, (size_t)got, err);
	} while (r == 0 && got > 0);
	ZSTD_freeCCtx(context);
	return r;
}

static int compress_all(struct pack *pack, struct error *err)
{
	AUTO(deflate_freep) struct deflate *deflate = deflate_new(take_packed, pack);
	AUTO_FREE char *chunk = xmalloc(READ_SIZE);
	ssize_t got;

	while ((got = read_more(pack, chunk, err)) > 0)
		if (deflate_write(deflate, chunk, (size_t)got, err) < 0)
			return -1;
	return got < 0 ? -1 : deflate_finish(deflate, err);
}

static void *work(void *arg)
{
	struct pack *pack = arg;
	struct error err = { 0 };

	if (pack->zstd_level)
		zstd_all(pack, &err);
	else
		compress_all(pack, &err);
	mutex_lock(&pack->lock);
	if (error_is_set(&err))
		error_transfer(&pack->failed, &err);
	pack->ended = true;
	condition_broadcast(&pack->grown);
	mutex_unlock(&pack->lock);
	return NULL;
}

int pack_start(struct pack **out_pack, int source_fd, int target_fd, const atomic_bool *stop, struct error *err)
{
	return pack_start_as(out_pack, source_fd, target_fd, 0, stop, err);
}

int pack_start_as(struct pack **out_pack, int source_fd, int target_fd, int zstd_level, const atomic_bool *stop,
		  struct error *err)
{
	AUTO(pack_freep) struct pack *pack = xcalloc(1, sizeof(*pack));

	pack->source = source_fd;
	pack->target = target_fd;
	pack->zstd_level = zstd_level;
	pack->stop = stop;
	pack->hasher = hasher_new(DIGEST_SHA256);
	mutex_init(&pack->lock);
	condition_init(&pack->grown);
	if (thread_start(&pack->thread, "pack", work, pack, err) < 0)
		return -1;
	pack->started = true;
	*out_pack = take_ptr(pack);
	return 0;
}

void pack_free(struct pack *pack)
{
	if (!pack)
		return;
	if (pack->started)
		pthread_join(pack->thread, NULL);
	hasher_free(pack->hasher);
	error_clear(&pack->failed);
	condition_fini(&pack->grown);
	mutex_fini(&pack->lock);
	free(pack);
}

static int tell_failure(const struct pack *pack, struct error *err)
{
	mutex_assert_held(&pack->lock);
	error_set(err, pack->failed.kind, "%s", pack->failed.message);
	err->errnum = pack->failed.errnum;
	return -1;
}

/* How many bytes lie behind the offset: 0 at the end. */
static int wait_grown(struct pack *pack, uint64_t offset, uint64_t *out_ready, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&pack->lock);

	while (pack->size <= offset && !pack->ended)
		condition_wait(&pack->grown, &pack->lock);
	if (error_is_set(&pack->failed))
		return tell_failure(pack, err);
	*out_ready = pack->size > offset ? pack->size - offset : 0;
	return 0;
}

ssize_t pack_read(struct pack *pack, uint64_t offset, void *data, size_t size, struct error *err)
{
	uint64_t ready = 0;
	ssize_t got;

	if (wait_grown(pack, offset, &ready, err) < 0)
		return -1;
	if (ready == 0)
		return 0;
	got = pread(pack->target, data, ready < size ? (size_t)ready : size, (off_t)offset);
	if (got <= 0)
		return error_set_errno(err, ERR_INTERNAL, got < 0 ? errno : EIO, "read a compressed layer");
	return got;
}

int pack_wait(struct pack *pack, struct digest *out_digest, uint64_t *out_size, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&pack->lock);

	while (!pack->ended)
		condition_wait(&pack->grown, &pack->lock);
	if (error_is_set(&pack->failed))
		return tell_failure(pack, err);
	hasher_digest(pack->hasher, out_digest);
	*out_size = pack->size;
	return 0;
}
