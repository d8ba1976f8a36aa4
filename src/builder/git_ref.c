/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/git_ref.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/text.h"
#include "http/uri.h"

#define NAME_MAX_BYTES 255

void git_ref_fini(struct git_ref *ref)
{
	free(ref->remote);
	free(ref->scheme);
	free(ref->host);
	free(ref->short_name);
	free(ref->ref);
	free(ref->checksum);
	free(ref->subdir);
	*ref = (struct git_ref){ 0 };
}

bool git_is_commit(const char *text)
{
	size_t size = strlen(text);

	return (size == 40 || size == 64) && strspn(text, "0123456789abcdef") == size;
}

/* ---- parts of a URL ---- */

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	return false;
}

static void set(char **target, const char *text, size_t size)
{
	free(*target);
	*target = size > 0 ? xstrndup(text, size) : NULL;
}

/* "user:password@host:port" to its host; false: no host can be like that. */
static bool take_host(struct git_ref *ref, const char *text, size_t size)
{
	const char *at = memrchr(text, '@', size);
	const char *host = at ? at + 1 : text;
	size_t host_size = size - (size_t)(host - text);
	const char *port = memrchr(host, ':', host_size);

	set(&ref->host, host, host_size);
	if (!ref->host)
		ref->host = xstrdup("");
	/* An option in the place of a name is no host. */
	if (*host == '-' || strcspn(ref->host, " <>\"\\^`{|}%") != host_size)
		return false;
	if (!port || memchr(host, ']', host_size) > (void *)(uintptr_t)port)
		return true;
	return strspn(port + 1, "0123456789") == host_size - (size_t)(port + 1 - host);
}

/* "ref:folder" */
static void take_fragment(struct git_ref *ref, const char *text)
{
	size_t size = strcspn(text, ":");
	AUTO_FREE char *rooted = NULL;
	AUTO_FREE char *clean = NULL;

	set(&ref->ref, text, size);
	if (!text[size])
		return;
	rooted = xasprintf("/%s", text + size + 1);
	clean = path_clean(rooted);
	set(&ref->subdir, clean + 1, strlen(clean + 1));
}

/* ---- the query ---- */

struct query {
	char *tag;
	char *branch;
};

static void query_fini(struct query *query)
{
	free(query->tag);
	free(query->branch);
}

static int take_once(char **target, const char *key, const char *value, struct error *err)
{
	if (*target && !text_equal(*target, value))
		return error_set(err, ERR_INVALID, "%s conflicts: \"%s\" vs \"%s\"", key, *target, value);
	set(target, value, strlen(value));
	return 0;
}

/* As Go's strconv.ParseBool; nothing is yes. */
static int take_choice(enum git_choice *choice, const char *key, const char *value, struct error *err)
{
	static const char *const yes[] = { "", "1", "t", "T", "TRUE", "true", "True" };
	static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
		if (text_equal(value, yes[i]))
			return *choice = GIT_YES, 0;
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		if (text_equal(value, no[i]))
			return *choice = GIT_NO, 0;
	return error_set(err, ERR_INVALID, "invalid %s value: \"%s\"", key, value);
}

static int take_mtime(struct git_ref *ref, const char *value, struct error *err)
{
	if (!text_equal(value, "checkout") && !text_equal(value, "commit"))
		return error_set(err, ERR_INVALID, "invalid mtime value: \"%s\" (must be \"checkout\" or \"commit\")",
				 value);
	ref->mtime_said = true;
	ref->mtime_commit = text_equal(value, "commit");
	return 0;
}

