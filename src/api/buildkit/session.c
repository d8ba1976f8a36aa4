/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command line offers while its builds run. The thread of its connection
 * moves the bytes; builds hold the session while they call it.
 */
#include <poll.h>
#include <string.h>

#include "api/buildkit/buildkit_private.h"
#include "base/alloc.h"
#include "base/clock.h"

/* A client opens its session and starts its build at the same time. */
#define ARRIVAL_NS (30 * CLOCK_SECOND)
#define LOOK_NS (100 * CLOCK_MS)

struct session {
	struct list_node node;
	struct buildkit *buildkit;
	char *id;
	char *shared_key; /* of the folder it builds */
	struct grpc_connection *connection;
	unsigned users; /* guarded by buildkit's mutex */
};

struct grpc_connection *session_connection(struct session *session)
{
	return session->connection;
}

const char *session_shared_key(const struct session *session)
{
	return session->shared_key;
}

static struct session *find_locked(struct buildkit *buildkit, const char *id)
{
	LIST_FOR_EACH (node, &buildkit->sessions) {
		struct session *session = list_entry(node, struct session, node);

		if (text_equal(session->id, id))
			return session;
	}
	return NULL;
}

static bool is_readable(int fd)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };

	return poll(&polled, 1, 0) > 0;
}

int session_get(struct session **out_session, struct buildkit *buildkit, const char *id, int cancel_fd,
		struct error *err)
{
	int64_t deadline_ns = clock_monotonic_ns() + ARRIVAL_NS;
	struct session *session;

	if (text_empty(id))
		return error_set(err, ERR_INVALID, "the build has no session");
	mutex_lock(&buildkit->mutex);
	while (!(session = find_locked(buildkit, id)) && clock_monotonic_ns() < deadline_ns && !is_readable(cancel_fd))
		condition_wait_until(&buildkit->changed, &buildkit->mutex, clock_monotonic_ns() + LOOK_NS);
	if (session)
		session->users++;
	mutex_unlock(&buildkit->mutex);
	if (!session)
		return error_set(err, ERR_UNAVAILABLE, "no active session for %s", id);
	*out_session = session;
	return 0;
}

void session_put(struct session *session)
{
	if (!session)
		return;
	mutex_lock(&session->buildkit->mutex);
	session->users--;
	condition_broadcast(&session->buildkit->changed);
	mutex_unlock(&session->buildkit->mutex);
}

static int add(struct session *session)
{
	struct buildkit *buildkit = session->buildkit;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&buildkit->mutex);

	if (find_locked(buildkit, session->id))
		return -1;
	list_add_last(&buildkit->sessions, &session->node);
	condition_broadcast(&buildkit->changed);
	return 0;
}

/* Nobody finds it any more; those who have it get errors from the connection and let go. */
static void remove_session(struct session *session)
{
	struct buildkit *buildkit = session->buildkit;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&buildkit->mutex);

	list_remove(&session->node);
	while (session->users > 0)
		condition_wait(&buildkit->changed, &buildkit->mutex);
}

void session_accept(struct buildkit *buildkit, const char *id, const char *shared_key, const struct http_stream *stream)
{
	AUTO(error_clear) struct error ignored = { 0 };
	const struct grpc_options options = { .fd = stream->fd,
					      .early = stream->early,
					      .early_size = stream->early_size };
	struct session session = { .buildkit = buildkit };

	if (grpc_connection_new(&session.connection, &options, &ignored) < 0)
		return;
	session.id = xstrdup(id);
	session.shared_key = xstrdup(shared_key);
	if (add(&session) == 0) {
		grpc_connection_run(session.connection);
		remove_session(&session);
	}
	grpc_connection_free(session.connection);
	free(session.id);
	free(session.shared_key);
}
