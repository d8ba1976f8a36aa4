/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes, quotas, what expires and what nothing needs. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "registryd/catalog_private.h"
#include "registryd/rules.h"

/* ---- sizes ---- */

static int query_number(int64_t *out_value, struct catalog *catalog, const char *sql, const char *text,
			struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, catalog->database, sql, err) < 0)
		return -1;
	if (text)
		query_bind_text(query, 1, text);
	r = query_next(query, err);
	*out_value = r > 0 ? query_i64(query, 0) : 0;
	return r < 0 ? -1 : 0;
}

static int set_size(struct catalog *catalog, const char *name, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	AUTO(error_clear) struct error ignored = { 0 };
	struct digest digest;
	uint64_t size = 0;

	if (digest_parse(&digest, name, &ignored) == 0 && blob_size(&size, catalog->blobs, &digest, err) < 0)
		return -1;
	if (query_new(&query, catalog->database, "UPDATE blob SET size = ?2 WHERE digest = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, name);
	query_bind_i64(query, 2, (int64_t)size);
	return query_run(query, err) < 0 ? -1 : 0;
}

int catalog_count_bytes(struct catalog *catalog, struct error *err)
{
	AUTO(text_list_fini) struct text_list unknown = { 0 };
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, catalog->database, "SELECT DISTINCT digest FROM blob WHERE size < 0", err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0)
		text_list_add(&unknown, query_text(query, 0));
	query_free(take_ptr(query));
	for (size_t i = 0; r == 0 && i < unknown.count; i++)
		r = set_size(catalog, unknown.items[i], err);
	if (r < 0)
		return -1;
	return query_number(
		&catalog->bytes, catalog,
		"SELECT coalesce(sum(size), 0) FROM (SELECT max(size) AS size FROM (SELECT digest, size FROM "
		"blob UNION ALL SELECT digest, size FROM manifest) GROUP BY digest)",
		NULL, err);
}

/* ---- quotas ---- */

void catalog_set_quota(struct catalog *catalog, const struct quota *quota)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&catalog->lock);

	catalog->quota = quota;
}

static int64_t all_may_have(const struct catalog *catalog)
{
	return catalog->quota && catalog->quota->total ? catalog->quota->total : INT64_MAX;
}

static int64_t may_have(const struct catalog *catalog, const char *repository)
{
	return catalog->quota ? quota_of(catalog->quota, repository) : INT64_MAX;
}

static int has(int64_t *out_bytes, struct catalog *catalog, const char *repository, struct error *err)
{
	return query_number(out_bytes, catalog,
			    "SELECT (SELECT coalesce(sum(size), 0) FROM blob WHERE repository = ?1) + "
			    "(SELECT coalesce(sum(size), 0) FROM manifest WHERE repository = ?1)",
			    repository, err);
}

static int refuse(const char *whose, int64_t bytes, int64_t size, int64_t limit, struct error *err)
{
	return error_set(err, ERR_FORBIDDEN, "quota of %s exceeded: %lld of %lld bytes are used, %lld more do not fit",
			 whose, (long long)bytes, (long long)limit, (long long)size);
}

int catalog_check_quota(int64_t *out_new, struct catalog *catalog, const char *repository, const char *digest,
			int64_t size, struct error *err)
{
	int64_t limit = may_have(catalog, repository);
	int known = catalog_is_known(catalog, digest, err);
	int64_t bytes = 0;
	int here;

	mutex_assert_held(&catalog->lock);
	if (known < 0)
		return -1;
	*out_new = known ? 0 : size;
	if (*out_new > all_may_have(catalog) - catalog->bytes)
		return refuse("this registry", catalog->bytes, size, all_may_have(catalog), err);
	if (limit == INT64_MAX)
		return 0;
	here = catalog_run_two(catalog,
			       "SELECT 1 FROM blob WHERE repository = ?1 AND digest = ?2 UNION ALL "
			       "SELECT 1 FROM manifest WHERE repository = ?1 AND digest = ?2",
			       repository, digest, err);
	if (here != 0)
		return here < 0 ? -1 : 0;
	if (has(&bytes, catalog, repository, err) < 0)
		return -1;
	return size > limit - bytes ? refuse(repository, bytes, size, limit, err) : 0;
}

