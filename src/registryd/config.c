/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/config.h"

#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "oci/reference.h"
#include "registryd/config_schema.h"
#include "json/value.h"

#define FILE_MAX ((size_t)1 << 20)
#define INTERVAL_DEFAULT_S 3600
#define DELAY_DEFAULT_S 3600
#define TOKEN_LIFE_DEFAULT_S 300
#define STOP_WAIT_DEFAULT_S 30
#define SCRUB_RATE_DEFAULT (32 * 1024 * 1024)

struct auth_file {
	char *htpasswd;
	char *realm;
	bool token;
	char *service;
	struct optional_i64 token_life_s;
	JSON_ARRAY_OF(struct access_rule) rules;
};

struct collect_file {
	struct optional_bool on;
	struct optional_i64 interval_s;
	struct optional_i64 delay_s;
	bool untagged;
};

struct scrub_file {
	int64_t interval_s;
	struct optional_i64 rate;
};

struct config_file {
	char *root;
	struct text_list listen;
	char *log_level;
	char *log_format;
	bool sparse;
	bool read_only;
	bool access_log;
	char *access_log_format;
	struct optional_i64 stop_wait_s;
	bool metrics;
	struct registry_tls tls;
	struct auth_file auth;
	struct collect_file collect;
	JSON_ARRAY_OF(struct upstream_config) upstreams;
	JSON_ARRAY_OF(struct webhook) webhooks;
	struct quota quota;
	struct retention retention;
	struct scrub_file scrub;
	struct s3_config *s3;
};

static const struct json_field tls_fields[] = {
	JSON_TEXT("certificate", struct registry_tls, certificate, 0),
	JSON_TEXT("key", struct registry_tls, key, 0),
	JSON_TEXT("client-authorities", struct registry_tls, client_authorities, 0),
	JSON_END,
};

static const struct json_field rule_fields[] = {
	JSON_TEXT("repository", struct access_rule, repository, JSON_REQUIRED),
	JSON_TEXT_LIST("users", struct access_rule, users, 0),
	JSON_BOOL("anonymous", struct access_rule, anonymous, 0),
	JSON_TEXT_LIST("actions", struct access_rule, actions, JSON_REQUIRED),
	JSON_END,
};

static const struct json_field auth_fields[] = {
	JSON_TEXT("htpasswd", struct auth_file, htpasswd, 0),
	JSON_TEXT("realm", struct auth_file, realm, 0),
	JSON_BOOL("token", struct auth_file, token, 0),
	JSON_TEXT("service", struct auth_file, service, 0),
	JSON_OPT_I64("token-life", struct auth_file, token_life_s, 0),
	JSON_ARRAY("rules", struct auth_file, rules, rule_fields, 0),
	JSON_END,
};

static const struct json_field collect_fields[] = {
	JSON_OPT_BOOL("on", struct collect_file, on, 0),
	JSON_OPT_I64("interval", struct collect_file, interval_s, 0),
	JSON_OPT_I64("delay", struct collect_file, delay_s, 0),
	JSON_BOOL("untagged", struct collect_file, untagged, 0),
	JSON_END,
};

static const struct json_field scrub_fields[] = {
	JSON_I64("interval", struct scrub_file, interval_s, JSON_REQUIRED),
	JSON_OPT_I64("rate", struct scrub_file, rate, 0),
	JSON_END,
};

