/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: `written` grows as the network thread (the caller) appends to
 * the file; the reading thread waits for it on a condition and ends when it has
 * read descriptor->size bytes or `failed` is set. Lock order: only one lock.
 */
#include "transfer/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/inflate.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/thread.h"
#include "oci/hasher.h"
#include "oci/media_type.h"
#include "transfer/refusal.h"
#include "transfer/split.h"

#define READ_SIZE (256 * 1024)
#define PIPE_SIZE (1024 * 1024)
#define TRIES_MAX 5
/* A cut after this much is a new start for the count of tries. */
#define PROGRESS_WORTH (1024 * 1024)
#define REPORT_NS (100 * CLOCK_MS)
/* The disk gets to work on so much at a time, while more comes. */
#define WRITE_OUT (8 * 1024 * 1024)
/* When to ask over several connections: enough is left, enough was seen of the first, and it would take seconds. */
#define SPLIT_LEFT_MIN (12 * 1024 * 1024)
#define SPLIT_SEEN_MIN (2 * 1024 * 1024)
#define SPLIT_SEEN_NS (300 * CLOCK_MS)
#define SPLIT_WORTH_US 1500000

struct flow {
	struct layer_fetch *fetch;
	uint64_t size;	  /* of the whole */
	uint64_t resumed; /* bytes that were there before */

	struct mutex lock;
	struct condition grown;
	uint64_t written;
	bool failed; /* no more will come */

	/* The network thread's. */
	const struct source *source; /* asked now */
	int64_t began_ns;	     /* this request's first byte */
	uint64_t began_at;
	bool split;	 /* this request was ended: the rest goes over several connections */
	bool splits_not; /* that was tried */
	bool peered;	 /* some of it came from a peer */
	uint64_t skip;	 /* of a body that starts at zero although we asked for less */
	int64_t reported_ns;
	uint64_t written_out; /* the disk was told of so much */

	/* The reading thread's, until it has ended. */
	struct hasher *hasher;
	struct hasher *diff_hasher;
	struct inflate *inflate;
	atomic_bool unpack_broke;
	struct error err;	  /* could not read or write */
	struct error inflate_err; /* bad bytes: told only if the digest was right */
};

/* ---- the reading thread ---- */

static int take_unpacked(void *arg, const void *data, size_t size, struct error *err)
{
	struct flow *flow = arg;
	int r;

	hasher_add(flow->diff_hasher, data, size);
	if (flow->fetch->unpack_fd < 0)
		return 0;
	r = write_full(flow->fetch->unpack_fd, data, size);
	if (r == -EPIPE)
		atomic_store(&flow->unpack_broke, true);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write to the unpacker") : 0;
}

/* After bad bytes we only go on hashing, to tell a lie of the registry from a broken archive. */
static void take_packed(struct flow *flow, const void *data, size_t size)
{
	hasher_add(flow->hasher, data, size);
	if (!flow->inflate || error_is_set(&flow->inflate_err))
		return;
	inflate_write(flow->inflate, data, size, take_unpacked, flow, &flow->inflate_err);
}

/* Waits until bytes behind `at` are in the file; how many, or 0 if none will come. */
static uint64_t wait_grown(struct flow *flow, uint64_t at)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&flow->lock);

	while (flow->written <= at && !flow->failed)
		condition_wait(&flow->grown, &flow->lock);
	return flow->written > at ? flow->written - at : 0;
}

static bool is_stopped(const struct flow *flow)
{
	return atomic_load(flow->fetch->stop);
}

static void *read_back(void *arg)
{
	struct flow *flow = arg;
	AUTO_FREE char *chunk = xmalloc(READ_SIZE);
	uint64_t at = 0;

	while (at < flow->size && !atomic_load(&flow->unpack_broke) && !is_stopped(flow)) {
		uint64_t ready = wait_grown(flow, at);
		ssize_t got;

		if (ready == 0)
			return NULL;
		got = pread(flow->fetch->file_fd, chunk, ready < READ_SIZE ? ready : READ_SIZE, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			error_set_errno(&flow->err, ERR_INTERNAL, got < 0 ? errno : EIO, "read back layer %s",
					flow->fetch->descriptor->digest);
			return NULL;
		}
		take_packed(flow, chunk, (size_t)got);
		at += (uint64_t)got;
	}
	if (flow->inflate && !error_is_set(&flow->inflate_err))
		inflate_finish(flow->inflate, &flow->inflate_err);
	return NULL;
}

/* ---- the network ---- */

