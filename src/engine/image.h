/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.h - the verbs on images: list, inspect, history, tag, remove, prune,
 * pull, push, save, load, import. Shapes and sentences are the Docker API's (1.51, the classic
 * image store): an image's id is the digest of its config.
 *
 * `name` is what a user writes: a reference ("debian", "debian:12",
 * "debian@sha256:..."), an id or the start of one. ERR_NOT_FOUND is "No such
 * image: debian:latest". What an image_* function fills is freed with
 * json_free_fields() or json_free_array() and its table.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/filter.h"
#include "oci/digest.h"
#include "oci/image_config.h"
#include "json/json.h"

struct engine;
struct session_settings;

/* ---- what other verbs need: container_create() ---- */

struct image_ready {
	char *id;		/* "sha256:..." */
	char *name;		/* as the user should see it: "debian:12" */
	char *manifest;		/* digest of its manifest, "" if it has none */
	struct digest chain_id; /* for snapshot_create(); not set: no layers */
	struct image_config config;
};

int image_resolve(struct image_ready *out_image, struct engine *engine, const char *name, struct error *err);
void image_ready_fini(struct image_ready *image);

/* ---- list, inspect, history ---- */

/* One item of GET /images/json. */
struct image_summary {
	int64_t containers; /* -1: not counted */
	int64_t created;    /* unix seconds */
	char *id;
	struct text_map labels;
	char *parent_id;
	struct text_list repo_digests;
	struct text_list repo_tags;
	int64_t shared_size; /* -1: not computed */
	int64_t size;
};
extern const struct json_field image_summary_fields[];

struct image_summaries {
	struct image_summary *items;
	size_t count;
};

struct image_list_options {
	bool all;
	bool shared_size;
	bool containers;		  /* count them */
	const struct filter_set *filters; /* NULL: none */
};
/* For filter_set_parse(). */
extern const char *const image_filter_keys[];
extern const char *const image_prune_filter_keys[];

/* Newest first. */
int image_list(struct image_summaries *out_list, struct engine *engine, const struct image_list_options *options,
	       struct error *err);

struct image_driver_data {
	char *lower_dir; /* absent when there is one layer */
	char *merged_dir;
	char *upper_dir;
	char *work_dir;
};
struct image_driver {
	struct image_driver_data data;
	char *name; /* "overlay2" */
};
struct image_layers {
	char *type; /* "layers" */
	struct text_list layers;
};
struct image_metadata {
	char *last_tag_time;
};

/* GET /images/{name}/json. */
struct image_details {
	char *id;
	struct text_list repo_tags;
	struct text_list repo_digests;
	char *parent;
	char *comment;
	char *created;
	char *docker_version;
	char *author;
	struct image_run config;
	char *architecture;
	char *variant;
	char *os;
	char *os_version;
	int64_t size;
	struct image_driver driver;
	struct image_layers root_fs;
	struct image_metadata metadata;
};
extern const struct json_field image_details_fields[];
int image_inspect(struct image_details *out_details, struct engine *engine, const char *name, struct error *err);

/* One item of GET /images/{name}/history, newest first. */
struct image_history_item {
	char *id; /* or "<missing>" */
	int64_t created;
	char *created_by;
	struct text_list tags;
	int64_t size;
	char *comment;
};
extern const struct json_field image_history_item_fields[];
struct image_history_items {
	struct image_history_item *items;
	size_t count;
};
int image_history(struct image_history_items *out_items, struct engine *engine, const char *name, struct error *err);

/* ---- tag, remove, prune ---- */

/* repo "x/y", tag NULL or "": latest. */
int image_tag(struct engine *engine, const char *name, const char *repo, const char *tag, struct error *err);

/* {"Untagged": name} or {"Deleted": id}. */
struct image_removed {
	char *untagged;
	char *deleted;
};
extern const struct json_field image_removed_fields[];
struct image_removals {
	struct image_removed *items;
	size_t count;
};
/* ERR_CONFLICT in docker's words when containers or other names use it. */
int image_remove(struct image_removals *out_removals, struct engine *engine, const char *name, bool force,
		 bool no_prune, struct error *err);

/* Removes an image with all its names, unless a container uses it or somebody names it right now: 1 if it went, 0 not. */
int image_collect(struct engine *engine, const char *id, struct error *err);

struct image_prune_report {
	JSON_ARRAY_OF(struct image_removed) deleted;
	int64_t space_reclaimed;
};
/* {"ImagesDeleted":[...]|null,"SpaceReclaimed":N}. */
extern const struct json_field image_prune_report_fields[];
int image_prune(struct image_prune_report *out_report, struct engine *engine, const struct filter_set *filters,
		struct error *err);

/* ---- pull, import ---- */

/*
 * One JSON object of docker's progress stream, without line end: {"status":"Downloading","progressDetail":{...},
 * "progress":"[==> ]","id":"7264a8db6415"}. May come from several threads, one at a time. Before the first one
 * nothing was decided: a failure then is an ordinary API error; after it, the caller reports it in the stream.
 */
typedef void (*image_progress)(void *arg, const char *json);

