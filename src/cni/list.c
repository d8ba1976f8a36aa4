/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"

#define FILE_MAX ((size_t)1 << 20)
#define PLUGINS_MAX 64

void cni_list_fini(struct cni_list *list)
{
	json_value_free(list->root);
	free(list->text);
	free(list->name);
	free(list->version);
	*list = (struct cni_list){ 0 };
}

size_t cni_list_count(const struct cni_list *list)
{
	return list->plugins ? json_value_count(list->plugins) : 1;
}

const struct json_value *cni_list_plugin(const struct cni_list *list, size_t index)
{
	return list->plugins ? json_value_at(list->plugins, index) : list->root;
}

const char *cni_list_type(const struct cni_list *list, size_t index)
{
	return json_value_text(json_value_get(cni_list_plugin(list, index), "type"));
}

bool cni_plugin_can(const struct json_value *plugin, const char *capability)
{
	return json_value_bool(json_value_get(json_value_get(plugin, "capabilities"), capability));
}

bool cni_list_can(const struct cni_list *list, const char *capability)
{
	for (size_t i = 0; i < cni_list_count(list); i++)
		if (cni_plugin_can(cni_list_plugin(list, i), capability))
			return true;
	return false;
}

/* The one it is written in, or of several (CNI 1.1) the newest that is spoken. */
static const char *choose_version(const struct json_value *root)
{
	const struct json_value *several = json_value_get(root, "cniVersions");
	const char *chosen = json_value_text(json_value_get(root, "cniVersion"));

	for (size_t i = 0; i < json_value_count(several); i++) {
		const char *version = json_value_text(json_value_at(several, i));

		if (cni_version_is_known(version) && (!cni_version_is_known(chosen) || strcmp(version, chosen) > 0))
			chosen = version;
	}
	return text_or_empty(chosen);
}

static int check(const struct cni_list *list, struct error *err)
{
	size_t count = cni_list_count(list);

	if (text_empty(list->name))
		return error_set(err, ERR_INVALID, "the list has no name");
	if (!cni_version_is_known(list->version))
		return error_set(err, ERR_UNSUPPORTED,
				 "CNI list %s: version \"%s\" is not spoken, " CNI_VERSION_OLDEST " to " CNI_VERSION
				 " are",
				 list->name, list->version);
	if (count == 0 || count > PLUGINS_MAX)
		return error_set(err, ERR_INVALID, "CNI list %s: %zu plugins, it must be 1 to %d", list->name, count,
				 PLUGINS_MAX);
	for (size_t i = 0; i < count; i++)
		if (text_empty(cni_list_type(list, i)))
			return error_set(err, ERR_INVALID, "CNI list %s: plugin %zu has no type", list->name, i + 1);
	return 0;
}

int cni_list_parse(struct cni_list *out_list, const char *text, struct error *err)
{
	struct cni_list list = { 0 };

	if (json_value_parse(&list.root, text, strlen(text), err) < 0)
		return -1;
	list.text = xstrdup(text);
	list.plugins = json_value_get(list.root, "plugins");
	list.name = xstrdup(text_or_empty(json_value_text(json_value_get(list.root, "name"))));
	list.version = xstrdup(choose_version(list.root));
	list.no_check = json_value_bool(json_value_get(list.root, "disableCheck"));
	list.no_collect = json_value_bool(json_value_get(list.root, "disableGC"));
	if (check(&list, err) < 0) {
		cni_list_fini(&list);
		return -1;
	}
	*out_list = list;
	return 0;
}

static int list_files(struct text_list *out_names, const char *folder, struct error *err)
{
	AUTO_CLOSEDIR DIR *dir = opendir(folder);
	const struct dirent *entry;

	if (!dir && errno != ENOENT)
		return error_set_errno(err, ERR_INTERNAL, errno, "open %s", folder);
	while (dir && (entry = readdir(dir)))
		if (text_has_suffix(entry->d_name, ".conflist") || text_has_suffix(entry->d_name, ".conf") ||
		    text_has_suffix(entry->d_name, ".json"))
			text_list_add(out_names, entry->d_name);
	text_list_sort(out_names);
	return 0;
}

static int load(struct cni_list *out_list, const char *path, struct error *err)
{
	AUTO_FREE char *text = NULL;
	int failed = file_read(&text, NULL, AT_FDCWD, path, FILE_MAX);

	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "read %s", path);
	if (cni_list_parse(out_list, text, err) < 0)
		return error_prefix(err, "%s", path);
	return 0;
}

/* A file that is broken may be the one that is looked for: then its error is the answer. */
int cni_list_find(struct cni_list *out_list, const char *folder, const char *name, struct error *err)
{
	AUTO(text_list_fini) struct text_list files = { 0 };
	AUTO(error_clear) struct error first = { 0 };

	if (list_files(&files, folder, err) < 0)
		return -1;
	for (size_t i = 0; i < files.count; i++) {
		AUTO_FREE char *path = path_join(folder, files.items[i]);
		AUTO(error_clear) struct error problem = { 0 };
		struct cni_list list = { 0 };

		if (load(&list, path, &problem) < 0) {
			if (!error_is_set(&first))
				error_move(&first, &problem);
			continue;
		}
		if (text_equal(list.name, name)) {
			*out_list = list;
			return 0;
		}
		cni_list_fini(&list);
	}
	if (error_is_set(&first))
		return error_move(err, &first);
	return error_set(err, ERR_NOT_FOUND, "no file in %s has a CNI list named %s", folder, name);
}
