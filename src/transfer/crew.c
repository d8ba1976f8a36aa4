/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the threads take the next number under a lock; one that
 * fails keeps its error there and sets stop, which connections heed too.
 */
#include "transfer/crew.h"

#include "base/thread.h"

#define THREADS_MAX 16

struct shift {
	const struct crew *crew; /* borrowed */
	struct mutex lock;
	size_t next; /* job no thread has taken */
	struct error failed;
};

struct worker {
	struct shift *shift;
	struct remote *remote;
	pthread_t thread;
};

static bool take(struct shift *shift, size_t *out_index)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&shift->lock);

	if (shift->next >= shift->crew->jobs)
		return false;
	*out_index = shift->next++;
	return true;
}

static void fail(struct shift *shift, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&shift->lock);

	atomic_store(shift->crew->stop, true);
	if (!error_is_set(&shift->failed))
		error_move(&shift->failed, err);
}

static void *work(void *arg)
{
	const struct worker *worker = arg;
	const struct crew *crew = worker->shift->crew;
	AUTO(error_clear) struct error err = { 0 };
	size_t index;

	while (!atomic_load(crew->stop) && take(worker->shift, &index))
		if (crew->job(crew->arg, worker->remote, index, &err) < 0) {
			fail(worker->shift, &err);
			break;
		}
	return NULL;
}

static size_t thread_count(const struct crew *crew)
{
	size_t count = crew->wish <= 0 ? crew->usual : crew->wish > THREADS_MAX ? THREADS_MAX : (size_t)crew->wish;

	return count < crew->jobs ? count : crew->jobs;
}

int crew_run(const struct crew *crew, struct error *err)
{
	struct shift shift = { .crew = crew };
	struct worker workers[THREADS_MAX] = { 0 };
	size_t count = thread_count(crew);
	size_t started = 0;

	mutex_init(&shift.lock);
	for (; started < count; started++) {
		struct worker *worker = &workers[started];

		worker->shift = &shift;
		worker->remote = remote_new(&(struct remote_options){ .stop = crew->stop });
		if (thread_start(&worker->thread, crew->name, work, worker, err) < 0) {
			remote_free(worker->remote);
			atomic_store(crew->stop, true);
			break;
		}
	}
	for (size_t i = 0; i < started; i++) {
		pthread_join(workers[i].thread, NULL);
		remote_free(workers[i].remote);
	}
	mutex_fini(&shift.lock);
	if (error_is_set(err)) {
		error_clear(&shift.failed);
		return -1;
	}
	return error_is_set(&shift.failed) ? error_move(err, &shift.failed) : 0;
}
