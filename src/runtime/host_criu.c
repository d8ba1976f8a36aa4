/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host_criu.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "json/json.h"

#define PORT_MAX 65535
#define LOG_LEVEL_OF_RUNC 4

void criu_folders_fini(struct criu_folders *folders)
{
	if (folders->image_fd >= 0)
		close(take_fd(&folders->image_fd));
	if (folders->work_fd >= 0)
		close(take_fd(&folders->work_fd));
}

static int open_folder(const char *path, bool make, const char *what, struct error *err)
{
	int fd;

	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set_errno(err, ERR_INVALID, errno, "make the %s %s", what, path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? error_set_errno(err, ERR_INVALID, errno, "open the %s %s", what, path) : fd;
}

static int check_parent(int image_fd, const char *parent, struct error *err)
{
	AUTO_CLOSE int fd = -1;

	if (text_empty(parent))
		return 0;
	fd = openat(image_fd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? error_set_errno(err, ERR_INVALID, errno, "invalid --parent-path: %s", parent) : 0;
}

int criu_folders_open(struct criu_folders *out_folders, const struct runtime_criu_options *options, bool make,
		      struct error *err)
{
	out_folders->image_fd = open_folder(options->image_path, make, "image folder", err);
	if (out_folders->image_fd < 0)
		return -1;
	if (options->work_path) {
		out_folders->work_fd = open_folder(options->work_path, true, "work folder", err);
		if (out_folders->work_fd < 0)
			return -1;
	}
	return check_parent(out_folders->image_fd, options->parent_path, err);
}

/* ---- options ---- */

struct word {
	const char *name;
	int value;
};

static int find_word(const struct word *words, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal(words[i].name, name))
			return words[i].value;
	return -1;
}

static int cgroups_mode(const char *name)
{
	static const struct word words[] = { { "soft", CRIU_CGROUPS_SOFT },
					     { "full", CRIU_CGROUPS_FULL },
					     { "strict", CRIU_CGROUPS_STRICT },
					     { "ignore", CRIU_CGROUPS_IGNORE } };

	return text_empty(name) ? CRIU_CGROUPS_SOFT : find_word(words, sizeof(words) / sizeof(words[0]), name);
}

static int network_lock(const char *name)
{
	static const struct word words[] = { { "iptables", CRIU_LOCK_IPTABLES },
					     { "nftables", CRIU_LOCK_NFTABLES },
					     { "skip", CRIU_LOCK_SKIP } };

	return text_empty(name) ? 0 : find_word(words, sizeof(words) / sizeof(words[0]), name);
}

static bool is_in_path(const char *name)
{
	AUTO(text_list_fini) struct text_list folders = { 0 };

	text_list_split(&folders, text_or_empty(getenv("PATH")), ':');
	for (size_t i = 0; i < folders.count; i++) {
		AUTO_FREE char *path = path_join(folders.items[i], name);

		if (file_exists(AT_FDCWD, path))
			return true;
	}
	return false;
}

/* Unless somebody said how: by iptables, CRIU's own choice, or where that is not installed, by libnftables. */
static int choose_network_lock(const char *name)
{
	return text_empty(name) && !is_in_path("iptables-restore") ? CRIU_LOCK_NFTABLES : network_lock(name);
}

/* Returns the port, and where in the text the address ends; or -1. */
static int split_server(const char *text, size_t *out_address_size)
{
	const char *colon = strrchr(text, ':');
	uint64_t port;

	if (!colon || colon == text || text_parse_u64(&port, colon + 1, PORT_MAX) < 0 || port == 0)
		return -1;
	*out_address_size = (size_t)(colon - text);
	return (int)port;
}

static int check_empty_ns(const struct text_list *names, struct error *err)
{
	for (size_t i = 0; names && i < names->count; i++)
		if (!text_equal(names->items[i], "network"))
			return error_set(err, ERR_INVALID, "namespace \"%s\" is not supported", names->items[i]);
	return 0;
}

int runtime_criu_check_options(const struct runtime_criu_options *options, struct error *err)
{
	size_t ignored;

	if (text_empty(options->image_path))
		return error_set(err, ERR_INVALID, "--image-path: no folder is named");
	if (cgroups_mode(options->cgroups_mode) < 0)
		return error_set(err, ERR_INVALID,
				 "invalid manage-cgroups-mode value: %s (it is soft, full, strict or ignore)",
				 options->cgroups_mode);
	if (network_lock(options->network_lock) < 0)
		return error_set(err, ERR_INVALID, "unknown network lock method: %s (it is iptables, nftables or skip)",
				 options->network_lock);
	if (!text_empty(options->parent_path) && *options->parent_path == '/')
		return error_set(err, ERR_INVALID, "--parent-path must be relative");
	if (!text_empty(options->page_server) && split_server(options->page_server, &ignored) < 0)
		return error_set(err, ERR_INVALID, "use --page-server ADDRESS:PORT to specify page server, not %s",
				 options->page_server);
	return check_empty_ns(options->empty_ns, err);
}

/* Settings of this file win over ours; CRIU takes no offence if it is missing. As runc. */
static void add_config_file(struct criu_options *out_options, const struct text_map *annotations)
{
	const char *named = annotations ? text_map_get(annotations, "org.criu.config") : NULL;

	if (!named)
		out_options->config_file = xstrdup("/etc/criu/runc.conf");
	else if (*named)
		out_options->config_file = xstrdup(named);
}

static void add_flags(struct criu_options *out_options, const struct runtime_criu_options *options)
{
	out_options->leave_running = options->leave_running;
	out_options->tcp_established = options->tcp_established;
	out_options->tcp_skip_in_flight = options->tcp_skip_in_flight;
	out_options->tcp_close = options->tcp_close;
	out_options->link_remap = options->link_remap;
	out_options->ext_unix_sk = options->ext_unix_sk;
	out_options->shell_job = options->shell_job;
	out_options->lazy_pages = options->lazy_pages;
	out_options->file_locks = options->file_locks;
	out_options->auto_dedup = options->auto_dedup;
}

void criu_options_fill(struct criu_options *out_options, const struct runtime_criu_options *options,
		       const struct criu_folders *folders, const struct text_map *annotations, const char *log_file)
{
	size_t address_size = 0;

	add_flags(out_options, options);
	out_options->images_dir_fd = folders->image_fd;
	out_options->work_dir_fd = folders->work_fd >= 0 ? folders->work_fd : 0;
	out_options->log_level = LOG_LEVEL_OF_RUNC;
	out_options->log_file = xstrdup(log_file);
	out_options->notify_scripts = true;
	out_options->orphan_pts_master = true;
	out_options->cgroups_mode = cgroups_mode(options->cgroups_mode);
	out_options->manage_cgroups = out_options->cgroups_mode != CRIU_CGROUPS_IGNORE;
	out_options->network_lock = choose_network_lock(options->network_lock);
	/* As runc: devices of a network are its maker's business, a hook's or the engine's. */
	out_options->empty_namespaces = options->net_outside ? 0 : CLONE_NEWNET;
	if (!text_empty(options->page_server)) {
		out_options->page_server.port = split_server(options->page_server, &address_size);
		out_options->page_server.address = xstrndup(options->page_server, address_size);
	}
	if (!text_empty(options->parent_path))
		out_options->parent_image = xstrdup(options->parent_path);
	add_config_file(out_options, annotations);
}

/* ---- mounts ---- */

void criu_options_add_mount(struct criu_options *options, const char *key, const char *value)
{
	struct criu_pair *pair = json_array_add(&options->external_mounts, sizeof(*pair));

	pair->key = xstrdup(key);
	pair->value = xstrdup(value);
}

bool criu_is_bind(const struct spec_mount *mount)
{
	return text_equal(mount->type, "bind") || text_list_contains(&mount->options, "bind") ||
	       text_list_contains(&mount->options, "rbind");
}

bool criu_is_cgroup(const struct spec_mount *mount)
{
	return text_equal(mount->type, "cgroup") || text_equal(mount->type, "cgroup2");
}

char *criu_mount_name(const struct spec_mount *mount, const char *rootfs)
{
	const char *rest = text_after(mount->destination, text_or_empty(rootfs));
	AUTO_FREE char *joined = path_join("/",
					   rest && *rest == '/' && *text_or_empty(rootfs) ? rest : mount->destination);

	return path_clean(joined);
}

void criu_options_add_cgroups(struct criu_options *options, const struct spec_mount *mount, const struct cgroup *cgroup,
			      const struct spec *spec, bool restore)
{
	bool unified = cgroup_get_mode(cgroup) == CGROUP_V2;
	AUTO_FREE char *base = criu_mount_name(mount, NULL);

	/* A mount of its own namespace's root is not from outside. */
	if (unified && spec_find_namespace(spec, "cgroup"))
		return;
	for (size_t i = 0; i < cgroup_hierarchy_count(cgroup); i++) {
		struct cgroup_hierarchy hierarchy;
		AUTO_FREE char *name = NULL;
		AUTO_FREE char *place = NULL;

		cgroup_get_hierarchy(cgroup, i, &hierarchy);
		name = unified ? xstrdup(base) : path_join(base, path_base(hierarchy.mount_point));
		place = path_join(hierarchy.mount_point, hierarchy.path);
		criu_options_add_mount(options, name, restore ? place : name);
	}
}