int catalog_room(uint64_t *out_bytes, struct catalog *catalog, const char *repository, const struct digest *digest,
		 struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&catalog->lock);
	int64_t limit = may_have(catalog, repository);
	int64_t room = all_may_have(catalog) == INT64_MAX ? INT64_MAX : all_may_have(catalog) - catalog->bytes;
	char text[DIGEST_TEXT_MAX];
	int64_t bytes = 0;

	*out_bytes = INT64_MAX;
	if (limit == INT64_MAX && room == INT64_MAX)
		return 0;
	/* What is stored already costs nothing, in all or in this repository. */
	if (digest && catalog_is_known(catalog, digest_text(digest, text), err) > 0)
		room = INT64_MAX;
	if (digest && catalog_has_blob(catalog, repository, digest, err) > 0)
		limit = INT64_MAX;
	if (error_is_set(err) || (limit != INT64_MAX && has(&bytes, catalog, repository, err) < 0))
		return -1;
	if (limit != INT64_MAX && limit - bytes < room)
		room = limit - bytes;
	*out_bytes = room > 0 ? (uint64_t)room : 0;
	return 0;
}

/* ---- tags that expire ---- */

struct expired {
	char *repository;
	char *tag;
	int64_t pushed_ns;
};

struct expired_list {
	struct expired *items;
	size_t count;
	size_t capacity;
};

static void expired_list_fini(struct expired_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].repository);
		free(list->items[i].tag);
	}
	free(list->items);
}

static void judge_tag(struct expired_list *out, const struct retention *retention, size_t *ranks, struct query *query)
{
	const char *repository = query_text(query, 0);
	size_t rule = retention_rule_of(retention, repository, query_text(query, 1));
	int64_t age_s = (clock_wall_ns() - query_i64(query, 3)) / CLOCK_SECOND;

	if (rule == retention->rules.count || !retention_expires(&retention->rules.items[rule], ranks[rule]++, age_s))
		return;
	out->items = xgrow(out->items, &out->capacity, out->count + 1, sizeof(*out->items));
	out->items[out->count++] = (struct expired){ .repository = xstrdup(repository),
						     .tag = query_text_copy(query, 1),
						     .pushed_ns = query_i64(query, 2) };
}

/* Tags come by repository, the newest first; those of before times were kept are as old as their manifest. */
static int find_expired(struct expired_list *out, struct catalog *catalog, const struct retention *retention,
			struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	AUTO_FREE size_t *ranks = xcalloc(retention->rules.count + 1, sizeof(*ranks));
	AUTO_FREE char *last = NULL;
	int r;

	if (query_new(
		    &query, catalog->database,
		    "SELECT t.repository, t.name, t.pushed_ns, CASE WHEN t.pushed_ns > 0 THEN t.pushed_ns ELSE "
		    "m.created_ns END AS since FROM tag t JOIN manifest m ON m.repository = t.repository AND m.digest "
		    "= t.digest ORDER BY t.repository, since DESC, t.name",
		    err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0) {
		if (!text_equal(last, query_text(query, 0))) {
			free(last);
			last = query_text_copy(query, 0);
			for (size_t i = 0; i < retention->rules.count; i++)
				ranks[i] = 0;
		}
		judge_tag(out, retention, ranks, query);
	}
	return r;
}

/* Unless it was pushed again meanwhile. */
static int drop_tag(struct catalog *catalog, const struct expired *tag, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, catalog->database,
		      "DELETE FROM tag WHERE repository = ?1 AND name = ?2 AND pushed_ns = ?3", err) < 0)
		return -1;
	query_bind_text(query, 1, tag->repository);
	query_bind_text(query, 2, tag->tag);
	query_bind_i64(query, 3, tag->pushed_ns);
	return query_run(query, err);
}

int catalog_expire(struct catalog *catalog, const struct retention *retention,
		   void (*on_expired)(void *arg, const char *repository, const char *tag), void *arg, struct error *err)
{
	AUTO(expired_list_fini) struct expired_list list = { 0 };

	if (retention->rules.count == 0)
		return 0;
	if (find_expired(&list, catalog, retention, err) < 0)
		return -1;
	for (size_t i = 0; i < list.count; i++) {
		int r = retention->dry_run ? 1 : drop_tag(catalog, &list.items[i], err);

		if (r < 0)
			return -1;
		if (r > 0)
			on_expired(arg, list.items[i].repository, list.items[i].tag);
	}
	return 0;
}

