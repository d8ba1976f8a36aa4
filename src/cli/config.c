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
#include "base/process.h"
#include "base/quote.h"
#include "oci/reference.h"

#define CONFIG_MAX (4 << 20)
#define HELPER_OUTPUT_MAX (1 << 20)

static char *default_folder(void)
{
	const char *folder = getenv("DOCKER_CONFIG");
	const char *home = getenv("HOME");

	if (!text_empty(folder))
		return xstrdup(folder);
	return path_join(text_empty(home) ? "/root" : home, ".docker");
}

int config_load(struct config *config, const char *folder, struct error *err)
{
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *text = NULL;
	size_t size;
	int r;

	*config = (struct config){ .folder = folder ? xstrdup(folder) : default_folder() };
	path = path_join(config->folder, "config.json");
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

void config_auth_fini(struct config_auth *auth)
{
	free(auth->username);
	free(auth->password);
	free(auth->identity_token);
	*auth = (struct config_auth){ 0 };
}

/* ---- helper programs ---- */

static const char *helper_of(const struct config *config, const char *registry)
{
	const struct json_value *helpers = json_value_get(config->root, "credHelpers");
	const char *helper = json_value_text(json_value_get(helpers, registry));

	return text_empty(helper) ? config_text(config, "credsStore") : helper;
}

bool config_has_helper(const struct config *config, const char *registry)
{
	return !text_empty(helper_of(config, registry));
}

static int run_helper(char **out_output, const char *helper, const char *verb, const char *input, struct error *err)
{
	AUTO_FREE char *program = xasprintf("docker-credential-%s", helper);
	AUTO_FREE char *argument = xstrdup(verb);
	char *argv[] = { program, argument, NULL };

	return process_run(out_output, argv, input, HELPER_OUTPUT_MAX, err);
}

static int ask_helper(struct config_auth *out_auth, const char *helper, const char *registry, struct error *err)
{
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO_FREE char *output = NULL;
	const char *username;
	const char *secret;

	if (run_helper(&output, helper, "get", registry, err) < 0) {
		/* The protocol has no other way to say "none". */
		if (!strstr(err->message, "credentials not found") && !strstr(err->message, "exit"))
			return -1;
		error_clear(err);
		return 0;
	}
	if (json_value_parse(&value, output, strlen(output), err) < 0)
		return error_prefix(err, "docker-credential-%s", helper);
	username = text_or_empty(json_value_text(json_value_get(value, "Username")));
	secret = text_or_empty(json_value_text(json_value_get(value, "Secret")));
	if (text_equal(username, "<token>")) {
		out_auth->identity_token = xstrdup(secret);
	} else {
		out_auth->username = xstrdup(username);
		out_auth->password = xstrdup(secret);
	}
	return 1;
}

/* ---- auths ---- */

/* "https://host/v1/" and "host" are the same registry. */
static char *bare_host(const char *key)
{
	const char *host = text_after(key, "https://");

	if (!host)
		host = text_after(key, "http://");
	if (!host)
		host = key;
	return xstrndup(host, strcspn(host, "/"));
}

/* The key under which the registry stands in the object, or NULL. */
static char *find_key(const struct json_value *auths, const char *registry)
{
	AUTO(text_list_fini) struct text_list keys = { 0 };
	AUTO_FREE char *wanted = bare_host(registry);

	if (json_value_get(auths, registry))
		return xstrdup(registry);
	json_value_keys(&keys, auths, false);
	for (size_t i = 0; i < keys.count; i++) {
		AUTO_FREE char *host = bare_host(keys.items[i]);

		if (text_equal(host, wanted))
			return xstrdup(keys.items[i]);
	}
	return NULL;
}

static void decode_auth(struct config_auth *auth, const struct json_value *entry)
{
	const char *encoded = json_value_text(json_value_get(entry, "auth"));
	const char *token = json_value_text(json_value_get(entry, "identitytoken"));
	AUTO_FREE char *decoded = NULL;
	size_t size;
	char *colon;

	if (!text_empty(token))
		auth->identity_token = xstrdup(token);
	if (!text_empty(encoded) && base64_decode(&decoded, &size, encoded) < 0)
		decoded = NULL;
	colon = decoded ? strchr(decoded, ':') : NULL;
	if (!colon) {
		auth->username = xstrdup(json_value_text(json_value_get(entry, "username")));
		auth->password = xstrdup(json_value_text(json_value_get(entry, "password")));
		return;
	}
	*colon = '\0';
	auth->username = xstrdup(decoded);
	auth->password = xstrdup(colon + 1);
}

int config_find_auth(struct config_auth *out_auth, const struct config *config, const char *registry, struct error *err)
{
	const struct json_value *auths = json_value_get(config->root, "auths");
	const char *helper = helper_of(config, registry);
	AUTO_FREE char *key = NULL;

	*out_auth = (struct config_auth){ 0 };
	if (!text_empty(helper))
		return ask_helper(out_auth, helper, registry, err);
	key = find_key(auths, registry);
	if (!key)
		return 0;
	decode_auth(out_auth, json_value_get(auths, key));
	return out_auth->username || out_auth->identity_token ? 1 : 0;
}

static void add_member(struct text *json, const char *key, const char *value)
{
	if (text_empty(value))
		return;
	text_addf(json, "%s\"%s\":", json->size > 1 ? "," : "", key);
	quote_json(json, value, strlen(value));
}

char *config_auth_header(const struct config_auth *auth, const char *registry)
{
	AUTO(text_fini) struct text json = { 0 };
	bool known = auth->username || auth->identity_token;

	text_add_char(&json, '{');
	add_member(&json, "username", auth->username);
	add_member(&json, "password", auth->password);
	add_member(&json, "serveraddress", known ? registry : NULL);
	add_member(&json, "identitytoken", auth->identity_token);
	text_add_char(&json, '}');
	return base64_encode_url(json.data, json.size);
}

/* ---- writing ---- */

static void add_key(struct text *json, const char *key)
{
	if (json->data[json->size - 1] != '{')
		text_add_char(json, ',');
	quote_json(json, key, strlen(key));
	text_add_char(json, ':');
}

static void add_entry(struct text *json, const struct config_auth *auth)
{
	AUTO_FREE char *pair = xasprintf("%s:%s", text_or_empty(auth->username), text_or_empty(auth->password));
	AUTO_FREE char *encoded = base64_encode(pair, strlen(pair));
	struct text entry = { 0 };

	text_add_char(&entry, '{');
	if (auth->username)
		add_member(&entry, "auth", encoded);
	add_member(&entry, "identitytoken", auth->identity_token);
	text_add_char(&entry, '}');
	text_add(json, entry.data);
	text_fini(&entry);
}

/* auths without `drop`, and with `add` for `registry` if given. */
static void add_auths(struct text *json, const struct json_value *auths, const char *drop, const char *registry,
		      const struct config_auth *add)
{
	AUTO(text_list_fini) struct text_list keys = { 0 };

	text_add_char(json, '{');
	json_value_keys(&keys, auths, false);
	for (size_t i = 0; i < keys.count; i++) {
		if (text_equal(keys.items[i], drop) || text_equal(keys.items[i], registry))
			continue;
		add_key(json, keys.items[i]);
		json_value_encode(json, json_value_get(auths, keys.items[i]), NULL);
	}
	if (registry) {
		add_key(json, registry);
		add_entry(json, add);
	}
	text_add_char(json, '}');
}

static int save(struct config *config, const char *drop, const char *registry, const struct config_auth *add,
		struct error *err)
{
	AUTO_FREE char *path = path_join(config->folder, "config.json");
	AUTO(text_list_fini) struct text_list keys = { 0 };
	AUTO(text_fini) struct text json = { 0 };
	AUTO(text_fini) struct text pretty = { 0 };
	struct json_value *root;
	int r;

	json_value_keys(&keys, config->root, false);
	text_add_char(&json, '{');
	for (size_t i = 0; i < keys.count; i++) {
		if (text_equal(keys.items[i], "auths"))
			continue;
		add_key(&json, keys.items[i]);
		json_value_encode(&json, json_value_get(config->root, keys.items[i]), NULL);
	}
	add_key(&json, "auths");
	add_auths(&json, json_value_get(config->root, "auths"), drop, registry, add);
	text_add_char(&json, '}');
	if (json_value_parse(&root, json.data, json.size, err) < 0)
		return -1;
	json_value_free(config->root);
	config->root = root;
	json_value_encode(&pretty, root, "\t");
	r = mkdir_all(AT_FDCWD, config->folder, 0700);
	if (r == 0)
		r = file_write_atomic(AT_FDCWD, path, pretty.data, pretty.size, 0600, FILE_NO_SYNC);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", path) : 0;
}

int config_store_auth(struct config *config, const char *registry, const struct config_auth *auth, struct error *err)
{
	static const struct config_auth none = { 0 };
	const char *helper = helper_of(config, registry);
	AUTO(text_fini) struct text input = { 0 };
	AUTO_FREE char *output = NULL;

	if (text_empty(helper))
		return save(config, NULL, registry, auth, err);
	text_add_char(&input, '{');
	add_member(&input, "ServerURL", registry);
	add_member(&input, "Username", auth->identity_token ? "<token>" : auth->username);
	add_member(&input, "Secret", auth->identity_token ? auth->identity_token : auth->password);
	text_add_char(&input, '}');
	if (run_helper(&output, helper, "store", input.data, err) < 0)
		return -1;
	return save(config, NULL, registry, &none, err);
}

int config_erase_auth(struct config *config, const char *registry, struct error *err)
{
	AUTO_FREE char *key = find_key(json_value_get(config->root, "auths"), registry);
	const char *helper = helper_of(config, registry);
	AUTO_FREE char *output = NULL;

	if (!text_empty(helper) && run_helper(&output, helper, "erase", registry, err) < 0)
		return -1;
	if (!key)
		return text_empty(helper) ? 0 : 1;
	return save(config, key, NULL, NULL, err) < 0 ? -1 : 1;
}
