/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/quote.h"
#include "base/text.h"

#define STEP_MAX 1024
#define NAME_MAX_BYTES 48

struct step {
	char name[NAME_MAX_BYTES]; /* whole names only: cut where it is too long */
	bool init;
	int64_t begin_ns;
	int64_t end_ns; /* 0: not written yet */
};

/* In the mapping. Each writer takes a slot of its own. */
struct steps {
	atomic_uint count;
	struct step items[STEP_MAX];
};

struct trace {
	struct steps *steps;
	int fd;
	bool init;
	int64_t begin_ns;
	int64_t last_ns; /* this process's last mark */
};

int trace_open(struct trace **out_trace, const char *path, struct error *err)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
	struct trace *trace;
	void *steps;

	if (fd < 0)
		return error_set_errno(err, ERR_INVALID, errno, "--trace: open %s", path);
	steps = mmap(NULL, sizeof(struct steps), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (steps == MAP_FAILED)
		return error_set_errno(err, ERR_EXHAUSTED, errno, "--trace: memory for the steps");
	trace = xcalloc(1, sizeof(*trace));
	trace->steps = steps;
	trace->fd = take_fd(&fd);
	trace->begin_ns = clock_monotonic_ns();
	trace->last_ns = trace->begin_ns;
	*out_trace = trace;
	return 0;
}

void trace_mark_name(struct trace *trace, const char *step, const char *name)
{
	struct step *slot;
	unsigned index;

	if (!trace)
		return;
	index = atomic_fetch_add(&trace->steps->count, 1);
	if (index >= STEP_MAX)
		return;
	slot = &trace->steps->items[index];
	snprintf(slot->name, sizeof(slot->name), "%s%s", step, name);
	slot->init = trace->init;
	slot->begin_ns = trace->last_ns;
	slot->end_ns = clock_monotonic_ns();
	trace->last_ns = slot->end_ns;
}

void trace_mark(struct trace *trace, const char *step)
{
	trace_mark_name(trace, step, "");
}

void trace_is_init(struct trace *trace)
{
	if (trace)
		trace->init = true;
}

static int by_begin(const void *a, const void *b)
{
	const struct step *left = a;
	const struct step *right = b;

	return (left->begin_ns > right->begin_ns) - (left->begin_ns < right->begin_ns);
}

static double to_us(int64_t ns)
{
	return (double)ns / 1000;
}

static void add_step(struct text *out, const struct step *step, int64_t begin_ns)
{
	/* init may have been killed in the middle of one. */
	if (!step->end_ns)
		return;
	text_addf(out, "{\"side\":\"%s\",\"step\":", step->init ? "init" : "host");
	quote_json(out, step->name, strnlen(step->name, sizeof(step->name)));
	text_addf(out, ",\"begin_us\":%.1f,\"took_us\":%.1f}\n", to_us(step->begin_ns - begin_ns),
		  to_us(step->end_ns - step->begin_ns));
}

int trace_close(struct trace *trace, struct error *err)
{
	AUTO(text_fini) struct text out = { 0 };
	unsigned count;
	int r;

	if (!trace)
		return 0;
	count = atomic_load(&trace->steps->count);
	count = count < STEP_MAX ? count : STEP_MAX;
	qsort(trace->steps->items, count, sizeof(trace->steps->items[0]), by_begin);
	for (unsigned i = 0; i < count; i++)
		add_step(&out, &trace->steps->items[i], trace->begin_ns);
	r = out.size ? write_full(trace->fd, out.data, out.size) : 0;
	munmap(trace->steps, sizeof(*trace->steps));
	close(trace->fd);
	free(trace);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "--trace: write") : 0;
}
