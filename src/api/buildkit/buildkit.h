/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buildkit.h - BuildKit's protocol on the engine's socket: POST /grpc and POST
 * /session, both turned into HTTP/2.
 *
 * On /grpc we are the gRPC server (control.c, gateway.c), on /session the client
 * of what the command line offers for its builds: files, credentials, secrets
 * (session.c, filesync.c). A build is a job under the client's own name, known
 * to both (job.c). Threads: share freely.
 */
#pragma once

#include "base/cleanup.h"
#include "engine/engine.h"
#include "http/server.h"
#include "json/json.h"

struct buildkit;

/* The engine is borrowed. */
struct buildkit *buildkit_new(struct engine *engine);
/* After the server has ended: nothing may be connected any more. */
void buildkit_free(struct buildkit *buildkit);
DEFINE_AUTO(struct buildkit, buildkit_free)

int buildkit_grpc(struct buildkit *buildkit, struct http_request *request, struct http_response *response,
		  struct error *err);
int buildkit_session(struct buildkit *buildkit, struct http_request *request, struct http_response *response,
		     struct error *err);

struct build_options;

/* POST /build?version=2 of older clients. */
struct buildkit_build {
	const char *ref;		     /* the client's name for it */
	const char *session;		     /* where its files come from */
	const char *outputs;		     /* JSON; NULL or "": the image */
	bool uploaded;			     /* the context comes in a request of its own */
	const struct build_options *options; /* the query's; `send` gets progress and the image's id */
};
int buildkit_build(struct buildkit *buildkit, const struct buildkit_build *build, struct error *err);
/* That request: the body of these options is the context of the build `ref`; returns when it is over. */
int buildkit_upload(struct buildkit *buildkit, const char *ref, const struct build_options *body, struct error *err);
/* A build of the classic builder goes into the history as well: give its end to buildkit_record_end(). */
struct job;
struct build_counts;
struct job *buildkit_record_begin(struct buildkit *buildkit, const struct build_options *options);
void buildkit_record_end(struct job *job, const struct build_counts *counts, const struct error *err);

/* One build that runs or is over, newest last; free with json_free_array(). */
struct build_record {
	char *ref;
	char *name;   /* what it made, or its Dockerfile */
	char *status; /* "Running", "Completed", "Error", "Canceled" */
	char *error;
	char *created_at;
	char *completed_at; /* "": not yet */
	int64_t cached_steps;
	int64_t completed_steps;
	int64_t total_steps;
};
extern const struct json_field build_record_fields[];
struct build_records {
	struct build_record *items;
	size_t count;
};
void buildkit_records(struct build_records *out_records, struct buildkit *buildkit);

/* POST /build/cancel: of a build by its client's name; one that is not known is none of ours. */
void buildkit_cancel(struct buildkit *buildkit, const char *ref);
