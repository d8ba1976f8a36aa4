/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog.h - what the registry has: which blob, manifest and tag belongs to
 * which repository. The bytes are in store/blob.h; this is the database.
 *
 * A repository exists as soon as something is in it. A row is made after its
 * bytes are whole and synced, so what was acknowledged survives kill -9 and
 * power loss. Threads: share it freely.
 */
#pragma once

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "oci/digest.h"
#include "oci/manifest.h"
#include "registryd/rules.h"
#include "store/blob.h"

struct catalog;

/* Opens <root>, and drops blobs nobody refers to (uploads that were not finished). */
int catalog_open(struct catalog **out_catalog, const char *root, struct error *err);
void catalog_close(struct catalog *catalog);
DEFINE_AUTO(struct catalog, catalog_close)
/* Borrowed. */
struct blob_store *catalog_blobs(struct catalog *catalog);

/* All find and exist functions: 1, 0, or negative. */
int catalog_has_repository(struct catalog *catalog, const char *repository, struct error *err);
/* repository NULL: in any. */
int catalog_has_blob(struct catalog *catalog, const char *repository, const struct digest *digest, struct error *err);
/* The bytes must be stored: ERR_UNAVAILABLE if they were deleted meanwhile. */
int catalog_link_blob(struct catalog *catalog, const char *repository, const struct digest *digest, struct error *err);
/* Links it if its bytes are here and a manifest of the repository needs it: 1. Also 1 if it is there already. */
int catalog_adopt_blob(struct catalog *catalog, const char *repository, const struct digest *digest, struct error *err);
/* Somebody relies on it: it counts as new. */
int catalog_touch_blob(struct catalog *catalog, const char *repository, const struct digest *digest, struct error *err);
/* 1 if it was there. The bytes go when no repository has them. */
int catalog_unlink_blob(struct catalog *catalog, const char *repository, const struct digest *digest,
			struct error *err);

struct catalog_manifest {
	struct digest digest;
	char *media_type;
	int64_t size;
	char *subject;	     /* digest, or NULL */
	char *artifact_type; /* or NULL */
	char *annotations;   /* JSON object, or NULL */
};

void catalog_manifest_fini(struct catalog_manifest *manifest);
/* What a manifest needs to be of use: the collector keeps it. */
struct catalog_needs {
	struct text_list digests; /* owned */
	size_t must_exist;	  /* so many of them must be in the repository; the others may come later */
};
/* Config, layers and manifests it names. */
void catalog_needs_of(struct catalog_needs *needs, const struct manifest *manifest);

/*
 * Adds it, and with a tag names it, in one step. The bytes must be stored. ERR_NOT_FOUND if something it needs is not
 * there (any more). needs may be NULL.
 */
int catalog_put_manifest(struct catalog *catalog, const char *repository, const struct catalog_manifest *manifest,
			 const struct catalog_needs *needs, const char *tag, struct error *err);
/* reference: a tag or a digest. */
int catalog_find_manifest(struct catalog_manifest *out_manifest, struct catalog *catalog, const char *repository,
			  const char *reference, struct error *err);
/* A tag of another registry is what it is here, now. */
int catalog_check_tag(struct catalog *catalog, const char *repository, const char *tag, struct error *err);
/* When that was last so, 0 for never. */
int catalog_tag_checked(int64_t *out_wall_ns, struct catalog *catalog, const char *repository, const char *tag,
			struct error *err);
/* 1 if it was there; a digest takes its tags along. */
int catalog_remove_manifest(struct catalog *catalog, const char *repository, const char *reference, struct error *err);

/* Sorted names behind `last` (may be NULL), at most `limit`. */
int catalog_tags(struct text_list *out_names, struct catalog *catalog, const char *repository, const char *last,
		 int64_t limit, struct error *err);
int catalog_repositories(struct text_list *out_names, struct catalog *catalog, const char *last, int64_t limit,
			 struct error *err);

/* Calls visit for each manifest whose subject is this digest. */
typedef void (*catalog_visit)(void *arg, const struct catalog_manifest *manifest);
int catalog_referrers(struct catalog *catalog, const char *repository, const char *subject, catalog_visit visit,
		      void *arg, struct error *err);

/* Bytes that were stored for a row that then did not come. */
int catalog_drop_unused(struct catalog *catalog, const struct digest *digest, struct error *err);

struct catalog_garbage {
	uint64_t manifests;
	uint64_t blobs;
	uint64_t bytes;
};

/*
 * Drops blobs that no manifest of their repository needs and that are older than delay_s; with `untagged`, or where a
 * rule says so, also manifests without a tag that nothing refers to. Beside pushes: nothing an accepted manifest needs ever goes.
 */
int catalog_collect(struct catalog_garbage *out_garbage, struct catalog *catalog, int64_t delay_s, bool untagged,
		    const struct retention *retention, struct error *err);

/* Drops the tags that expire (dry_run: none), and tells of each. */
int catalog_expire(struct catalog *catalog, const struct retention *retention,
		   void (*on_expired)(void *arg, const char *repository, const char *tag), void *arg,
		   struct error *err);

/* Borrowed, NULL: none. From then on what does not fit is refused with ERR_FORBIDDEN, when its row would come. */
void catalog_set_quota(struct catalog *catalog, const struct quota *quota);
/* How many bytes of a blob (digest NULL: not known yet) fit into a repository; INT64_MAX if nothing limits them. */
int catalog_room(uint64_t *out_bytes, struct catalog *catalog, const char *repository, const struct digest *digest,
		 struct error *err);

/* ---- an object storage behind the folder: see objects.h ---- */

struct objects;

/* Borrowed; before anything else. */
int catalog_set_objects(struct catalog *catalog, struct objects *objects, struct error *err);
struct objects *catalog_objects(const struct catalog *catalog);
/* Of a blob that is in the folder or the storage: 1, or 0 if it is in neither. */
int catalog_blob_size(uint64_t *out_size, struct catalog *catalog, const struct digest *digest, struct error *err);
/* A manifest's bytes, proven; yours. */
int catalog_read(char **out_text, size_t *out_size, struct catalog *catalog, const struct digest *digest, size_t limit,
		 struct error *err);
/* A copy of an object came into the folder. */
void catalog_folder_grew(struct catalog *catalog);
/* Removes from the storage what lost its last row, and from the folder what is more than it may keep. */
int catalog_tidy(struct catalog *catalog, struct error *err);

struct catalog_counts {
	int64_t repositories;
	int64_t manifests;
	int64_t tags;
	int64_t blobs;
	int64_t bytes; /* of blobs and manifests, each once */
};
int catalog_count(struct catalog_counts *out_counts, struct catalog *catalog, struct error *err);
