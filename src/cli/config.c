/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/file.h"
#include "base/path.h"
#include "base/quote.h"
#include "oci/reference.h"

#define CONFIG_MAX (4 << 20)

static char *default_folder(void)
{
	const char *folder = getenv("DOCKER_CONFIG");
	const char *home = getenv("HOME");

	if (!text_empty(folder))
		return xstrdup(folder);
	return path_join(text_empty(home) ? "/root" : home, ".docker");
}

static char *path_of(const struct config *config)
{
	return path_join(config->folder, "config.json");
}

int config_load(struct config *config, const char *folder, struct error *err)
{
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *text = NULL;
	size_t size;
	int r;

	*config = (struct config){ .folder = folder ? xstrdup(folder) : default_folder() };
	path = path_of(config);
	r = file_read(&text, &size, AT_FDCWD, path, CONFIG_MAX);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read %s", path);
	if (json_value_parse(&config->root, text, size, err) < 0)
		return error_prefix(err, "%s", path);
	return 0;
}

void config_fini(struct config *config)
{
	free(config->folder);
	json_value_free(config->root);
	*config = (struct config){ 0 };
}

const char *config_text(const struct config *config, const char *key)
{
	return json_value_text(json_value_get(config->root, key));
}

void config_headers(const struct config *config, struct text_map *out_headers)
{
	const struct json_value *headers = json_value_get(config->root, "HttpHeaders");
	AUTO(text_list_fini) struct text_list keys = { 0 };

	json_value_keys(&keys, headers, false);
	for (size_t i = 0; i < keys.count; i++) {
		const char *value = json_value_text(json_value_get(headers, keys.items[i]));

		/* A line break would let the file write headers of its own. */
		if (value && !strpbrk(value, "\r\n") && !strpbrk(keys.items[i], "\r\n: "))
			text_map_set(out_headers, keys.items[i], value);
	}
}

char *config_registry_of(const char *image)
{
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };

	if (reference_parse(&reference, image, &ignored) < 0)
		return xstrdup(reference_auth_key("docker.io"));
	return xstrdup(reference_auth_key(reference.domain));
}

int config_find_auth(struct credential *out_auth, const struct config *config, const char *registry, struct error *err)
{
	AUTO_FREE char *path = path_of(config);

	return credentials_get(out_auth, path, registry, err);
}

int config_store_auth(const struct config *config, const char *registry, const struct credential *auth, bool *out_plain,
		      struct error *err)
{
	AUTO_FREE char *path = path_of(config);

	return credentials_store(path, registry, auth, out_plain, err);
}

int config_erase_auth(const struct config *config, const char *registry, struct error *err)
{
	AUTO_FREE char *path = path_of(config);

	return credentials_erase(path, registry, err);
}

static void add_member(struct text *json, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	text_addf(json, "%s\"%s\":", json->size > 1 ? "," : "", key);
	quote_json(json, value, strlen(value));
}

char *config_auth_json(const struct credential *auth, const char *registry)
{
	struct text json = { 0 };
	bool known = auth->username || auth->identity_token;

	text_add_char(&json, '{');
	add_member(&json, "username", auth->username);
	add_member(&json, "password", auth->password);
	add_member(&json, "serveraddress", known ? registry : NULL);
	add_member(&json, "identitytoken", auth->identity_token);
	text_add_char(&json, '}');
	return text_take(&json);
}

char *config_auth_header(const struct credential *auth, const char *registry)
{
	AUTO_FREE char *json = config_auth_json(auth, registry);

	return base64_encode_url(json, strlen(json));
}
