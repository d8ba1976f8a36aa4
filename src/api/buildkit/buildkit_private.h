/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buildkit_private.h - what the files of this folder share.
 *
 * Locks: a job's mutex guards the job, buildkit's mutex the lists of jobs and
 * sessions; neither is held while anything is waited for, and buildkit's is
 * taken first.
 */
#pragma once

#include "api/buildkit/buildkit.h"
#include "api/buildkit/messages.h"
#include "base/list.h"
#include "base/thread.h"
#include "builder/attestation.h"
#include "builder/build.h"
#include "builder/look.h"
#include "rpc/grpc.h"

struct buildkit {
	struct engine *engine; /* borrowed */
	struct mutex mutex;
	struct condition changed; /* a session came or went */
	struct list jobs;
	struct list sessions;
	size_t job_count;
};

/* ---- job.c ---- */

struct frontend;

/* A build from the client's first word of it to the last answer; afterwards its history. */
struct job {
	struct list_node node; /* in buildkit->jobs */
	struct buildkit *buildkit;
	char *ref;
	char *session_id;	  /* of the solve */
	struct text_list allowed; /* entitlements of the solve */
	bool inline_cache;	  /* the image gets one */
	bool carries;		  /* an exporter can say something of the image */
	bool clamp;		  /* an exporter of the solve rewrites times */
	unsigned users;		  /* guarded by buildkit's mutex */
	int cancel_fd;		  /* eventfd: POST /build/cancel */
	struct mutex mutex;

	/* guarded by the mutex */
	void (*sink)(void *arg, const void *data, size_t size); /* gets each event; NULL */
	void *sink_arg;
	const struct build_options *body; /* of another request, which waits for the end of the job; NULL */
	struct list watchers;		  /* struct job_watcher */
	bool started;
	bool ended;
	bool told;		    /* a client has read the events to their end */
	bool internal;		    /* not of the history */
	struct proto_bytes *events; /* encoded status responses */
	size_t event_count;
	size_t event_capacity;
	size_t event_bytes;
	bool returned;
	struct bk_return_request answer;
	struct list frontends; /* struct frontend */
	struct bk_history_record record;
};

/* Who waits for news of a job: fd is readable then. */
struct job_watcher {
	struct list_node node;
	struct job *job;
	int fd;
};

/* The job of that name, made if it is not known yet. */
struct job *job_get(struct buildkit *buildkit, const char *ref);
void job_put(struct job *job);
DEFINE_AUTO(struct job, job_put)
/* ERR_CONFLICT if it was started before. */
int job_start(struct job *job, const struct bk_solve_request *request, struct error *err);
/* Frees its frontends as well. */
void job_end(struct job *job, const struct error *err);
/* The job has it now; false: it has ended. */
bool job_add_frontend(struct job *job, struct frontend *frontend);
void job_add_event(struct job *job, const struct bk_status_response *event);
void job_notify_locked(struct job *job);
int job_watcher_init(struct job_watcher *watcher, struct job *job, struct error *err);
void job_watcher_fini(struct job_watcher *watcher);
/* Until there are news; ERR_CANCELED when cancel_fd is readable. */
int job_watcher_wait(struct job_watcher *watcher, int cancel_fd, struct error *err);

/* ---- frontend.c: a Dockerfile that is built ---- */

struct frontend {
	struct list_node node; /* in job->frontends */
	struct job *job;
	char *id;
	struct session *session;
	struct upload_source *upload; /* the context; NULL: it comes in files */
	struct build *build;	      /* the first of: */
	struct build **builds;	      /* one for each platform */
	size_t build_count;
	struct build_options options;
	struct build_options *more_options; /* of the other builds */
	struct build_failure failure;
	struct build_watch watch;
	struct build_client client;
	struct text_map labels;
	struct text_map args;
	struct text_map contexts;
	struct build_caches cache_from;
	struct text_list no_cache_stages;
	struct host_config host;
	char *dockerfile;
	char *target;
	struct text_list platforms;
	bool multi; /* an index is wanted, even of one */
	struct attestation_options attestations;
	struct text_map vcs;
	char *context; /* URL of an upload; NULL */
	char *remote;  /* URL of a context in the network; NULL */
};

/* Builds what the attributes say; the frontend is yours. */
int frontend_solve(struct frontend **out_frontend, struct job *job, const struct text_map *attrs,
		   struct grpc_stream *stream, struct error *err);
/* The same from options that are decoded already. uploaded: the context is their context_fd. */
int frontend_solve_options(struct frontend **out_frontend, struct job *job, const struct build_options *options,
			   bool uploaded, int cancel_fd, struct error *err);
/* A question that builds nothing: "check", "outline", "targets". */
int frontend_ask(struct build_view *out_view, struct job *job, const struct text_map *attrs, const char *call,
		 struct grpc_stream *stream, struct error *err);
