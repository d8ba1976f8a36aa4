/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/process.h"
#include "base/text.h"
#include "json/json.h"
#include "json/update.h"
#include "json/value.h"

#define FILE_MAX (4 * 1024 * 1024)
#define ANSWER_MAX (256 * 1024)
/* docker-credential-helpers: this user name means the secret is an identity token. */
#define TOKEN_USER "<token>"

struct saved {
	char *key;
	char *auth; /* base64 of user:password */
	char *username;
	char *password;
	char *email;
	char *identity_token;
	char *registry_token;
};

struct config {
	JSON_ARRAY_OF(struct saved) auths;
	char *store;
	struct text_map helpers;
};

static const struct json_field saved_fields[] = {
	JSON_KEY(struct saved, key),
	JSON_TEXT("auth", struct saved, auth, JSON_OMIT_EMPTY),
	JSON_TEXT("username", struct saved, username, JSON_OMIT_EMPTY),
	JSON_TEXT("password", struct saved, password, JSON_OMIT_EMPTY),
	JSON_TEXT("email", struct saved, email, JSON_OMIT_EMPTY),
	JSON_TEXT("identitytoken", struct saved, identity_token, JSON_OMIT_EMPTY),
	JSON_TEXT("registrytoken", struct saved, registry_token, JSON_OMIT_EMPTY),
	JSON_END,
};
static const struct json_field config_fields[] = {
	JSON_MAP("auths", struct config, auths, saved_fields, 0),
	JSON_TEXT("credsStore", struct config, store, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("credHelpers", struct config, helpers, JSON_OMIT_EMPTY),
	JSON_END,
};
/* The only part we ever write. */
static const struct json_field written_fields[] = {
	JSON_MAP("auths", struct config, auths, saved_fields, 0),
	JSON_END,
};

struct helper_secret {
	char *server;
	char *username;
	char *secret;
};

static const struct json_field secret_fields[] = {
	JSON_TEXT("ServerURL", struct helper_secret, server, 0),
	JSON_TEXT("Username", struct helper_secret, username, 0),
	JSON_TEXT("Secret", struct helper_secret, secret, 0),
	JSON_END,
};

void credential_fini(struct credential *credential)
{
	free(credential->username);
	free(credential->password);
	free(credential->identity_token);
	free(credential->registry_token);
	*credential = (struct credential){ 0 };
}

/* ---- the file ---- */

static void config_fini(struct config *config)
{
	json_free_fields(config, config_fields);
}

/* *out_text is "{}" for a missing or empty file. */
static int config_load(struct config *out_config, char **out_text, const char *path, struct error *err)
{
	AUTO_FREE char *text = NULL;
	int r = file_read(&text, NULL, AT_FDCWD, path, FILE_MAX);

	if (r == -ENOENT || (r >= 0 && text_empty(text))) {
		free(text);
		text = xstrdup("{}");
	} else if (r < 0) {
		return error_set_errno(err, ERR_INTERNAL, r, "read %s", path);
	}
	if (json_decode(out_config, config_fields, text, strlen(text), err) < 0)
		return error_prefix(err, "%s", path);
	*out_text = take_ptr(text);
	return 0;
}

static int config_save(const struct config *config, const char *original, const char *path, struct error *err)
{
	AUTO_FREE char *updated = json_update(original, strlen(original), config, written_fields, err);
	/* Behind a link (dotfiles kept elsewhere) the file is replaced, not the link. */
	AUTO_FREE char *behind = realpath(path, NULL);
	AUTO_FREE char *folder = path_parent(behind ? behind : path);
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO(text_fini) struct text pretty = { 0 };
	int r;

	if (!updated || json_value_parse(&value, updated, strlen(updated), err) < 0)
		return -1;
	json_value_encode(&pretty, value, "\t");
	r = mkdir_all(AT_FDCWD, folder, 0700);
	if (r == 0)
		r = file_write_atomic(AT_FDCWD, behind ? behind : path, pretty.data, pretty.size, 0600, FILE_NO_SYNC);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", path) : 0;
}

/* "https://host/v1/" is known under "host" too: as docker's ConvertToHostname. */
static char *host_of(const char *key)
{
	const char *rest = text_after(key, "https://");

	if (!rest)
		rest = text_after(key, "http://");
	if (!rest)
		rest = key;
	return xstrndup(rest, strcspn(rest, "/"));
}

static struct saved *find_saved(const struct config *config, const char *key)
{
	AUTO_FREE char *host = host_of(key);

	for (size_t i = 0; i < config->auths.count; i++)
		if (text_equal(config->auths.items[i].key, key))
			return &config->auths.items[i];
	for (size_t i = 0; i < config->auths.count; i++) {
		AUTO_FREE char *other = host_of(config->auths.items[i].key);

		if (text_equal(other, host))
			return &config->auths.items[i];
	}
	return NULL;
}

static int decode_saved(struct credential *out_credential, const struct saved *saved, const char *path,
			struct error *err)
{
	AUTO_FREE char *pair = NULL;
	size_t size = 0;
	char *colon;

	if (!text_empty(saved->auth) && base64_decode(&pair, &size, saved->auth) < 0)
		return error_set(err, ERR_INVALID, "%s: auths.%s.auth is not base64", path, saved->key);
	colon = pair ? strchr(pair, ':') : NULL;
	if (pair && !colon)
		return error_set(err, ERR_INVALID, "%s: auths.%s.auth holds no \"user:password\"", path, saved->key);
	if (colon)
		*colon++ = '\0';
	*out_credential = (struct credential){
		.username = xstrdup(pair ? pair : saved->username),
		.password = xstrdup(colon ? colon : saved->password),
		.identity_token = xstrdup(saved->identity_token),
		.registry_token = xstrdup(saved->registry_token),
	};
	return !text_empty(out_credential->username) || !text_empty(out_credential->identity_token) ||
	       !text_empty(out_credential->registry_token);
}

/* ---- helpers ---- */

/* The helper for a key (borrowed), or NULL. An empty one in credHelpers means: the file. */
static const char *helper_of(const struct config *config, const char *key)
{
	AUTO_FREE char *host = host_of(key);
	const char *named = text_map_get(&config->helpers, key);

	if (!named)
		named = text_map_get(&config->helpers, host);
	if (named)
		return *named ? named : NULL;
	return text_empty(config->store) ? NULL : config->store;
}

static int make_file(const char *text, struct error *err)
{
	int fd = file_memory("credential", text, strlen(text));

	return fd < 0 ? error_set_errno(err, ERR_INTERNAL, fd, "make a file in memory") : fd;
}

/* Runs docker-credential-NAME verb. 1: it said yes; 0: it said no, *out_answer tells why. */
static int run_helper(char **out_answer, const char *name, const char *verb, const char *input, struct error *err)
{
	AUTO_FREE char *program = xasprintf("docker-credential-%s", name);
	char *argv[] = { program, (char *)(uintptr_t)verb, NULL };
	AUTO_CLOSE int in = make_file(input, err);
	AUTO_CLOSE int out = in < 0 ? -1 : make_file("", err);
	AUTO(process_fini) struct process process = { .pidfd = -1 };
	struct process_end end;
	int r;

	if (in < 0 || out < 0)
		return -1;
	if (process_spawn(&process,
			  &(struct process_options){ .path = program, .argv = argv, .stdin_fd = in, .stdout_fd = out },
			  err) < 0 ||
	    process_wait(&process, &end, -1, -1, err) < 0)
		return error_prefix(err, "credential helper");
	if (lseek(out, 0, SEEK_SET) < 0 || (r = fd_read_all(out_answer, NULL, out, ANSWER_MAX)) < 0)
		return error_set(err, ERR_INTERNAL, "%s: its answer cannot be read", program);
	return !end.signaled && end.code == 0;
}

static int helper_failed(const char *name, const char *verb, char *answer, struct error *err)
{
	return error_set(err, ERR_INTERNAL, "docker-credential-%s %s: %s", name, verb, text_trim(answer));
}

static bool says_not_found(const char *answer)
{
	return strstr(answer, "credentials not found in native keychain") != NULL;
}

static int helper_get(struct credential *out_credential, const char *name, const char *key, struct error *err)
{
	AUTO_FREE char *answer = NULL;
	struct helper_secret secret = { 0 };
	bool is_token;
	int r = run_helper(&answer, name, "get", key, err);

	if (r < 0)
		return -1;
	if (r == 0)
		return says_not_found(answer) ? 0 : helper_failed(name, "get", answer, err);
	if (json_decode(&secret, secret_fields, answer, strlen(answer), err) < 0)
		return error_prefix(err, "docker-credential-%s get", name);
	is_token = text_equal(secret.username, TOKEN_USER);
	*out_credential = (struct credential){ .username = is_token ? NULL : take_ptr(secret.username) };
	*(is_token ? &out_credential->identity_token : &out_credential->password) = take_ptr(secret.secret);
	json_free_fields(&secret, secret_fields);
	return 1;
}

static int helper_store(const char *name, const char *key, const struct credential *credential, struct error *err)
{
	bool is_token = !text_empty(credential->identity_token);
	struct helper_secret secret = {
		.server = (char *)(uintptr_t)key,
		.username = is_token ? (char *)(uintptr_t)TOKEN_USER : credential->username,
		.secret = is_token ? credential->identity_token : credential->password,
	};
	AUTO_FREE char *input = json_encode(&secret, secret_fields);
	AUTO_FREE char *answer = NULL;
	int r = run_helper(&answer, name, "store", input, err);

	return r == 0 ? helper_failed(name, "store", answer, err) : r < 0 ? -1 : 0;
}

/* ---- together ---- */

int credentials_get(struct credential *out_credential, const char *path, const char *key, struct error *err)
{
	AUTO(config_fini) struct config config = { 0 };
	AUTO_FREE char *text = NULL;
	const struct saved *saved;
	const char *helper;

	*out_credential = (struct credential){ 0 };
	if (config_load(&config, &text, path, err) < 0)
		return -1;
	helper = helper_of(&config, key);
	if (helper)
		return helper_get(out_credential, helper, key, err);
	saved = find_saved(&config, key);
	return saved ? decode_saved(out_credential, saved, path, err) : 0;
}

static void fill_saved(struct saved *saved, const struct credential *credential)
{
	AUTO_FREE char *pair = xasprintf("%s:%s", text_or_empty(credential->username),
					 text_empty(credential->identity_token) ? text_or_empty(credential->password)
										: "");

	saved->auth = base64_encode(pair, strlen(pair));
	saved->identity_token = xstrdup(credential->identity_token);
	saved->registry_token = xstrdup(credential->registry_token);
}

static struct saved *make_saved(struct config *config, const char *key)
{
	struct saved *saved = find_saved(config, key);

	if (saved && text_equal(saved->key, key))
		json_free_fields(saved, saved_fields);
	else
		saved = json_array_add(&config->auths, sizeof(*saved));
	saved->key = xstrdup(key);
	return saved;
}

int credentials_store(const char *path, const char *key, const struct credential *credential, bool *out_plain,
		      struct error *err)
{
	AUTO(config_fini) struct config config = { 0 };
	AUTO_FREE char *text = NULL;
	struct saved *saved;
	const char *helper;

	if (config_load(&config, &text, path, err) < 0)
		return -1;
	helper = helper_of(&config, key);
	if (helper && helper_store(helper, key, credential, err) < 0)
		return -1;
	/* With a helper the file gets an empty entry: that is how docker knows where it is logged in. */
	saved = make_saved(&config, key);
	if (!helper)
		fill_saved(saved, credential);
	if (config_save(&config, text, path, err) < 0)
		return -1;
	if (out_plain)
		*out_plain = !helper;
	return 0;
}

static void remove_saved(struct config *config, struct saved *saved)
{
	size_t index = (size_t)(saved - config->auths.items);

	json_free_fields(saved, saved_fields);
	config->auths.count--;
	memmove(saved, saved + 1, (config->auths.count - index) * sizeof(*saved));
}

/* 1 if it was there, 0 if not. */
static int helper_erase(const char *name, const char *key, struct error *err)
{
	AUTO_FREE char *answer = NULL;
	int r = run_helper(&answer, name, "erase", key, err);

	if (r != 0)
		return r;
	return says_not_found(answer) ? 0 : helper_failed(name, "erase", answer, err);
}

int credentials_erase(const char *path, const char *key, struct error *err)
{
	AUTO(config_fini) struct config config = { 0 };
	AUTO_FREE char *text = NULL;
	struct saved *saved;
	const char *helper;
	int erased = 0;

	if (config_load(&config, &text, path, err) < 0)
		return -1;
	helper = helper_of(&config, key);
	if (helper)
		erased = helper_erase(helper, key, err);
	saved = erased < 0 ? NULL : find_saved(&config, key);
	if (!saved)
		return erased;
	remove_saved(&config, saved);
	return config_save(&config, text, path, err) < 0 ? -1 : 1;
}
