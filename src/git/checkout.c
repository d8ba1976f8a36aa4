/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: `repository` is bare and is only ever added to; a commit that it
 * has is not fetched again. First the commit alone is asked for; servers that
 * cannot do that (old ones, plain files over http) are asked for all branches
 * and tags. `files` is a repository of its own that fetches from the bare one, so
 * that submodules and a .git directory that stays are git's own business.
 */
#include "git/checkout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "git/tree.h"

#define REPOSITORY "repository"
#define FILES "files"
#define OUTPUT_MAX (64 * 1024 * 1024)
#define ALLOWED "http:https:ssh:git"

void git_environment(const struct git_request *request)
{
	static const char *const kept[] = { "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
					    "http_proxy", "https_proxy", "no_proxy", "all_proxy" };
	AUTO(text_map_fini) struct text_map proxies = { 0 };
	AUTO_FREE char *key = xasprintf("http.%s.extraheader", text_or_empty(request->scope));

	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		if (getenv(kept[i]))
			text_map_set(&proxies, kept[i], getenv(kept[i]));
	clearenv();
	for (size_t i = 0; i < proxies.count; i++)
		setenv(proxies.items[i].key, proxies.items[i].value, 1);
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("LC_ALL", "C", 1);
	setenv("HOME", "/dev/null", 1);
	setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
	setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
	setenv("GIT_TERMINAL_PROMPT", "0", 1);
	setenv("GIT_ASKPASS", "/bin/false", 1);
	setenv("GIT_LFS_SKIP_SMUDGE", "1", 1);
	setenv("GIT_SSH_COMMAND",
	       "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
	       "-o LogLevel=ERROR",
	       1);
	setenv("GIT_ALLOW_PROTOCOL", ALLOWED, 1);
	if (!text_empty(request->agent))
		setenv("SSH_AUTH_SOCK", request->agent, 1);
	if (text_empty(request->header))
		return;
	/* Not as an argument: those everybody on the machine can read. */
	setenv("GIT_CONFIG_COUNT", "1", 1);
	setenv("GIT_CONFIG_KEY_0", key, 1);
	setenv("GIT_CONFIG_VALUE_0", request->header, 1);
}

/* ---- one command ---- */

/* The words end with NULL. *out_text may be NULL. */
static int git(char **out_text, struct error *err, const char *const *words)
{
	static const char *const first[] = {
		"git",	     "-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false", "-c",
		"gc.auto=0", "-c", "init.defaultBranch=master"
	};
	AUTO(text_list_fini) struct text_list argv = { 0 };
	char *said;

	for (size_t i = 0; i < sizeof(first) / sizeof(*first); i++)
		text_list_add(&argv, first[i]);
	for (; *words; words++)
		text_list_add(&argv, *words);
	if (process_run(out_text, text_list_argv(&argv), NULL, OUTPUT_MAX, err) == 0)
		return 0;
	if (err->errnum == ENOENT) {
		error_clear(err);
		return error_set(err, ERR_UNSUPPORTED,
				 "the program git is not installed: sources in git repositories need it");
	}
	/* "git exited with 128: fatal: ..." */
	said = strstr(err->message, ": ");
	if (text_has_prefix(err->message, "git exited") && said) {
		AUTO_FREE char *words_of_git = xstrdup(said + 2);

		error_clear(err);
		return error_set(err, ERR_UNAVAILABLE, "git stderr:\n%s", words_of_git);
	}
	return -1;
}

#define GIT(out, err, ...) git(out, err, (const char *const[]){ __VA_ARGS__, NULL })

/* user:password@ is nobody's business. */
static char *shown(const char *remote)
{
	const char *scheme = strstr(remote, "://");
	const char *authority = scheme ? scheme + 3 : remote;
	size_t size = strcspn(authority, "/");
	const char *at = scheme ? memrchr(authority, '@', size) : NULL;
	const char *colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;

	if (!colon)
		return xstrdup(remote);
	return xasprintf("%.*s:xxxxx%s", (int)(colon - remote), remote, at);
}