static int take_pair(struct git_ref *ref, struct query *query, const char *key, const char *value, struct error *err)
{
	enum git_choice choice = GIT_UNSAID;
	int r;

	if (text_equal(key, "keep-git-dir"))
		return take_choice(&ref->keep_git_dir, key, value, err);
	if (text_equal(key, "submodules"))
		return take_choice(&ref->submodules, key, value, err);
	if (text_equal(key, "fetch-by-commit")) {
		r = take_choice(&choice, key, value, err);
		ref->fetch_by_commit = choice == GIT_YES;
		return r;
	}
	if (!*value)
		return error_set(err, ERR_INVALID, "query \"%s\" has no value", key);
	if (text_equal(key, "ref"))
		return take_once(&ref->ref, key, value, err);
	if (text_equal(key, "subdir"))
		return take_once(&ref->subdir, key, value, err);
	if (text_equal(key, "tag"))
		return set(&query->tag, value, strlen(value)), 0;
	if (text_equal(key, "branch"))
		return set(&query->branch, value, strlen(value)), 0;
	if (text_equal(key, "checksum") || text_equal(key, "commit"))
		return set(&ref->checksum, value, strlen(value)), 0;
	if (text_equal(key, "mtime"))
		return take_mtime(ref, value, err);
	return error_set(err, ERR_INVALID, "unexpected query \"%s\"", key);
}

static int take_name(struct git_ref *ref, const char *prefix, const char *name, struct error *err)
{
	AUTO_FREE char *whole = text_has_prefix(name, prefix) ? xstrdup(name) : xasprintf("%s%s", prefix, name);

	return take_once(&ref->ref, "ref", whole, err);
}

static int take_query(struct git_ref *ref, const struct http_uri *uri, struct error *err)
{
	AUTO(query_fini) struct query query = { 0 };

	for (size_t i = 0; i < uri->keys.count; i++) {
		const char *key = uri->keys.items[i];

		if (http_uri_query(uri, key, 1))
			return error_set(err, ERR_INVALID, "query \"%s\" has multiple values", key);
		if (take_pair(ref, &query, key, uri->values.items[i], err) < 0)
			return -1;
	}
	if (query.tag && take_name(ref, "refs/tags/", query.tag, err) < 0)
		return -1;
	if (query.tag && query.branch)
		return error_set(err, ERR_INVALID, "branch conflicts with tag");
	return query.branch ? take_name(ref, "refs/heads/", query.branch, err) : 0;
}

/* ---- the whole ---- */

static void name_it(struct git_ref *ref)
{
	const char *last = strrchr(ref->remote, '/');
	const char *name = last ? last + 1 : ref->remote;
	size_t size = strlen(name);

	if (text_has_suffix(name, ".git"))
		size -= 4;
	free(ref->short_name);
	ref->short_name = xstrndup(name, size);
}

/* Path, query and fragment. `path` begins behind the host; the remote is all before the query. 0: no repository. */
static int take_rest(struct git_ref *ref, const char *path, struct error *err)
{
	AUTO(http_uri_fini) struct http_uri uri = { 0 };
	size_t size = strcspn(path, "?#");
	const char *fragment = strchr(path, '#');
	AUTO_FREE char *plain = NULL;

	if (http_uri_parse(&uri, path) < 0)
		return 0;
	if (text_has_prefix(ref->scheme, "http") && !ref->like_local && !text_has_suffix(uri.path, ".git"))
		return 0;
	if (fragment) {
		plain = http_uri_decode(fragment + 1);
		if (!plain)
			return 0;
		take_fragment(ref, plain);
	}
	ref->remote[strlen(ref->remote) - strlen(path + size)] = '\0';
	name_it(ref);
	return take_query(ref, &uri, err) < 0 ? -1 : 1;
}

