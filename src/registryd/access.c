/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/access.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/map.h"
#include "base/quote.h"
#include "base/random.h"
#include "base/thread.h"
#include "oci/hasher.h"

#define HTPASSWD_MAX (4 * 1024 * 1024)
#define SECRET_HEX 64
/* bcrypt takes tens of milliseconds on purpose: what was right a moment ago is remembered. */
#define REMEMBER_NS (300 * CLOCK_SECOND)
#define REMEMBER_MAX 1024
#define REFRESH_LIFE_S (30 * 24 * 3600)
#define TOKEN_LIFE_MIN_S 60
/* Of a password nobody has, so that an unknown name takes as long as a known one. */
#define NOBODY_HASH "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

struct access {
	const struct access_config *_Atomic config; /* borrowed; another one after a reload */
	char secret[SECRET_HEX + 1];
	struct mutex lock; /* guards all below */
	struct map users;  /* name -> bcrypt hash */
	struct timespec read_at;
	struct map remembered; /* digest of user, password and hash -> int64_t * until */
};

/* ---- the htpasswd file ---- */

static int read_users(struct map *out_users, const char *path, struct error *err)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *text = NULL;
	int r = file_read(&text, NULL, AT_FDCWD, path, HTPASSWD_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read %s", path);
	text_list_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		char *line = text_trim(lines.items[i]);
		char *colon = strchr(line, ':');

		if (!*line || *line == '#')
			continue;
		if (!colon || colon == line || !text_has_prefix(colon + 1, "$2") ||
		    crypt_checksalt(colon + 1) == CRYPT_SALT_INVALID)
			return error_set(err, ERR_INVALID, "%s: line %zu is not user:bcrypt-hash (htpasswd -B)", path,
					 i + 1);
		*colon = '\0';
		map_set(out_users, line, xstrdup(colon + 1));
	}
	return 0;
}

/* A file that cannot be read any more leaves the users as they were. */
static int refresh_users_locked(struct access *access, struct error *err)
{
	struct map users;
	struct stat st;

	mutex_assert_held(&access->lock);
	if (stat(access->config->htpasswd, &st) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "read %s", access->config->htpasswd);
	if (st.st_mtim.tv_sec == access->read_at.tv_sec && st.st_mtim.tv_nsec == access->read_at.tv_nsec)
		return 0;
	map_init(&users, free);
	if (read_users(&users, access->config->htpasswd, err) < 0) {
		map_fini(&users);
		return -1;
	}
	map_fini(&access->users);
	access->users = users;
	access->read_at = st.st_mtim;
	return 0;
}

/* ---- open ---- */

static int load_secret(struct access *access, const char *path, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size = 0;
	int r = file_read(&text, &size, AT_FDCWD, path, SECRET_HEX);

	if (r == 0 && size == SECRET_HEX) {
		memcpy(access->secret, text, SECRET_HEX);
		return 0;
	}
	if (r < 0 && r != -ENOENT)
		return error_set_errno(err, ERR_INTERNAL, r, "read %s", path);
	random_hex(access->secret, SECRET_HEX / 2);
	r = file_write_atomic(AT_FDCWD, path, access->secret, SECRET_HEX, 0600, FILE_SYNC_ALL);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", path) : 0;
}

int access_open(struct access **out_access, const struct access_config *config, const char *secret_path,
		struct error *err)
{
	AUTO(access_closep) struct access *access = xcalloc(1, sizeof(*access));
	AUTO_UNLOCK struct mutex *held = NULL;

	access->config = config;
	mutex_init(&access->lock);
	map_init(&access->users, free);
	map_init(&access->remembered, free);
	if (config->htpasswd) {
		held = mutex_hold(&access->lock);
		if (refresh_users_locked(access, err) < 0 || load_secret(access, secret_path, err) < 0) {
			mutex_unlock(take_ptr(held));
			return -1;
		}
	}
	*out_access = take_ptr(access);
	return 0;
}

void access_close(struct access *access)
{
	if (!access)
		return;
	map_fini(&access->users);
	map_fini(&access->remembered);
	mutex_fini(&access->lock);
	free(access);
}

void access_reload(struct access *access, const struct access_config *config)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&access->lock);

	access->config = config;
	/* Perhaps another file. */
	access->read_at = (struct timespec){ 0 };
}

bool access_is_limited(const struct access *access)
{
	return access->config->htpasswd != NULL;
}

/* ---- passwords ---- */