/* ---- collection ---- */

/* Digests of rows that a condition names; ?1: what is younger stays. */
static int list_old(struct text_list *out_pairs, struct catalog *catalog, const char *sql, int64_t before_ns,
		    struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, catalog->database, sql, err) < 0)
		return -1;
	query_bind_i64(query, 1, before_ns);
	while ((r = query_next(query, err)) > 0) {
		text_list_add(out_pairs, query_text(query, 0));
		text_list_add(out_pairs, query_text(query, 1));
	}
	return r;
}

/* One thing: looked at again with the lock, since a push may have come to need it. */
static int collect_blob(struct catalog *catalog, const char *repository, const char *name, int64_t before_ns,
			struct catalog_garbage *garbage, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&catalog->lock);
	AUTO(query_freep) struct query *query = NULL;
	struct digest digest;
	uint64_t size = 0;
	int r;

	if (query_new(&query, catalog->database,
		      "DELETE FROM blob AS b WHERE repository = ?2 AND digest = ?3 AND created_ns < ?1" NOT_NEEDED("b"),
		      err) < 0)
		return -1;
	query_bind_i64(query, 1, before_ns);
	query_bind_text(query, 2, repository);
	query_bind_text(query, 3, name);
	r = query_run(query, err);
	if (r <= 0 || digest_parse(&digest, name, err) < 0)
		return r < 0 ? -1 : 0;
	if (blob_size(&size, catalog->blobs, &digest, err) < 0)
		return -1;
	garbage->blobs++;
	garbage->bytes += size;
	return catalog_drop_bytes(catalog, &digest, true, err);
}

static int collect_manifests(struct catalog *catalog, int64_t before_ns, bool all, const struct retention *retention,
			     struct catalog_garbage *garbage, struct error *err)
{
	AUTO(text_list_fini) struct text_list pairs = { 0 };

	/* A referrer lives as long as what it speaks of; what an index names, as long as the index. */
	if (list_old(&pairs, catalog,
		     "SELECT repository, digest FROM manifest AS m WHERE created_ns < ?1 AND NOT EXISTS (SELECT 1 FROM "
		     "tag t WHERE t.repository = m.repository AND t.digest = m.digest) AND NOT EXISTS (SELECT 1 FROM "
		     "manifest s WHERE s.repository = m.repository AND s.digest = m.subject)" NOT_NEEDED("m")
			     WHOLLY_KNOWN("m"),
		     before_ns, err) < 0)
		return -1;
	for (size_t i = 0; i < pairs.count; i += 2) {
		int r = 0;

		if (all || retention_drops_untagged(retention, pairs.items[i]))
			r = catalog_remove_manifest(catalog, pairs.items[i], pairs.items[i + 1], err);
		if (r < 0)
			return -1;
		garbage->manifests += (uint64_t)r;
	}
	return 0;
}

int catalog_collect(struct catalog_garbage *out_garbage, struct catalog *catalog, int64_t delay_s, bool untagged,
		    const struct retention *retention, struct error *err)
{
	AUTO(text_list_fini) struct text_list pairs = { 0 };
	int64_t before_ns = clock_wall_ns() - delay_s * CLOCK_SECOND;
	struct catalog_garbage garbage = { 0 };
	int r = untagged || (retention->rules.count && !retention->dry_run)
			? collect_manifests(catalog, before_ns, untagged, retention, &garbage, err)
			: 0;

	if (r == 0)
		r = list_old(&pairs, catalog,
			     "SELECT repository, digest FROM blob AS b WHERE created_ns < ?1" NOT_NEEDED("b")
				     WHOLLY_KNOWN("b"),
			     before_ns, err);
	for (size_t i = 0; r == 0 && i < pairs.count; i += 2)
		r = collect_blob(catalog, pairs.items[i], pairs.items[i + 1], before_ns, &garbage, err);
	*out_garbage = garbage;
	if (r == 0) {
		/* What was found damaged and then removed has left the sum too large. */
		AUTO_UNLOCK struct mutex *held = mutex_hold(&catalog->lock);

		r = catalog_count_bytes(catalog, err);
	}
	return r;
}
