/* SPDX-License-Identifier: Apache-2.0 */
/* What is a repository and what is not: each row of the reference's tables, and what strangers may try. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "builder/git_ref.h"
#include "unit/unit.h"

enum wanted { REPOSITORY, NONE, WRONG };

struct row {
	const char *text;
	enum wanted wanted;
	struct git_ref ref;
	const char *said; /* of the error */
};

#define TEXT(text) (char *)(uintptr_t)(text)
#define REMOTE(url, name) .remote = TEXT(url), .short_name = TEXT(name)
#define BUILDKIT REMOTE("https://github.com/moby/buildkit.git", "buildkit")
#define DOCKER REMOTE("https://github.com/docker/docker.git", "docker")
#define OVER_SSH REMOTE("git@github.com:moby/buildkit.git", "buildkit")
#define LIKE_LOCAL REMOTE("github.com/moby/buildkit", "buildkit"), .like_local = true
#define URL "https://github.com/moby/buildkit.git"

static const struct row rows[] = {
	{ "https://example.com/", NONE },
	{ "https://example.com/foo", NONE },
	{ "https://example.com/foo.git", REPOSITORY, { REMOTE("https://example.com/foo.git", "foo") } },
	{ "https://example.com/foo.git#deadbeef",
	  REPOSITORY,
	  { REMOTE("https://example.com/foo.git", "foo"), .ref = TEXT("deadbeef") } },
	{ "https://example.com/foo.git#release/1.2",
	  REPOSITORY,
	  { REMOTE("https://example.com/foo.git", "foo"), .ref = TEXT("release/1.2") } },
	{ "https://example.com/foo.git/", NONE },
	{ "https://example.com/foo.git.bar", NONE },
	{ "git://example.com/foo", REPOSITORY, { REMOTE("git://example.com/foo", "foo"), .unencrypted = true } },
	{ "github.com/moby/buildkit", REPOSITORY, { LIKE_LOCAL } },
	{ "github.com/moby/buildkit#master", REPOSITORY, { LIKE_LOCAL, .ref = TEXT("master") } },
	{ "custom.xyz/moby/buildkit.git", NONE },
	{ "https://github.com/moby/buildkit", NONE },
	{ URL, REPOSITORY, { BUILDKIT } },
	{ "https://foo:bar@github.com/moby/buildkit.git",
	  REPOSITORY,
	  { REMOTE("https://foo:bar@github.com/moby/buildkit.git", "buildkit") } },
	{ "git@github.com:moby/buildkit", REPOSITORY, { REMOTE("git@github.com:moby/buildkit", "buildkit") } },
	{ "git@github.com:moby/buildkit.git", REPOSITORY, { OVER_SSH } },
	{ "git@bitbucket.org:atlassianlabs/atlassian-docker.git",
	  REPOSITORY,
	  { REMOTE("git@bitbucket.org:atlassianlabs/atlassian-docker.git", "atlassian-docker") } },
	{ "https://github.com/foo/bar.git#baz/qux:quux/quuz",
	  REPOSITORY,
	  { REMOTE("https://github.com/foo/bar.git", "bar"), .ref = TEXT("baz/qux"), .subdir = TEXT("quux/quuz") } },
	{ "http://github.com/docker/docker.git:#branch", NONE },
	{ "https://github.com/docker/docker.git#:myfolder", REPOSITORY, { DOCKER, .subdir = TEXT("myfolder") } },
	{ "./.git", NONE },
	{ ".git", NONE },
	{ "https://github.com/docker/docker.git?ref=v1.0.0&subdir=/subdir",
	  REPOSITORY,
	  { DOCKER, .ref = TEXT("v1.0.0"), .subdir = TEXT("/subdir") } },
	{ URL "?subdir=/subdir#v1.0.0", REPOSITORY, { BUILDKIT, .ref = TEXT("v1.0.0"), .subdir = TEXT("/subdir") } },
	{ URL "?tag=v1.0.0", REPOSITORY, { BUILDKIT, .ref = TEXT("refs/tags/v1.0.0") } },
	{ "github.com/moby/buildkit?tag=v1.0.0", REPOSITORY, { LIKE_LOCAL, .ref = TEXT("refs/tags/v1.0.0") } },
	{ URL "?branch=v1.0", REPOSITORY, { BUILDKIT, .ref = TEXT("refs/heads/v1.0") } },
	{ URL "?ref=v1.0.0#v1.2.3", WRONG, { 0 }, "ref conflicts" },
	{ URL "?ref=v1.0.0&tag=v1.2.3", WRONG, { 0 }, "ref conflicts: \"v1.0.0\" vs \"refs/tags/v1.2.3\"" },
	{ URL "?tag=v1.0.0&branch=v1.0", WRONG, { 0 }, "branch conflicts with tag" },
	{ "git@github.com:moby/buildkit.git?subdir=/subdir#v1.0.0",
	  REPOSITORY,
	  { OVER_SSH, .ref = TEXT("v1.0.0"), .subdir = TEXT("/subdir") } },
	{ URL "?mtime=commit", REPOSITORY, { BUILDKIT, .mtime_said = true, .mtime_commit = true } },
	{ URL "?mtime=checkout", REPOSITORY, { BUILDKIT, .mtime_said = true } },
	{ URL "?mtime=invalid", WRONG, { 0 }, "invalid mtime value: \"invalid\" (must be \"checkout\" or \"commit\")" },
	{ URL "?fetch-by-commit=true&checksum=deadbeef#refs/heads/branch",
	  REPOSITORY,
	  { BUILDKIT, .ref = TEXT("refs/heads/branch"), .checksum = TEXT("deadbeef"), .fetch_by_commit = true } },
	{ URL "?fetch-by-commit&checksum=deadbeef",
	  REPOSITORY,
	  { BUILDKIT, .checksum = TEXT("deadbeef"), .fetch_by_commit = true } },
	{ URL "?fetch-by-commit=false", REPOSITORY, { BUILDKIT } },
	{ URL "?fetch-by-commit=invalid", WRONG, { 0 }, "invalid fetch-by-commit value: \"invalid\"" },
	{ URL "?invalid=123", WRONG, { 0 }, "unexpected query \"invalid\"" },
	/* Of gitutil's own table: what is a URL there and no repository here, because of its end. */
	{ "http://github.com/moby/buildkit", NONE },
	{ "http://github.com/moby/buildkit#v1.0.0", NONE },
	{ "http://github.com/moby/buildkit#v1.0.0:subdir", NONE },
	{ "http://foo:bar@github.com/moby/buildkit#v1.0.0", NONE },
	{ "https://github.com/moby/buildkit?ref=v1.0.0&foo=bar#v1.2.3", NONE },
	{ "HTTP://github.com/moby/buildkit", NONE },
	{ "httpx://github.com/moby/buildkit", NONE },
	{ "ssh://git@github.com/moby/buildkit.git",
	  REPOSITORY,
	  { REMOTE("ssh://git@github.com/moby/buildkit.git", "buildkit"), .host = TEXT("github.com") } },
	{ "ssh://git@github.com:22/moby/buildkit.git",
	  REPOSITORY,
	  { REMOTE("ssh://git@github.com:22/moby/buildkit.git", "buildkit"), .host = TEXT("github.com:22") } },
	{ "git@github.com:moby/buildkit.git#v1.0.0:hack",
	  REPOSITORY,
	  { OVER_SSH, .ref = TEXT("v1.0.0"), .subdir = TEXT("hack"), .scheme = TEXT("ssh") } },
	{ "nonstandarduser@example.com:/srv/repos/weird/project.git",
	  REPOSITORY,
	  { REMOTE("nonstandarduser@example.com:/srv/repos/weird/project.git", "project"),
	    .host = TEXT("example.com") } },
	{ "ssh://root@subdomain.example.hostname:2222/root/my/really/weird/path/foo.git",
	  REPOSITORY,
	  { REMOTE("ssh://root@subdomain.example.hostname:2222/root/my/really/weird/path/foo.git", "foo") } },
	{ "git://host.xz:1234/path/to/repo.git",
	  REPOSITORY,
	  { REMOTE("git://host.xz:1234/path/to/repo.git", "repo"), .unencrypted = true, .scheme = TEXT("git") } },
	{ "ssh://someuser@192.168.0.123:456/~/repo-in-my-home-dir.git",
	  REPOSITORY,
	  { REMOTE("ssh://someuser@192.168.0.123:456/~/repo-in-my-home-dir.git", "repo-in-my-home-dir") } },
	{ "HTTPS://github.com/moby/buildkit.git", REPOSITORY, { BUILDKIT, .scheme = TEXT("https") } },
	/* No option of git or ssh, nothing that a line could end in. */
	{ "ssh://-oProxyCommand=x/y.git", NONE },
	{ "-u@host:path", NONE },
	{ "git@-host:path", NONE },
	{ "ext::sh -c x", NONE },
	{ "file:///etc/x.git", NONE },
	{ "https://host/a%zz.git", NONE },
	{ "https://host/a%00.git", NONE },
	{ "https://host:port/a.git", NONE },
	{ "https://host/a\n.git", NONE },
	{ URL "?tag=a&tag=b", WRONG, { 0 }, "query \"tag\" has multiple values" },
	{ URL "?ref=", WRONG, { 0 }, "query \"ref\" has no value" },
	{ URL "?keep-git-dir=maybe", WRONG, { 0 }, "invalid keep-git-dir value: \"maybe\"" },
	{ URL "?submodules=maybe", WRONG, { 0 }, "invalid submodules value: \"maybe\"" },
	{ URL "?keep-git-dir&submodules=0", REPOSITORY, { BUILDKIT, .keep_git_dir = GIT_YES, .submodules = GIT_NO } },
	{ URL "?subdir=a#:b", WRONG, { 0 }, "subdir conflicts: \"b\" vs \"a\"" },
	{ URL "#:../../x/", REPOSITORY, { BUILDKIT, .subdir = TEXT("x") } },
	{ URL "?commit=abc", REPOSITORY, { BUILDKIT, .checksum = TEXT("abc") } },
	{ "", NONE },
	{ "@", NONE },
	{ "a@b", NONE },
	{ "://", NONE },
	{ "https://", NONE },
};