static char *memory_key(const char *user, const char *password, const char *hash)
{
	AUTO_FREE char *joined = xasprintf("%zu:%s%zu:%s%s", strlen(user), user, strlen(password), password, hash);
	char text[DIGEST_TEXT_MAX];
	struct digest digest;

	digest_of(&digest, DIGEST_SHA256, joined, strlen(joined));
	return xstrdup(digest_text(&digest, text));
}

static bool is_remembered(struct access *access, const char *key)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&access->lock);
	const int64_t *until = map_get(&access->remembered, key);

	return until && *until > clock_monotonic_ns();
}

static void remember(struct access *access, const char *key)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&access->lock);
	int64_t *until = xmalloc(sizeof(*until));

	if (access->remembered.count >= REMEMBER_MAX) {
		map_fini(&access->remembered);
		map_init(&access->remembered, free);
	}
	*until = clock_monotonic_ns() + REMEMBER_NS;
	map_set(&access->remembered, key, until);
}

/* As long for any two texts of one length. */
static bool equal_slowly(const char *a, const char *b)
{
	size_t size = strlen(a);
	unsigned different = size != strlen(b);

	for (size_t i = 0; i < size && !(different && i >= strlen(b)); i++)
		different |= (unsigned char)a[i] ^ (unsigned char)b[i];
	return different == 0;
}

int access_check_password(struct access *access, const char *user, const char *password, struct error *err)
{
	AUTO_FREE struct crypt_data *memory = xcalloc(1, sizeof(*memory));
	AUTO_FREE char *hash = NULL;
	AUTO_FREE char *key = NULL;
	const char *made;
	bool known;

	if (!access->config->htpasswd)
		return 1;
	mutex_lock(&access->lock);
	if (refresh_users_locked(access, err) < 0) {
		mutex_unlock(&access->lock);
		return -1;
	}
	known = map_get(&access->users, user) != NULL;
	hash = xstrdup(known ? map_get(&access->users, user) : NOBODY_HASH);
	mutex_unlock(&access->lock);
	key = memory_key(user, password, hash);
	if (is_remembered(access, key))
		return 1;
	made = crypt_r(password, hash, memory);
	if (!made || !equal_slowly(made, hash) || !known)
		return 0;
	remember(access, key);
	return 1;
}

/* ---- tokens: RFC 7519, HS256 only ---- */

static char *encode_part(const void *data, size_t size)
{
	char *text = base64_encode_url(data, size);

	text[strcspn(text, "=")] = '\0';
	return text;
}

struct grant {
	char *type;
	char *name;
	struct text_list actions;
};

struct claims {
	char *issuer;
	char *subject;
	char *audience;
	int64_t expires;
	int64_t not_before;
	int64_t issued;
	char *id;
	char *use; /* "refresh", or absent */
	JSON_ARRAY_OF(struct grant) grants;
};

static const struct json_field grant_fields[] = {
	JSON_TEXT("type", struct grant, type, 0),
	JSON_TEXT("name", struct grant, name, 0),
	JSON_TEXT_LIST("actions", struct grant, actions, 0),
	JSON_END,
};

static const struct json_field claims_fields[] = {
	JSON_TEXT("iss", struct claims, issuer, 0),
	JSON_TEXT("sub", struct claims, subject, 0),
	JSON_TEXT("aud", struct claims, audience, 0),
	JSON_I64("exp", struct claims, expires, JSON_REQUIRED),
	JSON_I64("nbf", struct claims, not_before, 0),
	JSON_I64("iat", struct claims, issued, 0),
	JSON_TEXT("jti", struct claims, id, 0),
	JSON_TEXT("use", struct claims, use, JSON_OMIT_EMPTY),
	JSON_ARRAY("access", struct claims, grants, grant_fields, 0),
	JSON_END,
};

