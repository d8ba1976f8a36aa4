/* SPDX-License-Identifier: Apache-2.0 */
/* hosts.toml, as containerd reads it (docs/hosts.md there). registries.conf is hosts_registries.c. */
#include "transfer/hosts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "transfer/hosts_private.h"
#include "json/json.h"
#include "json/toml.h"
#include "json/value.h"

#define PEM_MAX (4 * 1024 * 1024)

static const char *const default_folders[] = { "/etc/containerd/certs.d", "/etc/docker/certs.d",
					       "/etc/containers/certs.d" };

/* ---- the file ---- */

struct header {
	char *name;
	struct text_list values;
};

/* Of the registry itself at the top of the file, and of each [host."..."]. */
struct entry {
	char *url;
	struct text_list capabilities;
	struct text_list ca;
	char *client; /* JSON */
	bool skip_verify;
	bool override_path;
	JSON_ARRAY_OF(struct header) headers;
};

struct file {
	struct entry own;
	JSON_ARRAY_OF(struct entry) hosts;
};

static const struct json_field header_fields[] = {
	JSON_KEY(struct header, name),
	JSON_TEXT_LIST("", struct header, values, JSON_TEXT_OR_LIST),
	JSON_END,
};

#define ENTRY_FIELDS                                                                                                   \
	JSON_TEXT_LIST("capabilities", struct entry, capabilities, 0),                                                 \
		JSON_TEXT_LIST("ca", struct entry, ca, JSON_TEXT_OR_LIST),                                             \
		JSON_RAW("client", struct entry, client, 0), JSON_BOOL("skip_verify", struct entry, skip_verify, 0),   \
		JSON_BOOL("override_path", struct entry, override_path, 0),                                            \
		JSON_MAP("header", struct entry, headers, header_fields, 0)

static const struct json_field entry_fields[] = { JSON_KEY(struct entry, url), ENTRY_FIELDS, JSON_END };
static const struct json_field own_fields[] = { JSON_TEXT("server", struct entry, url, 0), ENTRY_FIELDS, JSON_END };
static const struct json_field hosts_fields[] = { JSON_MAP("host", struct file, hosts, entry_fields, 0), JSON_END };

/* ---- certificates ---- */

static int read_pem(char **out_pem, const char *folder, const char *path, struct error *err)
{
	AUTO_FREE char *whole = path_is_absolute(path) ? xstrdup(path) : path_join(folder, path);
	int r = file_read(out_pem, NULL, AT_FDCWD, whole, PEM_MAX);

	return r < 0 ? error_set_errno(err, ERR_INVALID, r, "read %s", whole) : 0;
}

static int load_cas(struct host *host, const struct entry *entry, const char *folder, struct error *err)
{
	AUTO(text_fini) struct text all = { 0 };

	for (size_t i = 0; i < entry->ca.count; i++) {
		AUTO_FREE char *pem = NULL;

		if (read_pem(&pem, folder, entry->ca.items[i], err) < 0)
			return -1;
		text_add(&all, pem);
		text_add_char(&all, '\n');
	}
	if (all.size)
		host->ca_pem = text_take(&all);
	return 0;
}

static int load_pair(struct host *host, const char *cert, const char *key, const char *folder, struct error *err)
{
	/* The first is ours; libcurl takes one. */
	if (host->client_cert_pem || text_empty(cert))
		return 0;
	if (read_pem(&host->client_cert_pem, folder, cert, err) < 0)
		return -1;
	return read_pem(&host->client_key_pem, folder, text_empty(key) ? cert : key, err);
}

