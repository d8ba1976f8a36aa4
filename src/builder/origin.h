/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin.h - files from the network: what ADD names by URL, and contexts that
 * are no folder; inside builder/ only.
 *
 * origin_resolve() says what is there now, as a digest: asked of the server
 * unless a checksum or a commit pins it. origin_open() has the files. Both are
 * done once. What came is kept in the store (kept_context.h) and asked for again
 * with its ETag. Threads: one at a time.
 */
#pragma once

#include "builder/build_private.h"
#include "builder/git_ref.h"

struct origin {
	struct build *build;
	char *url;	/* of a file; NULL: a repository */
	char *name;	/* of that file */
	char *pattern;	/* that names it */
	char *checksum; /* "sha256:...", of a file; NULL */
	struct git_ref git;
	bool resolved;
	bool opened;
	struct digest digest;
	char *commit;		       /* of a repository, once resolved */
	struct kept_context *kept;     /* where the files are, */
	struct layer_writer *scratch;  /* or here, if another build has that */
	struct layer_writer *unpacked; /* origin_unpack(): an archive's files; NULL: it is none */
	int fd;			       /* the directory that is copied from; owned */
};

/* A file: name NULL is the URL's own. checksum NULL: none. */
int origin_new_url(struct origin **out_origin, struct build *build, const char *url, const char *name,
		   const char *checksum, struct error *err);
/* A repository; *ref is moved. */
int origin_new_git(struct origin **out_origin, struct build *build, struct git_ref *ref, struct error *err);
void origin_free(struct origin *origin);
DEFINE_AUTO(struct origin, origin_free)

int origin_resolve(struct origin *origin, struct error *err);
/* The directory (borrowed): of a file, with nothing else in it. */
int origin_open(struct origin *origin, struct error *err);

/* What a context names: 1; 0 if that is nothing of the network. */
int origin_find(struct origin **out_origin, struct build *build, const char *text, struct error *err);
/* The directory as a context (borrowed): an archive is unpacked. */
int origin_unpack(struct origin *origin, struct error *err);
/* That directory again, once it is there. */
int origin_fd(const struct origin *origin);
/* What is copied from there, as a pattern (borrowed). */
const char *origin_source(const struct origin *origin);

/* ---- origin.c for its parts ---- */

/* A folder of this key that stays, or one that goes with the build; borrowed. */
int origin_folder(struct origin *origin, const char *key, struct error *err);
/* A secret of the build that becomes a header: 1; 0 if there is none of that id. Yours. */
int origin_secret(char **out_secret, const struct origin *origin, const char *id, struct error *err);

/* ---- origin_url.c ---- */

int origin_url_resolve(struct origin *origin, struct error *err);
int origin_url_open(struct origin *origin, struct error *err);

/* ---- origin_git.c ---- */

int origin_git_resolve(struct origin *origin, struct error *err);
int origin_git_open(struct origin *origin, struct error *err);
