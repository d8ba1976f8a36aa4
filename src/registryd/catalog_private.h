/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_private.h - what the files catalog*.c share. */
#pragma once

#include <stdatomic.h>

#include "base/thread.h"
#include "registryd/catalog.h"
#include "store/database.h"

struct catalog {
	struct blob_store *blobs;
	struct database *database;
	struct mutex lock;
	const struct quota *quota; /* borrowed; guarded by lock, as is: */
	int64_t bytes;		   /* of all rows, each digest once */
	struct objects *objects;   /* borrowed; NULL: the folder is all there is */
	atomic_bool folder_grew;   /* since it was last looked at for what is more than it may keep */
};

#define WHOLLY_KNOWN(row)                                                                                              \
	" AND NOT EXISTS (SELECT 1 FROM manifest u WHERE u.repository = " row ".repository AND u.scanned = 0)"
#define NOT_NEEDED(row)                                                                                                \
	" AND NOT EXISTS (SELECT 1 FROM need n WHERE n.repository = " row ".repository AND n.digest = " row ".digest)"

/* catalog.c: the row is gone; the bytes too if it was the last. was_row false: it never had one. With the lock. */
int catalog_drop_bytes(struct catalog *catalog, const struct digest *digest, bool was_row, struct error *err);
/* Is there any row of this digest? */
int catalog_is_known(struct catalog *catalog, const char *digest, struct error *err);
/* One statement with up to two texts; for SELECT: 1 if there was a row. */
int catalog_run_two(struct catalog *catalog, const char *sql, const char *one, const char *two, struct error *err);

/* Of a row with this digest: 1, or 0 if there is none. */
int catalog_row_size(uint64_t *out_size, struct catalog *catalog, const char *digest, struct error *err);

/* catalog_objects.c: held until the row is made; see objects_hold(). */
struct catalog_hold {
	struct objects *objects; /* NULL: nothing is held */
	struct digest digest;
};
void catalog_hold_fini(struct catalog_hold *hold);
/*
 * Puts a blob that no row speaks of into the object storage, if there is one. Written down first: whatever becomes of us
 * before there is a row, catalog_tidy() finds it.
 */
int catalog_send_object(struct catalog_hold *out_hold, struct catalog *catalog, const struct digest *digest,
			struct error *err);

/* catalog_rules.c: sizes of rows of before they were kept, and their sum. */
int catalog_count_bytes(struct catalog *catalog, struct error *err);
/*
 * With the lock, before a row of `size` bytes comes into this repository: ERR_FORBIDDEN if that is more than it may
 * have. *out_new: so many bytes more there are in all once it is there.
 */
int catalog_check_quota(int64_t *out_new, struct catalog *catalog, const char *repository, const char *digest,
			int64_t size, struct error *err);