static int fail(struct error *err, const char *what, const struct git_request *request)
{
	AUTO_FREE char *remote = shown(request->remote);

	return error_prefix(err, "failed to %s %s", what, remote);
}

/* ---- what a ref is ---- */

static void take(char **commit, const char *line, size_t size)
{
	free(*commit);
	*commit = xstrndup(line, size);
}

/* As git checkout chooses: the whole name, then a branch, then a tag; an annotated one is the commit it is of. */
static char *choose(const char *listing, const char *ref)
{
	const char *rest = text_after(ref, "refs/");
	const char *branch = text_after(ref, "refs/heads/");
	const char *tag = text_after(ref, "refs/tags/");
	AUTO_FREE char *whole = xasprintf("refs/%s", rest ? rest : ref);
	AUTO_FREE char *head = xasprintf("refs/heads/%s", branch ? branch : ref);
	AUTO_FREE char *name = xasprintf("refs/tags/%s", tag ? tag : ref);
	AUTO_FREE char *peeled = xasprintf("%s^{}", name);
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *of_whole = NULL;
	AUTO_FREE char *of_head = NULL;
	AUTO_FREE char *of_tag = NULL;
	bool is_peeled = false;

	text_list_split(&lines, listing, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		const char *line = lines.items[i];
		size_t size = strcspn(line, "\t");
		const char *found = line[size] ? line + size + 1 : "";

		if (text_equal(found, head))
			take(&of_head, line, size);
		else if (text_equal(found, peeled) || (text_equal(found, name) && !is_peeled))
			take(&of_tag, line, size);
		else if (text_equal(found, whole))
			take(&of_whole, line, size);
		is_peeled = is_peeled || text_equal(found, peeled);
	}
	return of_whole ? take_ptr(of_whole) : of_head ? take_ptr(of_head) : of_tag ? take_ptr(of_tag) : NULL;
}

static int resolve_head(char **out_commit, const struct git_request *request, struct error *err)
{
	AUTO_FREE char *listing = NULL;
	size_t size;

	if (GIT(&listing, err, "ls-remote", "--", request->remote, "HEAD") < 0)
		return fail(err, "fetch remote", request);
	size = strcspn(listing, "\t");
	if (!listing[size]) {
		AUTO_FREE char *remote = shown(request->remote);

		return error_set(err, ERR_INVALID, "could not find default branch for repository: %s", remote);
	}
	*out_commit = xstrndup(listing, size);
	return 0;
}

int git_resolve(char **out_commit, const struct git_request *request, struct error *err)
{
	AUTO_FREE char *peeled = xasprintf("%s^{}", request->ref);
	AUTO_FREE char *listing = NULL;

	if (text_empty(request->ref))
		return resolve_head(out_commit, request, err);
	if (GIT(&listing, err, "ls-remote", "--", request->remote, request->ref, peeled) < 0)
		return fail(err, "fetch remote", request);
	*out_commit = choose(listing, request->ref);
	return *out_commit ? 0
			   : error_set(err, ERR_INVALID, "repository does not contain ref %s, output: \"%s\"",
				       request->ref, listing);
}

/* ---- fetching ---- */

static bool has_commit(const char *commit)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *object = xasprintf("%s^{commit}", commit);

	return GIT(NULL, &ignored, "--git-dir", REPOSITORY, "cat-file", "-e", object) == 0;
}

static int fetch_all(const struct git_request *request, struct error *err)
{
	bool shallow = access(REPOSITORY "/shallow", F_OK) == 0;

	return GIT(NULL, err, "--git-dir", REPOSITORY, "fetch", "--force", "--no-tags",
		   shallow ? "--unshallow" : "--no-auto-maintenance", "--", request->remote,
		   "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*");
}

