/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/cdi.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "json/json.h"

#define FILE_MAX ((size_t)4 << 20)
#define GPU_KIND "nvidia.com/gpu"

struct cdi_node {
	char *path;
	char *host_path;
	char *type;
	struct optional_i64 major;
	struct optional_i64 minor;
	struct optional_u64 file_mode;
	char *permissions;
	struct optional_u64 uid;
	struct optional_u64 gid;
};

struct cdi_mount {
	char *host_path;
	char *container_path;
	char *type;
	struct text_list options;
};

struct cdi_hook {
	char *name;
	char *path;
	struct text_list args;
	struct text_list env;
	struct optional_i64 timeout;
};

struct cdi_edits {
	struct text_list env;
	JSON_ARRAY_OF(struct cdi_node) nodes;
	JSON_ARRAY_OF(struct cdi_mount) mounts;
	JSON_ARRAY_OF(struct cdi_hook) hooks;
	JSON_ARRAY_OF(struct u64_item) groups;
};

struct cdi_device {
	char *name;
	struct cdi_edits edits;
};

struct cdi_file {
	char *version;
	char *kind;
	JSON_ARRAY_OF(struct cdi_device) devices;
	struct cdi_edits edits;
};

static const struct json_field number_fields[] = {
	JSON_U64("", struct u64_item, value, 0),
	JSON_END,
};

static const struct json_field node_fields[] = {
	JSON_TEXT("path", struct cdi_node, path, JSON_REQUIRED),
	JSON_TEXT("hostPath", struct cdi_node, host_path, 0),
	JSON_TEXT("type", struct cdi_node, type, 0),
	JSON_OPT_I64("major", struct cdi_node, major, 0),
	JSON_OPT_I64("minor", struct cdi_node, minor, 0),
	JSON_OPT_U64("fileMode", struct cdi_node, file_mode, 0),
	JSON_TEXT("permissions", struct cdi_node, permissions, 0),
	JSON_OPT_U64("uid", struct cdi_node, uid, 0),
	JSON_OPT_U64("gid", struct cdi_node, gid, 0),
	JSON_END,
};

static const struct json_field mount_fields[] = {
	JSON_TEXT("hostPath", struct cdi_mount, host_path, JSON_REQUIRED),
	JSON_TEXT("containerPath", struct cdi_mount, container_path, JSON_REQUIRED),
	JSON_TEXT("type", struct cdi_mount, type, 0),
	JSON_TEXT_LIST("options", struct cdi_mount, options, 0),
	JSON_END,
};

static const struct json_field hook_fields[] = {
	JSON_TEXT("hookName", struct cdi_hook, name, JSON_REQUIRED),
	JSON_TEXT("path", struct cdi_hook, path, JSON_REQUIRED),
	JSON_TEXT_LIST("args", struct cdi_hook, args, 0),
	JSON_TEXT_LIST("env", struct cdi_hook, env, 0),
	JSON_OPT_I64("timeout", struct cdi_hook, timeout, 0),
	JSON_END,
};

static const struct json_field edits_fields[] = {
	JSON_TEXT_LIST("env", struct cdi_edits, env, 0),
	JSON_ARRAY("deviceNodes", struct cdi_edits, nodes, node_fields, 0),
	JSON_ARRAY("mounts", struct cdi_edits, mounts, mount_fields, 0),
	JSON_ARRAY("hooks", struct cdi_edits, hooks, hook_fields, 0),
	JSON_ARRAY("additionalGids", struct cdi_edits, groups, number_fields, 0),
	JSON_END,
};

static const struct json_field device_fields[] = {
	JSON_TEXT("name", struct cdi_device, name, JSON_REQUIRED),
	JSON_OBJECT("containerEdits", struct cdi_device, edits, edits_fields, 0),
	JSON_END,
};

static const struct json_field file_fields[] = {
	JSON_TEXT("cdiVersion", struct cdi_file, version, JSON_REQUIRED),
	JSON_TEXT("kind", struct cdi_file, kind, JSON_REQUIRED),
	JSON_ARRAY("devices", struct cdi_file, devices, device_fields, 0),
	JSON_OBJECT("containerEdits", struct cdi_file, edits, edits_fields, 0),
	JSON_END,
};

void cdi_default_folders(struct text_list *out_folders)
{
	text_list_add(out_folders, "/etc/cdi");
	text_list_add(out_folders, "/var/run/cdi");
}

/* ---- edits ---- */

