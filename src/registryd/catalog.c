/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: bytes first, row second; removal the other way round. Only the
 * step "last row gone, so the bytes go" and the step "bytes are there, so a row
 * may come" exclude each other, by `lock`. Lock order: lock -> database.
 */
#include "registryd/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/path.h"
#include "base/thread.h"
#include "store/database.h"

struct catalog {
	struct blob_store *blobs;
	struct database *database;
	struct mutex lock;
};

static const char *const steps[] = {
	"CREATE TABLE blob (repository TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (repository, digest)) "
	"WITHOUT ROWID;"
	"CREATE INDEX blob_digest ON blob (digest);"
	"CREATE TABLE manifest (repository TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, "
	"size INTEGER NOT NULL, subject TEXT, artifact_type TEXT, annotations TEXT, created_ns INTEGER NOT NULL, "
	"PRIMARY KEY (repository, digest)) WITHOUT ROWID;"
	"CREATE INDEX manifest_digest ON manifest (digest);"
	"CREATE INDEX manifest_subject ON manifest (repository, subject) WHERE subject IS NOT NULL;"
	"CREATE TABLE tag (repository TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, "
	"PRIMARY KEY (repository, name)) WITHOUT ROWID;"
	"CREATE INDEX tag_digest ON tag (repository, digest);",
};

#define SELECT_MANIFEST                                                                                                \
	"SELECT m.digest, m.media_type, m.size, m.subject, m.artifact_type, m.annotations FROM manifest m "

/* ---- open ---- */

static int is_known(struct catalog *catalog, const char *digest, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, catalog->database,
		      "SELECT 1 FROM blob WHERE digest = ?1 UNION ALL SELECT 1 FROM manifest WHERE digest = ?1 LIMIT 1",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, digest);
	return query_next(query, err);
}

static int drop_unknown(void *arg, const struct digest *digest, uint64_t size, struct error *err)
{
	struct catalog *catalog = arg;
	char text[DIGEST_TEXT_MAX];
	int known = is_known(catalog, digest_text(digest, text), err);

	(void)size;
	if (known != 0)
		return known < 0 ? -1 : 0;
	return blob_remove(catalog->blobs, digest, err);
}

int catalog_open(struct catalog **out_catalog, const char *root, struct error *err)
{
	AUTO(catalog_closep) struct catalog *catalog = xcalloc(1, sizeof(*catalog));
	AUTO_FREE char *path = path_join(root, "registry.db");

	mutex_init(&catalog->lock);
	if (blob_store_open(&catalog->blobs, root, err) < 0 || database_open(&catalog->database, path, err) < 0 ||
	    database_migrate(catalog->database, "registry", steps, sizeof(steps) / sizeof(steps[0]), err) < 0 ||
	    blob_walk(catalog->blobs, drop_unknown, catalog, err) < 0)
		return -1;
	*out_catalog = take_ptr(catalog);
	return 0;
}

void catalog_close(struct catalog *catalog)
{
	if (!catalog)
		return;
	database_close(catalog->database);
	blob_store_close(catalog->blobs);
	mutex_fini(&catalog->lock);
	free(catalog);
}

struct blob_store *catalog_blobs(struct catalog *catalog)
{
	return catalog->blobs;
}

/* ---- blobs ---- */

/* One statement with up to two texts; for SELECT: 1 if there was a row. */
static int run_two(struct catalog *catalog, const char *sql, const char *one, const char *two, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, catalog->database, sql, err) < 0)
		return -1;
	query_bind_text(query, 1, one);
	if (two)
		query_bind_text(query, 2, two);
	return text_has_prefix(sql, "SELECT") ? query_next(query, err) : query_run(query, err);
}

int catalog_has_repository(struct catalog *catalog, const char *repository, struct error *err)
{
	return run_two(catalog,
		       "SELECT 1 FROM blob WHERE repository = ?1 "
		       "UNION ALL SELECT 1 FROM manifest WHERE repository = ?1 LIMIT 1",
		       repository, NULL, err);
}

