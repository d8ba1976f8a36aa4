/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container_restart.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "engine/container_document.h"

#define DELAY_FIRST_MS 100
#define DELAY_MAX_MS 60000
#define RUN_IS_STABLE_NS (10 * CLOCK_SECOND)
#define NAME_SHORTEST 12

bool restart_is_wanted(const struct restart_policy *policy, int64_t exit_code, int64_t restart_count)
{
	if (text_equal(policy->name, "always") || text_equal(policy->name, "unless-stopped"))
		return true;
	if (!text_equal(policy->name, "on-failure") || exit_code == 0)
		return false;
	return policy->maximum_retry_count == 0 || restart_count < policy->maximum_retry_count;
}

int64_t restart_delay_ms(int64_t previous_ms, int64_t run_ns)
{
	if (run_ns >= RUN_IS_STABLE_NS || previous_ms == 0)
		return DELAY_FIRST_MS;
	return previous_ms >= DELAY_MAX_MS / 2 ? DELAY_MAX_MS : previous_ms * 2;
}

bool restart_at_open(const struct container_document *document)
{
	const struct container_state *state = &document->state;
	const struct restart_policy *policy = &document->host.restart_policy;

	if (state->running || state->removing || state->started_ns == 0)
		return false;
	if (text_equal(policy->name, "always"))
		return true;
	return !state->manually_stopped && restart_is_wanted(policy, state->exit_code, document->restart_count);
}

/* ---- order ---- */

struct plan {
	size_t *order;
	size_t placed;
	bool *seen;
	const struct container_document *const *documents;
	size_t count;
};

static bool is_called(const struct container_document *document, const char *name, size_t size)
{
	const char *plain = document->name;

	if (size > 0 && *name == '/') {
		name++;
		size--;
	}
	if (plain && strlen(plain) == size && memcmp(plain, name, size) == 0)
		return true;
	return size >= NAME_SHORTEST && strncmp(document->id, name, size) == 0;
}

static void place(struct plan *plan, size_t index);

/* Whoever has this name goes first; rest behind a ':' does not belong to it. */
static void place_named(struct plan *plan, const char *name)
{
	size_t size = name ? strcspn(name, ":") : 0;

	for (size_t i = 0; i < plan->count && size > 0; i++)
		if (is_called(plan->documents[i], name, size))
			place(plan, i);
}

static void place(struct plan *plan, size_t index)
{
	const struct host_config *host = &plan->documents[index]->host;

	if (plan->seen[index])
		return;
	plan->seen[index] = true; /* also ends circles */
	place_named(plan, text_after(text_or_empty(host->network_mode), "container:"));
	place_named(plan, text_after(text_or_empty(host->ipc_mode), "container:"));
	place_named(plan, text_after(text_or_empty(host->pid_mode), "container:"));
	for (size_t i = 0; i < host->links.count; i++)
		place_named(plan, host->links.items[i]);
	for (size_t i = 0; i < host->volumes_from.count; i++)
		place_named(plan, host->volumes_from.items[i]);
	plan->order[plan->placed++] = index;
}

void restart_order(size_t *out_order, const struct container_document *const *documents, size_t count)
{
	AUTO_FREE bool *seen = xcalloc(count + 1, sizeof(*seen));
	struct plan plan = { .order = out_order, .seen = seen, .documents = documents, .count = count };

	for (size_t i = count; i > 0; i--)
		place(&plan, i - 1);
}
