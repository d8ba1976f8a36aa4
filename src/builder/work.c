/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/work.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/thread.h"
#include "builder/build_private.h"

/* Steps wait more than they compute: for the network, for the disk, for each other. */
#define THREADS_MIN 12
#define THREADS_MAX 64
/* Told and not yet sent. */
#define UNSENT_MAX (256u * 1024)

struct work {
	struct build *build;
	work_fn solve_one;
	int news_fd; /* eventfd: the build's thread has something to look at */
	int stop_fd; /* eventfd, never read */
	pthread_t threads[THREADS_MAX];
	size_t thread_count;
	struct mutex mutex;
	struct condition changed;

	/* guarded by the mutex, as are state and printed of nodes */
	bool stopping;
	size_t left; /* nodes that have not ended */
	struct node *failed;
	const struct node *told; /* whose messages are sent as they come */
};

int work_cancel_fd(const struct work *work)
{
	return work->stop_fd;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;
	ssize_t ignored = write(fd, &one, sizeof(one));

	(void)ignored;
}

static void stop_locked(struct work *work)
{
	mutex_assert_held(&work->mutex);
	work->stopping = true;
	signal_fd(work->stop_fd);
	condition_broadcast(&work->changed);
}

/* ---- threads ---- */

static bool is_ready(const struct node *node)
{
	struct node *other;

	if (node->state != NODE_WAITING)
		return false;
	for (size_t i = 0; node_dependency(&other, node, i); i++)
		if (other && other->state != NODE_SOLVED)
			return false;
	return true;
}

static struct node *next_locked(const struct work *work)
{
	const struct graph *graph = &work->build->graph;

	for (size_t i = 0; i < graph->count; i++)
		if (is_ready(graph->nodes[i]))
			return graph->nodes[i];
	return NULL;
}

static void end_locked(struct work *work, struct node *node, bool solved)
{
	mutex_assert_held(&work->mutex);
	node->state = solved ? NODE_SOLVED : NODE_FAILED;
	work->left--;
	if (!solved && !work->failed)
		work->failed = node;
	if (!solved)
		stop_locked(work);
	condition_broadcast(&work->changed);
	signal_fd(work->news_fd);
}

static void *work_main(void *arg)
{
	struct work *work = arg;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&work->mutex);

	while (!work->stopping && work->left > 0) {
		struct node *node = next_locked(work);
		int r;

		if (!node) {
			condition_wait(&work->changed, &work->mutex);
			continue;
		}
		node->state = NODE_RUNNING;
		mutex_unlock(&work->mutex);
		r = work->solve_one(work->build, node, &node->problem);
		mutex_lock(&work->mutex);
		end_locked(work, node, r >= 0);
	}
	return NULL;
}

/* ---- begin ---- */

static void want(struct work *work, struct node *node)
{
	struct node *other;

	if (!node || node->state != NODE_UNWANTED)
		return;
	node->state = NODE_WAITING;
	work->left++;
	for (size_t i = 0; node_dependency(&other, node, i); i++)
		want(work, other);
}

/* The steps of one stage stand on each other: more threads than stages would have nothing to do. */
static size_t want_all(struct work *work)
{
	const struct stages *stages = &work->build->stages;
	int processors = get_nprocs();
	size_t most = processors * 2 > THREADS_MIN ? (size_t)processors * 2 : THREADS_MIN;
	size_t needed = 0;

	for (size_t i = 0; i < stages->count; i++) {
		const struct stage *stage = &stages->items[i];

		needed += stage->needed;
		for (size_t j = 0; stage->needed && j < stage->step_count; j++)
			want(work, stage->steps[j].node);
	}
	if (most > THREADS_MAX)
		most = THREADS_MAX;
	return needed < most ? needed : most;
}