static const struct json_field file_fields[] = {
	JSON_TEXT("root", struct config_file, root, 0),
	JSON_TEXT_LIST("listen", struct config_file, listen, JSON_TEXT_OR_LIST),
	JSON_TEXT("log-level", struct config_file, log_level, 0),
	JSON_TEXT("log-format", struct config_file, log_format, 0),
	JSON_BOOL("sparse", struct config_file, sparse, 0),
	JSON_BOOL("read-only", struct config_file, read_only, 0),
	JSON_BOOL("access-log", struct config_file, access_log, 0),
	JSON_TEXT("access-log-format", struct config_file, access_log_format, 0),
	JSON_OPT_I64("stop-wait", struct config_file, stop_wait_s, 0),
	JSON_BOOL("metrics", struct config_file, metrics, 0),
	JSON_OBJECT("tls", struct config_file, tls, tls_fields, 0),
	JSON_OBJECT("auth", struct config_file, auth, auth_fields, 0),
	JSON_OBJECT("garbage", struct config_file, collect, collect_fields, 0),
	JSON_ARRAY("upstreams", struct config_file, upstreams, upstream_fields, 0),
	JSON_ARRAY("webhooks", struct config_file, webhooks, webhook_fields, 0),
	JSON_OBJECT("quota", struct config_file, quota, quota_fields, 0),
	JSON_OBJECT("retention", struct config_file, retention, retention_fields, 0),
	JSON_OBJECT("scrub", struct config_file, scrub, scrub_fields, 0),
	JSON_POINTER("s3", struct config_file, s3, s3_fields, 0),
	JSON_END,
};

/* ---- unknown keys ---- */

static int check_keys(const struct json_value *value, const struct json_field *fields, const char *place,
		      struct error *err);

static int check_items(const struct json_value *value, const struct json_field *field, const char *place,
		       struct error *err)
{
	for (size_t i = 0; i < json_value_count(value); i++) {
		AUTO_FREE char *item = xasprintf("%s[%zu]", place, i);

		if (check_keys(json_value_at(value, i), field->fields, item, err) < 0)
			return -1;
	}
	return 0;
}

/* Tables of objects say nothing of keys they do not know; a mistyped option must not be ignored here. */
static int check_keys(const struct json_value *value, const struct json_field *fields, const char *place,
		      struct error *err)
{
	AUTO(text_list_fini) struct text_list keys = { 0 };

	json_value_keys(&keys, value, false);
	for (size_t i = 0; i < keys.count; i++) {
		const struct json_field *field = fields;
		AUTO_FREE char *below = xasprintf("%s%s%s", place, *place ? "." : "", keys.items[i]);
		const struct json_value *member = json_value_get(value, keys.items[i]);
		int r = 0;

		while (field->kind != JSON_KIND_END && !text_equal(field->name, keys.items[i]))
			field++;
		if (field->kind == JSON_KIND_END)
			return error_set(err, ERR_INVALID, "unknown option \"%s\"", below);
		if (field->kind == JSON_KIND_OBJECT || field->kind == JSON_KIND_POINTER)
			r = check_keys(member, field->fields, below, err);
		else if (field->kind == JSON_KIND_ARRAY)
			r = check_items(member, field, below, err);
		if (r < 0)
			return -1;
	}
	return 0;
}

/* ---- load ---- */

static void take_auth(struct registry_config *config, struct auth_file *auth)
{
	config->auth.htpasswd = take_ptr(auth->htpasswd);
	config->auth.realm = take_ptr(auth->realm);
	config->auth.token = auth->token;
	config->auth.service = auth->service ? take_ptr(auth->service) : xstrdup("kist-registry");
	config->auth.token_life_s = optional_i64_or(auth->token_life_s, TOKEN_LIFE_DEFAULT_S);
	config->auth.rules.items = auth->rules.items;
	config->auth.rules.count = auth->rules.count;
	auth->rules.items = NULL;
	auth->rules.count = 0;
	/*
	 * Where strangers may read, the first answer cannot ask for a password, and clients that got no challenge there
	 * never send one: only tokens, which a stranger gets too, serve both.
	 */
	for (size_t i = 0; i < config->auth.rules.count; i++)
		config->auth.token |= config->auth.htpasswd && config->auth.rules.items[i].anonymous;
}