static void compare(const char *text, const struct git_ref *got, const struct git_ref *wanted)
{
	if (wanted->host && !text_equal(got->host, wanted->host))
		fail_msg("%s: host %s", text, got->host);
	if (wanted->scheme && !text_equal(got->scheme, wanted->scheme))
		fail_msg("%s: scheme %s", text, got->scheme);
	if (!text_equal(got->remote, wanted->remote) || !text_equal(got->short_name, wanted->short_name))
		fail_msg("%s: remote %s, name %s", text, got->remote, got->short_name);
	if (!text_equal(got->ref, wanted->ref) || !text_equal(got->subdir, wanted->subdir) ||
	    !text_equal(got->checksum, wanted->checksum))
		fail_msg("%s: ref %s, subdir %s, checksum %s", text, text_or_empty(got->ref),
			 text_or_empty(got->subdir), text_or_empty(got->checksum));
	if (got->like_local != wanted->like_local || got->unencrypted != wanted->unencrypted ||
	    got->keep_git_dir != wanted->keep_git_dir || got->submodules != wanted->submodules ||
	    got->mtime_said != wanted->mtime_said || got->mtime_commit != wanted->mtime_commit ||
	    got->fetch_by_commit != wanted->fetch_by_commit)
		fail_msg("%s: the flags differ", text);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *row = &rows[i];
		AUTO(error_clear) struct error err = { 0 };
		AUTO(git_ref_fini) struct git_ref ref = { 0 };
		int r = git_ref_parse(&ref, row->text, &err);

		if (r != (row->wanted == REPOSITORY ? 1 : row->wanted == NONE ? 0 : -1))
			fail_msg("%s: %d %s", row->text, r, text_or_empty(err.message));
		if (row->wanted == REPOSITORY)
			compare(row->text, &ref, &row->ref);
		if (row->wanted == WRONG && !strstr(err.message, row->said))
			fail_msg("%s: %s", row->text, err.message);
	}
}