static void report(struct flow *flow, const char *status, bool always)
{
	int64_t now = clock_monotonic_ns();

	if (!always && now - flow->reported_ns < REPORT_NS)
		return;
	flow->reported_ns = now;
	flow->fetch->progress(flow->fetch->arg, status, flow->written, flow->size);
}

static void grow(struct flow *flow, uint64_t size)
{
	mutex_lock(&flow->lock);
	flow->written += size;
	condition_broadcast(&flow->grown);
	mutex_unlock(&flow->lock);
}

static void end_writing(struct flow *flow)
{
	mutex_lock(&flow->lock);
	flow->failed = true;
	condition_broadcast(&flow->grown);
	mutex_unlock(&flow->lock);
}

/* "bytes 100-199/200" must start where we asked. */
static int check_range(const struct flow *flow, const struct remote_response *head, struct error *err)
{
	const char *range = remote_header(head, "content-range");
	const char *start = range ? text_after(range, "bytes ") : NULL;

	if (!start || strtoull(start, NULL, 10) != flow->written)
		return error_set(err, ERR_INVALID, "asked for bytes from %llu, the answer is for \"%s\"",
				 (unsigned long long)flow->written, text_or_empty(range));
	return 0;
}

/*
 * Is one connection too slow for what is left? A registry near by never is; one far away, or one that gives each
 * connection its share, is.
 */
static bool is_worth_splitting(const struct flow *flow, const struct remote_response *head)
{
	uint64_t came = flow->written - flow->began_at;
	uint64_t left = flow->size - flow->written;
	int64_t took_ns = clock_monotonic_ns() - flow->began_ns;
	bool ranges = head->status == 206 || text_equal(remote_header(head, "accept-ranges"), "bytes");

	return ranges && !flow->splits_not && left >= SPLIT_LEFT_MIN && came >= SPLIT_SEEN_MIN &&
	       took_ns >= SPLIT_SEEN_NS && (uint64_t)took_ns / 1000 * (left / 1024) / (came / 1024) > SPLIT_WORTH_US;
}

static int append(struct flow *flow, const void *data, size_t size, struct error *err)
{
	int r = write_full(flow->fetch->file_fd, data, size);

	if (r < 0)
		return error_set_errno(err, r == -ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, r, "write layer %s",
				       flow->fetch->descriptor->digest);
	grow(flow, size);
	if (flow->written - flow->written_out >= WRITE_OUT) {
		fd_start_writing(flow->fetch->file_fd, (int64_t)flow->written_out,
				 (int64_t)(flow->written - flow->written_out));
		flow->written_out = flow->written;
	}
	report(flow, "Downloading", false);
	return 0;
}

static int append_piece(void *arg, const void *data, size_t size, struct error *err)
{
	struct flow *flow = arg;

	if (atomic_load(&flow->unpack_broke))
		return error_set(err, ERR_CANCELED, "the unpacker went away");
	return append(flow, data, size, err);
}

struct body {
	struct flow *flow;
	bool started;
};

static int take_body(void *arg, const struct remote_response *head, const void *data, size_t size, struct error *err)
{
	struct body *body = arg;
	struct flow *flow = body->flow;
	const char *bytes = data;
	size_t dropped;

	if (atomic_load(&flow->unpack_broke))
		return error_set(err, ERR_CANCELED, "the unpacker went away");
	if (!body->started) {
		body->started = true;
		flow->began_ns = clock_monotonic_ns();
		flow->began_at = flow->written;
		flow->skip = head->status == 206 ? 0 : flow->written;
		if (head->status == 206 && check_range(flow, head, err) < 0)
			return -1;
	}
	dropped = size < flow->skip ? size : (size_t)flow->skip;
	flow->skip -= dropped;
	size -= dropped;
	if (size > flow->size - flow->written)
		return error_set(err, ERR_INVALID, "layer %s is larger than the %llu bytes its descriptor says",
				 flow->fetch->descriptor->digest, (unsigned long long)flow->size);
	if (size && append(flow, bytes + dropped, size, err) < 0)
		return -1;
	flow->split = is_worth_splitting(flow, head);
	return flow->split ? error_set(err, ERR_CANCELED, "goes on over several connections") : 0;
}

/* A layer that need not be in the registry may be at one of its URLs. */
static int fetch_elsewhere(struct flow *flow, const struct text_list *headers, struct remote_response *response,
			   struct error *err)
{
	const struct text_list *urls = &flow->fetch->descriptor->urls;
	struct body body = { flow, false };