static void take_file(struct registry_config *config, struct config_file *file)
{
	*config = (struct registry_config){
		.root = file->root ? take_ptr(file->root) : xstrdup("/var/lib/kist-registry"),
		.listen = file->listen,
		.log_level = take_ptr(file->log_level),
		.log_format = take_ptr(file->log_format),
		.sparse = file->sparse,
		.read_only = file->read_only,
		.access_log = file->access_log,
		.metrics = file->metrics,
		.tls = file->tls,
		.collect_off = !optional_bool_or(file->collect.on, true),
		.collect_interval_s = optional_i64_or(file->collect.interval_s, INTERVAL_DEFAULT_S),
		.collect_delay_s = optional_i64_or(file->collect.delay_s, DELAY_DEFAULT_S),
		.collect_untagged = file->collect.untagged,
		.stop_wait_s = optional_i64_or(file->stop_wait_s, STOP_WAIT_DEFAULT_S),
		.quota = file->quota,
		.retention = file->retention,
		.scrub_interval_s = file->scrub.interval_s,
		.scrub_rate = optional_i64_or(file->scrub.rate, SCRUB_RATE_DEFAULT),
	};
	config->webhooks.items = take_ptr(file->webhooks.items);
	config->webhooks.count = file->webhooks.count;
	file->webhooks.count = 0;
	config->s3 = take_ptr(file->s3);
	file->quota = (struct quota){ 0 };
	file->retention = (struct retention){ 0 };
	config->upstreams.items = take_ptr(file->upstreams.items);
	config->upstreams.count = file->upstreams.count;
	file->upstreams.count = 0;
	file->listen = (struct text_list){ 0 };
	file->tls = (struct registry_tls){ 0 };
	take_auth(config, &file->auth);
}

static int decode(struct config_file *file, const char *text, size_t size, struct error *err)
{
	AUTO(json_value_freep) struct json_value *value = NULL;

	if (json_value_parse(&value, text, size, err) < 0 || json_decode(file, file_fields, text, size, err) < 0)
		return -1;
	if (check_keys(value, file_fields, "", err) == 0)
		return 0;
	json_free_fields(file, file_fields);
	return -1;
}

/* From the decoded file, whose texts move. */
static int take_checked(struct registry_config *out_config, struct config_file *file, struct error *err)
{
	enum access_format format = ACCESS_LOG_TEXT;

	if (file->access_log_format && access_format_parse(&format, file->access_log_format) < 0) {
		error_set(err, ERR_INVALID, "access-log-format: \"%s\" is none of text, combined, json",
			  file->access_log_format);
		json_free_fields(file, file_fields);
		return -1;
	}
	take_file(out_config, file);
	out_config->access_format = format;
	json_free_fields(file, file_fields);
	return 0;
}

int registry_config_parse(struct registry_config *out_config, const char *text, size_t size, struct error *err)
{
	struct config_file file = { 0 };

	return decode(&file, text, size, err) < 0 ? -1 : take_checked(out_config, &file, err);
}

int registry_config_load(struct registry_config *out_config, const char *path, struct error *err)
{
	struct config_file none = { 0 };
	AUTO_FREE char *text = NULL;
	size_t size;
	int r;

	if (!path)
		return take_checked(out_config, &none, err);
	r = file_read(&text, &size, AT_FDCWD, path, FILE_MAX);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read %s", path);
	return registry_config_parse(out_config, text, size, err) < 0 ? error_prefix(err, "%s", path) : 0;
}

/* ---- check ---- */

static int check_rules(const struct access_config *auth, struct error *err)
{
	static const char *const known[] = { "pull", "push", "delete", "*" };

	for (size_t i = 0; i < auth->rules.count; i++) {
		const struct access_rule *rule = &auth->rules.items[i];

		if (rule->users.count == 0 && !rule->anonymous)
			return error_set(err, ERR_INVALID, "auth.rules[%zu] is for nobody: name users, or anonymous",
					 i);
		for (size_t j = 0; j < rule->actions.count; j++) {
			bool found = false;

			for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
				found |= text_equal(known[k], rule->actions.items[j]);
			if (!found)
				return error_set(err, ERR_INVALID,
						 "auth.rules[%zu].actions: \"%s\" is none of pull, push, delete, *", i,
						 rule->actions.items[j]);
		}
	}
	if (!auth->htpasswd && (auth->rules.count || auth->token))
		return error_set(err, ERR_INVALID, "auth.%s needs auth.htpasswd", auth->token ? "token" : "rules");
	return 0;
}

