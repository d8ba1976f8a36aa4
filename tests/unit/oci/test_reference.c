/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "unit/unit.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX64
#define INVALID "invalid reference format"

struct good_row {
	const char *text;
	const char *full;
	const char *familiar;
};

static const struct good_row good[] = {
	{ "debian", "docker.io/library/debian", "debian" },
	{ "debian:12", "docker.io/library/debian:12", "debian:12" },
	{ "library/debian", "docker.io/library/debian", "debian" },
	{ "docker.io/debian", "docker.io/library/debian", "debian" },
	{ "index.docker.io/debian:x", "docker.io/library/debian:x", "debian:x" },
	{ "index.docker.io/library/debian", "docker.io/library/debian", "debian" },
	{ "docker.io/library/foo/bar", "docker.io/library/foo/bar", "library/foo/bar" },
	{ "user/app", "docker.io/user/app", "user/app" },
	{ "docker.io/a.example/b", "docker.io/a.example/b", "docker.io/a.example/b" },
	{ "docker.io/localhost/b", "docker.io/localhost/b", "docker.io/localhost/b" },
	{ "docker.io/user/app:1", "docker.io/user/app:1", "user/app:1" },
	{ "localhost/app", "localhost/app", "localhost/app" },
	{ "localhost:5000/app", "localhost:5000/app", "localhost:5000/app" },
	{ "localhost:5000", "docker.io/library/localhost:5000", "localhost:5000" },
	{ "foo:5000", "docker.io/library/foo:5000", "foo:5000" },
	{ "foo/bar:5000", "docker.io/foo/bar:5000", "foo/bar:5000" },
	{ "127.0.0.1:5000/a/b/c:t", "127.0.0.1:5000/a/b/c:t", "127.0.0.1:5000/a/b/c:t" },
	{ "[fc00::1]:5000/docker/docker", "[fc00::1]:5000/docker/docker", "[fc00::1]:5000/docker/docker" },
	{ "[::1]/x", "[::1]/x", "[::1]/x" },
	{ "gcr.io/proj/img@" DIGEST, "gcr.io/proj/img@" DIGEST, "gcr.io/proj/img@" DIGEST },
	{ "debian:12@" DIGEST, "docker.io/library/debian:12@" DIGEST, "debian:12@" DIGEST },
	{ "debian@" DIGEST, "docker.io/library/debian@" DIGEST, "debian@" DIGEST },
	{ "HOST/app", "HOST/app", "HOST/app" },
	{ "Upper.example.com/app", "Upper.example.com/app", "Upper.example.com/app" },
	{ "xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage:xn--n3h.com" },
	{ "a__b/c-d---e/f.g_h", "docker.io/a__b/c-d---e/f.g_h", "a__b/c-d---e/f.g_h" },
	{ "foo_bar.com:8080", "docker.io/library/foo_bar.com:8080", "foo_bar.com:8080" },
	{ "foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com:8080", "foo/foo_bar.com:8080" },
	{ "debian:_x", "docker.io/library/debian:_x", "debian:_x" },
	{ "debian:A.b-C_9", "docker.io/library/debian:A.b-C_9", "debian:A.b-C_9" },
	{ "docker/docker", "docker.io/docker/docker", "docker/docker" },
	{ "1a3f5e7d9c1b", "docker.io/library/1a3f5e7d9c1b", "1a3f5e7d9c1b" },
};

