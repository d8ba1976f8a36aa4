/* SPDX-License-Identifier: Apache-2.0 */
#include "http/remote.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* A server of one connection: sends `first`, then `again` for as long as somebody reads. */
struct peer {
	int listen_fd;
	char url[64];
	const char *first;
	const char *again;
	pthread_t thread;
};

static void *serve(void *arg)
{
	const struct peer *peer = arg;
	AUTO_CLOSE int fd = accept(peer->listen_fd, NULL, NULL);
	const char *next = peer->first;
	char request[4096];

	if (read(fd, request, sizeof(request)) <= 0)
		return NULL;
	while (send(fd, next, strlen(next), MSG_NOSIGNAL) > 0)
		next = peer->again;
	return NULL;
}

static void peer_start(struct peer *peer)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	peer->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(peer->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(peer->listen_fd, 1), 0);
	assert_int_equal(getsockname(peer->listen_fd, (struct sockaddr *)&address, &size), 0);
	snprintf(peer->url, sizeof(peer->url), "http://127.0.0.1:%d/", ntohs(address.sin_port));
	assert_int_equal(pthread_create(&peer->thread, NULL, serve, peer), 0);
}

/* The request fails as REMOTE_REFUSED; its message. */
static char *refused(struct peer *peer, const struct remote_request *request)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(remote_freep) struct remote *remote = remote_new(&(struct remote_options){ 0 });
	struct remote_request full = *request;

	peer_start(peer);
	full.url = peer->url;
	assert_int_equal(remote_send(&response, remote, &full, &err), -1);
	assert_int_equal(response.failure, REMOTE_REFUSED);
	remote_freep(&remote);
	remote = NULL;
	pthread_join(peer->thread, NULL);
	close(peer->listen_fd);
	return strdup(err.message);
}

static void test_a_head_without_end(void **state)
{
	struct peer peer = { .first = "HTTP/1.1 200 OK\r\n", .again = "X-More: and more and more and more\r\n" };
	AUTO_FREE char *message = refused(&peer, &(struct remote_request){ 0 });

	(void)state;
	assert_string_equal(message, "the head of the answer is longer than 262144 bytes");
}

static void test_a_body_that_is_too_short(void **state)
{
	struct peer peer = { .first = "HTTP/1.1 100 Continue\r\n\r\n", .again = "" };
	AUTO_CLOSE int fd = memfd_create("body", MFD_CLOEXEC);
	AUTO_FREE char *message = NULL;

	(void)state;
	assert_int_equal(write(fd, "half", 4), 4);
	message = refused(&peer, &(struct remote_request){ .method = "PUT", .body_fd = fd, .body_size = 8 });
	assert_string_equal(message, "what is to be sent ends 4 bytes early");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_a_head_without_end),
		cmocka_unit_test(test_a_body_that_is_too_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
