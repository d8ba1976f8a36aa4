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
#include "registryd/catalog_private.h"

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
	/* What each manifest needs, so that what nothing needs can be found without reading them; when it was pushed. */
	"ALTER TABLE blob ADD COLUMN created_ns INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE manifest ADD COLUMN scanned INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE need (repository TEXT NOT NULL, manifest TEXT NOT NULL, digest TEXT NOT NULL, "
	"PRIMARY KEY (repository, manifest, digest)) WITHOUT ROWID;"
	"CREATE INDEX need_digest ON need (repository, digest);",
	/* For rules about the age of tags, and for tags of other registries. */
	("ALTER TABLE tag ADD COLUMN pushed_ns INTEGER NOT NULL DEFAULT 0;"
	 "ALTER TABLE tag ADD COLUMN checked_ns INTEGER NOT NULL DEFAULT 0;"),
	/* For quotas; -1: not known. */
	"ALTER TABLE blob ADD COLUMN size INTEGER NOT NULL DEFAULT -1;",
	/* Digests whose object may be in the object storage although no row needs it; parts: maybe in pieces. */
	"CREATE TABLE unsure (digest TEXT PRIMARY KEY, parts INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;",
};

/* A blob that somebody asks for is young again, at most this often: no write for each request. */
#define TOUCH_NS (60 * CLOCK_SECOND)

#define SELECT_MANIFEST                                                                                                \
	"SELECT m.digest, m.media_type, m.size, m.subject, m.artifact_type, m.annotations FROM manifest m "

/* ---- open ---- */

int catalog_is_known(struct catalog *catalog, const char *digest, struct error *err)
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
	int known = catalog_is_known(catalog, digest_text(digest, text), err);

	(void)size;
	if (known != 0)
		return known < 0 ? -1 : 0;
	return blob_remove(catalog->blobs, digest, err);
}

static int insert_needs(struct catalog *catalog, const char *repository, const char *manifest,
			const struct catalog_needs *needs, struct error *err);

/* ---- manifests of before `need` was kept ---- */

static int run_needs(struct catalog *catalog, const char *repository, const char *digest,
		     const struct manifest *manifest, struct error *err)
{
	struct catalog_needs needs = { 0 };
	int r;

	catalog_needs_of(&needs, manifest);
	needs.must_exist = 0;
	mutex_lock(&catalog->lock);
	r = insert_needs(catalog, repository, digest, &needs, err);
	if (r == 0)
		r = catalog_run_two(catalog, "UPDATE manifest SET scanned = 1 WHERE repository = ?1 AND digest = ?2",
				    repository, digest, err);
	mutex_unlock(&catalog->lock);
	text_list_fini(&needs.digests);
	return r < 0 ? -1 : 0;
}

static int scan_one(struct catalog *catalog, const char *repository, const char *name, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO_FREE char *text = NULL;
	struct digest digest;
	size_t size;

	/* One that cannot be read stays unscanned: nothing is collected in its repository. */
	if (digest_parse(&digest, name, &ignored) < 0 ||
	    blob_read(&text, &size, catalog->blobs, &digest, MANIFEST_SIZE_MAX, &ignored) < 0)
		return 0;
	/* What is no manifest we know of needs nothing that we know of. */
	manifest_decode(&manifest, text, size, NULL, &ignored);
	return run_needs(catalog, repository, name, &manifest, err);
}

static int scan_old(struct catalog *catalog, struct error *err)
{
	AUTO(text_list_fini) struct text_list pairs = { 0 };
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, catalog->database, "SELECT repository, digest FROM manifest WHERE scanned = 0", err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0) {
		text_list_add(&pairs, query_text(query, 0));
		text_list_add(&pairs, query_text(query, 1));
	}
	query_free(take_ptr(query));
	for (size_t i = 0; r == 0 && i < pairs.count; i += 2)
		r = scan_one(catalog, pairs.items[i], pairs.items[i + 1], err);
	return r;
}

void catalog_needs_of(struct catalog_needs *needs, const struct manifest *manifest)
{
	*needs = (struct catalog_needs){ 0 };
	if (manifest->config)
		text_list_add(&needs->digests, manifest->config->digest);
	for (size_t i = 0; i < manifest->layers.count; i++)
		if (!media_type_is_foreign_layer(manifest->layers.items[i].media_type))
			text_list_add(&needs->digests, manifest->layers.items[i].digest);
	needs->must_exist = needs->digests.count;
	for (size_t i = 0; i < manifest->layers.count; i++)
		if (media_type_is_foreign_layer(manifest->layers.items[i].media_type))
			text_list_add(&needs->digests, manifest->layers.items[i].digest);
	for (size_t i = 0; i < manifest->manifests.count; i++)
		text_list_add(&needs->digests, manifest->manifests.items[i].digest);
}