int catalog_has_blob(struct catalog *catalog, const char *repository, const struct digest *digest, struct error *err)
{
	char text[DIGEST_TEXT_MAX];

	digest_text(digest, text);
	if (!repository)
		return run_two(catalog, "SELECT 1 FROM blob WHERE digest = ?1 LIMIT 1", text, NULL, err);
	return run_two(catalog,
		       "SELECT 1 FROM blob WHERE repository = ?1 AND digest = ?2 "
		       "UNION ALL SELECT 1 FROM manifest WHERE repository = ?1 AND digest = ?2 LIMIT 1",
		       repository, text, err);
}

/* With `lock` held: the bytes cannot go away before the row is there. */
static int must_be_stored(struct catalog *catalog, const struct digest *digest, struct error *err)
{
	int stored = blob_exists(catalog->blobs, digest, err);
	char text[DIGEST_TEXT_MAX];

	mutex_assert_held(&catalog->lock);
	if (stored == 0)
		return error_set(err, ERR_UNAVAILABLE, "blob %s was deleted meanwhile: push it again",
				 digest_text(digest, text));
	return stored < 0 ? -1 : 0;
}

int catalog_link_blob(struct catalog *catalog, const char *repository, const struct digest *digest, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&catalog->lock);
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	char text[DIGEST_TEXT_MAX];

	if (must_be_stored(catalog, digest, err) < 0 ||
	    transaction_begin(&transaction, catalog->database, FILE_SYNC_ALL, err) < 0 ||
	    run_two(catalog, "INSERT OR IGNORE INTO blob (repository, digest) VALUES (?1, ?2)", repository,
		    digest_text(digest, text), err) < 0)
		return -1;
	return transaction_commit(transaction, err);
}

/* The row is gone; the bytes too if it was the last. */
static int drop_bytes(struct catalog *catalog, const struct digest *digest, struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	int known = is_known(catalog, digest_text(digest, text), err);

	mutex_assert_held(&catalog->lock);
	if (known == 0 && blob_remove(catalog->blobs, digest, err) < 0)
		return -1;
	return known < 0 ? -1 : 0;
}

int catalog_unlink_blob(struct catalog *catalog, const char *repository, const struct digest *digest, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&catalog->lock);
	char text[DIGEST_TEXT_MAX];
	int changed = run_two(catalog, "DELETE FROM blob WHERE repository = ?1 AND digest = ?2", repository,
			      digest_text(digest, text), err);

	if (changed <= 0)
		return changed;
	return drop_bytes(catalog, digest, err) < 0 ? -1 : 1;
}

/* ---- manifests ---- */

void catalog_manifest_fini(struct catalog_manifest *manifest)
{
	free(manifest->media_type);
	free(manifest->subject);
	free(manifest->artifact_type);
	free(manifest->annotations);
	*manifest = (struct catalog_manifest){ 0 };
}

static int insert_manifest(struct catalog *catalog, const char *repository, const struct catalog_manifest *manifest,
			   const char *digest, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(
		    &query, catalog->database,
		    "INSERT INTO manifest (repository, digest, media_type, size, subject, artifact_type, annotations, "
		    "created_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET media_type = ?3",
		    err) < 0)
		return -1;
	query_bind_text(query, 1, repository);
	query_bind_text(query, 2, digest);
	query_bind_text(query, 3, manifest->media_type);
	query_bind_i64(query, 4, manifest->size);
	query_bind_text(query, 5, manifest->subject);
	query_bind_text(query, 6, manifest->artifact_type);
	query_bind_text(query, 7, manifest->annotations);
	query_bind_i64(query, 8, clock_wall_ns());
	return query_run(query, err);
}

static int set_tag(struct catalog *catalog, const char *repository, const char *tag, const char *digest,
		   struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, catalog->database,
		      "INSERT INTO tag (repository, name, digest) VALUES (?1, ?2, ?3) "
		      "ON CONFLICT DO UPDATE SET digest = ?3",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, repository);
	query_bind_text(query, 2, tag);
	query_bind_text(query, 3, digest);
	return query_run(query, err);
}

int catalog_put_manifest(struct catalog *catalog, const char *repository, const struct catalog_manifest *manifest,
			 const char *tag, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&catalog->lock);
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	char digest[DIGEST_TEXT_MAX];

	digest_text(&manifest->digest, digest);
	if (must_be_stored(catalog, &manifest->digest, err) < 0 ||
	    transaction_begin(&transaction, catalog->database, FILE_SYNC_ALL, err) < 0 ||
	    insert_manifest(catalog, repository, manifest, digest, err) < 0 ||
	    (tag && set_tag(catalog, repository, tag, digest, err) < 0))
		return -1;
	return transaction_commit(transaction, err);
}

