/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.h - a Dockerfile and a context to an image, in the words of docker's
 * classic builder (POST /build).
 *
 * Before the first message nothing was done: a failure then is an ordinary
 * error (ERR_INVALID: the Dockerfile or an option is wrong). After it the
 * caller reports the failure in the stream. Canceled, failed or killed, a build
 * leaves no process and no image; finished steps stay in the cache.
 *
 * With `client` the context is asked for in parts, and with `watch` progress is
 * told in BuildKit's words instead of messages.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "engine/container_config.h"
#include "oci/digest.h"

struct build;
struct engine;
struct session_settings;

/* One operation, told when it is known, has begun and has ended. */
struct build_vertex {
	char id[DIGEST_TEXT_MAX];
	const char *name;     /* "[2/3] RUN make" */
	int64_t started_ns;   /* 0: not yet */
	int64_t completed_ns; /* 0: not yet */
	bool cached;
	const char *error; /* NULL: none */
};

/* A part of an operation: "transferring context:", bytes or done. */
struct build_progress {
	const char *vertex;
	const char *name;
	int64_t current;
	int64_t total; /* 0: not known */
	int64_t started_ns;
	int64_t completed_ns;
};

/* Something in the Dockerfile that is seldom meant (check.h). */
struct build_warning {
	const char *vertex; /* that loaded the Dockerfile */
	const char *text;   /* "StageNameCasing: Stage name 'X' should be lowercase (line 1)" */
	const char *detail;
	const char *url; /* or "" */
	const char *path;
	const char *dockerfile;
	unsigned first; /* lines */
	unsigned last;
};

/* Called by any thread, by several at once while steps run. */
struct build_watch {
	void *arg;
	void (*vertex)(void *arg, const struct build_vertex *vertex);
	void (*progress)(void *arg, const struct build_progress *progress);
	void (*log)(void *arg, const char *vertex, int stream, const void *data, size_t size);
	void (*warning)(void *arg, const struct build_warning *warning);
};

/* Wanted: files of a client's directory in one of ours. */
struct build_fill {
	const char *source;		 /* "dockerfile", "context" */
	int directory_fd;		 /* made equal to what the client has */
	bool add;			 /* what is there already stays */
	const struct text_list *paths;	 /* only these, links followed; NULL: all */
	const struct text_list *ignored; /* lines of .dockerignore; NULL: none */
	void (*progress)(void *arg, int64_t bytes);
	void *progress_arg;
	int cancel_fd;
};

struct place;

/* --cache-from, --cache-to */
struct build_cache {
	char *type;	       /* "registry", "local", "inline" */
	struct text_map attrs; /* registry: ref; local: dest, or src and digest; mode, compression, ... */
};
struct build_caches {
	struct build_cache *items;
	size_t count;
	size_t capacity;
};
/* One more, empty. */
struct build_cache *build_caches_add(struct build_caches *caches, const char *type);
void build_caches_fini(struct build_caches *caches);

/* Whoever wants the build can be asked for what it needs, by several threads at once. */
struct build_client {
	void *arg;
	int (*fill)(void *arg, const struct build_fill *fill, struct error *err); /* NULL: all is in context_fd */
	const char *folder; /* names the client's folder, the same in every build of it; NULL or "": no name */
	/* 1 and the bytes (yours, with a NUL behind them); 0: it has no such secret. */
	int (*secret)(void *arg, const char *id, int cancel_fd, char **out_data, size_t *out_size, struct error *err);
	/*
	 * Answers on a listening socket (borrowed) as the client's ssh agent of that id, until agent_stop().
	 * 0: the client has none.
	 */
	int (*agent_start)(void *arg, const char *id, int listen_fd, int cancel_fd, void **out_agent,
			   struct error *err);
	void (*agent_stop)(void *agent);
	/* The JSON a pull wants for the registry at this host, yours; NULL: none. */
	char *(*credentials)(void *arg, const char *host, int cancel_fd);
	/* A content store in the client's folder of that name (place.h), at the document with that digest. NULL: none. */
	int (*open_folder)(void *arg, struct place *out_place, const char *folder, const char *digest, int cancel_fd,
			   struct error *err);
};

/* Steps that make files. */
struct build_counts {
	int32_t total;
	int32_t cached;
	int32_t completed;
};