int catalog_open(struct catalog **out_catalog, const char *root, struct error *err)
{
	AUTO(catalog_closep) struct catalog *catalog = xcalloc(1, sizeof(*catalog));
	AUTO_FREE char *path = path_join(root, "registry.db");

	mutex_init(&catalog->lock);
	if (blob_store_open(&catalog->blobs, root, err) < 0 || database_open(&catalog->database, path, err) < 0 ||
	    database_migrate(catalog->database, "registry", steps, sizeof(steps) / sizeof(steps[0]), err) < 0 ||
	    blob_walk(catalog->blobs, drop_unknown, catalog, err) < 0 || scan_old(catalog, err) < 0 ||
	    catalog_count_bytes(catalog, err) < 0)
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

int catalog_run_two(struct catalog *catalog, const char *sql, const char *one, const char *two, struct error *err)
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
	return catalog_run_two(catalog,
			       "SELECT 1 FROM blob WHERE repository = ?1 "
			       "UNION ALL SELECT 1 FROM manifest WHERE repository = ?1 LIMIT 1",
			       repository, NULL, err);
}

int catalog_has_blob(struct catalog *catalog, const char *repository, const struct digest *digest, struct error *err)
{
	char text[DIGEST_TEXT_MAX];

	digest_text(digest, text);
	if (!repository)
		return catalog_run_two(catalog, "SELECT 1 FROM blob WHERE digest = ?1 LIMIT 1", text, NULL, err);
	return catalog_run_two(catalog,
			       "SELECT 1 FROM blob WHERE repository = ?1 AND digest = ?2 "
			       "UNION ALL SELECT 1 FROM manifest WHERE repository = ?1 AND digest = ?2 LIMIT 1",
			       repository, text, err);
}

/* With `lock` held: the bytes cannot go away before the row is there. */
static int must_be_stored(int64_t *out_size, struct catalog *catalog, const struct digest *digest, struct error *err)
{
	uint64_t size = 0;
	int stored = blob_size(&size, catalog->blobs, digest, err);
	char text[DIGEST_TEXT_MAX];

	mutex_assert_held(&catalog->lock);
	if (stored == 0 && catalog->objects)
		stored = catalog_row_size(&size, catalog, digest_text(digest, text), err);
	if (stored == 0)
		return error_set(err, ERR_UNAVAILABLE, "blob %s was deleted meanwhile: push it again",
				 digest_text(digest, text));
	*out_size = (int64_t)size;
	return stored < 0 ? -1 : 0;
}

/* Pushed again, it is as young as one that is new: the collector leaves it for the manifest that is to come. */
static int insert_blob(struct catalog *catalog, const char *repository, const char *digest, int64_t size,
		       struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, catalog->database,
		      "INSERT INTO blob (repository, digest, created_ns, size) VALUES (?1, ?2, ?3, ?4) "
		      "ON CONFLICT DO UPDATE SET created_ns = ?3, size = ?4",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, repository);
	query_bind_text(query, 2, digest);
	query_bind_i64(query, 3, clock_wall_ns());
	query_bind_i64(query, 4, size);
	return query_run(query, err);
}

