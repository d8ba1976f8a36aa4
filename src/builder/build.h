/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.h - a Dockerfile and a context to an image, in the words of docker's
 * classic builder (POST /build).
 *
 * Before the first message nothing was done: a failure then is an ordinary
 * error (ERR_INVALID: the Dockerfile or an option is wrong). After it the
 * caller reports the failure in the stream. Canceled, failed or killed, a build
 * leaves no process and no image; finished steps stay in the cache.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "engine/container_config.h"
#include "oci/digest.h"

struct engine;
struct session_settings;

struct build_options {
	int context_fd; /* tar, plain or compressed (borrowed) */
	/* Asked when the stream has ended: 0 if that was all of it. */
	int (*whole)(void *arg, struct error *err);
	void *whole_arg;
	const char *dockerfile;	      /* path in the context; "" or NULL: Dockerfile */
	const struct text_list *tags; /* "name[:tag]" */
	const struct text_map *labels;
	const struct text_map *args;	/* values of --build-arg */
	const struct text_map *secrets; /* id -> bytes in base64; NULL: none */
	const char *target;		/* stage; "" or NULL: the last */
	const char *platform;		/* "" or NULL: this machine */
	bool no_cache;
	bool cache_from;   /* images were named to take steps from: a warning says that it is not done */
	bool pull;	   /* ask the registry even if the image is here */
	bool remove;	   /* the containers of RUN steps, when all went well */
	bool force_remove; /* also when it did not */
	bool quiet;
	bool squash;			/* one layer above the base */
	const struct host_config *host; /* limits, network mode, extra hosts, ... of RUN steps */
	const char *registry_config;	/* JSON of X-Registry-Config, decoded; NULL: none */
	const struct session_settings *registry;
	/* One JSON object without line end. */
	void (*send)(void *arg, const char *json);
	void *send_arg;
	int cancel_fd;
};

struct build_failure {
	int64_t code; /* of the RUN step that failed; 0: something else */
};

int build_run(struct digest *out_id, struct build_failure *out_failure, struct engine *engine,
	      const struct build_options *options, struct error *err);
