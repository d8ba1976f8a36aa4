/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "engine/image_mount.h"
#include "engine/spec.h"

static struct spec_mount *add_mount(struct spec *spec, const char *destination, const char *type, const char *source,
				    const char *options)
{
	struct spec_mount *mount = json_array_add(&spec->mounts, sizeof(*mount));

	mount->destination = xstrdup(destination);
	mount->type = xstrdup(type);
	mount->source = xstrdup(source);
	text_list_split(&mount->options, options, ',');
	return mount;
}

static bool is_host_mode(const char *mode)
{
	return text_equal(mode, "host");
}

static void add_shm(struct spec *spec, const struct spec_input *input)
{
	const struct host_config *host = &input->document->host;
	AUTO_FREE char *options = NULL;
	int64_t size = host->shm_size ? host->shm_size : input->shm_size_bytes;

	if (text_equal(host->ipc_mode, "none"))
		return;
	if (is_host_mode(host->ipc_mode)) {
		add_mount(spec, "/dev/shm", "bind", "/dev/shm", "rbind,rprivate");
	} else if (input->shm_path) {
		add_mount(spec, "/dev/shm", "bind", input->shm_path, "rbind,rprivate,nosuid,noexec,nodev");
	} else {
		options = xasprintf("nosuid,noexec,nodev,mode=1777,size=%lld", (long long)size);
		add_mount(spec, "/dev/shm", "tmpfs", "shm", options);
	}
}