static const struct {
	const char *text;
	const char *error;
} bad[] = {
	{ "", INVALID },
	{ ":", INVALID },
	{ ":tag", INVALID },
	{ "@" DIGEST, INVALID },
	{ "debian:", INVALID },
	{ "debian@", INVALID },
	{ "debian:-x", INVALID },
	{ "debian:.x", INVALID },
	{ "debian:a b", INVALID },
	{ "debian@sha256:abc", INVALID },
	{ "debian:12:13", INVALID },
	{ "-debian", INVALID },
	{ "debian-", INVALID },
	{ "a___b", INVALID },
	{ "a..b/c/d", INVALID },
	{ "a/b..c", INVALID },
	{ "a._b", INVALID },
	{ "/a", INVALID },
	{ "a/", INVALID },
	{ "a//b", INVALID },
	{ "https://github.com/docker/docker", INVALID },
	{ "-docker.io/x", INVALID },
	{ "docker.io-/x", INVALID },
	{ "foo:bar/baz", INVALID },
	{ "[fc00::1%eth0]:5000/x", INVALID },
	{ "[fc00::1:5000/x", INVALID },
	{ "docker///docker", INVALID },
	{ "docker/../etc", INVALID },
	{ "Debian", INVALID ": repository name (library/Debian) must be lowercase" },
	{ "a/B:c", INVALID ": repository name (a/B) must be lowercase" },
	{ "localhost:5000/Foo", INVALID ": repository name (Foo) must be lowercase" },
	{ HEX64, "invalid repository name (" HEX64 "), cannot specify 64-byte hexadecimal strings" },
	{ "debian@md5:d41d8cd98f00b204e9800998ecf8427e", "unsupported digest algorithm" },
	{ "debian@sha256:d41d8cd98f00b204e9800998ecf8427e", "invalid checksum digest length" },
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(reference_fini) struct reference reference = { 0 };
		AUTO(reference_fini) struct reference again = { 0 };
		AUTO_FREE char *full = NULL;
		AUTO_FREE char *familiar = NULL;
		AUTO_FREE char *round = NULL;

		assert_no_error(reference_parse(&reference, good[i].text, &err), &err);
		full = reference_format(&reference);
		familiar = reference_familiar(&reference);
		assert_string_equal(full, good[i].full);
		assert_string_equal(familiar, good[i].familiar);
		assert_no_error(reference_parse(&again, familiar, &err), &err);
		round = reference_format(&again);
		assert_string_equal(round, full);
	}
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		struct reference reference = { 0 };

		if (reference_parse(&reference, bad[i].text, &err) == 0)
			fail_msg("\"%s\" was accepted", bad[i].text);
		assert_string_equal(err.message, bad[i].error);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_null(reference.path);
	}
}

static void test_lengths(void **state)
{
	char path[300] = { 0 };
	char text[400];

	(void)state;
	for (size_t size = 127; size <= 129; size++) {
		memset(path, 'a', size);
		path[size] = '\0';
		assert_int_equal(reference_is_tag(path), size <= 128);
	}
	for (size_t size = 255; size <= 256; size++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(reference_fini) struct reference reference = { 0 };

		memset(path, 'a', size);
		path[size] = '\0';
		path[1] = '/';
		snprintf(text, sizeof(text), "%s", path);
		assert_int_equal(reference_parse(&reference, text, &err), size == 255 ? 0 : -1);
		if (size == 256)
			assert_string_equal(err.message, "repository name must not be more than 255 characters");
	}
}

static void test_default_tag(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(reference_fini) struct reference plain = { 0 };
	AUTO(reference_fini) struct reference pinned = { 0 };
	AUTO(reference_fini) struct reference copy = { 0 };
	AUTO_FREE char *name = NULL;

	(void)state;
	assert_no_error(reference_parse(&plain, "debian", &err), &err);
	assert_null(plain.tag);
	reference_default_tag(&plain);
	assert_string_equal(plain.tag, "latest");
	assert_no_error(reference_parse(&pinned, "debian@" DIGEST, &err), &err);
	reference_default_tag(&pinned);
	assert_null(pinned.tag);
	reference_copy(&copy, &pinned);
	assert_true(digest_equal(&copy.digest, &pinned.digest));
	name = reference_name(&copy);
	assert_string_equal(name, "docker.io/library/debian");
}

static void test_hosts(void **state)
{
	(void)state;
	assert_string_equal(reference_api_host("docker.io"), "registry-1.docker.io");
	assert_string_equal(reference_api_host("localhost:5000"), "localhost:5000");
	assert_string_equal(reference_auth_key("docker.io"), "https://index.docker.io/v1/");
	assert_string_equal(reference_auth_key("ghcr.io"), "ghcr.io");
	assert_true(reference_is_path("a/b-c/d"));
	assert_false(reference_is_path("a/B"));
	assert_false(reference_is_path(""));
	assert_false(reference_is_path("../a"));
	assert_false(reference_is_tag(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	    cmocka_unit_test(test_bad),	  cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_default_tag), cmocka_unit_test(test_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
