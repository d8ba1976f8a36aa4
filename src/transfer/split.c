/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: each thread takes the next piece, fetches it, waits until all
 * before it is appended, appends it. The first failure ends them all.
 */
#include "transfer/split.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/thread.h"

#define TRIES_MAX 5

struct team {
	const struct split *split;
	char *path;
	struct mutex lock;
	struct condition moved;
	uint64_t next; /* first byte of the next piece */
	uint64_t done; /* all before it is appended */
	struct error failed;
};

struct piece {
	uint64_t start;
	size_t size;
	size_t got;
	char *data;
};

/* ---- one piece ---- */

static int take_body(void *arg, const struct remote_response *head, const void *data, size_t size, struct error *err)
{
	struct piece *piece = arg;

	if (head->status != 206)
		return error_set(err, ERR_UNSUPPORTED, "the registry does not answer for a part of a blob");
	if (size > piece->size - piece->got)
		return error_set(err, ERR_INVALID, "more came than was asked for");
	memcpy(piece->data + piece->got, data, size);
	piece->got += size;
	return 0;
}

static bool starts_right(const struct remote_response *response, uint64_t start)
{
	const char *range = remote_header(response, "content-range");
	const char *number = range ? text_after(range, "bytes ") : NULL;

	return number && strtoull(number, NULL, 10) == start;
}

static int fetch_once(const struct team *team, struct remote *remote, struct piece *piece, struct error *err)
{
	const struct source *source = team->split->source;
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(text_list_fini) struct text_list headers = { 0 };

	piece->got = 0;
	text_list_addf(&headers, "Range: bytes=%llu-%llu", (unsigned long long)piece->start,
		       (unsigned long long)(piece->start + piece->size - 1));
	if (registry_send(&response, source->registry, remote,
			  &(struct registry_call){ .path = team->path,
						   .scope = source->scope,
						   .headers = &headers,
						   .on_body = take_body,
						   .arg = piece },
			  err) < 0)
		return -1;
	if (response.status != 206 || !starts_right(&response, piece->start) || piece->got != piece->size)
		return error_set(err, ERR_INVALID, "the answer to a request for a part is another part");
	return 0;
}

static bool is_over(struct team *team)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&team->lock);

	return error_is_set(&team->failed) || atomic_load(team->split->stop);
}

static int fetch_piece(struct team *team, struct remote *remote, struct piece *piece, struct error *err)
{
	for (int attempt = 1;; attempt++) {
		error_clear(err);
		if (fetch_once(team, remote, piece, err) == 0)
			return 0;
		if (err->kind != ERR_UNAVAILABLE || attempt >= TRIES_MAX || is_over(team) ||
		    !registry_pause(team->split->source->registry, attempt, 0))
			return -1;
	}
}

/* ---- together ---- */

static bool take_piece(struct team *team, struct piece *piece)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&team->lock);
	uint64_t left = team->split->end - team->next;

	if (left == 0 || error_is_set(&team->failed) || atomic_load(team->split->stop))
		return false;
	piece->start = team->next;
	piece->size = left < SPLIT_PIECE ? (size_t)left : SPLIT_PIECE;
	team->next += piece->size;
	return true;
}

/* 0 when it is this piece's turn; -1 when its turn will never come. */
static int wait_turn(struct team *team, const struct piece *piece)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&team->lock);

	while (team->done != piece->start && !error_is_set(&team->failed))
		condition_wait(&team->moved, &team->lock);
	return error_is_set(&team->failed) ? -1 : 0;
}

static void tell(struct team *team, uint64_t done, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&team->lock);

	if (error_is_set(err) && !error_is_set(&team->failed))
		error_transfer(&team->failed, err);
	else if (!error_is_set(err))
		team->done = done;
	error_clear(err);
	condition_broadcast(&team->moved);
}

static void *work(void *arg)
{
	struct team *team = arg;
	const struct split *split = team->split;
	AUTO(remote_freep) struct remote *remote = remote_new(&(struct remote_options){ .stop = split->stop });
	AUTO_FREE char *data = xmalloc(SPLIT_PIECE);
	struct piece piece = { .data = data };

	while (take_piece(team, &piece)) {
		AUTO(error_clear) struct error err = { 0 };

		if (fetch_piece(team, remote, &piece, &err) == 0) {
			if (wait_turn(team, &piece) < 0)
				break;
			split->append(split->arg, piece.data, piece.size, &err);
		}
		tell(team, piece.start + piece.size, &err);
	}
	return NULL;
}

int split_fetch(const struct split *split, struct error *err)
{
	struct team team = { .split = split, .next = split->start, .done = split->start };
	pthread_t threads[SPLIT_CONNECTIONS];
	size_t started = 0;
	bool whole;

	mutex_init(&team.lock);
	condition_init(&team.moved);
	team.path = xasprintf("%s/blobs/%s", split->source->repository, split->digest);
	while (started < SPLIT_CONNECTIONS && thread_start(&threads[started], "split", work, &team, err) == 0)
		started++;
	if (started)
		error_clear(err);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	whole = team.done == split->end;
	if (!whole && !error_is_set(err)) {
		if (error_is_set(&team.failed))
			error_transfer(err, &team.failed);
		else
			error_set(err, ERR_CANCELED, "canceled");
	}
	error_clear(&team.failed);
	condition_fini(&team.moved);
	mutex_fini(&team.lock);
	free(team.path);
	return whole ? 0 : -1;
}
