/* SPDX-License-Identifier: Apache-2.0 */
/* moby.buildkit.v1.Control: builds, their progress, what we are. */
#include <string.h>

#include "api/buildkit/buildkit_private.h"
#include "base/alloc.h"
#include "oci/platform.h"

/* The protocol's own version, which clients look at; what we are is in the revision. */
#define BUILDKIT_VERSION "v0.25.1"

static struct bk_version version_text(void)
{
	return (struct bk_version){ .package = xstrdup("kist"),
				    .version = xstrdup(BUILDKIT_VERSION),
				    .revision = xstrdup(KIST_VERSION) };
}

void control_add_worker(struct bk_worker *worker)
{
	AUTO(platform_fini) struct platform host = { 0 };
	struct bk_platform *platform = xcalloc(1, sizeof(*platform));

	platform_host(&host);
	*platform = (struct bk_platform){ .architecture = xstrdup(host.architecture), .os = xstrdup(host.os) };
	/* amd64's levels say what the machine can do; clients know the plain name. */
	if (!text_equal(host.architecture, "amd64"))
		platform->variant = xstrdup(host.variant);
	worker->id = xstrdup("default");
	text_map_set(&worker->labels, "org.mobyproject.buildkit.worker.executor", "kist");
	/* By this clients know that archives and pushes come from the builder itself. */
	text_map_set(&worker->labels, "org.mobyproject.buildkit.worker.snapshotter", "overlayfs");
	worker->platforms.items = platform;
	worker->platforms.count = 1;
	worker->version = version_text();
}

BUILDKIT_CALL(control_list_workers)
{
	struct bk_workers answer = { .records = { xcalloc(1, sizeof(struct bk_worker)), 1 } };
	int r;

	(void)context;
	control_add_worker(answer.records.items);
	r = grpc_send(stream, &answer, bk_workers_fields, err);
	proto_free(&answer, bk_workers_fields);
	return r;
}

BUILDKIT_CALL(control_info)
{
	struct bk_info answer = { .version = version_text() };
	int r = grpc_send(stream, &answer, bk_info_fields, err);

	(void)context;
	proto_free(&answer, bk_info_fields);
	return r;
}

/* grpc.health.v1: 1 is SERVING. */
BUILDKIT_CALL(health_check)
{
	(void)context;
	return grpc_send_bytes(stream, "\x08\x01", 2, err);
}

/* ---- Solve ---- */

/* What the client decided through the gateway: a build of this job, none, or its error. */
static int wait_return(struct frontend **out_frontend, struct job *job, struct grpc_stream *stream, struct error *err)
{
	AUTO(job_watcher_fini) struct job_watcher watcher = { 0 };
	bool returned = false;
	int r = 0;

	if (job_watcher_init(&watcher, job, err) < 0)
		return -1;
	for (;;) {
		mutex_lock(&job->mutex);
		returned = job->returned;
		mutex_unlock(&job->mutex);
		if (returned)
			break;
		if (job_watcher_wait(&watcher, grpc_cancel_fd(stream), err) < 0)
			return -1;
	}
	mutex_lock(&job->mutex);
	if (job->answer.error.code != 0) {
		for (size_t i = 0; i < job->answer.error.details.count; i++) {
			const struct bk_any *any = &job->answer.error.details.items[i];

			grpc_add_detail(stream, text_or_empty(any->type_url), any->value.data, any->value.size);
		}
		r = error_set(err, job->answer.error.code == 1 ? ERR_CANCELED : ERR_INTERNAL, "%s",
			      text_or_empty(job->answer.error.message));
	}
	LIST_FOR_EACH (node, &job->frontends) {
		struct frontend *frontend = list_entry(node, struct frontend, node);

		if (text_equal(frontend->id, job->answer.result.ref.id) ||
		    text_equal(frontend->id, job->answer.result.old_ref))
			*out_frontend = frontend;
	}
	mutex_unlock(&job->mutex);
	return r;
}

