/* SPDX-License-Identifier: Apache-2.0 */
#include "http/remote.h"

#include "unit/unit.h"

static void test_urls(void **state)
{
	static const struct {
		const char *base;
		const char *location;
		const char *result;
	} rows[] = {
		{ "https://a.example/v2/x", "/v2/y?z=1", "https://a.example/v2/y?z=1" },
		{ "https://a.example:5000/v2/x", "y", "https://a.example:5000/v2/y" },
		{ "https://a.example/v2/x", "http://b.example/c", "http://b.example/c" },
		{ "https://a.example/v2/x", "//b.example/c", "https://b.example/c" },
		{ "https://a.example/v2/x", "file:///etc/passwd", NULL },
		{ "https://a.example/v2/x", "gopher://b/", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO_FREE char *url = remote_url_resolve(rows[i].base, rows[i].location);

		if (!text_equal(url, rows[i].result))
			fail_msg("%s + %s gave %s", rows[i].base, rows[i].location, url);
	}
}

static void test_hosts(void **state)
{
	static const struct {
		const char *url;
		const char *host;
	} rows[] = {
		{ "https://a.example/x", "a.example" },
		{ "http://user:pw@a.example:80/x", "a.example:80" },
		{ "https://[::1]:5000/", "[::1]:5000" },
		{ "ftp://a.example/", NULL },
		{ "a.example", NULL },
		{ "https://", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO_FREE char *host = remote_url_host(rows[i].url);

		if (!text_equal(host, rows[i].host))
			fail_msg("%s gave %s", rows[i].url, host);
	}
}

static void test_failures(void **state)
{
	static const struct {
		const char *url;
		enum remote_failure failure;
		const char *message;
	} rows[] = {
		{ "http://127.0.0.1:1/", REMOTE_NO_CONNECT, "connect to 127.0.0.1:1: Connection refused" },
		{ "http://nowhere.invalid/", REMOTE_NO_HOST, "look up nowhere.invalid: no such host" },
	};
	AUTO(remote_freep) struct remote *remote = NULL;

	(void)state;
	remote_global_init();
	remote = remote_new(&(struct remote_options){ 0 });
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(remote_response_fini) struct remote_response response = { 0 };

		assert_int_equal(remote_send(&response, remote, &(struct remote_request){ .url = rows[i].url }, &err),
				 -1);
		assert_int_equal(response.failure, rows[i].failure);
		assert_int_equal(err.kind, ERR_UNAVAILABLE);
		assert_string_equal(err.message, rows[i].message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
