/* SPDX-License-Identifier: Apache-2.0 */
/* cache_private.h - what the files cache*.c share. */
#pragma once

#include "base/map.h"
#include "base/thread.h"
#include "registryd/cache.h"

#define CACHE_DOCUMENT_MAX (8 * 1024 * 1024)

struct cache {
	struct catalog *catalog; /* borrowed */
	const struct log *log;	 /* borrowed */
	struct upstream_list *upstreams;
	struct mutex lock; /* guards all below, and the blobs */
	struct condition changed;
	struct map blobs; /* "repository@digest" -> struct cache_blob that is being fetched */
	struct map busy;  /* manifests somebody is asking for */
	size_t threads;
};

/* "repository:path:pull" (yours) */
char *cache_scope(const char *path);
/* What a negative upstream_send() means: 0 for "it is not there". */
int cache_judge(const struct fetch_head *head, struct error *err);
