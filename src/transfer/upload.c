/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: POST opens an upload at a Location. PUT sends all of it and
 * ends it. If that breaks, GET of the Location tells how much has arrived, and
 * PATCH goes on from there; a Location that is gone means: from the start.
 */
#include "transfer/upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "transfer/refusal.h"

#define TRIES_MAX 6
#define MOUNTS_MAX 4
#define CHUNK_SIZE (8 * 1024 * 1024)
/* A break after this much is a new start for the count of tries. */
#define PROGRESS_WORTH (1024 * 1024)
#define REPORT_NS (100 * CLOCK_MS)
#define OCTETS "Content-Type: application/octet-stream"

struct state {
	struct upload *upload;
	char *scope;
	char *location; /* NULL: no upload is open */
	int fd;		/* borrowed; -1: not asked for yet */
	uint64_t done;	/* bytes the registry has */
	uint64_t chunk; /* 0: everything at once */
	int64_t retry_after_s;
	int64_t reported_ns;
};

enum step { STEP_DONE, STEP_AGAIN, STEP_LOST };

/* ---- is it there? ---- */

static int exists(struct state *state, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	struct upload *upload = state->upload;
	AUTO_FREE char *path = xasprintf("%s/blobs/%s", upload->repository, upload->digest);

	if (registry_send(&response, upload->registry, upload->remote,
			  &(struct registry_call){ .method = "HEAD", .path = path, .scope = state->scope }, err) < 0)
		return -1;
	if (response.status == 401 || response.status == 403)
		return refusal_error(&response, NULL, err);
	return response.status == 200;
}

/* ---- the upload's place ---- */

static int keep_location(struct state *state, const struct remote_response *response, struct error *err)
{
	const char *location = remote_header(response, "location");
	AUTO_FREE char *next = location ? remote_url_resolve(response->url, location) : NULL;

	if (!location && state->location)
		return 0;
	if (!next)
		return error_set(err, ERR_INVALID, "%s names \"%s\" as the place of an upload", response->url,
				 text_or_empty(location));
	if (text_has_prefix(response->url, "https:") && !text_has_prefix(next, "https:"))
		return error_set(err, ERR_INVALID, "%s sends the upload to %s, without TLS: not allowed", response->url,
				 next);
	free(state->location);
	state->location = take_ptr(next);
	return 0;
}

/* 1: mounted from `mount`; 0: an upload is open at state->location. */
static int open_upload(struct state *state, const char *mount, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	struct upload *upload = state->upload;
	AUTO_FREE char *path = mount ? xasprintf("%s/blobs/uploads/?mount=%s&from=%s", upload->repository,
						 upload->digest, mount)
				     : xasprintf("%s/blobs/uploads/", upload->repository);
	AUTO_FREE char *scope = mount ? xasprintf("%s repository:%s:pull", state->scope, mount) : xstrdup(state->scope);
	struct registry_call call = { .method = "POST", .path = path, .scope = scope, .body = "" };
	const char *least;

	if (registry_send(&response, upload->registry, upload->remote, &call, err) < 0)
		return -1;
	if (mount && response.status == 201)
		return 1;
	if (response.status != 202)
		return refusal_error(&response, NULL, err);
	state->done = 0;
	least = remote_header(&response, "oci-chunk-min-length");
	if (least && state->chunk && text_parse_u64(&state->chunk, least, UINT32_MAX) == 0 && state->chunk < CHUNK_SIZE)
		state->chunk = CHUNK_SIZE;
	return keep_location(state, &response, err);
}

/* 1: one of them had it. */
static int try_mounts(struct state *state)
{
	const struct text_list *mounts = state->upload->mounts;

	for (size_t i = 0; mounts && i < mounts->count && i < MOUNTS_MAX; i++) {
		AUTO(error_clear) struct error ignored = { 0 };
		AUTO_FREE char *words = NULL;

		if (open_upload(state, mounts->items[i], &ignored) <= 0)
			continue;
		words = xasprintf("Mounted from %s", mounts->items[i]);
		state->upload->progress(state->upload->arg, words, 0, 0);
		return 1;
	}
	return 0;
}

/* What a mount that was refused opened is as good as any. */
static int open_or_mount(struct state *state, struct error *err)
{
	if (try_mounts(state))
		return 1;
	return state->location ? 0 : open_upload(state, NULL, err);
}

/* ---- the bytes ---- */