int work_start(struct work **out_work, struct build *build, work_fn solve_one, struct error *err)
{
	struct work *work = xcalloc(1, sizeof(*work));
	AUTO(error_clear) struct error problem = { 0 };
	size_t wanted;

	work->build = build;
	work->solve_one = solve_one;
	mutex_init(&work->mutex);
	condition_init(&work->changed);
	work->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	work->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (work->news_fd < 0 || work->stop_fd < 0) {
		error_set_errno(err, ERR_EXHAUSTED, errno, "solve a build");
		work_free(work);
		return -1;
	}
	/* Before the first thread looks at it. */
	*out_work = work;
	wanted = want_all(work);
	while (work->thread_count < wanted &&
	       thread_start(&work->threads[work->thread_count], "build-step", work_main, work, &problem) == 0)
		work->thread_count++;
	if (work->thread_count > 0 || wanted == 0)
		return 0;
	*out_work = NULL;
	work_free(work);
	return error_move(err, &problem);
}

/* ---- what is told ---- */

static void send_all(const struct work *work, struct text_list *messages)
{
	const struct build_options *options = work->build->options;

	for (size_t i = 0; i < messages->count; i++)
		options->send(options->send_arg, messages->items[i]);
	text_list_fini(messages);
}

static struct text_list take_printed_locked(struct work *work, struct node *node)
{
	struct text_list printed = node->printed;

	mutex_assert_held(&work->mutex);
	node->printed = (struct text_list){ 0 };
	node->printed_bytes = 0;
	condition_broadcast(&work->changed);
	return printed;
}

static void look(struct work *work)
{
	struct pollfd fds[] = { { .fd = work->news_fd, .events = POLLIN },
				{ .fd = work->build->options->cancel_fd, .events = POLLIN } };
	uint64_t ignored;

	if (poll(fds, 2, -1) < 0)
		return;
	if (fds[1].revents) {
		AUTO_UNLOCK struct mutex *held = mutex_hold(&work->mutex);

		stop_locked(work);
	}
	if (fds[0].revents && read(work->news_fd, &ignored, sizeof(ignored)) < 0)
		return;
}

int work_wait(struct work *work, struct node *node)
{
	for (;;) {
		struct text_list printed;
		enum node_state state;
		bool stopping;

		mutex_lock(&work->mutex);
		work->told = node;
		printed = take_printed_locked(work, node);
		state = node->state;
		stopping = work->stopping;
		mutex_unlock(&work->mutex);
		send_all(work, &printed);
		if (state == NODE_SOLVED || stopping)
			return state == NODE_SOLVED;
		look(work);
	}
}

/* The one that is told waits for its client; the others must not wait for it, and lose what is too much. */
void work_print_take(struct work *work, struct node *node, char *message)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&work->mutex);
	size_t size = strlen(message);

	while (work->told == node && node->printed_bytes > UNSENT_MAX && !work->stopping)
		condition_wait(&work->changed, &work->mutex);
	if (node->printed_bytes > NODE_OUTPUT_MAX) {
		free(message);
		return;
	}
	if (node->printed_bytes + size > NODE_OUTPUT_MAX) {
		free(message);
		message = xstrdup("{\"stream\":\"" NODE_OUTPUT_CLIPPED "\"}");
	}
	node->printed_bytes += size;
	text_list_add_take(&node->printed, message);
	if (work->told == node)
		signal_fd(work->news_fd);
}

void work_tell_rest(struct work *work, struct node *node)
{
	struct text_list printed;

	mutex_lock(&work->mutex);
	printed = take_printed_locked(work, node);
	mutex_unlock(&work->mutex);
	send_all(work, &printed);
}

/* ---- end ---- */

struct node *work_end(struct work *work)
{
	mutex_lock(&work->mutex);
	stop_locked(work);
	mutex_unlock(&work->mutex);
	for (size_t i = 0; i < work->thread_count; i++)
		pthread_join(work->threads[i], NULL);
	work->thread_count = 0;
	return work->failed;
}

void work_free(struct work *work)
{
	if (!work)
		return;
	if (work->thread_count > 0)
		work_end(work);
	auto_close(&work->news_fd);
	auto_close(&work->stop_fd);
	condition_fini(&work->changed);
	mutex_fini(&work->mutex);
	free(work);
}