static int fetch(const struct git_request *request, struct error *err)
{
	AUTO(error_clear) struct error first = { 0 };

	if (access(REPOSITORY "/HEAD", F_OK) < 0 &&
	    GIT(NULL, err, "init", "-q", "--bare", "--template=", REPOSITORY) < 0)
		return -1;
	if (has_commit(request->commit))
		return 0;
	/* Who was killed while he fetched left his lock. */
	unlink(REPOSITORY "/shallow.lock");
	if (GIT(NULL, &first, "--git-dir", REPOSITORY, "fetch", "--depth=1", "--no-tags", "--force",
		"--no-auto-maintenance", "--", request->remote, request->commit) == 0 &&
	    has_commit(request->commit))
		return 0;
	if (fetch_all(request, err) < 0)
		return fail(err, "fetch remote", request);
	if (has_commit(request->commit))
		return 0;
	return error_set(
		err, ERR_INVALID,
		"fetched ref %s does not match expected commit %s and commit can not be found in the repository",
		text_empty(request->ref) ? "HEAD" : request->ref, request->commit);
}

/* ---- files ---- */

static int fill(const struct git_request *request, struct error *err)
{
	AUTO_FREE char *remote = shown(request->remote);
	AUTO_FREE char *named = xasprintf("%s:%s", request->commit, request->ref);
	/* A branch or tag that stays in .git under its name. */
	bool name = request->keep_git_dir && text_has_prefix(request->ref, "refs/");
	AUTO_FREE char *here = getcwd(NULL, 0);
	AUTO_FREE char *url = xasprintf("file://%s/" REPOSITORY, text_or_empty(here));
	int r;

	if (GIT(NULL, err, "--git-dir", REPOSITORY, "config", "uploadpack.allowAnySHA1InWant", "true") < 0 ||
	    GIT(NULL, err, "init", "-q", "--template=", FILES) < 0)
		return -1;
	setenv("GIT_ALLOW_PROTOCOL", "file", 1);
	r = GIT(NULL, err, "-C", FILES, "fetch", "-q", "-u", "--depth=1", "--no-tags", "--", url,
		name ? named : request->commit);
	setenv("GIT_ALLOW_PROTOCOL", ALLOWED, 1);
	if (r < 0 || GIT(NULL, err, "-C", FILES, "checkout", "-q", "--detach", request->commit) < 0 ||
	    GIT(NULL, err, "-C", FILES, "remote", "add", "--", "origin", remote) < 0)
		return fail(err, "checkout remote", request);
	unlink(FILES "/.git/FETCH_HEAD");
	return 0;
}

static int update_submodules(const struct git_request *request, struct error *err)
{
	if (!request->submodules || access(FILES "/.gitmodules", F_OK) < 0)
		return 0;
	if (GIT(NULL, err, "-C", FILES, "submodule", "update", "--init", "--recursive", "--depth=1") < 0)
		return fail(err, "update submodules for", request);
	return 0;
}

static int commit_time(int64_t *out_s, const struct git_request *request, struct error *err)
{
	AUTO_FREE char *text = NULL;

	if (GIT(&text, err, "--git-dir", REPOSITORY, "show", "-s", "--format=%ct", request->commit) < 0)
		return fail(err, "get commit time for", request);
	if (text_parse_i64(out_s, text_trim(text), INT64_MIN, INT64_MAX) < 0)
		return error_set(err, ERR_INVALID, "the commit %s has no time", request->commit);
	return 0;
}

int git_checkout(const struct git_request *request, struct error *err)
{
	struct tree_care care = { .drop_git = !request->keep_git_dir, .set_times = request->commit_time };
	int r;

	if (fetch(request, err) < 0)
		return -1;
	r = remove_tree(AT_FDCWD, FILES);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "remove an old checkout");
	if (fill(request, err) < 0 || update_submodules(request, err) < 0 ||
	    (care.set_times && commit_time(&care.time_s, request, err) < 0))
		return -1;
	r = tree_care(FILES, &care);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "go through the checkout") : 0;
}