static void on_sent(void *arg, uint64_t bytes)
{
	struct state *state = arg;
	int64_t now = clock_monotonic_ns();

	if (now - state->reported_ns < REPORT_NS)
		return;
	state->reported_ns = now;
	state->upload->progress(state->upload->arg, "Pushing", state->done + bytes, state->upload->size);
}

/* "0-99" or "bytes=0-99": 100. Nothing is written 0-0 by some: one byte sent twice is refused, so we say 0. */
static uint64_t received(const struct remote_response *response)
{
	const char *range = remote_header(response, "range");
	const char *dash = range ? strchr(range, '-') : NULL;
	uint64_t last;

	if (!dash || text_parse_u64(&last, dash + 1, UINT64_MAX - 1) < 0 || last == 0)
		return 0;
	return last + 1;
}

/* After a break: where to go on. */
static enum step ask_place(struct state *state)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	struct registry_call call = { .url = state->location, .scope = state->scope };

	if (registry_send(&response, state->upload->registry, state->upload->remote, &call, &ignored) < 0 ||
	    (response.status != 204 && response.status != 200 && response.status != 202) ||
	    received(&response) > state->upload->size || keep_location(state, &response, &ignored) < 0)
		return STEP_LOST;
	state->done = received(&response);
	return STEP_AGAIN;
}

static char *final_url(const struct state *state)
{
	return xasprintf("%s%cdigest=%s", state->location, strchr(state->location, '?') ? '&' : '?',
			 state->upload->digest);
}

/* Does the answer say: smaller pieces, please? */
static bool wants_chunks(const struct state *state, int status)
{
	return state->chunk == 0 && (status == 413 || status == 411 || status == 405 || status == 501);
}

static enum step judge_failure(struct state *state, const struct remote_response *response, int result)
{
	state->retry_after_s = 0;
	if (result < 0) {
		bool broke = response->failure == REMOTE_CUT || response->failure == REMOTE_TIMEOUT ||
			     response->failure == REMOTE_NO_CONNECT;

		return broke ? STEP_AGAIN : STEP_LOST;
	}
	if (wants_chunks(state, response->status)) {
		state->chunk = CHUNK_SIZE;
		return STEP_AGAIN;
	}
	if (response->status == 404 || response->status == 416 || registry_is_passing_status(response->status)) {
		if (response->status == 404)
			free(take_ptr(state->location));
		state->retry_after_s = registry_retry_after_s(response);
		return STEP_AGAIN;
	}
	return STEP_LOST;
}

static int fail_step(enum step step, struct remote_response *response, bool *out_again, struct error *err)
{
	*out_again = step == STEP_AGAIN;
	if (!error_is_set(err))
		refusal_error(response, NULL, err);
	return -1;
}

/* One PATCH of at most a chunk, or the rest. */
static int send_piece(struct state *state, bool *out_again, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(text_list_fini) struct text_list headers = { 0 };
	struct upload *upload = state->upload;
	uint64_t left = upload->size - state->done;
	uint64_t size = state->chunk && state->chunk < left ? state->chunk : left;
	struct registry_call call = { .method = "PATCH",
				      .url = state->location,
				      .scope = state->scope,
				      .headers = &headers,
				      .body_fd = state->fd,
				      .body_offset = state->done,
				      .body_size = size,
				      .on_sent = on_sent,
				      .arg = state,
				      .once = true };
	int r;

	text_list_add(&headers, OCTETS);
	text_list_addf(&headers, "Content-Range: %llu-%llu", (unsigned long long)state->done,
		       (unsigned long long)(state->done + size - 1));
	r = registry_send(&response, upload->registry, upload->remote, &call, err);
	if (r < 0 || response.status / 100 != 2)
		return fail_step(judge_failure(state, &response, r), &response, out_again, err);
	state->done += size;
	return keep_location(state, &response, err);
}

/* PUT: with everything, or behind pieces with nothing. */
static int send_last(struct state *state, bool with_bytes, bool *out_again, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(text_list_fini) struct text_list headers = { 0 };
	struct upload *upload = state->upload;
	AUTO_FREE char *url = final_url(state);
	struct registry_call call = { .method = "PUT",
				      .url = url,
				      .scope = state->scope,
				      .headers = &headers,
				      .on_sent = on_sent,
				      .arg = state,
				      .once = true };
	int r;

	text_list_add(&headers, OCTETS);
	if (with_bytes) {
		call.body_fd = state->fd;
		call.body_size = upload->size;
	} else {
		call.body = "";
	}
	r = registry_send(&response, upload->registry, upload->remote, &call, err);
	if (r < 0 || response.status / 100 != 2)
		return fail_step(judge_failure(state, &response, r), &response, out_again, err);
	return 0;
}

