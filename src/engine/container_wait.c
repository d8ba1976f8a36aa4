/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/alloc.h"
#include "engine/engine_private.h"

struct container_waiter {
	struct container *container;
	enum wait_condition condition;
	uint64_t exits; /* when it began */
	bool at_once;	/* not-running, and it did not run */
};

int wait_condition_parse(enum wait_condition *out_condition, const char *text, struct error *err)
{
	if (text_empty(text) || text_equal(text, "not-running"))
		*out_condition = WAIT_NOT_RUNNING;
	else if (text_equal(text, "next-exit"))
		*out_condition = WAIT_NEXT_EXIT;
	else if (text_equal(text, "removed"))
		*out_condition = WAIT_REMOVED;
	else
		return error_set(err, ERR_INVALID, "invalid condition: \"%s\"", text);
	return 0;
}

int container_wait_begin(struct container_waiter **out_waiter, struct engine *engine, const char *name,
			 enum wait_condition condition, struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	struct container_waiter *waiter;

	if (container_find(&container, engine, name, err) < 0)
		return -1;
	waiter = xcalloc(1, sizeof(*waiter));
	mutex_lock(&container->mutex);
	waiter->condition = condition;
	waiter->exits = container->exits;
	waiter->at_once = condition == WAIT_NOT_RUNNING && !container->document.state.running;
	mutex_unlock(&container->mutex);
	waiter->container = take_ptr(container);
	*out_waiter = waiter;
	return 0;
}

static bool is_done(struct container *container, void *arg)
{
	const struct container_waiter *waiter = arg;

	if (waiter->at_once || container->removed)
		return true;
	return waiter->condition != WAIT_REMOVED && container->exits != waiter->exits;
}

int container_wait_finish(struct wait_result *out_result, struct container_waiter *waiter, int cancel_fd,
			  struct error *err)
{
	struct container *container = waiter->container;

	if (container_await(container, is_done, waiter, cancel_fd, 0, err) < 0)
		return -1;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	out_result->exit_code = container->document.state.exit_code;
	/* A start that failed told its own client; for who waits there was no run. */
	out_result->error_message = NULL;
	return 0;
}

void container_waiter_free(struct container_waiter *waiter)
{
	if (!waiter)
		return;
	container_unref(waiter->container);
	free(waiter);
}
