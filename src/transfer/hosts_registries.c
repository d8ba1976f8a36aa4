/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containers-registries.conf(5), version 2. The [[registry]] with the longest
 * prefix of a name counts; of later files (registries.conf.d) those win over
 * earlier ones with the same prefix. Names are always full here: short ones
 * (unqualified-search-registries, aliases) mean docker.io's, as docker has it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "transfer/hosts_private.h"
#include "json/json.h"
#include "json/toml.h"

#define SYSTEM_FILE "/etc/containers/registries.conf"
#define FILE_VARIABLE "CONTAINERS_REGISTRIES_CONF"

struct mirror {
	char *location;
	bool insecure;
	char *pull; /* "all", "digest-only", "tag-only" */
};

struct registry_entry {
	char *prefix;
	char *location;
	bool insecure;
	bool blocked;
	bool digest_only;
	JSON_ARRAY_OF(struct mirror) mirrors;
};

struct registries {
	JSON_ARRAY_OF(struct registry_entry) entries;
	char *old; /* version 1's table */
};

static const struct json_field mirror_fields[] = {
	JSON_TEXT("location", struct mirror, location, JSON_REQUIRED),
	JSON_BOOL("insecure", struct mirror, insecure, 0),
	JSON_TEXT("pull-from-mirror", struct mirror, pull, 0),
	JSON_END,
};
static const struct json_field entry_fields[] = {
	JSON_TEXT("prefix", struct registry_entry, prefix, 0),
	JSON_TEXT("location", struct registry_entry, location, 0),
	JSON_BOOL("insecure", struct registry_entry, insecure, 0),
	JSON_BOOL("blocked", struct registry_entry, blocked, 0),
	JSON_BOOL("mirror-by-digest-only", struct registry_entry, digest_only, 0),
	JSON_ARRAY("mirror", struct registry_entry, mirrors, mirror_fields, 0),
	JSON_END,
};
static const struct json_field registries_fields[] = {
	JSON_ARRAY("registry", struct registries, entries, entry_fields, 0),
	JSON_RAW("registries", struct registries, old, 0),
	JSON_END,
};

/* ---- matching ---- */

/* The rest of the name behind the prefix (borrowed), or NULL. A prefix ends where a part of the name does. */
static const char *match_prefix(const char *name, const char *prefix)
{
	const char *wildcard = text_after(prefix, "*.");
	const char *rest;

	if (wildcard) {
		size_t domain = strcspn(name, "/");
		size_t size = strlen(wildcard);

		if (domain <= size || name[domain - size - 1] != '.' ||
		    strncmp(name + domain - size, wildcard, size) != 0)
			return NULL;
		return name + domain;
	}
	rest = text_after(name, prefix);
	return rest && (*rest == '\0' || *rest == '/') ? rest : NULL;
}

static const char *prefix_of(const struct registry_entry *entry)
{
	return text_empty(entry->prefix) ? text_or_empty(entry->location) : entry->prefix;
}

static const struct registry_entry *find_entry(const struct registries *registries, const char *name)
{
	const struct registry_entry *best = NULL;

	for (size_t i = 0; i < registries->entries.count; i++) {
		const struct registry_entry *entry = &registries->entries.items[i];

		if (*prefix_of(entry) && match_prefix(name, prefix_of(entry)) &&
		    (!best || strlen(prefix_of(entry)) >= strlen(prefix_of(best))))
			best = entry;
	}
	return best;
}

/* ---- places ---- */

/* location + rest is a name again: its host and the path there. */
static int set_place(struct host *host, const char *location, const char *rest, struct error *err)
{
	AUTO_FREE char *name = xasprintf("%s%s", location, rest);
	const char *slash = strchr(name, '/');
	AUTO_FREE char *domain = xstrndup(name, strcspn(name, "/"));

	if (text_has_prefix(location, "http://") || text_has_prefix(location, "https://"))
		return error_set(err, ERR_INVALID, "location \"%s\": a host, without http:// or https://", location);
	host_address(host, reference_api_host(domain));
	host->repository = xstrdup(slash ? slash + 1 : "");
	return 0;
}

static int add_mirror(struct host_list *list, const struct registry_entry *entry, const struct mirror *mirror,
		      const char *rest, struct error *err)
{
	struct host *host = host_list_add(list);
	bool digest_only = entry->digest_only || text_equal(mirror->pull, "digest-only");
	bool tag_only = text_equal(mirror->pull, "tag-only");

	if (!text_empty(mirror->pull) && !digest_only && !tag_only && !text_equal(mirror->pull, "all"))
		return error_set(err, ERR_INVALID, "pull-from-mirror \"%s\": all, digest-only or tag-only",
				 mirror->pull);
	host->insecure = mirror->insecure;
	host->tags = !digest_only;
	/* What a tag names is fetched by digest, from wherever the tag was. */
	host->digests = true;
	return set_place(host, mirror->location, rest, err);
}

