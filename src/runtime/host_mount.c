/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "runtime/mount_option.h"
#include "sys/in_root.h"
#include "sys/mount_api.h"

char *host_mount_source(const struct plan *plan, const struct spec_mount *mount)
{
	const char *source = text_or_empty(mount->source);

	return *source == '/' ? xstrdup(source) : path_join(plan->record->bundle, source);
}

static struct idmap_range *ranges_of(const spec_id_mappings *mappings)
{
	struct idmap_range *ranges = xcalloc(mappings->count + 1, sizeof(*ranges));

	for (size_t i = 0; i < mappings->count; i++)
		ranges[i] = (struct idmap_range){ mappings->items[i].container_id, mappings->items[i].host_id,
						  mappings->items[i].size };
	return ranges;
}

/* A copy of the user namespace that is joined, or -1. */
static int joined_userns(const struct plan *plan)
{
	for (size_t i = 0; i < plan->join_count; i++)
		if (plan->joins[i].flag & CLONE_NEWUSER)
			return fcntl(plan->joins[i].fd, F_DUPFD_CLOEXEC, 3);
	return -1;
}

/* Without maps of its own, an id-mapped mount takes those of the container. */
static int apply_idmap(const struct plan *plan, const struct spec_mount *mount, const struct mount_options *options,
		       int fd, struct error *err)
{
	AUTO_FREE struct idmap_range *uids = ranges_of(&mount->uid_mappings);
	AUTO_FREE struct idmap_range *gids = ranges_of(&mount->gid_mappings);
	struct idmap map = { uids, mount->uid_mappings.count, gids, mount->gid_mappings.count };
	AUTO_CLOSE int userns = -1;
	int r;

	if (!map.uid_count)
		map = plan->idmap;
	if (!map.uid_count)
		userns = joined_userns(plan);
	if (!map.uid_count && userns < 0)
		return error_set(err, ERR_INVALID,
				 "mount %s: idmap without uidMappings needs a user namespace with mappings",
				 mount->destination);
	if (userns < 0)
		userns = idmap_namespace(&map, err);
	if (userns < 0)
		return -1;
	r = mount_idmap(fd, options->recursive_idmap, userns);
	if (r < 0)
		return error_set_errno(err, ERR_UNSUPPORTED, r, "mount %s: id-mapped mount of %s", mount->destination,
				       mount->source);
	return 0;
}

bool host_mount_is_mapped(const struct spec_mount *mount, const struct mount_options *options)
{
	return options->idmap || mount->uid_mappings.count;
}

int host_mount_clone(const char *source, const struct mount_options *options)
{
	AUTO_CLOSE int base = -1;
	AUTO_CLOSE int fd = -1;

	if (!options->subpath)
		return mount_clone(AT_FDCWD, source, options->recursive_bind);
	base = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (base < 0)
		return -errno;
	/* Whoever writes there must not choose what of the host is bound. */
	fd = openat2_resolve(base, options->subpath, O_PATH | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
	return fd < 0 ? fd : mount_clone(fd, "", options->recursive_bind);
}

const char *host_mount_source_in_root(const struct plan *plan, const char *source)
{
	const char *rest = plan->rootfs ? text_after(source, plan->rootfs) : NULL;

	return rest && (*rest == '/' || *rest == '\0') ? rest : NULL;
}

int host_mount_apply_idmap(const struct plan *plan, size_t index, int fd, struct error *err)
{
	AUTO(mount_options_fini) struct mount_options options = { 0 };
	const struct spec_mount *mount = &plan->spec->mounts.items[index];

	if (mount_options_parse(&options, &mount->options, err) < 0)
		return error_prefix(err, "mount %s", mount->destination);
	return apply_idmap(plan, mount, &options, fd, err);
}

static int open_source(const struct plan *plan, const struct spec_mount *mount, bool all, int *out_fd,
		       struct error *err)
{
	AUTO(mount_options_fini) struct mount_options options = { 0 };
	AUTO_FREE char *source = NULL;
	AUTO_CLOSE int fd = -1;
	bool mapped;

	if (mount_options_parse(&options, &mount->options, err) < 0)
		return error_prefix(err, "mount %s", mount->destination);
	mapped = host_mount_is_mapped(mount, &options);
	/* Without privileges nobody can open a tree here; init can, in the user namespace that makes it privileged. */
	if (!options.bind || (!all && !mapped && (!(plan->new_namespaces & CLONE_NEWUSER) || geteuid() != 0)))
		return 0;
	source = host_mount_source(plan, mount);
	if (!all && host_mount_source_in_root(plan, source))
		return 0;
	fd = host_mount_clone(source, &options);
	if (fd < 0)
		return error_set_errno(err, ERR_INVALID, fd, "mount %s: source %s", mount->destination, source);
	if (mapped && apply_idmap(plan, mount, &options, fd, err) < 0)
		return -1;
	*out_fd = take_fd(&fd);
	return 0;
}

int host_mount_open_sources(struct plan *plan, bool all, struct error *err)
{
	size_t count = plan->spec->mounts.count;

	plan->mount_fds = xcalloc(count + 1, sizeof(int));
	for (size_t i = 0; i < count; i++)
		plan->mount_fds[i] = -1;
	for (size_t i = 0; i < count; i++)
		if (open_source(plan, &plan->spec->mounts.items[i], all, &plan->mount_fds[i], err) < 0)
			return -1;
	return 0;
}

void host_mount_close(struct plan *plan)
{
	for (size_t i = 0; plan->mount_fds && i < plan->spec->mounts.count; i++)
		if (plan->mount_fds[i] >= 0)
			close(plan->mount_fds[i]);
	free(plan->mount_fds);
	plan->mount_fds = NULL;
}