struct form {
	const char *text;
	const char *plain;	 /* NULL: none */
	const char *with_subdir; /* NULL: the same */
};

static const struct form forms[] = {
	{ "https://example.com/", NULL },
	{ "https://example.com/foo.git", "https://example.com/foo.git" },
	{ "https://example.com/foo.git#deadbeef", "https://example.com/foo.git#deadbeef" },
	{ "https://example.com/foo.git#release/1.2", "https://example.com/foo.git#release/1.2" },
	{ "https://example.com/foo.git/", NULL },
	{ "https://example.com/foo.git.bar", NULL },
	{ "git://example.com/foo", "git://example.com/foo" },
	{ "github.com/moby/buildkit", "github.com/moby/buildkit" },
	{ "github.com/moby/buildkit#master", "github.com/moby/buildkit#master" },
	{ "custom.xyz/moby/buildkit.git", NULL },
	{ "https://github.com/moby/buildkit", NULL },
	{ URL, URL },
	{ "https://foo:bar@github.com/moby/buildkit.git", "https://foo:bar@github.com/moby/buildkit.git" },
	{ "git@github.com:moby/buildkit", "git@github.com:moby/buildkit" },
	{ "git@github.com:moby/buildkit.git", "git@github.com:moby/buildkit.git" },
	{ "git@bitbucket.org:atlassianlabs/atlassian-docker.git",
	  "git@bitbucket.org:atlassianlabs/atlassian-docker.git" },
	{ "https://github.com/foo/bar.git#baz/qux:quux/quuz", "https://github.com/foo/bar.git#baz/qux",
	  "https://github.com/foo/bar.git#baz/qux:quux/quuz" },
	{ "http://github.com/docker/docker.git:#branch", NULL },
	{ "https://github.com/docker/docker.git#:myfolder", "https://github.com/docker/docker.git",
	  "https://github.com/docker/docker.git#:myfolder" },
	{ "./.git", NULL },
	{ ".git", NULL },
	{ "https://github.com/docker/docker.git?ref=v1.0.0&subdir=/subdir",
	  "https://github.com/docker/docker.git#v1.0.0", "https://github.com/docker/docker.git#v1.0.0:subdir" },
	{ URL "?subdir=/subdir#v1.0.0", URL "#v1.0.0", URL "#v1.0.0:subdir" },
	{ URL "?tag=v1.0.0", URL "#refs/tags/v1.0.0" },
	{ "github.com/moby/buildkit?tag=v1.0.0", "github.com/moby/buildkit#refs/tags/v1.0.0" },
	{ URL "?branch=v1.0", URL "#refs/heads/v1.0" },
	{ URL "?ref=v1.0.0#v1.2.3", NULL },
	{ URL "?ref=v1.0.0&tag=v1.2.3", NULL },
	{ URL "?tag=v1.0.0&branch=v1.0", NULL },
	{ "git@github.com:moby/buildkit.git?subdir=/subdir#v1.0.0", "git@github.com:moby/buildkit.git#v1.0.0",
	  "git@github.com:moby/buildkit.git#v1.0.0:subdir" },
	{ URL "?invalid=123", NULL },
};