int catalog_touch_blob(struct catalog *catalog, const char *repository, const struct digest *digest, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int64_t now = clock_wall_ns();
	char text[DIGEST_TEXT_MAX];

	if (query_new(&query, catalog->database,
		      "UPDATE blob SET created_ns = ?3 WHERE repository = ?1 AND digest = ?2 AND created_ns < ?4",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, repository);
	query_bind_text(query, 2, digest_text(digest, text));
	query_bind_i64(query, 3, now);
	query_bind_i64(query, 4, now - TOUCH_NS);
	return query_run(query, err) < 0 ? -1 : 0;
}

int catalog_link_blob(struct catalog *catalog, const char *repository, const struct digest *digest, struct error *err)
{
	AUTO(catalog_hold_fini) struct catalog_hold hold = { 0 };
	AUTO_UNLOCK struct mutex *held = NULL;
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	char text[DIGEST_TEXT_MAX];
	int64_t size = 0;
	int64_t more = 0;

	if (catalog_send_object(&hold, catalog, digest, err) < 0)
		return -1;
	held = mutex_hold(&catalog->lock);
	if (must_be_stored(&size, catalog, digest, err) < 0 ||
	    catalog_check_quota(&more, catalog, repository, digest_text(digest, text), size, err) < 0 ||
	    transaction_begin(&transaction, catalog->database, FILE_SYNC_ALL, err) < 0 ||
	    insert_blob(catalog, repository, text, size, err) < 0 || transaction_commit(transaction, err) < 0)
		return -1;
	catalog->bytes += more;
	return 0;
}

int catalog_adopt_blob(struct catalog *catalog, const char *repository, const struct digest *digest, struct error *err)
{
	AUTO(error_clear) struct error gone = { 0 };
	char text[DIGEST_TEXT_MAX];
	int r = catalog->objects ? 1 : blob_exists(catalog->blobs, digest, err);

	/* A row whose bytes were damaged does not count. */
	if (r <= 0)
		return r;
	r = catalog_has_blob(catalog, repository, digest, err);
	if (r != 0)
		return r;
	r = catalog_run_two(catalog, "SELECT 1 FROM need WHERE repository = ?1 AND digest = ?2 LIMIT 1", repository,
			    digest_text(digest, text), err);
	if (r > 0)
		r = blob_exists(catalog->blobs, digest, err);
	if (r <= 0)
		return r;
	if (catalog_link_blob(catalog, repository, digest, &gone) == 0)
		return 1;
	return gone.kind == ERR_UNAVAILABLE ? 0 : error_move(err, &gone);
}

int catalog_drop_bytes(struct catalog *catalog, const struct digest *digest, bool was_row, struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	uint64_t size = 0;
	int known = catalog_is_known(catalog, digest_text(digest, text), err);

	mutex_assert_held(&catalog->lock);
	if (known != 0)
		return known < 0 ? -1 : 0;
	if (blob_size(&size, catalog->blobs, digest, err) < 0 || blob_remove(catalog->blobs, digest, err) < 0)
		return -1;
	if (was_row)
		catalog->bytes -= (int64_t)size;
	return 0;
}

int catalog_drop_unused(struct catalog *catalog, const struct digest *digest, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&catalog->lock);

	return catalog_drop_bytes(catalog, digest, false, err);
}

int catalog_unlink_blob(struct catalog *catalog, const char *repository, const struct digest *digest, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&catalog->lock);
	char text[DIGEST_TEXT_MAX];
	int changed = catalog_run_two(catalog, "DELETE FROM blob WHERE repository = ?1 AND digest = ?2", repository,
				      digest_text(digest, text), err);

	if (changed <= 0)
		return changed;
	return catalog_drop_bytes(catalog, digest, true, err) < 0 ? -1 : 1;
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
		    "created_ns, scanned) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1) "
		    "ON CONFLICT DO UPDATE SET media_type = ?3, scanned = 1, created_ns = ?8",
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

static int run_three(struct catalog *catalog, const char *sql, const char *one, const char *two, const char *three,
		     struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, catalog->database, sql, err) < 0)
		return -1;
	query_bind_text(query, 1, one);
	query_bind_text(query, 2, two);
	query_bind_text(query, 3, three);
	return text_has_prefix(sql, "SELECT") ? query_next(query, err) : query_run(query, err);
}

/* With the lock: what it needs cannot go any more. missing: ERR_NOT_FOUND. */
static int insert_needs(struct catalog *catalog, const char *repository, const char *manifest,
			const struct catalog_needs *needs, struct error *err)
{
	mutex_assert_held(&catalog->lock);
	for (size_t i = 0; needs && i < needs->digests.count; i++) {
		const char *digest = needs->digests.items[i];
		int r = i < needs->must_exist
				? catalog_run_two(catalog,
						  "SELECT 1 FROM blob WHERE repository = ?1 AND digest = ?2 UNION "
						  "ALL SELECT 1 FROM manifest WHERE repository = ?1 AND digest = ?2",
						  repository, digest, err)
				: 1;

		if (r == 0)
			return error_set(err, ERR_NOT_FOUND, "blob %s is not in this repository", digest);
		if (r < 0 || run_three(catalog, "INSERT OR IGNORE INTO need VALUES (?1, ?2, ?3)", repository, manifest,
				       digest, err) < 0)
			return -1;
	}
	return 0;
}

