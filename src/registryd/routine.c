/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/routine.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"

struct routine {
	struct routine_options options;
	struct mutex lock; /* guards what follows */
	struct condition changed;
	bool ending;
	bool woken;
	pthread_t thread;
};

/* Until the interval, which began at begun_ns, is over; false: it shall end. */
static bool wait_interval(struct routine *routine, int64_t begun_ns)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&routine->lock);

	for (;;) {
		int64_t deadline_ns = begun_ns + routine->options.interval_s(routine->options.arg) * CLOCK_SECOND;

		while (!routine->ending && !routine->woken &&
		       condition_wait_until(&routine->changed, &routine->lock, deadline_ns))
			;
		if (routine->ending || !routine->woken)
			return !routine->ending;
		routine->woken = false;
	}
}

static void *routine_main(void *arg)
{
	struct routine *routine = arg;

	while (wait_interval(routine, clock_monotonic_ns()))
		routine->options.work(routine->options.arg, routine);
	return NULL;
}

int routine_start(struct routine **out_routine, const struct routine_options *options, struct error *err)
{
	struct routine *routine = xcalloc(1, sizeof(*routine));

	routine->options = *options;
	mutex_init(&routine->lock);
	condition_init(&routine->changed);
	if (thread_start(&routine->thread, options->name, routine_main, routine, err) < 0) {
		free(routine);
		return -1;
	}
	*out_routine = routine;
	return 0;
}

bool routine_pause(struct routine *routine, int64_t ms)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&routine->lock);
	int64_t deadline_ns = clock_monotonic_ns() + ms * CLOCK_MS;

	while (ms > 0 && !routine->ending && condition_wait_until(&routine->changed, &routine->lock, deadline_ns))
		;
	return !routine->ending;
}

void routine_wake(struct routine *routine)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&routine->lock);

	routine->woken = true;
	condition_broadcast(&routine->changed);
}

void routine_free(struct routine *routine)
{
	if (!routine)
		return;
	mutex_lock(&routine->lock);
	routine->ending = true;
	condition_broadcast(&routine->changed);
	mutex_unlock(&routine->lock);
	pthread_join(routine->thread, NULL);
	condition_fini(&routine->changed);
	mutex_fini(&routine->lock);
	free(routine);
}