/* As dockerd does by default: the host's network may be given to a build, more may not. */
static int check_entitlements(const struct text_list *entitlements, struct error *err)
{
	for (size_t i = 0; i < entitlements->count; i++)
		if (!text_equal(entitlements->items[i], "network.host"))
			return error_set(err, ERR_FORBIDDEN,
					 "granting entitlement %s is not allowed by build daemon configuration",
					 entitlements->items[i]);
	return 0;
}

static int solve(struct job *job, const struct bk_solve_request *request, struct grpc_stream *stream,
		 struct bk_solve_response *response, struct error *err)
{
	AUTO(frontend_freep) struct frontend *own = NULL;
	struct frontend *frontend = NULL;

	if (check_entitlements(&request->entitlements, err) < 0 || exporters_check(request, err) < 0 ||
	    caches_check(request, err) < 0)
		return -1;
	if (text_equal(request->frontend, "dockerfile.v0")) {
		if (frontend_solve(&own, job, &request->frontend_attrs, stream, err) < 0)
			return -1;
		frontend = own;
	} else if (!text_empty(request->frontend)) {
		return error_set(err, ERR_UNSUPPORTED, "unknown frontend %s", request->frontend);
	} else if (request->definition.size > 0) {
		return error_set(err, ERR_UNSUPPORTED, "building from LLB is not supported: use a Dockerfile");
	} else if (wait_return(&frontend, job, stream, err) < 0) {
		return -1;
	}
	if (!frontend)
		return 0;
	if (frontend_export(frontend, request, response, grpc_cancel_fd(stream), err) < 0)
		return -1;
	return caches_export(frontend, request, &response->exporter_response, err);
}

BUILDKIT_CALL(control_solve)
{
	AUTO(job_putp) struct job *job = NULL;
	struct bk_solve_request request = { 0 };
	struct bk_solve_response response = { 0 };
	int r = grpc_receive(stream, &request, bk_solve_request_fields, err);

	if (r <= 0)
		return r < 0 ? -1 : error_set(err, ERR_INVALID, "there is no request");
	job = job_get(context, text_or_empty(request.ref));
	r = job_start(job, &request, err);
	if (r == 0) {
		r = solve(job, &request, stream, &response, err);
		job_end(job, err);
		if (r == 0)
			r = grpc_send(stream, &response, bk_solve_response_fields, err);
	}
	proto_free(&request, bk_solve_request_fields);
	proto_free(&response, bk_solve_response_fields);
	return r;
}

/* ---- Status ---- */

/* The next event, copied; 1, 0 if there is none now, -1 if none will come. */
static int next_event(struct text *out, struct job *job, size_t *at)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&job->mutex);

	if (*at < job->event_count) {
		text_reset(out);
		text_add_bytes(out, job->events[*at].data, job->events[*at].size);
		(*at)++;
		return 1;
	}
	job->told = job->ended;
	return job->ended ? -1 : 0;
}

BUILDKIT_CALL(control_status)
{
	AUTO(job_putp) struct job *job = NULL;
	AUTO(job_watcher_fini) struct job_watcher watcher = { 0 };
	AUTO(text_fini) struct text event = { 0 };
	struct bk_status_request request = { 0 };
	size_t at = 0;
	int r = grpc_receive(stream, &request, bk_status_request_fields, err);

	if (r <= 0)
		return r < 0 ? -1 : error_set(err, ERR_INVALID, "there is no request");
	job = job_get(context, text_or_empty(request.ref));
	proto_free(&request, bk_status_request_fields);
	if (job_watcher_init(&watcher, job, err) < 0)
		return -1;
	while ((r = next_event(&event, job, &at)) >= 0) {
		if (r > 0 && grpc_send_bytes(stream, event.data, event.size, err) < 0)
			return -1;
		if (r == 0 && job_watcher_wait(&watcher, grpc_cancel_fd(stream), err) < 0)
			return -1;
	}
	return 0;
}
