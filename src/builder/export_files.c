/* SPDX-License-Identifier: Apache-2.0 */
/* What was built as plain files: kist-archive reads a snapshot above the target's layers. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/random.h"
#include "builder/build_private.h"
#include "engine/archive.h"
#include "store/snapshot.h"

int build_export_shown(struct build *build, const char *name, int (*run)(void *arg, struct error *err), void *arg,
		       struct error *err)
{
	struct build_vertex vertex;
	int r;

	vertex_begin(build, &vertex, name);
	r = run(arg, err);
	vertex_end(build, &vertex, r < 0 ? err : NULL);
	return r;
}

void build_show_part(struct build *build, const char *name, int64_t started_ns, int64_t current, bool completed)
{
	vertex_part(build, name, started_ns, current, completed);
}

static int read_snapshot(struct build *build, const char *key, int (*take)(void *arg, int fd, struct error *err),
			 void *arg, struct error *err)
{
	AUTO(archive_freep) struct archive *archive = NULL;

	if (archive_export_snapshot(&archive, build->engine, key, build->epoch_s, err) < 0 ||
	    take(arg, archive_output_fd(archive), err) < 0)
		return -1;
	return archive_finish(archive, build->options->cancel_fd, err);
}

int build_read_files(struct build *build, int (*take)(void *arg, int fd, struct error *err), void *arg,
		     struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *key = NULL;
	char hex[33];
	int r;

	random_hex(hex, 16);
	key = xasprintf("build-%s", hex);
	if (snapshot_create(build->store, key, &build->target->rootfs->result.chain_id, err) < 0)
		return -1;
	r = read_snapshot(build, key, take, arg, err);
	snapshot_remove(build->store, key, &ignored);
	return r;
}