/* In the order of docker's default specification. */
static void add_defaults(struct spec *spec, const struct spec_input *input)
{
	const struct host_config *host = &input->document->host;
	const char *access = host->privileged ? "rw" : "ro";
	AUTO_FREE char *sys_options = xasprintf("nosuid,noexec,nodev,%s", access);
	AUTO_FREE char *cgroup_options = xasprintf("%s,nosuid,noexec,nodev", access);

	add_mount(spec, "/proc", "proc", "proc", "nosuid,noexec,nodev");
	add_mount(spec, "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k");
	add_mount(spec, "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
	add_mount(spec, "/sys", "sysfs", "sysfs", sys_options);
	add_mount(spec, "/sys/fs/cgroup", "cgroup", "cgroup", cgroup_options);
	if (is_host_mode(host->ipc_mode))
		add_mount(spec, "/dev/mqueue", "bind", "/dev/mqueue", "rbind,rprivate");
	else
		add_mount(spec, "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev");
	add_shm(spec, input);
}

static void remove_destination(struct spec *spec, const char *destination)
{
	for (size_t i = 0; i < spec->mounts.count; i++) {
		struct spec_mount *mount = &spec->mounts.items[i];

		if (!text_equal(mount->destination, destination))
			continue;
		free(mount->destination);
		free(mount->type);
		free(mount->source);
		text_list_fini(&mount->options);
		memmove(mount, mount + 1, (spec->mounts.count - i - 1) * sizeof(*mount));
		spec->mounts.count--;
		i--;
	}
}

static void add_bind_options(struct text_list *options, const struct container_mount *mount)
{
	text_list_add(options, mount->non_recursive ? "bind" : "rbind");
	if (!mount->rw) {
		/* docker: as recursive as the kernel can (rro), unless asked otherwise. */
		text_list_add(options, "ro");
		if (!mount->read_only_top && !mount->non_recursive)
			text_list_add(options, "rro");
	}
	text_list_add(options, text_empty(mount->propagation) ? "rprivate" : mount->propagation);
}

static bool opposes(const char *option, const char *other)
{
	static const char *const pairs[][2] = {
		{ "exec", "noexec" }, { "suid", "nosuid" },   { "dev", "nodev" },	    { "rw", "ro" },
		{ "async", "sync" },  { "atime", "noatime" }, { "diratime", "nodiratime" },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if ((text_equal(option, pairs[i][0]) && text_equal(other, pairs[i][1])) ||
		    (text_equal(option, pairs[i][1]) && text_equal(other, pairs[i][0])))
			return true;
	return false;
}

/* The user's words win over the default ones they contradict. */
static void add_tmpfs_options(struct text_list *options, const struct container_mount *mount)
{
	static const char *const defaults[] = { "noexec", "nosuid", "nodev" };

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		text_list_add(options, defaults[i]);
	if (!mount->rw && !text_list_contains(&mount->options, "ro"))
		text_list_add(options, "ro");
	for (size_t i = 0; i < mount->options.count; i++) {
		for (size_t j = 0; j < options->count; j++)
			if (opposes(options->items[j], mount->options.items[i]))
				text_list_remove(options, j--);
		if (!text_list_contains(options, mount->options.items[i]))
			text_list_add(options, mount->options.items[i]);
	}
}

static void add_image_mount(struct spec *spec, const struct container_mount *from)
{
	const char *tree = text_list_env(&from->options, IMAGE_MOUNT_TREE);
	struct spec_mount *mount = tree ? add_mount(spec, from->destination, "bind", tree, "ro")
					: add_mount(spec, from->destination, "overlay", "overlay", "ro");

	if (tree)
		text_list_add(&mount->options, "bind");
	else
		text_list_add_all(&mount->options, &from->options);
}

static void add_user_mount(struct spec *spec, const struct spec_input *input, const struct container_mount *from)
{
	bool tmpfs = text_equal(from->type, "tmpfs");
	AUTO_FREE char *source = NULL;
	struct spec_mount *mount;

	if (tmpfs)
		source = xstrdup("tmpfs");
	else if (from->folder)
		source = xstrdup(from->folder);
	else
		source = xstrdup(from->source);
	remove_destination(spec, from->destination);
	if (text_equal(from->type, "image")) {
		add_image_mount(spec, from);
		return;
	}
	mount = add_mount(spec, from->destination, tmpfs ? "tmpfs" : "bind", source, "");
	if (tmpfs)
		add_tmpfs_options(&mount->options, from);
	else
		add_bind_options(&mount->options, from);
	/* What is in a volume belongs to containers, whatever their ids are outside; what is bound, to the host. */
	if (input->document->id_map.size && (text_equal(from->type, "volume") || from->id_mapped))
		text_list_add(&mount->options, from->non_recursive ? "idmap" : "ridmap");
	/* Looked up by the runtime below the volume, where a link cannot lead out. */
	if (from->folder)
		text_list_addf(&mount->options, MOUNT_OPTION_SUBPATH "%s", from->source + strlen(from->folder));
	if (!text_empty(from->subpath))
		text_list_addf(&mount->options, MOUNT_OPTION_SUBPATH "%s", from->subpath);
}

static bool has_user_mount(const struct container_document *document, const char *destination)
{
	for (size_t i = 0; i < document->mounts.count; i++)
		if (text_equal(document->mounts.items[i].destination, destination))
			return true;
	return false;
}

static void add_file(struct spec *spec, const struct spec_input *input, const char *destination, const char *source)
{
	struct spec_mount *mount;

	if (!source || has_user_mount(input->document, destination))
		return;
	mount = add_mount(spec, destination, "bind", source,
			  input->document->host.readonly_rootfs ? "rbind,rprivate,ro" : "rbind,rprivate");
	if (input->document->id_map.size)
		text_list_add(&mount->options, "idmap");
}

static size_t depth(const char *path)
{
	size_t count = 0;

	for (; *path; path++)
		count += *path == '/' && path[1] != '\0';
	return count;
}

/* A stable insertion sort by depth: a mount must come after the one it lies on. */
static void sort_by_depth(struct spec *spec, size_t first)
{
	for (size_t i = first + 1; i < spec->mounts.count; i++) {
		struct spec_mount moving = spec->mounts.items[i];
		size_t j = i;

		for (; j > first && depth(spec->mounts.items[j - 1].destination) > depth(moving.destination); j--)
			spec->mounts.items[j] = spec->mounts.items[j - 1];
		spec->mounts.items[j] = moving;
	}
}

int spec_add_mounts(struct spec *spec, const struct spec_input *input, struct error *err)
{
	const struct container_document *document = input->document;

	add_defaults(spec, input);
	for (size_t i = 0; i < document->mounts.count; i++)
		add_user_mount(spec, input, &document->mounts.items[i]);
	add_file(spec, input, "/etc/resolv.conf", input->resolv_conf_path);
	add_file(spec, input, "/etc/hostname", input->hostname_path);
	add_file(spec, input, "/etc/hosts", input->hosts_path);
	if (input->init_path)
		add_mount(spec, "/sbin/docker-init", "bind", input->init_path, "bind,ro");
	if (spec->mounts.count > 4096)
		return error_set(err, ERR_INVALID, "too many mounts: %zu", spec->mounts.count);
	sort_by_depth(spec, 0);
	return 0;
}
