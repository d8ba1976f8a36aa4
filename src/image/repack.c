/* SPDX-License-Identifier: Apache-2.0 */
#include "image/repack.h"

#include <errno.h>
#include <unistd.h>

#include "archive/deflate.h"
#include "archive/inflate.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "image/place.h"
#include "oci/hasher.h"

#define CHUNK (256 * 1024)

struct target {
	int fd;
	struct hasher *hasher;
	uint64_t size;
};

static int take(void *arg, const void *data, size_t size, struct error *err)
{
	struct target *target = arg;
	int r = write_full(target->fd, data, size);

	hasher_add(target->hasher, data, size);
	target->size += size;
	return r < 0 ? error_set_errno(err, r == -ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, r, "write a layer") : 0;
}

/* Calls step with every piece of the file. */
static int feed(int from_fd, int (*step)(void *arg, const void *data, size_t size, struct error *err), void *arg,
		struct error *err)
{
	AUTO_FREE char *chunk = xmalloc(CHUNK);
	off_t at = 0;
	ssize_t got;

	while ((got = pread(from_fd, chunk, CHUNK, at)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "read a layer");
		if (step(arg, chunk, (size_t)got, err) < 0)
			return -1;
		at += got;
	}
	return 0;
}

static int end_target(struct repacked *out_repacked, struct target *target, int result, struct error *err)
{
	if (result == 0 && lseek(target->fd, 0, SEEK_SET) < 0)
		result = error_set_errno(err, ERR_INTERNAL, errno, "read a layer");
	if (result == 0) {
		hasher_digest(target->hasher, &out_repacked->digest);
		out_repacked->size = target->size;
		out_repacked->fd = take_fd(&target->fd);
	}
	hasher_free(target->hasher);
	if (target->fd >= 0)
		close(target->fd);
	return result;
}

/* ---- to plain ---- */

struct inflating {
	struct inflate *inflate;
	struct target *target;
};

static int inflate_piece(void *arg, const void *data, size_t size, struct error *err)
{
	struct inflating *inflating = arg;

	return inflate_write(inflating->inflate, data, size, take, inflating->target, err);
}

int repack_plain(struct repacked *out_repacked, int from_fd, struct error *err)
{
	AUTO(inflate_freep) struct inflate *inflate = inflate_new(INFLATE_NO_LIMIT);
	struct target target = { .fd = place_scratch(err), .hasher = hasher_new(DIGEST_SHA256) };
	struct inflating inflating = { .inflate = inflate, .target = &target };
	int r = target.fd < 0 ? -1 : feed(from_fd, inflate_piece, &inflating, err);

	if (r == 0)
		r = inflate_finish(inflate, err);
	return end_target(out_repacked, &target, r, err);
}

/* ---- to gzip ---- */

struct deflating {
	struct deflate *deflate;
	struct hasher *plain;
};

static int deflate_piece(void *arg, const void *data, size_t size, struct error *err)
{
	struct deflating *deflating = arg;

	hasher_add(deflating->plain, data, size);
	return deflate_write(deflating->deflate, data, size, err);
}

int repack_gzip(struct repacked *out_repacked, struct digest *out_plain, int from_fd, struct error *err)
{
	struct target target = { .fd = place_scratch(err), .hasher = hasher_new(DIGEST_SHA256) };
	AUTO(deflate_freep) struct deflate *deflate = deflate_new(take, &target);
	AUTO(hasher_freep) struct hasher *plain = hasher_new(DIGEST_SHA256);
	struct deflating deflating = { .deflate = deflate, .plain = plain };
	int r = target.fd < 0 ? -1 : feed(from_fd, deflate_piece, &deflating, err);

	if (r == 0)
		r = deflate_finish(deflate, err);
	hasher_digest(plain, out_plain);
	return end_target(out_repacked, &target, r, err);
}