static int add_node(struct spec *spec, const struct cdi_node *node, struct error *err)
{
	const char *host = text_empty(node->host_path) ? node->path : node->host_path;
	struct spec_device *device;
	struct spec_device_rule *rule;
	struct stat status = { 0 };
	bool known = node->major.set && node->minor.set && !text_empty(node->type);

	if (!known && (stat(host, &status) < 0 || (!S_ISCHR(status.st_mode) && !S_ISBLK(status.st_mode))))
		return error_set(err, ERR_INVALID, "CDI: device node %s of the host: no such device", host);
	device = json_array_add(&spec->linux_.devices, sizeof(*device));
	device->path = xstrdup(node->path);
	device->type = xstrdup(known ? node->type : S_ISBLK(status.st_mode) ? "b" : "c");
	device->major = known ? node->major.value : (int64_t)major(status.st_rdev);
	device->minor = known ? node->minor.value : (int64_t)minor(status.st_rdev);
	device->file_mode = node->file_mode.set ? node->file_mode
						: (struct optional_u64){ !known, status.st_mode & 0777 };
	device->uid = node->uid;
	device->gid = node->gid;
	rule = json_array_add(&spec->linux_.resources->devices, sizeof(*rule));
	rule->allow = true;
	rule->type = xstrdup(device->type);
	rule->major = (struct optional_i64){ true, device->major };
	rule->minor = (struct optional_i64){ true, device->minor };
	rule->access = xstrdup(text_empty(node->permissions) ? "rwm" : node->permissions);
	return 0;
}

static void add_mount(struct spec *spec, const struct cdi_mount *from)
{
	struct spec_mount *mount = json_array_add(&spec->mounts, sizeof(*mount));

	mount->source = xstrdup(from->host_path);
	mount->destination = xstrdup(from->container_path);
	mount->type = xstrdup(text_empty(from->type) ? "bind" : from->type);
	text_list_add_all(&mount->options, &from->options);
	if (!from->options.count)
		text_list_add(&mount->options, "rbind");
}

static int add_hook(struct spec *spec, const struct cdi_hook *from, struct error *err)
{
	const struct {
		const char *name;
		spec_hook_list *list;
	} lists[] = {
		{ "prestart", &spec->hooks.prestart },
		{ "createRuntime", &spec->hooks.create_runtime },
		{ "createContainer", &spec->hooks.create_container },
		{ "startContainer", &spec->hooks.start_container },
		{ "poststart", &spec->hooks.poststart },
		{ "poststop", &spec->hooks.poststop },
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct spec_hook *hook;

		if (!text_equal(lists[i].name, from->name))
			continue;
		hook = json_array_add(lists[i].list, sizeof(*hook));
		hook->path = xstrdup(from->path);
		hook->timeout = from->timeout;
		text_list_add_all(&hook->args, &from->args);
		text_list_add_all(&hook->env, &from->env);
		return 0;
	}
	return error_set(err, ERR_INVALID, "CDI: unknown hook \"%s\"", from->name);
}

static void add_group(struct spec *spec, uint64_t gid)
{
	struct spec_number *item;

	if (gid == 0 || gid > UINT32_MAX)
		return;
	item = json_array_add(&spec->process->user.additional_gids, sizeof(*item));
	item->value = gid;
}