static int add_places(struct host_list *list, const struct registry_entry *entry, const char *name, struct error *err)
{
	const char *rest = match_prefix(name, prefix_of(entry));
	struct host *own;

	if (entry->blocked)
		return error_set(err, ERR_FORBIDDEN, "registry %s is blocked", prefix_of(entry));
	for (size_t i = 0; i < entry->mirrors.count; i++)
		if (add_mirror(list, entry, &entry->mirrors.items[i], rest, err) < 0)
			return -1;
	own = host_list_add(list);
	own->insecure = entry->insecure;
	own->tags = true;
	own->digests = true;
	own->pushes = true;
	/* Without a location the name is where it says. */
	return text_empty(entry->location) ? set_place(own, name, "", err) : set_place(own, entry->location, rest, err);
}

/* ---- files ---- */

static int decode(struct registries *registries, const char *text, size_t size, struct error *err)
{
	struct registries more = { 0 };
	AUTO_FREE char *json = NULL;

	if (toml_to_json(&json, text, size, err) < 0 ||
	    json_decode(&more, registries_fields, json, strlen(json), err) < 0)
		return -1;
	if (more.old) {
		json_free_fields(&more, registries_fields);
		return error_set(err, ERR_UNSUPPORTED,
				 "format 1 ([registries.search] and the like) is not read: use "
				 "[[registry]]");
	}
	for (size_t i = 0; i < more.entries.count; i++)
		*(struct registry_entry *)json_array_add(&registries->entries,
							 sizeof(struct registry_entry)) = more.entries.items[i];
	free(more.entries.items);
	return 0;
}

static int place_all(struct host_list *out_list, const struct registries *registries, const struct reference *reference,
		     struct error *err)
{
	AUTO(host_list_fini) struct host_list list = { 0 };
	AUTO_FREE char *name = *reference->path ? xasprintf("%s/%s", reference->domain, reference->path)
						: xstrdup(reference->domain);
	const struct registry_entry *entry = find_entry(registries, name);

	if (!entry)
		return 0;
	if (add_places(&list, entry, name, err) < 0)
		return -1;
	*out_list = list;
	list = (struct host_list){ 0 };
	return 0;
}

int hosts_parse_registries(struct host_list *out_list, const struct reference *reference, const char *text, size_t size,
			   struct error *err)
{
	struct registries registries = { 0 };
	int r = decode(&registries, text, size, err);

	if (r == 0)
		r = place_all(out_list, &registries, reference, err);
	json_free_fields(&registries, registries_fields);
	return r;
}

static int load_file(struct registries *registries, const char *path, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size = 0;
	int r = file_read(&text, &size, AT_FDCWD, path, HOSTS_FILE_MAX);

	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read %s", path);
	return decode(registries, text, size, err) < 0 ? error_prefix(err, "%s", path) : 0;
}

/* registries.conf.d/NAME.conf, in the order of their names. */
static int load_folder(struct registries *registries, const char *path, struct error *err)
{
	AUTO_FREE char *folder = xasprintf("%s.d", path);
	AUTO_CLOSEDIR DIR *dir = opendir(folder);
	AUTO(text_list_fini) struct text_list names = { 0 };
	struct dirent *item;

	while (dir && (item = readdir(dir)))
		if (text_has_suffix(item->d_name, ".conf"))
			text_list_addf(&names, "%s/%s", folder, item->d_name);
	text_list_sort(&names);
	for (size_t i = 0; i < names.count; i++)
		if (load_file(registries, names.items[i], err) < 0)
			return -1;
	return 0;
}

int hosts_find_registries(struct host_list *out_list, const struct reference *reference, const char *path,
			  struct error *err)
{
	const char *named = path ? path : getenv(FILE_VARIABLE);
	const char *home = getenv("HOME");
	AUTO_FREE char *own = geteuid() != 0 && home ? xasprintf("%s/.config/containers/registries.conf", home) : NULL;
	struct registries registries = { 0 };
	int r;

	if (text_empty(named))
		named = own && file_exists(AT_FDCWD, own) ? own : SYSTEM_FILE;
	r = load_file(&registries, named, err);
	if (r == 0)
		r = load_folder(&registries, named, err);
	if (r == 0)
		r = place_all(out_list, &registries, reference, err);
	json_free_fields(&registries, registries_fields);
	return r;
}
