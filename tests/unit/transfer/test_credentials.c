/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/credentials.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "unit/unit.h"

static char folder[] = "/tmp/kist-credentials-XXXXXX";
static char *path;

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	path = xasprintf("%s/deep/config.json", folder);
	return mkdir_all(AT_FDCWD, folder, 0700);
}

static int teardown(void **state)
{
	(void)state;
	free(path);
	return remove_tree(AT_FDCWD, folder);
}

static void write_config(const char *text)
{
	AUTO_FREE char *parent = xasprintf("%s/deep", folder);

	assert_int_equal(mkdir_all(AT_FDCWD, parent, 0700), 0);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FILE_NO_SYNC), 0);
}

static char *read_config(void)
{
	char *text = NULL;

	assert_true(file_read(&text, NULL, AT_FDCWD, path, 1 << 20) >= 0);
	return text;
}

static void test_get(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct credential credential = { 0 };

	(void)state;
	write_config(
		"{\"auths\":{\"a.example\":{\"auth\":\"dXNlcjpwYTpzcw==\"},"
		"\"https://b.example/v1/\":{\"auth\":\"dTo=\",\"identitytoken\":\"tok\"},"
		"\"empty.example\":{},\"bad.example\":{\"auth\":\"!!\"},\"odd.example\":{\"auth\":\"dXNlcg==\"}}}");
	assert_int_equal(credentials_get(&credential, path, "a.example", &err), 1);
	assert_string_equal(credential.username, "user");
	assert_string_equal(credential.password, "pa:ss");
	credential_fini(&credential);
	assert_int_equal(credentials_get(&credential, path, "b.example", &err), 1);
	assert_string_equal(credential.identity_token, "tok");
	credential_fini(&credential);
	assert_int_equal(credentials_get(&credential, path, "c.example", &err), 0);
	assert_int_equal(credentials_get(&credential, path, "empty.example", &err), 0);
	credential_fini(&credential);
	assert_int_equal(credentials_get(&credential, path, "bad.example", &err), -1);
	assert_non_null(strstr(err.message, "auths.bad.example.auth is not base64"));
	error_clear(&err);
	assert_int_equal(credentials_get(&credential, path, "odd.example", &err), -1);
	error_clear(&err);
	write_config("not json");
	assert_int_equal(credentials_get(&credential, path, "a.example", &err), -1);
	assert_non_null(strstr(err.message, path));
}

static void test_store_keeps_the_rest(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct credential mine = { .username = (char *)"me", .password = (char *)"secret" };
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *after = NULL;
	bool plain = false;
	struct stat file;

	(void)state;
	write_config("{\"detachKeys\":\"ctrl-x\",\"auths\":{\"old.example\":{\"auth\":\"dTpw\"}},\"proxies\":{"
		     "\"default\":1}}");
	assert_no_error(credentials_store(path, "new.example", &mine, &plain, &err), &err);
	assert_true(plain);
	text = read_config();
	assert_non_null(strstr(text, "\"detachKeys\": \"ctrl-x\""));
	assert_non_null(strstr(text, "\"proxies\""));
	assert_non_null(strstr(text, "\"dTpw\""));
	assert_non_null(strstr(text, "\"bWU6c2VjcmV0\""));
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(file.st_mode & 0777, 0600);
	assert_int_equal(credentials_erase(path, "old.example", &err), 1);
	assert_int_equal(credentials_erase(path, "old.example", &err), 0);
	after = read_config();
	assert_null(strstr(after, "old.example"));
	assert_non_null(strstr(after, "new.example"));
}

static void test_missing_file(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct credential mine = { .username = (char *)"me", .password = (char *)"x" };
	struct credential found = { 0 };

	(void)state;
	remove_tree(AT_FDCWD, folder);
	assert_int_equal(credentials_get(&found, path, "a", &err), 0);
	assert_int_equal(credentials_erase(path, "a", &err), 0);
	assert_no_error(credentials_store(path, "a", &mine, NULL, &err), &err);
	assert_int_equal(credentials_get(&found, path, "a", &err), 1);
	assert_string_equal(found.password, "x");
	credential_fini(&found);
}

static void write_helper(void)
{
	static const char script[] =
		"#!/bin/sh\n"
		"f=$(dirname \"$0\")/kept\n"
		"case $1 in\n"
		"store) cat > \"$f\";;\n"
		"get) read -r key; [ \"$key\" = broken.example ] && { echo no keychain here; exit 1; }\n"
		"     [ -s \"$f\" ] || { echo credentials not found in native keychain; exit 1; }; cat \"$f\";;\n"
		"erase) rm -f \"$f\";;\n"
		"esac\n";
	AUTO_FREE char *name = xasprintf("%s/docker-credential-fake", folder);
	AUTO_FREE char *search = xasprintf("%s:%s", folder, getenv("PATH"));

	assert_int_equal(file_write_atomic(AT_FDCWD, name, script, strlen(script), 0755, FILE_NO_SYNC), 0);
	setenv("PATH", search, 1);
}

static void test_helper(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct credential mine = { .identity_token = (char *)"idtok" };
	struct credential found = { 0 };
	AUTO_FREE char *text = NULL;
	bool plain = true;

	(void)state;
	write_config(
		"{\"credHelpers\":{\"h.example\":\"fake\",\"broken.example\":\"fake\",\"gone.example\":\"nosuch\"}}");
	write_helper();
	assert_int_equal(credentials_get(&found, path, "h.example", &err), 0);
	assert_no_error(credentials_store(path, "h.example", &mine, &plain, &err), &err);
	assert_false(plain);
	text = read_config();
	assert_null(strstr(text, "idtok"));
	assert_non_null(strstr(text, "\"h.example\": {}"));
	assert_int_equal(credentials_get(&found, path, "h.example", &err), 1);
	assert_string_equal(found.identity_token, "idtok");
	assert_null(found.username);
	credential_fini(&found);
	assert_int_equal(credentials_erase(path, "h.example", &err), 1);
	assert_int_equal(credentials_get(&found, path, "h.example", &err), 0);
	assert_int_equal(credentials_get(&found, path, "broken.example", &err), -1);
	assert_string_equal(err.message, "docker-credential-fake get: no keychain here");
	error_clear(&err);
	assert_int_equal(credentials_get(&found, path, "gone.example", &err), -1);
	assert_non_null(strstr(err.message, "docker-credential-nosuch"));
}

static void test_a_link_stays_a_link(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct credential mine = { .username = (char *)(uintptr_t) "u", .password = (char *)(uintptr_t) "p" };
	AUTO_FREE char *elsewhere = xasprintf("%s/kept-elsewhere.json", folder);
	AUTO_FREE char *text = NULL;
	struct stat status;

	(void)state;
	write_config("{}");
	assert_int_equal(rename(path, elsewhere), 0);
	assert_int_equal(symlink("../kept-elsewhere.json", path), 0);
	assert_no_error(credentials_store(path, "l.example", &mine, NULL, &err), &err);
	assert_int_equal(lstat(path, &status), 0);
	assert_true(S_ISLNK(status.st_mode));
	assert_true(file_read(&text, NULL, AT_FDCWD, elsewhere, 1 << 20) >= 0);
	assert_non_null(strstr(text, "l.example"));
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_a_link_stays_a_link),
		cmocka_unit_test(test_store_keeps_the_rest),
		cmocka_unit_test(test_helper),
		cmocka_unit_test(test_missing_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