/* "both.pem", ["both.pem", ...] or [["cert.pem", "key.pem"], ...] */
static int load_client(struct host *host, const struct entry *entry, const char *folder, struct error *err)
{
	AUTO(json_value_freep) struct json_value *value = NULL;

	if (!entry->client)
		return 0;
	if (json_value_parse(&value, entry->client, strlen(entry->client), err) < 0)
		return -1;
	if (json_value_text(value))
		return load_pair(host, json_value_text(value), NULL, folder, err);
	if (json_value_type(value) != JSON_TYPE_ARRAY)
		return error_set(err, ERR_INVALID, "client: expected a path, or pairs of paths");
	for (size_t i = 0; i < json_value_count(value); i++) {
		const struct json_value *item = json_value_at(value, i);
		const char *cert = json_value_text(item) ? json_value_text(item)
							 : json_value_text(json_value_at(item, 0));
		const char *key = json_value_text(item) ? NULL : json_value_text(json_value_at(item, 1));

		if (text_empty(cert))
			return error_set(err, ERR_INVALID, "client: expected a path, or pairs of paths");
		if (load_pair(host, cert, key, folder, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- entries ---- */

void host_address(struct host *host, const char *url)
{
	const char *plain = text_after(url, "http://");
	const char *rest = plain ? plain : text_after(url, "https://");

	host->plain = plain != NULL;
	host->address = xstrdup(rest ? rest : url);
	while (text_has_suffix(host->address, "/"))
		host->address[strlen(host->address) - 1] = '\0';
}

struct host *host_list_add(struct host_list *list)
{
	list->items = xrealloc(list->items, (list->count + 1) * sizeof(*list->items));
	list->items[list->count] = (struct host){ 0 };
	return &list->items[list->count++];
}

static int set_capabilities(struct host *host, const struct entry *entry, struct error *err)
{
	bool all = entry->capabilities.count == 0;

	host->tags = all || text_list_contains(&entry->capabilities, "resolve");
	host->digests = all || text_list_contains(&entry->capabilities, "pull");
	host->pushes = all || text_list_contains(&entry->capabilities, "push");
	for (size_t i = 0; i < entry->capabilities.count; i++) {
		const char *name = entry->capabilities.items[i];

		if (!text_equal(name, "resolve") && !text_equal(name, "pull") && !text_equal(name, "push") &&
		    !text_equal(name, "referrers"))
			return error_set(err, ERR_INVALID, "unknown capability \"%s\"", name);
	}
	return 0;
}

static int add_headers(struct host *host, const struct entry *entry, struct error *err)
{
	for (size_t i = 0; i < entry->headers.count; i++) {
		const struct header *header = &entry->headers.items[i];

		for (size_t j = 0; j < header->values.count; j++) {
			if (strpbrk(header->name, ":\r\n ") || strpbrk(header->values.items[j], "\r\n"))
				return error_set(err, ERR_INVALID, "header %s: a line break or colon where none may be",
						 header->name);
			text_list_addf(&host->headers, "%s: %s", header->name, header->values.items[j]);
		}
	}
	return 0;
}

static int add_entry(struct host_list *list, const struct entry *entry, const struct reference *reference,
		     const char *folder, struct error *err)
{
	struct host *host = host_list_add(list);

	host_address(host, entry->url);
	host->repository = xstrdup(reference->path);
	host->insecure = entry->skip_verify;
	host->verify_only = true;
	/* Some write the API's root themselves; containerd adds it once. */
	host->whole_path = entry->override_path || text_has_suffix(host->address, "/v2");
	if (set_capabilities(host, entry, err) < 0 || add_headers(host, entry, err) < 0 ||
	    load_cas(host, entry, folder, err) < 0 || load_client(host, entry, folder, err) < 0)
		return error_prefix(err, "%s", entry->url);
	return 0;
}

static int add_entries(struct host_list *list, struct file *file, const struct reference *reference, const char *folder,
		       struct error *err)
{
	for (size_t i = 0; i < file->hosts.count; i++) {
		if (add_entry(list, &file->hosts.items[i], reference, folder, err) < 0)
			return -1;
		list->items[list->count - 1].names_origin = true;
	}
	if (text_empty(file->own.url)) {
		free(file->own.url);
		file->own.url = xasprintf("https://%s", reference_api_host(reference->domain));
	}
	return add_entry(list, &file->own, reference, folder, err);
}

int hosts_parse_toml(struct host_list *out_list, const struct reference *reference, const char *text, size_t size,
		     const char *folder, struct error *err)
{
	AUTO(host_list_fini) struct host_list list = { 0 };
	AUTO_FREE char *json = NULL;
	struct file file = { 0 };
	int r;

	if (toml_to_json(&json, text, size, err) < 0)
		return -1;
	r = json_decode(&file.own, own_fields, json, strlen(json), err);
	if (r == 0)
		r = json_decode(&file, hosts_fields, json, strlen(json), err);
	if (r == 0)
		r = add_entries(&list, &file, reference, folder, err);
	json_free_fields(&file.own, own_fields);
	json_free_fields(&file, hosts_fields);
	if (r < 0)
		return -1;
	*out_list = list;
	list = (struct host_list){ 0 };
	return 0;
}

/* ---- finding it ---- */

/* 1: it is there, and read. */
static int try_file(struct host_list *out_list, const struct reference *reference, const char *folder, const char *name,
		    struct error *err)
{
	AUTO_FREE char *inside = xasprintf("%s/%s", folder, name);
	AUTO_FREE char *path = xasprintf("%s/hosts.toml", inside);
	AUTO_FREE char *text = NULL;
	size_t size = 0;
	int r = file_read(&text, &size, AT_FDCWD, path, HOSTS_FILE_MAX);

	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read %s", path);
	return hosts_parse_toml(out_list, reference, text, size, inside, err) < 0 ? error_prefix(err, "%s", path) : 1;
}

/* A port's colon may also be written as containerd on other systems does: host_5000_. */
static int try_folder(struct host_list *out_list, const struct reference *reference, const char *folder,
		      struct error *err)
{
	const char *colon = strrchr(reference->domain, ':');
	AUTO_FREE char *other =
		colon ? xasprintf("%.*s_%s_", (int)(colon - reference->domain), reference->domain, colon + 1) : NULL;
	int r = try_file(out_list, reference, folder, reference->domain, err);

	if (r == 0 && other)
		r = try_file(out_list, reference, folder, other, err);
	return r == 0 ? try_file(out_list, reference, folder, "_default", err) : r;
}

int hosts_find(struct host_list *out_list, const struct reference *reference, const struct hosts_options *options,
	       struct error *err)
{
	const struct text_list *folders = options->folders;
	size_t count = folders->count || options->folders_only ? folders->count
							       : sizeof(default_folders) / sizeof(default_folders[0]);

	for (size_t i = 0; i < count; i++) {
		int r = try_folder(out_list, reference, folders->count ? folders->items[i] : default_folders[i], err);

		if (r != 0)
			return r < 0 ? -1 : 0;
	}
	return options->folders_only ? 0 : hosts_find_registries(out_list, reference, options->registries, err);
}

void host_list_fini(struct host_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct host *host = &list->items[i];

		free(host->address);
		free(host->repository);
		free(host->ca_pem);
		free(host->client_cert_pem);
		free(host->client_key_pem);
		text_list_fini(&host->headers);
	}
	free(list->items);
	*list = (struct host_list){ 0 };
}