static const char header_text[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";

static char *sign(const struct access *access, const struct claims *claims)
{
	AUTO_FREE char *body = json_encode(claims, claims_fields);
	AUTO_FREE char *header_part = encode_part(header_text, strlen(header_text));
	AUTO_FREE char *body_part = encode_part(body, strlen(body));
	AUTO_FREE char *signed_part = xasprintf("%s.%s", header_part, body_part);
	uint8_t signature[HMAC_BYTES];
	AUTO_FREE char *signature_part = NULL;

	hmac_sha256(signature, access->secret, SECRET_HEX, signed_part, strlen(signed_part));
	signature_part = encode_part(signature, sizeof(signature));
	return xasprintf("%s.%s", signed_part, signature_part);
}

static int read_claims(struct claims *out_claims, const char *part, struct error *err)
{
	AUTO_FREE char *body = NULL;
	size_t size = 0;

	if (base64_decode(&body, &size, part) < 0)
		return error_set(err, ERR_INVALID, "not base64");
	return json_decode(out_claims, claims_fields, body, size, err);
}

/* 1 if it is ours and of now. The header is not read: only what we sign with HS256 has our signature. */
static int verify(struct claims *out_claims, const struct access *access, const char *token)
{
	AUTO(error_clear) struct error ignored = { 0 };
	const char *dot = strchr(token, '.');
	const char *last = strrchr(token, '.');
	uint8_t signature[HMAC_BYTES];
	AUTO_FREE char *expected = NULL;
	AUTO_FREE char *part = NULL;

	if (!dot || last == dot)
		return 0;
	hmac_sha256(signature, access->secret, SECRET_HEX, token, (size_t)(last - token));
	expected = encode_part(signature, sizeof(signature));
	if (!equal_slowly(expected, last + 1))
		return 0;
	part = xstrndup(dot + 1, (size_t)(last - dot - 1));
	if (read_claims(out_claims, part, &ignored) < 0)
		return 0;
	if (out_claims->expires > clock_wall_ns() / CLOCK_SECOND)
		return 1;
	json_free_fields(out_claims, claims_fields);
	return 0;
}

/* ---- rules ---- */

static unsigned actions_of(const struct text_list *names)
{
	unsigned actions = 0;

	for (size_t i = 0; i < names->count; i++) {
		const char *name = names->items[i];

		actions |= text_equal(name, "*")	? ACCESS_PULL | ACCESS_PUSH | ACCESS_DELETE
			   : text_equal(name, "pull")	? ACCESS_PULL
			   : text_equal(name, "push")	? ACCESS_PUSH
			   : text_equal(name, "delete") ? ACCESS_DELETE
							: 0;
	}
	return actions;
}

static bool fits(const struct access_rule *rule, const char *user, const char *repository)
{
	if (fnmatch(rule->repository, repository, 0) != 0)
		return false;
	if (!user)
		return rule->anonymous;
	return rule->anonymous || text_list_contains(&rule->users, "*") || text_list_contains(&rule->users, user);
}

static unsigned allowed(const struct access *access, const char *user, const char *repository)
{
	for (size_t i = 0; i < access->config->rules.count; i++)
		if (fits(&access->config->rules.items[i], user, repository))
			return actions_of(&access->config->rules.items[i].actions);
	return user ? ACCESS_PULL | ACCESS_PUSH | ACCESS_DELETE : 0;
}

bool access_allows(struct access *access, const struct access_caller *caller, const char *repository, unsigned actions)
{
	unsigned granted = 0;

	if (!access->config->htpasswd)
		return true;
	if (!caller->by_token)
		return (allowed(access, caller->user, repository) & actions) == actions;
	for (size_t i = 0; i < caller->grants.count; i++) {
		AUTO(text_list_fini) struct text_list parts = { 0 };
		AUTO(text_list_fini) struct text_list names = { 0 };

		text_list_split(&parts, caller->grants.items[i], ':');
		if (parts.count != 3 || !text_equal(parts.items[1], repository))
			continue;
		text_list_split(&names, parts.items[2], ',');
		granted |= actions_of(&names);
	}
	return (granted & actions) == actions;
}

/* "repository:team/web:pull,push", as far as the user may. */
static void add_grant(struct claims *claims, const struct access *access, const char *user, const char *scope)
{
	const char *name = text_after(scope, "repository:");
	const char *colon = name ? strrchr(name, ':') : NULL;
	AUTO_FREE char *repository = colon ? xstrndup(name, (size_t)(colon - name)) : NULL;
	AUTO(text_list_fini) struct text_list wanted = { 0 };
	struct grant *grant;
	unsigned both;

	if (!repository)
		return;
	text_list_split(&wanted, colon + 1, ',');
	both = allowed(access, user, repository) & actions_of(&wanted);
	if (!both)
		return;
	grant = json_array_add(&claims->grants, sizeof(*grant));
	grant->type = xstrdup("repository");
	grant->name = xstrdup(repository);
	if (both & ACCESS_PULL)
		text_list_add(&grant->actions, "pull");
	if (both & ACCESS_PUSH)
		text_list_add(&grant->actions, "push");
	if (both & ACCESS_DELETE)
		text_list_add(&grant->actions, "delete");
}

char *access_issue(struct access *access, const char *user, const struct text_list *scopes, bool refresh)
{
	int64_t now = clock_wall_ns() / CLOCK_SECOND;
	int64_t life = access->config->token_life_s > TOKEN_LIFE_MIN_S ? access->config->token_life_s
								       : TOKEN_LIFE_MIN_S;
	struct claims claims = { .issuer = xstrdup("kist-registry"),
				 .subject = xstrdup(text_or_empty(user)),
				 .audience = xstrdup(access->config->service),
				 .expires = now + (refresh ? REFRESH_LIFE_S : life),
				 .not_before = now - 5,
				 .issued = now,
				 .use = refresh ? xstrdup("refresh") : NULL };
	char id[17];
	char *token;

	random_hex(id, 8);
	claims.id = xstrdup(id);
	for (size_t i = 0; !refresh && i < scopes->count; i++)
		add_grant(&claims, access, user, scopes->items[i]);
	token = sign(access, &claims);
	json_free_fields(&claims, claims_fields);
	return token;
}

char *access_refresh_user(struct access *access, const char *token)
{
	struct claims claims = { 0 };
	char *user = NULL;

	if (!verify(&claims, access, token))
		return NULL;
	/* A user who was removed has no more tokens. */
	mutex_lock(&access->lock);
	if (text_equal(claims.use, "refresh") && map_get(&access->users, text_or_empty(claims.subject)))
		user = xstrdup(claims.subject);
	mutex_unlock(&access->lock);
	json_free_fields(&claims, claims_fields);
	return user;
}

/* ---- callers ---- */

void access_caller_fini(struct access_caller *caller)
{
	free(caller->user);
	text_list_fini(&caller->grants);
	*caller = (struct access_caller){ 0 };
}

static int identify_token(struct access_caller *caller, const struct access *access, const char *token)
{
	struct claims claims = { 0 };

	if (!verify(&claims, access, token))
		return 0;
	if (claims.use) {
		json_free_fields(&claims, claims_fields);
		return 0;
	}
	caller->by_token = true;
	caller->user = text_empty(claims.subject) ? NULL : xstrdup(claims.subject);
	for (size_t i = 0; i < claims.grants.count; i++) {
		AUTO_FREE char *actions = text_list_join(&claims.grants.items[i].actions, ",");

		text_list_addf(&caller->grants, "repository:%s:%s", text_or_empty(claims.grants.items[i].name),
			       actions);
	}
	json_free_fields(&claims, claims_fields);
	return 1;
}

static int identify_basic(struct access_caller *caller, struct access *access, const char *encoded, struct error *err)
{
	AUTO_FREE char *pair = NULL;
	size_t size;
	char *colon;
	int r;

	if (base64_decode(&pair, &size, encoded) < 0 || strlen(pair) != size || !(colon = strchr(pair, ':')))
		return 0;
	*colon = '\0';
	r = access_check_password(access, pair, colon + 1, err);
	if (r > 0)
		caller->user = xstrdup(pair);
	return r;
}

int access_identify(struct access_caller *out_caller, struct access *access, const char *authorization,
		    struct error *err)
{
	const char *rest;

	*out_caller = (struct access_caller){ 0 };
	if (!access->config->htpasswd || text_empty(authorization))
		return 1;
	rest = text_after(authorization, "Bearer ");
	if (rest)
		return identify_token(out_caller, access, rest);
	rest = text_after(authorization, "Basic ");
	return rest ? identify_basic(out_caller, access, rest, err) : 0;
}

char *access_challenge(const struct access *access, const char *base, const char *repository, unsigned actions,
		       bool insufficient)
{
	const char *realm = access->config->realm ? access->config->realm : "kist-registry";
	struct text text = { 0 };

	if (!access->config->token)
		return xasprintf("Basic realm=\"%s\"", realm);
	text_addf(&text, "Bearer realm=\"%s/token\",service=\"%s\"", base, access->config->service);
	if (repository)
		text_addf(&text, ",scope=\"repository:%s:%s\"", repository,
			  actions & ACCESS_DELETE ? "delete"
			  : actions & ACCESS_PUSH ? "pull,push"
						  : "pull");
	if (insufficient)
		text_add(&text, ",error=\"insufficient_scope\"");
	return text_take(&text);
}