static int send_bytes(struct state *state, bool *out_again, struct error *err)
{
	if (!state->location && open_upload(state, NULL, err) < 0)
		return -1;
	if (state->done == 0 && state->chunk == 0 && state->upload->size > 0)
		return send_last(state, true, out_again, err);
	while (state->done < state->upload->size)
		if (send_piece(state, out_again, err) < 0)
			return -1;
	return send_last(state, false, out_again, err);
}

static int send_until_done(struct state *state, struct error *err)
{
	uint64_t last = 0;

	for (int attempt = 1;; attempt++) {
		AUTO(error_clear) struct error failure = { 0 };
		bool again = false;

		if (send_bytes(state, &again, &failure) == 0)
			return 0;
		/* Whoever answered last may have it all, although we did not hear of it. */
		if (again && attempt > 1 && exists(state, err) == 1)
			return 0;
		if (state->done > last + PROGRESS_WORTH)
			attempt = 1;
		last = state->done;
		if (!again || attempt >= TRIES_MAX)
			return error_is_set(err) ? -1 : error_move(err, &failure);
		error_clear(err);
		if (!registry_pause(state->upload->registry, attempt, state->retry_after_s))
			return error_set(err, ERR_CANCELED, "canceled");
		if (state->location && ask_place(state) == STEP_LOST)
			free(take_ptr(state->location));
	}
}

/* An upload nobody will go on with; a registry that cannot cancel forgets it by itself. */
static void cancel_upload(struct state *state)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };

	registry_send(&response, state->upload->registry, state->upload->remote,
		      &(struct registry_call){
			      .method = "DELETE", .url = state->location, .scope = state->scope, .once = true },
		      &ignored);
}

int upload_find(struct upload *upload, struct error *err)
{
	struct state state = { .upload = upload, .fd = -1 };
	int r;

	state.scope = xasprintf("repository:%s:pull,push", upload->repository);
	r = exists(&state, err);
	if (r == 0 && upload->mounts && upload->mounts->count)
		r = try_mounts(&state);
	if (state.location)
		cancel_upload(&state);
	free(state.scope);
	free(state.location);
	return r < 0 ? error_prefix(err, "look for %s", upload->digest) : r;
}

int upload_blob(struct upload *upload, struct error *err)
{
	struct state state = { .upload = upload, .fd = -1 };
	int r;

	state.scope = xasprintf("repository:%s:pull,push", upload->repository);
	r = exists(&state, err);
	if (r > 0)
		upload->progress(upload->arg, "Layer already exists", 0, 0);
	if (r == 0) {
		r = open_or_mount(&state, err);
		if (r == 0) {
			state.fd = upload->open(upload->arg, err);
			r = state.fd < 0 ? -1 : send_until_done(&state, err);
			if (r == 0)
				upload->progress(upload->arg, "Pushed", 0, 0);
		}
	}
	free(state.scope);
	free(state.location);
	return r < 0 ? error_prefix(err, "push %s", upload->digest) : 0;
}

/* ---- while it is being packed ---- */

static int stream_bytes(struct state *state, const struct upload_stream *stream)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(text_list_fini) struct text_list headers = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	struct upload *upload = state->upload;

	if (open_upload(state, NULL, &ignored) < 0)
		return 0;
	text_list_add(&headers, OCTETS);
	return registry_send(&response, upload->registry, upload->remote,
			     &(struct registry_call){ .method = "PATCH",
						      .url = state->location,
						      .scope = state->scope,
						      .headers = &headers,
						      .on_more = stream->more,
						      .on_more_arg = stream->arg,
						      .on_sent = on_sent,
						      .arg = state,
						      .once = true },
			     &ignored) == 0 &&
	       response.status / 100 == 2 && keep_location(state, &response, &ignored) == 0;
}

int upload_as_it_comes(struct upload *upload, const struct upload_stream *stream, struct error *err)
{
	struct state state = { .upload = upload, .fd = -1 };
	AUTO(error_clear) struct error ignored = { 0 };
	bool again;
	int sent;
	int r;

	state.scope = xasprintf("repository:%s:pull,push", upload->repository);
	sent = stream_bytes(&state, stream);
	r = stream->digest(stream->arg, upload, err);
	if (r == 0 && sent)
		r = send_last(&state, false, &again, &ignored) == 0;
	if (r == 0 && state.location)
		cancel_upload(&state);
	if (r > 0)
		upload->progress(upload->arg, "Pushed", 0, 0);
	free(state.scope);
	free(state.location);
	return r;
}
