/* SPDX-License-Identifier: Apache-2.0 */
/* The history of builds beyond BuildKit's own calls: builds of the classic builder, and kist's list of all. */
#include <string.h>

#include "api/buildkit/buildkit_private.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/random.h"

const struct json_field build_record_fields[] = {
	JSON_TEXT("Ref", struct build_record, ref, 0),
	JSON_TEXT("Name", struct build_record, name, 0),
	JSON_TEXT("Status", struct build_record, status, 0),
	JSON_TEXT("Error", struct build_record, error, 0),
	JSON_TEXT("CreatedAt", struct build_record, created_at, 0),
	JSON_TEXT("CompletedAt", struct build_record, completed_at, 0),
	JSON_I64("CachedSteps", struct build_record, cached_steps, 0),
	JSON_I64("CompletedSteps", struct build_record, completed_steps, 0),
	JSON_I64("TotalSteps", struct build_record, total_steps, 0),
	JSON_END,
};

/* No build args and no secrets: who may look at the history need not know them. */
struct job *buildkit_record_begin(struct buildkit *buildkit, const struct build_options *options)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct bk_solve_request request = { 0 };
	struct job *job;
	char ref[33];

	random_hex(ref, 16);
	text_map_set(&request.frontend_attrs, "filename",
		     text_empty(options->dockerfile) ? "Dockerfile" : options->dockerfile);
	if (!text_empty(options->target))
		text_map_set(&request.frontend_attrs, "target", options->target);
	if (options->tags && options->tags->count > 0)
		text_map_set(&request.frontend_attrs, "kist.name", options->tags->items[0]);
	job = job_get(buildkit, ref);
	job_start(job, &request, &ignored);
	text_map_fini(&request.frontend_attrs);
	return job;
}

void buildkit_record_end(struct job *job, const struct build_counts *counts, const struct error *err)
{
	mutex_lock(&job->mutex);
	job->record.total_steps = counts->total;
	job->record.cached_steps = counts->cached;
	job->record.completed_steps = counts->completed;
	job->told = true;
	mutex_unlock(&job->mutex);
	job_end(job, err);
	job_put(job);
}

static const char *status_of(const struct job *job)
{
	if (!job->ended)
		return "Running";
	if (!job->record.error.message)
		return "Completed";
	return job->record.error.code == 1 ? "Canceled" : "Error";
}

static const char *name_of(const struct job *job)
{
	const struct text_map *attrs = &job->record.frontend_attrs;
	const char *name = text_map_get(&job->record.exporter_response, "image.name");

	if (text_empty(name))
		name = text_map_get(attrs, "kist.name");
	if (text_empty(name))
		name = text_map_get(attrs, "filename");
	return text_empty(name) ? "Dockerfile" : name;
}

static void fill(struct build_record *record, const struct job *job)
{
	char time[CLOCK_TEXT_MAX];

	*record = (struct build_record){
		.ref = xstrdup(job->ref),
		.name = xstrdup(name_of(job)),
		.status = xstrdup(status_of(job)),
		.error = xstrdup(text_or_empty(job->record.error.message)),
		.created_at = xstrdup(clock_format(time, job->record.created)),
		.cached_steps = job->record.cached_steps,
		.completed_steps = job->record.completed_steps,
		.total_steps = job->record.total_steps,
	};
	record->completed_at = xstrdup(job->ended ? clock_format(time, job->record.completed) : "");
}

void buildkit_records(struct build_records *out_records, struct buildkit *buildkit)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&buildkit->mutex);

	*out_records = (struct build_records){ 0 };
	LIST_FOR_EACH (node, &buildkit->jobs) {
		struct job *job = list_entry(node, struct job, node);

		mutex_lock(&job->mutex);
		if (job->started && !job->internal)
			fill(json_array_add(out_records, sizeof(struct build_record)), job);
		mutex_unlock(&job->mutex);
	}
}