static int check_webhooks(const struct registry_config *config, struct error *err)
{
	static const char *const known[] = { "push", "pull", "mount", "delete" };

	for (size_t i = 0; i < config->webhooks.count; i++) {
		const struct webhook *webhook = &config->webhooks.items[i];

		if (!text_has_prefix(webhook->url, "http://") && !text_has_prefix(webhook->url, "https://"))
			return error_set(err, ERR_INVALID, "webhooks[%zu].url: \"%s\" is not http:// or https://", i,
					 webhook->url);
		if (optional_i64_or(webhook->queue, 1) < 1)
			return error_set(err, ERR_INVALID, "webhooks[%zu].queue must be at least 1", i);
		for (size_t j = 0; j < webhook->actions.count; j++) {
			bool found = false;

			for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
				found |= text_equal(known[k], webhook->actions.items[j]);
			if (!found)
				return error_set(err, ERR_INVALID,
						 "webhooks[%zu].actions: \"%s\" is none of push, pull, mount, delete",
						 i, webhook->actions.items[j]);
		}
	}
	return 0;
}

static int check_s3(const struct registry_config *config, struct error *err)
{
	AUTO_FREE char *problem = config->s3 ? s3_problem(config->s3) : NULL;

	return problem ? error_set(err, ERR_INVALID, "s3.%s", problem) : 0;
}

static int check_rules_of_bytes(const struct registry_config *config, struct error *err)
{
	const struct quota *quota = &config->quota;

	if (quota->total < 0 || quota->each < 0)
		return error_set(err, ERR_INVALID, "quota.total and quota.each are bytes, at least 0");
	for (size_t i = 0; i < quota->repositories.count; i++)
		if (quota->repositories.items[i].size < 0)
			return error_set(err, ERR_INVALID, "quota.repositories[%zu].size is bytes, at least 0", i);
	for (size_t i = 0; i < config->retention.rules.count; i++) {
		const struct retention_rule *rule = &config->retention.rules.items[i];

		if (optional_i64_or(rule->keep_newest, 0) < 0 || optional_i64_or(rule->older_than_s, 0) < 0)
			return error_set(err, ERR_INVALID,
					 "retention.rules[%zu]: keep-newest and older-than are at least 0", i);
	}
	if (config->scrub_interval_s < 0 || config->scrub_rate < 1)
		return error_set(err, ERR_INVALID,
				 "scrub.interval is seconds, scrub.rate bytes a second: at least 0 and 1");
	if (config->stop_wait_s < 0)
		return error_set(err, ERR_INVALID, "stop-wait is seconds, at least 0");
	return 0;
}

static int check_upstreams(const struct registry_config *config, struct error *err)
{
	for (size_t i = 0; i < config->upstreams.count; i++) {
		const struct upstream_config *upstream = &config->upstreams.items[i];
		const char *url = upstream->url;

		if (!reference_is_path(upstream_prefix(upstream)))
			return error_set(err, ERR_INVALID,
					 "upstreams[%zu].prefix: \"%s\" is no repository name; give one", i,
					 upstream_prefix(upstream));
		if (url && !text_has_prefix(url, "http://") && !text_has_prefix(url, "https://"))
			return error_set(err, ERR_INVALID, "upstreams[%zu].url: \"%s\" is not http:// or https://", i,
					 url);
		if (!upstream->username != !upstream->password_file)
			return error_set(err, ERR_INVALID, "upstreams[%zu]: username and password-file belong together",
					 i);
		if (optional_i64_or(upstream->tag_life_s, 0) < 0)
			return error_set(err, ERR_INVALID, "upstreams[%zu].tag-life is seconds, at least 0", i);
		for (size_t j = 0; j < i; j++)
			if (text_equal(config->upstreams.items[j].name, upstream->name) ||
			    text_equal(upstream_prefix(&config->upstreams.items[j]), upstream_prefix(upstream)))
				return error_set(err, ERR_INVALID,
						 "upstreams[%zu] has the name or prefix of upstreams[%zu]", i, j);
	}
	return 0;
}

