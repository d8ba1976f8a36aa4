/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moby.buildkit.v1.frontend.LLBBridge: the client drives its own job. Solve runs
 * the Dockerfile, Return says which of the results Control.Solve shall export.
 */
#include <string.h>

#include "api/buildkit/buildkit_private.h"
#include "base/alloc.h"

/* What works, by the names of frontend/gateway/pb/caps.go and solver/pb/caps.go. */
static const char *const frontend_caps[] = { "solve.base", "solve.inlinereturn", "return",
					     "returnmap",  "proto.refarray",	 "gateway.warnings" };
static const char *const llb_caps[] = { "source.image",
					"source.local",
					"exec.meta.base",
					"file.base",
					"platform",
					"exporter.multiple",
					"exporter.image.attestations" };

static void add_caps(struct bk_cap **out_items, size_t *out_count, const char *const *names, size_t count)
{
	*out_items = xcalloc(count, sizeof(**out_items));
	for (size_t i = 0; i < count; i++)
		(*out_items)[i] = (struct bk_cap){ .id = xstrdup(names[i]), .enabled = true };
	*out_count = count;
}

BUILDKIT_CALL(gateway_ping)
{
	struct bk_pong answer = { .workers = { xcalloc(1, sizeof(struct bk_worker)), 1 } };
	int r;

	(void)context;
	add_caps(&answer.frontend_caps.items, &answer.frontend_caps.count, frontend_caps,
		 sizeof(frontend_caps) / sizeof(*frontend_caps));
	add_caps(&answer.llb_caps.items, &answer.llb_caps.count, llb_caps, sizeof(llb_caps) / sizeof(*llb_caps));
	control_add_worker(answer.workers.items);
	r = grpc_send(stream, &answer, bk_pong_fields, err);
	proto_free(&answer, bk_pong_fields);
	return r;
}

/* The job a call belongs to, once its Solve has arrived: both are sent at the same time. */
static int find_job(struct job **out_job, struct buildkit *buildkit, struct grpc_stream *stream, struct error *err)
{
	const char *ref = grpc_metadata_at(stream, "buildkit-controlapi-buildid", 0);
	AUTO(job_putp) struct job *job = NULL;
	AUTO(job_watcher_fini) struct job_watcher watcher = { 0 };

	if (text_empty(ref))
		return error_set(err, ERR_INVALID, "no build id was passed");
	job = job_get(buildkit, ref);
	if (job_watcher_init(&watcher, job, err) < 0)
		return -1;
	for (;;) {
		bool started;
		bool ended;

		mutex_lock(&job->mutex);
		started = job->started;
		ended = job->ended;
		mutex_unlock(&job->mutex);
		if (ended)
			return error_set(err, ERR_NOT_FOUND, "no such job %s", ref);
		if (started)
			break;
		if (job_watcher_wait(&watcher, grpc_cancel_fd(stream), err) < 0)
			return -1;
	}
	*out_job = take_ptr(job);
	return 0;
}

static void add_metadata(struct bk_result *result, const char *key, const void *data, size_t size)
{
	struct bk_metadata *item;

	result->metadata.items = xrealloc(result->metadata.items, (result->metadata.count + 1) * sizeof(*item));
	item = &result->metadata.items[result->metadata.count++];
	*item = (struct bk_metadata){ .key = xstrdup(key) };
	proto_bytes_set(&item->value, data, size);
}

/* `docker build --call`: the answer is in the result's metadata. */
static int answer_question(struct job *job, const struct bk_frontend_request *request, const char *id,
			   struct grpc_stream *stream, struct error *err)
{
	const char *call = text_equal(id, "frontend.lint") ? "check" : text_after(id, "frontend.");
	AUTO(build_view_fini) struct build_view view = { 0 };
	struct bk_frontend_response answer = { 0 };
	int r;

	if (!text_equal(call, "check") && !text_equal(call, "outline") && !text_equal(call, "targets"))
		return error_set(err, ERR_UNSUPPORTED, "the call %s is not supported", id);
	if (frontend_ask(&view, job, &request->options, call, stream, err) < 0)
		return -1;
	add_metadata(&answer.result, "result.json", view.json.data, view.json.size);
	add_metadata(&answer.result, "result.txt", view.text.data, view.text.size);
	add_metadata(&answer.result, "version", "1.0.0", 5);
	add_metadata(&answer.result, "result.statuscode", view.is_bad ? "1" : "0", 1);
	r = grpc_send(stream, &answer, bk_frontend_response_fields, err);
	proto_free(&answer, bk_frontend_response_fields);
	return r;
}

static int answer_solve(struct job *job, const struct bk_frontend_request *request, struct grpc_stream *stream,
			struct error *err)
{
	struct bk_frontend_response answer = { 0 };
	struct frontend *frontend = NULL;
	AUTO_FREE char *id = NULL;

	if (request->definition.size > 0)
		return error_set(err, ERR_UNSUPPORTED, "building from LLB is not supported: use a Dockerfile");
	if (text_equal(request->frontend, "dockerfile.v0") && !text_empty(text_map_get(&request->options, "requestid")))
		return answer_question(job, request, text_map_get(&request->options, "requestid"), stream, err);
	if (text_equal(request->frontend, "dockerfile.v0")) {
		if (frontend_solve(&frontend, job, &request->options, stream, err) < 0)
			return -1;
		id = xstrdup(frontend->id);
		answer.result.ref.id = id; /* borrowed */
		if (!job_add_frontend(job, frontend)) {
			frontend_free(frontend);
			return error_set(err, ERR_CANCELED, "the build has ended");
		}
	} else if (!text_empty(request->frontend)) {
		return error_set(err, ERR_UNSUPPORTED,
				 "the frontend %s is not supported: the Dockerfile is read by the engine itself",
				 request->frontend);
	}
	return grpc_send(stream, &answer, bk_frontend_response_fields, err);
}

BUILDKIT_CALL(gateway_solve)
{
	AUTO(job_putp) struct job *job = NULL;
	struct bk_frontend_request request = { 0 };
	int r = find_job(&job, context, stream, err);

	if (r == 0)
		r = grpc_receive(stream, &request, bk_frontend_request_fields, err) < 0 ? -1 : 0;
	if (r == 0)
		r = answer_solve(job, &request, stream, err);
	proto_free(&request, bk_frontend_request_fields);
	return r;
}

BUILDKIT_CALL(gateway_return)
{
	AUTO(job_putp) struct job *job = NULL;
	struct bk_return_request request = { 0 };
	const struct bk_frontend_response empty = { 0 };

	if (find_job(&job, context, stream, err) < 0 ||
	    grpc_receive(stream, &request, bk_return_request_fields, err) < 0)
		return -1;
	mutex_lock(&job->mutex);
	if (!job->returned) {
		job->returned = true;
		job->answer = request;
		request = (struct bk_return_request){ 0 };
		job_notify_locked(job);
	}
	mutex_unlock(&job->mutex);
	proto_free(&request, bk_return_request_fields);
	return grpc_send(stream, &empty, bk_frontend_response_fields, err);
}
