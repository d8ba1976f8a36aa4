/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/share.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/thread.h"
#include "builder/graph.h"

struct piece {
	int stream;
	size_t size;
	char *data;
};

struct shared_run {
	struct list_node node; /* in runs, until it ends */
	struct store *store;
	struct digest key;
	unsigned users;
	bool ended;
	struct shared_end end;
	struct list followers;
	struct piece *pieces; /* what it printed so far, up to NODE_OUTPUT_MAX */
	size_t count;
	size_t capacity;
	size_t bytes;
};

struct follower {
	struct list_node node;
	int fd; /* eventfd */
};

/* Guards everything here; nothing is waited for under it. */
static struct mutex runs_mutex = { .lock = PTHREAD_MUTEX_INITIALIZER };
static struct list runs = { { &runs.head, &runs.head } };

static struct shared_run *find_locked(const struct store *store, const struct digest *key)
{
	LIST_FOR_EACH (node, &runs) {
		struct shared_run *run = list_entry(node, struct shared_run, node);

		if (run->store == store && digest_equal(&run->key, key))
			return run;
	}
	return NULL;
}

struct shared_run *share_join(bool *out_first, struct store *store, const struct digest *key)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&runs_mutex);
	struct shared_run *run = find_locked(store, key);

	*out_first = !run;
	if (!run) {
		run = xcalloc(1, sizeof(*run));
		run->store = store;
		run->key = *key;
		list_init(&run->followers);
		list_add_last(&runs, &run->node);
	}
	run->users++;
	return run;
}

void share_leave(struct shared_run *run)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&runs_mutex);

	if (!run || --run->users > 0)
		return;
	list_remove(&run->node);
	for (size_t i = 0; i < run->count; i++)
		free(run->pieces[i].data);
	free(run->pieces);
	free(run);
}

static void wake_locked(struct shared_run *run)
{
	const uint64_t one = 1;

	LIST_FOR_EACH (node, &run->followers) {
		ssize_t ignored = write(list_entry(node, struct follower, node)->fd, &one, sizeof(one));

		(void)ignored;
	}
}

void share_tell(struct shared_run *run, int stream, const void *data, size_t size)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&runs_mutex);
	struct piece *piece;

	if (size == 0 || run->bytes > NODE_OUTPUT_MAX)
		return;
	run->pieces = xgrow(run->pieces, &run->capacity, run->count + 1, sizeof(*run->pieces));
	piece = &run->pieces[run->count++];
	*piece = (struct piece){ .stream = stream, .size = size, .data = xmalloc(size) };
	memcpy(piece->data, data, size);
	run->bytes += size;
	wake_locked(run);
}

void share_end(struct shared_run *run, const struct shared_end *end)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&runs_mutex);

	run->end = *end;
	run->ended = true;
	list_remove(&run->node);
	wake_locked(run);
}

/* ---- followers ---- */

/* The index-th piece (a piece does not change, and stays as long as the run is used), or whether that was all. */
static bool take_piece(struct piece *out_piece, bool *out_ended, struct shared_run *run, size_t index)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&runs_mutex);

	*out_ended = run->ended;
	if (index >= run->count)
		return false;
	*out_piece = run->pieces[index];
	return true;
}

static int follow(struct shared_run *run, const struct follower *follower, share_told told, void *arg, int cancel_fd,
		  struct error *err)
{
	struct pollfd fds[] = { { .fd = follower->fd, .events = POLLIN }, { .fd = cancel_fd, .events = POLLIN } };
	uint64_t ignored;

	for (size_t i = 0;;) {
		struct piece piece;
		bool ended;

		if (take_piece(&piece, &ended, run, i)) {
			told(arg, piece.stream, piece.data, piece.size);
			i++;
			continue;
		}
		if (ended)
			return 0;
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "wait for a step of another build");
		if (fds[1].revents)
			return error_set(err, ERR_CANCELED, "canceled");
		if (read(follower->fd, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN)
			return error_set_errno(err, ERR_INTERNAL, errno, "wait for a step of another build");
	}
}

int share_follow(struct shared_end *out_end, struct shared_run *run, share_told told, void *arg, int cancel_fd,
		 struct error *err)
{
	AUTO_CLOSE int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct follower follower = { .fd = fd };
	int r;

	if (fd < 0)
		return error_set_errno(err, ERR_EXHAUSTED, errno, "wait for a step of another build");
	mutex_lock(&runs_mutex);
	list_add_last(&run->followers, &follower.node);
	mutex_unlock(&runs_mutex);
	r = follow(run, &follower, told, arg, cancel_fd, err);
	mutex_lock(&runs_mutex);
	list_remove(&follower.node);
	*out_end = run->end;
	mutex_unlock(&runs_mutex);
	return r;
}