struct image_pull_options {
	const char *image;			 /* fromImage: "debian", "debian:12" */
	const char *tag;			 /* "", "12", "sha256:..."; wins over the one in image */
	const char *platform;			 /* "" or NULL: this machine */
	bool whole;				 /* also blobs that are missing although their layers are here */
	const char *auth;			 /* JSON of X-Registry-Auth, decoded; NULL: none */
	const struct session_settings *registry; /* transfer/session.h; NULL: defaults */
	image_progress progress;
	void *progress_arg;
	int cancel_fd; /* or -1 */
};
/* Cut, canceled or killed, it leaves no image; what was received serves the next try. */
int image_pull(struct engine *engine, const struct image_pull_options *options, struct error *err);
/*
 * The images of a list for all (Linux) machines, each under its digest, and the name for this one's, or else the first's:
 * image_push() with all_platforms gives the list to another registry. What is no list is an ordinary pull. Cut, it leaves
 * images that are whole, without the name.
 */
int image_pull_platforms(struct engine *engine, const struct image_pull_options *options, struct error *err);

struct distribution_target {
	char *media_type;
	char *digest;
	int64_t size;
};
/* GET /distribution/{name}/json: what a name means in its registry, and for which machines. */
struct image_distribution {
	struct distribution_target descriptor;
	JSON_ARRAY_OF(struct platform) platforms;
};
extern const struct json_field image_distribution_fields[];
struct image_distribution_options {
	const char *image;
	const char *auth; /* as for pull */
	const struct session_settings *registry;
	int cancel_fd;
};
int image_distribution(struct image_distribution *out, const struct image_distribution_options *options,
		       struct error *err);

struct image_found {
	int64_t stars;
	bool is_official;
	char *name; /* as it can be pulled */
	bool is_automated;
	char *description;
};
struct image_founds {
	struct image_found *items;
	size_t count;
};
extern const struct json_field image_found_fields[];
extern const char *const image_search_filter_keys[];
struct image_search_options {
	const char *term;	   /* "busybox", "host:port/busybox" */
	struct optional_i64 limit; /* 1 to 100; 0 or none: 25 */
	const struct filter_set *filters;
	const char *auth; /* as for pull */
	const struct session_settings *registry;
	int cancel_fd;
};
/* Docker Hub's search; of a registry that has none, the names in its catalog with the term in them. */
int image_search(struct image_founds *out_founds, const struct image_search_options *options, struct error *err);

struct image_push_options {
	const char *image; /* "localhost:5000/web" */
	const char *tag;   /* "" or NULL: all tags, unless image has one */
	const char *auth;  /* as for pull */
	bool all_platforms; /* the list the image was pulled from, with all it names; ERR_NOT_FOUND: not all of that is here */
	const struct session_settings *registry;
	image_progress progress;
	void *progress_arg;
	int cancel_fd;
};
/* Nothing of ours is lost when it fails; what the registry got makes the next try shorter. */
int image_push(struct engine *engine, const struct image_push_options *options, struct error *err);

/* ---- save, load ---- */

enum image_save_form {
	IMAGE_SAVE_BOTH,   /* docker's (manifest.json) and an OCI layout (index.json) at once */
	IMAGE_SAVE_LAYOUT, /* only the second */
};

struct image_record;

struct image_save_options {
	const struct text_list *names;	 /* a repository without a tag means all its tags; an id goes without names */
	const char *platform;		 /* JSON of ?platform=, or "" or NULL */
	const struct image_record *made; /* of image_make_apart(): this one, with the names (NULL: none); or NULL */
	enum image_save_form form;
	/* Takes a piece of the archive; negative with err filled ends it. Not called before everything was found. */
	int (*write)(void *arg, const void *data, size_t size, struct error *err);
	void *write_arg;
};
/* One archive. Layers are as they are stored. */
int image_save(struct engine *engine, const struct image_save_options *options, struct error *err);

struct image_load_options {
	int stream_fd;				    /* tar, plain, gzip or zstd (borrowed) */
	const char *platform;			    /* as above */
	bool quiet;				    /* no progress of layers */
	int (*whole)(void *arg, struct error *err); /* as for import */
	void *whole_arg;
	image_progress progress;
	void *progress_arg;
	int cancel_fd;
};
/*
 * Archives of docker save (old ones too), OCI layouts, and those that are both. Each image is there or not there, with
 * the id that its pull would give. ERR_INVALID names what is wrong with the archive.
 */
int image_load(struct engine *engine, const struct image_load_options *options, struct error *err);

struct image_import_options {
	int stream_fd;	  /* tar, plain or compressed (borrowed) */
	const char *repo; /* "" or NULL: no name */
	const char *tag;
	const char *message;
	const char *platform;
	/* Asked when the stream has ended: 0 if that was all of it. NULL: its end is no question. */
	int (*whole)(void *arg, struct error *err);
	void *whole_arg;
	const struct text_list *changes; /* Dockerfile instructions: "CMD [\"sh\"]"; NULL: none */
	image_progress progress;
	void *progress_arg;
	int cancel_fd;
};
int image_import(struct digest *out_id, struct engine *engine, const struct image_import_options *options,
		 struct error *err);