	for (size_t i = 0; i < urls->count; i++) {
		if (!text_has_prefix(urls->items[i], "https://"))
			continue;
		remote_response_fini(response);
		return remote_send(
			response, flow->fetch->remote,
			&(struct remote_request){
				.url = urls->items[i], .headers = headers, .on_body = take_body, .arg = &body },
			err);
	}
	return refusal_error(response, NULL, err);
}

/* One request for what is missing: 0 if an answer came (maybe a short one), -1 with *out_again if another may help. */
static int fetch_once(struct flow *flow, bool *out_again, struct error *err)
{
	const struct layer_fetch *fetch = flow->fetch;
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(text_list_fini) struct text_list headers = { 0 };
	AUTO_FREE char *path = xasprintf("%s/blobs/%s", flow->source->repository, fetch->descriptor->digest);
	struct body body = { flow, false };
	struct registry_call call = {
		.path = path, .scope = flow->source->scope, .headers = &headers, .on_body = take_body, .arg = &body
	};
	int r;

	*out_again = false;
	if (flow->written > 0)
		text_list_addf(&headers, "Range: bytes=%llu-", (unsigned long long)flow->written);
	r = registry_send(&response, flow->source->registry, fetch->remote, &call, err);
	if (r == 0 && response.status == 404 && media_type_is_foreign_layer(fetch->descriptor->media_type))
		r = fetch_elsewhere(flow, &headers, &response, err);
	if (r < 0) {
		*out_again = response.failure == REMOTE_CUT || response.failure == REMOTE_TIMEOUT ||
			     response.failure == REMOTE_NO_CONNECT;
		return -1;
	}
	if (response.status / 100 != 2)
		return refusal_error(&response, NULL, err);
	return 0;
}

/* What several connections could not get is left for one. */
static void fetch_split(struct flow *flow)
{
	AUTO(error_clear) struct error ignored = { 0 };

	flow->split = false;
	flow->splits_not = true;
	split_fetch(&(struct split){ .source = flow->source,
				     .digest = flow->fetch->descriptor->digest,
				     .start = flow->written,
				     .end = flow->size,
				     .stop = flow->fetch->stop,
				     .append = append_piece,
				     .arg = flow },
		    &ignored);
}

/* All of it from one source, with patience for cuts. */
static int fetch_from(struct flow *flow, struct error *err)
{
	int attempt = 0;
	uint64_t last = flow->written;

	while (flow->written < flow->size) {
		AUTO(error_clear) struct error failure = { 0 };
		uint64_t before = flow->written;
		bool again = false;

		if (fetch_once(flow, &again, &failure) == 0) {
			if (flow->written >= flow->size)
				break;
			error_set(&failure, ERR_INVALID, "layer %s ended after %llu of %llu bytes",
				  flow->fetch->descriptor->digest, (unsigned long long)flow->written,
				  (unsigned long long)flow->size);
			/* It was asked for the rest, and has none. */
			again = flow->written > before;
		}
		if (flow->split) {
			fetch_split(flow);
			continue;
		}
		if (flow->written - last >= PROGRESS_WORTH)
			attempt = 0;
		last = flow->written;
		if (!again || ++attempt >= TRIES_MAX)
			return error_move(err, &failure);
		if (!registry_pause(flow->source->registry, attempt, 0))
			return error_set(err, ERR_CANCELED, "canceled");
	}
	return 0;
}

/* One try each: what they cannot give comes from the registry, from where they stopped. */
static void fetch_from_peers(struct flow *flow)
{
	const struct peer_list *peers = flow->fetch->peers;

	flow->splits_not = true;
	for (size_t i = 0; peers && i < peers->count && flow->written < flow->size && !is_stopped(flow); i++) {
		AUTO(error_clear) struct error ignored = { 0 };
		bool again;

		flow->source = &peers->items[i].source;
		if (!peer_has(&peers->items[i], flow->fetch->remote, flow->fetch->descriptor))
			continue;
		flow->peered = true;
		fetch_once(flow, &again, &ignored);
	}
	flow->splits_not = false;
}

static int fetch_all(struct flow *flow, struct error *err)
{
	const struct source_list *sources = flow->fetch->sources;

	fetch_from_peers(flow);
	if (flow->written >= flow->size)
		return 0;
	for (size_t i = 0; i < sources->count; i++) {
		flow->source = &sources->items[(flow->fetch->first + i) % sources->count];
		if (!flow->source->digests)
			continue;
		error_clear(err);
		if (fetch_from(flow, err) == 0)
			return 0;
		if (is_stopped(flow) || atomic_load(&flow->unpack_broke) || err->kind == ERR_EXHAUSTED)
			return -1;
	}
	return error_is_set(err) ? -1
				 : error_set(err, ERR_NOT_FOUND, "no source may be asked for layer %s",
					     flow->fetch->descriptor->digest);
}