static void test_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		const struct form *form = &forms[i];
		AUTO_FREE char *plain = git_ref_short_form(form->text, false);
		AUTO_FREE char *with_subdir = git_ref_short_form(form->text, true);

		if (!text_equal(plain, form->plain))
			fail_msg("%s: %s", form->text, text_or_empty(plain));
		if (!text_equal(with_subdir, form->with_subdir ? form->with_subdir : form->plain))
			fail_msg("%s: %s", form->text, text_or_empty(with_subdir));
	}
}

static void test_names(void **state)
{
	static const struct {
		const char *url;
		const char *name; /* NULL: none */
		const char *host;
	} names[] = {
		{ "https://host/a/b.tar.gz", "b.tar.gz", "host" },
		{ "https://host/a%20b?x=/y#z", "a b", "host" },
		{ "http://user:pw@host:80/f", "f", "host" },
		{ "http://[::1]:80/f/", "f", "::1" },
		{ "http://host", NULL, "host" },
		{ "http://host/", NULL, "host" },
		{ "http://host?f", NULL, "host" },
		{ "http://host/a/..", NULL, "host" },
		{ "http://host/a%2f..%2fb", "b", "host" },
		{ "http://host/%00", NULL, "host" },
		{ "http://host/%", NULL, "host" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		AUTO_FREE char *name = url_file_name(names[i].url);
		AUTO_FREE char *host = url_host_name(names[i].url);

		if (!text_equal(name, names[i].name) || !text_equal(host, names[i].host))
			fail_msg("%s: %s, %s", names[i].url, text_or_empty(name), host);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