int registry_config_check(const struct registry_config *config, struct error *err)
{
	enum log_level level;

	if (config->log_level && log_level_parse(&level, config->log_level) < 0)
		return error_set(err, ERR_INVALID, "log-level: \"%s\" is none of debug, info, warn, error",
				 config->log_level);
	if (config->log_format && !text_equal(config->log_format, "text") && !text_equal(config->log_format, "json"))
		return error_set(err, ERR_INVALID, "log-format: \"%s\" is none of text, json", config->log_format);
	if (!config->tls.certificate != !config->tls.key)
		return error_set(err, ERR_INVALID, "tls.certificate and tls.key belong together");
	if (config->tls.client_authorities && !config->tls.certificate)
		return error_set(err, ERR_INVALID, "tls.client-authorities needs tls.certificate");
	if (config->collect_interval_s < 1 || config->collect_delay_s < 0)
		return error_set(err, ERR_INVALID, "garbage.interval and garbage.delay are seconds, at least 1 and 0");
	if (check_upstreams(config, err) < 0 || check_webhooks(config, err) < 0 || check_s3(config, err) < 0 ||
	    check_rules_of_bytes(config, err) < 0)
		return -1;
	return check_rules(&config->auth, err);
}

static bool same_list(const void *a, const void *b, const struct json_field *fields, size_t size)
{
	AUTO_FREE char *first = json_encode_array(a, fields, size);
	AUTO_FREE char *second = json_encode_array(b, fields, size);

	return text_equal(first, second);
}

static bool same_s3(const struct s3_config *a, const struct s3_config *b)
{
	static const struct s3_config none;
	AUTO_FREE char *first = json_encode(a ? a : &none, s3_fields);
	AUTO_FREE char *second = json_encode(b ? b : &none, s3_fields);

	return text_equal(first, second);
}

const char *registry_config_fixed(const struct registry_config *old, const struct registry_config *new)
{
	AUTO_FREE char *listened = text_list_join(&old->listen, " ");
	AUTO_FREE char *listen = text_list_join(&new->listen, " ");

	if (!text_equal(old->root, new->root))
		return "root";
	if (!text_equal(listened, listen))
		return "listen";
	if (!old->tls.certificate != !new->tls.certificate || !old->auth.htpasswd != !new->auth.htpasswd)
		return old->tls.certificate ? "tls" : "auth.htpasswd";
	if (!same_list(&old->upstreams, &new->upstreams, upstream_fields, sizeof(struct upstream_config)))
		return "upstreams";
	if (!same_s3(old->s3, new->s3))
		return "s3";
	if (!same_list(&old->webhooks, &new->webhooks, webhook_fields, sizeof(struct webhook)))
		return "webhooks";
	return NULL;
}

char *registry_config_schema(void)
{
	return config_schema("kist-registry's configuration file", file_fields);
}

void registry_config_fini(struct registry_config *config)
{
	free(config->root);
	free(config->log_level);
	free(config->log_format);
	text_list_fini(&config->listen);
	json_free_fields(&config->tls, tls_fields);
	free(config->auth.htpasswd);
	free(config->auth.realm);
	free(config->auth.service);
	json_free_array(&config->auth.rules, rule_fields, sizeof(struct access_rule));
	if (config->s3)
		json_free_fields(config->s3, s3_fields);
	free(config->s3);
	json_free_fields(&config->quota, quota_fields);
	json_free_fields(&config->retention, retention_fields);
	json_free_array(&config->webhooks, webhook_fields, sizeof(struct webhook));
	json_free_array(&config->upstreams, upstream_fields, sizeof(struct upstream_config));
	*config = (struct registry_config){ 0 };
}