static int parse_url(struct git_ref *ref, const char *text, size_t scheme_size, struct error *err)
{
	static const char *const schemes[] = { "http", "https", "ssh", "git" };
	const char *authority = text + scheme_size + 3;
	size_t size = strcspn(authority, "/?#");
	bool known = false;

	set(&ref->scheme, text, scheme_size);
	for (char *c = ref->scheme; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
		known = known || text_equal(ref->scheme, schemes[i]);
	if (!known || !take_host(ref, authority, size))
		return 0;
	ref->unencrypted = text_equal(ref->scheme, "http") || text_equal(ref->scheme, "git");
	free(ref->remote);
	ref->remote = xasprintf("%s%s", ref->scheme, text + scheme_size);
	return take_rest(ref, authority + size, err);
}

/* "user@host:path": no escapes in the path and the fragment, which ssh and git take as they are. */
static int parse_scp(struct git_ref *ref, const char *text, struct error *err)
{
	static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	static const char host[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
	AUTO(http_uri_fini) struct http_uri uri = { 0 };
	AUTO_FREE char *query = NULL;
	size_t user_size = strspn(text, name);
	const char *at = text + user_size;
	size_t host_size = *at == '@' ? strspn(at + 1, host) : 0;
	const char *colon = *at == '@' ? at + 1 + host_size : at;
	size_t path_size;
	const char *fragment;

	if (user_size == 0 || host_size == 0 || *colon != ':' || *text == '-' || at[1] == '-')
		return 0;
	path_size = strcspn(colon + 1, "?#");
	fragment = strchr(colon + 1 + path_size, '#');
	query = xstrdup(colon[1 + path_size] == '?' ? colon + 1 + path_size : "");
	query[strcspn(query, "#")] = '\0';
	if (http_uri_parse(&uri, query) < 0)
		return 0;
	ref->scheme = xstrdup("ssh");
	set(&ref->host, at + 1, host_size);
	set(&ref->remote, text, (size_t)(colon + 1 + path_size - text));
	if (fragment)
		take_fragment(ref, fragment + 1);
	name_it(ref);
	return take_query(ref, &uri, err) < 0 ? -1 : 1;
}

static int parse_github(struct git_ref *ref, const char *text, struct error *err)
{
	ref->like_local = true;
	ref->scheme = xstrdup("https");
	ref->host = xstrdup("github.com");
	ref->remote = xstrdup(text);
	return take_rest(ref, text + strlen("github.com"), err);
}

int git_ref_parse(struct git_ref *out_ref, const char *text, struct error *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	AUTO(git_ref_fini) struct git_ref ref = { 0 };
	size_t scheme_size = strspn(text, letters);
	int r;

	if (has_control(text) || text_has_prefix(text, "./") || text_has_prefix(text, "../"))
		return 0;
	if (text_has_prefix(text, "github.com/"))
		r = parse_github(&ref, text, err);
	else if (scheme_size > 0 && text_has_prefix(text + scheme_size, "://"))
		r = parse_url(&ref, text, scheme_size, err);
	else
		r = parse_scp(&ref, text, err);
	if (r <= 0)
		return r;
	*out_ref = ref;
	ref = (struct git_ref){ 0 };
	return 1;
}

char *git_ref_short_form(const char *text, bool with_subdir)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(git_ref_fini) struct git_ref ref = { 0 };
	AUTO_FREE char *rooted = NULL;
	AUTO_FREE char *subdir = NULL;

	if (git_ref_parse(&ref, text, &ignored) <= 0)
		return NULL;
	rooted = xasprintf("/%s", with_subdir ? text_or_empty(ref.subdir) : "");
	subdir = path_clean(rooted);
	if (!ref.ref && !subdir[1])
		return xstrdup(ref.remote);
	return xasprintf("%s#%s%s%s", ref.remote, text_or_empty(ref.ref), subdir[1] ? ":" : "", subdir + 1);
}

/* ---- other URLs ---- */

char *url_file_name(const char *url)
{
	const char *authority = strstr(url, "://");
	const char *path = authority ? authority + 3 + strcspn(authority + 3, "/?#") : url;
	AUTO_FREE char *raw = xstrndup(path, strcspn(path, "?#"));
	AUTO_FREE char *decoded = http_uri_decode(raw);
	size_t size = decoded ? strlen(decoded) : 0;
	const char *base;

	while (size > 0 && decoded[size - 1] == '/')
		decoded[--size] = '\0';
	if (size == 0)
		return NULL;
	base = path_base(decoded);
	if (!*base || text_equal(base, ".") || text_equal(base, "..") || strlen(base) > NAME_MAX_BYTES)
		return NULL;
	return xstrdup(base);
}

char *url_host_name(const char *url)
{
	const char *authority = strstr(url, "://");
	const char *text = authority ? authority + 3 : "";
	size_t size = strcspn(text, "/?#");
	const char *at = memrchr(text, '@', size);
	const char *host = at ? at + 1 : text;
	size_t rest = size - (size_t)(host - text);
	const char *end;

	if (*host == '[') {
		end = memchr(host, ']', rest);
		return xstrndup(host + 1, end ? (size_t)(end - host) - 1 : rest - 1);
	}
	end = memchr(host, ':', rest);
	return xstrndup(host, end ? (size_t)(end - host) : rest);
}
