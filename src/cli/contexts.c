/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/contexts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "base/sha256.h"
#include "json/update.h"

#define META_MAX ((size_t)1 << 20)
#define CONFIG_MAX ((size_t)4 << 20)

struct docker_endpoint {
	char *host;
	bool skip_tls_verify;
};

struct endpoints {
	struct docker_endpoint docker;
};

struct metadata {
	char *description;
};

struct document {
	char *name;
	struct metadata metadata;
	struct endpoints endpoints;
};

static const struct json_field metadata_fields[] = {
	JSON_TEXT("Description", struct metadata, description, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field endpoint_fields[] = {
	JSON_TEXT("Host", struct docker_endpoint, host, 0),
	JSON_BOOL("SkipTLSVerify", struct docker_endpoint, skip_tls_verify, 0),
	JSON_END,
};

static const struct json_field endpoints_fields[] = {
	JSON_OBJECT("docker", struct endpoints, docker, endpoint_fields, 0),
	JSON_END,
};

static const struct json_field document_fields[] = {
	JSON_TEXT("Name", struct document, name, JSON_REQUIRED),
	JSON_OBJECT("Metadata", struct document, metadata, metadata_fields, 0),
	JSON_OBJECT("Endpoints", struct document, endpoints, endpoints_fields, 0),
	JSON_END,
};

void saved_context_fini(struct saved_context *context)
{
	free(context->name);
	free(context->description);
	free(context->host);
	*context = (struct saved_context){ 0 };
}

void context_tls_fini(struct context_tls *tls)
{
	free(tls->ca);
	free(tls->certificate);
	free(tls->key);
	*tls = (struct context_tls){ 0 };
}

/* ^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$ */
int context_check_name(const char *name, struct error *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	static const char more[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-";

	if (text_equal(name, "default"))
		return error_set(err, ERR_INVALID, "\"default\" is a reserved context name");
	if (*name == '\0')
		return error_set(err, ERR_INVALID, "context name cannot be empty");
	if (strchr(letters, *name) && name[1] && name[1 + strspn(name + 1, more)] == '\0')
		return 0;
	return error_set(err, ERR_INVALID,
			 "context name \"%s\" is invalid, names are validated against regexp "
			 "\"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\"",
			 name);
}

char *context_folder(const struct config *config, const char *kind, const char *name)
{
	char id[SHA256_HEX_MAX];

	sha256_hex(id, name, strlen(name));
	return xasprintf("%s/contexts/%s/%s", config->folder, kind, id);
}

static char *meta_path(const struct config *config, const char *name)
{
	AUTO_FREE char *folder = context_folder(config, "meta", name);

	return path_join(folder, "meta.json");
}

bool context_exists(const struct config *config, const char *name)
{
	AUTO_FREE char *path = meta_path(config, name);

	return file_exists(AT_FDCWD, path);
}

static int load_file(struct saved_context *out_context, const char *path, struct error *err)
{
	struct document document = { 0 };
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = file_read(&text, &size, AT_FDCWD, path, META_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read %s", path);
	if (json_decode(&document, document_fields, text, size, err) < 0)
		return error_prefix(err, "%s", path);
	*out_context = (struct saved_context){
		.name = take_ptr(document.name),
		.description = take_ptr(document.metadata.description),
		.host = take_ptr(document.endpoints.docker.host),
		.skip_tls_verify = document.endpoints.docker.skip_tls_verify,
	};
	json_free_fields(&document, document_fields);
	return 0;
}

int context_load(struct saved_context *out_context, const struct config *config, const char *name, struct error *err)
{
	AUTO_FREE char *path = meta_path(config, name);

	if (!file_exists(AT_FDCWD, path))
		return error_set(err, ERR_NOT_FOUND,
				 "context \"%s\": context not found: open %s: no such file or directory", name, path);
	return load_file(out_context, path, err);
}

int context_save(const struct saved_context *context, const struct config *config, struct error *err)
{
	const struct document document = {
		.name = context->name,
		.metadata = { context->description },
		.endpoints = { { context->host, context->skip_tls_verify } },
	};
	AUTO_FREE char *folder = context_folder(config, "meta", context->name);
	AUTO_FREE char *path = path_join(folder, "meta.json");
	AUTO_FREE char *old = NULL;
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = mkdir_all(AT_FDCWD, folder, 0755);

	if (r == 0 && file_read(&old, &size, AT_FDCWD, path, META_MAX) == 0)
		text = json_update(old, size, &document, document_fields, err);
	else if (r == 0)
		text = json_encode(&document, document_fields);
	if (r == 0 && !text)
		return error_prefix(err, "%s", path);
	if (r == 0)
		r = file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644, FILE_SYNC_ALL);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", path) : 0;
}

int context_remove(const struct config *config, const char *name, struct error *err)
{
	AUTO_FREE char *tls = context_folder(config, "tls", name);
	AUTO_FREE char *meta = context_folder(config, "meta", name);
	int r = remove_tree(AT_FDCWD, tls);

	if (r == 0 || r == -ENOENT)
		r = remove_tree(AT_FDCWD, meta);
	return r < 0 && r != -ENOENT ? error_set_errno(err, ERR_INTERNAL, r, "remove %s", meta) : 0;
}

void context_names(struct text_list *out_names, const struct config *config)
{
	AUTO_FREE char *folder = xasprintf("%s/contexts/meta", config->folder);
	DIR *directory = opendir(folder);
	struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		AUTO_FREE char *path = xasprintf("%s/%s/meta.json", folder, entry->d_name);
		AUTO(saved_context_fini) struct saved_context context = { 0 };
		AUTO(error_clear) struct error ignored = { 0 };

		if (entry->d_name[0] != '.' && file_exists(AT_FDCWD, path) && load_file(&context, path, &ignored) == 0)
			text_list_add(out_names, context.name);
	}
	if (directory)
		closedir(directory);
	text_list_sort(out_names);
}

static char *existing(const char *folder, const char *file)
{
	char *path = path_join(folder, file);

	if (file_exists(AT_FDCWD, path))
		return path;
	free(path);
	return NULL;
}

void context_tls_find(struct context_tls *out_tls, const struct config *config, const char *name)
{
	AUTO_FREE char *folder = context_folder(config, "tls", name);
	AUTO_FREE char *docker = path_join(folder, "docker");

	*out_tls = (struct context_tls){
		.ca = existing(docker, "ca.pem"),
		.certificate = existing(docker, "cert.pem"),
		.key = existing(docker, "key.pem"),
	};
}

int context_tls_put(const struct config *config, const char *name, const char *file, const char *text, size_t size,
		    struct error *err)
{
	AUTO_FREE char *folder = context_folder(config, "tls", name);
	AUTO_FREE char *docker = path_join(folder, "docker");
	AUTO_FREE char *path = path_join(docker, file);
	int r = mkdir_all(AT_FDCWD, docker, 0700);

	if (r == 0)
		r = file_write_atomic(AT_FDCWD, path, text, size, 0600, FILE_SYNC_ALL);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", path) : 0;
}

/* ---- which one ---- */

const char *context_current(const struct config *config, const char *chosen)
{
	const char *name = chosen;

	if (text_empty(name) && (!text_empty(getenv("DOCKER_HOST")) || !text_empty(getenv("KIST_HOST"))))
		name = "default";
	if (text_empty(name))
		name = getenv("DOCKER_CONTEXT");
	if (text_empty(name))
		name = config_text(config, "currentContext");
	return text_empty(name) ? "default" : name;
}

struct current {
	char *name;
};

/* As docker writes it: indented by tabs. */
static int write_config(const char *path, const char *compact, struct error *err)
{
	AUTO(json_value_freep) struct json_value *root = NULL;
	AUTO(text_fini) struct text pretty = { 0 };
	int r;

	if (json_value_parse(&root, compact, strlen(compact), err) < 0)
		return -1;
	json_value_encode(&pretty, root, "\t");
	r = file_write_atomic(AT_FDCWD, path, pretty.data, pretty.size, 0600, FILE_SYNC_ALL);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", path) : 0;
}

int context_use(const struct config *config, const char *name, struct error *err)
{
	static const struct json_field fields[] = {
		JSON_TEXT("currentContext", struct current, name, JSON_OMIT_EMPTY),
		JSON_END,
	};
	AUTO_FREE char *path = path_join(config->folder, "config.json");
	AUTO_FREE char *copy = xstrdup(text_equal(name, "default") ? "" : name);
	const struct current current = { copy };
	AUTO_FREE char *old = NULL;
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = mkdir_all(AT_FDCWD, config->folder, 0700);

	if (r == 0)
		r = file_read(&old, &size, AT_FDCWD, path, CONFIG_MAX);
	if (r < 0 && r != -ENOENT)
		return error_set_errno(err, ERR_INTERNAL, r, "read %s", path);
	text = r == 0 ? json_update(old, size, &current, fields, err) : json_update("{}", 2, &current, fields, err);
	if (!text)
		return error_prefix(err, "%s", path);
	return write_config(path, text, err);
}
