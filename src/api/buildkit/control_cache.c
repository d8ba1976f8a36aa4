/* SPDX-License-Identifier: Apache-2.0 */
/* The build cache and the history of builds, as `docker buildx du`, `prune` and `history` see them. */
#include <string.h>

#include "api/buildkit/buildkit_private.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "builder/cache.h"

/* ---- cache ---- */

static int64_t moment(const char *text)
{
	int64_t ns = 0;

	return clock_parse(&ns, text_or_empty(text)) == 0 ? ns : 0;
}

static void describe(struct bk_usage *usage, const struct cache_record *record)
{
	*usage = (struct bk_usage){
		.id = xstrdup(record->id),
		.in_use = record->in_use,
		.size = record->size,
		.created = moment(record->created_at),
		.last_used = moment(record->last_used_at),
		.usage_count = record->usage_count,
		.description = xstrdup(record->description),
		.type = xstrdup(record->type),
		.shared = record->shared,
	};
}

BUILDKIT_CALL(control_disk_usage)
{
	struct buildkit *buildkit = context;
	struct bk_usage_request request = { 0 };
	struct bk_usage_response answer = { 0 };
	struct cache_records records = { 0 };
	int r = grpc_receive(stream, &request, bk_usage_request_fields, err);

	if (r >= 0)
		r = cache_list(&records, buildkit->engine, err);
	if (r >= 0 && records.count > 0)
		answer.records.items = xcalloc(records.count, sizeof(*answer.records.items));
	for (size_t i = 0; r >= 0 && i < records.count; i++)
		describe(&answer.records.items[answer.records.count++], &records.items[i]);
	json_free_array(&records, cache_record_fields, sizeof(struct cache_record));
	if (r >= 0)
		r = grpc_send(stream, &answer, bk_usage_response_fields, err);
	proto_free(&request, bk_usage_request_fields);
	proto_free(&answer, bk_usage_response_fields);
	return r;
}

/* What is gone is told by its old record. */
static int send_removed(struct grpc_stream *stream, const struct cache_records *before,
			const struct cache_prune_report *report, struct error *err)
{
	for (size_t i = 0; i < before->count; i++) {
		struct bk_usage usage;
		int r;

		if (!text_list_contains(&report->deleted, before->items[i].id))
			continue;
		describe(&usage, &before->items[i]);
		r = grpc_send(stream, &usage, bk_usage_fields, err);
		proto_free(&usage, bk_usage_fields);
		if (r < 0)
			return -1;
	}
	return 0;
}

static bool is_known(const char *key)
{
	for (size_t i = 0; cache_prune_filter_keys[i]; i++)
		if (text_equal(cache_prune_filter_keys[i], key))
			return true;
	return false;
}

/* "key==value", "key=value": the engine's own filters. */
static int read_filters(struct filter_set *filters, const struct bk_prune_request *request, struct error *err)
{
	for (size_t i = 0; i < request->filters.count; i++) {
		AUTO_FREE char *text = xstrdup(request->filters.items[i]);
		char *value = strchr(text, '=');

		if (value) {
			*value++ = '\0';
			value += *value == '=';
		}
		if (!*text)
			continue;
		if (!is_known(text))
			return error_set(err, ERR_INVALID, "invalid filter '%s'", text);
		filter_set_add(filters, text, value ? value : "true");
	}
	if (request->keep_duration > 0) {
		char duration[CLOCK_TEXT_MAX];

		filter_set_add(filters, "until", clock_format_duration(duration, request->keep_duration));
	}
	return 0;
}

BUILDKIT_CALL(control_prune)
{
	struct buildkit *buildkit = context;
	AUTO(filter_set_fini) struct filter_set filters = { 0 };
	struct bk_prune_request request = { 0 };
	struct cache_prune_options options = { .filters = &filters };
	struct cache_prune_report report = { 0 };
	struct cache_records before = { 0 };
	int r = grpc_receive(stream, &request, bk_prune_request_fields, err);

	filter_set_init(&filters);
	if (r >= 0)
		r = read_filters(&filters, &request, err);
	options.all = request.all;
	options.keep_bytes = request.reserved_space > 0 ? request.reserved_space : request.max_used_space;
	if (r >= 0)
		r = cache_list(&before, buildkit->engine, err);
	if (r >= 0)
		r = cache_prune(&report, buildkit->engine, &options, err);
	if (r >= 0)
		r = send_removed(stream, &before, &report, err);
	json_free_array(&before, cache_record_fields, sizeof(struct cache_record));
	json_free_fields(&report, cache_prune_report_fields);
	proto_free(&request, bk_prune_request_fields);
	return r;
}

/* ---- history ---- */

/* One job as an event, if it is asked for: encoded, because jobs go on meanwhile. */
static bool encode_job(struct text *out, struct job *job, const struct bk_history_request *request)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&job->mutex);
	struct bk_history_event event = { .type = job->ended ? 1 : 0, .record = job->record };

	if (!job->started || job->internal || (request->active_only && job->ended) ||
	    (!text_empty(request->ref) && !text_equal(request->ref, job->ref)))
		return false;
	proto_encode(out, &event, bk_history_event_fields);
	return true;
}

static int send_history(struct buildkit *buildkit, const struct bk_history_request *request, struct grpc_stream *stream,
			struct error *err)
{
	AUTO(text_fini) struct text bytes = { 0 };
	AUTO_FREE size_t *ends = NULL;
	size_t count = 0;
	size_t capacity = 0;
	size_t begin = 0;

	mutex_lock(&buildkit->mutex);
	LIST_FOR_EACH (node, &buildkit->jobs) {
		if (!encode_job(&bytes, list_entry(node, struct job, node), request))
			continue;
		ends = xgrow(ends, &capacity, count + 1, sizeof(*ends));
		ends[count++] = bytes.size;
	}
	mutex_unlock(&buildkit->mutex);
	for (size_t i = 0; i < count; i++) {
		if (grpc_send_bytes(stream, bytes.data + begin, ends[i] - begin, err) < 0)
			return -1;
		begin = ends[i];
	}
	return 0;
}

BUILDKIT_CALL(control_history)
{
	struct bk_history_request request = { 0 };
	int r = grpc_receive(stream, &request, bk_history_request_fields, err);

	if (r >= 0 && !request.early_exit)
		r = error_set(err, ERR_UNSUPPORTED, "following the history of builds is not supported");
	if (r >= 0)
		r = send_history(context, &request, stream, err);
	proto_free(&request, bk_history_request_fields);
	return r;
}
