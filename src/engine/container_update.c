/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: what the request names is merged into a copy of the host
 * configuration and judged as at create; a running container's control group
 * gets the result; then the copy becomes the document's. A failure on the way
 * leaves the document as it was.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/engine_private.h"
#include "engine/spec.h"
#include "oci/runtime_spec.h"

static void take_number(int64_t *to, int64_t from)
{
	if (from)
		*to = from;
}

static void take_text(char **to, const char *from)
{
	if (text_empty(from))
		return;
	free(*to);
	*to = xstrdup(from);
}

static void merge_numbers(struct host_config *host, const struct host_config *wanted)
{
	take_number(&host->blkio_weight, wanted->blkio_weight);
	take_number(&host->cpu_shares, wanted->cpu_shares);
	take_number(&host->nano_cpus, wanted->nano_cpus);
	take_number(&host->cpu_period, wanted->cpu_period);
	take_number(&host->cpu_quota, wanted->cpu_quota);
	take_number(&host->cpu_realtime_period, wanted->cpu_realtime_period);
	take_number(&host->cpu_realtime_runtime, wanted->cpu_realtime_runtime);
	take_number(&host->memory, wanted->memory);
	take_number(&host->memory_swap, wanted->memory_swap);
	take_number(&host->memory_reservation, wanted->memory_reservation);
	take_text(&host->cpuset_cpus, wanted->cpuset_cpus);
	take_text(&host->cpuset_mems, wanted->cpuset_mems);
	if (wanted->pids_limit.set)
		host->pids_limit = wanted->pids_limit;
}

static int check_conflicts(const struct host_config *host, const struct host_config *wanted, struct error *err)
{
	if (wanted->nano_cpus > 0 && host->cpu_period > 0)
		return error_set(err, ERR_CONFLICT,
				 "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set");
	if (wanted->nano_cpus > 0 && host->cpu_quota > 0)
		return error_set(err, ERR_CONFLICT,
				 "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set");
	if ((wanted->cpu_quota > 0 || wanted->cpu_period > 0) && host->nano_cpus > 0)
		return error_set(err, ERR_CONFLICT,
				 "Conflicting options: CPU %s cannot be updated as NanoCPUs has already been set",
				 wanted->cpu_quota > 0 ? "Quota" : "Period");
	if (wanted->memory > host->memory_swap && host->memory_swap > 0 && wanted->memory_swap == 0)
		return error_set(err, ERR_CONFLICT,
				 "Memory limit should be smaller than already set memoryswap limit, update the "
				 "memoryswap at the same time");
	return 0;
}

static int merge_policy(struct host_config *host, const struct restart_policy *wanted, struct error *err)
{
	if (text_empty(wanted->name))
		return 0;
	if (host->auto_remove && !text_equal(wanted->name, "no"))
		return error_set(err, ERR_CONFLICT,
				 "Restart policy cannot be updated because AutoRemove is enabled for the container");
	take_text(&host->restart_policy.name, wanted->name);
	host->restart_policy.maximum_retry_count = wanted->maximum_retry_count;
	return 0;
}

static int merge(struct host_config *host, const struct host_config *wanted, struct error *err)
{
	if (check_conflicts(host, wanted, err) < 0)
		return -1;
	merge_numbers(host, wanted);
	if (merge_policy(host, &wanted->restart_policy, err) < 0)
		return -1;
	return container_check_resources(host, err);
}

/* linux.resources of what the request asks for; yours. */
static char *resources_json(const struct host_config *merged, const struct host_config *wanted, struct error *err)
{
	struct container_document document = { .host = *wanted };
	const struct spec_input input = { .document = &document };
	struct spec spec = { 0 };
	char *json = NULL;

	/* A memory limit brings the swap limit with it that goes with it. */
	if (wanted->memory)
		document.host.memory_swap = merged->memory_swap;
	if (spec_add_resources(&spec, &input, err) == 0) {
		if (wanted->pids_limit.set && wanted->pids_limit.value <= 0) {
			spec.linux_.resources->pids = xcalloc(1, sizeof(*spec.linux_.resources->pids));
			spec.linux_.resources->pids->limit = (struct optional_i64){ true, -1 };
		}
		json = json_encode(spec.linux_.resources, spec_resources_fields);
	}
	spec_fini(&spec);
	return json;
}

static int apply(struct container *container, const struct host_config *merged, const struct host_config *wanted,
		 struct error *err)
{
	AUTO_FREE char *json = NULL;
	struct task_client *task;
	int r;

	if (!container_is_running(container))
		return 0;
	json = resources_json(merged, wanted, err);
	if (!json)
		return -1;
	task = container_borrow_task(container, err);
	if (!task)
		return -1;
	r = task_update(task, container->id, json, -1, err);
	container_return_task(container);
	return r < 0 ? error_prefix(err, "Cannot update container %s", container->id) : 0;
}

static void replace_host(struct container *container, struct host_config *merged)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	struct host_config old = container->document.host;

	container->document.host = *merged;
	*merged = old;
	watch_notify(&container->changes);
}

static int update_held(struct container *container, const struct host_config *wanted, struct error *err)
{
	struct host_config merged = { 0 };
	int r;

	mutex_lock(&container->mutex);
	json_copy_fields(&merged, &container->document.host, host_config_fields);
	mutex_unlock(&container->mutex);
	r = merge(&merged, wanted, err);
	if (r == 0)
		r = apply(container, &merged, wanted, err);
	if (r == 0) {
		replace_host(container, &merged);
		r = container_store(container, err);
		if (r < 0)
			replace_host(container, &merged);
	}
	json_free_fields(&merged, host_config_fields);
	return r;
}

int container_update(struct engine *engine, const char *name, const struct host_config *wanted, struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	int r;

	if (container_find(&container, engine, name, err) < 0 || container_acquire(container, -1, err) < 0)
		return -1;
	r = update_held(container, wanted, err);
	container_release(container);
	if (r == 0)
		container_event(container, "update", NULL);
	return r;
}