/* ---- together ---- */

static int judge(struct flow *flow, struct error *err)
{
	const struct layer_fetch *fetch = flow->fetch;
	struct digest expected;
	struct digest got;
	char text[DIGEST_TEXT_MAX];

	if (atomic_load(&flow->unpack_broke))
		return LAYER_UNPACK_BROKE;
	if (error_is_set(&flow->err))
		return error_move(err, &flow->err);
	descriptor_digest(fetch->descriptor, &expected);
	hasher_digest(flow->hasher, &got);
	if (!digest_equal(&expected, &got)) {
		if (flow->resumed || flow->peered)
			return LAYER_BROKEN;
		if (fetch->others)
			return LAYER_LIED;
		return error_set(err, ERR_INVALID,
				 "filesystem layer verification failed for digest %s: the registry sent %s",
				 fetch->descriptor->digest, digest_text(&got, text));
	}
	if (error_is_set(&flow->inflate_err)) {
		error_prefix(&flow->inflate_err, "layer %s", fetch->descriptor->digest);
		return error_move(err, &flow->inflate_err);
	}
	if (flow->inflate && fetch->diff_id) {
		hasher_digest(flow->diff_hasher, &got);
		if (!text_equal(digest_text(&got, text), fetch->diff_id))
			return error_set(err, ERR_INVALID,
					 "layer %s unpacks to %s, but the image config says %s: layers from manifest "
					 "don't match image configuration",
					 fetch->descriptor->digest, text, fetch->diff_id);
	}
	return LAYER_PROVEN;
}

static int run(struct flow *flow, struct error *err)
{
	pthread_t reader;
	int r;

	if (thread_start(&reader, "layer-read", read_back, flow, err) < 0)
		return -1;
	r = fetch_all(flow, err);
	if (r == 0)
		report(flow, "Verifying Checksum", true);
	end_writing(flow);
	pthread_join(reader, NULL);
	if (atomic_load(&flow->unpack_broke)) {
		error_clear(err);
		return LAYER_UNPACK_BROKE;
	}
	if (r < 0)
		return -1;
	if (is_stopped(flow))
		return error_set(err, ERR_CANCELED, "canceled");
	return judge(flow, err);
}

static int open_flow(struct flow *flow, struct error *err)
{
	const struct layer_fetch *fetch = flow->fetch;
	struct digest expected;
	struct stat file;

	if (fstat(fetch->file_fd, &file) < 0 || lseek(fetch->file_fd, 0, SEEK_END) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "look at the file for layer %s",
				       fetch->descriptor->digest);
	flow->size = fetch->descriptor->size;
	flow->written = (uint64_t)file.st_size;
	flow->resumed = flow->written;
	descriptor_digest(fetch->descriptor, &expected);
	flow->hasher = hasher_new(expected.algorithm);
	/* Fewer switches between us and the unpacker; the default of 64 KiB works too. */
	if (fetch->unpack_fd >= 0)
		fcntl(fetch->unpack_fd, F_SETPIPE_SZ, PIPE_SIZE);
	if (fetch->unpack_fd >= 0 || fetch->diff_id) {
		struct digest diff = { .algorithm = DIGEST_SHA256 };
		AUTO(error_clear) struct error ignored = { 0 };

		if (fetch->diff_id)
			digest_parse(&diff, fetch->diff_id, &ignored);
		flow->diff_hasher = hasher_new(diff.algorithm);
		flow->inflate = inflate_new(fetch->unpacked_limit ? fetch->unpacked_limit : INFLATE_NO_LIMIT);
	}
	return 0;
}

static void close_flow(struct flow *flow)
{
	hasher_free(flow->hasher);
	hasher_free(flow->diff_hasher);
	inflate_free(flow->inflate);
	error_clear(&flow->err);
	error_clear(&flow->inflate_err);
	condition_fini(&flow->grown);
	mutex_fini(&flow->lock);
	if (flow->fetch->unpack_fd >= 0)
		close(take_fd(&flow->fetch->unpack_fd));
}

int layer_fetch(struct layer_fetch *fetch, struct error *err)
{
	struct flow flow = { .fetch = fetch };
	int r;

	mutex_init(&flow.lock);
	condition_init(&flow.grown);
	r = open_flow(&flow, err);
	if (r == 0)
		r = flow.written > flow.size ? LAYER_BROKEN : run(&flow, err);
	close_flow(&flow);
	return r;
}