void frontend_free(struct frontend *frontend);
DEFINE_AUTO(struct frontend, frontend_free)

/* ---- caches.c ---- */

/* ERR_UNSUPPORTED names what is not. */
int caches_check(const struct bk_solve_request *request, struct error *err);
bool caches_want_inline(const struct bk_solve_request *request);
/* Makes what is not inside of the image; fills what the client is told. */
int caches_export(struct frontend *frontend, const struct bk_solve_request *request, struct text_map *answer,
		  struct error *err);
/* Those that a frontend's attributes name. */
int caches_read(struct build_caches *caches, const struct text_map *attrs, struct error *err);

/* ---- content.c ---- */

/* build_client's open_folder() with a frontend. */
int content_open(void *arg, struct place *out_place, const char *folder, const char *digest, int cancel_fd,
		 struct error *err);

/* ---- exporters.c ---- */

/* What no exporter of ours can do is told before anything is built. */
int exporters_check(const struct bk_solve_request *request, struct error *err);
/* Whether what is said about the image (attestations) can go with it to one of them. */
bool exporters_carry(const struct bk_solve_request *request);
/* Whether one of them wants the times of files rewritten. */
bool exporters_clamp(const struct bk_solve_request *request);
/* Makes what the exporters ask for; fills the response. */
int frontend_export(struct frontend *frontend, const struct bk_solve_request *request,
		    struct bk_solve_response *response, int cancel_fd, struct error *err);
/* JSON of a client's credentials for a registry, as a pull or push wants it; NULL: none. */
char *frontend_credentials(struct frontend *frontend, const char *host, int cancel_fd);

/* ---- session.c ---- */

struct session;

/* Waits for it to come; with_put. */
int session_get(struct session **out_session, struct buildkit *buildkit, const char *id, int cancel_fd,
		struct error *err);
void session_put(struct session *session);
DEFINE_AUTO(struct session, session_put)
struct grpc_connection *session_connection(struct session *session);
/* What the client calls the folder it builds, or "" or NULL. */
const char *session_shared_key(const struct session *session);
void session_accept(struct buildkit *buildkit, const char *id, const char *shared_key,
		    const struct http_stream *stream);

/* ---- filesync.c ---- */

/* Makes a directory equal to the client's. */
int filesync_fill(struct session *session, const struct build_fill *fill, struct error *err);

/* ---- filesend.c ---- */

enum filesend_form {
	FILESEND_LOCAL,	 /* files in the client's directory */
	FILESEND_TAR,	 /* the files as one tar */
	FILESEND_LAYOUT, /* the image as an OCI layout in a tar */
	FILESEND_DOCKER, /* that with docker's manifest.json */
};

struct filesend {
	enum filesend_form form;
	size_t exporter; /* its place in the request */
	/* the last two forms: */
	const struct text_list *tags;
	const struct text_map *annotations;
	struct digest *out_id;
	/* The form LAYOUT with these instead: */
	const struct build_images *images;
	struct build_written *out_written;
};

/* The result to the client. */
int filesend_export(struct frontend *frontend, const struct filesend *wanted, struct error *err);

/* ---- agent.c ---- */

/* build_client's agent_start() with a session, and agent_stop(). */
int agent_start(void **out_server, struct session *session, const char *id, int listen_fd, int cancel_fd,
		struct error *err);
void agent_stop(void *server);

/* ---- upload.c ---- */

/* moby.upload.v1: a tar that the client has on its standard input. */
struct upload_source;
/* Starts a thread that writes what the client sends to the pipe given back. */
int upload_start(struct upload_source **out_source, struct session *session, const char *url, int cancel_fd,
		 struct error *err);
int upload_fd(const struct upload_source *source);
/* After the end of the pipe: whether it was all. */
int upload_whole(struct upload_source *source, struct error *err);
void upload_free(struct upload_source *source);
DEFINE_AUTO(struct upload_source, upload_free)

/* ---- attributes.c ---- */

/* The attributes of a frontend to a build's options. */
int attributes_read(struct frontend *frontend, const struct text_map *attrs, struct error *err);

/* ---- control.c, gateway.c, control_cache.c, history.c: grpc_handlers with a buildkit ---- */

#define BUILDKIT_CALL(name) int name(void *context, struct grpc_stream *stream, struct error *err)

BUILDKIT_CALL(control_solve);
BUILDKIT_CALL(control_status);
BUILDKIT_CALL(control_list_workers);
BUILDKIT_CALL(control_info);
BUILDKIT_CALL(control_disk_usage);
BUILDKIT_CALL(control_prune);
BUILDKIT_CALL(control_history);
BUILDKIT_CALL(gateway_ping);
BUILDKIT_CALL(gateway_solve);
BUILDKIT_CALL(gateway_return);
BUILDKIT_CALL(health_check);
/* Fills what is said of the one worker. */
void control_add_worker(struct bk_worker *worker);