struct build_options {
	int context_fd; /* tar, plain or compressed (borrowed) */
	/* Asked when the stream has ended: 0 if that was all of it. */
	int (*whole)(void *arg, struct error *err);
	void *whole_arg;
	const char *remote;  /* the context: a repository, or the URL of an archive or a Dockerfile; "" or NULL: none */
	bool own_dockerfile; /* with remote: the Dockerfile comes from the client nevertheless */
	const char *dockerfile;	      /* path in the context; "" or NULL: Dockerfile */
	const struct text_list *tags; /* "name[:tag]" */
	const struct text_map *labels;
	const struct text_map *args;	 /* values of --build-arg */
	const struct text_map *contexts; /* name -> "docker-image://...", "local:<source>" or as remote; NULL: none */
	const struct text_map *secrets;	 /* id -> bytes in base64; NULL: none */
	const char *target;		 /* stage; "" or NULL: the last */
	const char *platform;		 /* "" or NULL: this machine */
	const struct build_caches *cache_from; /* may answer for steps; NULL: none */
	bool inline_cache;		       /* the image gets one */
	bool clamp; /* with SOURCE_DATE_EPOCH: later times of files in new layers become that one */
	const struct attestation_options *attestations; /* attestation.h; NULL: nothing is said */
	const struct text_map *vcs;			/* "source", "revision" of the context; NULL */
	bool show_platform;				/* several are built: operations say for which */
	struct build *first;				/* whose context_fd is taken; NULL: our own */
	const struct text_list *allowed;		/* entitlements: "network.host"; NULL: all that there are */
	bool no_cache;
	const struct text_list *no_cache_stages; /* only their steps are run again; NULL: none */
	struct build_counts *counts;		 /* filled; NULL: nobody asks */
	bool pull;				 /* ask the registry even if the image is here */
	bool remove;				 /* the containers of RUN steps, when all went well */
	bool force_remove;			 /* also when it did not */
	bool quiet;
	bool squash;			/* one layer above the base */
	bool confined;			/* no step may ask for the host's network */
	const struct host_config *host; /* limits, network mode, extra hosts, ... of RUN steps */
	const char *registry_config;	/* JSON of X-Registry-Config, decoded; NULL: none */
	const struct session_settings *registry;
	/* One JSON object without line end; called by the thread that builds. */
	void (*send)(void *arg, const char *json);
	void *send_arg;
	const struct build_watch *watch;   /* NULL: messages to send */
	const struct build_client *client; /* NULL: everything comes in context_fd */
	int cancel_fd;
};

struct build_failure {
	int64_t code;	/* of the RUN step that failed; 0: something else */
	unsigned first; /* lines of the Dockerfile; 0: none in particular */
	unsigned last;
	char container[DIGEST_TEXT_MAX]; /* what the RUN step left, to be looked at; "": none */
};

int build_run(struct digest *out_id, struct build_failure *out_failure, struct engine *engine,
	      const struct build_options *options, struct error *err);

/* ---- the same in two parts: what is built may be exported later, several times or never ---- */

/* The options, the failure and everything they point at must outlive the build; cancel_fd may change in between. */
struct build *build_new(struct engine *engine, const struct build_options *options, struct build_failure *failure);
void build_free(struct build *build);
DEFINE_AUTO(struct build, build_free)
int build_solve(struct build *build, struct error *err);
/* Instead of solving: a question about the Dockerfile (look.h), which is asked for as for a build. */
struct build_view;
int build_ask(struct build_view *out_view, struct build *build, const char *call, struct error *err);
/* The image, with these names; annotations: of its manifest, NULL: none. */
int build_export(struct digest *out_id, struct build *build, const struct text_list *tags,
		 const struct text_map *annotations, struct error *err);
/* The image as an archive, stored nowhere: an OCI layout, or docker's form as well. */
struct build_archive {
	bool docker;
	const struct text_list *tags;
	const struct text_map *annotations; /* NULL: none */
	int (*write)(void *arg, const void *data, size_t size, struct error *err);
	void *arg;
};
int build_write_archive(struct digest *out_id, struct build *build, const struct build_archive *archive,
			struct error *err);
/* Results as registries and layouts have them: with an index where there are several, or where something is said of them. */
struct build_images {
	struct build *const *builds; /* one for each platform; solved */
	size_t count;
	bool multi;				  /* an index, even of one */
	bool is_quiet;				  /* nothing is said of them */
	bool is_inline;				  /* what is said only of images that are stored or pushed, is said */
	const struct text_list *names;		  /* as the user writes them; NULL: none */
	const struct text_map *annotations;	  /* of each manifest; NULL: none */
	const struct text_map *index_annotations; /* NULL: none */
	const struct layer_form *form;		  /* engine/layer_parts.h; NULL: as they are stored */
};
struct build_written {
	struct digest digest;
	struct digest config; /* of the only image; not set: there is an index */
	char *descriptor;     /* JSON in base64 */
};
bool build_images_need_index(const struct build_images *wanted);
int build_write_images(struct build_written *out_written, const struct build_images *wanted, const struct place *place,
		       struct error *err);
/*
 * Here: each image, this machine's (or else the first) with the names; an index of them is kept, by which
 * image_push() with all_platforms gives all of them to a registry.
 */
int build_store_images(struct build_written *out_written, const struct build_images *wanted,
		       const struct text_list *tags, struct error *err);
/* To a registry, under each name; what is stored here is known by that digest then. */
int build_push_images(struct build_written *out_written, const struct build_images *wanted,
		      const struct text_list *tags, struct error *err);
void build_written_fini(struct build_written *written);
/*
 * What the builds' steps gave, for others; *out_manifest (yours): a descriptor in JSON. place: where type=local goes
 * (borrowed), NULL: the client's open_folder().
 */
int build_export_cache(char **out_manifest, const struct build_images *images, const struct build_cache *to,
		       struct place *place, struct error *err);
/* Whether that is possible, before anything is built. ERR_UNSUPPORTED names what is not. */
int build_check_cache_export(const struct build_cache *to, struct error *err);
int build_check_cache_import(const struct build_cache *from, struct error *err);
/* Something else is made of the result: `run` shown as one operation. */
int build_export_shown(struct build *build, const char *name, int (*run)(void *arg, struct error *err), void *arg,
		       struct error *err);
/* The result's files as a tar stream, which `take` reads to its end. */
int build_read_files(struct build *build, int (*take)(void *arg, int fd, struct error *err), void *arg,
		     struct error *err);
/* A part of what is shown now, as struct build_progress. */
void build_show_part(struct build *build, const char *name, int64_t started_ns, int64_t current, bool completed);
/* The Dockerfile, once it was read (borrowed); NULL before. */
const char *build_dockerfile(const struct build *build, const char **out_path);
