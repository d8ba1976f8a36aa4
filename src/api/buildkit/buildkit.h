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
/* POST /build/cancel: of a build by its client's name; one that is not known is none of ours. */
void buildkit_cancel(struct buildkit *buildkit, const char *ref);