static int read_manifest(struct catalog_manifest *out_manifest, struct query *query, struct error *err)
{
	if (digest_parse(&out_manifest->digest, query_text(query, 0), err) < 0)
		return error_prefix(err, "registry.db");
	out_manifest->media_type = query_text_copy(query, 1);
	out_manifest->size = query_i64(query, 2);
	out_manifest->subject = query_text_copy(query, 3);
	out_manifest->artifact_type = query_text_copy(query, 4);
	out_manifest->annotations = query_text_copy(query, 5);
	return 0;
}

int catalog_find_manifest(struct catalog_manifest *out_manifest, struct catalog *catalog, const char *repository,
			  const char *reference, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	const char *sql = strchr(reference, ':') ? SELECT_MANIFEST "WHERE m.repository = ?1 AND m.digest = ?2"
						 : SELECT_MANIFEST
				  "JOIN tag t ON t.repository = m.repository AND t.digest = m.digest "
				  "WHERE t.repository = ?1 AND t.name = ?2";
	int r;

	*out_manifest = (struct catalog_manifest){ 0 };
	if (query_new(&query, catalog->database, sql, err) < 0)
		return -1;
	query_bind_text(query, 1, repository);
	query_bind_text(query, 2, reference);
	r = query_next(query, err);
	if (r <= 0)
		return r;
	return read_manifest(out_manifest, query, err) < 0 ? -1 : 1;
}

int catalog_remove_manifest(struct catalog *catalog, const char *repository, const char *reference, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&catalog->lock);
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	struct digest digest;
	int changed;

	if (!strchr(reference, ':'))
		return run_two(catalog, "DELETE FROM tag WHERE repository = ?1 AND name = ?2", repository, reference,
			       err);
	if (digest_parse(&digest, reference, err) < 0 ||
	    transaction_begin(&transaction, catalog->database, FILE_SYNC_ALL, err) < 0 ||
	    run_two(catalog, "DELETE FROM tag WHERE repository = ?1 AND digest = ?2", repository, reference, err) < 0)
		return -1;
	changed = run_two(catalog, "DELETE FROM manifest WHERE repository = ?1 AND digest = ?2", repository, reference,
			  err);
	if (changed < 0 || transaction_commit(transaction, err) < 0)
		return -1;
	return changed > 0 && drop_bytes(catalog, &digest, err) < 0 ? -1 : changed > 0;
}

/* ---- lists ---- */

static int list_names(struct text_list *out_names, struct query *query, const char *last, int64_t limit,
		      struct error *err)
{
	int r;

	query_bind_text(query, 1, text_or_empty(last));
	query_bind_i64(query, 2, limit);
	while ((r = query_next(query, err)) > 0)
		text_list_add(out_names, query_text(query, 0));
	return r;
}

int catalog_tags(struct text_list *out_names, struct catalog *catalog, const char *repository, const char *last,
		 int64_t limit, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, catalog->database,
		      "SELECT name FROM tag WHERE name > ?1 AND repository = ?3 ORDER BY name LIMIT ?2", err) < 0)
		return -1;
	query_bind_text(query, 3, repository);
	return list_names(out_names, query, last, limit, err);
}

int catalog_repositories(struct text_list *out_names, struct catalog *catalog, const char *last, int64_t limit,
			 struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, catalog->database,
		      "SELECT DISTINCT repository FROM manifest WHERE repository > ?1 ORDER BY repository LIMIT ?2",
		      err) < 0)
		return -1;
	return list_names(out_names, query, last, limit, err);
}

int catalog_referrers(struct catalog *catalog, const char *repository, const char *subject, catalog_visit visit,
		      void *arg, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, catalog->database,
		      SELECT_MANIFEST "WHERE m.repository = ?1 AND m.subject = ?2 ORDER BY m.created_ns, m.digest",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, repository);
	query_bind_text(query, 2, subject);
	while ((r = query_next(query, err)) > 0) {
		AUTO(catalog_manifest_fini) struct catalog_manifest manifest = { 0 };

		if (read_manifest(&manifest, query, err) < 0)
			return -1;
		visit(arg, &manifest);
	}
	return r;
}