static int set_tag(struct catalog *catalog, const char *repository, const char *tag, const char *digest,
		   struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, catalog->database,
		      "INSERT INTO tag (repository, name, digest, pushed_ns) VALUES (?1, ?2, ?3, ?4) "
		      "ON CONFLICT DO UPDATE SET digest = ?3, pushed_ns = ?4",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, repository);
	query_bind_text(query, 2, tag);
	query_bind_text(query, 3, digest);
	query_bind_i64(query, 4, clock_wall_ns());
	return query_run(query, err);
}

int catalog_put_manifest(struct catalog *catalog, const char *repository, const struct catalog_manifest *manifest,
			 const struct catalog_needs *needs, const char *tag, struct error *err)
{
	AUTO(catalog_hold_fini) struct catalog_hold hold = { 0 };
	AUTO_UNLOCK struct mutex *held = NULL;
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	char digest[DIGEST_TEXT_MAX];
	int64_t size = 0;
	int64_t more = 0;

	digest_text(&manifest->digest, digest);
	if (catalog_send_object(&hold, catalog, &manifest->digest, err) < 0)
		return -1;
	held = mutex_hold(&catalog->lock);
	if (must_be_stored(&size, catalog, &manifest->digest, err) < 0 ||
	    catalog_check_quota(&more, catalog, repository, digest, size, err) < 0 ||
	    transaction_begin(&transaction, catalog->database, FILE_SYNC_ALL, err) < 0 ||
	    insert_needs(catalog, repository, digest, needs, err) < 0 ||
	    insert_manifest(catalog, repository, manifest, digest, err) < 0 ||
	    (tag && set_tag(catalog, repository, tag, digest, err) < 0) || transaction_commit(transaction, err) < 0)
		return -1;
	catalog->bytes += more;
	return 0;
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
		return catalog_run_two(catalog, "DELETE FROM tag WHERE repository = ?1 AND name = ?2", repository,
				       reference, err);
	if (digest_parse(&digest, reference, err) < 0 ||
	    transaction_begin(&transaction, catalog->database, FILE_SYNC_ALL, err) < 0 ||
	    catalog_run_two(catalog, "DELETE FROM tag WHERE repository = ?1 AND digest = ?2", repository, reference,
			    err) < 0 ||
	    catalog_run_two(catalog, "DELETE FROM need WHERE repository = ?1 AND manifest = ?2", repository, reference,
			    err) < 0)
		return -1;
	changed = catalog_run_two(catalog, "DELETE FROM manifest WHERE repository = ?1 AND digest = ?2", repository,
				  reference, err);
	if (changed < 0 || transaction_commit(transaction, err) < 0)
		return -1;
	return changed > 0 && catalog_drop_bytes(catalog, &digest, true, err) < 0 ? -1 : changed > 0;
}

/* ---- tags of other registries ---- */

int catalog_check_tag(struct catalog *catalog, const char *repository, const char *tag, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, catalog->database, "UPDATE tag SET checked_ns = ?3 WHERE repository = ?1 AND name = ?2",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, repository);
	query_bind_text(query, 2, tag);
	query_bind_i64(query, 3, clock_wall_ns());
	return query_run(query, err) < 0 ? -1 : 0;
}

int catalog_tag_checked(int64_t *out_wall_ns, struct catalog *catalog, const char *repository, const char *tag,
			struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, catalog->database, "SELECT checked_ns FROM tag WHERE repository = ?1 AND name = ?2",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, repository);
	query_bind_text(query, 2, tag);
	r = query_next(query, err);
	*out_wall_ns = r > 0 ? query_i64(query, 0) : 0;
	return r < 0 ? -1 : 0;
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

int catalog_count(struct catalog_counts *out_counts, struct catalog *catalog, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	/* Not while a query holds the database: everybody else takes the two in this order. */
	mutex_lock(&catalog->lock);
	out_counts->bytes = catalog->bytes;
	mutex_unlock(&catalog->lock);
	if (query_new(&query, catalog->database,
		      "SELECT (SELECT count(DISTINCT repository) FROM manifest), (SELECT count(*) FROM manifest), "
		      "(SELECT count(*) FROM tag), (SELECT count(DISTINCT digest) FROM blob)",
		      err) < 0 ||
	    query_next(query, err) < 0)
		return -1;
	out_counts->repositories = query_i64(query, 0);
	out_counts->manifests = query_i64(query, 1);
	out_counts->tags = query_i64(query, 2);
	out_counts->blobs = query_i64(query, 3);
	return 0;
}