static int apply_edits(struct spec *spec, const struct cdi_edits *edits, struct error *err)
{
	for (size_t i = 0; i < edits->env.count; i++) {
		const char *equals = strchr(edits->env.items[i], '=');
		AUTO_FREE char *key = equals ? xstrndup(edits->env.items[i], (size_t)(equals - edits->env.items[i]))
					     : NULL;

		if (key)
			text_list_set_env(&spec->process->env, key, equals + 1);
	}
	for (size_t i = 0; i < edits->nodes.count; i++)
		if (add_node(spec, &edits->nodes.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < edits->mounts.count; i++)
		add_mount(spec, &edits->mounts.items[i]);
	for (size_t i = 0; i < edits->hooks.count; i++)
		if (add_hook(spec, &edits->hooks.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < edits->groups.count; i++)
		add_group(spec, edits->groups.items[i].value);
	return 0;
}

/* ---- files ---- */

typedef JSON_ARRAY_OF(struct cdi_file) cdi_files;

static int load_file(cdi_files *files, int folder_fd, const char *folder, const char *name, struct error *err)
{
	AUTO_FREE char *text = NULL;
	struct cdi_file file = { 0 };
	size_t size;
	int r = file_read(&text, &size, folder_fd, name, FILE_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "CDI: read %s/%s", folder, name);
	if (json_decode(&file, file_fields, text, size, err) < 0)
		return error_prefix(err, "CDI: %s/%s", folder, name);
	memcpy(json_array_add(files, sizeof(file)), &file, sizeof(file));
	return 0;
}

/* Later folders win: their files come first. */
static int load_all(cdi_files *files, struct text_list *yaml, const struct text_list *folders, struct error *err)
{
	for (size_t i = folders->count; i > 0; i--) {
		AUTO_CLOSEDIR DIR *folder = opendir(folders->items[i - 1]);
		const struct dirent *entry;

		while (folder && (entry = readdir(folder))) {
			if (text_has_suffix(entry->d_name, ".yaml") || text_has_suffix(entry->d_name, ".yml"))
				text_list_addf(yaml, "%s/%s", folders->items[i - 1], entry->d_name);
			if (text_has_suffix(entry->d_name, ".json") &&
			    load_file(files, dirfd(folder), folders->items[i - 1], entry->d_name, err) < 0)
				return -1;
		}
	}
	return 0;
}

static int refuse(const char *name, const struct text_list *yaml, struct error *err)
{
	AUTO_FREE char *files = text_list_join(yaml, ", ");

	return error_set(err, ERR_INVALID, "CDI device injection failed: unresolvable CDI devices %s%s%s%s", name,
			 yaml->count ? " (not read, because only JSON is: " : "", files, yaml->count ? ")" : "");
}

/* A file's own edits are for whoever uses one of its devices, once. */
static int apply_device(struct spec *spec, const cdi_files *files, bool *used, const char *name,
			const struct text_list *yaml, struct error *err)
{
	const char *equals = strchr(name, '=');

	for (size_t i = 0; equals && i < files->count; i++) {
		const struct cdi_file *file = &files->items[i];

		if (strlen(file->kind) != (size_t)(equals - name) ||
		    memcmp(file->kind, name, (size_t)(equals - name)) != 0)
			continue;
		for (size_t j = 0; j < file->devices.count; j++) {
			if (!text_equal(file->devices.items[j].name, equals + 1))
				continue;
			if (!used[i] && apply_edits(spec, &file->edits, err) < 0)
				return -1;
			used[i] = true;
			return apply_edits(spec, &file->devices.items[j].edits, err);
		}
	}
	return refuse(name, yaml, err);
}

/* ---- requests ---- */

static bool has_kind(const cdi_files *files, const char *kind)
{
	for (size_t i = 0; i < files->count; i++)
		if (text_equal(files->items[i].kind, kind))
			return true;
	return false;
}

static bool wants_gpu(const struct device_request *request)
{
	for (size_t i = 0; i < request->capabilities.count; i++)
		if (text_list_contains(&request->capabilities.items[i].values, "gpu"))
			return true;
	return false;
}

static int refuse_driver(const struct device_request *request, struct error *err)
{
	AUTO(text_list_fini) struct text_list wanted = { 0 };

	for (size_t i = 0; i < request->capabilities.count; i++)
		text_list_add_all(&wanted, &request->capabilities.items[i].values);
	AUTO_FREE char *words = text_list_join(&wanted, " ");

	return error_set(err, ERR_INTERNAL, "could not select device driver \"%s\" with capabilities: [[%s]]",
			 text_or_empty(request->driver), words);
}

/* --gpus all, 2, device=0,1: names of CDI devices. */
static int name_gpus(struct text_list *names, const struct device_request *request, const cdi_files *files,
		     struct error *err)
{
	if (!wants_gpu(request) || !has_kind(files, GPU_KIND) ||
	    (!text_empty(request->driver) && !text_equal(request->driver, "nvidia")))
		return refuse_driver(request, err);
	for (size_t i = 0; i < request->device_ids.count; i++)
		text_list_addf(names, GPU_KIND "=%s", request->device_ids.items[i]);
	if (request->device_ids.count)
		return 0;
	if (request->count < 0)
		text_list_add(names, GPU_KIND "=all");
	for (int64_t i = 0; i < request->count; i++)
		text_list_addf(names, GPU_KIND "=%lld", (long long)i);
	return 0;
}

static int apply_requests(struct spec *spec, const struct host_config *host, const cdi_files *files,
			  const struct text_list *yaml, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO_FREE bool *used = xcalloc(files->count + 1, sizeof(*used));

	for (size_t i = 0; i < host->device_requests.count; i++) {
		const struct device_request *request = &host->device_requests.items[i];

		if (text_equal(request->driver, "cdi"))
			text_list_add_all(&names, &request->device_ids);
		else if (name_gpus(&names, request, files, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < names.count; i++)
		if (apply_device(spec, files, used, names.items[i], yaml, err) < 0)
			return -1;
	return 0;
}

int cdi_apply(struct spec *spec, const struct host_config *host, const struct text_list *folders, struct error *err)
{
	AUTO(text_list_fini) struct text_list yaml = { 0 };
	cdi_files files = { 0 };
	int r;

	if (host->device_requests.count == 0)
		return 0;
	r = load_all(&files, &yaml, folders, err);
	if (r == 0)
		r = apply_requests(spec, host, &files, &yaml, err);
	json_free_array(&files, file_fields, sizeof(struct cdi_file));
	return r;
}
